"""How an embedding holds up: the probe that learnt on clean clips, asked about the same test clips in worse conditions.

References: ITU-T P.56 (levels of speech are measured while somebody speaks) and G.712 (the telephone band).

===================  ====  ================================================================================
condition            unit  level
===================  ====  ================================================================================
clean                      0: the recordings as they are, not written again
white-noise          dB    signal-to-noise ratio, noise with a flat spectrum
speech-shaped-noise  dB    the same, noise with the mean spectrum of the task's training clips
telephone            Hz    8000: 300 to 3400 Hz by a filter of linear phase, sampled at 8 kHz, and back
gain                 dB    gain; 0 is the control: nothing is done but writing the file
===================  ====  ================================================================================

A clip is changed at 16 kHz and written as a 16-bit WAV file of its own, as a recorder would have: what exceeds full
scale is clipped, and the clipped samples are counted. No level is adapted to avoid it. The ratio is that of mean
squares over the *speech-active* samples of the clip, before clipping: those in blocks of 20 ms that lie at most 30 dB
below its loudest block. Over the whole clip, pauses would lower the noise. Noise itself is stationary and fills the
clip. It depends on the seed, the condition and the clip's name, so that all embeddings hear the same bytes and two
levels differ by the level alone. A clip of digital silence has no ratio and is left out.

Training, and the choice of probe and normalisation on validation, see clean clips only: they are those of the
benchmark, of a task in folds those of the first fold. The chosen probe is fitted once more, and refused if its answers
to the clean test clips are not those that the benchmark stored. A z-score by speaker, where that was chosen, is over
the speaker's test clips in the same condition, and takes part of the damage back. Curves are kept as
``<key>.robustness.parquet`` beside the results, one file an embedding and condition.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm.std import tqdm

from nslib import audio, config
from nslib.audio import FloatArray
from nslib.datasets.table import PROBLEM_COLUMNS
from nslib.datasets.tasks import Task
from nslib.errors import BadAudio, BadParameter, NslibError, refuse_unknown
from nslib.evaluation import benchmark, probe, results
from nslib.evaluation.benchmark import Embeddable, EmbeddingSpec
from nslib.evaluation.probe import LabelledVectors
from nslib.evaluation.results import ORIGIN, Columns, pick_columns
from nslib.extraction.cache import VectorCache
from nslib.extraction.extract import fill_cache
from nslib.statistics.comparisons import match_answers, pair_matched
from nslib.statistics.intervals import LEVEL, MIN_SPEAKERS, Difference
from nslib.statistics.scores import keep_newest, select_scores

__all__ = ["CLEAN", "GAIN", "SHAPED", "TELEPHONE", "TELEPHONE_RATE", "WHITE", "choose_cheapest_task", "load_curves",
           "measure_curves"]

# Raise it whenever a changed clip, a score or an interval can move: it is part of the key of every curve. Golden values
# in tests/evaluation/test_robustness.py hold it.
ROBUSTNESS_VERSION = 1
_PACKAGES = ("scipy", "soxr")

CLEAN, WHITE, SHAPED, TELEPHONE, GAIN = "clean", "white-noise", "speech-shaped-noise", "telephone", "gain"
UNITS = {CLEAN: "", WHITE: "dB", SHAPED: "dB", TELEPHONE: "Hz", GAIN: "dB"}
TELEPHONE_RATE = 8000

CONDITIONS: dict[str, tuple[float, ...]] = {
    WHITE: (30.0, 20.0, 10.0, 5.0, 0.0), SHAPED: (30.0, 20.0, 10.0, 5.0, 0.0), TELEPHONE: (float(TELEPHONE_RATE),),
    GAIN: (-30.0, -20.0, -10.0, 0.0, 6.0)}
SMOKE_CONDITIONS: dict[str, tuple[float, ...]] = {WHITE: (0.0,), GAIN: (0.0,)}

CURVES: Columns = {
    **pick_columns("key", "task", "corpus_kind", "embedding"), "condition": "str", "level": "float", "unit": "str",
    **pick_columns("probe", "l2", "speaker_norm", "seed", "metric", "value", "low", "high", "interval_by"),
    "confidence": "float", "change": "float", "change_low": "float", "change_high": "float",
    **pick_columns("n", "n_speakers", "chance"), "left_out": "int", "clipped": "int", "samples": "int",
    **pick_columns("notes"), **ORIGIN}
"""Curves: a row an embedding, condition and level; `measure_curves` says what each column is."""

_KIND = "robustness"
_OF_RESULT = ["task", "embedding", "data_hash", "split_hash", "weights_hash", "probe", "l2", "speaker_norm", "seed"]

_TELEPHONE_BAND = (300.0, 3400.0)
_ACTIVE_DB, _BLOCK = 30.0, 320  # of speech activity: dB below the loudest block, samples of a block
_BAND_TAPS, _SHAPE_TAPS, _FFT = 401, 511, 512
_FULL_SCALE = 32767
_MOST_DB = 100.0
_ONLY_LEVEL = {CLEAN: 0.0, TELEPHONE: float(TELEPHONE_RATE)}
_SPECTRUM_CLIPS = 400  # most training clips that are read for their mean spectrum

Floats = npt.NDArray[np.float64]
Conditions = Mapping[str, Sequence[float]]


class Perturbed(NamedTuple):
    """A changed clip (float32, 16 kHz, exactly as its file will be read), and how many samples were clipped."""

    wave: FloatArray
    clipped: int


def perturb(wave: npt.ArrayLike, condition: str, level: float, *, name: str, seed: int = 0,
            taps: npt.ArrayLike | None = None) -> Perturbed:
    """Put a clip [samples] of 16 kHz into a condition; name, seed and condition decide the noise."""
    from scipy import signal

    check_condition(condition, level)
    full = np.asarray(wave, dtype=np.float64)
    if condition == TELEPHONE:
        full = pass_telephone(full)
    elif condition in (WHITE, SHAPED):
        if condition == SHAPED and taps is None:
            raise BadParameter("speech-shaped noise needs taps, the spectrum of the training clips: see "
                               "design_noise_filter.")
        rng = np.random.default_rng(int(_hash_text(f"{seed}:{condition}:{name}")[:16], 16))
        if condition == WHITE:
            noise = rng.standard_normal(len(full))
        else:
            shape = np.asarray(taps)
            noise = signal.oaconvolve(rng.standard_normal(len(full) + len(shape) - 1), shape, mode="valid")
        full = add_noise(full, noise, level)
    elif condition == GAIN:
        full = full * 10 ** (level / 20)
    pcm = np.rint(full * _FULL_SCALE)
    stored = np.clip(pcm, -_FULL_SCALE - 1, _FULL_SCALE).astype(np.int16)  # integers: a file holds no minus zero
    return Perturbed(stored.astype(np.float32) / np.float32(_FULL_SCALE), int((pcm != stored).sum()))


def check_condition(condition: str, level: float) -> None:
    """Raise UnknownName or BadParameter unless the condition is known and has this level."""
    refuse_unknown("condition", condition, UNITS)
    if condition in _ONLY_LEVEL:
        right, allowed = level == _ONLY_LEVEL[condition], f"only {_ONLY_LEVEL[condition]:g}"
    else:
        right, allowed = -_MOST_DB <= level <= _MOST_DB, f"-{_MOST_DB:g} to {_MOST_DB:g} dB"
    if not right:
        raise BadParameter(f"{condition} has no level {level!r}; allowed: {allowed}.")


def add_noise(wave: npt.ArrayLike, noise: npt.ArrayLike, snr: float) -> Floats:
    """Add noise [samples] to a clip [samples] at a ratio in dB to its active blocks; the sum may exceed full scale."""
    speech, added = np.asarray(wave, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    power, starts = np.square(speech), np.arange(0, len(speech), _BLOCK)
    sizes = np.diff(np.append(starts, len(power)))
    means = np.add.reduceat(power, starts) / sizes
    where = np.repeat((means > 0) & (means >= means.max() * 10 ** (-_ACTIVE_DB / 10)), sizes)
    loud, soft = (float(np.mean(x[where] ** 2)) if where.any() else 0.0 for x in (speech, added))
    if not loud or not soft:
        raise BadAudio("clip", "digital silence has no signal-to-noise ratio", "Leave it out.")
    return speech + added * np.sqrt(loud / soft) * 10 ** (-snr / 20)


def pass_telephone(wave: npt.ArrayLike) -> Floats:
    """Limit a clip [samples] to the telephone band, no longer and not delayed; there is no companding."""
    import soxr
    from scipy import signal

    full = np.asarray(wave, dtype=np.float64)
    narrow = soxr.resample(full, audio.SAMPLE_RATE, TELEPHONE_RATE, quality="HQ")
    if not len(narrow):  # a sample or two
        return np.zeros_like(full)
    taps = signal.firwin(_BAND_TAPS, _TELEPHONE_BAND, pass_zero=False, fs=TELEPHONE_RATE)
    passed = signal.oaconvolve(narrow, taps, mode="full")[_BAND_TAPS // 2:][:len(narrow)]
    back = soxr.resample(passed, TELEPHONE_RATE, audio.SAMPLE_RATE, quality="HQ")[:len(full)]
    return np.pad(back, (0, len(full) - len(back)))


def design_noise_filter(waves: Iterable[npt.ArrayLike]) -> Floats:
    """Design the filter [taps] of linear phase that gives white noise the mean spectrum of some clips."""
    from scipy import signal

    # each clip counts as much as any other, however loud it is; digital silence does not count
    total, counted = np.zeros(_FFT // 2 + 1), 0
    for wave in waves:
        full = np.asarray(wave, dtype=np.float64)
        _, power = signal.welch(np.pad(full, (0, max(0, _FFT - len(full)))), nperseg=_FFT)
        if power.sum() > 0:
            total, counted = total + power / power.sum(), counted + 1
    if not counted:
        raise NslibError("speech-shaped noise needs the spectrum of speech, and every training clip is silent.")
    return np.asarray(signal.firwin2(_SHAPE_TAPS, np.linspace(0, 1, len(total)), np.sqrt(total / total.max())))


def _hash_text(text: str) -> str:
    """Hash that stands for a draw: 64 hex digits, the same on any machine."""
    return hashlib.sha256(text.encode()).hexdigest()


class PerturbedClips(NamedTuple):
    """The clips of a test set in one condition."""

    condition: str
    level: float
    clips: pd.DataFrame  # clip table: names, labels and speakers as they were, files and hashes of the changed clips
    problems: pd.DataFrame  # clip_id, audio, reason, remedy: clips for which the condition is not defined
    clipped: int = 0  # samples beyond full scale,
    samples: int = 0  # of how many


def perturb_clips(clips: pd.DataFrame, condition: str, level: float, folder: Path, *, seed: int = 0,
                  taps: npt.ArrayLike | None = None) -> PerturbedClips:
    """Write the clips of a test set in one condition into a folder, with a clip table of their own; see `perturb`."""
    changed, problems, clipped, samples = [], [], 0, 0
    for row in clips.to_dict("records"):
        try:
            clip = perturb(audio.read(row["audio"]).wave, condition, level, name=row["clip_id"], seed=seed, taps=taps)
        except BadAudio as error:
            problems.append([row["clip_id"], row["audio"], error.reason, error.remedy])
            continue
        key = audio.sha256(clip.wave)
        path = audio.write_wav(folder / f"{key}.wav", clip.wave)
        changed.append(row | {"audio": str(path), "sha256": key, "seconds": len(clip.wave) / audio.SAMPLE_RATE})
        clipped, samples = clipped + clip.clipped, samples + len(clip.wave)
    return PerturbedClips(condition, level, pd.DataFrame(changed, columns=list(clips.columns)).astype(clips.dtypes),
                          pd.DataFrame(problems, columns=list(PROBLEM_COLUMNS)), clipped, samples)


class _Job(NamedTuple):
    """An embedding, its result and answers, and the keys of the conditions that are not stored yet."""

    spec: EmbeddingSpec
    row: dict[str, Any]
    answers: pd.DataFrame
    keys: dict[str, str]


def measure_curves(task: str | Path | Task, embeddings: Embeddable | Iterable[Embeddable], *,
                   params: config.Params | None = None, conditions: Conditions | None = None,
                   progress: bool = True) -> pd.DataFrame:
    """Score the chosen probe of each embedding on changed test clips; what exists already is not computed again.

    ``task``, ``embeddings`` and ``params`` are as of `nslib.benchmark`, which is run first; of no embedding the table
    has no rows. ``conditions`` are levels of each condition; default: 0 to 30 dB of both noises, the telephone, gains
    of -30 to 6 dB; in a smoke run white noise of 0 dB and the control. ``clean`` is always there. UnknownName or
    BadParameter for an unknown task, embedding or condition, or a level that it does not have; nothing has been
    computed then.

    One row an embedding, condition and level, columns `CURVES`: the score with its interval, of a level of
    ``confidence``; ``change`` with its interval, the paired difference from the clean clips, on the clips that both
    have: whether a condition did harm, for its interval knows that the clips are the same; left_out counts test clips
    without a score, clipped the samples (of so many) beyond full scale. ``attrs["not_run"]`` is a list of dicts, one
    for each embedding that could not be measured: embedding, why, remedy.

    >>> measure_curves("speaker-hedgewars", "mfcc").groupby("condition")["value"].min()    # doctest: +SKIP
    """
    params = params or config.load_params()
    usual = SMOKE_CONDITIONS if params.smoke else CONDITIONS
    levels = _check_conditions(conditions if conditions is not None else usual)
    if not embeddings:
        nothing = results.join_tables([], CURVES)
        nothing.attrs["not_run"] = []
        return nothing
    given = benchmark.list_given(embeddings, ())
    specs = {spec.name: spec for spec in benchmark.specify_embeddings(given)}
    plain = benchmark.benchmark(given, task, params=params, progress=progress)
    not_run = plain.not_run[["embedding", "why", "remedy"]].to_dict("records")
    jobs: list[_Job] = []
    stored: list[pd.DataFrame] = []
    for row in select_scores(plain.rows).to_dict("records"):
        missing = {}
        for condition, those in levels.items():
            key = _make_key(row["key"], condition, those, plain.clips)
            if (curve := results.find_table(key, _KIND, CURVES)) is not None:
                stored.append(curve)
            else:
                missing[condition] = key
        tested = plain.clips.loc[plain.clips["split"] == "test", "clip_id"]  # of folds the first, and what it chose
        answers = plain.predictions[(plain.predictions["key"] == row["key"])
                                    & plain.predictions["clip_id"].isin(tested)]
        row |= dict(*answers[["probe", "l2", "speaker_norm"]][:1].to_dict("records"))
        jobs.append(_Job(specs[row["embedding"]], row, answers, missing))
    stored += _compute([job for job in jobs if job.keys], levels, plain.clips, not_run, progress)
    curves = results.join_tables(stored, CURVES)
    places = {"embedding": [job.spec.name for job in jobs], "condition": list(levels)}
    table = curves.sort_values(["embedding", "condition"], key=lambda names: names.map(places[str(names.name)].index),
                               kind="stable", ignore_index=True)
    table.attrs["not_run"] = not_run
    return table


def load_curves(folder: Path | None = None, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Read stored curves, the newest of each task, embedding, condition and level, as `measure_curves` gives them.

    With the `rows` of a benchmark, only curves of its very results: none of a smoke run, or of other recordings. A file
    that cannot be read is warned of and left out; the default folder is ``results`` below the reports.
    """
    paths = sorted(results.table_path("0", _KIND, folder).parent.glob(f"*.{_KIND}.parquet"))
    stored = (results.find_table(path.name.split(".")[0], _KIND, CURVES, folder) for path in paths)
    curves = results.join_tables([curve for curve in stored if curve is not None], CURVES)
    if rows is not None:
        curves = curves.merge(select_scores(rows)[_OF_RESULT].drop_duplicates())
    one = ["task", "embedding", "condition", "level"]
    return keep_newest(curves.sort_values("key"), one).sort_values(one, kind="stable", ignore_index=True)


