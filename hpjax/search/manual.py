"""Given points, in the order given: a human's guesses, or another study's best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.search.base import Dim, Key, Searcher


class Next(NamedTuple):
    """How many points were handed out."""

    row: int


def manual(dims: tuple[Dim, ...], points: np.ndarray) -> Searcher:
    """Hands out given points.

    Args:
        dims: the dimensions of the space, D of them.
        points: [n D] in the unit cube.

    Returns:
        A Searcher, exhausted after n points.

    Raises:
        ValueError: points of another width, or outside the unit cube.

    Example:
        >>> search = manual((Dim("continuous"),), np.array([[0.2], [0.7]]))
        >>> search.ask(search.init(()), (), 9, 1)[0].tolist()
        [[0.2], [0.7]]
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != len(dims):
        raise ValueError(f"manual points must be [n {len(dims)}], got {points.shape}")
    if not ((points >= 0) & (points <= 1)).all():
        raise ValueError(
            f"manual points must lie in [0, 1], got {points.min():g} to {points.max():g}"
        )

    def ask(state: Next, key: Key, n: int, fidelity: int):
        del key, fidelity
        return points[state.row : state.row + n], Next(min(state.row + n, len(points)))

    return Searcher(
        init=lambda key: Next(0), ask=ask, tell=lambda state, observations: state, several=True
    )
