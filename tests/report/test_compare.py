"""Two runs compared: what moved is named, noise is not, and what differs in their origin is said."""

from __future__ import annotations

import fabricated
import pandas as pd
import pytest

from nslib.errors import BadParameter, NslibError
from nslib.evaluation import results
from nslib.report import compare
from nslib.report.compare import compare_reports
from nslib.statistics.comparisons import Paired

CELL, EMBEDDINGS = ("language-five", "logmel"), ("logmel", "mfcc", "untrained")


def choose(table):
    """Two tasks by three embeddings of the made-up results."""
    chosen = table["task"].isin(["language-five", "speaker-fillets"]) & table["embedding"].isin(EMBEDDINGS)
    return table[chosen].reset_index(drop=True)


ROWS, ANSWERS = choose(fabricated.rows()), choose(fabricated.predictions())


def unchanged(rows, answers):
    return rows, answers


def write_run(folder, change=unchanged):
    """A report of made-up answers, whose chosen scores are those of the answers."""
    rows, answers = change(ROWS.copy(), ANSWERS)
    right = (answers["y_true"] == answers["y_pred"]).groupby(answers["key"]).mean()
    chosen = rows["selected"] & (rows["split"] == "test")
    rows.loc[chosen, "value"] = rows.loc[chosen, "key"].map(right)
    results.save_result(rows, answers, folder / "results")
    results.export_rows(rows, folder / "results.parquet")
    return folder


@pytest.fixture
def first(tmp_path):
    return write_run(tmp_path / "first")


def spoil(answers, clips, balance=False):
    """Answers of `CELL` with `clips` right ones made wrong, and as many wrong ones right if they are balanced."""
    mine = (answers["task"] == CELL[0]) & (answers["embedding"] == CELL[1])
    right = answers.index[mine & (answers["y_true"] == answers["y_pred"])][:clips]
    wrong = answers.index[mine & (answers["y_true"] != answers["y_pred"])][:clips]
    changed = answers.copy()
    changed.loc[right, "y_pred"] = "c9"
    if balance:
        changed.loc[wrong, "y_pred"] = changed.loc[wrong, "y_true"]
    return changed


def test_the_same_run_has_not_moved(first):
    found = compare_reports(first, first)
    assert not found.moved and len(found.cells) == 6 and (found.cells["how"] == compare.PAIRED).all()
    assert (found.cells["answered_differently"] == 0).all() and found.cells["difference"].eq(0).all()
    assert found.origin.empty and found.only.empty and not found.notes
    assert "6 scores are in both runs; 0 moved beyond noise" in found.text()
    assert "6 have the same answer to every clip" in found.text()


def test_what_moved_is_named_with_its_paired_interval(first, tmp_path):
    other = write_run(tmp_path / "second", lambda rows, answers: (rows, spoil(answers, 60)))
    found = compare_reports(first, other)
    row = found.cells[found.cells["moved"]].squeeze()
    assert (row["task"], row["embedding"]) == CELL and found.moved
    assert (row["answered_differently"], row["clips"], row["difference"]) == (60, 120, pytest.approx(-60 / 120))
    answers = [a[(a["task"] == CELL[0]) & (a["embedding"] == CELL[1])].sort_values("clip_id")
               for a in (ANSWERS, spoil(ANSWERS, 60))]
    right = [a["y_true"].to_numpy() == a["y_pred"].to_numpy() for a in answers]
    expected = Paired.of(right[1], right[0], answers[0]["speaker"]).at()
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["p_adjusted"] == pytest.approx(min(1, 6 * row["p"]))  # the smallest p of Holm's family
    line = next(line for line in found.markdown().splitlines() if "MOVED" in line)
    assert "| language-five | logmel |" in line and "-50.0 [" in line and "60 of 120" in line
    backwards = compare_reports(other, first).cells.set_index(["task", "embedding"]).loc[CELL]
    assert (backwards["difference"], backwards["low"]) == pytest.approx((60 / 120, -row["high"]))


