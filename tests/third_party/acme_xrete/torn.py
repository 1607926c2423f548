"""A plugin that cannot be imported."""

raise ImportError("acme needs a part that nobody makes any more")
