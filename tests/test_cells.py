"""A cell says where its number comes from, and is computed again beside what is kept of it."""

from __future__ import annotations

import shlex

import fabricated
import pandas as pd
import pytest
import reported

from nslib import cells, cells_again, cells_protocol, kept, params, results, store
from nslib.errors import BadParameter, UnknownName

CELL = f"{reported.TASK}/logmel"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with reported.copied(tmp_path_factory.mktemp("cells")) as place:
        yield place


@pytest.fixture(autouse=True)
def _restored(folder):
    reported.restore(folder)


@pytest.fixture
def smoke():
    return params.load({"smoke": True})


def row(**changes):
    rows = fabricated.rows()
    return rows[rows["selected"] & (rows["split"] == "test")].iloc[0].to_dict() | changes


# --- facts and command ------------------------------------------------------------------------


def test_facts_name_everything_that_decides_a_number():
    one = row(task="speaker-fillets", data_hash="d1", split_hash="d2", weights_hash="d3", lock_hash="d4",
              code_revision="d5", seed=7, low=0.5, high=0.75, interval_by="speaker", l2=True, speaker_norm=False)
    found = dict(cells.facts(one))
    for value in ("d1", "d2", "d3", "d4", "d5", "7", "05_benchmark", "L2", "accuracy", one["probe"], "recorded speech",
                  "50.0 to 75.0 (95 %), bootstrap over speakers, 1000 resamples, seed 7", "120 clips", "by level",
                  "2026-01-02 03:04:05 UTC"):
        assert any(value in text for text in found.values()), value
    assert all(isinstance(text, str) and text for text in found.values())
    assert cells.facts(pd.Series(one)) == cells.facts(one)


def test_a_score_that_could_not_be_had_has_no_interval():
    assert dict(cells.facts(row(interval_by="", low=float("nan"))))["Interval"].startswith("none")


@pytest.mark.parametrize(("changes", "smoke", "said"), [
    ({"task": "speaker-fillets", "embedding": "mfcc"}, False, "reproduce speaker-fillets/mfcc"),
    ({"task": "speaker-fillets", "embedding": "mfcc", "seed": 3}, True,
     "reproduce speaker-fillets/mfcc --seed 3 --smoke"),
    ({"task": "savee", "embedding": "trill-layer19"}, False, "reproduce savee/trill-layer19 --profile paper"),
    ({"task": "language-5", "embedding": "trill-mini-finetuned", "probe": "finetuned-mean"}, False,
     "reproduce language-5/trill-mini-finetuned"),
    ({"task": "my words", "embedding": "mfcc"}, False, "benchmark mfcc --dataset FOLDER"),
    ({"task": "language-5", "embedding": "my own"}, False, "benchmark FILE --tasks language-5"),
])
def test_the_command_is_one_that_the_shell_takes(changes, smoke, said):
    command = cells.command(row(**changes), params.load({"smoke": smoke}))
    assert command == f"python -m nslib {said}"
    assert shlex.split(command)[2] == "nslib"


def test_a_fine_tuned_cell_is_of_another_notebook():
    one = row(embedding="trill-mini-finetuned", probe="finetuned-mean")
    assert dict(cells.facts(one))["Notebook"] == "07_finetune"


# --- computed again ---------------------------------------------------------------------------


def test_a_cell_is_equal_from_kept_vectors_and_nothing_is_kept_of_it(folder, smoke):
    before = {path: path.read_bytes() for path in (folder / "results").iterdir()}
    again = cells_again.reproduce(CELL, smoke, progress=False)
    assert again.equal and again.differing == 0 and again.made["key"] == again.kept["key"]
    assert again.made["value"] == again.kept["value"] and (again.made["low"], again.made["high"]) == (
        again.kept["low"], again.kept["high"])
    assert "Equal, to the last decimal" in again.text()
    assert {path: path.read_bytes() for path in (folder / "results").iterdir()} == before


def test_afresh_no_stored_vector_is_read(folder, smoke, monkeypatch):
    opened = []
    monkeypatch.setattr(store.Store, "refresh", lambda self, _old=store.Store.refresh: (opened.append(self.path),
                                                                                      _old(self))[1])
    again = cells_again.reproduce(CELL, smoke, fresh=True, progress=False)
    assert again.equal and opened and not any(path.is_relative_to(reported.vectors()) for path in opened)
    assert not any(path.exists() for path in opened)


