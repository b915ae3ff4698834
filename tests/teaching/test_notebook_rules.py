"""The notebook contract: each rule is shown to fail on a notebook that breaks it, and only then."""

from __future__ import annotations

import copy
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4

from nslib import config
from nslib.errors import NslibError, UnknownName
from nslib.teaching import notebook_rules


def good() -> nbformat.NotebookNode:
    """A notebook that keeps the contract."""
    parameters = "seed = 0  # whole number: seeds every draw\ntasks = None  # names; None: all"
    colab = 'import sys\nif "google.colab" in sys.modules:\n    !pip install nslib'
    return v4.new_notebook(cells=[
        v4.new_markdown_cell("# A title\n\nWhat this is about."),
        v4.new_code_cell(colab, metadata={"tags": ["colab"]}),
        v4.new_markdown_cell("Parameters."),
        v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell("## 1. A thing\n\nProse."),
        v4.new_code_cell("value = 2 + seed if tasks is None else 0"),
        v4.new_markdown_cell("**Claim 1.** One and one make two."),
        v4.new_code_cell('import nslib\nnslib.check(value == 2, "one and one make two")'),
        v4.new_markdown_cell("## Try it\n\nChange the seed."),
        v4.new_markdown_cell("## 9. What we saw\n\n- two")])


def executed() -> nbformat.NotebookNode:
    """The same after a good run with ``seed=3``."""
    node = good()
    node.cells.insert(4, v4.new_code_cell("# Parameters\nseed = 3", metadata={"tags": ["injected-parameters"]}))
    for count, cell in enumerate((c for c in node.cells if c.cell_type == "code"), 1):
        cell.execution_count = count
    picture = '<figure><img alt="two dots" src="data:image/png;base64,AA=="></figure>'
    node.cells[6].outputs = [v4.new_output("display_data", data={"text/html": picture, "text/plain": "two dots"})]
    return node


def saved(folder, node, name="x.ipynb"):
    path = folder / name
    nbformat.write(node, path)
    return path


def rules(violations):
    return [v.rule for v in violations]


def test_the_good_notebook_has_no_violation(tmp_path):
    assert notebook_rules.check_source(saved(tmp_path, good()), ["seed"]) == []
    assert notebook_rules.check_executed(saved(tmp_path, executed()), {"seed": 3}) == []


def _source(at, text):
    def change(node):
        node.cells[at].source = text

    return change


def _tags(at, tags):
    def change(node):
        node.cells[at].metadata["tags"] = tags

    return change


def _output(at, *outputs, count=None):
    def change(node):
        node.cells[at].outputs = list(outputs)
        node.cells[at].execution_count = count

    return change


def _insert(at, *cells):
    def change(node):
        node.cells[at:at] = list(cells)

    return change


TEXT = v4.new_output("stream", name="stdout", text="2\n")
BROKEN_SOURCE = {
    "no parameters cell": (_tags(3, []), 0, "no cells are tagged 'parameters'"),
    "two parameters cells": (_tags(5, ["parameters"]), 6, "2 cells are tagged"),
    "a computed parameter": (_source(3, "seed = int('0')  # n\ntasks = None  # n"), 4, "is not 'name = literal'"),
    "a statement": (_source(3, "seed = 0  # n\ntasks = None  # n\nprint(seed)"), 4, "is not 'name = literal'"),
    "no comment": (_source(3, 'seed = "a#b"\ntasks = None  # names'), 4, "'seed' has no comment"),
    "an unused parameter": (_source(5, "value = 2 + seed"), 4, "'tasks' is never used"),
    "an output": (_output(5, TEXT), 6, "holds outputs"),
    "an execution count": (_output(5, count=1), 6, "holds an execution count"),
    "a promise without output": (_tags(5, ["nbval-check-output"]), 6, "has no output to compare"),
    "a promise never run": (lambda n: (_tags(5, ["nbval-check-output"])(n), _output(5, TEXT)(n)), 6,
                            "has no output to compare"),
    "a shell line": (_source(5, "seed, tasks\n!ls"), 6, "shell or magic line"),
    "a magic line": (_source(5, "x = %timeit 1"), 6, "shell or magic line"),
    "a syntax error": (_source(5, "seed tasks"), 6, "not valid Python"),
    "an unguarded colab cell": (_source(1, "!pip install nslib"), 2, "not guarded"),
    "too little prose": (_insert(6, *[v4.new_code_cell("value") for _ in range(4)]), 0, "less than 50%"),
    "a claim without check": (_source(7, "value"), 7, "claim has no check"),
    "a claim below other prose": (_source(8, "Prose.\n\n**Claim 2.** More."), 9, "claim has no check"),
    "two claims, one check": (_insert(6, v4.new_markdown_cell("**Claim 0.** Before.")), 7, "claim has no check"),
    "another check": (_source(7, "nslib.embeddings.check(value)"), 7, "claim has no check"),
}


