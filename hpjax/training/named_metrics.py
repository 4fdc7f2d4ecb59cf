"""Metrics by name: those of classes and numbers that a device computes, and any scorer of scikit-learn, which the host computes.

The names are scikit-learn's, without "neg_": whether greater is better is said by the metric. Definitions are those of
scikit-learn's `sklearn.metrics`, with weights of examples.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.training.metrics import ROUNDING, Array, Metric, Metrics, Truth

# columns of tables and curves that a metric's name may not be
RESERVED = (
    "trial", "epoch", "objective", "loss", "error", "train", "epochs", "parameters", "seconds", "diverged", "failed", "status",
    "config", "seed", "fold", "repeat", "unit", "kept", "reached", "searched", "deviation", "tied",
    "objectives", "further", "violation", "whole", "finished",
)  # fmt: skip


# --- of classes: predictions are probabilities [N C], or [N 1] of the second of two; y [N C] are shares of classes -----
def _both(column: Array) -> Array:
    """Probabilities or shares of every class [N C], of two from one column."""
    return jnp.concatenate([1 - column, column], 1) if column.shape[1] == 1 else column


def _counts(p: Array, y: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Weighted counts of every class [C]: predicted and true, predicted, true."""
    p, y = _both(p), _both(y)
    chosen = jax.nn.one_hot(jnp.argmax(p, 1), p.shape[1], dtype=p.dtype) * weight[:, None]
    return (chosen * y).sum(0), chosen.sum(0), (y * weight[:, None]).sum(0)


def accuracy(p: Array, y: Array, weight: Array) -> Array:
    """The share of examples whose most likely class is true."""
    hit, _, true = _counts(p, y, weight)
    return hit.sum() / true.sum()


def balanced_accuracy(p: Array, y: Array, weight: Array) -> Array:
    """The mean, over the classes that are there, of the share of a class's examples that are found."""
    hit, _, true = _counts(p, y, weight)
    there = true > 0
    return (hit / jnp.where(there, true, 1)).sum() / there.sum(dtype=p.dtype)


