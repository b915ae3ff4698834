"""How close extraction comes to the bare model, and how far ahead it is of other ways: ratios measured in one run.

Ways to get vectors from the same wav files, taken in turn, several rounds:

product          `nslib.extraction.extract.extract_vectors`, end to end: read files, check hashes, batch, embed, store
bare, S s        the embedding's function alone on batches of S seconds already in memory
clip by clip     read a file, call the embedding's own function on it, take the next
model per clip   the same loop with the whole model as one `tf.function` that takes a clip of any length, called
                 as hub models are
retraced         the same with a `tf.function` that declares no lengths and so is traced anew for each
padded batches   a peer's recipe: 32 files in random order padded to the longest, every patch computed
fixed 5 s        a peer's recipe: every file cut or padded to 5 s, 32 at a time, every patch computed

The slow ways work on some of the clips, so that a round stays short; all are given as seconds of audio a second.
Only networks on patches have the last four ways.

With ``--library torch`` or ``onnx`` the product is held against the loop that one writes for a model of one's own,
files read by soundfile and batches of 60 s, in processor time and on one thread, so that a busy machine hits both
alike. The model is five convolutions of random weights, 0.1 thousand million multiply-adds a second of sound.

Usage: ``python benchmarks/extract.py [--embedding NAME] [--clips N] [--rounds K] [--seconds S] [--library NAME]``
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import Figure, report

import nslib
from nslib import config
from nslib.embeddings import runtime
from nslib.embeddings.base import SAMPLE_RATE, Embedding
from nslib.extraction.cache import VectorCache
from nslib.extraction.devices import DEFAULT_BATCH_SECONDS
from nslib.extraction.extract import MOST_PADDING, UNIT_SECONDS, Clip, Extraction, extract_vectors, group_clips

BATCH_SECONDS = (15.0, 60.0, 240.0)
TAPS = {"trill-mini-top": ("trill-mini", "embedding"), "trill-mini-layer19": ("trill-mini", "layer19")}
PEER_BATCH, FIXED = 32, 5 * SAMPLE_RATE
TARGET_BARE, TARGET_CLIPS, TARGET_PADDING, TARGET_ALONE = 0.9, 5.0, 3.0, 1e-5


def make_clips(folder: Path, count: int, length: float | None = None) -> pd.DataFrame:
    """Clips of one length, or of speech-like lengths (lognormal, 0.6 to 12 s), filled with noise: it costs the same."""
    rng = np.random.default_rng(0)
    rows = []
    for i, seconds in enumerate(np.clip(rng.lognormal(0.7, 0.6, count), 0.6, 12)):
        seconds = length or seconds
        path = nslib.audio.write_wav(folder / f"{i:05d}.wav", rng.normal(0, 0.05, round(seconds * SAMPLE_RATE)))
        wave = nslib.audio.read(path).wave
        rows.append((path.stem, str(path), nslib.audio.sha256(wave), len(wave) / SAMPLE_RATE))
    return pd.DataFrame(rows, columns=["clip_id", "audio", "sha256", "seconds"])


def items(clips: pd.DataFrame) -> list[Clip]:
    """Clips as extraction plans them."""
    return [Clip(c.sha256, c.audio, c.clip_id, round(c.seconds * SAMPLE_RATE)) for c in clips.itertuples()]


def stacked(waves: list[np.ndarray], shortest: int) -> tuple[np.ndarray, np.ndarray]:
    """Waves padded to the longest, with their lengths."""
    lengths = np.array([max(len(w), shortest) for w in waves])
    padded = np.zeros((len(waves), lengths.max()), np.float32)
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = wave
    return padded, lengths


def batches(clips: pd.DataFrame, embedding: Embedding, seconds: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Padded batches in memory, as the model wants them."""
    groups = group_clips(items(clips), same_length=not embedding.pads_safely, seconds=seconds)
    return [stacked([nslib.audio.read(i.path).wave for i in group], embedding.min_samples) for group in groups]


