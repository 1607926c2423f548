"""Reports: records become a leaderboard (plain data), and a leaderboard becomes text in some format.

`collect` reads records, `book` looks numbers up in them, `views` arranges the tables, `marks` says what is best;
`terminal`, `markdown` and `tidy` write. Nothing is computed here that the records do not hold.
"""
