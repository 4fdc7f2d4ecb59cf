"""Population-based training: the worst copy the best, weights and all, and move their hyperparameters.

Jaderberg et al. 2017, Population Based Training of Neural Networks, algorithm 1 with truncation selection. Its factors of
0.8 and 1.2 become steps up or down the unit interval, so that they mean the same on every scale.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.defaults import EPOCHS
from hpjax.randomness import generator
from hpjax.schedulers.base import Order, Scheduler, check_whole, nobody
from hpjax.search.base import Dim, Key, active, center, level, single


class Members(NamedTuple):
    """The population, and how it did in the last interval."""

    dims: tuple[Dim, ...]
    trial: np.ndarray  # [n]
    unit: np.ndarray  # [n D] where each stands now
    objective: np.ndarray  # [n] after the last interval
    step: int  # intervals done
    closed: bool


def explore(
    unit: np.ndarray, dims: tuple[Dim, ...], rng: np.random.Generator, resample: float, jump: float
) -> np.ndarray:
    """Moves points [n D] along their active dimensions that change no shape.

    A number steps up or down by `jump` of its range (an integer by at least one level); a choice stays; both are drawn
    afresh with probability `resample`.
    """
    moved = unit.copy()
    up = np.where(rng.random(unit.shape) < 0.5, 1.0, -1.0)
    anew, drawn = rng.random(unit.shape) < resample, rng.random(unit.shape)
    may = active(unit, dims)
    for i, dim in enumerate(dims):
        if dim.structural:
            continue
        stepped = np.clip(unit[:, i] + jump * up[:, i], 0, 1)
        if dim.kind == "integer":
            here = level(unit[:, i], dim)
            by = np.where(up[:, i] > 0, 1, -1)
            one = np.clip(here + by, 0, dim.levels - 1)
            stepped = np.where(level(stepped, dim) == here, center(one, dim), stepped)
        if dim.kind == "categorical":
            stepped = unit[:, i]
        moved[:, i] = np.where(may[:, i], np.where(anew[:, i], drawn[:, i], stepped), unit[:, i])
    return moved


def pbt(
    population: int = 16,
    epochs: int = EPOCHS,
    every: int = 2,
    quantile: float = 0.25,
    resample: float = 0.25,
    jump: float = 0.1,
) -> Scheduler:
    """Trains a population side by side; after every interval the worst go on from copies of the best.

    Exploit: each member of the worst `quantile`, and each that diverged, takes weights, optimizer state and hyperparameters
    of a random member of the best `quantile`. Explore: its active hyperparameters that change no shape are then moved.

    Args:
        population: members.
        epochs: how long the population trains; then a new one may start.
        every: epochs of an interval.
        quantile: share that copies, and share that is copied; above 0, at most 0.5.
        resample: probability that a hyperparameter is drawn afresh instead of moved.
        jump: step of a move, as a share of the range on its scale.

    Returns:
        A Scheduler. Every report names the source of each member's weights and its point: lineage and schedule.

    Raises:
        ValueError: an argument out of bounds.
    """
    check_whole("pbt", population=(population, 2), epochs=(epochs, 1), every=(every, 1))
    for name, value, most in (
        ("quantile", quantile, 0.5),
        ("resample", resample, 1),
        ("jump", jump, 1),
    ):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= most or (name == "quantile" and value == 0):
            raise ValueError(
                f"{name} must be above 0 and at most {most}, got {value!r:.80}"
                if name == "quantile"
                else f"{name} must lie in [0, {most}], got {value!r:.80}"
            )
    steps = [*range(every, epochs, every), epochs]

    def begin(dims: tuple[Dim, ...]):
        return Members(dims, *nobody(dims), np.zeros(0), 0, False)

    def room(state: Members):
        taking = state.step == 0 and not state.closed
        return (population - len(state.trial) if taking else 0), steps[0]

    def admit(state: Members, trial: np.ndarray, unit: np.ndarray):
        trial, unit = np.concatenate([state.trial, trial]), np.concatenate([state.unit, unit])
        return state._replace(trial=trial, unit=unit, objective=np.zeros(len(trial)))

    def ask(state: Members, key: Key):
        count = len(state.trial)
        if not count or (count < population and not state.closed and state.step == 0):
            return None, state
        source, unit = state.trial.copy(), state.unit
        if state.step == 0:
            source[:] = -1
        else:
            share = max(1, int(quantile * count))
            rank = np.lexsort((state.trial, state.objective))
            good = rank[:share][np.isfinite(state.objective[rank[:share]])]
            bad = np.union1d(rank[count - share :], np.flatnonzero(~np.isfinite(state.objective)))
            bad = np.setdiff1d(bad, good)
            if len(good) and len(bad):
                rng = generator(key)
                chosen = good[rng.integers(len(good), size=len(bad))]
                source[bad] = state.trial[chosen]
                unit = unit.copy()
                unit[bad] = explore(unit[chosen], state.dims, rng, resample, jump)
        state = state._replace(unit=unit)
        until = np.full(count, steps[state.step])
        return Order(state.trial, unit, source, until, np.zeros(count, np.int64)), state

    def tell(state: Members, done: Order, objectives: np.ndarray):
        objective = single(objectives)
        if state.step == len(steps) - 1:
            return begin(state.dims), done.trial
        return state._replace(objective=objective, step=state.step + 1), done.trial[:0]

    return Scheduler(
        settings={
            "name": "pbt",
            "population": population,
            "epochs": epochs,
            "every": every,
            "quantile": quantile,
            "resample": resample,
            "jump": jump,
        },
        fidelity=epochs,
        brackets=(tuple((until, population) for until in steps),),
        init=begin,
        room=room,
        admit=admit,
        close=lambda state: state._replace(closed=bool(len(state.trial))),
        ask=ask,
        tell=tell,
    )
