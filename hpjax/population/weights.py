"""Where the state of a trial's networks is between orders: on the host, program by program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hpjax.population.pack import Block
from hpjax.population.results import BlockResult
from hpjax.schedulers.base import Order


class StoredNetworks(NamedTuple):
    """The live networks of one program, as arrays."""

    number: int  # of the program
    trials: np.ndarray  # [n]
    ages: np.ndarray  # [n] epochs
    leaves: list[np.ndarray]  # of their states, [n G ...]
    structure: Any = None  # of their states; None where it was not kept (in a checkpoint)


class StatePool:
    """The live networks of one program: leaves of [capacity, G, ...]."""

    def __init__(self, like: list[jax.ShapeDtypeStruct], groups: int):
        """Takes shapes and dtypes of one network's leaves."""
        self.like, self.groups = like, groups
        self._clear()

    def _clear(self) -> None:
        self.leaves = [np.zeros((0, self.groups, *leaf.shape), leaf.dtype) for leaf in self.like]
        self.slot: dict[int, int] = {}
        self.free: list[int] = []

    def reserve(self, trials: list[int]) -> np.ndarray:
        """Slots [n] of these trials, new ones where they have none."""
        missing = [trial for trial in dict.fromkeys(trials) if trial not in self.slot]
        short = len(missing) - len(self.free)
        if short > 0:
            old = len(self.slot) + len(self.free)
            new = old + max(short, old)
            self.leaves = [_longer(leaf, new) for leaf in self.leaves]
            self.free += range(old, new)
        for trial in missing:
            self.slot[trial] = self.free.pop()
        return np.array([self.slot[trial] for trial in trials], np.int64)

    def drop(self, trials: Iterable[int]) -> None:
        """Forgets these trials; an empty pool gives its memory back."""
        for trial in trials:
            at = self.slot.pop(trial, None)
            if at is not None:
                self.free.append(at)
        if not self.slot:
            self._clear()


class WeightStore:
    """The states of live trials.

    Attributes:
        home: live trial -> number of the program that trains it.
        age: live trial -> epoch that it was last trained until.
        sources: trial that others go on from in the latest order -> its leaves [G ...] before it.
    """

    def __init__(self, groups: int):
        self.groups = groups
        self.pools: dict[int, StatePool] = {}
        self.structures: dict[int, Any] = {}  # program -> tree of a state
        self.home: dict[int, int] = {}
        self.age: dict[int, int] = {}
        self.sources: dict[int, list[np.ndarray]] = {}

    def begin(self, order: Order) -> None:
        """Copies networks that others go on from: all sources are read before any is overwritten."""
        taken = order.source[(order.source >= 0) & (order.source != order.trial)]
        self.sources = {}
        for trial in set(taken.tolist()) & set(self.home):
            pool = self.pools[self.home[trial]]
            self.sources[trial] = [leaf[pool.slot[trial]].copy() for leaf in pool.leaves]

    def gather(self, block: Block) -> list[np.ndarray] | None:
        """The leaves [c w ...] of the states that a block begins with, those of spare chunks and fresh places 0; None where all are fresh."""
        if not (block.source >= 0).any():
            return None
        pool = self.pools[block.number]
        own = (block.source >= 0) & (block.source == block.trial)
        shape = block.source.shape
        leaves = [np.zeros((*shape, *leaf.shape[2:]), leaf.dtype) for leaf in pool.leaves]
        group = np.broadcast_to(block.own_group[:, None], shape)
        if own.any():
            slots = np.array([pool.slot[trial] for trial in block.source[own].tolist()])
            for leaf, kept in zip(leaves, pool.leaves):
                leaf[own] = kept[slots, group[own]]
        for i, j in np.argwhere((block.source >= 0) & ~own):
            for leaf, kept in zip(leaves, self.sources[int(block.source[i, j])]):
                leaf[i, j] = kept[block.own_group[i]]
        return leaves

    def keep(self, block: Block, answer: BlockResult) -> None:
        """Takes the states that a block ended with."""
        self.take(block, answer.state)

    def take(self, block: Block, state: Any) -> None:
        """Takes trees, leaves [c w ...], for the networks of a block."""
        leaves, self.structures[block.number] = jax.tree.flatten(state)
        if block.number not in self.pools:
            self.pools[block.number] = StatePool(_each(leaves), self.groups)
        pool, real = self.pools[block.number], block.real
        owners = block.trial[real].tolist()
        group = np.broadcast_to(block.own_group[:, None], real.shape)[real]
        slots = pool.reserve(owners)
        for kept, leaf in zip(pool.leaves, leaves):
            kept[slots, group] = leaf[real]
        for owner in set(owners):
            if self.home.get(owner, block.number) != block.number:
                self.pools[self.home[owner]].drop([owner])
            self.home[owner] = block.number
        until = np.broadcast_to(block.until[:, None], real.shape)[real]
        self.age |= dict(zip(owners, until.tolist()))

    def release(self, trials: Iterable[int]) -> None:
        """Drops networks."""
        gone: dict[int, list[int]] = {}
        for trial in trials:
            if trial in self.home:
                gone.setdefault(self.home.pop(trial), []).append(trial)
                del self.age[trial]
        for number, dropped in gone.items():
            self.pools[number].drop(dropped)

    def states(self, trials: Sequence[int]) -> Any:
        """Copies of the states of live trials of one program, leaves of [n G ...].

        Raises:
            RuntimeError: they came from a checkpoint, and their program has trained nothing since.
        """
        structure = self.structures.get(self.home[trials[0]])
        if structure is None:
            raise RuntimeError(
                f"the states of trial {trials[0]} came from a checkpoint; they are a tree again once their program trains"
            )
        return jax.tree.unflatten(structure, self.leaves(trials))

    def leaves(self, trials: Sequence[int]) -> list[np.ndarray]:
        """As `states`, without the tree."""
        pool = self.pools[self.home[trials[0]]]
        slots = [pool.slot[trial] for trial in trials]
        return [leaf[slots] for leaf in pool.leaves]

    # --- as arrays ---
    def saved(self) -> Iterator[StoredNetworks]:
        """Everything that lives, program by program."""
        for number, pool in self.pools.items():
            if pool.slot:
                trials = sorted(pool.slot)
                slots = np.array([pool.slot[trial] for trial in trials])
                ages = np.array([self.age[trial] for trial in trials])
                leaves = [leaf[slots] for leaf in pool.leaves]
                structure = self.structures.get(number)
                yield StoredNetworks(number, np.array(trials), ages, leaves, structure)

    def load(self, stored: StoredNetworks) -> None:
        """Takes what `saved` gave."""
        number, trials = stored.number, stored.trials.tolist()
        self.pools[number] = pool = StatePool(_each(stored.leaves), self.groups)
        if stored.structure is not None:
            self.structures[number] = stored.structure
        slots = pool.reserve(trials)
        for kept, leaf in zip(pool.leaves, stored.leaves):
            kept[slots] = leaf
        self.home |= dict.fromkeys(trials, number)
        self.age |= dict(zip(trials, stored.ages.tolist()))


def _longer(leaf: np.ndarray, count: int) -> np.ndarray:
    """A leaf [n ...] with room for `count` rows; what is not yet used takes no memory."""
    found = np.zeros((count, *leaf.shape[1:]), leaf.dtype)
    found[: len(leaf)] = leaf
    return found


def _each(leaves: list[np.ndarray]) -> list[jax.ShapeDtypeStruct]:
    """The shapes of one network's leaves, from those of many [n m ...]."""
    return [jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype) for leaf in leaves]
