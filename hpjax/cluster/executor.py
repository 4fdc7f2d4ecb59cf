"""Trains blocks on the workers of a Dask cluster: each block is a task that may be tried again anywhere, as its result depends on
nothing but what it is given.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hpjax.cluster.weights import RemoteStore, Sources
from hpjax.population.pack import Block
from hpjax.population.plan import Program
from hpjax.population.regime import Regime
from hpjax.population.results import BlockResult
from hpjax.records import RunError

if TYPE_CHECKING:
    from hpjax.cluster.pool import Pool

WAITING = 0.25  # seconds of training that wait for a worker, in so many blocks
LEAST, MOST = 2, 16


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
        self.fidelity = regime.target.fidelity
        self.run = f"{pool.name}-{next(_runs)}"
        # a task, so that a worker that comes later, or the last that had it, makes it again
        self.regime = pool.submit(worker.unpickled, cloudpickle.dumps(regime), priority=2)
        self._numbers = itertools.count()
        self._prepared: set[int] = set()
        self._preparing: set[Any] = set()
        self._under_way: dict[int, Answer] = {}
        self._pending: list[Answer] = []
        self._ahead = LEAST
        self._holders: list[str] = []  # workers that were given the regime

    @property
    def ahead(self) -> int:
        """Blocks that are submitted before the first of them is waited for."""
        return self._ahead * max(1, self.pool.count())

    def store(self, groups: int) -> RemoteStore:
        """In the workers' memory."""
        return RemoteStore(self.pool, groups, self.fidelity)

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
        """Takes a block; the cluster is given it, with all that came meanwhile, when an answer is waited for."""
        answer = Answer(self, next(self._numbers), block, sources or Sources([], None))
        self._pending.append(answer)
        return answer

    def _hand_out(self) -> None:
        """Gives the blocks that came meanwhile to the cluster: one message for many costs little more than for one."""
        from hpjax.cluster import worker

        given, self._pending = self._pending, []
        if not given:
            return
        there = self.pool.recent()
        if there and there != self._holders:
            self._holders = there
            self.pool.replicate(self.regime, there)
        with self.pool.reached():
            trained = self.pool.map(
                worker.train,
                [self.run] * len(given),
                [self.regime] * len(given),
                [answer.block for answer in given],
                [answer.sources.held for answer in given],
                [answer.sources.at for answer in given],
                resources=self.pool.resources,
                priority=-given[0].number,
            )
            answered = self.pool.map(worker.answered, trained, priority=1)
        for answer, *futures in zip(given, trained, answered):
            answer.trained, answer.answered = futures
            self._under_way[answer.number] = answer

    def collect(self, wanted: Answer) -> None:
        """Waits for an answer, and as long as enough blocks wait for the workers, for later ones too; takes all that are there by then."""
        self._hand_out()
        under_way, enough = [*self._under_way.values()], LEAST * max(1, self.pool.count())
        for answer in (wanted, *under_way[: len(under_way) - enough]):
            self.pool.wait(answer.answered, answer.trained)
        there = [a for a in self._under_way.values() if a is wanted or a.answered.done()]
        got = self.pool.results([a.answered for a in there], [a.trained for a in there])
        for answer, value in zip(there, got):
            answer.value = value
            del self._under_way[answer.number]
            if isinstance(value, BlockResult):
                self._ahead = math.ceil(min(max(WAITING / value.seconds, LEAST), MOST))

    def forget(self, number: int) -> None:
        """Workers see by a block's program that it has another width now."""
        self._prepared.discard(number)

    def cancel(self) -> None:
        """Takes back blocks that are under way or wait."""
        waiting = [answer.trained for answer in self._under_way.values()]
        self._under_way, self._pending = {}, []
        if waiting and self.client.status == "running":
            self.client.cancel(waiting, force=True)


class Answer:
    """The result of a block, to come. Dask gives the block to another worker where its own dies.

    Args:
        executor: whose block it is.
        number: of the block in its run.
        block: to train.
        sources: states that some of its networks go on from.

    Attributes:
        trained: the task that trains it, once it was handed out.
        answered: the task that answers without weights.
        value: what it answered; None before.
    """

    def __init__(
        self,
        executor: ClusterExecutor,
        number: int,
        block: Block,
        sources: Sources,
    ):
        self.executor, self.number = executor, number
        self.block, self.sources = block, sources
        self.trained: Any = None
        self.answered: Any = None
        self.value: BlockResult | str | None = None

    def result(self) -> BlockResult:
        """Waits for it, through the deaths and stalls of workers.

        Raises:
            JaxRuntimeError: it does not fit in a worker's memory.
            RunError: the scheduler is gone, no worker comes, or worker after worker died of it.
        """
        try:
            if self.value is None:
                self.executor.collect(self)
        except RunError:
            raise
        except Exception as fault:
            raise RunError(
                f"a worker failed on a block: {type(fault).__name__}: {' '.join(str(fault).split())[:300]}; the ledger is whole up to here"
            ) from fault
        assert self.value is not None
        if isinstance(self.value, str):
            raise jax.errors.JaxRuntimeError(self.value)
        seconds, name = self.executor.pool.seconds, str(self.value.worker)
        seconds[name] = seconds.get(name, 0.0) + self.value.seconds
        return self.value._replace(weights=self.trained)
