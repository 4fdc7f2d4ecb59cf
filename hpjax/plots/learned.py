"""What meta-training found: schedules layer by layer, and how the objective fell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpjax.plots.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


SHADES = "cividis"  # of layers, where the palette has too few colours


def by_layer(
    axes: Axes, x: np.ndarray, values: np.ndarray, xlabel: str, name: str, log: bool = False
) -> None:
    """A hyperparameter along steps or meta-iterations, a line for every layer; biases dashed where they have their own.

    Args:
        axes: to draw on.
        x: [n] steps or meta-iterations.
        values: [n], [n L+1], or [n L+1 2] of weights and biases.
        xlabel: of x.
        name: of the hyperparameter.
        log: logarithmic scale.
    """
    import matplotlib

    values = np.asarray(values)
    layers = values.reshape(len(values), -1) if values.ndim < 3 else values[:, :, 0]
    count = layers.shape[1]
    for layer in range(count):
        shade = (
            COLORS[layer] if count <= len(COLORS) else matplotlib.colormaps[SHADES](layer / count)
        )
        label = f"layer {layer + 1}" if values.ndim > 1 else None
        axes.plot(x, layers[:, layer], color=shade, label=label)
        if values.ndim == 3:
            axes.plot(x, values[:, layer, 1], color=shade, linestyle="--", linewidth=0.7)
    if values.ndim == 3:
        axes.plot([], [], color="black", linestyle="--", linewidth=0.7, label="biases")
    if log:
        axes.set_yscale("log")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(name)
    if values.ndim > 1:
        axes.legend()


def meta_curves(axes: Axes, loss: np.ndarray, name: str, best: int = 0) -> None:
    """The objective before each meta-step, a line for every start; the best one bold.

    Args:
        axes: to draw on.
        loss: [M S]; where it is not finite the line breaks.
        name: of the objective.
        best: start to stress.
    """
    shown = np.where(np.isfinite(loss), loss, np.nan)
    where = np.arange(len(shown))
    others = [start for start in range(shown.shape[1]) if start != best]
    axes.plot(where, shown[:, others], color="#BBBBBB", linewidth=0.5)
    axes.plot(
        where, shown[:, best], color=COLORS[0], linewidth=1.5, label="best" if others else None
    )
    if others:
        axes.plot([], [], color="#BBBBBB", linewidth=0.5, label="other starts")
        axes.legend()
    if np.nanmin(shown) > 0:
        axes.set_yscale("log")
    axes.set_xlabel("meta-iteration")
    axes.set_ylabel(name)
