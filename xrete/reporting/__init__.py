"""Reports: records become a leaderboard (plain data), and a leaderboard becomes text in some format.

`collect` reads records, `book` looks numbers up in them, `columns` and `views` arrange the tables, `standings` says
who is better than whom, `marks` what is best, `verdicts` the status of the paper's numbers; `terminal`,
`markdown`, `latex` and `tidy` write, and so do `page` and `hub`. Nothing is computed here that the records and
their items do not hold.
"""
