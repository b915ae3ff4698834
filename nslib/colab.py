"""On Colab: keep what is installed there, add what the kit lacks, and say what differs from the lock.

Colab comes with hundreds of packages, TensorFlow among them, and its kernel has some of them loaded already. To replace
one breaks others and asks for a restart. So what is there stays as it is, whatever the lock says; only packages that
are missing are installed, each at its locked version or, where that does not go with what is there, the newest below it
that does. Whether the preinstalled TensorFlow is good enough is not guessed from its version: it is tried.

Conventions
-----------
Nothing here is needed anywhere but on Colab, and nothing of it is imported elsewhere. The first cell of every notebook
(`nslib.colab_cells`) puts the kit's folder on the path and calls `install`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nslib import params
from nslib.errors import NslibError
from nslib.locks import installed, pins

NOT_THERE = {"jupyterlab": "Colab is the interface"}
"""What the kit declares and Colab does without, and why."""

_PINNED = ("tensorflow", "tf-keras")
_TRIAL = "from nslib import colab; colab.try_tensorflow()"

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Need:
    """A package that the kit declares.

    Attributes
    ----------
    name : str
    wanted : str
        Version in the lock.
    there : str
        Version that is installed; empty if none is.
    """

    name: str
    wanted: str
    there: str

    @property
    def kept(self) -> str:
        """str: what to say of it where it is kept though the lock has another version."""
        return f"{self.name} {self.there} (locked: {self.wanted})"


def install(run: Run | None = None) -> list[Need]:
    """Install what is missing, and print what was done and what differs from the lock.

    Parameters
    ----------
    run : callable, optional
        Runs a command; default: in a process of its own.

    Returns
    -------
    list of Need
        The packages that the kit declares, as they are afterwards.

    Raises
    ------
    NslibError
        If a package cannot be installed; the message has pip's last words.
    """
    run = run or _command
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(params.root()), os.environ.get("PYTHONPATH")]))
    missing = [need for need in needs() if not need.there]
    if missing:
        print(f"installing {len(missing)} packages that are not here: {', '.join(n.name for n in missing)} ...")
        _pip(run, [f"{need.name}<={need.wanted}" for need in missing], keep=True)
    for name, why in NOT_THERE.items():
        print(f"not installed: {name} ({why})")
    if run([sys.executable, "-c", _TRIAL]).returncode:
        print("the TensorFlow of this session does not run the kit's networks: installing the locked one ...")
        _pip(run, [f"{need.name}=={need.wanted}" for need in needs() if need.name in _PINNED], keep=False)
        print("Now restart the session (Runtime > Restart session) and run this cell again.")
    after = needs()
    print(report(after))
    return after


def needs() -> list[Need]:
    """List the packages that the kit declares, with what is locked and what is here.

    Returns
    -------
    list of Need
        Without those of `NOT_THERE` and those that this system does not need.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((params.root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [Requirement(text) for text in project["dependencies"]]
    locked = pins()
    names = [str(canonicalize_name(need.name)) for need in declared if need.marker is None or need.marker.evaluate()]
    return [Need(name, locked[name], installed(name)) for name in names if name not in NOT_THERE]


def report(found: Sequence[Need]) -> str:
    """Say how the packages of this session differ from the lock.

    Parameters
    ----------
    found : sequence of Need

    Returns
    -------
    str
        A few lines.
    """
    same = [need for need in found if need.there == need.wanted]
    other = [need.kept for need in found if need.there and need.there != need.wanted]
    absent = [need.name for need in found if not need.there]
    lines = [f"{len(same)} of the {len(found)} packages that the kit uses are as locked."]
    if other:
        lines += ["Kept as this session has them; a score can differ in its last digits from one under the lock:",
                  f"  {', '.join(other)}"]
    if absent:
        lines.append(f"STILL MISSING: {', '.join(absent)}")
    return "\n".join(lines)


def try_tensorflow() -> None:
    """Run a second of noise through a front end and a network of the kit, both in TensorFlow.

    Raises
    ------
    NslibError
        If the front end differs from the one in NumPy, or the network's vectors are not finite.
    """
    import numpy as np

    from nslib import embeddings, frontend, frontend_tf

    wave = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    off = np.abs(np.asarray(frontend_tf.log_mel(wave)) - frontend.log_mel(wave)).max()
    vectors, _ = embeddings.get("trill-mini-top").embed(wave[None], np.array([len(wave)]))
    if off > 1e-2 or not np.isfinite(vectors).all():
        raise NslibError(f"TensorFlow's front end is {off:.2g} off, or a vector is not finite. Install the locked one.")


def _pip(run: Run, wanted: Sequence[str], *, keep: bool) -> None:
    """Install; with `keep` nothing that is here may change."""
    from packaging.utils import canonicalize_name

    here = {canonicalize_name(found.name): found.version for found in importlib.metadata.distributions() if found.name}
    with tempfile.TemporaryDirectory() as folder:
        bounds = Path(folder) / "constraints.txt"
        bounds.write_text("".join(f"{name}=={version}\n" for name, version in sorted(here.items())) if keep else "")
        done = run([sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(bounds), *wanted])
    importlib.invalidate_caches()
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise NslibError(f"pip could not install {', '.join(wanted)}:\n{said}\nCheck that this session has a network, "
                         "then run this cell again.")


def _command(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(arguments), capture_output=True, text=True, check=False)
