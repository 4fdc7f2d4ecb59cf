"""The workers that train a study: those of a cluster that is there, or processes of this machine that are started for it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

from hpjax.devices import SETTINGS
from hpjax.files import reason
from hpjax.records import RunError

if TYPE_CHECKING:
    from distributed import Client, Future

    from hpjax.cluster.executor import ClusterExecutor
    from hpjax.population import Regime

DEVICE = "device"  # the resource of Dask that a worker has one of
TASKS = {"pure": False, "retries": 2}
OVER = ("finished", "error", "cancelled")  # statuses of a task
CANCELLED = (asyncio.CancelledError, concurrent.futures.CancelledError)
AGAIN = 0.1  # seconds after which a task that was lost is looked at again
TRIES = 5  # to make the workers ready
LOOK = 5.0  # seconds of waiting after which it is looked whether the worker lives
SILENT = 60.0  # seconds without a sign of life after which a worker is taken to be lost
FRESH = 2.0  # seconds that a count of workers is good for
ANSWER = 60.0  # seconds that a scheduler has to answer
PATIENCE = 900.0  # seconds without an answer after which a block is trained elsewhere
COPIES = 2  # of the states of networks that may be trained on


class Cluster(NamedTuple):
    """A Dask cluster, and what may differ on it.

    Attributes:
        where: a scheduler's address, a `distributed.Client`, or a number of worker processes to start on this machine (a script
            that does must keep what it runs under `if __name__ == "__main__":`, as they import it again).
        unlike: whether workers may have other versions or devices than this process; last digits may then depend on who trains what.
        patience: seconds without an answer after which a busy worker is started anew, and what it did is done elsewhere; where None,
            `PATIENCE` for blocks, twice as long after each time, and none for functions of `minimize`, of which hpjax cannot know how
            long they take. A worker that is not heard at all is given `SILENT` seconds.
    """

    where: Any
    unlike: bool = False
    patience: float | None = None


class Pool:
    """Workers that train blocks, one device each.

    Attributes:
        client: of Dask.
        address: of its scheduler.
        name: what the keys of this study's tasks begin with.
        resources: what a block needs of a worker.
        patience: seconds that a block has; doubled where one had not enough.
        function_patience: seconds that a function of the user's has.
        seconds: worker -> how long it trained.
    """

    def __init__(self, client: Client, cluster: Cluster, say: Callable[[str], None]):
        import jax

        self.client, self.say = client, say
        given = cluster.patience
        self.patience, self.function_patience = (
            (PATIENCE, math.inf) if given is None else (given, given)
        )
        self.address = client.scheduler.address if client.scheduler else "?"
        self.name = f"hpjax-{uuid.uuid4().hex[:12]}"
        self.resources = {DEVICE: 1}
        self.seconds: dict[str, float] = {}
        self._tasks = itertools.count()
        self._seen: dict[str, tuple[float, float]] = {}
        self._looked: tuple[float, list[str]] = (-math.inf, [])
        self._uncopied: list[Future] = []
        self._copies = False  # whether some are under way
        self._refuse_without_device()
        self.devices = jax.devices()

    def begin(self, pinned: bool, unlike: bool) -> None:
        """Makes the workers ready, those that come later too.

        Raises:
            ValueError: one is unlike this process, and must not be.
        """
        from hpjax.cluster.deaths import Forgiving
        from hpjax.cluster.worker import Devices, here

        wanted = None if unlike else here()
        ready = Devices(self.name, len(self.devices), pinned, settings(), wanted)
        with self.reached():
            try:
                self.client.register_plugin(Forgiving(self.name, self.client.id), name=self.name)
            except (ImportError, AttributeError) as fault:
                raise ValueError(
                    f"the scheduler at {self.address} cannot load this hpjax ({fault}); install the same version where it runs"
                ) from None
            self._silent()
            for left in reversed(range(TRIES)):
                try:
                    self._soon(lambda: self.client.register_plugin(ready, name=self.name))
                    return
                except OSError as fault:  # a worker died meanwhile, or is cut off
                    self._look([], 0.0, math.inf)
                    if not left:
                        raise ValueError(
                            f"a worker at {self.address} does not answer ({reason(fault)[:120]}); end it, and try again"
                        ) from None
                    time.sleep(1)

    def close(self) -> None:
        """Says who trained for how long, and leaves the cluster as it was."""
        from hpjax.cluster.deaths import ENDED

        if self.seconds:
            names = sorted(self.seconds, key=lambda name: self.seconds[name])
            each = [f"{self.seconds[name]:.1f} s ({name})" for name in (names[0], names[-1])]
            self.say(
                f"hpjax: {len(names)} workers trained for {sum(self.seconds.values()):.1f} s, from {' to '.join(each)}"
            )
        if self.client.status == "running":
            leave = [
                lambda: getattr(self.client.scheduler, ENDED)(name=self.name),
                lambda: self.client.unregister_scheduler_plugin(self.name),
                lambda: self.client.unregister_worker_plugin(self.name),
            ]
            for each in leave:
                with contextlib.suppress(OSError, ValueError):
                    self._soon(each)

    def _soon(self, ask: Callable[[], Any]) -> None:
        """Asks something of all workers that one which is cut off does not answer.

        Raises:
            OSError: it takes too long.
        """
        self.client.sync(ask, callback_timeout=ANSWER)

    def executor(self, regime: Regime) -> ClusterExecutor:
        """Trains blocks of a population on these workers."""
        from hpjax.cluster.executor import ClusterExecutor

        return ClusterExecutor(self, regime)

    def workers(self) -> list[str]:
        """Addresses of the workers that are there now."""
        return sorted(self._able())

    def recent(self) -> list[str]:
        """The workers that there were when it was last looked, a few seconds ago at most."""
        then, workers = self._looked
        if time.monotonic() - then > FRESH:
            workers = self.workers()
            self._looked = (time.monotonic(), workers)
        return workers

    def count(self) -> int:
        """How many these are."""
        return len(self.recent())

    def replicate(self, future: Future, workers: list[str]) -> None:
        """Brings a task's result to workers: Dask gives tasks that need it to those that have it, and others must steal them."""
        # one that is gone, or does not answer, is seen when a block is waited for
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._soon(lambda: self.client.replicate([future], workers=workers))

    def submit(self, function: Callable[..., Any], *given: Any, **options: Any) -> Future:
        """A task of this study."""
        with _unwarned():
            return self.client.submit(function, *given, key=self._key(), **TASKS, **options)

    def map(self, function: Callable[..., Any], *columns: Sequence, **options: Any) -> list[Future]:
        """Tasks of this study, in one message."""
        keys = [self._key() for _ in columns[0]]
        with _unwarned():
            return self.client.map(function, *columns, key=keys, **TASKS, **options)

    def _key(self) -> str:
        return f"{self.name}-{next(self._tasks):09d}"

    def result(self, future: Future, patience: float | None = None, tries: float = math.inf) -> Any:
        """As `results`, of one task."""
        return self.results([future], patience=patience, tries=tries)[0]

    def copy(self, future: Future) -> None:
        """Brings a task's result to a second worker, soon: so it is not computed again where the first one dies."""
        self._uncopied.append(future)
        self.client.loop.add_callback(self._copy)  # type: ignore[missing-attribute]

    async def _copy(self) -> None:
        """Copies what there is to copy, in one message at a time."""
        if self._copies:
            return
        self._copies = True
        try:
            while self._uncopied and self.client.status == "running":
                held, self._uncopied = self._uncopied, []
                # without a second copy it is computed again, where it must be
                with contextlib.suppress(OSError, KeyError, ValueError, *CANCELLED):
                    await self.client.replicate(held, n=COPIES, asynchronous=True)  # type: ignore[not-async]
        finally:
            self._copies = False

    def results(
        self,
        futures: Sequence[Future],
        before: Sequence[Future] | None = None,
        patience: float | None = None,
        tries: float = math.inf,
    ) -> list[Any]:
        """What tasks return, in one message; waits for them before.

        Args:
            futures: of the tasks.
            before: the task that each of them waits for.
            patience: in the place of the pool's.
            tries: how often a task may be given to another worker as it took longer than that.

        Raises:
            RunError: the scheduler is gone, no worker comes, worker after worker died of a task, or no try was long enough.
            Exception: a task's own.
        """
        for future, own in zip(futures, before or futures):
            self.wait(future, own, patience, tries)
        with self.reached():
            if self.client.status != "running":
                raise OSError("closed")
            whole, began = self._asked(futures), time.monotonic()
            while not concurrent.futures.wait([whole], LOOK).done:
                most = self.patience if patience is None else patience
                if self._look([*futures, *(before or ())], time.monotonic() - began, most):
                    began = time.monotonic()
            return whole.result()

    def wait(
        self,
        future: Future,
        before: Future,
        patience: float | None = None,
        tries: float = math.inf,
    ) -> None:
        """Waits for the end of a task, and of the one `before` it, through the deaths and stalls of workers; as `results`."""
        ended, began = Event(), time.monotonic()
        looked = began
        future.add_done_callback(lambda _: ended.set())
        with self.reached():
            while self.client.status == "running" and future.status not in OVER:
                most = self.patience if patience is None else patience
                if ended.is_set():  # it was lost with its worker, and is computed again
                    time.sleep(AGAIN)
                elif ended.wait(min(LOOK, most)):
                    continue
                if time.monotonic() - looked >= min(LOOK, most):
                    looked = time.monotonic()
                    late = looked - began > most
                    if late and tries <= 1:
                        self._give_up(future)
                        raise RunError(
                            f"a function gave no answer within {most:g} s on worker after worker; the ledger is whole up to here, mend the function, or give it more time: hpjax.Cluster(..., patience={10 * most:g})"
                        )
                    if self._look([future, before], looked - began, most):
                        began, tries = looked, tries - late

    def _give_up(self, future: Future) -> None:
        """Takes a task back, so that no other worker begins it, and starts anew those that are busy with it."""
        busy = self._busy_with({future.key}, self._able())
        self.client.cancel([future], force=True)
        for address in busy:
            self._restart(address)

    def _asked(self, futures: Sequence[Future]) -> concurrent.futures.Future:
        """What ended tasks returned, on its way here."""

        async def gathered() -> list[Any]:
            return await self.client.gather(list(futures), asynchronous=True)  # type: ignore[not-async]

        loop = self.client.loop.asyncio_loop  # type: ignore[missing-attribute]
        return asyncio.run_coroutine_threadsafe(gathered(), loop)

    def _look(self, futures: Sequence[Future], waited: float, most: float) -> bool:
        """Whether a worker was started anew, as it is silent, or has been busy with these tasks for longer than `most` seconds."""
        silent = self._silent()
        if not silent and waited > most:
            raise RunError(
                f"no worker at {self.address} for {waited:.0f} s; the ledger is whole up to here, start workers and `hpjax resume` the run"
            )
        lost = [address for address, seconds in silent.items() if seconds > SILENT]
        keys = {future.key for future in futures}
        late = [] if lost or waited <= most else self._busy_with(keys, silent)
        for address in (*lost, *late):
            self.say(
                f"hpjax: worker {address} gives no answer for {max(silent[address], waited):.0f} s; its blocks are trained elsewhere"
            )
            self._restart(address)
        if late:
            self.patience *= 2  # blocks may just be long
        return bool(lost or late)

    def _busy_with(self, keys: set[Any], there: Iterable[str]) -> list[str]:
        """Workers that have some tasks; where none has, those that have any of this study, which these may wait for."""
        tasks = {a: set(own) for a, own in self.client.processing().items() if a in there}
        ours = lambda own: any(str(key).startswith(self.name) for key in own)
        return [a for a, own in tasks.items() if own & keys] or [
            a for a, own in tasks.items() if ours(own)
        ]

    def _silent(self) -> dict[str, float]:
        """Worker that may train -> seconds since it was last heard, by this process's clock."""
        now, workers = time.monotonic(), self._able()
        for address, worker in workers.items():
            if self._seen.get(address, (None, 0))[0] != worker["last_seen"]:
                self._seen[address] = (worker["last_seen"], now)
        return {address: now - self._seen[address][1] for address in workers}

    def _restart(self, address: str) -> None:
        """Ends a worker's process, or what is known of it; Dask gives its tasks to others, and its nanny starts a new one."""
        with self.reached():
            assert self.client.scheduler is not None
            self.client.sync(
                self.client.scheduler.restart_workers,
                workers=[address],
                timeout=ANSWER / 2,
                wait_for_workers=False,
                on_error="return",
                stimulus_id=f"{self.name}-{time.time()}",
                callback_timeout=ANSWER,
            )

    def _able(self) -> dict[str, dict]:
        """What the scheduler says of the workers that may train; one that is unlike may not."""
        workers = self._identity()["workers"]
        return {a: w for a, w in workers.items() if w["resources"].get(DEVICE, 0) >= 1}

    def _identity(self) -> dict:
        """What the scheduler says of itself and of all workers."""
        with self.reached():
            if self.client.scheduler is None:
                raise OSError("closed")
            return self.client.sync(
                self.client.scheduler.identity, n_workers=-1, callback_timeout=ANSWER
            )

    @contextlib.contextmanager
    def reached(self) -> Iterator[None]:
        """Makes one of every way in which the cluster may be gone.

        Raises:
            RunError: it is.
        """
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.client import ClosedClientError
        from distributed.comm.core import CommClosedError

        try:
            yield
        except (CancelledError, ClosedClientError, CommClosedError, OSError) as fault:
            raise RunError(
                f"the cluster's scheduler at {self.address} is gone; the ledger is whole up to here, start a cluster and `hpjax resume` the run"
            ) from fault
        except KilledWorker as fault:
            raise RunError(
                f"worker after worker died of a block ({reason(fault)[:200]}); the ledger is whole up to here, see the workers' memory and `hpjax resume` the run"
            ) from fault

    def _refuse_without_device(self) -> None:
        """Refuses a cluster without workers, or with some that were not started for one device each."""
        workers = self._identity()["workers"]
        if not workers:
            raise ValueError(
                f"the cluster at {self.address} has no workers; start some: hpjax cluster --join {self.address}"
            )
        # 0 where another study refused it
        without = [w["name"] for w in workers.values() if w["resources"].get(DEVICE) not in (0, 1)]
        if without:
            raise ValueError(
                f"worker {without[0]} of the cluster at {self.address} is not for one device; start workers by `hpjax cluster --join {self.address}`, or with --resources device=1"
            )


