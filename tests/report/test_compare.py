"""Two runs compared: what moved is named, noise is not, and what differs in their origin is said."""

import fabricated
import pandas as pd
import pytest

from nslib.errors import BadParameter, NslibError
from nslib.evaluation import results
from nslib.report import compare
from nslib.report.compare import compare_reports
from nslib.statistics.comparisons import Paired

CELL, EMBEDDINGS = ("language-five", "logmel"), ("logmel", "mfcc", "untrained")
# two tasks by three embeddings of the made-up results
ROWS, ANSWERS = (table[table["task"].isin(["language-five", "speaker-fillets"]) & table["embedding"].isin(EMBEDDINGS)]
                 .reset_index(drop=True) for table in (fabricated.rows(), fabricated.predictions()))
IS_RIGHT = ANSWERS["y_true"] == ANSWERS["y_pred"]
OF_CELL = (ANSWERS["task"] == CELL[0]) & (ANSWERS["embedding"] == CELL[1])


def write_run(folder, rows=ROWS, answers=ANSWERS):
    """A report whose chosen scores are those of the answers."""
    right = (answers["y_true"] == answers["y_pred"]).groupby(answers["key"]).mean()
    chosen = rows["selected"] & (rows["split"] == "test")
    rows = rows.assign(value=rows["value"].mask(chosen, rows["key"].map(right)))
    results.save_result(rows, answers, folder / "results")
    results.export_rows(rows, folder / "results.parquet")
    return folder


@pytest.fixture
def first(tmp_path):
    return write_run(tmp_path / "first")


def spoil(clips):
    """Answers of `CELL` with `clips` right ones made wrong."""
    changed = ANSWERS.copy()
    changed.loc[ANSWERS.index[OF_CELL & IS_RIGHT][:clips], "y_pred"] = "c9"
    return changed


def by_cell(compared):
    return compared.cells.set_index(["task", "embedding"])


def test_neither_the_same_run_nor_noise_has_moved(first, tmp_path):
    same = compare_reports(first, first)
    assert not same.moved and len(same.cells) == 6 and (same.cells["how"] == compare.PAIRED).all()
    assert same.cells[["answered_differently", "difference"]].eq(0).all(axis=None)
    assert same.origin.empty and same.only.empty and not same.notes
    assert "6 scores are in both runs; 0 moved beyond noise" in same.text()
    noise = compare_reports(first, write_run(tmp_path / "second", answers=spoil(2)))
    assert not noise.moved and by_cell(noise).loc[CELL, "difference"] == pytest.approx(-2 / 120)
    assert "2 of 120" in noise.text()


def test_what_moved_is_named_with_its_paired_interval(first, tmp_path):
    compared = compare_reports(first, write_run(tmp_path / "second", answers=spoil(60)))
    row = by_cell(compared).loc[CELL]
    assert compared.cells["moved"].sum() == 1 and row["moved"] and compared.moved
    assert row["difference"] == pytest.approx(-60 / 120)
    after = spoil(60)[OF_CELL]
    expected = Paired.of(after["y_true"] == after["y_pred"], IS_RIGHT[OF_CELL], after["speaker"]).at()
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert row["p_adjusted"] == pytest.approx(min(1, 6 * row["p"]))  # the smallest p of Holm's family
    line = next(line for line in compared.markdown().splitlines() if "MOVED" in line)
    assert "| language-five | logmel |" in line and "-50.0 [" in line and "60 of 120" in line


def test_other_splits_are_compared_as_independent_and_said_so(first, tmp_path):
    rows = ROWS.assign(split_hash=ROWS["split_hash"].where(ROWS["task"] != CELL[0], "6" * 16))
    compared = compare_reports(first, write_run(tmp_path / "second", rows, spoil(60)))
    cells = by_cell(compared)
    assert (cells.loc[CELL[0], "how"] == compare.UNPAIRED).all() and cells["how"].eq(compare.PAIRED).sum() == 3
    row = cells.loc[CELL]
    assert row["moved"] and row["low"] <= row["difference"] <= row["high"] < 0
    assert "3 are of other clips or splits" in compared.text()
    assert set(compared.origin.set_index("what").at["split_hash", "cells"]) == {f"{CELL[0]}/{e}" for e in EMBEDDINGS}


def test_what_differs_in_origin_and_what_one_run_lacks_is_listed(first, tmp_path):
    weights = ROWS["weights_hash"].where(ROWS["embedding"] != "mfcc", "b" * 16)
    compared = compare_reports(first, write_run(tmp_path / "a", ROWS.assign(lock_hash="2" * 16, weights_hash=weights)))
    origin = compared.origin.set_index("what")
    assert len(origin.at["lock_hash", "cells"]) == 6 and len(origin.at["weights_hash", "cells"]) == 2
    assert "2222222222222222" in compared.text() and not compared.moved
    fewer = compare_reports(first, write_run(tmp_path / "b", *(t[t["embedding"] != "mfcc"] for t in (ROWS, ANSWERS))))
    assert fewer.only["run"].eq("first").all() and len(fewer.only) == 2 and len(fewer.cells) == 4
    other = compare_reports(first, write_run(tmp_path / "c", *(t.assign(task="mine") for t in (ROWS, ANSWERS))))
    assert other.cells.empty and not other.moved and "nothing was compared" in other.text()


def test_without_answers_a_cell_is_not_compared_and_the_others_are(first, tmp_path):
    second = tmp_path / "second"
    path = next((write_run(second) / "results").glob("*.rows.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    compared = compare_reports(first, second)
    assert len(compared.cells) == 6 and any(path.name in note for note in compared.notes)
    assert (compared.cells["how"] == compare.NOT_COMPARED).sum() == 1 and "could not be compared" in compared.text()


def test_what_is_no_run_is_refused(first, tmp_path):
    with pytest.raises(NslibError, match="there is no folder"):
        compare_reports(first, tmp_path / "nowhere")
    results.export_rows(ROWS[:0], tmp_path / "empty" / "results.parquet")
    with pytest.raises(NslibError, match="holds no results of a test"):
        compare_reports(first, tmp_path / "empty")
    path = first / "results.parquet"
    pd.read_parquet(path).drop(columns="chance").to_parquet(path)
    with pytest.raises(BadParameter, match=r"another schema.*lack chance"):
        compare_reports(first, first)
    path.write_bytes(b"PAR1")
    with pytest.raises(NslibError, match="cannot be read"):
        compare_reports(first, first)
