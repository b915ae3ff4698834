"""The refit that gives probabilities answers what the benchmark answered, and is kept."""

from __future__ import annotations

import fabricated
import numpy as np
import pandas as pd
import pytest

from nslib import confidence, extract, kept, probe, tasks
from nslib.errors import Unavailable
from nslib.probe_data import Split
from nslib.results import complete


def clusters(seed=0, clips=120):
    """Vectors of three classes that overlap, and who spoke."""
    rng = np.random.default_rng(seed)
    y = np.arange(clips) % 3
    x = rng.normal(0, 1, (clips, 6)) + 0.8 * np.eye(3, 6)[y]
    return [Split(x[i::3], np.array([f"c{v}" for v in y])[i::3], np.array([f"s{v % 7}" for v in range(clips)])[i::3],
                  np.array([f"clip{v:03d}" for v in range(clips)])[i::3]) for i in range(3)]


def split_clusters():
    whole = clusters()
    return [Split(*(np.concatenate([getattr(s, a)[k::3] for s in whole]) for a in ("x", "y", "speaker", "clip_id")))
            for k in range(3)]


@pytest.fixture(scope="module")
def found():
    parts = split_clusters()
    grids = {name: probe.grid(*parts, probes=[name], jobs=1) for name in probe.PROBES}
    origin = {"task": "t", "embedding": "e", "data_hash": "d", "split_hash": "s", "weights_hash": "w"}
    made = {name: complete(grid, key=f"k{i}", corpus_kind="real", **origin)
            for i, (name, grid) in enumerate(grids.items())}
    return parts, made


@pytest.mark.parametrize("name", probe.PROBES)
def test_the_refit_answers_what_the_benchmark_answered_and_says_how_sure(name, found):
    parts, made = found
    rows, predictions = made[name]
    row = rows[rows["selected"] & (rows["split"] == "test")].iloc[0]
    again = confidence.of(row, *parts)
    assert again["y_pred"].tolist() == predictions["y_pred"].tolist() and again["clip_id"].is_monotonic_increasing
    assert again["confidence"].between(1 / 3, 1).all() and again["brier"].between(0, 2).all()
    right = again["y_true"] == again["y_pred"]
    # of three classes, the other two share what is left
    least = np.where(right, (1 - again["confidence"]) ** 2, again["confidence"] ** 2)
    assert (again["brier"] >= least - 1e-12).all() and list(again) == [c.name for c in confidence.COLUMNS]


def test_a_network_trained_for_the_task_has_no_probe_to_ask(found):
    parts, made = found
    row = made["LDA_LSQR_AUTO"][0].iloc[0].copy()
    row["probe"] = "finetuned-mean"
    with pytest.raises(Unavailable, match="no probe on stored vectors"):
        confidence.of(row, *parts)


@pytest.fixture
def stored(found, monkeypatch):
    """A benchmark whose vectors are at hand."""
    parts, made = found
    rows, predictions = made["LDA_LSQR_AUTO"]
    rows, predictions = (f.assign(task="style-synthetic", embedding="logmel") for f in (rows, predictions))
    clips = pd.concat([pd.DataFrame({"clip_id": s.clip_id, "label": s.y, "speaker": s.speaker, "split": name})
                       for s, name in zip(parts, ("train", "validation", "test"), strict=True)], ignore_index=True)
    vectors = np.concatenate([s.x for s in parts])
    corpus = type("Corpus", (), {"clips": clips})
    monkeypatch.setattr(confidence.measure, "load_tasks", lambda *a, **k: [(tasks.REGISTRY["style-synthetic"], corpus)])
    calls = []

    def vectors_of(*_, **__):
        calls.append(1)
        return extract.Extraction(vectors, clips, clips[:0], {})

    monkeypatch.setattr(confidence, "enter", lambda name: type("Entrant", (), {"vectors": staticmethod(vectors_of)}))
    return rows, predictions, calls


def test_what_was_found_is_kept_and_not_computed_again(stored, tmp_path):
    rows, predictions, calls = stored
    assert confidence.load(rows, tmp_path).empty
    first, left_out = confidence.find(rows, predictions, progress=False, folder=tmp_path)
    again, _ = confidence.find(rows, predictions, progress=False, folder=tmp_path)
    assert len(first) == 39 and left_out.empty and len(calls) == 1
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, confidence.load(rows, tmp_path))
    path = kept.place(rows["key"].iloc[0], "confidence", tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="not used"):
        third, _ = confidence.find(rows, predictions, progress=False, folder=tmp_path)
    pd.testing.assert_frame_equal(first, third)


def test_other_answers_than_those_kept_are_not_described(stored, tmp_path):
    rows, predictions, _ = stored
    turned = predictions.copy()
    turned.loc[0, "y_pred"] = {"c0": "c1", "c1": "c2", "c2": "c0"}[predictions["y_pred"].iloc[0]]
    found, left_out = confidence.find(rows, turned, progress=False, folder=tmp_path)
    assert found.empty and "1 of 39 answers are not those that were kept" in left_out["why"].item()
    strange = rows.assign(embedding="somebody's own"), predictions
    assert "no embedding of this name" in confidence.find(*strange, progress=False, folder=tmp_path)[1]["why"].item()
    tuned = rows.assign(probe="finetuned-mean"), predictions
    assert "trained for the task" in confidence.find(*tuned, progress=False, folder=tmp_path)[1]["why"].item()
    foreign = rows.assign(task="mine"), predictions
    assert "own recordings" in confidence.find(*foreign, progress=False, folder=tmp_path)[1]["why"].item()


def test_schema_of_kept_answers_is_that_of_predictions_and_two_more():
    assert [c.name for c in confidence.COLUMNS][:-2] == list(fabricated.predictions())
