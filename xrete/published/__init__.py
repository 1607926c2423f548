"""Published numbers: what others measured, one kind for all sources. They are never records, and never paired."""
