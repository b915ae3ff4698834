"""LiteRT files of a network: how true, how large, how long, and what is refused."""

from __future__ import annotations

import os

import numpy as np
import pytest

from nslib.errors import BadParameter, UnknownName
from nslib.train import compact

PATCHES = np.random.default_rng(0).normal(-4, 2, (24, 96, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    import keras

    layers = keras.layers
    given, kernel = keras.Input((96, 64)), keras.initializers.HeNormal(1)
    x = layers.Reshape((96, 64, 1))(layers.Rescaling(0.4, 1.6)(given))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 8, 8, kernel_initializer=kernel)(x)))
    x = layers.ReLU()(layers.DepthwiseConv2D(3, depthwise_initializer=kernel)(x))
    x = layers.Dense(96, kernel_initializer=kernel)(layers.Flatten()(x))
    return keras.Model(given, {"embedding": x}, name="little")


@pytest.fixture(scope="module")
def table(model):
    return compact.compare(model, PATCHES, calls=3).set_index("form")


def test_the_float_file_says_what_the_network_says(model):
    found = compact.runner(compact.convert(model))(PATCHES)
    assert found.shape == (24, 96) and found.dtype == np.float32
    np.testing.assert_allclose(found, model(PATCHES, training=False)["embedding"], atol=1e-4)


def test_a_network_with_one_output_is_converted_too(model):
    import keras

    plain = keras.Model(model.input, model.output["embedding"])
    assert np.array_equal(compact.runner(compact.convert(plain))(PATCHES),
                          compact.runner(compact.convert(model))(PATCHES))


def test_eight_bits_are_smaller_and_nearly_as_true(table):
    weights = 8 * 64 + 9 * 8 + 8 * 10 * 6 * 96
    assert 4 * weights < table.at["float32", "bytes"] < 4 * weights + 12_000
    for form in ("dynamic", "int8"):
        assert weights < table.at[form, "bytes"] < 0.4 * table.at["float32", "bytes"]
        assert 0.98 < table.at[form, "worst_cosine"] <= table.at[form, "cosine"] < 1
        assert 1e-4 < table.at[form, "relative_error"] < 0.2
    assert table.at["float32", "relative_error"] < 1e-5 and np.isnan(table.at["tensorflow", "bytes"])


def test_times_are_of_this_machine(table):
    assert (table["latency_ms"] > 0).all()
    assert (table["machine"] == compact.machine()).all() and "CPU" in compact.machine()


def test_sizes_are_those_of_the_files(model, table):
    assert compact.sizes(model, PATCHES[:12]) == {form: table.at[form, "bytes"] for form in compact.FORMS}


def test_the_median_is_over_as_many_calls_as_asked(monkeypatch):
    seen = []
    ticks = iter(np.repeat(np.cumsum([1.0] * 40), 1))
    monkeypatch.setattr(compact.time, "perf_counter", lambda: next(ticks))
    assert compact.latency(lambda patch: seen.append(patch.shape), calls=7) == 1000
    assert seen == [(1, 96, 64)] * (7 + compact.WARM_UP)


def test_the_error_by_hand():
    found = compact._error(np.array([[1.0, 0], [0, 0]]), np.array([[1.0, 1], [0, 2]]))
    assert found["worst_cosine"] == 0 and found["cosine"] == pytest.approx(0.5**0.5 / 2)
    assert found["relative_error"] == pytest.approx((5 / 6) ** 0.5)


def test_conversion_is_silent_and_errors_are_heard_again_afterwards(model, capfd, caplog):
    compact.runner(compact.convert(model, "int8", PATCHES))
    assert capfd.readouterr() == ("", "") and caplog.records == []
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


@pytest.mark.parametrize(("call", "error", "said"), [
    (lambda model: compact.convert(model, "int4"), UnknownName, "float32"),
    (lambda model: compact.convert(model, "int8"), BadParameter, "give patches="),
    (lambda model: compact.compare(model, PATCHES[:1]), BadParameter, "at least two"),
    (lambda model: compact.runner(b"no file"), BadParameter, "no LiteRT file"),
    (lambda model: compact.latency(len, calls=0), BadParameter, "at least 1"),
])
def test_what_cannot_be_is_refused(model, call, error, said):
    with pytest.raises(error, match=said):
        call(model)
