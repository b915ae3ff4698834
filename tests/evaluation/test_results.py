"""Results: columns, keys, a store that survives broken files and full disks, tables, results of others."""

import errno
import os
import re

import fabricated
import numpy as np
import pandas as pd
import pytest

from nslib import config
from nslib.embeddings import networks
from nslib.errors import BadParameter, NslibError, UnknownName
from nslib.evaluation import probe, results
from nslib.evaluation.controls import CONTROLS
from nslib.extraction import cache
from nslib.statistics.scores import select_scores

HASHES = {"data_hash": "d" * 16, "split_hash": "s" * 16, "weights_hash": "w" * 16}
SETTINGS = {"probes": ("LogisticRegression",), "metric": "accuracy", "seed": 0}


def vectors(name, seed):
    y, names = np.arange(20) % 2, np.array([f"{name}{i}" for i in range(20)])
    x = np.random.default_rng(seed).normal(size=(20, 3)) + y[:, None]
    return probe.LabelledVectors(x, np.array(["no", "yes"])[y], names[np.arange(20) % 5], names)


@pytest.fixture(scope="module")
def grid():
    return probe.grid(*(vectors(n, i) for i, n in enumerate("abc")), probes=["LogisticRegression"])


@pytest.fixture
def make(grid):
    def complete(task="words", embedding="mfcc", kind="real", **changes):
        named = {**HASHES, **changes}
        key = results.make_key(task=task, embedding=embedding, settings=SETTINGS, **named)
        return results.add_origin(grid, key=key, task=task, embedding=embedding, corpus_kind=kind, **named)

    return complete


def same(found, expected):
    for one, other in zip(found, expected, strict=True):
        pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


TABLES = (results.ROWS, results.PREDICTIONS, results.PROTOCOL_ROWS, results.PROTOCOL_ANSWERS, CONTROLS, results.LEDGER)


def test_the_page_explains_every_column_of_every_table():
    sections = (config.root() / "docs" / "results.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) == len(TABLES)
    for section, columns in zip(sections, TABLES, strict=True):
        shown = re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \| .+ \|$", section, re.MULTILINE)
        assert shown == list(columns.items()), "mend docs/results.md"


def test_the_ledgers_columns_are_those_that_costs_have_and_complete_rows_conform(make):
    ledger, types = {"embedding": "mfcc", **cache.Cost().summary()}, {"str": str, "int": int, "float": float}
    assert list(ledger) == list(results.LEDGER)
    assert all(isinstance(ledger[name], types[dtype]) for name, dtype in results.LEDGER.items())
    rows, predictions = make()
    assert list(rows) == list(results.ROWS) and list(predictions) == list(results.PREDICTIONS)
    assert results.join_tables([], results.ROWS).dtypes.equals(rows.dtypes)
    assert len(results.join_tables([rows, rows], results.ROWS)) == 2 * len(rows)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [(lambda rows: rows.rename(columns={"value": "valeu"}), UnknownName, "Did you mean value"),
     (lambda rows: rows.drop(columns="chance"), BadParameter, "lack chance"),
     (lambda rows: rows.assign(n=0.5), BadParameter, "'n' must be int"),
     (lambda rows: rows.assign(key="other"), BadParameter, "predictions without rows"),
     (lambda rows: rows.assign(key="../up"), BadParameter, "letters and digits")])
def test_rows_off_the_schema_are_refused_and_nothing_is_written(make, tmp_path, change, error, message):
    rows, predictions = make()
    with pytest.raises(error, match=message):
        results.save_result(change(rows), predictions[: 0 if "letters" in message else None], tmp_path / "results")
    assert list(tmp_path.rglob("*")) == []


def test_key_changes_with_all_that_decides_the_result(monkeypatch):
    base = {"task": "t", "embedding": "e", **HASHES, "settings": SETTINGS}
    keys = [results.make_key(**base)]
    assert results.make_key(**{**base, "settings": dict(reversed(SETTINGS.items()))}) == keys[0]
    keys += [results.make_key(**{**base, name: "other"}) for name in base if name != "settings"]
    keys.append(results.make_key(**{**base, "settings": {**SETTINGS, "seed": 1}}))
    for module, name, value in ((probe, "PROBE_VERSION", 99), (config, "package_versions", lambda _: {"numpy": "0"})):
        monkeypatch.setattr(module, name, value)
        keys.append(results.make_key(**base))
    assert len(set(keys)) == len(keys)


