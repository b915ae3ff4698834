"""How an embedding holds up: the probe that learnt on clean clips, asked about the same test clips in worse conditions.

Conventions
-----------
The conditions and the unit of their levels are those of `nslib.perturb`. Training, and the choice of probe and
normalisation on validation, see clean clips only: they are those of the benchmark. The chosen probe is fitted once
more, and refused if its answers to the clean test clips are not those that the benchmark kept. A z-score by speaker,
where that was chosen, is over the speaker's test clips in the same condition, and takes part of the damage back.

Intervals are those of `nslib.metrics`. ``change`` is the paired difference from the clean clips (`nslib.paired`), on
the clips that both have. It says whether a condition did harm: its interval knows that the clips are the same. Curves
are kept as ``<key>.robustness.parquet`` beside the results, one file an embedding and condition.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nslib import extract, kept, measure, perturb, perturbed, provenance
from nslib import params as parameters
from nslib.bootstrap import MIN_SPEAKERS
from nslib.entrants import Embeddable, Entrant, enter, several
from nslib.errors import BadParameter, NslibError
from nslib.params import Params
from nslib.perturb import CLEAN, GAIN, SHAPED, TELEPHONE, WHITE
from nslib.robustness_scores import scored
from nslib.schema import ROWS, Column, conforming, empty
from nslib.tables import selected
from nslib.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

CONDITIONS: dict[str, tuple[float, ...]] = {
    WHITE: (30.0, 20.0, 10.0, 5.0, 0.0), SHAPED: (30.0, 20.0, 10.0, 5.0, 0.0), TELEPHONE: (float(perturb.RATE),),
    GAIN: (-30.0, -20.0, -10.0, 0.0, 6.0)}
"""Conditions that are asked for by default, with their levels."""

SMOKE: dict[str, tuple[float, ...]] = {WHITE: (0.0,), GAIN: (0.0,)}
"""Those of a smoke run."""

_ROW = {column.name: column for column in ROWS}

COLUMNS: tuple[Column, ...] = (
    *(_ROW[name] for name in ("key", "task", "corpus_kind", "embedding")),
    Column("condition", "str", "", "a name in nslib.perturb.UNITS"),
    Column("level", "float", "of the condition", "how much of it: dB, or Hz; 0 for clean"),
    Column("unit", "str", "", "dB, Hz, or empty"),
    *(_ROW[name] for name in ("probe", "l2", "speaker_norm", "seed", "metric")),
    Column("value", "float", "of the metric", "the score on the changed test clips"),
    *(_ROW[name] for name in ("low", "high", "interval_by")),
    Column("confidence", "float", "", "confidence level of the intervals"),
    Column("change", "float", "share of clips", "right answers, minus those to the same clips when clean"),
    Column("change_low", "float", "share of clips", "lower end of its paired interval"),
    Column("change_high", "float", "share of clips", "upper end of its paired interval"),
    Column("n", "int", "clips", "test clips that were scored"),
    *(_ROW[name] for name in ("n_speakers", "chance")),
    Column("left_out", "int", "clips", "test clips without a score in this condition; notes say why"),
    Column("clipped", "int", "samples", "samples beyond full scale, which were clipped"),
    Column("samples", "int", "samples", "of how many"),
    *(_ROW[name] for name in ("notes", "data_hash", "split_hash", "weights_hash")),
    *(_ROW[name] for name in ("lock_hash", "code_revision", "when")),
)
"""Of the table that `curves` gives."""

_KIND = "robustness"
_CODE = ("paired", "perturb", "perturbed", "robustness_scores")
_SAME = ["task", "embedding", "condition", "level"]

Conditions = Mapping[str, Sequence[float]]


class _Job(NamedTuple):
    """An embedding, its result, and the keys of the conditions that are not kept yet."""

    entrant: Entrant
    row: dict[str, Any]
    answers: pd.DataFrame
    keys: dict[str, str]


def curves(task: str | Path | Task, embeddings: Embeddable | Iterable[Embeddable], *, params: Params | None = None,
           conditions: Conditions | None = None, folder: Path | None = None, progress: bool = True) -> pd.DataFrame:
    """Score the chosen probe of each embedding on changed test clips; what exists already is not computed again.

    Parameters
    ----------
    task : str, path or Task
        As in `nslib.benchmark`, which is run first.
    embeddings : str, path, Embedding, callable, or iterable of these
        As in `nslib.benchmark`.
    params : Params, optional
        Default: from the environment.
    conditions : mapping of str to sequence of float, optional
        Levels of each condition. Default: `CONDITIONS`, in a smoke run `SMOKE`. ``clean`` is always there.
    folder : Path, optional
        Where curves are kept. Default: ``results`` below the reports.
    progress : bool
        Progress bars on stderr.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row an embedding, condition and level. ``attrs["not_run"]`` is a list of dicts, one for
        each embedding that could not be measured: embedding, why, remedy.

    Raises
    ------
    UnknownName
        For an unknown task, embedding or condition; nothing has been computed then.
    BadParameter
        For a level that a condition does not have.

    Examples
    --------
    >>> curves("speaker-hedgewars", ["logmel", "mfcc"]).groupby("condition")["value"].min()    # doctest: +SKIP
    """
    params = params or parameters.load()
    wanted = _wanted(conditions if conditions is not None else SMOKE if params.smoke else CONDITIONS)
    entrants = {entrant.name: entrant for entrant in map(enter, several(embeddings, ()))}
    found = measure.benchmark(several(embeddings, ()), task, params=params, progress=progress)
    not_run = found.not_run[["embedding", "why", "remedy"]].to_dict("records")
    jobs: list[_Job] = []
    known: list[pd.DataFrame] = []
    for row in selected(found.rows).to_dict("records"):
        keys = {c: _key(row["key"], c, levels, found.clips) for c, levels in wanted.items()}
        there = {c: frame for c, key in keys.items() if (frame := kept.find(key, _KIND, COLUMNS, folder)) is not None}
        answers = found.predictions[found.predictions["key"] == row["key"]]
        known += there.values()
        jobs.append(_Job(entrants[row["embedding"]], row, answers, {c: k for c, k in keys.items() if c not in there}))
    known += _computed([job for job in jobs if job.keys], wanted, found.clips, not_run, folder, progress)
    table = _in_order(known, [job.entrant.name for job in jobs], list(wanted))
    table.attrs["not_run"] = not_run
    return table


def _in_order(known: list[pd.DataFrame], embeddings: list[str], conditions: list[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.concat([empty(COLUMNS), *known], ignore_index=True)
    turn = {"_e": table["embedding"].map(embeddings.index), "_c": table["condition"].map(conditions.index)}
    ordered = table.assign(**turn).sort_values(list(turn), kind="stable", ignore_index=True)
    return ordered.drop(columns=list(turn))


def load(folder: Path | None = None, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Curves that were kept.

    Parameters
    ----------
    folder : Path, optional
        Default: ``results`` below the reports.
    rows : DataFrame, optional
        Of a benchmark (`nslib.schema.ROWS`): only curves of its very results are taken, and those of a smoke run, or
        of other recordings, are not.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, the newest of each task, embedding, condition and level; without rows if there are none.

    Warns
    -----
    UserWarning
        For a file that cannot be read and was left out.
    """
    import pandas as pd

    paths = sorted(kept.place("0", _KIND, folder).parent.glob(f"*.{_KIND}.parquet"))
    found = (kept.find(path.name.split(".")[0], _KIND, COLUMNS, folder) for path in paths)
    table = pd.concat([empty(COLUMNS), *(frame for frame in found if frame is not None)], ignore_index=True)
    if rows is not None:
        same = ["task", "embedding", "data_hash", "split_hash", "weights_hash", "probe", "l2", "speaker_norm", "seed"]
        table = table.merge(selected(rows)[same].drop_duplicates())
    newest = table.sort_values(["when", "key"], kind="stable").drop_duplicates(_SAME, keep="last")
    return newest.sort_values(_SAME, kind="stable", ignore_index=True)


