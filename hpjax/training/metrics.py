"""How good predictions are: the error that a search minimises, and the table a reader wants at the end."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
# columns of tables and curves that a metric's name may not be
RESERVED = (
    "trial", "epoch", "objective", "loss", "error", "train", "epochs", "parameters", "seconds", "diverged", "failed", "status",
    "config", "seed", "fold", "repeat", "unit", "kept", "reached", "searched", "deviation", "tied",
)  # fmt: skip


class Metric(NamedTuple):
    """How good predictions are, in a user's words.

    Attributes:
        function: in jax.numpy, (predictions [N C], y [N C]) -> a number for each example [N], whose mean is meant; or
            (predictions, y, weight [N]) -> one number, for what is no mean: examples of weight 0 do not count. Predictions are
            probabilities of classes (one column for two classes) or standardised numbers; y are one-hot rows, 0/1 in one
            column, or standardised numbers.
        greater_is_better: whether a search should make it large.
    """

    function: Callable[..., Array]
    greater_is_better: bool = False

    def __call__(self, predictions: Array, y: Array, weight: Array) -> Array:
        """[] the value on weighted examples [N]."""
        if _weighted(self.function):
            return jnp.asarray(self.function(predictions, y, weight), predictions.dtype)
        each = jnp.asarray(self.function(predictions, y), predictions.dtype)
        return (each * weight).sum() / jnp.maximum(weight.sum(), 1)


Metrics = tuple[tuple[str, Metric], ...]  # of a study, by name


def _weighted(function: Callable[..., Any]) -> bool:
    return "weight" in inspect.signature(function).parameters


def as_metrics(metrics: Mapping[str, Any] | None, outputs: int) -> Metrics:
    """A user's metrics, in the order of their names.

    Args:
        metrics: name -> Metric or function.
        outputs: C of the task.

    Raises:
        ValueError: a name that tables have already, or what is no metric.
    """
    if metrics is None:
        return ()
    if not isinstance(metrics, Mapping):
        raise ValueError(f"metrics must be a dict of functions by name, got {metrics!r:.80}")
    found = []
    for name, metric in sorted(metrics.items(), key=lambda item: str(item[0])):
        if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
            raise ValueError(f"a metric cannot be called {name!r:.80}; give it another name")
        metric = metric if isinstance(metric, Metric) else Metric(metric)
        if not callable(metric.function):
            raise ValueError(f"metric {name} must be a function, got {metric.function!r:.80}")
        if not isinstance(metric.greater_is_better, (bool, np.bool_)):
            raise ValueError(
                f"greater_is_better of metric {name} must be True or False, got {metric.greater_is_better!r:.80}"
            )
        _refuse_shape(name, metric, outputs)
        # what a function computes may change between two studies; programs are kept by this object, not by the function
        fresh = Metric(functools.partial(metric.function), bool(metric.greater_is_better))
        found.append((name, fresh))
    return tuple(found)


def _refuse_shape(name: str, metric: Metric, outputs: int) -> None:
    """Refuses a metric that gives anything but a number, or one for each example."""
    table, weight = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((7, outputs), (7,)))
    weighted = _weighted(metric.function)
    try:
        given = (table, table, weight) if weighted else (table, table)
        shape = getattr(jax.eval_shape(metric.function, *given), "shape", None)
    except TypeError as fault:
        raise ValueError(
            f"metric {name} must take (predictions, y) or (predictions, y, weight): {' '.join(str(fault).split())[:200]}"
        ) from None
    if shape != (() if weighted else (7,)):
        wanted = "one number" if weighted else "one number for each example"
        raise ValueError(f"metric {name} must give {wanted}, got {list(shape) if shape else shape}")


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


def table(
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
