"""A number planted wrong in a report is named with its key and file; a true report has no false alarm; a pair again."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import reported

from nslib import config
from nslib.errors import BadParameter, UnknownName
from nslib.evaluation import results
from nslib.extraction.cache import VectorCache
from nslib.report.notebooks import Run
from nslib.report.verify import format_checks, run_again, verify_report

SMOKE = config.Params(smoke=True)


@pytest.fixture
def folder(tmp_path):
    with reported.copied(tmp_path) as place:
        yield place


def find_wrong(folder, level="scores"):
    checks = verify_report(folder, level=level, progress=False)
    return checks[checks["ok"].eq(False).fillna(False)]


def change_value(value):
    """A value of the same type that is not this one."""
    if isinstance(value, str):
        return f"{value}x"
    return not value if isinstance(value, bool | np.bool_) else value + 1


def test_a_true_report_is_true_in_every_number(folder):
    checks = verify_report(folder, level="all", progress=False)
    assert checks["ok"].all() and {"results.csv", "results.parquet"} <= set(checks["file"])
    asked = " ".join(checks["what"])
    for what in ("test low", "selected", "data_hash of the", "answers of the chosen probe", "within-speaker"):
        assert what in asked, what
    assert "0 wrong, 0 not made" in format_checks(checks)


def test_any_value_of_the_stored_rows_that_was_changed_is_named(folder):
    key, columns = reported.key(folder), [name for name in results.ROWS if name != "key"]
    rows = reported.table(folder, key)
    for row, column in zip(itertools.cycle(range(len(rows))), columns, strict=False):
        reported.change(folder, key, "rows", row, column, change_value(rows[column].iloc[row]))
    wrong = find_wrong(folder)
    assert set(columns) <= {what.partition(" of ")[0] for what in wrong["what"]} and set(wrong["key"]) == {key}


def test_an_executed_notebook_that_was_changed_cut_or_deleted_or_whose_record_was_is_named(folder):
    for name in "abcd":
        paths = [folder / "notebooks" / f"{name}.{ending}" for ending in ("html", "ipynb")]
        for path in paths:
            config.write_file(path, "x" * 99)
        run = Run(name, "A", "ran", 1.0, "", "stamp", made={path.name: config.hash_file(path) for path in paths})
        config.write_file(folder / "notebooks" / f"{name}.json", json.dumps(dataclasses.asdict(run)))
    assert not len(find_wrong(folder))
    for name, content in (("a.ipynb", "y" * 99), ("b.html", "x" * 98), ("d.json", "{")):
        (folder / "notebooks" / name).write_text(content)
    (folder / "notebooks" / "c.ipynb").unlink()
    named = ["a.ipynb", "b.html", "c.ipynb", "d.html", "d.ipynb"]
    assert sorted(find_wrong(folder)["file"]) == [f"notebooks/{name}" for name in named]


def test_a_chosen_score_is_recomputed_from_the_answers_even_if_all_tables_agree(folder):
    key, columns = reported.key(folder), ("value", "low", "n", "chance", "interval_by")
    rows, row = reported.table(folder, key), reported.find_chosen(folder, key)
    for column in columns:
        reported.change(folder, key, "rows", row, column, change_value(rows[column].iloc[row]))
    for name in ("results.csv", "results.parquet"):
        results.export_rows(results.load_results(folder / "results")[0], folder / name)
    wrong = find_wrong(folder)
    assert {f"test {column}" for column in columns} <= set(wrong["what"]) and {key} == set(wrong["key"])


def test_an_answer_that_was_changed_is_found_and_if_it_changes_no_score_by_running_again(folder):
    key = reported.key(folder)
    answers = reported.table(folder, key, "predictions")
    wrong = int(np.flatnonzero(answers["y_true"] != answers["y_pred"])[0])
    third = next(c for c in sorted(set(answers["y_true"])) if c not in tuple(answers.loc[wrong, ["y_true", "y_pred"]]))
    reported.change(folder, key, "predictions", wrong, "y_pred", third)
    assert find_wrong(folder).empty
    assert find_wrong(folder, "all")["what"].tolist() == ["answers of the chosen probe that differ"]
    right = int((answers["y_true"] == answers["y_pred"]).to_numpy().argmax())
    for row, column, value in ((right, "y_true", "x"), (0, "probe", "x"), (0, "clip_id", answers["clip_id"].iloc[1])):
        reported.change(folder, key, "predictions", row, column, value)
    assert {"test value", "whose answers", "clips that come twice"} <= set(find_wrong(folder)["what"])


@pytest.mark.parametrize("kinds", [("rows", "protocol"), ("predictions", "answers")])
def test_a_cut_table_is_named_and_the_others_are_checked(folder, kinds):
    paths = [next((folder / "results").glob(f"*.{kind}.parquet")) for kind in kinds]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-100])
    checks = verify_report(folder, progress=False)
    assert {path.name.split(".")[0] for path in paths} <= set(checks.loc[checks["ok"].eq(False), "key"])
    assert (checks["ok"].fillna(False) & (checks["key"] != "")).any()
    assert all(path.name in format_checks(checks) for path in paths)


def test_what_cannot_be_run_here_is_said_and_is_not_wrong(folder):
    rows, answers = (table.assign(task="mine") for table in results.load_results(folder / "results"))
    for name in ("results.csv", "results.parquet"):
        results.export_rows(rows, folder / name)
    results.save_result(rows, answers, folder / "results")
    text = format_checks(verify_report(folder, level="all", progress=False))
    assert "mine/logmel fits" in text and "0 wrong, 2 not made" in text and "--dataset FOLDER" in text


def read_files(home):
    return {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_cell_is_equal_from_stored_vectors_and_nothing_is_kept_of_it(folder, tmp_path):
    before = read_files(folder)
    for cell, settings in ((reported.CELL, SMOKE), (reported.key(folder)[:8], config.Params(smoke=True, seed=7))):
        again = run_again(cell, settings, progress=False)
        assert again.equal and again.differing == 0 and "Equal, to the last decimal" in again.text
    assert read_files(folder) == before
    other = run_again(reported.CELL, SMOKE, folder=tmp_path, progress=False)
    assert not other.stored and other.equal and "nothing to compare it with" in other.text


def test_vectors_that_were_changed_do_not_give_the_score_but_afresh_they_do(folder, tmp_path, monkeypatch):
    shutil.copytree(reported.home() / "cache", tmp_path / "cache", symlinks=True)
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    rows, _ = results.load_results(folder / "results")
    store = VectorCache.at(tmp_path / "cache/vectors" / rows.loc[rows["embedding"] == "logmel", "weights_hash"].iloc[0])
    shard = next(store.path.glob("*.arrow"))
    keys = store._table(shard)["sha256"].to_pylist()
    store.write(shard.stem, keys, store.read(keys)[::-1])
    before = read_files(tmp_path / "cache")
    assert set(find_wrong(folder, "all")["embedding"]) == {"logmel"}
    assert run_again(reported.CELL, SMOKE, fresh=True, progress=False).equal
    assert read_files(tmp_path / "cache") == before


@pytest.mark.parametrize(("changes", "said"), [
    ({}, "Every hash that decides the result is the same"),
    ({"weights_hash": "0" * 16, "key": "0" * 32}, "What differs: the embedding (weights_hash)."),
    ({"data_hash": "0" * 16, "split_hash": "1" * 16, "key": "0" * 32}, "splits (split_hash)."),
    ({"key": "f" * 32}, "the code of the probes, their settings, or NumPy, SciPy or scikit-learn (key)")])
def test_a_number_that_moved_is_told_with_the_reason(folder, changes, said):
    rows, answers = results.load_results(folder / "results")
    key = reported.key(folder)
    results.table_path(key, "rows", folder / "results").unlink()
    rows = rows[rows["key"] == key]
    results.save_result(rows.assign(value=rows["value"].where(~rows["selected"], 0.999), **changes), answers[:0],
                        folder / "results")
    again = run_again(reported.CELL, SMOKE, progress=False)
    assert not again.equal and "Moved: score by" in again.text and said in again.text and "differs" in again.text


def test_a_protocols_score_is_recomputed_from_its_answers_and_run_again(folder):
    again = run_again(reported.CELL, SMOKE, protocol="within-speaker", progress=False)
    assert again.equal and f"{reported.CELL}, within-speaker" in again.text
    path = next((folder / "results").glob("*.protocol.parquet"))
    rows = pd.read_parquet(path)
    results.write_table(path, rows.assign(high=rows["high"] / 2, lock_hash="0" * 16))
    wrong = find_wrong(folder)
    assert set(wrong["file"]) == {f"results/{path.name}"} and "high, within-speaker" in " ".join(wrong["what"])
    again = run_again(reported.CELL, SMOKE, protocol="within-speaker", progress=False)
    assert not again.equal and "Moved: high by" in again.text and "0" * 16 in again.text
    with pytest.raises(UnknownName, match="Did you mean switch"):
        run_again(reported.CELL, SMOKE, protocol="swich")
    with pytest.raises(BadParameter, match="TASK/EMBEDDING"):
        run_again("0123456789ab", SMOKE, protocol="switch")
