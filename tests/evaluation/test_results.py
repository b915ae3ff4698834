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
from nslib.extraction import cache
from nslib.statistics.scores import select_scores

HASHES = {"data_hash": "d" * 16, "split_hash": "s" * 16, "weights_hash": "w" * 16}
SETTINGS = {"probes": ("LogisticRegression",), "metric": "accuracy", "seed": 0}


def vectors(name, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(20) % 2
    speakers, clips = ([f"{name}{i % m}" for i in range(20)] for m in (5, 20))
    return probe.LabelledVectors(rng.normal(size=(20, 3)) + y[:, None], np.array(["no", "yes"])[y],
                                 np.array(speakers), np.array(clips))


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


TABLES = (results.ROWS, results.PREDICTIONS, results.PROTOCOL_ROWS, results.PROTOCOL_ANSWERS, results.LEDGER)


def test_the_page_explains_every_column_of_every_table():
    sections = (config.root() / "docs" / "results.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) == len(TABLES)
    for section, columns in zip(sections, TABLES, strict=True):
        shown = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", section, re.MULTILINE)
        assert shown == [(c.name, c.dtype, c.unit or "–", c.meaning) for c in columns], "mend docs/results.md"
        assert len({c.name for c in columns}) == len(columns) and all(c.meaning for c in columns)


def test_the_ledgers_columns_are_those_that_costs_have_and_complete_rows_conform(make):
    cost = cache.Cost(computed=2, padded=1, audio_seconds=3.0, samples_real=1, samples_fed=2, wall_seconds=1.5,
                      watched_seconds=1.5, devices=["CPU:0"])
    ledger, types = {"embedding": "mfcc", **cost.summary()}, {"str": str, "int": int, "float": float}
    assert list(ledger) == [c.name for c in results.LEDGER]
    assert all(isinstance(ledger[c.name], types[c.dtype]) for c in results.LEDGER)
    rows, predictions = make()
    assert rows.columns.tolist() == [c.name for c in results.ROWS]
    assert predictions.columns.tolist() == [c.name for c in results.PREDICTIONS]
    assert set(rows["code_revision"]) == {config.code_revision()} and rows["when"].str.endswith("+00:00").all()
    nothing = results.join_tables([], results.ROWS)
    assert nothing.empty and nothing.dtypes.equals(rows.dtypes)
    assert len(results.join_tables([rows, rows], results.ROWS)) == 2 * len(rows)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [(lambda rows: rows.rename(columns={"value": "valeu"}), UnknownName, "Did you mean value"),
     (lambda rows: rows.drop(columns="chance"), BadParameter, "lack chance"),
     (lambda rows: rows.assign(value="high"), BadParameter, "'value' must be float"),
     (lambda rows: rows.assign(n=0.5), BadParameter, "'n' must be int"),
     (lambda rows: rows.assign(selected=1), BadParameter, "'selected' must be bool"),
     (lambda rows: rows.assign(task=None), BadParameter, "'task' must be str"),
     (lambda rows: rows.assign(key="other"), BadParameter, "predictions without rows"),
     (lambda rows: rows.assign(key="../up"), BadParameter, "letters and digits")])
def test_rows_off_the_schema_are_refused_and_nothing_is_written(make, tmp_path, change, error, message):
    rows, predictions = make()
    answers = predictions[:0] if message == "letters and digits" else predictions
    with pytest.raises(error, match=message):
        results.save_result(change(rows), answers, tmp_path / "results")
    assert list(tmp_path.rglob("*")) == []


def test_key_changes_with_all_that_decides_the_result(monkeypatch):
    base = {"task": "t", "embedding": "e", **HASHES, "settings": SETTINGS}
    keys = [results.make_key(**base)]
    keys += [results.make_key(**{**base, name: "other"}) for name in base if name != "settings"]
    keys += [results.make_key(**{**base, "settings": {**SETTINGS, "seed": 1}}),
             results.make_key(**{**base, "settings": {**SETTINGS, "probes": ("LDA_LSQR_AUTO",)}})]
    with monkeypatch.context() as patch:
        patch.setattr(probe, "PROBE_VERSION", probe.PROBE_VERSION + 1)
        keys.append(results.make_key(**base))
    with monkeypatch.context() as patch:
        patch.setattr(config, "package_versions", lambda _: {"scikit-learn": "0"})
        keys.append(results.make_key(**base))
    assert len(set(keys)) == len(keys)
    again = {**base, "settings": dict(reversed(SETTINGS.items()))}
    assert results.make_key(**again) == keys[0]


def test_save_load_find(make, tmp_path, monkeypatch):
    assert len(results.load_results(tmp_path / "none")[0]) == 0
    first, second = make(), make(embedding="logmel")
    both = [pd.concat(tables) for tables in zip(first, second, strict=True)]
    assert len(results.save_result(*both, tmp_path)) == 2
    same(results.find_result(first[0]["key"].iloc[0], tmp_path), first)
    assert results.find_result("0" * 32, tmp_path) is None
    rows, predictions = results.load_results(tmp_path)
    assert len(rows) == 16 and len(predictions) == 40 and set(rows["embedding"]) == {"mfcc", "logmel"}
    assert rows.dtypes.equals(first[0].dtypes)
    results.save_result(*first, tmp_path)  # the same key again adds nothing
    assert len(results.load_results(tmp_path)[0]) == 16
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path))
    assert results.save_result(*first)[0].parent == tmp_path / "results"