def _unwarned() -> contextlib.AbstractContextManager:
    """Without Dask's advice on large arguments: data goes to workers as one of a task, and many blocks in one message."""
    import dask

    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"})


def settings() -> dict[str, Any]:
    """What the caller has set in JAX that changes results."""
    import jax

    return {name: jax.config.values[name] for name in SETTINGS if name in jax.config.values}


@contextlib.contextmanager
def pooled(executor: Any, say: Callable[[str], None]) -> Iterator[Pool | None]:
    """The workers that an `executor=` names; None for the devices of this process.

    Args:
        executor: None, a number of worker processes, a scheduler's address, a `distributed.Client`, or a `Cluster` of one of these.
        say: told the dashboard's address, and of blocks that are trained elsewhere.

    Raises:
        ValueError: Dask is missing, nothing answers at the address, or workers that cannot train for this process.
    """
    if executor is None:
        yield None
        return
    cluster = executor if isinstance(executor, Cluster) else Cluster(executor)
    with contextlib.ExitStack() as stack:
        client, own = _connected(cluster.where, stack)
        pool = Pool(client, cluster, say)
        stack.callback(pool.close)
        pool.begin(pinned=own, unlike=cluster.unlike)
        say(f"hpjax: {pool.count()} workers at {pool.address}; dashboard {client.dashboard_link}")
        yield pool


