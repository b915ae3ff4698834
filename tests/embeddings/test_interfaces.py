"""Models of other libraries: each clip comes to what it is alone, whatever the library does with company and length."""

import sys

import numpy as np
import pytest
import soxr
import torch_double as double
from helpers import write_pitches
from torch_double import Extractor, transformer, windows
from typer.testing import CliRunner

from nslib import benchmark, cli, embeddings
from nslib.embeddings.base import check
from nslib.errors import BadParameter, Unavailable, UnknownName
from nslib.evaluation.benchmark import specify_embedding

LENGTHS = np.array([16_000, 17_300, 1_600, 50_321])
ANY, EQUAL, ALONE = "clips share a batch", "of one length share a batch", "go alone"


@pytest.fixture
def torch(monkeypatch):
    double.install(monkeypatch)


def noise(samples):
    return np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)


def mean(wave):
    return windows(wave).mean(0)


def cut(of, most=32_000):
    """The mean over as few pieces as do, of one length."""

    def compute(wave):
        count = -(-len(wave) // most)
        size = -(-len(wave) // count)
        return np.mean([of(wave[round(k * (len(wave) - size) / max(1, count - 1)):][:size]) for k in range(count)], 0)

    return compute


def resampled(of):
    return lambda wave: of(windows(soxr.resample(wave, 16_000, 8_000, "HQ")), 0)


FAMILIES = {
    "layer norm": ((transformer(), Extractor()), {}, mean, ANY, 0.02),
    "hidden state": ((transformer(), Extractor()), {"layer": 1}, lambda w: 2 * mean(w), ANY, 0.02),
    "group norm": ((transformer(lambda w: w / (w.std(1, keepdims=True) + 1e-9)), Extractor()), {},
                   lambda w: mean(w / w.std()), EQUAL, 0.02),
    "SEW": ((transformer(odd=False), Extractor()), {}, lambda w: windows(w)[: len(windows(w)) // 2 * 2].mean(0), EQUAL,
            0.02),
    "AST": ((transformer(patch_size=16), Extractor(n_samples=32_000)), {},
            cut(lambda w: 5 * mean(np.pad(w, (0, 32_000 - len(w))))), ANY, 0.0),
    "Whisper": ((transformer(is_encoder_decoder=True), Extractor(n_samples=32_000)), {}, cut(mean), ANY, 0.02),
    "S3PRL": (double.S3PRL, {}, mean, ANY, 0.02), "SpeechBrain": (double.SPEECHBRAIN, {}, mean, ANY, 0.0),
    "MTEB": (double.MTEB, {}, cut(mean), ANY, 0.0), "X-ARES": (double.XARES, {}, mean, EQUAL, 0.02),
    "a class": (double.Module, {"layer": "inner"}, lambda w: 3 * mean(w), EQUAL, 0.02),
    "torch": (double.LOUDEST, {}, lambda w: mean(w / np.abs(w).max()), ALONE, 0.02),
    "HEAR scene": (double.HEAR, {}, resampled(np.max), EQUAL, 0.0),
    "HEAR timestamps": (double.HEAR, {"key": "timestamps"}, resampled(np.mean), EQUAL, 0.04)}


@pytest.mark.parametrize(("given", "options", "by_hand", "company", "hop"), FAMILIES.values(), ids=FAMILIES)
def test_a_clip_in_company_is_the_clip_alone_to_1e_5(torch, given, options, by_hand, company, hop):
    mine = embeddings.from_model(given, **options)
    assert company in mine.output and (mine.dim, mine.hop, mine.pads_safely) == (2, hop, company != EQUAL), mine
    for rows in [[k] for k in range(4)] if company == EQUAL else [[0, 1, 2, 3]]:
        batch = np.stack([np.pad(noise(n), (0, max(LENGTHS[rows]) - n)) for n in LENGTHS[rows]])
        for n, vectors, count in zip(LENGTHS[rows], *mine.embed(batch, LENGTHS[rows]), strict=True):
            right = by_hand(noise(n))
            np.testing.assert_allclose(vectors[:count].mean(0), right, atol=1e-5 * np.abs(right).max())
    report = check(mine)
    assert report.ok, str(report)


def test_name_and_output_are_told_and_weights_settings_and_layer_are_in_the_revision(torch):
    model, extractor = transformer(), Extractor()
    mine = embeddings.from_model((model, extractor), layer=1)
    assert (mine.name, mine.source, mine.parameters) == ("double-base-layer1", "transformers (Module)", 3)
    assert mine.output == "layer 1, mean over frames; clips share a batch"
    heavy = transformer()
    heavy.weights = 2 * heavy.weights
    same, *others = [embeddings.from_model(given, layer=layer).revision for given, layer in (
        ((transformer(), extractor), 1), ((model, extractor), 2), ((heavy, extractor), 1), ((model, Extractor(a=1)), 1),
        ((transformer(stride=2), extractor), 1))]
    assert mine.revision == same and len({same, *others}) == 5
    assert model.training  # it is left as it was


@pytest.mark.parametrize(("given", "options", "error", "words"), [
    (transformer(), {}, BadParameter, "without its feature extractor"),
    ((transformer(), Extractor()), {"layer": 3}, UnknownName, "layer of .*Known: 0, 1, 2"),
    ((transformer(), Extractor()), {"key": "pooled"}, UnknownName, "Known: last_hidden_state, pooler_output"),
    ((transformer(), Extractor(nan_below=1_700)), {}, BadParameter, "features of 1600 samples are NaN"),
    (double.XARES, {"layer": "outer"}, UnknownName, "outer.*Known: inner"),
    (double.HEAR, {"key": "sentence"}, UnknownName, "Known: scene, timestamps"),
    (double.HEAR, {"layer": 1}, UnknownName, "layer of HEAR"), (7, {}, BadParameter, "int has the shape")])
def test_what_is_not_there_is_said_with_what_is(torch, given, options, error, words):
    with pytest.raises(error, match=words):
        embeddings.from_model(given, **options)


def test_rows_of_all_layers_come_of_one_pass(torch, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("SMOKE", "1")
    model, extractor = transformer(), Extractor()
    layers = embeddings.from_model((model, extractor), layer="all")
    before = model.calls
    found = benchmark([*layers, double.HEAR], write_pitches(tmp_path / "pitches"), progress=False)
    assert {f"double-base-layer{k}" for k in range(3)} | {"hear_double"} <= {*found.table()}
    assert model.calls - before < 12  # one trial of the contract and one pass, not three
    assert any("layer 2, mean over frames" in note for note in found.notes)
    given = noise(20_000)[None], np.array([20_000])
    alone = embeddings.from_model((model, extractor), layer=2)
    np.testing.assert_array_equal(layers[2].embed(*given)[0], alone.embed(*given)[0])


def test_keras_models_are_taken_as_they_are_or_up_to_a_layer():
    import keras

    wave = keras.Input((None,))
    kernel = keras.layers.Conv1D(3, 400, 320, name="first")(keras.layers.Reshape((-1, 1))(wave))
    model = keras.Model(wave, keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling1D()(kernel)))
    whole, inner = embeddings.from_model(model, "whole"), embeddings.from_model(model, layer="first")
    given = noise(16_000)[None], np.array([16_000])
    np.testing.assert_allclose(inner.embed(*given)[0].mean(1), whole.embed(*given)[0][:, 0], rtol=1e-4)
    assert (whole.hop, inner.hop) == (0.0, 0.02) and whole.revision != inner.revision and check(inner).ok
    with pytest.raises(UnknownName, match=r"Known: .*first"):
        embeddings.from_model(model, layer="second")


def test_a_shell_names_models_by_library_or_file_with_options(torch, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hear_double", double.HEAR)
    assert specify_embedding("hear:hear_double?key=timestamps").load().output.startswith("output timestamps")
    (tmp_path / "mine.py").write_text("from torch_double import Module as Encoder\n")
    told = CliRunner().invoke(cli.app, ["check", f"{tmp_path / 'mine.py'}:Encoder?layer=inner"])
    assert told.exit_code == 0 and "Module-inner keeps the contract" in told.output, told.output
    for library, module in {"s3prl": "s3prl.nn", "speechbrain": "speechbrain.inference", "transformers": "transformers",
                            "mteb": "mteb"}.items():
        monkeypatch.setitem(sys.modules, module, None)
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
