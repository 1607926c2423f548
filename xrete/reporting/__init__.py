"""Reports: records become a leaderboard (plain data), and a leaderboard becomes text in some format.

`collect` reads records; `tables` arranges and marks their numbers; `paper` sets its published ones beside them;
`answer` says which model is for whom; `formats` and `page` write, `frames` hands out data frames. `leaderboard` is
the data that tables share. Nothing is computed here that records, their items and published numbers do not hold.
"""
