"""Scorers of scikit-learn as metrics: the host computes them, from predictions that the device hands it."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from hpjax.training.metrics import Array, Metric, Truth


class _Predicted(BaseEstimator):
    """Stands before a scorer as an estimator whose predictions are known."""

    def __init__(self, values: Sequence = (), predictions: Any = None):
        self.values, self.predictions = values, predictions

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _NoRows:
    """Stands for the rows X, which are not at hand; nothing can be read of them."""

    def _refuse(self, *arguments: Any, **more: Any) -> Any:
        raise ValueError("scorers are handed predictions; the rows X themselves are not at hand")

    __getitem__ = __array__ = __len__ = __iter__ = _refuse

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()


class _PredictedNumbers(RegressorMixin, _Predicted):
    def predict(self, X: Any) -> np.ndarray:
        return self.predictions


class _PredictedClasses(ClassifierMixin, _Predicted):
    @property
    def classes_(self) -> np.ndarray:
        return np.array(self.values)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predictions.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.predictions


def of_scorer(scorer: Callable[..., Any], truth: Truth, name: str) -> Metric:
    """A scorer of scikit-learn's kind as a metric that the host computes; greater is better, as with all scorers.

    It is NaN where the scorer refuses, as many do where a fold lacks a class.

    Args:
        scorer: (estimator, X, y) -> a number, of the estimator's predictions; X is not at hand.
        truth: of the task.
        name: for messages.

    Raises:
        ValueError: a scorer that cannot score such targets.
    """

    weighted = truth.weighted and _takes_weights(scorer)

    def one(p: np.ndarray, y: np.ndarray, weight: np.ndarray, units: np.ndarray) -> float:
        """Of one network."""
        if not np.isfinite(p).all():
            return np.nan
        there = weight > 0
        p, y, weight = (array[there].astype(np.float64) for array in (p, y, weight))
        options = {"sample_weight": weight} if weighted else {}
        if truth.values:
            whole = np.concatenate([1 - p, p], 1) if p.shape[1] == 1 else p
            codes = (y[:, 0] > 0.5).astype(int) if y.shape[1] == 1 else y.argmax(1)
            whole = whole / whole.sum(1, keepdims=True)
            estimator: Any = _PredictedClasses(truth.values, whole)
            given = np.array(truth.values)[codes]
        else:
            p, given = p * units[0] + units[1], y * units[0] + units[1]
            if truth.single:
                p, given = p[:, 0], given[:, 0]
            estimator = _PredictedNumbers((), p)
        return float(scorer(estimator, _NoRows(), given, **options))

    def many(p: Any, y: Any, weight: Any, units: Any) -> np.ndarray:
        """Of networks [...] side by side."""
        p, y, weight, units = map(np.asarray, (p, y, weight, units))
        found = np.empty(p.shape[:-2], p.dtype)
        for place in np.ndindex(found.shape):
            try:
                found[place] = one(p[place], y[place], weight[place], units[place])
            except ValueError:  # not defined on such a part
                found[place] = np.nan
        return found

    _try(one, truth, name)

    def on_host(p: Array, y: Array, weight: Array, units: Array) -> Array:
        given = jax.lax.stop_gradient((p, y, weight, units))
        return jax.pure_callback(
            many, jax.ShapeDtypeStruct((), p.dtype), *given, vmap_method="broadcast_all"
        )

    return Metric(on_host, True)


def _takes_weights(scorer: Any) -> bool:
    """Whether a scorer takes weights of examples; one that does not is computed without."""
    function = getattr(scorer, "_score_func", scorer)
    return "sample_weight" in inspect.signature(function).parameters


def _try(one: Callable[..., float], truth: Truth, name: str) -> None:
    """Refuses a scorer that does not give a number for a few examples of every class."""
    count = max(2, len(truth.values))
    rows = 4 * count
    rng = np.random.default_rng(0)
    if truth.values:
        p = rng.dirichlet(np.ones(count), rows)
        y = np.eye(count)[np.arange(rows) % count]
        p, y = (p[:, 1:], y[:, 1:]) if truth.outputs == 1 else (p, y)
    else:
        p, y = rng.uniform(1, 2, (2, rows, truth.outputs))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = one(p, y, np.ones(rows), np.array([[1.0], [0.0]]) * np.ones(truth.outputs))
    except (ValueError, TypeError, AttributeError, IndexError) as fault:
        raise ValueError(
            f"{name} cannot score such targets: {' '.join(str(fault).split())[:200]}"
        ) from None
    if not isinstance(value, float):
        raise ValueError(f"{name} gives {value!r:.80}, which is no number")
