"""Protocols beyond the plain one: the same vectors, probes and columns, other ways to divide the clips.

They are defined in `nslib.evaluation.divisions`. All take the kit's tasks and recordings of your own, whose vectors are
computed once. As in a benchmark, ``params.transductive`` decides where the z-score by speaker may be chosen: unless it
is asked for, not where nearly every speaker, of cross-corpus of either corpus, has one label, which it removes.

Rows (`nslib.evaluation.results.PROTOCOL_ROWS`) are of a split and all its speakers (one a probe and normalisation, the
choice marked ``selected``), of a split and one speaker, and over all splits (empty ``split_number`` and ``speaker``),
once for what was chosen on validation and once for the best on test; of folds, of what was chosen only. Metrics that
were asked for beside the first have rows of the choice. Answers have one row a tested clip and split. A result is kept
as ``<key>.answers.parquet`` and, last, ``<key>.protocol.parquet``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.std import tqdm

from nslib import config
from nslib.datasets import splits
from nslib.datasets.table import Dataset
from nslib.datasets.tasks import Task, choose_task_names, get_task
from nslib.embeddings import runtime
from nslib.errors import BadParameter, NslibError, Unavailable, refuse_unknown
from nslib.evaluation import benchmark, divisions, results
from nslib.evaluation.benchmark import Embeddable, EmbeddingSpec, Measure
from nslib.evaluation.divisions import (
    BY_CLIP,
    CROSS_CORPUS,
    K_FOLD,
    K_SHOT,
    LEAVE_ONE_SPEAKER_OUT,
    REPEATED,
    SWITCH,
    WITHIN_SPEAKER,
    TaskVectors,
    make_task_vectors,
    make_test,
)
from nslib.evaluation.results import PROTOCOL_ANSWERS, PROTOCOL_ROWS, PROTOCOL_TABLES, ResultsBuilder, check_table
from nslib.statistics import scores
from nslib.statistics.comparisons import HOLDS, REFUTED, UNDECIDED, match_answers, pair_matched
from nslib.statistics.intervals import Difference

__all__ = ["CROSS_CORPUS", "K_FOLD", "K_SHOT", "LEAVE_ONE_SPEAKER_OUT", "PROTOCOLS", "REPEATED", "SWITCH",
           "WITHIN_SPEAKER", "TaskVectors", "average_by_speaker", "join_protocols", "load_protocols",
           "make_task_vectors", "make_test", "pick_settings", "run_one", "run_protocol", "summarise"]

# Raise it whenever a score, an interval or an answer of a protocol can move: it is part of the key of every result.
# Golden values in tests/evaluation/test_protocols.py hold it. What the grid decides has a version of its own.
PROTOCOLS_VERSION = 1

# unless others are asked for: two of the five, because some protocols fit hundreds of times; () are those of the task
FAST_PROBES = ("LogisticRegression", "LDA_LSQR_AUTO")

_DEFAULTS: dict[str, dict[str, Any]] = {
    WITHIN_SPEAKER: {"split_numbers": (splits.CANONICAL_SPLIT_NUMBER, 0, 1, 2, 3), "probes": FAST_PROBES, "shots": 0,
                     "probabilities": (0.6, 0.2, 0.2)},
    LEAVE_ONE_SPEAKER_OUT: {"probes": (), "speaker_norm": True},
    K_FOLD: {"folds": 5, "probes": (), "speaker_norm": True},
    CROSS_CORPUS: {"train": None, "labels": (), "probes": (), "speaker_norm": True},
    K_SHOT: {"shots": (1, 2, 4, 8, 16, 32), "draws": 5, "probes": FAST_PROBES, "speaker_norm": True},
    REPEATED: {"seeds": tuple(range(10)), "probabilities": None, "probes": FAST_PROBES},
    SWITCH: {"shots": 8, "draws": 5, "probes": FAST_PROBES}}
_SMOKE: dict[str, dict[str, Any]] = {
    WITHIN_SPEAKER: {"split_numbers": (splits.CANONICAL_SPLIT_NUMBER, 0)}, REPEATED: {"seeds": (0, 1)},
    SWITCH: {"draws": 2}, K_SHOT: {"draws": 2, "shots": (1, 4)}, LEAVE_ONE_SPEAKER_OUT: {"probes": FAST_PROBES},
    K_FOLD: {"probes": FAST_PROBES}, CROSS_CORPUS: {"probes": FAST_PROBES}}
# of what kind a setting is, where its default does not tell
_EXAMPLES = {"labels": (("angry", "anger"),), "probes": FAST_PROBES, "probabilities": (0.6, 0.2, 0.2)}

PROTOCOLS = tuple(_DEFAULTS)
"""Names of all protocols."""

AnyTask = str | Path | Task

_COMPUTE: dict[str, Callable[..., divisions.Computed]] = {
    WITHIN_SPEAKER: divisions.compute_within_speaker, REPEATED: divisions.compute_repeated,
    SWITCH: divisions.compute_switch,
    LEAVE_ONE_SPEAKER_OUT: lambda data, **options: divisions.compute_folds(data, folds=0, **options),
    K_FOLD: divisions.compute_folds, CROSS_CORPUS: divisions.compute_cross_corpus, K_SHOT: divisions.compute_k_shot}


@config.explain_failures()
def run_protocol(protocol: str, embeddings: Embeddable | Iterable[Embeddable] | None = None,
                 tasks: AnyTask | Iterable[AnyTask] | None = None, params: config.Params | None = None, *,
                 splits: str | Path | None = None, metric: str | Sequence[str] | None = None,
                 progress: bool = True, **settings: Any) -> ProtocolResults:
    """Run a protocol for embeddings on tasks; what exists already is not computed again.

    Parameters are as in `nslib.benchmark`, by default those tasks of `params` that are also asked within speakers,
    which is defined for accuracy. Settings, a smoke run drawing two splits unless told otherwise:

    - ``probes``: by default those of the task (leave-one-speaker-out, k-fold, cross-corpus), else regression and
      discriminant analysis; ``speaker_norm`` (of these three, and k-shot): whether the z-score by speaker may be chosen
    - within-speaker: ``split_numbers``, seeds of the splits (666, which the authors call canonical, and 0 to 3);
      ``shots``, cap on the training clips of a label of a speaker, the first as drawn, so that a smaller cap keeps a
      subset (0: all); ``probabilities``, shares of train, validation and test of a speaker's clips (0.6, 0.2, 0.2)
    - k-fold: ``folds`` (5)
    - cross-corpus: ``train``, the task or recordings to learn from (required); ``labels``, a label, maybe as
      ``CORPUS/LABEL``, to its name in both corpora, for those that are renamed
    - k-shot: ``shots``, training clips of a class (1, 2, 4, 8, 16, 32); ``draws``, how often they are drawn (5)
    - repeated: ``seeds``, one a split (0 to 9); ``probabilities``, shares of the *speakers* (as in the task's split)
    - switch: ``shots``, training clips of a class in the two few-shot protocols (8); ``draws``, how often (5)

    UnknownName or BadParameter for an unknown protocol, setting, probe, task or embedding, or no probe; nothing has
    been computed then. A pair that cannot be run is in ``not_run``, and the others go on.
    """
    params = params or config.load_params()
    runtime.count_jobs()  # what is wrong is said before any work
    settings, ask = _complete_settings(protocol, settings, params, metric)
    specs = benchmark.specify_embeddings(embeddings, params)
    builder, pairs, taken = ResultsBuilder(), [], dict[str, Any]()
    wanted = benchmark.list_given(tasks, [name for name in choose_task_names(params) if get_task(name).within_speaker])
    if not wanted:
        builder.notes.append("None of the tasks of this run is asked within speakers.")

    def load(given: Any, splits: str | Path | None = None) -> list[tuple[Task, Dataset]]:
        return ask.apply(benchmark.load_tasks(given, params, specs, builder, progress, splits, numbers=ask.numbers,
                                              taken=taken))

    ready = load(wanted, splits) if wanted else []
    if protocol in (LEAVE_ONE_SPEAKER_OUT, K_FOLD):  # they have no use for the split
        builder.notes = [note for note in builder.notes if " were drawn into the splits " not in note]
    learn = load([settings["train"]]) if ready and "train" in settings else []
    if "train" in settings and not learn:
        ready = []  # of which the reason is among what was not run
    for spec in benchmark.find_usable(specs, ready, builder):
        heard: list[TaskVectors] = []
        for task, corpus in ready:
            try:
                heard = heard or [_have_vectors(*one, spec, builder, progress) for one in learn]
                given = settings | ({"train": heard[0]} if heard else {})
                pairs.append(_run_pair(protocol, task, corpus, spec, given, builder, progress))
            except NslibError as error:
                builder.refuse(task.name, spec.name, error)
    return _make_results(pairs, builder)


def run_one(protocol: str, embedding: Embeddable | TaskVectors, task: AnyTask | None = None, *,
            params: config.Params | None = None, progress: bool = True, **settings: Any) -> ProtocolResults:
    """Run one embedding on one task, settings as of `run_protocol`; what it would put into ``not_run`` is raised.

    `TaskVectors` bring their task. If it cannot be run, Unavailable says why and what to do.

    >>> run_one("leave-one-speaker-out", "mfcc", "my_recordings/").compare()    # doctest: +SKIP
    """
    if isinstance(embedding, TaskVectors):
        if task is not None:
            raise BadParameter("TaskVectors bring their own task; leave the task out.")
        metric = settings.pop("metric", None)
        settings, ask = _complete_settings(protocol, settings, params or config.load_params(), metric)
        data = dataclasses.replace(embedding, task=ask.replace(embedding.task))
        return _make_results([_run_vectors(protocol, data, settings, progress)], ResultsBuilder())
    if task is None:
        raise BadParameter("give a task: a name, a folder or list of recordings, or a Task.")
    outcome = run_protocol(protocol, embedding, task, params, progress=progress, **settings)
    for row in outcome.not_run.itertuples():
        raise Unavailable(f"{protocol} of {row.embedding} on {row.task}", str(row.why), str(row.remedy))
    return outcome


def pick_settings(protocol: str, given: Mapping[str, Any], among: Sequence[str]) -> dict[str, Any]:
    """Of settings for several protocols, those of one, checked, as tuples; what is a setting of none is refused."""
    refuse_unknown("protocol", protocol, _DEFAULTS)
    known, others = _DEFAULTS[protocol], {name for other in among for name in _DEFAULTS.get(other, {})}
    picked = {k: value for k, value in given.items() if value is not None and (k in known or k not in others)}
    refuse_unknown(f"setting of {protocol}", picked, known)
    for name, value in picked.items():
        example = _EXAMPLES.get(name, known[name])
        if isinstance(example, tuple):  # one number is a list of one, and text is names with commas
            picked[name] = tuple(sorted(value.items()) if isinstance(value, Mapping) else [value] if isinstance(
                value, int | float) else value.split(",") if isinstance(value, str) else value)
        if name != "train" and picked[name] is not known[name] and not _is_like(picked[name], example):
            raise BadParameter(f"{name} of {protocol} is {value!r}; allowed are values such as "
                               f"{json.dumps(dict(example) if name == 'labels' else example)} (numbers: 0 or more).")
    return picked


def _is_like(given: Any, example: Any) -> bool:
    """Whether it is of the kind of an example: a tuple of some of its kind, text, or a number of 0 or more."""
    if isinstance(example, tuple):
        return isinstance(given, tuple) and given != () and all(_is_like(one, example[0]) for one in given)
    return type(given) in (type(example), int if isinstance(example, float) else None) and given >= type(example)()


def _complete_settings(protocol: str, given: dict[str, Any], params: config.Params,
                       metric: str | Sequence[str] | None) -> tuple[dict[str, Any], Measure]:
    """All settings of a protocol, checked, and the metrics; probes as given or the usual."""
    given = pick_settings(protocol, given, ())
    settings = _DEFAULTS[protocol] | (_SMOKE[protocol] if params.smoke else {}) | given | {"seed": params.seed}
    if settings.get("train", "") is None:
        raise BadParameter(f"{protocol} needs train, the task or recordings to learn from.")
    settings["probes"] = Measure.of(metric, given["probes"]).probes if "probes" in given else _Usual(settings["probes"])
    if protocol not in (WITHIN_SPEAKER, SWITCH):  # which try no z-score by speaker
        asked = given.get("speaker_norm", params.transductive)
        settings |= {None: {"choose_speaker_norm": False}, False: {"speaker_norm": False}, True: {}}[asked]
    return settings, Measure.of(metric, None)


class _Usual(tuple[str, ...]):
    """Probes that nobody asked for: those of the task take their place where these are none, or do not fit."""


def _have_vectors(task: Task, corpus: Dataset, spec: EmbeddingSpec, builder: ResultsBuilder,
                  progress: bool) -> TaskVectors:
    """Vectors of a task, stored or computed."""
    out = spec.vectors(corpus.clips, progress=progress)
    builder.add_problems(task.name, spec.name, out.problems)
    made = make_task_vectors(task, out.clips, out.vectors, embedding=spec.name, fingerprint=spec.fingerprint,
                             listed=corpus.clips)
    return dataclasses.replace(made, notes=out.notes)


def _run_pair(protocol: str, task: Task, corpus: Dataset, spec: EmbeddingSpec, settings: dict[str, Any],
              builder: ResultsBuilder, progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and answers of one embedding on one task: stored ones, else computed from its vectors."""
    key = _make_key(protocol, task, spec.name, corpus.clips, spec.fingerprint, settings)
    return results.find_result(key, tables=PROTOCOL_TABLES) or _run_vectors(
        protocol, _have_vectors(task, corpus, spec, builder, progress), settings, progress)


def _run_vectors(protocol: str, data: TaskVectors, settings: dict[str, Any],
                 progress: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and answers of vectors: stored ones, else computed and stored."""
    task, clips = data.task, data.clips
    key = _make_key(protocol, task, data.embedding, clips, data.fingerprint, settings, data.listed)
    if (stored := results.find_result(key, tables=PROTOCOL_TABLES)) is not None:
        return stored
    options = _fit_to_task(task, settings)
    if protocol != WITHIN_SPEAKER:
        options |= {"metric": task.metric, "also": task.also}
    if "speaker_norm" in options:
        options["speaker_norm"] &= not task.speaker_is_label
    with tqdm(desc=f"{protocol} {task.name} x {data.embedding}", unit="step", disable=not progress, leave=False) as bar:
        computed = _COMPUTE[protocol](data, **options, progress=bar.update)
    names = {"key": key, "task": task.name, "embedding": data.embedding}
    origin = {"corpus_kind": task.kind, "data_hash": splits.hash_data(clips), "split_hash": splits.hash_split(clips),
              "weights_hash": data.fingerprint, **config.describe_origin(),
              "notes": "\n".join((*data.notes, *computed.notes))}
    answers = check_table(computed.answers.assign(**names), PROTOCOL_ANSWERS)
    rows = check_table(computed.rows.assign(**names, **origin), PROTOCOL_ROWS)
    results.save_result(rows, answers, tables=PROTOCOL_TABLES)
    return rows, answers


def _fit_to_task(task: Task, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with what depends on the tasks where nobody asked: the usual probes, the z-score by speaker."""
    tasks = [task, *([settings["train"].task] if "train" in settings else [])]
    removed = any(one.speaker_has_label and not one.speaker_is_label for one in tasks)
    fitted = {name: value for name, value in settings.items() if removed or name != "choose_speaker_norm"}
    if isinstance(fitted["probes"], _Usual):
        fitted["probes"] = benchmark.choose_probes(task, fitted["probes"])
    return fitted


def _make_key(protocol: str, task: Task, embedding: str, clips: pd.DataFrame, fingerprint: str,
              settings: Mapping[str, Any], listed: Sequence[tuple[str, str]] | None = None) -> str:
    """Key of a result. The names of clips count, because splits are drawn among them; the order of rows does not."""
    recordings = sorted(zip(clips["clip_id"].astype(str), clips["sha256"].astype(str), strict=True))
    decides = {**_fit_to_task(task, settings), "protocol": protocol, "version": PROTOCOLS_VERSION,
               "recordings": recordings, "listed": listed or divisions.list_clips(clips)}
    if "train" in settings:
        decides["train"] = settings["train"].describe()
    if (metrics := (task.metric, *task.also)) != ("accuracy",):
        decides["metrics"] = metrics
    return results.make_key(task=task.name, embedding=embedding, data_hash=splits.hash_data(clips),
                            split_hash=splits.hash_split(clips), weights_hash=fingerprint, settings=decides)


def _make_results(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]], builder: ResultsBuilder) -> ProtocolResults:
    """Put everything together, with the notes of the rows."""
    for rows, _ in pairs:
        builder.notes += [f"{rows['task'].iloc[0]}: {note}" for note in rows["notes"].iloc[0].splitlines()]
    rows, answers = ([pair[i] for pair in pairs] for i in range(2))
    rest, joined = builder.results(), results.join_tables(rows, PROTOCOL_ROWS)
    notes = [*rest.notes, *results.describe_layers(_take_validation(summarise(joined)), rest.layers)]
    return ProtocolResults(joined, results.join_tables(answers, PROTOCOL_ANSWERS), rest.not_run, rest.problems, notes,
                           rest.layers)


