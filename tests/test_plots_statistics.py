"""Figures of statistics, published numbers and claims say what their tables say."""

from __future__ import annotations

import fabricated
import numpy as np
import pandas as pd
import pytest
import speakers

from nslib import plots
from nslib.paper import claims, published
from nslib.schema import PREDICTIONS, PROTOCOL_ROWS
from nslib.schema import ROWS as COLUMNS
from nslib.statistics import calibration, comparisons, embedding_map, intervals
from nslib.statistics.embedding_map import LABEL, VECTORS

ROWS, ANSWERS = fabricated.rows(), fabricated.predictions()
WORD = "recalled-unverified"


# ------------------------------------------------------------------ comparisons

TWO = ROWS[ROWS["task"].isin(["language-five", "phrase-hedgewars"])]


def test_the_figure_says_what_its_table_says():
    figure, grouped = plots.ties(TWO, ANSWERS), comparisons.group_embeddings(TWO, ANSWERS)
    pd.testing.assert_frame_equal(figure.table[list(grouped)], grouped)
    assert len([a for a in figure.fig.axes if a.get_visible()]) == 3
    best = grouped[grouped["task"] == "language-five"].iloc[0]
    assert f"language-five: {best['embedding']} has the highest score, {100 * best['value']:.0f} %" in figure.alt
    assert "mean of 2 tasks" in figure.alt
    average = figure.table[figure.table["task"] == comparisons.AVERAGE]
    drawn = [t.get_text() for t in figure.fig.axes[0].texts if t.get_text().isalpha()]
    assert "".join(drawn) == "".join(average["letters"]) and (average["low"] < average["value"]).all()
    width = (average["high"] - average["low"]).to_numpy()
    single = figure.table[figure.table["task"] == "language-five"]
    assert width.max() < (single["high"] - single["low"]).max()  # of a mean, hence narrower


def test_one_task_has_one_panel_is_drawn_alike_twice_and_an_unknown_one_is_refused():
    synthetic = plots.ties(ROWS[ROWS["task"] == "style-espeak"], ANSWERS, "style-espeak")
    again = plots.ties(ROWS[ROWS["task"] == "style-espeak"], ANSWERS, "style-espeak")
    assert len(synthetic.fig.axes) == 1 and "style-espeak (synthetic)" in synthetic.alt
    assert again.render("svg") == synthetic.render("svg")
    with pytest.raises(ValueError, match="no answers to 'nothing'"):
        plots.ties(TWO, ANSWERS, "nothing")


# ------------------------------------------------------------------ recall and repeated splits


def test_the_figure_of_recall_has_a_dot_a_class_and_its_numbers():
    figure = plots.recall(ROWS, ANSWERS, "style-espeak", "mfcc")
    pd.testing.assert_frame_equal(figure.table, intervals.recall_by_class(ROWS, ANSWERS, "style-espeak", "mfcc"))
    first = figure.table.iloc[0]
    assert f"{first['label']} {100 * first['recall']:.0f} % ({100 * first['low']:.0f} to" in figure.alt
    dots = [line.get_xdata()[0] for line in figure.fig.axes[0].get_lines() if line.get_marker() == "o"]
    assert dots == pytest.approx((100 * figure.table["recall"]).tolist())
    assert figure.fig.axes[0].get_title(loc="left") == "mfcc on style-espeak (synthetic)"
    assert plots.recall(ROWS, ANSWERS, "style-espeak", "mfcc").render("svg") == figure.render("svg")
    with pytest.raises(ValueError, match="no predictions of 'nobody'"):
        plots.recall(ROWS, ANSWERS, "style-espeak", "nobody")


def test_the_confusion_is_recall_and_says_so_in_numbers():
    own = intervals.recall_by_class(ROWS, ANSWERS, "language-five", "mfcc")
    table = plots.confusion(ANSWERS, "language-five", "mfcc")
    counts = table.table.set_index("y_true")
    for row in own.itertuples():
        assert counts.at[row.label, row.label] == round(row.recall * row.n) and counts.loc[row.label].sum() == row.n
    right = int(sum(counts.at[label, label] for label in counts.index))
    assert f"{right} of 120 clips right over {len(own)} labels" in table.alt


