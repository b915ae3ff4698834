"""Two runs compared: what moved is named, noise is not, and what differs in their origin is said."""

from __future__ import annotations

import fabricated
import numpy as np
import pandas as pd
import pytest

from nslib import compare, results, schema
from nslib.bootstrap import Difference
from nslib.errors import BadParameter, NslibError
from nslib.paired import Paired

CELL = ("language-five", "logmel")


def true_rows():
    """Made-up rows whose chosen scores are those of the made-up answers."""
    rows, answers = fabricated.rows(), fabricated.predictions()
    right = (answers["y_true"] == answers["y_pred"]).groupby(answers["key"]).mean()
    chosen = rows["selected"] & (rows["split"] == "test")
    rows.loc[chosen, "value"] = rows.loc[chosen, "key"].map(right)
    return rows, answers


def written(folder, rows, answers):
    results.save(rows, answers, folder / "results")
    results.export(rows, folder / "results.parquet")
    return folder


@pytest.fixture
def first(tmp_path):
    return written(tmp_path / "first", *true_rows())


def spoilt(answers, cell, clips, to=None):
    """Answers of a cell with `clips` of them changed: right ones to wrong, or as `to` says."""
    mine = (answers["task"] == cell[0]) & (answers["embedding"] == cell[1])
    right = answers.index[mine & (answers["y_true"] == answers["y_pred"])]
    wrong = answers.index[mine & (answers["y_true"] != answers["y_pred"])]
    changed = answers.copy()
    changed.loc[right[:clips], "y_pred"] = "c9"
    if to == "balanced":
        changed.loc[wrong[:clips], "y_pred"] = changed.loc[wrong[:clips], "y_true"]
    return changed


def second_run(folder, change=lambda rows, answers: (rows, answers)):
    rows, answers = change(*true_rows())
    right = (answers["y_true"] == answers["y_pred"]).groupby(answers["key"]).mean()
    chosen = rows["selected"] & (rows["split"] == "test")
    rows.loc[chosen, "value"] = rows.loc[chosen, "key"].map(right)
    return written(folder, rows, answers)


def test_the_same_run_has_not_moved(first):
    found = compare.compare(first, first)
    assert not found.moved and len(found.cells) == 24 and (found.cells["how"] == compare.PAIRED).all()
    assert (found.cells["answered_differently"] == 0).all() and found.cells["difference"].eq(0).all()
    assert found.origin.empty and found.only.empty and not found.notes
    assert "24 scores are in both runs; 0 moved beyond noise" in found.text()
    assert "24 have the same answer to every clip" in found.text()


def test_what_moved_is_named_with_its_paired_interval(first, tmp_path):
    other = second_run(tmp_path / "second", lambda rows, answers: (rows, spoilt(answers, CELL, 60)))
    found = compare.compare(first, other)
    moved = found.cells[found.cells["moved"]]
    assert [(r.task, r.embedding) for r in moved.itertuples()] == [CELL] and found.moved
    row = moved.iloc[0]
    assert (row["answered_differently"], row["clips"], row["difference"]) == (60, 120, pytest.approx(-60 / 120))
    answers = [a[(a["task"] == CELL[0]) & (a["embedding"] == CELL[1])].sort_values("clip_id")
               for a in (true_rows()[1], spoilt(true_rows()[1], CELL, 60))]
    right = [a["y_true"].to_numpy() == a["y_pred"].to_numpy() for a in answers]
    expected: Difference = Paired.of(right[1], right[0], answers[0]["speaker"]).at()
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["p_adjusted"] == pytest.approx(min(1, 24 * row["p"]))  # the smallest p of Holm's family
    line = next(line for line in found.markdown().splitlines() if "MOVED" in line)
    assert "| language-five | logmel |" in line and "-50.0 [" in line and "60 of 120" in line
    backwards = compare.compare(other, first).cells.set_index(["task", "embedding"]).loc[CELL]
    assert (backwards["difference"], backwards["low"]) == pytest.approx((60 / 120, -row["high"]))


def test_noise_is_shown_and_has_not_moved(first, tmp_path):
    other = second_run(tmp_path / "second", lambda rows, answers: (rows, spoilt(answers, CELL, 2)))
    found = compare.compare(first, other)
    row = found.cells.set_index(["task", "embedding"]).loc[CELL]
    assert not found.moved and row["answered_differently"] == 2 and "2 of 120" in found.text()


def test_answers_can_change_where_the_score_does_not(first, tmp_path):
    other = second_run(tmp_path / "second", lambda rows, answers: (rows, spoilt(answers, CELL, 5, "balanced")))
    found = compare.compare(first, other)
    row = found.cells.set_index(["task", "embedding"]).loc[CELL]
    assert row["difference"] == pytest.approx(0) and row["answered_differently"] == 10 and not found.moved


@pytest.mark.heavy
def test_over_many_cells_nothing_is_said_to_move_where_nothing_differs(first, tmp_path):
    """Every cell answers afresh with the same skill; nslib.paired is held to its rate by its own simulations."""
    rng, answers = np.random.default_rng(0), true_rows()[1]
    alarms = 0
    for number in range(3):
        skill = answers["key"].map((answers["y_true"] == answers["y_pred"]).groupby(answers["key"]).mean())
        runs = []
        for which in "ab":
            right = rng.random(len(answers)) < skill
            fresh = answers.assign(y_pred=answers["y_true"].where(right, "c9"))
            runs.append(second_run(tmp_path / f"{number}{which}", lambda r, _, fresh=fresh: (r, fresh)))
        alarms += compare.compare(*runs).moved
    assert alarms == 0


