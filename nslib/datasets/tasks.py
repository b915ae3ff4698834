"""What is measured: one record a task, and the data set of NOSS that it stands beside.

The paper profile is NOSS itself (Shor et al. 2020, arXiv 2002.12764; facts in ``data/noss_tasks.csv``). The quick
profile has no NOSS data: each of its tasks asks the same kind of question of other recordings, so its numbers are
never compared with the paper's. A task of computer voices has "synthetic" in its name and its title.
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
    """A question about speech that an embedding's vectors must answer."""

    name: str  # as used in parameters
    title: str  # for people
    kind: str  # "real": recorded people, or "synthetic"
    noss: str  # the data set of NOSS that asks the same kind of question
    label: str  # what the columns of the clip table mean here
    speaker: str
    speaker_is_label: bool  # then every speaker is in every split, and a z-score by speaker would erase the answer
    split: str  # the rule by which clips were assigned to train, validation and test
    corpus: str  # where the audio comes from: a group of packages, "espeak", "noss", or "folder" (your own)
    licence: str  # of the audio; the full list, with homepages, is ``data/sources.csv``
    credit: str
    caution: str = ""  # what must be known to read the numbers
    metric: str = "accuracy"  # a name of `nslib.statistics.scores`
    profile: str = "quick"  # or "paper"
    optional: bool = False  # run only when asked for by name
    within_speaker: bool = False  # also asked inside each speaker (the paper's personalised tasks)


_HEDGEWARS = "GFDL-1.3"
_HEDGEWARS_CREDIT = "Hedgewars Project, https://hedgewars.org (Debian package hedgewars-data)"
_VOICES = "synthetic voice (eSpeak NG variant)"


def _synthetic(name: str, title: str, noss: str, label: str, split: str, **facts: Any) -> Task:
    """Make a task of computer voices."""
    return Task(name=name, title=title, kind="synthetic", noss=noss, label=label, split=split, corpus="espeak",
                licence="eSpeak NG is GPL-3.0-or-later; the texts are the kit's own (Apache-2.0)",
                credit="eSpeak NG 1.52, https://github.com/espeak-ng/espeak-ng",
                **{"speaker": _VOICES, "speaker_is_label": False, **facts})


def _noss(name: str, title: str, label: str, **facts: Any) -> Task:
    """Make a task of the paper profile."""
    return Task(name=name, title=title, kind="real", noss=name, label=label, corpus="noss", profile="paper",
                **{"speaker_is_label": False, **facts})


_TASKS = (
    Task(
        name="speaker-hedgewars", title="Which of 14 voices", kind="real", noss="voxceleb",
        label="voice pack of a game", speaker="the same", speaker_is_label=True,
        split="by phrase: no phrase is in two splits (60, 20 and 20 % of the phrases, the authors' algorithm)",
        corpus="hedgewars", licence=_HEDGEWARS, credit=_HEDGEWARS_CREDIT,
        caution="A voice pack stands for a speaker, but also for a microphone and, in five, a language.",
    ),
    Task(
        name="phrase-hedgewars", title="Which of 26 spoken phrases", kind="real", noss="speech_commands",
        label="phrase (by its English name)", speaker="voice actor", speaker_is_label=False,
        split="by voice: no voice is in two splits (50, 20 and 30 % of nine English voices, the authors' algorithm)",
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
        split="by level of the game: no level is in two splits (60, 20 and 20 % of the levels, the authors' algorithm)",
        corpus="fillets", licence="GPL-2.0",
        credit="ALTAR interactive and the Fish Fillets NG team, https://fillets.sourceforge.net",
        caution="Two actors speak Czech and two Dutch, so the language gives half of the answer away.",
    ),
    _synthetic("speaker-synthetic", "Which of 12 synthetic voices", "voxceleb", _VOICES,
               "by sentence: no sentence is in two splits", speaker="the same", speaker_is_label=True),
    _synthetic("word-synthetic", "Which of ten synthetic words", "speech_commands", "word",
               "by voice: no voice is in two splits"),
    _synthetic("style-synthetic", "Which of four synthetic speaking styles", "crema_d",
               "style, made by rate, pitch, pitch range and loudness",
               "by voice and sentence: neither is in two splits", within_speaker=True,
               caution="Stands in for emotion, of which the packages hold no recordings; it is not emotion."),
    _synthetic("language-synthetic", "Which of six synthetic languages", "voxforge", "language (ISO 639-1)",
               "by voice and words: no voice, and no word but articles, is in two splits"),
)

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
    """Look a task up; `UnknownName` tells the nearest names.

    Examples
    --------
    >>> get_task("language-5").noss
    'voxforge'
    """
    if name not in REGISTRY:
        raise UnknownName("task", name, REGISTRY)
    return REGISTRY[name]


def choose_task_names(params: Params) -> tuple[str, ...]:
    """List the tasks that parameters ask for, in the order of the registry.

    Parameters
    ----------
    params : Params
        `tasks` as given; else, with the paper profile, the six of NOSS; with the quick profile, all of
        `corpus`: with "real", the recorded tasks and the synthetic style task, because no recordings
        of emotion are to be had; with "synthetic", those only.

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
