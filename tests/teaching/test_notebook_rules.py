"""The notebook contract: each rule is shown to fail on a notebook that breaks it, and only then."""

import nbformat
import pytest
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


def saved(folder, node, name="x.ipynb"):
    path = folder / name
    nbformat.write(node, path)
    return path


def source(at, text):
    return lambda node: node.cells[at].update(source=text)


def tags(at, *names):
    return lambda node: node.cells[at].metadata.update(tags=list(names))


def output(at, *outputs, count=None):
    return lambda node: node.cells[at].update(outputs=list(outputs), execution_count=count)


def insert(at, *cells):
    return lambda node: node.cells.__setitem__(slice(at, at), list(cells))


def shows(html="", alt=None, **data):
    about = {"image/png": {"alt": alt}} if alt else {}
    return output(6, v4.new_output("display_data", data={"text/html": html} if html else data, metadata=about), count=4)


TEXT = v4.new_output("stream", name="stdout", text="2\n")
PROMISED = tags(5, "nbval-check-output")
BROKEN = [
    ("no parameters cell", [tags(3)], 0, "no cells are tagged 'parameters'"),
    ("two parameters cells", [tags(5, "parameters")], 6, "2 cells are tagged"),
    ("a computed parameter", [source(3, "seed = int('0')  # n\ntasks = None  # n")], 4, "is not 'name = literal'"),
    ("a statement", [source(3, "seed = 0  # n\ntasks = None  # n\nprint(seed)")], 4, "is not 'name = literal'"),
    ("no comment", [source(3, 'seed = "a#b"\ntasks = None  # names')], 4, "'seed' has no comment"),
    ("an unused parameter", [source(5, "value = 2 + seed")], 4, "'tasks' is never used"),
    ("an output", [output(5, TEXT)], 6, "holds outputs"),
    ("an execution count", [output(5, count=1)], 6, "holds an execution count"),
    ("a promise without output", [PROMISED], 6, "has no output to compare"),
    ("a promise never run", [PROMISED, output(5, TEXT)], 6, "has no output to compare"),
    ("a shell line", [source(5, "seed, tasks\n!ls")], 6, "shell or magic line"),
    ("a magic line", [source(5, "x = %timeit 1")], 6, "shell or magic line"),
    ("a syntax error", [source(5, "seed tasks")], 6, "not valid Python"),
    ("an unguarded colab cell", [source(1, "!pip install nslib")], 2, "not guarded"),
    ("too little prose", [insert(6, *[v4.new_code_cell("value") for _ in range(4)])], 0, "less than 50%"),
    ("a claim without check", [source(7, "value")], 7, "claim has no check"),
    ("a claim below other prose", [source(8, "Prose.\n\n**Check 2.** More.")], 9, "claim has no check"),
    ("two claims, one check", [insert(6, v4.new_markdown_cell("**Check 0.** Before."))], 7, "claim has no check"),
    ("another check", [source(7, "nslib.embeddings.check(value)")], 7, "claim has no check")]
BROKEN_RUN = [
    ("out of order", lambda n: n.cells[6].update(execution_count=9), "execution count is 9, expected 4"),
    ("not run", lambda n: n.cells[6].update(execution_count=None), "execution count is None"),
    ("an error", output(6, v4.new_output("error", ename="ValueError", evalue="no", traceback=[]), count=4),
     "it failed: ValueError: no"),
    ("a bare picture", shows(**{"image/png": "AA=="}), "image/png"),
    ("a picture in HTML", shows("<img src='x'>"), "in HTML"),
    ("an empty text", shows('<img alt=" " src="x">'), "in HTML"),
    ("not injected", lambda n: n.cells.pop(4), "'seed' was given but not injected"),
    ("injected otherwise", source(4, "seed = 4"), "given as 3 but injected as 4")]


@pytest.mark.parametrize("changes, cell, rule", [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_each_broken_rule_is_found_in_its_cell(changes, cell, rule, tmp_path):
    node = good()
    for change in changes:
        change(node)
    violations = notebook_rules.check_source(saved(tmp_path, node))
    hit = next(v for v in violations if rule in v.rule)
    assert hit.cell == cell and all(v.remedy and v.notebook == "x.ipynb" for v in violations)
    assert hit.line == (node.cells[cell - 1].source.strip().partition("\n")[0][:80] if cell else "")


@pytest.mark.parametrize("change, rule", [case[1:] for case in BROKEN_RUN], ids=[case[0] for case in BROKEN_RUN])
def test_each_broken_rule_of_a_run_is_found(change, rule, tmp_path):
    node = executed()
    change(node)
    violations = notebook_rules.check_executed(saved(tmp_path, node), {"seed": 3})
    assert any(rule in v.rule for v in violations), violations


def test_what_keeps_the_contract_has_no_violation(tmp_path):
    assert notebook_rules.check_source(saved(tmp_path, good()), ["seed"]) == []
    promised = good()
    PROMISED(promised)
    output(5, TEXT, count=1)(promised)
    assert notebook_rules.check_source(saved(tmp_path, promised)) == []
    run, described = executed(), executed()
    shows(alt="a dot", **{"image/png": "AA=="})(described)
    for node in (run, described):
        assert notebook_rules.check_executed(saved(tmp_path, node), {"seed": 3}) == []


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"cells": 3, "metadata": {}, "nbformat": 4}'])
def test_a_file_that_is_no_notebook_is_named(tmp_path, content):
    path = tmp_path / "broken.ipynb"
    path.write_text(content)
    with pytest.raises(NslibError, match=r"broken\.ipynb"):
        notebook_rules.check_source(path)


def test_parameters_are_read_and_a_folder_is_checked_with_what_to_do(tmp_path):
    bad = good()
    source(5, "seed, tasks\n!ls")(bad)
    saved(tmp_path, bad, "b.ipynb")
    path = saved(tmp_path, good(), "a.ipynb")
    (violation,) = notebook_rules.check_folder(tmp_path)
    assert str(violation) == (
        "b.ipynb, cell 6 ('seed, tasks'): the cell has a shell or magic line. "
        "Call Python instead; only the cell tagged 'colab' may use ! and %.")
    assert notebook_rules.read_parameters(path) == {"seed": 0, "tasks": None}
    with pytest.raises(UnknownName, match="Did you mean seed"):
        notebook_rules.check_source(path, ["sed"])