@dataclass(frozen=True)
class ProtocolResults:
    """What a protocol gives."""

    rows: pd.DataFrame  # scores, as in nslib.evaluation.results.PROTOCOL_ROWS
    answers: pd.DataFrame  # of the chosen probes to test clips, as in PROTOCOL_ANSWERS
    not_run: pd.DataFrame  # task, embedding, why, remedy
    problems: pd.DataFrame  # clips that were left out: task, embedding, clip_id, audio, reason, remedy
    notes: list[str]  # sentences that a reader of the numbers must know
    layers: dict[str, str] = dataclasses.field(default_factory=dict)  # names of layers of one model, to that model

    def summary(self, protocol: str | None = None, shots: int | None = None) -> pd.DataFrame:
        """Return one row a task, embedding and protocol: see `summarise`."""
        return summarise(self.rows, protocol, shots)

    def compare(self) -> pd.DataFrame:
        """Set all protocols below each other, a column an embedding, with sizes of train and test (means of splits)."""
        chosen = self.summary()
        asked = _take_validation(chosen)
        best = results.choose_layers(asked, self.layers)
        return results.spread_scores(chosen, {"task": chosen["task"], "protocol": _name_protocols(chosen)}, {
            "trained on": [f"{n} clips" for n in chosen["n_train"]],
            "tested on": [results.count_tested(*one) for one in zip(chosen["n"], chosen["n_speakers"], strict=True)],
        }, [results.BEST_LAYER if best.get(one) else "" for one in zip(asked["task"], asked["embedding"], strict=True)])

    def table(self, protocol: str = WITHIN_SPEAKER) -> pd.DataFrame:
        """Make the table to read, as `nslib.evaluation.results.table`; without rows if there are no results.

        Of within-speaker and k-shot are the results without a cap on training clips. BadParameter for by-clip, which is
        no result.
        """
        if protocol.startswith(BY_CLIP):
            raise BadParameter("a split by clip is no result: it is shown by nslib.figures.protocol_switch, beside "
                               "one.")
        chosen = summarise(self.rows, protocol, 0 if protocol in (WITHIN_SPEAKER, K_SHOT) else None)
        both = pd.concat([chosen.assign(split="test"), _take_validation(chosen).assign(task=chosen["task"])])
        return results.table(both, self.layers) if len(chosen) else chosen[["metric", "chance"]]

    def against(self, baselines: Sequence[str], *, shots: int = 0, seed: int = 0) -> pd.DataFrame:
        """Tell whether each other embedding beats the best of some baselines within speakers.

        On each task the baseline with the highest *validation* score counts: the best on test would be a baseline that
        had seen the answers. Columns: ``task, embedding, baseline, diff, low, high, by, verdict``. The verdict ("it
        beats the baseline") is ``holds`` if the whole interval of the paired difference lies above 0, ``does not hold``
        if it lies below, else ``undecided``.
        """
        chosen = summarise(self.rows, WITHIN_SPEAKER, shots)
        newest = self.answers[self.answers["key"].isin(chosen["key"])]
        compared = []
        for task, part in chosen.groupby("task", sort=False):
            known = part[part["embedding"].isin(list(baselines))]
            baseline = str(known.loc[known["validation"].idxmax(), "embedding"]) if len(known) else ""
            for name in part["embedding"][~part["embedding"].isin(list(baselines))] if baseline else ():
                gap = difference(newest, str(task), str(name), baseline, shots=shots, seed=seed)
                verdict = HOLDS if gap.low > 0 else REFUTED if gap.high < 0 else UNDECIDED
                compared.append({"task": task, "embedding": name, "baseline": baseline, **gap._asdict(),
                                 "verdict": verdict})
        return pd.DataFrame(compared, columns=["task", "embedding", "baseline", *Difference._fields, "verdict"])


