"""A search of your own, to copy: points near the best one so far. Any scheduler, `compare` and resuming work with it.

    python examples/skeleton_search.py

`ask` and `tell` are pure functions of a state; points are rows of the unit cube; all randomness comes from the key. To make it
one of hpjax's own, move it to `hpjax/search/NAME.py` and name it in `hpjax/search/__init__.py`: the tests then cover it.
"""

from typing import NamedTuple

import numpy as np

import hpjax
from hpjax.randomness import generator
from hpjax.search.base import Dim, Key, Observations, Searcher, snap


class State(NamedTuple):
    """What the next ask needs."""

    best: np.ndarray | None  # [D]
    objective: float


def nearby(dims: tuple[Dim, ...], width: float = 0.1) -> Searcher:
    """Normal steps of this width around the best point; uniform points before the first report."""

    def ask(state: State, key: Key, n: int, fidelity: int) -> tuple[np.ndarray, State]:
        del fidelity
        rng = generator(key)
        if state.best is None:
            return snap(rng.random((n, len(dims))), dims), state
        unit = np.clip(state.best + width * rng.normal(size=(n, len(dims))), 0, 1)
        return snap(unit, dims), state

    def tell(state: State, observations: Observations) -> State:
        at = int(np.argmin(observations.objective))  # +inf where a trial failed
        if observations.objective[at] < state.objective:
            return State(observations.unit[at], float(observations.objective[at]))
        return state

    # batch: how many points at once it learns well from
    return Searcher(init=lambda key: State(None, np.inf), ask=ask, tell=tell, batch=4)


if __name__ == "__main__":
    space = {"learning_rate": hpjax.LogUniform(1e-4, 1.0), "l2": hpjax.LogUniform(1e-6, 1e-1)}
    found = hpjax.compare(
        {"nearby": {"search": nearby}, "random": "random"},
        space,
        "iris",
        epochs=5,
        seeds=2,
        stop={"trials": 12},
    )
    print(found.table)
