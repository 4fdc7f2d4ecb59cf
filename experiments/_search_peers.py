"""Contestants of `search_quality`: our searches and the field's own tools, as functions of a problem.

Each takes (problem, evaluations, seed, batch) and returns the losses [evaluations] in the order in which they were seen.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments._objectives import Problem

GENERATION = 20  # points of a generation of evosax's strategies


def ours(search: Any, problem: Problem, count: int, seed: int, batch: int) -> np.ndarray:
    """One of our searches."""
    import hpjax

    found = hpjax.minimize(
        problem.loss, problem.space, search=search, trials=count, seed=seed, batch=batch or None
    )
    losses = found.table["objective"]
    # a space that is used up
    return np.pad(losses, (0, count - len(losses)), constant_values=np.inf)


def optuna(name: str, problem: Problem, count: int, seed: int, batch: int) -> np.ndarray:
    """One of Optuna's samplers, as a search of ours."""
    import optuna as library

    from hpjax import search

    if name == "GPSampler":
        import torch

        torch.set_num_threads(1)
    exact = problem.observed is None
    options = {"deterministic_objective": exact} if name == "GPSampler" else {}
    sampler = lambda seed: getattr(library.samplers, name)(seed=seed, **options)
    library.logging.set_verbosity(library.logging.ERROR)
    # Optuna's CMA-ES is told no more than a generation: of larger batches it would lose the rest
    return ours(search.optuna(sampler), problem, count, seed, batch or 1)


def _unit(problem: Problem):
    """A continuous problem as a function of one point [D] of the unit cube, and D."""
    import hpjax

    space = hpjax.Space(problem.space)
    return lambda x: float(problem.loss(space.decode(np.asarray(x)[None]))[0]), len(space.dims)


def bayesian_optimization(problem: Problem, count: int, seed: int, batch: int) -> np.ndarray:
    """The bayesian-optimization package: 5 random points, then its default acquisition."""
    from bayes_opt import BayesianOptimization

    loss, dims = _unit(problem)
    bounds = {f"x{i:02d}": (0.0, 1.0) for i in range(dims)}
    made = BayesianOptimization(f=None, pbounds=bounds, random_state=seed, verbose=0)
    rng, values = np.random.default_rng(seed), []
    for step in range(count):
        point = dict(zip(bounds, rng.random(dims))) if step < 5 else made.suggest()
        value = loss([point[name] for name in bounds])
        made.register(params=point, target=-value)
        values.append(value)
    return np.array(values)


def smac(problem: Problem, count: int, seed: int, batch: int) -> np.ndarray:
    """SMAC3's facade for hyperparameters (random forests) as it comes: it is asked for one point at a time, and fits its forest anew after
    every eighth.

    Its points depend on Python's hashes of text; PYTHONHASHSEED must be set where they are to be found again.
    """
    import tempfile

    from ConfigSpace import Categorical, ConfigurationSpace, Float, InCondition, Integer
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    import hpjax
    from hpjax.search.base import center

    space, made, entries = hpjax.Space(problem.space), ConfigurationSpace(seed=seed), []
    for i, dim in enumerate(space.dims):
        ends = dim.low, dim.low + dim.levels - 1
        if dim.kind == "continuous":
            entries.append(Float(f"x{i}", (0.0, 1.0)))
        elif dim.kind == "categorical":
            entries.append(Categorical(f"x{i}", list(range(dim.levels))))
        else:
            entries.append(Integer(f"x{i}", ends, log=dim.low > 0))
    made.add(entries)
    parents = [(entry, dim.parent) for entry, dim in zip(entries, space.dims) if dim.parent]
    made.add([InCondition(entry, entries[one.dim], list(one.levels)) for entry, one in parents])
    values: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            made,
            deterministic=problem.observed is None,
            n_trials=count,
            seed=seed,
            output_directory=Path(folder),
        )
        search = HyperparameterOptimizationFacade(
            scenario, lambda config, seed: 0.0, overwrite=True, logging_level=40
        )
        while len(values) < count:
            asked = [search.ask() for _ in range(min(max(1, batch), count - len(values)))]
            unit = np.full((len(asked), len(space.dims)), 0.5)
            for row, trial in enumerate(asked):
                for i, dim in enumerate(space.dims):
                    value = trial.config.get(f"x{i}")
                    if value is not None:
                        at = int(value) - dim.low if dim.kind != "continuous" else 0
                        unit[row, i] = value if dim.kind == "continuous" else center(at, dim)
            told = problem.loss(space.decode(unit)).tolist()
            for trial, value in zip(asked, told):
                search.tell(trial, TrialValue(cost=float(value)))
            values += told
    return np.array(values)