def choose_cheapest_task(clips: pd.DataFrame) -> str:
    """Name the task with the least test audio of those with five known test speakers (of all, if none has as many).

    ``clips`` are those of a benchmark's results; empty, if there are no test clips.
    """
    test = clips[clips["split"] == "test"] if len(clips) else clips
    if not len(test):
        return ""
    facts = test.groupby("task").agg(people=("speaker", "nunique"), unknown=("speaker", lambda s: (s == "").any()),
                                     seconds=("seconds", "sum"))
    enough = (facts["people"] >= MIN_SPEAKERS) & ~facts["unknown"].astype(bool)
    return str((facts[enough] if enough.any() else facts)["seconds"].idxmin())


def _check_conditions(conditions: Conditions) -> dict[str, tuple[float, ...]]:
    """Levels of each condition, clean first."""
    given = {CLEAN: (0.0,)} | {name: tuple(map(float, levels)) for name, levels in conditions.items()}
    for name, levels in given.items():
        if not levels or len(set(levels)) < len(levels):
            raise BadParameter(f"{name} needs levels, each once; got {levels}.")
        for level in levels:
            check_condition(name, level)
    return given


def _make_key(result: str, condition: str, levels: Sequence[float], clips: pd.DataFrame) -> str:
    """Key of the curve of one result and condition."""
    # Noise is drawn by the clip's name, which the hash of a split does not hold.
    named = sorted(zip(clips["clip_id"].astype(str), clips["sha256"].astype(str), strict=True))
    algorithm = [ROBUSTNESS_VERSION, sorted(config.package_versions(_PACKAGES).items())]
    return _hash_text(json.dumps([result, condition, list(levels), named, algorithm]))[:32]


