"""How a method works, step by step: a process and its expected improvement; a population's lineage and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax.plots.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def posterior(
    axes: Axes,
    x: np.ndarray,
    mean: np.ndarray,
    deviation: np.ndarray,
    seen: np.ndarray,
    value: np.ndarray,
    proposed: np.ndarray,
    xlabel: str,
    log: bool = False,
) -> None:
    """A Gaussian process along one dimension: mean, two deviations, what was seen, and what is proposed.

    Args:
        axes: to draw on.
        x: [p] places.
        mean, deviation: [p].
        seen, value: [n] points along the dimension, and their losses as the process sees them.
        proposed: [m] points along the dimension.
        xlabel: of the dimension.
        log: the dimension is drawn on a logarithmic scale.
    """
    axes.plot(x, mean, color=COLORS[0], label="mean")
    axes.fill_between(
        x,
        mean - 2 * deviation,
        mean + 2 * deviation,
        color=COLORS[0],
        alpha=0.15,
        linewidth=0,
        label="2 deviations",
    )
    axes.plot(seen, value, "o", color="black", markersize=2.5, label="seen")
    for number, point in enumerate(np.atleast_1d(proposed)):
        axes.axvline(
            point,
            color=COLORS[1],
            linewidth=0.8,
            linestyle="--",
            label="proposed" if not number else None,
        )
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel("loss, standardised")


def improvement(
    axes: Axes,
    x: np.ndarray,
    log_ei: np.ndarray,
    proposed: np.ndarray,
    xlabel: str,
    log: bool = False,
) -> None:
    """Expected improvement along one dimension (its logarithm, cut 12 below the peak), and what is proposed."""
    height = np.maximum(log_ei, np.max(log_ei) - 12)
    axes.fill_between(x, height, np.min(height), color=COLORS[2], alpha=0.3, linewidth=0)
    axes.plot(x, height, color=COLORS[2])
    for point in np.atleast_1d(proposed):
        axes.axvline(point, color=COLORS[1], linewidth=0.8, linestyle="--")
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel("log EI")


def lineage(
    axes: Axes,
    steps: np.ndarray,
    members: Sequence[int],
    sources: np.ndarray,
    losses: np.ndarray,
    best: list[int],
) -> None:
    """Who went on from whom: time to the right, a line of weights from every member to its source; copies stand out.

    Args:
        axes: to draw on.
        steps: [t] epochs at which intervals end.
        members: [n] trial numbers.
        sources: [t n] whose weights each member went on from (-1: its own start).
        losses: [t n].
        best: member whose network the winner was, in each interval [t].
    """
    import matplotlib

    row = {trial: place for place, trial in enumerate(members)}
    finite = np.isfinite(losses)
    # by orders of magnitude where they have any; what should be large is drawn as its negative
    height = np.log(losses) if (losses[finite] > 0).all() else losses
    low, high = np.min(height[finite]), np.quantile(height[finite], 0.95)
    shade = lambda h: matplotlib.colormaps["viridis_r"](
        np.clip((h - low) / max(high - low, 1e-9), 0, 1)
    )
    begins = [0, *steps[:-1]]
    for at in range(len(steps)):
        for place, source in enumerate(sources[at]):
            start = row.get(int(source), place)
            color = "#EE6677" if start != place else "#DDDDDD"
            axes.plot(
                [begins[at], steps[at]],
                [start, place],
                color=color,
                linewidth=0.5,
                zorder=1 + (start != place),
            )
            dot = "#000000" if not finite[at, place] else shade(height[at, place])
            axes.plot(steps[at], place, "o", color=dot, markersize=2.5, zorder=3)
    line = [(begins[0], row[best[0]]), *((steps[at], row[best[at]]) for at in range(len(steps)))]
    axes.plot(
        *zip(*line), color="#000000", linewidth=1.4, zorder=4, label="the best network's line"
    )
    axes.plot([], [], color="#EE6677", linewidth=0.8, label="copied")
    axes.set_xlabel("epoch")
    axes.set_ylabel("member")
    axes.set_ylim(-0.5, len(members) + 1.5)
    axes.legend(loc="upper left", ncols=2)


def schedules(
    axes: Axes,
    segments: Mapping[int, tuple[np.ndarray, np.ndarray]],
    best: int,
    name: str,
    log: bool,
) -> None:
    """A hyperparameter over epochs, a step line per surviving member; the best one bold.

    Args:
        axes: to draw on.
        segments: member -> (until epochs [t], values [t]).
        best: member to stress.
        name: of the hyperparameter.
        log: logarithmic scale.
    """
    for member, (until, value) in segments.items():
        edges = np.concatenate([[0], until])
        style: dict[str, Any] = (
            {"color": COLORS[0], "linewidth": 1.5, "zorder": 3, "label": "best"}
            if member == best
            else {"color": "#BBBBBB", "linewidth": 0.5}
        )
        axes.stairs(value, edges, baseline=None, **style)
    if log:
        axes.set_yscale("log")
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.legend(loc="best")