def test_save_load_find(make, tmp_path, monkeypatch):
    assert len(results.load_results(tmp_path / "none")[0]) == 0
    first, second = make(), make(embedding="logmel")
    both = [pd.concat(tables) for tables in zip(first, second, strict=True)]
    assert len(results.save_result(*both, tmp_path)) == 2
    same(results.find_result(first[0]["key"].iloc[0], tmp_path), first)
    assert results.find_result("0" * 32, tmp_path) is None
    results.save_result(*first, tmp_path)  # the same key again adds nothing
    rows, predictions = results.load_results(tmp_path)
    assert len(rows) == 16 and len(predictions) == 40 and rows.dtypes.equals(first[0].dtypes)
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path))
    assert results.save_result(*first)[0].parent == tmp_path / "results"


def flip(path):
    content = path.read_bytes()
    path.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])  # inside the first page


@pytest.mark.parametrize(("kind", "damage"), [
    ("rows", flip), ("predictions", lambda path: path.write_bytes(b"")), ("predictions", lambda path: path.unlink()),
    ("rows", lambda path: pd.read_parquet(path).drop(columns="seed").to_parquet(path)),
    ("predictions", lambda path: pd.read_parquet(path).assign(key="a" * 32).to_parquet(path))])
def test_a_broken_file_is_named_left_out_and_replaced(make, tmp_path, kind, damage):
    good, bad = make(), make(embedding="logmel")
    for pair in (good, bad):
        results.save_result(*pair, tmp_path)
    key = bad[0]["key"].iloc[0]
    path = tmp_path / f"{key}.{kind}.parquet"
    damage(path)
    with pytest.warns(UserWarning, match=f"1 results were left out: .*{path.name}"):
        rows, predictions = results.load_results(tmp_path)
    assert set(rows["embedding"]) == set(predictions["embedding"]) == {"mfcc"}
    with pytest.warns(UserWarning, match="computed again"):
        assert results.find_result(key, tmp_path) is None
    results.save_result(*bad, tmp_path)
    same(results.find_result(key, tmp_path), bad)


@pytest.mark.parametrize(("stop", "seen", "words"), [
    (OSError(errno.ENOSPC, "no space"), NslibError, "no space left"), (KeyboardInterrupt(), KeyboardInterrupt, None)])
def test_a_full_disk_or_a_kill_between_two_files_loses_nothing(make, tmp_path, monkeypatch, stop, seen, words):
    good, replace = make(), os.replace
    results.save_result(*good, tmp_path)

    def stopped(source, target):
        if str(target).endswith(".rows.parquet"):
            raise stop
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    other = make(embedding="logmel")
    with pytest.raises(seen, match=words):
        results.save_result(*other, tmp_path)
    assert results.find_result(other[0]["key"].iloc[0], tmp_path) is None
    assert seen is KeyboardInterrupt or not list(tmp_path.glob(".tmp-*"))
    same(results.load_results(tmp_path), good)


def test_table_shows_value_interval_chance_and_what_was_not_run(make):
    rows = pd.concat([make()[0], make(embedding="logmel")[0], make(task="tones", kind="synthetic")[0]],
                     ignore_index=True)
    shown = results.table(rows)
    assert shown.columns.tolist() == ["metric", "chance", "interval over", "mfcc", "logmel"]
    row = select_scores(rows).iloc[0]
    norms = " +L2" * int(row["l2"]) + " +z" * int(row["speaker_norm"])
    cell = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] {row['probe']}{norms}"
    assert norms and cell in shown._repr_html_() and "..." not in str(shown)
    assert max(map(len, str(shown).splitlines())) <= 80 and str(shown).count(cell.split("] ")[1]) == 3
    assert shown.loc["words"].tolist() == ["accuracy", "0.50", "speakers", cell, cell]
    assert shown.loc["tones (synthetic)", "logmel"] == "not run"


