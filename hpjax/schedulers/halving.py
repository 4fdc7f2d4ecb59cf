"""Successive halving with explicit rungs: train many a little, keep the best few, train those longer.

Jamieson & Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter Optimization.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hpjax.schedulers.base import Scheduler, order


class Bracket(NamedTuple):
    """One bracket: who is in it, and on which rung."""

    rung: int
    trial: np.ndarray  # [n]
    unit: np.ndarray | None  # [n D]
    closed: bool  # no more trials will come at all


def ladder(networks: int, epochs: int, eta: int = 3) -> tuple[tuple[int, int], ...]:
    """Rungs that divide the networks by eta while the epochs grow by eta, ending at `epochs`.

    Example:
        >>> ladder(27, 27)
        ((1, 27), (3, 9), (9, 3), (27, 1))
    """
    if networks < 1 or epochs < 1 or eta < 2:
        raise ValueError(
            f"ladder needs networks >= 1, epochs >= 1, eta >= 2, got {networks}, {epochs}, {eta}"
        )
    steps = 0
    while networks >= eta ** (steps + 1) and epochs >= eta ** (steps + 1):
        steps += 1
    return tuple((epochs // eta ** (steps - i), networks // eta**i) for i in range(steps + 1))


def halving(rungs: tuple[tuple[int, int], ...] = ((2, 54), (6, 18), (18, 6))) -> Scheduler:
    """Brackets of trials that climb the given rungs together; brackets follow each other.

    Args:
        rungs: (epochs, networks) per rung: until which epoch, and how many are trained until it. Epochs must rise and
            networks must not.

    Returns:
        A Scheduler. A network that is not promoted is finished; one that failed (loss +inf) is never promoted; ties go to
        the lower trial number. When trials run out, a partial bracket climbs the same rungs with its share of networks.

    Raises:
        ValueError: rungs that do not climb.
    """
    rungs = tuple((int(epochs), int(networks)) for epochs, networks in rungs)
    climbing = all(a[0] < b[0] and a[1] >= b[1] for a, b in pairwise(rungs))
    if not rungs or not climbing or rungs[0][0] < 1 or rungs[-1][1] < 1:
        raise ValueError(
            f"rungs must be (epochs, networks) with epochs rising and networks not, got {rungs}"
        )
    size = rungs[0][1]
    empty = Bracket(0, np.zeros(0, np.int64), None, False)

    def room(state):
        return (size - len(state.trial) if state.rung == 0 and not state.closed else 0), rungs[0][0]

    def admit(state, trial, unit):
        if state.unit is None:
            return state._replace(trial=np.asarray(trial), unit=unit)
        return state._replace(
            trial=np.concatenate([state.trial, trial]), unit=np.concatenate([state.unit, unit])
        )

    def ask(state, key):
        del key
        if not len(state.trial) or (
            state.rung == 0 and len(state.trial) < size and not state.closed
        ):
            return None, state
        return order(state.trial, state.unit, rungs[state.rung][0], fresh=state.rung == 0), state

    def tell(state, done, losses):
        best = np.lexsort((done.trial, losses))
        best = best[np.isfinite(losses[best])]
        last = state.rung == len(rungs) - 1
        share = (
            0 if last else -(-rungs[state.rung + 1][1] * len(done.trial) // rungs[state.rung][1])
        )
        kept = np.sort(best[:share])
        finished = np.setdiff1d(np.arange(len(done.trial)), kept)
        if not len(kept):
            return empty._replace(closed=state.closed), done.trial[finished]
        return Bracket(state.rung + 1, done.trial[kept], done.unit[kept], state.closed), done.trial[
            finished
        ]

    return Scheduler(
        fidelity=rungs[-1][0],
        rungs=rungs,
        init=lambda: empty,
        room=room,
        admit=admit,
        close=lambda state: state._replace(closed=True),
        ask=ask,
        tell=tell,
    )
