"""Random search: points drawn independently and uniformly from the unit cube.

Bergstra & Bengio 2012, Random Search for Hyper-Parameter Optimization, JMLR 13.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from hpjax.search.base import Dim, Key, Searcher

ROWS = 1024  # of the table, drawn together; a multiple of four


class Next(NamedTuple):
    """Which points come next, of the stream that the key names."""

    key: Key
    index: int


def drawn(key: Key, first: int, count: int, width: int) -> np.ndarray:
    """Rows `first` to `first + count` of an endless table of uniform numbers, `width` wide, that the key names.

    Example:
        >>> whole = drawn((0,), 0, 7, 3)
        >>> bool((drawn((0,), 2, 5, 3) == whole[2:]).all())
        True
    """
    parts, end = [], first + count
    block, row = divmod(first, ROWS)
    if row + count <= ROWS:
        return _block(key, block, width)[row : row + count].copy()
    while first < end:
        block = first // ROWS
        stop = min(end, (block + 1) * ROWS)
        parts.append(_block(key, block, width)[first - block * ROWS : stop - block * ROWS])
        first = stop
    return np.concatenate(parts) if parts else np.zeros((0, width))


@functools.lru_cache(maxsize=64)
def _block(key: Key, block: int, width: int) -> np.ndarray:
    """`ROWS` rows of the table."""
    bits = np.random.Philox(np.random.SeedSequence(key))
    bits.advance(block * ROWS * width // 4)  # Philox makes four numbers at a time
    return np.random.Generator(bits).random((ROWS, width))


def random(dims: tuple[Dim, ...]) -> Searcher:
    """Uniform points; the same ones, however many are asked for at once.

    Args:
        dims: the dimensions of the space, D of them.

    Returns:
        A Searcher without memory of objectives.

    Example:
        >>> search = random((Dim("continuous"), Dim("categorical", 3)))
        >>> search.ask(search.init((0,)), (0,), 4, 1)[0].shape
        (4, 2)
    """

    def ask(state: Next, key: Key, n: int, fidelity: int):
        del key, fidelity
        unit = drawn(state.key, state.index, n, len(dims))
        return unit, state._replace(index=state.index + n)

    return Searcher(
        init=lambda key: Next(key, 0), ask=ask, tell=lambda state, observations: state, several=True
    )
