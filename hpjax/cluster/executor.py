"""Trains blocks on the workers of a Dask cluster: each block is a task that may be tried again anywhere, as its result depends on
nothing but what it is given.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import dask
import jax
import numpy as np

from hpjax.cluster.weights import RemoteStore, Sources
from hpjax.population.executor import BlockResult
from hpjax.population.pack import Block
from hpjax.population.plan import Program
from hpjax.population.regime import Regime
from hpjax.records import RunError

if TYPE_CHECKING:
    from hpjax.cluster.pool import Pool

AHEAD = 2  # blocks of a worker that are under way or wait for it
LARGE = "1 TiB"  # of a task's arguments that Dask warns of: data goes to workers by one


_runs = itertools.count()  # of this process


class ClusterExecutor:
    """Trains blocks on a cluster.

    Args:
        pool: the workers.
        regime: what all networks are trained on.
    """

    def __init__(self, pool: Pool, regime: Regime):
        import cloudpickle

        from hpjax.cluster import worker

        self.pool, self.client = pool, pool.client
        self.run = f"{pool.name}-{next(_runs)}"
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGE}):
            # a task, so that a worker that comes later, or the last that had it, makes it again
            self.regime = pool.submit(worker.unpickled, cloudpickle.dumps(regime), priority=2)
        self._numbers = itertools.count()
        self._prepared: set[int] = set()
        self._preparing: set[Any] = set()
        self._under_way: dict[int, Answer] = {}

    @property
    def ahead(self) -> int:
        """Blocks that are submitted before the first of them is waited for."""
        return AHEAD * max(1, self.pool.count())

    def store(self, groups: int) -> RemoteStore:
        """In the workers' memory."""
        return RemoteStore(self.pool, groups)

    def fitted(self, program: Program) -> Program:
        """Blocks of CPUs are as planned, so that workers run the very programs of one machine; an accelerator trains a chunk."""
        if self.pool.devices[0].platform == "cpu":
            return program
        return program._replace(chunks=1, devices=1)

    def prepare(self, number: int, program: Program, config: dict[str, np.ndarray]) -> None:
        """Compiles a program on all workers at once."""
        from hpjax.cluster import worker

        if number in self._prepared:
            return
        self._prepared.add(number)
        one = {name: leaf[:1] for name, leaf in config.items()}
        for address in self.pool.workers():
            begun = self.pool.submit(
                worker.prepare,
                self.run,
                self.regime,
                number,
                program,
                one,
                workers=[address],
                allow_other_workers=True,
                resources=self.pool.resources,
                priority=1,
            )
            self._preparing.add(begun)
            begun.add_done_callback(self._preparing.discard)  # not again where its worker dies

    def submit(self, block: Block, sources: Sources | None) -> Answer:
        """Hands a block to the cluster."""
        number = next(self._numbers)
        answer = self._under_way[number] = Answer(self, number, block, sources)
        return answer

    def done(self, number: int) -> None:
        """A block's answer is there."""
        del self._under_way[number]

    def forget(self, number: int) -> None:
        """Workers see by a block's program that it has another width now."""
        self._prepared.discard(number)

    def cancel(self) -> None:
        """Takes back blocks that are under way or wait."""
        waiting = [answer.trained for answer in self._under_way.values()]
        self._under_way = {}
        if waiting and self.client.status == "running":
            self.client.cancel(waiting, force=True)


class Answer:
    """The result of a block, to come. Dask gives the block to another worker where its own dies.

    Args:
        executor: whose block it is.
        number: of the block in its run.
        block: to train.
        sources: where the states are that it goes on from.
    """

    def __init__(
        self, executor: ClusterExecutor, number: int, block: Block, sources: Sources | None
    ):
        from hpjax.cluster import worker

        self.executor, self.number, self.pool = executor, number, executor.pool
        held, at = sources or ([], None)
        with self.pool.reached():
            self.trained = self.pool.submit(
                worker.train,
                executor.run,
                executor.regime,
                block,
                held,
                at,
                resources=self.pool.resources,
                priority=-number,
            )
            self._answer = self.pool.submit(worker.answered, self.trained, priority=1)

    def result(self) -> BlockResult:
        """Waits for it, through the deaths and stalls of workers.

        Raises:
            JaxRuntimeError: it does not fit in a worker's memory.
            RunError: the scheduler is gone, no worker comes, or worker after worker died of it.
        """
        try:
            answer = self.pool.result(self._answer, self.trained)
        except RunError:
            raise
        except Exception as fault:
            raise RunError(
                f"a worker failed on a block: {type(fault).__name__}: {' '.join(str(fault).split())[:300]}; the ledger is whole up to here"
            ) from fault
        self.executor.done(self.number)
        if isinstance(answer, str):
            raise jax.errors.JaxRuntimeError(answer)
        seconds = self.pool.seconds
        seconds[str(answer.worker)] = seconds.get(str(answer.worker), 0.0) + answer.seconds
        return answer._replace(weights=self.trained)
