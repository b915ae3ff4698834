"""One page that says what was found and where each number comes from; the tables for LaTeX say the same."""

import re
from types import SimpleNamespace

import fabricated
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from nslib import config
from nslib.figures import Figure
from nslib.paper import published
from nslib.report import html
from nslib.report.html import write_report
from nslib.report.notebooks import Run
from nslib.report.verify import write_command
from nslib.statistics.scores import select_scores

NOT_RUN = ["task", "embedding", "why", "remedy"]
NOSS = ("voxceleb", "voxforge", "speech_commands", "crema_d", "savee", "dementiabank")
STEPS = "1. Register.\n2. Put AudioData.zip into\n   <manual>/savee\n3. Run the same command again."
QUICK, SMOKE, PAPER = (config.load_params(given) for given in ({}, {"smoke": True}, {"profile": "paper"}))


def make_results(**changes):
    made = {
        "rows": fabricated.rows(), "predictions": fabricated.predictions(), "ledger": fabricated.ledger(),
        "not_run": pd.DataFrame([("language-five", "opensmile-egemaps", "not installed", "Get it")], columns=NOT_RUN),
        "problems": pd.DataFrame([("language-five", "logmel", "clip <7>", "clip7.wav", "the file is empty", "Again")],
                                 columns=["task", "embedding", "clip_id", "audio", "reason", "remedy"]),
        "notes": ["z-scores are transductive"]}
    return SimpleNamespace(**(made | changes))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    run = Run("05_benchmark", "The benchmark", "failed", 3.0, "cell [4] ('x') failed: ValueError: no", "s")
    return write_report(make_results(), SMOKE, clips=fabricated.clips(), runs=[run],
                        out=tmp_path_factory.mktemp("reports"))


def read_words(path):
    return " ".join(BeautifulSoup(path.read_text(), "html.parser").get_text(" ").split())


def test_the_page_is_complete_in_itself(built):
    text = built.read_text()
    page = BeautifulSoup(text, "html.parser")
    (script,) = page("script")  # the one that copies, in the page itself
    assert not script.attrs and not re.findall(r"fetch\(|XMLHttp|import\b", script.text)
    assert not page("link") and not re.findall(r"url\(|@import|src=\"https?:", text)
    for picture in page("img"):
        assert (built.parent / picture["src"]).with_suffix(".csv").exists() and re.search(r"\d", picture["alt"])
    ids = [tag["id"] for tag in page(id=True)]
    assert len(ids) == len(set(ids)) and page.html["lang"] == "en" and len(page("h1")) == 1
    for target in (link["href"] for link in page("a") if not link["href"].startswith("notebooks/")):
        assert target[1:] in ids if target.startswith("#") else (built.parent / target).exists(), target


def test_every_score_is_a_button_with_its_facts_and_command(built):
    text, scores = built.read_text(), select_scores(fabricated.rows())
    for row in scores.to_dict("records"):
        assert f"{100 * row['value']:.1f}" in text and f"{100 * row['low']:.1f}–{100 * row['high']:.1f}" in text
        assert f"<code>{write_command(row, SMOKE)}</code>" in text
    buttons = re.findall(r'<button[^>]*popovertarget="([^"]+)"', text)
    assert len(buttons) >= len(scores) and all(f'id="{b}"' in text for b in buttons)


def test_the_page_says_what_it_is_not(built):
    words = read_words(built)
    for said in ("Smoke run: the numbers mean nothing.", "never the paper's numbers", "style-espeak (synthetic)",
                 "not installed", "clip <7>", "the file is empty", "z-scores are transductive", "cell [4] ('x') failed",
                 "optimistic", "No published number applies to this profile", "needs trill-layer19"):
        assert said in words, said
    assert 'id="published"' not in built.read_text() and "differ," not in words


