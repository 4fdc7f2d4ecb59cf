"""Several objectives at once: who is beaten by whom, which of a front lie apart, and how much a front covers. Numbers in, numbers out.

All objectives are to be made small. One point beats (dominates) another where it is nowhere larger and somewhere smaller. Ranks and
crowding distances are those of NSGA-II: Deb, Pratap, Agarwal & Meyarivan 2002, A Fast and Elitist Multiobjective Genetic Algorithm.
"""

from __future__ import annotations

import numpy as np


def ranks(objectives: np.ndarray, violation: np.ndarray | None = None) -> np.ndarray:
    """The front that each point [n O] is of: 0 for those that nobody beats, 1 for those that only these beat, and so on.

    Args:
        objectives: [n O]; rows that are not finite are behind all others, in one front.
        violation: [n] by how much constraints are broken; 0 where they hold. Points that break them are behind all that do not, the less
            the better (Deb et al. 2002, section VI).

    Example:
        >>> ranks(np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 4.0], [4.0, 4.0], [1.0, 3.0]])).tolist()
        [0, 0, 1, 2, 0]
    """
    broken = np.zeros(len(objectives)) if violation is None else np.asarray(violation, np.float64)
    finite = np.isfinite(objectives).all(1)
    found = np.zeros(len(objectives), np.int64)
    good = np.flatnonzero(finite & (broken <= 0))
    fronts: list[np.ndarray] = []  # their points, each front's first to last
    for row in good[
        np.lexsort(objectives[good].T[::-1])
    ]:  # nobody is beaten by one that comes later
        point = objectives[row]
        low, high = 0, len(fronts)
        while low < high:  # who is beaten in a front is beaten in all before it
            middle = (low + high) // 2
            if _beaten(point, fronts[middle]):
                low = middle + 1
            else:
                high = middle
        if low == len(fronts):
            fronts.append(point[None])
        else:
            fronts[low] = np.concatenate([fronts[low], point[None]])
        found[row] = low
    behind = len(fronts)
    bad = np.flatnonzero((broken > 0) & np.isfinite(broken))
    levels, place = np.unique(broken[bad], return_inverse=True)
    found[bad] = behind + place
    lost = ~finite & (broken <= 0) | ~np.isfinite(broken)
    found[lost] = behind + len(levels)
    return found


def _beaten(point: np.ndarray, front: np.ndarray) -> bool:
    """Whether a point [O] of a front [m O] beats another [O]."""
    return bool(((front <= point).all(1) & (front < point).any(1)).any())


def crowding(objectives: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """How far from its neighbours in its front each point [n O] lies: the sum over objectives of the gap between them, as a share of the front's range.

    The first and the last of a front in an objective are infinitely far.
    """
    found = np.zeros(len(objectives))
    for front in np.unique(rank):
        rows = np.flatnonzero(rank == front)
        if not np.isfinite(objectives[rows]).all():
            continue
        for column in objectives[rows].T:
            order = rows[np.argsort(column, kind="stable")]
            value = np.sort(column)
            found[order[[0, -1]]] = np.inf
            if value[-1] > value[0]:
                found[order[1:-1]] += (value[2:] - value[:-2]) / (value[-1] - value[0])
    return found


def places(objectives: np.ndarray, violation: np.ndarray | None = None) -> np.ndarray:
    """One number for each point [n O], smaller is better: the objective itself where there is one; else its place by front, and within a front
    by crowding, those that lie apart first. Points that failed are infinite.
    """
    if objectives.shape[1] == 1 and violation is None:
        return objectives[:, 0]
    rank = ranks(objectives, violation)
    order = np.lexsort((-crowding(objectives, rank), rank))
    found = np.empty(len(order))
    found[order] = np.arange(len(order))
    known = np.isfinite(objectives).all(1)
    if violation is not None:
        known = np.where(violation > 0, np.isfinite(violation), known)
    return np.where(known, found, np.inf)


def front(objectives: np.ndarray) -> np.ndarray:
    """Rows [m] of the points [n O] that nobody beats, by their first objective; of equal points the first.

    Example:
        >>> front(np.array([[1, 5.0], [2, 6.0], [3, 1.0], [3, 1.0]])).tolist()
        [0, 2]
    """
    rows = np.flatnonzero((ranks(objectives) == 0) & np.isfinite(objectives).all(1))
    _, first = np.unique(objectives[rows], axis=0, return_index=True)
    return rows[first]


def hypervolume(objectives: np.ndarray, reference: np.ndarray) -> float:
    """The volume between points [n O] and a reference [O] that is worse in each objective (Zitzler & Thiele 1998).

    By slices along the last objective; exact, and quick for up to four objectives and some hundred points.

    Example:
        >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
        3.0
    """
    points = np.asarray(objectives, np.float64)
    points = points[np.isfinite(points).all(1) & (points < reference).all(1)]
    return _volume(points[front(points)], np.asarray(reference, np.float64)) if len(points) else 0.0


def _volume(points: np.ndarray, reference: np.ndarray) -> float:
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    ends = np.append(points[1:, -1], reference[-1])
    if points.shape[1] == 2:
        lowest = np.minimum.accumulate(points[:, 0])
        return float(((reference[0] - lowest) * (ends - points[:, -1])).sum())
    total = 0.0
    for count, thick in enumerate(ends - points[:, -1], 1):
        if thick > 0:
            slab = points[:count, :-1]
            total += thick * _volume(slab[front(slab)], reference[:-1])
    return float(total)
