"""Maps: planted groups are found, planted nothing is not, and what the eye might see is held to numbers."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA as SklearnPCA
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors

from nslib.errors import BadParameter, UnknownName
from nslib.statistics import embedding_map
from nslib.statistics.embedding_map import ACROSS, LABEL, PLANE, SPEAKER, VECTORS, map_vectors, neighbour_agreement


def planted(*, label=0.0, speaker=0.0, speakers=8, labels=3, takes=4, dim=20, seed=0):
    """Every speaker has every label; each pulls its clips as far as it is told."""
    rng = np.random.default_rng(seed)
    who, what = (8 * rng.normal(size=(n, dim)) for n in (speakers, labels))
    s, k = (index.ravel() for index in np.mgrid[:speakers, :labels, :takes][:2])
    x = speaker * who[s] + label * what[k] + rng.normal(size=(len(s), dim))
    return x, pd.DataFrame({"clip_id": [f"c{i:03d}" for i in range(len(s))], "label": np.char.add("l", k.astype(str)),
                            "speaker": np.char.add("s", s.astype(str))})


def drawn(x, clips, **given):
    return map_vectors(x, clips, embedding="made", task="planted", **given)


def row(chart, of, space=VECTORS):
    (only,) = chart.agreement[(chart.agreement["of"] == of) & (chart.agreement["space"] == space)].to_dict("records")
    return only


def test_what_was_planted_is_found():
    by_label, by_speaker, neither = (drawn(*planted(**how)) for how in ({"label": 1}, {"speaker": 1}, {}))
    assert row(by_label, LABEL)["agreement"] == row(by_label, ACROSS)["agreement"] == 1.0
    assert row(by_speaker, SPEAKER)["agreement"] == 1.0
    for chart, of in ((by_label, SPEAKER), (by_speaker, LABEL), (by_speaker, ACROSS), (neither, LABEL),
                      (neither, SPEAKER), (neither, ACROSS)):
        seen = row(chart, of)
        assert seen["agreement"] == pytest.approx(seen["chance"], abs=0.12)
        assert seen["low"] < seen["chance"] < seen["high"] and seen["by"] == "speaker"


def test_agreement_is_what_scikit_learn_counts_and_neighbours_of_the_same_speaker_can_be_left_out():
    x, clips = planted(label=0.3, speaker=0.2)
    names = clips["label"].to_numpy(str)
    for neighbours in (1, 4):
        shares, chance = neighbour_agreement(x, names, neighbours=neighbours)
        near = NearestNeighbors(n_neighbors=neighbours).fit(x).kneighbors(return_distance=False)  # not the clip itself
        np.testing.assert_allclose(shares, (names[near] == names[:, None]).mean(axis=1))
        assert chance == pytest.approx((np.sum(names[0] == names) - 1) / (len(names) - 1))
    x = np.array([[0.0], [0.1], [1.0], [5.0], [6.0]])
    names, who = list("aabab"), list("ppqqr")
    shares, chance = neighbour_agreement(x, names, neighbours=1, apart=who)
    assert shares.tolist() == [0, 0, 0, 0, 0]  # the near one of the same label is the same voice, or is none
    np.testing.assert_allclose(chance, [1 / 3, 1 / 3, 1 / 3, 2 / 3, 1 / 4])
    assert np.isnan(neighbour_agreement(x[:2], names[:2], apart=who[:2])).all()


def test_components_and_silhouettes_are_those_of_scikit_learn_and_unknown_speakers_have_no_row():
    x, clips = planted(label=0.5, speaker=0.3)
    chart, known = drawn(x, clips), SklearnPCA(2).fit(x)
    assert chart.variance == pytest.approx(known.explained_variance_ratio_)
    plane = chart.points[["x", "y"]].to_numpy()
    np.testing.assert_allclose(np.abs(plane), np.abs(known.transform(x)), atol=1e-8)
    assert f"{100 * sum(chart.variance):.1f} %" in chart.describe()
    assert row(chart, LABEL)["silhouette"] == pytest.approx(silhouette_score(x, clips["label"]))
    assert np.isnan(row(chart, ACROSS)["silhouette"])
    assert np.isnan(row(drawn(x, clips.assign(label="one")), LABEL)["silhouette"])
    unknown = drawn(x, clips.assign(speaker=["", *clips["speaker"][1:]])).agreement
    assert set(unknown["of"]) == {LABEL} and set(unknown["by"]) == {"clip"}
    same = drawn(x, clips.assign(label=clips["speaker"])).agreement
    assert list(same["of"].unique()) == [LABEL, SPEAKER]  # nobody else has the label


@pytest.mark.parametrize("dim", [1, 2])
def test_a_plane_is_trusted_fully_where_the_vectors_lie_on_one(dim):
    chart = drawn(*planted(label=0.5, dim=dim))
    assert chart.trust == 1.0 and sum(chart.variance) == pytest.approx(1)


def test_tsne_is_the_same_twice_and_says_that_its_axes_mean_nothing():
    x, clips = planted(label=1, speakers=4)
    first, second = (drawn(x, clips, method="tsne", seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.points, second.points)
    assert np.isnan(first.variance).all() and "mean nothing" in first.describe()
    assert first.trust > 0.8 and row(first, LABEL, PLANE)["agreement"] > 0.9
    assert row(first, LABEL)["agreement"] == row(drawn(x, clips), LABEL)["agreement"]


def test_refusals(monkeypatch):
    x, clips = planted()
    monkeypatch.setattr(embedding_map, "MOST_CLIPS", 95)
    for vectors, some, method, error, message in (
            (x, clips, "umap", UnknownName, "umap"), (x, clips, "pca", BadParameter, "96 clips are more than the 95"),
            (x[:19], clips[:19], "pca", BadParameter, "too few"),
            (np.nan * x[:90], clips[:90], "pca", BadParameter, "one finite vector a clip")):
        with pytest.raises(error, match=message):
            drawn(vectors, some, method=method)
