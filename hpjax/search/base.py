"""Where to look next: points in the unit cube, chosen from what was seen.

A search sees nothing but numbers: the kind of each dimension, and the losses of the points it proposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray
Key = tuple[int, ...]  # names that randomness is drawn under: (study seed, purpose, round, ...)
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


class Told(NamedTuple):
    """Every report, lower fidelities included; n rows."""

    trial: Array  # [n] trial numbers
    unit: Array  # [n D]
    loss: Array  # [n] +inf where it failed
    epochs: Array  # [n] fidelity
    finished: Array  # [n] bool: no more will come
    grad: Array | None = None  # [n D] d loss / d unit, for searches that want it


class Searcher(NamedTuple):
    """An ask/tell machine.

    init: key -> state
    ask:  (state, key, n, fidelity) -> (unit [m D] with m <= n, state); short means "not now", and none while nothing is
          in flight means exhausted
    tell: (state, told) -> state
    """

    init: Callable[[Key], State]
    ask: Callable[[State, Key, int, int], tuple[Array, State]]
    tell: Callable[[State, Told], State]
    wants_grad: bool = False


def generator(key: Key) -> np.random.Generator:
    """NumPy's Philox under a key's names.

    Example:
        >>> generator((0, 1)).random() == generator((0, 1)).random()
        True
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def level(unit: Array, levels: int) -> Array:
    """The level [n] int of a dimension whose levels have equal shares of the unit interval."""
    return np.minimum((np.asarray(unit) * levels).astype(np.int64), levels - 1)


def active(unit: Array, dims: tuple[Dim, ...]) -> Array:
    """Which dimensions of each point are active, [n D] bool; a child of an inactive parent is inactive."""
    mask = np.ones(unit.shape, bool)
    waiting = {i: dim.parent for i, dim in enumerate(dims) if dim.parent is not None}
    while waiting:
        ready = {i: parent for i, parent in waiting.items() if parent.dim not in waiting}
        if not ready:
            raise ValueError("the conditions of the space go round in a circle")
        for i, parent in ready.items():
            chosen = level(unit[:, parent.dim], dims[parent.dim].levels)
            mask[:, i] = mask[:, parent.dim] & np.isin(chosen, parent.levels)
        waiting = {i: parent for i, parent in waiting.items() if i not in ready}
    return mask
