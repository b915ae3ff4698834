"""Kept results of other embeddings join those of a run, if they are of the same clips."""

from __future__ import annotations

import fabricated
import pandas as pd
import pytest

from nslib import results
from nslib.corpora.table import PROBLEM_COLUMNS
from nslib.findings import Results
from nslib.train import models

TUNED = "trill-mini-finetuned"


def run(rows: pd.DataFrame, answers: pd.DataFrame) -> Results:
    return Results(rows, answers, pd.DataFrame(columns=["task", "embedding", "why", "remedy"]),
                   pd.DataFrame(columns=["task", "embedding", *PROBLEM_COLUMNS]), pd.DataFrame(), [], pd.DataFrame())


@pytest.fixture
def kept(tmp_path):
    """Two tasks fine-tuned on the clips of the run, one twice; a third on other clips, as a smoke run would."""
    tables = fabricated.rows(), fabricated.predictions()
    rows, answers = (table[table["embedding"] == "mfcc"].assign(embedding=TUNED) for table in tables)
    again, elsewhere = {"when": "2027", "value": 0.9}, {"split_hash": "other"}
    for task, changes in (("language-five", {}), ("language-five", again), ("phrase-hedgewars", {}),
                          ("speaker-fillets", elsewhere)):
        key = f"{task.replace('-', '')}{len(changes)}"
        results.save(rows[rows["task"] == task].assign(key=key, **changes),
                     answers[answers["task"] == task].assign(key=key), folder=tmp_path)
    return tmp_path


def test_the_newest_of_each_task_on_the_same_clips_is_taken(kept):
    before = run(fabricated.rows(), fabricated.predictions())
    after = before.with_kept([TUNED], folder=kept)
    mine = results.selected(after.rows).query("embedding == @TUNED").set_index("task")
    assert set(mine.index) == {"language-five", "phrase-hedgewars"} and mine.at["language-five", "value"] == 0.9
    assert set(after.predictions.query("embedding == @TUNED")["key"]) == {"languagefive2", "phrasehedgewars0"}
    assert len(before.rows) == len(fabricated.rows())
    one = ["task", "embedding", "probe", "l2", "speaker_norm", "split"]
    assert len(after.rows) - len(before.rows) == 2 * 40 and not after.rows.duplicated(one).any()


def test_what_is_there_already_or_nowhere_changes_nothing(kept):
    before = run(fabricated.rows(), fabricated.predictions())
    once = before.with_kept([TUNED], folder=kept)
    for again in (once.with_kept([TUNED], folder=kept), once.with_kept(["mfcc", "nobody"], folder=kept)):
        pd.testing.assert_frame_equal(again.rows, once.rows)
    nothing = run(before.rows[:0], before.predictions[:0]).with_kept([TUNED], folder=kept)
    assert nothing.rows.empty and nothing.predictions.empty


def test_fine_tuned_results_of_older_weights_are_not_taken(kept, tmp_path_factory):
    """After training anew, what was fine-tuned from the old weights is no answer to claim 4."""
    before, present = run(fabricated.rows(), fabricated.predictions()), tmp_path_factory.mktemp("present")
    assert TUNED not in set(before.with_fine_tuned(kept).rows["embedding"])
    rows, answers = results.load(kept)
    results.save(rows.assign(weights_hash=models.FILES["trill-mini"].sha256), answers, folder=present)
    assert TUNED in set(before.with_fine_tuned(present).rows["embedding"])