def cmaes_library(problem: Problem, count: int, seed: int, batch: int) -> np.ndarray:
    """The cmaes library by itself, from the same start, and again, as ours, from anywhere."""
    from cmaes import CMA

    loss, dims = _unit(problem)
    made = CMA(np.full(dims, 0.5), 0.25, bounds=np.tile([0.0, 1.0], (dims, 1)), seed=seed)
    values, rng = list[float](), np.random.default_rng(seed)
    while len(values) < count:
        if made.should_stop():
            made = CMA(
                rng.random(dims),
                0.25,
                bounds=np.tile([0.0, 1.0], (dims, 1)),
                seed=seed + 1000,
                population_size=2 * made.population_size,
            )
        points = [made.ask() for _ in range(made.population_size)]
        told = [loss(point) for point in points]
        made.tell(list(zip(points, told)))
        values += told
    return np.array(values[:count])


def scipy_de(problem: Problem, count: int, seed: int, batch: int) -> np.ndarray:
    """SciPy's differential evolution with its defaults, without the polish."""
    from scipy.optimize import differential_evolution

    loss, dims = _unit(problem)
    values: list[float] = []

    def recorded(x: np.ndarray):
        values.append(loss(x))
        return values[-1]

    rounds = max(1, count // (15 * dims))
    differential_evolution(
        recorded, [(0, 1)] * dims, maxiter=rounds, polish=False, seed=seed, tol=0
    )
    return np.array(values[:count])


@functools.cache
def _strategy(name: str, dims: int, size: int):
    """One of evosax's strategies, made once so that it compiles once."""
    import jax.numpy as jnp
    from evosax import algorithms

    return getattr(algorithms, name)(population_size=size, solution=jnp.zeros(dims))


def evosax(name: str, problem: Problem, count: int, seed: int, batch: int) -> np.ndarray:
    """One of evosax's strategies with its defaults; its points are clipped to the cube."""
    import jax
    import jax.numpy as jnp

    import hpjax

    space = hpjax.Space(problem.space)
    dims, size = len(space.dims), GENERATION
    made = _strategy(name, dims, size)
    params = made.default_params
    key = jax.random.key(seed)
    rng, values = np.random.default_rng(seed), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "DifferentialEvolution":
            first = rng.random((size, dims))
            values += problem.loss(space.decode(first)).tolist()
            state = made.init(key, jnp.array(first), jnp.array(values), params)
        else:
            params = params.replace(std_init=0.25) if hasattr(params, "std_init") else params
            state = made.init(key, jnp.full(dims, 0.5), params)
        while len(values) < count:
            key, key_ask, key_tell = jax.random.split(key, 3)
            points, state = made.ask(key_ask, state, params)
            points = np.clip(np.asarray(points, np.float64), 0, 1)
            told = problem.loss(space.decode(points))
            state, _ = made.tell(key_tell, jnp.asarray(points), jnp.asarray(told), state, params)
            values += told.tolist()
    return np.array(values[:count])


OURS = {
    name: functools.partial(ours, name)
    for name in ("random", "sobol", "bayes", "tpe", "genetic", "differential", "cmaes")
}
PEERS = {
    "Optuna TPE": ("optuna", functools.partial(optuna, "TPESampler")),
    "Optuna GP": ("torch", functools.partial(optuna, "GPSampler")),
    "Optuna CMA-ES": ("optuna", functools.partial(optuna, "CmaEsSampler")),
    "bayesian-optimization": ("bayes_opt", bayesian_optimization),
    "SMAC": ("smac", smac),
    "cmaes library": ("cmaes", cmaes_library),
    "SciPy DE": ("scipy", scipy_de),
    "evosax CMA-ES": ("evosax", functools.partial(evosax, "CMA_ES")),
    "evosax DE": ("evosax", functools.partial(evosax, "DifferentialEvolution")),
}
ONLY_CONTINUOUS = (
    "bayesian-optimization",
    "cmaes library",
    "SciPy DE",
    "evosax CMA-ES",
    "evosax DE",
)


def installed(names: Sequence[str]) -> dict:
    """The contestants of these names; peers that are not installed are said and left out."""
    found = {}
    for name in names:
        if name in OURS:
            found[name] = OURS[name]
        elif importlib.util.find_spec(PEERS[name][0]) is None or (
            name.startswith("Optuna") and importlib.util.find_spec("optuna") is None
        ):
            print(f"{name} is left out: {PEERS[name][0]} is not installed")
        else:
            found[name] = PEERS[name][1]
    return found
