"""Run notebooks strictly, and only those for which something changed.

Conventions
-----------
Notebooks run one after the other, in the order of their names, with the Python of this process
(never with a kernel of the same name that the user has installed elsewhere). An executed notebook
and its page go to ``reports/notebooks/``; each is written whole or not at all, so that a run
that is killed leaves what the last complete one wrote.

A notebook is *unchanged*, and not run, when its last run was good and everything that its executed
copy depends on is the same: `nslib.report.stamps` says what that is.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import kernels, notebook
from nslib import params as settings
from nslib.errors import NslibError, UnknownName
from nslib.files import write
from nslib.params import Params
from nslib.report.stamps import stamp

START_SECONDS = 120
RAN, UNCHANGED, FAILED = "ran", "unchanged", "failed"


@dataclass(frozen=True)
class Run:
    """What happened to one notebook.

    Attributes
    ----------
    notebook : str
        File name without ending.
    title : str
        Its first heading.
    status : {"ran", "unchanged", "failed"}
        What was done now.
    seconds : float
        How long the kernel worked, now or when it last ran.
    why : str
        For a failed one: what went wrong, with the cell.
    stamp : str
        What it depended on.
    when : str
        When it last ran, ISO 8601 in UTC.
    """

    notebook: str
    title: str
    status: str
    seconds: float
    why: str
    stamp: str
    when: str

    @property
    def ok(self) -> bool:
        """bool: the executed notebook is good."""
        return self.status != FAILED


def run(params: Params, notebooks: Iterable[str] | None = None, *, inputs: str = "", progress: bool = True,
        force: bool = False) -> list[Run]:
    """Execute notebooks with papermill, in strict mode; what did not change is not run.

    Parameters
    ----------
    params : Params
        A notebook gets the fields that it declares in its parameters cell.
    notebooks : iterable of str, optional
        Names, with or without ending; default: all in ``notebooks/``.
    inputs : str
        What was available outside the checkout; part of the stamp.
    progress : bool
        A bar for the notebooks and one for the cells, on stderr.
    force : bool
        Run all of them.

    Returns
    -------
    list of Run
        One a notebook. A notebook that failed does not stop the others: look at `Run.ok`.

    Raises
    ------
    UnknownName
        For a name that is not a notebook.
    """
    from tqdm.std import tqdm

    paths = _find(notebooks)
    found = []
    with tqdm(paths, desc="notebooks", unit="notebook", disable=not progress) as bar:
        for path in bar:
            bar.set_postfix_str(path.stem)
            found.append(_one(path, params, inputs, progress, force))
    kept = [r.notebook for r in found if r.status == UNCHANGED]
    if progress and kept:
        tqdm.write(f"unchanged, not run: {', '.join(kept)}", sys.stderr)
    return found


def last(folder: Path | None = None) -> list[Run]:
    """What the last run of each notebook gave, read from the reports folder.

    Parameters
    ----------
    folder : Path, optional
        Default: ``reports/notebooks``.

    Returns
    -------
    list of Run
        In the order of the notebooks' names.
    """
    home = folder or settings.reports_dir() / "notebooks"
    found = (_remembered(home / f"{path.stem}.ipynb") for path in sorted(home.glob("*.json")))
    return [run for run in found if run]


def _find(names: Iterable[str] | None) -> list[Path]:
    there = {path.stem: path for path in sorted(settings.notebooks_dir().glob("*.ipynb"))}
    if names is None:
        return list(there.values())
    wanted = [Path(name).stem for name in names]
    for name in wanted:
        if name not in there:
            raise UnknownName("notebook", name, there)
    return [path for stem, path in there.items() if stem in wanted]


def _given(path: Path, params: Params) -> dict[str, object]:
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(params).items()}
    return {name: values[name] for name in notebook.parameters(path) if name in values}


def _one(path: Path, params: Params, inputs: str, progress: bool, force: bool) -> Run:
    target = settings.reports_dir() / "notebooks" / path.name
    try:
        given = _given(path, params)
        mark = stamp(path, given, inputs)
        before = _remembered(target)
        good = before and before.ok and before.stamp == mark and target.with_suffix(".html").exists()
        if before and good and not force:
            return dataclasses.replace(before, status=UNCHANGED)
        return _execute(path, target, given, mark, progress)
    except NslibError as error:
        return _record(target, Run(path.stem, path.stem, FAILED, 0.0, str(error), "", _now()))


def _execute(path: Path, target: Path, given: dict[str, object], mark: str, progress: bool) -> Run:
    broken = notebook.check_source(path, given)
    if broken:
        raise notebook.ContractBroken(broken)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="nslib-notebook-") as scratch:
        output = Path(scratch) / path.name
        why = _papermill(path, output, given, progress)
        seconds = time.perf_counter() - started
        if output.exists():
            why = why or "\n".join(map(str, notebook.check_executed(output, given)))
            write(target, output.read_bytes())
    return _record(target, Run(path.stem, title(path), FAILED if why else RAN, seconds, why, mark, _now()))


def _papermill(path: Path, output: Path, given: dict[str, object], progress: bool) -> str:
    """Execute; an empty string, or a sentence that says which cell failed and how."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    bar: Any = {"desc": path.stem, "unit": "cell", "leave": False} if progress else False
    try:
        papermill.execute_notebook(
            path, output, parameters=given, kernel_name="python3", language="python", progress_bar=bar,
            start_timeout=START_SECONDS, cwd=path.parent, coalesce_streams=True,
            kernel_manager_class=kernels.manager(output.parent))
    except PapermillExecutionError as error:
        cell = f"cell [{error.exec_count}] ({_first_line(error.source)!r})"
        return f"{cell} failed: {error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that dies or does not start must not take the others with it
        return f"it could not be run to its end: {type(error).__name__}: {error}"
    return ""


def _first_line(source: str) -> str:
    return next((line for line in source.strip().splitlines() if line.strip()), "")[:80]


def title(path: Path) -> str:
    """First heading of a notebook.

    Parameters
    ----------
    path : Path
        Notebook.

    Returns
    -------
    str
        Without the ``#``; the file name if there is none.
    """
    cells = notebook.read(path)["cells"]
    lines = cells[0]["source"].splitlines() if cells else []
    return lines[0].lstrip("# ").strip() if lines and lines[0].startswith("#") else path.stem


def _record(target: Path, done: Run) -> Run:
    from nslib.report import pages

    pages.page(target, done)
    write(target.with_suffix(".json"), json.dumps(dataclasses.asdict(done), indent=1).encode())
    return done


def _remembered(target: Path) -> Run | None:
    try:
        return Run(**json.loads(target.with_suffix(".json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _now() -> str:
    import datetime

    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
