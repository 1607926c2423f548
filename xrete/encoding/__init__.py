"""Texts to vectors: the engine of transformers, its worker processes, the cache, and export."""
