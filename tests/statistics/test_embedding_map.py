"""Maps: planted groups are found, planted nothing is not, and what the eye might see is held to numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from nslib.errors import BadParameter, UnknownName
from nslib.statistics import embedding_map
from nslib.statistics.embedding_map import ACROSS, LABEL, PLANE, SPEAKER, VECTORS, map_vectors, neighbour_agreement


def planted(*, label=0.0, speaker=0.0, speakers=8, labels=3, takes=4, dim=20, seed=0):
    """Every speaker has every label; each pulls its clips as far as it is told."""
    rng = np.random.default_rng(seed)
    who, what = (8 * rng.normal(size=(n, dim)) for n in (speakers, labels))
    cells = [(s, k) for s in range(speakers) for k in range(labels) for _ in range(takes)]
    x = np.stack([speaker * who[s] + label * what[k] + rng.normal(size=dim) for s, k in cells])
    names = pd.DataFrame([(f"c{i:03d}", f"l{k}", f"s{s}") for i, (s, k) in enumerate(cells)],
                         columns=["clip_id", "label", "speaker"])
    return x, names


def drawn(x, clips, **given):
    return map_vectors(x, clips, embedding="made", task="planted", **given)


def row(found, of, space=VECTORS):
    part = found.agreement[(found.agreement["of"] == of) & (found.agreement["space"] == space)]
    assert len(part) == 1
    return part.iloc[0]


def test_what_was_planted_is_found():
    by_label, by_speaker, neither = (drawn(*planted(**how)) for how in ({"label": 1}, {"speaker": 1}, {}))
    assert row(by_label, LABEL)["agreement"] == row(by_label, ACROSS)["agreement"] == 1.0
    assert row(by_speaker, SPEAKER)["agreement"] == 1.0
    for found, of in ((by_label, SPEAKER), (by_speaker, LABEL), (by_speaker, ACROSS), (neither, LABEL),
                      (neither, SPEAKER), (neither, ACROSS)):
        seen = row(found, of)
        assert seen["agreement"] == pytest.approx(seen["chance"], abs=0.12)
        assert seen["low"] < seen["chance"] < seen["high"] and seen["by"] == "speaker"


def test_a_label_that_is_only_a_voice_does_not_pass_for_more():
    """Speakers with one label each: neighbours of one label are neighbours of one voice."""
    x, clips = planted(speaker=1, labels=1, takes=12)
    clips["label"] = [f"l{int(name[1:]) % 2}" for name in clips["speaker"]]
    found = drawn(x, clips)
    assert row(found, LABEL)["agreement"] == 1.0
    across = row(found, ACROSS)
    assert across["agreement"] < 0.8 and across["low"] < across["chance"]


def test_agreement_is_what_scikit_learn_counts():
    x, clips = planted(label=0.3, speaker=0.2)
    names = clips["label"].to_numpy(str)
    shares, chance = neighbour_agreement(x, names, neighbours=4)
    near = NearestNeighbors(n_neighbors=4).fit(x).kneighbors(return_distance=False)  # without the clip itself
    np.testing.assert_allclose(shares, (names[near] == names[:, None]).mean(axis=1))
    assert chance == pytest.approx((np.sum(names[0] == names) - 1) / (len(names) - 1))
    one = [KNeighborsClassifier(1).fit(np.delete(x, i, 0), np.delete(names, i)).predict(x[[i]])[0] == names[i]
           for i in range(len(x))]
    np.testing.assert_array_equal(neighbour_agreement(x, names, neighbours=1)[0], one)


def test_neighbours_of_the_same_speaker_can_be_left_out():
    x = np.array([[0.0], [0.1], [1.0], [5.0], [6.0]])
    names, who = ["a", "a", "b", "a", "b"], ["p", "p", "q", "q", "r"]
    shares, chance = neighbour_agreement(x, names, neighbours=1, apart=who)
    assert shares.tolist() == [0, 0, 0, 0, 0]  # the near one of the same label is the same voice, or is none
    np.testing.assert_allclose(chance, [1 / 3, 1 / 3, 1 / 3, 2 / 3, 1 / 4])
    alone = neighbour_agreement(x[:2], names[:2], apart=who[:2])
    assert np.isnan(alone[0]).all() and np.isnan(alone[1]).all()


def test_principal_components_are_those_of_scikit_learn():
    x, clips = planted(label=0.5, speaker=0.3)
    found = drawn(x, clips)
    known = SklearnPCA(2).fit(x)
    assert found.variance == pytest.approx(known.explained_variance_ratio_)
    plane = found.points[["x", "y"]].to_numpy()
    np.testing.assert_allclose(np.abs(plane), np.abs(known.transform(x)), atol=1e-8)
    assert (plane.max(axis=0) >= -plane.min(axis=0)).all()
    assert f"{100 * sum(found.variance):.1f} %" in found.describe()


def test_a_plane_is_trusted_fully_where_the_vectors_lie_on_one():
    x, clips = planted(label=0.5, dim=2)
    found = drawn(np.hstack([x, np.zeros((len(x), 3))]), clips)
    assert found.trust == 1.0 and sum(found.variance) == pytest.approx(1)
    for of in (LABEL, SPEAKER, ACROSS):
        assert row(found, of, PLANE)["agreement"] == row(found, of)["agreement"]


def test_silhouettes_are_those_of_scikit_learn_and_none_is_made_up():
    x, clips = planted(label=0.4)
    found = drawn(x, clips)
    assert row(found, LABEL)["silhouette"] == pytest.approx(silhouette_score(x, clips["label"]))
    assert np.isnan(row(found, ACROSS)["silhouette"])
    assert np.isnan(row(drawn(x, clips.assign(label="one")), LABEL)["silhouette"])


def test_unknown_speakers_have_no_row():
    x, clips = planted(label=1)
    found = drawn(x, clips.assign(speaker=["", *clips["speaker"][1:]]))
    assert set(found.agreement["of"]) == {LABEL} and set(found.agreement["by"]) == {"clip"}
    same = drawn(x, clips.assign(label=clips["speaker"]))
    assert list(same.agreement["of"].unique()) == [LABEL, SPEAKER]  # nobody else has the label


def test_tsne_is_the_same_twice_and_says_that_its_axes_mean_nothing():
    x, clips = planted(label=1, speakers=4)
    first, second = (drawn(x, clips, method="tsne", seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.points, second.points)
    assert np.isnan(first.variance).all() and "mean nothing" in first.describe()
    assert first.trust > 0.8 and row(first, LABEL, PLANE)["agreement"] > 0.9
    assert row(first, LABEL)["agreement"] == row(drawn(x, clips), LABEL)["agreement"]


def test_unit_length_takes_loudness_out():
    x, clips = planted(label=1)
    loud = x * np.random.default_rng(0).uniform(0.01, 1, len(x))[:, None]
    assert row(drawn(loud, clips), LABEL)["agreement"] < 0.96
    assert row(drawn(loud, clips, l2=True), LABEL)["agreement"] > 0.99


@pytest.mark.parametrize(("change", "error", "said"), [
    ({"method": "umap"}, UnknownName, "umap"), ({"neighbours": 40}, BadParameter, "too few"),
    ({"neighbours": 0}, BadParameter, "too few"), ({"x": np.full((96, 2), np.nan)}, BadParameter, "finite"),
    ({"x": np.ones((3, 2))}, BadParameter, "one finite vector a clip")])
def test_refusals(change, error, said):
    x, clips = planted()
    with pytest.raises(error, match=said):
        drawn(change.pop("x", x), clips, **change)


def test_more_clips_than_can_be_compared_are_refused(monkeypatch):
    monkeypatch.setattr(embedding_map, "MOST_CLIPS", 50)
    with pytest.raises(BadParameter, match="96 clips are more than the 50"):
        drawn(*planted())
