"""The checker finds every kind of fault."""

from dataclasses import replace

import numpy as np
import pytest

from nslib import embeddings
from nslib.embeddings.base import check


def bands(waves):
    """Energies of 8 bands, one vector a clip."""
    return np.abs(np.fft.rfft(waves, 4096, axis=1))[:, :2048].reshape(len(waves), 8, 256).mean(2)


GOOD = embeddings.from_callable(bands, name="good")
CALLS = iter(range(10**9))


def broken(embed=None, **changes):
    """`GOOD` with another way from (waves, lengths) and good frames to what embed returns."""
    if embed is not None:
        changes["embed"] = lambda waves, lengths: embed(waves, lengths, GOOD.embed(waves, lengths)[0])
    return replace(GOOD, **changes)


def one_each(frames):
    return np.ones(len(frames), np.int64)


def needs_quarter_second(waves, lengths, frames):
    if waves.shape[1] < 4000:
        raise ValueError("too short")
    return frames, one_each(frames)


FAULTS = {
    "nan on silence": (broken(lambda w, n, f: (f / np.abs(w).max(), one_each(f))), "silence", "NaN"),
    "nan always": (broken(lambda w, n, f: (f * np.nan, one_each(f))), "ordinary sounds", "log"),
    "random": (broken(lambda w, n, f: (f + np.float32(next(CALLS)), one_each(f))), "determinism", "seed"),
    "rank": (broken(lambda w, n, f: (f[:, 0], one_each(f))), "ordinary sounds", "rank 2"),
    "dim": (broken(dim=9), "ordinary sounds", "dim says 9"),
    "dtype": (broken(lambda w, n, f: (f.astype(float), one_each(f))), "ordinary sounds", "return float32"),
    "no counts": (broken(lambda w, n, f: f), "ordinary sounds", "two arrays"),
    "zero counts": (broken(lambda w, n, f: (f, 0 * one_each(f))), "ordinary sounds", "at least 1"),
    "merged clips": (broken(lambda w, n, f: (f.reshape(1, -1, 8), one_each(f))), "batches", "first size"),
    "batch norm": (broken(lambda w, n, f: (f - f.mean(0), one_each(f))), "batches", "normalisation"),
    "constant": (broken(lambda w, n, f: (0 * f + 3, one_each(f))), "difference", "use its input"),
    "expects 16 bits": (embeddings.from_callable(lambda w: bands(w / 32767 + 1.0), "b"), "range of the input",
                        "multiply by 32767"),
    "crash": (broken(lambda w, n, f: 1 / 0), "ordinary sounds", "ZeroDivisionError"),
    "looks at padding": (broken(lambda w, n, f: (f, one_each(f)), pads_safely=True), "batches", "one length"),
    "padding leaks": (replace(GOOD, pads_safely=True, embed=lambda w, n: (
        bands(w).astype(np.float32)[:, None] / np.float32(w.shape[1]), one_each(w))), "batches", "pads_safely=False"),
    "frames but no hop": (broken(lambda w, n, f: (np.repeat(f, w.shape[1] // 8000, 1),
                                                  one_each(f) * (w.shape[1] // 8000))), "time", "0.5 s"),
    "wrong hop": (broken(hop=0.1), "time", "one frame a clip"),
    "too short": (broken(needs_quarter_second), "shortest clip", "raised ValueError: too short"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_checker_finds(fault):
    embedding, item, words = FAULTS[fault]
    report = check(embedding)
    failed = {i.name: i.sentence for i in report.items if not i.passed}
    assert not report.ok and words in failed[item], str(report)
    assert "breaks the contract" in str(report) and "✗" in str(report)


def test_checker_passes_what_is_good():
    report = check(GOOD)
    assert report.ok and len(report.items) == 8 and "keeps the contract" in str(report), str(report)