def repeated(scores, mean=None, key="k", when="2026-01-01", **facts):
    """Protocol rows of so many splits: selected ones, one that was not chosen, and the row over all splits."""
    scores = np.asarray(scores)
    shared = {"key": key, "task": "t", "corpus_kind": "real", "embedding": "e", "protocol": "repeated",
              "when": when, "selected": True} | facts
    rows = [shared | {"split_number": str(i), "value": v, "low": v - 0.1, "high": v + 0.1}
            for i, v in enumerate(scores)]
    rows.append(shared | {"split_number": "0", "value": 0.01, "low": 0.0, "high": 0.1, "selected": False})
    whole = scores.mean() if mean is None else mean
    rows.append(shared | {"split_number": "", "value": whole, "low": whole - 0.05, "high": whole + 0.05})
    return fabricated._filled(pd.DataFrame(rows), PROTOCOL_ROWS)


def test_the_figure_of_repeated_splits_has_a_tick_a_split():
    rows = pd.concat([repeated([0.5, 0.6, 0.9]), repeated([0.2, 0.3, 0.3], embedding="f", key="l")], ignore_index=True)
    figure = plots.stability(rows)
    pd.testing.assert_frame_equal(figure.table, intervals.spread_over_splits(rows))
    ticks = [len(line.get_xdata()) for line in figure.fig.axes[0].get_lines() if line.get_marker() == "|"]
    assert ticks[:2] == [3, 3]
    assert "t, e: 67 % over 3 splits, from 50 to 90 %, a standard deviation of 20.8 points" in figure.alt
    assert plots.stability(rows).render("svg") == figure.render("svg")
    with pytest.raises(ValueError, match="no result of repeated splits"):
        plots.stability(rows[:0])


# ------------------------------------------------------------------ calibration


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(5)
    return pd.concat([speakers.sure(rng, 8, 10, over).assign(task=task, embedding=f"e{over:g}")
                      for task in ("one", "two") for over in (0.0, 1.5)], ignore_index=True)


def test_the_diagram_says_what_the_table_says(many):
    figure, off = plots.calibration(many, "one"), calibration.calibration_errors(many[many["task"] == "one"])
    pd.testing.assert_frame_equal(figure.table, calibration.reliability_table(many[many["task"] == "one"]))
    for row in off.itertuples():
        assert f"expected calibration error {100 * row.ece:.1f} points" in figure.alt
    dots = [line for line in figure.fig.axes[0].get_lines() if line.get_marker() == "o"]
    first = figure.table[figure.table["embedding"] == "e0"]
    np.testing.assert_allclose(dots[0].get_ydata(), 100 * first["accuracy"])
    assert len(plots.calibration(many, "one", ["e1.5"]).fig.axes) == 1
    with pytest.raises(ValueError, match="no answers of e9"):
        plots.calibration(many, "one", ["e9"])


def test_the_gaps_are_those_of_the_table(many):
    figure = plots.calibration_gaps(many)
    pd.testing.assert_frame_equal(figure.table, calibration.calibration_errors(many))
    assert "one: 1 of 2 probes are too sure and 0 not sure enough, furthest off e1.5" in figure.alt
    assert plots.calibration_gaps(many).render("svg") == figure.render("svg")
    with pytest.raises(ValueError, match=r"nslib\.confidence"):
        plots.calibration_gaps(many[:0])


# ------------------------------------------------------------------ maps


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
    return embedding_map.map_vectors(x, clips, embedding="made", task="planted", **given)


def row(found, of, space=VECTORS):
    part = found.agreement[(found.agreement["of"] == of) & (found.agreement["space"] == space)]
    assert len(part) == 1
    return part.iloc[0]


def test_the_figure_has_a_panel_by_label_and_one_by_speaker():
    found = drawn(*planted(label=0.5, speaker=0.5))
    made = plots.embedding_map(found)
    titles = [axis.get_title("left") for axis in made.fig.axes]
    seen = row(found, LABEL)
    assert titles[0] == (f"by label: {100 * seen['agreement']:.0f} % of neighbours agree "
                         f"(chance {100 * seen['chance']:.0f} %)")
    assert titles[1].startswith("by speaker: ") and len(titles) == 2
    lines = made.fig.axes[1].get_lines()
    assert len({line.get_marker() for line in lines}) == len(lines) == 8
    assert sum(len(line.get_xdata()) for line in lines) == len(found.points)
    assert plots.embedding_map(found).render("svg") == made.render("svg")


def test_the_sentence_has_the_numbers_of_the_table():
    found = drawn(*planted(label=0.5, speaker=0.5))
    made = plots.embedding_map(found)
    assert len(made.table) == 6 and set(made.table["trustworthiness"]) == {found.trust}
    for seen in made.table.itertuples():
        assert f"{100 * seen.agreement:.0f} %" in made.alt and f"chance {100 * seen.chance:.0f} %" in made.alt
    assert found.describe() in made.alt and "of other speakers only" in made.alt


