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


def rungs(axes, curves, reached, value: str = "loss", label: str = "validation loss") -> None:
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
    parts = {trial: part for trial, part in curves.groupby("trial")}
    for end, shade in zip(ends, shades):
        trials = [trial for trial, last in reached.items() if last == end and trial in parts]
        lines = [parts[trial][["epoch", value]].to_numpy() for trial in trials]
        lines = [line[np.isfinite(line[:, 1])] for line in lines]
        name = f"until epoch {end}: {len(trials)}"
        axes.add_collection(LineCollection(lines, colors=[shade], linewidths=0.6, label=name))
        dots = np.array([line[-1] for line in lines if len(line)]).reshape(-1, 2)
        axes.plot(*dots.T, ".", color=shade, markersize=2)
    axes.autoscale()
    axes.set_xscale("log")
    finite = curves[value][np.isfinite(curves[value]) & (curves[value] > 0)]
    if len(finite):
        axes.set_yscale("log")
        axes.set_ylim(finite.min() * 0.8, finite.quantile(0.98) * 2)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.legend(loc="upper right")


def incumbent(axes, cost, low, full, label: str = "best validation loss") -> None:
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
        seen = np.isfinite(value)
        axes.plot(
            np.asarray(cost)[seen], np.asarray(value)[seen], style, color=color, label=name,
            drawstyle="steps-post", marker="o" if seen.sum() < 30 else None, markersize=3,
        )  # fmt: skip
    finite = np.asarray(low)[np.isfinite(low)]
    if len(finite) and finite.min() > 0 and finite.max() > 3 * finite.min():
        axes.set_yscale("log")
    axes.set_xlim(left=0)
    axes.set_xlabel("epochs trained, all trials")
    axes.set_ylabel(label)
    axes.legend(loc="upper right")
