"""Run notebooks strictly, and only those for which something changed.

Notebooks run one after the other, in the order of their names, with the Python of this process (never with a kernel of
the same name that the user has installed elsewhere). An executed notebook and its page go to ``reports/notebooks/``;
each is written whole or not at all, so that a run that is killed leaves what the last complete one wrote.

A notebook is *unchanged*, and not run, when its last run was good and its stamp is the same. A stamp is made of the
notebook and its parameters, the code, templates and style sheets of this package, ``data/``, the lock file, Python, all
installed distributions (an optional one may have come or gone), and what was available, as the caller says. Vectors and
scores in the cache are not part of it: they are keyed by content.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import hashlib
import importlib.metadata
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nslib import config
from nslib.config import Params
from nslib.errors import NslibError, UnknownName
from nslib.report.page import render_notebook
from nslib.teaching import notebook_rules

__all__: list[str] = []

START_SECONDS = 120
RAN, UNCHANGED, FAILED = "ran", "unchanged", "failed"


@dataclass(frozen=True)
class Run:
    """What happened to one notebook."""

    notebook: str  # file name without ending
    title: str
    status: str  # of now: ran, unchanged or failed
    seconds: float  # how long the kernel worked, now or when it last ran
    why: str  # what went wrong, with the cell
    stamp: str
    when: str  # it last ran, ISO 8601 in UTC

    @property
    def ok(self) -> bool:
        """bool: the executed notebook is good."""
        return self.status != FAILED


def run_notebooks(params: Params, names: Iterable[str] | None = None, *, inputs: str = "",
                  progress: bool = True) -> list[Run]:
    """Execute notebooks by name (default: all), with the parameters that each declares; a failure stops no other."""
    from tqdm.std import tqdm

    runs = []
    with tqdm(_find_notebooks(names), desc="notebooks", unit="notebook", disable=not progress) as bar:
        for path in bar:
            bar.set_postfix_str(path.stem)
            runs.append(_run_if_changed(path, params, inputs, progress))
    unchanged = [run.notebook for run in runs if run.status == UNCHANGED]
    if progress and unchanged:
        tqdm.write(f"unchanged, not run: {', '.join(unchanged)}", sys.stderr)
    return runs


def read_last_runs(folder: Path | None = None) -> list[Run]:
    """Read what the last run of each notebook gave, from ``reports/notebooks`` or another folder."""
    paths = sorted((folder or config.reports_dir() / "notebooks").glob("*.json"))
    return [run for path in paths if (run := _read_last_run(path))]


def list_notebooks(params: Params) -> list[str]:
    """List the notebooks of a profile: those without a parameter ``profile`` teach with the quick one only."""
    return [path.stem for path in sorted(config.notebooks_dir().glob("*.ipynb"))
            if params.profile == "quick" or "profile" in notebook_rules.read_parameters(path)]


def make_stamp(path: Path, given: Mapping[str, object], inputs: str = "") -> str:
    """Hash everything that a notebook's executed copy depends on."""
    parameters = json.dumps(dict(given), sort_keys=True)
    parts = [path.read_bytes(), parameters.encode(), inputs.encode(), _hash_surroundings()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


@functools.lru_cache(maxsize=1)
def _hash_surroundings() -> bytes:
    """Hash code, data, lock file and installed packages."""
    package, root = Path(__file__).resolve().parent.parent, config.root()
    code = [path for ending in ("*.py", "*.j2", "*.css") for path in package.rglob(ending)]
    data = [path for path in config.data_dir().rglob("*") if path.is_file()]
    distributions = sorted({f"{d.name}=={d.version}" for d in importlib.metadata.distributions()})
    digest = hashlib.sha256(f"{platform.python_version()} {distributions}".encode())
    for path in sorted([*code, *data, root / "requirements.lock"]):
        if path.exists():
            digest.update(str(path.relative_to(root)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.digest()


def _find_notebooks(names: Iterable[str] | None) -> list[Path]:
    """Find source notebooks by name, in their own order."""
    by_name = {path.stem: path for path in sorted(config.notebooks_dir().glob("*.ipynb"))}
    if names is None:
        return list(by_name.values())
    wanted = [Path(name).stem for name in names]
    for name in wanted:
        if name not in by_name:
            raise UnknownName("notebook", name, by_name)
    return [path for stem, path in by_name.items() if stem in wanted]


def _run_if_changed(path: Path, params: Params, inputs: str, progress: bool) -> Run:
    """Execute a notebook unless its last run was good and nothing that it depends on has changed."""
    target = config.reports_dir() / "notebooks" / path.name
    try:
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(params).items()}
        given = {name: values[name] for name in notebook_rules.read_parameters(path) if name in values}
        stamp, last = make_stamp(path, given, inputs), _read_last_run(target.with_suffix(".json"))
        if last and last.ok and last.stamp == stamp and target.with_suffix(".html").exists():
            return dataclasses.replace(last, status=UNCHANGED)
        if broken := notebook_rules.check_source(path, given):
            raise notebook_rules.ContractBroken(broken)
    except NslibError as error:
        return _record(target, Run(path.stem, path.stem, FAILED, 0.0, str(error), "", _now()))
    return _record(target, _execute(path, target, given, stamp, progress))


def _execute(path: Path, target: Path, given: dict[str, object], stamp: str, progress: bool) -> Run:
    """Execute a notebook in a scratch folder, hold it to the contract, and copy it to `target`."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="nslib-notebook-") as scratch:
        output = Path(scratch) / path.name
        why = _run_papermill(path, output, given, progress)
        seconds = time.perf_counter() - started
        if output.exists():
            why = why or "\n".join(map(str, notebook_rules.check_executed(output, given)))
            config.write_file(target, output.read_bytes())
    return Run(path.stem, _read_title(path), FAILED if why else RAN, seconds, why, stamp, _now())


def _run_papermill(path: Path, output: Path, given: dict[str, object], progress: bool) -> str:
    """Execute; return nothing, or a sentence that says which cell failed and how."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    bar: Any = {"desc": path.stem, "unit": "cell", "leave": False} if progress else False
    try:
        papermill.execute_notebook(
            path, output, parameters=given, kernel_name="python3", language="python", progress_bar=bar,
            start_timeout=START_SECONDS, cwd=path.parent, coalesce_streams=True,
            kernel_manager_class=notebook_rules.make_kernel_manager(output.parent))
    except PapermillExecutionError as error:
        first = next((line for line in error.source.strip().splitlines() if line.strip()), "")[:80]
        return f"cell [{error.exec_count}] ({first!r}) failed: {error.ename}: {error.evalue}"
    except Exception as error:  # a kernel that dies or does not start must not take the others with it
        return f"it could not be run to its end: {type(error).__name__}: {error}"
    return ""


def _read_title(path: Path) -> str:
    """Read the first heading of a notebook; the file name if there is none."""
    cells = notebook_rules.read_notebook(path)["cells"]
    lines = cells[0]["source"].splitlines() if cells else []
    return lines[0].lstrip("# ").strip() if lines and lines[0].startswith("#") else path.stem


def _record(target: Path, run: Run) -> Run:
    """Write what happened beside an executed notebook, and its page if there is one."""
    if target.exists():
        config.write_file(target.with_suffix(".html"), render_notebook(target, run))
    config.write_file(target.with_suffix(".json"), json.dumps(dataclasses.asdict(run), indent=1).encode())
    return run


def _read_last_run(path: Path) -> Run | None:
    """Read a record; one that is damaged counts as none, so that the notebook is run again."""
    try:
        return Run(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
