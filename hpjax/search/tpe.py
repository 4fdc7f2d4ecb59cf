"""Tree-structured Parzen estimator: propose where good points are dense and bad ones are not.

Bergstra, Bardenet, Bengio & Kegl 2011, Algorithms for Hyper-Parameter Optimization, section 4, with the adaptive bandwidths
and the linear forgetting of Hyperopt; and the joint kernel density of BOHB, Falkner, Klein & Hutter 2018, section 3.2. The default
is our own: the joint densities' ratio and that of each dimension for itself, half and half in logarithms, since few points say
more of one dimension than of all together. With several objectives, good points are those of the
first fronts, and of the last of these those that lie apart (Ozaki, Tanigaki, Watanabe & Onishi 2020, Multiobjective Tree-Structured
Parzen Estimator, which takes those that cover most).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hpjax import fronts
from hpjax.checks import one_of
from hpjax.randomness import generator
from hpjax.search import base
from hpjax.search.base import Dim, Key, Observations, Searcher, active, level, snap
from hpjax.search.history import (
    History,
    among,
    distinct,
    empty,
    evidence,
    handed,
    remember,
    taken,
    waiting,
)
from hpjax.search.random import random
from hpjax.search.sobol import sobol


class Model(NamedTuple):
    """What tells one estimator from another."""

    together: bool  # one density over all dimensions, or one for each
    scott: bool  # bandwidths by Scott's rule, or by the gaps between neighbours
    share: float  # of the points, that are good; 0 for Hyperopt's quarter of the root
    prior: float  # weight of the uniform density, a point's being 1
    wider: float  # candidates are drawn with bandwidths so many times wider
    candidates: int
    explore: float  # share of proposals that are random
    marginal: float  # what the ratio of each dimension's own densities weighs beside that of the joint ones


MODELS = {
    "joint": Model(True, False, 0.2, 0.3, 1.0, 64, 0.0, 0.5),
    "hyperopt": Model(False, False, 0.0, 1.0, 1.0, 24, 0.0, 0.0),
    "bohb": Model(True, True, 0.15, 0.0, 3.0, 64, 1 / 3, 0.0),
}
TABLE = 512  # places of the unit interval at which one-dimensional densities are kept
MOST = 192  # bad points that a density is made of: the latest of them
REMEMBERED = 25  # points that weigh 1, the latest of them
SIGHTS = 16  # times that a batch looks at itself
NEAR = 0.2  # standard deviation over the places of ordered choices, all of them being 1
TINY = 1e-12


class State(NamedTuple):
    """What was seen, the state of the points that come first, and what the last ask did."""

    history: History
    first: Any
    note: dict


class Kernels(NamedTuple):
    """A mixture over the unit cube: one kernel per point, and the prior (uniform) as the last."""

    center: np.ndarray  # [m D]
    # [m D] standard deviations of numbers; of choices, the share spread over all levels
    width: np.ndarray
    # [m D] bool: the point's active dimensions; elsewhere its kernel is the prior
    there: np.ndarray
    weight: np.ndarray  # [m + 1], sums to 1


def tpe(dims: tuple[Dim, ...], model: str = "joint", startup: int | None = None) -> Searcher:
    """Points with the largest ratio of good density over bad density.

    Args:
        dims: the dimensions of the space, D of them.
        model: "joint": all dimensions together, and each for itself, with bandwidths from the gaps between neighbours; "hyperopt":
            each dimension for itself; "bohb": together, with Scott's bandwidths, and a third of the points random.
        startup: points first, of Sobol's sequence or, for "bohb" and "hyperopt", random; 10, or D + 2 for "bohb", where None.

    Returns:
        A Searcher. It models the highest fidelity that has enough points; points that are out, and those proposed before
        in the same batch, count as bad ones.

    Raises:
        ValueError: an unknown model.

    Example:
        >>> search = tpe((Dim("continuous"),), startup=1)
        >>> search.ask(search.init((0,)), (0,), 3, 1)[0].shape
        (3, 1)
    """
    one_of("model", model, MODELS)
    kind, width = MODELS[model], len(dims)
    startup = (width + 2 if kind.scott else 10) if startup is None else startup
    propose = _jointly if kind.together else _singly
    opening = sobol(dims) if kind.marginal else random(dims)

    def ask(state: State, key: Key, n: int, fidelity: int):
        rng, history, first = generator(key), state.history, state.first
        rows, seen = evidence(history, startup), taken(history, dims)
        if len(rows) < startup or not width:
            unit, first = opening.ask(first, key, n, fidelity)
        else:
            unit = rng.random((n, width))
            good, bad = _split(history, rows, kind)
            out = snap(waiting(history), dims)
            modelled = np.flatnonzero(rng.random(n) >= kind.explore)
            if len(modelled):
                unit[modelled] = propose(good, bad, out, dims, rng, len(modelled), kind, seen)
        unit, replaced = distinct(unit, seen, dims, rng)
        note = {"replaced": replaced} if replaced else {}
        return unit, State(handed(history, unit), first, note)

    return Searcher(
        init=lambda key: State(empty(dims), opening.init(key), {}),
        ask=ask,
        tell=lambda state, observations: State(
            remember(state.history, _snapped(observations, dims)), state.first, {}
        ),
        batch=8,
        note=lambda state: state.note,
        several=True,
    )


def _snapped(observations: Observations, dims: tuple[Dim, ...]):
    return observations._replace(unit=snap(observations.unit, dims))


def _split(history: History, rows: np.ndarray, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Good and bad points; of the bad ones, the latest MOST. In the order they were seen, or good ones the best first.

    BOHB's model has D + 1 points of either kind at least, Hyperopt's 25 good ones at most.
    """
    objective, share = fronts.places(history.objectives[rows]), model.share
    count = int(np.ceil(share * len(rows) if share else 0.25 * np.sqrt(len(rows))))
    least = history.unit.shape[1] + 1 if model.scott else 1
    count = max(least, count) if model.scott else min(count, 25)
    order = np.argsort(objective, kind="stable")
    good = order[: min(count, int(np.isfinite(objective).sum()))]
    good = good if model.marginal else np.sort(good)
    bad = np.sort(order[min(len(good), max(0, len(rows) - least)) :])
    return history.unit[rows[good]], history.unit[rows[bad[-MOST:]]]


