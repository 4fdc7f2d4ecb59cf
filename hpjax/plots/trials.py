"""Trials over their hyperparameters: parallel coordinates, slices, contours, partial dependence, importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Scale(NamedTuple):
    """How a hyperparameter is drawn."""

    name: str
    log: bool  # numbers on a logarithmic scale
    labels: tuple[str, ...] = ()  # of choices, drawn at 0, 1, 2, ...
    whole: bool = False  # whole numbers only


def _dress(axis: Any, scale: Scale) -> None:
    """An axis (of x or y) with a hyperparameter's scale and labels."""
    if scale.labels:
        axis.set_ticks(range(len(scale.labels)), scale.labels)
    elif scale.log:
        axis._set_axes_scale("log")
    elif scale.whole:
        axis.get_major_locator().set_params(integer=True)
    axis.set_label_text(scale.name)


def slice_(
    axes: Axes,
    values: Any,
    loss: np.ndarray,
    number: np.ndarray,
    scale: Scale,
    ylabel: str = "validation loss",
    full: np.ndarray | None = None,
):
    """Loss over one hyperparameter, a dot per trial, later trials darker; those that were stopped early as grey crosses.

    Args:
        axes: to draw on.
        values: [n], NaN where inactive (drawn at the left edge, hollow).
        loss: [n].
        number: [n] trial numbers.
        scale: of the hyperparameter.
        ylabel: of the loss.
        full: [n] bool, which trials were trained to the end; all where None. Losses after fewer epochs are another quantity.

    Returns:
        The dots, for a colour bar.
    """
    values, loss = np.asarray(values, float), np.asarray(loss, float)
    full = np.ones(len(loss), bool) if full is None else np.asarray(full)
    early = np.isfinite(values) & np.isfinite(loss) & ~full
    there = np.isfinite(values) & np.isfinite(loss) & full
    if scale.labels:  # spread a little, so that equal choices do not hide each other
        values = values + 0.25 * (np.mod(np.asarray(number) * 0.618034, 1) - 0.5)
    if early.any():
        axes.plot(
            values[early],
            loss[early],
            "x",
            color="#BBBBBB",
            markersize=2.5,
            markeredgewidth=0.6,
            zorder=0,
        )
    dots = axes.scatter(
        values[there],
        loss[there],
        c=np.asarray(number)[there],
        cmap="Blues",
        s=6,
        edgecolors="#555555",
        linewidths=0.2,
    )
    off = ~np.isfinite(values) & np.isfinite(loss) & full
    if off.any():
        edge = np.full(off.sum(), 0.015)
        axes.scatter(
            edge,
            loss[off],
            s=6,
            facecolors="none",
            edgecolors="#AA3377",
            linewidths=0.5,
            transform=axes.get_yaxis_transform(),
            label="inactive",
        )
        axes.legend(loc="upper right")
    _dress(axes.xaxis, scale)
    seen = there | early
    if seen.any() and loss[seen].min() > 0 and loss[seen].max() > 3 * loss[seen].min():
        axes.set_yscale("log")
    axes.set_ylabel(ylabel)
    return dots


