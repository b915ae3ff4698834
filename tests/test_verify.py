"""A number planted wrong anywhere in a report is named with its key and file; a true report has no false alarm."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import reported
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nslib import kept, results, verify
from nslib.errors import NslibError, UnknownName
from nslib.schema import ROWS
from nslib.verify import reading
from nslib.verify.found import same

SOME = settings(max_examples=8, deadline=None, derandomize=True, database=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture])
FEW = settings(SOME, max_examples=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with reported.copied(tmp_path_factory.mktemp("verify")) as place:
        yield place


@pytest.fixture(autouse=True)
def _restored(folder):
    reported.restore(folder)


def wrong(folder, level="scores"):
    found = verify.verify(folder, level=level, progress=False)
    return found[found["ok"].eq(False).fillna(False)]


def other(value):
    """A value of the same type that is not this one."""
    if isinstance(value, bool | np.bool_):
        return not value
    if isinstance(value, int | np.integer):
        return int(value) + 1
    return 0.123456 if isinstance(value, float) and value != 0.123456 else f"{value}x"


# --- no false alarm ---------------------------------------------------------------------------


def test_a_true_report_is_true_in_every_number_that_can_be_recomputed(folder):
    found = verify.verify(folder, level="all", progress=False)
    assert list(found.columns) == verify.COLUMNS and found["ok"].all()
    assert {"results.csv", "results.parquet", "summary.md", "index.html"} <= set(found["file"])
    asked = " ".join(found["what"])
    for what in ("test value", "test low", "test n ", "selected", "data_hash", "answers of the chosen probe",
                 "score and interval", "within-speaker"):
        assert what in asked
    assert "0 wrong, 0 not made" in verify.text(found)


def test_every_combination_is_fitted_at_level_all_and_the_chosen_ones_else(folder):
    fitted = {level: verify.verify(folder, level=level, progress=False)["what"].str.startswith("test value of").sum()
              for level in verify.LEVELS}
    rows, _ = results.load(folder / "results")
    assert fitted["scores"] == 0 and fitted["all"] == (rows["split"] == "test").sum()
    assert 2 <= fitted["chosen"] <= 4  # two results; the best on test may be another combination


# --- planted in each place --------------------------------------------------------------------


@SOME
@given(data=st.data())
def test_any_value_of_the_kept_rows(folder, data):
    reported.restore(folder)
    key = reported.key(folder, data.draw(st.sampled_from(reported.EMBEDDINGS)))
    rows = pd.read_parquet(kept.place(key, "rows", folder / "results"))
    row, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.sampled_from([c.name for c in ROWS]))
    reported.change(folder, "rows", key, row, column, other(rows[column].iloc[row]))
    found = wrong(folder)
    assert (found["key"] == key).any() and found["file"].str.contains("results").any()


@pytest.mark.parametrize("column", ["value", "low", "high", "n", "n_speakers", "chance", "interval_by"])
def test_a_chosen_score_is_recomputed_from_the_answers_even_if_all_tables_agree(folder, column):
    key = reported.key(folder)
    rows = pd.read_parquet(kept.place(key, "rows", folder / "results"))
    number = int(np.flatnonzero(rows["selected"] & (rows["split"] == "test"))[0])
    reported.change(folder, "rows", key, number, column, other(rows[column].iloc[number]))
    everything, _ = results.load(folder / "results")
    for name in ("results.csv", "results.parquet"):
        results.export(everything, folder / name)
    found = wrong(folder)
    assert {key} == set(found["key"]) and f"results/{key}.rows.parquet" in set(found["file"])


@FEW
@given(data=st.data())
def test_any_answer(folder, data):
    reported.restore(folder)
    key = reported.key(folder)
    answers = pd.read_parquet(kept.place(key, "predictions", folder / "results"))
    row = data.draw(st.integers(0, len(answers) - 1))
    column = data.draw(st.sampled_from(["y_true", "y_pred", "speaker", "clip_id", "probe"]))
    reported.change(folder, "predictions", key, row, column, f"{answers[column].iloc[row]}x")
    found = wrong(folder, "chosen")
    assert (found["file"] == f"results/{key}.predictions.parquet").any()


def test_an_answer_that_is_wrong_in_another_way_changes_no_score_and_is_found_by_the_fit(folder):
    key = reported.key(folder)
    answers = pd.read_parquet(kept.place(key, "predictions", folder / "results"))
    wrongly = np.flatnonzero(answers["y_true"] != answers["y_pred"])
    classes = sorted(set(answers["y_true"]))
    row = int(wrongly[0])
    third = next(c for c in classes if c not in (answers["y_true"][row], answers["y_pred"][row]))
    reported.change(folder, "predictions", key, row, "y_pred", third)
    assert wrong(folder).empty
    found = wrong(folder, "chosen")
    assert found["what"].tolist() == [f"answer to {answers['clip_id'][row]}"] and third in found["said"].iloc[0]


@SOME
@given(data=st.data())
def test_any_cell_of_results_csv(folder, data):
    reported.restore(folder)
    path = folder / "results.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    row, column = (data.draw(st.integers(0, n - 1)) for n in table.shape)
    table.iat[row, column] += "1"
    table.to_csv(path, index=False)
    found = wrong(folder)
    assert "results.csv" in set(found["file"]) and (found["key"] != "").any()


@SOME
@given(data=st.data())
def test_any_value_of_results_parquet(folder, data):
    reported.restore(folder)
    path = folder / "results.parquet"
    table = pd.read_parquet(path)
    row, column = (data.draw(st.integers(0, n - 1)) for n in table.shape)
    name = table.columns[column]
    values = table[name].tolist()
    values[row] = other(values[row])
    kept.write(path, table.assign(**{name: values}))
    found = wrong(folder)
    assert "results.parquet" in set(found["file"]) and (found["key"] != "").any()


def digits(text, begin, end):
    """Places of the numbers that a page shows between two marks."""
    start = text.index(begin)
    stop = text.index(end, start)
    return [start + m.start() for m in re.finditer(r"(?<![\w.:#-])\d+\.\d(?!\d|rem|%)", text[start:stop])]


@SOME
@given(data=st.data())
def test_any_number_of_the_summarys_table(folder, data):
    reported.restore(folder)
    path = folder / "summary.md"
    text = path.read_text(encoding="utf-8")
    place = data.draw(st.sampled_from(digits(text, "| Embedding", "\n\n")))
    path.write_text(text[:place] + ("8" if text[place] != "8" else "7") + text[place + 1:], encoding="utf-8")
    assert set(wrong(folder)["file"]) == {"summary.md"}


@SOME
@given(data=st.data())
def test_any_number_of_the_pages_table(folder, data):
    reported.restore(folder)
    path = folder / "index.html"
    text = path.read_text(encoding="utf-8")
    place = data.draw(st.sampled_from(digits(text, "<table", "</table>")))
    path.write_text(text[:place] + ("8" if text[place] != "8" else "7") + text[place + 1:], encoding="utf-8")
    found = wrong(folder)
    assert set(found["file"]) == {"index.html"} and found["key"].str.len().eq(32).all()


def test_a_hash_that_all_tables_agree_on_is_held_to_the_recordings(folder):
    key = reported.key(folder)
    path = kept.place(key, "rows", folder / "results")
    kept.write(path, pd.read_parquet(path).assign(data_hash="0" * 16))
    everything, _ = results.load(folder / "results")
    for name in ("results.csv", "results.parquet"):
        results.export(everything, folder / name)
    found = wrong(folder, "chosen")
    assert set(found.loc[found["what"] == "data_hash", "key"]) == {key}


def test_a_protocols_score_is_recomputed_from_its_answers(folder):
    path = next((folder / "results").glob("*.protocol.parquet"))
    rows = pd.read_parquet(path)
    number = int(np.flatnonzero(rows["selected"] & (rows["split_number"] == "") & (rows["speaker"] == ""))[0])
    reported.change(folder, "protocol", path.name.split(".")[0], number, "high", 0.999)
    found = wrong(folder)
    assert found["file"].tolist() == [f"results/{path.name}"] and "high, within-speaker" in found["what"].iloc[0]


def test_vectors_that_were_changed_do_not_give_the_answers(folder, tmp_path, monkeypatch):
    from nslib.store import Store

    shutil.copytree(reported.vectors().parent, tmp_path / "cache")
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "cache"))
    rows, _ = results.load(folder / "results")
    weights = rows.loc[rows["embedding"] == "mfcc", "weights_hash"].iloc[0]
    store = Store.at(tmp_path / "cache" / "vectors" / weights)
    shard = next(store.path.glob("*.arrow"))
    keys = store._table(shard)["sha256"].to_pylist()
    store.write(shard.stem, keys, store.read(keys)[::-1])
    found = wrong(folder, "chosen")
    assert set(found["embedding"]) == {"mfcc"} and found["file"].str.contains("predictions").any()


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["results.csv", "results.parquet", "summary.md", "index.html"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert name in set(wrong(folder)["file"])


@pytest.mark.parametrize("kind", ["rows", "predictions", "protocol", "answers"])
@pytest.mark.parametrize("cut", [0, 100, -100])
def test_a_cut_table_is_named_and_the_others_are_checked(folder, kind, cut):
    path = next((folder / "results").glob(f"*.{kind}.parquet"))
    path.write_bytes(path.read_bytes()[:cut])
    found = verify.verify(folder, level="scores", progress=False)
    bad = found[found["ok"].eq(False).fillna(False)]
    assert path.name.split(".")[0] in set(bad["key"]) and (found["ok"].fillna(False) & (found["key"] != "")).any()
    assert path.name in verify.text(found)


def test_a_cut_results_parquet_is_named(folder):
    path = folder / "results.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert set(wrong(folder)["file"]) == {"results.parquet"}


def test_a_result_that_only_the_table_has_is_named(folder):
    key = reported.key(folder)
    kept.place(key, "rows", folder / "results").unlink()
    found = wrong(folder)
    assert {"results.csv", "results.parquet"} <= set(found.loc[found["key"] == key, "file"])


def test_what_cannot_be_fitted_here_is_said_and_is_not_wrong(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "empty"))
    found = verify.verify(folder, level="chosen", progress=False)
    skipped = found[found["ok"].isna()]
    assert len(skipped) == 2 and skipped["why"].str.contains("no vectors of these weights").all()
    assert "2 not made" in verify.text(found) and "0 wrong" in verify.text(found)


def test_a_folder_without_results_and_an_unknown_level_are_refused(tmp_path):
    with pytest.raises(NslibError, match="holds no results"):
        verify.verify(tmp_path)
    with pytest.raises(UnknownName, match="Did you mean scores"):
        verify.verify(tmp_path, level="score")


# --- reading pages ----------------------------------------------------------------------------


def test_a_table_is_read_whichever_way_it_lies(tmp_path):
    tasks, embeddings = {"a-task", "a-task-synthetic"}, {"mfcc", "logmel"}
    page = tmp_path / "page.html"
    page.write_text("<table><tr><th>Task</th><th>log\u200bmel</th><th>mfcc</th></tr><tr><th>a-task <small>4 classes, "
                    "chance 25.0 %</small></th><td><b>50.0</b> <i>40.0–60.0</i></td><td>not run</td></tr></table>",
                    encoding="utf-8")
    found = list(reading.crossings(reading.tables(page)[0], tasks, embeddings))
    assert found == [("a-task", "logmel", "50.0 40.0–60.0", {"chance": "25.0", "classes": "4"}),
                     ("a-task", "mfcc", "not run", {"chance": "25.0", "classes": "4"})]
    text = tmp_path / "page.md"
    text.write_text("| Embedding | a-task | a-task-synthetic |\n|---|---|---|\n| chance | 25.0 | 50.0 |\n"
                    "| mfcc | ★ **50.0** [40.0–60.0] | 1.0 [0.0–2.0] |\n")
    found = list(reading.crossings(reading.tables(text)[0], tasks, embeddings))
    assert [(t, e, reading.numbers(said), about) for t, e, said, about in found] == [
        ("a-task", "mfcc", ["50.0", "40.0", "60.0"], {"chance": "25.0"}),
        ("a-task-synthetic", "mfcc", ["1.0", "0.0", "2.0"], {"chance": "50.0"})]


@given(st.floats(allow_nan=True), st.floats(allow_nan=True))
def test_floats_are_the_same_to_the_last_bits_only(a, b):
    assert same(a, a)
    assert same(a, b) == same(b, a)
    assert not same(0.5, 0.5 + 1e-6)
