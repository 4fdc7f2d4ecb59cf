"""Scorers of scikit-learn as metrics: the host computes them, from predictions that the device hands it."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from hpjax.messages import warn
from hpjax.training.metrics import Array, Metric, Truth

KEPT = 16  # tables of validation parts that a scorer reads
TRIED = 200  # examples that a scorer is tried on, at least


class _Predicted(BaseEstimator):
    """Stands before a scorer as an estimator whose predictions are known.

    Args:
        values: the classes.
        predictions: of all rows that are scored.
        table: the features of these rows; None where the scorer does not read them.
    """

    def __init__(self, values: Sequence = (), predictions: Any = None, table: Any = None):
        self.values, self.predictions, self.table = values, predictions, table

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def known(self, X: Any) -> np.ndarray:
        """Predictions of all rows, or of some rows of the table.

        Raises:
            ValueError: rows that are not of the table.
        """
        table = self.table
        if X is table:
            return self.predictions
        if hasattr(table, "iloc") and hasattr(X, "iloc"):
            place = table.index.get_indexer(X.index)
            if (place >= 0).all() and X.equals(table.iloc[place]):
                return self.predictions[place]
        elif isinstance(table, np.ndarray) and np.array_equal(X, table):
            return self.predictions
        raise ValueError(
            "predictions are known of the rows X that the scorer is given, not of others; predict X, and take some of its predictions"
        )


class _PredictedNumbers(RegressorMixin, _Predicted):
    def predict(self, X: Any) -> np.ndarray:
        return self.known(X)


class _PredictedClasses(ClassifierMixin, _Predicted):
    @property
    def classes_(self) -> np.ndarray:
        return np.array(self.values)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.known(X).argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.known(X)


def of_scorer(scorer: Callable[..., Any], truth: Truth, name: str) -> Metric:
    """A scorer of scikit-learn's kind as a metric that the host computes; greater is better, as with all scorers.

    It is NaN where the scorer refuses with a ValueError, as many do where a fold lacks a class; the first refusal is said.

    Args:
        scorer: (estimator, X, y) -> a number, of the estimator's predictions; X are the features of the rows that are scored, as
            `Task.table` gives them.
        truth: of the task.
        name: for messages.

    Raises:
        ValueError: a scorer that cannot score such targets.
    """

    weighted = truth.weighted and _takes_weights(scorer)
    said: list[bool] = []
    table = None if _of_predictions(scorer) or truth.table is None else _Tables(truth.table)

    def one(
        p: np.ndarray, y: np.ndarray, weight: np.ndarray, units: np.ndarray, rows: np.ndarray
    ) -> float:
        """Of one network."""
        if not np.isfinite(p).all():
            return np.nan
        there = weight > 0
        x = None if table is None else table(rows[there])
        p, y, weight = (array[there].astype(np.float64) for array in (p, y, weight))
        options = {"sample_weight": weight} if weighted else {}
        if truth.values:
            whole = np.concatenate([1 - p, p], 1) if p.shape[1] == 1 else p
            codes = (y[:, 0] > 0.5).astype(int) if y.shape[1] == 1 else y.argmax(1)
            whole = whole / whole.sum(1, keepdims=True)
            estimator: Any = _PredictedClasses(truth.values, whole, x)
            given = np.array(truth.values)[codes]
        else:
            p, given = p * units[0] + units[1], y * units[0] + units[1]
            if truth.single:
                p, given = p[:, 0], given[:, 0]
            estimator = _PredictedNumbers((), p, x)
        return float(scorer(estimator, x, given, **options))

    def many(*arrays: np.ndarray) -> np.ndarray:
        """Of networks [...] side by side."""
        found = np.empty(arrays[0].shape[:-2], arrays[0].dtype)
        for place in np.ndindex(found.shape):
            try:
                found[place] = one(*(array[place] for array in arrays))
            except ValueError as fault:  # not defined on such a part
                found[place] = np.nan
                if not said:
                    said.append(True)
                    why = " ".join(str(fault).split())[:300]
                    warn(f"hpjax: the scorer {name} refused predictions and is NaN there: {why}")
        return found

    _try(one, truth, name)

    def on_host(p: Array, y: Array, weight: Array, units: Array, rows: Array) -> Array:
        given = jax.lax.stop_gradient((p, y, weight, units, rows))
        ways = {"cpu": in_place(many, p.dtype), "default": by_copy(many, p.dtype)}
        return jax.lax.platform_dependent(*given, **ways)

    return Metric(on_host, True)


def in_place(many: Callable[..., np.ndarray], dtype: Any) -> Callable[..., Array]:
    """A function of networks side by side, called by a program of CPUs, on its own memory.

    `jax.pure_callback` gives copies instead, which are made by the threads that wait for the callbacks of all devices: of more than
    100 KiB they wait for ever.
    """

    def filled(context: Any, out: Any, *given: Any) -> None:
        np.asarray(out)[...] = many(*map(np.asarray, given))

    value = jax.ShapeDtypeStruct((), dtype)
    return buffer_callback(filled, value, vmap_method="broadcast_all")


def by_copy(many: Callable[..., np.ndarray], dtype: Any) -> Callable[..., Array]:
    """The same from an accelerator. The callback has its own thread, where JAX makes float64 to float32: such numbers go as two words."""
    double = np.dtype(dtype) == np.float64
    words = lambda array: jax.lax.bitcast_convert_type(array, jnp.uint32)
    value = jax.ShapeDtypeStruct((2,), jnp.uint32) if double else jax.ShapeDtypeStruct((), dtype)

    def called(*given: Any) -> np.ndarray:
        arrays = map(np.asarray, given)
        if not double:
            return many(*arrays)
        read = (a.view(np.float64)[..., 0] if a.dtype == np.uint32 else a for a in arrays)
        return many(*read)[..., None].view(np.uint32)

    def found(*given: Array) -> Array:
        written = (words(a) if a.dtype == jnp.float64 else a for a in given)
        value_of = jax.pure_callback(called, value, *written, vmap_method="broadcast_all")
        return jax.lax.bitcast_convert_type(value_of, dtype) if double else value_of

    return found


class _Tables:
    """The features of rows, the last ones kept; a scorer cannot change them for the next network."""

    def __init__(self, table: Callable[[np.ndarray], Any]):
        self._table = table
        self._of = functools.lru_cache(KEPT)(self._made)

    def __call__(self, rows: np.ndarray) -> Any:
        return self._of(rows.astype(np.int64).tobytes()).copy()

    def _made(self, rows: bytes) -> Any:
        return self._table(np.frombuffer(rows, np.int64))

    def __reduce__(self) -> Any:
        return _Tables, (self._table,)


def _of_predictions(scorer: Any) -> bool:
    """Whether it is one of scikit-learn's, which reads predictions alone."""
    return type(scorer).__module__.startswith("sklearn.metrics")


