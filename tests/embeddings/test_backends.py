"""LiteRT: values, conversions and their cache, and what a backend costs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from typer.testing import CliRunner

from nslib import cli, embeddings
from nslib.embeddings import backends, checker, registry
from nslib.embeddings.networks import cut_patches
from nslib.embeddings.runtime import PatchNetwork
from nslib.errors import BadParameter, Unavailable, UnknownName

WEIGHTS = np.random.default_rng(3).normal(0, 0.1, (5, 5, 1, 64)).astype(np.float32)


def convolve(patches):
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(patches[..., None] / 4 + 1, WEIGHTS, 4, "VALID")), (1, 2))


SMALL = PatchNetwork(cut_patches, convolve, (96, 64))


@pytest.fixture
def small(monkeypatch):
    """One convolution in the place of the untrained network."""
    info = dataclasses.replace(registry.EMBEDDINGS["untrained"], build=lambda info: SMALL, dim=64)
    monkeypatch.setitem(registry.EMBEDDINGS, "untrained", info)


@pytest.fixture(scope="module")
def patches():
    return np.concatenate([cut_patches(wave) for wave in checker.make_sounds(2, 500)])


@pytest.fixture(scope="module")
def right(patches):
    return np.asarray(convolve(patches))


@pytest.mark.parametrize(("backend", "low", "high"), [
    ("litert", 0, 1e-5), ("litert-dynamic", 1e-4, 0.05), ("litert-int8", 1e-4, 0.05)])
def test_values_are_near_and_the_same_in_any_company(backend, low, high, patches, right):
    network = backends.open_litert(SMALL, backend, f"values {backend}")
    found = network(patches)
    assert low <= np.abs(found - right).max() / np.abs(right).max() <= high
    assert np.array_equal(found[:9], np.concatenate([network(patches[i:i + 1]) for i in range(9)]))


def test_a_backend_is_an_embedding_of_its_own(small):
    made = embeddings.get("untrained@litert-int8")
    assert made.name == "untrained@litert-int8"
    assert made is embeddings.get("untrained@litert-int8")
    assert made.fingerprint == embeddings.fingerprint("untrained@litert-int8") != embeddings.fingerprint("untrained")
    assert made.replica is None and embeddings.get("untrained").replica is not None
    assert (made.dim, made.window, made.hop) == (64, embeddings.get("untrained").window, 0.17)
    report = embeddings.check(made)
    assert report.ok, str(report)


def test_converted_once_and_again_where_the_file_is_damaged(cache, monkeypatch, patches):
    count, convert = [], backends.convert_network
    monkeypatch.setattr(backends, "convert_network", lambda *args, **named: count.append(1) or convert(*args, **named))
    first = backends.open_litert(SMALL, "litert", "cached")(patches)
    assert np.array_equal(backends.open_litert(SMALL, "litert", "cached")(patches), first) and len(count) == 1
    (path,) = cache.rglob("*.tflite")
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert np.array_equal(backends.open_litert(SMALL, "litert", "cached")(patches), first) and len(count) == 2
    backends.open_litert(SMALL, "litert", "another")
    assert len(count) == 3


def test_network_that_cannot_be_converted():
    def odd(patches):
        import tensorflow as tf

        return tf.linalg.expm(patches[:, :4, :4])[:, 0]

    with pytest.raises(Unavailable, match=r"LiteRT in the form int8.*its converter failed.*Use another backend"):
        backends.open_litert(PatchNetwork(cut_patches, odd, (96, 64)), "litert-int8", "odd")


# ---- what it costs -------------------------------------------------------------------------------


def test_table_of_backends(small, monkeypatch):
    opened = backends.open_litert

    def open_some(network, backend, key):
        if backend == "litert-dynamic":
            raise Unavailable("the backend", "of a test", "None.")
        return opened(network, backend, key)

    monkeypatch.setattr(backends, "open_litert", open_some)
    table = embeddings.compare_backends("untrained", rounds=2).set_index("backend")
    assert list(table.index) == ["tensorflow", "litert", "litert-dynamic", "litert-int8"]
    assert table["available"].tolist() == [True, True, False, True]
    first, measured = table.loc["tensorflow"], table[table["available"]]
    assert (first["time_ratio"], first["largest_error"], first["cosine"]) == (1, 0, pytest.approx(1))
    assert "of a test" in table.at["litert-dynamic", "note"] and np.isnan(table.at["litert-dynamic", "cosine"])
    assert (measured["ms_per_patch"] > 0).all() and (measured["time_ratio"] > 0).all()
    assert table.at["litert", "largest_error"] < 1e-5 < 1e-4 < table.at["litert-int8", "largest_error"] < 0.05
    assert (measured["cosine"] > 0.999).all() and (measured["least_cosine"] <= measured["cosine"]).all()
    lines = backends.format_backends(table.reset_index()).splitlines()
    assert len(lines) == 5 and lines[1].startswith("tensorflow") and "1.00" in lines[1] and "not available" in lines[3]


def test_error_and_cosine_by_hand():
    right = [np.array([[3.0, 0], [5, 0]]), np.array([[0.0, -8]])]
    found = [np.array([[3.0, 1], [5, 0]]), np.array([[2.0, -8]])]
    assert backends.compute_error(found, right) == 2 / 8
    assert backends.compute_cosines(found, right) == pytest.approx([4 / np.hypot(4, 0.5), 8 / np.hypot(2, 8)])
    assert backends.compute_cosines([np.zeros((1, 2))], [np.zeros((1, 2))]) == [1]
    assert backends.compute_cosines([np.ones((1, 2))], [np.zeros((1, 2))]) == [0]


def test_rounds_and_names_are_checked():
    with pytest.raises(BadParameter, match="at least 1; got 0"):
        embeddings.compare_backends("untrained", rounds=0)
    with pytest.raises(UnknownName):
        embeddings.compare_backends("untrained@litert")


def test_verbs():
    run = CliRunner()
    listed = run.invoke(cli.embeddings_app, ["list", "--profile", "quick"]).stdout.splitlines()
    assert [line.split()[0] for line in listed] == embeddings.names("quick")
    assert any(line.split() == ["speech-embedding", "onnx"] for line in listed)
    measured = run.invoke(cli.embeddings_app, ["backends", "logmel", "--rounds", "1"]).stdout.splitlines()
    assert len(measured) == 2 and measured[1].startswith("numpy")
    assert "CPU:0" in run.invoke(cli.embeddings_app, ["devices"]).stdout