def test_named_protocols_choose_among_the_same_fits():
    rows = fabricated.rows()
    chosen = {name: results.select_by_protocol(rows, name) for name in results.PROTOCOLS}
    pd.testing.assert_frame_equal(chosen["validation"], select_scores(rows))
    assert all(len(part) == 24 and (part["split"] == "test").all() for part in chosen.values())
    for key, part in rows.groupby("key"):
        found = {name: table.set_index("key").loc[key] for name, table in chosen.items()}
        test = part[part["split"] == "test"].set_index(["probe", "l2", "speaker_norm"])["value"]
        assert found["authors-2021"]["value"] == test.max()
        two = part[(part["split"] == "validation") & part["probe"].isin(["LogisticRegression",
                                                                         "LogisticRegression_balanced"])]
        two = two[two["speaker_norm"] & ~two["l2"]].set_index("probe")["value"]
        assert (found["authors-2020"]["probe"], found["authors-2020"]["value"]) == (
            two.idxmax(), test[two.idxmax(), False, True])
    unknown = rows.assign(speaker_norm=False)  # where speakers are unknown there is no z-score, and no such protocol
    assert results.select_by_protocol(unknown, "authors-2020").empty
    with pytest.raises(UnknownName, match="authors-2020, authors-2021, validation"):
        results.select_by_protocol(rows, "authors")


def test_export_holds_every_row_in_full_precision(make, tmp_path):
    rows = make()[0]
    results.export_rows(rows, tmp_path / "all.csv")
    results.export_rows(rows, tmp_path / "all.parquet")
    for back in (pd.read_csv(tmp_path / "all.csv", float_precision="round_trip"),
                 pd.read_parquet(tmp_path / "all.parquet")):
        assert back["low"].tolist() == rows["low"].tolist() and back.columns.tolist() == rows.columns.tolist()
    with pytest.raises(BadParameter, match="parquet"):
        results.export_rows(rows, tmp_path / "all.xlsx")


TUNED = results.FINE_TUNED


@pytest.fixture
def stored(tmp_path):
    """Two tasks fine-tuned on the clips of the run, one twice; a third on other clips, as a smoke run would."""
    tables = fabricated.rows(), fabricated.predictions()
    rows, answers = (table[table["embedding"] == "mfcc"].assign(embedding=TUNED) for table in tables)
    for task, changes in (("language-five", {}), ("language-five", {"when": "2027", "value": 0.9}),
                          ("phrase-hedgewars", {}), ("speaker-fillets", {"split_hash": "other"})):
        key = f"{task.replace('-', '')}{len(changes)}"
        results.save_result(rows[rows["task"] == task].assign(key=key, **changes),
                            answers[answers["task"] == task].assign(key=key), folder=tmp_path)
    return tmp_path


def test_the_newest_of_each_task_on_the_same_clips_with_these_weights_is_taken_once(stored, tmp_path_factory):
    before = results.ResultsBuilder().results()
    before.rows, before.predictions = fabricated.rows(), fabricated.predictions()
    after = before.with_stored([TUNED], folder=stored)
    added = select_scores(after.rows).query("embedding == @TUNED").set_index("task")
    assert set(added.index) == {"language-five", "phrase-hedgewars"} and added.at["language-five", "value"] == 0.9
    assert set(after.predictions.query("embedding == @TUNED")["key"]) == {"languagefive2", "phrasehedgewars0"}
    assert len(after.rows) - len(before.rows) == 2 * 40
    for again in (after.with_stored([TUNED], folder=stored), after.with_stored(["mfcc", "nobody"], folder=stored)):
        pd.testing.assert_frame_equal(again.rows, after.rows)
    assert results.ResultsBuilder().results().with_stored([TUNED], folder=stored).rows.empty
    present = tmp_path_factory.mktemp("present")  # what was stored is of older weights
    assert TUNED not in set(before.with_fine_tuned(stored).rows["embedding"])
    rows, answers = results.load_results(stored)
    results.save_result(rows.assign(weights_hash=networks.WEIGHT_FILES["trill-mini"].sha256), answers, folder=present)
    assert TUNED in set(before.with_fine_tuned(present).rows["embedding"])