def test_the_beginning_of_a_key_names_a_cell(folder, smoke):
    assert cells_again.reproduce(reported.key(folder)[:12], smoke, progress=False).kept["key"] == reported.key(folder)


def test_a_kept_number_that_was_changed_is_told_with_the_reason(folder, smoke):
    path = kept.place(reported.key(folder), "rows", folder / "results")
    rows = pd.read_parquet(path)
    kept.write(path, rows.assign(value=rows["value"].where(~rows["selected"], 0.999)))
    again = cells_again.reproduce(CELL, smoke, progress=False)
    assert not again.equal and "Moved: score by" in again.text()
    assert "Every hash that decides the result is the same" in again.text()


@pytest.mark.parametrize(("changes", "said"), [
    ({"weights_hash": "0" * 16}, "the embedding (weights_hash)."),
    ({"data_hash": "0" * 16, "split_hash": "1" * 16}, "the recordings (data_hash); labels, speakers or splits"),
])
def test_the_hash_that_differs_is_named(folder, smoke, changes, said):
    rows, answers = results.load(folder / "results")
    old = reported.key(folder)
    kept.place(old, "rows", folder / "results").unlink()
    results.save(rows[rows["key"] == old].assign(value=0.1, key="0" * 32, **changes),
                 answers[answers["key"] == old].assign(key="0" * 32), folder / "results")
    again = cells_again.reproduce(CELL, smoke, progress=False)
    assert not again.equal and said in again.text() and "differs" in again.text()


def test_another_version_of_the_probes_is_named_by_the_key_alone(folder, smoke):
    rows, answers = results.load(folder / "results")
    old = reported.key(folder)
    kept.place(old, "rows", folder / "results").unlink()
    results.save(rows[rows["key"] == old].assign(value=0.1, key="f" * 32), answers[:0], folder / "results")
    text = cells_again.reproduce(CELL, smoke, progress=False).text()
    assert "the code of the probes, their settings, or NumPy, SciPy or scikit-learn (key)" in text


def test_where_nothing_is_kept_there_is_nothing_to_compare(tmp_path, folder, smoke):
    again = cells_again.reproduce(CELL, smoke, folder=tmp_path, progress=False)
    assert again.kept is None and again.equal and "nothing to compare it with" in again.text()


@pytest.mark.parametrize(("cell", "said"), [
    ("style-sinthetic/logmel", "Did you mean style-synthetic"), (f"{reported.TASK}/logmell", "Did you mean logmel"),
    ("0000000", "unknown cell"), ("logmel", "unknown cell")])
def test_unknown_names_are_refused_with_the_nearest(folder, smoke, cell, said):
    with pytest.raises(UnknownName, match=said):
        cells_again.reproduce(cell, smoke, progress=False)


@pytest.mark.parametrize(("changes", "cell", "said"), [
    ({"task": "mine"}, "mine/logmel", "--dataset FOLDER"), ({"embedding": "mine"}, f"{reported.TASK}/mine", "FILE")])
def test_what_only_its_owner_has_is_said_with_the_command(folder, smoke, changes, cell, said):
    rows, answers = results.load(folder / "results")
    key = reported.key(folder)
    results.save(rows[rows["key"] == key].assign(key="a" * 32, **changes),
                 answers[:0], folder / "results")
    with pytest.raises(BadParameter, match=said):
        cells_again.reproduce(cell, smoke, progress=False)


# --- protocols --------------------------------------------------------------------------------


def test_a_protocol_is_computed_again(folder, smoke):
    again = cells_protocol.reproduce(CELL, "within-speaker", smoke, progress=False)
    assert again.equal and len(again.kept) == 1 and "equal" in again.text()
    path = next((folder / "results").glob("*.protocol.parquet"))
    rows = pd.read_parquet(path)
    kept.write(path, rows.assign(high=rows["high"] / 2, lock_hash="0" * 16))
    again = cells_protocol.reproduce(CELL, "within-speaker", smoke, progress=False)
    assert not again.equal and "MOVED" in again.text() and "lock hash: kept 0000000000000000" in again.text()


def test_an_unknown_protocol_and_a_key_are_refused(smoke):
    with pytest.raises(UnknownName, match="Did you mean switch"):
        cells_protocol.reproduce(CELL, "swich", smoke)
    with pytest.raises(BadParameter, match="TASK/EMBEDDING"):
        cells_protocol.reproduce("0123456789ab", "switch", smoke)
