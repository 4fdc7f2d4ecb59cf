"""How a configuration is judged: the networks that it makes, their metrics, and the one of these that a search makes small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from hpjax.models import Family
from hpjax.settings import Networks, Validation
from hpjax.training.metrics import Metrics

BUILT_IN = ("loss", "error")  # metrics that every network has


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

    def objective(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """What is minimised, [n], from every metric [n]: its negative where greater is better; NaN where the loss is not finite."""
        return np.where(np.isfinite(values["loss"]), minimised(self.settings, values), np.nan)


def minimised(settings: Networks, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """What is minimised, [n], from every metric [n]: its negative where greater is better."""
    value = values[settings.objective]
    return -value if settings.metrics.get(settings.objective, False) else value