def _takes_weights(scorer: Any) -> bool:
    """Whether a scorer takes weights of examples; one that does not is computed without."""
    function = getattr(scorer, "_score_func", scorer)
    return "sample_weight" in inspect.signature(function).parameters


def _try(one: Callable[..., float], truth: Truth, name: str) -> None:
    """Refuses a scorer that does not give a number for a few examples of every class."""
    count = max(2, len(truth.values))
    rows = max(TRIED, 4 * count)
    spread = np.linspace(0, max(0, truth.examples - 1), rows).astype(int)  # some twice where few
    rng = np.random.default_rng(0)
    if truth.values:
        p = rng.dirichlet(np.ones(count), rows)
        y = np.eye(count)[np.arange(rows) % count]
        p, y = (p[:, 1:], y[:, 1:]) if truth.outputs == 1 else (p, y)
    else:
        p, y = rng.uniform(1, 2, (2, rows, truth.outputs))
    units = np.array([[1.0], [0.0]]) * np.ones(truth.outputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = one(p, y, np.ones(rows), units, spread)
    except (ValueError, TypeError, AttributeError, LookupError) as fault:
        needs = "; a scorer takes (estimator, X, y): sklearn.metrics.make_scorer makes one of a function of (y, predictions)"
        raise ValueError(
            f"{name} cannot score such targets: {type(fault).__name__}: {' '.join(str(fault).split())[:200]}{needs if isinstance(fault, TypeError) else ''}"
        ) from None
    if not isinstance(value, float):
        raise ValueError(f"{name} gives {value!r:.80}, which is no number")
