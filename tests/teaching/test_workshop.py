"""The workshop: the rules of exercises, editions, the proof, what a room needs; then all of it, made and run."""

import base64
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from unittest.mock import Mock

import nbformat
import pytest
from helpers import change_cell as change
from helpers import save_notebook as saved
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import v4

from nslib import config
from nslib.datasets import loading, table
from nslib.errors import NslibError, UnknownName
from nslib.teaching import colab, start, workshop
from nslib.teaching.notebook_rules import ContractBroken, check_source, tagged

PICTURE = f'<img alt="a root, drawn" src="data:image/png;base64,{base64.b64encode(b"png").decode()}">'
NOTE = "Ask the room about the square root."
SOLUTION = "import math\n\nroot = math.sqrt(number)\nprint(root)"
CHECK = ('with nslib.exercise("A", "its square is the number", hint="math.sqrt") as it:\n    it.made(root=root)\n'
         '    it.expect(abs(root**2 - number) < 1e-9, f"the square of {root} is {root**2:g}")')


def small(exercises=((SOLUTION, CHECK),), letters="ABCDE"):
    """A chapter with exercises of (solution, check)."""
    prose, code = v4.new_markdown_cell, v4.new_code_cell
    cells = [
        prose("# One\n\nAbout roots.\n\n*On Colab: File > Upload\nnotebook.*"),
        code('import sys\n\nif "google.colab" in sys.modules:\n    !ls', metadata={"tags": ["colab"]}),
        prose("Settings."), code("number = 16.0  # at least 0", metadata={"tags": ["parameters"]}),
        prose("What is needed."), code("import nslib\n\nprint(number)")]
    for letter, (solution, check) in zip(letters, exercises, strict=False):
        task = f"**Exercise {letter}: a root (5 minutes).** Make `root`, the root of `number`. See [two](two.ipynb)."
        about = {"notes": NOTE, "mistakes": ["root = number / 2 + 1"]}
        cells += [prose(task), code(solution, metadata={"tags": ["exercise"], "workshop": about}),
                  code(check, metadata={"tags": ["check"]}), prose("Ask yourself.")]
    cells.append(prose("Another number. See [one](one.ipynb)."))
    for at, cell in enumerate(cells, 1):
        cell["id"] = f"one-{at:02d}"
    return v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}, cells=cells)


def about(**fields):
    return lambda node: node.cells[7]["metadata"]["workshop"].update(fields)


@pytest.mark.parametrize("spoil, message", [
    (change(6, source="Make a root."), "no prose above"),
    (lambda node: node.cells[8]["metadata"].pop("tags"), "has no check"),
    (lambda node: node.cells[5]["metadata"].update(tags=["check"]), "below no exercise"),
    (change(6, source="**Exercise B: a root (5 minutes).** Make it."), "not of exercise B"),
    (lambda node: node.update(small([(SOLUTION, CHECK)] * 2, "AA")), "2 exercises are called A"),
    (change(7, source="import math\nr = math.sqrt(number)"), "wants 'root'"),
    (change(8, source='nslib.exercise("A", "s", hint="h")'), "what is to be"),
    (change(7, source=SOLUTION + "\n0" * 9), "13 lines"),
    (change(5, source="import nslib\nprint(number)\nroot = 1\nprint(root)"), "is read in cell 6"),
    (about(notes=" "), "no notes"), (about(mistakes=["x", ""]), "no mistakes")])
def test_what_breaks_the_rules_is_found(tmp_path, spoil, message):
    node = small()
    spoil(node)
    violations = check_source(saved(tmp_path, node))
    assert any(message in violation.rule for violation in violations), violations