@pytest.mark.parametrize("case", BROKEN_SOURCE)
def test_each_broken_rule_is_found_in_its_cell(case, tmp_path):
    change, cell, said = BROKEN_SOURCE[case]
    node = good()
    change(node)
    found = notebook_rules.check_source(saved(tmp_path, node))
    hits = [v for v in found if said in v.rule]
    assert hits and hits[0].cell == cell, rules(found)
    assert all(v.remedy and v.notebook == "x.ipynb" for v in found)
    first = node.cells[cell - 1].source.strip().partition("\n")[0] if cell else ""
    assert hits[0].line == first[:80]


def test_a_promised_output_may_be_committed(tmp_path):
    node = good()
    _tags(5, ["nbval-check-output"])(node)
    _output(5, TEXT, count=1)(node)
    assert notebook_rules.check_source(saved(tmp_path, node)) == []


def _shows(html: str = "", **data: str):
    return _output(6, v4.new_output("display_data", data={"text/html": html} if html else data), count=4)


BROKEN_RUN = {
    "out of order": (lambda n: n.cells[6].update(execution_count=9), "execution count is 9, expected 4"),
    "not run": (lambda n: n.cells[6].update(execution_count=None), "execution count is None"),
    "an error": (_output(6, v4.new_output("error", ename="ValueError", evalue="no", traceback=[]), count=4),
                 "it failed: ValueError: no"),
    "a bare picture": (_shows(**{"image/png": "AA=="}), "image/png"),
    "a picture in HTML": (_shows("<img src='x'>"), "in HTML"),
    "an empty text": (_shows('<img alt=" " src="x">'), "in HTML"),
    "not injected": (lambda n: n.cells.pop(4), "'seed' was given but not injected"),
    "injected otherwise": (_source(4, "seed = 4"), "given as 3 but injected as 4"),
}


@pytest.mark.parametrize("case", BROKEN_RUN)
def test_each_broken_rule_of_a_run_is_found(case, tmp_path):
    change, said = BROKEN_RUN[case]
    node = executed()
    change(node)
    found = notebook_rules.check_executed(saved(tmp_path, node), {"seed": 3})
    assert any(said in rule for rule in rules(found)), rules(found)


def test_a_described_png_is_accepted(tmp_path):
    node = executed()
    shown = v4.new_output(
        "display_data", data={"image/png": "AA=="}, metadata={"image/png": {"alt": "a dot"}}
    )
    _output(6, shown, count=4)(node)
    assert notebook_rules.check_executed(saved(tmp_path, node), {"seed": 3}) == []


def test_an_unknown_parameter_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean seed"):
        notebook_rules.check_source(saved(tmp_path, good()), ["sed"])


def test_declared_parameters_are_read_without_running(tmp_path):
    assert notebook_rules.read_parameters(saved(tmp_path, good())) == {"seed": 0, "tasks": None}


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    path = tmp_path / "broken.ipynb"
    for content in ("", "{}", "not json", '{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'):
        path.write_text(content)
        with pytest.raises(NslibError, match=r"broken\.ipynb"):
            notebook_rules.check_source(path)


def test_a_violation_says_where_and_what_to_do(tmp_path):
    node = good()
    _source(5, "seed, tasks\n!ls")(node)
    (found,) = notebook_rules.check_source(saved(tmp_path, node))
    assert str(found) == (
        "x.ipynb, cell 6 ('seed, tasks'): the cell has a shell or magic line. "
        "Call Python instead; only the cell tagged 'colab' may use ! and %."
    )


def test_a_folder_is_checked_notebook_by_notebook(tmp_path):
    bad = copy.deepcopy(good())
    _source(5, "seed tasks")(bad)
    saved(tmp_path, bad, "a.ipynb")
    saved(tmp_path, good(), "b.ipynb")
    assert [v.notebook for v in notebook_rules.check_folder(tmp_path)] == ["a.ipynb"]


@pytest.mark.parametrize("source, rule", [
    ("x = '" + "x" * 100 + "'", "E501"), ("print(unknown)", "F821"), ("import os", "F401"), ("x = (", "invalid-syntax"),
    ("def f():\n" + "    print(1)\n" * 5, "PLR0915"),
    ("import sys\n\nif sys.argv:\n    !ls\n    %pip list", None)])
def test_ruff_holds_notebooks_to_length_and_style(source, rule):
    node = v4.new_notebook(cells=[v4.new_code_cell(source)], metadata={"language_info": {"name": "python"}})
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise", "--no-cache", "--stdin-filename",
               str(config.notebooks_dir() / "x.ipynb"), "-"]
    done = subprocess.run(command, input=nbformat.writes(node), capture_output=True, text=True, check=False)
    assert (rule in done.stdout) if rule else done.returncode == 0, done.stdout + done.stderr
