"""CMA-ES: a normal distribution that learns its mean, its scale and its covariance from ranks.

Hansen & Ostermeier 2001, as the `cmaes` library has it (Nomura & Shibata 2024); with margin for whole numbers and a
categorical distribution for choices, Hamano et al. 2025, CatCMA with Margin. Restarts with twice the population when the
distribution has converged: Auger & Hansen 2005, IPOP.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np

from hpjax.randomness import generator
from hpjax.search.base import Dim, Key, Observations, Searcher, center


class State(NamedTuple):
    """The library's optimizer, and the generation that is out."""

    optimizer: Any
    asked: int  # the number of the next trial
    drawn: dict[int, Any]  # trial -> solution as the library knows it
    back: dict[int, tuple[int, float]]  # trial -> (epochs, objective), finished but not yet told
    restarts: int
    # the best point seen before the first ask: where it starts
    given: tuple[float, np.ndarray] | None
    key: Key
    note: dict


class Kinds(NamedTuple):
    """Which dimensions are of which kind."""

    dims: tuple[Dim, ...]
    continuous: list[int]
    integer: list[int]
    categorical: list[int]

    @classmethod
    def of(cls, dims: tuple[Dim, ...]) -> Kinds:
        """Those of a space."""
        kinds = ("continuous", "integer", "categorical")
        return cls(dims, *([i for i, dim in enumerate(dims) if dim.kind == kind] for kind in kinds))

    @property
    def plain(self) -> bool:
        """Whether CMA-ES itself can search them; it wants two continuous dimensions at least."""
        return len(self.continuous) == len(self.dims) > 1

    @property
    def numbers(self) -> list[int]:
        """Those that are no choices."""
        return [*self.continuous, *self.integer]


def cmaes(
    dims: tuple[Dim, ...],
    mean: float | np.ndarray = 0.5,
    sigma: float = 0.25,
    population: int | None = None,
    restart: bool = True,
) -> Searcher:
    """Generations drawn from an adapted normal distribution.

    Continuous spaces use CMA-ES; spaces with whole numbers or choices use CatCMA with Margin. Which one is in the ledger, at
    the first ask. Inactive dimensions are drawn like the others and change nothing.

    Args:
        dims: the dimensions of the space, D of them.
        mean: where it starts, in the unit cube; the best of given points (`start=`) takes its place.
        sigma: standard deviation that it starts with, as a share of the range.
        population: of a generation; 4 + floor(3 ln D) where None. Where there are many basins, twice that and a sigma of 0.35 find the lowest
            one more often, and its floor later (results/LOG.md, 2026-11-25).
        restart: start again, with twice the population, when the library says that the distribution has converged.

    Returns:
        A Searcher. A generation is ranked by epochs, the most first, then by objective.

    Raises:
        ValueError: no dimensions, or sigma that is not above 0.
    """
    if not dims:
        raise ValueError("cmaes needs at least one dimension; the space has only constants")
    if sigma <= 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    kinds = Kinds.of(dims)
    begin = np.broadcast_to(np.asarray(mean, np.float64), (len(dims),)).copy()
    size = max(population or 4 + math.floor(3 * math.log(len(dims))), 2)

    def start(key: Key):
        optimizer = _optimizer(kinds, begin, sigma, size)
        name = type(optimizer).__name__
        return State(optimizer, 0, {}, {}, 0, None, key, {"method": name, "generation": size})

    def ask(state: State, key: Key, n: int, fidelity: int):
        del fidelity
        seed = int(generator(key).integers(2**32))
        rng = np.random.RandomState(seed)
        optimizer = copy.deepcopy(state.optimizer)
        if not state.asked and state.given is not None:
            optimizer = _optimizer(kinds, state.given[1], sigma, size)
        # more than the rest of a generation, where a bracket wants them, come from the same distribution
        pairs = [_draw(optimizer, kinds, rng) for _ in range(n)]
        unit = np.array([point for _, point in pairs]).reshape(len(pairs), len(dims))
        drawn = state.drawn | {state.asked + i: solution for i, (solution, _) in enumerate(pairs)}
        asked = state.asked + len(pairs)
        note = state.note if not state.asked or "restart" in state.note else {}
        return unit, state._replace(optimizer=optimizer, drawn=drawn, asked=asked, note=note)

    def tell(state: State, observations: Observations):
        back = dict(state.back)
        for trial, objective, epochs, finished in zip(
            observations.trial.tolist(),
            observations.objective.tolist(),
            observations.epochs.tolist(),
            observations.finished.tolist(),
        ):
            if finished and trial in state.drawn:
                back[trial] = (epochs, objective)
        given = state.given
        for unit, objective in zip(observations.unit, observations.objective.tolist()):
            if (
                not state.asked
                and np.isfinite(objective)
                and (given is None or objective < given[0])
            ):
                given = (objective, np.array(unit))
        optimizer, drawn, restarts = state.optimizer, dict(state.drawn), state.restarts
        note = {} if state.asked else state.note  # the first ask records it
        while len(back) >= optimizer.population_size:
            group = sorted(back)[: optimizer.population_size]
            ranked = sorted(group, key=lambda t: (-back[t][0], back[t][1], t))
            if np.isfinite([back[t][1] for t in group]).any():  # else it says nothing
                optimizer = copy.deepcopy(optimizer)
                values = _values([back[t] for t in ranked])
                optimizer.tell([(drawn[t], value) for t, value in zip(ranked, values)])
            for trial in group:
                del back[trial], drawn[trial]
            if restart and kinds.numbers and optimizer.should_stop():
                restarts += 1
                anew = generator((*state.key, restarts)).random(len(dims))
                optimizer = _optimizer(kinds, anew, sigma, size * 2**restarts)
                note = {"restart": restarts, "generation": size * 2**restarts}
                drawn, back = {}, {}  # what is still out is of the old distribution
        return State(optimizer, state.asked, drawn, back, restarts, given, state.key, note)

    return Searcher(init=start, ask=ask, tell=tell, batch=size, note=lambda state: state.note)


