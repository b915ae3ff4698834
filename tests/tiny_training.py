"""Networks that are traced in a second, and audio that they can learn from in a few steps."""

import keras
import numpy as np
import pytest

from nslib.embeddings import networks
from nslib.frontend import HOP
from nslib.training.data import AudioBank, compute_frames, round_to_int16


def triplet_network(name: str, seed: int = 0):
    """A network with the taps of TRILL's; takes the place of `networks.build_network`."""
    given, kernel = keras.Input((96, 64)), keras.initializers.GlorotUniform(seed)
    x = keras.layers.AveragePooling1D(4)(keras.layers.Rescaling(0.4, 1.6)(given))
    x = keras.layers.Conv1D(16, 3, 2, kernel_initializer=kernel)(x)
    tap = keras.layers.Flatten()(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.7)(x))
    x = keras.layers.Dense(8, kernel_initializer=kernel)(keras.layers.GlobalAveragePooling1D()(x))
    return keras.Model(given, {"embedding": keras.layers.UnitNormalization()(x), "layer19": tap}, name=name)


def student(name: str, seed: int = 0):
    """A student of 12 dimensions; takes the place of `distill.build_student`."""
    given, kernel = keras.Input((96, 64)), keras.initializers.GlorotUniform(seed)
    x = keras.layers.AveragePooling1D(8)(keras.layers.Rescaling(0.4, 1.6)(given))
    x = keras.layers.BatchNormalization(momentum=0.7)(keras.layers.Flatten()(x))
    return keras.Model(given, {"embedding": keras.layers.Dense(12, kernel_initializer=kernel)(x)}, name=name)


def teacher_network(seed: int = 0):
    """A network whose layer19 has 8 x 6 dimensions."""
    given, kernel = keras.Input((96, 64)), keras.initializers.GlorotUniform(seed)
    x = keras.layers.Conv1D(6, 12, 12, kernel_initializer=kernel)(keras.layers.Rescaling(0.4, 1.6)(given))
    return keras.Model(given, {"layer19": keras.layers.Flatten()(x), "embedding": keras.layers.GlobalMaxPooling1D()(x)},
                       name="little")


def make_bank(wave: np.ndarray, lengths: list[int], sources: tuple[str, ...] = ()) -> AudioBank:
    """A bank of pieces that lie after each other in a wave, and in the bank from whole frame to whole frame."""
    sizes = np.array(lengths, np.int64)
    parts = np.split(round_to_int16(wave), np.cumsum(sizes)[:-1])
    samples = np.concatenate([np.pad(part, (0, -len(part) % HOP)) for part in parts])
    room = -(-sizes // HOP) * HOP
    frames = np.concatenate([*compute_frames(samples), np.empty((0, 64), np.float16)])
    return AudioBank(samples, frames, np.cumsum(room) - room, sizes, tuple(map(str, range(len(sizes)))), sources)


def tones(pieces: int, seed: int, level: float = 0.02, noise: float = 0.1) -> AudioBank:
    """Pieces of one pitch each, in noise: windows of a piece are alike, pieces are not."""
    rng, length = np.random.default_rng(seed), 24_000
    t = np.arange(length) / 16_000
    waves = [level * np.sin(2 * np.pi * f * t) + rng.normal(0, noise, length) for f in rng.uniform(150, 4000, pieces)]
    return make_bank(np.concatenate(waves), [length] * pieces)


def interrupt_run(train, folder, looks: int = 3) -> int:
    """Kill a run at a look; return the step from which it would go on."""
    written, write = [], networks.write_arrays

    def die(*given):
        write(*given)
        written.append(given[0])
        if len(written) == looks:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(networks, "write_arrays", die)
        train(folder)
    return networks.read_arrays(folder / "state.npz")[1]["step"]
