"""From what a user asked for to a study that runs: search and limits, folds and plan, and the study itself."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from hpjax import study
from hpjax.cluster import Pool
from hpjax.defaults import CANDIDATES, EXPECTED_TRIALS, TRIALS
from hpjax.evaluation import Evaluation
from hpjax.population import Library, Population
from hpjax.randomness import generator
from hpjax.records import CHECKPOINT, Ledger
from hpjax.resolve import as_points, as_search, refuse_unlike_losses
from hpjax.schedulers import Scheduler
from hpjax.schedulers.base import Order
from hpjax.search import Searcher, chain
from hpjax.settings import SCHEMA, Settings, Stop, fingerprints
from hpjax.space import Space
from hpjax.study import Progress
from hpjax.tasks import Task
from hpjax.workload import SAMPLES, Workload, nobody, report_of

ROUND = 20.0  # predicted seconds that a round of a memoryless search takes, at most; a crash costs one round
HOST = 2e-5  # seconds that a trial costs whatever its size, about
SHARE = 0.25  # of the seconds that a study is given, that a round is predicted to take, at most
SEVERAL = ("random", "sobol", "grid", "bayes", "tpe", "genetic", "nsga2")  # objectives
SAVED = 20.0  # seconds between checkpoints, at least


class ResolvedStudy(NamedTuple):
    """One study, resolved but for its networks: what a comparison holds many of."""

    settings: Settings
    searcher: Searcher
    scheduler: Scheduler
    stop: Stop
    points: np.ndarray | None  # [n D] what it proposes, where it is known
    known: int | None = None  # how many it proposes, where it is known


def resolved_study(
    settings: Settings, space: Space, search: Any, scheduler: Scheduler
) -> ResolvedStudy:
    """A study's search and limits.

    Args:
        settings: as `tune` writes them.
        space: of the study.
        search, scheduler: as given, or as made from the settings.
    """
    if settings.networks is not None:
        refuse_unlike_losses(space, settings.networks.objectives)
    make, known, points = as_search(search, space, settings.levels)
    searcher = make(space.dims)
    _refuse_several(settings, searcher, scheduler)
    if searcher.wants_grad and scheduler.name != "full":
        raise ValueError(
            f"this search takes gradients through whole trainings; use scheduler=hpjax.full(...), not {scheduler.name}"
        )
    start = settings.start
    if start:
        first = as_points([_tupled(config) for config in start], space, "start")
        make = functools.partial(chain, first=first, then=make)
        known = None if known is None else known + len(first)
        points = None if points is None else np.concatenate([first, points])
    stop = settings.stop
    trials = stop.trials if known is None else min(known, stop.trials or known)
    if all(limit is None for limit in (trials, stop.epochs, stop.seconds, stop.rounds)):
        trials = scheduler.trials or TRIALS
    return ResolvedStudy(
        settings,
        make(space.dims),
        scheduler,
        msgspec.structs.replace(stop, trials=trials),
        points,
        known,
    )


def _refuse_several(settings: Settings, searcher: Searcher, scheduler: Scheduler) -> None:
    """Refuses several objectives where the search or the scheduler takes one, and costs that a scheduler would see in part."""
    networks = settings.networks
    if networks is None:
        return
    if len(networks.objectives) > 1 and not searcher.several:
        raise ValueError(
            f"the search takes one objective, and there are {', '.join(networks.objectives)}; give search= one of {', '.join(SEVERAL)}, or constraints= in the place of an objective"
        )
    if len(networks.objectives) > 1 and not scheduler.several:
        raise ValueError(
            f"scheduler {scheduler.name} takes one objective, and there are {', '.join(networks.objectives)}; give full, halving, hyperband or asha"
        )
    if "seconds" in (*networks.objectives, *networks.constraints) and scheduler.name != "full":
        raise ValueError(
            f"seconds are known of whole trainings; leave scheduler={scheduler.name} out, or seconds"
        )


def _tupled(config: Mapping) -> dict:
    """A configuration as JSON gives it back, its lists as tuples again."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in config.items()}


def sample(space: Space, seed: int) -> np.ndarray:
    """Points [n D] that show which shapes a space has."""
    return generator((seed,)).random((SAMPLES if space.dims else 1, len(space.dims)))


