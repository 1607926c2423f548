"""Reports: records become a leaderboard (plain data), and a leaderboard becomes text in some format.

`collect` reads records; `tables` arranges and marks their numbers; `paper` sets the published ones beside them;
`formats` and `page` write. `leaderboard` is the data that all of them share. Nothing is computed here that the
records and their items do not hold.
"""
