"""Successive halving with explicit rungs: train many a little, keep the best few, train those longer.

Jamieson & Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter Optimization.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hpjax import fronts
from hpjax.schedulers.base import UNBOUNDED, Order, Rungs, Scheduler, check_whole, nobody, order
from hpjax.search.base import Key


class Bracket(NamedTuple):
    """The bracket at work: which one, who is in it, and on which rung."""

    number: int
    rung: int
    trial: np.ndarray  # [n]
    unit: np.ndarray  # [n D]
    closed: bool  # it goes on with those that are in it


ETA = 3  # one network in so many goes on


def ladder(networks: int, epochs: int, eta: int = ETA) -> Rungs:
    """Rungs that divide the networks by eta while the epochs grow by eta, ending at `epochs`.

    Example:
        >>> ladder(27, 27)
        ((1, 27), (3, 9), (9, 3), (27, 1))
    """
    check_whole("ladder", networks=(networks, 1), epochs=(epochs, 1), eta=(eta, 2))
    steps = 0
    while networks >= eta ** (steps + 1) and epochs >= eta ** (steps + 1):
        steps += 1
    return tuple((epochs // eta ** (steps - i), networks // eta**i) for i in range(steps + 1))


def halving(rungs: Rungs = ((2, 54), (6, 18), (18, 6))) -> Scheduler:
    """Brackets of trials that climb the given rungs together; brackets follow each other.

    Args:
        rungs: (epochs, networks) per rung: until which epoch, and how many are trained until it. Epochs must rise and
            networks must not.

    Returns:
        A Scheduler. A network that is not promoted is finished; one that failed (objective +inf) is never promoted; ties go to
        the lower trial number. Of several objectives the first fronts are promoted, and of the last of these those that lie apart
        (Schmucker, Donini, Zafar, Salinas & Archambeau 2021, Multi-objective Asynchronous Successive Halving). When trials run out, a partial bracket climbs the same rungs with its share of networks.

    Raises:
        ValueError: rungs that do not climb.
    """
    refusal = (
        f"rungs must be (epochs, networks) with epochs rising and networks not, got {rungs!r:.200}"
    )
    try:
        pairs = [(int(epochs), int(networks)) for epochs, networks in rungs]
        exact = all(pair == tuple(rung) for pair, rung in zip(pairs, rungs))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(refusal) from None
    rungs = tuple(pairs)
    climbing = exact and all(a[0] < b[0] and a[1] >= b[1] for a, b in pairwise(rungs))
    if (
        not rungs
        or not climbing
        or rungs[0][0] < 1
        or rungs[-1][1] < 1
        or rungs[-1][0] >= UNBOUNDED
    ):
        raise ValueError(refusal)
    return climb({"name": "halving", "rungs": rungs}, (rungs,))


def climb(settings: dict, brackets: tuple[Rungs, ...], fresh: bool = False) -> Scheduler:
    """Goes through brackets one after another, and then again.

    Args:
        settings: of the Scheduler.
        brackets: their rungs.
        fresh: every rung takes new trials, trained from the start, instead of promoting those below.
    """

    def after(done: Order, number: int, rung: int = 0) -> Bracket:
        """The next bracket or rung, with nobody in it."""
        return Bracket(number % len(brackets), rung, done.trial[:0], done.unit[:0], False)

    def room(state: Bracket):
        epochs, networks = brackets[state.number][state.rung]
        taking = not state.closed and (fresh or state.rung == 0)
        return (networks - len(state.trial) if taking else 0), epochs

    def admit(state: Bracket, trial: np.ndarray, unit: np.ndarray):
        trial = np.concatenate([state.trial, trial])
        return state._replace(trial=trial, unit=np.concatenate([state.unit, unit]))

    def ask(state: Bracket, key: Key):
        del key
        epochs, networks = brackets[state.number][state.rung]
        entering = fresh or state.rung == 0
        if not len(state.trial) or (entering and len(state.trial) < networks and not state.closed):
            return None, state
        return order(state.trial, state.unit, epochs, fresh=entering), state

    def tell(state: Bracket, done: Order, objectives: np.ndarray):
        objective = fronts.places(objectives)
        rungs = brackets[state.number]
        last = state.rung == len(rungs) - 1
        if fresh:
            number, rung = (state.number + 1, 0) if last else (state.number, state.rung + 1)
            return after(done, number, rung), done.trial
        best = np.lexsort((done.trial, objective))
        best = best[np.isfinite(objective[best])]
        share = (
            0 if last else -(-rungs[state.rung + 1][1] * len(done.trial) // rungs[state.rung][1])
        )
        kept = np.sort(best[:share])
        finished = done.trial[np.setdiff1d(np.arange(len(done.trial)), kept)]
        if not len(kept):
            return after(done, state.number + 1), finished
        rung = Bracket(state.number, state.rung + 1, done.trial[kept], done.unit[kept], True)
        return rung, finished

    return Scheduler(
        settings=settings,
        fidelity=max(rungs[-1][0] for rungs in brackets),
        brackets=brackets,
        init=lambda dims: Bracket(0, 0, *nobody(dims), False),
        room=room,
        admit=admit,
        close=lambda state: state._replace(closed=bool(len(state.trial))),
        ask=ask,
        tell=tell,
        fresh=fresh,
        several=True,
    )
