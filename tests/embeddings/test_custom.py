"""Your own function as an embedding, its revision, and the checker that finds every kind of fault."""

import functools
import threading
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nslib import embeddings
from nslib.embeddings.base import check
from nslib.embeddings.custom import hash_function
from nslib.errors import BadParameter


def bands(waves):
    """Energies of 8 bands, one vector a clip."""
    return np.abs(np.fft.rfft(waves, 4096, axis=1))[:, :2048].reshape(len(waves), 8, 256).mean(2)


def framed(waves):
    """Two numbers for every 100 ms, frames of 200 ms: what follows a frame does not matter."""
    view = np.lib.stride_tricks.sliding_window_view(waves, 3200, axis=1)[:, ::1600]
    return np.stack([view.std(2), np.abs(view).max(2)], -1)


TIMES = {"window": 0.2, "hop": 0.1, "min_samples": 3200}


def test_one_vector_a_clip():
    mine = embeddings.from_callable(bands, name="bands")
    assert (mine.dim, mine.hop, mine.pads_safely) == (8, 0.0, False)
    frames, counts = mine.embed(np.ones((3, 8000), np.float32), np.full(3, 8000))
    assert frames.shape == (3, 1, 8) and frames.dtype == np.float32 and counts.tolist() == [1, 1, 1]
    assert check(mine).ok and "keeps the contract" in str(check(mine)), str(check(mine))


def test_whether_frames_pad_safely_is_found_out():
    mine = embeddings.from_callable(framed, name="framed", **TIMES)
    assert mine.pads_safely
    batch = np.zeros((2, 16000), np.float32), np.array([3200, 16000])
    frames, counts = mine.embed(*batch)
    assert frames.shape == (2, 9, 2) and counts.tolist() == [1, 9]
    assert check(mine).ok, str(check(mine))
    mine = embeddings.from_callable(lambda w: framed(w - w.mean(1, keepdims=True)), name="centred", **TIMES)
    assert not mine.pads_safely
    with pytest.raises(BadParameter, match="clips of one length"):
        mine.embed(*batch)
    with pytest.warns(UserWarning, match="window= and hop="):
        embeddings.from_callable(framed, name="framed", min_samples=3200)


@pytest.mark.parametrize(("function", "options", "words"), [
    (lambda w: w.mean(), {}, "one clip; loop"), (lambda w: w[:1], {}, "return \\[2, dim\\]"),
    (lambda w: np.full((2, 4), np.nan), {}, "NaN"), (lambda w: [["a"], ["b"]], {}, "floating point"),
    (lambda w: 1 / 0, {}, "failed: ZeroDivisionError"), (lambda w: None, {}, "returned NoneType"),
    (lambda w: {}, {}, "returned dict; return floating"), (functools.partial, {}, "partial cannot be made without arg"),
    (bands, {"foo": 3}, "unknown option of wrong 'foo'. Known: citation, hop"),
    (lambda w: w, {}, "must not depend on the length"), (bands, {"pad": "left"}, "allowed: 'end' or 'centre'"),
    (bands, {"min_samples": 0}, "min_samples must be at least 1, and window and hop at least 0")])
def test_what_is_wrong_is_explained(function, options, words):
    with pytest.raises(BadParameter, match=words):
        mine = embeddings.from_callable(function, name="wrong", **options)
        mine.embed(np.zeros((1, 8000), np.float32), np.array([8000]))


def test_what_cannot_be_hashed_gets_a_new_revision_and_a_warning():
    function = functools.partial(lambda lock, waves: bands(waves), threading.Lock())
    with pytest.warns(UserWarning, match="lock"):
        first = embeddings.from_callable(function, name="locked")
    with pytest.warns(UserWarning, match="revision="):
        assert embeddings.from_callable(function, name="locked").fingerprint != first.fingerprint
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embeddings.from_callable(function, name="locked", revision="v1").revision == "v1"


def maker(weights):
    return lambda x: x @ weights


class Model:
    def __init__(self, weights):
        self.weights = weights

    def __call__(self, x):
        return x @ self.weights


class KerasLike(Model):
    """Has weights that `get_weights` gives, and a lock, as Keras models do."""

    lock = threading.Lock()

    def get_weights(self):
        return self.weights


def torch_like(**held):
    return SimpleNamespace(state_dict=dict, modules=lambda: [SimpleNamespace(**held)])


