"""What runs in the scheduler: it lets a block outlive more deaths of workers than Dask would, as machines come and go, and tells
workers which studies there are.
"""

from __future__ import annotations

from typing import Any

from distributed import Scheduler, SchedulerPlugin

STUDIES = "hpjax_studies"  # what a worker asks the scheduler for
DEATHS = 20  # of workers that had a block, after which the block is taken to be what kills them


class Forgiving(SchedulerPlugin):
    """Counts the deaths of workers for the blocks of one study; other tasks of the cluster are left as they are.

    Args:
        name: what the keys of the study's tasks begin with; also of this plugin, and of that of the workers.
        client: of the study, after which both plugins go.
        reduces: whether Dask drops copies of results when no study runs.
    """

    def __init__(self, name: str, client: str, reduces: bool):
        self.name, self.client, self.reduces = name, client, reduces
        self.deaths: dict[Any, int] = {}

    async def start(self, scheduler: Scheduler) -> None:
        """The study begins."""
        scheduler.handlers.setdefault(STUDIES, lambda: _studies(scheduler))

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
            memory = scheduler.extensions.get("amm")
            if self.reduces and memory is not None:
                scheduler.loop.add_callback(memory.start)
            scheduler.loop.add_callback(
                scheduler.unregister_worker_plugin, comm=None, name=self.name
            )
            scheduler.loop.add_callback(scheduler.remove_plugin, name=self.name)


def _studies(scheduler: Scheduler) -> list[str]:
    """Names of the studies that are trained for now."""
    return [plugin.name for plugin in scheduler.plugins.values() if isinstance(plugin, Forgiving)]
