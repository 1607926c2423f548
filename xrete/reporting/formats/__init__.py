"""Writes leaderboards and comparisons: terminal, Markdown, CSV and JSON, LaTeX, cards for the hub."""
