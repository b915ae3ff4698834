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
from nslib.errors import refuse_unknown

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
    metric: str = "accuracy"  # a name of `nslib.statistics.scores`, by which is chosen
    also: tuple[str, ...] = ()  # metrics by which what was chosen is scored too
    profile: str = "quick"  # or "paper"
    optional: bool = False  # run only when asked for by name
    speaker_has_label: bool = False  # nearly every speaker has one label, which a z-score by speaker removes
    within_speaker: bool = False  # also asked inside each speaker (the paper's personalised tasks)
    probes: tuple[str, ...] = ()  # names of `nslib.evaluation.PROBES`; empty: all five


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


def _recorded(name: str, title: str, noss: str, label: str, split: str, caution: str, **facts: Any) -> Task:
    """Make a task of recorded speech from packages: NAME-CORPUS, or of languages."""
    licence, credit = _RIGHTS[corpus := facts.pop("corpus", name.partition("-")[2])]
    return Task(name=name, title=title, kind="real", noss=noss, label=label, split=split, corpus=corpus, credit=credit,
                licence=licence, caution=caution, **{"speaker": "voice actor", "speaker_is_label": False, **facts})


_RIGHTS = {
    "hedgewars": ("GFDL-1.3", "Hedgewars Project, https://hedgewars.org (Debian package hedgewars-data)"),
    "queen": ("Flight-of-the-Amazon-Queen-License (free to distribute)", "Flight of the Amazon Queen is (C) 1995 John "
              "Passfield and Steven Stamatiadis (Debian package flight-of-the-amazon-queen)"),
    "fillets": ("GPL-2.0", "ALTAR interactive and the Fish Fillets NG team, https://fillets.sourceforge.net"),
    "language": ("GPL-2.0, GPL-2.0+, BSD-style, CC-BY-3.0, CC-BY-SA-3.0 (by package)",
                 "Allison Smith; June Wallack; Carlo Flora (carloflora.com, segreterietelefoniche.it); Maxim Topal "
                 "(ivrvoice.ru); Digium, Inc.; July E. Jiménez, Avatar Ltda.; Armelle Desjardins and Michel Gutierrez; "
                 "Marco Menardi and Paola Dal Zot (www.voip.ammdomus.it); the KTuberling and KLettres authors (KDE); "
                 "Bill Kendrick and the Tux Paint volunteers")}
_WHO = {"speaker": "the same", "speaker_is_label": True}
_SOURCE = {"corpus": "language", "speaker": "source: package and language folder, a proxy for a speaker",
           "speaker_has_label": True}

_LINEAR = ("LogisticRegression", "LogisticRegression_balanced", "LDA_LSQR_AUTO")
"""Probes of quick tasks in folds, where forests would take three quarters of the time."""

