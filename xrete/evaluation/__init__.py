"""A cell of the leaderboard from plan to record, and many cells in a sweep."""
