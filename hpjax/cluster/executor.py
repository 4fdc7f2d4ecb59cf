"""Trains blocks on the workers of a Dask cluster: each block is a task that may be tried again anywhere, as its result depends on
nothing but what it is given.
"""

from __future__ import annotations

import itertools
import uuid
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
TRIES = 20  # of a block whose worker dies
LARGE = "1 TiB"  # of a task's arguments that Dask warns of: data goes to workers by one


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
        self.run = uuid.uuid4().hex[:12]
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": LARGE}):
            # a task, so that a worker that comes later, or the last that had it, makes it again
            self.regime = self.client.submit(
                worker.unpickled,
                cloudpickle.dumps(regime),
                key=f"hpjax-{self.run}-data",
                pure=False,
                priority=2,
            )
        self.patience = pool.patience
        self._numbers = itertools.count()
        self._prepared: dict[int, list[Any]] = {}
        self._under_way: dict[int, Answer] = {}

    @property
    def ahead(self) -> int:
        """Blocks that are submitted before the first of them is waited for."""
        return AHEAD * max(1, len(self.pool.workers()))

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
        one = {name: leaf[:1] for name, leaf in config.items()}
        self._prepared[number] = [
            self.client.submit(
                worker.prepare,
                self.run,
                self.regime,
                number,
                program,
                one,
                workers=[address],
                allow_other_workers=True,
                resources=self.pool.resources,
                pure=False,
                priority=1,
            )
            for address in self.pool.workers()
        ]

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
        self._prepared.pop(number, None)

    def cancel(self) -> None:
        """Takes back blocks that are under way or wait."""
        waiting = [answer.trained for answer in self._under_way.values()]
        self._under_way = {}
        if waiting and self.client.status == "running":
            self.client.cancel(waiting, force=True)


class Answer:
    """The result of a block, to come.

    Args:
        executor: whose block it is.
        number: of the block in its run.
        block: to train.
        sources: where the states are that it goes on from.
    """

    def __init__(
        self, executor: ClusterExecutor, number: int, block: Block, sources: Sources | None
    ):
        self.executor, self.number, self.block, self.sources = executor, number, block, sources
        self.tries, self.patience = 0, executor.patience
        with executor.pool.reached():
            self._begin()

    def _begin(self, but: str | None = None) -> None:
        """Submits the block, to any worker `but` one."""
        from hpjax.cluster import worker

        executor, client = self.executor, self.executor.client
        held, at = self.sources or ([], None)
        others = [] if but is None else [a for a in executor.pool.workers() if a != but]
        key = f"hpjax-{executor.run}-{self.number}-{self.tries}"
        self.trained = client.submit(
            worker.train,
            executor.run,
            executor.regime,
            self.block,
            held,
            at,
            key=key,
            pure=False,
            retries=2,
            resources=executor.pool.resources,
            priority=-self.number,
            **({"workers": others} if others else {}),
        )
        self._answer = client.submit(
            worker.answered, self.trained, key=f"{key}-answer", pure=False, priority=1
        )

    def result(self) -> BlockResult:
        """Waits for it, through the deaths and stalls of workers.

        Raises:
            JaxRuntimeError: it does not fit in a worker's memory.
            RunError: the scheduler is gone, what it goes on from is lost, or worker after worker died of it.
        """
        with self.executor.pool.reached():
            answer = self._waited()
        self.executor.done(self.number)
        if isinstance(answer, str):
            raise jax.errors.JaxRuntimeError(answer)
        seconds = self.executor.pool.seconds
        seconds[str(answer.worker)] = seconds.get(str(answer.worker), 0.0) + answer.seconds
        return answer._replace(weights=self.trained)

    def _waited(self) -> BlockResult | str:
        """The answer, of whichever try."""
        from distributed import KilledWorker

        while True:
            try:
                return self._answer.result(timeout=self.patience)
            except KilledWorker:
                if self.tries >= TRIES or self._lost_sources():
                    raise
                self.tries += 1
                self._begin()
            except Exception as fault:
                if self._answer.status == "error":  # the block's own
                    raise RunError(
                        f"a worker failed on a block: {type(fault).__name__}: {' '.join(str(fault).split())[:300]}; the ledger is whole up to here"
                    ) from fault
                if not isinstance(fault, TimeoutError):
                    raise
                self._again()

    def _lost_sources(self) -> bool:
        """Whether what the block goes on from is lost for good."""
        held = self.sources.held if self.sources is not None else []
        return any(future.status == "error" for future in (*held, self.executor.regime))

    def _again(self) -> None:
        """Trains a block elsewhere whose worker does not answer."""
        executor = self.executor
        if executor.client.status != "running":
            return  # the next wait says so
        if self.tries >= TRIES or not executor.pool.workers():
            raise RunError(
                f"no answer of a block after {self.patience:.0f} s, and {len(executor.pool.workers())} workers; the ledger is whole up to here, see the workers and `hpjax resume` the run"
            )
        busy = [
            address
            for address, keys in executor.client.processing().items()
            if self.trained.key in keys
        ]
        executor.pool.say(
            f"hpjax: no answer of a block after {self.patience:.0f} s; it is trained elsewhere"
        )
        self.patience *= 2  # the block may just be long
        executor.client.cancel([self.trained, self._answer], force=True)
        self.tries += 1
        self._begin(busy[0] if busy else None)
