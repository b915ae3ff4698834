"""embeddings: openSMILE's process, with a stand-in for the library that answers, complains and crashes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from nslib.embeddings import opensmile
from nslib.embeddings.cards import CARDS
from nslib.errors import NslibError

# 16000 samples of 0.5: fine; first sample 2: an exception; 3: the process dies; 4: it prints
LIBRARY = '''
import enum, os
import numpy as np

class FeatureSet(enum.Enum):
    eGeMAPSv02 = 88
    ComParE_2016 = 6373

class FeatureLevel(enum.Enum):
    Functionals = "func"

class Smile:
    def __init__(self, feature_set, feature_level):
        self.dim = feature_set.value

    def __call__(self, wave, rate):
        assert rate == 16000 and wave.dtype == np.float32
        if wave[0] == 2:
            raise ValueError("segment too short")
        if wave[0] == 3:
            os.write(2, b"malloc(): invalid size (unsorted)\\n")
            os.abort()
        if wave[0] == 4:
            os.write(1, b"a library that prints")
        return np.full((1, self.dim, 1), len(wave) + wave.mean())
'''


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "opensmile.py").write_text(LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
def embed(library, capsys):
    function = opensmile.load(CARDS["opensmile-egemaps"])
    assert "NON-COMMERCIAL" in capsys.readouterr().err
    return function


def wave(first, samples=16000):
    out = np.full(samples, 0.5, np.float32)
    out[0] = first
    return out


def test_clips_are_answered_at_their_length(embed):
    frames, counts = embed(np.stack([wave(0.5)] * 3), np.array([16000, 8000, 9000]))
    assert frames.shape == (3, 1, 88)
    assert frames.dtype == np.float32
    assert counts.tolist() == [1, 1, 1]
    assert frames[:, 0, 0].tolist() == [16000.5, 8000.5, 9000.5]
    assert "opensmile" not in sys.modules


def test_refused_clip_says_why_and_the_next_one_works(embed):
    with pytest.raises(NslibError, match="ValueError: segment too short"):
        embed(wave(2)[None], np.array([16000]))
    assert embed(wave(0.5)[None], np.array([16000]))[0][0, 0, 0] == 16000.5


def test_crash_says_why_and_the_next_one_works(embed):
    with pytest.raises(NslibError, match=r"ended by signal 6; it said: malloc\(\): invalid size"):
        embed(wave(3)[None], np.array([16000]))
    assert embed(wave(0.5)[None], np.array([16000]))[0][0, 0, 0] == 16000.5


def test_what_the_library_prints_does_not_disturb(embed):
    assert embed(wave(4)[None], np.array([16000]))[0].shape == (1, 1, 88)


def test_another_number_of_features_is_an_error(library):
    command = [sys.executable, "-m", "nslib.embeddings.opensmile_worker", "ComParE_2016"]
    with pytest.raises(NslibError, match="6373 numbers, not 88"):
        opensmile.embed_with([opensmile.Worker(command)], 88)(wave(0.5)[None], np.array([16000]))


def test_process_that_does_not_start(library):
    command = [sys.executable, "-c", "raise SystemExit('no library here')"]
    with pytest.raises(NslibError, match="status 1; it said: no library here"):
        opensmile.Worker(command).ask(wave(0.5))


def test_process_ends_with_its_input(library):
    worker = opensmile.Worker([sys.executable, "-m", "nslib.embeddings.opensmile_worker", "eGeMAPSv02"])
    assert len(worker.ask(wave(0.5))) == 88
    process = worker._process
    worker.close()
    assert process.returncode == 0
