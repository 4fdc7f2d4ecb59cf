"""Random search: points drawn independently and uniformly from the unit cube.

Bergstra & Bengio 2012, Random Search for Hyper-Parameter Optimization, JMLR 13.
"""

from __future__ import annotations

from hpjax.search.base import Dim, Searcher, generator


def random(dims: tuple[Dim, ...]) -> Searcher:
    """Uniform points.

    Args:
        dims: the dimensions of the space, D of them.

    Returns:
        A Searcher without state.

    Example:
        >>> search = random((Dim("continuous"), Dim("categorical", 3)))
        >>> search.ask(search.init((0,)), (0,), 4, 1)[0].shape
        (4, 2)
    """

    def ask(state, key, n, fidelity):
        del fidelity
        return generator(key).random((n, len(dims))), state

    return Searcher(init=lambda key: (), ask=ask, tell=lambda state, told: state)
