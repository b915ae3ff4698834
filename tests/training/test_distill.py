"""Distillation: what is learnt and measured, that it goes on exactly, and what is refused."""

import keras
import numpy as np
import pytest
from sklearn.metrics import r2_score
from tiny_training import interrupt_run, student, teacher_network, tones

from nslib.embeddings.base import Embedding
from nslib.embeddings.networks import load_weights, make_embedding
from nslib.errors import BadParameter, UnknownName
from nslib.training import data, distill
from nslib.training.settings import make_distillation_settings

pytestmark = pytest.mark.filterwarnings("ignore:Even though the")  # what runs eagerly
CHOICES = {"student": "mobilenet-0.1", "batch": 8, "steps": 24, "evaluate_every": 6, "held_out": 2, "warmup": 3,
           "sample": 2, "learning_rate": 1e-2}
PATCHES = np.random.default_rng(0).normal(-4, 2, (24, 96, 64)).astype(np.float32)
LEARN, HELD_OUT = (tones(pieces, seed, 0.1, 0.02) for pieces, seed in ((24, 1), (16, 2)))


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill, "build_student", student)
        yield


@pytest.fixture(scope="module")
def teacher():
    return distill.make_teacher_of_network(teacher_network())


def run(folder, teacher, **changes):
    return distill.distill(LEARN, HELD_OUT, folder, teacher, make_distillation_settings(CHOICES | changes),
                           progress=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, teacher):
    folder = tmp_path_factory.mktemp("distill") / "whole"
    return folder, run(folder, teacher)


def test_it_learns_gives_the_numbers_of_this_seed_and_keeps_the_student_without_its_head(whole, teacher):
    folder, done = whole
    curve = done.curve.pivot_table("value", "step", ["part", "figure"])
    loss, explained = curve["train", "loss"].iloc[1:], curve["held-out", "explained"]
    assert list(curve.index) == [0, 6, 12, 18, 24] and done.ended == "steps" and loss.iloc[-1] < 0.7 * loss.iloc[0]
    np.testing.assert_allclose(loss.iloc[:2], [1.371026, 1.117153], rtol=5e-3)
    assert done.score == explained.max() > explained.iloc[0] + 0.2 and done.best_step == explained.idxmax()
    assert done.low < done.score < done.high
    other = student("mobilenet-0.1", 9)
    assert load_weights(folder / "best.npz", other) == {
        "network": "mobilenet-0.1", "teacher": "little-layer19", "step": done.best_step, "explained": done.score}
    assert all(map(np.array_equal, other.weights, done.model.weights))
    with pytest.raises(BadParameter, match="another teacher; choose another folder"):
        run(folder, distill.make_teacher_of_network(teacher_network(1)))


