"""Notebooks run strictly and only when needed, their pages, and `make reproduce` in small."""

import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import psutil
import pytest
from nbformat import v4

from nslib import config
from nslib.datasets import tasks
from nslib.errors import UnknownName
from nslib.evaluation import benchmark, protocols
from nslib.report import notebooks
from nslib.report.reproduce import reproduce_all

GOOD = 'import nslib\nnslib.check(seed >= 0, "the seed is not negative")'
SETTINGS = {"corpus": "synthetic", "tasks": "word-synthetic", "embeddings": "logmel", "smoke": True}


def make_notebook(*sources):
    parameters = "seed = 0  # whole number\ncorpus = 'real'  # or synthetic"
    cells = [v4.new_markdown_cell("# A title\n\nSee [the other](b.ipynb)."),
             v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    for source in (*sources, "seed, corpus"):
        cells += [v4.new_markdown_cell("Prose."), v4.new_code_cell(source)]
    return v4.new_notebook(cells=cells)


@pytest.fixture
def add(tmp_path, monkeypatch):
    """Add a notebook to an empty folder of them."""
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(config, "notebooks_dir", lambda: tmp_path)
    monkeypatch.setattr("nslib.report.html._draw_figures", lambda *_: [])
    return lambda *sources, name="a": nbformat.write(make_notebook(*sources), tmp_path / f"{name}.ipynb")


def run(names=None):
    with notebooks.NotebookPool(config.load_params(), names) as pool:
        return pool.finish(progress=False)


def test_what_changes_a_stamp_and_what_does_not(add, tmp_path, monkeypatch):
    def stamp(given=1, inputs="clips 1"):
        notebooks._hash_surroundings.cache_clear()
        return notebooks.make_stamp(tmp_path / "a.ipynb", {"seed": given}, inputs)

    add(GOOD)
    installed = []
    for owner, name, value in ((config, "data_dir", lambda: tmp_path / "data"), (config, "root", lambda: tmp_path),
                               (notebooks, "__file__", str(tmp_path / "nslib" / "report" / "notebooks.py")),
                               (notebooks.importlib.metadata, "distributions", lambda: installed)):
        monkeypatch.setattr(owner, name, value)
    seen = [stamp(), stamp(given=2), stamp(inputs="clips 2")]
    assert stamp() == seen[0]
    add(GOOD, GOOD)
    seen.append(stamp())
    for name in ("data/splits.csv", "requirements.lock", "nslib/probe.py", "nslib/report/page.html.j2"):
        config.write_file(tmp_path / name, "x")
        seen.append(stamp())
    installed.append(SimpleNamespace(name="opensmile", version="1"))
    seen.append(stamp())
    notebooks._hash_surroundings.cache_clear()
    assert len(set(seen)) == 9


def test_a_notebook_that_breaks_the_contract_is_not_started(add, monkeypatch):
    add(GOOD + "\n!ls")
    monkeypatch.setattr("papermill.execute_notebook", lambda *a, **k: pytest.fail("a kernel was started"))
    (one,) = run()
    assert one.status == "failed" and "shell or magic line" in one.why


def test_a_run_that_is_killed_leaves_the_last_good_copy(add, monkeypatch):
    add(GOOD)
    out = config.reports_dir() / "notebooks"
    config.write_file(out / "a.ipynb", "the last good one")

    def killed(path, output, **_):
        output.write_text("half a noteb")
        raise KeyboardInterrupt

    monkeypatch.setattr("papermill.execute_notebook", killed)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert [path.read_text() for path in out.iterdir()] == ["the last good one"]
    (out / "a.json").write_text("{half")
    assert notebooks.read_last_runs() == []  # a damaged record means: run again
    with pytest.raises(UnknownName, match="notebook 'b'"):
        run(["b.ipynb"])


def test_a_notebook_is_run_again_if_what_it_wrote_is_not_there_as_it_was(add, monkeypatch, capsys):
    add(GOOD)
    runs, out = [], config.reports_dir() / "notebooks"
    monkeypatch.setattr("papermill.execute_notebook", lambda path, output, **_: runs.append(shutil.copy(path, output)))
    monkeypatch.setattr(notebooks.notebook_rules, "check_executed", lambda *_: [])
    assert [run()[0].status, run()[0].status] == ["ran", "unchanged"] and len(runs) == 1
    for name, harm in (("a.html", lambda path: path.write_text(path.read_text()[:3000])), ("a.ipynb", Path.unlink),
                       ("a.ipynb", lambda path: path.write_text(path.read_text().replace("cells", "cellz")))):
        harm(out / name)
        assert run()[0].status == "ran" and f"{name} in {out}: not as the run" in capsys.readouterr().err
        assert run()[0].status == "unchanged"


@pytest.mark.parametrize(("jobs", "free", "most"), [("2", 1e12, 2), ("1", 1e12, 1), ("2", 1e9, 1)])
def test_as_many_run_at_a_time_as_jobs_and_memory_allow_and_times_are_taken_alone(add, monkeypatch, jobs, free, most):
    names = ["01_a", "02_b", "03_c", "07_finetune", "08_what_matters"]
    for name in names:
        add(GOOD, name=name)
    monkeypatch.setenv("JOBS", jobs)
    monkeypatch.setenv("NSLIB_THREADS", "6")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    begun, ended, together, shares, full = [], [], [], {}, threading.Barrier(most)

    def execute(path, output, kernel_manager_class, **_):
        begun.append(path.stem)
        together.append(len(begun) - len(ended))
        if len(begun) <= most:
            full.wait(60)  # which breaks if fewer run at a time
        shares[path.stem] = kernel_manager_class().kernel_spec.env
        if path.stem == "08_what_matters":
            assert "07_finetune" in ended
            with config.lock(Path(shares[path.stem].pop(config.QUIET))):
                assert sorted(ended) == names[:-1]
        shutil.copy(path, output)
        ended.append(path.stem)

    monkeypatch.setattr("papermill.execute_notebook", execute)
    monkeypatch.setattr(notebooks.notebook_rules, "check_executed", lambda *_: [])
    runs = run()
    assert [(run.notebook, run.status) for run in runs] == [(name, "ran") for name in names]
    assert max(together) == most and "07_finetune" in begun[:most]
    assert begun[-1] == "08_what_matters" or most > 1
    threads = dict.fromkeys(("NSLIB_THREADS", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), str(6 // most))
    share = threads | {"JOBS": str(int(jobs) // most)}
    assert shares == {**dict.fromkeys(names[:3], share), "07_finetune": {}, "08_what_matters": {}}


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_needs_no_result_is_trained_while_others_are_measured_and_never_for_their_sake(add, monkeypatch, jobs):
    names, begun, trained = ["03_train_trill", "04_distill", "05_benchmark"], [], threading.Event()
    for name in names:
        add(GOOD, name=name)
    monkeypatch.setenv("JOBS", jobs)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e12))

    def execute(path, output, **_):
        begun.append(path.stem)
        shutil.copy(path, output)
        if path.stem == "04_distill":
            trained.set()

    monkeypatch.setattr("papermill.execute_notebook", execute)
    monkeypatch.setattr(notebooks.notebook_rules, "check_executed", lambda *_: [])

    def train(scores):
        with notebooks.NotebookPool(config.load_params()) as pool:
            pool.begin_training("voices")
            assert jobs == "1" or trained.wait(60)
            assert begun[:2] == names[:2] if jobs == "2" else begun == []
            return [run.status for run in pool.finish(scores, "voices", progress=False)]

    assert train("these scores") == ["ran"] * 3 and begun == names
    if jobs == "2":
        assert train("other scores") == ["unchanged", "unchanged", "ran"]


def test_what_trains_begins_first_and_what_shows_the_fine_tuned_waits_for_it():
    sources = {path.stem: path.read_text() for path in sorted(config.notebooks_dir().glob("*.ipynb"))}
    assert [name for name, text in sources.items() if "with_fine_tuned" in text] == [notebooks._TIMES]
    trains = ("train_triplets(", "distill.", "benchmark_finetuned(")
    assert [name for name, text in sources.items() if any(word in text for word in trains)] == [*notebooks._TRAINING]
    results = ("nslib.benchmark(", "load_results(", "run_protocol(", "find_confidence(", "benchmark_finetuned(")
    assert not [name for name in notebooks._NEED_NO_RESULT if any(word in sources[name] for word in results)]


def test_ctrl_c_ends_the_kernels_and_records_nothing(add):
    add("import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(600)")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any("ipykernel_launcher" in child.cmdline() for child in psutil.Process().children())
    assert not (config.reports_dir() / "notebooks").exists()


def test_a_page_has_no_script_and_links_to_pages(tmp_path):
    node = make_notebook(GOOD)
    noise = "logmel: 100%|####| 3/3 [00:01<00:00, 2.9clip/s]\nUserWarning: <b>\n"
    node.cells[-1].outputs = [v4.new_output("stream", name="stderr", text=noise),
                              v4.new_output("display_data", data={"text/html": "<table></table>"})]
    nbformat.write(node, tmp_path / "a.ipynb")
    run = notebooks.Run("a", "A <title>", "ran", 1.0, "", "s", "2026-01-02T03:04:05+00:00")
    text = notebooks.render_notebook(tmp_path / "a.ipynb", run)
    assert "<script" not in text and "https://" not in text and "A &lt;title&gt;" in text
    assert 'href="b.html"' in text and "<table></table>" in text
    assert "UserWarning: &lt;b&gt;" in text and "clip/s" not in text


def test_results_notebook_and_page_then_what_is_new_only(add, capsys):
    add("import sys\nprint(corpus, sys.executable)", name="01_good")
    outcome = reproduce_all(config.load_params(SETTINGS))
    assert outcome.ok and "1 results, 1 of 1 notebooks run now" in outcome.text
    path = config.reports_dir() / "index.html"
    page, written = path.read_text(), path.stat().st_mtime_ns
    assert all(word in page for word in ("word-synthetic", "numbers mean nothing", "01_good"))
    assert reproduce_all(config.load_params(SETTINGS)).ok and "not written again: the report" in capsys.readouterr().err
    assert path.stat().st_mtime_ns == written
    (path.parent / "summary.md").unlink()
    assert reproduce_all(config.load_params(SETTINGS)).ok and (path.parent / "summary.md").exists()
    executed = nbformat.read(config.reports_dir() / "notebooks" / "01_good.ipynb", 4).cells[-3].outputs[0].text
    assert executed == f"synthetic {sys.executable}\n"  # the parameter was given, and the kernel is of this Python
    add("print(corpus, 1 / 0)\nprint()", name="02_bad")
    add("print(corpus)", name="03_good")
    again = reproduce_all(config.load_params(SETTINGS))
    assert not again.ok and "1 of 3 notebooks run now" in again.text
    assert "02_bad failed: cell [3] ('print(corpus, 1 / 0)') failed: ZeroDivisionError" in again.text
    assert "ZeroDivisionError" in (config.reports_dir() / "notebooks" / "02_bad.html").read_text()
    assert [run.status for run in notebooks.read_last_runs()] == ["ran", "failed", "ran"]


def test_what_could_not_be_run_and_why_is_shown_as_it_is_now(add, monkeypatch):
    add(GOOD, name="06_personalisation")
    monkeypatch.setattr("papermill.execute_notebook", lambda path, output, **_: shutil.copy(path, output))
    monkeypatch.setattr(notebooks.notebook_rules, "check_executed", lambda *_: [])
    settings, measure, within = SETTINGS | {"tasks": "style-synthetic"}, benchmark.benchmark, protocols.run_protocol
    for why in ("it is silence", "it is no sound"):
        columns = ["task", "embedding", "clip_id", "remedy", "reason", "why"]
        lost = pd.DataFrame([["style-synthetic", "logmel", "x", "", why, why]], columns=columns)
        monkeypatch.setattr(benchmark, "benchmark", lambda lost=lost, **given: replace(measure(**given), problems=lost))
        monkeypatch.setattr(protocols, "run_protocol",
                            lambda *given, lost=lost, **also: replace(within(*given, **also), not_run=lost))
        assert "1 of 1 notebooks run now" in reproduce_all(config.load_params(settings)).text
        assert why in (config.reports_dir() / "index.html").read_text()
    monkeypatch.setattr(protocols, "run_protocol", within)
    assert "1 of 1 notebooks run now" in reproduce_all(config.load_params(settings)).text
    assert "0 of 1 notebooks run now" in reproduce_all(config.load_params(settings)).text


@pytest.mark.usefixtures("add")
def test_recordings_and_embeddings_that_cannot_be_had_are_said_and_no_failure(monkeypatch):
    for name in set(tasks.REGISTRY) - {"voices-hedgewars", "word-synthetic"}:
        monkeypatch.delitem(tasks.REGISTRY, name)
    settings = {"corpus": "real", "embeddings": "logmel,speech-embedding", "smoke": True}
    outcome = reproduce_all(config.load_params(settings))
    assert outcome.ok and "word-synthetic x speech-embedding: NSLIB_OFFLINE" in outcome.text
    assert "No recorded speech could be had" in (config.reports_dir() / "index.html").read_text()