def test_many_names_are_the_nine_with_most_clips_and_the_others():
    x, clips = planted(speakers=14, takes=2)
    clips = clips[(clips["speaker"] != "s13") | (clips["label"] == "l0")]
    made = plots.embedding_map(drawn(x[clips.index], clips.reset_index(drop=True)))
    labels = [text.get_text() for text in made.fig.axes[1].get_legend().get_texts()]
    assert len(labels) == 10 and "5 others" in labels and "s13" not in labels


def test_one_panel_where_the_label_is_the_speaker():
    x, clips = planted(speaker=1)
    made = plots.embedding_map(drawn(x, clips.assign(label=clips["speaker"])))
    assert [axis.get_title("left")[:30] for axis in made.fig.axes] == ["by label, which is the speaker"]


# ------------------------------------------------------------------ published numbers and claims


def paper_rows(names=("trill-layer19", "frill", "logmel"), of=("crema_d", "savee", "voxforge")) -> pd.DataFrame:
    """Made-up rows of NOSS tasks, with test sets of the builder's size."""
    made = pd.concat([_scores(task, name) for task in of for name in names], ignore_index=True)
    return fabricated._filled(made, COLUMNS)


def _scores(task: str, name: str) -> pd.DataFrame:
    size = {"crema_d": 1556, "savee": 120, "voxforge": 30000}.get(task, 120)
    made = [fabricated._row(value, task=task, corpus_kind="real", classes=6, embedding=name, split=split, probe=probe,
                            l2=False, speaker_norm=False)
            | {"selected": probe == "a", "best_on_test": probe == "b" and split == "test", "n": size,
               "low": value - 0.05, "high": value + 0.05}
            for probe, value in (("a", 0.60), ("b", 0.66)) for split in ("validation", "test")]
    return pd.DataFrame(made)


def test_the_figure_has_only_what_was_compared():
    found = published.judge_results(paper_rows())
    figure = plots.against_published(found)
    assert len(figure.table) == len(published.keep_compared(found))
    assert set(figure.table["status"]) <= set(published.VERIFIED)
    assert WORD not in figure.alt and "trill-layer19 on crema_d: reproduced, published 65.9 %" in figure.alt
    with pytest.raises(ValueError, match="nothing to draw"):
        plots.against_published(published.judge_results(fabricated.rows()))


ALL = {"trill-layer19": 0.80, "trill-top": 0.55, "trill-distilled": 0.78, "untrained": 0.40, "logmel": 0.50,
       "mfcc": 0.50, "opensmile-compare": 0.55}
NOSS = ("crema_d", "savee", "voxforge")


def measured(scores: dict[str, float], tasks=NOSS, *, clips: int = 300, speakers: int = 10, seed: int = 0,
             kind: str = "real") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and answers of embeddings that are right on the share of clips that `scores` says."""
    rows, answers = [], []
    for t, task in enumerate(tasks):
        hard = np.random.default_rng([seed, t]).permutation(clips) / clips
        for name, score in scores.items():
            key = f"{task}{name}".replace("-", "").replace("_", "")
            rows.append({"key": key, "task": task, "embedding": name, "corpus_kind": kind, "metric": "accuracy",
                         "selected": True, "split": "test", "value": score, "n": clips})
            right = hard < score
            answers.append(pd.DataFrame({
                "key": key, "task": task, "embedding": name, "clip_id": [f"{task}/{i}" for i in range(clips)],
                "speaker": [f"s{i % speakers}" for i in range(clips)], "y_true": "a",
                "y_pred": np.where(right, "a", "b")}))
    return fabricated._filled(pd.DataFrame(rows), COLUMNS), fabricated._filled(pd.concat(answers), PREDICTIONS)


def test_the_differences_behind_the_claims_are_drawn():
    parts = claims.judge_claims(*measured(ALL))
    figure = plots.claim_differences(parts)
    assert len(figure.table) == (parts["tasks"] > 0).sum()
    assert "claim 1, trill-layer19 minus logmel (3 tasks): +30.0 points" in figure.alt
    assert "claim 6" not in figure.alt  # these scores are exactly additive: no regression


def test_the_figure_shows_the_share_of_claim_6_apart_from_the_differences():
    rows, answers = measured(ALL)
    rows = rows.assign(value=rows["value"] + np.random.default_rng(0).normal(0, 0.01, len(rows)))
    figure = plots.claim_differences(claims.judge_claims(rows, answers))
    assert len(figure.fig.axes) == 2 and "claim 6, share of variance explained by the embedding (3 tasks)" in figure.alt
    alone = plots.claim_differences(claims.judge_claims(rows, answers.iloc[:0]))
    assert len(alone.fig.axes) == 1 and alone.table["claim"].tolist() == [6]
