"""The refit that gives probabilities: the benchmark's answers, stored once, and silent where anything has changed."""

import numpy as np
import pandas as pd
import pytest

from nslib.datasets import tasks
from nslib.errors import Unavailable
from nslib.evaluation import benchmark, confidence, probe, results
from nslib.extraction import extract
from nslib.statistics.scores import select_scores


@pytest.fixture(scope="module")
def parts():
    """Vectors of three classes that overlap."""
    rng, y = np.random.default_rng(0), np.arange(120) % 3
    whole = probe.LabelledVectors(rng.normal(size=(120, 6)) + 0.8 * np.eye(3, 6)[y], np.char.mod("c%d", y),
                                  np.char.mod("s%d", np.arange(120) % 7), np.char.mod("clip%03d", np.arange(120)))
    split = rng.permutation(120) % 3
    return [whole.take(split == k) for k in range(3)]


@pytest.fixture(scope="module")
def made(parts):
    origin = {"task": "style-synthetic", "embedding": "logmel", "data_hash": "d", "split_hash": "s",
              "weights_hash": "w"}
    return {name: results.add_origin(probe.grid(*parts, probes=[name], jobs=1), key=f"k{i}", corpus_kind="real",
                                     **origin) for i, name in enumerate(probe.PROBES)}


@pytest.mark.parametrize("name", probe.PROBES)
def test_the_refit_answers_what_the_benchmark_answered_and_says_how_sure(name, parts, made):
    rows, predictions = made[name]
    row = select_scores(rows).iloc[0]
    again = confidence.measure_confidence(row, *parts)
    assert again["y_pred"].tolist() == predictions["y_pred"].tolist() and again["clip_id"].is_monotonic_increasing
    assert again["confidence"].between(1 / 3, 1).all() and again["brier"].between(0, 2).all()
    right = again["y_true"] == again["y_pred"]
    # of three classes, the other two share what is left
    least = np.where(right, (1 - again["confidence"]) ** 2, again["confidence"] ** 2)
    assert (again["brier"] >= least - 1e-12).all() and list(again) == [c.name for c in confidence.COLUMNS]
    with pytest.raises(Unavailable, match="finetuned-mean is no probe on stored vectors"):
        confidence.measure_confidence(dict(row) | {"probe": "finetuned-mean"}, *parts)


@pytest.fixture
def stored(parts, made, monkeypatch):
    """A benchmark whose vectors are at hand, and how often they were asked for."""
    clips = pd.concat([pd.DataFrame({"clip_id": s.clip_id, "label": s.y, "speaker": s.speaker, "split": name})
                       for s, name in zip(parts, ("train", "validation", "test"), strict=True)], ignore_index=True)
    vectors, calls = np.concatenate([s.x for s in parts]), []
    corpus = type("Corpus", (), {"clips": clips})
    monkeypatch.setattr(benchmark, "load_tasks", lambda *a, **k: [(tasks.REGISTRY["style-synthetic"], corpus)])
    monkeypatch.setattr(benchmark.EmbeddingSpec, "vectors", lambda *_, **__: calls.append(1) or extract.Extraction(
        vectors, clips, clips[:0], {}))
    return *made["LDA_LSQR_AUTO"], calls


def test_what_was_measured_is_stored_and_not_computed_again(stored, tmp_path):
    rows, predictions, calls = stored
    assert confidence.load_confidence(rows, tmp_path).empty
    first, left_out = confidence.find_confidence(rows, predictions, progress=False, folder=tmp_path)
    again, _ = confidence.find_confidence(rows, predictions, progress=False, folder=tmp_path)
    assert len(first) == 40 and left_out.empty and len(calls) == 1
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, confidence.load_confidence(rows, tmp_path))
    path = results.table_path(rows["key"].iloc[0], "confidence", tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="not used"):
        third, _ = confidence.find_confidence(rows, predictions, progress=False, folder=tmp_path)
    pd.testing.assert_frame_equal(first, third)


def test_other_answers_than_those_stored_are_not_described(stored, tmp_path):
    rows, predictions, _ = stored
    turned = predictions.copy()
    turned.loc[0, "y_pred"] = {"c0": "c1", "c1": "c2", "c2": "c0"}[predictions["y_pred"].iloc[0]]
    for changed, answers, why in ((rows, turned, "1 of 40 answers are not those that were kept"),
                                  (rows.assign(embedding="somebody's own"), predictions, "no embedding of this name"),
                                  (rows.assign(probe="finetuned-mean"), predictions, "trained for the task"),
                                  (rows.assign(task="mine"), predictions, "own recordings")):
        table, left_out = confidence.find_confidence(changed, answers, progress=False, folder=tmp_path)
        assert table.empty and why in left_out["why"].item()
