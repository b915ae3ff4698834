"""Benchmarks: targets are judged rightly, all scripts are in the run, and one that fails does not stop the others."""

from __future__ import annotations

import ast
import importlib
import json
import sys

import pytest

from nslib import config

FOLDER = config.root() / "benchmarks"


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("common")


@pytest.fixture
def run(common):
    return importlib.import_module("run")


@pytest.mark.parametrize(("value", "limits", "met"), [
    (0.9, {"at_least": 0.9}, True), (0.89, {"at_least": 0.9}, False), (3.0, {"at_most": 3}, True),
    (3.1, {"at_most": 3}, False), (2.0, {"at_least": 1, "at_most": 3}, True), (7.0, {}, None),
    (float("nan"), {"at_least": 1}, False)])
def test_a_target_is_met_or_not(common, value, limits, met):
    figure = common.Figure("ratio", value, **limits)
    assert figure.met is met
    assert ("NOT met" in figure.line()) == (met is False)
    assert all(f"{limit:g}" in figure.wanted for limit in limits.values())


def test_figures_are_kept_for_the_run(common, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(common.KEPT, str(tmp_path / "f.json"))
    common.report([common.Figure("one", 1.0)])
    common.report([common.Figure("two", 2.0, at_most=1.0, note="slow")])
    assert [f["what"] for f in json.loads((tmp_path / "f.json").read_text())] == ["one", "two"]
    assert "NOT met (slow)" in capsys.readouterr().out


def test_every_script_is_in_the_run(run):
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"common", "run"}
    assert scripts == set(run.NAMES)


def test_every_script_reports_figures_and_is_one_command(run):
    for name in run.NAMES:
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        called = {function.id for function in calls if isinstance(function, ast.Name)}
        assert {"report", "main"} <= called, name
        assert f"benchmarks/{name}.py" in (ast.get_docstring(tree) or ""), name


def test_a_quick_run_passes_on_options_that_scripts_know(run):
    assert set(run.QUICK) <= set(run.NAMES)
    for name, options in run.QUICK.items():
        source = (FOLDER / f"{name}.py").read_text()
        assert all(f'add_argument("{option}"' in source for option in options if option.startswith("--")), name


@pytest.mark.parametrize(("switch", "option", "size", "said"), [
    ("1", (), "small", True), ("", ("--quick",), "small", True), ("0", (), "usual", False)])
def test_quick_is_a_variable_or_an_option(run, tmp_path, monkeypatch, switch, option, size, said):
    (tmp_path / "one.py").write_text("import sys\nfrom common import Figure, report\n"
                                     "report([Figure('small' if 'few' in sys.argv else 'usual', 1.0)])")
    for name, value in (("PYTHONPATH", FOLDER), ("NSLIB_REPORTS", tmp_path / "reports"), ("QUICK", switch)):
        monkeypatch.setenv(name, str(value))
    for name, value in (("HERE", tmp_path), ("NAMES", ("one",)), ("QUICK", {"one": ("--size", "few")})):
        monkeypatch.setattr(run, name, value)
    monkeypatch.setattr(sys, "argv", ["run.py", *option])
    assert run.main() == 0
    table = (config.reports_dir() / "benchmarks" / "bench.md").read_text()
    assert f"| one | {size} | 1 " in table and ("A quick run" in table) is said


def test_a_benchmark_that_is_silent_has_failed_and_a_name_that_is_none_is_refused(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "silent.py").write_text("")
    assert run.run(tmp_path / "silent.py").failed == "it reported no figure"
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "stroe"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no benchmark stroe; there are grid" in capsys.readouterr().err


def test_a_failed_benchmark_is_shown_and_the_others_go_on(run, tmp_path, monkeypatch, capsys):
    use = "from common import Figure, report\n"
    (tmp_path / "good.py").write_text(f"{use}report([Figure('speed', 4.0, at_least=5.0, note='noisy')])")
    (tmp_path / "bad.py").write_text(f"{use}report([Figure('first', 1.0)])\nraise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    monkeypatch.setenv("NSLIB_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "NAMES", ("bad", "good"))
    monkeypatch.setattr(sys, "argv", ["run.py"])
    assert run.main() == 1
    said = (config.reports_dir() / "benchmarks" / "bench.md").read_text()
    assert "| bad | FAILED: exit code 7 |" in said and "| bad | first | 1 " in said
    assert "| good | speed (noisy) | 4 " in said and "NOT met" in said
    kept = json.loads((config.reports_dir() / "benchmarks" / "bench.json").read_text())
    assert [one["failed"] for one in kept["outcomes"]] == ["exit code 7", ""]
    assert kept["machine"]["code_revision"]
