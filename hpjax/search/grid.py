"""Grid search: every combination of a few values per dimension, indexed in O(1), the first dimension slowest."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hpjax.defaults import LEVELS
from hpjax.search.base import Dim, Key, Searcher, active, center

BATCH = 65536  # combinations looked at together


class Next(NamedTuple):
    """Which combination comes next."""

    index: int


def axis(dim: Dim, levels: int) -> np.ndarray:
    """A dimension's values in the unit interval: all of its levels, or `levels` points from end to end."""
    if dim.kind == "continuous":
        return np.linspace(0, 1, levels) if levels > 1 else np.array([0.5])
    chosen = np.arange(dim.levels)
    if dim.kind == "integer" and dim.levels > levels:
        chosen = np.unique(np.round(np.linspace(0, dim.levels - 1, levels)).astype(int))
    return center(chosen, dim)


def point(index: np.ndarray, axes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Combinations by number.

    Args:
        index: [n] from 0 to the product of the axes' lengths.
        axes: one array of unit values per dimension.

    Returns:
        unit [n D], and which value of each axis [n D].
    """
    digits, rest = [], np.asarray(index)
    for values in reversed(axes):
        rest, digit = np.divmod(rest, len(values))
        digits.append(digit)
    chosen = np.stack(digits[::-1], -1) if axes else np.zeros((len(rest), 0), int)
    unit = (
        np.stack([v[chosen[:, i]] for i, v in enumerate(axes)], -1)
        if axes
        else np.zeros((len(rest), 0))
    )
    return unit, chosen


def grid(
    dims: tuple[Dim, ...], levels: int = LEVELS, axes: list[np.ndarray] | None = None
) -> Searcher:
    """Every combination once; those that differ only in inactive dimensions count as one.

    Args:
        dims: the dimensions of the space, D of them.
        levels: values per continuous dimension, and at most this many per integer.
        axes: the unit values of each dimension, instead of `levels`.

    Returns:
        A Searcher, exhausted after the last combination.

    Example:
        >>> search = grid((Dim("continuous"), Dim("categorical", 2)), levels=3)
        >>> search.ask(search.init(()), (), 99, 1)[0].tolist()[:3]
        [[0.0, 0.25], [0.0, 0.75], [0.5, 0.25]]
    """
    axes = [axis(dim, levels) for dim in dims] if axes is None else axes
    total = math.prod(len(values) for values in axes)

    def ask(state: Next, key: Key, n: int, fidelity: int):
        del key, fidelity
        found, index = [np.zeros((0, len(dims)))], state.index
        while n > 0 and index < total:
            stop = min(index + max(n, 1 if not conditional else min(BATCH, 4 * n)), total)
            unit, chosen = point(np.arange(index, stop), axes)
            once = (active(unit, dims) | (chosen == 0)).all(1)
            at = np.flatnonzero(once)[:n]
            index = index + int(at[-1]) + 1 if len(at) == n else stop
            found.append(unit[at])
            n -= len(at)
        return np.concatenate(found), Next(index)

    conditional = any(dim.parent is not None for dim in dims)
    return Searcher(
        init=lambda key: Next(0), ask=ask, tell=lambda state, observations: state, several=True
    )
