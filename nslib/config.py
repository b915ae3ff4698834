"""Parameters, paths, files and the environment: what every other module may ask for.

Environment variables: ``NSLIB_CACHE`` (one directory for everything downloaded or computed), ``NSLIB_DATA_DIR`` (data
sets of NOSS; default ``TFDS_DATA_DIR``, else ``tfds`` in the cache; what must be fetched by hand belongs into
``downloads/manual`` below it), ``NSLIB_MODELS`` (published models, one folder a model), ``NSLIB_HUB_URL`` (where these
are fetched), ``NSLIB_OPEN_SPEECH`` (a folder of tar files of open speech, which is then not fetched),
``NSLIB_GITHUB_URL`` (where it is fetched), ``NSLIB_REPORTS``, ``NSLIB_OFFLINE`` (1 forbids every download),
``NSLIB_THREADS`` (processor threads that embeddings use), ``JOBS`` (what is done side by side); ``PROFILE``,
``CORPUS``, ``TASKS``, ``EMBEDDINGS``, ``SEED``, ``SMOKE``, ``REHEARSE``, ``TRANSDUCTIVE`` (defaults of the parameters
of the same name). With ``REHEARSE=1`` reports have a folder of their own. What cannot be found out about the origin of
a number is ``"unknown"``, never left empty.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import importlib.abc
import importlib.metadata
import importlib.util
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from nslib.errors import BadParameter, NslibError, refuse_unknown

__all__ = ["CHOICES", "Params", "cache_dir", "check_data", "client_environment", "code_revision", "data_dir",
           "describe_origin", "explain_failure", "explain_failures", "hash_file", "hub_url", "load_params",
           "lock_differences", "lock_hash", "manual_dir", "models_dir", "notebooks_dir", "offline", "package_versions",
           "reports_dir", "root", "run_client", "scratch_folder", "sweep", "tfds_dir", "write_file"]

QUIET = "NSLIB_QUIET"  # names a file that is locked while other work is under way
CHOICES = {"profile": ("quick", "paper"), "corpus": ("real", "synthetic")}
"""Parameter to the values it may have."""

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_UNKNOWN = "unknown"
_REPORTED_PACKAGES = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "tensorflow", "onnxruntime", "soundfile",
                      "soxr")


@dataclass(frozen=True)
class Params:
    """What a run can be told. Unknown names and values are refused with the nearest known one.

    - ``profile``: "quick" (tasks of the same kinds on recordings from package registries) or "paper" (NOSS itself)
    - ``corpus`` of the quick profile: "real" (recorded speech from packages; where they can't be had synthetic speech,
      which is said) or "synthetic"
    - ``tasks``, ``embeddings``: names to run; empty means all of the profile
    - ``seed`` of forests, bootstrap and every other draw
    - ``smoke``: a much smaller run of the same path, whose numbers mean nothing
    - ``rehearse``: a smoke run of the paper profile only: few clips of few speakers, all five probes
    - ``transductive``: whether the z-score by speaker, which needs all clips of a test speaker, is among the choices;
      None: but where nearly every speaker has one label, which it removes
    """

    profile: str = "quick"
    corpus: str = "real"
    tasks: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    seed: int = 0
    smoke: bool = False
    rehearse: bool = False
    transductive: bool | None = None

    def __post_init__(self) -> None:
        for field, allowed in CHOICES.items():
            refuse_unknown(field, getattr(self, field), allowed)
        rehearse = self.rehearse and self.profile == "paper"  # notebooks ask for runs of the quick profile too
        object.__setattr__(self, "rehearse", rehearse)
        object.__setattr__(self, "smoke", self.smoke or rehearse)

    @property
    def clips_per_class(self) -> int | None:
        """Int or None: cap on clips of one label in one split; None is all of them."""
        return 4 if self.rehearse else 8 if self.smoke else None

    @property
    def caveat(self) -> str:
        """Str: what stands above every page of a run whose numbers mean nothing."""
        kind = "Rehearsal" if self.rehearse else "Smoke run"
        return f"{kind}: the numbers mean nothing." if self.smoke else ""


def load_params(given: Mapping[str, object] | None = None, **named: object) -> Params:
    """Read parameters from the environment, overridden by `given`, overridden by those that are named.

    Parameters
    ----------
    given, **named : mapping, optional
        Field name to value, as in a notebook's ``parameters`` cell. Lists and comma-separated strings are both accepted
        for `tasks` and `embeddings`; None leaves a field as it is.

    Raises
    ------
    UnknownName, BadParameter
        For a name that is no parameter, or a value that is not allowed.

    Examples
    --------
    >>> load_params(seed=1, tasks="speaker-fillets").tasks
    ('speaker-fillets',)
    """
    fields = {f.name: f for f in dataclasses.fields(Params)}
    values: dict[str, object] = {n: os.environ[n.upper()] for n in fields if os.environ.get(n.upper())}
    for name, value in {**(given or {}), **named}.items():
        refuse_unknown("parameter", name, fields)
        if value is not None:
            values[name] = value
    if _parse_value("rehearse", values.get("rehearse", False), False):
        values.setdefault("profile", "paper")
    return Params(**{n: _parse_value(n, v, fields[n].default) for n, v in values.items()})  # type: ignore[arg-type]


def _parse_value(name: str, value: object, default: object) -> object:
    """Turn a value into the type of its default."""
    if isinstance(default, bool | None):
        text = str(value).lower()
        if text not in _TRUE + _FALSE:
            raise BadParameter(f"parameter {name!r} is {value!r}; allowed: 1 or 0.")
        return text in _TRUE
    if isinstance(default, int):
        try:
            return int(str(value))
        except ValueError:
            raise BadParameter(f"parameter {name!r} is {value!r}; give a whole number.") from None
    if isinstance(default, tuple):
        parts = value.split(",") if isinstance(value, str) else list(value)  # type: ignore[call-overload]
        return tuple(str(p).strip() for p in parts if str(p).strip())
    return str(value)


def root() -> Path:
    """Path: the checkout, which holds ``data/``, ``notebooks/`` and ``reports/``."""
    return Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """Path: committed data (manifests, splits, published numbers)."""
    return root() / "data"


def notebooks_dir() -> Path:
    """Path: the source notebooks."""
    return root() / "notebooks"


def reports_dir() -> Path:
    """Path: where results, executed notebooks and ``index.html`` are written."""
    base = Path(os.environ.get("NSLIB_REPORTS") or root() / "reports").expanduser().resolve()
    return base if os.environ.get("REHEARSE", "").lower() in _FALSE else base / "rehearsal"


def refuse_stray_rehearsal(params: Params) -> None:
    """Refuse a rehearsal whose results would be among those of runs: `BadParameter`."""
    if params.rehearse and os.environ.get("REHEARSE", "").lower() in _FALSE:
        raise BadParameter(f"rehearse=True alone would put numbers that mean nothing into {reports_dir()}. Set "
                           'os.environ["REHEARSE"] = "1", or run: nslib reproduce --rehearse')


def tfds_dir() -> Path:
    """Path: what TensorFlow Datasets calls its data directory; it need not exist."""
    given = os.environ.get("NSLIB_DATA_DIR") or os.environ.get("TFDS_DATA_DIR")
    return Path(given).expanduser().resolve() if given else cache_dir("tfds")


def manual_dir() -> Path:
    """Path: where archives that were fetched by hand belong; it need not exist."""
    return tfds_dir() / "downloads" / "manual"


def models_dir() -> Path:
    """Path: where published models lie, one folder a model; it need not exist."""
    given = os.environ.get("NSLIB_MODELS")
    return Path(given).expanduser().resolve() if given else cache_dir("models")


def cache_dir(*parts: str) -> Path:
    """Path: a directory below the cache (e.g. ``"vectors"``), made if it does not exist."""
    import platformdirs

    base = os.environ.get("NSLIB_CACHE") or platformdirs.user_cache_dir("nslib")
    path = Path(base).expanduser().resolve().joinpath(*parts)
    with explain_failures(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def hub_url() -> str:
    """Str: where published models are fetched, without a slash at the end."""
    return (os.environ.get("NSLIB_HUB_URL") or "https://tfhub.dev").rstrip("/")


def offline() -> bool:
    """Bool: whether every download is forbidden."""
    return os.environ.get("NSLIB_OFFLINE", "").lower() not in _FALSE


_REFUSALS = {
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG): ("no space left for {path}", "free some, or {choose} a larger disk"),
    (errno.EROFS,): ("{path} is on a disk that can only be read", "{choose} a place that can be written"),
    (errno.EACCES, errno.EPERM): ("{path} may not be read or written", "change its rights, or {choose} another place"),
    (errno.ENOENT, errno.ENOTDIR, errno.ESTALE): ("{path} is not there (any more)", "let its folder stay during a run"),
    (errno.EMFILE, errno.ENFILE): ("too many files are open for {path}", "allow more (ulimit -n 4096)"),
    (errno.ENOMEM,): ("the memory of this machine does not suffice{detail}",
                      "end other programs, use a machine with more, or smaller batches (NSLIB_BATCH_SECONDS=15)"),
    (errno.ENETUNREACH,): ("the network, or the server that was asked, cannot be reached{detail}", "connect")}
_NETWORK, _PACKED = ("requests", "urllib", "socket", "ssl"), ("pyarrow", "zipfile", "tarfile", "zlib", "lzma", "gzip")


def explain_failure(error: BaseException, path: Path | None = None) -> NslibError | None:
    """Say what disk, memory, network or a damaged file refused, and what to do; None for any other error."""
    if isinstance(error, NslibError | BrokenPipeError):
        return error if isinstance(error, NslibError) else None
    rooms = {kind.__module__.split(".")[0].lstrip("_") for kind in type(error).__mro__}
    code, detail = getattr(error, "errno", None), f" ({error})" if str(error) else ""
    if isinstance(error, MemoryError):
        code = errno.ENOMEM
    elif isinstance(error, ConnectionError | TimeoutError) or rooms.intersection(_NETWORK):
        code = errno.ENETUNREACH
    elif isinstance(error, EOFError) or rooms.intersection(_PACKED):
        return NslibError(f"{path or 'a file that was read'} is cut short or damaged{detail}. Delete it, or fetch it "
                          "again, and run the same command again.")
    elif not isinstance(error, OSError):
        return None
    named = getattr(error, "filename", None)
    path = path or (Path(os.fsdecode(named)) if isinstance(named, str | bytes) else None)
    variable = _find_variable(path) if path else ""
    texts = next((texts for codes, texts in _REFUSALS.items() if code in codes),
                 ("the system refuses {path}{detail}", "look after that place, or {choose} another"))
    what, do = (text.format(path=path or "a file", choose=f"point {variable} to" if variable else "choose",
                            detail=detail) for text in texts)
    return NslibError(f"{what}. Everything stored so far is kept: {do}, and run the same command again.")


def _find_variable(path: Path) -> str:
    """Name the environment variable that decides where a path lies; empty if none does."""
    import platformdirs

    places = {"NSLIB_REPORTS": str(root() / "reports"), "NSLIB_CACHE": platformdirs.user_cache_dir("nslib")}
    for name in ("NSLIB_REPORTS", "NSLIB_MODELS", "NSLIB_DATA_DIR", "TFDS_DATA_DIR", "NSLIB_CACHE"):
        place = os.environ.get(name) or places.get(name)
        if place and path.absolute().is_relative_to(Path(place).expanduser().resolve()):
            return name
    return "TMPDIR" if re.search(r"[\\/](nslib-|tmp)\w+", str(path.parent)) else ""


@contextlib.contextmanager
def explain_failures(path: Path | None = None) -> Iterator[None]:
    """Turn what `explain_failure` knows into its sentence, in a block or, as a decorator, in a function."""
    try:
        yield
    except Exception as error:
        explained = explain_failure(error, path)
        if explained is None or explained is error:
            raise
        raise explained from error


_WEEK = 7 * 86400.0


def _sign() -> str:
    """Whose a temporary file is: machine and process."""
    return f"{re.sub(r'[^A-Za-z0-9.]', '', platform.node())}-{os.getpid()}-"


def sweep(folder: Path, prefix: str = ".tmp-") -> int:
    """Remove the temporary files that dead processes have left in a folder, and give their number."""
    import psutil

    # of another machine's, or an older version's, nobody here knows whether the process lives
    machine, swept = re.escape(_sign().split("-")[0]), 0
    for left in list(folder.glob(f"{prefix}*")):
        with contextlib.suppress(OSError):
            owner = re.search(rf"-{machine}-(\d+)-\w+$", left.name)
            if not psutil.pid_exists(int(owner[1])) if owner else time.time() - left.stat().st_mtime > _WEEK:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
                swept += 1
    return swept


_sweep_once = cache(sweep)


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Let one process at a time make something, by a file beside it; without such locks here, the fastest one wins."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(stack.enter_context(path.open("w")), fcntl.LOCK_EX)
        yield


def wait_for_quiet() -> contextlib.AbstractContextManager[None]:
    """Wait until whoever began this process runs nothing else beside it, and let it begin nothing for a block."""
    place = os.environ.get(QUIET)
    return lock(Path(place)) if place else contextlib.nullcontext()


@cache
def compile_function(function: Any) -> Any:
    """Make machine code of loops over arrays, which numba keeps on disk and which leaves the interpreter lock free."""
    import numba

    make = cache(lambda keep: numba.njit(cache=keep, nogil=True)(function))

    def run(*given: Any) -> Any:
        try:
            return make(True)(*given)
        # no folder can be written, or what it keeps is damaged: anything may be read there
        except (RuntimeError, EOFError, pickle.PickleError, ValueError, ImportError, AttributeError, TypeError):
            return make(False)(*given)
    return run


@contextlib.contextmanager
def environment(**values: object) -> Iterator[None]:
    """Have variables of the environment for a block, in child processes too."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def scratch_folder(kind: str, parent: Path | None = None) -> Iterator[Path]:
    """Give an empty folder that vanishes after the block; those of processes that were killed are removed first."""
    parent, prefix = parent or Path(tempfile.gettempdir()), f"nslib-{kind}-"
    _sweep_once(parent, prefix)
    with tempfile.TemporaryDirectory(prefix=prefix + _sign(), dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name)


