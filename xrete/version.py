"""The version, which records, checkpoints and pages name."""

__version__ = "0.1.0"
