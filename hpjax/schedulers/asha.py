"""Asynchronous successive halving (ASHA): a rung promotes as soon as enough of its trials may go on, not when all of it is done.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht & Talwalkar 2020, A System for Massively Parallel Hyperparameter Tuning,
MLSys, algorithm 2. There each free worker takes one trial; here networks train side by side, so an order takes all trials of one rung
that may go on, once they are `together`. Decisions are a function of what was reported, in its order: a study is replayed exactly. The stopping variant is that of
Ray Tune's AsyncHyperBandScheduler: a trial that is among the best of its rung when it gets there goes on, the others end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax import fronts
from hpjax.checks import one_of
from hpjax.defaults import FIRST_RUNG, HYPERBAND_EPOCHS
from hpjax.schedulers.base import Order, Scheduler, check_whole, nobody, order
from hpjax.schedulers.halving import ETA
from hpjax.search.base import Key

VARIANTS = ("promotion", "stopping")


class Rung(NamedTuple):
    """The trials that were trained until one epoch, in the order of their reports."""

    trial: np.ndarray  # [n]
    unit: np.ndarray  # [n D]
    objectives: np.ndarray  # [n O] +inf where it failed
    paused: np.ndarray  # [n] bool: it may go on


class Climb(NamedTuple):
    """Who waits for a first order, and who has got how far."""

    trial: np.ndarray  # [m] new ones
    unit: np.ndarray  # [m D]
    rungs: tuple[Rung, ...]
    closed: bool  # no more trials come for now


def asha(
    epochs: int = HYPERBAND_EPOCHS,
    eta: int = ETA,
    grace: int = 1,
    together: int = 8,
    variant: str = "promotion",
) -> Scheduler:
    """Trains trials to the first rung, and from each rung on as soon as enough may go on.

    Args:
        epochs: R, of a network that lives to the end.
        eta: one in eta goes on; rungs are eta times longer than those below.
        grace: r, epochs of the first rung, at least.
        together: trials that a rung promotes at once, at least; new ones come eta times as many. Where no more trials come, orders are
            made of those that are left.
        variant: "promotion": a paused trial goes on when it is among the best 1/eta of all that have reached its rung; until then it waits,
            and its network with it, in memory and in checkpoints. "stopping": it goes on only if it is among them when it gets there, and ends else; the first
            eta - 1 of a rung go on all the same.

    Returns:
        A Scheduler. The highest rung with enough trials is served first, then new ones. A trial that failed never goes on; ties
        go to the lower trial number. When trials run out, each rung promotes its share rounded up, from the lowest one upwards, so
        that one trial reaches the end.

    Raises:
        ValueError: arguments out of bounds.

    Example:
        >>> [until for until, _ in asha(27, together=4).brackets[0]]
        [1, 3, 9, 27]
    """
    check_whole("asha", epochs=(epochs, 1), eta=(eta, 2), grace=(grace, 1), together=(together, 1))
    one_of("variant", variant, VARIANTS)
    if grace > epochs:
        raise ValueError(f"asha needs grace of at most its {epochs} epochs, got {grace}")
    steps = 0
    while grace * eta ** (steps + 1) <= epochs:
        steps += 1
    until = [epochs // eta ** (steps - i) for i in range(steps + 1)]
    last = len(until) - 1
    many = -(-FIRST_RUNG // eta**last)  # of the last rung, as planned

    def init(dims: tuple) -> Climb:
        rung = Rung(*nobody(dims), np.zeros((0, 1)), np.zeros(0, bool))
        return Climb(*nobody(dims), (rung,) * len(until), False)

    def admit(state: Climb, trial: np.ndarray, unit: np.ndarray) -> Climb:
        trial = np.concatenate([state.trial, trial])
        return state._replace(trial=trial, unit=np.concatenate([state.unit, unit]), closed=False)

    def going_on(rung: Rung, rounded_up: bool) -> np.ndarray:
        """Which trials [k] of a rung may go on, by number of row, the best first."""
        if variant == "stopping":
            return np.flatnonzero(rung.paused)
        count = len(rung.trial)
        best = _best(rung, -(-count // eta) if rounded_up else count // eta)
        return best[rung.paused[best]]

    def chosen(state: Climb) -> tuple[int, np.ndarray] | None:
        """The rung that is served next, -1 for new trials, and rows of it; None where nothing can be done."""
        every = [(at, going_on(state.rungs[at], False)) for at in range(last)]
        enough = [(at, rows) for at, rows in reversed(every) if len(rows) >= together]
        if enough:
            return enough[0]
        new = np.arange(len(state.trial))
        if len(new) >= eta * together:
            return -1, new
        if not state.closed:
            return None
        rest = [(-1, new), *((at, going_on(state.rungs[at], True)) for at in range(last))]
        return next(((at, rows) for at, rows in rest if len(rows)), None)

    def room(state: Climb) -> tuple[int, int]:
        promotes = any(len(going_on(rung, False)) >= together for rung in state.rungs[:last])
        return (0 if promotes else max(0, eta * together - len(state.trial))), until[0]

    def ask(state: Climb, key: Key) -> tuple[Order | None, Climb]:
        del key
        found = chosen(state)
        if found is None:
            return None, state
        at, rows = found
        if at < 0:
            made = order(state.trial, state.unit, until[0], fresh=True)
            return made, state._replace(trial=state.trial[:0], unit=state.unit[:0])
        rung = state.rungs[at]
        rows = rows[np.argsort(rung.trial[rows])]
        paused = rung.paused.copy()
        paused[rows] = False
        made = order(rung.trial[rows], rung.unit[rows], until[at + 1], fresh=False)
        return made, _with(state, at, rung._replace(paused=paused))

    def tell(state: Climb, done: Order, objectives: np.ndarray) -> tuple[Climb, np.ndarray]:
        at = until.index(int(done.epochs[0]))
        before = state.rungs[at]
        known = before.objectives if len(before.trial) else objectives[:0]
        reached = np.concatenate([known, objectives])
        lives = np.isfinite(objectives).all(1) & (at < last)
        if variant == "stopping":
            lives &= _among_best(reached, len(objectives), eta)
        rung = Rung(
            np.concatenate([before.trial, done.trial]),
            np.concatenate([before.unit, done.unit]),
            reached,
            np.concatenate([before.paused, lives]),
        )
        return _with(state, at, rung), done.trial[~lives]

    return Scheduler(
        settings={
            "name": "asha",
            "epochs": epochs,
            "eta": eta,
            "grace": grace,
            "together": together,
            "variant": variant,
        },
        fidelity=epochs,
        brackets=(tuple((epoch, many * eta ** (last - i)) for i, epoch in enumerate(until)),),
        init=init,
        room=room,
        admit=admit,
        close=lambda state: state._replace(closed=True),
        ask=ask,
        tell=tell,
        several=True,
        together=together,
    )


def _with(state: Climb, at: int, rung: Rung) -> Climb:
    """The same with another rung."""
    return state._replace(rungs=(*state.rungs[:at], rung, *state.rungs[at + 1 :]))


def _best(rung: Rung, count: int) -> np.ndarray:
    """Rows [count] of the lowest objectives, the lowest first; ties go to the lower trial number."""
    if not count:
        return np.zeros(0, np.int64)
    place = fronts.places(rung.objectives)
    worst = np.partition(place, count - 1)[count - 1]
    rows = np.flatnonzero(place <= worst)
    return rows[np.lexsort((rung.trial[rows], place[rows]))][:count]


def _among_best(reached: np.ndarray, fresh: int, eta: int) -> np.ndarray:
    """Whether each of the last `fresh` objectives [n O] is among the best 1/eta of those up to it; the first eta - 1 are."""
    first = len(reached) - fresh
    found = np.ones(fresh, bool)
    for at in range(fresh):
        seen = fronts.places(reached[: first + at + 1])
        if len(seen) >= eta:
            found[at] = seen[-1] <= np.partition(seen, len(seen) // eta - 1)[len(seen) // eta - 1]
    return found
