"""Colab: the kit as one file to upload, the notebooks' badge, and the cell that installs what Colab lacks.

While no GitHub address is declared (``Repository`` under ``[project.urls]`` of ``pyproject.toml``) there is nothing
that a badge could open, and the kit is uploaded. Two places of a notebook belong to this module: the last paragraph of
its title cell, and the source of its code cell tagged ``colab``.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

from nslib import config
from nslib.errors import BadParameter, NslibError
from nslib.teaching.notebook_rules import COLAB_TAG, GUARD, Node, tagged

__all__ = ["ARCHIVE", "pack_kit", "read_address", "refresh_notebooks"]

ARCHIVE = "nslib-kit.zip"
KIT = ("pyproject.toml", "requirements.lock", "requirements-colab.txt", "LICENSE", "CITATION.cff", "nslib", "data")
_BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
_OPEN = "https://colab.research.google.com/github"
_ADDRESS = re.compile(r"https://github\.com(/[\w.-]+){2}")
_PARAGRAPH = re.compile(r"\n\n(\*On Colab|\[!\[Open in Colab)[^\n]*(\n[^\n]+)*\s*\Z")


def read_address(project: Path | None = None) -> str | None:
    """Return the address ``https://github.com/owner/name`` that a ``pyproject.toml`` (the kit's) declares, or None."""
    path = project or config.root() / "pyproject.toml"
    urls = tomllib.loads(path.read_text(encoding="utf-8"))["project"].get("urls", {})
    given = next((str(url) for name, url in urls.items() if name.lower() == "repository"), None)
    if given is None:
        return None
    address = given.strip().rstrip("/").removesuffix(".git")
    if not _ADDRESS.fullmatch(address):
        raise BadParameter(f"{path.name}: Repository is {given!r}; give https://github.com/owner/name: Colab opens "
                           "notebooks from GitHub only. For another host declare none: the kit is then uploaded.")
    return address


def write_cell(address: str | None) -> str:
    """Return the code of the cell tagged ``colab``: from an address, or from a file that was uploaded."""
    fetch = (f"curl -sSfL {address}/archive/HEAD.tar.gz | tar xz --strip-components 1" if address
             else f"python -m zipfile -e {ARCHIVE} .")
    return (f"import sys\n\n{GUARD}  # on Colab only: the kit, and the packages that Colab lacks\n"
            f"    !{fetch}\n    %pip install -q -r requirements-colab.txt")


def write_invitation(address: str | None, notebook: str) -> str:
    """Return the paragraph of a title cell: a badge, or how to upload."""
    if address:
        return f"{_BADGE}({_OPEN}{address.removeprefix('https://github.com')}/blob/main/notebooks/{notebook})"
    return (f"*On Colab: make `{ARCHIVE}` with `python -m nslib colab zip`, upload it to the session's files, and\n"
            "run all cells. Anywhere else the next cell does nothing.*")


def strip_invitation(title: str) -> str:
    """Return the source of a title cell without the paragraph on Colab."""
    return _PARAGRAPH.sub("", title)


def refresh_cells(cells: list[Node], address: str | None, notebook: str) -> bool:
    """Put the paragraph and the code into a notebook's cells; return whether that changed anything."""
    code = [c for _, c in tagged(cells, COLAB_TAG)]
    if len(code) != 1 or cells[0]["cell_type"] != "markdown":
        raise NslibError(f"{notebook}: {len(code)} code cells are tagged {COLAB_TAG!r}, wanted one, below a title.")
    title = strip_invitation(cells[0]["source"]).rstrip() + "\n\n" + write_invitation(address, notebook)
    new = [(cells[0], title), (code[0], write_cell(address))]
    changed = any(cell["source"] != text for cell, text in new)
    for cell, text in new:
        cell["source"] = text  # type: ignore[index]
    return changed


def refresh_notebooks(folder: Path | None = None, *, write: bool = True) -> list[str]:
    """Bring the notebooks of a folder (the kit's) up to the declared address; return the names of those behind."""
    import nbformat

    address, behind = read_address(), []
    for path in sorted((folder or config.notebooks_dir()).glob("*.ipynb")):
        node = nbformat.read(path, as_version=4)
        if refresh_cells(node["cells"], address, path.name):
            behind.append(path.name)
            if write:
                config.write_file(path, nbformat.writes(node) + "\n")
    return behind


def list_files(parts: Iterable[Path]) -> list[Path]:
    """List files, and those below folders, without what Python and Jupyter leave there."""
    paths = [path for part in parts for path in ([part] if part.is_file() else sorted(part.rglob("*")))]
    return [path for path in paths if path.is_file() and not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)]


def pack_kit(out: Path) -> Path:
    """Pack the kit into one zip file for an upload; equal kits give equal files."""
    parts = map(config.root().joinpath, (*KIT, "README.md", "notebooks", "docs"))
    return pack_files(config.root(), list_files(parts), out)


def pack_files(root: Path, paths: Iterable[Path], target: Path) -> Path:
    """Pack files below a folder into a zip file, which is there whole or not at all; equal files give equal ones."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with config.explain_failures(target), config.scratch_folder("pack", target.parent) as scratch:
        with zipfile.ZipFile(scratch / "packed.zip", "w") as packed:
            for path in paths:
                entry = zipfile.ZipInfo(path.relative_to(root).as_posix())  # without the time of the file
                entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, path.stat().st_size
                with path.open("rb") as source, packed.open(entry, "w") as copy:
                    shutil.copyfileobj(source, copy)
        os.replace(scratch / "packed.zip", target)
    return target
