"""Warm start: given points first, then any other search, which learns from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from hpjax.search.base import Dim, Key, Observations, Searcher
from hpjax.search.manual import manual


class Relay(NamedTuple):
    """Who is at work."""

    row: int  # given points handed out
    passed: bool  # the last ask went to the search that follows
    after: Any  # state of the search that follows


def chain(
    dims: tuple[Dim, ...], first: np.ndarray, then: Callable[[tuple[Dim, ...]], Searcher]
) -> Searcher:
    """Given points, and after the last of them a search.

    Args:
        dims: the dimensions of the space, D of them.
        first: [n D] points of the unit cube.
        then: makes the search that follows. It is told of the given points under negative trial numbers.

    Returns:
        A Searcher.

    Raises:
        ValueError: points of another width, or outside the unit cube.
    """
    head, tail = manual(dims, first), then(dims)
    count = len(first)

    def ask(state: Relay, key: Key, n: int, fidelity: int):
        if state.row < count:
            unit, after = head.ask(head.init(key)._replace(row=state.row), key, n, fidelity)
            return unit, state._replace(row=after.row, passed=False)
        unit, after = tail.ask(state.after, key, n, fidelity)
        return unit, state._replace(after=after, passed=True)

    def tell(state: Relay, observations: Observations):
        return state._replace(
            after=tail.tell(state.after, observations._replace(trial=observations.trial - count))
        )

    return tail._replace(
        init=lambda key: Relay(0, False, tail.init(key)),
        ask=ask,
        tell=tell,
        note=lambda state: tail.note(state.after) if state.passed else {},
        hint=lambda state, note: state._replace(after=tail.hint(state.after, note)),
    )