class Assembly:
    """Everything a study of networks needs, resolved: made once by `tune` and again by `resume`."""

    def __init__(
        self,
        settings: Settings,
        space: Space,
        task: Task,
        evaluation: Evaluation,
        search: Any,
        scheduler: Scheduler,
        say: Callable[[str], None],
    ):
        self.settings, self.space, self.task, self.evaluation = settings, space, task, evaluation
        self.scheduler, self.say = scheduler, say
        self.study = resolved_study(settings, space, search, scheduler)
        points = sample(space, settings.seed) if self.study.points is None else self.study.points
        self.workload = Workload(
            space,
            task,
            points[: SAMPLES * 4],
            evaluation,
            fidelity=scheduler.fidelity,
            seeds=[settings.seed],
            trials=self.study.stop.trials or EXPECTED_TRIALS,
            epochs=scheduler.mean_epochs,
            orders=scheduler.orders,
            batch=settings.batch or self.study.searcher.batch,
            grad=self.study.searcher.wants_grad,
            say=say,
        )
        per_trial = self.workload.predicted() / max(1, self.workload.load.trials)
        given = self.study.stop.seconds
        seconds = ROUND if given is None else min(ROUND, SHARE * given)
        self.batch = (
            settings.batch
            or self.study.searcher.batch
            or max(self.workload.widest, int(seconds / max(per_trial, HOST)))
        )

    def explain(self) -> str:
        """The plan in words: programs, padding, predicted time and memory, rungs."""
        load, validation = self.workload.load, self.evaluation.validation
        lines = [
            f"task      {self.task.name}: {load.train} training and {load.valid} validation examples, "
            f"{validation.folds} fold(s) x {validation.repeats} repeat(s)",
            f"space     {len(self.space.dims)} dimensions, {len(self.workload.shapes)} shapes seen",
            f"trials    {load.trials} ({load.trials * load.groups} networks), {load.epochs:g} epochs each on average",
            *rungs_in_words(self.scheduler),
            *self.workload.describe(),
        ]
        lines[-1] += f"; rounds of at most {self.batch} trials"
        return "\n".join(lines)

    def _library(self, pool: Pool | None) -> Library:
        """Of networks that are elsewhere only those that an ensemble takes are brought here, where their losses say which these are."""
        judged_by_loss = self.evaluation.settings.objective == "loss"
        again = not self.settings.scheduler.get("renew")  # others can be trained again
        bounded = pool is not None and judged_by_loss and again
        return Library(count=CANDIDATES if bounded else None)

    def run(
        self,
        ledger: Ledger,
        watch: Callable[[Progress, Population], None],
        extend_to: int | None = None,
        pool: Pool | None = None,
        listen: Callable[..., None] = nobody,
    ) -> Population:
        """Trains until the study is done; until it has `extend_to` trials, where it goes on.

        Args:
            ledger: takes the records.
            watch: shown progress after every report.
            extend_to: of a study that goes on.
            pool: workers that train; this process's devices where None. Live networks are in this process at the end.
            listen: told of compiling and blocks.
        """
        cache = ledger.folder / CHECKPOINT if ledger.folder is not None else None
        recorded = ledger.plan
        self.batch = recorded["batch"] if recorded is not None else self.batch
        population = self.workload.population(
            cache, library=self._library(pool), pool=pool, listen=listen
        )
        saved = [time.monotonic()]

        def carry_out(order: Order):
            whole = order.epochs >= self.scheduler.fidelity
            return report_of(population.carry_out(order), self.evaluation, whole)

        def save():
            if cache is not None and population.home and time.monotonic() - saved[0] > SAVED:
                ledger.save(cache, **population.saved())
                saved[0] = time.monotonic()

        known = None if recorded is None else recorded["programs"]
        goes_on = extend_to is not None and known is not None
        if goes_on and self.workload.planned_for(extend_to) != known:
            self.say(
                f"hpjax: programs and blocks stay as they were planned at first, not as for {extend_to} trials at once"
            )
        settled = self.workload.settle(population, recorded)
        ledger.put(plan_record(self.settings, self.batch, self.scheduler, settled))

        def extended(trials: int) -> None:
            self.settings = self.settings.extended(trials)
            ledger.put_settings(self.settings)

        callbacks = study.Callbacks(
            carry_out, population.recall, population.release, save, extended
        )
        try:
            study.run(
                self.study.searcher,
                self.scheduler,
                self.space.dims,
                callbacks,
                ledger,
                self.study.stop,
                seed=self.settings.seed,
                batch=self.batch,
                extend_to=extend_to,
                watch=lambda progress: watch(progress, population),
                say=self.say,
            )
        finally:
            workers = {} if pool is None else {"workers": pool.seconds}
            ledger.time(
                compile_seconds=population.compile_seconds,
                run_seconds=population.run_seconds,
                **workers,
            )
        if cache is not None:
            cache.unlink(missing_ok=True)
        population.fetch()
        return population


def plan_record(settings: Settings, batch: int, scheduler: Scheduler, training: dict) -> dict:
    """The first record of a ledger."""
    return {
        "kind": "plan",
        "schema": SCHEMA,
        "settings": fingerprints(settings),
        "space": settings.space_hash,
        "seed": settings.seed,
        "batch": batch,
        "scheduler": scheduler.settings,
        **training,
    }


def rungs_in_words(scheduler: Scheduler) -> list[str]:
    """A scheduler's brackets, a line each: how many networks train until which epoch."""
    lines = []
    for number, rungs in enumerate(scheduler.brackets):
        title = "rungs     " if len(scheduler.brackets) == 1 else f"bracket {number + 1}: "
        lines.append(title + ", ".join(f"{n or 'all'} until epoch {e}" for e, n in rungs))
    return lines
