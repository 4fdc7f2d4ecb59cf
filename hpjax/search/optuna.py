"""Any Optuna sampler as a search.

Akiba et al. 2019, Optuna: A Next-generation Hyperparameter Optimization Framework.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hpjax.randomness import generator
from hpjax.search.base import Dim, Key, Observations, Searcher, active, center, level


class State(NamedTuple):
    """An Optuna study, and its trials that are out. The study changes in place: go on from the newest state only."""

    study: Any
    out: dict[int, Any]  # trial -> Optuna's trial
    asked: int


def optuna(factory: Callable[[int], Any]) -> Callable[[tuple[Dim, ...]], Searcher]:
    """Wraps a sampler.

    Args:
        factory: seed -> optuna.samplers.BaseSampler.

    Returns:
        A factory of `dims`, as `search=` takes it. Points are asked one by one; those that are out are running trials to the
        sampler. A trial that failed is told as failed; a lower fidelity's objective is told when the trial is finished.

    Raises:
        ImportError: without the extra `optuna`.

    Example:
        >>> search = optuna(lambda seed: __import__("optuna").samplers.RandomSampler(seed=seed))  # doctest: +SKIP
    """

    def search(dims: tuple[Dim, ...]) -> Searcher:
        try:
            import optuna as library
        except ImportError:
            raise ImportError(
                "optuna is not installed; pip install 'hpjax[optuna]', or choose another search"
            ) from None

        order = _parents_first(dims)

        def init(key: Key):
            level_before = library.logging.get_verbosity()
            library.logging.set_verbosity(library.logging.WARNING)
            try:
                sampler = factory(int(generator(key).integers(2**31)))
                return State(library.create_study(sampler=sampler), {}, 0)
            finally:
                library.logging.set_verbosity(level_before)

        def ask(state: State, key: Key, n: int, fidelity: int):
            del key, fidelity
            unit, out = np.full((n, len(dims)), 0.5), dict(state.out)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of experimental samplers
                for row in range(n):
                    trial = state.study.ask()
                    for i in order:
                        if active(unit[row : row + 1], dims)[0, i]:
                            unit[row, i] = _suggested(trial, f"x{i}", dims[i])
                    out[state.asked + row] = trial
            return unit, State(state.study, out, state.asked + n)

        def tell(state: State, observations: Observations):
            out = dict(state.out)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for trial, unit, objective, finished in zip(
                    observations.trial.tolist(),
                    observations.unit,
                    observations.objective.tolist(),
                    observations.finished.tolist(),
                ):
                    # given before the search began
                    if trial < 0 and finished and np.isfinite(objective):
                        state.study.add_trial(_foreign(library, dims, unit, objective))
                    elif finished and trial in out:
                        failed = library.trial.TrialState.FAIL
                        known = (
                            {"values": objective} if np.isfinite(objective) else {"state": failed}
                        )
                        state.study.tell(out.pop(trial), **known)
            return state._replace(out=out)

        return Searcher(init=init, ask=ask, tell=tell, batch=8)

    return search


def _suggested(trial: Any, name: str, dim: Dim) -> float:
    """A coordinate that a trial of Optuna proposes."""
    if dim.kind == "continuous":
        return trial.suggest_float(name, 0.0, 1.0)
    if dim.kind == "categorical":
        chosen = trial.suggest_categorical(name, list(range(dim.levels)))
    elif dim.low:
        high = dim.low + dim.levels - 1
        chosen = trial.suggest_int(name, dim.low, high, log=True) - dim.low
    else:
        chosen = trial.suggest_int(name, 0, dim.levels - 1)
    return float(center(chosen, dim))


def _foreign(library: Any, dims: tuple[Dim, ...], unit: np.ndarray, objective: float) -> Any:
    """A point that Optuna did not propose, as one of its trials."""
    found, params = {}, {}
    for i in np.flatnonzero(active(unit[None], dims)[0]):
        dim, name = dims[i], f"x{i}"
        if dim.kind == "continuous":
            found[name] = library.distributions.FloatDistribution(0.0, 1.0)
            params[name] = float(unit[i])
            continue
        chosen = int(level(unit[i : i + 1], dim)[0])
        if dim.kind == "categorical":
            found[name] = library.distributions.CategoricalDistribution(list(range(dim.levels)))
        else:
            high = dim.low + dim.levels - 1
            found[name] = library.distributions.IntDistribution(dim.low, high, log=dim.low > 0)
            chosen += dim.low
        params[name] = chosen
    return library.trial.create_trial(params=params, distributions=found, value=objective)


def _parents_first(dims: tuple[Dim, ...]) -> list[int]:
    """The numbers of the dimensions, every parent before its children."""
    placed: list[int] = []
    while len(placed) < len(dims):
        placed += [
            i
            for i, dim in enumerate(dims)
            if i not in placed and (dim.parent is None or dim.parent.dim in placed)
        ]
    return placed
