"""Scrambled Sobol points: random search without its gaps.

Sobol 1967; scrambled as by Owen 1998, as SciPy has them.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from hpjax.randomness import generator
from hpjax.search.base import Dim, Key, Searcher


class Next(NamedTuple):
    """Which points come next, of which sequence."""

    key: Key
    index: int


def sobol(dims: tuple[Dim, ...]) -> Searcher:
    """A scrambled Sobol sequence; powers of two of its points are balanced.

    Args:
        dims: the dimensions of the space, D of them, at most 21,201.

    Returns:
        A Searcher without memory of objectives.

    Example:
        >>> search = sobol((Dim("continuous"),))
        >>> unit, _ = search.ask(search.init((0,)), (0,), 4, 1)
        >>> np.sort((unit[:, 0] * 4).astype(int)).tolist()
        [0, 1, 2, 3]
    """

    def ask(state: Next, key: Key, n: int, fidelity: int):
        del key, fidelity
        after = state._replace(index=state.index + n)
        if not dims:
            return np.zeros((n, 0)), after
        from scipy.stats import qmc

        engine = qmc.Sobol(len(dims), scramble=True, seed=generator(state.key))
        if state.index:
            engine.fast_forward(state.index)
        # of draws that are no power of two: studies end where they end
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return engine.random(n), after

    return Searcher(
        init=lambda key: Next(key, 0), ask=ask, tell=lambda state, observations: state, several=True
    )
