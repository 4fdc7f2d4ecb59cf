"""How good predictions are: the error that a search minimises, and the table a reader wants at the end."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
ROUNDING = 1e-6  # a deviation below this share of the size of numbers is none


class Metric(NamedTuple):
    """How good predictions are, in a user's words.

    Attributes:
        function: in jax.numpy, (predictions [N C], y [N C]) -> a number for each example [N], whose mean is meant; or
            (predictions, y, weight [N]) -> one number, for what is no mean: examples of weight 0 do not count. Predictions are
            probabilities of classes (one column for two classes) or standardised numbers; y are one-hot rows, 0/1 in one
            column, or standardised numbers. It may ask for `units` [2 C], too: what 1 and 0 of standardised numbers are; and for
            `rows` [N]: which examples of the task they are.
        greater_is_better: whether a search should make it large.
    """

    function: Callable[..., Array]
    greater_is_better: bool = False

    def __call__(
        self, predictions: Array, y: Array, weight: Array, units: Array, rows: Array
    ) -> Array:
        """[] the value on weighted examples [N], rows of the task; units [2 C] of standardised numbers."""
        asked = {"weight": weight, "units": units, "rows": rows}
        more = {name: asked[name] for name in asked if self.asks(name)}
        found = jnp.asarray(self.function(predictions, y, **more), predictions.dtype)
        if "weight" in more:
            return found
        return (found * weight).sum() / jnp.maximum(weight.sum(), 1)

    def asks(self, name: str) -> bool:
        """Whether the function has such a parameter."""
        return name in inspect.signature(self.function).parameters


Metrics = tuple[tuple[str, Metric], ...]  # of a study, by name


class Truth(NamedTuple):
    """What a metric by name has to know of a task.

    Attributes:
        values: classes as they were given, () of numbers.
        outputs: C.
        weighted: whether examples have weights.
        single: whether there is one column of targets.
        table: rows [n] -> features of these, as `Task.table` gives them; for scorers that read them.
        examples: how many rows there are.
    """

    values: tuple
    outputs: int
    weighted: bool = False
    single: bool = True
    table: Callable[[np.ndarray], Any] | None = None
    examples: int = 0


def error(z: Array, y: Array, weight: Array, classes: bool, boundary: float = 0.0) -> Array:
    """The weighted error of outputs: share of wrong classes, or 1 - R^2 for numbers.

    Args:
        z: outputs [N C], before or after a monotone output activation.
        y: targets [N C]; classes as one-hot rows, or 0/1 in one column.
        weight: [N] of the examples, 1 on average; 0 of those that do not count.
        classes: whether the targets are classes.
        boundary: where one column's outputs turn from class 0 to class 1.

    Returns:
        [] error, NaN where the outputs are.
    """
    total = jnp.maximum(weight.sum(), 1)
    if not classes:
        mean = (weight[:, None] * y).sum(0) / total
        spread = (weight[:, None] * (y - mean) ** 2).sum()
        squares = (weight[:, None] * y**2).sum()
        varies = spread > ROUNDING**2 * squares
        return (weight[:, None] * (y - z) ** 2).sum() / jnp.where(varies, spread, 1)
    if z.shape[-1] == 1:
        wrong = (z[:, 0] > boundary) != (y[:, 0] > 0.5)
    else:
        wrong = jnp.argmax(z, -1) != jnp.argmax(y, -1)
    return jnp.where(
        jnp.isfinite(z).all(), (weight * wrong.astype(weight.dtype)).sum() / total, jnp.nan
    )


def prediction_metrics(
    truth: np.ndarray, predicted: np.ndarray, classes: bool, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Test metrics as scikit-learn computes them.

    Args:
        truth, predicted: labels [N], or numbers [N] or [N C].
        classes: whether they are classes.
        weights: [N] of the examples.

    Returns:
        accuracy, macro precision, recall and F1; or R^2, root mean squared and mean absolute error.
    """
    from sklearn import metrics

    options: dict[str, Any] = {"sample_weight": weights}
    if not classes:
        return {
            "r2": float(metrics.r2_score(truth, predicted, **options)),
            "rmse": float(metrics.root_mean_squared_error(truth, predicted, **options)),
            "mae": float(metrics.mean_absolute_error(truth, predicted, **options)),
        }
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        truth, predicted, average="macro", zero_division=0, **options
    )
    return {
        "accuracy": float(metrics.accuracy_score(truth, predicted, **options)),
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
