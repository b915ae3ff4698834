"""The step as a Beam transform: the same store, the same problems, and never a runner that nobody named."""

from __future__ import annotations

import importlib.util
import os

import numpy as np
import pytest
from helpers import clip_table, embedding, frame_energy

from nslib import extract
from nslib.cluster import beam, recipes
from nslib.errors import BadParameter, NslibError, Unavailable
from nslib.store import Store

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.setattr(extract, "UNIT_SECONDS", 4.0)
    return clip_table(tmp_path / "audio", [0.5 + 0.1 * i for i in range(12)])


def shards(store):
    return {path.name: path.read_bytes() for path in store.path.glob("*.arrow")}


def test_the_store_is_that_of_a_local_run(clips, tmp_path):
    mine = embedding()
    os.unlink(clips["audio"][3])
    here, far = Store(mine, tmp_path / "here"), Store(mine, tmp_path / "far")
    expected = extract.vectors(clips, mine, store=here, progress=False)
    found = beam.run(clips, recipes.of(mine), runner=RUNNER, store=far, progress=False)
    assert shards(far) == shards(here) and len(shards(far)) > 3
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert found.problems.to_dict("records") == expected.problems.to_dict("records")
    assert found.ledger["computed"] == 11 and not list(far.path.glob(".beam*"))
    assert beam.run(clips, recipes.of(mine), runner=RUNNER, store=far, progress=False).ledger["computed"] == 0


def test_a_failure_of_the_pipeline_keeps_its_words(clips, tmp_path):
    recipe = recipes.of(embedding(revision="other"))
    with pytest.raises(NslibError, match=r"Beam pipeline failed.*has another energy"):
        extract.vectors(clips, embedding(), store=Store(embedding(), tmp_path), progress=False,
                        run=beam.on(recipe, RUNNER))


@pytest.mark.parametrize("runner", [None, "", "DirectRunner", "direct", "apache_beam.runners.direct.DirectRunner"])
def test_the_default_runner_is_refused_with_the_reason(runner):
    with pytest.raises(BadParameter, match=r"download a program.*FnApiRunner"):
        beam.on(recipes.BuiltIn("logmel"), runner)


def test_an_unknown_runner_is_refused(clips, tmp_path):
    with pytest.raises(BadParameter, match=r"NoRunner.*FnApiRunner"):
        beam.run(clips, recipes.of(embedding()), runner="NoRunner", store=Store(embedding(), tmp_path), progress=False)


def test_without_beam_it_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "apache_beam" else find(name))
    with pytest.raises(Unavailable, match=r"pip install 'nslib\[beam\]'"):
        beam.on(recipes.BuiltIn("logmel"), RUNNER)


def test_a_model_is_loaded_once_however_many_units(clips, tmp_path):
    marker = str(tmp_path / "loads")

    class Counted:
        def __reduce__(self):
            return counted, (marker,)

    keeps = Counted()

    def embed(waves, lengths):
        assert keeps is not None
        return frame_energy(waves, lengths)

    mine = embedding(embed=embed, revision="counted")
    recipe = recipes.of(mine)
    extract.vectors(clips, mine, store=Store(mine, tmp_path / "far"), progress=False, run=beam.on(recipe, RUNNER))
    assert (tmp_path / "loads").read_text() == "x"


def counted(marker):
    with open(marker, "a") as file:
        file.write("x")
    return marker