def _forgetting(count: int) -> np.ndarray:
    """Hyperopt's weights: the latest points weigh 1, those before linearly less."""
    if count <= REMEMBERED:
        return np.ones(count)
    return np.concatenate([np.linspace(1 / count, 1, count - REMEMBERED), np.ones(REMEMBERED)])


def _kernels(
    points: np.ndarray, dims: tuple[Dim, ...], model: Model, ranked: bool = False
) -> Kernels:
    """A kernel at each point [m D]; where they are `ranked`, the best first, each weighs less than the one before."""
    count, width = points.shape
    there = active(points, dims)
    spread = np.empty(points.shape)
    for i, dim in enumerate(dims):
        if dim.kind == "categorical":  # as if each level had been seen once more
            spread[:, i] = dim.levels / (there[:, i].sum() + dim.levels)
        elif model.scott:
            seen = points[there[:, i], i]
            scott = 1.06 * (seen.std() if len(seen) else 0.0) * max(count, 1) ** (-1 / (width + 4))
            spread[:, i] = max(scott, 1e-3, 0.5 / dim.levels if dim.levels else 0.0)
        else:
            spread[:, i] = _gaps(points[:, i], there[:, i], dim.levels)
    weight = np.ones(count) if model.scott else _forgetting(count)
    weight = 2 * np.arange(count, 0, -1) / (count + 1) if ranked else weight
    weight = np.append(weight, model.prior if count else 1.0)
    return Kernels(points, spread, there, weight / weight.sum())


def _gaps(numbers: np.ndarray, there: np.ndarray, levels: int) -> np.ndarray:
    """Hyperopt's bandwidths [m]: the larger of the gaps to the neighbours, the prior's center and the bounds among them."""
    widths = np.ones(len(numbers))
    known = np.flatnonzero(there)
    if not len(known):
        return widths
    grid = np.sort(np.concatenate([numbers[known], [0.0, 0.5, 1.0]]))
    left = np.searchsorted(grid, numbers[known], "left")
    right = np.searchsorted(grid, numbers[known], "right")
    below = numbers[known] - grid[np.maximum(left - 1, 0)]
    above = grid[np.minimum(right, len(grid) - 1)] - numbers[known]
    least = max(1 / min(100, 1 + len(known)), 0.5 / levels if levels else 0.0)
    widths[known] = np.clip(np.maximum(below, above), least, 1.0)
    return widths


def _mass(low: Any, high: Any, center: np.ndarray, width: np.ndarray):
    """Probability of an interval under normals: the share that truncation to it keeps."""
    from scipy.special import ndtr

    return np.maximum(ndtr((high - center) / width) - ndtr((low - center) / width), TINY)


