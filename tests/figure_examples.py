"""Made-up tables for every figure, and every figure of them. No number is real."""

import functools

import fabricated
import numpy as np
import pandas as pd
import speakers

from nslib import figures
from nslib.evaluation.results import PROTOCOL_ROWS
from nslib.evaluation.robustness import CLEAN, GAIN, TELEPHONE, UNITS, WHITE
from nslib.statistics.embedding_map import ACROSS, LABEL, PCA, PLANE, SPEAKER, VECTORS, EmbeddingMap

ROWS, ANSWERS, CLIPS = fabricated.rows(), fabricated.predictions(), fabricated.clips()
LEDGER = fabricated.ledger()
TWO = ROWS[ROWS["task"].isin(["language-five", "phrase-hedgewars"])]
PICTURE, WAVE, BANK = (np.random.default_rng(0).uniform(size=size) for size in ((198, 64), 32000, (257, 64)))
SPANS = [(0.17 * i, 0.17 * i + 0.975) for i in range(7)]

EFFECTS = pd.DataFrame(
    [("mine", "embedding", 6.25, 2.0, 10.5), ("other", "embedding", -1.0, -5.2, 3.2),
     ("worst", "embedding", -5.25, -9.5, -1.0), ("easy", "task", 20.0, 15.0, 25.0), ("hard", "task", -20, -25, -15)],
    columns=["term", "kind", "effect", "low", "high"]).assign(n=3)
COSTS = pd.DataFrame({
    "name": ["big", "small", "twin", "by-hand"], "quality": [0.72, 0.68, 0.40, 0.50], "low": [0.66, 0.61, 0.33, 0.45],
    "high": [0.77, 0.74, 0.47, 0.56], "parameters": [24.5e6, 0.86e6, 0.86e6, np.nan],
    "multiply_adds": [492e6, 14.3e6, 14.3e6, np.nan], "latency_ms": [80.0, 9.5, 9.75, 4.0]})
VERDICTS = pd.DataFrame(
    [("savee", "trill-top", "differs", "58.1 %", 0.66), ("crema_d", "frill", "reproduced", "65.9 %", 0.66),
     ("crema_d", "logmel", "no verified published value", "", 0.5)],
    columns=["task", "embedding", "verdict", "published", "value"]).assign(
        low=0.61, high=0.71, ours="66.0 %", compared="chosen", paper="noss", status="quoted-by",
        published_value=[58.1, 65.9, np.nan])
CLAIMS = pd.DataFrame(
    [(1, "trill-top", "logmel", "", "holds", 0.3, 0.2, 0.4, "points", 3),
     (2, "trill-top", "trill-layer19", "savee", "undecided", -0.01, -0.05, 0.03, "points", 1),
     (6, "", "", "", "holds", 0.7, 0.6, 0.8, "share", 3), (5, "trill-top", "mfcc", "", "not run", 0, 0, 0, "", 0)],
    columns=["claim", "subject", "against", "task", "verdict", "diff", "low", "high", "unit", "tasks"]).assign(
        by="speaker", clips=120)

PROTOCOL_TASKS, VALUES = {"moods": "real", "tones-synthetic": "synthetic"}, {"mfcc": 0.7, "ina": 0.8, "untrained": 0.4}


def protocol_rows(protocol, settings):
    """Rows over all splits, for each task, embedding and setting: `settings` are dictionaries of columns."""
    usual = {"protocol": protocol, "shots": 0, "split_number": "", "shared_speakers": 0, "n_train": 14,
             "n_speakers": 10, "chance": 0.25, "selected": True}
    rows = [{"task": t, "corpus_kind": kind, "embedding": e, **usual, **setting, "value": v + setting.get("value", 0.0)}
            for setting in settings for t, kind in PROTOCOL_TASKS.items() for e, v in VALUES.items()]
    table = pd.DataFrame(rows).assign(low=lambda rows: rows["value"] - 0.1, high=lambda rows: rows["value"] + 0.1)
    return fabricated._filled(table, PROTOCOL_ROWS)


WITHIN = protocol_rows("within-speaker", [{}])
LEARNING = protocol_rows("within-speaker", [{"shots": 1, "n_train": 4, "value": -0.2},
                                            {"shots": 2, "n_train": 8, "value": -0.1}, {}])
SWITCHED = protocol_rows("", [{"protocol": "by-speaker"}, {"protocol": "by-speaker-8-shot", "shots": 8, "value": -0.1},
                              {"protocol": "by-clip", "value": 0.15, "shared_speakers": 9},
                              {"protocol": "by-clip-8-shot", "shots": 8, "value": -0.05, "shared_speakers": 9}])
