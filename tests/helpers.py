"""Small embeddings and clip tables that the tests make themselves."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import soundfile

from nslib import audio
from nslib.embeddings.base import Embedding, EmbedFunction
from nslib.extraction.cache import VectorCache


def tone(seconds: float, hertz: float = 440.0, seed: int = 0) -> np.ndarray:
    """A tone in noise, float32 at 16 kHz."""
    t = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(seed).normal(0, 0.01, len(t))
    return (0.5 * np.sin(2 * np.pi * hertz * t) + noise).astype(np.float32)


def noise(path: Path, seed: int = 0, seconds: float = 0.2, rate: int = 16_000, channels: int = 1) -> Path:
    """Write a recording of noise, each seed another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (int(rate * seconds), channels) if channels > 1 else int(rate * seconds)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.3, 0.3, shape), rate)
    return path


def clip_table(folder: Path, seconds: list[float], **columns: list[str]) -> pd.DataFrame:
    """Write one tone a length into `folder` and list them as clips."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [audio.write_wav(folder / f"clip{i:03d}.wav", tone(s, 200 + 50 * i, i)) for i, s in enumerate(seconds)]
    rows = {"clip_id": [p.stem for p in paths], "audio": map(str, paths),
            "sha256": [audio.sha256(audio.read(p).wave) for p in paths], "seconds": seconds}
    about = {"sample_rate": 16000, "label": "a", "speaker": "s", "split": "", "source": "test"}
    return pd.DataFrame(rows).assign(**about | columns)


def frame_energy(waves: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and mean square of every whole 100 ms frame: an embedding simple enough to check by hand."""
    n = waves.shape[1] // 1600
    cut = waves[:, : n * 1600].reshape(len(waves), n, 1600)
    return np.stack([cut.mean(2), (cut**2).mean(2)], 2), lengths // 1600


def hear(model: Embedding, wave: np.ndarray) -> np.ndarray:
    """The frames of one clip, alone."""
    frames, counts = model.embed(wave[None], np.array([len(wave)]))
    return frames[0, : counts[0]]


def check_company(embed: EmbedFunction, lengths: list[int], tolerance: float = 0.0) -> None:
    """Check that a clip has the frames that it has alone in a batch too, with other clips and noise behind it."""
    waves = np.random.default_rng(5).normal(0, 0.1, (len(lengths), max(lengths) + 50)).astype(np.float32)
    waves[1::2] *= 0.01  # MFCC of some libraries follow the loudest clip
    together, counts = embed(waves, np.array(lengths))
    for wave, length, row, count in zip(waves, lengths, together, counts, strict=True):
        alone, (n,) = embed(wave[None, :length], np.array([length]))
        assert n == count and np.abs(alone[0, :n] - row[:n]).max() <= tolerance


def read_shards(store: VectorCache) -> dict[str, bytes]:
    """Read the files of a vector cache by name."""
    return {path.name: path.read_bytes() for path in store.path.glob("*.arrow")}


def embedding(**changes: object) -> Embedding:
    """`frame_energy` as an embedding; `changes` replace its fields."""
    facts = {"name": "energy", "revision": "test-1", "dim": 2, "embed": frame_energy, "window": 0.1, "hop": 0.1,
             "min_samples": 1600, "pads_safely": True}
    return Embedding(**{**facts, **changes})  # type: ignore[arg-type]


def save_notebook(folder: Path, node: nbformat.NotebookNode, name: str = "one.ipynb") -> Path:
    """Write a notebook and give its path."""
    nbformat.write(node, folder / name)
    return folder / name


def change_cell(at: int, **fields: object) -> Callable[[nbformat.NotebookNode], None]:
    """Make a function that changes a cell of a notebook."""
    return lambda node: node.cells[at].update(fields)


def write_pitches(home: Path, takes: int = 3) -> Path:
    """Write two classes of tones from six speakers, ``label/speaker/take.wav``; any embedding tells them apart."""
    for label, hertz in (("low", 200), ("high", 2000)):
        for speaker in range(6):
            folder = home / label / f"s{speaker}"
            folder.mkdir(parents=True)
            for take in range(takes):
                wave = tone(0.6 + 0.1 * take, hertz * (1 + 0.02 * speaker), seed=10 * speaker + take)
                audio.write_wav(folder / f"{take}.wav", wave)
    return home