def cheapest(clips: pd.DataFrame) -> str:
    """Name the task on which curves cost least and still have intervals by speaker.

    Parameters
    ----------
    clips : DataFrame
        Of one or more tasks: columns task, split, speaker and seconds, as in `nslib.findings.Results.clips`.

    Returns
    -------
    str
        Of the tasks with `MIN_SPEAKERS` known speakers in the test, that with the least test audio; of all tasks, if
        no test has as many.

    Raises
    ------
    BadParameter
        If there are no test clips.
    """
    test = clips[clips["split"] == "test"] if len(clips) else clips
    if not len(test):
        raise BadParameter("there are no test clips, so there is no task to choose.")
    facts = test.groupby("task").agg(people=("speaker", "nunique"), unknown=("speaker", lambda s: (s == "").any()),
                                     seconds=("seconds", "sum"))
    enough = (facts["people"] >= MIN_SPEAKERS) & ~facts["unknown"].astype(bool)
    return str((facts[enough] if enough.any() else facts)["seconds"].idxmin())


def _wanted(conditions: Conditions) -> dict[str, tuple[float, ...]]:
    given = {CLEAN: (0.0,)} | {name: tuple(map(float, levels)) for name, levels in conditions.items()}
    for name, levels in given.items():
        if not levels or len(set(levels)) < len(levels):
            raise BadParameter(f"{name} needs levels, each once; got {levels}.")
        for level in levels:
            perturb.refuse_unknown(name, level)
    return given


