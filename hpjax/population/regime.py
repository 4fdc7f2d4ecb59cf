"""What all networks of a population are trained on, and how they are scored: everything but their configurations."""

from __future__ import annotations

from typing import NamedTuple

from hpjax.curve_columns import COLUMNS
from hpjax.models import Family, Spec
from hpjax.models.base import Target
from hpjax.training import batches
from hpjax.training.metrics import Metrics


class Regime(NamedTuple):
    """How every network of a population is trained and scored; the same on every machine that trains some of them.

    Attributes:
        target: what the task asks of a network.
        examples: the task's arrays, and the folds of each seed.
        family: of the models.
        repeats: R networks per trial and fold.
        seeds: of the studies that are trained for.
        score_every: epochs between scores.
        gradients: "explicit" or "autodiff".
        metrics: M of the user's own.
    """

    target: Target
    examples: batches.Examples
    family: Family
    repeats: int = 1
    seeds: tuple[int, ...] = (0,)
    score_every: int = 1
    gradients: str = "explicit"
    metrics: Metrics = ()

    @property
    def folds(self) -> int:
        """K of one seed."""
        return len(self.examples.folds) // len(self.seeds)

    @property
    def most_examples(self) -> int:
        """Of the largest training part."""
        return max(len(train) for train, _ in self.examples.folds)

    @property
    def groups(self) -> int:
        """G of one seed: folds x repeats."""
        return self.folds * self.repeats

    @property
    def rows(self) -> int:
        """Rows of a learning curve."""
        return -(-self.target.fidelity // self.score_every)

    @property
    def columns(self) -> int:
        """Columns of a learning curve: those of `curve_columns`, and own metrics."""
        return len(COLUMNS) + len(self.metrics)

    def data(self, spec: Spec, ordered: bool = True) -> batches.Data:
        """The task as networks of a shape see it, on the host; with the orders of minibatches, or without."""
        task = self.examples, self.repeats, self.seeds, self.target.fidelity
        return batches.prepare(*task, spec, ordered)

    def names(self, group: int) -> tuple[int, int, int]:
        """(seed, repeat, fold) of one of the groups of all seeds."""
        fold, repeat = divmod(group, self.repeats)
        which, fold = divmod(fold, self.folds)
        return self.seeds[which], repeat, fold
