"""What plugins and records are held to."""
