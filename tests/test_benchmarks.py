"""Benchmarks: targets are judged rightly, all scripts are in the run, and one that fails does not stop the others."""

import importlib
import json
import os
import re
import sys

import pandas as pd
import pytest

from nslib import config

FOLDER = config.root() / "benchmarks"
USE = "import sys\nfrom common import Figure, report\n"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("run")


@pytest.mark.parametrize(("value", "limits", "met"), [
    (0.9, {"at_least": 0.9}, True), (0.89, {"at_least": 0.9}, False), (3.1, {"at_least": 1, "at_most": 3}, False),
    (7.0, {}, None), (float("nan"), {"at_least": 1}, False)])
def test_a_target_is_met_or_not(run, value, limits, met):
    figure = run.Figure("ratio", value, **limits)
    assert figure.met is met and ("NOT met" in figure.line()) == (met is False)
    assert all(f"{limit:g}" in figure.wanted for limit in limits.values())


def test_every_script_is_in_the_run_reports_figures_and_knows_the_options_of_a_quick_run(run):
    assert {path.stem for path in FOLDER.glob("*.py")} - {"common", "run"} == set(run.NAMES) >= set(run.QUICK)
    for name in run.NAMES:
        source = (FOLDER / f"{name}.py").read_text()
        assert re.search(r"^\s+report\(", source, re.MULTILINE), name
        options = [option for option in run.QUICK.get(name, ()) if option.startswith("--")]
        assert all(f'add_argument("{option}"' in source for option in options), name


def test_what_fails_is_shown_and_the_others_go_on_and_an_unknown_name_is_refused(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "good.py").write_text(f"{USE}size = 4.0 if 'few' in sys.argv else 400.0\n"
                                      "report([Figure('speed', size, at_least=5.0, note='noisy')])")
    (tmp_path / "bad.py").write_text(f"{USE}report([Figure('first', 1.0)])\nraise SystemExit(7)")
    (tmp_path / "silent.py").write_text("")
    for name, value in (("PYTHONPATH", FOLDER), ("NSLIB_REPORTS", tmp_path / "reports"), ("QUICK", "1")):
        monkeypatch.setenv(name, str(value))
    for name, value in (("HERE", tmp_path), ("NAMES", ("bad", "good", "silent")), ("QUICK", {"good": ("few",)})):
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    assert run.main() == 1
    said = (config.reports_dir() / "benchmarks" / "bench.md").read_text()
    for line in ("| bad | FAILED: exit code 7 |", "| bad | first | 1 ", "| silent | FAILED: it reported no figure |",
                 "| good | speed (noisy) | 4 ", "NOT met", "A quick run"):
        assert line in said, line
    kept = json.loads((config.reports_dir() / "benchmarks" / "bench.json").read_text())
    assert len(kept["outcomes"]) == 3 and kept["machine"]["code_revision"]
    monkeypatch.setenv("QUICK", "0")
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "good"])
    assert run.main() == 0 and "| 400 " in (config.reports_dir() / "benchmarks" / "bench.md").read_text()
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "stroe"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no benchmark stroe; there are bad" in capsys.readouterr().err


@pytest.mark.heavy  # a minute of processor time: networks of four kinds are built
def test_what_a_gpu_gives_is_measured_in_miniature_and_written_as_a_table(run, tmp_path, monkeypatch):
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{FOLDER}:{config.root()}")
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--small", "--clips", "4", "--rounds", "1", "--steps", "3"])
    gpu = importlib.import_module("gpu")
    gpu.main()
    table = (tmp_path / "benchmarks" / "gpu.md").read_text()
    assert table.startswith("| no GPU, small networks: the figures mean nothing | figure | wanted |\n|---|---|---|\n")
    for said in ("trill-mini, mixed_float16: extraction over the bare network | ", "mobilenetv3-small-0.25-512: mixed",
                 "batch of 6 clips, larger calls before it fitted | 2 | at least 1 |", "by halving | ",
                 "step of 8 pairs, float32 | ", "in its noise of a step | "):
        assert said in table, table
    assert all(row.count("|") == 4 for row in table.splitlines()) and "GPUs over one" not in table


def test_a_process_is_measured_with_all_that_it_starts(run, tmp_path):
    work = "import subprocess, sys, time\nheld = b'x' * 80_000_000\nwhile time.process_time() < 0.6: 0\n"
    alone, pair = (importlib.import_module("common").run_process(
        [sys.executable, "-c", work + more], tmp_path, os.environ, tmp_path / "said") for more in (
            "", f"subprocess.run([sys.executable, '-c', {work!r}])"))
    assert alone.processor > 0.6 and pair.processor > 1.2 and pair.memory > 160 > alone.memory > 80


def test_every_difference_of_scores_is_named(run, tmp_path):
    here = pd.DataFrame({"task": list("abcd"), "value": [0.5, 0.55, None, 0.3], "low": 0.4, "high": 0.6, "selected": 0})
    end_to_end, sides = importlib.import_module("end_to_end"), []
    for table in (here, here.assign(task=list("abce"), value=[0.5, 0.5, None, 0.3], weights_hash="other")):
        table.to_parquet(tmp_path / "0.rows.parquet")
        sides.append(end_to_end.read_scores(tmp_path))
    assert end_to_end.list_differences(sides[0], sides[0]) == [] and end_to_end.list_differences(*sides) == [
        "b: 0.5000 [0.4000, 0.6000] -> 0.5500 [0.4000, 0.6000] (other weights)", "only here: d", "only there: e"]
