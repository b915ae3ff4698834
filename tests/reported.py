"""A small report with everything beside it, of two embeddings on synthetic speech: made once a process, then copied."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nslib import kept, measure, params, protocols, report, results

TASK = "style-synthetic"
EMBEDDINGS = ("logmel", "mfcc")


@functools.cache
def _made() -> Path:
    """Cache and reports, in the cache of the session, which is removed at its end."""
    home = Path(tempfile.mkdtemp(dir=os.environ["NSLIB_CACHE"]))
    with _places(home):
        settings = params.load({"smoke": True, "tasks": TASK})
        found = measure.benchmark(EMBEDDINGS, TASK, params=settings, progress=False)
        protocols.run("within-speaker", "logmel", TASK, settings, progress=False)
        report.build(found, settings, runs=[])
    return home


@contextlib.contextmanager
def _places(home: Path) -> Iterator[None]:
    mine = {"NSLIB_CACHE": str(home / "cache"), "NSLIB_REPORTS": str(home / "reports")}
    before = {name: os.environ.get(name) for name in mine}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def copied(where: Path) -> Iterator[Path]:
    """A copy of the report to spoil; its recordings and vectors are found."""
    folder = where / "reports"
    shutil.copytree(_made() / "reports", folder)
    with _places(_made()):
        os.environ["NSLIB_REPORTS"] = str(folder)
        yield folder


def restore(folder: Path) -> None:
    """Undo what was done to a copy."""
    shutil.rmtree(folder)
    shutil.copytree(_made() / "reports", folder)


def vectors() -> Path:
    """Where the stored vectors are."""
    return _made() / "cache" / "vectors"


def key(folder: Path, embedding: str = "logmel") -> str:
    """Key of an embedding's result."""
    rows, _ = results.load(folder / "results")
    return str(rows.loc[rows["embedding"] == embedding, "key"].iloc[0])


def change(folder: Path, kind: str, key: str, row: int, column: str, value: object) -> None:
    """Plant a value in a kept table, checksums and all."""
    import pandas as pd

    path = kept.place(key, kind, folder / "results")
    frame = pd.read_parquet(path)
    frame[column] = frame[column].astype(object)
    frame.iloc[row, frame.columns.get_loc(column)] = value
    kept.write(path, frame.infer_objects())