def parallel_coordinates(
    axes: Axes,
    table: Mapping[str, np.ndarray],
    scales: Sequence[Scale],
    loss: np.ndarray,
    label: str = "validation loss",
    full: np.ndarray | None = None,
):
    """A line per trial across one axis per hyperparameter, the loss first; good trials dark and on top, those that were stopped
    early grey and without a colour: their losses are after fewer epochs.

    Args:
        axes: to draw on.
        table: name -> [n] values, NaN where inactive (the line is broken there).
        scales: of the hyperparameters, in order.
        loss: [n].
        label: of the loss.
        full: [n] bool, which trials were trained to the end; all where None.

    Returns:
        The lines, for a colour bar.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm, Normalize

    loss = np.asarray(loss, float)
    kept = np.flatnonzero(np.isfinite(loss))
    log_loss = bool(len(kept)) and loss[kept].min() > 0
    columns = [(Scale(label, log_loss), loss), *((s, table[s.name]) for s in scales)]
    heights, ends = [], []
    for scale, values in columns:
        height, low, high = _heights(scale, np.asarray(values, float)[kept])
        heights.append(height)
        ends.append((scale, low, high))
    lines = np.stack(
        [
            np.broadcast_to(np.arange(len(heights))[:, None], (len(heights), len(kept))),
            np.array(heights),
        ],
        -1,
    ).transpose(1, 0, 2)
    whole = np.ones(len(kept), bool) if full is None else np.asarray(full)[kept]
    whole = whole if whole.any() else np.ones(len(kept), bool)
    if not whole.all():
        axes.add_collection(LineCollection(list(lines[~whole]), colors="#DDDDDD", linewidths=0.4))
    shown = loss[kept][whole]
    order = np.argsort(-shown)
    norm = LogNorm(shown.min(), shown.max()) if log_loss else Normalize()
    drawn = LineCollection(
        list(lines[whole][order]), cmap="Blues_r", norm=norm, linewidths=0.6, alpha=0.7
    )
    drawn.set_array(shown[order])
    axes.add_collection(drawn)
    axes.set_xlim(-0.05, len(heights) - 0.95)
    axes.set_ylim(-0.12, 1.12)
    for at, (scale, low, high) in enumerate(ends):
        _upright_axis(axes, at, scale, low, high)
    axes.set_xticks(range(len(ends)), [scale.name for scale, _, _ in ends], rotation=20, ha="right")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return drawn


def _heights(scale: Scale, numbers: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Values [n] as heights between 0 and 1, and the values (their logarithms) that these stand for."""
    numbers = np.log10(numbers) if scale.log else numbers
    finite = numbers[np.isfinite(numbers)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    if scale.labels:
        low, high = 0.0, max(1.0, len(scale.labels) - 1.0)
    return (numbers - low) / max(high - low, 1e-12), low, high


def _upright_axis(axes: Axes, at: int, scale: Scale, low: float, high: float) -> None:
    """One hyperparameter's axis, with its ends or its choices."""
    axes.axvline(at, color="black", linewidth=0.5)
    texts = scale.labels or tuple(f"{10**v if scale.log else v:.3g}" for v in (low, high))
    for height, text in zip(np.linspace(0, 1, len(texts)) if len(texts) > 1 else [0.5], texts):
        axes.text(
            at,
            height,
            text,
            fontsize=5.5,
            ha="center",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )


def contour(
    axes: Axes,
    x: np.ndarray,
    y: np.ndarray,
    surface: np.ndarray,
    dots_x: np.ndarray,
    dots_y: np.ndarray,
    scale_x: Scale,
    scale_y: Scale,
):
    """A surface over two hyperparameters (their partial dependence), and the trials on it.

    Args:
        axes: to draw on.
        x, y: [p] values of the places.
        surface: [p p], x first.
        dots_x, dots_y: [n] of the trials.
        scale_x, scale_y: of the hyperparameters.

    Returns:
        The filled contours, for a colour bar.
    """
    drawn = axes.contourf(x, y, np.asarray(surface).T, 15, cmap="Blues_r")
    axes.plot(dots_x, dots_y, ".", color="#EE6677", markersize=2.5, markeredgewidth=0)
    _dress(axes.xaxis, scale_x)
    _dress(axes.yaxis, scale_y)
    return drawn


def partial_dependence(
    axes: Axes, x: np.ndarray, mean: np.ndarray, deviation: np.ndarray, scale: Scale, ylabel: str
) -> None:
    """A forest's mean over all other hyperparameters, and one deviation over its trees."""
    if scale.labels:
        axes.errorbar(x, mean, deviation, fmt="o", color="#4477AA", markersize=3, linewidth=0.8)
        axes.set_xlim(-0.5, len(scale.labels) - 0.5)
    else:
        axes.plot(x, mean, color="#4477AA")
        axes.fill_between(
            x, mean - deviation, mean + deviation, color="#4477AA", alpha=0.15, linewidth=0
        )
    _dress(axes.xaxis, scale)
    axes.set_ylabel(ylabel)


def importance(
    axes: Axes, names: Sequence[str], share: np.ndarray, error: np.ndarray | None, title: str
) -> None:
    """Horizontal bars, the most important on top.

    Args:
        axes: to draw on.
        names: of the hyperparameters.
        share: [D].
        error: [D] standard deviations, where there are any.
        title: what was measured.
    """
    order = np.argsort(share)
    spread = None
    if error is not None:  # shares are not below 0
        spread = np.stack([np.minimum(error, share), error])[:, order]
    axes.barh(
        range(len(order)),
        np.asarray(share)[order],
        0.7,
        color="#4477AA",
        xerr=spread,
        error_kw={"linewidth": 0.6},
    )
    axes.set_yticks(range(len(order)), [names[i] for i in order])
    axes.set_xlim(left=0)
    axes.set_xlabel("share")
    axes.set_title(title)
