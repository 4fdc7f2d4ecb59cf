"""Workers of a cluster that only sleep, many in one process: the client and the scheduler do for them what they do for real ones.

python -m experiments._asleep ADDRESS COUNT SECONDS
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
from typing import Any

import dask
from distributed import Worker, get_worker

from hpjax.cluster import worker
from hpjax.cluster.pool import DEVICE

AT_ONCE = 50  # workers that are started together
QUIET = {  # what a process does for itself, which is one process for all here
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "1 hour",
    "distributed.admin.tick.interval": "1 hour",
}


class Asleep:
    """Trains the first block of a program, and answers with its numbers for all others, after some sleep."""

    def __init__(self, seconds: float):
        self.seconds, self.train = seconds, worker.train
        self.known: dict[Any, worker.TrainedBlock] = {}
        self.first = threading.Lock()

    def __call__(
        self, run: str, regime: Any, block: Any, held: Any, at: Any
    ) -> worker.TrainedBlock:
        began = time.perf_counter()
        with self.first:
            if block.program not in self.known:
                self.known[block.program] = self.train(run, regime, block, held, at)
        trained = self.known[block.program]
        time.sleep(max(0.0, self.seconds - (time.perf_counter() - began)))
        name = str(get_worker().name)
        return trained._replace(
            answer=trained.answer._replace(seconds=self.seconds, worker=name)  # type: ignore[union-attr]
        )


async def live(address: str, count: int, seconds: float) -> None:
    """Starts workers, and waits for their end."""
    worker.train = Asleep(seconds)  # type: ignore[assignment]
    worker.here = functools.cache(worker.here)  # as each process does once
    worker.prepare = lambda *given: None  # type: ignore[assignment]
    workers: list[Worker] = []
    for first in range(0, count, AT_ONCE):
        begun = [
            Worker(
                address,
                nthreads=2,  # one sleeps, one answers meanwhile
                name=f"asleep-{number}",
                host="127.0.0.1",
                resources={DEVICE: 1},
                memory_limit=0,
                dashboard=False,
                connection_limit=8,  # all of them share the files that a process may have open
            )
            for number in range(first, min(first + AT_ONCE, count))
        ]
        workers += await asyncio.gather(*begun)
    await asyncio.gather(*(one.finished() for one in workers))


if __name__ == "__main__":
    with dask.config.set(QUIET):
        asyncio.run(live(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