_TASKS = (
    _recorded("voices-hedgewars", "Which of 14 voices", "voxceleb", "voice pack of a game",
              "five folds of phrases: every clip is tested once, by a probe that knows the voices by other phrases",
              "A voice pack stands for a speaker, but also for a microphone and, in five, a language.",
              probes=_LINEAR, **_WHO),
    _recorded("speaker-queen", "Which of 12 characters of one production", "voxceleb", "character of a game",
              "by line: no line of a dialogue is in two splits (20, 20 and 60 % of the lines, the authors' algorithm); "
              "five clips of a character to learn from, five to choose by",
              "Characters were chosen by how alike their resemblyzer vectors are, which is good for it.", **_WHO),
    _recorded("phrases-hedgewars", "Which of 45 spoken phrases", "speech_commands", "phrase (by its English name)",
              "five folds of nine English voices: every clip is tested once, by voices that are not learnt from",
              "Few clips a phrase, shouted and acted; packs vary the words of a phrase, so expect low scores.",
              probes=_LINEAR),
    _recorded("expression-hedgewars", "Which of five acted expressions", "crema_d",
              "what the phrase is there for (alarm, dismay, hostility, pain, triumph), by its name",
              "16 folds of voices and phrases: every clip is tested once, and neither is learnt from",
              "Acted, grouped by what a phrase is there for: nobody rated emotions. Pain is short and without words.",
              within_speaker=True, probes=_LINEAR),
    _recorded("languages-4", "Which of four languages", "voxforge", "language (ISO 639-1)",
              "four folds of sources, a collection each (telephone prompts, words, names of stamps, letters): every "
              "clip is tested once, and no source, prompt or picture of the test is learnt from",
              "Four or five sources a language, single words and letters among them, so expect low scores; the "
              "telephone prompts in English and some of the Spanish are of the same person.",
              optional=True, probes=_LINEAR, **_SOURCE),
    _recorded("speaker-hedgewars", "Which of 14 voices, in one split", "voxceleb", "voice pack of a game",
              "by phrase: no phrase is in two splits (60, 20 and 20 % of the phrases, the authors' algorithm)",
              "As voices-hedgewars, and only a quarter of the clips are tested.", optional=True, **_WHO),
    _recorded("phrase-hedgewars", "Which of 26 spoken phrases", "speech_commands", "phrase (by its English name)",
              "by voice: no voice is in two splits (50, 20 and 30 % of nine English voices, the authors' algorithm)",
              "Few clips a phrase, shouted and acted; some packs vary the words of a phrase.", optional=True),
    _recorded("language-5", "Which of five languages", "voxforge", "language (ISO 639-1)",
              "by source: train on ktuberling and volunteers' telephone prompts, validation on klettres, test on "
              "asterisk's own prompts; no prompt of the test is in training, in any language",
              "The test's English and Spanish are the same person; validation is letters and syllables; few speakers a "
              "language, so expect low scores.", optional=True, **_SOURCE),
    _recorded("speaker-fillets", "Which of four actors", "voxceleb", "actor (language of the dialogue, role)",
              "by level of the game: no level is in two splits (60, 20 and 20 % of the levels, the authors' algorithm)",
              "Two actors speak Czech and two Dutch, so the language gives half of it away.", optional=True, **_WHO),
    _synthetic("speaker-synthetic", "Which of 12 synthetic voices", "voxceleb", _VOICES,
               "by sentence: no sentence is in two splits", speaker="the same", speaker_is_label=True),
    _synthetic("word-synthetic", "Which of ten synthetic words", "speech_commands", "word",
               "by voice: no voice is in two splits"),
    _synthetic("style-synthetic", "Which of four synthetic speaking styles", "crema_d",
               "style, made by rate, pitch, pitch range and loudness",
               "by voice and sentence: neither is in two splits", within_speaker=True,
               caution="Stands in for emotion where there are no recordings; it is not emotion."),
    _synthetic("language-synthetic", "Which of six synthetic languages", "voxforge", "language (ISO 639-1)",
               "by voice and words: no voice, and no word but articles, is in two splits"))

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
          split=_SEVEN_ONE_TWO, speaker_has_label=True, licence="GPL-3.0", credit="VoxForge, http://www.voxforge.org",
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
          speaker_has_label=True,
          licence="members of DementiaBank only", credit="Becker et al.: Pitt corpus, DementiaBank, 1994",
          caution="Recordings of long interviews; the interviewer is heard too."),
    _noss("esc50-human", "Which of ten human sounds", "sound", speaker="not given", optional=True,
          split="by fold of the original: 1, 2 and 3 train, 4 validates, 5 is the test",
          licence="CC-BY-NC-3.0", credit="Piczak: ESC-50, ACM MM 2015",
          caution="Not of NOSS: FRILL's model card added it; its exact selection of classes is not stated there."),
    _noss("masked-speech", "With or without a mask", "mask", speaker="not given", optional=True,
          split="the organisers' parts train, devel and test", licence="as agreed with the organisers",
          credit="Schuller et al.: ComParE 2020, Mask sub-challenge (MASC)",
          caution="Not of NOSS: FRILL's model card added it."))

REGISTRY: dict[str, Task] = {task.name: task for task in (*_TASKS, *_NOSS_TASKS)}
"""Every task, by name."""


def get_task(name: str) -> Task:
    """Look a task up; `UnknownName` tells the nearest names."""
    refuse_unknown("task", name, REGISTRY)
    return REGISTRY[name]


def choose_task_names(params: Params) -> tuple[str, ...]:
    """List the tasks that parameters ask for, in the order of the registry; `UnknownName` for one that does not exist.

    `tasks` as given; else, with the paper profile, the six of NOSS; with the quick profile, those of `corpus`: recorded
    ("real") or "synthetic". Optional ones are run by name only.
    """
    asked = {get_task(name).name for name in params.tasks} or {
        task.name for task in REGISTRY.values() if task.profile == params.profile and not task.optional
        and (task.profile == "paper" or task.kind == params.corpus)}
    return tuple(name for name in REGISTRY if name in asked)


def make_own_task(name: str, clips: pd.DataFrame, *, numbers: bool = False) -> Task:
    """Make a task of the clip table of somebody's own recordings, whose labels are classes or numbers."""
    same = not numbers and label_is_speaker(clips["label"], clips["speaker"])
    labels = clips[clips["speaker"] != ""].groupby("speaker")["label"].nunique()
    return Task(
        name=name, title=f"numbers of {name}" if numbers else f"{clips['label'].nunique()} classes of {name}",
        kind="real", noss="", label="as given", speaker="as given", speaker_is_label=same,
        speaker_has_label=bool((labels == 1).mean() >= 0.9),  # in DementiaBank and VoxForge not quite all have one
        split="as given or drawn: see the notes", corpus="folder", licence="your own", credit="")
