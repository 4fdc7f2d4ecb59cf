"""Learning curves and the incumbent over cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax.plots.style import COLORS

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def learning_curves(
    axes: Axes,
    curves: pandas.DataFrame,
    best: int | None = None,
    value: str = "loss",
    label: str = "validation loss",
) -> None:
    """Every trial's curve over epochs, thin and grey; the best one bold.

    Args:
        axes: to draw on.
        curves: table with trial, epoch and `value`.
        best: trial to stress.
        value: column to draw.
        label: of the vertical axis.
    """
    from matplotlib.collections import LineCollection

    by_trial = by_trials(curves, value)
    others = [trial for trial in by_trial if trial != best]
    chosen = sampled(others)
    lines = [by_trial[trial] for trial in chosen]
    name = "trials" if len(chosen) == len(others) else f"{len(chosen)} of {len(others):,} trials"
    axes.add_collection(
        LineCollection(lines, colors="#999999", linewidths=0.5, alpha=0.5, label=name)
    )
    if lines:
        dots = np.array([points[-1] for points in lines])
        axes.plot(*dots.T, ".", color="#777777", markersize=2, label="last score")
    part = curves[(curves["trial"] == best) & np.isfinite(curves[value])]
    if len(part):
        axes.plot(part["epoch"], part[value], color=COLORS[0], linewidth=1.5, label="best trial")
    axes.autoscale()
    finite = positive(curves[value])
    if len(finite):
        axes.set_yscale("log")
        axes.set_ylim(finite.min() * 0.8, min(finite.max(), finite.quantile(0.98) * 3) * 1.1)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.legend(loc="upper right")


def positive(column: Any):
    """The finite values above 0 of a column, for a logarithmic axis; none where some lie below 0."""
    return column[np.isfinite(column) & (column > 0)] if not (column < 0).any() else column[:0]


# lines of a figure; of more trials, so many are drawn, evenly spread over their numbers
DRAWN = 1000


def by_trials(curves: pandas.DataFrame, value: str) -> dict[int, np.ndarray]:
    """Trial -> its finite points [k 2] of (epoch, value), from a table sorted by trial and epoch."""
    trial, column = curves["trial"].to_numpy(), curves[value].to_numpy(float)
    kept = np.isfinite(column)
    trial = trial[kept]
    points = np.column_stack([curves["epoch"].to_numpy(float)[kept], column[kept]])
    starts = np.flatnonzero(np.diff(trial, prepend=-1))
    parts = np.split(points, starts[1:]) if len(trial) else []
    return dict(zip(trial[starts].tolist(), parts))


def sampled(items: list) -> list:
    """The items, or `DRAWN` of them, evenly spread."""
    if len(items) <= DRAWN:
        return items
    return [items[at] for at in np.linspace(0, len(items) - 1, DRAWN).round().astype(int)]


def rungs(
    axes: Axes,
    curves: pandas.DataFrame,
    reached: Mapping[int, int],
    value: str = "loss",
    label: str = "validation loss",
) -> None:
    """Learning curves coloured by how far each trial was let live: the rung that it ended on.

    Args:
        axes: to draw on.
        curves: table with trial, epoch and `value`.
        reached: trial -> last epoch that it was asked to train until.
        value: column to draw.
        label: of the vertical axis.
    """
    import matplotlib
    from matplotlib.collections import LineCollection

    ends = sorted(set(reached.values()))
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.08, 1, len(ends)))
    parts = by_trials(curves, value)
    for end, shade in zip(ends, shades):
        trials = [trial for trial, last in reached.items() if last == end and trial in parts]
        lines = [parts[trial] for trial in sampled(trials)]
        name = f"until epoch {end}: {len(trials)}"
        axes.add_collection(LineCollection(lines, colors=[shade], linewidths=0.6, label=name))
        dots = np.array([line[-1] for line in lines]).reshape(-1, 2)
        axes.plot(*dots.T, ".", color=shade, markersize=2)
    axes.autoscale()
    axes.set_xscale("log")
    finite = positive(curves[value])
    if len(finite):
        axes.set_yscale("log")
        axes.set_ylim(finite.min() * 0.8, finite.quantile(0.98) * 2)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.legend(loc="upper right")


def incumbent(
    axes: Axes,
    cost: np.ndarray,
    low: np.ndarray,
    full: np.ndarray,
    label: str = "best validation loss",
) -> None:
    """The best value so far over summed cost, as steps: at any fidelity, and among fully trained trials.

    Args:
        axes: to draw on.
        cost: [n] epochs spent, rising.
        low: [n] best so far at any fidelity.
        full: [n] best so far at full fidelity, not finite before the first.
        label: of the vertical axis.
    """
    for value, color, style, name in (
        (low, "#777777", "--", "at any epoch"),
        (full, COLORS[0], "-", "fully trained"),
    ):
        at = np.asarray(value)
        seen = np.isfinite(at)
        if len(at) > DRAWN:  # a step is drawn by the places where it changes, and its end
            seen &= np.append(True, at[1:] != at[:-1]) | (np.arange(len(at)) == len(at) - 1)
        axes.plot(
            np.asarray(cost)[seen],
            at[seen],
            style,
            color=color,
            label=name,
            drawstyle="steps-post",
            marker="o" if seen.sum() < 30 else None,
            markersize=3,
        )
    finite = np.asarray(low)[np.isfinite(low)]
    if len(finite) and finite.min() > 0 and finite.max() > 3 * finite.min():
        axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set_xlabel("epochs trained, all trials")
    axes.set_ylabel(label)
    axes.legend(loc="upper right")