def digest(function):
    found, unseen = hash_function(function)
    assert unseen == ()
    return found


W, V = np.ones((2, 2)), np.array([[1.0, 1.0], [1.0, 1.0001]])


@pytest.mark.parametrize(("one", "same", "other"), [
    (maker(W), maker(W.copy()), maker(V)),
    (Model(W), Model(W.copy()), Model(V)),
    (Model(W).__call__, Model(W.copy()).__call__, Model(V).__call__),
    (functools.partial(np.dot, W), functools.partial(np.dot, W.copy()), functools.partial(np.dot, V)),
    (KerasLike([W]), KerasLike([W.copy()]), KerasLike([V])),
    *((torch_like(held=a), torch_like(held=a, training=True), torch_like(held=b))
      for a, b in (("mean", "max"), (bands, framed), ((1, 2), (1, 3)), (W, V))),
    (lambda x: x + 1, lambda x: x + 1, lambda x: x + 2),
    (lambda x: [y + 1 for y in x], lambda x: [y + 1 for y in x], lambda x: [y - 1 for y in x]),
])
def test_it_follows_code_and_weights(one, same, other):
    assert digest(one) == digest(same) != digest(other)


def test_it_follows_globals_and_ends_in_cycles(monkeypatch):
    def function(waves):
        return bands(waves)

    before = digest(function)
    monkeypatch.setitem(globals(), "bands", framed)
    assert digest(function) != before
    loop: list = []
    loop.append(loop)
    assert digest(maker(loop)) == digest(maker(loop))


GOOD = embeddings.from_callable(bands, name="good")
CALLS = iter(range(10**9))


def broken(embed):
    """`GOOD` with another way from (waves, lengths) and good frames to what embed returns."""
    return replace(GOOD, embed=lambda waves, lengths: embed(waves, lengths, GOOD.embed(waves, lengths)[0]))


def one_each(frames):
    return np.ones(len(frames), np.int64)


FAULTS = {
    "nan on silence": (broken(lambda w, n, f: (f / np.abs(w).max(), one_each(f))), "silence", "NaN"),
    "random": (broken(lambda w, n, f: (f + np.float32(next(CALLS)), one_each(f))), "determinism", "seed"),
    "rank": (broken(lambda w, n, f: (f[:, 0], one_each(f))), "ordinary sounds", "rank 2"),
    "dim": (replace(GOOD, dim=9), "ordinary sounds", "dim says 9"),
    "dtype": (broken(lambda w, n, f: (f.astype(float), one_each(f))), "ordinary sounds", "return float32"),
    "no counts": (broken(lambda w, n, f: f), "ordinary sounds", "two arrays"),
    "merged clips": (broken(lambda w, n, f: (f.reshape(1, -1, 8), one_each(f))), "batches", "first size"),
    "batch norm": (broken(lambda w, n, f: (f - f.mean(0), one_each(f))), "batches", "normalisation"),
    "constant": (broken(lambda w, n, f: (0 * f + 3, one_each(f))), "difference", "use its input"),
    "expects 16 bits": (embeddings.from_callable(lambda w: bands(w / 32767 + 1.0), "b"), "range of the input",
                        "multiply by 32767"),
    "crash": (broken(lambda w, n, f: 1 / 0), "ordinary sounds", "ZeroDivisionError"),
    "padding leaks": (replace(GOOD, pads_safely=True, embed=lambda w, n: GOOD.embed(
        w / w.shape[1], 0 * n + w.shape[1])), "batches", "pads_safely=False"),
    "frames but no hop": (broken(lambda w, n, f: (np.repeat(f, w.shape[1] // 8000, 1),
                                                  one_each(f) * (w.shape[1] // 8000))), "time", "0.5 s"),
    "wrong hop": (replace(GOOD, hop=0.1), "time", "one frame a clip"),
    "too short": (broken(lambda w, n, f: (f, np.full(len(f), w.shape[1] // 4000 > 0, int))), "shortest clip",
                  "raise min_samples"),
}


@pytest.mark.parametrize(("embedding", "item", "words"), FAULTS.values(), ids=FAULTS)
def test_checker_finds(embedding, item, words):
    report = check(embedding)
    failed = {i.name: i.sentence for i in report.items if not i.passed}
    assert not report.ok and words in failed[item], str(report)
    assert "breaks the contract" in str(report) and "✗" in str(report)
