"""The size of a batch: asked for, remembered, tried once, and never of consequence for vectors."""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers import clip_table, embedding, frame_energy

from nslib import extract
from nslib.embeddings import patches
from nslib.errors import BadParameter
from nslib.extract import tuning
from nslib.store import Store


def _sleepy(best: float, seen: list[float]):
    """An embedding that is quickest at batches of `best` seconds."""
    def embed(waves, lengths):
        seconds = len(waves) * waves.shape[1] / 16000
        seen.append(seconds)
        time.sleep(seconds * (2e-4 if seconds >= best else 1e-3))
        return frame_energy(waves, lengths)

    return embedding(embed=embed)


def test_a_short_job_makes_no_trial(cache):
    seen = []
    assert tuning.tune(_sleepy(60, seen), 600.0) == tuning.DEFAULT
    assert seen == [] and not (cache / "tuning.json").exists()


def test_a_long_job_finds_the_best_size_once(cache):
    seen = []
    mine = _sleepy(100.0, seen)
    assert tuning.tune(mine, 1e6) >= 120.0
    tried = len(seen)
    assert tuning.tune(mine, 1e6) == tuning.batch_seconds(mine) >= 120.0
    assert len(seen) == tried > 4
    assert tuning.batch_seconds(embedding(revision="other")) == tuning.DEFAULT


def test_a_trial_takes_a_small_share_of_the_job(cache):
    seen = []
    tuning.tune(_sleepy(1e9, seen), 4000.0)
    # the first size costs three batches; 3 % of the job leaves room for some of the others, not for all
    assert max(seen) < 240.0


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_memory_costs_a_trial_not_the_run(cache, content):
    cache.mkdir()
    (cache / "tuning.json").write_text(content)
    assert tuning.batch_seconds(embedding()) == tuning.DEFAULT
    seen = []
    tuning.tune(_sleepy(60.0, seen), 1e6)
    assert seen and tuning.batch_seconds(_sleepy(60.0, seen)) >= 60.0


def test_the_environment_decides_first(cache, monkeypatch):
    seen = []
    monkeypatch.setenv(tuning.VARIABLE, "7.5")
    assert tuning.tune(_sleepy(60.0, seen), 1e6) == 7.5 and seen == []
    for wrong in ("0", "-1", "nan", "inf", "many"):
        monkeypatch.setenv(tuning.VARIABLE, wrong)
        with pytest.raises(BadParameter, match="number of seconds"):
            tuning.batch_seconds(embedding())


def test_an_embedding_that_fails_on_noise_keeps_the_usual_size(cache):
    def broken(waves, lengths):
        raise ValueError("no noise please")

    assert tuning.tune(embedding(embed=broken), 1e6) == tuning.DEFAULT


def test_units_and_vectors_are_those_of_any_batch_size(tmp_path, cache, monkeypatch):
    clips = clip_table(tmp_path / "audio", [0.3 + 0.07 * i for i in range(20)])
    found = {}
    for size in ("0.5", "3", "240"):
        monkeypatch.setenv(tuning.VARIABLE, size)
        store = Store(embedding(), tmp_path / size)
        out = extract.vectors(clips, embedding(), store=store, progress=False)
        assert out.ledger["batch_seconds"] == float(size)
        found[size] = sorted(p.name for p in store.path.glob("*.arrow")), out.vectors
    assert found["0.5"][0] == found["3"][0] == found["240"][0]
    np.testing.assert_allclose(found["0.5"][1], found["240"][1], atol=1e-6)


def test_where_padding_costs_nothing_a_unit_is_a_batch(cache):
    assert tuning.batch_seconds(embedding(embed=patches.mark_ragged(lambda w, n: frame_energy(w, n)))) == 240.0