REPEATED = protocol_rows("repeated", [{"split_number": str(i), "value": (i - 1) / 10} for i in range(3)] + [{}])
STRANGERS = WITHIN[WITHIN["embedding"] != "untrained"].assign(  # which was not run
    metric="accuracy", split="test", chance=0.3, value=lambda rows: rows["value"] - 0.05)

SURE = pd.concat([speakers.sure(np.random.default_rng(1), 8, 10, over).assign(task=task, embedding=f"over-{over:g}")
                  for task in ("one", "two", "three", "four") for over in (0.0, 4.0)])
_STEPS = [(CLEAN, 0.0), (WHITE, 20.0), (WHITE, 0.0), (TELEPHONE, 8000.0), (GAIN, -20.0), (GAIN, 0.0)]
NOISY = pd.DataFrame(
    [(name, condition, level, UNITS[condition], value - 0.1 * i) for name, value in (("mfcc", 0.7), ("logmel", 0.9))
     for i, (condition, level) in enumerate(_STEPS)],
    columns=["embedding", "condition", "level", "unit", "value"]).assign(
        low=lambda rows: rows["value"] - 0.05, high=lambda rows: rows["value"] + 0.05, task="t", corpus_kind="real",
        interval_by="speaker", n=40, n_speakers=8, chance=0.25, samples=9,
        **dict.fromkeys(["change", "change_low", "change_high", "left_out", "clipped"], 0))
POINTS = pd.DataFrame([(f"c{i}", f"l{i % 3}", f"s{i % 14}", np.cos(i), np.sin(i)) for i in range(84)],
                      columns=["clip_id", "label", "speaker", "x", "y"])
MAP = EmbeddingMap("made", "planted", PCA, POINTS, (0.6, 0.2), 0.9, pd.DataFrame(
    [(of, space, 0.81 - 0.1 * i, 0.7, 0.9, "speaker", 0.25, 0.1, 84, 3, 5)
     for i, (of, space) in enumerate((of, space) for of in (LABEL, SPEAKER, ACROSS) for space in (VECTORS, PLANE))],
    columns=["of", "space", "agreement", "low", "high", "by", "chance", "silhouette", "clips", "names", "neighbours"]))


def learning_curve(last, better):
    """Three looks; nothing is learnt before the first."""
    rows = [(step, part, figure, better * (1 + step / last) + number)
            for step in (0, last // 2, last) for part in ("train", "held-out") if step or part == "held-out"
            for number, figure in enumerate(("loss", "accuracy", "active", "spread"))]
    return pd.DataFrame(rows, columns=["step", "part", "figure", "value"])


SHORT, LONG = learning_curve(40, 0.1), learning_curve(1000, 0.2)
_OF_ONE_TABLE = {
    "optimism": ROWS, "effects": EFFECTS, "tradeoff": COSTS, "against_published": VERDICTS, "claim_differences": CLAIMS,
    "stability": REPEATED, "split_audit": CLIPS, "durations": CLIPS, "embedding_cost": LEDGER, "learning": LEARNING,
    "protocol_switch": SWITCHED, "calibration_gaps": SURE, "robustness": NOISY}

MAKERS = {
    **{name: lambda table=table, name=name: getattr(figures, name)(table) for name, table in _OF_ONE_TABLE.items()},
    "result_heatmap": lambda rows=ROWS: figures.result_heatmap(rows, ANSWERS),
    "accuracy_dots": lambda rows=ROWS: figures.accuracy_dots(rows, ANSWERS),
    "ties": lambda rows=TWO: figures.ties(rows, ANSWERS), "curve": lambda curve=SHORT: figures.curve(curve, LONG),
    "choice": lambda rows=ROWS: figures.choice(rows, "language-five", "logmel"),
    "recall": lambda rows=ROWS: figures.recall(rows, ANSWERS, "style-espeak", "mfcc"),
    "confusion": lambda answers=ANSWERS: figures.confusion(answers, "language-five", "logmel"),
    "class_balance": lambda clips=CLIPS[CLIPS["task"] == "language-five"]: figures.class_balance(clips, task="five"),
    "personalisation": lambda rows=WITHIN: figures.personalisation(rows, STRANGERS),
    "calibration": lambda answers=SURE: figures.calibration(answers, "one"),
    "filterbank": lambda: figures.filterbank(BANK), "embedding_map": lambda: figures.embedding_map(MAP),
    "log_mel": lambda: figures.log_mel(PICTURE, wave=WAVE, patches=SPANS, title="noise"),
    "patch_times": lambda: figures.patch_times({"TRILL": SPANS, "VGGish": []}, 2.0),
}


@functools.cache
def draw(name):
    """A figure of `MAKERS`, drawn once."""
    return MAKERS[name]()