def _drawn(
    kernels: Kernels, dims: tuple[Dim, ...], rng: np.random.Generator, count: int, wider: float
) -> np.ndarray:
    """Points [count D] of a mixture."""
    from scipy.special import ndtr, ndtri

    picked = rng.choice(len(kernels.weight), size=count, p=kernels.weight)
    unit = rng.random((count, len(dims)))
    inside = picked < len(kernels.center)
    rows = picked[inside]
    for i, dim in enumerate(dims):
        center, width = kernels.center[rows, i], kernels.width[rows, i]
        own = kernels.there[rows, i]
        if dim.kind == "categorical":
            upto = np.cumsum(_choices(dim, center, width), 1) / dim.levels
            drawn = (unit[inside, i, None] > upto[:, :-1]).sum(1)
            unit[inside, i] = np.where(own, base.center(drawn, dim), unit[inside, i])
        else:
            width = width * wider
            low, high = ndtr(-center / width), ndtr((1 - center) / width)
            number = center + width * ndtri(
                np.clip(low + unit[inside, i] * (high - low), TINY, 1 - TINY)
            )
            unit[inside, i] = np.where(own, np.clip(number, 0, 1), unit[inside, i])
    return unit


def _choices(dim: Dim, center: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Densities [m levels] of kernels over choices, the uniform one being 1: `width` is what goes to all of them.

    Where they are numbers, half of that goes to those that are near by size.
    """
    own = level(center, dim)
    spread = np.ones((1, dim.levels))
    if dim.order:
        at = np.array(dim.order) / dim.levels
        near = np.exp(-0.5 * ((at - at[:, None]) / NEAR) ** 2)
        spread = 0.5 + 0.5 * (near * dim.levels / near.sum(1, keepdims=True))[own]
    same = own[:, None] == np.arange(dim.levels)
    return width[:, None] * spread + (1 - width[:, None]) * same * dim.levels


# --- each dimension for itself ------------------------------------------------------------------------------------
def _line(dim: Dim, center: np.ndarray, width: np.ndarray, there: np.ndarray) -> np.ndarray:
    """One dimension's kernels [m table] at the places of the table; a kernel without the dimension is the prior, 1."""
    if dim.kind == "categorical":
        values = _choices(dim, center, width)
    else:
        places = (np.arange(TABLE) + 0.5) / TABLE
        z = (places - center[:, None]) / width[:, None]
        scale = width * np.sqrt(2 * np.pi) * _mass(0.0, 1.0, center, width)
        values = np.exp(-0.5 * z * z) / scale[:, None]
    return np.where(there[:, None], values, 1.0)


def _at(unit: np.ndarray, dim: Dim) -> np.ndarray:
    """Where numbers stand in a dimension's table."""
    if dim.kind == "categorical":
        return level(unit, dim)
    return np.minimum((unit * TABLE).astype(np.int64), TABLE - 1)


def _singly(
    good: Any,
    bad: Any,
    out: np.ndarray,
    dims: tuple[Dim, ...],
    rng: np.random.Generator,
    n: int,
    model: Model,
    seen: set[bytes],
):
    """Hyperopt's proposals [n D]: in each dimension the candidate with the best ratio of marginal densities."""
    del seen  # points come together from candidates of each dimension
    candidates = model.candidates
    nice = _kernels(good, dims, model)
    poor = _kernels(np.concatenate([bad, out]), dims, model)
    drawn = _drawn(nice, dims, rng, n * candidates, 1.0).reshape(n, candidates, len(dims))
    drawn = snap(drawn.reshape(-1, len(dims)), _flat(dims)).reshape(drawn.shape)
    unit = np.empty((n, len(dims)))
    for i, dim in enumerate(dims):
        lines = [_marginal(kernels, dim, i) for kernels in (nice, poor)]
        place = _at(drawn[:, :, i], dim)  # [n candidates]
        top, bottom = np.log(lines[0])[place], lines[1]
        share = 1 / (len(poor.weight) + 1)
        spread = np.median(poor.width[:, i]) if len(poor.width) else 1.0
        for row in range(n):
            best = int(np.argmax(top[row] - np.log(bottom[place[row]])))
            unit[row, i] = drawn[row, best, i]
            if n > 1:  # what is proposed now counts as bad for the rest of the batch
                one = _line(dim, unit[row, i : i + 1], np.array([spread]), np.ones(1, bool))[0]
                bottom = (1 - share) * bottom + share * one
    return unit


def _flat(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The dimensions without their conditions: candidates keep a value for every one."""
    return tuple(dim._replace(parent=None) for dim in dims)


# --- dimensions together ------------------------------------------------------------------------------------------
def _jointly(
    good: Any,
    bad: Any,
    out: np.ndarray,
    dims: tuple[Dim, ...],
    rng: np.random.Generator,
    n: int,
    model: Model,
    seen: set[bytes],
):
    """Proposals [n D]: the candidate with the best ratio of densities, of those that were not seen."""
    share = model.marginal
    nice = _kernels(good, dims, model, ranked=share > 0)
    poor = _kernels(np.concatenate([bad, out]), dims, model)
    shape = (n, model.candidates)
    drawn = _drawn(nice, dims, rng, n * model.candidates, model.wider)
    if share:
        _crossed(drawn[::2], rng)
    drawn = snap(drawn, _flat(dims))
    places = _places(drawn, dims)
    top = _density(places, _slopes(nice, dims), nice.weight)
    if share:
        top = top + share / (1 - share) * _marginals(drawn, nice, poor, dims)
    top = np.where(among(snap(drawn, dims), seen), -np.inf, top).reshape(shape)
    bottom = np.exp(_density(places, _slopes(poor, dims), poor.weight)).reshape(shape)
    places, drawn = places.reshape(*shape, -1), drawn.reshape(*shape, len(dims))
    spread = np.median(poor.width, axis=0) if len(poor.width) else np.ones(len(dims))
    unit, step = np.empty((n, len(dims))), max(1, n // SIGHTS)
    for row in range(0, n, step):
        rows = np.arange(row, min(row + step, n))
        best = np.argmax(top[rows] - np.log(bottom[rows] + TINY), axis=1)
        unit[rows] = drawn[rows, best]
        after = rows[-1] + 1
        if after < n:  # what is proposed now counts as bad for the rest of the batch
            wide = np.tile(spread, (len(rows), 1))
            new = Kernels(unit[rows], wide, active(unit[rows], dims), np.ones(len(rows)))
            added = np.exp(places[after:] @ _slopes(new, dims).T).sum(-1)
            share = len(rows) / (len(poor.weight) + len(rows))
            bottom[after:] = (1 - share) * bottom[after:] + share * added / len(rows)
    return unit


def _crossed(points: np.ndarray, rng: np.random.Generator) -> None:
    """Takes each coordinate of points [c D] from another of them."""
    for i in range(points.shape[1]):
        points[:, i] = rng.permutation(points[:, i])


def _marginals(
    points: np.ndarray, nice: Kernels, poor: Kernels, dims: tuple[Dim, ...]
) -> np.ndarray:
    """Log ratio [c] of densities at points [c D], every active dimension for itself."""
    may, found = active(points, dims), np.zeros(len(points))
    for i, dim in enumerate(dims):
        own, other = (np.log(_marginal(kernels, dim, i)) for kernels in (nice, poor))
        found += may[:, i] * (own - other)[_at(points[:, i], dim)]
    return found


def _marginal(kernels: Kernels, dim: Dim, i: int) -> np.ndarray:
    """Density of dimension i at the places of its table [table]."""
    lines = _line(dim, kernels.center[:, i], kernels.width[:, i], kernels.there[:, i])
    return kernels.weight[:-1] @ lines + kernels.weight[-1]


def _places(unit: np.ndarray, dims: tuple[Dim, ...]) -> np.ndarray:
    """Points [c D] as the left side [c F] of a product that gives log kernels: x^2, x, 1 of numbers, levels of choices."""
    may, found = active(unit, dims), []  # inactive dimensions do not count
    for i, dim in enumerate(dims):
        x, on = unit[:, i], may[:, i : i + 1]
        if dim.kind == "categorical":
            found.append(on * (level(x, dim)[:, None] == np.arange(dim.levels)))
        else:
            found.append(on * np.stack([x * x, x, np.ones_like(x)], 1))
    return np.concatenate(found, 1)


def _slopes(kernels: Kernels, dims: tuple[Dim, ...]) -> np.ndarray:
    """Kernels as the right side [m F] of that product; a kernel without a dimension is the prior there, log 1."""
    found = []
    for i, dim in enumerate(dims):
        center, width = kernels.center[:, i], kernels.width[:, i]
        if dim.kind == "categorical":
            value = np.log(_choices(dim, center, width))
        else:
            scale = np.log(width * np.sqrt(2 * np.pi) * _mass(0.0, 1.0, center, width))
            tight = 1 / width**2
            value = np.stack([-0.5 * tight, tight * center, -0.5 * tight * center**2 - scale], 1)
        found.append(value * kernels.there[:, i : i + 1])
    return np.concatenate(found, 1)


def _density(places: np.ndarray, slopes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Log density [c] of a mixture whose last part is the prior."""
    logs = places @ slopes.T  # [c m]
    most = np.maximum(logs.max(1, initial=0.0), 0.0)[:, None]
    total = np.exp(logs - most) @ weight[:-1] + np.exp(-most[:, 0]) * weight[-1]
    return most[:, 0] + np.log(total + TINY)
