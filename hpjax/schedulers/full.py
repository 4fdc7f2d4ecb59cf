"""Every network trains to the end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.defaults import EPOCHS
from hpjax.schedulers.base import UNBOUNDED, Scheduler, check_whole, nobody, order
from hpjax.search.base import Key


class Waiting(NamedTuple):
    """Trials admitted and not yet ordered."""

    trial: np.ndarray  # [n]
    unit: np.ndarray  # [n D]
    orders: int  # given so far


def full(epochs: int = EPOCHS, renew: bool = False) -> Scheduler:
    """Trains every trial for `epochs`.

    Args:
        epochs: the only fidelity.
        renew: whether every order gets fresh initial weights, dropout and noise; else all trials share theirs.

    Returns:
        A Scheduler with room for any number of trials.

    Raises:
        ValueError: epochs below 1.
    """
    check_whole("full", epochs=(epochs, 1))

    def admit(state: Waiting, trial: np.ndarray, unit: np.ndarray):
        trial, unit = np.concatenate([state.trial, trial]), np.concatenate([state.unit, unit])
        return Waiting(trial, unit, state.orders)

    def ask(state: Waiting, key: Key):
        del key
        if not len(state.trial):
            return None, state
        made = order(state.trial, state.unit, epochs, fresh=True)
        if renew:
            made = made._replace(seed=np.full(len(state.trial), state.orders))
        return made, Waiting(state.trial[:0], state.unit[:0], state.orders + 1)

    return Scheduler(
        settings={"name": "full", "epochs": epochs} | ({"renew": True} if renew else {}),
        fidelity=epochs,
        brackets=(((epochs, 0),),),
        init=lambda dims: Waiting(*nobody(dims), 0),
        room=lambda state: (UNBOUNDED, epochs),
        admit=admit,
        close=lambda state: state,
        ask=ask,
        tell=lambda state, done, objectives: (state, done.trial),
        several=True,
    )
