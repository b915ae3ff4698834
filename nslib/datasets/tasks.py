"""What is measured: one record a task, and the data set of NOSS that it stands beside.

The paper profile is NOSS itself. The quick profile has no NOSS data: each of its tasks asks the same
kind of question as a data set of NOSS, of other recordings, so its numbers are never compared with the
paper's.

Reference: Shor et al., Towards Learning a Universal Non-Semantic Representation of Speech,
Interspeech 2020, arXiv 2002.12764. The six data sets of NOSS are in ``data/noss_tasks.csv``.

Conventions
-----------
``kind`` is "real" for recordings and "synthetic" for computer voices; a synthetic task has the word
in its name and its title.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nslib.config import Params
from nslib.datasets.splits import label_is_speaker
from nslib.errors import UnknownName

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["REGISTRY", "Task", "choose_task_names", "get_task", "make_own_task"]


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
    split : str
        The rule by which clips were assigned to train, validation and test.
    corpus : str
        Where the audio comes from: a group of packages, "espeak", "noss", or "folder" (your own).
    licence, credit : str
        Of the audio; the full list, with homepages, is ``data/sources.csv``.
    caution : str
        What must be known to read the numbers; empty if nothing.
    metric : str
        Name in `nslib.statistics.scores`.
    profile : {"quick", "paper"}
        The experiment to which it belongs.
    optional : bool
        Run only when asked for by name.
    within_speaker : bool
        Whether it is also asked inside each speaker (the paper's personalised tasks).
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
    profile: str = "quick"
    optional: bool = False
    within_speaker: bool = False


_HEDGEWARS = "GFDL-1.3"
_HEDGEWARS_CREDIT = "Hedgewars Project, https://hedgewars.org (Debian package hedgewars-data)"
_ESPEAK_LICENCE = "eSpeak NG is GPL-3.0-or-later; the texts are the kit's own (Apache-2.0)"
_ESPEAK_CREDIT = "eSpeak NG 1.52, https://github.com/espeak-ng/espeak-ng"
_VOICES = "synthetic voice (eSpeak NG variant)"

_TASKS = (
    Task(
        name="speaker-hedgewars", title="Which of 14 voices", kind="real", noss="voxceleb",
        label="voice pack of a game", speaker="the same", speaker_is_label=True,
        split="by phrase: no phrase is in two splits (60, 20 and 20 % of the phrases, the authors' "
              "algorithm)",
        corpus="hedgewars", licence=_HEDGEWARS, credit=_HEDGEWARS_CREDIT,
        caution="A voice pack stands for a speaker, but also for a microphone and, in five, a language.",
    ),
    Task(
        name="phrase-hedgewars", title="Which of 26 spoken phrases", kind="real", noss="speech_commands",
        label="phrase (by its English name)", speaker="voice actor", speaker_is_label=False,
        split="by voice: no voice is in two splits (50, 20 and 30 % of nine English voices, the authors' "
              "algorithm)",
        corpus="hedgewars", licence=_HEDGEWARS, credit=_HEDGEWARS_CREDIT,
        caution="Few clips a phrase, shouted and acted; some packs vary the words of a phrase.",
    ),
    Task(
        name="language-5", title="Which of five languages", kind="real", noss="voxforge",
        label="language (ISO 639-1)", speaker="source: package and language folder, a proxy for a speaker",
        speaker_is_label=False,
        split="by source: train on ktuberling and volunteers' telephone prompts, validation on klettres, "
              "test on asterisk's own prompts; no prompt of the test is in training, in any language",
        corpus="language", licence="GPL-2.0, GPL-2.0+, BSD-style, CC-BY-3.0, CC-BY-SA-3.0 (by package)",
        credit="Allison Smith; June Wallack; Carlo Flora (carloflora.com, segreterietelefoniche.it); "
               "Maxim Topal (ivrvoice.ru); Digium, Inc.; July E. Jiménez, Avatar Ltda.; Armelle Desjardins "
               "and Michel Gutierrez; Marco Menardi and Paola Dal Zot (www.voip.ammdomus.it); "
               "the KTuberling and KLettres authors (KDE)",
        caution="The test's English and Spanish are the same person; validation is letters and syllables; "
                "few speakers a language, so expect low scores.",
    ),
    Task(
        name="speaker-fillets", title="Which of four actors", kind="real", noss="voxceleb",
        label="actor (language of the dialogue, role)", speaker="the same", speaker_is_label=True,
        split="by level of the game: no level is in two splits (60, 20 and 20 % of the levels, the authors' "
              "algorithm)",
        corpus="fillets", licence="GPL-2.0",
        credit="ALTAR interactive and the Fish Fillets NG team, https://fillets.sourceforge.net",
        caution="Two actors speak Czech and two Dutch, so the language gives half of the answer away.",
    ),
    Task(
        name="speaker-synthetic", title="Which of 12 synthetic voices", kind="synthetic", noss="voxceleb",
        label=_VOICES, speaker="the same", speaker_is_label=True,
        split="by sentence: no sentence is in two splits", corpus="espeak",
        licence=_ESPEAK_LICENCE, credit=_ESPEAK_CREDIT,
    ),
    Task(
        name="word-synthetic", title="Which of ten synthetic words", kind="synthetic", noss="speech_commands",
        label="word", speaker=_VOICES, speaker_is_label=False,
        split="by voice: no voice is in two splits", corpus="espeak",
        licence=_ESPEAK_LICENCE, credit=_ESPEAK_CREDIT,
    ),
    Task(
        name="style-synthetic", title="Which of four synthetic speaking styles",
        kind="synthetic", noss="crema_d",
        label="style, made by rate, pitch, pitch range and loudness", speaker=_VOICES, speaker_is_label=False,
        split="by voice and sentence: neither is in two splits", corpus="espeak", within_speaker=True,
        licence=_ESPEAK_LICENCE, credit=_ESPEAK_CREDIT,
        caution="Stands in for emotion, of which the packages hold no recordings; it is not emotion.",
    ),
    Task(
        name="language-synthetic", title="Which of six synthetic languages",
        kind="synthetic", noss="voxforge",
        label="language (ISO 639-1)", speaker=_VOICES, speaker_is_label=False,
        split="by voice and words: no voice, and no word but articles, is in two splits", corpus="espeak",
        licence=_ESPEAK_LICENCE, credit=_ESPEAK_CREDIT,
    ),
)


def _noss(name: str, title: str, label: str, **facts: Any) -> Task:
    """Make a task of the paper profile."""
    return Task(name=name, title=title, kind="real", noss=name, label=label, corpus="noss", profile="paper",
                **{"speaker_is_label": False, **facts})


_BY_SPEAKER = "by speaker: {} % of the speakers (TensorFlow Datasets draws them by the authors' algorithm)"
_SEVEN_ONE_TWO, _SIX_TWO_TWO = _BY_SPEAKER.format("70, 10 and 20"), _BY_SPEAKER.format("60, 20 and 20")

_NOSS_TASKS = (
    _noss("voxceleb", "Which of 1,211 speakers", "speaker", speaker="the same", speaker_is_label=True,
          split="the official list of recordings (iden_split)",
          licence="CC-BY-4.0 (the annotations; the recordings stay their owners')",
          credit="Nagrani, Chung, Zisserman: VoxCeleb, Interspeech 2017",
          caution="The paper used a filtered subset of VoxCeleb; this is the whole development set, so its "
                  "numbers are not the paper's."),
    _noss("voxforge", "Which of six languages", "language", speaker="who uploaded the archive",
          split=_SEVEN_ONE_TWO, licence="GPL-3.0", credit="VoxForge, http://www.voxforge.org",
          caution="Everyone who uploaded without a name counts as one speaker, who falls into one split."),
    _noss("speech_commands", "Which of 12 commands", "command", speaker="not given",
          split="the official lists; the test is a separate archive", licence="CC-BY-4.0",
          credit="Warden: Speech Commands, arXiv:1804.03209",
          caution="Most clips of train and validation are _unknown_; those of the test are not."),
    _noss("crema_d", "Which of six emotions (91 actors)", "emotion", speaker="actor", split=_SEVEN_ONE_TWO,
          within_speaker=True, licence="ODbL-1.0", credit="Cao et al.: CREMA-D, IEEE TAFFC 2014"),
    _noss("savee", "Which of seven emotions (4 actors)", "emotion", speaker="actor", split=_SIX_TWO_TWO,
          within_speaker=True, licence="free for research, after registration",
          credit="Haq, Jackson: Surrey Audio-Visual Expressed Emotion (SAVEE), 2009",
          caution="The test is one man: nothing can be said about other speakers."),
    _noss("dementiabank", "Dementia or not", "diagnosis", speaker="participant", split=_SEVEN_ONE_TWO,
          licence="members of DementiaBank only", credit="Becker et al.: Pitt corpus, DementiaBank, 1994",
          caution="Recordings of long interviews; the interviewer is heard too."),
    _noss("esc50-human", "Which of ten human sounds", "sound", speaker="not given", optional=True,
          split="by fold of the original: 1, 2 and 3 train, 4 validates, 5 is the test",
          licence="CC-BY-NC-3.0", credit="Piczak: ESC-50, ACM MM 2015",
          caution="Not of NOSS: FRILL's model card added it; its exact selection of classes is not stated there."),
    _noss("masked-speech", "With or without a mask", "mask", speaker="not given", optional=True,
          split="the organisers' parts train, devel and test", licence="as agreed with the organisers",
          credit="Schuller et al.: ComParE 2020, Mask sub-challenge (MASC)",
          caution="Not of NOSS: FRILL's model card added it."),
)

REGISTRY: dict[str, Task] = {task.name: task for task in (*_TASKS, *_NOSS_TASKS)}
"""Every task, by name."""

_STANDS_IN = "style-synthetic"
"""Runs beside recorded tasks too, because no recordings of emotion can be had from the registries."""


def get_task(name: str) -> Task:
    """Look a task up.

    Raises
    ------
    UnknownName
        With the nearest names.

    Examples
    --------
    >>> get_task("language-5").noss
    'voxforge'
    """
    if name not in REGISTRY:
        raise UnknownName("task", name, REGISTRY)
    return REGISTRY[name]


def choose_task_names(params: Params) -> tuple[str, ...]:
    """List the tasks that parameters ask for.

    Parameters
    ----------
    params : Params
        `tasks` as given; else, with the paper profile, the six of NOSS; with the quick profile, all of
        `corpus`: with "real", the recorded tasks and the synthetic style task, because no recordings
        of emotion are to be had; with "synthetic", those only.

    Returns
    -------
    tuple of str
        In the order of the registry.

    Raises
    ------
    UnknownName
        For a task that does not exist.
    """
    asked = {get_task(name).name for name in params.tasks}
    return tuple(name for name, task in REGISTRY.items() if name in asked or (not asked and _is_default(task, params)))


def _is_default(task: Task, params: Params) -> bool:
    """Whether a task is run when none is asked for by name."""
    if task.profile != params.profile or task.optional:
        return False
    return params.profile == "paper" or task.kind == params.corpus or task.name == _STANDS_IN


def make_own_task(name: str, clips: pd.DataFrame) -> Task:
    """Make a task of the clip table of somebody's own recordings."""
    return Task(
        name=name, title=f"{clips['label'].nunique()} classes of {name}", kind="real", noss="",
        label="as given", speaker="as given",
        speaker_is_label=label_is_speaker(clips["label"], clips["speaker"]),
        split="as given or drawn: see the notes", corpus="folder", licence="your own", credit="",
    )
