"""Every network trains to the end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.schedulers.base import UNBOUNDED, Scheduler, joined, order


class Waiting(NamedTuple):
    """Trials admitted and not yet ordered."""

    trial: np.ndarray  # [n]
    unit: np.ndarray | None  # [n D]


def full(epochs: int = 20) -> Scheduler:
    """Trains every trial for `epochs`.

    Args:
        epochs: the only fidelity.

    Returns:
        A Scheduler with room for any number of trials.

    Raises:
        ValueError: epochs below 1.
    """
    if epochs < 1:
        raise ValueError(f"full needs epochs of at least 1, got {epochs}")
    empty = Waiting(np.zeros(0, np.int64), None)

    def admit(state, trial, unit):
        return Waiting(np.concatenate([state.trial, trial]), joined(state.unit, unit))

    def ask(state, key):
        del key
        if not len(state.trial):
            return None, state
        return order(state.trial, state.unit, epochs, fresh=True), empty

    return Scheduler(
        settings={"name": "full", "epochs": epochs},
        fidelity=epochs,
        brackets=(((epochs, 0),),),
        init=lambda dims: empty,
        room=lambda state: (UNBOUNDED, epochs),
        admit=admit,
        close=lambda state: state,
        ask=ask,
        tell=lambda state, done, losses: (state, done.trial),
    )
