"""Fine-tuning: it learns, it can be repeated, its penalty is in the loss, and no clip is lost."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from nslib import params, results, tasks
from nslib.corpora.table import make
from nslib.errors import BadParameter, UnknownName
from nslib.train import embedding, finetune_results, models
from nslib.train.finetune import Material, finetune
from nslib.train.finetune_model import Model
from nslib.train.finetune_settings import FinetuneSettings, table
from nslib.train.networks import Shape, build

QUICK = FinetuneSettings(epochs=4, batch=8, patches=2, head_rate=0.05, network_rate=1e-3)
PITCH = {"low": 200.0, "high": 900.0}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A network of TRILL's shape that is trained in seconds."""
    monkeypatch.setattr(models, "load", lambda name: build(Shape(0.125, (1, 1, 1, 1), stem=8, pooled=False), 3))


def tone(label, seconds, seed):
    rng = np.random.default_rng(seed)
    time = np.arange(round(16_000 * seconds)) / 16_000
    wave = np.sin(2 * np.pi * PITCH[label] * rng.uniform(0.9, 1.1) * time) + rng.normal(0, 0.1, len(time))
    return (0.2 * wave).astype(np.float32)


def part(split, n, seed):
    labels = [("low", "high")[k % 2] for k in range(n)]
    cut = [embedding.cut(tone(label, (1.0, 0.4, 2.5)[k % 3], seed + k)) for k, label in enumerate(labels)]
    return Material(cut, np.array(labels), np.array([f"s{k % 3}" for k in range(n)]),
                    np.array([f"{split}{k:02d}" for k in range(n)]))


@pytest.fixture(scope="module")
def material():
    return {"train": part("train", 18, 0), "validation": part("validation", 8, 100), "test": part("test", 8, 200)}


@pytest.mark.heavy
def test_it_learns_and_can_be_repeated(material):
    one, two = (finetune(material, QUICK, progress=False) for _ in range(2))
    losses = one.curve[one.curve["part"] == "train"]["value"].to_list()
    assert losses[-1] < 0.9 * losses[0]
    for split in ("validation", "test"):
        np.testing.assert_array_equal(one.probabilities[split], two.probabilities[split])
        np.testing.assert_allclose(one.probabilities[split].sum(1), 1, atol=1e-6)
    grid = finetune_results.scored(one, material, QUICK, "accuracy")
    assert grid.rows.set_index("split").loc["test", "value"] >= 0.9
    assert grid.rows["selected"].all() and len(grid.predictions) == 8


@pytest.mark.heavy
def test_frozen_leaves_the_network_alone(material):
    before = [np.asarray(w) for w in models.load("trill-mini").weights]
    done = finetune(material, dataclasses.replace(QUICK, frozen=True, epochs=2), progress=False)
    for old, new in zip(before, done.model.network.weights, strict=False):
        if old.shape == tuple(new.shape):
            np.testing.assert_array_equal(old, new)
    moved = finetune(material, dataclasses.replace(QUICK, epochs=2), progress=False)
    assert not np.array_equal(moved.model.network.weights[0], before[0])


def test_frames_of_a_frozen_network_are_computed_once_and_change_nothing(material):
    frozen = dataclasses.replace(QUICK, frozen=True, epochs=2, pool="autopool")
    done = finetune(material, frozen, progress=False)
    model = done.model
    frames = [np.asarray(model.network(clip, training=False)) for clip in material["test"].patches]
    for clip, row in zip(frames, done.vectors["test"], strict=True):
        expected = np.asarray(model.pool(clip[None], np.array([len(clip)])))[0]
        np.testing.assert_allclose(row, expected, atol=1e-5)
    assert {seen.shape[1:] for seen in model.seen(material["test"].patches)} == {frames[0].shape[1:]}


@pytest.mark.heavy
def test_learning_never_looks_behind_the_patches_of_a_clip(material):
    rng, counts = np.random.default_rng(0), np.array([3, 1, 2])
    clean = rng.normal(size=(3, 3, 96, 64)).astype(np.float32)
    clean[np.arange(3) >= counts[:, None]] = 0
    behind = np.where((np.arange(3) >= counts[:, None])[..., None, None], np.float32(np.nan), clean)
    losses = []
    for patches in (clean, behind):
        model = Model(QUICK, 2)
        losses.append([model.learn(patches, counts, np.array([0, 1, 0]), np.ones(3, np.float32)) for _ in range(2)])
    assert np.isfinite(losses).all() and losses[0] == losses[1]
    assert losses[0][1] != losses[0][0]


def test_the_penalty_is_in_the_loss():
    logits, labels, weight = np.zeros((2, 2), np.float32), np.array([0, 1]), np.ones(2, np.float32)
    plain, heavy = (Model(dataclasses.replace(QUICK, l2=l2), 2) for l2 in (0.0, 0.5))
    squares = float(np.square(heavy.dense.kernel).sum())
    assert float(plain.loss(logits, labels, weight)) == pytest.approx(np.log(2), rel=1e-5)
    assert float(heavy.loss(logits, labels, weight)) == pytest.approx(np.log(2) + 0.5 * squares, rel=1e-5)


def test_clips_of_a_batch_do_not_change_each_other(material):
    model = Model(dataclasses.replace(QUICK, pool="autopool", tap="layer19"), 2)
    clips = material["test"].patches
    together = model.pooled(clips)
    assert len({len(clip) for clip in clips}) > 1
    for clip, row in zip(clips, together, strict=True):
        np.testing.assert_allclose(model.pooled([clip])[0], row, atol=1e-4)


