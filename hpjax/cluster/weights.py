"""Where the states of live trials are: in the memory of the workers that trained them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hpjax.population.executor import BlockResult
from hpjax.population.pack import Block
from hpjax.schedulers.base import Order

if TYPE_CHECKING:
    from distributed import Future

    from hpjax.cluster.pool import Pool


class Place(NamedTuple):
    """Where the state of one network is."""

    held: Future  # of a `worker.Trained`, or of a tree, with leaves [a b ...]
    a: int
    b: int


class Sources(NamedTuple):
    """The states that a block's networks go on from, as `worker.train` takes them."""

    held: list[Future]
    at: np.ndarray  # [c w 3]


class RemoteStore:
    """The states of live trials, as futures: Dask moves them to the block that goes on from them, and trains them again if they are lost.

    Attributes:
        home: live trial -> number of the program that trains it.
        age: live trial -> epoch that it was last trained until.
    """

    def __init__(self, pool: Pool, groups: int):
        self.pool, self.groups = pool, groups
        self.home: dict[int, int] = {}
        self.age: dict[int, int] = {}
        self._places: dict[int, list[Place | None]] = {}  # trial -> its G networks
        self._before: dict[int, list[Place | None]] = {}

    def begin(self, order: Order) -> None:
        """Takes note of networks that others go on from: all sources are read before any is replaced."""
        taken = order.source[(order.source >= 0) & (order.source != order.trial)]
        self._before = {
            trial: list(self._places[trial])
            for trial in set(taken.tolist())
            if trial in self._places
        }

    def gather(self, block: Block) -> Sources | None:
        """Where the networks are that a block goes on from; None where all are fresh."""
        if not (block.source >= 0).any():
            return None
        held: list[Future] = []
        number: dict[Any, int] = {}  # of a future's key in `held`
        at = np.full((*block.source.shape, 3), -1)
        for i, j in np.argwhere(block.source >= 0):
            trial, group = int(block.source[i, j]), int(block.own_group[i])
            own = trial == block.trial[i, j]
            place = (self._places if own else self._before)[trial][group]
            assert place is not None
            if place.held.key not in number:
                number[place.held.key] = len(held)
                held.append(place.held)
            at[i, j] = number[place.held.key], place.a, place.b
        return Sources(held, at)

    def keep(self, block: Block, answer: BlockResult) -> None:
        """Takes note of the states that a block ended with."""
        for i, j in np.argwhere(block.real):
            trial = int(block.trial[i, j])
            if trial not in self._places:
                self._places[trial] = [None] * self.groups
            self._places[trial][int(block.own_group[i])] = Place(answer.weights, int(i), int(j))
            self.home[trial], self.age[trial] = block.number, int(block.until[i])

    def release(self, trials: Iterable[int]) -> None:
        """Drops networks."""
        for trial in trials:
            if self.home.pop(trial, None) is not None:
                del self.age[trial], self._places[trial]

    def states(self, trials: Sequence[int]) -> Any:
        """Copies of the states of live trials of one program, leaves of [n G ...]: one task for each block that holds some of them."""
        from hpjax.cluster import worker

        wanted: dict[Any, tuple[Future, list[tuple[int, int]], list[tuple[int, int]]]] = {}
        for row, trial in enumerate(trials):
            for group, place in enumerate(self._places[trial]):
                assert place is not None
                _, places, owners = wanted.setdefault(place.held.key, (place.held, [], []))
                places.append((place.a, place.b))
                owners.append((row, group))
        with self.pool.reached():
            tasks = [
                self.pool.submit(worker.picked, held, places, priority=1)
                for held, places, _ in wanted.values()
            ]
        trees = [self.pool.result(task, held) for task, (held, _, _) in zip(tasks, wanted.values())]
        parts = [jax.tree.leaves(tree) for tree in trees]
        states = [
            np.empty((len(trials), self.groups, *leaf.shape[1:]), leaf.dtype) for leaf in parts[0]
        ]
        for leaves, (_, _, owners) in zip(parts, wanted.values()):
            rows, groups = np.array(owners).T
            for state, leaf in zip(states, leaves):
                state[rows, groups] = leaf
        return jax.tree.unflatten(jax.tree.structure(trees[0]), states)

    # --- as arrays ---
    def saved(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, list[np.ndarray]]]:
        """(program, trials [n], ages [n], leaves [n G ...]) of everything that lives."""
        for number in sorted(set(self.home.values())):
            trials = sorted(trial for trial, home in self.home.items() if home == number)
            ages = np.array([self.age[trial] for trial in trials])
            yield number, np.array(trials), ages, jax.tree.leaves(self.states(trials))

    def load(
        self, number: int, trials: np.ndarray, ages: np.ndarray, leaves: list[np.ndarray]
    ) -> None:
        """Takes what `saved` gave."""
        held = self.pool.submit(list, leaves)
        for row, (trial, age) in enumerate(zip(trials.tolist(), ages.tolist())):
            self._places[trial] = [Place(held, row, group) for group in range(self.groups)]
            self.home[trial], self.age[trial] = number, age
