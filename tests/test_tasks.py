from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from nslib import metrics, params, tasks
from nslib.errors import UnknownName


def test_every_task_says_what_it_is():
    for name, task in tasks.REGISTRY.items():
        assert task.name == name
        said = dataclasses.asdict(task)
        assert all(said[field] != "" for field in said if field != "caution"), name
        assert task.kind in ("real", "synthetic")
        said = ("synthetic" in task.title.lower(), name.endswith("-synthetic"))
        assert said == (task.kind == "synthetic",) * 2


def test_metrics_exist():
    assert all(hasattr(metrics, task.metric) for task in tasks.REGISTRY.values())


def test_unknown_names_get_the_nearest():
    with pytest.raises(UnknownName, match="speaker-fillets"):
        tasks.get("speaker-filets")
    with pytest.raises(UnknownName, match="language-5"):
        tasks.names(params.load({"tasks": "language5"}))


def test_names_follow_the_parameters():
    real = tasks.names(params.load({}))
    assert real == ("speaker-hedgewars", "phrase-hedgewars", "language-5", "speaker-fillets",
                    "style-synthetic")
    synthetic = tasks.names(params.load({"corpus": "synthetic"}))
    assert synthetic == ("speaker-synthetic", "word-synthetic", "style-synthetic", "language-synthetic")
    asked = tasks.names(params.load({"tasks": "word-synthetic, language-5"}))
    assert asked == ("language-5", "word-synthetic")  # in the order of the registry, whatever the corpus


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        tasks.get("language-5").title = "x"


def test_own_recordings_know_whether_the_label_is_the_speaker():
    clips = pd.DataFrame({"label": ["a", "b", "a"], "speaker": ["x", "y", "x"]})
    assert tasks.own("voices", clips).speaker_is_label
    assert tasks.own("voices", clips).name == "voices"
    assert not tasks.own("voices", clips.assign(speaker="")).speaker_is_label
