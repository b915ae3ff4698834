"""The proof that exercises teach: bad ones are refused, each for its reason; then the whole workshop, made and run."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from nslib import params
from nslib.errors import NslibError
from nslib.notebook_cells import tagged
from nslib.workshop import bundle, material, proof, source

METADATA = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "workshop": {path: {"minutes": 5, "read": "all"} for path in ("90", "180")}}
CHECK = 'with nslib.exercise("{0}", "s", hint="think of {0}") as it:\n    it.made({1}={1})\n    it.expect({2}, "wrong")'


def chapter(folder: Path, exercises: list[tuple[str, str, str, str]], first: str = "import nslib\n\nprint(n)"):
    """A chapter with exercises (name made, solution, condition of the check, typical mistake)."""
    settings = v4.new_code_cell("n = 9  # any", metadata={"tags": ["parameters"]})
    cells = [v4.new_markdown_cell("# One\n\nOf roots."), settings, v4.new_markdown_cell("Go."), v4.new_code_cell(first)]
    for letter, (name, solution, condition, mistake) in zip("ABCDEF", exercises, strict=False):
        about = {"minutes": 5, "path": "90", "notes": "note", "mistakes": [mistake]}
        cells += [v4.new_markdown_cell(f"**Exercise {letter}: it (5 minutes).** Make `{name}`."),
                  v4.new_code_cell(solution, metadata={"tags": ["exercise"], "workshop": about}),
                  v4.new_code_cell(CHECK.format(letter, name, condition), metadata={"tags": ["check"]}),
                  v4.new_markdown_cell("Ask yourself.")]
    cells += [v4.new_markdown_cell("## Try it"), v4.new_markdown_cell("## What we saw\n\n- it")]
    nbformat.write(v4.new_notebook(cells=cells, metadata=METADATA), folder / "one.ipynb")
    return source.chapter(folder / "one.ipynb")


@pytest.mark.slow
def test_good_exercises_are_proven_and_what_was_said_is_kept(tmp_path):
    good = chapter(tmp_path, [("root", "root = n ** 0.5\nprint(root)", "root == 3", "root = n / 2"),
                              ("double", "double = 2 * n", "double == 18", 'double = "2n" + n')])
    with pytest.raises(proof.Unproven, match="typical mistake 0 does not run itself: TypeError"):
        proof.prove(good)
    good = chapter(tmp_path, [("root", "root = n ** 0.5\nprint(root)", "root == 3", "root = n / 2")])
    shown = proof.prove(good)["A"]
    assert shown.outputs[0]["text"] == "3.0\n" and shown.passed == "✓ Exercise A: s"
    assert shown.empty.startswith("✗ Exercise A: `root` is still empty") and shown.empty.endswith("Hint: think of A")
    assert shown.mistakes == (("root = n / 2", "✗ Exercise A: wrong\nHint: think of A"),)


@pytest.mark.slow
def test_every_bad_exercise_is_refused_with_its_name(tmp_path):
    bad = chapter(tmp_path, [
        ("a", "a = 1", "a == 2", "a = 3"),  # the solution does not pass
        ("b", "b = 1", "True", "b = 2"),  # the check takes a mistake
        ("c", "c = 1 / 0", "c == 1", "c = 2"),  # the solution does not run
    ])
    node = bad.copy()
    with pytest.raises(proof.Unproven) as found:
        proof.prove(bad, node=node)
    text = "\n".join(found.value.faults)
    assert "exercise A: the solution does not pass its own check: Unsolved: ✗ Exercise A: wrong" in text
    assert "exercise B: typical mistake 0 passes the check" in text
    assert "exercise C: the solution does not run: ZeroDivisionError" in text
    assert "the empty cell" not in text and len(found.value.faults) == 3


@pytest.mark.slow
def test_an_empty_cell_that_passes_or_fails_without_a_hint_is_refused(tmp_path):
    lax = chapter(tmp_path, [("a", "a = 1", "True", "a = 2"), ("b", "b = 1", "b == 1", "b = 2")])
    # checks that look at nothing, or break outside the block that puts errors into words
    lax = source.Chapter(lax.path, lax.title, lax.node, tuple(
        source.Exercise(**{**vars(e), "check": check, "mistakes": ()})
        for e, check in zip(lax.exercises, ("print('fine')", "assert b == 1"), strict=True)), lax.walks)
    with pytest.raises(proof.Unproven) as found:
        proof.prove(lax)
    first, second = found.value.faults
    assert "the empty cell passes the check" in first
    assert "to the empty cell the check fails with AssertionError" in second


@pytest.mark.slow
def test_another_cell_that_fails_is_named(tmp_path):
    first = 'import nslib\n\nprint(n)\nraise ValueError("no")'
    with pytest.raises(NslibError, match=r"one.ipynb: a cell failed: ValueError: no"):
        proof.prove(chapter(tmp_path, [("a", "a = 1", "a == 1", "a = 2")], first))


# the real thing, with a handful of clips


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The workshop of a smoke run, packed, and unpacked where a participant would."""
    out, room = tmp_path_factory.mktemp("workshop"), tmp_path_factory.mktemp("room")
    given = params.load({"corpus": "synthetic", "smoke": True})
    done = bundle.build(given, out, progress=False)
    for archive in (done.archive, done.for_instructor):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(room)
    shutil.rmtree(out)  # nothing may be needed from where it was made
    return done, room / bundle.ROOT


