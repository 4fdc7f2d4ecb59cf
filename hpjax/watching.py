"""How does a user see that work goes on? A bar with trials, rung, networks per second, and the time left.

The time left is what the plan predicts for the rest, times how much slower or faster the blocks so far were than predicted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpjax.notebooks import NotebookBar, in_notebook
from hpjax.population import plan

if TYPE_CHECKING:
    from hpjax.cluster import Pool
    from hpjax.workload import Workload


class Watching:
    """What a running study shows; this one shows nothing."""

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *fault: object) -> None:
        return None

    def around(self, watch: Callable[..., None] | None) -> Callable[..., None]:
        """A watcher that shows progress, and then calls the user's."""
        return watch or (lambda *shown: None)

    def event(self, what: str, seconds: float = 0.0, work: float = 0.0, networks: int = 0) -> None:
        """Is told what the population does: "compile" (begins), "compiled" or "block" (ends)."""


class Bar(Watching):
    """A bar on standard error, or in a notebook.

    Args:
        progress: what is shown, as `rich.progress.Progress` is used.
        programs: how many are expected.
        studies: how many are trained together.
        work: seconds of training that the plan predicts.
        pool: workers, where these train.
    """

    def __init__(self, progress: Any, programs: int, studies: int, work: float, pool: Pool | None):
        self.programs, self.studies, self.pool = programs, studies, pool
        self.expected = max(work, 1e-9)
        self.done = self.worked = self.compiling = 0.0
        self.compiled = self.networks = 0
        self.latest: dict[Any, Any] = {}  # study -> its last progress
        self.started = time.monotonic()
        self.progress = progress
        self.task = self.progress.add_task(
            "planning", total=1.0, trials="", rate="", best="", left=""
        )

    def __enter__(self) -> Bar:
        self.progress.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.progress.stop()
        self.pool = None  # the workers may be gone

    def event(self, what: str, seconds: float = 0.0, work: float = 0.0, networks: int = 0) -> None:
        if what == "compile":
            number = f"program {self.compiled + 1} of {max(self.programs, self.compiled + 1)}"
            self.progress.update(self.task, description=f"compiling {number}", refresh=True)
            return
        if what == "compiled":
            self.compiled, self.compiling = self.compiled + 1, self.compiling + seconds
        else:
            self.done, self.worked = self.done + work, self.worked + seconds
            self.networks += networks
        rate = f"{self.networks / self.worked:.0f} networks/s" if self.worked else ""
        if self.pool is not None:
            rate = f"{rate} each of {self.pool.count()} workers"
        share = min(0.999, self.done / self.expected)
        self.progress.update(
            self.task, description="training", completed=share, rate=rate, left=_clock(self.left())
        )

    def left(self) -> float | None:
        """Seconds that are still to go, as far as one can tell; None before the first block."""
        if not self.worked:
            return None
        each = self.compiling / self.compiled if self.compiled else plan.COMPILE
        ahead = max(0, self.programs - self.compiled) * each
        return max(0.0, self.expected - self.done) * self.worked / max(self.done, 1e-9) + ahead

    def around(self, watch: Callable[..., None] | None) -> Callable[..., None]:
        def both(*shown: Any) -> None:
            # of a study: (progress, population); of a comparison: (name, seed, progress, population)
            self.latest[shown[:-2]] = shown[-2]
            self._show()
            if watch is not None:
                watch(*shown)

        return both

    def _show(self) -> None:
        progresses = list(self.latest.values())
        finished = sum(progress.finished for progress in progresses)
        totals = [progress.total for progress in progresses]
        total = sum(totals) if None not in totals else sum(p.asked for p in progresses)
        trials = f"{finished}/{total} trials, epoch {max(p.until for p in progresses)}"
        if self.studies > 1:
            trials = f"{len(progresses)}/{self.studies} studies, {finished} trials, {sum(p.epochs for p in progresses)} epochs"
        best = ""
        if self.studies == 1 and progresses[0].best >= 0:
            best = f"best {progresses[0].incumbent:.4g} (trial {progresses[0].best})"
        self.progress.update(self.task, trials=trials, best=best)


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


def watching(
    progress: bool | None,
    workload: Workload,
    pool: Pool | None,
    studies: int = 1,
    work: Callable[[], float] | None = None,
) -> Watching:
    """A bar, where it is wanted: `progress`, or, where that is None, standard error is a terminal or this is a notebook."""
    notebook = in_notebook()
    if progress is False or (progress is None and not notebook and not sys.stderr.isatty()):
        return Watching()
    bar = NotebookBar() if notebook else on_terminal()
    seconds = workload.predicted() if work is None else work()
    return Bar(bar, len(workload.programs), studies, seconds, pool)


def on_terminal(console: Any = None) -> Any:
    """A bar on a console of rich; on standard error where None."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    words = [TextColumn(f"{{task.fields[{name}]}}") for name in ("trials", "rate", "best", "left")]
    columns = [TextColumn("[bold]{task.description}"), BarColumn(24), *words]
    return Progress(*columns, console=console or Console(stderr=True), transient=True)
