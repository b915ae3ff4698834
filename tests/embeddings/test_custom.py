"""Your own function as an embedding, and its revision."""

import functools
import threading
import warnings

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
    assert check(mine).ok, str(check(mine))


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
    (lambda w: w.mean(), {}, "one clip; loop"),
    (lambda w: w[:1], {}, "return \\[2, dim\\]"),
    (lambda w: np.full((2, 4), np.nan), {}, "NaN"),
    (lambda w: [["a"], ["b"]], {}, "floating point"),
    (lambda w: 1 / 0, {}, "failed: ZeroDivisionError"),
    (lambda w: w, {}, "must not depend on the length"),
    (bands, {"pad": "left"}, "allowed: 'end' or 'centre'"),
    (bands, {"min_samples": 0}, "min_samples must be at least 1, and window and hop at least 0"),
])
def test_what_is_wrong_is_explained(function, options, words):
    with pytest.raises(BadParameter, match=words):
        mine = embeddings.from_callable(function, name="wrong", **options)
        mine.embed(np.zeros((1, 8000), np.float32), np.array([8000]))


def test_what_cannot_be_hashed_gets_a_new_revision_and_a_warning():
    lock = threading.Lock()

    def function(waves):
        with lock:
            return bands(waves)

    with pytest.warns(UserWarning, match="lock"):
        first = embeddings.from_callable(function, name="locked")
    with pytest.warns(UserWarning, match="revision="):
        assert embeddings.from_callable(function, name="locked").fingerprint != first.fingerprint
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embeddings.from_callable(function, name="locked", revision="v1").revision == "v1"


FACTOR = 2


def uses_global(x):
    return FACTOR * x


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
    (lambda x: x + 1, lambda x: x + 1, lambda x: x + 2),
    (lambda x: [y + 1 for y in x], lambda x: [y + 1 for y in x], lambda x: [y - 1 for y in x]),
])
def test_it_follows_code_and_weights(one, same, other):
    assert digest(one) == digest(same) != digest(other)


def test_it_follows_globals_through_functions_and_ends_in_cycles(monkeypatch):
    def uses_function(x):
        return uses_global(x) + 1

    before = digest(uses_function)
    assert before == digest(uses_function)
    monkeypatch.setitem(globals(), "FACTOR", 3)
    assert digest(uses_function) != before
    loop: list = []
    loop.append(loop)
    assert digest(maker(loop)) == digest(maker(loop))
