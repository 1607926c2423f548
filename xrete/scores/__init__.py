"""Items to numbers that can be believed: scores, intervals, tests and ranks."""