def test_other_splits_are_compared_as_independent_and_said_so(first, tmp_path):
    def change(rows, answers):
        mine = (rows["task"] == CELL[0])
        return rows.assign(split_hash=rows["split_hash"].where(~mine, "6" * 16)), spoilt(answers, CELL, 60)

    found = compare.compare(first, second_run(tmp_path / "second", change))
    cells = found.cells.set_index(["task", "embedding"])
    assert (cells.loc[CELL[0], "how"] == compare.UNPAIRED).all() and cells["how"].eq(compare.PAIRED).sum() == 18
    row = cells.loc[CELL]
    assert row["moved"] and row["low"] <= row["difference"] <= row["high"] < 0
    own = Paired.of([True] * 60 + [False] * 60, [True] * 120).at()
    assert row["high"] - row["low"] > own.high - own.low  # what pairs share is not taken away
    assert "6 are of other clips or splits" in found.text()
    listed = found.origin.set_index("what").at["split_hash", "cells"]
    assert sorted(listed) == sorted(f"{CELL[0]}/{e}" for e in fabricated.EMBEDDINGS)


def test_what_differs_in_origin_is_listed(first, tmp_path):
    def change(rows, answers):
        mine = rows["embedding"] == "mfcc"
        return rows.assign(lock_hash="2" * 16, weights_hash=rows["weights_hash"].where(~mine, "b" * 16)), answers

    found = compare.compare(first, second_run(tmp_path / "second", change))
    origin = found.origin.set_index("what")
    assert len(origin.at["lock_hash", "cells"]) == 24 and len(origin.at["weights_hash", "cells"]) == 4
    assert "all 24" in found.text() and "2222222222222222" in found.text() and not found.moved


def test_cells_of_one_run_only_are_listed(first, tmp_path):
    def change(rows, answers):
        return rows[rows["embedding"] != "mfcc"], answers[answers["embedding"] != "mfcc"]

    found = compare.compare(first, second_run(tmp_path / "second", change))
    assert found.only["run"].eq("first").all() and len(found.only) == 4 and len(found.cells) == 20
    assert "language-five, phrase-hedgewars, speaker-fillets" in found.text()


def test_runs_without_a_common_cell_say_so(first, tmp_path):
    def change(rows, answers):
        return rows.assign(task="other-" + rows["task"]), answers.assign(task="other-" + answers["task"])

    found = compare.compare(first, second_run(tmp_path / "second", change))
    assert found.cells.empty and not found.moved and "nothing was compared" in found.text()


def test_costs_are_ratios_of_the_pages_ledgers(first, tmp_path):
    other = second_run(tmp_path / "second")
    for folder, seconds in ((first, "1,200"), (other, "600")):
        (folder / "index.html").write_text(
            "<table><tr><th>embedding</th><th>wall seconds</th><th>peak memory gb</th></tr>"
            f"<tr><td>mfcc</td><td>{seconds}</td><td>1.5</td></tr><tr><td>logmel</td><td>–</td><td>–</td></tr></table>",
            encoding="utf-8")
    costs = compare.compare(first, other).costs
    assert costs.index.tolist() == ["mfcc"] and costs.loc["mfcc"].tolist() == [0.5, 1.0]


def test_without_answers_a_cell_is_not_compared(first, tmp_path):
    other = second_run(tmp_path / "second", lambda rows, answers: (rows, answers))
    results.save(true_rows()[0], true_rows()[1][:0], other / "results")
    found = compare.compare(first, other)
    assert (found.cells["how"] == compare.NOT_COMPARED).all() and "could not be compared" in found.text()


@pytest.mark.parametrize(("spoil", "said", "error"), [
    (lambda folder: folder / "nowhere", "there is no folder", NslibError),
    (lambda folder: folder.parent, "holds no results", NslibError),
])
def test_what_is_no_run_is_refused(first, spoil, said, error):
    with pytest.raises(error, match=said):
        compare.compare(first, spoil(first))


def test_another_schema_is_refused(first, tmp_path):
    path = first / "results.parquet"
    pd.read_parquet(path).drop(columns="chance").to_parquet(path)
    with pytest.raises(BadParameter, match=r"another schema.*lack chance"):
        compare.compare(first, first)
    path.write_bytes(b"PAR1")
    with pytest.raises(NslibError, match="cannot be read"):
        compare.compare(first, first)


def test_a_run_without_a_row_is_refused(first, tmp_path):
    (tmp_path / "empty").mkdir()
    results.export(schema.empty(schema.ROWS), tmp_path / "empty" / "results.parquet")
    with pytest.raises(NslibError, match="holds no results of a test"):
        compare.compare(first, tmp_path / "empty")


def test_a_result_that_cannot_be_read_is_said_and_the_others_are_compared(first, tmp_path):
    other = second_run(tmp_path / "second")
    path = next((other / "results").glob("*.rows.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    found = compare.compare(first, other)
    assert len(found.cells) == 24 and any(path.name in note for note in found.notes)
    assert (found.cells["how"] == compare.NOT_COMPARED).sum() == 1
