"""The notebook contract: each rule is shown to fail on a notebook that breaks it, and only then."""

import nbformat
import pytest
from helpers import change_cell as edit
from helpers import save_notebook as saved
from nbformat import v4

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
        v4.new_markdown_cell("**Check 1.** One and one make two."),
        v4.new_code_cell('import nslib\nnslib.check(value == 2, "one and one make two")'),
        v4.new_markdown_cell("## Try it\n\nChange the seed."),
        v4.new_markdown_cell("## 9. What we saw\n\n- two")])


def executed() -> nbformat.NotebookNode:
    """The same after a good run with ``seed=3``, with a picture."""
    node = good()
    node.cells.insert(4, v4.new_code_cell("# Parameters\nseed = 3", metadata={"tags": ["injected-parameters"]}))
    for count, cell in enumerate((c for c in node.cells if c.cell_type == "code"), 1):
        cell.execution_count = count
    shows('<figure><img alt="two dots" src="data:image/png;base64,AA=="></figure>')(node)
    return node


def shows(html="", alt=None, **data):
    about = {"image/png": {"alt": alt}} if alt else {}
    shown = v4.new_output("display_data", data={"text/html": html} if html else data, metadata=about)
    return edit(6, outputs=[shown], execution_count=4)


TEXT = v4.new_output("stream", name="stdout", text="2\n")
FAILED = v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
PROMISED = edit(5, metadata={"tags": ["nbval-check-output"]})
BROKEN = [
    ("no parameters cell", [edit(3, metadata={})], 0, "no cells are tagged 'parameters'"),
    ("two parameters cells", [edit(5, metadata={"tags": ["parameters"]})], 6, "2 cells are tagged"),
    ("a computed parameter", [edit(3, source="seed = int('0')  # n\ntasks = None  # n")], 4, "is not 'name = literal'"),
    ("no comment", [edit(3, source='seed = "a#b"\ntasks = None  # names')], 4, "'seed' has no comment"),
    ("an unused parameter", [edit(5, source="value = 2 + seed")], 4, "'tasks' is never used"),
    ("an output", [edit(5, outputs=[TEXT])], 6, "holds outputs"),
    ("an execution count", [edit(5, execution_count=1)], 6, "holds an execution count"),
    ("a promise never run", [PROMISED, edit(5, outputs=[TEXT])], 6, "has no output to compare"),
    ("a shell line", [edit(5, source="seed, tasks\n!ls")], 6, "shell or magic line"),
    ("a syntax error", [edit(5, source="seed tasks")], 6, "not valid Python"),
    ("an unguarded colab cell", [edit(1, source="!pip install nslib")], 2, "not guarded"),
    ("too little prose", [lambda n: n.cells.extend(v4.new_code_cell("value") for _ in range(4))], 0, "less than 50%"),
    ("two claims, one check", [lambda n: n.cells.insert(6, v4.new_markdown_cell("**Check 0.**"))], 7, "has no check"),
    ("another check", [edit(7, source="nslib.embeddings.check(value)")], 7, "claim has no check")]
BROKEN_RUN = [
    ("out of order", edit(6, execution_count=9), "execution count is 9, expected 4"),
    ("an error", edit(6, outputs=[FAILED]), "it failed: ValueError: no"),
    ("a bare picture", shows(**{"image/png": "AA=="}), "image/png"),
    ("an empty text", shows('<img alt=" " src="x">'), "in HTML"),
    ("not injected", lambda n: n.cells.pop(4), "'seed' was given but not injected"),
    ("injected otherwise", edit(4, source="seed = 4"), "given as 3 but injected as 4")]


@pytest.mark.parametrize("changes, cell, rule", [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_each_broken_rule_is_found_in_its_cell(changes, cell, rule, tmp_path):
    node = good()
    for change in changes:
        change(node)
    violations = notebook_rules.check_source(saved(tmp_path, node))
    hit = next(v for v in violations if rule in v.rule)
    assert hit.cell == cell and all(v.remedy and v.notebook == "one.ipynb" for v in violations)
    assert hit.line == (node.cells[cell - 1].source.strip().partition("\n")[0][:80] if cell else "")


@pytest.mark.parametrize("change, rule", [case[1:] for case in BROKEN_RUN], ids=[case[0] for case in BROKEN_RUN])
def test_each_broken_rule_of_a_run_is_found(change, rule, tmp_path):
    node = executed()
    change(node)
    assert any(rule in v.rule for v in notebook_rules.check_executed(saved(tmp_path, node), {"seed": 3}))


def test_what_keeps_the_contract_has_no_violation(tmp_path):
    assert notebook_rules.check_source(saved(tmp_path, good()), ["seed"]) == []
    promised = good()
    PROMISED(promised)
    edit(5, outputs=[TEXT], execution_count=1)(promised)
    assert notebook_rules.check_source(saved(tmp_path, promised)) == []
    run, described = executed(), executed()
    shows(alt="a dot", **{"image/png": "AA=="})(described)
    for node in (run, described):
        assert notebook_rules.check_executed(saved(tmp_path, node), {"seed": 3}) == []


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"cells": 3, "metadata": {}, "nbformat": 4}'])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    (tmp_path / "broken.ipynb").write_text(content)
    with pytest.raises(NslibError, match=r"broken\.ipynb"):
        notebook_rules.check_source(tmp_path / "broken.ipynb")


def test_parameters_are_read_and_a_violation_says_what_to_do(tmp_path):
    bad, path = good(), saved(tmp_path, good(), "a.ipynb")
    edit(5, source="seed, tasks\n!ls")(bad)
    (violation,) = notebook_rules.check_source(saved(tmp_path, bad, "b.ipynb"))
    assert str(violation).startswith("b.ipynb, cell 6 ('seed, tasks'): the cell has a shell or magic line. Call Python")
    assert notebook_rules.read_parameters(path) == {"seed": 0, "tasks": None}
    with pytest.raises(UnknownName, match="Did you mean seed"):
        notebook_rules.check_source(path, ["sed"])
