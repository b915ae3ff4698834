"""The workshop: self-checks, the rules of exercises, editions, plan, material, and what starts it."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import os
import pickle
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

import nslib
from nslib import notebook, params
from nslib.errors import NslibError, UnknownName
from nslib.workshop import agenda, bundle, editions, material, merged, opening, outcome, readme, source, start, wheels
from nslib.workshop.exercises import Unsolved
from nslib.workshop.outcome import Proof

PNG = b"\x89PNG\r\n\x1a\n picture"
NOTE = "Ask the room about the square root."
SOLUTION = "import math\n\nroot = math.sqrt(number)\nprint(root)"


def small() -> nbformat.NotebookNode:
    """A chapter with one exercise."""
    task = "**Exercise A: a root (5 minutes).** Make `root`, the square root of `number`. See [two](two.ipynb)."
    check = ('with nslib.exercise("A", "its square is the number", hint="math.sqrt") as it:\n    it.made(root=root)\n'
             '    it.expect(abs(root**2 - number) < 1e-9, f"the square of {root} is {root**2:g}")')
    about = {"minutes": 5, "path": "90", "notes": NOTE, "mistakes": ["root = number / 2 + 1"]}
    colab = 'import sys\n\nif "google.colab" in sys.modules:\n    print("here")'
    node = v4.new_notebook(metadata={
        "workshop": {"90": {"minutes": 70, "read": "all"}, "180": {"minutes": 80, "read": "all"}},
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}, cells=[
        v4.new_markdown_cell("# One\n\nAbout roots.\n\n*On Colab: File > Upload\nnotebook.*"),
        v4.new_code_cell(colab, metadata={"tags": ["colab"]}),
        v4.new_markdown_cell("Settings."),
        v4.new_code_cell("number = 16.0  # at least 0", metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell("What is needed."),
        v4.new_code_cell("import nslib\n\nprint(number)"),
        v4.new_markdown_cell(task),
        v4.new_code_cell(SOLUTION, metadata={"tags": ["exercise"], "workshop": about}),
        v4.new_code_cell(check, metadata={"tags": ["check"]}),
        v4.new_markdown_cell("## Try it\n\nAnother number. See [one](one.ipynb)."),
        v4.new_markdown_cell("## What we saw\n\n- a root")])
    for at, cell in enumerate(node.cells, 1):
        cell["id"] = f"one-{at:02d}"
    return node


def saved(folder: Path, node: nbformat.NotebookNode, name: str = "one.ipynb") -> Path:
    nbformat.write(node, folder / name)
    return folder / name


@pytest.fixture
def chapter(tmp_path):
    return source.chapter(saved(tmp_path, small()))


@pytest.fixture
def proofs():
    html = f'<figure><img alt="a root, [drawn]" style="" src="data:image/png;base64,{base64.b64encode(PNG).decode()}">'
    outputs = (v4.new_output("stream", name="stdout", text="4.0\n"),
               v4.new_output("stream", name="stderr", text="log\n"),
               v4.new_output("display_data", data={"text/html": html, "text/plain": "a root"}))
    return {"A": Proof(outputs, "✓", "✗ empty", (("root = number / 2 + 1", "✗ Exercise A: too large\nHint: math"),))}


# the self-check


def test_a_right_answer_is_told_what_it_shows(capsys):
    with nslib.exercise("B", "two and two are four", hint="add") as it:
        it.made(four=4)
        it.expect(True, "never said")
    assert capsys.readouterr().out == "✓ Exercise B: two and two are four\n"


@pytest.mark.parametrize("empty", [..., None])
def test_an_empty_answer_fails_with_the_names_and_the_hint(empty):
    with pytest.raises(Unsolved, match=r"`a`, `c` are still empty.*\nHint: think"), \
            nslib.exercise("A", "s", hint="think") as it:
        it.made(a=empty, b=0, c=empty)


def test_the_first_wrong_thing_is_said_and_nothing_is_printed(capsys):
    with pytest.raises(Unsolved, match="Exercise A: too small\nHint: h"), nslib.exercise("A", "s", hint="h") as it:
        it.expect(False, "too small")
        it.expect(False, "too large")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("odd, said", [
    (lambda: {}["x"], "KeyError"), (lambda: "a" + 1, "TypeError"), (lambda: undefined, "no `undefined` yet")])  # noqa: F821
def test_an_answer_that_breaks_the_check_gets_a_sentence_too(odd, said):
    with pytest.raises(Unsolved, match=said), nslib.exercise("A", "s", hint="h") as it:
        it.expect(odd(), "never said")


def test_what_is_no_single_truth_value_is_refused():
    import numpy as np

    with pytest.raises(Unsolved, match="not ndarray"), nslib.exercise("A", "s", hint="h") as it:
        it.expect(np.array([True, True]), "wrong")


def test_stopping_a_check_stops_it():
    with pytest.raises(KeyboardInterrupt), nslib.exercise("A", "s", hint="h"):
        raise KeyboardInterrupt


def test_the_error_is_short_in_a_notebook_and_survives_a_process():
    error = Unsolved("A", "wrong", "hint")
    assert error._render_traceback_() == ["✗ Exercise A: wrong", "Hint: hint"]
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# the rules


def change(at, **fields):
    def apply(node):
        for name, value in fields.items():
            node.cells[at][name] = value

    return apply


def about(**fields):
    return lambda node: node.cells[7]["metadata"]["workshop"].update(fields)


def test_the_small_chapter_keeps_the_contract(tmp_path):
    assert notebook.check_source(saved(tmp_path, small())) == []


@pytest.mark.parametrize("broken, said", [
    (change(6, source="Make a root."), "no prose above"),
    (lambda node: node.cells[8]["metadata"].pop("tags"), "has no check"),
    (lambda node: node.cells[5]["metadata"].update(tags=["check"]), "below no exercise"),
    (change(6, source="**Exercise B: a root (5 minutes).** Make it."), "not of exercise B"),
    (change(7, source="import math\nr = math.sqrt(number)"), "wants 'root'"),
    (change(8, source='with nslib.exercise("A", "s", hint="h") as it:\n    it.expect(True, "w")'), "what is to be"),
    (change(7, source=SOLUTION + "\n0" * 9), "13 lines"),
    (change(5, source="import nslib\nprint(number)\nroot = 1\nprint(root)"), "is read in cell 6"),
    (about(minutes=6), "no minutes"), (about(path="60"), "no path"), (about(notes=" "), "no notes"),
    (about(mistakes=[]), "no mistakes"), (about(mistakes=["x", ""]), "no mistakes")])
def test_what_breaks_the_rules_is_found(tmp_path, broken, said):
    node = small()
    broken(node)
    found = notebook.check_source(saved(tmp_path, node))
    assert any(said in violation.rule for violation in found), found


def test_two_exercises_of_one_name_are_found(tmp_path):
    node = small()
    again = copy.deepcopy(node.cells[6:9])
    for cell in again:
        cell["id"] += "b"
    node.cells[9:9] = again
    assert any("2 exercises are called A" in v.rule for v in notebook.check_source(saved(tmp_path, node)))


def test_a_loop_variable_of_a_comprehension_is_no_clash(tmp_path):
    node = small()
    node.cells[5]["source"] = "import nslib\n\nprint(number, [k for k in (1, 2)])"
    node.cells[7]["source"] = "root = [k**0.5 for k in (number,)][0]"
    assert notebook.check_source(saved(tmp_path, node)) == []


# the source


def test_a_chapter_tells_its_exercise_and_times(chapter):
    (exercise,) = chapter.exercises
    assert (exercise.name, exercise.title, exercise.minutes, exercise.makes) == ("A", "a root", 5, ("root",))
    assert chapter.title == "One" and chapter.walks["90"].minutes == 70
    assert [e.name for e in chapter.exercises_of("90")] == ["A"]


def test_notebooks_with_exercises_are_chapters(tmp_path):
    saved(tmp_path, small())
    other = small()
    del other.cells[6:9]
    saved(tmp_path, other, "two.ipynb")
    assert [c.name for c in source.chapters(folder=tmp_path)] == ["one.ipynb"]
    for name in ("oen", "two"):
        with pytest.raises(UnknownName, match="one"):
            source.chapters([name], tmp_path)


def test_no_chapter_at_all_is_said(tmp_path):
    with pytest.raises(NslibError, match="no notebook has exercises"):
        source.chapters(folder=tmp_path)


@pytest.mark.parametrize("walks, said", [
    ({}, "how long"),
    ({"60": {"minutes": 5, "read": "x"}}, "60"), ({"90": {"read": "x"}}, "minutes")])
def test_times_that_cannot_be_read_are_refused(tmp_path, walks, said):
    node = small()
    node["metadata"]["workshop"] = walks
    with pytest.raises(NslibError, match=said):
        source.chapter(saved(tmp_path, node))


def test_the_kits_chapters_have_exercises_with_several_mistakes():
    found = {c.path.stem: c for c in source.chapters()}
    assert {"00_start_here", "02_frontend", "05_benchmark", "06_personalisation"} <= set(found)
    exercises = [e for c in found.values() for e in c.exercises]
    assert len(exercises) >= 10 and all(len(e.mistakes) >= 3 and len(e.notes) > 200 for e in exercises)


# the editions


def whole(node):
    return nbformat.writes(node)


def test_the_student_gets_an_empty_cell_a_hint_and_a_check(chapter, proofs):
    node = editions.student(chapter, proofs)
    nbformat.validate(node)
    cells = {cell["id"]: cell for cell in node["cells"]}
    assert cells["one-08"]["source"] == "import math\n\nroot = ...  # your code"
    hint = cells["one-08-hint"]
    assert "4.0" in hint["source"] and "![a root, drawn](attachment:expected.png)" in hint["source"]
    assert base64.b64decode(hint["attachments"]["expected.png"]["image/png"]) == PNG and "log" not in hint["source"]
    assert cells["one-09"]["metadata"]["tags"] == ["check", "raises-exception"]
    for secret in (NOTE, "math.sqrt(number)", "number / 2", '"workshop":'):
        assert secret not in whole(node)


def test_the_reader_gets_solutions_and_no_notes(chapter):
    text = whole(editions.reader(chapter))
    assert "math.sqrt(number)" in text and NOTE not in text and "number / 2" not in text
    assert "your code" not in text


def test_the_instructor_gets_time_notes_and_the_answers_to_mistakes(chapter, proofs):
    node = editions.instructor(chapter, proofs)
    nbformat.validate(node)
    (box,) = [c["source"] for c in node["cells"] if "instructor" in c["metadata"].get("tags", [])]
    assert "5 minutes, in both paths" in box and NOTE in box and "root = number / 2 + 1" in box
    assert "> ✗ Exercise A: too large\n" in box + "\n" and "math.sqrt(number)" in whole(node)


def test_editions_leave_the_source_alone_and_are_the_same_again(chapter, proofs):
    before = whole(chapter.node)
    assert whole(editions.student(chapter, proofs)) == whole(editions.student(chapter, proofs))
    editions.instructor(chapter, proofs)
    assert whole(chapter.node) == before


def test_links_lead_to_notebooks_that_are_there(chapter):
    text = whole(editions.reader(chapter, ["one.ipynb"]))
    assert "[one](one.ipynb)" in text and "See two." in text


def test_the_first_cell_finds_the_folder_instead_of_colab(chapter):
    node = editions.reader(chapter)
    assert node["cells"][0]["source"] == "# One\n\nAbout roots."
    assert node["cells"][1]["source"] == editions.SETUP and "google.colab" not in whole(node)


def test_the_merge_is_one_valid_notebook_with_pictures_in_its_text(chapter, proofs):
    node = merged.merged([editions.student(chapter, proofs)], "nslib-workshop.zip")
    nbformat.validate(node)
    ids = [cell["id"] for cell in node["cells"]]
    tags = [tag for cell in node["cells"] for tag in cell["metadata"].get("tags", [])]
    assert len(set(ids)) == len(ids) and tags.count("setup") == tags.count("colab") == 1 and "parameters" not in tags
    text = whole(node)
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in text and "attachment:" not in text
    assert "nslib-workshop.zip" in node["cells"][0]["source"] and "- One" in node["cells"][0]["source"]


def test_the_first_cells_of_the_merge_unpack_the_zip_on_colab(tmp_path, chapter, proofs):
    """In a session that looks like Colab's: an empty folder, `google.colab`, the zip file chosen by hand."""
    kit, session = tmp_path / "kit", tmp_path / "content"
    (kit / "nslib" / "workshop").mkdir(parents=True)
    session.mkdir()
    (kit / "pyproject.toml").write_text("")
    (kit / "nslib" / "__init__.py").write_text("")
    (kit / "nslib" / "colab.py").write_text("def install():\n    print('installed', __file__)\n")
    (kit / "nslib" / "workshop" / "__init__.py").write_text("def begin():\n    print('begun', __file__)\n")
    bundle._zip(kit, tmp_path / bundle.ARCHIVE, False)
    node = merged.merged([editions.student(chapter, proofs)], bundle.ARCHIVE)
    colab, setup = (cell["source"] for cell in node["cells"][1:3])
    fake = f"""
import shutil, sys, types
for name in ("google", "google.colab"):
    sys.modules[name] = types.ModuleType(name)
def upload():
    shutil.copy({str(tmp_path / bundle.ARCHIVE)!r}, ".")
    return [{bundle.ARCHIVE!r}]
sys.modules["google.colab"].files = types.SimpleNamespace(upload=upload)
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"{fake}{colab}\n{setup}"], cwd=session, text=True,
                          capture_output=True, check=False)
    inside = str(session / "kit" / bundle.ROOT / "nslib")
    assert done.returncode == 0, done.stderr
    assert f"installed {inside}" in done.stdout and f"begun {inside}" in done.stdout


def test_outputs_without_a_picture_are_text():
    table = v4.new_output("execute_result", data={"text/plain": "a  b", "text/html": "<table></table>"})
    assert outcome.picture([table]) is None and outcome.text([table]) == "a  b" and outcome.alternative([table]) == ""
    coloured = v4.new_output("error", ename="E", evalue="\x1b[31mred\x1b[0m", traceback=[])
    assert outcome.failure([coloured]) == ("E", "red") and outcome.failure([table]) is None


# the plan


@pytest.mark.parametrize("path", ["90", "180"])
def test_the_kits_plans_fill_their_time_without_a_gap(path):
    entries = agenda.plan(source.chapters(), path)
    assert sum(e.minutes for e in entries) == int(path) and entries[-1].minutes >= agenda.LEAST_LEFT
    assert all(b.start == a.start + a.minutes for a, b in itertools.pairwise(entries))
    assert sum(e.what == "Break" for e in entries) == (path == "180")


def test_the_short_plan_has_fewer_exercises():
    plans = [[e.what for e in agenda.plan(source.chapters(), path)] for path in ("90", "180")]
    short, long = ([what for what in plan if what.startswith("Exercise")] for plan in plans)
    assert set(short) < set(long) and len(short) >= 4


def test_a_plan_that_is_too_long_is_refused(tmp_path):
    node = small()
    node["metadata"]["workshop"]["90"]["minutes"] = 77
    with pytest.raises(NslibError, match="3 minutes left"):
        agenda.plan([source.chapter(saved(tmp_path, node))], "90")


def test_the_instructors_page_has_the_notes_and_the_participants_has_not(chapter):
    chosen = material.settings(params.load({"corpus": "synthetic"}))
    assert NOTE in readme.for_instructor([chapter])
    page = readme.write([chapter], chosen, with_wheels=True)
    assert NOTE not in page and "| 0:00 | 5 | Welcome" in page
    assert "eSpeak NG" in page and "from the folder `wheels`" in page


# what goes into the folder


def test_settings_keep_what_was_asked_for():
    chosen = material.settings(params.load({"corpus": "synthetic", "tasks": "word-synthetic", "profile": "paper"}))
    assert chosen.tasks == ("word-synthetic",) and chosen.profile == "quick" and "logmel" in chosen.embeddings
    assert material.environment(chosen)["TASKS"] == "word-synthetic"


@pytest.mark.slow
def test_a_collected_cache_serves_the_same_clips_without_a_network(tmp_path, monkeypatch):
    chosen = material.settings(params.load({"corpus": "synthetic", "tasks": "style-synthetic", "smoke": True}))
    task = nslib.tasks.get("style-synthetic")
    here = nslib.corpora.load_clips(task, chosen, progress=False).clips
    material.collect(chosen, tmp_path / "there", progress=False)
    monkeypatch.setenv("NSLIB_CACHE", str(tmp_path / "there"))
    spoken = []
    monkeypatch.setattr("nslib.corpora.espeak.speak", lambda shelf, jobs, progress: spoken.extend(jobs) or {})
    there = nslib.corpora.load_clips(task, chosen, progress=False).clips
    assert there["sha256"].tolist() == here["sha256"].tolist() and spoken == []
    assert all(Path(p).is_relative_to(tmp_path) and Path(p).stat().st_size for p in there["audio"])


def test_clips_that_are_missing_here_are_an_error(tmp_path, monkeypatch):
    chosen = material.settings(params.load({"corpus": "synthetic", "tasks": "style-synthetic"}))
    lost = [{"clip_id": "style/x", "audio": "x", "reason": "it was not spoken", "remedy": "Run again."}]
    monkeypatch.setattr("nslib.corpora.load_clips", lambda *a, **k: nslib.corpora.table.make([], lost, []))
    with pytest.raises(NslibError, match="1 clips of style-synthetic cannot be used here, style/x"):
        material.collect(chosen, tmp_path, progress=False)


def test_the_lock_of_the_workshop_has_what_the_kit_needs_and_not_its_tests():
    names = wheels.needed()
    text = wheels.lock()
    assert {"tensorflow", "jupyterlab", "numpy", "ipykernel"} <= names
    assert not names & {"pytest", "sphinx", "playwright"}
    pinned = {line.split("==")[0] for line in text.splitlines() if "==" in line}
    assert pinned == names and text.count("--hash=sha256:") >= len(names)


def test_a_lock_is_cut_between_entries_and_markers_stay():
    lock = "a-b==1 ; x \\\n    --hash=sha256:1\nc==2 \\\n    --hash=sha256:2\na-b==3 ; y \\\n    --hash=sha256:3\n"
    assert wheels.pinned(lock, {"a-b"}) == ("a-b==1 ; x \\\n    --hash=sha256:1\na-b==3 ; y \\\n    --hash=sha256:3\n")


def test_no_package_is_fetched_when_that_is_forbidden(tmp_path):
    with pytest.raises(NslibError, match="NSLIB_OFFLINE forbids"):
        wheels.fetch(tmp_path / "wheels", tmp_path / wheels.LOCK, progress=False)


# what starts it


def test_the_first_cell_uses_the_folders_cache(tmp_path, monkeypatch, capsys):
    chosen = material.settings(params.load({"corpus": "synthetic"}))
    (tmp_path / opening.FILE).write_text(readme.opening(chosen))
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(params, "root", lambda: tmp_path)
    monkeypatch.setattr(os, "environ", {"TASKS": "mine"})
    opening.begin()
    assert os.environ["NSLIB_CACHE"] == str(tmp_path / "cache") and os.environ["NSLIB_OFFLINE"] == "1"
    assert os.environ["TASKS"] == "mine" and os.environ["CORPUS"] == "synthetic"
    assert "nothing is fetched" in capsys.readouterr().out


def test_a_folder_without_its_cache_is_said(tmp_path, monkeypatch):
    (tmp_path / opening.FILE).write_text(json.dumps({"environment": {}, "greeting": ""}))
    monkeypatch.setattr(params, "root", lambda: tmp_path)
    with pytest.raises(NslibError, match="unpack the whole zip file"):
        opening.begin()


def test_in_a_checkout_the_first_cell_changes_nothing(monkeypatch, capsys):
    before = dict(os.environ)
    opening.begin()
    assert dict(os.environ) == before and "settings of this machine" in capsys.readouterr().out


def test_wheels_for_another_machine_are_refused(tmp_path):
    assert start.machine() == f"3.{sys.version_info[1]} {sysconfig.get_platform()}" and start.refusal(tmp_path) == ""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / wheels.MADE_FOR).write_text("3.9 plan9-vax\n")
    assert "3.9 plan9-vax" in start.refusal(tmp_path)


def test_without_a_network_only_the_wheels_are_used(tmp_path):
    assert "--no-index" not in start._packages(tmp_path)
    (tmp_path / "wheels").mkdir()
    words = start._packages(tmp_path)
    assert "--no-index" in words and words[-1] == str(tmp_path / wheels.LOCK) and "--require-hashes" in words


def test_the_starter_runs_where_nothing_is_installed(tmp_path):
    copied = tmp_path / "start.py"
    copied.write_bytes(Path(start.__file__).read_bytes())
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / wheels.MADE_FOR).write_text("another\n")
    done = subprocess.run([sys.executable, "-S", "-I", str(copied)], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "are for Python and machine another" in done.stderr


def test_a_zip_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    import errno
    import zipfile

    (tmp_path / "in" / "__pycache__").mkdir(parents=True)
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "__pycache__" / "b.pyc").write_text("b")
    made = bundle._zip(tmp_path / "in", tmp_path / "x.zip", False)
    assert zipfile.ZipFile(made).namelist() == ["nslib-workshop/a.txt"]

    def full(*_args, **_settings):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(bundle.shutil, "copyfileobj", full)
    with pytest.raises(NslibError, match="no space left"):
        bundle._zip(tmp_path / "in", tmp_path / "y.zip", False)
    assert {p.name for p in tmp_path.iterdir()} == {"in", "x.zip"}


# the verbs


def test_the_verbs_print_a_plan_and_refuse_what_does_not_exist():
    from typer.testing import CliRunner

    from nslib.cli import app

    shown = CliRunner().invoke(app, ["workshop", "agenda", "180"])
    assert shown.exit_code == 0 and "| 2:" in shown.stdout and "Break" in shown.stdout
    for words, near in ((["agenda", "60"], "180"), (["check", "02_frontent"], "02_frontend")):
        refused = CliRunner().invoke(app, ["workshop", *words])
        assert isinstance(refused.exception, UnknownName) and near in str(refused.exception)
