"""Does an embedding keep the contract? The checker tries, and says in words what is wrong.

What it tries: ordinary sounds, silence, the shortest clip, the range of the input, running twice, a
clip alone and in company, and whether time and difference between sounds come out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nslib.embeddings.base import SAMPLE_RATE, Embedding, FloatArray
from nslib.errors import NslibError

TOLERANCE = 1e-5


class Item(NamedTuple):
    """One thing that was tried.

    Attributes
    ----------
    name : str
    passed : bool
    sentence : str
        What came out; if it is wrong, what to do.
    """

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes
    ----------
    name : str
        Of the embedding.
    items : tuple of Item
    """

    name: str
    items: tuple[Item, ...]

    @property
    def ok(self) -> bool:
        """bool: everything passed."""
        return all(item.passed for item in self.items)

    def __str__(self) -> str:
        failed = sum(not item.passed for item in self.items)
        broken = f"breaks the contract in {failed} of {len(self.items)} points"
        lines = [f"{'✓' if item.passed else '✗'} {item.name}: {item.sentence}" for item in self.items]
        return "\n".join([f"{self.name} {'keeps the contract' if self.ok else broken}", *lines])


class _Failed(NslibError):
    """A check that did not pass, with its sentence."""


def check(embedding: Embedding) -> CheckReport:
    """Try an embedding on what it will meet.

    Parameters
    ----------
    embedding : Embedding

    Returns
    -------
    CheckReport
        ``report.ok`` and, in words, ``str(report)``. Nothing is raised.
    """
    checks: tuple[tuple[str, Callable[[Embedding], str]], ...] = (
        ("ordinary sounds", _sounds), ("silence", _silence), ("shortest clip", _shortest),
        ("range of the input", _range), ("16-bit input", _integers), ("determinism", _twice),
        ("batches", _batches), ("difference", _difference), ("time", _time))
    items = []
    for name, attempt in checks:
        try:
            with np.errstate(all="ignore"):
                items.append(Item(name, True, attempt(embedding)))
        except _Failed as error:
            items.append(Item(name, False, str(error)))
        except Exception as error:  # an embedding is anybody's code and may raise anything
            items.append(Item(name, False, f"it raised {type(error).__name__}: {error}"))
    return CheckReport(embedding.name, tuple(items))


