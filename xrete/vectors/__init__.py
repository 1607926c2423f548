"""Vectors in, numbers out: search, mining, geometry, projections. Nothing here knows a text, a task or a model."""