def _optimizer(kinds: Kinds, mean: np.ndarray, sigma: float, population: int) -> Any:
    """The library's optimizer: CMA-ES, or CatCMA with Margin where not all dimensions are continuous."""
    import cmaes as library

    dims = kinds.dims
    if kinds.plain:
        bounds = np.tile([0.0, 1.0], (len(dims), 1))
        return library.CMA(mean.copy(), sigma, bounds, population_size=population, seed=0)
    spaces: dict[str, Any] = {}
    if kinds.continuous:
        spaces["x_space"] = [[0.0, 1.0]] * len(kinds.continuous)
    if kinds.integer:
        levels = [center(np.arange(dims[i].levels), dims[i]) for i in kinds.integer]
        spaces["z_space"] = [list(values) if len(values) > 1 else [0.0, 1.0] for values in levels]
    if kinds.categorical:
        spaces["c_space"] = [max(2, dims[i].levels) for i in kinds.categorical]
    if kinds.numbers:
        count = len(kinds.numbers)
        spaces |= {"mean": mean[kinds.numbers], "sigma": sigma, "cov": np.eye(count)}
    return library.CatCMAwM(**spaces, population_size=population, seed=0)


def _draw(optimizer: Any, kinds: Kinds, rng: np.random.RandomState) -> tuple[Any, np.ndarray]:
    """A solution as the library knows it, and the point [D] that it stands for."""
    optimizer._rng = rng
    solution = optimizer.ask()
    if kinds.plain:
        return solution, solution
    dims = kinds.dims
    unit = np.empty(len(dims))
    if kinds.continuous:
        unit[kinds.continuous] = solution.x
    if kinds.integer:
        unit[kinds.integer] = solution.z
    for chosen, i in zip(solution.c if kinds.categorical else (), kinds.categorical):
        unit[i] = center(min(int(np.argmax(chosen)), dims[i].levels - 1), dims[i])
    return solution, np.clip(unit, 0, 1)


def _values(ranked: list[tuple[int, float]]) -> list[float]:
    """What the library is told of (epochs, objective), best first: it uses ranks, and values to see whether it has converged."""
    objectives = [objective for _, objective in ranked]
    if len({epochs for epochs, _ in ranked}) > 1:
        return [float(rank) for rank in range(len(ranked))]
    worst = max((objective for objective in objectives if np.isfinite(objective)), default=0.0)
    return [min(objective, worst + abs(worst) + 1) for objective in objectives]
