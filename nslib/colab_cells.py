"""The first cells of the notebooks: how each gets to Colab, from the one public address in ``pyproject.toml``.

While no address is declared (``Repository`` under ``[project.urls]``), there is nothing that a badge could open: the
notebook says how to upload itself and the kit instead. Once it is, the same tool writes the badge and a cell that
fetches the kit by git. Colab opens notebooks from GitHub only; for another host the notebook is uploaded and the kit
fetched.

Conventions
-----------
Two places of a notebook belong to this tool: the last paragraph of its title cell, and the source of its code cell
tagged ``colab``. Everything else, ids too, stays as it is. Tests hold the committed notebooks to what the tool writes.
"""

from __future__ import annotations

import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from nslib import files, params
from nslib.errors import BadParameter, NslibError
from nslib.notebook_rules import COLAB_TAG, GUARD, Node

ARCHIVE = "nslib-kit.zip"
PARTS = ("pyproject.toml", "requirements.lock", "README.md", "LICENSE", "CITATION.cff", "nslib", "data",
         "notebooks", "docs")
"""What of the kit's folder goes into the archive that is uploaded."""

_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
_OPEN = "https://colab.research.google.com/github"
_ADDRESS = re.compile(r"https://[\w.-]+(/[\w.-]+){2,}")
_OWN_PARAGRAPH = re.compile(r"\n\n(\*On Colab|\[!\[Open in Colab)[^\n]*(\n[^\n]+)*\s*\Z")
_SKIPPED = {"__pycache__", ".ipynb_checkpoints"}

_UPLOADED = '''\
    from zipfile import ZipFile

    if not Path("kit").exists():
        from google.colab import files

        archive, *_ = sorted(Path().glob("nslib*.zip")) or files.upload()  # choose {archive}
        ZipFile(archive).extractall("kit")
'''
_CLONED = '''\
    import subprocess

    if not Path("kit").exists():
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{address}", "kit"], check=True)
'''
_CELL = '''\
import sys

{guard}  # on Colab only: bring the kit, and what Colab lacks
    from pathlib import Path
{bring}    kit = min(Path("kit").resolve().rglob("pyproject.toml"), key=lambda path: len(path.parts)).parent
    sys.path.insert(0, str(kit))
    from nslib import colab

    colab.install()'''


def address(project: Path | None = None) -> str | None:
    """Read the public address of the kit.

    Parameters
    ----------
    project : Path, optional
        A ``pyproject.toml``; default: the kit's.

    Returns
    -------
    str or None
        ``Repository`` under ``[project.urls]``, without a slash or ``.git`` at its end; None while none is declared.

    Raises
    ------
    BadParameter
        If it is not the https address of a repository.
    """
    path = project or params.root() / "pyproject.toml"
    urls = tomllib.loads(path.read_text(encoding="utf-8"))["project"].get("urls", {})
    found = next((url for name, url in urls.items() if name.lower() == "repository"), None)
    if found is None:
        return None
    plain = str(found).strip().rstrip("/").removesuffix(".git")
    if not _ADDRESS.fullmatch(plain):
        raise BadParameter(f"{path.name}: Repository is {found!r}; give https://host/owner/name, as for git clone.")
    return plain


def source(where: str | None) -> str:
    """Write the code of the first cell.

    Parameters
    ----------
    where : str or None
        Address of the repository; None: the kit is uploaded as a zip file.

    Returns
    -------
    str
        Python; it does nothing anywhere but on Colab.
    """
    bring = _CLONED.format(address=where) if where else _UPLOADED.format(archive=ARCHIVE)
    return _CELL.format(guard=GUARD, bring=bring)


def invitation(where: str | None, notebook: str) -> str:
    """Write the paragraph that says how a notebook gets to Colab.

    Parameters
    ----------
    where : str or None
        As of `source`.
    notebook : str
        File name.

    Returns
    -------
    str
        Markdown: a badge, or how to upload.
    """
    github = (where or "").removeprefix("https://github.com/")
    if where and github != where:
        return (f"[![Open in Colab]({_BADGE})]({_OPEN}/{github}/blob/main/notebooks/{notebook})\n"
                "*The first cell fetches and installs the kit on Colab. Anywhere else it does nothing.*")
    if where:
        return ("*On Colab: File > Upload notebook; then run the first cell, which fetches and installs the kit. "
                "Anywhere\nelse it does nothing.*")
    return (f"*On Colab: File > Upload notebook; then run the first cell and choose `{ARCHIVE}`, which\n"
            "`python -m nslib colab zip` makes. Anywhere else that cell does nothing.*")


def without_invitation(title: str) -> str:
    """Take the paragraph on Colab off a title cell.

    Parameters
    ----------
    title : str
        Source of the cell.

    Returns
    -------
    str
        As it was if it has none.
    """
    return _OWN_PARAGRAPH.sub("", title)


def refreshed(cells: list[Node], where: str | None, notebook: str) -> bool:
    """Put the paragraph and the code into a notebook's cells.

    Parameters
    ----------
    cells : list of cells
        They are changed.
    where, notebook
        As of `invitation`.

    Returns
    -------
    bool
        Whether anything was changed.

    Raises
    ------
    NslibError
        If the notebook has no title cell or not exactly one code cell tagged ``colab``.
    """
    tagged = [c for c in cells if c["cell_type"] == "code" and COLAB_TAG in c["metadata"].get("tags", [])]
    if len(tagged) != 1 or cells[0]["cell_type"] != "markdown":
        raise NslibError(f"{notebook}: {len(tagged)} code cells are tagged {COLAB_TAG!r}, wanted one, below a title.")
    title = without_invitation(cells[0]["source"]).rstrip() + "\n\n" + invitation(where, notebook)
    wanted = [(cells[0], title), (tagged[0], source(where))]
    changed = [(cell, text) for cell, text in wanted if cell["source"] != text]
    for cell, text in changed:
        cell["source"] = text  # type: ignore[index]
    return bool(changed)


def refresh(folder: Path | None = None, *, write: bool = True) -> list[str]:
    """Bring the first cells of all notebooks up to the declared address.

    Parameters
    ----------
    folder : Path, optional
        Default: the kit's notebooks.
    write : bool
        If not, only say what would be changed.

    Returns
    -------
    list of str
        File names of the notebooks that were, or would be, changed.
    """
    import nbformat

    where, found = address(), []
    for path in sorted((folder or params.notebooks_dir()).glob("*.ipynb")):
        node = nbformat.read(path, as_version=4)
        if refreshed(node["cells"], where, path.name):
            found.append(path.name)
            if write:
                files.write(path, nbformat.writes(node) + "\n")
    return found


def archive(out: Path) -> Path:
    """Pack the kit for an upload to a session without a public address.

    Parameters
    ----------
    out : Path
        The zip file; equal kits give equal files.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    NslibError
        If the disk is full.
    """
    import io

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for path in _kit_files():
            entry = zipfile.ZipInfo(path.relative_to(params.root()).as_posix())
            file.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    files.write(out, packed.getvalue())
    return out


def _kit_files() -> Iterator[Path]:
    for part in PARTS:
        path = params.root() / part
        every = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in every if file.is_file() and not _SKIPPED & set(file.parts))