def run(node, home):
    """Run a notebook in the unpacked folder, without a network, and give what its checks say."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NSLIB_")}
    environment["NSLIB_CACHE"] = str(home / "cache")
    proof.execute(node, "it", environment, home / "notebooks")
    return [cell["outputs"][0] for _, cell in tagged(node["cells"], "check")]


def student(home, path):
    return nbformat.read(home / "notebooks" / path.name, as_version=4)


@pytest.mark.heavy
def test_the_zip_holds_what_a_room_needs_and_no_answers(built):
    done, home = built
    assert done.exercises >= 10 and done.megabytes < 60
    expected = {"README.md", "start.py", "notebooks", "nslib", "data", "cache", "workshop-colab.ipynb"}
    assert expected <= set(os.listdir(home))
    seen = "".join(p.read_text() for p in [*(home / "notebooks").glob("*.ipynb"), home / "workshop-colab.ipynb"])
    for chapter in source.chapters():
        for exercise in chapter.exercises:
            assert exercise.notes.splitlines()[0] not in seen
            assert exercise.notes.splitlines()[0] in (home / "INSTRUCTOR.md").read_text()
    assert sum(p.stat().st_size for p in (home / "cache").rglob("*.wav")) > 1e6


@pytest.mark.heavy
@pytest.mark.parametrize("path", [c.path for c in source.chapters()], ids=lambda p: p.stem)
def test_every_empty_check_fails_with_its_hint_and_the_notebook_goes_on(built, path):
    node = student(built[1], path)
    said = run(node, built[1])
    assert len(said) == len(source.chapter(path).exercises)
    assert all(o["output_type"] == "error" and o["ename"] == "Unsolved" for o in said)
    assert all("still empty" in o["evalue"] and "\nHint: " in o["evalue"] for o in said)
    assert all(len(o["traceback"]) == 2 for o in said)
    assert all(c["execution_count"] for c in node["cells"] if c["cell_type"] == "code")


@pytest.mark.heavy
def test_with_solutions_pasted_in_every_check_passes_in_the_one_file_too(built):
    _, home = built
    node = nbformat.read(home / "workshop-colab.ipynb", as_version=4)
    solutions = {f"{c.path.stem.replace('_', '-')}": c for c in source.chapters()}
    pasted = 0
    for _, cell in tagged(node["cells"], "exercise"):
        chapter = solutions[cell["id"][:-3]]
        cell["source"] = next(e.solution for e in chapter.exercises if chapter.node["cells"][e.at]["id"] == cell["id"])
        pasted += 1
    said = run(node, home)
    assert pasted == len(said) == sum(len(c.exercises) for c in solutions.values())
    assert all(o["output_type"] == "stream" and o["text"].startswith("✓ Exercise") for o in said), said


@pytest.mark.heavy
def test_a_chapter_with_a_bad_exercise_is_not_packed(tmp_path, monkeypatch):
    bad = chapter(tmp_path, [("a", "a = 1", "a == 2", "a = 3")])
    monkeypatch.setattr(bundle.source, "chapters", lambda names: [bad])
    monkeypatch.setattr(bundle.material, "collect", lambda *a, **k: None)
    with pytest.raises(proof.Unproven, match="does not pass its own check"):
        bundle.build(material.settings(params.load({"corpus": "synthetic"})), tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("*.zip"))
