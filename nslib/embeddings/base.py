"""The embedding contract, one small record that every embedding, built in or yours, fills in; and its checker.

Waveforms are float32 at 16 kHz, mono, nominally in [-1, 1]; a batch is ``[clips, samples]``, zero-padded at the end,
with the true length of each clip beside it. An embedding returns frames, ``[clips, frames, dim]`` float32, and how many
frames of each clip are valid. It never averages over time: `nslib.extraction` does, over valid frames only.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nslib.errors import NslibError

__all__ = ["SAMPLE_RATE", "CheckReport", "EmbedFunction", "Embedding", "FloatArray", "IntArray", "check",
           "refuse_unsteady", "stack_clips"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
EmbedFunction = Callable[[FloatArray, IntArray], tuple[FloatArray, IntArray]]

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Embedding:
    """A fixed speech embedding and what must be known to use and to cache it.

    Attributes
    ----------
    name : str
        As shown in tables.
    revision : str
        Hash of the weights, or of the constants where there are no weights. Two embeddings that can give different
        vectors for the same audio must differ here.
    dim : int
        Size of one frame's vector.
    embed : callable
        ``(waves [clips, samples] float32, lengths [clips] int64) -> (frames [clips, frames, dim] float32,
        counts [clips] int64)``. ``counts[i]`` frames of clip ``i`` are valid; the rest of the row is ignored.
    window, hop : float
        Seconds of audio that one frame sees, and seconds between frames. Frame ``t`` starts at ``t * hop``; ``hop = 0``
        says that there is one frame a clip.
    min_samples : int
        Shorter clips are padded with zeros to this length by `nslib.extraction`, and counted.
    pad : {"end", "centre"}
        Where those zeros go: after the clip, or half before and half after.
    pads_safely : bool
        Whether a clip's frames are the same whatever padding and company it has in a batch. If not, extraction puts
        only clips of equal length in a batch.
    parameters : int
        Number of trained (or randomly drawn) weights; 0 for hand-made features.
    licence, source, trained_on, citation : str
        Licence of the weights, where they come from, what audio they were trained on, and who to cite.
    overlap : str
        Names, separated by commas, of tasks and corpora whose recordings it was trained on, as far as is known: a score
        there is said not to be one on unheard recordings.
    output, part : str, tuple, optional
        What a model of another library is asked for, in words; the embedding in whose vectors its own begin at a place.
    wrapper : int
        Raised by hand when the code around the weights changes what comes out.
    replica : callable, optional
        Loads the function once more, on the TensorFlow device of the name given (``"GPU:1"``), so that several devices
        can share the work. It computes the same, so it is part neither of the fingerprint nor of what a store keeps.
    """

    name: str
    revision: str
    dim: int
    embed: EmbedFunction
    window: float = 0.0
    hop: float = 0.0
    min_samples: int = 1
    pad: str = "end"
    pads_safely: bool = False
    parameters: int = 0
    licence: str = "not stated"
    source: str = "not stated"
    trained_on: str = "not stated"
    citation: str = ""
    overlap: str = ""
    output: str = ""
    part: tuple[Embedding, int] | None = None
    wrapper: int = 1
    replica: Callable[[str], EmbedFunction] | None = None

    @property
    def fingerprint(self) -> str:
        """str: 16 hex digits that change whenever the vectors can (the name is not part of it)."""
        return hash_facts(self)


def hash_facts(facts: Any) -> str:
    """Hash what decides vectors, of an `Embedding` or of what is known of one that is not loaded: its fingerprint."""
    made_of = [facts.revision, facts.wrapper, facts.dim, facts.window, facts.hop, facts.min_samples, facts.pad,
               SAMPLE_RATE, "mean", "float32"]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def stack_clips(waves: Sequence[FloatArray]) -> tuple[FloatArray, IntArray]:
    """Put clips, [samples] or [frames, dim], into one array, zeros after each, and tell how long they are."""
    lengths = np.array([len(wave) for wave in waves], np.int64)
    batch = np.zeros((len(waves), int(lengths.max()), *waves[0].shape[1:]), waves[0].dtype)
    for row, wave in zip(batch, waves, strict=True):
        row[: len(wave)] = wave
    return batch, lengths


JOIN = "+"
"""Between the names of outputs of one model that are computed in one pass, their vectors side by side."""

TOLERANCE = 1e-5
_UNSTEADY = 1e-3  # of the largest number: no rounding of a device is that coarse


class CheckItem(NamedTuple):
    """One thing that was tried: its name, whether it passed, and what came out; if it is wrong, what to do."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class CheckReport:
    """What `check` finds of the embedding ``name``: ``items`` of (name, passed, sentence); ``str`` says it in words."""

    name: str
    items: tuple[CheckItem, ...]

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
    """A check that did not pass, with its sentence; `apart` is how far what should be equal differs, of its largest."""

    def __init__(self, sentence: str, apart: float = 0.0):
        self.apart = apart
        super().__init__(sentence)


