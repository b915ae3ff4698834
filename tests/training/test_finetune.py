"""Fine-tuning: pools see no padding, the network learns, can be repeated, its penalty counts, and no clip is lost."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from helpers import clip_table, tone
from scipy.special import softmax
from sklearn.preprocessing import normalize
from tiny_training import teacher_network

from nslib import config
from nslib.datasets import loading, tasks
from nslib.datasets.table import Dataset
from nslib.embeddings.networks import cut_patches as cut
from nslib.errors import BadParameter, UnknownName
from nslib.evaluation import results
from nslib.training import finetune as room
from nslib.training.finetune import POOLS, FinetuneModel, Material, Pool, finetune, name_finetuned
from nslib.training.settings import FinetuneSettings

QUICK = FinetuneSettings(epochs=4, batch=8, patches=2, head_rate=0.05, network_rate=1e-3)


def pooled(pool, frames, counts):
    return np.asarray(pool(np.asarray(frames, np.float32), np.asarray(counts)))


@pytest.mark.parametrize(("name", "alpha", "frames", "expected"), [
    ("mean", 0, [[1.0, 2], [3, 6], [np.nan, 9]], [2, 4]),
    ("autopool", 1, [[10.0], [9.9], [0.0]], [9.9 + 0.1 / (1 + np.exp(-0.1))]),
    # exp(10,000) is infinite: an unshifted softmax with its NaN made 1 adds the two up
    ("autopool", 1000, [[10.0], [9.9], [0.0]], [10.0]), ("autopool", 1000, [[-3e6], [-2e6], [0.0]], [-2e6])])
def test_pools_of_two_frames_by_hand(name, alpha, frames, expected):
    np.testing.assert_allclose(pooled(Pool(name, alpha=alpha), [frames], [2]), [expected], rtol=1e-5)


def test_netvlad_against_numpy():
    frames, counts = np.random.default_rng(0).normal(size=(3, 5, 4)), [5, 2, 1]
    pool = Pool("netvlad", clusters=3, seed=7)
    made = pooled(pool, frames, counts)
    centres, kernel, bias = (np.asarray(weight, float) for weight in pool.weights)
    for clip, count, got in zip(frames, counts, made, strict=True):
        shares = softmax(clip[:count] @ kernel + bias, axis=1)
        rows = (shares[..., None] * (clip[:count, None] - centres)).sum(0)
        np.testing.assert_allclose(got, normalize(normalize(rows).reshape(1, -1))[0], atol=1e-5)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("filler", [0.0, 1e6, -1e6, np.nan, np.inf])
def test_padding_changes_nothing(name, filler):
    frames, counts, pool = np.random.default_rng(0).normal(size=(2, 4, 3)), [4, 2], Pool(name, alpha=2.0)
    expected = pooled(pool, frames, counts)
    frames[1, 2:] = filler
    longer = np.concatenate([frames, np.full((2, 3, 3), filler)], axis=1)
    np.testing.assert_allclose(pooled(pool, longer, counts), expected, atol=1e-6)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A network that is trained in seconds."""
    monkeypatch.setattr(room, "load_network", lambda name: teacher_network(3))


def part(split, n, seed):
    clips = [cut(tone((1.0, 0.4, 2.5)[k % 3], (200, 900)[k % 2] * (0.9 + 0.02 * k), seed + k)) for k in range(n)]
    return Material(clips, *np.array([(("low", "high")[k % 2], f"s{k % 3}", f"{split}{k:02d}") for k in range(n)]).T)


@pytest.fixture(scope="module")
def material():
    return {"train": part("train", 18, 0), "validation": part("validation", 8, 100), "test": part("test", 8, 200)}


def test_it_learns_and_can_be_repeated(material):
    one, two = (finetune(material, QUICK, progress=False) for _ in range(2))
    losses = one.curve[one.curve["part"] == "train"]["value"].to_list()
    assert losses[-1] < 0.9 * losses[0]
    assert not np.array_equal(one.model.network.weights[0], teacher_network(3).weights[0]), "the network learns too"
    np.testing.assert_array_equal(one.probabilities["test"], two.probabilities["test"])
    np.testing.assert_allclose(one.probabilities["test"].sum(1), 1, atol=1e-6)
    grid = room.score_finetuned(one, material, "accuracy")
    assert grid.rows["selected"].all() and grid.rows["value"].iloc[-1] >= 0.9 and len(grid.predictions) == 8


@pytest.mark.parametrize(("metric", "best"), [("accuracy", 1), ("equal_error_rate", 2)])
def test_the_epoch_that_validation_prefers_is_kept(material, monkeypatch, metric, best):
    values = iter([0.5, 0.2, 0.4])
    monkeypatch.setattr(room, "score", lambda *_, **__: next(values))
    control = dataclasses.replace(QUICK, frozen=True, epochs=3, patience=3)
    assert finetune(material, control, metric=metric, progress=False).best_epoch == best