def _sound(seed: int, samples: int, level: float = 0.1) -> FloatArray:
    """Make a voice-like sound: harmonics of a gliding pitch with syllables, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(100 + 60 * rng.random() + 20 * np.sin(2 * np.pi * t)) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) * rng.random() / k for k in range(1, 20))
    mixed = voice * (1 + np.sin(2 * np.pi * 4 * t)) + 0.1 * rng.normal(size=samples)
    return np.asarray(level * mixed / np.abs(mixed).max(), np.float32)


def _length(embedding: Embedding, seconds: float = 1.0) -> int:
    return max(embedding.min_samples, round(seconds * SAMPLE_RATE))


def _call(embedding: Embedding, waves: list[FloatArray]) -> list[FloatArray]:
    """Valid frames of each clip, [frames, dim], with the shapes checked."""
    lengths = np.array([len(w) for w in waves], np.int64)
    batch = np.zeros((len(waves), int(lengths.max())), waves[0].dtype)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    found = embedding.embed(batch, lengths)
    if not (isinstance(found, tuple) and len(found) == 2):
        raise _Failed(f"embed returned {type(found).__name__}; return two arrays, (frames, counts).")
    frames, counts = (np.asarray(part) for part in found)
    _check_shape(embedding, frames, counts, len(waves))
    return [row[:count] for row, count in zip(frames, counts, strict=True)]


def _check_shape(embedding: Embedding, frames: np.ndarray, counts: np.ndarray, clips: int) -> None:
    if frames.ndim != 3:
        raise _Failed(f"frames have rank {frames.ndim} (shape {list(frames.shape)}); return "
                      "[clips, frames, dim], with one frame for a vector a clip.")
    if frames.shape[0] != clips or counts.shape != (clips,):
        raise _Failed(f"{clips} clips gave frames of shape {list(frames.shape)} and counts of shape "
                      f"{list(counts.shape)}; the first size of both must be {clips}.")
    if frames.shape[2] != embedding.dim:
        raise _Failed(f"vectors have {frames.shape[2]} numbers, but dim says {embedding.dim}; correct dim.")
    if frames.dtype != np.float32:
        raise _Failed(f"frames are {frames.dtype}; return float32.")
    if counts.dtype.kind not in "iu" or (counts < 1).any() or (counts > frames.shape[1]).any():
        raise _Failed(f"counts are {counts.tolist()} for {frames.shape[1]} frames; give whole numbers of "
                      "valid frames, at least 1. If clips are too short for one, raise min_samples.")


def _need_finite(vectors: list[FloatArray], what: str) -> None:
    bad = sum(not np.isfinite(v).all() for v in vectors)
    if bad:
        raise _Failed(f"{what} gives NaN or infinite numbers; mind log(0) and division by 0.")


def _mean(embedding: Embedding, wave: FloatArray) -> FloatArray:
    return np.asarray(_call(embedding, [wave])[0].mean(0))


def _sounds(embedding: Embedding) -> str:
    n = _length(embedding)
    levels = (1.0, 0.1, 1e-4)
    found = [_call(embedding, [_sound(k, n, level)])[0] for k, level in enumerate(levels)]
    _need_finite(found, "a voice-like sound")
    return f"loud, ordinary and faint sounds give {len(found[0])} x {embedding.dim} finite float32."


def _silence(embedding: Embedding) -> str:
    found = _call(embedding, [np.zeros(_length(embedding), np.float32)])
    _need_finite(found, "digital silence")
    return "digital silence gives finite numbers."


def _shortest(embedding: Embedding) -> str:
    n = embedding.min_samples
    found = _call(embedding, [_sound(0, n), _sound(1, n)])
    _need_finite(found, f"the shortest clip, {n} samples,")
    return f"{n} samples ({n / SAMPLE_RATE:.3f} s) give {len(found[0])} frame(s)."


def _range(embedding: Embedding) -> str:
    n = _length(embedding)
    silence, sound = _mean(embedding, np.zeros(n, np.float32)), _mean(embedding, _sound(0, n))
    loud = _mean(embedding, _sound(0, n) * np.float32(32767))
    apart, far = np.linalg.norm(sound - silence), np.linalg.norm(loud - silence)
    lost = apart < 1e-3 * np.linalg.norm(silence) and far > 100 * apart
    if lost or apart < 1e-6 * far:
        raise _Failed("a sound in [-1, 1] gives almost the vector of silence, one in [-32767, 32767] does "
                      "not: the function seems to expect 16-bit values; multiply by 32767 inside it.")
    return "sounds in [-1, 1] are told from silence."


def _integers(embedding: Embedding) -> str:
    wave = _sound(0, _length(embedding))
    whole = np.rint(wave * 32767).astype(np.int16)
    expected = _mean(embedding, whole.astype(np.float32) / np.float32(32767))
    try:
        found = _mean(embedding, whole)  # type: ignore[arg-type]
    except Exception:  # refusing is as good as converting
        return "int16 is refused; nslib always gives float32."
    if np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max():
        return "int16 gives the vector of the same sound in float32."
    return "int16 is taken at face value, not as [-1, 1]; nslib always gives float32."


def _twice(embedding: Embedding) -> str:
    wave = _sound(0, _length(embedding, 1.5))
    first, second = _call(embedding, [wave])[0], _call(embedding, [wave])[0]
    if first.tobytes() == second.tobytes():
        return "the same clip gives the same bytes twice."
    apart = np.abs(first - second).max() if first.shape == second.shape else np.inf
    raise _Failed(f"the same clip gives different vectors (by {apart:.2g}); fix the seed, and switch dropout "
                  "and random cropping off.")


def _batches(embedding: Embedding) -> str:
    seconds = (1.0, 2.3, 1.0, 1.61, 3.0) if embedding.pads_safely else (2.0,) * 5
    waves = [_sound(k, _length(embedding, s)) for k, s in enumerate(seconds)]
    error = _company(embedding, waves)
    kind = "clips of other lengths" if embedding.pads_safely else "clips of its length"
    if error > TOLERANCE:
        hint = "Something mixes clips; is a normalisation over the batch switched on?"
        if embedding.pads_safely:
            hint = "Look at each clip's true length only, or set pads_safely=False."
        raise _Failed(f"a clip among {kind} differs from the clip alone by {error:.2g} of its largest "
                      f"number. {hint}")
    return f"a clip among {kind} is the clip alone, to {error:.1g}."


def _company(embedding: Embedding, waves: list[FloatArray]) -> float:
    worst = 0.0
    for alone, row in zip([_call(embedding, [w])[0] for w in waves], _call(embedding, waves), strict=True):
        if alone.shape != row.shape:
            raise _Failed(f"a clip has {len(alone)} frames alone and {len(row)} in a batch; count frames by "
                          "lengths.")
        worst = max(worst, float(np.abs(alone - row).max() / max(np.abs(alone).max(), 1e-12)))
    return worst


def _difference(embedding: Embedding) -> str:
    n = _length(embedding)
    rng = np.random.default_rng(0)
    waves = [_sound(0, n), _sound(5, n), rng.normal(0, 0.1, n).astype(np.float32)]
    vectors = np.stack([_mean(embedding, wave) for wave in waves])
    spread = np.abs(vectors - vectors.mean(0)).max()
    if not spread > 1e-6 * np.abs(vectors).max():
        raise _Failed("two voices and noise give the same vector; does the function use its input?")
    varying = (vectors.std(0) > 1e-6 * np.abs(vectors).max(0)).mean()
    return f"different sounds give different vectors, in {varying:.0%} of the numbers."


def _time(embedding: Embedding) -> str:
    short, long = _length(embedding, 3.0), _length(embedding, 3.0) + 4 * SAMPLE_RATE
    counts = [len(_call(embedding, [_sound(0, n)])[0]) for n in (short, long)]
    if embedding.hop == 0:
        if counts[1] != 1:
            raise _Failed(f"hop is 0, which says one frame a clip, but 7 s give {counts[1]} frames: hop is "
                          f"about {4 / max(1, counts[1] - counts[0]):.3g} s.")
        return "one frame a clip."
    more = counts[1] - counts[0]
    if abs(more - 4 / embedding.hop) > 1.5:
        found = f"about {4 / more:.3g} s" if more > 0 else "no hop, but one frame a clip (hop=0)"
        raise _Failed(f"4 s more give {more} frames more; that is {found}, not the stated hop of "
                      f"{embedding.hop} s.")
    return f"4 s more give {more} frames more, as a hop of {embedding.hop} s says."
