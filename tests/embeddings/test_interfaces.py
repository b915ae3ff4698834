"""Models of other libraries, which do with company and length what real ones do: a clip comes to what it is alone."""

import contextlib
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
import soxr
from helpers import write_pitches
from typer.testing import CliRunner

from nslib import benchmark, cli, embeddings
from nslib.embeddings.base import check
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.evaluation import benchmark as evaluation_benchmark
from nslib.evaluation.benchmark import specify_embedding
from nslib.evaluation.protocols import run_protocol


def windows(wave):
    """Level and peak of every 25 ms, each 20 ms: [frames, 2]."""
    view = np.lib.stride_tricks.sliding_window_view(np.asarray(wave, np.float32), 400)[::320]
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
    return tensor([windows(wave) for wave in waves])


class Module:
    forward = staticmethod(frames)

    def __init__(self, **attributes):
        self.training, self.hooks, self.weights = True, [], tensor(np.ones(3, np.float32))
        self.__dict__ |= attributes
        self.modules, self.parameters = lambda: [self], lambda: iter([self.weights])

    def named_modules(self):
        return [("", self), ("inner", self)]

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


class Extractor(SimpleNamespace):  # with `n_samples` it fills all clips to one length
    sampling_rate, nan_below = 16_000, 0

    def to_json_string(self):
        return str(vars(self))

    def __call__(self, waves, sampling_rate, return_tensors, return_attention_mask, padding=False):
        size, lengths = getattr(self, "n_samples", 0) or max(map(len, waves)), np.array([[len(w)] for w in waves])
        values = np.stack([np.pad(wave[:size], (0, max(0, size - len(wave)))) for wave in waves])
        values[lengths[:, 0] < self.nan_below] = np.nan
        return {"input_values": tensor(values), "attention_mask": tensor((np.arange(size) < lengths).astype(int))}


