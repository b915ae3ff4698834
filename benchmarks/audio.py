"""Whether decoding and resampling keep ahead of the model: both as times real time, on one core, in one run.

Every way is `nslib.audio.read` on files of ten seconds: decode, mix, resample to 16 kHz by soxr HQ, and look at the
samples. Beside it stands the hash that tells whether a clip is the one that was listed. The model is the fastest
network of the kit on all cores, bare. Wanted of each format: at least twice the model's speed, so that one decoder
ahead of the model is enough.

Usage: ``python benchmarks/audio.py [--files N] [--rounds K]``
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from common import Figure, in_turn, report

import nslib
from nslib.embeddings.base import SAMPLE_RATE

SECONDS = 10
MODEL = "trill-mini-top"
FORMATS = (("wav", "PCM_16", 16_000), ("wav", "PCM_16", 8_000), ("wav", "PCM_16", 22_050), ("wav", "PCM_16", 44_100),
           ("wav", "PCM_16", 48_000), ("flac", "PCM_16", 16_000), ("flac", "PCM_16", 44_100), ("ogg", "VORBIS", 44_100),
           ("mp3", "MPEG_LAYER_III", 44_100), ("gsm", "GSM610", 8_000))


def speech_like(rate: int, seed: int) -> np.ndarray:
    """Noise that falls by 6 dB an octave and comes in syllables."""
    steps = np.random.default_rng(seed).normal(size=rate * SECONDS)
    noise = np.convolve(steps, 0.9 ** np.arange(60), mode="same")
    syllables = np.clip(np.sin(2 * np.pi * 3 * np.arange(len(noise)) / rate) + 0.5, 0, 1)
    return 0.03 * noise * syllables


def written(folder: Path, kind: str, subtype: str, rate: int, files: int) -> list[Path]:
    """Files of one format."""
    out = []
    for seed in range(files):
        path = folder / f"{kind}-{rate}-{seed}.{'wav' if kind == 'gsm' else kind}"
        soundfile.write(path, speech_like(rate, seed), rate, subtype=subtype)
        out.append(path)
    return out


def g722(folder: Path, files: int) -> list[Path]:
    """Files of G.722, as telephone exchanges keep their prompts."""
    import av

    out = []
    for seed in range(files):
        path = folder / f"{seed}.g722"
        pcm = np.rint(speech_like(SAMPLE_RATE, seed) * 32767).astype(np.int16)[None]
        with av.open(str(path), "w", format="g722") as container:
            stream = container.add_stream("g722", rate=SAMPLE_RATE, layout="mono")
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        out.append(path)
    return out


def reading(paths: list[Path]) -> Callable[[], object]:
    """Read files one after the other."""
    return lambda: [nslib.audio.read(path) for path in paths]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    audio = SECONDS * given.files
    embedding = nslib.embeddings.get(MODEL)
    clips = np.stack([speech_like(SAMPLE_RATE, seed) for seed in range(3)]).astype(np.float32)
    lengths = np.full(len(clips), clips.shape[1])
    embedding.embed(clips, lengths)
    with tempfile.TemporaryDirectory() as name:
        ways = {f"{kind} {rate / 1000:g} kHz": reading(written(Path(name), kind, subtype, rate, given.files))
                for kind, subtype, rate in FORMATS}
        ways["g722 16 kHz"] = reading(g722(Path(name), given.files))
        waves = [speech_like(SAMPLE_RATE, seed).astype(np.float32) for seed in range(given.files)]
        ways["hash"] = lambda: [nslib.audio.sha256(wave) for wave in waves]
        ways["model"] = lambda: embedding.embed(clips, lengths)
        for read in ways.values():
            read()
        taken = in_turn(ways, given.rounds)
    model = clips.size / SAMPLE_RATE / taken.pop("model")
    report([Figure(f"{MODEL}, bare", model, "x real time")])
    report([Figure(f"read {way} / model" if way != "hash" else "hash / model", audio / seconds / model, at_least=2.0,
                   note=f"{audio / seconds:,.0f} x real time") for way, seconds in taken.items()])


if __name__ == "__main__":
    main()
