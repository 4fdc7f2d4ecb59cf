"""What training brought: of a block, and of an order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hpjax.population.regime import Regime
from hpjax.training import loop


class BlockResult(NamedTuple):
    """What training a block brought; c chunks of w networks."""

    # leaves [c w ...], NumPy arrays; without weights where these stay elsewhere
    state: loop.TrainState
    curve: np.ndarray  # [c w rows 4+M]
    seconds: float  # of the devices
    worker: str | None = None  # who trained it, where that is another process
    # what the executor's store needs to find the states again, where they stay elsewhere
    weights: Any = None


class Results(NamedTuple):
    """What an order brought, per trial and group."""

    loss: np.ndarray  # [n G]
    error: np.ndarray  # [n G]
    train: np.ndarray  # [n G]
    metrics: np.ndarray  # [n G M] other than loss and error
    reached: np.ndarray  # [n G] epochs
    # [n G] epoch whose weights count: the best one where patience is on, else the last
    weights_epoch: np.ndarray
    curves: np.ndarray  # [n G rows 4+M], columns as `curve_columns` names them
    failed: np.ndarray  # [n] bool
    seconds: np.ndarray  # [n] of the devices: its share of the blocks that it was in
    parameters: np.ndarray  # [n] int, weights and biases of its networks
    # [n G D] d validation loss / d unit, where the order asks for it
    grad: np.ndarray | None = None
    cost: np.ndarray | None = None  # [n] epochs charged, where it is not the epochs trained

    def take(self, rows: np.ndarray, later: Results) -> None:
        """Writes the results of a later order of the same trials, whose rows [m] these are, over these; seconds add up."""
        self.seconds[rows] += later.seconds
        self.curves[rows] = np.where(np.isnan(later.curves), self.curves[rows], later.curves)
        self.loss[rows], self.error[rows] = later.loss, later.error
        self.train[rows], self.metrics[rows] = later.train, later.metrics
        self.reached[rows], self.weights_epoch[rows] = later.reached, later.weights_epoch
        self.failed[rows], self.parameters[rows] = later.failed, later.parameters


def empty_results(count: int, regime: Regime) -> Results:
    """Results [n ...] of an order before it is carried out."""
    lead = (count, regime.groups)
    return Results(
        loss=np.full(lead, np.nan),
        error=np.full(lead, np.nan),
        train=np.full(lead, np.nan),
        metrics=np.full((*lead, len(regime.metrics)), np.nan),
        reached=np.zeros(lead, np.int64),
        weights_epoch=np.zeros(lead, np.int64),
        curves=np.full((*lead, regime.rows, regime.columns), np.nan, np.float32),
        failed=np.zeros(count, bool),
        seconds=np.zeros(count),
        parameters=np.zeros(count, np.int64),
    )
