"""Learning curves and the incumbent over cost."""

from __future__ import annotations

import numpy as np

from hpjax.plots.style import COLORS


def learning_curves(
    axes, curves, best: int | None = None, value: str = "loss", label: str = "validation loss"
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

    lines, dots = [], []
    for trial, part in curves.groupby("trial"):
        part = part[np.isfinite(part[value])]
        points = part[["epoch", value]].to_numpy()
        if len(points) and trial != best:
            lines.append(points)
            dots.append(points[-1])
    axes.add_collection(
        LineCollection(lines, colors="#999999", linewidths=0.5, alpha=0.5, label="trials")
    )
    if dots:
        axes.plot(*np.array(dots).T, ".", color="#777777", markersize=2, label="last score")
    part = curves[(curves["trial"] == best) & np.isfinite(curves[value])]
    if len(part):
        axes.plot(part["epoch"], part[value], color=COLORS[0], linewidth=1.5, label="best trial")
    axes.autoscale()
    finite = curves[value][np.isfinite(curves[value]) & (curves[value] > 0)]
    if len(finite):
        axes.set_yscale("log")
        axes.set_ylim(finite.min() * 0.8, min(finite.max(), finite.quantile(0.98) * 3) * 1.1)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.legend(loc="upper right")


def incumbent(axes, cost, value, label: str = "best validation loss", **line) -> None:
    """The best value so far over summed cost, as steps.

    Args:
        axes: to draw on.
        cost: [n] epochs spent, rising.
        value: [n] best so far.
        label: of the vertical axis.
    """
    axes.plot(cost, value, drawstyle="steps-post", **({"color": COLORS[0]} | line))
    finite = np.asarray(value)[np.isfinite(value)]
    if len(finite) and finite.min() > 0:
        axes.set_yscale("log")
    axes.set_xlabel("epochs trained, all trials")
    axes.set_ylabel(label)