def test_notebooks_with_exercises_are_chapters(tmp_path):
    with pytest.raises(NslibError, match="no notebook has exercises"):
        workshop.read_chapters(folder=tmp_path)
    saved(tmp_path, small())
    saved(tmp_path, small(()), "two.ipynb")
    (chapter,) = workshop.read_chapters(folder=tmp_path)
    assert (chapter.path.name, list(chapter.exercises)) == ("one.ipynb", ["A"])
    with pytest.raises(UnknownName, match="one"):
        workshop.read_chapters(["two"], tmp_path)
    chapter.node.cells[5]["source"] = "print("
    saved(tmp_path, chapter.node)
    with pytest.raises(ContractBroken, match=r"one\.ipynb, cell 6"):
        workshop.read_chapters(folder=tmp_path)
    notes = [three[1]["metadata"]["workshop"] for c in workshop.read_chapters() for three in c.exercises.values()]
    assert len(notes) >= 10 and all(len(a["mistakes"]) >= 3 and len(a["notes"]) > 200 for a in notes)  # the kit's


OUTPUTS = [v4.new_output("stream", name="stdout", text="4.0\n"), v4.new_output("stream", name="stderr", text="log\n"),
           v4.new_output("display_data", data={"text/html": f"<figure>{PICTURE}", "text/plain": "a root"}),
           v4.new_output("execute_result", data={"text/html": "<table></table>", "text/plain": "a  b"})]


def edit(audience, outputs=OUTPUTS, **linked):
    """Make an edition of the small notebook: valid, the same again, and the source is left as it was."""
    node = small()
    first, second = (workshop.make_edition(node, audience, outputs={"one-08": outputs}, **linked) for _ in range(2))
    nbformat.validate(first)
    assert nbformat.writes(node) == nbformat.writes(small()) and first == second
    return first, nbformat.writes(first)


def test_the_student_gets_an_empty_cell_a_hint_and_a_check():
    node, text = edit("student")
    cells = {cell["id"]: cell for cell in node["cells"]}
    assert cells["one-08"]["source"] == "import math\n\nroot = ...  # your code"
    hint = cells["one-08-hint"]["source"]
    assert "4.0\na  b" in hint and PICTURE in hint and "log" not in hint
    assert cells["one-09"]["metadata"]["tags"] == ["check", "raises-exception"]
    assert not [secret for secret in (NOTE, "math.sqrt(number)", "number / 2", '"workshop":') if secret in text]
    assert len(edit("student", outputs=[])[0]["cells"]) == len(cells) - 1  # what shows nothing has no hint


def test_the_reader_gets_solutions_links_to_what_is_there_and_the_instructor_notes_and_typical_mistakes():
    node, text = edit("reader", linked=["one.ipynb"])
    assert "math.sqrt(number)" in text and not [x for x in ("your code", NOTE, "number / 2") if x in text]
    assert "[one](one.ipynb)" in text and "See two." in text
    assert node["cells"][0]["source"] == "# One\n\nAbout roots." and node["cells"][1]["source"] == workshop.SETUP
    _, text = edit("instructor")
    assert NOTE in text and "root = number / 2 + 1" in text and "math.sqrt(number)" in text


def test_on_colab_the_first_cell_of_an_edition_finds_the_kit_in_the_uploaded_file(tmp_path):
    kit, content = tmp_path / workshop.ROOT, tmp_path / "content"
    for path in ("nslib/__init__.py", "nslib/teaching/__init__.py", "requirements-colab.txt", workshop.SETTINGS):
        config.write_file(kit / path, "")
    config.write_file(kit / "nslib" / "teaching" / "workshop.py", "def begin():\n    print('begun', __file__)\n")
    colab.pack_files(tmp_path, colab.list_files([kit]), content / workshop.ARCHIVE)
    shutil.rmtree(kit)
    fake = ("import os, sys, types\nsys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
            "sys.modules['google.colab'] = types.ModuleType('colab')\n"
            "get_ipython = lambda: types.SimpleNamespace(system=os.system, run_line_magic=lambda *a: print(*a))\n")
    code = fake + TransformerManager().transform_cell(workshop.SETUP)
    done = subprocess.run([sys.executable, "-I", "-c", code], text=True, capture_output=True, cwd=content)
    assert f"begun {content}/{workshop.ROOT}/nslib" in done.stdout, done.stderr
    assert f"pip install -q -r {workshop.ROOT}/requirements-colab.txt" in done.stdout


