"""The words that go with a workshop: how to start, the plan of both paths, credits; and the instructor's page."""

from __future__ import annotations

import json
from collections.abc import Sequence

from nslib.params import Params
from nslib.workshop import agenda, material
from nslib.workshop.rules import PATHS
from nslib.workshop.source import Chapter

_START = """\
# Speech embeddings: a workshop

What does a fixed vector know about *how* somebody speaks? You build the pieces, measure, and learn what a number is
worth. Work through `notebooks/` in their order. An exercise is a cell with `...  # your code` in it; below it, folded
away, is what comes out when it is right, and then a check that says what is wrong. Nothing later needs your answer: go
on when you are stuck.

## Start

```
python3 start.py
```

makes an environment beside this file ({packages}) and opens JupyterLab. The evening before,
`python3 start.py --prepare` does the first half. Python 3.11, 3.12 or 3.13 is needed. If you have an environment of the
kit already, start JupyterLab from it in this folder. Recordings, weights and scores are here: the notebooks ask nothing
of a network.

On Colab: upload `workshop-colab.ipynb`, run its first cell and choose {colab}.
"""
_WITH, _WITHOUT = "from the folder `wheels`, without a network", "about 1 GB is fetched"
_LARGE = "the zip file of a build without packages, which is small"
_SMOKE = "\n*This is a smoke build: a handful of clips, to see that everything runs. Its numbers mean nothing.*\n"


def write(chapters: Sequence[Chapter], chosen: Params, with_wheels: bool) -> str:
    """Write the participants' page.

    Parameters
    ----------
    chapters : sequence of Chapter
    chosen : Params
        From `nslib.workshop.material.settings`.
    with_wheels : bool
        Whether the packages are in the zip file.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    NslibError
        If a path takes longer than there is.
    """
    parts = [_START.format(packages=_WITH if with_wheels else _WITHOUT,
                           colab=_LARGE if with_wheels else "this zip file") + (_SMOKE if chosen.smoke else ""),
             *(agenda.text(chapters, path) for path in PATHS),
             f"## Recordings\n\n{material.credits(chosen)}"]
    return "\n\n".join(parts) + "\n"


def opening(chosen: Params) -> str:
    """Write what the first cell of the notebooks reads: variables, and what to say.

    Parameters
    ----------
    chosen : Params

    Returns
    -------
    str
        JSON.
    """
    greeting = (f"workshop: {len(chosen.tasks)} tasks, {len(chosen.embeddings)} embeddings; recordings and weights are "
                "here, nothing is fetched" + (" (smoke: the numbers mean nothing)" if chosen.smoke else ""))
    return json.dumps({"environment": material.environment(chosen), "greeting": greeting}, indent=1) + "\n"


def for_instructor(chapters: Sequence[Chapter]) -> str:
    """Write the instructor's page: both plans, and the notes of all exercises.

    Parameters
    ----------
    chapters : sequence of Chapter

    Returns
    -------
    str
        Markdown.
    """
    head = ("# For the instructor\n\nUnpack this over the participants' folder. `instructor/` has the notebooks with "
            "solutions, times, notes and what the checks\nsay to typical mistakes; `reader/` has them with solutions "
            "only, to be given away afterwards.")
    notes = [f"### {chapter.title}, exercise {e.name}: {e.title} ({e.minutes} minutes)\n\n{e.notes}"
             for chapter in chapters for e in chapter.exercises]
    return "\n\n".join([head, *(agenda.text(chapters, path) for path in PATHS), "## Notes", *notes]) + "\n"
