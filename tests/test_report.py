"""The report: notebooks run strictly and only when needed; one page that says what was found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import fabricated
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat import v4

from nslib import cells, params, report
from nslib import results as results_module
from nslib.errors import UnknownName
from nslib.report import pages, sections, stamps, tables
from nslib.report import runs as runner
from nslib.schema import PREDICTIONS, ROWS

PARAMETERS = "seed = 0  # whole number\nsmoke = None  # True or False"
GOOD = 'import nslib\nprint("seed", seed, smoke)\nnslib.check(seed >= 0, "the seed is not negative")'
PYTHON = "import sys\nprint(sys.executable)"
BAD = "broken = 1 / 0"


def notebook(*sources):
    cells = [
        v4.new_markdown_cell("# A title"),
        v4.new_markdown_cell("Parameters"),
        v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
    ]
    for source in (*sources, "seed, smoke"):
        cells += [
            v4.new_markdown_cell("## 1. Prose <b>& more</b>\n\nSee [the other](b.ipynb)."),
            v4.new_code_cell(source),
        ]
    return v4.new_notebook(
        cells=[*cells, v4.new_markdown_cell("## Try it"), v4.new_markdown_cell("## What we saw")]
    )


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A folder of notebooks and a folder for reports."""
    home, reports = tmp_path / "notebooks", tmp_path / "reports"
    home.mkdir()
    monkeypatch.setenv("NSLIB_REPORTS", str(reports))
    monkeypatch.setattr("nslib.params.notebooks_dir", lambda: home)

    def add(name, *sources):
        nbformat.write(notebook(*sources), home / f"{name}.ipynb")

    return SimpleNamespace(home=home, reports=reports, out=reports / "notebooks", add=add)


def results(**changes):
    made = {
        "rows": fabricated.rows(),
        "predictions": fabricated.predictions(),
        "ledger": fabricated.ledger(),
        "not_run": pd.DataFrame(
            [("language-five", "opensmile-egemaps", "not installed", "Install it")],
            columns=["task", "embedding", "why", "remedy"],
        ),
        "problems": pd.DataFrame(
            [("language-five", "logmel", "clip <7>", "clip7.wav", "the file is empty", "Fetch it again")],
            columns=["task", "embedding", "clip_id", "audio", "reason", "remedy"],
        ),
        "notes": ["z-scores are transductive"],
    }
    return SimpleNamespace(**(made | changes))


@pytest.fixture
def plain(monkeypatch):
    """Without figures, which take most of the time and are tested elsewhere."""
    monkeypatch.setattr("nslib.report.html._figures", lambda results, clips, folder: [])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("reports")
    path = report.build(
        results(),
        params.load({"smoke": True}),
        clips=fabricated.clips(),
        out=out,
        runs=[
            runner.Run(
                "05_benchmark",
                "The benchmark",
                "failed",
                3.0,
                "cell [4] ('x') failed: ValueError: no",
                "s",
                "2026-01-02T03:04:05+00:00",
            )
        ],
    )
    return path


# ------------------------------------------------------------------ running notebooks


def test_run_skip_fail_and_go_on(kit):
    kit.add("a", GOOD)
    kit.add("b", BAD, GOOD)
    kit.add("c", PYTHON)
    given = params.load({"seed": 3})
    first = report.run(given, progress=False)
    assert [r.status for r in first] == ["ran", "failed", "ran"]
    assert "cell [2] ('broken = 1 / 0') failed: ZeroDivisionError" in first[1].why.replace("[3]", "[2]")
    executed = nbformat.read(kit.out / "a.ipynb", as_version=4)
    assert "seed 3 False" in json.dumps(executed) and "the seed is not negative" in json.dumps(executed)
    assert sys.executable in (kit.out / "c.ipynb").read_text()
    assert "ZeroDivisionError" in (kit.out / "b.html").read_text()

    again = report.run(given, progress=False)
    assert [r.status for r in again] == ["unchanged", "failed", "unchanged"]
    assert [r.status for r in report.last()] == ["ran", "failed", "ran"]


def test_what_changes_a_stamp_and_what_does_not(kit, monkeypatch):
    kit.add("a", GOOD)
    path = kit.home / "a.ipynb"
    stamp = stamps.stamp(path, {"seed": 1}, "clips 1")
    assert stamps.stamp(path, {"seed": 1}, "clips 1") == stamp
    assert stamps.stamp(path, {"seed": 2}, "clips 1") != stamp
    assert stamps.stamp(path, {"seed": 1}, "clips 2") != stamp
    kit.add("a", GOOD, GOOD)
    assert stamps.stamp(path, {"seed": 1}, "clips 1") != stamp
    kit.add("a", GOOD)


