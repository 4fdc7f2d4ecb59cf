"""Methods side by side: anytime curves, ranks, critical differences, profiles, distributions, Pareto fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hpjax.plots.style import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def anytime(
    axes: Axes,
    cost: np.ndarray,
    curves: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str,
) -> None:
    """The best value so far over cost: median over seeds as a step line, quartiles as a band; axes are logarithmic where the values allow it.

    Args:
        axes: to draw on.
        cost: [g].
        curves: method -> [3 g], lower quartile, median and upper quartile; NaN before the first.
        xlabel, ylabel: with units.
    """
    cost = np.asarray(cost, float)
    for name, (low, middle, high) in curves.items():
        style = look(name)
        seen = np.isfinite(middle)
        if not seen.any():
            continue
        every = max(1, int(seen.sum()) // 6)
        axes.plot(
            cost[seen],
            middle[seen],
            label=name,
            drawstyle="steps-post",
            markersize=3,
            markevery=every,
            linewidth=1,
            **style,
        )
        axes.fill_between(
            cost[seen],
            low[seen],
            high[seen],
            step="post",
            color=style["color"],
            alpha=0.12,
            linewidth=0,
        )
    values = np.concatenate([np.ravel(curve) for curve in curves.values()])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 3 * values.min():
        axes.set_yscale("log")
    low = cost[cost > 0].min()
    if cost.max() > (150 if low <= 1 else 30) * low:
        axes.set_xscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def rank_curves(
    axes: Axes,
    cost: np.ndarray,
    ranks: Mapping[str, np.ndarray],
    xlabel: str,
) -> None:
    """Mean rank over cost, 1 is best.

    Args:
        axes: to draw on.
        cost: [g].
        ranks: method -> [g].
        xlabel: with unit.
    """
    for name, rank in ranks.items():
        style = look(name)
        every = max(1, len(rank) // 6)
        axes.plot(
            cost, rank, label=name, drawstyle="steps-post", markersize=3, markevery=every, **style
        )
    low = min(c for c in cost if c > 0)
    if max(cost) > (150 if low <= 1 else 30) * low:
        axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    axes.set_ylabel("mean rank (1 is best)")


def critical_difference(
    axes: Axes,
    mean_ranks: Mapping[str, float],
    difference: float,
    groups: Sequence[tuple[int, int]],
) -> None:
    """Demsar's diagram: methods on a line of mean ranks, the best at the right; bars join those that do not differ.

    Args:
        axes: to draw on.
        mean_ranks: method -> mean rank.
        difference: critical difference.
        groups: (first, last) of the methods sorted by mean rank, that bars join.

    References:
        Demsar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, figure 1.
    """
    names = sorted(mean_ranks, key=lambda name: mean_ranks[name])
    count = len(names)
    low, high = 1, count
    half = -(-count // 2)
    depth = 1.2 + 0.35 * len(groups)
    axes.set_xlim(high + 0.02 * count, low - 0.02 * count)
    axes.set_ylim(depth + half + 0.2, -1.1)
    axes.hlines(0, low, high, color="black", linewidth=0.8)
    for tick in range(low, high + 1):
        axes.vlines(tick, -0.15, 0, color="black", linewidth=0.8)
        axes.text(tick, -0.25, str(tick), ha="center", va="bottom", fontsize=6)
    for number, name in enumerate(names):
        best = number < half
        row = depth + (number if best else count - 1 - number)
        _method_line(axes, name, mean_ranks[name], row, low if best else high, best)
    for level, (first, last) in enumerate(groups):
        axes.hlines(
            0.45 + 0.35 * level,
            mean_ranks[names[first]] - 0.03,
            mean_ranks[names[last]] + 0.03,
            color="black",
            linewidth=2.2,
        )
    axes.hlines(-0.95, low, min(high, low + difference), color="black", linewidth=1)
    axes.text(
        low + difference / 2,
        -1.0,
        f"critical difference {difference:.2f}",
        ha="center",
        va="bottom",
        fontsize=6,
    )
    axes.set_axis_off()


def _method_line(axes: Axes, name: str, rank: float, row: float, edge: float, best: bool) -> None:
    """From a method's mean rank on the line down to its row, and there to its name at the edge."""
    style = look(name)
    line = {"color": style["color"], "clip_on": False}
    axes.plot([rank, rank, edge], [0, row, row], linewidth=0.8, **line)
    axes.plot([rank], [0], marker=style["marker"], markersize=3.5, **line)
    axes.annotate(
        f"{name} {rank:.2f}",
        (edge, row),
        xytext=(3 if best else -3, 0),
        textcoords="offset points",
        ha="left" if best else "right",
        va="center",
        fontsize=6.5,
        annotation_clip=False,
    )


def profiles(axes: Axes, levels: np.ndarray, shares: Mapping[str, np.ndarray], xlabel: str) -> None:
    """Share of runs that score above each level, a falling line per method."""
    for name, share in shares.items():
        axes.plot(levels, share, label=name, **(look(name) | {"marker": None}))
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(xlabel)
    axes.set_ylabel("fraction of runs above")


def ecdfs(axes: Axes, steps: Mapping[str, tuple[np.ndarray, np.ndarray]], xlabel: str) -> None:
    """Empirical distributions: share of values at or below each, a rising step line each."""
    for name, (value, share) in steps.items():
        axes.step(value, share, where="post", label=name, **(look(name) | {"marker": None}))
    values = np.concatenate([value for value, _ in steps.values()])
    if len(values) and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(xlabel)
    axes.set_ylabel("cumulative share")


def pareto(
    axes: Axes, cost: np.ndarray, value: np.ndarray, front: np.ndarray, xlabel: str, ylabel: str
) -> None:
    """Trials by cost and value, and the front that no other trial beats in both.

    Args:
        axes: to draw on.
        cost, value: [n].
        front: rows of the front, by rising cost.
        xlabel, ylabel: with units.
    """
    cost, value = np.asarray(cost, float), np.asarray(value, float)
    rest = np.isfinite(value)
    axes.plot(
        cost[rest],
        value[rest],
        ".",
        color="#BBBBBB",
        markersize=3,
        label=f"{rest.sum()} fully trained",
    )
    axes.plot(
        cost[front],
        value[front],
        color="#4477AA",
        marker="o",
        markersize=3,
        drawstyle="steps-post",
        label="Pareto front",
    )
    if cost.max() > 10 * max(cost.min(), 1e-12):
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=3)
    if value[rest].min() > 0:
        axes.set_yscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.legend(loc="upper right")
