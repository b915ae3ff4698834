"""All chapters in one notebook, for Colab, where a file is uploaded and not a folder.

Conventions
-----------
The first code cell is Colab's own (`nslib.colab_cells`): it asks for the workshop's zip file and installs what is
missing. The second finds the workshop's folder, as in every edition. Chapters follow in their order, each with its
settings, so that one may also be run by itself, below these two. Pictures move from attachments, which Colab does not
show, into the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nslib import colab_cells
from nslib.notebook_cells import tagged
from nslib.notebook_rules import COLAB_TAG, PARAMETERS_TAG
from nslib.workshop.editions import SETUP, SETUP_TAG


def merged(nodes: Sequence[Any], archive: str) -> Any:
    """Put editions of chapters behind each other.

    Parameters
    ----------
    nodes : sequence of NotebookNode
        Editions of one kind; they are left as they are.
    archive : str
        Name of the zip file that is to be uploaded.

    Returns
    -------
    NotebookNode
    """
    import copy

    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [new_markdown_cell(_beginning(nodes, archive), id="workshop-01")]
    for number, (source, tag) in enumerate([(colab_cells.source(None), COLAB_TAG), (SETUP, SETUP_TAG)], 2):
        cells.append(new_code_cell(source, id=f"workshop-{number:02d}", metadata={"tags": [tag]}))
    for node in nodes:
        chapter = copy.deepcopy(node["cells"])
        setups = [id(cell) for _, cell in tagged(chapter, SETUP_TAG)]
        cells += [_plain(cell) for cell in chapter if id(cell) not in setups]
    return new_notebook(cells=cells, metadata=copy.deepcopy(nodes[0]["metadata"]))


def _beginning(nodes: Sequence[Any], archive: str) -> str:
    titles = [node["cells"][0]["source"].splitlines()[0].lstrip("# ") for node in nodes]
    listed = "\n".join(f"- {title}" for title in titles)
    return (f"# Speech embeddings: a workshop in one file\n\n{listed}\n\n*On Colab: File > Upload notebook; then run "
            f"the first cell and choose `{archive}`.\nAnywhere else that cell does nothing.*")


def _plain(cell: Any) -> Any:
    """Take out what may be there once a notebook only, and put attached pictures into the text."""
    tags = cell["metadata"].get("tags", [])
    if PARAMETERS_TAG in tags:
        tags.remove(PARAMETERS_TAG)
    for name, kinds in cell.pop("attachments", {}).items():
        cell["source"] = cell["source"].replace(f"attachment:{name}", f"data:image/png;base64,{kinds['image/png']}")
    return cell