def _compute(jobs: Sequence[_Job], levels: Conditions, clips: pd.DataFrame, not_run: list[dict[str, str]],
             progress: bool) -> list[pd.DataFrame]:
    """Compute and store the missing curves; an embedding that fails goes to `not_run`."""
    copies, stored = _embed_copies(jobs, levels, clips, progress), []
    for job in jobs:
        mine = [copy for copy in copies if copy.condition in {*job.keys, CLEAN}]
        try:
            rows = pd.DataFrame(_score_copies(job, clips, mine))
        except NslibError as error:
            why, remedy = getattr(error, "why", str(error)), getattr(error, "remedy", "Run the benchmark again.")
            not_run.append({"embedding": job.spec.name, "why": why, "remedy": remedy})
            continue
        for condition, key in job.keys.items():
            part = rows[rows["condition"] == condition].assign(key=key, **config.describe_origin())
            stored.append(results.check_table(part, CURVES))
            results.write_table(results.table_path(key, _KIND), stored[-1])
    return stored


def _embed_copies(jobs: Sequence[_Job], levels: Conditions, clips: pd.DataFrame,
                  progress: bool) -> list[PerturbedClips]:
    """Make each copy of the test set once, have all embeddings hear it, and delete its files: the vectors stay."""
    for job in jobs:
        fill_cache(clips, job.spec.load(), progress=progress)
    test, needed = clips[clips["split"] == "test"], {c for job in jobs for c in job.keys} - {CLEAN}
    taps = None
    if SHAPED in needed:  # of many training clips a fixed draw
        train = clips[clips["split"] == "train"]
        order = sorted(zip(map(_hash_text, train["clip_id"]), train["audio"], strict=True))
        taps = design_noise_filter(audio.read(path).wave for _, path in order[:_SPECTRUM_CLIPS])
    steps = [(condition, level) for condition, those in levels.items() if condition in needed for level in those]
    copies = [PerturbedClips(CLEAN, 0.0, test, test[:0])]
    for condition, level in tqdm(steps, "conditions", unit="copy", disable=not progress):
        with config.scratch_folder("perturbed", config.cache_dir("perturbed")) as place:
            copy = perturb_clips(test, condition, level, place, seed=jobs[0].row["seed"], taps=taps)
            for job in jobs if len(copy.clips) else ():
                if condition in job.keys:
                    fill_cache(copy.clips, job.spec.load(), progress=False)
        copies.append(copy)
    return copies


