"""The model card; the README shows the table of a real full run, with names that exist."""

import re
import runpy

import fabricated
import pytest

from nslib import config, embeddings
from nslib.datasets import tasks
from nslib.errors import NslibError
from nslib.report.cards import make_model_card

BEGIN, END, copy_result_table = map(runpy.run_path(str(config.data_dir() / "update_readme.py")).get,
                                    ("BEGIN", "END", "copy_result_table"))

SUMMARY = ("# T\n\n| Embedding | a |\n|---|---|\n| chance | 20.0 |\n| clips / speakers | 40 / 3 |\n"
           "| logmel | 30.0 [20.0–40.0] |\n| mfcc | 35.0 [20.0–40.0] |\n\nMore.\n- A note: **odd**.\n"
           "## Claims\n- 1. TRILL is better (mini): **holds**. By 3 points.\n"
           "- 6. It matters: **undecided**. Perhaps.\n")


def test_the_card_has_facts_contract_and_what_was_measured():
    mine, rows = embeddings.get("logmel"), fabricated.rows()
    report = embeddings.check(mine)
    text = make_model_card(mine, report, rows.assign(weights_hash=mine.fingerprint))
    for said in ("# logmel", mine.fingerprint, "keeps the contract", "speaker-fillets", "To be filled in"):
        assert said in text, said
    assert "Nothing yet" in make_model_card(mine, report, rows)


def test_the_table_of_a_full_run_goes_between_the_markers_and_again(tmp_path):
    page, summary = tmp_path / "README.md", tmp_path / "summary.md"
    page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    for spoilt in ("no table", SUMMARY + "Smoke run: the numbers mean nothing."):
        summary.write_text(spoilt)
        with pytest.raises(NslibError, match="no table of a full run"):
            copy_result_table(summary, page, "abc123")
    summary.write_text(SUMMARY)
    copy_result_table(summary, page, "abc123")
    once = page.read_text()
    assert once.startswith("before\n") and once.endswith("after\n") and "stale" not in once
    assert "| logmel | 30.0 [20.0–40.0] |" in once and "abc123" in once
    assert once.endswith("claims:\n\n- 1. TRILL is better (mini): **holds**. By 3 points.\n- 6. It matters: "
                         f"**undecided**. Perhaps.\n{END}\nafter\n") and "odd" not in once
    copy_result_table(summary, page, "abc123", ("mf",))
    assert "| clips / speakers |" in page.read_text() and "logmel" not in page.read_text()
    with pytest.raises(NslibError, match="lacks the markers"):
        copy_result_table(summary, summary, "abc123")


def test_readme_of_the_kit_has_the_default_tasks_and_embeddings():
    text = (config.root() / "README.md").read_text().split(BEGIN)[1].split(END)[0]
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("|")]
    usual = {name for name in embeddings.names("quick") if not embeddings.needs_extra(name)}
    assert {row[1] for row in rows} >= usual | {"chance", "clips / speakers"}
    assert set(head) - {"", "Embedding"} == set(tasks.choose_task_names(config.Params()))
    for value, low, high in re.findall(r"([\d.]+)\**\s\[([\d.]+)–([\d.]+)\]", text):
        assert 0 <= float(low) <= float(value) <= float(high) <= 100
