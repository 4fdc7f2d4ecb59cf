"""A scheduler of your own, to copy: every network trains in two steps, and only the better half goes on.

    python examples/skeleton_scheduler.py

It sees trial numbers, epochs and objectives, never a network. To make it one of hpjax's own, move it to
`hpjax/schedulers/NAME.py` and name it in `hpjax/schedulers/__init__.py` (a run is resumed from `settings`).
"""

from typing import NamedTuple

import numpy as np

import hpjax
from hpjax.schedulers.base import Order, Scheduler
from hpjax.search.base import single


class State(NamedTuple):
    """What the next order needs."""

    trial: np.ndarray  # [n] of the round, as admitted
    unit: np.ndarray | None  # [n D]
    promoted: np.ndarray | None  # [m] which of them go on; None before the first half
    full: bool  # whether the round begins


def halfway(trials: int = 8, epochs: int = 10) -> Scheduler:
    """Rounds of `trials` networks: all to half of the epochs, the better half to the end."""
    empty = State(np.zeros(0, np.int64), None, None, False)

    def room(state: State) -> tuple[int, int]:
        """How many trials it takes now, and at which epoch they are first reported."""
        return trials - len(state.trial), epochs // 2

    def admit(state: State, trial: np.ndarray, unit: np.ndarray) -> State:
        both = unit if state.unit is None else np.concatenate([state.unit, unit])
        trial = np.concatenate([state.trial, trial])
        return state._replace(trial=trial, unit=both, full=len(trial) == trials)

    def close(state: State) -> State:
        """No more trials come for now: the round begins with those that are there."""
        return state._replace(full=state.unit is not None)

    def ask(state: State, key: tuple) -> tuple[Order | None, State]:
        del key
        if not state.full:
            return None, state  # waits for more
        first = state.promoted is None
        rows = np.arange(len(state.trial)) if first else state.promoted
        trial = state.trial[rows]
        source = np.full(len(rows), -1) if first else trial  # -1: fresh weights
        until = np.full(len(rows), epochs // 2 if first else epochs)
        return Order(trial, state.unit[rows], source, until, np.zeros(len(rows), np.int64)), state

    def tell(state: State, order: Order, objectives: np.ndarray) -> tuple[State, np.ndarray]:
        """The next state, and the trials that are finished."""
        if state.promoted is not None:
            return empty, order.trial
        objective = single(objectives)  # [n O]: this scheduler is for one
        best = np.argsort(objective, kind="stable")[: max(1, len(objective) // 2)]
        best = np.sort(best[np.isfinite(objective[best])])
        finished = np.setdiff1d(order.trial, order.trial[best])
        if not len(best):
            return empty, finished
        return state._replace(promoted=best), finished

    return Scheduler(
        fidelity=epochs,
        init=lambda dims: empty,
        room=room,
        admit=admit,
        ask=ask,
        tell=tell,
        close=close,
        brackets=(((epochs // 2, trials), (epochs, trials // 2)),),  # until epoch, networks
        settings={"name": "halfway", "trials": trials, "epochs": epochs},
    )


if __name__ == "__main__":
    space = {"hidden": (16,), "learning_rate": hpjax.LogUniform(1e-4, 1.0)}
    result = hpjax.tune(space, "iris", scheduler=halfway(), trials=16)
    print(result.trials)
