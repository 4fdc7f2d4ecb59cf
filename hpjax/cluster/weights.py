"""Where the states of live trials are: in the memory of the workers that trained them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from hpjax.population.pack import Block
from hpjax.population.results import BlockResult
from hpjax.population.weights import StoredNetworks, WeightStore
from hpjax.schedulers.base import Order

if TYPE_CHECKING:
    from distributed import Future

    from hpjax.cluster.pool import Pool


class Sources(NamedTuple):
    """The states that a block's networks go on from, as `worker.train` takes them."""

    held: list[Future]
    # [c w 3] (which of `held`, its a, its b), -1 for fresh networks; None where all are
    at: np.ndarray | None


class RemoteStore:
    """The states of live trials, as futures: Dask moves them to the block that goes on from them, and trains them again if they are lost.

    What it keeps of each network is where it is: the number of a future, and two places a and b in the tree with leaves [a b ...], or
    the `worker.TrainedBlock`, that this holds.

    Args:
        pool: the workers.
        groups: G of each trial.
        fidelity: epochs after which no network is trained on; until then two workers have its state, so that the death of one
            costs nothing but the blocks that it trains.

    Attributes:
        home: live trial -> number of the program that trains it.
        age: live trial -> epoch that it was last trained until.
    """

    def __init__(self, pool: Pool, groups: int, fidelity: int):
        self.pool, self.groups, self.fidelity = pool, groups, fidelity
        self._places = WeightStore(groups)
        self.home, self.age = self._places.home, self._places.age
        self._held: dict[int, Future] = {}
        self._enough = 64  # futures, before some are looked for that nobody needs
        self._numbers = itertools.count(1)  # 0 is of a network that was not trained yet

    def begin(self, order: Order) -> None:
        """Takes note of networks that others go on from: all sources are read before any is replaced."""
        self._places.begin(order)
        self._forget()

    def gather(self, block: Block) -> Sources | None:
        """Where the networks are that a block goes on from; None where all are fresh."""
        found = self._places.gather(block)
        if found is None:
            return None
        there = block.source >= 0
        held, at = self._named(found[0][there])
        whole = np.full((*there.shape, 3), -1)
        whole[there] = at
        return Sources(held, whole)

    def keep(self, block: Block, answer: BlockResult) -> None:
        """Takes note of the states that a block ended with."""
        number = next(self._numbers)
        self._held[number] = answer.weights
        self._places.take(block, _places(number, *block.real.shape))
        if (block.until < self.fidelity).any():
            self.pool.copy(answer.weights)
        if len(self._held) > self._enough:
            self._forget()

    def release(self, trials: Iterable[int]) -> None:
        """Drops networks."""
        self._places.release(trials)
        self._forget()

    def states(self, trials: Sequence[int]) -> Any:
        """Copies of the states of live trials of one program, leaves of [n G ...]: one task for each block that holds some of them."""
        return self._fetched(self._places.leaves(trials)[0])

    def _fetched(self, places: np.ndarray) -> Any:
        """The states at places [n G 3], leaves of [n G ...]."""
        from hpjax.cluster import worker

        held, at = self._named(places.reshape(-1, 3))
        by_task = np.argsort(at[:, 0], kind="stable")
        ends = np.cumsum(np.bincount(at[:, 0]))[:-1]
        with self.pool.reached():
            tasks = [
                self.pool.submit(worker.picked, one, wanted[:, 1:], priority=1)
                for one, wanted in zip(held, np.split(at[by_task], ends))
            ]
        trees = self.pool.results(tasks, held)
        back = np.argsort(by_task, kind="stable")
        states = [
            np.concatenate(parts)[back].reshape(*places.shape[:2], *parts[0].shape[1:])
            for parts in zip(*map(jax.tree.leaves, trees))
        ]
        # what `load` gave is a list
        structure = next((tree for tree in trees if not isinstance(tree, list)), trees[0])
        return jax.tree.unflatten(jax.tree.structure(structure), states)

    def _named(self, places: np.ndarray) -> tuple[list[Future], np.ndarray]:
        """The futures that places [... 3] are in, and the places with numbers of this list."""
        numbers, which = np.unique(places[..., 0], return_inverse=True)
        which = which.reshape(places.shape[:-1])
        at = np.concatenate([which[..., None], places[..., 1:]], -1)
        return [self._held[number] for number in numbers.tolist()], at

    def _forget(self) -> None:
        """Drops the futures in which no live network is, and none that others go on from."""
        pools = self._places.pools.values()
        parts = [pool.leaves[0][list(pool.slot.values()), :, 0].ravel() for pool in pools]
        parts += [leaves[0][:, 0] for leaves in self._places.sources.values()]
        used = set(np.unique(np.concatenate(parts)).tolist()) if parts else set()
        self._held = {number: held for number, held in self._held.items() if number in used}
        self._enough = 2 * len(self._held) + 64

    # --- as arrays ---
    def saved(self) -> Iterator[StoredNetworks]:
        """Everything that lives, program by program, brought here."""
        for stored in self._places.saved():
            states = self._fetched(stored.leaves[0])
            leaves, structure = jax.tree.flatten(states)
            known = None if isinstance(states, list) else structure
            yield stored._replace(leaves=leaves, structure=known)

    def load(self, stored: StoredNetworks) -> None:
        """Takes what `saved` gave."""
        task = next(self._numbers)
        self._held[task] = self.pool.submit(list, stored.leaves)
        places = _places(task, len(stored.trials), self.groups)
        self._places.load(stored._replace(leaves=[places], structure=None))


def _places(number: int, *shape: int) -> np.ndarray:
    """The places [a b 3] of all networks that a future holds."""
    return np.stack([np.full(shape, number), *np.indices(shape)], -1)