def transformer(heard=tensor, odd=True, **config):
    """A model of transformers: hidden states are 1, 2 and 3 times the windows, an even number of them but for `odd`."""

    def forward(input_values, attention_mask=None, output_hidden_states=False):
        model._calls += 1
        made = frames(heard(input_values))
        if not odd and made.shape[1] % 2:
            made[:, -1] = 0
        found = {"last_hidden_state": made, "pooler_output": 5 * made.mean(1)}
        return SimpleNamespace(hidden_states=(made, 2 * made, 3 * made), items=found.items)

    model = Module(forward=forward, main_input_name="input_values", _calls=0, get_encoder=lambda: model,
                   config=SimpleNamespace(_name_or_path="lab/double-base", **config),
                   _get_feat_extract_output_lengths=lambda samples: (samples - 400) // 320 + 1)
    return model


def fbank(wavs, wavs_len):
    """Two frames too many are called valid: copies alone, zeros in company."""
    made = np.zeros((len(wavs), (wavs.shape[1] - 400) // 320 + 3, 2), np.float32)
    for row, wave, n in zip(made, wavs, wavs_len, strict=True):
        own = windows(wave[:n])
        row[:len(own)], row[len(own):] = own, own[-1] if n == len(wave) else 0
    return [tensor(made)], [(tensor(wavs_len) - 400) // 320 + 3]


SPEECHBRAIN = Module(encode_batch=lambda wavs, wav_lens: tensor([
    windows(wave[:round(float(share) * len(wave))]).mean(0, keepdims=True)
    for wave, share in zip(wavs, wav_lens, strict=True)]))
MTEB = SimpleNamespace(max_audio_length_seconds=2.0, get_audio_embeddings=lambda loader, show_progress_bar: np.stack(
    [windows(item["array"][:32_000]).mean(0) for batch in loader for item in batch["audio"]]))
XARES = Module(hop_size_in_ms=20, sampling_rate=16_000, output_dim=2)
LOUDEST = Module(forward=lambda audio: frames(audio / (np.abs(audio).max() + 1e-9)))  # as MFCC go by the maximum
HEAR = types.ModuleType("hear_double")
HEAR.Encoder, HEAR.load_model = Module, lambda: SimpleNamespace(sample_rate=8_000, scene_embedding_size=2)
HEAR.get_scene_embeddings = lambda audio, model: frames(audio).max(1)
HEAR.get_timestamp_embeddings = lambda audio, model: (frames(audio), None)

LENGTHS = np.array([16_000, 17_300, 1_600, 50_321])
ANY, EQUAL, ALONE = "clips share a batch", "of one length share a batch", "go alone"


@pytest.fixture
def torch(monkeypatch):
    torch, data = types.ModuleType("torch"), types.ModuleType("torch.utils.data")
    torch.as_tensor, torch.inference_mode, torch.Tensor = tensor, contextlib.nullcontext, Module  # SciPy asks for it
    data.DataLoader = lambda rows, batch_size, collate_fn: [collate_fn(rows)]
    for module in (torch, data):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def noise(samples):
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


def mean(wave):
    return windows(wave).mean(0)


def cut(of):  # into pieces of one length, 2 s at most
    return lambda wave: of(wave) if len(wave) < 32_000 else (of(wave[:25_161]) + of(wave[25_160:])) / 2


FAMILIES = {
    "layer norm": ((transformer(), Extractor()), {}, mean, ANY, 0.02),
    "group norm": ((transformer(lambda w: w / (w.std(1, keepdims=True) + 1e-9)), Extractor()), {},
                   lambda w: mean(w / w.std()), EQUAL, 0.02),
    "SEW": ((transformer(odd=False), Extractor()), {}, lambda w: windows(w)[:(len(w) - 80) // 640 * 2].mean(0),
            EQUAL, 0.02),
    "AST": ((transformer(patch_size=16), Extractor(n_samples=32_000)), {},
            cut(lambda w: 5 * mean(np.pad(w, (0, 32_000 - len(w))))), ANY, 0.0),
    "Whisper": ((transformer(is_encoder_decoder=True), Extractor(n_samples=32_000)), {}, cut(mean), ANY, 0.02),
    "S3PRL": (Module(forward=fbank, hidden_sizes=[2], downsample_rates=[320]), {}, mean, ANY, 0.02),
    "SpeechBrain": (SPEECHBRAIN, {}, mean, ANY, 0.0), "MTEB": (MTEB, {}, cut(mean), ANY, 0.0),
    "X-ARES": (XARES, {}, mean, EQUAL, 0.02), "class": (Module, {"layer": "inner"}, lambda w: 3 * mean(w), EQUAL, 0.02),
    "torch": (LOUDEST, {}, lambda w: mean(w / np.abs(w).max()), ALONE, 0.02),
    "HEAR scene": (HEAR, {}, lambda w: windows(soxr.resample(w, 16_000, 8_000, "HQ")).max(0), EQUAL, 0.0),
    "HEAR frames": (HEAR, {"key": "timestamps"}, lambda w: mean(soxr.resample(w, 16_000, 8_000, "HQ")), EQUAL, 0.04)}


@pytest.mark.parametrize(("given", "options", "by_hand", "company", "hop"), FAMILIES.values(), ids=FAMILIES)
def test_a_clip_in_company_is_the_clip_alone_to_1e_5(torch, given, options, by_hand, company, hop):
    mine = embeddings.from_model(given, **options)
    assert company in mine.output and (mine.dim, mine.hop, mine.pads_safely) == (2, hop, company != EQUAL), mine
    for rows in [[k] for k in range(4)] if company == EQUAL else [[0, 1, 2, 3]]:
        batch = np.stack([np.pad(noise(n), (0, max(LENGTHS[rows]) - n)) for n in LENGTHS[rows]])
        for n, vectors, count in zip(LENGTHS[rows], *mine.embed(batch, LENGTHS[rows]), strict=True):
            right = by_hand(noise(n))
            np.testing.assert_allclose(vectors[:count].mean(0), right, atol=1e-5 * np.abs(right).max())
    assert check(mine).ok, str(check(mine))


def test_name_and_output_are_told_and_weights_settings_and_layer_are_in_the_revision(torch):
    model, extractor, other = transformer(), Extractor(), transformer()
    other.weights = 2 * other.weights
    mine, same, *others = [embeddings.from_model(pair, layer=layer) for pair, layer in (
        ((model, extractor), 1), ((model, extractor), 1), ((model, extractor), 2), ((other, extractor), 1),
        ((transformer(stride=2), extractor), 1), ((model, Extractor(do_normalize=True)), 1))]
    assert (mine.name, mine.source, mine.parameters) == ("double-base-layer1", "transformers (Module)", 3)
    assert mine.output == "layer 1, mean over frames; clips share a batch" and model.training
    assert mine.revision == same.revision and len({mine.revision, *(one.revision for one in others)}) == 5


@pytest.mark.parametrize(("given", "options", "error", "words"), [
    (transformer(), {}, BadParameter, "without its feature extractor"),
    ((transformer(), Extractor()), {"layer": 3}, UnknownName, "layer of .*Known: 0, 1, 2"),
    ((transformer(), Extractor()), {"key": "pooled"}, UnknownName, "Known: last_hidden_state, pooler_output"),
    ((transformer(), Extractor(nan_below=1_700)), {}, BadParameter, "features of 1600 samples are NaN"),
    (Module(**vars(XARES) | {"output_dim": 3}), {}, BadParameter, "has output_dim 3, and vectors of 2 numbers"),
    (XARES, {"layer": "outer"}, UnknownName, "outer.*Known: inner"), (7, {}, BadParameter, "int has the shape"),
    (XARES, {"foo": 3}, UnknownName, "unknown option of .* 'foo'. Known: citation, key, layer"),
    (HEAR, {"key": "mean"}, UnknownName, "Known: scene, timestamps"), (HEAR, {"layer": 1}, UnknownName, "of HEAR")])
def test_what_is_not_there_is_said_with_what_is(torch, given, options, error, words):
    with pytest.raises(error, match=words):
        embeddings.from_model(given, **options)


def test_rows_of_all_layers_come_of_one_pass(torch, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation_benchmark, "LONG_SECONDS", 0.0)  # the estimate of a long run counts the pass once
    model = transformer()
    layers = embeddings.from_model((model, Extractor()), layer="all")
    with pytest.raises(BadParameter, match="these are 3 embeddings"):
        specify_embedding(layers)
    before = model._calls
    folder = write_pitches(tmp_path / "pitches")
    found = benchmark([*layers, HEAR], folder, probes="LDA_LSQR_AUTO")
    assert {f"double-base-layer{k}" for k in range(3)} | {"hear_double"} <= {*found.table()}
    assert model._calls - before < 14  # one trial of the contract, one of speed, and one pass, not three of each
    assert (found.ledger.set_index("embedding")["computed"] > 0).all()
    assert any("layer 2, mean over frames" in note for note in found.notes)
    asked = run_protocol("k-fold", [*layers, HEAR], folder, folds=3, probes="LDA_LSQR_AUTO", metric="uar,accuracy")
    best = asked.summary().query("embedding != 'hear_double'").groupby("embedding", sort=False)["validation"].first()
    for table in asked.compare(), asked.table("3-fold"):
        assert [name for name in table if "best layer by" in str(table[name].iloc[0])] == [best.idxmax()]
    assert f"pitches: 3-fold: {best.idxmax()}: Validation chooses this layer of 3" in "\n".join(asked.notes)
    np.testing.assert_allclose(layers[2].embed(noise(9_000)[None], np.array([9_000]))[0][0], 3 * windows(noise(9_000)))


def test_keras_models_are_taken_as_they_are_or_up_to_a_layer():
    import keras

    wave = keras.Input((None,))
    kernel = keras.layers.Conv1D(3, 400, 320, name="first")(keras.layers.Reshape((-1, 1))(wave))
    model = keras.Model(wave, keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling1D()(kernel)))
    layers = keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling1D, keras.layers.GlobalMaxPooling1D
    one, same, other = [embeddings.from_model(keras.Model(wave, layer()(kernel))).revision for layer in layers]
    whole, inner = embeddings.from_model(model, "whole"), embeddings.from_model(model, layer="first")
    averaged, framed = (one.embed(noise(16_000)[None], np.array([16_000]))[0] for one in (whole, inner))
    np.testing.assert_allclose(framed.mean(1), averaged[:, 0], rtol=1e-4)
    assert (whole.hop, inner.hop) == (0.0, 0.02) and whole.revision != inner.revision and check(inner).ok
    assert one == same != other


def test_a_shell_names_models_by_library_or_file_with_options(torch, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hear_double", HEAR)
    assert specify_embedding("hear:hear_double?key=timestamps").load().output.startswith("output timestamps")
    (tmp_path / "mine.py").write_text("from hear_double import Encoder\n")
    told = CliRunner().invoke(cli.app, ["check", f"{tmp_path / 'mine.py'}:Encoder?layer=inner"])
    assert told.exit_code == 0 and "Module-inner keeps the contract" in told.output, told.output
    for library in ("transformers", "mteb"):
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(Unavailable, match=rf"python -m pip install torch .*{library}"):
            specify_embedding(f"{library}:lab/model?layer=3")
    with pytest.raises(BadParameter, match="hear:hear_double cannot be loaded: TypeError"):
        specify_embedding("hear:hear_double?weights=here.pt")


TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 37}
CONV = {"conv_dim": (32,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


@pytest.mark.parametrize(("name", "extractor", "config", "company"), [
    ("Wav2Vec2", "Wav2Vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True, **CONV}, ANY),
    ("Wav2Vec2", "Wav2Vec2", CONV, EQUAL), ("Data2VecAudio", "Wav2Vec2", {"conv_dim": (32,) * 7}, EQUAL),
    ("Wav2Vec2Conformer", "Wav2Vec2", {"feat_extract_norm": "layer", **CONV}, EQUAL), ("SEW", "Wav2Vec2", {}, EQUAL),
    ("Wav2Vec2Bert", "SeamlessM4T", {}, ANY), ("AST", "AST", {}, ANY)])
def test_real_models_with_random_weights(name, extractor, config, company):
    library = pytest.importorskip("transformers")
    model = getattr(library, f"{name}Model")(getattr(library, f"{name}Config")(**TINY, **config))
    mine = embeddings.from_model((model, getattr(library, f"{extractor}FeatureExtractor")()))
    assert company in mine.output and check(mine).ok, str(check(mine))
