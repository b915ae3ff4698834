"""Everything that is written about a run, and how it is held to be true.

`reproduce`    from parameters to ``reports/index.html``, with notebooks and figures
`notebooks`    notebooks run strictly, and only where something changed; their pages
`html`         ``index.html`` and the files beside it, also for a paper
`summary`      what `benchmark` shows: a table for a terminal, JSON, one page for own data; a model card
`verify`       scores computed again from kept answers; one pair run again
`compare`      what moved between two runs
`leaderboard`  results that are shared, and one page over them
`doctor`       what this machine can and can't run
"""

__all__: list[str] = []