def check(embedding: Embedding) -> CheckReport:
    """Try an embedding on what it will meet: ordinary sounds, silence, the shortest clip, the range of the input.

    It is run twice, with a clip alone and in company, and it is tried whether time and difference between sounds come
    out.

    Returns
    -------
    CheckReport
        ``report.ok`` and, in words, ``str(report)``. Nothing is raised.
    """
    checks: dict[str, Callable[[Embedding], str]] = {
        "ordinary sounds": _check_sounds, "silence": _check_silence, "shortest clip": _check_shortest,
        "range of the input": _check_range, "determinism": _check_twice,
        "batches": _check_batches, "difference": _check_difference, "time": _check_time}
    items = []
    for name, attempt in checks.items():
        try:
            with np.errstate(all="ignore"):
                items.append(CheckItem(name, True, attempt(embedding)))
        except Exception as error:  # an embedding is anybody's code and may raise anything
            found = str(error) if isinstance(error, _Failed) else f"it raised {type(error).__name__}: {error}"
            items.append(CheckItem(name, False, found))
    return CheckReport(embedding.name, tuple(items))


def refuse_unsteady(embedding: Embedding) -> None:
    """Try the cheap half of the contract, a clip twice and among others: NslibError if its vectors are others then."""
    try:
        _check_twice(embedding)
        _check_batches(embedding, clips=3)
    except _Failed as failed:
        words = (f"{embedding.name} breaks the contract of an embedding: {failed} 'python -m nslib check' tells all "
                 "that is wrong")
        if failed.apart > _UNSTEADY:
            raise NslibError(f"{words}. Nothing of it was stored.") from failed
        warnings.warn(f"{words}. It is used all the same.", stacklevel=2)
    except Exception:
        return  # whatever else is wrong is told, with the clip's name, when real clips are embedded


def _voice(seed: int, samples: int, level: float = 0.1) -> FloatArray:
    """Make a voice-like sound of any length: harmonics of a gliding pitch with syllables, and noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(100 + 60 * rng.random() + 20 * np.sin(2 * np.pi * t)) / SAMPLE_RATE
    voice = sum(np.sin(k * phase) * rng.random() / k for k in range(1, 20))
    mixed = voice * (1 + np.sin(2 * np.pi * 4 * t)) + 0.1 * rng.normal(size=samples)
    return np.asarray(level * mixed / np.abs(mixed).max(), np.float32)


def _length(embedding: Embedding, seconds: float = 1.0) -> int:
    """Return the samples of so many seconds, or the embedding's minimum if that is longer."""
    return max(embedding.min_samples, round(seconds * SAMPLE_RATE))


def _call(embedding: Embedding, waves: list[FloatArray]) -> list[FloatArray]:
    """Compute the valid frames of each clip, [frames, dim], and check the shapes."""
    output = embedding.embed(*stack_clips(waves))
    if not (isinstance(output, tuple) and len(output) == 2):
        raise _Failed(f"embed returned {type(output).__name__}; return two arrays, (frames, counts).")
    frames: npt.NDArray[Any] = np.asarray(output[0])
    counts: npt.NDArray[Any] = np.asarray(output[1])
    if frames.ndim != 3:
        raise _Failed(f"frames have rank {frames.ndim} (shape {list(frames.shape)}); return [clips, frames, dim], "
                      "with one frame for a vector a clip.")
    if frames.shape[0] != len(waves) or counts.shape != (len(waves),):
        raise _Failed(f"{len(waves)} clips gave frames of shape {list(frames.shape)} and counts of shape "
                      f"{list(counts.shape)}; the first size of both must be {len(waves)}.")
    if frames.shape[2] != embedding.dim:
        raise _Failed(f"vectors have {frames.shape[2]} numbers, but dim says {embedding.dim}; correct dim.")
    if frames.dtype != np.float32:
        raise _Failed(f"frames are {frames.dtype}; return float32.")
    if counts.dtype.kind not in "iu" or (counts < 1).any() or (counts > frames.shape[1]).any():
        raise _Failed(f"counts are {counts.tolist()} for {frames.shape[1]} frames; give whole numbers of "
                      "valid frames, at least 1. If clips are too short for one, raise min_samples.")
    return [row[:count] for row, count in zip(frames, counts, strict=True)]


def _call_finite(embedding: Embedding, waves: list[FloatArray], what: str) -> list[FloatArray]:
    """Compute the valid frames of each clip, which must be finite."""
    vectors = _call(embedding, waves)
    if not all(np.isfinite(v).all() for v in vectors):
        raise _Failed(f"{what} gives NaN or infinite numbers; mind log(0) and division by 0.")
    return vectors


def _mean(embedding: Embedding, wave: FloatArray) -> FloatArray:
    """Compute a clip's vector."""
    return np.asarray(_call(embedding, [wave])[0].mean(0))


