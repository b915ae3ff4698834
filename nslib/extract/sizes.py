"""How large a work unit is: small for what a killed run can lose, larger where a corpus would have too many.

Conventions
-----------
A unit is a file of the store and a task of a scheduler. A process can map about 65,000 files at a time (Linux),
and a scheduler takes some hundred tasks a second (``benchmarks/cluster.py`` measures it); so beyond `MOST_UNITS`
of them the budget doubles until they fit. It depends on nothing but the corpus: the same corpus has the same
units on one machine and on many, today and when a killed run goes on. A corpus that grows past a doubling gets
other units for its new clips only, since vectors are found by clip: nothing is computed twice.
"""

from __future__ import annotations

from nslib.extract.units import UNIT_SECONDS

MOST_UNITS = 20_000


def unit_seconds(audio_seconds: float, at_least: float = UNIT_SECONDS) -> float:
    """Choose the budget of a work unit.

    Parameters
    ----------
    audio_seconds : float
        Of the whole corpus, whether it is in the store already or not.
    at_least : float
        Budget of a small corpus, in seconds of audio.

    Returns
    -------
    float
        `at_least` times a power of two: 1 up to `MOST_UNITS` times `at_least` of audio (1,333 hours), then the
        smallest that cuts the corpus into about `MOST_UNITS`.

    Examples
    --------
    >>> unit_seconds(3_600), unit_seconds(1e7 * 5.0)
    (240.0, 3840.0)
    """
    budget = at_least
    while audio_seconds > MOST_UNITS * budget:
        budget *= 2
    return budget
