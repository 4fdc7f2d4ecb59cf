"""Networks of finished trials, as they predict: what an ensemble is chosen from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


class FinishedTrials(NamedTuple):
    """The networks of trials of one program."""

    trials: np.ndarray  # [n] numbers
    spec: Spec
    config: Config  # leaves [n], or [n L]
    params: Any  # leaves [n G ...]
    stats: Any
    loss: np.ndarray  # [n]

    @property
    def bytes(self) -> int:
        """Of the arrays of networks."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves((self.params, self.stats)))

    def only(self, rows: np.ndarray) -> FinishedTrials:
        """Those of a mask [n]; all of them without a copy."""
        if rows.all():
            return self
        own = lambda tree: jax.tree.map(lambda leaf: leaf[rows], tree)
        return FinishedTrials(
            self.trials[rows],
            self.spec,
            own(self.config),
            own(self.params),
            own(self.stats),
            self.loss[rows],
        )

    def finished(self, at: int) -> Finished:
        """The networks of the trial at a place, from 0."""
        own = lambda tree: jax.tree.map(lambda leaf: leaf[at], tree)
        return Finished(
            self.spec, own(self.config), own(self.params), own(self.stats), float(self.loss[at])
        )

    def each(self) -> dict[int, Finished]:
        """By number of trial."""
        return {trial: self.finished(at) for at, trial in enumerate(self.trials.tolist())}


class Library(Mapping[int, Finished]):
    """Finished trials that went to the end, by number; where these become too many, the best of them.

    Args:
        most: bytes.
        count: trials, of those that have to be brought from elsewhere.
    """

    def __init__(self, most: int = MOST, count: int | None = None):
        self.most, self.count, self.held = most, count, 0
        self.parts: list[FinishedTrials] = []

    def __getitem__(self, trial: int) -> Finished:
        for part in self.parts:
            at = np.flatnonzero(part.trials == trial)
            if len(at):
                return part.finished(int(at[0]))
        raise KeyError(trial)

    def __iter__(self) -> Iterator[int]:
        return (trial for part in self.parts for trial in part.trials.tolist())

    def __len__(self) -> int:
        return sum(len(part.trials) for part in self.parts)

    def wanted(self, loss: np.ndarray) -> np.ndarray:
        """Which trials [n] of these losses are worth bringing here."""
        known = [part.loss for part in self.parts]
        best_first = np.argsort(np.concatenate([*known, loss]), kind="stable")[: self.count]
        new = best_first - sum(map(len, known))
        there = np.zeros(len(loss), bool)
        there[new[new >= 0]] = True
        return there & np.isfinite(loss)

    def add(self, finished: FinishedTrials) -> None:
        """Keeps trials whose loss is a number, and drops the worst of all where there are too many."""
        self._append(finished.only(np.isfinite(finished.loss)))
        if self.held > self.most or len(self) > (self.count or np.inf):
            self._shrink()

    def _append(self, part: FinishedTrials) -> None:
        if not len(part.trials):
            return
        config = {name: _once(leaf) for name, leaf in part.config.items()}
        self.parts.append(part._replace(config=config))
        self.held += part.bytes

    def _shrink(self) -> None:
        """Drops the worst, one after another, until the others fit."""
        parts = self.parts
        loss = np.concatenate([part.loss for part in parts])
        size = np.concatenate(
            [np.full(len(part.loss), part.bytes // len(part.loss)) for part in parts]
        )
        best_first = np.argsort(loss, kind="stable")
        kept = np.zeros(len(loss), bool)
        kept[best_first[: self.count]] = np.cumsum(size[best_first[: self.count]]) <= self.most
        self.parts, self.held = [], 0
        for part, rows in zip(parts, np.split(kept, np.cumsum([len(p.loss) for p in parts])[:-1])):
            self._append(part.only(rows))


def _once(leaf: np.ndarray) -> np.ndarray:
    """A leaf [n ...] that holds one row in memory where all its rows are alike."""
    return np.broadcast_to(leaf[:1].copy(), leaf.shape) if (leaf == leaf[:1]).all() else leaf


def best(state: TrainState, patience: Any) -> TrainState:
    """States with the weights that count: with patience those of the best epoch.

    Args:
        state: leaves [... G ...].
        patience: [...] of each trial, or a scalar.
    """
    if not state.best or not np.any(np.asarray(patience) > 0):
        return state
    there = np.isfinite(state.best.scores.loss)  # [... G]
    there = there & (np.asarray(patience) > 0)[..., None]
    pick = lambda a, b: np.where(there.reshape(*there.shape, *[1] * (a.ndim - there.ndim)), a, b)
    return state._replace(
        params=jax.tree.map(pick, state.best.params, state.params),
        stats=jax.tree.map(pick, state.best.stats, state.stats),
    )
