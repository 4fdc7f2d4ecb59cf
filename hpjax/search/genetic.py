"""A genetic algorithm: parents by tournament, uniform and blend crossover, mutation, and elitism.

Holland 1975; blend crossover of numbers by Eshelman & Schaffer 1993 (BLX-alpha). With several objectives or constraints, what is best is
decided as in NSGA-II: Deb, Pratap, Agarwal & Meyarivan 2002, A Fast and Elitist Multiobjective Genetic Algorithm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax import fronts
from hpjax.randomness import generator
from hpjax.search.base import Dim, Key, Observations, Searcher
from hpjax.search.history import History, distinct, empty, handed, remember, taken


class Elite(NamedTuple):
    """The best so far, best first: by epochs, the most first, then by objective, or by front and crowding where there are several."""

    unit: np.ndarray  # [p D]
    epochs: np.ndarray  # [p]
    objectives: np.ndarray  # [p O]
    violation: np.ndarray  # [p] of constraints
    trial: np.ndarray  # [p]
    history: History  # of finite spaces, to propose nothing twice; else only counts
    replaced: int


def genetic(
    dims: tuple[Dim, ...],
    population: int = 20,
    tournament: int = 3,
    crossover: float = 0.9,
    blend: float = 0.5,
    spread: float = 0.1,
    newcomers: float = 0.05,
) -> Searcher:
    """Children of the best points seen.

    Args:
        dims: the dimensions of the space, D of them.
        population: how many of the best may be parents (elitism: the best of all generations); the first
            `population` points are random.
        tournament: parents are the best of so many drawn ones.
        crossover: probability of two parents; else the child is a mutant of one.
        blend: alpha of BLX: numbers are drawn from the parents' interval, widened by this share on both sides; a choice comes
            from either.
        spread: standard deviation of a mutation, as a share of the range. Each dimension mutates with probability 1/D.
        newcomers: share of children that are drawn at random instead.

    Returns:
        A Searcher; networks of lower fidelity rank behind all of higher fidelity.
    """
    width, finite = len(dims), np.array([dim.kind == "categorical" for dim in dims], bool)

    def init(key: Key):
        del key
        nobody = np.zeros(0, np.int64)
        nothing = np.zeros((0, 1))
        return Elite(np.zeros((0, width)), nobody, nothing, np.zeros(0), nobody, empty(dims), 0)

    def ask(state: Elite, key: Key, n: int, fidelity: int):
        del fidelity
        rng = generator(key)
        fresh = rng.random((n, width))
        unit = fresh
        if len(state.trial) >= min(population, 4):
            first = np.arange(n)[:, None] < population - state.history.asked
            drawn = first | (rng.random((n, 1)) < newcomers)
            unit = np.where(drawn, fresh, breed(state, rng, n))
        unit, replaced = distinct(unit, taken(state.history, dims), dims, rng)
        return unit, state._replace(history=handed(state.history, unit), replaced=replaced)

    def breed(state: Elite, rng: np.random.Generator, n: int):
        # sorted: low is good
        drawn = rng.integers(len(state.trial), size=(2, n, tournament)).min(-1)
        mother, father = state.unit[drawn]
        both = rng.random((n, 1)) < crossover
        low, high = np.minimum(mother, father), np.maximum(mother, father)
        reach = blend * (high - low)
        number = low - reach + rng.random((n, width)) * (high - low + 2 * reach)
        either = np.where(rng.random((n, width)) < 0.5, mother, father)
        child = np.where(both, np.where(finite, either, number), mother)
        mutate = rng.random((n, width)) < 1 / max(1, width)
        mutate[np.arange(n), rng.integers(max(1, width), size=n)] |= ~both[:, 0]
        moved = child + spread * rng.standard_normal((n, width))
        child = np.where(mutate, np.where(finite, rng.random((n, width)), moved), child)
        return _reflect(child)

    def tell(state: Elite, observations: Observations):
        history = remember(state.history, observations)
        stale = np.isin(state.trial, observations.trial)  # reported again, at a higher fidelity
        broken = observations.violation
        if broken is None:
            broken = np.zeros(len(observations.trial))
        # with the first of them it is known how many there are
        objectives = state.objectives if len(state.trial) else observations.objectives[:0]
        unit, epochs, objectives, violation, trial = (
            np.concatenate([old[~stale], new])
            for old, new in (
                (state.unit, observations.unit),
                (state.epochs, observations.epochs),
                (objectives, observations.objectives),
                (state.violation, broken),
                (state.trial, observations.trial),
            )
        )
        constrained = bool((violation > 0).any())
        place = fronts.places(objectives, violation if constrained else None)
        best = np.lexsort((trial, place, -epochs))
        best = best[np.isfinite(place[best])][:population]
        unit, epochs, objectives = unit[best], epochs[best], objectives[best]
        return Elite(unit, epochs, objectives, violation[best], trial[best], history, 0)

    return Searcher(
        init=init,
        ask=ask,
        tell=tell,
        batch=population,
        note=lambda state: {"replaced": state.replaced} if state.replaced else {},
        several=True,
    )


def _reflect(unit: np.ndarray) -> np.ndarray:
    """Numbers beyond 0 or 1, mirrored back."""
    return 1 - np.abs(1 - np.mod(unit, 2))
