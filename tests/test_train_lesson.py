"""Audio for a short run: what is asked for, or computer voices, and it is said which."""

from __future__ import annotations

import pytest
from helpers import clip_table

from nslib import corpora, params
from nslib.corpora.table import Corpus
from nslib.errors import Unavailable, UnknownName
from nslib.train import corpus, lesson


@pytest.fixture
def voices(tmp_path, cache, monkeypatch):
    """Four computer voices, of which one is for testing."""
    table = clip_table(tmp_path, [1.5] * 4, speaker=list("abcd"), split=["train", "train", "validation", "test"])
    spoken = Corpus(table, table[:0])
    monkeypatch.setattr(corpora, "load_clips", lambda task, params, progress: spoken)
    return table


def test_computer_voices_if_asked_for(voices):
    found = lesson.audio(params.load({"corpus": "synthetic"}), ["festvox-ru"], progress=False)
    assert found.kind == "synthetic" and "asked for" in found.note
    assert found.learn.names == ("clip000", "clip001") and found.held_out.names == ("clip002",)


def test_computer_voices_if_there_is_nothing_else(voices, monkeypatch):
    def nothing(part, join, packages, progress):
        raise Unavailable("festvox-ru", "there is no apt-get", "Use Debian.")

    monkeypatch.setattr(corpus, "recordings", nothing)
    found = lesson.audio(params.load({}), ["festvox-ru"], progress=False)
    assert found.kind == "synthetic" and "no apt-get" in found.note and len(found.learn.names) == 2


def test_recorded_speech_of_the_packages_that_are_named(monkeypatch):
    asked = []

    def given(part, join, packages, progress):
        asked.append((part, join, tuple(packages)))
        return part

    monkeypatch.setattr(corpus, "recordings", given)
    found = lesson.audio(params.load({}), ["festvox-ru"], 10.0, progress=False)
    assert (found.learn, found.held_out, found.kind) == ("train", "validation", "real")
    assert asked == [("train", 10.0, ("festvox-ru",)), ("validation", 10.0, ("festvox-ru",))]
    assert "festvox-ru" in found.note


def test_a_mistake_is_not_covered_by_computer_voices(voices):
    with pytest.raises(UnknownName, match="festvox-ru"):
        lesson.audio(params.load({}), ["festvox-rus"])
