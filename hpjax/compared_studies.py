"""How do the studies of a comparison train? As one population, each on the folds of its seed, their orders merged."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import numpy as np

from hpjax import study
from hpjax.assemble import ResolvedStudy, plan_record, sample
from hpjax.cluster import Pool
from hpjax.defaults import ANY_BATCH, EXPECTED_TRIALS
from hpjax.evaluation import Evaluation
from hpjax.population import Population
from hpjax.records import Ledger
from hpjax.schedulers.base import Order
from hpjax.space import Space
from hpjax.study import Progress, Report
from hpjax.tasks import Task
from hpjax.watching import watching
from hpjax.workload import SAMPLES, STRIDE, Workload, report_of

Watch = Callable[[str, int, Progress, Population], None]


class Entry(NamedTuple):
    """One study of a comparison."""

    name: str
    seed: int
    study: ResolvedStudy

    @property
    def folder(self) -> str:
        """Its run folder within the comparison's."""
        return f"{self.name}/seed{self.seed}"


def workload_of(
    entries: list[Entry],
    seeds: list[int],
    space: Space,
    task: Task,
    evaluation: Evaluation,
    say: Callable[[str], None],
) -> Workload:
    """What the studies of a comparison share."""
    studies = [entry.study for entry in entries]
    costs = [_cost(resolved) for resolved in studies]
    known = [one.points[: SAMPLES // 4] for one in studies if one.points is not None]
    points = np.concatenate([sample(space, seeds[0]), *known])
    return Workload(
        space,
        task,
        points,
        evaluation,
        fidelity=studies[0].scheduler.fidelity,
        seeds=seeds,
        trials=max(trials for trials, _ in costs),
        epochs=float(np.mean([epochs for _, epochs in costs])),
        orders=[
            order
            for one in {entry.name: entry.study for entry in entries}.values()
            for order in _orders(one)
        ],
        studies=len(entries),
        grad=any(one.searcher.wants_grad for one in studies),
        say=say,
    )


def play_together(
    workload: Workload,
    entries: list[Entry],
    ledgers: list[Ledger],
    progress: bool | None,
    watch: Watch | None,
    pool: Pool | None,
) -> Population:
    """Drives all studies to their ends, their orders merged: one population trains for them."""
    seeds = list(workload.seeds)
    bar = watching(progress, workload, pool, studies=len(entries))
    population = workload.population(
        cohorts=[seeds.index(entry.seed) for entry in entries], pool=pool, listen=bar.event
    )
    recorded = next((ledger.plan for ledger in ledgers if ledger.plan is not None), None)
    training = workload.settle(population, recorded)
    shown = bar.around(watch)
    plays = {
        number: _play(number, entry, ledger, workload, population, training, shown)
        for number, (entry, ledger) in enumerate(zip(entries, ledgers))
    }

    def carry_out(orders: Mapping[int, Order]):
        reports = {}
        for grad in (False, True):
            some = {number: order for number, order in orders.items() if order.grad == grad}
            if some:
                merged = study.merged(some, STRIDE)
                ended = merged.epochs >= workload.target.fidelity
                whole = report_of(population.carry_out(merged), workload.evaluation, ended)
                reports |= zip(some, study.parted(whole, list(some.values())))
        return reports

    with bar:
        study.together(plays, carry_out)
    population.fetch()
    return population


def _play(
    number: int,
    entry: Entry,
    ledger: Ledger,
    workload: Workload,
    population: Population,
    training: dict,
    shown: Watch,
) -> Generator[Order, Report, None]:
    """One of the studies, step by step; its trials are numbered behind those of the studies before it."""
    resolved = entry.study
    batch = _batch(resolved)
    ledger.put(plan_record(resolved.settings, batch, resolved.scheduler, training))
    return study.play(
        resolved.searcher,
        resolved.scheduler,
        workload.space.dims,
        study.Callbacks(
            recall=lambda order: population.recall(study.merged({number: order}, STRIDE)),
            release=lambda trials: population.release(trials + number * STRIDE),
        ),
        ledger,
        resolved.stop,
        seed=entry.seed,
        batch=batch,
        watch=lambda progress: shown(entry.name, entry.seed, progress, population),
    )


def _orders(resolved: ResolvedStudy) -> list[tuple[int, int]]:
    """What a study's scheduler orders; where it takes any number, as many as are asked for at once."""
    batch = _batch(resolved)
    return [(trials or batch, epochs) for trials, epochs in resolved.scheduler.orders]


def _batch(resolved: ResolvedStudy) -> int:
    """Trials that a study asks for at once."""
    return resolved.settings.batch or resolved.searcher.batch or ANY_BATCH


def _cost(resolved: ResolvedStudy) -> tuple[int, float]:
    """Trials that a study is expected to have, and epochs of each."""
    mean = resolved.scheduler.mean_epochs
    if resolved.stop.epochs is not None:
        return max(1, int(resolved.stop.epochs / mean)), mean
    return resolved.stop.trials or EXPECTED_TRIALS, mean