def write_file(path: Path, content: bytes | str | Iterator[bytes]) -> None:
    """Write a file in one step, maybe part by part: a reader, or a run that is killed, never sees half of it.

    Missing folders are made, an older file is replaced, text becomes UTF-8. If it cannot be written `NslibError` says
    why; what was there before stays, and no scrap is left.
    """
    content = content.encode() if isinstance(content, str) else content
    with explain_failures(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-" + _sign(), dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(content if isinstance(content, Iterator) else [content])
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # mkstemp makes it private; results are meant to be shared
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def check_data(path: Path) -> Path:
    """Give back the path of a file of ``data/``; `NslibError` if it is not, by ``SHA256SUMS``, what was committed."""
    sums = data_dir() / "SHA256SUMS"
    if not sums.is_file() or not path.is_relative_to(data_dir()):
        return path
    pinned = {name: digest for digest, _, name in (line.partition("  ") for line in sums.read_text().splitlines())}
    if hash_file(path) != pinned.get(path.relative_to(data_dir()).as_posix()):
        raise NslibError(f"{path} is not the file that belongs to this version of the kit: it was cut or changed, and "
                         f"its sha256 is not in {sums}. Bring it back (git checkout {path}); if it is meant so, write "
                         "its sha256 there.")
    return path


def hash_file(path: Path, algorithm: str = "sha256") -> str:
    """Hash a file, in hex; `algorithm` is a name that `hashlib` knows."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


# what TensorFlow's C++ code says on being imported, whatever its log level is
LOG_LINES = r"^[IW]\d{4} |^WARNING: All log messages before absl|^To enable the following instructions"


class _QuietImport(importlib.abc.MetaPathFinder):
    """Imports TensorFlow without its greetings: no environment variable keeps those back."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """Find TensorFlow as the other finders do; meanwhile, what is written to stderr is held back and sifted."""
        if fullname != "tensorflow" or sys.stderr is None:  # as in a program without a terminal
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_quietly(module: Any) -> None:
            sys.stderr.flush()
            terminal = os.dup(2)
            with tempfile.TemporaryFile() as held:
                os.dup2(held.fileno(), 2)
                try:
                    execute(module)
                finally:
                    sys.stderr.flush()
                    os.dup2(terminal, 2)
                    os.close(terminal)
                    held.seek(0)
                    lines = held.read().decode(errors="replace").splitlines()
                    sys.stderr.writelines(f"{line}\n" for line in lines if not re.match(LOG_LINES, line))

        spec.loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return spec


def quieten_tensorflow() -> None:
    """Keep TensorFlow's notes about the machine off the terminal when it is imported; errors are raised anyway."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules and not any(isinstance(one, _QuietImport) for one in sys.meta_path):
        sys.meta_path.insert(0, _QuietImport())


def client_environment() -> dict[str, str]:
    """Make the environment of a client program: its messages are read, so they must be in English."""
    return {**os.environ, "LC_ALL": "C"}


def run_client(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a client program and keep what it prints; a failure is told by its ``returncode``."""
    return subprocess.run(command, env=client_environment(), capture_output=True, text=True, errors="replace",
                          stdin=subprocess.DEVNULL)


@cache
def installed_version(package: str) -> str:
    """Version of a package, read without importing it; empty if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def package_versions(packages: Iterable[str] = _REPORTED_PACKAGES) -> dict[str, str]:
    """Look up the version of each package; ``"not installed"`` without one."""
    return {name: installed_version(name) or "not installed" for name in packages}


def locked_versions(lock: str = "requirements.lock") -> dict[str, str]:
    """Read the versions of a lock file, in the kit's folder, that apply to this Python and system."""
    from packaging.requirements import Requirement

    lines = (root() / lock).read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line.rstrip(" \\")) for line in lines if line[:1].isalnum()]
    return {pin.name: next(iter(pin.specifier)).version for pin in pins if not pin.marker or pin.marker.evaluate()}


