"""Figures of one evaluation: which probe was chosen, what choosing on test would add, what was confused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nslib.figures import figure
from nslib.figures.figure import INK, MARKERS, RULE, Figure, palette, with_style
from nslib.figures.scores import NO_PREDICTIONS, NOT_EVALUATED, label_tasks, select_scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["choice", "confusion", "optimism"]

_SETTINGS = ["probe", "l2", "speaker_norm", "seed"]


@with_style
def choice(rows: pd.DataFrame, task: str, embedding: str, *, name: str = "choice") -> Figure:
    """Every probe and normalisation of one score: validation against test, and what choosing on test would gain."""
    if select_scores(rows).empty:
        return figure.draw_nothing(name, NOT_EVALUATED, [*_SETTINGS, "test", "validation", "chosen"])
    own = rows[(rows["task"] == task) & (rows["embedding"] == embedding)]
    chosen = select_scores(own)
    if chosen.empty:
        raise ValueError(f"there are no scores of {embedding!r} on {task!r} among these rows")
    table = own.pivot_table(index=_SETTINGS, columns="split", values="value", aggfunc="last").reset_index()
    table = table.merge(chosen[_SETTINGS].assign(chosen=True), how="left", on=_SETTINGS).fillna({"chosen": False})
    best, picked = table.loc[[table["test"].idxmax()]], table[table["chosen"].astype(bool)]
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
    return f"{row['probe']}{f' with {figure.join_words(normalised)}' if normalised else ', not normalised'}"


@with_style
def optimism(rows: pd.DataFrame, *, name: str = "optimism") -> Figure:
    """What choosing the probe on test would add to each score of the table, in points: column ``added``, 0 to 1."""
    shown, keys = ["task", "corpus_kind", "embedding", "value", "best_on_test_value"], ["task", "embedding", "seed"]
    scores = select_scores(rows)
    if scores.empty:
        return figure.draw_nothing(name, NOT_EVALUATED, [*shown, "added"])
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
    import pandas as pd

    if predictions.empty:
        return figure.draw_nothing(name, NO_PREDICTIONS, ["y_true"])
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
