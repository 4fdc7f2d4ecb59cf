"""Random search: points drawn independently and uniformly from the unit cube.

Bergstra & Bengio 2012, Random Search for Hyper-Parameter Optimization, JMLR 13.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.search.base import Dim, Key, Searcher


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
    bits = np.random.Philox(np.random.SeedSequence(key))
    skip, rest = divmod(first * width, 4)  # Philox makes four numbers at a time
    bits.advance(skip)
    return np.random.Generator(bits).random(rest + count * width)[rest:].reshape(count, width)


def random(dims: tuple[Dim, ...]) -> Searcher:
    """Uniform points; the same ones, however many are asked for at once.

    Args:
        dims: the dimensions of the space, D of them.

    Returns:
        A Searcher without memory of losses.

    Example:
        >>> search = random((Dim("continuous"), Dim("categorical", 3)))
        >>> search.ask(search.init((0,)), (0,), 4, 1)[0].shape
        (4, 2)
    """

    def ask(state, key, n, fidelity):
        del key, fidelity
        unit = drawn(state.key, state.index, n, len(dims))
        return unit, state._replace(index=state.index + n)

    return Searcher(init=lambda key: Next(key, 0), ask=ask, tell=lambda state, told: state)
