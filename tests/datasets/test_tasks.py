from __future__ import annotations

import pandas as pd
import pytest

from nslib import config
from nslib.datasets import tasks


@pytest.mark.parametrize(("given", "names"), [
    ({}, "speaker-hedgewars phrase-hedgewars language-5 speaker-fillets style-synthetic"),
    ({"corpus": "synthetic"}, "speaker-synthetic word-synthetic style-synthetic language-synthetic"),
    ({"profile": "paper"}, "voxceleb voxforge speech_commands crema_d savee dementiabank"),
    ({"tasks": "word-synthetic, language-5"}, "language-5 word-synthetic"),  # in the order of the registry
    ({"tasks": "masked-speech"}, "masked-speech")])
def test_names_follow_the_parameters(given, names):
    assert tasks.choose_task_names(config.load_params(given)) == tuple(names.split())


def test_own_recordings_know_whether_the_label_is_the_speaker():
    clips = pd.DataFrame({"label": ["a", "b", "a"], "speaker": ["x", "y", "x"]})
    task = tasks.make_own_task("voices", clips)
    assert (task.speaker_is_label, task.name, task.title) == (True, "voices", "2 classes of voices")
    assert not tasks.make_own_task("voices", clips.assign(speaker="")).speaker_is_label
