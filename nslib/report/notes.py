"""Notes to read with the numbers: what is said of many embeddings is said once.

Conventions
-----------
A note is ``[within speakers: ]task: [embedding: ]sentence``. Notes that differ only in the embedding and in numbers
become one, with the numbers that differ beside the names.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def grouped(notes: Iterable[str], embeddings: Collection[str]) -> list[str]:
    """Put notes together.

    Parameters
    ----------
    notes : iterable of str
    embeddings : collection of str
        Names that may stand in them.

    Returns
    -------
    list of str
        In the order of the first of each; nothing that a note says is lost.

    Examples
    --------
    >>> grouped(["t: a: 3 of 9 fits failed.", "t: b: 4 of 9 fits failed.", "t: Few clips."], ["a", "b"])
    ['t: … of 9 fits failed: a 3, b 4.', 't: Few clips.']
    """
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for note in dict.fromkeys(notes):
        where, name, said = _parts(note, embeddings)
        found[where, _NUMBER.sub("#", said) if name else said].append((name, said))
    return [where + _together(same) for (where, _), same in found.items()]


def _parts(note: str, embeddings: Collection[str]) -> tuple[str, str, str]:
    """What a note is about, the embedding if any, and the sentence."""
    pieces = note.split(": ")
    place = next((k for k, piece in enumerate(pieces[:-1]) if piece in embeddings), None)
    if place is None:
        return "", "", note
    return "".join(f"{piece}: " for piece in pieces[:place]), pieces[place], ": ".join(pieces[place + 1:])


def _together(same: list[tuple[str, str]]) -> str:
    names, said = zip(*same, strict=True)
    if not names[0] or len(same) == 1:
        return "; ".join(f"{name}: {text}" if name else text for name, text in same)
    numbers = [_NUMBER.findall(text) for text in said]
    differ = [len(set(column)) > 1 for column in zip(*numbers, strict=True)]
    place = iter(differ)
    sentence = _NUMBER.sub(lambda number: "…" if next(place) else number[0], said[0]).rstrip(".")
    own = [" ".join([name, *(n for n, moves in zip(of, differ, strict=True) if moves)])
           for name, of in zip(names, numbers, strict=True)]
    return f"{sentence}: {', '.join(own)}."