def join_protocols(parts: Sequence[ProtocolResults]) -> ProtocolResults:
    """Put the results of several protocols together."""
    tables = {name: pd.concat([getattr(part, name) for part in parts], ignore_index=True)
              for name in ("rows", "answers", "not_run", "problems")}
    return ProtocolResults(**tables, notes=list(dict.fromkeys(note for part in parts for note in part.notes)),
                           layers={name: model for part in parts for name, model in part.layers.items()})


def _name_protocols(chosen: pd.DataFrame) -> list[str]:
    """Name the protocol of each row as a reader shall see it."""
    return [f"{name} {shots or 'all'}" if name == K_SHOT else f"{name} (no result)" if name.startswith(BY_CLIP)
            else name for name, shots in zip(chosen["protocol"], chosen["shots"], strict=True)]


def _take_validation(chosen: pd.DataFrame) -> pd.DataFrame:
    """The same rows with their scores on validation, of tasks that are named with the protocol."""
    names = [f"{task}: {name}" for task, name in zip(chosen["task"], _name_protocols(chosen), strict=True)]
    return chosen.assign(split="validation", value=chosen["validation"], task=names)


def load_protocols(folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read all stored results of protocols, rows and answers, as `nslib.evaluation.results.load_results` does."""
    return results.load_results(folder, PROTOCOL_TABLES)


def summarise(rows: pd.DataFrame, protocol: str | None = None, shots: int | None = None) -> pd.DataFrame:
    """Select the scores over all splits and speakers of what was chosen on validation, the newest of several runs.

    One row a task, embedding, protocol, shots (cap on training clips, 0: none) and metric, in order of appearance; only
    of one `protocol` and `shots` if they are given.
    """
    chosen = rows[(rows["split_number"] == "") & (rows["speaker"] == "") & rows["selected"] & rows["value"].notna()]
    for column, asked in (("protocol", protocol), ("shots", shots)):
        chosen = chosen if asked is None else chosen[chosen[column] == asked]
    return scores.keep_newest(chosen, ["task", "embedding", "protocol", "shots", "metric"])


def average_by_speaker(rows: pd.DataFrame, shots: int = 0) -> pd.DataFrame:
    """Average the within-speaker score and chance of each speaker over split numbers, with that cap on shots."""
    keys = summarise(rows, WITHIN_SPEAKER, shots)["key"]
    each = rows[rows["key"].isin(keys) & (rows["speaker"] != "")].groupby(["task", "embedding", "speaker"], sort=False)
    return each.agg(value=("value", "mean"), chance=("chance", "mean"), splits=("value", "size")).reset_index()


def difference(answers: pd.DataFrame, task: str, first: str, second: str, *, protocol: str = WITHIN_SPEAKER,
               shots: int = 0, seed: int = 0) -> Difference:
    """Compute the paired difference of two embeddings, first minus second, on what both have answered last."""
    mine = answers[(answers["task"] == task) & (answers["protocol"] == protocol) & (answers["shots"] == shots)]
    parts = []
    for name in (first, second):
        part = mine[mine["embedding"] == name]
        if part.empty:
            raise BadParameter(f"{name} has no {protocol} answers on {task}.")
        parts.append(part[part["key"] == part["key"].iloc[-1]])
    matched = match_answers(*parts)
    if matched.empty:
        raise BadParameter(f"{first} and {second} have answered no clip of {task} in common.")
    return pair_matched(matched, "speakers" if protocol == WITHIN_SPEAKER else "splits", seed=seed).at()
