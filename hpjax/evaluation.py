"""How a configuration is judged: the networks that it makes, their metrics, and the one of these that a search makes small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hpjax.models import Family
from hpjax.settings import Networks, Validation
from hpjax.training.metrics import Metrics

BUILT_IN = ("loss", "error")  # metrics that every network has


class TruthOn(NamedTuple):
    """The targets of some rows, as metrics want them.

    Attributes:
        y: [n C] classes as shares, or numbers of mean 0 and deviation 1.
        weight: [n] of the examples, 1 in the mean.
        units: [2 C] what 1 and 0 of such numbers are; 1 and 0 for classes.
        rows: [n] which.
    """

    y: np.ndarray
    weight: np.ndarray
    units: np.ndarray
    rows: np.ndarray

    def standardised(self, p: np.ndarray) -> np.ndarray:
        """Predictions [... n C] in the target's units, as `y` has them; probabilities are left as they are."""
        return (p - self.units[1]) / self.units[0]


def truth_on(task: Any, rows: np.ndarray) -> TruthOn:
    """The targets of some rows [n] of a task."""
    y = task.targets()[rows]
    units = np.stack([np.ones(y.shape[1]), np.zeros(y.shape[1])])
    if not task.classes:
        deviation = y.std(0)
        units = np.stack([np.where(deviation > 0, deviation, 1), y.mean(0)])
    weight = np.ones(len(rows)) if task.weights is None else task.weights[rows]
    return TruthOn((y - units[1]) / units[0], weight / weight.mean(), units, rows)


class Evaluation(NamedTuple):
    """What `Networks` says by name, with the objects themselves.

    Attributes:
        settings: as written.
        family: of the models; None where the user's function was not given again.
        metrics: the user's own, named in reports, tables and curves; those that were given again.
        missing: arguments that have to be given again before networks can be trained.
    """

    settings: Networks
    family: Family | None
    metrics: Metrics = ()
    missing: tuple[str, ...] = ()

    @property
    def validation(self) -> Validation:
        """Folds, repeats, and how often networks are scored."""
        return self.settings.validation

    @property
    def differentiable(self) -> bool:
        """Whether the objective's gradient with respect to hyperparameters is known."""
        return self.settings.objective == "loss"

    def known_family(self) -> Family:
        """The family of the models.

        Raises:
            ValueError: what has to be given again was not.
        """
        if self.missing or self.family is None:
            again = ", ".join(f"{name}=..." for name in self.missing)
            raise ValueError(
                f"the {' and '.join(self.missing)} of these networks cannot be read from a file; give them again: open_run(out, {again})"
            )
        return self.family

    def measured(self, task: Any, rows: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
        """Its further metrics of predictions of some rows of a task.

        Args:
            task: data.
            rows: [n] which.
            predicted: [n C] probabilities of all classes, or numbers in the target's units.
        """
        truth = truth_on(task, rows)
        p = predicted[:, 1:] if task.classes and task.outputs == 1 else predicted
        arrays = (truth.standardised(p), truth.y, truth.weight, truth.units)
        given: Any = [*map(np.float32, arrays), rows.astype(np.int32)]
        return {name: float(metric(*given)) for name, metric in self.metrics}

    def objective(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """What is minimised, from every metric [n]: [n], or [n O] where there are several objectives; NaN where the loss is not finite."""
        known = np.isfinite(values["loss"])
        columns = [
            np.where(known, minimised(self.settings, values, name), np.nan)
            for name in self.settings.objectives
        ]
        return columns[0] if len(columns) == 1 else np.stack(columns, 1)

    def violation(self, values: Mapping[str, np.ndarray], whole: np.ndarray) -> np.ndarray | None:
        """By how much constraints are broken [n], over all of them; 0 where the loss is not finite, None where there are none.

        Args:
            values: by name [n].
            whole: [n] whether a network was trained to the end; before, only what does not change while it trains is held against it.
        """
        bounds = self.settings.bounds
        if not bounds:
            return None
        broken = np.zeros(len(whole))
        for bound in bounds:
            counts = whole | (bound.name == "parameters")
            broken += np.where(counts, bound.broken(values[bound.name]), 0.0)
        broken = np.where(np.isnan(broken), np.inf, broken)  # not defined
        return np.where(np.isfinite(values["loss"]), broken, 0.0)


def minimised(
    settings: Networks, values: Mapping[str, np.ndarray], name: str | None = None
) -> np.ndarray:
    """What is minimised, [n], from every metric [n]: its negative where greater is better.

    Args:
        settings: of the study.
        values: by name.
        name: of the objective; the first where None.
    """
    name = name or settings.objective
    return settings.sign(name) * values[name]