def _check_sounds(embedding: Embedding) -> str:
    n = _length(embedding)
    for k, level in enumerate((1.0, 0.1, 1e-4)):
        vectors = _call_finite(embedding, [_voice(k, n, level)], "a voice-like sound")
    return f"loud, ordinary and faint sounds give {len(vectors[0])} x {embedding.dim} finite float32."


def _check_silence(embedding: Embedding) -> str:
    _call_finite(embedding, [np.zeros(_length(embedding), np.float32)], "digital silence")
    return "digital silence gives finite numbers."


def _check_shortest(embedding: Embedding) -> str:
    n = embedding.min_samples
    vectors = _call_finite(embedding, [_voice(0, n), _voice(1, n)], f"the shortest clip, {n} samples,")
    return f"{n} samples ({n / SAMPLE_RATE:.3f} s) give {len(vectors[0])} frame(s)."


def _check_range(embedding: Embedding) -> str:
    n = _length(embedding)
    silence, sound = _mean(embedding, np.zeros(n, np.float32)), _mean(embedding, _voice(0, n))
    apart = np.linalg.norm(sound - silence)
    try:
        far = np.linalg.norm(_mean(embedding, _voice(0, n) * np.float32(32767)) - silence)
    except Exception:  # floats of another scale may be refused
        far = np.float64(0)
    lost = apart < 1e-3 * np.linalg.norm(silence) and far > 100 * apart
    if lost or apart < 1e-6 * far:
        raise _Failed("a sound in [-1, 1] gives almost the vector of silence, one in [-32767, 32767] does "
                      "not: the function seems to expect 16-bit values; multiply by 32767 inside it.")
    return "sounds in [-1, 1] are told from silence."


def _check_twice(embedding: Embedding) -> str:
    wave = _voice(0, _length(embedding, 1.5))
    first, second = _call(embedding, [wave])[0], _call(embedding, [wave])[0]
    if first.tobytes() == second.tobytes():
        return "the same clip gives the same bytes twice."
    apart = float(np.abs(first - second).max()) if first.shape == second.shape else np.inf
    raise _Failed(f"the same clip gives different vectors (by {apart:.2g}); fix the seed, and switch dropout "
                  "and random cropping off.", apart / max(float(np.abs(first).max()), 1e-12))


def _check_batches(embedding: Embedding, clips: int = 5) -> str:
    seconds = ((1.0, 2.3, 1.0, 1.61, 3.0) if embedding.pads_safely else (2.0,) * 5)[:clips]
    waves = [_voice(k, _length(embedding, s)) for k, s in enumerate(seconds)]
    worst = 0.0
    for alone, among in zip([_call(embedding, [w])[0] for w in waves], _call(embedding, waves), strict=True):
        if alone.shape != among.shape:
            raise _Failed(f"a clip has {len(alone)} frames alone and {len(among)} in a batch; count frames by "
                          "lengths.", 1.0)
        worst = max(worst, float(np.abs(alone - among).max() / max(np.abs(alone).max(), 1e-12)))
    kind = "clips of other lengths" if embedding.pads_safely else "clips of its length"
    if worst > TOLERANCE:
        hint = "Something mixes clips; is a normalisation over the batch switched on?"
        if embedding.pads_safely:
            hint = "Look at each clip's true length only, or set pads_safely=False."
        raise _Failed(f"a clip among {kind} differs from the clip alone by {worst:.2g} of its largest "
                      f"number. {hint}", worst)
    return f"a clip among {kind} is the clip alone, to {worst:.1g}."


def _check_difference(embedding: Embedding) -> str:
    n = _length(embedding)
    rng = np.random.default_rng(0)
    waves = [_voice(0, n), _voice(5, n), rng.normal(0, 0.1, n).astype(np.float32)]
    vectors = np.stack([_mean(embedding, wave) for wave in waves])
    spread = np.abs(vectors - vectors.mean(0)).max()
    if not spread > 1e-6 * np.abs(vectors).max():
        raise _Failed("two voices and noise give the same vector; does the function use its input?")
    varying = (vectors.std(0) > 1e-6 * np.abs(vectors).max(0)).mean()
    return f"different sounds give different vectors, in {varying:.0%} of the numbers."


def _check_time(embedding: Embedding) -> str:
    short, long = _length(embedding, 3.0), _length(embedding, 3.0) + 4 * SAMPLE_RATE
    counts = [len(_call(embedding, [_voice(0, n)])[0]) for n in (short, long)]
    more = counts[1] - counts[0]
    if embedding.hop == 0:
        if counts[1] != 1:
            raise _Failed(f"hop is 0, which says one frame a clip, but 7 s give {counts[1]} frames: hop is "
                          f"about {4 / max(1, more):.3g} s.")
        return "one frame a clip."
    if abs(more - 4 / embedding.hop) > 1.5:
        measured = f"about {4 / more:.3g} s" if more > 0 else "no hop, but one frame a clip (hop=0)"
        raise _Failed(f"4 s more give {more} frames more; that is {measured}, not the stated hop of "
                      f"{embedding.hop} s.")
    return f"4 s more give {more} frames more, as a hop of {embedding.hop} s says."