def check_of(letter, name, value):
    return (f'with nslib.exercise("{letter}", "s", hint="think") as it:\n    it.made({name}={name})\n'
            f'    it.expect({name} == {value}, "wrong")')


@pytest.mark.slow
def test_good_exercises_are_proven_and_every_bad_one_is_refused_with_its_name(tmp_path):
    exercises = [(SOLUTION, CHECK), ("b = 1", check_of("B", "b", 2)), ("c = 1 / 0", check_of("C", "c", 1)),
                 ("d = 1", check_of("D", "d", 1)), ("e = 1", check_of("E", "e", 1))]
    saved(tmp_path, small(exercises))
    (chapter,) = workshop.read_chapters(folder=tmp_path)
    checks = [cell for _, cell in tagged(chapter.node["cells"], "check")]
    # checks that look at nothing, or break outside the block that puts errors into words
    checks[3]["source"] = "if False:\n    it.made(d=d)\nprint('fine')"
    checks[4]["source"] = "if False:\n    it.made(e=e)\nassert e == 1"
    with pytest.raises(workshop.Unproven) as refused:
        workshop.prove(chapter)
    faults = [line for line in str(refused.value).splitlines() if line.startswith("one.ipynb")]
    expected = ("B: the solution does not pass its own check: Uns", "C: the solution does not run: ZeroDivisionError",
                "D: the empty cell passes the check", "E: to the empty cell the check fails with AssertionError")
    assert all(f"exercise {said}" in fault for said, fault in zip(expected, faults, strict=True))


def chosen(**given: object):
    return workshop.choose_settings(config.load_params({"corpus": "synthetic", **given}))


def test_clips_that_are_missing_here_are_an_error(tmp_path, monkeypatch):
    lost = {"clip_id": "style/x", "audio": "x", "reason": "it was not spoken", "remedy": "Run again."}
    monkeypatch.setattr(loading, "load_clips", Mock(return_value=table.make_dataset([], [lost], [])))
    with pytest.raises(NslibError, match=r"1 clips of style-synthetic cannot be used here, style/x.*Run again\."):
        workshop.collect_material(chosen(tasks="style-synthetic"), tmp_path, progress=False)


@pytest.mark.slow
def test_fetched_packages_install_without_a_network(tmp_path, monkeypatch):
    config.write_file(tmp_path / "kit_toy-1.0" / "kit_toy.py", "here = True\n")
    config.write_file(tmp_path / "kit_toy-1.0" / "setup.py", "from setuptools import setup\nsetup(name='kit-toy', "
                                                             "version='1.0', py_modules=['kit_toy'])\n")
    source = shutil.make_archive(str(tmp_path / "kit_toy-1.0"), "gztar", tmp_path, "kit_toy-1.0")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"kit-toy==1.0 --hash=sha256:{config.hash_file(Path(source))}\n")
    with pytest.raises(NslibError, match="NSLIB_OFFLINE forbids"):
        workshop.fetch_wheels(tmp_path / "wheels", lock)
    monkeypatch.delenv("NSLIB_OFFLINE")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert workshop.fetch_wheels(tmp_path / "wheels", lock) == 1
    monkeypatch.delenv("PIP_FIND_LINKS")
    command = [sys.executable, *start.pip_arguments(tmp_path), "--target", str(tmp_path / "site")]
    subprocess.run(command, check=True)
    assert (tmp_path / "site" / "kit_toy.py").exists() and start.refusal(tmp_path) == ""
    with (tmp_path / "wheels" / "kit_toy-1.0-py3-none-any.whl").open("ab") as wheel:
        wheel.write(b"!")
    assert subprocess.run(command, capture_output=True, check=False).returncode


def test_the_first_cell_uses_the_folders_cache_and_changes_nothing_in_a_checkout(tmp_path, monkeypatch, capsys):
    before = dict(os.environ)
    workshop.begin()
    assert dict(os.environ) == before and "settings of this machine" in capsys.readouterr().out
    (tmp_path / workshop.SETTINGS).write_text(json.dumps(dataclasses.asdict(chosen())))
    monkeypatch.setattr(config, "root", lambda: tmp_path)
    with pytest.raises(NslibError, match="unpack the whole zip file"):
        workshop.begin()
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(os, "environ", {"TASKS": "mine"})
    workshop.begin()
    assert os.environ["NSLIB_CACHE"] == str(tmp_path / "cache") and os.environ["NSLIB_OFFLINE"] == "1"
    assert os.environ["TASKS"] == "mine" and os.environ["CORPUS"] == "synthetic"


