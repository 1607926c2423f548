"""Texts to answers: a client of chat endpoints, and what it answered before."""
