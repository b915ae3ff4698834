"""The plan of a workshop, minute by minute, made from the times of chapters and exercises.

Conventions
-----------
Times are minutes from the beginning. What a path has left over is for questions; less than `LEAST_LEFT` minutes is an
error, because a plan without slack is not one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nslib.errors import NslibError, UnknownName
from nslib.workshop.rules import PATHS
from nslib.workshop.source import Chapter

WELCOME, BREAK, LEAST_LEFT = 5, 10, 4
TITLES = {"90": "90 minutes", "180": "three hours"}

Item = tuple[str, int, str]


@dataclass(frozen=True)
class Entry:
    """A line of the plan.

    Attributes
    ----------
    start, minutes : int
    what : str
    notebook : str
        File name; empty for what belongs to none.
    """

    start: int
    minutes: int
    what: str
    notebook: str = ""


def plan(chapters: Sequence[Chapter], path: str) -> list[Entry]:
    """Plan a path.

    Parameters
    ----------
    chapters : sequence of Chapter
    path : {"90", "180"}

    Returns
    -------
    list of Entry
        Together as long as the path.

    Raises
    ------
    UnknownName
        For another path.
    NslibError
        If chapters and exercises take longer than there is.
    """
    if path not in PATHS:
        raise UnknownName("path", path, PATHS)
    length, blocks = PATHS[path], [_block(chapter, path) for chapter in chapters if path in chapter.walks]
    if length > PATHS["90"] and len(blocks) > 1:
        # between the two chapters whose border is nearest to the middle
        borders = [WELCOME + _minutes(blocks[:at]) for at in range(len(blocks))]
        middle = min(range(1, len(blocks)), key=lambda at: abs(borders[at] - length / 2))
        blocks.insert(middle, [("Break", BREAK, "")])
    items = [("Welcome: start a notebook, run its first cell", WELCOME, ""), *(i for block in blocks for i in block)]
    left = length - _minutes([items])
    if left < LEAST_LEFT:
        raise NslibError(f"the path of {TITLES[path]} has {left} minutes left for questions, fewer than {LEAST_LEFT}. "
                         "Take minutes from a chapter, or exercises out of the path (metadata 'workshop').")
    return _timed([*items, ("Questions, and what to take home", left, "")])


def text(chapters: Sequence[Chapter], path: str) -> str:
    """Write a path as a table.

    Parameters
    ----------
    chapters : sequence of Chapter
    path : {"90", "180"}

    Returns
    -------
    str
        Markdown.
    """
    rows = [f"| {e.start // 60}:{e.start % 60:02d} | {e.minutes} | {e.what} | {e.notebook} |"
            for e in plan(chapters, path)]
    return "\n".join([f"## In {TITLES[path]}", "", "| at | minutes | what | notebook |", "|---|---|---|---|", *rows])


def _block(chapter: Chapter, path: str) -> list[Item]:
    walk = chapter.walks[path]
    exercises = [(f"Exercise {e.name}: {e.title}", e.minutes, chapter.name) for e in chapter.exercises_of(path)]
    return [(f"{chapter.title}: {walk.read}", walk.minutes, chapter.name), *exercises]


def _minutes(blocks: Sequence[Sequence[Item]]) -> int:
    return sum(minutes for block in blocks for _, minutes, _ in block)


def _timed(items: Sequence[Item]) -> list[Entry]:
    starts = [sum(minutes for _, minutes, _ in items[:at]) for at in range(len(items))]
    return [Entry(start, minutes, what, notebook)
            for start, (what, minutes, notebook) in zip(starts, items, strict=True)]