def _connected(where: Any, stack: contextlib.ExitStack) -> tuple[Client, bool]:
    """A client, and whether its workers are processes of this machine that were started for it."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise ValueError(
            "executor= needs Dask, which is not installed; pip install 'hpjax[cluster]'"
        ) from None
    if isinstance(where, Client):
        return where, False
    if isinstance(where, str):
        try:
            return stack.enter_context(Client(where, timeout=30, set_as_default=False)), False
        except (OSError, ValueError) as fault:
            raise ValueError(
                f"no scheduler answers at {where!r:.80} ({reason(fault)[:120]}); see its address, such as tcp://127.0.0.1:8786"
            ) from None
    if isinstance(where, int) and not isinstance(where, bool) and 1 <= where <= 4096:
        # a worker that dies comes again, however slowly
        stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}))
        started = LocalCluster(
            n_workers=where,
            threads_per_worker=2,  # one trains, one answers meanwhile
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            resources={DEVICE: 1},
            memory_limit=0,  # what does not fit is seen, and halved
            env={"XLA_FLAGS": os.environ.get("XLA_FLAGS", "")},
        )
        stack.enter_context(started)
        return stack.enter_context(Client(started, set_as_default=False)), True
    raise ValueError(
        f"executor={where!r:.80} must be a number of worker processes, a scheduler's address, or a distributed.Client"
    )