def test_what_cannot_be(material):
    with pytest.raises(BadParameter, match="no clips in test"):
        finetune({**material, "test": part("test", 0, 0)}, QUICK, progress=False)
    one = material["train"]
    single = Material(one.patches, np.full(len(one.y), "low"), one.speaker, one.clip_id)
    with pytest.raises(BadParameter, match="single class 'low'"):
        finetune({**material, "train": single}, QUICK, progress=False)
    with pytest.raises(BadParameter, match="must be at least 1"):
        FinetuneSettings(epochs=0)
    with pytest.raises(BadParameter, match="layer20"):
        Model(FinetuneSettings(tap="layer20"), 2)
    with pytest.raises(UnknownName, match="autopool"):
        Model(FinetuneSettings(pool="max"), 2)
    assert set(table()["paper"]) <= {"known", "believed", "unknown"}


@pytest.fixture
def task(tmp_path, monkeypatch):
    import soundfile

    rows = []
    for split, n in (("train", 12), ("validation", 6), ("test", 6)):
        for k in range(n):
            label, path = ("low", "high")[k % 2], tmp_path / f"{split}{k}.wav"
            wave = tone(label, 1.0 if k % 3 else 0.5, len(rows))  # exactly a second, and less
            soundfile.write(path, wave, 16_000)
            rows.append({"clip_id": f"{split}{k}", "audio": str(path), "sha256": f"{len(rows):064d}", "label": label,
                         "speaker": f"s{k}", "split": split, "seconds": len(wave) / 16_000,
                         "sample_rate": 16_000, "source": "made here"})
    clips = pd.DataFrame(rows)
    monkeypatch.setattr(finetune_results.corpora, "load_clips", lambda *_, **__: make(rows))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    assert len(clips) == 24
    return tasks.get("style-synthetic")


@pytest.mark.heavy
def test_results_are_kept_and_clips_counted(task, monkeypatch):
    rows, answers = finetune_results.benchmark(task, params.Params(), QUICK, progress=False)
    assert set(rows["embedding"]) == {finetune_results.name(QUICK)} and set(rows["probe"]) == {"finetuned-mean"}
    assert rows.set_index("split")["n"].to_dict() == {"validation": 6, "test": 6}, "no clip of a second was dropped"
    assert "8 of 24 clips are shorter than a second" in rows["notes"].iloc[0]
    monkeypatch.setattr(finetune_results, "finetune", None)
    again = finetune_results.benchmark(task, params.Params(), QUICK, progress=False)
    pd.testing.assert_frame_equal(again[0], rows)
    kept, _ = results.load()
    assert len(kept) == 2 and len(answers) == 6
    with pytest.raises(TypeError):  # other settings are another result
        finetune_results.benchmark(task, params.Params(), dataclasses.replace(QUICK, seed=1), progress=False)


def test_a_run_that_was_made_is_scored_and_not_made_again(task, monkeypatch):
    cut = finetune_results.material(finetune_results.corpora.load_clips(task).clips, progress=False)
    found, _ = cut
    done = finetune(found, QUICK, metric=task.metric, progress=False)
    other = {split: dataclasses.replace(part, clip_id=np.char.add(part.clip_id, "?")) for split, part in found.items()}
    with pytest.raises(BadParameter, match="are not of task"):
        finetune_results.benchmark(task, params.Params(), QUICK, cut=(other, ()), progress=False)
    with pytest.raises(BadParameter, match="other settings"):
        finetune_results.benchmark(task, params.Params(), dataclasses.replace(QUICK, seed=1), done=done, progress=False)
    monkeypatch.setattr(finetune_results, "finetune", None)
    monkeypatch.setattr(finetune_results, "material", None)
    rows, _ = finetune_results.benchmark(task, params.Params(), QUICK, cut=cut, done=done, progress=False)
    right = (done.classes[done.probabilities["test"].argmax(1)] == found["test"].y).mean()
    assert rows.set_index("split").loc["test", "value"] == pytest.approx(right)
    assert (rows["fit_seconds"] == done.seconds).all()


def test_names():
    assert finetune_results.name(FinetuneSettings()) == "trill-mini-finetuned"
    assert finetune_results.name(FinetuneSettings(seed=7)) == "trill-mini-finetuned"
    assert finetune_results.name(FinetuneSettings(frozen=True, pool="netvlad")) == "trill-mini-frozen-netvlad"
    slow, fast = (finetune_results.name(FinetuneSettings(network_rate=rate)) for rate in (1e-6, 1e-4))
    assert slow != fast and slow.startswith("trill-mini-finetuned-"), "an experiment is not the usual run"


def test_gaps_are_of_the_clips_that_both_have_answered():
    names = ["task", "embedding", "clip_id", "speaker", "y_true", "y_pred"]
    ours = [("t", "a", f"c{k}", f"s{k % 6}", "x", "xy"[k >= 5]) for k in range(10)]
    theirs = [("t", "b", f"c{k}", f"s{k % 6}", "x", "y") for k in range(8)]
    found = finetune_results.gaps(pd.DataFrame(ours + theirs, columns=names), "a").loc[("t", "b")]
    assert found["clips"] == 8 and found["points"] == pytest.approx(62.5)
