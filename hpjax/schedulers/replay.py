"""A schedule of hyperparameters, found by population-based training, followed by fresh networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hpjax.schedulers.base import UNBOUNDED, Order, Scheduler, nobody, order
from hpjax.search.base import Key


class Followers(NamedTuple):
    """Networks on the schedule."""

    segment: int
    trial: np.ndarray  # [n]
    unit: np.ndarray  # [n D] as proposed; the segments' points take their place


def replay(segments: Sequence[tuple[int, Sequence[float] | np.ndarray]]) -> Scheduler:
    """Trains every trial through the same segments, whatever its proposed point.

    Args:
        segments: (until epoch, point [D] of the unit cube), epochs rising, as `Result.schedule(trial).segments` has them.

    Returns:
        A Scheduler with room for any number of trials whenever none is in training.

    Raises:
        ValueError: no segments, or epochs that do not rise.
    """
    try:
        segments = tuple((int(until), tuple(map(float, point))) for until, point in segments)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"segments must be (until epoch, point), got {segments!r:.200}") from None
    inside = all(0 <= place <= 1 for _, point in segments for place in point)
    if not inside or len({len(point) for _, point in segments}) > 1:
        raise ValueError("the points of segments must lie in the unit cube, and be of one length")
    if not segments or segments[0][0] < 1 or any(b[0] <= a[0] for a, b in pairwise(segments)):
        raise ValueError(
            f"segments must be (until epoch, point) with epochs rising, got {segments}"
        )

    def admit(state: Followers, trial: np.ndarray, unit: np.ndarray):
        if np.shape(unit)[1] != len(segments[0][1]):
            raise ValueError(
                f"the schedule has {len(segments[0][1])} dimensions, the space {np.shape(unit)[1]}"
            )
        unit = np.concatenate([state.unit, unit])
        return Followers(0, np.concatenate([state.trial, trial]), unit)

    def ask(state: Followers, key: Key):
        del key
        if not len(state.trial):
            return None, state
        until, point = segments[state.segment]
        unit = np.tile(point, (len(state.trial), 1))
        return order(state.trial, unit, until, fresh=state.segment == 0), state

    def tell(state: Followers, done: Order, objectives: np.ndarray):
        del objectives
        if state.segment == len(segments) - 1:
            return Followers(0, done.trial[:0], done.unit[:0]), done.trial
        return state._replace(segment=state.segment + 1), done.trial[:0]

    return Scheduler(
        settings={"name": "replay", "segments": segments},
        fidelity=segments[-1][0],
        brackets=(tuple((until, 0) for until, _ in segments),),
        init=lambda dims: Followers(0, *nobody(dims)),
        room=lambda state: (UNBOUNDED if state.segment == 0 else 0, segments[0][0]),
        admit=admit,
        close=lambda state: state,
        ask=ask,
        tell=tell,
    )
