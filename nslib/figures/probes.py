"""Figures of one evaluation: which probe was chosen, what choosing on test would add, what was confused.

Conventions
-----------
As in `nslib.figures.scores`: percent, and the probe chosen on validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nslib.figures.figure import (
    INK,
    MARKERS,
    RULE,
    Figure,
    draw_nothing,
    frame_rows,
    join_words,
    make_axes,
    palette,
    with_style,
)
from nslib.figures.scores import NOT_EVALUATED, label_tasks, order_tasks, select_scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["choice", "confusion", "optimism"]

_SETTINGS = ["probe", "l2", "speaker_norm", "seed"]


@with_style
def choice(rows: pd.DataFrame, task: str, embedding: str, *, name: str = "choice") -> Figure:
    """Every probe and normalisation of one embedding on one task: validation score against test score.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows, validation and test.
    task, embedding : str
        Which score of the table.

    Returns
    -------
    Figure
        Its alternative text says what choosing on test would have gained: the optimism of tables made that way.

    Raises
    ------
    ValueError
        If there are scores, but none of that embedding on that task.
    """
    if rows.empty:
        return draw_nothing(name, NOT_EVALUATED, [*_SETTINGS, "test", "validation", "chosen"])
    own = rows[(rows["task"] == task) & (rows["embedding"] == embedding)]
    table = own.pivot_table(index=_SETTINGS, columns="split", values="value", aggfunc="last").reset_index()
    if table.empty or "test" not in table:
        raise ValueError(f"there are no scores of {embedding!r} on {task!r} among these rows")
    chosen = select_scores(own)[_SETTINGS].assign(chosen=True)
    if chosen.empty:
        return draw_nothing(name, NOT_EVALUATED, [*_SETTINGS, "test", "validation", "chosen"])
    table = table.merge(chosen, how="left", on=_SETTINGS).fillna({"chosen": False})
    best, picked = table.loc[[table["test"].idxmax()]], table[table["chosen"].astype(bool)].iloc[:1]
    fig, (axes,) = make_axes(6.6, 4.6)
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
    return f"{row['probe']} with {join_words(normalised)}" if normalised else f"{row['probe']}, not normalised"


@with_style
def optimism(rows: pd.DataFrame, *, name: str = "optimism") -> Figure:
    """What choosing the probe on test would add to each score of the table.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows with ``best_on_test``.
    """
    shown, keys = ["task", "corpus_kind", "embedding", "value", "best_on_test_value"], ["task", "embedding", "seed"]
    scores = select_scores(rows)
    if scores.empty:
        return draw_nothing(name, NOT_EVALUATED, [*shown, "added"])
    top = rows[rows["best_on_test"] & (rows["split"] == "test")].sort_values("when", kind="stable")
    top = top.drop_duplicates(keys, keep="last")[[*keys, "value"]].rename(columns={"value": "best_on_test_value"})
    table = scores.merge(top, on=keys)[shown]
    table["added"] = table["best_on_test_value"] - table["value"]
    tasks, labels = order_tasks(table), label_tasks(table)
    fig, (axes,) = make_axes(7.2, 1.1 + 0.42 * len(tasks))
    for y, (_, part) in enumerate(table.groupby("task", sort=False)):
        points = 100 * part["added"]
        axes.plot(points, [y] * len(points), "o", color=palette(1)[0], alpha=0.55, markersize=7)
        axes.plot([points.mean()], [y], "|", color=INK, markersize=20, markeredgewidth=2)
    axes.set_yticks(range(len(tasks)), [labels[t] for t in tasks])
    axes.set(xlabel="points added by choosing on test (dot: an embedding, bar: their mean)",
             ylim=(len(tasks) - 0.4, -0.6))
    axes.grid(axis="x", color=RULE)
    added = 100 * table["added"]
    alt = (f"Choosing the probe on test instead of on validation adds {added.mean():.1f} points on average over "
           f"{len(table)} cells, at most {added.max():.1f}, and changes {int((added > 0).sum())} of them.")
    return Figure(name, fig, alt, table)


@with_style
def confusion(predictions: pd.DataFrame, task: str, embedding: str, *, name: str = "confusion") -> Figure:
    """Which label was taken for which, counts printed in the fields.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Columns task, embedding, y_true, y_pred and, where there are several runs, key: the newest comes last.
    task, embedding : str
        Which of them.

    Returns
    -------
    Figure
        Its table has a row a true label (``y_true``), a column an answer.

    Raises
    ------
    ValueError
        If there are predictions, but none of that embedding on that task.
    """
    import pandas as pd

    if predictions.empty:
        return draw_nothing(name, "there are no predictions, as nothing was evaluated", ["y_true"])
    part = predictions[(predictions["task"] == task) & (predictions["embedding"] == embedding)]
    if part.empty:
        raise ValueError(f"there are no predictions of {embedding!r} on {task!r}")
    if "key" in part:  # of several runs the newest, which comes last
        part = part[part["key"] == part["key"].iloc[-1]]
    names = sorted(set(part["y_true"]) | set(part["y_pred"]))
    counts = pd.crosstab(part["y_true"], part["y_pred"]).reindex(index=names, columns=names, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    side = 2.6 + 0.42 * len(names)
    fig, (axes,) = make_axes(side, side - 0.5)
    axes.imshow(shares, cmap="BuPu", vmin=0, vmax=1.1)
    _write_counts(axes, counts, shares)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.set(xlabel="answered", ylabel="true label", title=f"{embedding} on {task}")
    return Figure(name, fig, _confusion_alt(counts, task, embedding), counts.reset_index())


def _write_counts(axes: Axes, counts: pd.DataFrame, shares: pd.DataFrame) -> None:
    dark = shares.to_numpy() > 0.6
    for (y, x), count in np.ndenumerate(counts.to_numpy()):
        if count:
            axes.text(x, y, str(count), ha="center", va="center", size=8, color="white" if dark[y, x] else INK)


def _confusion_alt(counts: pd.DataFrame, task: str, embedding: str) -> str:
    grid, names = counts.to_numpy(), [str(n) for n in counts.index]
    wrong = grid - np.diag(np.diag(grid))
    true, answer = np.unravel_index(int(wrong.argmax()), wrong.shape)
    worst = f" Most common mistake: {names[true]} taken for {names[answer]}, {wrong.max()} times." if wrong.any() else ""
    right = f"{np.trace(grid)} of {grid.sum()} clips right over {len(names)} labels"
    return f"Confusions of {embedding} on {task}: {right}.{worst}"
