"""Arranges a leaderboard's numbers and a comparison's: which stand where, which are best, what is to be said."""