def lock_differences(lock: str = "requirements.lock") -> list[str]:
    """Compare what is installed with a lock file: ``"numpy 2.4.6 is locked, 2.4.5 is installed"``; empty if equal."""
    return [f"{name} {version} is locked, {here or 'none'} is installed"
            for name, version in locked_versions(lock).items() if (here := installed_version(name)) != version]


def describe_origin() -> dict[str, str]:
    """State the origin of a result: ``code_revision``, ``lock_hash``, and ``when`` (UTC, ISO 8601, to the second)."""
    now = datetime.now(UTC).replace(microsecond=0)
    return {"code_revision": code_revision(), "lock_hash": lock_hash(), "when": now.isoformat()}


@cache
def code_revision() -> str:
    """Revision of the checkout, with ``-dirty`` if files differ from it; ``"unknown"`` without git."""
    # Only a repository of our own: installed below somebody else's, git would describe theirs.
    if not (root() / ".git").exists():
        return _UNKNOWN
    command = ["git", "describe", "--always", "--dirty", "--tags"]
    try:
        run = subprocess.run(command, cwd=root(), capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return _UNKNOWN
    return run.stdout.strip() or _UNKNOWN


@cache
def lock_hash() -> str:
    """Hash of ``requirements.lock``; ``"unknown"`` where the kit is installed without it."""
    lock = root() / "requirements.lock"
    return hash_file(lock)[:16] if lock.is_file() else _UNKNOWN
