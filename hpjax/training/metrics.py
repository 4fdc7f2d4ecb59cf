"""How good predictions are: the error that a search minimises, and the table a reader wants at the end."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def error(z: Array, y: Array, weight: Array, classes: bool, boundary: float = 0.0) -> Array:
    """The weighted error of outputs: share of wrong classes, or 1 - R^2 for numbers.

    Args:
        z: outputs [N C], before or after a monotone output activation.
        y: targets [N C]; classes as one-hot rows, or 0/1 in one column.
        weight: [N] 0 or 1.
        classes: whether the targets are classes.
        boundary: where one column's outputs turn from class 0 to class 1.

    Returns:
        [] error, NaN where the outputs are.
    """
    total = jnp.maximum(weight.sum(), 1)
    if not classes:
        mean = (weight[:, None] * y).sum(0) / total
        spread = (weight[:, None] * (y - mean) ** 2).sum()
        return (weight[:, None] * (y - z) ** 2).sum() / jnp.where(spread > 0, spread, 1)
    if z.shape[-1] == 1:
        wrong = (z[:, 0] > boundary) != (y[:, 0] > 0.5)
    else:
        wrong = jnp.argmax(z, -1) != jnp.argmax(y, -1)
    return jnp.where(
        jnp.isfinite(z).all(), (weight * wrong.astype(weight.dtype)).sum() / total, jnp.nan
    )


def table(truth: np.ndarray, predicted: np.ndarray, classes: bool) -> dict[str, float]:
    """Test metrics as scikit-learn computes them.

    Args:
        truth, predicted: labels [N], or numbers [N] or [N C].
        classes: whether they are classes.

    Returns:
        accuracy, macro precision, recall and F1; or R^2, root mean squared and mean absolute error.
    """
    from sklearn import metrics

    if not classes:
        return {
            "r2": float(metrics.r2_score(truth, predicted)),
            "rmse": float(metrics.root_mean_squared_error(truth, predicted)),
            "mae": float(metrics.mean_absolute_error(truth, predicted)),
        }
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, predicted, average="macro", zero_division=0
    )
    return {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: Sequence) -> np.ndarray:
    """Counts [C C] of true class (row) against predicted class (column).

    Args:
        truth, predicted: [N] classes.
        classes: C of them, in order; one that is in neither has zeros.
    """
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(truth, predicted, labels=list(classes))
