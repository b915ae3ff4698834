"""Features made by hand; openSMILE's process, with a stand-in for the library that answers, complains and crashes."""

import contextlib
import importlib.util
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
from helpers import check_company, tone

from nslib import audio, embeddings
from nslib.embeddings import handmade
from nslib.embeddings.registry import EMBEDDINGS
from nslib.errors import NslibError

RNG = np.random.default_rng(11)


def test_mfcc_is_an_orthonormal_cosine_transform_and_a_delta_the_slope():
    wave = tone(0.25)
    bands = handmade.logmel(wave)
    k, n = np.arange(20)[:, None], np.arange(64)[None]
    basis = np.cos(np.pi * k * (2 * n + 1) / 128) * np.where(k == 0, np.sqrt(1 / 64), np.sqrt(2 / 64))
    assert np.allclose(handmade.mfcc(wave)[:, :20], bands @ basis.T, atol=1e-10)
    x = RNG.normal(size=(12, 1))
    assert handmade.delta(x)[5, 0] == pytest.approx(np.polyfit(np.arange(-2, 3), x[3:8, 0], 1)[0])
    assert not handmade.delta(np.ones((1, 3))).any()


@pytest.mark.parametrize("name", ["logmel", "mfcc"])
def test_they_keep_the_contract_and_company_and_padding_change_nothing(name):
    embedding = embeddings.get(name)
    report = embeddings.check(embedding)
    assert report.ok, str(report)
    check_company(embedding.embed, [1840, 9000, 2001, 5000])


# 16000 samples of 0.5: fine; first sample 0.25: an exception; -0.25: the process dies; -0.5: it prints
LIBRARY = '''
import os
import sys
import numpy as np

class FeatureSet:
    eGeMAPSv02, ComParE_2016 = 88, 6373

class FeatureLevel:
    Functionals = "func"

def Smile(feature_set, feature_level):
    def process(wave, rate):
        if wave[0] == 0.25:
            raise ValueError("segment too short")
        if wave[0] == -0.25:
            print("malloc(): invalid size (unsorted)", file=sys.stderr, flush=True)
            os.abort()
        if wave[0] == -0.5:
            print("a library that prints", flush=True)
        pcm = (wave * 32768).astype(np.int16).astype(float)  # as the library casts
        return np.full((1, feature_set, 1), len(wave) + abs(pcm).mean() / 32768)
    return process
'''


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "opensmile.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("NSLIB_THREADS", "2")


def wave(first):
    out = np.full(16000, 0.5, np.float32)
    out[0] = first
    return out


def test_clips_are_answered_at_their_length_whatever_happens_to_others(library, capsys):
    embed = handmade.load_builtin(EMBEDDINGS["opensmile-egemaps"])
    assert "NON-COMMERCIAL" in capsys.readouterr().err
    frames, counts = embed(np.stack([wave(0.5)] * 3), np.array([16000, 8000, 9000]))
    assert frames.shape == (3, 1, 88) and frames.dtype == np.float32 and counts.tolist() == [1, 1, 1]
    assert frames[:, 0, 0].tolist() == [16000.5, 8000.5, 9000.5]
    for first, words in ((0.25, "ValueError: segment too short"),
                         (-0.25, r"SIGABRT.*; it said: malloc\(\): invalid size")):
        with pytest.raises(NslibError, match=words):
            embed(wave(first)[None], np.array([16000]))
        assert embed(wave(0.5)[None], np.array([16000]))[0][0, 0, 0] == 16000.5
    assert embed(wave(-0.5)[None], np.array([16000]))[0].shape == (1, 1, 88)
    with pytest.raises(NslibError, match="6373 numbers, not 88"):
        handmade.embed_with_opensmile("ComParE_2016", 88)(wave(0.5)[None], np.array([16000]))
    assert "opensmile" not in sys.modules


def noise_at_full_scale(path, kind):
    """A clip whose 16-bit samples reach both ends, resampled beyond them, and a file of what 16 bits hold of it."""
    sound = np.rint(RNG.normal(0, 13_000, 16000 if kind == "as it is" else 22050)).clip(-32768, 32767)
    wave = audio.from_array(sound.astype(np.int16), len(sound)).wave
    pcm = np.rint(wave.astype(float) * 32767)
    soundfile.write(path, pcm.clip(-32768, 32767).astype(np.int16), 16000, "PCM_16")
    beyond = int(((pcm < -32768) | (pcm > 32767)).sum())
    assert (beyond > 0) == (kind == "resampled")
    return wave, beyond


@pytest.mark.parametrize("kind", ["as it is", "resampled"])
def test_opensmile_gets_the_whole_numbers_of_a_16_bit_file(kind, library, tmp_path):
    wave, beyond = noise_at_full_scale(tmp_path / "a.wav", kind)
    with pytest.warns(UserWarning, match=f"{beyond} samples are beyond") if beyond else contextlib.nullcontext():
        found = handmade.embed_with_opensmile("eGeMAPSv02", 88)(wave[None], np.array([16000]))[0][0, 0, 0]
    assert found == np.float32(16000 + np.abs(soundfile.read(tmp_path / "a.wav")[0]).mean())


@pytest.mark.skipif(importlib.util.find_spec("opensmile") is None, reason="openSMILE is an extra")
@pytest.mark.parametrize("name", list(handmade.FEATURE_SETS))
@pytest.mark.parametrize("kind", ["as it is", "resampled"])
def test_both_opensmile_baselines_are_what_process_file_says(kind, name, tmp_path):
    wave, _ = noise_at_full_scale(tmp_path / "a.wav", kind)
    code = f"""import opensmile, sys
smile = opensmile.Smile(opensmile.FeatureSet.{handmade.FEATURE_SETS[name]}, opensmile.FeatureLevel.Functionals)
print(*map(float, smile.process_file(sys.argv[1]).to_numpy()[0]))"""  # a process without TensorFlow
    said = subprocess.check_output([sys.executable, "-c", code, tmp_path / "a.wav"], text=True)
    with warnings.catch_warnings(action="ignore"):
        found = embeddings.get(name).embed(wave[None], np.array([len(wave)]))[0][0, 0]
    np.testing.assert_array_equal(found, np.array(said.split(), np.float32))