def _f1(p: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """2 hits / (predicted + true) of every class [C], and whether it is there or predicted."""
    hit, predicted, true = _counts(p, y, weight)
    total = predicted + true
    return 2 * hit / jnp.where(total > 0, total, 1), total > 0


def f1(p: Array, y: Array, weight: Array) -> Array:
    """Of the second of two classes (of the class 1, as scikit-learn has it): the harmonic mean of precision and recall."""
    return _f1(p, y, weight)[0][1]


def f1_macro(p: Array, y: Array, weight: Array) -> Array:
    """The mean of F1 over the classes that are there or predicted."""
    each, there = _f1(p, y, weight)
    return each.sum() / there.sum(dtype=p.dtype)


def roc_auc(p: Array, y: Array, weight: Array) -> Array:
    """The area under the curve of true against false positives; of more than two classes the mean of each against the rest.

    It is the weight of pairs (one of the class, one of the rest) in which the first is given the greater probability, ties counted
    half, over the weight of all pairs.
    """
    if p.shape[1] == 1:
        return _area(p[:, 0], y[:, 0], weight)
    return jax.vmap(_area, (1, 1, None))(p, y, weight).mean()


def _area(p: Array, y: Array, weight: Array) -> Array:
    order = jnp.argsort(p)
    p, positive, negative = p[order], (weight * y)[order], (weight * (1 - y))[order]
    below = jnp.concatenate([jnp.zeros(1, p.dtype), jnp.cumsum(negative)])
    less, not_more = (jnp.searchsorted(p, p, side=side) for side in ("left", "right"))
    pairs = (positive * (below[less] + below[not_more]) / 2).sum()
    return pairs / (positive.sum() * negative.sum())


def log_loss(p: Array, y: Array, weight: Array) -> Array:
    """Minus the mean logarithm of the true class's probability."""
    p = jnp.clip(_both(p), jnp.finfo(p.dtype).eps, 1)
    p = p / p.sum(1, keepdims=True)
    return -((_both(y) * jnp.log(p)).sum(1) * weight).sum() / weight.sum()


# --- of numbers: predictions and y [N C] are standardised, `units` [2 C] are what 1 and 0 of them are -----------------
def _mean(each: Array, weight: Array) -> Array:
    """Means [C] over weighted examples [N C]."""
    return (each * weight[:, None]).sum(0) / weight.sum()


def rmse(p: Array, y: Array, weight: Array, units: Array) -> Array:
    """The root of the mean squared error, in the target's units; the mean over several targets."""
    return (jnp.sqrt(_mean((p - y) ** 2, weight)) * units[0]).mean()


def mse(p: Array, y: Array, weight: Array, units: Array) -> Array:
    """The mean squared error, in the target's units squared; the mean over several targets."""
    return (_mean((p - y) ** 2, weight) * units[0] ** 2).mean()


def mae(p: Array, y: Array, weight: Array, units: Array) -> Array:
    """The mean absolute error, in the target's units; the mean over several targets."""
    return (_mean(jnp.abs(p - y), weight) * units[0]).mean()


def r2(p: Array, y: Array, weight: Array) -> Array:
    """One minus the squared error over that of the mean; the mean over several targets."""
    wrong, spread = _mean((p - y) ** 2, weight), _mean((y - _mean(y, weight)) ** 2, weight)
    varies = spread > ROUNDING**2 * _mean(y**2, weight)
    return jnp.where(varies, 1 - wrong / jnp.where(varies, spread, 1), 0).mean()


class Named(NamedTuple):
    """A metric that has a name.

    Attributes:
        metric: what is computed.
        kind: of the targets that it is of: "classes", "two classes" or "numbers".
    """

    metric: Metric
    kind: str


ON_DEVICE: dict[str, Named] = {
    "accuracy": Named(Metric(accuracy, True), "classes"),
    "balanced_accuracy": Named(Metric(balanced_accuracy, True), "classes"),
    "f1": Named(Metric(f1, True), "two classes"),
    "f1_macro": Named(Metric(f1_macro, True), "classes"),
    "roc_auc": Named(Metric(roc_auc, True), "classes"),
    "log_loss": Named(Metric(log_loss), "classes"),
    "rmse": Named(Metric(rmse), "numbers"),
    "mse": Named(Metric(mse), "numbers"),
    "mae": Named(Metric(mae), "numbers"),
    "r2": Named(Metric(r2, True), "numbers"),
}


def _minus(metric: Metric) -> Metric:
    """scikit-learn's "neg_" metrics: greater is better."""
    function = metric.function
    if metric.asks("units"):
        return Metric(lambda p, y, weight, units: -function(p, y, weight, units), True)
    return Metric(lambda p, y, weight: -function(p, y, weight), True)


NEGATIVE = {
    "neg_log_loss": "log_loss",
    "neg_root_mean_squared_error": "rmse",
    "neg_mean_squared_error": "mse",
    "neg_mean_absolute_error": "mae",
}
ON_DEVICE |= {
    name: Named(_minus(ON_DEVICE[plain].metric), ON_DEVICE[plain].kind)
    for name, plain in NEGATIVE.items()
}


def is_name(name: str) -> bool:
    """Whether a metric has this name."""
    if name in ON_DEVICE:
        return True
    from sklearn.metrics import get_scorer_names

    return name in get_scorer_names()


def by_name(names: Iterable[str], truth: Truth) -> Metrics:
    """Metrics by name, in the order of their names.

    Raises:
        ValueError: a name that is neither here nor scikit-learn's, or is of other targets.
    """
    found = []
    for name in sorted(set(names)):
        # scikit-learn's "f1" is of the class 1; where that is the first of two, its own scorer is asked
        first = name == "f1" and len(truth.values) == 2 and truth.values[0] == 1
        if name not in ON_DEVICE or first:
            if not is_name(name):
                raise ValueError(
                    f"{name!r:.80} is no metric: none of {', '.join(ON_DEVICE)}, nor a scorer of scikit-learn"
                )
            found.append((name, _known(name, truth._replace(table=None, examples=0))))
            continue
        metric, kind = ON_DEVICE[name]
        if (kind == "numbers") == bool(truth.values):
            there = "classes" if truth.values else "numbers"
            raise ValueError(f"{name} is a metric of {kind}, and the targets are {there}")
        if kind == "two classes" and len(truth.values) != 2:
            raise ValueError(
                f"{name} is a metric of two classes, and there are {len(truth.values)}; {name}_macro is the mean over them"
            )
        found.append((name, metric))
    return tuple(found)


@functools.cache  # one object, so that a second study compiles nothing
def _known(name: str, truth: Truth) -> Metric:
    from sklearn.metrics import get_scorer

    return _on_host(get_scorer(name), truth, name)


def _on_host(scorer: Any, truth: Truth, name: str) -> Metric:
    # scikit-learn is loaded for those who ask for it
    from hpjax.training.host_scorers import of_scorer

    return of_scorer(getattr(scorer, "function", scorer), truth, name)


class Scorer(NamedTuple):
    """A function (estimator, X, y) that is a scorer, whatever its parameters are called."""

    function: Any


def is_scorer(value: Any) -> bool:
    """Whether it is what scikit-learn's `make_scorer` makes, or a function (estimator, X, y)."""
    if isinstance(value, Scorer):
        return True
    if type(value).__module__.startswith("sklearn.metrics"):
        return True
    try:
        names = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return False
    return names[:1] == ["estimator"]


# --- a user's own -------------------------------------------------------------------------------------------------------
def as_metrics(metrics: Mapping[str, Any] | None, truth: Truth) -> Metrics:
    """A user's metrics, in the order of their names.

    Args:
        metrics: name -> Metric, function, or scorer of scikit-learn.
        truth: of the task.

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
        if is_scorer(metric):
            found.append((name, _on_host(metric, truth, name)))
            continue
        metric = metric if isinstance(metric, Metric) else Metric(metric)
        if not callable(metric.function):
            raise ValueError(f"metric {name} must be a function, got {metric.function!r:.80}")
        if not isinstance(metric.greater_is_better, (bool, np.bool_)):
            raise ValueError(
                f"greater_is_better of metric {name} must be True or False, got {metric.greater_is_better!r:.80}"
            )
        _refuse_shape(name, metric, truth.outputs)
        # what a function computes may change between two studies; programs are kept by this object, not by the function
        fresh = Metric(functools.partial(metric.function), bool(metric.greater_is_better))
        found.append((name, fresh))
    return tuple(found)


def _refuse_shape(name: str, metric: Metric, outputs: int) -> None:
    """Refuses a metric that gives anything but a number, or one for each example."""
    shapes = {"p": (7, outputs), "weight": (7,), "units": (2, outputs)}
    like = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    like["rows"] = jax.ShapeDtypeStruct((7,), jnp.int32)
    more = {name: like[name] for name in ("weight", "units", "rows") if metric.asks(name)}
    weighted = "weight" in more
    try:
        found = jax.eval_shape(metric.function, like["p"], like["p"], **more)
        shape = getattr(found, "shape", None)
    except TypeError as fault:
        raise ValueError(
            f"metric {name} must take (predictions, y) or (predictions, y, weight): {' '.join(str(fault).split())[:200]}"
        ) from None
    if shape != (() if weighted else (7,)):
        wanted = "one number" if weighted else "one number for each example"
        raise ValueError(f"metric {name} must give {wanted}, got {list(shape) if shape else shape}")