def test_a_frozen_network_stays_and_its_frames_are_computed_once(material):
    control = dataclasses.replace(QUICK, frozen=True, epochs=2, pool="autopool", tap="layer19")
    done = finetune(material, control, progress=False)
    model, clips = done.model, material["test"].patches
    assert all(map(np.array_equal, model.network.weights, teacher_network(3).weights))
    for clip, row in zip(clips, done.vectors["test"], strict=True):
        expected = pooled(model.pool, model.network(clip, training=False)[None], [len(clip)])[0]
        np.testing.assert_allclose(row, expected, atol=1e-5)
    np.testing.assert_allclose(model.pool_clips(model.prepare(clips[:1]))[0], done.vectors["test"][0], atol=1e-4)
    frames, notes = room.compute_frames((material, ("a note",)), control)
    again = finetune(frames, control, progress=False)
    assert np.array_equal(again.probabilities["test"], done.probabilities["test"]) and notes == ("a note",)
    for other in (QUICK, dataclasses.replace(QUICK, tap="layer19"), dataclasses.replace(control, tap="embedding")):
        with pytest.raises(BadParameter, match=r"frames of trill-mini layer19 were given .*cut_clips"):
            finetune(frames, other, progress=False)


def test_learning_never_looks_behind_the_patches_of_a_clip():
    counts = np.array([3, 1, 2])
    clean, behind = (np.random.default_rng(0).normal(size=(3, 3, 96, 64)).astype(np.float32) for _ in range(2))
    clean[np.arange(3) >= counts[:, None]], behind[np.arange(3) >= counts[:, None]] = 0, np.nan
    models = [FinetuneModel(QUICK, 2) for _ in range(2)]
    losses = [[float(model.learn(patches, counts, np.array([0, 1, 0]), np.ones(3, np.float32))) for _ in range(2)]
              for model, patches in zip(models, (clean, behind), strict=True)]
    assert np.isfinite(losses).all() and losses[0] == losses[1] and losses[0][1] != losses[0][0]


def test_the_penalty_is_in_the_loss():
    logits, labels, weight = np.zeros((2, 2), np.float32), np.array([0, 1]), np.ones(2, np.float32)
    model = FinetuneModel(dataclasses.replace(QUICK, l2=0.5), 2)
    expected = np.log(2) + 0.5 * np.square(model.dense.kernel).sum()
    assert float(model.loss(logits, labels, weight)) == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be(material):
    single, none = dataclasses.replace(material["train"], y=np.full(18, "low")), Material([], *np.empty((3, 0)))
    for change, why in (({"test": none}, "no clips in test"), ({"train": single}, "single class 'low'")):
        with pytest.raises(BadParameter, match=why):
            finetune(material | change, QUICK, progress=False)
    for change, why in (({"tap": "layer20"}, "layer19"), ({"pool": "max"}, "autopool")):
        with pytest.raises(UnknownName, match=why):
            FinetuneModel(FinetuneSettings(**change), 2)


@pytest.fixture
def task(tmp_path, monkeypatch):
    table = clip_table(tmp_path, [0.5, 1.0, 1.0] * 8,  # exactly a second, and less
                       split=["train"] * 12 + ["validation"] * 6 + ["test"] * 6, label=["low", "high"] * 12,
                       speaker=[f"s{k}" for k in (*range(12), *range(6), *range(6))])
    monkeypatch.setattr(loading, "load_clips", lambda *_, **__: Dataset(table, table[:0]))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    return tasks.get_task("style-synthetic")


def test_results_are_kept_and_clips_counted(task, monkeypatch):
    rows, answers = room.benchmark_finetuned(task, config.Params(), QUICK, progress=False)
    assert set(rows["embedding"]) == {name_finetuned(QUICK)} and rows["n"].tolist() == [6, 6], "no clip was dropped"
    assert "8 of 24 clips are shorter than a second" in rows["notes"].iloc[0]
    monkeypatch.setattr(room, "finetune", None)
    pd.testing.assert_frame_equal(room.benchmark_finetuned(task, config.Params(), QUICK, progress=False)[0], rows)
    assert len(results.load_results()[0]) == 2 and len(answers) == 6
    with pytest.raises(TypeError):  # other settings are another result
        room.benchmark_finetuned(task, config.Params(), dataclasses.replace(QUICK, seed=1), progress=False)


def test_a_run_that_was_made_is_scored_and_not_made_again(task, monkeypatch):
    cut = room.cut_clips(loading.load_clips(task).clips, progress=False)
    done = finetune(cut[0], QUICK, metric=task.metric, progress=False)
    strange = {"test": dataclasses.replace(cut[0]["test"], clip_id=np.array(["?"]))}
    for settings, wrong, said in ((QUICK, {"cut": (strange, ())}, "are not of task"),
                                  (dataclasses.replace(QUICK, seed=1), {"done": done}, "other settings")):
        with pytest.raises(BadParameter, match=said):
            room.benchmark_finetuned(task, config.Params(), settings, progress=False, **wrong)
    for name in ("finetune", "cut_clips"):
        monkeypatch.setattr(room, name, None)
    rows, _ = room.benchmark_finetuned(task, config.Params(), QUICK, cut=cut, done=done, progress=False)
    right = (done.classes[done.probabilities["test"].argmax(1)] == cut[0]["test"].y).mean()
    assert rows["value"].iloc[-1] == pytest.approx(right) and (rows["fit_seconds"] == done.seconds).all()


def test_names_of_the_usual_run_the_control_and_an_experiment():
    assert name_finetuned(FinetuneSettings()) == name_finetuned(FinetuneSettings(seed=7)) == "trill-mini-finetuned"
    assert name_finetuned(FinetuneSettings(frozen=True, pool="netvlad")) == "trill-mini-frozen-netvlad"
    assert name_finetuned(FinetuneSettings(network_rate=1e-6)) == "trill-mini-finetuned-92ee", "as kept results have it"