@pytest.mark.parametrize("break_it", ["cut", "empty", "noise", "bit", "schema", "gone", "other key"])
@pytest.mark.parametrize("kind", ["rows", "predictions"])
def test_a_broken_file_is_named_left_out_and_replaced(make, tmp_path, break_it, kind):
    good, bad = make(), make(embedding="logmel")
    for pair in (good, bad):
        results.save_result(*pair, tmp_path)
    key = bad[0]["key"].iloc[0]
    path = tmp_path / f"{key}.{kind}.parquet"
    content = path.read_bytes()
    if break_it == "gone":
        path.unlink()
    elif break_it == "schema":
        pd.read_parquet(path).drop(columns="seed").to_parquet(path)
    elif break_it == "other key":
        pd.read_parquet(path).assign(key="a" * 32).to_parquet(path)
    else:
        flipped = content[:60] + bytes([content[60] ^ 1]) + content[61:]  # inside the first page
        broken = {"cut": content[:-50], "empty": b"", "noise": b"x" * 500, "bit": flipped}
        path.write_bytes(broken[break_it])
    if kind == "rows" and break_it == "gone":
        assert len(results.load_results(tmp_path)[0]) == 8 and results.find_result(key, tmp_path) is None
        return
    with pytest.warns(UserWarning, match=f"1 results were left out: .*{path.name}"):
        rows, predictions = results.load_results(tmp_path)
    assert set(rows["embedding"]) == set(predictions["embedding"]) == {"mfcc"}
    with pytest.warns(UserWarning, match="computed again"):
        assert results.find_result(key, tmp_path) is None
    results.save_result(*bad, tmp_path)
    same(results.find_result(key, tmp_path), bad)


