"""Run notebooks strictly, and only those for which something changed; fill templates, and make pages of notebooks.

Notebooks run side by side, those that take long first, on their share of the processors, with the Python of this
process (never with a kernel of that name installed elsewhere). An executed notebook and its page go to
``reports/notebooks/``; each is written whole or not at all. A notebook is *unchanged*, and not run, when its last run
was good and its stamp is the same: of notebook and parameters, code, templates and style sheets of this package,
``data/``, lock file, Python, installed distributions, and what was available, as the caller says. Vectors and scores in
the cache are keyed by content. Pages need no script: the page around Jupyter's HTML is the report's, whose own
templates load scripts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import hashlib
import html
import importlib.metadata
import json
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.std import tqdm

from nslib import config
from nslib.config import Params
from nslib.embeddings import runtime
from nslib.errors import NslibError, refuse_unknown
from nslib.teaching import notebook_rules

__all__: list[str] = []

START_SECONDS = 120
_KERNEL_GB = 2.0  # memory of a notebook that trains
_TRAINING = ("03_train_trill", "04_distill", "07_finetune")  # keep all threads: on their number a sum's bits depend
SHOWS_SPEAKERS = "06_personalisation"
_LONG = (*_TRAINING, "09_how_sure", SHOWS_SPEAKERS, "80_your_dataset")  # begin first, so that none is left alone
_NEED_NO_RESULT = ("03_train_trill", "04_distill")
_TUNES, _TIMES = "07_finetune", "08_what_matters"  # which shows what the first tuned, and times embeddings, alone
_BESIDE = 2  # short notebooks that run while the last prepares what it times
RAN, UNCHANGED, FAILED = "ran", "unchanged", "failed"
TEMPLATES = Path(__file__).resolve().parent / "templates"
_HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>', re.DOTALL)
_NOISE = re.compile(rf"\d+%\|.*\[|\d+\S* \[\d\d:\d\d[<,]|{config.LOG_LINES}")  # progress bars too
# Long lines and wide tables scroll, which a keyboard can only do where it can go.
_REACHABLE = 'tabindex="0" role="group" aria-label="{}" '


@dataclass(frozen=True)
class Run:
    """What happened to one notebook."""

    notebook: str  # file name without ending
    title: str
    status: str  # of now: ran, unchanged or failed
    seconds: float  # how long the kernel worked, now or when it last ran
    why: str  # what went wrong, with the cell
    stamp: str
    when: str = ""  # it last ran, ISO 8601 in UTC
    made: Mapping[str, str] = dataclasses.field(default_factory=dict)  # SHA-256 of what it wrote, by file name

    @property
    def ok(self) -> bool:
        """bool: the executed notebook is good."""
        return self.status != FAILED


class NotebookPool:
    """Executes notebooks side by side, with the parameters that each declares; a failure stops no other.

    Kernels end with its block if that ends by an error or Ctrl-C; `names` are of some notebooks, by default all.
    """

    def __init__(self, params: Params, names: Iterable[str] | None = None):
        by_name = {path.stem: path for path in sorted(config.notebooks_dir().glob("*.ipynb"))}
        wanted = list(by_name) if names is None else [Path(name).stem for name in names]
        refuse_unknown("notebook", wanted, by_name)
        self._paths = {name: path for name, path in by_name.items() if name in wanted}
        self._params, self._finishing, self._stopped, self._lock = params, False, threading.Event(), threading.RLock()
        self._begun: dict[str, Future[Run]] = {}
        self._stack, self._busy = contextlib.ExitStack(), contextlib.ExitStack()

    def __enter__(self) -> NotebookPool:
        _hash_surroundings()  # once, not in every thread
        self._quiet = self._stack.enter_context(config.scratch_folder("notebooks")) / "quiet"
        return self

    @functools.cached_property
    def _jobs(self) -> int:
        """As many kernels as the memory holds when the first begins."""
        size = _KERNEL_GB if self._finishing else 1.25 * _KERNEL_GB  # begun early, this process is yet to grow
        return max(1, min(len(self._paths), runtime.count_jobs(size)))

    @functools.cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """A thread a kernel, and their share of the processors."""
        threads, fits = (str(max(1, count() // self._jobs)) for count in (runtime.count_threads, runtime.count_jobs))
        others = {name: os.environ.get(name) or threads for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}
        self._share = {"NSLIB_THREADS": threads, "JOBS": fits, **others}
        return ThreadPoolExecutor(self._jobs)

    def __exit__(self, kind: object, *_: object) -> None:
        import psutil

        with self._stack, self._busy:
            if kind is None:
                self._pool.shutdown()
                return
            self._stopped.set()  # Ctrl-C does not reach kernels, which are sessions of their own
            self._pool.shutdown(wait=False, cancel_futures=True)
            while not all(one.done() for one in [*self._begun.values()]):  # some may be about to start a kernel
                for kernel in psutil.Process().children():
                    with contextlib.suppress(psutil.Error):  # it has ended by itself
                        if "ipykernel_launcher" in kernel.cmdline():
                            kernel.kill()
                wait([*self._begun.values()], 0.2)

    def begin_training(self, inputs: str = "") -> None:
        """Begin those that need no result, one after the other, where jobs and memory allow it beside other work."""
        with self._lock:
            left = [name for name in _NEED_NO_RESULT if name in self._paths and name not in self._begun]
            room = bool(self._begun) or runtime.count_jobs(2 * _KERNEL_GB) > 1  # that of this process is yet to grow
            if left and room and not self._finishing and not self._stopped.is_set():
                self._submit(left[0], inputs).add_done_callback(lambda _: self.begin_training(inputs))

    def finish(self, inputs: str = "", training_inputs: str = "", *, progress: bool = True) -> list[Run]:
        """Execute what has not begun, what takes long first, and return all runs in the order of names."""
        with self._lock:
            self._finishing = True
            self._busy.enter_context(config.lock(self._quiet))
            others = sorted(self._paths.keys() - {_TIMES}, key=lambda name: ([*_LONG, name].index(name), name))
            tuned = others.index(_TUNES) + 1 if _TUNES in others else 0
            place = max(tuned, len(others) - (_BESIDE if self._jobs > 1 else 0))
            for name in [*others[:place], *({_TIMES} & self._paths.keys()), *others[place:]]:
                if name not in self._begun:
                    self._submit(name, training_inputs if name in _NEED_NO_RESULT else inputs)
            for name in others:
                self._begun[name].add_done_callback(lambda _: self._end_busy(others))
            self._end_busy(others)
        with tqdm(total=len(self._paths), desc="notebooks", unit="notebook", disable=not progress) as bar:
            for done in as_completed(self._begun.values()):
                bar.set_postfix_str(done.result().notebook)
                bar.update()
        runs = [self._begun[name].result() for name in self._paths]
        unchanged = [run.notebook for run in runs if run.status == UNCHANGED]
        if progress and unchanged:
            tqdm.write(f"unchanged, not run: {', '.join(unchanged)}", sys.stderr)
        return runs

    def _end_busy(self, others: Iterable[str]) -> None:
        """Let times be taken once all others are done."""
        with self._lock:
            if all(self._begun[name].done() for name in others):
                self._busy.close()

    def _submit(self, name: str, inputs: str) -> Future[Run]:
        self._begun[name] = self._pool.submit(self._run, name, inputs)
        return self._begun[name]

    def _run(self, name: str, inputs: str) -> Run:
        if name == _TIMES:
            wait([self._begun[other] for other in (_TUNES,) if other in self._begun])
        if self._stopped.is_set():
            raise KeyboardInterrupt
        alone = {config.QUIET: str(self._quiet)}
        env = alone if name == _TIMES else {} if name in _TRAINING else self._share
        return _run_if_changed(self._paths[name], self._params, inputs, env, self._stopped)


def read_last_runs(folder: Path | None = None) -> list[Run]:
    """Read what the last run of each notebook gave, from ``reports/notebooks`` or another folder."""
    paths = sorted((folder or config.reports_dir() / "notebooks").glob("*.json"))
    return [run for path in paths if (run := read_run(path))]


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


def _run_if_changed(path: Path, params: Params, inputs: str, env: Mapping[str, str], stopped: threading.Event) -> Run:
    """Execute a notebook in a scratch folder and hold it to the contract, unless nothing has changed since it ran."""
    target = config.reports_dir() / "notebooks" / path.name
    try:
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(params).items()}
        given = {name: values[name] for name in notebook_rules.read_parameters(path) if name in values}
        stamp, last = make_stamp(path, given, inputs), read_run(target.with_suffix(".json"))
        if last and last.ok and last.stamp == stamp and last.made:
            changed = [name for name, was, now in compare_files(target.parent, last) if was != now]
            if not changed:
                return dataclasses.replace(last, status=UNCHANGED)
            tqdm.write(f"{' and '.join(changed)} in {target.parent}: not as the run of the notebook wrote it, which is "
                       "run again.", sys.stderr)  # a warning would go to fits that are under way
        if broken := notebook_rules.check_source(path, given):
            raise notebook_rules.ContractBroken(broken)
    except NslibError as error:
        return _record(target, Run(path.stem, path.stem, FAILED, 0.0, str(error), ""))
    started = time.perf_counter()
    with config.scratch_folder("notebook") as scratch:
        output = scratch / path.name
        why = _run_papermill(path, output, given, env)
        if stopped.is_set():
            raise KeyboardInterrupt  # what was killed has not failed
        seconds = time.perf_counter() - started
        if output.exists():
            why = why or "\n".join(map(str, notebook_rules.check_executed(output, given)))
            config.write_file(target, output.read_bytes())
    return _record(target, Run(path.stem, _read_title(path), FAILED if why else RAN, seconds, why, stamp))


def _run_papermill(path: Path, output: Path, given: dict[str, object], env: Mapping[str, str]) -> str:
    """Execute; return nothing, or a sentence that says which cell failed and how."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(  # its `cwd` would be that of all notebooks that run now
            path, output, parameters=given, kernel_name="python3", language="python", progress_bar=False,
            start_timeout=START_SECONDS, resources={"metadata": {"path": str(path.parent)}}, coalesce_streams=True,
            kernel_manager_class=notebook_rules.make_kernel_manager(output.parent, env))
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
    """Write what happened, and when, beside an executed notebook, and its page if there is one."""
    run = dataclasses.replace(run, when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    if target.exists():
        config.write_file(target.with_suffix(".html"), render_notebook(target, run))
        made = {path.name: config.hash_file(path) for path in (target, target.with_suffix(".html"))}
        run = dataclasses.replace(run, made=made)
    return write_run(target.with_suffix(".json"), run)


def write_run(path: Path, run: Run) -> Run:
    """Write a record, and return it."""
    config.write_file(path, json.dumps(dataclasses.asdict(run), indent=1).encode())
    return run


def compare_files(folder: Path, run: Run) -> list[tuple[str, str, str]]:
    """Give name, recorded and present hash of each file that a run wrote; the last is empty where there is none."""
    return [(name, digest, config.hash_file(folder / name) if (folder / name).is_file() else "")
            for name, digest in run.made.items()]


def read_run(path: Path) -> Run | None:
    """Read a record; one that is damaged counts as none, so that the notebook is run again."""
    try:
        return Run(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def render(template: str, **values: Any) -> str:
    """Fill a template of the report, which refuses names that it is not given; HTML in plain text is escaped."""
    import jinja2
    import markupsafe

    css, script = (markupsafe.Markup((TEMPLATES / name).read_text("utf-8")) for name in ("style.css", "page.js"))
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, lstrip_blocks=True,
        autoescape=lambda name: bool(name and name.endswith(".html.j2")), undefined=jinja2.StrictUndefined)
    return templates.get_template(template).render(css=css, script=script, **values)


def render_notebook(path: Path, run: Run) -> str:
    """Turn an executed notebook into a page; `run` is what made it."""
    import markupsafe
    import nbformat

    body = "\n".join(map(_render_cell, nbformat.read(str(path), as_version=4)["cells"]))
    contents = [(anchor, re.sub(r"<[^>]+>", "", text)) for anchor, text in _HEADING.findall(body)]
    return render("notebook.html.j2", title=run.title, run=run, body=markupsafe.Markup(body), contents=contents)


def _render_cell(cell: Any) -> str:
    """Turn Markdown into HTML, with links to the pages of other notebooks, or code and its outputs."""
    from nbconvert.filters.highlight import Highlight2HTML
    from nbconvert.filters.markdown import markdown2html

    if cell["cell_type"] == "markdown":
        text = re.sub(r"<a class=\"anchor-link\".*?</a>", "", markdown2html(cell["source"]))
        return re.sub(r'href="([\w-]+)\.ipynb', r'href="\1.html', text)
    source = Highlight2HTML()(cell["source"]) if cell["cell_type"] == "code" else ""
    source = source.replace("<div class", f'<div {_REACHABLE.format("Code")}class', 1)
    boxes = []  # each in reach of a keyboard
    for output in cell.get("outputs", []):
        if (text := _render_output(output)).strip():
            name = {"stream": output.get("name", ""), "error": "error"}.get(output["output_type"], "")
            reachable = _REACHABLE.format("Output") if "<table" in text or "<pre" in text else ""
            boxes.append(f'<div {reachable}class="output {name}">{text}</div>')
    return f'<div class="cell-code">{source}{"".join(boxes)}</div>'


def _render_output(output: Any) -> str:
    """Turn an output into HTML: of several forms the richest that needs no script."""
    from nbconvert.filters.ansi import ansi2html

    if output["output_type"] == "stream":
        lines = [line for line in output["text"].splitlines() if not _NOISE.search(line)]
        return f"<pre>{ansi2html(chr(10).join(lines))}</pre>" if any(line.strip() for line in lines) else ""
    if output["output_type"] == "error":
        return f"<pre>{ansi2html(chr(10).join(output['traceback']))}</pre>"
    data = output["data"]
    if "text/html" in data:
        return str(data["text/html"])
    if image := next((k for k in data if k.startswith("image/") and k != "image/svg+xml"), ""):
        alt = html.escape(str(output["metadata"].get(image, {}).get("alt", "")))
        return f'<img alt="{alt}" src="data:{image};base64,{data[image]}">'
    return f"<pre>{ansi2html(data.get('text/plain', ''))}</pre>"