def test_the_starter_runs_where_nothing_is_installed_and_refuses_wheels_of_another_machine(tmp_path):
    assert start.machine() == f"3.{sys.version_info[1]} {sysconfig.get_platform()}" and start.refusal(tmp_path) == ""
    shutil.copy(start.__file__, tmp_path)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / start.MADE_FOR).write_text("3.9 plan9-vax\n")
    done = subprocess.run([sys.executable, "-S", "-I", tmp_path / "start.py"], capture_output=True, text=True)
    assert done.returncode == 2 and "are for Python and machine 3.9 plan9-vax" in done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The workshop of a smoke run, packed, and unpacked where a student would."""
    out, room = tmp_path_factory.mktemp("workshop"), tmp_path_factory.mktemp("room")
    done = workshop.build(config.load_params({"corpus": "synthetic", "smoke": True}), out, progress=False)
    for archive in (done.archive, done.for_instructor):
        shutil.unpack_archive(archive, room)
    shutil.rmtree(out)  # nothing may be needed from where it was made
    return done, room / workshop.ROOT


@pytest.mark.heavy
def test_the_zip_holds_what_a_room_needs_and_no_answers(built):
    done, home = built
    assert done.exercises >= 10 and done.megabytes < 60
    seen = "".join(p.read_text() for p in [*(home / "notebooks").glob("*.ipynb"), home / workshop.MERGED])
    for chapter in workshop.read_chapters():
        assert {chapter.path.name} <= set(os.listdir(home / "reader")) & set(os.listdir(home / "instructor"))
        for _, solution, _ in chapter.exercises.values():
            note = solution["metadata"]["workshop"]["notes"].splitlines()[0]
            assert note not in seen and note in (home / "INSTRUCTOR.md").read_text()
    assert sum(p.stat().st_size for p in (home / "cache").rglob("*.wav")) > 1e6
    assert "eSpeak NG" in (home / "README.md").read_text() and not list(home.rglob("__pycache__"))


@pytest.mark.heavy
def test_in_the_one_file_every_empty_check_fails_with_its_hint_and_every_solution_passes(built):
    _, home = built
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NSLIB_")}
    empty, solved = (nbformat.read(home / workshop.MERGED, as_version=4) for _ in range(2))
    solutions = {three[1]["id"]: three[1]["source"] for c in workshop.read_chapters() for three in c.exercises.values()}
    for _, cell in tagged(solved["cells"], "exercise"):
        cell["source"] = solutions[cell["id"]]
    for node in (empty, solved):
        workshop.execute(node, "it", environment, home / "notebooks")
    refused, passed = ([cell["outputs"][0] for _, cell in tagged(n["cells"], "check")] for n in (empty, solved))
    assert len(refused) == len(solutions) and all(o["ename"] == "Unsolved" for o in refused)
    assert all("still empty" in o["evalue"] and "\nHint: " in o["evalue"] for o in refused)
    assert all(c["execution_count"] for c in empty["cells"] if c["cell_type"] == "code")
    assert all(o["text"].startswith("✓ Exercise") for o in passed)


def test_a_chapter_with_a_bad_exercise_is_not_packed(tmp_path, monkeypatch):
    saved(tmp_path, small())
    for name, fake in {"read_chapters": Mock(return_value=workshop.read_chapters(folder=tmp_path)),
                       "collect_material": Mock(), "prove": Mock(side_effect=workshop.Unproven("nothing"))}.items():
        monkeypatch.setattr(workshop, name, fake)
    monkeypatch.setattr(colab, "KIT", ("LICENSE",))
    with pytest.raises(workshop.Unproven):
        workshop.build(chosen(), tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("*.zip"))