def test_the_stamp_holds_code_data_lock_and_installed_packages(tmp_path, monkeypatch):
    def surroundings():
        stamps._surroundings.cache_clear()
        return stamps._surroundings()

    before = surroundings()
    assert surroundings() == before
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr("nslib.params.data_dir", lambda: data)
    monkeypatch.setattr("nslib.params.root", lambda: tmp_path)
    monkeypatch.setattr(stamps, "__file__", str(tmp_path / "nslib" / "report" / "stamps.py"))
    seen = {before, surroundings()}
    for name in ("data/splits.csv", "requirements.lock", "nslib/probe.py", "nslib/report/page.html.j2"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
        seen.add(surroundings())
    monkeypatch.setattr(stamps, "_installed", lambda: ["opensmile==1"])
    seen.add(surroundings())
    stamps._surroundings.cache_clear()
    assert len(seen) == 7


def test_a_notebook_that_breaks_the_contract_is_not_started(kit, monkeypatch):
    kit.add("a", GOOD + "\n!ls")
    monkeypatch.setattr(runner, "_papermill", lambda *a: pytest.fail("a kernel was started"))
    (found,) = report.run(params.load(), progress=False)
    assert found.status == "failed" and "shell or magic line" in found.why
    assert not (kit.out / "a.ipynb").exists()


def test_a_run_that_is_killed_leaves_the_last_good_copy(kit, monkeypatch):
    kit.add("a", GOOD)
    (kit.out).mkdir(parents=True)
    (kit.out / "a.ipynb").write_text("the last good one")

    def killed(path, output, given, progress):
        output.write_text("half a noteb")
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_papermill", killed)
    with pytest.raises(KeyboardInterrupt):
        report.run(params.load(), progress=False)
    assert (kit.out / "a.ipynb").read_text() == "the last good one"
    assert [p.name for p in kit.out.iterdir()] == ["a.ipynb"]


def test_only_declared_parameters_are_given(kit):
    kit.add("a", GOOD)
    assert runner._given(kit.home / "a.ipynb", params.load({"tasks": "x", "seed": 7})) == {
        "seed": 7,
        "smoke": False,
    }


def test_an_unknown_notebook_is_refused_with_the_nearest(kit):
    kit.add("05_benchmark", GOOD)
    with pytest.raises(UnknownName, match="Did you mean 05_benchmark"):
        report.run(params.load(), ["05_benchmrk.ipynb"], progress=False)


def test_a_damaged_record_means_run_again(kit):
    kit.out.mkdir(parents=True)
    (kit.out / "a.json").write_text("{half")
    assert report.last() == [] and runner._remembered(kit.out / "a.ipynb") is None


def test_a_page_has_no_script_and_links_to_pages(kit, tmp_path):
    node = notebook(GOOD)
    node.cells[-3].outputs = [
        v4.new_output(
            "stream",
            name="stderr",
            text="logmel: 100%|####| 3/3 [00:01<00:00, 2.9clip/s]\nUserWarning: <b>\n",
        ),
        v4.new_output("display_data", data={"text/html": "<table></table>", "text/plain": "x"}),
    ]
    path = tmp_path / "a.ipynb"
    nbformat.write(node, path)
    page = pages.page(path, runner.Run("a", "A <title>", "ran", 1.0, "", "s", "2026-01-02T03:04:05+00:00"))
    text = page.read_text()
    assert "<script" not in text and "https://" not in text and "A &lt;title&gt;" in text
    assert 'href="b.html"' in text and "<table></table>" in text
    assert "UserWarning: &lt;b&gt;" in text and "clip/s" not in text


# ------------------------------------------------------------------ the page


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [a for t, a in self.tags if t == tag]


def test_the_page_is_complete_in_itself(built):
    text = built.read_text()
    page = Page(text)
    assert page.all("script") == [{}] and not page.all("link")  # the one that copies, in the page itself
    assert not re.findall(r"fetch\(|XMLHttp|import\b", text[text.index("<script>"):])
    assert not re.findall(r"url\(|@import|src=\"https?:", text)
    for picture in page.all("img"):
        assert picture["alt"].strip() and (built.parent / picture["src"]).exists()
    for link in page.all("a"):
        target = link["href"]
        if target.startswith("#"):
            assert any(a.get("id") == target[1:] for _, a in page.tags), target
        elif not target.startswith("notebooks/"):
            assert (built.parent / target).exists(), target
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert page.all("html")[0]["lang"] == "en" and len(page.all("h1")) == 1


def test_every_score_is_on_the_page_with_interval_and_provenance(built):
    text, scores = built.read_text(), fabricated.rows()
    scores = scores[scores["selected"] & (scores["split"] == "test")]
    for row in scores.to_dict("records"):
        assert re.search(rf"[ >]{100 * row['value']:.1f} ?(<span class=\"letters\">[a-z]+</span>)?</span>", text)
        assert f"{100 * row['low']:.1f}–{100 * row['high']:.1f}" in text
    buttons = [b["popovertarget"] for b in Page(text).all("button") if b["class"] == "cell"]
    assert len(buttons) == len(scores) and all(f'id="{b}"' in text for b in buttons)
    assert text.count("d" * 16) == text.count("5" * 16) == len(scores)
    smoke = params.load({"smoke": True})
    for row in scores.to_dict("records"):
        assert f"<code>{cells.command(row, smoke)}</code>" in text
        assert f"<dd>{row['probe']}, normalised: {cells.normalisation(row)}</dd>" in text


def test_the_page_says_what_it_is_not(built):
    words = " ".join(" ".join(Page(built.read_text()).words).split())
    for said in (
        "Smoke run: the numbers mean nothing.",
        "never the paper's numbers",
        "style-espeak (synthetic)",
        "not installed",
        "clip <7>",
        "the file is empty",
        "z-scores are transductive",
        "cell [4] ('x') failed",
        "optimistic",
    ):
        assert said in words, said


def test_files_beside_the_page(built):
    home = built.parent
    rows = fabricated.rows()
    pd.testing.assert_frame_equal(pd.read_parquet(home / "results.parquet"), rows)
    assert (
        len(pd.read_csv(home / "results.csv")) == len(rows) and len(pd.read_csv(home / "problems.csv")) == 1
    )
    summary = (home / "summary.md").read_text()
    table = [line for line in summary.splitlines() if line.startswith("|")]
    assert len(table) == 4 + len(fabricated.EMBEDDINGS)
    assert {line.count("|") for line in table} == {2 + len(fabricated.TASKS)}
    for row in table[4:]:
        assert row.split("|")[1].strip() in fabricated.EMBEDDINGS
    assert "the numbers mean nothing" in summary and "style-espeak (synthetic)" in summary


def test_a_cell_that_did_not_run_says_so(tmp_path, plain):
    rows = fabricated.rows()
    rows = rows[~((rows["task"] == "language-five") & (rows["embedding"] == "mfcc"))]
    path = report.build(results(rows=rows), params.load(), out=tmp_path, runs=[])
    assert path.read_text().count('<a href="#not-run">not run</a>') == 1
    assert "not run |" in (tmp_path / "summary.md").read_text()
    assert "Smoke run" not in path.read_text()


def test_a_run_in_which_nothing_worked_still_gives_a_page(tmp_path, plain):
    empty = results(
        rows=fabricated.rows().iloc[:0],
        predictions=fabricated.predictions().iloc[:0],
        ledger=fabricated.ledger().iloc[:0],
        problems=pd.DataFrame(),
    )
    text = report.build(empty, params.load(), out=tmp_path, runs=[]).read_text()
    assert "Nothing was scored" in text and "not installed" in text and "No notebook has been run" in text
    assert "every clip could be read" in text and not (tmp_path / "problems.csv").exists()


def test_only_computer_voices_is_said_aloud(tmp_path, plain):
    rows = fabricated.rows()
    text = report.build(
        results(rows=rows[rows["corpus_kind"] == "synthetic"]), params.load(), out=tmp_path, runs=[]
    ).read_text()
    assert "Synthetic speech only." in text


def test_best_and_tied_of_the_table_are_those_of_the_figures():
    from nslib.plots import order

    table = tables.result_table(fabricated.rows(), fabricated.predictions())
    shown = pd.Series({(c["task"], c["embedding"]): c["standing"] for c in table["cells"]})
    scores = order.chosen(fabricated.rows())
    said = order.standing(scores, fabricated.predictions())
    expected = pd.Series(dict(zip(zip(scores["task"], scores["embedding"], strict=True), said, strict=True)))
    assert shown.sort_index().equals(expected.sort_index())


# ------------------------------------------------------------------ the paper profile

NOSS = ("voxceleb", "voxforge", "speech_commands", "crema_d", "savee", "dementiabank")
STEPS = "1. Register.\n2. Put AudioData.zip into\n   <manual>/savee\n3. Run the same command again."


def paper_results(ran=(), embeddings=("trill-layer19", "trill-top", "logmel"), **changes):
    """Results of the paper profile: some tasks with made-up scores, the rest not run, each for its reason."""
    cells = [fabricated._cell(np.random.default_rng(i), t, "real", 6, e)
             for i, (t, e) in enumerate((t, e) for t in ran for e in embeddings)]
    rows = fabricated._filled(pd.concat(cells), ROWS) if cells else fabricated.rows().iloc[:0]
    rows.loc[rows["task"] == "crema_d", "n"] = 1556
    answers = [fabricated._answers(row) for row in results_module.selected(rows).to_dict("records")]
    predictions = fabricated._filled(pd.concat(answers), PREDICTIONS) if answers else fabricated.predictions().iloc[:0]
    missing = [(t, e, f"the archive of {t} is not here", STEPS.replace("savee", t))
               for e in embeddings for t in NOSS if t not in ran]
    made = {"rows": rows, "predictions": predictions, "ledger": pd.DataFrame(), "problems": pd.DataFrame(), "notes": [],
            "not_run": pd.DataFrame(missing, columns=["task", "embedding", "why", "remedy"])}
    return SimpleNamespace(**(made | changes))


PAPER = params.load({"profile": "paper"})


def words_of(text):
    return " ".join(" ".join(Page(text).words).split())


def test_a_paper_run_without_data_is_a_page_that_says_what_to_do(tmp_path):
    path = report.build(paper_results(), PAPER, out=tmp_path, runs=[])
    text, said = path.read_text(), words_of(path.read_text())
    assert "NOSS, measured" in said and "None of 6 tasks of NOSS could be run here" in said
    assert "Paper profile: 0 of 18 results." in said and "Quick profile" not in said
    assert text.count("every embedding") == 6 and text.count("<p>the archive of") == 6
    assert STEPS.replace("<", "&lt;").replace(">", "&gt;") in text and 'class="steps"' in text
    assert "a data set of NOSS" in said and "of other audio" not in said
    assert "0 reproduced, 0 differ, 11 not run" in said
    summary = (tmp_path / "summary.md").read_text()
    assert "   <manual>/savee" in summary and summary.count("× every embedding") == 6
    assert not (tmp_path / "figures").exists()


def test_a_paper_run_with_some_results_has_verdicts_and_claims(tmp_path):
    path = report.build(paper_results(ran=("crema_d", "savee")), PAPER, out=tmp_path, runs=[])
    text, said = path.read_text(), words_of(path.read_text())
    assert "3 embeddings on 2 of 6 tasks of NOSS" in said and "Paper profile: 6 of 18 results." in said
    assert "No result at all on VoxCeleb, VoxForge, Speech Commands, DementiaBank." in said
    assert "Against published numbers" in said and "65.9 %" in said and "FRILL's model card: TRILL" in said
    assert "best on test (optimistic)" in said and "quoted by COLA" in said
    assert "Layer 19 of TRILL beats its final embedding on every task" in said
    for picture in ("against_published", "claim_differences"):
        assert f'src="figures/{picture}.svg"' in text and (tmp_path / f"figures/{picture}.svg").exists()
    summary = (tmp_path / "summary.md").read_text()
    assert re.search(r"\| FRILL's model card: TRILL \| crema_d × trill-layer19 \| 65.9 % \|", summary)


def test_no_recalled_number_is_on_the_page_without_the_word(tmp_path, plain):
    """Cell by cell: what stands in the table of numbers without a verdict is worded as the loader words it."""
    from nslib import published

    text = report.build(paper_results(ran=("crema_d",)), PAPER, out=tmp_path, runs=[]).read_text()
    cells = published.load()
    recalled = cells[(cells["status"] == "recalled-unverified") & (cells["embedding"] != "") & (cells["task"] != "")]
    shown = re.findall(r">([\d.]+ %) \(recalled-unverified\)<", text)
    assert len(shown) == len(recalled) > 30
    bare = {f">{value.split(' (')[0]}<" for value in recalled["shown"]} - {
        f">{value}<" for value in cells[cells["status"] == "seen"]["shown"]}
    assert not [value for value in bare if value in text]


def test_the_quick_page_tests_claims_and_compares_nothing(built):
    said = words_of(built.read_text())
    assert "No published number applies to this profile" in said and "needs trill-layer19" in said
    assert 'id="published"' not in built.read_text() and "differ," not in said
    assert "No published number applies" in (built.parent / "summary.md").read_text()


def test_what_did_not_run_is_put_together_by_reason():
    missing = [("savee", "a", "no data", "x"), ("savee", "b", "no data", "x"), ("crema_d", "b", "no weights", "y"),
               ("voxforge", "b", "no weights", "y")]
    table = pd.DataFrame(missing, columns=["task", "embedding", "why", "remedy"])
    ran = pd.DataFrame([("crema_d", "a"), ("voxforge", "a")], columns=["task", "embedding"])
    found = sections.not_run(SimpleNamespace(rows=ran, not_run=table))
    assert [(f["tasks"], f["embeddings"]) for f in found] == [("savee", "every embedding"), ("crema_d, voxforge", "b")]
    assert sections.not_run(SimpleNamespace(rows=ran, not_run=table.iloc[:0])) == []


def test_the_report_does_without_tensorflow(tmp_path):
    code = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_report import results
from nslib import params, report
report.build(results(), params.load(), out=Path(sys.argv[2]), runs=[])
report.last()
print([name for name in ("tensorflow", "keras", "torch", "onnxruntime") if name in sys.modules])
"""
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, here, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("[]")