def product(clips: pd.DataFrame, embedding: Embedding) -> Extraction:
    """Extraction into an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        return extract_vectors(clips, embedding, store=VectorCache(embedding, Path(folder)), progress=False)


def one_by_one(clips: pd.DataFrame, embedding: Embedding) -> np.ndarray:
    """Vectors by a plain loop over files."""
    out = []
    for path in clips["audio"]:
        frames, counts = embedding.embed(*stacked([nslib.audio.read(path).wave], embedding.min_samples))
        out.append(frames[0, : counts[0]].mean(0, dtype=np.float64))
    return np.array(out, np.float32)


def model_of(name: str, *, traced_once: bool) -> Callable[[np.ndarray], Any]:
    """Model of a tap as one TensorFlow function of a waveform, with its variables, as it would be published."""
    import tensorflow as tf

    from nslib import frontend
    from nslib.embeddings import networks

    network, tap = TAPS[name]
    model = networks.load_network(network)

    def call(wave: Any) -> Any:
        spectrogram = frontend.log_mel_tf(frontend.pad_tf(wave))
        return model(tf.cast(frontend.patches_tf(spectrogram), tf.float32), training=False)[tap]

    return tf.function(call, input_signature=[tf.TensorSpec([None], tf.float32)] if traced_once else None)


def per_clip(clips: pd.DataFrame, model: Callable[[np.ndarray], Any]) -> None:
    """Read a file, call the model, average, take the next."""
    import tensorflow as tf

    for path in clips["audio"]:
        np.asarray(model(tf.constant(nslib.audio.read(path).wave))).mean(0)


def peer(clips: pd.DataFrame, embedding: Embedding, fixed: int | None) -> None:
    """Batches in the order of the table, here a random one; the padding is embedded and averaged too."""
    paths = list(clips["audio"])
    for start in range(0, len(paths), PEER_BATCH):
        waves = [nslib.audio.read(path).wave[:fixed] for path in paths[start:start + PEER_BATCH]]
        padded, _ = stacked(waves, fixed or embedding.min_samples)
        embedding.embed(padded, np.full(len(padded), padded.shape[1]))[0].mean(1)


def ways_of(embedding: Embedding, clips: pd.DataFrame) -> dict[str, tuple[Callable[[], object], float]]:
    """Each way with the seconds of audio that it goes through."""
    some, few = clips.iloc[::3], clips.iloc[::60]
    whole, part = clips["seconds"].sum(), some["seconds"].sum()
    ways: dict[str, tuple[Callable[[], object], float]] = {"product": (lambda: product(clips, embedding), whole)}
    for size in BATCH_SECONDS:
        ready = batches(clips, embedding, size)
        ways[f"bare, {size:.0f} s"] = (lambda ready=ready: [embedding.embed(*b) for b in ready], whole)  # type: ignore[misc]
    ways["clip by clip"] = (lambda: one_by_one(some, embedding), part)
    if embedding.name in TAPS:
        hub = model_of(embedding.name, traced_once=True)
        ways["model per clip"] = (lambda: per_clip(some, hub), part)
        # a new function each time: a corpus is gone through once, and most lengths are new
        ways["retraced"] = (lambda: per_clip(few, model_of(embedding.name, traced_once=False)), few["seconds"].sum())
        ways["padded batches"] = (lambda: peer(some, embedding, None), part)
        ways["fixed 5 s"] = (lambda: peer(some, embedding, FIXED), part)
    return ways


def measure(embedding: Embedding, clips: pd.DataFrame, rounds: int) -> dict[str, float]:
    """Seconds of audio a second of each way, median over rounds; the ways are taken in turn, so that drift hits all."""
    ways = ways_of(embedding, clips)
    for way, (work, _) in ways.items():
        if way != "retraced":
            work()
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for k in range(rounds):
        for way, (work, seconds) in ways.items():
            if k and way == "retraced":
                continue  # a trace takes half a second
            began = time.perf_counter()
            work()
            taken[way].append(seconds / (time.perf_counter() - began))
    return {way: statistics.median(rates) for way, rates in taken.items()}


def bound(name: str, clips: pd.DataFrame) -> float:
    """How much faster the network alone is in its best calls than on the patches of one clip a call."""
    from nslib.embeddings import networks, runtime
    from nslib.frontend import TRILL

    network, tap = TAPS[name]
    model = networks.load_network(network)
    graph = runtime.freeze_network(lambda patch: model(patch, training=False)[tap], (TRILL.patch, TRILL.mels))
    cuts = [networks.cut_patches(nslib.audio.read(path).wave) for path in clips["audio"][::6]]
    row = np.concatenate(cuts)

    def seconds(pieces: list[np.ndarray]) -> float:
        began = time.perf_counter()
        for piece in pieces:
            graph(piece)
        return time.perf_counter() - began

    alone, best = [], []
    for _ in range(4):
        alone.append(seconds(cuts))
        best.append(min(seconds([row[i:i + size] for i in range(0, len(row), size)]) for size in (64, 128, 256)))
    return statistics.median(alone[1:]) / statistics.median(best[1:])


def padding() -> tuple[float, int]:
    """Share of padding in the batches of the quick corpora that have recordings, and how many clips these have.

    For an embedding that looks at padding, at the default size of a batch.
    """
    real = fed = clips = 0
    for path in sorted((config.data_dir() / "manifests").glob("*.csv")):
        table = pd.read_csv(path, usecols=["sha256", "seconds"]).drop_duplicates("sha256")
        listed = [Clip(k, "", "", round(s * SAMPLE_RATE)) for k, s in table.itertuples(index=False)]
        for unit in group_clips(listed, same_length=False, seconds=UNIT_SECONDS):
            for batch in group_clips(unit, same_length=False, seconds=DEFAULT_BATCH_SECONDS,
                                     padding=MOST_PADDING):
                real += sum(i.samples for i in batch)
                fed += len(batch) * max(i.samples for i in batch)
        clips += len(listed)
    return 1 - real / fed, clips


def figures(embedding: Embedding, clips: pd.DataFrame, rates: dict[str, float]) -> list[Figure]:
    """What the targets are about."""
    best = max(rate for way, rate in rates.items() if way.startswith("bare"))
    name = embedding.name
    out = [Figure(f"{name}: product over the bare model at its best", rates["product"] / best, at_least=TARGET_BARE)]
    for way in ("clip by clip", "model per clip", "retraced"):
        if way in rates:
            out.append(Figure(f"{name}: product over {way}", rates["product"] / rates[way], at_least=TARGET_CLIPS))
    if name in TAPS:
        out.append(Figure(f"{name}: network alone, best calls over one call a clip", bound(name, clips),
                          note="what batching can gain at most, front end and files aside"))
        out += [Figure(f"{name}: product over {way}", rates["product"] / rates[way], note="a peer's recipe")
                for way in ("padded batches", "fixed 5 s")]
    return out


def compared(embedding: Embedding, clips: pd.DataFrame) -> Figure:
    """Vectors of an extraction against those of clips alone; its ledger is printed."""
    whole = product(clips, embedding)
    apart = np.abs(one_by_one(clips.iloc[::3], embedding) - whole.vectors[::3]).max(1)
    ledger, looked_at = whole.cost, "not looked at" if runtime.is_ragged(embedding.embed) else "computed"
    print(f"  ledger: device busy {ledger['device_busy']:.0%}, waiting for decoders {ledger['decode_wait']:.0%}, "
          f"padding {ledger['padding']:.1%} ({looked_at} within batches), batches of {ledger['batch_seconds']:g} s, "
          f"on {ledger['devices']}")
    return Figure(f"{embedding.name}: largest difference of a vector alone and in company", float(apart.max()),
                  at_most=TARGET_ALONE, note=f"the same bytes: {int((apart == 0).sum())} of {len(apart)}")


def show(embedding: Embedding, clips: pd.DataFrame, rounds: int) -> None:
    """Print everything about an embedding."""
    rates = measure(embedding, clips, rounds)
    mean = clips["seconds"].mean()
    print(f"\n{embedding.name}")
    for way, rate in rates.items():
        times = rates["product"] / rate
        print(f"  {way:16} {rate / mean:8.1f} clips/s {rate:8.0f} x real time   product is {times:6.2f} x")
    report([*figures(embedding, clips, rates), compared(embedding, clips)])


# channels in and out, width and stride of each convolution
LAYERS = ((1, 64, 400, 160), (64, 256, 5, 2), (256, 512, 5, 2), (512, 512, 5, 1), (512, 512, 3, 1))


def torch_model(folder: Path) -> tuple[Embedding, Callable[[np.ndarray], np.ndarray]]:
    """Make the convolutions as a torch module: as an embedding, and as one calls it, [clips, samples] to frames."""
    import torch

    torch.set_num_threads(1)
    steps = [part for a, b, width, stride in LAYERS for part in (torch.nn.Conv1d(a, b, width, stride), torch.nn.ReLU())]

    class Network(torch.nn.Module):
        sampling_rate = SAMPLE_RATE

        def __init__(self) -> None:
            super().__init__()
            self.steps = torch.nn.Sequential(*steps)

        def forward(self, waves: Any, lengths: Any) -> Any:
            for _, _, width, stride in LAYERS:
                lengths = (lengths - width) // stride + 1
            return self.steps(waves[:, None]).transpose(1, 2), lengths

    model = Network().eval()

    def bare(waves: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            lengths = torch.full([len(waves)], waves.shape[1])
            return np.asarray(model(torch.as_tensor(waves), lengths)[0].numpy())

    return nslib.embeddings.from_model(model, "torch", min_samples=8_000), bare


def onnx_model(folder: Path) -> tuple[Embedding, Callable[[np.ndarray], np.ndarray]]:
    """Make the convolutions as an ONNX file: as an embedding, and as one calls it, [clips, samples] to frames."""
    import onnxruntime

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import onnx_writer as onnx

    rng, nodes, constants = np.random.default_rng(0), [onnx.node("Unsqueeze", ["x", "axis"], "h0")], []
    constants.append(onnx.tensor("axis", np.array([1], np.int64)))
    for k, (a, b, width, stride) in enumerate(LAYERS):
        weights = rng.normal(0, (2 / (a * width)) ** 0.5, (b, a, width)).astype(np.float32)
        constants.append(onnx.tensor(f"w{k}", weights))
        nodes += [onnx.node("Conv", [f"h{k}", f"w{k}"], f"c{k}", kernel_shape=[width], strides=[stride]),
                  onnx.node("Relu", [f"c{k}"], f"h{k + 1}")]
    nodes.append(onnx.node("Transpose", [f"h{len(LAYERS)}"], "y", perm=[0, 2, 1]))
    path = folder / "model.onnx"
    path.write_bytes(onnx.model(nodes, constants, [onnx.value("x", onnx.FLOAT, ["clips", "samples"])],
                                [onnx.value("y", onnx.FLOAT, ["clips", "frames", LAYERS[-1][1]])]))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return nslib.embeddings.from_file(path, min_samples=8_000), lambda waves: session.run(None, {"x": waves})[0]


def compare_library(library: str, folder: Path, count: int, rounds: int) -> Figure:
    """Hold the product against a loop of one's own, in processor time, in turns; clips have one length."""
    import soundfile

    os.environ["NSLIB_THREADS"] = "1"
    embedding, bare = {"torch": torch_model, "onnx": onnx_model}[library](folder)
    clips = make_clips(folder, count, 3.0)

    def loop() -> np.ndarray:
        rows = []
        for start in range(0, len(clips), 20):
            waves = np.stack([soundfile.read(path, dtype="float32")[0] for path in clips["audio"][start:start + 20]])
            rows.append(bare(waves).mean(1))
        return np.concatenate(rows)

    apart = np.abs(loop() - product(clips, embedding).vectors).max()
    assert apart < 1e-4, apart
    ratios = []
    for _ in range(rounds):
        times = [time.process_time()]
        for work in (loop, lambda: product(clips, embedding)):
            work()
            times.append(time.process_time())
        ratios.append((times[1] - times[0]) / (times[2] - times[1]))
    return Figure(f"{library}: product over a loop of one's own", statistics.median(ratios), at_least=TARGET_BARE)


def main() -> None:
    """Print a table for each embedding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedding", action="append", help="default: trill-mini-top and trill-mini-layer19")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="length of every clip (default: speech-like lengths)")
    parser.add_argument("--library", action="append", choices=["torch", "onnx"], help="a model of one's own instead")
    given = parser.parse_args()
    for library in given.library or ():
        with tempfile.TemporaryDirectory() as folder:
            report([compare_library(library, Path(folder), given.clips, given.rounds)])
    if given.library:
        return
    share, count = padding()
    report([Figure("padding in batches of the quick corpora", 100 * share, "%", at_most=TARGET_PADDING,
                   note=f"{count} recordings")])
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), given.clips, given.seconds)
        print(f"{len(clips)} wav files, {clips['seconds'].sum():.0f} s of audio, median of {given.rounds} rounds")
        for name in given.embedding or list(TAPS):
            show(nslib.embeddings.get(name), clips, given.rounds)


if __name__ == "__main__":
    main()
