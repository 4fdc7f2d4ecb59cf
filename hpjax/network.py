"""A trained network to use: it predicts what the task asks, of examples as the task has them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from hpjax.models import Spec
from hpjax.models.base import cast
from hpjax.tasks import Task
from hpjax.training import losses, metrics
from hpjax.training.batches import Standards


@functools.partial(jax.jit, static_argnames="spec")
def _predicted(params: Any, stats: Any, config: dict, x: Any, spec: Spec) -> jax.Array:
    """Predictions [N C]; one function, so that a second prediction compiles nothing."""
    outputs, _ = spec.functions.outputs(params, stats, config, x, None)
    return losses.loss_of(spec).predictions(outputs)


@dataclasses.dataclass(frozen=True, repr=False)
class Network:
    """A trained network that takes examples as the task has them.

    Attributes:
        task: what it was trained on.
        spec, config: its hyperparameters.
        params, stats: its weights and batch statistics, NumPy arrays.
        standards: what its training part says of features, and of numeric targets.
    """

    task: Task
    spec: Any
    config: dict
    params: Any
    stats: Any
    standards: Standards

    def __repr__(self) -> str:
        return f"<Network {self.spec.label.removeprefix('exactly ')} of {self.task.name}, {self.spec.weights} weights>"

    def outputs(self, x: Any) -> np.ndarray:
        """The network's outputs [N C] for examples [N F]: probabilities, or standardised numbers.

        Args:
            x: an array with the task's columns, or a table that has them by name, in any order.

        Raises:
            ValueError: another number of features, or other columns.
        """
        x = self.task.columns(x)
        dtype = np.dtype(self.spec.dtype)
        with jax.enable_x64(dtype == np.float64):
            x = self.standards.inputs(x, self.task.schema).astype(dtype)
            config = cast(self.config, self.spec)
            return np.asarray(_predicted(self.params, self.stats, config, x, spec=self.spec))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities [N C] of the classes.

        Raises:
            ValueError: a task of numbers.
        """
        if not self.task.classes:
            raise ValueError(
                "predict_proba needs classes, but the task's targets are numbers; use predict"
            )
        p = self.outputs(x)
        return np.concatenate([1 - p, p], 1) if p.shape[1] == 1 else p

    def predict(self, x: Any) -> np.ndarray:
        """Classes [N] as the task was given them, or numbers [N] or [N C]."""
        if self.task.classes:
            return np.array(self.task.values)[self.predict_proba(x).argmax(1)]
        y = self.outputs(x) / self.standards.y_scale + self.standards.y_shift
        return y[:, 0] if self.task.y.ndim == 1 else y

    def score(self, x: Any, y: Any) -> float:
        """Accuracy, or R^2 for numbers, as scikit-learn's estimators score."""
        found = metrics.table(np.asarray(y), self.predict(x), self.task.classes)
        return found["accuracy"] if self.task.classes else found["r2"]
