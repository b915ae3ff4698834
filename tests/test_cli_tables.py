"""Verbs about tables of others: vectors out and in again, a protocol, published numbers, manual steps."""

from __future__ import annotations

import pandas as pd
import pytest
from test_cli import call

SMALL = ("--corpus", "synthetic", "--tasks", "word-synthetic", "--smoke")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("tables")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLIB_CACHE", str(home / "cache"))
        patch.setenv("NSLIB_REPORTS", str(home / "reports"))
        yield home


def test_exported_vectors_give_the_same_scores_when_they_are_read_again(home, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "vectors", "export", "logmel", "mfcc", *SMALL, "--out", home / "out",
                        "--numbers")
    assert code == 0 and "word-synthetic.test-00000-of-00001" in out
    labels = home / "out" / "word-synthetic.label_list.txt"
    code, probed, _ = call(monkeypatch, capsys, "vectors", "probe", home / "out" / "word-synthetic.*-of-00001",
                           "--name", "logmel", "--labels", labels, "--smoke")
    assert code == 0
    code, _, _ = call(monkeypatch, capsys, "benchmark", "logmel", *SMALL, "--out", home / "rows.csv")
    rows = pd.read_csv(home / "rows.csv").query("split == 'test' and selected")
    chosen = [line for line in probed.splitlines() if rows["probe"].item() in line and "True" in line]
    assert any(f"{rows['value'].item():.6f}" in line for line in chosen), (probed, rows["value"].item())


def test_a_protocol_is_one_verb(home, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "protocol", "repeated", "logmel", *SMALL, "--out", home / "repeated.csv")
    assert code == 0 and "word-synthetic" in out
    assert set(pd.read_csv(home / "repeated.csv")["protocol"]) == {"repeated"}
    code, _, err = call(monkeypatch, capsys, "protocol", "repeatd", "logmel", *SMALL)
    assert code == 2 and "Did you mean repeated" in err


def test_published_numbers_are_listed_with_their_status(home, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "published", "list", "noss")
    assert code == 0 and "unverified" in out and "unknown" in out
    code, _, err = call(monkeypatch, capsys, "published", "check", home / "none.pdf")
    assert code == 2 and "none.pdf" in err


def test_a_set_that_must_be_fetched_by_hand_answers_with_the_steps(home, monkeypatch, capsys):
    code, out, _ = call(monkeypatch, capsys, "data", "prepare", "savee")
    assert code == 3 and "AudioData.zip" in out
    code, out, _ = call(monkeypatch, capsys, "data", "status", "--profile", "paper")
    assert code == 0 and "vox_dev_wav.zip" in out
