"""Run embeddings on tasks, and embed recordings: the two verbs of the kit.

Everything is reached from here in one direction: tasks -> clips -> vectors -> probes -> results. Vectors and results
that exist already are used again, so both verbs can be called freely from notebooks, and a run that was interrupted
goes on where it was.

What a run takes: GB are of a thousand million bytes. Memory is counted array by array; what is small beside them is
not. Time is that of extraction from what an embedding took on this machine before, or from a trial on noise, and that
of probes from counts of arithmetic and the speed of a matrix product; right within a factor of three, which is enough
to tell minutes from days.

How sure the chosen probe was: results do not keep its probabilities on the test clips. They are had again by fitting
it once more, on the same train clips, from stored vectors. If an answer then differs from the stored one, the result is
of other code or other vectors: nothing is said of it. Tables are kept beside the results, as
``<key>.confidence.parquet``.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nslib import config, embeddings
from nslib.config import Params
from nslib.datasets import card, folder, layouts, loading, noss_sources
from nslib.datasets import splits as datasets_splits
from nslib.datasets import tasks as datasets_tasks
from nslib.datasets.tasks import Task
from nslib.embeddings import runtime
from nslib.embeddings.base import JOIN, Embedding
from nslib.embeddings.downloads import fetch_address
from nslib.embeddings.files import parse_options
from nslib.embeddings.interfaces import find_interface, load_model
from nslib.embeddings.registry import find_info, find_model, outline
from nslib.errors import BadParameter, NslibError, Unavailable, UnknownName
from nslib.evaluation import probe, results
from nslib.evaluation.classifiers import CLASSIFIERS
from nslib.evaluation.probe import LabelledVectors
from nslib.evaluation.results import Columns, Results, ResultsBuilder
from nslib.extraction import cache as extraction_cache
from nslib.extraction import cluster as extraction_cluster
from nslib.extraction import devices, extract, precomputed
from nslib.extraction.cache import VectorCache
from nslib.extraction.extract import Extraction
from nslib.extraction.precomputed import Precomputed
from nslib.statistics import scores
from nslib.statistics.scores import CHOSEN_BY_FOLD, select_scores

if TYPE_CHECKING:
    import pandas as pd

    from nslib.datasets.table import Dataset

__all__ = ["SMOKE_PROBES", "benchmark", "default_embeddings", "embed", "find_confidence", "label_vectors",
           "load_confidence", "load_embedding", "specify_embedding"]

Embeddable = str | Path | Embedding | Callable[..., Any] | Any

# A smoke run checks the path with what is quick to load and to fit; its numbers mean nothing.
SMOKE_EMBEDDINGS = ("logmel", "mfcc", "trill-mini-top", "speech-embedding")
SMOKE_PROBES = ("LogisticRegression", "LDA_LSQR_AUTO")

LONG_SECONDS = 600.0  # a run that will take longer says so before it starts

CONFIDENCE: Columns = {**results.PREDICTIONS, "confidence": "float", "brier": "float"}
_CONFIDENCE = "confidence"

_TRIAL_SECONDS = 20.0
_TRIED: dict[str, float] = {}  # fingerprint to seconds of noise in a second
_ITERATIONS, _TREES = 100, 100
# of a tree, by clip, level and candidate dimension, on one core: 1.0 to 1.5e-8 at five sizes (benchmarks/estimates.py)
_SECONDS_PER_SPLIT = 1.2e-8


@config.explain_failures()
def benchmark(
    embeddings: Embeddable | Iterable[Embeddable] | None = None,
    tasks: str | Path | Task | Iterable[str | Path | Task] | None = None,
    *,
    params: Params | None = None,
    name: str | None = None,
    splits: str | Path | None = None,
    metric: str | Sequence[str] | None = None,
    probes: str | Sequence[str] | None = None,
    progress: bool = True,
    cluster: Any = None,
) -> Results:
    """Measure embeddings on tasks; documented as `nslib.benchmark`."""
    params = params or config.load_params()
    runtime.count_jobs()  # what is wrong is said before any work
    specs = specify_embeddings(embeddings, params, name)
    builder, ask = ResultsBuilder(), Measure.of(metric, probes)
    ready = ask.apply(load_tasks(tasks, params, specs, builder, progress, splits, numbers=ask.numbers))
    usable = join_outputs(find_usable(specs, ready, builder))
    if progress:
        _announce(ready, usable, params)
    with extraction_cluster.connect(cluster) as engine, extract.share_decoded():
        for spec in usable:
            for task, corpus in ready:
                try:
                    with config.explain_failures():
                        rows, predictions, problems = _run_pair(task, corpus, spec, params, engine, progress)
                except NslibError as error:  # notes that name an option tell what can be done
                    error.args = (" ".join([str(error), *(note for note in corpus.notes if " --" in note)]),)
                    builder.refuse(task.name, spec.name, error)
                    continue
                builder.add_problems(task.name, spec.name, problems)
                builder.add_scores(spec.name, spec.ledger or spec.fingerprint, rows, predictions)
                if task.name in [part.strip() for part in spec.overlap.split(",")]:
                    builder.notes.append(f"{task.name}: {spec.name}: It was trained on recordings of this corpus, as "
                                         "its record says: they are not unheard.")
    return builder.results()


@config.explain_failures()
def embed(source: str | Path, embedding: Embeddable = "logmel", *, progress: bool = True,
          cluster: Any = None) -> pd.DataFrame:
    """Embed recordings; documented as `nslib.embed`."""
    import pandas as pd

    spec = specify_embedding(embedding)
    corpus = folder.read_recordings(source, progress=progress)
    with extraction_cluster.connect(cluster) as engine:
        out = spec.vectors(corpus.clips, progress=progress, run=engine.run(spec.recipe))
    table = out.clips.assign(vector=list(out.vectors))
    problems = pd.concat([corpus.problems, out.problems], ignore_index=True)
    table.attrs |= {"problems": problems.to_dict("records"), "notes": [*corpus.notes, *out.notes]}
    return table


# ------------------------------------------------------------------ embeddings

@dataclass(frozen=True)
class EmbeddingSpec:
    """An embedding that takes part, loaded only when a vector must be computed."""

    name: str  # as shown in tables
    load: Callable[[], Embedding]  # a published model is fetched for it; a built-in network loads when it is first used
    recipe: Callable[[], extraction_cluster.Recipe]  # gives how a worker of a cluster loads it
    given: Precomputed | None = None  # its vectors, if they come from a file
    own: bool = True  # somebody's, and not the kit's
    overlap: str = ""  # as of `nslib.embeddings.base.Embedding`, as is the next
    output: str = ""
    joined: str = ""  # the built-in name of all outputs of its model that take part, if there are several
    ledger: str = ""  # of a layer: the fingerprint of the model that gives all of them, under which costs are noted

    @property
    def fingerprint(self) -> str:
        """As of `nslib.embeddings.base.Embedding.fingerprint`."""
        return self.load().fingerprint

    def vectors(self, clips: pd.DataFrame, **options: Any) -> Extraction:
        """Return one vector a clip: read from its file, or of `extract_vectors`, with its options."""
        if self.given:
            return self.given.extraction(clips)
        return extract.extract_vectors(clips, self.load(), own=self.own, **options)


def specify_embedding(given: Embeddable, name: str | None = None) -> EmbeddingSpec:
    """Make a specification (name, ``load()``, ``vectors(clips)``) of whatever can become an embedding.

    ``given`` is a built-in name; a model's folder, ``.tflite`` or ``.onnx`` file, or address on TF Hub, maybe with
    options of `nslib.embeddings.from_file` behind (``model.tflite?window=0.96&hop=0.48``); what `from_model` takes, or
    ``transformers:NAME?layer=3``; a file of vectors (`nslib.extraction.precomputed`); a record; a function. ``name`` is
    how to call a file or a function in tables. UnknownName or BadParameter for anything else.
    """
    if find_interface(given):
        model, options = load_model(given) if isinstance(given, str) else (given, {})
        given = embeddings.from_model(model, name, **options)
    if isinstance(given, list):
        raise BadParameter(f"these are {len(given)} embeddings, as of layer=all; here one is wanted, as layer=1.")
    if isinstance(given, str | Path):
        return _specify_named(given, name)
    name = name or str(getattr(given, "__name__", type(given).__name__))
    return _specify_loaded(given if isinstance(given, Embedding) else embeddings.from_callable(given, name=name))


def specify_embeddings(given: Any, params: Params | None = None, name: str | None = None) -> list[EmbeddingSpec]:
    """Specify one or many, or those of a run; of one name and not the same, later ones are numbered, and say so."""
    usual = (params.embeddings or default_embeddings(params)) if params else ()
    found = [specify_embedding(one, name) for one in list_given(given, usual)]
    taken = {spec.name: "" for spec in found if not spec.own}  # what is built in keeps its name
    specs: dict[str, EmbeddingSpec] = {}
    for spec in found:
        new = find_name(spec.name, spec.fingerprint if spec.own else "", taken)
        told = spec.output if new == spec.name else "; ".join(filter(None, (f"called {spec.name} too", spec.output)))
        specs.setdefault(new, dataclasses.replace(spec, name=new, output=told))
    return [*specs.values()]


def find_name(name: str, thing: Any, taken: dict[str, Any]) -> str:
    """Find the name of a thing, with a number if another has it, and note it in `taken`."""
    names = chain([name], (f"{name}-{k}" for k in count(2)))
    return next(new for new in names if taken.setdefault(new, thing) == thing)


def _specify_loaded(loaded: Embedding, recipe: extraction_cluster.Recipe | None = None,
                    given: Precomputed | None = None) -> EmbeddingSpec:
    """Specify an embedding that is loaded."""
    whole = loaded.part[0] if loaded.part else loaded
    return EmbeddingSpec(loaded.name, lambda: loaded, lambda: recipe or extraction_cluster.make_recipe(whole), given,
                         overlap=loaded.overlap, output=loaded.output,
                         ledger=whole.fingerprint if loaded.part else "")


def _specify_named(given: str | Path, name: str | None) -> EmbeddingSpec:
    """Specify a built-in name, an address, a model's file or a file of vectors."""
    path, options = parse_options(given)
    if path.startswith(("https://", "http://")):
        name, path = name or "/".join(path.split("/")[-2:]), str(fetch_address(path))
    file = Path(os.path.expanduser(path))
    if path in embeddings.names() or not file.exists():
        built_in = str(given)
        if path not in embeddings.names() and (isinstance(given, Path) or file.suffix or len(file.parts) > 1):
            raise _explain_missing(file)
        embeddings.needs_extra(built_in)  # an unknown name is told before anything is computed
        return EmbeddingSpec(built_in, lambda: outline(built_in), lambda: extraction_cluster.BuiltInModel(built_in),
                             own=False, overlap=find_info(built_in).overlap)
    if precomputed.is_vector_file(file):
        stored = precomputed.read_vectors(file, name, **options)
        return _specify_loaded(stored.embedding, given=stored)  # no worker ever computes its vectors
    recipe = extraction_cluster.ModelFile(str(file.resolve()), name, tuple(options.items()))
    return _specify_loaded(recipe.load(), recipe)