def test_the_share_explained_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(40, 3)) * [1, 5, 9]
    predicted = true + rng.normal(size=(40, 3))
    errors, deviations = (np.square(away).sum(1) for away in (predicted - true, true - true.mean(0)))
    share, low, high = distill.share_explained(errors, deviations, np.arange(40) // 4)
    assert low < share < high and share == pytest.approx(r2_score(true, predicted, multioutput="variance_weighted"))
    assert np.isnan(distill.share_explained(errors, deviations, np.zeros(40))[1:]).all(), "of one clip no interval"


def test_a_run_that_died_goes_on_to_the_same_bytes(whole, teacher, tmp_path):
    assert interrupt_run(lambda folder: run(folder, teacher), tmp_path) == 12
    run(tmp_path, teacher)
    for name in ("state.npz", "best.npz", "curve.csv", "settings.json"):
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes(), name


def test_any_embedding_can_teach_and_a_network_of_the_kit_teaches_the_same_either_way(
        teacher, tmp_path, monkeypatch, eager):
    heard = distill.make_teacher_of_embedding(make_embedding(teacher_network(), "layer19", "little"))
    assert (heard.sees, heard.dim, heard.network) == ("windows", teacher.dim, None)
    pairs = data.Pairs(LEARN, make_distillation_settings(CHOICES).pairs, 0)
    one, other = (next(distill.draw_targets(pairs, which, 0, 1)) for which in (teacher, heard))
    assert one[1].shape == (16, teacher.dim) and all(np.array_equal(one[k], other[k]) for k in (0, 2))
    np.testing.assert_allclose(one[1], other[1], atol=1e-3)
    assert list(one[2][::2]) == list(one[2][1::2]) == list(pairs.draw(0)[1])
    assert run(tmp_path, heard, steps=2).curve["step"].max() == 2
    monkeypatch.setattr(distill.networks, "load_network", lambda name: teacher_network())
    made = distill.make_teacher("trill-mini-layer19")
    assert (made.name, made.sees, made.revision) == ("trill-mini-layer19", "patches", teacher.revision)

    def embed(waves, lengths):  # two frames that count, and one that does not
        frames = np.float32([[[np.abs(wave).max()], [5], [99]] for wave in waves])
        return frames, np.full(len(waves), 2, np.int64)

    odd = distill.make_teacher_of_embedding(Embedding("odd", "1", 1, embed, min_samples=20_000))
    np.testing.assert_allclose(odd.targets(np.full((3, data.WINDOW_SAMPLES), 0.5, np.float32)), 2.75)
    counts = distill.Teacher("counts", "1", 1, "windows", lambda seen: np.arange(len(seen), dtype="f4")[:, None])
    monkeypatch.setattr("keras.initializers.GlorotUniform", lambda seed: "zeros")  # the student says the mean of 0..15
    mse, explained, loss = run(tmp_path / "mean", counts, steps=1).curve["value"][:3]
    assert (mse, explained, loss) == pytest.approx((np.var(np.arange(16)), 0, 1))


def test_teachers_that_cannot_teach_are_refused(tmp_path):
    def silent(frames):
        return Embedding("none", "1", 2, lambda waves, lengths: (
            np.full((len(waves), 1, 2), np.nan, np.float32), np.full(len(waves), frames, np.int64)))

    still = distill.Teacher("still", "1", 1, "windows", lambda seen: np.zeros((len(seen), 1), np.float32))
    for call, why in ((lambda: run(tmp_path, still, gain=10.0, short=0.5), "set gain, short to 0"),
                      (lambda: run(tmp_path, still), "nothing to learn"),
                      (lambda: distill.make_teacher_of_embedding(silent(0)), "no frame"),
                      (lambda: distill.make_teacher_of_embedding(silent(1)), "not finite ones")):
        with pytest.raises(BadParameter, match=why):
            call()
    with pytest.raises(UnknownName, match="layer19"):
        distill.make_teacher_of_network(teacher_network(), "layer20")


def test_students_are_set_beside_their_teacher(tmp_path, teacher, eager):
    given = (LEARN, HELD_OUT, tmp_path, teacher, make_distillation_settings({**CHOICES, "steps": 2}))
    table = distill.compare_students(["mobilenet-0.1"], *given, progress=False)
    assert list(table["name"]) == ["mobilenet-0.1", "little-layer19 (teacher)"]
    assert table["parameters"][0] == 4 * 768 + 768 * 12 + 12 and table["multiply_adds"][1] == 8 * 12 * 64 * 6
    assert table["quality"][0] < 1 == table["quality"][1] and (table[["latency_ms", "float_bytes"]] > 0).all(axis=None)
    with pytest.raises(BadParameter, match="each once"):
        distill.compare_students(["mobilenet-0.1"] * 2, *given)


def test_eight_bits_are_smaller_and_nearly_as_true():
    kernel = keras.initializers.HeNormal(1)
    model = keras.Sequential([
        keras.Input((96, 64)), keras.layers.Rescaling(0.4, 1.6), keras.layers.Reshape((96, 64, 1)),
        keras.layers.Conv2D(8, 8, 8, kernel_initializer=kernel), keras.layers.BatchNormalization(),
        keras.layers.ReLU(), keras.layers.Flatten(), keras.layers.Dense(96, kernel_initializer=kernel)])
    table = distill.compare_forms(model, PATCHES, calls=3).set_index("form")
    weights = 8 * 64 + 8 * 12 * 8 * 96
    assert 4 * weights < table.at["float32", "bytes"] < 4 * weights + 12_000
    small = table.loc[["dynamic", "int8"]]
    assert small["bytes"].between(weights, 0.4 * table.at["float32", "bytes"]).all()
    assert (small["worst_cosine"] > 0.98).all() and small["relative_error"].between(1e-4, 0.2).all()
    assert table.at["float32", "relative_error"] < 1e-5 and np.isnan(table.at["tensorflow", "bytes"])
    assert (table["latency_ms"] > 0).all() and (table["machine"] == distill.name_machine()).all()
    with pytest.raises(BadParameter, match="at least two"):
        distill.compare_forms(model, PATCHES[:1])