def test_files_beside_the_page(built):
    home, rows = built.parent, fabricated.rows()
    pd.testing.assert_frame_equal(pd.read_parquet(home / "results.parquet"), rows)
    assert len(pd.read_csv(home / "results.csv")) == len(rows) and len(pd.read_csv(home / "problems.csv")) == 1
    assert {path.name for path in (home / "tables").iterdir()} == {"results.tex", "claims.tex", "cost.tex"}
    summary = (home / "summary.md").read_text()
    table = [line.split("|") for line in summary.splitlines() if line.startswith("|")]
    assert {len(cells) for cells in table} == {3 + len(fabricated.TASKS)}
    assert {cells[1].strip() for cells in table[4:]} == set(fabricated.EMBEDDINGS) and "mean nothing" in summary


def test_a_cell_that_did_not_run_and_computer_voices_alone_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "_draw_figures", lambda *_: [])
    rows = fabricated.rows()
    fewer = rows[~((rows["task"] == "language-five") & (rows["embedding"] == "mfcc"))]
    text = write_report(make_results(rows=fewer), QUICK, out=tmp_path, runs=[]).read_text()
    assert text.count('<a href="#not-run">not run</a>') == 1 and "Smoke run" not in text
    assert "not run |" in (tmp_path / "summary.md").read_text() and "Synthetic speech only." not in text
    synthetic = make_results(rows=rows.query("corpus_kind == 'synthetic'"))
    assert "Synthetic speech only." in write_report(synthetic, QUICK, out=tmp_path, runs=[]).read_text()


def paper_results(ran=()):
    """Results of the paper profile: some tasks with made-up scores, the rest not run, each for its reason."""
    names = {"task": {"speaker-fillets": "crema_d", "language-five": "savee"},
             "embedding": {"mfcc": "trill-layer19", "untrained": "trill-top"}}
    embeddings = ["trill-layer19", "trill-top", "logmel"]
    rows, predictions = (table[table["task"].isin(ran) & table["embedding"].isin(embeddings)] for table in (
        fabricated.rows().assign(n=1556).replace(names), fabricated.predictions().replace(names)))
    missing = [(t, e, f"the archive of {t} is not here", STEPS) for e in embeddings for t in NOSS if t not in ran]
    return make_results(rows=rows, predictions=predictions, ledger=pd.DataFrame(), problems=pd.DataFrame(), notes=[],
                        not_run=pd.DataFrame(missing, columns=NOT_RUN))


def test_a_paper_run_without_data_is_a_page_that_says_what_to_do(tmp_path):
    (tmp_path / "problems.csv").write_text("of an earlier run")
    path = write_report(paper_results(), PAPER, out=tmp_path)
    text, words = path.read_text(), read_words(path)
    for said in ("None of 6 tasks of NOSS could be run here", "Paper profile: 0 of 18 results.", "Nothing was scored",
                 "0 reproduced, 0 differ, 11 not run", "No notebook has been run", "every clip could be read"):
        assert said in words, said
    assert text.count("every embedding") == 6 and text.count("<p>the archive of") == 6
    assert "   &lt;manual&gt;/savee" in text and "   <manual>/savee" in (tmp_path / "summary.md").read_text()
    assert not (tmp_path / "figures").exists() and not (tmp_path / "problems.csv").exists()


def test_a_paper_run_with_some_results_has_verdicts_and_claims(tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "save", lambda figure, folder: None)  # which takes most of the time
    path = write_report(paper_results(ran=("crema_d", "savee")), PAPER, out=tmp_path, runs=[])
    text, words = path.read_text(), read_words(path)
    for said in ("3 embeddings on 2 of 6 tasks of NOSS", "Paper profile: 6 of 18 results.", "quoted by COLA", "65.9 %",
                 "No result at all on VoxCeleb, VoxForge, Speech Commands, DementiaBank.", "FRILL's model card: TRILL",
                 "Layer 19 of TRILL beats its final embedding on every task"):
        assert said in words, said
    assert 'src="figures/against_published.svg"' in text and 'src="figures/claim_differences.svg"' in text
    assert "model card: TRILL | crema_d × trill-layer19 | 65.9 % |" in (tmp_path / "summary.md").read_text()
    # no recalled number is on the page without the word
    cells = published.load_numbers()
    recalled = cells[(cells["status"] == "recalled-unverified") & (cells["embedding"] != "") & (cells["task"] != "")]
    assert len(re.findall(r">([\d.]+ %) \(recalled-unverified\)<", text)) == len(recalled) > 30
    bare = {value.partition(" (")[0] for value in recalled["shown"]} - set(cells.query("status == 'seen'")["shown"])
    assert not [value for value in bare if f">{value}<" in text]


