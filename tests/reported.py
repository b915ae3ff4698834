"""A small report with everything beside it, of two embeddings on synthetic speech: made once a process, then copied."""

import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from nslib import config
from nslib.evaluation import benchmark, protocols, results
from nslib.report.html import write_report

TASK, EMBEDDINGS = "style-synthetic", ("logmel", "mfcc")
CELL = f"{TASK}/logmel"


@functools.cache
def home() -> Path:
    """Cache and reports, in the cache of the session, which is removed at its end and has the recordings."""
    home = Path(tempfile.mkdtemp(dir=os.environ["NSLIB_CACHE"]))
    (home / "cache").mkdir()
    (home / "cache" / "corpora").symlink_to(config.cache_dir("corpora"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLIB_CACHE", str(home / "cache"))
        patch.setenv("NSLIB_REPORTS", str(home / "reports"))
        settings = config.load_params({"smoke": True, "tasks": TASK})
        made = benchmark.benchmark(EMBEDDINGS, TASK, params=settings, progress=False)
        protocols.run_protocol("within-speaker", "logmel", TASK, settings, progress=False)
        patch.setattr("nslib.report.html._draw_figures", lambda *_: [])  # which take most of the time
        write_report(made, settings, runs=[])
    return home


@contextlib.contextmanager
def copied(where: Path) -> Iterator[Path]:
    """A copy of the report to spoil; its recordings and vectors are found."""
    folder = where / "reports"
    shutil.copytree(home() / "reports", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSLIB_CACHE", str(home() / "cache"))
        patch.setenv("NSLIB_REPORTS", str(folder))
        yield folder


def key(folder: Path, embedding: str = "logmel") -> str:
    """Key of an embedding's result."""
    rows, _ = results.load_results(folder / "results")
    return str(rows.loc[rows["embedding"] == embedding, "key"].iloc[0])


def table(folder: Path, key: str, kind: str = "rows") -> pd.DataFrame:
    """A stored table."""
    return pd.read_parquet(results.table_path(key, kind, folder / "results"))


def find_chosen(folder: Path, key: str) -> int:
    """Number of the row that a report shows of a result."""
    rows = table(folder, key)
    return int((rows["selected"] & (rows["split"] == "test")).to_numpy().argmax())


def change(folder: Path, key: str, kind: str, row: int, column: str, value: object) -> None:
    """Plant a value in a stored table, checksums and all."""
    frame = table(folder, key, kind)
    frame[column] = frame[column].astype(object)
    frame.iloc[row, frame.columns.get_loc(column)] = value
    results.write_table(results.table_path(key, kind, folder / "results"), frame.infer_objects())
