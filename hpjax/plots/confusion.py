"""The confusion matrix as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confusion(axes: Axes, counts: np.ndarray, labels: tuple[str, ...]) -> None:
    """Counts of true class (row) against predicted class (column), shaded by share of the row.

    Args:
        axes: to draw on.
        counts: [C C].
        labels: names of the classes.
    """
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            shade = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=6, color=shade)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    for side in axes.spines.values():
        side.set_visible(False)
