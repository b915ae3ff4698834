"""Columns of results: the one place where they are named, typed and explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from nslib.errors import BadParameter, UnknownName

if TYPE_CHECKING:
    import pandas as pd


class Column(NamedTuple):
    """A column of a table: name, type (``str``, ``int``, ``float``, ``bool``), unit and meaning."""

    name: str
    dtype: str
    unit: str
    meaning: str


_COMBINATION = (
    Column("probe", "str", "", "classifier, a name in nslib.probe.PROBES"),
    Column("l2", "bool", "", "whether vectors were scaled to unit length"),
    Column("speaker_norm", "bool", "", "whether vectors were z-scored for each speaker (transductive)"),
    Column("seed", "int", "", "seed of forests and of resamples"),
)
_FIRST = (
    Column("key", "str", "", "hash of all that decides the result"),
    Column("task", "str", "", "name of the task"),
)

ROWS: tuple[Column, ...] = (
    *_FIRST,
    Column("corpus_kind", "str", "", "real (recorded speech) or synthetic"),
    Column("embedding", "str", "", "name of the embedding"),
    Column("dim", "int", "", "length of a clip's vector"),
    *_COMBINATION,
    Column("split", "str", "", "validation (on which the choice is made) or test"),
    Column("metric", "str", "", "name of the score, one of nslib.metrics.METRICS"),
    Column("value", "float", "of the metric", "the score; NaN if the probe could not be fitted"),
    Column("n", "int", "clips", "size of the split"),
    Column("n_speakers", "int", "speakers", "known speakers in the split"),
    Column("classes", "int", "classes", "classes in train"),
    Column("chance", "float", "of the metric", "score of the best answer that does not listen"),
    Column("low", "float", "of the metric", "lower end of the confidence interval"),
    Column("high", "float", "of the metric", "upper end of the confidence interval"),
    Column("interval_by", "str", "", "what was resampled: speaker, or clip where there are under 5 speakers"),
    Column("level", "float", "", "confidence level of the interval"),
    Column("selected", "bool", "", "best on validation: the result of this embedding on this task"),
    Column("best_on_test", "bool", "", "best on test: optimistic, as in some published tables"),
    Column("converged", "bool", "", "whether the fit ended before its cap of iterations"),
    Column("fit_seconds", "float", "s", "time of the fit"),
    Column("reason", "str", "", "why there is no value, what the classifier warned of, or whose fit it shares"),
    Column("notes", "str", "", "a sentence a line on what was left out of the grid or cannot be right"),
    Column("data_hash", "str", "", "hash of the recordings"),
    Column("split_hash", "str", "", "hash of recordings, labels, speakers and splits"),
    Column("weights_hash", "str", "", "fingerprint of the embedding"),
    Column("lock_hash", "str", "", "hash of requirements.lock"),
    Column("code_revision", "str", "", "git revision of the kit"),
    Column("when", "str", "UTC", "time of the computation, ISO 8601"),
)

PREDICTIONS: tuple[Column, ...] = (
    *_FIRST,
    Column("embedding", "str", "", "name of the embedding"),
    *_COMBINATION,
    Column("clip_id", "str", "", "name of the test clip"),
    Column("speaker", "str", "", "speaker of the clip; empty if unknown"),
    Column("y_true", "str", "", "its class"),
    Column("y_pred", "str", "", "the answer of the selected probe"),
)

PROTOCOL_ROWS: tuple[Column, ...] = (
    *_FIRST,
    Column("corpus_kind", "str", "", "real (recorded speech) or synthetic"),
    Column("embedding", "str", "", "name of the embedding"),
    Column("dim", "int", "", "length of a clip's vector"),
    Column("protocol", "str", "", "within-speaker, repeated, by-speaker, by-clip, or the last two at 8 shots"),
    Column("shots", "int", "clips", "cap on the training clips of a class (of a speaker); 0: all"),
    Column("split_number", "str", "", "seed of the split; empty: over all of them"),
    Column("speaker", "str", "", "whose clips; empty: over all speakers"),
    Column("probe", "str", "", "classifier, a name in nslib.probe.PROBES; over all splits the one chosen most often"),
    *_COMBINATION[1:],
    Column("metric", "str", "", "name of the score, one of nslib.metrics.METRICS"),
    Column("validation", "float", "of the metric", "score on validation, on which the choice is made"),
    Column("value", "float", "of the metric", "test score; NaN if the probe could not be fitted"),
    Column("spread", "float", "of the metric", "standard deviation over splits; NaN for a single one"),
    Column("splits", "int", "splits", "how many the row stands for"),
    Column("n", "int", "clips", "different clips tested"),
    Column("n_train", "int", "clips", "clips that a probe learnt from; a mean where there are several"),
    Column("n_speakers", "int", "speakers", "known speakers tested"),
    Column("shared_speakers", "int", "speakers", "of these, those who are also in train; a mean over splits"),
    Column("classes", "int", "classes", "classes in train"),
    Column("chance", "float", "of the metric", "score of the best answer that does not listen"),
    Column("low", "float", "of the metric", "lower end of the confidence interval; NaN where none is given"),
    Column("high", "float", "of the metric", "upper end of the confidence interval"),
    Column("interval_by", "str", "", "what was resampled: speaker, or clip where there are under 5 speakers"),
    Column("level", "float", "", "confidence level of the interval"),
    Column("selected", "bool", "", "best on validation"),
    Column("best_on_test", "bool", "", "best on test: optimistic"),
    Column("reason", "str", "", "why there is no value"),
    Column("notes", "str", "", "a sentence a line on what was left out, counted or cannot be right"),
    *ROWS[-6:],
)

PROTOCOL_ANSWERS: tuple[Column, ...] = (
    *_FIRST,
    Column("embedding", "str", "", "name of the embedding"),
    Column("protocol", "str", "", "as in the rows"),
    Column("shots", "int", "clips", "as in the rows"),
    Column("split_number", "str", "", "seed of the split"),
    *PREDICTIONS[-4:],
)

LEDGER: tuple[Column, ...] = (
    Column("embedding", "str", "", "name of the embedding"),
    Column("computed", "int", "clips", "clips that were embedded"),
    Column("padded", "int", "clips", "of these, how many did not fill the embedding's window"),
    Column("audio_seconds", "float", "s", "audio of the computed clips"),
    Column("wall_seconds", "float", "s", "from the first file to the last stored vector"),
    Column("clips_per_second", "float", "1/s", "computed clips a second; NaN if nothing was computed"),
    Column("times_real_time", "float", "", "seconds of audio a second; NaN if nothing was computed"),
    Column("padding", "float", "", "share of the samples fed to the model that were padding"),
    Column("device_busy", "float", "", "share of the devices' time in which the embedding ran; NaN if not watched"),
    Column("decode_wait", "float", "", "share of the devices' time spent waiting for decoding; NaN if not watched"),
    Column("peak_memory_gb", "float", "GB", "highest memory of the process"),
    Column("batch_seconds", "float", "s", "most audio in a batch"),
    Column("devices", "str", "", "what the embedding ran on; empty where it is not known"),
)

_DTYPES = {"str": "str", "int": "int64", "float": "float64", "bool": "bool"}
_KINDS = {"int": "iu", "float": "fiu", "bool": "b"}


def schema(columns: Sequence[Column] = ROWS) -> pd.DataFrame:
    """Schema as a table to show: name, dtype, unit, meaning."""
    import pandas as pd

    return pd.DataFrame(columns, columns=list(Column._fields))


def empty(columns: Sequence[Column]) -> pd.DataFrame:
    """Table without rows that has these columns."""
    import pandas as pd

    return pd.DataFrame({c.name: pd.Series(dtype=_DTYPES[c.dtype]) for c in columns})


def conforming(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Check a table against its schema.

    Parameters
    ----------
    frame : DataFrame
        The table.
    columns : sequence of Column
        Its schema.

    Returns
    -------
    DataFrame
        The same rows, columns in the order and the exact types of the schema.

    Raises
    ------
    UnknownName
        For a column that the schema lacks.
    BadParameter
        For a missing column or a wrong type.
    """
    names = [c.name for c in columns]
    for name in frame.columns:
        if name not in names:
            raise UnknownName("results column", name, names)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise BadParameter(f"the results lack {', '.join(missing)}; nslib.results.complete adds the origin.")
    for column in columns if len(frame) else ():
        _refuse_type(frame[column.name], column)
    return frame[names].astype({c.name: _DTYPES[c.dtype] for c in columns})


def _refuse_type(values: pd.Series, column: Column) -> None:
    if column.dtype == "str":
        right = all(isinstance(value, str) for value in values)
    else:
        right = values.dtype.kind in _KINDS[column.dtype]
    if not right:
        raise BadParameter(f"results column {column.name!r} must be {column.dtype}; got {values.dtype}.")
