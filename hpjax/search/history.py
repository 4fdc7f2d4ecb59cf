"""What a search remembers: every report it was told, and the points that are still out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.search.base import Dim, Observations, single, snap
from hpjax.search.grid import axis, point

LISTED = 2**16  # points of a finite space that are listed when it is nearly used up


class History(NamedTuple):
    """Reports in the order they came, in arrays that grow by doubling, and the points asked for but not yet told.

    A state is a count of rows: rows behind it are never changed, so that an older state stays valid.
    """

    unit: np.ndarray  # [capacity D]
    objectives: np.ndarray  # [capacity O] +inf where it failed
    epochs: np.ndarray  # [capacity]
    trial: np.ndarray  # [capacity]
    used: np.ndarray  # [1] rows that any state has written
    count: int  # rows of this state
    asked: int  # points handed out: the number of the next trial
    out: dict[int, np.ndarray]  # trial -> point [D], handed out and not told

    @property
    def objective(self) -> np.ndarray:
        """The objective [capacity], for searches of one."""
        return single(self.objectives)


def empty(dims: tuple[Dim, ...]) -> History:
    """Nothing seen."""
    whole = np.zeros(0, np.int64)
    return History(
        np.zeros((0, len(dims))), np.zeros((0, 1)), whole, whole, np.zeros(1, np.int64), 0, 0, {}
    )


def handed(history: History, unit: np.ndarray) -> History:
    """The history after these points [n D] were handed out."""
    numbers = range(history.asked, history.asked + len(unit))
    return history._replace(
        asked=history.asked + len(unit), out=history.out | dict(zip(numbers, unit))
    )


def remember(history: History, observations: Observations) -> History:
    """The history after a report."""
    objectives = history.objectives
    if not history.count:  # now it is known how many there are
        objectives = np.zeros((len(objectives), observations.objectives.shape[1]))
    columns = [history.unit, objectives, history.epochs, history.trial]
    start, stop = history.count, history.count + len(observations.trial)
    used = history.used
    # full, or another state went on from here
    if stop > len(history.trial) or used[0] != start:
        capacity = max(64, 2 * stop)
        columns = [
            np.concatenate([a[:start], np.zeros((capacity - start, *a.shape[1:]), a.dtype)])
            for a in columns
        ]
        used = np.array([start])
    for column, new in zip(
        columns,
        (observations.unit, observations.objectives, observations.epochs, observations.trial),
    ):
        column[start:stop] = new
    used[0] = stop
    known = set(observations.trial.tolist())
    out = {trial: unit for trial, unit in history.out.items() if trial not in known}
    return history._replace(
        unit=columns[0],
        objectives=columns[1],
        epochs=columns[2],
        trial=columns[3],
        used=used,
        count=stop,
        out=out,
    )


def evidence(history: History, least: int) -> np.ndarray:
    """Rows [m] to model: those of the highest fidelity that has at least `least`, or else of the one that has most.

    So does BOHB (Falkner, Klein & Hutter 2018, section 3.2).
    """
    epochs = history.epochs[: history.count]
    if not len(epochs) or (epochs[0] == epochs).all():
        return np.arange(history.count)
    values, counts = np.unique(epochs, return_counts=True)
    enough = np.flatnonzero(counts >= least)
    chosen = values[enough[-1]] if len(enough) else values[np.argmax(counts)]
    return np.flatnonzero(epochs == chosen)


def waiting(history: History) -> np.ndarray:
    """Points [w D] handed out and not told."""
    shape = (len(history.out), history.unit.shape[1])
    return np.array(list(history.out.values())).reshape(shape)


def size(dims: tuple[Dim, ...]) -> float:
    """How many different points a space has at most; infinite with a continuous dimension."""
    return float(
        np.prod([np.inf if dim.kind == "continuous" else dim.levels for dim in dims], dtype=float)
    )


def taken(history: History, dims: tuple[Dim, ...]) -> set[bytes]:
    """The different points that were seen or are out, of a finite space; none of an infinite one."""
    if not np.isfinite(size(dims)):
        return set()
    points = np.concatenate([history.unit[: history.count], waiting(history)])
    return {row.tobytes() for row in np.unique(snap(points, dims), axis=0)}


def among(points: np.ndarray, seen: set[bytes]) -> np.ndarray:
    """Which points [m D] were `taken`, [m] bool; points are snapped."""
    if not seen:
        return np.zeros(len(points), bool)
    return np.array([row.tobytes() in seen for row in points], bool)


def distinct(
    unit: np.ndarray, seen: set[bytes], dims: tuple[Dim, ...], rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Points [n D] of a finite space without those that were seen or are twice among them; others take their places.

    Args:
        unit: [n D].
        seen: as `taken` says.
        dims: of the space.
        rng: draws the others.

    Returns:
        [m D], m < n when the space is used up; and how many were replaced. Points of an infinite space come back as they are.
    """
    if not np.isfinite(size(dims)):
        return unit, 0
    seen, kept, replaced = set(seen), [], 0
    rest: list[np.ndarray] | None = None
    for row in snap(unit, dims):
        tries = 0
        while row.tobytes() in seen:
            tries += 1
            if tries <= 32 or size(dims) > LISTED:
                row = snap(rng.random((1, len(dims))), dims)[0]
                if tries > 10_000:
                    return np.array(kept).reshape(len(kept), len(dims)), replaced
                continue
            if rest is None:
                axes = [axis(dim, dim.levels) for dim in dims]
                listed, _ = point(np.arange(int(size(dims))), axes)
                rest = [r for r in np.unique(snap(listed, dims), axis=0) if r.tobytes() not in seen]
                rng.shuffle(rest)
            rest = [r for r in rest if r.tobytes() not in seen]
            if not rest:
                return np.array(kept).reshape(len(kept), len(dims)), replaced
            row = rest.pop()
        replaced += tries > 0
        seen.add(row.tobytes())
        kept.append(row)
    return np.array(kept).reshape(len(kept), len(dims)), replaced
