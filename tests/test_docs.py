"""README and docs: every block of code runs, every command exists, every link leads somewhere, and pages are made.

A block that cannot run here says why in a comment before it, which readers of the page do not see; its commands must
then be ones that the command line takes.
"""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from nslib import audio, cli, config
from nslib.datasets import loading, tasks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"(?:<!-- not run here: (?P<why>[^>]*?) -->\n)?```(?P<kind>python|bash)\n(?P<code>.*?)```", re.S)
# what people type that is neither make nor the kit
OTHERS = {"conda", "python", "python3", "git", "cd", "pip", "ssh", "srun", "dask", "export", "unzip"}
TESTS = re.findall(r"def (test_\w+)", "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py")))
_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")


def blocks(page: Path) -> list[tuple[str, str, bool]]:
    """Language and code of each block, and whether it runs here."""
    return [(m["kind"], m["code"], not m["why"]) for m in _FENCE.finditer(page.read_text())]


def commands(code: str) -> list[list[str]]:
    """Words of each command of a block; comments, continued lines and variables before a command are understood."""
    lines = [shlex.split(part, comments=True) for line in code.replace("\\\n", " ").splitlines()
             for part in line.split(" && ")]
    return [words for line in lines if (words := list(itertools.dropwhile(re.compile(r"[A-Z_]+=").match, line)))]


@pytest.mark.parametrize(("page", "code"), [(p, code) for p in PAGES for kind, code, _ in blocks(p) if kind == "bash"],
                         ids=lambda x: x.name if isinstance(x, Path) else x[:30])
def test_every_command_is_one_that_there_is(page, code):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for words in commands(code):
        if words[:3] == ["python", "-m", "nslib"]:
            command, rest = typer.main.get_command(cli.app), words[3:]
            while hasattr(command, "commands"):
                assert rest and rest[0] in command.commands, words
                command, rest = command.commands[rest[0]], rest[1:]
            command.make_context("nslib", list(rest))  # raises for an option or a number of arguments it has not
        elif words[0] == "make":
            asked = [word for word in words[1:] if "=" not in word]
            assert asked and set(asked) <= targets, words
        else:
            assert words[0] in OTHERS, words


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_is_not_run_is_python_or_no_command_and_every_link_and_anchor_leads_somewhere(page):
    other = re.findall(r"^```(?!bash|python)\w+\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert not [text for text in other if re.search(r"^(make|python3?|nslib|pip|cd) ", text, re.MULTILINE)]
    for kind, code, _ in blocks(page):
        if kind == "python":
            compile(code, page.name, "exec")
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert not set(re.findall(r"`(test_\w+)`", text)) - set(TESTS)
    for target in _LINK.findall(text):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not target.startswith(("http://", "https://", "mailto:")):
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads}, target


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Work in a folder with the recordings that pages speak of, and the setting of a smoke run."""
    for name, value in {"SMOKE": "1", "CORPUS": "synthetic", "NSLIB_REPORTS": str(tmp_path / "reports"),
                        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    clips = loading.load_clips(tasks.get_task("style-synthetic"), config.load_params(), progress=False).clips
    for row in clips.itertuples():
        to, other = (tmp_path / name / row.label / row.speaker.replace("/", "_")
                     for name in ("my_recordings", "other_recordings"))
        for folder in (to, other):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(row.audio, to)
        audio.write_wav(other / f"{row.sha256}.wav", audio.read(row.audio).wave[::-1])
    shutil.copy(clips["audio"].iloc[0], tmp_path / "new.wav")
    monkeypatch.chdir(tmp_path)


@pytest.mark.heavy
@pytest.mark.parametrize("page", [p for p in PAGES if any(runs for *_, runs in blocks(p))], ids=lambda p: p.name)
def test_every_block_runs_in_its_order(page, scratch):
    names: dict[str, object] = {"__name__": "__main__"}
    for kind, code in ((kind, code) for kind, code, runs in blocks(page) if runs):
        if kind == "python":
            exec(compile(code, page.name, "exec"), names)
        else:
            done = subprocess.run(["bash", "-e", "-c", code], capture_output=True, text=True)
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.heavy
def test_pages_are_made_without_a_warning_and_without_a_network(tmp_path):
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(ROOT / "docs"),
                           str(tmp_path)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    for name in ("index", "faq", "glossary", "api", "generated/nslib.evaluation.benchmark"):
        text = (tmp_path / f"{name}.html").read_text()
        assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//", text), name
    assert "benchmark" in (tmp_path / "searchindex.js").read_text()
