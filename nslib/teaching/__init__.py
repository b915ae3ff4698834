"""Teaching: checks for notebooks, rules that notebooks keep, listening, workshops and Colab.

`check`             `nslib.check` and `nslib.exercise`: one sentence, one condition
`notebook_rules`    the contract of the notebooks, before and after they run, and their kernel
`workshop`          editions for readers, students and instructors, proven and packed
`start`             what starts a packed workshop; standard library only
`listen`            clips beside their neighbours, vectors over time, whom a voice resembles
`colab`             badge, install cell and the kit as one file
"""

__all__: list[str] = []
