"""The workers that train a study: those of a cluster that is there, or processes of this machine that are started for it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from hpjax import records
from hpjax.records import RunError

if TYPE_CHECKING:
    from distributed import Client

    from hpjax.cluster.executor import ClusterExecutor
    from hpjax.population import Regime

DEVICE = "device"  # the resource of Dask that a worker has one of
COMPARED = ("hpjax", "jax", "jaxlib", "numpy")  # versions that decide on last digits
DEATHS = 1000  # of workers, that a block of a cluster that we start may live through
ANSWER = 60.0  # seconds that a scheduler has to answer
PATIENCE = 900.0  # seconds without an answer after which a block is trained elsewhere, too


class Cluster(NamedTuple):
    """A Dask cluster, and what may differ on it.

    Attributes:
        where: a scheduler's address, a `distributed.Client`, or a number of worker processes to start on this machine (a script
            that does must keep what it runs under `if __name__ == "__main__":`, as they import it again).
        unlike: whether workers may have other versions or devices than this process; last digits may then depend on who trains what.
        patience: seconds without an answer after which a block is trained elsewhere, too.
    """

    where: Any
    unlike: bool = False
    patience: float = PATIENCE


class Pool:
    """Workers that train blocks, one device each.

    Attributes:
        client: of Dask.
        address: of its scheduler.
        resources: what a block needs of a worker.
        patience: as in `Cluster`.
        seconds: worker -> how long it trained.
    """

    def __init__(self, client: Client, cluster: Cluster, say: Callable[[str], None], pinned: bool):
        import jax

        from hpjax.cluster.worker import Devices

        self.client, self.say, self.patience = client, say, cluster.patience
        self.address = client.scheduler.address if client.scheduler else "?"
        self.resources = {DEVICE: 1}
        self.seconds: dict[str, float] = {}
        self._refuse_without_device()
        self.devices = jax.devices()
        client.register_plugin(Devices(len(self.devices), pinned))
        self._refuse_unlike(cluster.unlike)

    def executor(self, regime: Regime) -> ClusterExecutor:
        """Trains blocks of a population on these workers."""
        from hpjax.cluster.executor import ClusterExecutor

        return ClusterExecutor(self, regime)

    def workers(self) -> list[str]:
        """Addresses of the workers that are there now."""
        return sorted(self._identity()["workers"])

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
        except (KilledWorker, MemoryError) as fault:
            raise RunError(
                f"networks that a later rung needs were lost, and could not be trained again ({str(fault)[:200]}); the ledger is whole up to here, `hpjax resume` the run"
            ) from fault

    def _refuse_without_device(self) -> None:
        """Refuses a cluster without workers, or with some that were not started for one device each."""
        workers = self._identity()["workers"]
        if not workers:
            raise ValueError(
                f"the cluster at {self.address} has no workers; start some: hpjax cluster --join {self.address}"
            )
        without = [w["name"] for w in workers.values() if w["resources"].get(DEVICE) != 1]
        if without:
            raise ValueError(
                f"worker {without[0]} of the cluster at {self.address} is not for one device; start workers by `hpjax cluster --join {self.address}`, or with --resources device=1"
            )

    def _refuse_unlike(self, unlike: bool) -> None:
        """Refuses workers with other versions or devices than here, unless these may be unlike."""
        import jax

        from hpjax.cluster import worker

        here = records.environment() | {"device": jax.devices()[0].device_kind}
        found = self.client.run(worker.environment)
        for address, there in sorted(found.items()):
            other = [
                f"{name} {there['versions'].get(name)}, here {here['versions'][name]}"
                for name in COMPARED
                if there["versions"].get(name) != here["versions"][name]
            ]
            for name in ("machine", "device"):
                if there.get(name) != here[name]:
                    other.append(f"{name} {there.get(name)}, here {here[name]}")
            if other and not unlike:
                raise ValueError(
                    f"worker {address} is unlike this process: {'; '.join(other)}; make them alike, or allow it by hpjax.Cluster(..., unlike=True) (--unlike)"
                )


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
        pool = Pool(client, cluster, say, pinned=own)
        say(
            f"hpjax: {len(pool.workers())} workers at {pool.address}; dashboard {client.dashboard_link}"
        )
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
                f"no scheduler answers at {where!r:.80} ({' '.join(str(fault).split())[:120]}); see its address, such as tcp://127.0.0.1:8786"
            ) from None
    if isinstance(where, int) and not isinstance(where, bool) and 1 <= where <= 4096:
        # Dask counts the deaths of workers against every task that waits there
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}))
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
