"""Where to look next: points in the unit cube, chosen from what was seen.

A search sees nothing but numbers: the kind of each dimension, and the objectives of the points it proposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hpjax.randomness import Names

Array = np.ndarray
Key = Names  # (study seed, what for, round, ...)
State = Any


class Parent(NamedTuple):
    """A dimension is active only where another one takes certain levels."""

    dim: int
    levels: tuple[int, ...]


class Dim(NamedTuple):
    """All that a search or a scheduler sees of a dimension."""

    kind: str  # "continuous", "integer" or "categorical"
    levels: int = 0  # how many values, 0 for continuous
    structural: bool = False  # changes a network's shape
    parent: Parent | None = None
    low: int = 0  # smallest of whole numbers that lie evenly on a logarithmic scale; 0 where levels have equal shares
    order: tuple[int, ...] = ()  # place of each level by size, of choices that are all numbers


class Observations(NamedTuple):
    """Every report, lower fidelities included; n rows."""

    trial: Array  # [n] trial numbers
    unit: Array  # [n D]
    objectives: Array  # [n O] all to be made small; +inf where it failed
    epochs: Array  # [n] fidelity
    finished: Array  # [n] bool: no more will come
    grad: Array | None = None  # [n D] d objective / d unit, for searches that want it
    # [n] by how much constraints are broken, whose objectives are +inf then; None where there are none
    violation: Array | None = None

    @property
    def objective(self) -> Array:
        """The objective [n], for searches of one."""
        return single(self.objectives)


def single(objectives: Array) -> Array:
    """The only one of objectives [n O], [n].

    Raises:
        ValueError: there are several.
    """
    if objectives.shape[1] != 1:
        raise ValueError(
            f"this search or scheduler takes one objective, the study has {objectives.shape[1]}; take another, such as nsga2 or tpe with full or hyperband"
        )
    return objectives[:, 0]


class Searcher(NamedTuple):
    """An ask/tell machine.

    Attributes:
        init: key -> state.
        ask: (state, key, n, fidelity) -> (unit [m D] with m <= n, state); short means "not now", and none while nothing is
            in flight means exhausted.
        tell: (state, observations) -> state.
        wants_grad: whether observations bring gradients.
        batch: the most points at once that it learns well from; None for any number.
        note: state -> what the last ask wants recorded beside its points: fitted numbers, fallbacks; {} for nothing.
        hint: (state, note) -> state; before an ask is replayed, the note that was recorded with it.
        several: whether it takes several objectives.
    """

    init: Callable[[Key], State]
    ask: Callable[[State, Key, int, int], tuple[Array, State]]
    tell: Callable[[State, Observations], State]
    wants_grad: bool = False
    batch: int | None = None
    note: Callable[[State], dict] = lambda state: {}
    hint: Callable[[State, dict], State] = lambda state, note: state
    several: bool = False


def level(unit: ArrayLike, dim: Dim) -> Array:
    """Which level [n] int of an integer or categorical dimension each number of the unit interval falls on.

    Levels have equal shares of the interval, or, where `dim.low` is set, equal shares of a logarithmic scale of whole
    numbers from `low`.

    Example:
        >>> level(np.array([0.0, 0.6, 1.0]), Dim("integer", 4)).tolist()
        [0, 2, 3]
        >>> level(np.array([0.0, 0.6, 1.0]), Dim("integer", 100, low=1)).tolist()
        [0, 11, 99]
    """
    unit = np.asarray(unit)
    if dim.low:
        low, high = dim.low - 0.5, dim.low + dim.levels - 0.5
        raw = np.round(low * (high / low) ** unit) - dim.low
        return np.clip(raw, 0, dim.levels - 1).astype(np.int64)
    return np.minimum((unit * dim.levels).astype(np.int64), dim.levels - 1)


def center(levels: ArrayLike, dim: Dim) -> Array:
    """The number of the unit interval [n] that stands for each level; `level` is its inverse."""
    if dim.low:
        low, high = dim.low - 0.5, dim.low + dim.levels - 0.5
        return np.log((np.asarray(levels) + dim.low) / low) / np.log(high / low)
    return (np.asarray(levels) + 0.5) / dim.levels


def snap(unit: Array, dims: tuple[Dim, ...]) -> Array:
    """The one point [n D] that stands for all points with the same meaning: levels at their centers, inactive ones at 0.5."""
    snapped = np.array(unit, np.float64)
    for i, dim in enumerate(dims):
        if dim.kind != "continuous":
            snapped[:, i] = center(level(snapped[:, i], dim), dim)
    if any(dim.parent is not None for dim in dims):
        snapped[~active(snapped, dims)] = 0.5
    return snapped


def active(unit: Array, dims: tuple[Dim, ...]) -> Array:
    """Which dimensions of each point are active, [n D] bool; a child of an inactive parent is inactive."""
    mask = np.ones(unit.shape, bool)
    waiting = {i: dim.parent for i, dim in enumerate(dims) if dim.parent is not None}
    while waiting:
        ready = {i: parent for i, parent in waiting.items() if parent.dim not in waiting}
        if not ready:
            raise ValueError("the conditions of the space go round in a circle")
        for i, parent in ready.items():
            chosen = level(unit[:, parent.dim], dims[parent.dim])
            mask[:, i] = mask[:, parent.dim] & np.isin(chosen, parent.levels)
        waiting = {i: parent for i, parent in waiting.items() if i not in ready}
    return mask
