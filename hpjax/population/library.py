"""Networks of finished trials, as they predict: what an ensemble is chosen from."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from hpjax.models import Spec
from hpjax.models.base import Config
from hpjax.training.loop import TrainState

MOST = 2**30  # bytes that are kept


class Finished(NamedTuple):
    """The networks of a trial, in the program that trained them."""

    spec: Spec  # of the program; narrow networks are padded
    config: Config  # scalar leaves, or one per layer
    params: Any  # leaves [G ...]
    stats: Any
    loss: float  # of validation, the mean over its networks

    @property
    def bytes(self) -> int:
        """Of its arrays."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves((self.params, self.stats)))


class Library:
    """Finished trials that went to the end, by number; where memory ends, the best of them."""

    def __init__(self, most: int = MOST):
        self.most, self.held = most, 0
        self.trials: dict[int, Finished] = {}

    def add(self, trial: int, finished: Finished) -> None:
        """Keeps a trial, and drops the worst where there are too many."""
        if not np.isfinite(finished.loss):
            return
        self.trials[trial] = finished
        self.held += finished.bytes
        while self.held > self.most:
            worst = max(self.trials, key=lambda trial: self.trials[trial].loss)
            self.held -= self.trials.pop(worst).bytes


def best(state: TrainState, patience: Any) -> TrainState:
    """States [G ...] with the weights that count: with patience those of the best epoch."""
    if not state.best or not patience > 0:
        return state
    there = np.isfinite(state.best.scores.loss)
    pick = lambda a, b: np.where(there.reshape(-1, *[1] * (a.ndim - 1)), a, b)
    return state._replace(
        params=jax.tree.map(pick, state.best.params, state.params),
        stats=jax.tree.map(pick, state.best.stats, state.stats),
    )
