"""Figures of one evaluation: which probe was chosen, what choosing on test would add, what was confused.

Conventions
-----------
As in `nslib.plots.results`: percent, and the probe chosen on validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nslib.plots import order
from nslib.plots.figure import INK, MARKERS, RULE, Figure, canvas, listed, palette, styled

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes


@styled
def choice(rows: pd.DataFrame, task: str, embedding: str, *, name: str = "choice") -> Figure:
    """Every probe and normalisation of one cell of the table: validation score against test score.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows, validation and test.
    task, embedding : str
        Which cell.
    name : str
        Of the figure.

    Returns
    -------
    Figure
        Its alternative text says what choosing on test would have gained: the optimism of tables
        made that way.
    """
    cell = rows[(rows["task"] == task) & (rows["embedding"] == embedding)]
    settings = ["probe", "l2", "speaker_norm", "seed"]
    both = cell.pivot_table(index=settings, columns="split", values="value", aggfunc="last").reset_index()
    if both.empty or "test" not in both:
        raise ValueError(f"there are no scores of {embedding!r} on {task!r} among these rows")
    picked = order.chosen(cell)[settings].assign(chosen=True)
    both = both.merge(picked, how="left", on=settings).fillna({"chosen": False})
    fig, (axes,) = canvas(6.6, 4.6)
    _settings(axes, both)
    best, mine = both.loc[both["test"].idxmax()], both[both["chosen"].astype(bool)].iloc[0]
    alt = (
        f"{len(both)} settings of the probe for {embedding} on {task}. Chosen on validation: "
        f"{_setting(mine)}, "
        f"test {100 * mine['test']:.1f} %. Best on test: {_setting(best)}, {100 * best['test']:.1f} %, "
        f"so choosing on test would have added {100 * (best['test'] - mine['test']):.1f} points."
    )
    return Figure(name, fig, alt, both)


def _setting(row: pd.Series) -> str:
    on = [w for w, f in (("L2", row["l2"]), ("speaker z-score", row["speaker_norm"])) if f]
    return f"{row['probe']} with {listed(on)}" if on else f"{row['probe']}, not normalised"


def _settings(axes: Axes, both: pd.DataFrame) -> None:
    probes = sorted(both["probe"].unique())
    for probe, marker, colour in zip(probes, MARKERS, palette(len(probes)), strict=False):
        part = both[both["probe"] == probe]
        axes.plot(
            100 * part["validation"],
            100 * part["test"],
            marker,
            color=colour,
            alpha=0.85,
            markersize=7,
            label=probe,
        )
    mine, best = both[both["chosen"].astype(bool)], both.loc[[both["test"].idxmax()]]
    for part, text, size in ((mine, "chosen on validation", 15), (best, "best on test", 20)):
        axes.plot(
            100 * part["validation"],
            100 * part["test"],
            "o",
            color=INK,
            markerfacecolor="none",
            markersize=size,
            linestyle="none",
            markeredgewidth=1.4 if size == 15 else 0.8,
            label=text,
        )
    axes.set(xlabel="% correct on validation", ylabel="% correct on test")
    axes.grid(color=RULE)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.9)


@styled
def optimism(rows: pd.DataFrame, *, name: str = "optimism") -> Figure:
    """What choosing the probe on test would add to each cell of the table.

    Parameters
    ----------
    rows : pandas.DataFrame
        Result rows with ``best_on_test``.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    scores = order.chosen(rows)
    top = rows[rows["best_on_test"] & (rows["split"] == "test")].sort_values("when", kind="stable")
    top = top.drop_duplicates(["task", "embedding", "seed"], keep="last")[
        ["task", "embedding", "seed", "value"]
    ]
    table = scores.merge(
        top.rename(columns={"value": "best_on_test_value"}), on=["task", "embedding", "seed"]
    )[["task", "corpus_kind", "embedding", "value", "best_on_test_value"]]
    table["added"] = table["best_on_test_value"] - table["value"]
    added = 100 * table["added"]
    tasks, called = order.tasks(table), order.labels(table)
    fig, (axes,) = canvas(7.2, 1.1 + 0.42 * len(tasks))
    for y, task in enumerate(tasks):
        part = 100 * table[table["task"] == task]["added"]
        axes.plot(part, [y] * len(part), "o", color=palette(1)[0], alpha=0.55, markersize=7)
        axes.plot([part.mean()], [y], "|", color=INK, markersize=20, markeredgewidth=2)
    axes.set_yticks(range(len(tasks)), [called[t] for t in tasks])
    axes.set(
        xlabel="points added by choosing on test (dot: an embedding, bar: their mean)",
        ylim=(len(tasks) - 0.4, -0.6),
    )
    axes.grid(axis="x", color=RULE)
    alt = (
        f"Choosing the probe on test instead of on validation adds {added.mean():.1f} points on average "
        f"over {len(table)} cells, at most {added.max():.1f}, and changes {int((added > 0).sum())} of them."
    )
    return Figure(name, fig, alt, table)


@styled
def confusion(predictions: pd.DataFrame, task: str, embedding: str, *, name: str = "confusion") -> Figure:
    """Which label was taken for which, counts printed in the cells.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Columns task, embedding, y_true, y_pred and, where there are several runs, key: the newest comes last.
    task, embedding : str
        Which of them.
    name : str
        Of the figure.

    Returns
    -------
    Figure
    """
    import pandas as pd

    part = predictions[(predictions["task"] == task) & (predictions["embedding"] == embedding)]
    if part.empty:
        raise ValueError(f"there are no predictions of {embedding!r} on {task!r}")
    if "key" in part:  # of several runs the newest, which comes last
        part = part[part["key"] == part["key"].iloc[-1]]
    names = sorted(set(part["y_true"]) | set(part["y_pred"]))
    counts = pd.crosstab(part["y_true"], part["y_pred"]).reindex(index=names, columns=names, fill_value=0)
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    side = 2.6 + 0.42 * len(names)
    fig, (axes,) = canvas(side, side - 0.5)
    axes.imshow(shares, cmap="BuPu", vmin=0, vmax=1.1)
    _counts(axes, counts.to_numpy(), shares.to_numpy())
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)
    axes.set(xlabel="answered", ylabel="true label", title=f"{embedding} on {task}")
    return Figure(name, fig, _confusion_alt(counts, task, embedding), counts.reset_index())


def _confusion_alt(counts: pd.DataFrame, task: str, embedding: str) -> str:
    grid, names = counts.to_numpy(), [str(n) for n in counts.index]
    wrong = grid - np.diag(np.diag(grid))
    true, answer = np.unravel_index(int(wrong.argmax()), wrong.shape)
    found = f"{names[true]} taken for {names[answer]}, {wrong.max()} times"
    right = f"{np.trace(grid)} of {grid.sum()} clips right over {len(names)} labels"
    worst = f" Most common mistake: {found}." if wrong.any() else ""
    return f"Confusions of {embedding} on {task}: {right}.{worst}"


def _counts(axes: Axes, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> None:
    for (y, x), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[y, x] > 0.6 else INK
            axes.text(x, y, str(count), ha="center", va="center", size=8, color=colour)
