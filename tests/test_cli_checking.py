"""Verifying a report, comparing two and computing one cell again from a shell: exit codes, and what is said."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest
import reported
from test_cli import call

from nslib import kept

CELL = f"{reported.TASK}/logmel"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with reported.copied(tmp_path_factory.mktemp("checking")) as place:
        yield place


@pytest.fixture(autouse=True)
def _restored(folder):
    reported.restore(folder)


def plant(folder):
    """A wrong score in the kept rows; returns the key."""
    key = reported.key(folder)
    path = kept.place(key, "rows", folder / "results")
    rows = pd.read_parquet(path)
    kept.write(path, rows.assign(value=rows["value"].where(~(rows["selected"] & (rows["split"] == "test")), 0.987)))
    return key


def test_a_true_report_is_exit_code_0(folder, tmp_path, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "report", "--verify", "--out", tmp_path / "checks.csv")
    assert code == 0 and "0 wrong, 0 not made" in out
    assert pd.read_csv(tmp_path / "checks.csv")["ok"].all()


def test_a_planted_number_is_exit_code_1_with_key_and_file(folder, monkeypatch, capsys):
    key = plant(folder)
    code, out, err = call(monkeypatch, capsys, "report", folder, "--verify", "--level", "scores")
    assert code == 1 and f"WRONG results/{key}.rows.parquet: {CELL} test value (key {key}): says 0.987" in out
    assert "WRONG results.csv" in out and "WRONG index.html" in out and "Traceback" not in err


@pytest.mark.parametrize(("words", "said"), [
    (["report"], "--verify"), (["report", "--verify", "--level", "al"], "Did you mean all"),
    (["report", "nowhere", "--verify"], "holds no results"), (["compare", "nowhere", "nowhere"], "no folder nowhere"),
    (["reproduce", "style-sinthetic/logmel"], "Did you mean style-synthetic"),
    (["reproduce", CELL, "--tasks", "language-5"], "leave --tasks"), (["reproduce", "--fresh"], "of one cell"),
    (["reproduce", CELL, "--protocol", "swich"], "Did you mean switch"),
])
def test_wrong_requests_are_exit_code_2(folder, monkeypatch, capsys, words, said):
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 2 and said in err and "Traceback" not in err + out


def test_one_cell_again(folder, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "reproduce", CELL, "--smoke")
    assert code == 0 and CELL in out and "Equal, to the last decimal" in out
    plant(folder)
    code, out, _ = call(monkeypatch, capsys, "reproduce", CELL, "--smoke")
    assert code == 1 and "Moved: score by" in out and "98.7" in out


def test_two_runs_compared(folder, tmp_path, monkeypatch, capsys):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    code, out, _ = call(monkeypatch, capsys, "compare", folder, other, "--out", tmp_path / "compare.md")
    assert code == 0 and "0 moved beyond noise" in out
    assert (tmp_path / "compare.md").read_text(encoding="utf-8").startswith("# Two runs compared\n\n2 scores")
    path = kept.place(reported.key(other), "predictions", other / "results")
    answers = pd.read_parquet(path)
    kept.write(path, answers.assign(y_pred="none of them"))
    code, out, _ = call(monkeypatch, capsys, "compare", folder, other)
    assert code == 1 and "MOVED" in out
