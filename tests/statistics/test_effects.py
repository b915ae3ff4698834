"""The effects regression against another derivation, its error rates, and what it refuses."""

import fabricated
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nslib.errors import Unavailable
from nslib.statistics import effects
from nslib.statistics.scores import CHOSEN_BY_FOLD


def rows_of(grid: np.ndarray) -> pd.DataFrame:
    """Selected test rows of a grid of accuracies, tasks by embeddings; NaN is a missing one."""
    rows = [(f"t{t}e{e}", f"t{t}", f"e{e}", value) for (t, e), value in np.ndenumerate(grid) if not np.isnan(value)]
    return pd.DataFrame(rows, columns=["key", "task", "embedding", "value"]).assign(
        selected=True, split="test", metric="accuracy", corpus_kind="real", n=100, when="2026")


def grid_of(rng: np.random.Generator, tasks: int = 5, embeddings: int = 7) -> np.ndarray:
    """Tasks and embeddings that differ by ten points, residuals of five."""
    hard, good = rng.normal(0, 0.1, (tasks, 1)), rng.normal(0, 0.1, (1, embeddings))
    return 0.6 + hard + good + rng.normal(0, 0.05, (tasks, embeddings))


def test_a_table_with_holes_agrees_with_another_derivation():
    """Dummies for every level, and the pseudo-inverse."""
    y = 100 * grid_of(np.random.default_rng(1))
    y[[0, 0, 2, 4], [1, 2, 6, 0]] = np.nan
    t, e = np.nonzero(~np.isnan(y))
    values, (tasks, embeddings) = y[t, e], y.shape
    x = np.hstack([np.eye(tasks)[t], np.eye(embeddings)[e]])
    rest, alone = (((values - some @ np.linalg.pinv(some) @ values) ** 2).sum() for some in (x, np.eye(tasks)[t]))
    df = len(values) - (tasks + embeddings - 1)
    noise = rest / df
    contrast = np.hstack([np.zeros((embeddings, tasks)), np.eye(embeddings) - 1 / embeddings])
    half = stats.t.ppf(0.975, df) * np.sqrt(noise * np.diag(contrast @ np.linalg.pinv(x.T @ x) @ contrast.T))
    model = effects.regress(rows_of(y / 100))
    by_name = model.effects.set_index("term").loc[[f"e{i}" for i in range(7)]]
    effect = contrast @ np.linalg.pinv(x) @ values
    np.testing.assert_allclose(by_name[["low", "effect", "high"]].T, [effect - half, effect, effect + half], rtol=1e-9)
    assert by_name["n"].tolist() == [4, 4, 4, 5, 5, 5, 4] and by_name["effect"].sum() == pytest.approx(0)
    f, term = (alone - rest) / (embeddings - 1) / noise, model.terms.set_index("kind").loc["embedding"]
    assert term["f"] == pytest.approx(f) and term["p"] == pytest.approx(stats.f.sf(f, embeddings - 1, df))
    assert (term["df"], term["df_residual"]) == (embeddings - 1, df) and model.residual == pytest.approx(np.sqrt(noise))


def test_a_full_table_gives_the_means_of_rows_and_columns_the_newest_result_counts_and_the_sentence_says_so():
    y = 100 * grid_of(np.random.default_rng(0))
    rows = rows_of(y / 100)
    model = effects.regress(pd.concat([rows.assign(value=0.1, when="2020"), rows]))
    effect, share = model.effects.set_index("term")["effect"], model.terms.iloc[0]["share"]
    assert effect[[f"e{i}" for i in range(7)]].tolist() == pytest.approx(y.mean(axis=0) - y.mean())
    assert effect[[f"t{i}" for i in range(5)]].tolist() == pytest.approx(y.mean(axis=1) - y.mean())
    assert model.mean == pytest.approx(y.mean())
    assert f"the embedding {100 * share:.0f} % [" in model.describe() and "of 35 scores" in model.describe()


def test_the_bounds_of_the_share_are_what_their_definition_says():
    """An F as small (large) as the one found has a probability of 2.5 % at the upper (lower) bound: by drawing."""
    model = effects.regress(rows_of(grid_of(np.random.default_rng(2))))
    term = model.terms.set_index("kind").loc["embedding"]
    df, rest, rng = int(term["df"]), int(term["df_residual"]), np.random.default_rng(0)
    for bound, below in ((term["low"], 0.975), (term["high"], 0.025)):
        noncentrality = model.n * bound / (1 - bound)
        drawn = rng.noncentral_chisquare(df, noncentrality, 200_000) / df / (rng.chisquare(rest, 200_000) / rest)
        assert (drawn <= term["f"]).mean() == pytest.approx(below, abs=0.003)
    assert 0 < term["low"] < term["share"] < term["high"] < 1 and term["share"] < term["r2"]


def test_computer_voices_other_scores_and_fine_tuned_networks_are_left_out_and_named():
    y = grid_of(np.random.default_rng(6), 5, 4)
    rows = rows_of(y)
    rows.loc[rows["task"] == "t4", "corpus_kind"] = "synthetic"
    rows.loc[rows["task"] == "t3", "metric"] = "eer"
    rows.loc[rows["embedding"] == "e3", "embedding"] = "trill-mini-finetuned"
    model = effects.regress(rows)
    assert model.n == 9 and set(model.effects["term"]) == {"t0", "t1", "t2", "e0", "e1", "e2"}
    assert set(model.notes) == {"Left out, computer voices: t4.", "Left out, the score is not accuracy: t3.",
                                "Left out, trained for the task: trill-mini-finetuned."}
    voices = effects.regress(rows_of(y).assign(corpus_kind="synthetic"))
    assert voices.speech == "synthetic" and voices.n == 20 and not voices.notes


def test_every_probe_counts_as_one_observation_a_cell():
    rows = fabricated.rows()
    model = effects.regress(rows, every_probe=True)
    test = rows[(rows["split"] == "test") & (rows["corpus_kind"] == "real")]
    means = 100 * test.groupby(["task", "embedding"])["value"].mean().unstack()
    expected = means.mean() - means.to_numpy().mean()
    np.testing.assert_allclose(model.effects.set_index("term")["effect"][expected.index], expected)
    assert model.n == means.size
    by_fold = rows.assign(probe=CHOSEN_BY_FOLD, value=1.0, selected=False)  # which is one of those that count already
    assert effects.regress(pd.concat([rows, by_fold]), every_probe=True).effects.equals(model.effects)


@pytest.mark.parametrize(("grid", "why"), [
    ([[0.5, 0.6, 0.7]], "1 task and 3 embeddings are too few"),
    ([[0.5, 0.6], [0.7, np.nan]], "3 scores of 2 tasks and 2 embeddings are too few"),
    (np.kron([[1, np.nan], [np.nan, 1]], [[0.5, 0.6, 0.7], [0.6, 0.5, 0.6]]), "groups without an embedding or task in"),
    (np.add.outer([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]), "leave no residual")])
def test_what_cannot_be_told_is_refused_with_the_reason(grid, why):
    rows = rows_of(np.array(grid))
    with pytest.raises(Unavailable, match=why):
        effects.regress(rows)
    nothing = effects.regress(rows, strict=False)
    assert nothing.effects.empty and nothing.terms.empty and why in nothing.describe()