@pytest.mark.parametrize(("clips", "balance", "answered"), [(2, False, 2), (5, True, 10)])
def test_noise_is_shown_and_has_not_moved(first, tmp_path, clips, balance, answered):
    other = write_run(tmp_path / "second", lambda rows, answers: (rows, spoil(answers, clips, balance)))
    found = compare_reports(first, other)
    row = found.cells.set_index(["task", "embedding"]).loc[CELL]
    assert not found.moved and row["answered_differently"] == answered and f"{answered} of 120" in found.text()
    assert row["difference"] == pytest.approx(0 if balance else -clips / 120)


def test_other_splits_are_compared_as_independent_and_said_so(first, tmp_path):
    def change(rows, answers):
        return rows.assign(split_hash=rows["split_hash"].where(rows["task"] != CELL[0], "6" * 16)), spoil(answers, 60)

    found = compare_reports(first, write_run(tmp_path / "second", change))
    cells = found.cells.set_index(["task", "embedding"])
    assert (cells.loc[CELL[0], "how"] == compare.UNPAIRED).all() and cells["how"].eq(compare.PAIRED).sum() == 3
    row = cells.loc[CELL]
    assert row["moved"] and row["low"] <= row["difference"] <= row["high"] < 0
    own = Paired.of([True] * 60 + [False] * 60, [True] * 120).at()
    assert row["high"] - row["low"] > own.high - own.low  # what pairs share is not taken away
    assert "3 are of other clips or splits" in found.text()
    listed = found.origin.set_index("what").at["split_hash", "cells"]
    assert sorted(listed) == sorted(f"{CELL[0]}/{e}" for e in EMBEDDINGS)


def test_what_differs_in_origin_is_listed(first, tmp_path):
    def change(rows, answers):
        weights = rows["weights_hash"].where(rows["embedding"] != "mfcc", "b" * 16)
        return rows.assign(lock_hash="2" * 16, weights_hash=weights), answers

    found = compare_reports(first, write_run(tmp_path / "second", change))
    origin = found.origin.set_index("what")
    assert len(origin.at["lock_hash", "cells"]) == 6 and len(origin.at["weights_hash", "cells"]) == 2
    assert "all 6" in found.text() and "2222222222222222" in found.text() and not found.moved


def test_cells_of_one_run_only_are_listed(first, tmp_path):
    def without(rows, answers):
        return rows[rows["embedding"] != "mfcc"].copy(), answers[answers["embedding"] != "mfcc"]

    def renamed(rows, answers):
        return rows.assign(task="other-" + rows["task"]), answers.assign(task="other-" + answers["task"])

    found = compare_reports(first, write_run(tmp_path / "second", without))
    assert found.only["run"].eq("first").all() and len(found.only) == 2 and len(found.cells) == 4
    assert "language-five, speaker-fillets" in found.text()
    found = compare_reports(first, write_run(tmp_path / "third", renamed))
    assert found.cells.empty and not found.moved and "nothing was compared" in found.text()


def test_without_answers_a_cell_is_not_compared(first, tmp_path):
    other = write_run(tmp_path / "second")
    results.save_result(ROWS, ANSWERS[:0], other / "results")
    found = compare_reports(first, other)
    assert (found.cells["how"] == compare.NOT_COMPARED).all() and "could not be compared" in found.text()


def test_a_result_that_cannot_be_read_is_said_and_the_others_are_compared(first, tmp_path):
    other = write_run(tmp_path / "second")
    path = next((other / "results").glob("*.rows.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    found = compare_reports(first, other)
    assert len(found.cells) == 6 and any(path.name in note for note in found.notes)
    assert (found.cells["how"] == compare.NOT_COMPARED).sum() == 1


def test_what_is_no_run_is_refused(first, tmp_path):
    with pytest.raises(NslibError, match="there is no folder"):
        compare_reports(first, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NslibError, match="holds no results of a test"):
        compare_reports(first, tmp_path / "empty")
    results.export_rows(results.empty_table(results.ROWS), tmp_path / "empty" / "results.parquet")
    with pytest.raises(NslibError, match="holds no results of a test"):
        compare_reports(first, tmp_path / "empty")
    path = first / "results.parquet"
    pd.read_parquet(path).drop(columns="chance").to_parquet(path)
    with pytest.raises(BadParameter, match=r"another schema.*lack chance"):
        compare_reports(first, first)
    path.write_bytes(b"PAR1")
    with pytest.raises(NslibError, match="cannot be read"):
        compare_reports(first, first)
