"""What the kit uses of PyTorch, in NumPy, and models of other libraries' shapes whose vectors can be told by hand.

Each does with company and length what real ones were seen to do (transformers 5.24, the fork of S3PRL 2026.5, X-ARES
0.1.3, SpeechBrain 1.1.2, MTEB 2.26); `windows` of a clip alone is what it must come to.
"""

import contextlib
import sys
import types
from types import SimpleNamespace

import numpy as np

SIZE, STEP = 400, 320


def windows(wave):
    """Level and peak of every 25 ms, each 20 ms: [frames, 2]."""
    view = np.lib.stride_tricks.sliding_window_view(np.asarray(wave, np.float32), SIZE)[::STEP]
    return np.stack([view.std(1), np.abs(view).max(1)], 1)


class Tensor(np.ndarray):
    device = "here"
    detach = cpu = float = numpy = lambda self: self

    def to(self, other):
        return self.astype(other.dtype).view(Tensor) if isinstance(other, np.ndarray) else self

    def is_floating_point(self):
        return self.dtype.kind == "f"


def tensor(array):
    return np.asarray(array).view(Tensor)


def frames(waves):
    return tensor(np.stack([windows(wave) for wave in waves]))


class Module:
    """A module of a function with one part inside, in training until it is told otherwise."""

    forward = staticmethod(frames)

    def __init__(self, **attributes):
        self.training, self.hooks, self.weights = True, [], tensor(np.ones(3, np.float32))
        self.__dict__ |= attributes

    def modules(self):
        return [self]

    def named_modules(self):
        return [("", self), ("inner", self)]

    def parameters(self):
        return iter([self.weights])

    def state_dict(self):
        return {"weights": self.weights}

    def register_forward_hook(self, hook):
        self.hooks.append(hook)
        return SimpleNamespace(remove=self.hooks.clear)

    def __call__(self, *args, **kwargs):
        assert not self.training, "dropout"
        made = self.forward(*args, **kwargs)
        for hook in self.hooks:
            hook(self, args, 3 * made)
        return made

    def __repr__(self):
        return "Module"


class Extractor:
    """Samples with zeros after short clips, and their mask; `n_samples`: cut and filled to one length."""

    sampling_rate = 16_000

    def __init__(self, **limits):
        self.__dict__ |= limits

    def to_json_string(self):
        return str(vars(self))

    def __call__(self, waves, sampling_rate, return_tensors, return_attention_mask, padding=False):
        size = vars(self).get("n_samples") or max(map(len, waves))
        values = np.stack([np.pad(wave[:size], (0, max(0, size - len(wave)))) for wave in waves])
        values[[len(wave) < vars(self).get("nan_below", 0) for wave in waves]] = np.nan
        mask = np.arange(size) < np.array([[len(wave)] for wave in waves])
        return {"input_values": tensor(values), "attention_mask": tensor(mask.astype(int))}


def transformer(heard=tensor, odd=True, **config):
    """A model of transformers: hidden states are 1, 2 and 3 times the windows, an even number of them but for `odd`."""

    def forward(input_values, attention_mask=None, output_hidden_states=False):
        model.calls += 1
        made = frames(heard(input_values))
        if not odd and made.shape[1] % 2:
            made[:, -1] = 0
        found = {"last_hidden_state": made, "pooler_output": 5 * made.mean(1)}
        return SimpleNamespace(hidden_states=(made, 2 * made, 3 * made), items=found.items)

    model = Module(forward=forward, main_input_name="input_values", calls=0, get_encoder=lambda: model,
                   config=SimpleNamespace(_name_or_path="lab/double-base", **config),
                   _get_feat_extract_output_lengths=lambda samples: (samples - SIZE) // STEP + 1)
    return model


def fbank(wavs, wavs_len):
    """Two frames too many are called valid: copies alone, zeros in company."""
    rows = [np.pad(windows(w[:n]), ((0, 2), (0, 0)), "edge" if n == wavs.shape[1] else "constant")
            for w, n in zip(wavs, wavs_len, strict=True)]
    size = max(map(len, rows))
    return ([tensor([np.pad(row, ((0, size - len(row)), (0, 0))) for row in rows])],
            [(tensor(wavs_len) - SIZE) // STEP + 3])


def encode_batch(wavs, wav_lens=None, normalize=False):
    """One vector of a clip, by its share of the longest."""
    counts = np.rint(np.asarray(wav_lens, float) * wavs.shape[1]).astype(int)
    return tensor([windows(wave[:n]).mean(0, keepdims=True) for wave, n in zip(wavs, counts, strict=True)])


def get_audio_embeddings(inputs, show_progress_bar=True):
    """Of what is in a loader, cut off at 2 s."""
    return np.stack([windows(item["array"][:32_000]).mean(0) for batch in inputs for item in batch["audio"]])


S3PRL = Module(forward=fbank, hidden_sizes=[2], downsample_rates=[STEP])
SPEECHBRAIN = Module(encode_batch=encode_batch)
MTEB = SimpleNamespace(get_audio_embeddings=get_audio_embeddings, max_audio_length_seconds=2.0)
XARES = Module(hop_size_in_ms=20, sampling_rate=16_000, output_dim=2)
LOUDEST = Module(forward=lambda audio: frames(audio / (np.abs(audio).max() + 1e-9)))  # as MFCC go by the maximum
HEAR = types.ModuleType("hear_double")
HEAR.load_model = lambda: SimpleNamespace(sample_rate=8_000, scene_embedding_size=2)
HEAR.get_scene_embeddings = lambda audio, model: frames(audio).max(1)
HEAR.get_timestamp_embeddings = lambda audio, model: (frames(audio), None)


def install(monkeypatch):
    """Stand in for torch."""
    torch, data = types.ModuleType("torch"), types.ModuleType("torch.utils.data")
    torch.as_tensor, torch.inference_mode, torch.Tensor = tensor, contextlib.nullcontext, Module  # SciPy asks for it
    data.DataLoader = lambda rows, batch_size, collate_fn: [collate_fn(rows)]
    for module in (torch, data):
        monkeypatch.setitem(sys.modules, module.__name__, module)
