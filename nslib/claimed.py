"""What the paper claims, as comparisons between embeddings that the kit knows by name.

Reference: Shor et al., Interspeech 2020.

Conventions
-----------
There are two *families* of networks: the published TRILL and the kit's own, smaller one. A claim is asked of every
family that has been run, and of the published one if none has; nothing of one family stands in for the other.

Claims about what triplets teach (1, 2) are asked of the two taps of the network that was trained by them. Claim 1 has
two verdicts, because they say different things: against the same tap before training, and against hand-made
features. The published TRILL has no untrained twin; the kit's ``untrained`` in its place is another network, and
the sentence says so. A distilled network was trained by imitation and has no twin, so claim 1 does not ask it; claims 3
and 5 do. Claim 4 compares the fine-tuned network with *both* frozen taps, on the tasks where all were run: to
take the better tap only would be a choice made on the test.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

MARGIN = 0.05
HAND_MADE = ("logmel", "mfcc", "opensmile-compare")
FINE_TUNED = "trill-mini-finetuned"

UNTRAINED = "TRILL beats the same network untrained, averaged over the tasks"
ANOTHER = "TRILL beats an untrained network (a MobileNet, not TRILL's own), averaged over the tasks"
BY_HAND = "TRILL beats log-mel, MFCC and openSMILE, averaged over the tasks"
SENTENCES = {
    2: "Layer 19 of TRILL beats its final embedding on every task",
    3: f"The distilled network loses at most {100 * MARGIN:.0f} points of accuracy against layer 19, averaged over "
       "the tasks",
    4: "Fine-tuning the whole network beats both of its frozen embeddings, averaged over the tasks",
    5: "Trained and tested within each speaker, TRILL beats hand-made features, averaged over the tasks",
    6: "The embedding explains accuracy beside the task (effects regression)",
}
"""Claim to what it says; of claim 1 see `UNTRAINED`, `ANOTHER` and `BY_HAND`."""


@dataclass(frozen=True)
class Family:
    """Embeddings of one network.

    Attributes
    ----------
    layer19, top, distilled : str
        Their names.
    untrained : tuple of str
        The controls of layer19 and top.
    sentence : str
        What claim 1 says about them.
    fine_tuned : str
        Empty if the kit cannot fine-tune it.
    """

    layer19: str
    top: str
    distilled: str
    untrained: tuple[str, str]
    sentence: str
    fine_tuned: str = ""

    @property
    def members(self) -> set[str]:
        """Set of str: those that claims are about, controls not among them."""
        return {self.layer19, self.top, self.distilled, self.fine_tuned} - {""}


PUBLISHED = Family("trill-layer19", "trill-top", "trill-distilled", ("untrained", "untrained"), ANOTHER)
MINI = Family("trill-mini-layer19", "trill-mini-top", "trill-mini-distilled",
              ("trill-mini-untrained-layer19", "trill-mini-untrained-top"), UNTRAINED, FINE_TUNED)
FAMILIES = (PUBLISHED, MINI)


@dataclass(frozen=True)
class Part:
    """A comparison: of one task, or averaged over tasks.

    Attributes
    ----------
    claim : int
    sentence, subject, against : str
    task : str
        Empty for an average.
    bound : float
        What the difference must exceed.
    """

    claim: int
    sentence: str
    subject: str
    against: str
    task: str = ""
    bound: float = 0.0

    def asks(self, task: str) -> bool:
        """Whether a task counts."""
        return self.task in ("", task)


def between(there: Mapping[str, Collection[str]], asked: Collection[tuple[str, str]]) -> Iterator[list[Part]]:
    """Claims 1 to 4.

    Parameters
    ----------
    there : mapping
        Task to the embeddings that were run on it.
    asked : collection of (task, embedding)
        What was asked for besides, and not run.

    Yields
    ------
    list of Part
        The comparisons that make one verdict together.
    """
    here = families(there, {embedding for _, embedding in asked})
    for family in here:
        yield from _first(family, {e for names in there.values() for e in names})
    for family in here:
        pair = family.layer19, family.top
        yield [Part(2, SENTENCES[2], *pair, task) for task in _tasks(there, asked, pair)]
    for family in here:
        yield [Part(3, SENTENCES[3], family.distilled, family.layer19, bound=-MARGIN)]
    # No fine-tuned TRILL is published, so that the kit's own is what is missing, whatever else was run.
    yield [Part(4, SENTENCES[4], FINE_TUNED, frozen) for frozen in (MINI.layer19, MINI.top)]


def within(there: Mapping[str, Collection[str]]) -> Iterator[list[Part]]:
    """Claim 5.

    Parameters
    ----------
    there : mapping
        Task to the embeddings that were run on it within speakers.

    Yields
    ------
    list of Part
        The comparisons that make one verdict together.
    """
    here = {e for names in there.values() for e in names}
    for family in families(there, ()):
        subjects = [s for s in (family.layer19, family.top, family.distilled) if s in here] or [family.layer19]
        for subject in subjects:
            yield [Part(5, SENTENCES[5], subject, other) for other in HAND_MADE]


def families(there: Mapping[str, Collection[str]], asked: Collection[str]) -> list[Family]:
    """Which networks the claims are about in a run.

    Parameters
    ----------
    there : mapping
        Task to the embeddings that were run on it.
    asked : collection of str
        Embeddings that were asked for and not run.

    Returns
    -------
    list of Family
        Those of which something was run; else those of which something was asked for; else the published one.
    """
    run = {e for names in there.values() for e in names}
    return ([f for f in FAMILIES if f.members & run] or [f for f in FAMILIES if f.members & set(asked)] or [PUBLISHED])


def _first(family: Family, run: set[str]) -> Iterator[list[Part]]:
    taps = dict(zip((family.layer19, family.top), family.untrained, strict=True))
    for tap in [t for t in taps if t in run] or [family.layer19]:
        yield [Part(1, family.sentence, tap, taps[tap])]
        yield [Part(1, BY_HAND, tap, other) for other in HAND_MADE]


def _tasks(there: Mapping[str, Collection[str]], asked: Collection[tuple[str, str]], pair: tuple[str, str]
           ) -> list[str]:
    """Tasks on which one of the pair was run or asked for; one without a name if there are none."""
    run = [task for task, embeddings in there.items() if set(pair) & set(embeddings)]
    missing = [task for task, embedding in asked if embedding in pair]
    return list(dict.fromkeys([*run, *missing])) if run else [""]
