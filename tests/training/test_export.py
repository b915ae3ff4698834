"""Networks as files that need nothing of the kit: against the in-memory network, through the kit's own adapters."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from ai_edge_litert.interpreter import Interpreter
from helpers import hear, tone
from tiny_training import triplet_network

from nslib import embeddings, frontend
from nslib.embeddings.networks import ResNetShape, build_resnet, hash_weights, make_embedding
from nslib.errors import BadParameter, UnknownName
from nslib.training import export

SECONDS = (0.3, 1.37, 7.0)
TAPS = ("embedding", "layer19")


def frames_of(model):
    """The in-memory frames of one clip, by tap."""
    inside = {tap: make_embedding(model, tap, tap) for tap in TAPS}
    return lambda wave, tap: hear(inside[tap], wave)


@pytest.fixture(scope="module")
def tiny():
    return triplet_network("tiny", 3)


@pytest.fixture(scope="module")
def memory(tiny):
    return frames_of(tiny)


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    return export.export_saved_model(tiny, tmp_path_factory.mktemp("exported") / "tiny", licence="CC0-1.0",
                                     trained_on="tones")


@pytest.fixture(scope="module")
def loaded(folder):
    return hub.load(str(folder))


def close(vectors, true):
    """To 1e-5 of the largest number: the pre-activations of layer19 are some tens, and float32 has seven digits."""
    assert np.shape(vectors) == np.shape(true)
    np.testing.assert_allclose(vectors, true, rtol=0, atol=1e-5 * max(1, np.abs(true).max()))


def test_the_kits_adapter_gives_the_vectors_of_the_network_in_memory(tiny, folder):
    inside = make_embedding(tiny, "layer19", "inside")
    outside = embeddings.from_saved_model(folder, key="layer19", window=inside.window, hop=inside.hop,
                                          min_samples=inside.min_samples)
    assert outside.dim == inside.dim and outside.pads_safely
    for seconds in SECONDS:
        wave = np.pad(tone(seconds), (0, max(0, 16_000 - round(seconds * 16_000))))
        assert len(hear(outside, wave)) == frontend.patch_count(len(wave))
        close(hear(outside, wave), hear(inside, wave))


@pytest.mark.parametrize("seconds", [0.3, 3.3])
def test_one_clip_and_several_in_every_type_and_the_signature_for_servers(loaded, memory, seconds):
    wave = (32767 * tone(seconds)).astype(np.int16)
    single = wave.astype(np.float32) / np.float32(32767)
    true = {tap: np.stack([memory(row, tap) for row in (single, single[::-1].copy())]) for tap in TAPS}
    served = loaded.signatures["serving_default"](samples=tf.constant(single[None]), sample_rate=tf.constant(16_000))
    for samples in (wave, single, single.astype(np.float64)):
        one, two = loaded(samples, 16_000), loaded(samples=np.stack([samples, samples[::-1]]), sample_rate=16_000)
        for tap, (first, second) in true.items():
            close(one[tap], first)
            close(two[tap], [first, second])
            close(served[tap][0], first)
    for samples, rate, why in ((wave[:0], 16_000, "at least one sample"),
                               (np.stack([wave, wave]), 8_000, "16000 samples a second; resample")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=why):
            loaded(samples, rate)


def test_a_long_clip_goes_through_the_network_in_pieces_and_one_sample_is_enough(loaded, memory):
    wave, least = tone(30.0, seed=7), np.full(1, 0.5, np.float32)
    assert frontend.patch_count(len(wave)) > 2 * export.AT_ONCE
    close(loaded(wave, 16_000)["layer19"], memory(wave, "layer19"))
    close(loaded(np.stack([wave] * 3), 16_000)["layer19"][2], memory(wave, "layer19"))  # pieces of another size
    close(loaded(least, 16_000)["embedding"], memory(least, "embedding"))


def test_the_facts_lie_beside_it_and_what_exists_is_not_overwritten(tiny, folder, tmp_path):
    facts, file = export.read_facts(folder), tmp_path / "file.tflite"
    assert facts["weights"] == hash_weights(tiny) and facts["outputs"] == {"embedding": 8, "layer19": 11 * 16}
    assert (facts["licence"], facts["trained_on"], facts["source"]) == ("CC0-1.0", "tones", "not stated")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    file.write_bytes(b"mine")
    for write, place, why in ((export.export_saved_model, folder, "not empty"), (export.export_litert, file, "exists"),
                              (export.export_saved_model, file, "not empty")):
        with pytest.raises(BadParameter, match=why):
            write(tiny, place)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before and file.read_bytes() == b"mine"


def test_what_cannot_be_exported_is_named_and_leaves_nothing(tiny, tmp_path, monkeypatch):
    def fail(graph, folder):
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes(b"half")
        raise OSError("no space left")

    given = keras.Input((10,))
    monkeypatch.setattr(export.ClipModel, "save", fail)
    for write, model, stated, error, why in (
            (export.export_saved_model, keras.Model(given, given), {}, BadParameter, r"must take \[patches, 96, 64\]"),
            (export.export_saved_model, tiny, {"license": "MIT"}, UnknownName, "licence"),
            (export.export_litert, tiny, {"quantise": "int4"}, UnknownName, "dynamic"),
            (export.export_saved_model, tiny, {}, OSError, "no space")):
        with pytest.raises(error, match=why):
            write(model, tmp_path / "a", **stated)
    assert list(tmp_path.iterdir()) == []


def test_litert_hears_clips_of_any_length_with_its_own_operations_and_its_error_is_measured(tmp_path):
    # TRILL's own layers: what LiteRT must be able to do
    residual = build_resnet(ResNetShape(0.1, (1, 0, 0, 1), stem=8, pooled=False), 3, "residual")
    light = {how: export.export_litert(residual, tmp_path / f"{how}.tflite", quantise=how) for how in export.QUANTISE}
    memory, bounds = frames_of(residual), {"none": 1e-3, "dynamic": 0.05}
    for how, made in light.items():
        assert set(made.error) == set(TAPS) and max(made.error.values()) < bounds[how]
        assert json.loads(made.path.with_name(f"{made.path.name}.json").read_text())["error"] == made.error
        ops = {op["op_name"] for op in Interpreter(model_path=str(made.path))._get_ops_details()}
        assert "RFFT2D" in ops and not [op for op in ops if "Flex" in op or op == "CUSTOM"]
    assert light["none"].bytes > 2 * light["dynamic"].bytes
    assert light["dynamic"].error["layer19"] > 10 * light["none"].error["layer19"] > 0

    heard = embeddings.from_file(light["none"].path, key="layer19")
    for seconds in SECONDS:
        wave = tone(seconds)
        frames = hear(heard, wave)
        # tones leave bands with rounding only, where float32 is up to 0.005 away (see `nslib.frontend.log_mel_tf`)
        assert np.abs(frames - memory(wave, "layer19")).max() < 1e-3 * np.abs(frames).max()
