"""Distillation: what is learnt and measured, that it goes on exactly, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nslib.embeddings.base import Embedding
from nslib.errors import BadParameter, UnknownName
from nslib.train import (
    checkpoint,
    data,
    distill,
    distill_settings,
    embedding,
    recorded,
    students,
    sweep,
    targets,
    teachers,
)

by_name, by_text = students.named, students.parse
CHOICES = {"student": "tiny-a", "batch": 8, "steps": 24, "evaluate_every": 6, "held_out": 2, "warmup": 3, "sample": 2,
           "learning_rate": 1e-2}


def tiny(name: str, seed: int = 0):
    """A student that is traced in a second; others by their name."""
    import keras

    if not name.startswith("tiny"):
        return by_name(name, seed)
    given, kernel = keras.Input((96, 64)), keras.initializers.GlorotUniform(seed)
    x = keras.layers.AveragePooling1D(8)(keras.layers.Rescaling(0.4, 1.6)(given))
    x = keras.layers.BatchNormalization(momentum=0.7)(keras.layers.Flatten()(x))
    return keras.Model(given, {"embedding": keras.layers.Dense(12, kernel_initializer=kernel)(x)}, name=name)


students.named = tiny
students.parse = lambda name: None if name.startswith("tiny") else by_text(name)


def network(seed: int = 0):
    import keras

    given, kernel = keras.Input((96, 64)), keras.initializers.GlorotUniform(seed)
    x = keras.layers.Conv1D(6, 12, 12, kernel_initializer=kernel)(keras.layers.Rescaling(0.4, 1.6)(given))
    return keras.Model(given, {"layer19": keras.layers.Flatten()(x), "embedding": keras.layers.GlobalMaxPooling1D()(x)},
                       name="little")


def tones(pieces: int, seed: int) -> recorded.Recordings:
    rng, length = np.random.default_rng(seed), 24_000
    t = np.arange(length) / 16_000
    waves = [0.1 * np.sin(2 * np.pi * f * t) + rng.normal(0, 0.02, length) for f in rng.uniform(150, 4000, pieces)]
    starts = np.arange(pieces, dtype=np.int64) * length
    names = tuple(map(str, range(pieces)))
    return recorded.Recordings(recorded.pcm(np.concatenate(waves)), starts, np.full(pieces, length), names)


@pytest.fixture(scope="module")
def teacher() -> teachers.Teacher:
    return teachers.of_network(network())


def run(folder: Path, teacher: teachers.Teacher, **changes: object) -> distill.Distillation:
    return distill.train(tones(24, 1), tones(16, 2), folder, teacher, distill_settings.make({**CHOICES, **changes}),
                         progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, teacher) -> tuple[Path, distill.Distillation]:
    folder = tmp_path_factory.mktemp("distill") / "whole"
    return folder, run(folder, teacher)


def test_it_learns_and_writes_what_it_saw(whole):
    folder, done = whole
    curve = done.curve.pivot_table("value", "step", ["part", "figure"])
    assert list(curve.index) == [0, 6, 12, 18, 24] and done.ended == "steps"
    assert curve["train", "loss"].iloc[-1] < 0.7 * curve["train", "loss"].iloc[1]
    assert done.explained == curve["held-out", "explained"].max() > curve["held-out", "explained"].iloc[0] + 0.2
    assert done.best_step == curve["held-out", "explained"].idxmax()
    assert done.low < done.explained < done.high
    pd.testing.assert_frame_equal(pd.read_csv(folder / "curve.csv"), done.curve)


def test_the_share_explained_is_that_of_scikit_learn(whole, teacher):
    from sklearn.metrics import r2_score

    folder, done = whole
    groups, _ = checkpoint.read(folder / "state.npz")
    model, (kernel, bias), (centre, scale) = tiny("tiny-a"), groups["weights"][-2:], groups["targets"]
    checkpoint.assign(model.weights, groups["weights"][:-2])
    settings = distill_settings.make(CHOICES)
    test = data.Pairs(tones(16, 2), settings.pairs, settings.distill.seed + 1_000_000)
    drawn = [test.draw(step)[0] for step in range(2)]
    patches = np.concatenate([np.reshape(data.features(windows), (-1, 96, 64)) for windows in drawn])
    said = np.asarray(network()(patches)["layer19"])
    found = (np.asarray(model(patches, training=False)["embedding"]) @ kernel + bias) * scale + centre
    last = done.curve.query("part == 'held-out' and step == 24").set_index("figure")["value"]
    assert last["explained"] == pytest.approx(r2_score(said, found, multioutput="variance_weighted"), abs=1e-4)
    assert last["mse"] == pytest.approx(np.mean((said - found) ** 2), rel=1e-3)


def test_the_student_is_kept_without_its_head(whole):
    folder, done = whole
    other = tiny("tiny-a", 9)
    meta = checkpoint.load_weights(folder / "best.npz", other)
    assert meta == {"network": "tiny-a", "teacher": "little-layer19", "step": done.best_step,
                    "explained": done.explained}
    assert embedding.revision(other) == embedding.revision(done.model) and list(done.model.output) == ["embedding"]


def test_a_run_that_died_goes_on_to_the_same_bytes(whole, teacher, tmp_path, monkeypatch):
    written, real = [], checkpoint.write

    def dying(*given):
        real(*given)
        written.append(given[0])
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, teacher)
    monkeypatch.setattr(checkpoint, "write", real)
    assert checkpoint.read(tmp_path / "state.npz")[1]["step"] == 12
    run(tmp_path, teacher)
    for name in ("state.npz", "best.npz", "curve.csv", "settings.json"):
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes(), name


def test_a_finished_run_is_not_run_again(whole, teacher):
    before = (whole[0] / "state.npz").stat().st_mtime_ns
    again = run(whole[0], teacher)
    assert again.curve.equals(whole[1].curve) and (whole[0] / "state.npz").stat().st_mtime_ns == before


def test_it_stops_when_the_student_gets_no_better(tmp_path, teacher):
    # a rate at which nothing is learnt: later looks are worse or the same but for the ends of normalisation
    done = run(tmp_path, teacher, patience=1, learning_rate=1e-12, steps=200, evaluate_every=1, held_out=1)
    assert done.ended == "patience" and done.curve["step"].max() < 200


@pytest.mark.parametrize("changes", [{"learning_rate": 0.02}, {"seed": 1}])
def test_other_settings_in_the_same_folder_are_refused(whole, teacher, changes):
    with pytest.raises(BadParameter, match="other settings"):
        run(whole[0], teacher, **changes)


def test_another_teacher_in_the_same_folder_is_refused(whole):
    with pytest.raises(BadParameter, match="another teacher"):
        run(whole[0], teachers.of_network(network(1)))


def test_other_recordings_in_the_same_folder_are_refused(whole, teacher):
    with pytest.raises(BadParameter, match="other recordings"):
        distill.train(tones(25, 1), tones(16, 2), whole[0], teacher, distill_settings.make(CHOICES), progress=False)


def test_a_loss_that_is_no_number_is_said(tmp_path, teacher):
    loud = dataclasses.replace(teacher, name="loud", targets=lambda seen: teacher.targets(seen) * np.float32(1e25))
    with pytest.raises(BadParameter, match="lower learning_rate"):
        run(tmp_path, loud, scale="none")


def test_any_embedding_can_teach_and_a_network_of_the_kit_teaches_the_same_either_way(teacher):
    as_embedding = teachers.of_embedding(embedding.as_embedding(network(), "layer19", "little"))
    assert (as_embedding.sees, as_embedding.dim, as_embedding.network) == ("windows", teacher.dim, None)
    pairs = data.Pairs(tones(24, 1), distill_settings.make(CHOICES).pairs, 0)
    (one,), (other,) = (list(targets.batches(pairs, which, 0, 1)) for which in (teacher, as_embedding))
    assert one[1].shape == (16, teacher.dim) and (one[2] == other[2]).all()
    assert np.array_equal(one[0], other[0])
    np.testing.assert_allclose(one[1], other[1], atol=1e-3)
    assert list(one[2][::2]) == list(one[2][1::2]) == list(pairs.draw(0)[1])


def test_several_frames_of_a_window_are_averaged_over_those_that_count():
    def embed(waves, lengths):
        frames = np.stack([np.abs(waves).max(1), np.full(len(waves), 5), np.full(len(waves), 99)], 1)
        return frames[..., None].astype(np.float32), np.full(len(waves), 2, np.int64)

    found = teachers.of_embedding(Embedding("odd", "1", 1, embed, min_samples=20_000))
    np.testing.assert_allclose(found.targets(np.full((3, data.WINDOW_SAMPLES), 0.5, np.float32)), 2.75)


def test_an_embedding_that_learns_by_waves_distils(tmp_path):
    loud = Embedding("loud", "1", 1, lambda w, n: (np.abs(w).mean(1)[:, None, None], np.ones(len(w), np.int64)))
    done = run(tmp_path, teachers.of_embedding(loud), steps=6)
    assert done.curve["step"].max() == 6


def test_a_teacher_that_cannot_hear_the_changes_is_refused(tmp_path):
    still = teachers.Teacher("still", "1", 1, "windows", lambda seen: np.zeros((len(seen), 1), np.float32))
    with pytest.raises(BadParameter, match="set noise, short to 0"):
        run(tmp_path, still, noise=10.0, short=0.5)
    with pytest.raises(BadParameter, match="nothing to learn"):
        run(tmp_path, still)


@pytest.mark.parametrize(("frames", "said"), [(0, "no frame"), (1, "not finite ones")])
def test_an_embedding_that_gives_nothing_for_a_window_is_refused(frames, said):
    def embed(waves, lengths):
        return np.full((len(waves), 1, 2), np.nan, np.float32), np.full(len(waves), frames, np.int64)

    with pytest.raises(BadParameter, match=said):
        teachers.of_embedding(Embedding("none", "1", 2, embed))


def test_names_of_the_kit_are_networks_and_unknown_ones_are_refused():
    found = teachers.named("trill-mini-top")
    assert (found.name, found.sees, found.dim) == ("trill-mini-top", "patches", 512)
    with pytest.raises(UnknownName, match="trill-mini"):
        teachers.named("trill-mni-top")
    with pytest.raises(UnknownName, match="layer19"):
        teachers.of_network(network(), "layer20")


def test_targets_are_brought_to_one_scale():
    said = np.array([[0, 10, 3], [2, 30, 3]], np.float32)
    assert [list(part) for part in targets.standard(said, "none")[:2]] == [[0, 0, 0], [1, 1, 1]]
    centre, scale, note = targets.standard(said, "all")
    assert list(centre) == [1, 20, 3] and scale == pytest.approx([np.sqrt(101 / 3)] * 3)
    assert note.startswith("1 of 3 dimensions")
    assert targets.standard(said, "dimension")[1] == pytest.approx([1, 10, np.sqrt(101 / 3)])
    with pytest.raises(BadParameter, match="not finite"):
        targets.standard(said * np.nan, "all")


def test_the_share_explained_by_hand():
    share, low, high = targets.explained(np.array([1.0, 1, 0, 0]), np.array([2.0, 2, 2, 2]), np.array([7, 7, 8, 9]))
    assert share == 0.75 and (low, high) == (0.5, 1.0)
    assert np.isnan(targets.explained(np.ones(2), np.ones(2), np.zeros(2))[1:]).all()


def test_settings_are_checked_written_and_tabulated():
    made = distill_settings.make({**CHOICES, "short": 0.2})
    assert distill_settings.make(json.loads(made.json(name="t", revision="r"))) == made
    assert made.changes == ("short",) and made.distill.rate(0) == pytest.approx(1e-2 / 3)
    rows = distill_settings.table(made).set_index("setting")
    assert rows.at["student", "value"] == "tiny-a" and set(rows["paper"]) <= {"known", "believed", "unknown"}
    for values, error in (({"stepz": 1}, UnknownName), ({"scale": "some"}, UnknownName), ({"steps": 0}, BadParameter),
                          ({"student": "mobilenet-9"}, BadParameter), ({"sample": 0}, BadParameter)):
        with pytest.raises(error):
            distill_settings.make(values)


def test_a_sweep_sets_students_beside_their_teacher(tmp_path, teacher):
    settings = distill_settings.make({**CHOICES, "steps": 6})
    given = (["tiny-a", "tiny-b"], tones(24, 1), tones(16, 2), tmp_path, teacher, settings)
    found = sweep.sweep(*given, progress=False)
    assert list(found.columns) == list(sweep.COLUMNS)
    assert list(found["name"]) == ["tiny-a", "tiny-b", "little-layer19 (teacher)"]
    rows = found.set_index("name")
    assert rows.at["tiny-a", "parameters"] == 4 * 768 + 768 * 12 + 12
    assert rows.at["little-layer19 (teacher)", "multiply_adds"] == 8 * 12 * 64 * 6
    assert rows.at["little-layer19 (teacher)", "quality"] == 1 and rows.at["tiny-a", "quality"] < 1
    assert (rows["latency_ms"] > 0).all() and (rows["float_bytes"] > 0).all()
    assert rows.at["tiny-a", "quality"] == run(tmp_path / "tiny-a", teacher, steps=6).explained
    with pytest.raises(BadParameter, match="each once"):
        sweep.sweep(["tiny-a", "tiny-a"], *given[1:])
