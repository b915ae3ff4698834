"""Figures of evaluations: which probe was chosen, what choosing on test would add, confusions, protocols, curves.

The rows of protocols are of `nslib.evaluation.protocols`; drawn is the score over all split numbers, with its interval.
Learning curves are those of `nslib.training.trainer`: columns step, part (train, held-out), figure and value; a number
of the part that is learnt from is the mean over the steps since the look before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nslib.errors import refuse_unknown
from nslib.evaluation.protocols import summarise
from nslib.figures import figure
from nslib.figures.figure import DASHED, DOTTED, INK, MARKERS, MUTED, RULE, Figure, palette, with_style
from nslib.figures.scores import BOUNDS, label_tasks, order_embeddings, order_scores, sort_scores
from nslib.statistics.scores import CHOSEN_BY_FOLD

__all__ = ["choice", "confusion", "curve", "learning", "optimism", "personalisation", "protocol_switch"]

_SETTINGS = ["probe", "l2", "speaker_norm", "seed"]
_WITHIN = ["task", "corpus_kind", "embedding"]
_NEW = ["value_new", "low_new", "high_new", "chance_new"]
_PERSONAL_COLUMNS = [*_WITHIN, *BOUNDS, "spread", "splits", "n_speakers", "interval_by", "chance", *_NEW]
_LEARNING_COLUMNS = [*_WITHIN, "shots", "n_train", *BOUNDS, "spread", "chance", "n_speakers"]
_SWITCH_COLUMNS = ["task", "embedding", "protocol", "corpus_kind", *BOUNDS, "spread", "splits", "n_train", "n",
                   "n_speakers", "shared_speakers", "chance", "interval_by"]
_AXIS = {"xlim": (0, 102), "xlabel": "% correct on test, with its interval"}


@with_style
def choice(rows: pd.DataFrame, task: str, embedding: str, *, name: str = "choice") -> Figure:
    """Every probe and normalisation of one score: validation against test, and what choosing on test would gain."""
    if order_scores(rows).empty:
        return figure.draw_nothing(name, figure.NOT_EVALUATED, [*_SETTINGS, "test", "validation", "chosen"])
    own = rows[(rows["task"] == task) & (rows["embedding"] == embedding)]
    chosen = order_scores(own)
    if chosen.empty:
        raise ValueError(f"there are no scores of {embedding!r} on {task!r} among these rows")
    table = own.pivot_table(index=_SETTINGS, columns="split", values="value", aggfunc="last").reset_index()
    table = table.merge(chosen[_SETTINGS].assign(chosen=True), how="left", on=_SETTINGS).fillna({"chosen": False})
    combinations = table[table["probe"] != CHOSEN_BY_FOLD]
    best, picked = combinations.loc[[combinations["test"].idxmax()]], table[table["chosen"].astype(bool)]
    fig, (axes,) = figure.make_axes(6.6, 4.6)
    probes = sorted(table["probe"].unique())
    for probe, marker, colour in zip(probes, MARKERS, palette(len(probes)), strict=False):
        part = table[table["probe"] == probe]
        axes.plot(100 * part["validation"], 100 * part["test"], marker, color=colour, alpha=0.85, markersize=7,
                  label=probe)
    for part, text, size, width in ((picked, "chosen on validation", 15, 1.4), (best, "best on test", 20, 0.8)):
        axes.plot(100 * part["validation"], 100 * part["test"], "o", color=INK, markerfacecolor="none",
                  markersize=size, linestyle="none", markeredgewidth=width, label=text)
    axes.set(xlabel="% correct on validation", ylabel="% correct on test")
    axes.grid(color=RULE)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.9)
    top, own_choice = best.iloc[0], picked.iloc[0]
    alt = (f"{len(table)} settings of the probe for {embedding} on {task}. Chosen on validation: "
           f"{_name_setting(own_choice)}, test {100 * own_choice['test']:.1f} %. Best on test: {_name_setting(top)}, "
           f"{100 * top['test']:.1f} %, so choosing on test would have added "
           f"{100 * (top['test'] - own_choice['test']):.1f} points.")
    return Figure(name, fig, alt, table)


def _name_setting(row: pd.Series) -> str:
    normalised = [word for word, on in (("L2", row["l2"]), ("speaker z-score", row["speaker_norm"])) if on]
    unchanged = "" if row["probe"] == CHOSEN_BY_FOLD else ", not normalised"
    return f"{row['probe']}{f' with {figure.join_words(normalised)}' if normalised else unchanged}"


@with_style
def optimism(rows: pd.DataFrame, *, name: str = "optimism") -> Figure:
    """What choosing the probe on test would add to each score of the table, in points: column ``added``, 0 to 1."""
    shown, keys = ["task", "corpus_kind", "embedding", "value", "best_on_test_value"], ["task", "embedding", "seed"]
    scores = order_scores(rows)
    if scores.empty:
        return figure.draw_nothing(name, figure.NOT_EVALUATED, [*shown, "added"])
    top = rows[rows["best_on_test"] & (rows["split"] == "test")].sort_values("when", kind="stable")
    top = top.drop_duplicates(keys, keep="last")[[*keys, "value"]].rename(columns={"value": "best_on_test_value"})
    table = scores.merge(top, on=keys)[shown]
    table["added"] = table["best_on_test_value"] - table["value"]
    labels = label_tasks(table)
    fig, (axes,) = figure.make_axes(7.2, 1.1 + 0.42 * len(labels))
    for y, (_, part) in enumerate(table.groupby("task", sort=False)):
        points = 100 * part["added"]
        axes.plot(points, [y] * len(points), "o", color=palette(1)[0], alpha=0.55, markersize=7)
        axes.plot([points.mean()], [y], "|", color=INK, markersize=20, markeredgewidth=2)
    figure.frame_rows(axes, list(labels.values()))
    axes.set_xlabel("points added by choosing on test (dot: an embedding, bar: their mean)")
    axes.grid(axis="x", color=RULE)
    added = 100 * table["added"]
    alt = (f"Choosing the probe on test instead of on validation adds {added.mean():.1f} points on average over "
           f"{len(table)} cells, at most {added.max():.1f}, and changes {int((added > 0).sum())} of them.")
    return Figure(name, fig, alt, table)


@with_style
def confusion(predictions: pd.DataFrame, task: str, embedding: str, *, name: str = "confusion") -> Figure:
    """Which label was taken for which, counts printed in the fields; the table has a row a true label (``y_true``)."""
    if predictions.empty:
        return figure.draw_nothing(name, figure.NO_PREDICTIONS, ["y_true"])
    part = predictions[(predictions["task"] == task) & (predictions["embedding"] == embedding)]
    if part.empty:
        raise ValueError(f"there are no predictions of {embedding!r} on {task!r}")
    if "key" in part:  # of several runs the newest, which comes last
        part = part[part["key"] == part["key"].iloc[-1]]
    names = sorted(set(part["y_true"]) | set(part["y_pred"]))
    counts = pd.crosstab(part["y_true"], part["y_pred"]).reindex(index=names, columns=names, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    grid, dark = counts.to_numpy(), shares.to_numpy() > 0.6
    side = 2.6 + 0.42 * len(names)
    fig, (axes,) = figure.make_axes(side, side - 0.5)
    axes.imshow(shares, cmap="BuPu", vmin=0, vmax=1.1)
    for y, x in np.argwhere(grid):
        axes.text(x, y, str(grid[y, x]), ha="center", va="center", size=8, color="white" if dark[y, x] else INK)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.set(xlabel="answered", ylabel="true label", title=f"{embedding} on {task}")
    wrong = grid - np.diag(np.diag(grid))
    alt = f"Confusions of {embedding} on {task}: {np.trace(grid)} of {grid.sum()} clips right over {len(names)} labels."
    if wrong.any():
        true, answer = np.unravel_index(int(wrong.argmax()), wrong.shape)
        alt += f" Most common mistake: {names[true]} taken for {names[answer]}, {wrong.max()} times."
    return Figure(name, fig, alt, counts.reset_index())


def _select_protocol(rows: pd.DataFrame, protocol: str, shots: int | None) -> pd.DataFrame:
    """Scores of a protocol: recordings before synthetic speech, tasks by name, the best embedding first."""
    if rows.empty:
        return rows
    scores = summarise(rows, protocol, shots)
    return sort_scores(scores, sorted(scores["task"].unique()))


@with_style
def personalisation(rows: pd.DataFrame, inter: pd.DataFrame | None = None, *, name: str = "personalisation") -> Figure:
    """Within-speaker score of each embedding, and beside it the score on new speakers: `inter`, of the benchmark."""
    scores = _select_protocol(rows, "within-speaker", 0)
    if scores.empty:
        return figure.draw_nothing(name, "there is no within-speaker result among these rows", _PERSONAL_COLUMNS)
    if inter is not None and len(inter):
        other = order_scores(inter)[["task", "embedding", *BOUNDS, "chance"]]
        scores = scores.merge(other, how="left", on=["task", "embedding"], suffixes=("", "_new"))
    else:
        scores = scores.assign(**dict.fromkeys(_NEW, float("nan")))
    labels, names = label_tasks(scores), order_embeddings(scores)
    fig, axes = figure.make_panels(list(labels.values()), (3.6, 1.5 + 0.42 * len(names)), (2.6, 0.0), sharey=True)
    inside, outside = palette(2)
    parts = []
    for axis, (task, part) in zip(axes, scores.groupby("task", sort=False), strict=True):
        new = part[part["value_new"].notna()]
        figure.draw_intervals(axis, names, 100 * part[BOUNDS], at=list(part["embedding"]), offset=-0.15, colour=inside,
                              line=100 * part["chance"].mean(), label="within each speaker (dashed: chance)")
        figure.draw_intervals(axis, names, 100 * new[_NEW[:3]], at=list(new["embedding"]), offset=0.15, marker="s",
                              line=100 * new["chance_new"].mean() if len(new) else None, dashes=DOTTED, filled=False,
                              colour=outside, label="new speakers (dotted: chance)")
        axis.set(**_AXIS)
        best, last = part.loc[part["value"].idxmax()], part.loc[part["value"].idxmin()]
        parts.append(f"{labels[str(task)]}, {int(best['n_speakers'])} speakers: {best['embedding']} with "
                     f"{100 * best['value']:.0f} % (interval {100 * best['low']:.0f} to {100 * best['high']:.0f}, "
                     f"chance {100 * best['chance']:.0f}) to {last['embedding']} with {100 * last['value']:.0f} %")
        if len(new):
            ahead = int((new["value"] > new["value_new"]).sum())
            parts[-1] += f"; higher than on new speakers for {ahead} of {len(new)}"
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    alt = f"Scores within speakers, highest to lowest. {'. '.join(parts)}."
    return Figure(name, fig, alt, scores[_PERSONAL_COLUMNS])


@with_style
def protocol_switch(rows: pd.DataFrame, *, name: str = "protocol_switch") -> Figure:
    """The same vectors by four protocols; scores by clip are called careless: they are no results."""
    careful = _select_protocol(rows, "by-speaker", None)
    if careful.empty:
        return figure.draw_nothing(name, "there is no by-speaker result among these rows", _SWITCH_COLUMNS)
    every = summarise(rows)
    every = every[every["protocol"].str.match("by-(speaker|clip)")]
    names, labels = order_embeddings(careful), label_tasks(careful)
    fig, axes = figure.make_panels(list(labels.values()), (3.6, 1.9 + 0.62 * len(names)), (2.6, 0.0), sharey=True)
    honest, careless = palette(2)
    for axis, task in zip(axes, labels, strict=True):
        part = every[every["task"] == task]
        few, chance = int(part["shots"].max()), 100 * part.loc[part["protocol"] == "by-speaker", "chance"].mean()
        looks = {("by-speaker", 0): (-0.27, "o", honest, "new speakers, all training clips"),
                 ("by-speaker", few): (-0.09, "o", honest, f"new speakers, {few} clips a class"),
                 ("by-clip", 0): (0.09, "D", careless, "careless: same speakers, as many clips"),
                 ("by-clip", few): (0.27, "D", careless, f"careless: same speakers, {few} clips a class")}
        for (protocol, shots), (offset, marker, colour, label) in looks.items():
            scores = part[part["protocol"].str.startswith(protocol) & (part["shots"] == shots)]
            figure.draw_intervals(axis, names, 100 * scores[BOUNDS], at=list(scores["embedding"]), filled=not shots,
                                  offset=offset, marker=marker, colour=colour, label=label,
                                  line=chance if protocol == "by-speaker" and not shots else None)
        axis.set(**_AXIS)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=2)
    place = {e: i for i, e in enumerate(names)}
    table = every.assign(_e=every["embedding"].map(place)).sort_values(["task", "_e", "shots", "protocol"])
    table = table[_SWITCH_COLUMNS].reset_index(drop=True)
    parts = []
    for task, part in table.groupby("task", sort=False):
        means = part.groupby("protocol", sort=False)["value"].mean()
        each = figure.join_words([f"{protocol} {100 * value:.0f} %" for protocol, value in means.items()])
        parts.append(f"{labels[str(task)]}, mean of {part['embedding'].nunique()} embeddings: {each}; dividing by clip "
                     f"instead of by speaker changes {100 * (means['by-clip'] - means['by-speaker']):+.0f} points")
    alt = f"The same vectors by four protocols. {'. '.join(parts)}. Scores by clip are no results."
    return Figure(name, fig, alt, table)


@with_style
def learning(rows: pd.DataFrame, *, name: str = "learning") -> Figure:
    """Within-speaker score against the number of clips that each speaker gives to learn from: rows at several shots."""
    scores = _select_protocol(rows, "within-speaker", None)
    if scores.empty:
        return figure.draw_nothing(name, "there is no within-speaker result among these rows", _LEARNING_COLUMNS)
    scores = scores.sort_values(["task", "n_train"], kind="stable", ignore_index=True)
    labels = label_tasks(scores)
    names = order_embeddings(scores[scores["shots"] == 0] if (scores["shots"] == 0).any() else scores)
    fig, axes = figure.make_panels(list(labels.values()), (3.4, 3.8), (2.6, 0.0), sharey=True)
    parts = []
    for axis, (task, part) in zip(axes, scores.groupby("task", sort=False), strict=True):
        for embedding, marker, colour in zip(names, MARKERS * 9, palette(len(names)), strict=False):
            own = part[part["embedding"] == embedding]
            axis.plot(own["n_train"], 100 * own["value"], f"{marker}-", color=colour, label=embedding, markersize=6)
        axis.axhline(100 * part["chance"].mean(), color=INK, linestyle=DASHED, linewidth=1)
        axis.set(xlabel="training clips of each speaker (dashed: chance)", ylim=(0, 102))
        axis.set_xticks(sorted(part["n_train"].unique()))
        axis.grid(color=RULE)
        best = part.loc[part.groupby("n_train")["value"].idxmax()]
        highest = [f"with {r.n_train} clips {r.embedding} at {100 * r.value:.0f} % is highest"
                   for r in best.itertuples()]
        parts.append(f"{labels[str(task)]}: {'; '.join(highest)}")
    axes[0].set_ylabel("% correct within speakers")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.8)
    alt = f"Scores within speakers by the number of training clips of each speaker. {'. '.join(parts)}."
    return Figure(name, fig, alt, scores[_LEARNING_COLUMNS])


THIS, FULL = "this run", "full run"
PARTS = {"held-out": "s", "train": "o"}
TITLES = {"loss": "loss", "accuracy": "triplets right", "active": "anchors with a loss",
          "spread": "mean squared distance of clips", "positive": "squared distance to the positive",
          "negative": "squared distance to the negative", "silent": "silent windows",
          "without_negative": "anchors without a negative", "learning_rate": "learning rate"}
_CURVE_COLUMNS = ["run", "part", "figure", "step", "value"]


@with_style
def curve(curve: pd.DataFrame | None, reference: pd.DataFrame | None = None,
          figures: Sequence[str] = ("loss", "accuracy", "active", "spread"), *, name: str = "curve",
          of: str = "pairs") -> Figure:
    """Learning curve of a run, and behind it, in grey, that of a longer one.

    ``figures`` are the numbers of the curve to draw, a panel each; UnknownName for one that it does not have. ``of``
    says what it learns from: pairs, clips.
    """
    if curve is None or curve.empty:
        return figure.draw_nothing(name, "there is no curve, as the run has not looked at anything yet", _CURVE_COLUMNS)
    known = curve["figure"].unique().tolist()
    refuse_unknown("figure of the curve", figures, known)
    runs = [curve.assign(run=THIS)] + ([] if reference is None else [reference.assign(run=FULL)])
    table = pd.concat(runs, ignore_index=True)
    table = table.loc[table["figure"].isin(figures), _CURVE_COLUMNS].reset_index(drop=True)
    titles = [TITLES.get(number, number) for number in figures]
    fig, axes = figure.make_panels(titles, (4.4, 2.3), (0.0, 0.6), 2, sharex=True)
    colours = dict(zip(PARTS, palette(len(PARTS)), strict=True))
    dashes = dict(zip(PARTS, ("-", (0, (4, 2))), strict=True))
    parts = []
    for axis, number, title in zip(axes, figures, titles, strict=True):
        own = table[table["figure"] == number].sort_values(["run", "part", "step"], ascending=[False, True, True])
        lines = dict(list(own.groupby(["run", "part"], sort=False)))
        for (run, part), line in sorted(lines.items(), key=lambda item: item[0][0] == THIS):  # this run in front
            look: dict[str, Any] = {"color": MUTED, "linestyle": dashes[part], "linewidth": 1.2}
            if run == THIS:
                look = {"color": colours[part], "marker": PARTS[part], "markersize": 5, "linewidth": 1.6}
            label = f"{run}, {f'held-out {of}' if part == 'held-out' else f'{of} that it learns from'}"
            axis.plot(line["step"], line["value"], label=label, **look)
        axis.grid(color=RULE)
        axis.margins(x=0.02)
        ways = [f"{part} {line['value'].iloc[0]:.3g} to {line['value'].iloc[-1]:.3g} ({run})"
                for (run, part), line in lines.items()]
        parts.append(f"{title[0].upper()}{title[1:]}: {figure.join_words(ways)}")
    for axis in axes[-min(2, len(axes)):]:
        axis.set_xlabel("step")
    handles = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=2)
    last = table.groupby("run")["step"].max()
    steps = figure.join_words([f"{run}, {int(last[run]):,} steps" for run in (THIS, FULL) if run in last])
    return Figure(name, fig, f"Learning curves ({steps}). {'. '.join(parts)}.", table)
