"""What runs in the scheduler: it lets a block outlive more deaths of workers than Dask would, as machines come and go, and tells
workers which studies there are.
"""

from __future__ import annotations

from typing import Any

from distributed import Scheduler, SchedulerPlugin

STUDIES, ENDED = "hpjax_studies", "hpjax_ended"  # what the scheduler is asked
DEATHS = 20  # of workers that had a block, after which the block is taken to be what kills them


class Forgiving(SchedulerPlugin):
    """Counts the deaths of workers for the blocks of one study; other tasks of the cluster are left as they are.

    Args:
        name: what the keys of the study's tasks begin with; also of this plugin, and of that of the workers.
        client: of the study, after which both plugins go.
    """

    def __init__(self, name: str, client: str):
        self.name, self.client = name, client
        self.deaths: dict[Any, int] = {}

    async def start(self, scheduler: Scheduler) -> None:
        """The study begins."""
        if STUDIES not in scheduler.extensions:
            scheduler.extensions[STUDIES] = Studies(scheduler)
        scheduler.extensions[STUDIES].begin(self.name)

    def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> None:
        """Dask has counted this one for every task that was there, begun or not."""
        del worker, kwargs
        for key, task in scheduler.tasks.items():
            if task.suspicious and str(key).startswith(self.name):
                self.deaths[key] = self.deaths.get(key, 0) + 1
                if self.deaths[key] <= DEATHS:
                    task.suspicious = 0

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """The process that searches is gone, or done."""
        if client == self.client:
            scheduler.extensions[STUDIES].end(self.name)
            scheduler.loop.add_callback(
                scheduler.unregister_worker_plugin, comm=None, name=self.name
            )
            scheduler.loop.add_callback(scheduler.remove_plugin, name=self.name)


class Studies:
    """The studies that a cluster trains for now, which workers and clients ask for; while there are some, Dask keeps copies of results, which
    its active memory manager would drop.
    """

    def __init__(self, scheduler: Scheduler):
        self.memory, self.names, self.reduces = scheduler.extensions.get("amm"), set(), False
        scheduler.handlers |= {STUDIES: lambda: sorted(self.names), ENDED: self.end}

    def begin(self, name: str) -> None:
        """A study begins."""
        self.names.add(name)
        if self.memory is not None and self.memory.running:
            self.memory.stop()
            self.reduces = True

    def end(self, name: str) -> None:
        """A study is over."""
        self.names.discard(name)
        if not self.names and self.reduces and self.memory is not None:
            self.memory.start()
            self.reduces = False