def test_notes_that_differ_in_name_and_numbers_become_one():
    names = ("logmel", "mfcc", "trill-mini-top")
    notes = ["style: logmel: 34 of 240 fits ended.", "style: mfcc: 61 of 240 fits ended.", "other: mfcc: 3 failed.",
             *["style: A caution."] * 2, *(f"t: {name}: 2 clips left out." for name in names)]
    assert html.group_notes(notes, names) == [
        "style: … of 240 fits ended: logmel 34, mfcc 61.", "other: mfcc: 3 failed.", "style: A caution.",
        "t: 2 clips left out: logmel, mfcc, trill-mini-top."]


def test_facts_name_everything_that_decides_a_number():
    facts = {"data_hash": "d1", "split_hash": "d2", "weights_hash": "d3", "lock_hash": "d4", "code_revision": "d5",
             "seed": 7, "low": 0.5, "high": 0.75}
    cell = html.build_result_table(fabricated.rows().query("task == 'speaker-fillets'").assign(**facts))["cells"][0]
    shown = dict(cell["facts"])
    for name, value in {"Data": "d1 (recorded speech)", "Split": "d2 (by level", "Weights": "d3", "Lock file": "d4",
                        "Code": "d5", "Seed": "7", "Notebook": "05_benchmark", "When": "2026-01-02 03:04:05",
                        "Interval": "50.0 to 75.0 % (95 % interval), bootstrap over speakers, 1000 resamples, seed 7",
                        "Test set": "120 clips, 6 speakers, 4 classes", "Chosen probe": cell["probe"]}.items():
        assert value in shown[name], name


@pytest.mark.parametrize(("task", "embedding", "probe", "seed", "smoke", "said"), [
    ("speaker-fillets", "mfcc", "", 3, True, "reproduce speaker-fillets/mfcc --seed 3 --smoke"),
    ("savee", "trill-layer19", "", 0, False, "reproduce savee/trill-layer19 --profile paper"),
    ("language-5", "trill-mini-finetuned", "finetuned-mean", 0, False, "reproduce language-5/trill-mini-finetuned"),
    ("my words", "mfcc", "", 0, False, "benchmark mfcc --dataset FOLDER"),
    ("language-5", "my own", "", 0, False, "benchmark FILE --tasks language-5")])
def test_the_command_is_one_that_the_shell_takes(task, embedding, probe, seed, smoke, said):
    row = {"task": task, "embedding": embedding, "probe": probe, "seed": seed}
    assert write_command(row, SMOKE if smoke else None) == f"python -m nslib {said}"


def test_the_latex_table_has_every_score_and_marks_best_and_tied():
    table = html.build_result_table(fabricated.rows(), fabricated.predictions())
    text = html.format_latex_results(table)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = text[text.index("tabular}{") + 9:].split("}")[0]
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {len(columns)} == {1 + len(fabricated.TASKS)}
    assert all(f"{100 * cell['value']:.1f}" in text for cell in table["cells"])
    standings = [cell["standing"] for cell in table["cells"]]
    assert text.count(r"\textbf") == standings.count("best") and text.count(r"\underline") == standings.count("tied")


def test_what_latex_takes_for_commands_is_escaped():
    texts = {"a_b & 5 % \\": r"a\_b \& 5 \% \textbackslash{}", "x<y>z": r"x\textless{}y\textgreater{}z",
             "1–2 × ≈": r"1--2 $\times$ $\approx$", "{$#^~}": r"\{\$\#\textasciicircum{}\textasciitilde{}\}"}
    table = html.format_latex_words("A caption\nof two lines, 5 %", ["a_b"], [[text] for text in texts], "X")
    assert all(f"\n{written} \\\\\n" in table for written in texts.values())
    assert table.startswith("% A caption of two lines, 5 %\n\\begin{tabularx}{\\textwidth}{X}")