def _explain_missing(file: Path) -> BadParameter:
    """Make the error of a file that is not there, which names the nearest."""
    beside = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
    near = difflib.get_close_matches(file.name, beside, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return BadParameter(f"there is no file or folder {str(file)!r} (from {Path.cwd()}).{hint} Give a model (folder of "
                        f"a SavedModel, .tflite, .onnx), vectors ({', '.join(precomputed.ENDINGS)}), or a built-in "
                        "name: python -m nslib embeddings list.")


def load_embedding(given: Embeddable, name: str | None = None) -> Embedding:
    """Make an embedding of whatever `specify_embedding` takes, its network loaded."""
    return runtime.load_now(specify_embedding(given, name).load())


def default_embeddings(params: Params) -> tuple[str, ...]:
    """Return the embeddings of a run that names none: all of its profile, few of a smoke run, of any free licence."""
    names = embeddings.names(params.profile)
    few = SMOKE_EMBEDDINGS if params.smoke and params.profile == "quick" else names
    return tuple(name for name in names if name in few and not embeddings.needs_extra(name))


def list_given(given: Any, default: Sequence[Any]) -> list[Any]:
    """Make a list of one thing or many; None means `default`, and an empty list is refused."""
    if given is None:
        return list(default)
    one = isinstance(given, str | Path | Task | Embedding) or callable(given) or find_interface(given)
    chosen: list[Any] = []
    if not one and not isinstance(given, Iterable):
        raise BadParameter(f"give a name, a path, a function, a model or a list of these; got {given!r}.")
    for item in [given] if one else given:
        if isinstance(item, str) and find_interface(item) and parse_options(item)[1].get("layer") == "all":
            model, options = load_model(item)
            item = embeddings.from_model(model, **options)
        chosen += item if isinstance(item, list) else [item]
    if not chosen:
        raise BadParameter("an empty list was given; leave it out to run all, or name at least one.")
    return chosen


def find_usable(specs: Sequence[EmbeddingSpec], ready: Sequence[tuple[Task, Dataset]],
                builder: ResultsBuilder) -> list[EmbeddingSpec]:
    """Return the embeddings that can be had, and tell `builder` of the others; published models are fetched here."""
    usable = []
    for spec in specs if ready else ():
        try:
            spec.load()
            usable.append(spec)
            builder.notes += [f"{spec.name}: {spec.output}."] if spec.output else []
        except NslibError as error:
            for task, _ in ready:
                builder.refuse(task.name, spec.name, error)
    builder.layers = {spec.name: spec.ledger for spec in usable if spec.ledger}
    return usable


def join_outputs(specs: Sequence[EmbeddingSpec]) -> list[EmbeddingSpec]:
    """Note for built-in embeddings which outputs of their model take part too: one pass gives the vectors of all."""
    models = {spec.name: "" if spec.own else find_model(spec.name) for spec in specs}
    beside = {model: [name for name, of in models.items() if of == model] for model in set(models.values()) - {""}}
    return [dataclasses.replace(spec, joined=JOIN.join(names)) if len(names := beside.get(models[spec.name], ())) > 1
            else spec for spec in specs]


# ------------------------------------------------------------------ tasks

@dataclass(frozen=True)
class Measure:
    """Metrics and probes that were asked for by name, in place of those of a task; none: the task's."""

    metrics: tuple[str, ...]
    probes: tuple[str, ...]

    @classmethod
    def of(cls, metric: str | Sequence[str] | None, probes: str | Sequence[str] | None) -> Measure:
        """Check what was asked for: names, or one text with commas; UnknownName or BadParameter before any work."""
        names, chosen = ([name.strip() for name in (given.split(",") if isinstance(given, str) else given or ())]
                         for given in (metric, probes))
        metrics = tuple(dict.fromkeys(scores.get_metric(name).name for name in names))
        ordered = probe.check_probes(None if probes is None else chosen, metrics or ("accuracy",))
        return cls(metrics, () if probes is None else tuple(ordered))

    @property
    def numbers(self) -> bool:
        """Whether labels are taken as numbers."""
        return any(scores.get_metric(name).needs == "numbers" for name in self.metrics)

    def apply(self, ready: Sequence[tuple[Task, Dataset]]) -> list[tuple[Task, Dataset]]:
        """Tasks with what was asked; BadParameter where labels are numbers and nobody said how to take them."""
        for task, corpus in ready:
            labels = corpus.clips["label"][corpus.clips["label"] != ""]  # what has none is in no split
            if self.numbers:
                scores.read_numbers(labels)
            elif not self.metrics and task.corpus == "folder" and (found := card.describe_numbers(labels)):
                raise BadParameter(
                    f"the labels of {task.name} are {found}. To predict them as numbers, ask for metric ccc or mae "
                    "(--metric ccc,mae); to take each number as a class, for metric accuracy.")
        return [(self.replace(task), corpus) for task, corpus in ready]

    def replace(self, task: Task) -> Task:
        """Put what was asked in place of what the task says."""
        changed: dict[str, Any] = {"metric": self.metrics[0], "also": self.metrics[1:]} if self.metrics else {}
        return dataclasses.replace(task, **changed | ({"probes": self.probes} if self.probes else {}))


def load_tasks(given: Any, params: Params, specs: Sequence[EmbeddingSpec], builder: ResultsBuilder, progress: bool,
               splits: str | Path | None = None, *, numbers: bool = False,
               taken: dict[str, Any] | None = None) -> list[tuple[Task, Dataset]]:
    """Load tasks and somebody's own recordings, by names not `taken`; `builder` is told what `specs` cannot run on."""
    config.refuse_stray_rehearsal(params)
    items = list_given(given, ())
    named = [t for t in items if isinstance(t, str) and t in datasets_tasks.REGISTRY]
    others = [t for t in items if not (isinstance(t, str) and t in datasets_tasks.REGISTRY)]
    if splits is not None and (named or len(others) != 1 or isinstance(others[0], Task)):
        raise BadParameter(f"a file of splits belongs to one set of recordings of your own; got {given!r}. The tasks "
                           "of the kit have their own splits.")
    if named or not others:
        plan = loading.resolve_tasks(dataclasses.replace(params, tasks=tuple(named) or params.tasks), progress=progress)
        builder.notes += plan.notes
        for name, error in plan.not_run:
            for spec in specs:
                builder.refuse(name, spec.name, error)
        others = [*plan.tasks, *others]
    ready: list[tuple[Task, Dataset]] = []
    taken = {} if taken is None else taken
    for item in others:
        try:
            if isinstance(item, Task):
                task, corpus = item, loading.load_clips(item, params, progress=progress)
            elif layouts.recordings_exist(item):
                task, corpus = loading.load_own_task(item, seed=params.seed, splits=splits, numbers=numbers,
                                                     progress=progress)
            else:
                raise UnknownName("task (and no such file or folder)", item, datasets_tasks.REGISTRY)
        except Unavailable as error:
            for spec in specs:
                builder.refuse(str(getattr(item, "name", item)), spec.name, error)
            continue
        new = find_name(task.name, (task, datasets_splits.hash_split(corpus.clips)), taken)
        if new in [other.name for other, _ in ready]:
            continue
        source = item.title if isinstance(item, Task) else item
        builder.notes += [f"{new}: {source}, called {task.name} too."] if new != task.name else []
        task = dataclasses.replace(task, name=new)
        if not isinstance(item, Task) and corpus.clips["label"].ne("").any():
            forms = corpus.clips["audio"].str.rsplit(".", n=1).str[-1] + corpus.clips["sample_rate"].astype(str)
            # copies of one form are the same samples nearly always; a data card listens in any case
            audit = card.audit_clips(corpus.clips, numbers=numbers, listen=forms.nunique() > 1)
            builder.notes += [f"{task.name}: {problem}" for problem in audit.problems]
        builder.add_clips(task, corpus)
        ready.append((task, corpus))
    return ready


# ------------------------------------------------------------------ one embedding on one task

def _run_pair(task: Task, corpus: Dataset, spec: EmbeddingSpec, params: Params, engine: extraction_cluster.Engine,
              progress: bool) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rows, predictions and lost clips of one embedding on one task: a stored result, else vectors, probes, scores."""
    settings = probe_settings(task, params)
    stored = results.find_result(results.make_key(**identify_pair(task, spec, corpus.clips), settings=settings))
    if stored is not None:
        return *stored, corpus.problems[:0]
    try:
        if spec.joined:
            extract.fill_caches(corpus.clips, [outline(name) for name in spec.joined.split(JOIN)], outline(spec.joined),
                                progress, engine.run(lambda: extraction_cluster.BuiltInModel(spec.joined)))
    except (NslibError, MemoryError, OSError) as error:  # each may do without the others, or says why not
        warnings.warn(f"{spec.joined}: not computed in one pass, but each by itself: {error}", stacklevel=2)
    out = spec.vectors(corpus.clips, progress=progress, run=engine.run(spec.recipe))
    origin = identify_pair(task, spec, out.clips)  # clips may have been lost
    key = results.make_key(**origin, settings=settings)
    stored = results.find_result(key)
    if stored is None:
        runtime.release_memory()  # of decoding and embedding: fits need more of it at a time
        train = max(_list_training(task, out.clips), key=len)
        jobs = check_memory(task.name, len(out.clips), len(train), out.vectors.shape[1], settings["probes"])
        options = {**settings, "mapper": engine.mapper, "jobs": jobs}
        grid = fit_grid(task, out, options, f"{task.name} x {spec.name}", progress)
        differs = [note for note in corpus.notes if note.startswith(noss_sources.DIFFERS)]  # which scores carry
        grid = dataclasses.replace(grid, notes=(*differs, *out.notes, *grid.notes))
        stored = results.add_origin(grid, key=key, corpus_kind=task.kind, **origin)
        results.save_result(*stored)
    return *stored, out.problems


def fit_grid(task: Task, out: Extraction, settings: Mapping[str, Any], title: str, progress: bool) -> probe.Grid:
    """Fit all probes to an extraction, in the task's folds if it has any; `settings` are those of `probe.grid`."""
    from tqdm.std import tqdm

    folds, whole = divide_folds(task, out.clips), LabelledVectors.of(out.clips, out.vectors)
    fits = probe.count_fits(whole, settings["probes"], settings["speaker_norm"]) * max(1, len(folds))
    with tqdm(desc=f"probes {title}", total=fits, unit="fit", disable=not progress, leave=False) as bar:
        options = {**settings, "progress": bar.update}
        return probe.grid_folds(whole, folds, **options) if folds else probe.grid(*label_vectors(out), **options)


def probe_settings(task: Task, params: Params) -> dict[str, Any]:
    """Return the arguments of `nslib.evaluation.probe.grid` that change its answer, for a task."""
    few = SMOKE_PROBES if params.smoke and not params.rehearse else ()
    settings = {"probes": choose_probes(task, few), "metric": task.metric,
                "speaker_norm": params.transductive is not False and not task.speaker_is_label, "seed": params.seed}
    if settings["speaker_norm"] and task.speaker_has_label and params.transductive is None:
        settings["choose_speaker_norm"] = False
    return settings | ({"also": task.also} if task.also else {})


def choose_probes(task: Task, instead: Sequence[str] = ()) -> tuple[str, ...]:
    """Choose the probes of a task, `instead` of its usual ones; but those that were asked for by name."""
    usual = datasets_tasks.REGISTRY[task.name].probes if task.name in datasets_tasks.REGISTRY else ()
    if task.probes == usual and scores.get_metric(task.metric).needs != "numbers":
        return tuple(probe.check_probes(instead or usual or None))
    return tuple(probe.check_probes(task.probes or None, (task.metric, *task.also)))


def identify_pair(task: Task, spec: EmbeddingSpec, clips: pd.DataFrame) -> dict[str, str]:
    """Return what a result is of: the arguments of `results.make_key` beside the settings."""
    return {"task": task.name, "embedding": spec.name, "data_hash": datasets_splits.hash_data(clips),
            "split_hash": datasets_splits.hash_split(clips), "weights_hash": spec.fingerprint}


def divide_folds(task: Task, clips: pd.DataFrame) -> list[dict[str, Any]]:
    """Row positions by part of each fold, as `nslib.datasets.splits.divide_fold` gives them; none without folds."""
    return [datasets_splits.divide_fold(clips, number, by_speaker=not task.speaker_is_label)
            for number in range(datasets_splits.count_folds(clips))]


def _list_training(task: Task, clips: pd.DataFrame) -> list[pd.DataFrame]:
    """Training clips of a task, of each fold if it has any."""
    folds = divide_folds(task, clips)
    return [clips.iloc[rows["train"]] for rows in folds] or [clips[clips["split"] == "train"]]


def label_vectors(out: Extraction, fold: Mapping[str, Any] | None = None) -> list[LabelledVectors]:
    """Cut an extraction into train, validation and test (of a fold, if given), each in the order of ``clip_id``."""
    parts = []
    for name in datasets_splits.SPLITS:
        rows = np.flatnonzero(out.clips["split"] == name) if fold is None else fold[name]
        rows = rows[np.argsort(out.clips["clip_id"].to_numpy(str)[rows])]  # the grid's order: it need not copy again
        parts.append(LabelledVectors.of(out.clips.iloc[rows], out.vectors[rows]))
    return parts


# ------------------------------------------------------------------ how sure a chosen probe was

def measure_confidence(row: Any, train: LabelledVectors, validation: LabelledVectors,
                       test: LabelledVectors) -> pd.DataFrame:
    """Fit the probe of a selected row again, and return `CONFIDENCE` of its answers on test, in the order of clips."""
    import pandas as pd

    splits = probe.check_splits(train, validation, test)
    # any metric that needs probabilities makes the fit give them; none is computed here
    fit, settings = probe.refit_probe(row, splits, "auc")
    given, truth, labels = fit.answers["test"], splits["test"].y, fit.labels["test"]
    facts = {column: row[column] for column in ("key", "task", "embedding", "probe", "l2", "speaker_norm", "seed")}
    table = pd.DataFrame({
        **facts, "clip_id": splits["test"].clip_id, "speaker": splits["test"].speaker, "y_true": truth,
        "y_pred": labels, "confidence": given[np.arange(len(given)), np.searchsorted(settings.classes, labels)],
        "brier": ((given - (truth[:, None] == settings.classes)) ** 2).sum(axis=1)})
    return table[list(CONFIDENCE)]


def find_confidence(rows: pd.DataFrame, predictions: pd.DataFrame, params: Params | None = None, *,
                    progress: bool = True, folder: Path | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How sure the chosen probes of a benchmark were; what is stored is not computed again.

    Gives the answers, a row a task, embedding and test clip with the columns of `nslib.evaluation.PREDICTIONS`,
    confidence (probability that the probe gave to its answer) and brier (squared distance of its probabilities from the
    truth, summed over classes; 0 to 2); and of which results nothing can be said: task, embedding, why. Vectors that
    are not stored are extracted; ``folder`` is where results are kept, by default ``results`` below the reports.
    """
    import pandas as pd
    from tqdm.std import tqdm

    params = params or config.load_params()
    tables, left_out = [], []
    corpora: dict[str, Dataset] = {}
    for row in tqdm(select_scores(rows).to_dict("records"), "confidence", unit="probe", disable=not progress):
        key = str(row["key"])
        try:
            table = results.find_table(key, _CONFIDENCE, CONFIDENCE, folder)
            if table is None:
                table = _measure_stored(row, predictions[predictions["key"] == key], params, corpora, progress)
                results.write_table(results.table_path(key, _CONFIDENCE, folder), table)
            tables.append(table)
        except NslibError as error:
            why = error.why if isinstance(error, Unavailable) else str(error)
            left_out.append({"task": row["task"], "embedding": row["embedding"], "why": why})
    return results.join_tables(tables, CONFIDENCE), pd.DataFrame(left_out, columns=["task", "embedding", "why"])


def load_confidence(rows: pd.DataFrame, folder: Path | None = None) -> pd.DataFrame:
    """Read what `find_confidence` has stored of the chosen results among some rows; maybe a table without rows."""
    stored = (results.find_table(str(key), _CONFIDENCE, CONFIDENCE, folder) for key in select_scores(rows)["key"])
    return results.join_tables([table for table in stored if table is not None], CONFIDENCE)


def _measure_stored(row: dict[str, Any], predictions: pd.DataFrame, params: Params, corpora: dict[str, Dataset],
                    progress: bool) -> pd.DataFrame:
    """Measure a row on the task's stored vectors, and compare its answers with the stored ones."""
    import pandas as pd

    task, name = str(row["task"]), str(row["embedding"])
    if row["probe"] not in (*CLASSIFIERS, CHOSEN_BY_FOLD):
        raise Unavailable(name, "it was trained for the task, and is no probe on stored vectors", "")
    if name not in embeddings.names():
        raise Unavailable(name, "no embedding of this name is built in", "")
    if task not in datasets_tasks.REGISTRY:
        raise Unavailable(f"the clips of {task}", "it is a task of somebody's own recordings",
                          "Use `measure_confidence`.")
    if task not in corpora:
        ready = load_tasks([task], params, [], ResultsBuilder(), progress)
        if not ready:
            raise Unavailable(f"the clips of {task}", "they cannot be had here", "See nslib doctor.")
        corpora[task] = ready[0][1]
    vectors = specify_embedding(name).vectors(corpora[task].clips, progress=False)
    tables = []
    for fold in [*divide_folds(datasets_tasks.REGISTRY[task], vectors.clips)] or (None,):
        parts = label_vectors(vectors, fold)
        kept = predictions.loc[predictions["clip_id"].isin(parts[-1].clip_id), ["probe", "l2", "speaker_norm"]]
        tables.append(measure_confidence(row | dict(*kept[:1].to_dict("records")), *parts))
    table = pd.concat(tables).sort_values("clip_id", ignore_index=True).assign(probe=row["probe"])
    probe.refuse_other_answers(table, predictions)
    return table


# ------------------------------------------------------------------ what it takes

def memory_gb(clips: int, train_clips: int, dim: int, copies: int = 1) -> float:
    """Return the memory in GB that a grid of probes needs, with so many normalisations at a time."""
    # vectors as read and cut into splits, float32; for each normalisation a copy of them and a working copy of train,
    # float64, and ranks and values of train; and two forests, of each tree a leaf for each clip that it is given, two
    # nodes a leaf, 16 bytes a node
    forests = 2 * copies * 2 * 0.64 * _TREES * train_clips * 16.0
    return (dim * (clips * (4 + 4 + 8 * copies) + train_clips * (8 + 4 + 4) * copies) + forests) / 1e9


def check_memory(task: str, clips: int, train_clips: int, dim: int, probes: Sequence[str] = probe.PROBES) -> int:
    """Return how many fits the memory holds at a time; Unavailable, with both numbers, if not those of one copy."""
    import psutil

    needed, free = memory_gb(clips, train_clips, dim), float(psutil.virtual_memory().available / 1e9)
    if needed > free:
        raise Unavailable(
            f"memory for the probes of {task}",
            f"{clips} vectors of {dim} numbers need about {needed:.1f} GB, and {free:.1f} GB are free",
            "Run on a larger machine, end other programs, or choose an embedding with shorter vectors or a "
            "task with fewer clips; the vectors computed so far are kept.")
    most = sum(memory_gb(clips, train_clips, dim, copies) <= free for copies in (1, 2, 3, 4)) * len(probes)
    return min(runtime.count_jobs(), most)


class Work(NamedTuple):
    """What one embedding on one task still takes."""

    task: str
    embedding: str
    audio_seconds: float
    disk_gb: float
    memory_gb: float
    vectors_seconds: float
    probes_seconds: float


def _announce(ready: Sequence[tuple[Task, Dataset]], specs: Sequence[EmbeddingSpec], params: Params) -> None:
    """Say on stderr what a long run will take. What is short is not worth a trial of every embedding."""
    audio = sum(float(corpus.clips["seconds"].sum()) for _, corpus in ready)
    if params.smoke or audio < LONG_SECONDS:
        return
    work = [w for spec in specs for task, corpus in ready if (w := estimate_pair(task, corpus.clips, spec, params))]
    if sum(w.vectors_seconds + w.probes_seconds for w in work) > LONG_SECONDS:
        print(f"nslib: {describe_work(work)}", file=sys.stderr, flush=True)


def estimate_pair(task: Task, clips: pd.DataFrame, spec: EmbeddingSpec, params: Params | None = None) -> Work | None:
    """Estimate what is left to do, without `params` all of it; None if it is there, or the embedding cannot be had."""
    if spec.given or (params and results.table_path(results.make_key(
            **identify_pair(task, spec, clips), settings=probe_settings(task, params)), "rows").exists()):
        return None
    try:
        embedding = spec.load()
        whole, start = embedding.part or (embedding, 0)
        tried = outline(spec.joined) if spec.joined else whole
        speed = 1.0 if start else _times_real_time(whole.fingerprint, tried, again=params is None)
    except NslibError:
        return None  # it is refused, with its reason, when its turn comes
    new = clips[:0] if start else clips  # of several layers of one model, the first brings the vectors of all
    if params:
        first = new.drop_duplicates("sha256")
        new = first[first["sha256"].isin(VectorCache(whole).missing(first["sha256"]))]
    numbers = scores.get_metric(task.metric).needs == "numbers"  # which cost as one class does
    parts = [(len(one), embedding.dim, 1 if numbers else one["label"].nunique()) for one in _list_training(task, clips)]
    fits = sum(estimate_probes_seconds(*part, 2 if task.speaker_is_label else 4) for part in parts)
    audio = float(new["seconds"].sum()) / (1 + spec.joined.count(JOIN))  # one pass is for all outputs
    return Work(task.name, spec.name, audio, len(new) * whole.dim * 4 / 1e9, memory_gb(len(clips), *max(parts)[:2]),
                audio / speed, fits)


def describe_work(work: Sequence[Work]) -> str:
    """A line of totals, and a line for each embedding that takes a tenth of the time or more."""
    total = sum(w.vectors_seconds + w.probes_seconds for w in work)
    lines = [f"estimate: {format_duration(total)} on this machine (within a factor of three); "
             f"{sum(w.audio_seconds for w in work) / 3600:.1f} h of audio to embed, "
             f"{sum(w.disk_gb for w in work):.2f} GB of vectors to store, up to "
             f"{max(w.memory_gb for w in work):.1f} GB of memory. A run that is stopped goes on where it was."]
    for name in dict.fromkeys(w.embedding for w in work):
        vectors, probes = (sum(getattr(w, part) for w in work if w.embedding == name)
                           for part in ("vectors_seconds", "probes_seconds"))
        if vectors + probes >= 0.1 * total:
            lines.append(f"  {name}: {format_duration(vectors)} of embedding, {format_duration(probes)} of probes")
    return "\n".join(lines)


def estimate_probes_seconds(train_clips: int, dim: int, classes: int, combinations: int) -> float:
    """Estimate the seconds that a grid of the five probes takes here, with `combinations` of normalisations."""
    logistic = 2 * _ITERATIONS * 4.0 * train_clips * dim * classes
    discriminant = 4.0 * train_clips * dim * min(train_clips, dim)
    # trees of many classes are deep and one-sided: 3 times as long with 40 classes as with 2, 11 times with 200
    per_split = _SECONDS_PER_SPLIT * (1 + classes / 18)
    forests = 2 * _TREES * train_clips * math.log2(max(train_clips, 2)) * math.sqrt(dim) * per_split
    return combinations * ((logistic + discriminant) / _flops() + forests) / min(runtime.count_jobs(), 5 * combinations)


@cache
def _flops() -> float:
    """Multiplications and additions a second of one core, float64."""
    from threadpoolctl import threadpool_limits

    x = np.ones((700, 700))
    with threadpool_limits(1):
        x @ x
        began = time.perf_counter()
        for _ in range(5):
            x @ x
    return 5 * 2 * 700.0**3 / (time.perf_counter() - began)


def _times_real_time(fingerprint: str, embedding: Embedding, again: bool = False) -> float:
    """Seconds of audio that an embedding takes in a second, from earlier runs or (with `again`, too) noise."""
    known = extraction_cache.read_costs(fingerprint)
    speed = known.audio_seconds / known.wall_seconds if known.audio_seconds > _TRIAL_SECONDS else 0.0
    if speed and not again:
        return speed
    if not again or fingerprint not in _TRIED:  # few clips take longer than many would, for the graph is built first
        _TRIED[fingerprint] = _TRIAL_SECONDS / min(devices.time_batches(embedding, _TRIAL_SECONDS))
    return max(speed, _TRIED[fingerprint])


def format_duration(seconds: float) -> str:
    """Return a time in words, rounded: nobody plans by the second of an estimate."""
    for unit, size in (("days", 86_400), ("h", 3_600)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{math.ceil(seconds / 60)} min"