def _key(result: str, condition: str, levels: Sequence[float], clips: pd.DataFrame) -> str:
    code = [hashlib.sha256(Path(__file__).with_name(f"{name}.py").read_bytes()).hexdigest() for name in _CODE]
    # Noise is drawn by the clip's name, which the hash of a split does not hold.
    named = sorted(zip(clips["clip_id"].astype(str), clips["sha256"].astype(str), strict=True))
    made_of = [result, condition, list(levels), named, code, provenance.versions(("scipy", "soxr"))]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


def _computed(jobs: list[_Job], wanted: Conditions, clips: pd.DataFrame, not_run: list[dict[str, str]],
              folder: Path | None, progress: bool) -> list[pd.DataFrame]:
    import pandas as pd

    copies, done = _heard(jobs, wanted, clips, progress), []
    for job in jobs:
        mine = [copy for copy in copies if copy.condition in {*job.keys, CLEAN}]
        try:
            found = pd.DataFrame(scored(job.row, job.answers, clips, mine, job.entrant.load()))
        except NslibError as error:
            why, remedy = getattr(error, "why", str(error)), getattr(error, "remedy", "Run the benchmark again.")
            not_run.append({"embedding": job.entrant.name, "why": why, "remedy": remedy})
            continue
        done += [_keep(found[found["condition"] == c], key, folder) for c, key in job.keys.items()]
    return done


def _keep(rows: pd.DataFrame, key: str, folder: Path | None) -> pd.DataFrame:
    table = conforming(rows.assign(key=key, **provenance.provenance()), COLUMNS)
    kept.write(kept.place(key, _KIND, folder), table)
    return table


def _heard(jobs: list[_Job], wanted: Conditions, clips: pd.DataFrame, progress: bool) -> list[perturbed.Copies]:
    """Make each copy of the test set once, have all embeddings hear it, and delete its files: the vectors stay."""
    from tqdm.std import tqdm

    for job in jobs:
        extract.fill(clips, job.entrant.load(), progress=progress)
    test, needed = clips[clips["split"] == "test"], {c for job in jobs for c in job.keys} - {CLEAN}
    taps = perturbed.mean_spectrum(clips[clips["split"] == "train"]) if SHAPED in needed else None
    steps = [(c, level) for c, levels in wanted.items() if c in needed for level in levels]
    found = [perturbed.Copies(CLEAN, 0.0, test, test[:0])]
    for condition, level in tqdm(steps, "conditions", unit="copy", disable=not progress):
        with tempfile.TemporaryDirectory(dir=parameters.cache_dir("perturbed")) as place:
            copy = perturbed.copies(test, condition, level, Path(place), seed=jobs[0].row["seed"], taps=taps)
            for job in jobs if len(copy.clips) else ():
                if condition in job.keys:
                    extract.fill(copy.clips, job.entrant.load(), progress=False)
        found.append(copy)
    return found
