"""What is measured: one record a task, and the task of NOSS that it stands beside.

The quick profile has no NOSS data. Each of its tasks asks the same kind of question as a task of
NOSS, of other recordings, so its numbers are never compared with the paper's.

Reference: Shor et al., Towards Learning a Universal Non-Semantic Representation of Speech,
Interspeech 2020, arXiv 2002.12764. The six data sets of NOSS are in ``data/noss_tasks.csv``.

Conventions
-----------
``kind`` is "real" for recordings and "synthetic" for computer voices; a synthetic task has the word
in its name and its title.
"""

from __future__ import annotations

from dataclasses import dataclass

from nslib.errors import UnknownName
from nslib.params import Params


@dataclass(frozen=True)
class Task:
    """A question about speech that an embedding's vectors must answer.

    Attributes
    ----------
    name, title : str
        As used in parameters, and for people.
    kind : {"real", "synthetic"}
        Recorded people, or a speech synthesiser.
    noss : str
        The data set of NOSS that asks the same kind of question.
    label, speaker : str
        What the columns of the clip table mean here.
    speaker_is_label : bool
        Then every speaker is in every split and a z-score by speaker would erase the answer.
    metric : str
        Name in `nslib.metrics`.
    split : str
        The rule by which clips were assigned to train, validation and test.
    corpus : str
        Where the audio comes from: the key of `nslib.corpora`.
    licence, credit : str
        Of the audio; the full list, with homepages, is ``data/sources.csv``.
    caution : str
        What must be known to read the numbers; empty if nothing.
    """

    name: str
    title: str
    kind: str
    noss: str
    label: str
    speaker: str
    speaker_is_label: bool
    split: str
    corpus: str
    licence: str
    credit: str
    caution: str = ""
    metric: str = "accuracy"


_ESPEAK = {"kind": "synthetic", "corpus": "espeak",
           "licence": "eSpeak NG is GPL-3.0-or-later; the texts are the kit's own (Apache-2.0)",
           "credit": "eSpeak NG 1.52, https://github.com/espeak-ng/espeak-ng"}