def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_a_full_disk_loses_nothing_that_was_kept(make, tmp_path, monkeypatch, name):
    good = make()
    results.save_result(*good, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    with monkeypatch.context() as patch, pytest.raises(NslibError, match="no space left"):
        patch.setattr(os, name, full)
        results.save_result(*make(embedding="logmel"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    same(results.load_results(tmp_path), good)


def test_a_run_killed_between_the_two_files_leaves_no_result(make, tmp_path, monkeypatch):
    replace = os.replace

    def killed(source, target):
        if str(target).endswith(".rows.parquet"):
            raise KeyboardInterrupt
        replace(source, target)

    pair = make()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        results.save_result(*pair, tmp_path)
    assert results.find_result(pair[0]["key"].iloc[0], tmp_path) is None and results.load_results(tmp_path)[0].empty


def test_table_shows_value_interval_chance_and_what_was_not_run(make):
    rows = pd.concat([make()[0], make(embedding="logmel")[0], make(task="tones", kind="synthetic")[0]],
                     ignore_index=True)
    shown = results.table(rows)
    assert shown.index.tolist() == ["words", "tones (synthetic)"]
    assert shown.columns.tolist() == ["metric", "chance", "interval over", "mfcc", "logmel"]
    row = select_scores(rows).iloc[0]
    assert shown.loc["words", "mfcc"] == f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    assert shown.loc["words"].tolist()[:3] == ["accuracy", "0.50", "speakers"]
    assert shown.loc["tones (synthetic)", "logmel"] == "not run"
    assert results.table(rows[:0]).empty


def test_export_holds_every_row_in_full_precision(make, tmp_path):
    rows = make()[0]
    results.export_rows(rows, tmp_path / "all.csv")
    results.export_rows(rows, tmp_path / "all.parquet")
    from_csv = pd.read_csv(tmp_path / "all.csv", keep_default_na=False, float_precision="round_trip")
    for back in (from_csv, pd.read_parquet(tmp_path / "all.parquet")):
        assert back["low"].tolist() == rows["low"].tolist() and back.columns.tolist() == rows.columns.tolist()
    with pytest.raises(BadParameter, match="parquet"):
        results.export_rows(rows, tmp_path / "all.xlsx")


TUNED = results.FINE_TUNED


@pytest.fixture
def stored(tmp_path):
    """Two tasks fine-tuned on the clips of the run, one twice; a third on other clips, as a smoke run would."""
    tables = fabricated.rows(), fabricated.predictions()
    rows, answers = (table[table["embedding"] == "mfcc"].assign(embedding=TUNED) for table in tables)
    again, elsewhere = {"when": "2027", "value": 0.9}, {"split_hash": "other"}
    for task, changes in (("language-five", {}), ("language-five", again), ("phrase-hedgewars", {}),
                          ("speaker-fillets", elsewhere)):
        key = f"{task.replace('-', '')}{len(changes)}"
        results.save_result(rows[rows["task"] == task].assign(key=key, **changes),
                            answers[answers["task"] == task].assign(key=key), folder=tmp_path)
    return tmp_path


def test_the_newest_of_each_task_on_the_same_clips_is_taken_once(stored):
    before = results.ResultsBuilder().results()
    before.rows, before.predictions = fabricated.rows(), fabricated.predictions()
    after = before.with_stored([TUNED], folder=stored)
    added = select_scores(after.rows).query("embedding == @TUNED").set_index("task")
    assert set(added.index) == {"language-five", "phrase-hedgewars"} and added.at["language-five", "value"] == 0.9
    assert set(after.predictions.query("embedding == @TUNED")["key"]) == {"languagefive2", "phrasehedgewars0"}
    one = ["task", "embedding", "probe", "l2", "speaker_norm", "split"]
    assert len(after.rows) - len(before.rows) == 2 * 40 and not after.rows.duplicated(one).any()
    for again in (after.with_stored([TUNED], folder=stored), after.with_stored(["mfcc", "nobody"], folder=stored)):
        pd.testing.assert_frame_equal(again.rows, after.rows)
    nothing = results.ResultsBuilder().results().with_stored([TUNED], folder=stored)
    assert nothing.rows.empty and nothing.predictions.empty


def test_fine_tuned_results_of_older_weights_are_not_taken(stored, tmp_path_factory):
    """After training anew, what was fine-tuned from the old weights is no answer to claim 4."""
    before, present = results.ResultsBuilder().results(), tmp_path_factory.mktemp("present")
    before.rows = fabricated.rows()
    assert TUNED not in set(before.with_fine_tuned(stored).rows["embedding"])
    rows, answers = results.load_results(stored)
    results.save_result(rows.assign(weights_hash=networks.WEIGHT_FILES["trill-mini"].sha256), answers, folder=present)
    assert TUNED in set(before.with_fine_tuned(present).rows["embedding"])