def _score_copies(job: _Job, clips: pd.DataFrame, copies: Sequence[PerturbedClips]) -> list[dict[str, object]]:
    """Score the chosen probe of a result on copies of its test clips, the first the clean ones: a row a copy."""
    row, cache = job.row, VectorCache(job.spec.load())
    train, validation = (_read_split(clips[clips["split"] == name], cache) for name in ("train", "validation"))
    tests = [_read_split(copy.clips, cache) for copy in copies]  # a clip without a vector is left out and counted
    splits = probe.check_splits(train, validation, tests[0]) | {str(i): t for i, t in enumerate(tests) if len(t.y)}
    fit, settings = probe.refit_probe(row, splits, str(row["metric"]))
    rows, answers = [], [pd.DataFrame({"clip_id": test.clip_id, "speaker": test.speaker, "y_true": test.y,
                                       "y_pred": fit.labels.get(str(i), test.y)}) for i, test in enumerate(tests)]
    probe.refuse_other_answers(answers[0], job.answers)
    for i, (copy, test) in enumerate(zip(copies, tests, strict=True)):
        lost = len(tests[0].y) - len(test.y)
        reasons = dict.fromkeys(copy.problems["reason"]) if len(copy.problems) else {"no vector": None}
        matched, change = match_answers(answers[i], answers[0]), Difference(math.nan, math.nan, math.nan, "")
        if len(matched):
            change = pair_matched(matched, seed=settings.seed).at()
        rows.append({name: row[name] for name in (*_OF_RESULT, "corpus_kind", "metric")} | {
            "condition": copy.condition, "level": float(copy.level), "unit": UNITS[copy.condition], "confidence": LEVEL,
            "left_out": lost, "notes": f"{lost} test clips were left out: {'; '.join(reasons)}." if lost else "",
            "clipped": copy.clipped, "samples": copy.samples, "change": change.diff, "change_low": change.low,
            "change_high": change.high, **probe.describe_split(test, settings.metric),
            **probe.score_split(fit, str(i), test, settings)})
    return rows


def _read_split(clips: pd.DataFrame, cache: VectorCache) -> LabelledVectors:
    """Read the vectors of the clips that have one, in the order of ``clip_id``."""
    there = clips[cache.holds(clips["sha256"])]
    there = there.iloc[np.argsort(there["clip_id"].to_numpy(str), kind="stable")]
    return LabelledVectors.of(there, cache.read(there["sha256"]))
