"""Figures of how far scores can be trusted: calibration, robustness, and the map of an embedding.

Below the diagonal, and with a gap above zero, a probe is too sure of itself. Robustness is drawn one panel a condition,
from the clean clips on the left to the worst on the right (gains in their own order), with equal steps between levels.
On a map a name has a colour and a marker of its own; beyond nine, the rarer ones are small grey dots. Every panel says
what the eye should find in it: the share of neighbours, in the full vectors, that have the same name, and chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nslib.evaluation.robustness import CLEAN, GAIN, SHAPED, TELEPHONE, WHITE
from nslib.figures import figure
from nslib.figures.figure import DASHED, INK, MARKERS, MUTED, RULE, Axes, Figure, palette, with_style
from nslib.statistics.calibration import CALIBRATION_ERRORS, RELIABILITY, calibration_errors, reliability_table
from nslib.statistics.embedding_map import ACROSS, AGREEMENT, LABEL, PCA, SPEAKER, VECTORS, EmbeddingMap

__all__ = ["calibration", "calibration_gaps", "embedding_map", "robustness"]

NOT_SURE = "it is not known how sure any probe was: see nslib.evaluation.benchmark.find_confidence"


@with_style
def calibration(answers: pd.DataFrame, task: str, embeddings: Sequence[str] | None = None, *,
                name: str = "calibration") -> Figure:
    """Reliability of the chosen probes of a task: share right against how sure they were, one panel an embedding."""
    if answers.empty:
        return figure.draw_nothing(name, NOT_SURE, RELIABILITY)
    own = answers[answers["task"] == task]
    names = [str(e) for e in (own["embedding"].unique() if embeddings is None else embeddings)]
    own = own[own["embedding"].isin(names)]
    missing = sorted(set(names) - set(own["embedding"]))
    if own.empty or missing:
        raise ValueError(f"there are no answers of {figure.join_words(missing or ['any embedding'])} to {task!r}")
    points, off = reliability_table(own), calibration_errors(own).set_index("embedding")
    fig, axes = figure.make_panels(names, (2.3, 2.75), (0.6, 0.5), 4, sharex=True, sharey=True)
    parts = []
    for axis, embedding in zip(axes, names, strict=True):
        part, row = points[points["embedding"] == embedding], off.loc[embedding]
        _draw_reliability(axis, part, row)
        axis.set_title(embedding, size=8.5)
        first, last = part.iloc[0], part.iloc[-1]
        parts.append(f"{embedding} ({row['probe']}): {100 * row['accuracy']:.0f} % right and "
                     f"{100 * row['confidence']:.0f} % sure, from {100 * first['accuracy']:.0f} % right where it was "
                     f"{100 * first['confidence']:.0f} % sure to {100 * last['accuracy']:.0f} % where "
                     f"{100 * last['confidence']:.0f} %; expected calibration error {100 * row['ece']:.1f} points "
                     f"({100 * row['ece_low']:.1f} to {100 * row['ece_high']:.1f})")
    fig.supxlabel("how sure the probe was, in % (every dot stands for equally many clips)", size=9, color=MUTED)
    fig.supylabel("% right, with its interval", size=9, color=MUTED)
    return Figure(name, fig, f"Reliability of the chosen probes on {task}. {'. '.join(parts)}.", points)


def _draw_reliability(axes: Axes, points: pd.DataFrame, off: pd.Series) -> None:
    colour = palette(1)[0]
    axes.plot([0, 100], [0, 100], color=MUTED, linestyle=DASHED, linewidth=1)
    for row in points.itertuples():
        x = 100 * row.confidence
        axes.plot([x, x], [100 * row.low, 100 * row.high], color=colour, linewidth=1.1, alpha=0.6)
    axes.plot(100 * points["confidence"], 100 * points["accuracy"], "o", color=colour, markersize=5, clip_on=False)
    axes.text(3, 97, f"gap {100 * off['gap']:+.0f} [{100 * off['gap_low']:.0f}, {100 * off['gap_high']:.0f}]\n"
              f"ECE {100 * off['ece']:.0f} [{100 * off['ece_low']:.0f}, {100 * off['ece_high']:.0f}]",
              va="top", size=7.5, color=INK)
    ticks = range(0, 101, 50)
    axes.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal", xticks=ticks, yticks=ticks)


@with_style
def calibration_gaps(answers: pd.DataFrame, *, name: str = "calibration_gaps") -> Figure:
    """How much too sure each chosen probe is, with its interval, one panel a task; answers as for `calibration`."""
    if answers.empty:
        return figure.draw_nothing(name, NOT_SURE, CALIBRATION_ERRORS)
    off = calibration_errors(answers)
    names = [str(e) for e in off.groupby("embedding")["gap"].mean().sort_values(kind="stable").index]
    tasks = list(dict.fromkeys(off["task"]))
    fig, axes = figure.make_panels(tasks, (2.9, 0.75 + 0.26 * len(names)), (1.4, 0.5), 3, sharex=True, sharey=True)
    parts = []
    for axis, task in zip(axes, tasks, strict=True):
        part = off[off["task"] == task]
        over, under = part["gap_low"] > 0, part["gap_high"] < 0
        figure.draw_intervals(axis, names, 100 * part[["gap", "gap_low", "gap_high"]], at=list(part["embedding"]),
                              filled=list(over | under), line=0)
        worst = part.loc[part["gap"].abs().idxmax()]
        parts.append(f"{task}: {over.sum()} of {len(part)} probes are too sure and {under.sum()} not sure enough, "
                     f"furthest off {worst['embedding']} by {100 * worst['gap']:+.0f} points "
                     f"({100 * worst['gap_low']:.0f} to {100 * worst['gap_high']:.0f})")
    fig.supxlabel("points by which the probe is surer than right, with the interval; filled: the interval leaves out 0",
                  size=9, color=MUTED)
    return Figure(name, fig, f"Mean confidence minus share right of the chosen probes. {'. '.join(parts)}.", off)


_TITLES = {WHITE: "white noise", SHAPED: "speech-shaped noise", TELEPHONE: "telephone band", GAIN: "gain"}
_AXIS = {WHITE: "signal-to-noise ratio, dB", SHAPED: "signal-to-noise ratio, dB", TELEPHONE: "band", GAIN: "gain, dB"}
_ROBUSTNESS_COLUMNS = ["task", "corpus_kind", "embedding", "condition", "level", "unit", "value", "low", "high",
                       "interval_by", "change", "change_low", "change_high", "n", "n_speakers", "chance", "left_out",
                       "clipped", "samples"]


@with_style
def robustness(curves: pd.DataFrame, *, name: str = "robustness") -> Figure:
    """Score of each embedding with its interval as the test clips get worse; curves of one task (else ValueError)."""
    if curves.empty or set(curves["condition"]) <= {CLEAN}:
        return figure.draw_nothing(name, "no embedding was measured on changed clips", _ROBUSTNESS_COLUMNS)
    if curves["task"].nunique() != 1:
        raise ValueError(f"give curves of one task; there are {curves['task'].nunique()} in {len(curves)} rows")
    rows = curves.drop_duplicates(["embedding", "condition", "level"], keep="last")
    clean = rows[rows["condition"] == CLEAN].set_index("embedding")["value"]
    names = sorted(rows["embedding"].unique(), key=lambda e: (-clean.get(e, 0.0), e))
    conditions = [c for c in _TITLES if c in set(rows["condition"])]
    fig, axes = figure.make_panels([_TITLES[c] for c in conditions], (4.7, 2.7), (1.0, 0.9), 2, sharey=True)
    for axis, condition in zip(axes, conditions, strict=True):
        _draw_condition(axis, rows, condition, names)
    for axis in axes[::2]:
        axis.set_ylabel("% correct on test")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return Figure(name, fig, _robustness_alt(rows, names, conditions), rows[_ROBUSTNESS_COLUMNS].reset_index(drop=True))


def _draw_condition(axes: Axes, rows: pd.DataFrame, condition: str, names: list[str]) -> None:
    rising = sorted(rows.loc[rows["condition"] == condition, "level"].unique())
    levels = rising if condition == GAIN else rising[::-1]
    for i, (embedding, marker, colour) in enumerate(zip(names, MARKERS * 9, palette(len(names)), strict=False)):
        own = rows[rows["embedding"] == embedding]
        changed = own[own["condition"] == condition].set_index("level").reindex(levels)
        steps = [*own[own["condition"] == CLEAN].itertuples(), *changed.itertuples()]
        first = 1 + len(levels) - len(steps)
        places = [x + 0.11 * (i - (len(names) - 1) / 2) for x in range(first, 1 + len(levels))]
        for x, row in zip(places, steps, strict=True):
            axes.plot([x, x], [100 * row.low, 100 * row.high], color=colour, linewidth=1.2, alpha=0.7)
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 5.5, "linewidth": 1.4}
        # Of gains 0 dB is the clean end, not the left one: the clean dot stands alone.
        alone = len(steps) - len(levels) if condition == GAIN else 0
        axes.plot(places[:alone], [100 * row.value for row in steps[:alone]], **look)
        axes.plot(places[alone:], [100 * row.value for row in steps[alone:]], **look, label=embedding)
    axes.axhline(100 * rows["chance"].mean(), color=INK, linestyle=DASHED, linewidth=1, label="chance")
    ticks = ["300–3400 Hz" if condition == TELEPHONE else f"{level:g}".replace("-", "−") for level in levels]
    axes.set_xticks(range(len(levels) + 1), [CLEAN, *ticks])
    axes.set(ylim=(0, 102), xlim=(-0.5, len(levels) + 0.5), xlabel=_AXIS[condition])
    axes.tick_params(axis="y", labelleft=True)
    axes.grid(axis="y", color=RULE)


def _robustness_alt(rows: pd.DataFrame, names: list[str], conditions: list[str]) -> str:
    clean = rows[rows["condition"] == CLEAN].set_index("embedding")
    first = [f"{name} {100 * clean.at[name, 'value']:.0f} % (interval {100 * clean.at[name, 'low']:.0f} to "
             f"{100 * clean.at[name, 'high']:.0f})" for name in names if name in clean.index]
    parts = []
    for condition in conditions:
        part = rows[(rows["condition"] == condition) & rows["value"].notna()]
        worst = part.loc[part.groupby("embedding")["value"].idxmin()].set_index("embedding")
        at = {e: "" if condition == TELEPHONE else f" at {r['level']:g} {r['unit']}" for e, r in worst.iterrows()}
        lowest = [f"{e} {100 * worst.at[e, 'value']:.0f} %{at[e]}" for e in names if e in at]
        title = _TITLES[condition]
        parts.append(f"{title[0].upper()}{title[1:]}, lowest: {', '.join(lowest)}.")
    return (f"Scores on changed test clips of {rows['task'].iloc[0]} ({rows['n'].max()} clips, chance "
            f"{100 * rows['chance'].mean():.0f} %). Clean: {', '.join(first)}. {' '.join(parts)}")


_MOST_NAMES, _MOST_LETTERS = 9, 26
_PANELS = {LABEL: "by label", SPEAKER: "by speaker"}
_MAP_COLUMNS = [*AGREEMENT, "method", "trustworthiness", "variance_x", "variance_y"]


@with_style
def embedding_map(drawn: EmbeddingMap | None, *, name: str = "embedding_map") -> Figure:
    """Clips on a plane, coloured by label and by speaker, with what the neighbours say; `drawn` may be None.

    One panel where speakers are not known, or are the labels. The table holds the numbers of neighbours, for the full
    vectors and for the map; the points themselves are ``drawn.points``.
    """
    if drawn is None:
        return figure.draw_nothing(name, "no vectors were put on a map", _MAP_COLUMNS)
    pairs = drawn.points[["label", "speaker"]].drop_duplicates()
    same = len(pairs) == drawn.points["label"].nunique() == drawn.points["speaker"].nunique()
    panels = [LABEL, SPEAKER] if SPEAKER in set(drawn.agreement["of"]) and not same else [LABEL]
    table = drawn.agreement.assign(method=drawn.method, trustworthiness=drawn.trust, variance_x=drawn.variance[0],
                                   variance_y=drawn.variance[1])
    vectors = {row.of: row for row in table[table["space"] == VECTORS].itertuples()}
    heads = {**_PANELS, LABEL: "by label, which is the speaker"} if same and len(panels) == 1 else _PANELS
    titles = [f"{heads[of]}: {100 * vectors[of].agreement:.0f} % of neighbours agree "
              f"(chance {100 * vectors[of].chance:.0f} %)" for of in panels]
    fig, axes = figure.make_panels(titles, (5.0, 0.0), (1.2, 4.7), sharex=True, sharey=True)
    for axis, of in zip(axes, panels, strict=True):
        _draw_points(axis, drawn.points, of)
        axis.set(xlabel="t-SNE: only who is near whom has a meaning", xticks=[], yticks=[])
        if drawn.method == PCA:
            first, second = (f"{100 * share:.0f} % of the variance" for share in drawn.variance)
            axis.set(xlabel=f"first principal component, {first}", ylabel=f"second, {second}")
        axis.label_outer()
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), labelspacing=0.7, handletextpad=0.2)
    others = (f"; among neighbours of other speakers {100 * vectors[ACROSS].agreement:.0f} % have the same label "
              f"(chance {100 * vectors[ACROSS].chance:.0f} %)") if ACROSS in vectors else ""
    fig.suptitle(f"{drawn.embedding} on {drawn.task}{others}", x=0.01, ha="left", size=10.5)
    return Figure(name, fig, _map_alt(drawn, table), table)


def _draw_points(axes: Axes, points: pd.DataFrame, of: str) -> None:
    counts = points[of].value_counts(sort=True)
    names = sorted(counts.index, key=lambda text: (-counts[text], text))
    shown = sorted(names[:_MOST_NAMES] if len(names) > _MOST_NAMES + 1 else names)
    rest = points[~points[of].isin(shown)]
    if len(rest):
        axes.plot(rest["x"], rest["y"], ".", color=MUTED, alpha=0.5, markersize=3, label=f"{rest[of].nunique()} others")
    for text, marker, colour in zip(shown, MARKERS, palette(len(shown)), strict=False):
        own = points[points[of] == text]
        short = text if len(text) <= _MOST_LETTERS else f"…{text[1 - _MOST_LETTERS:]}"
        axes.plot(own["x"], own["y"], marker, color=colour, alpha=0.75, markersize=4.5, markeredgewidth=0.3,
                  markeredgecolor=INK, label=short)


def _map_alt(drawn: EmbeddingMap, table: pd.DataFrame) -> str:
    parts = []
    for of, part in table.groupby("of", sort=False):
        spaces = [f"{100 * row.agreement:.0f} % (interval {100 * row.low:.0f} to {100 * row.high:.0f}) among the "
                  f"{row.space}" if row.space == VECTORS else f"{100 * row.agreement:.0f} % on the map"
                  for row in part.itertuples()]
        asked = "the same label, of other speakers only" if of == ACROSS else f"the same {of}"
        parts.append(f"{asked}: {figure.join_words(spaces)}, chance {100 * part['chance'].iloc[0]:.0f} %")
    return (f"Map of {drawn.embedding} on {drawn.task}. {drawn.describe()}. Share of the {table['neighbours'].iloc[0]} "
            f"nearest neighbours that have {'; '.join(parts)}.")
