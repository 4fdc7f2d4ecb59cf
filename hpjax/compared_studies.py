"""How do the studies of a comparison train? As one population, each on the folds of its seed, their orders merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from hpjax import study
from hpjax.assemble import Part, plan_record, sample
from hpjax.defaults import ANY_BATCH, EXPECTED_TRIALS
from hpjax.evaluation import Evaluation
from hpjax.population import Population
from hpjax.records import Ledger
from hpjax.schedulers.base import Order
from hpjax.space import Space
from hpjax.study import Progress
from hpjax.tasks import Task
from hpjax.watching import watching
from hpjax.workload import SAMPLES, STRIDE, Workload, report_of

Watch = Callable[[str, int, Progress, Population], None]


class Entry(NamedTuple):
    """One study of a comparison."""

    name: str
    seed: int
    part: Part

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
    parts = [entry.part for entry in entries]
    costs = [_cost(one) for one in parts]
    known = [one.points[: SAMPLES // 4] for one in parts if one.points is not None]
    points = np.concatenate([sample(space, seeds[0]), *known])
    return Workload(
        space,
        task,
        points,
        evaluation,
        fidelity=parts[0].scheduler.fidelity,
        seeds=seeds,
        trials=max(trials for trials, _ in costs),
        epochs=float(np.mean([epochs for _, epochs in costs])),
        studies=len(entries),
        grad=any(one.searcher.wants_grad for one in parts),
        say=say,
    )


def play_together(
    workload: Workload,
    entries: list[Entry],
    ledgers: list[Ledger],
    progress: bool | None,
    watch: Watch | None,
) -> Population:
    """Drives all studies to their ends, their orders merged: one population trains for them."""
    seeds = list(workload.seeds)
    trained = workload.population(cohorts=[seeds.index(entry.seed) for entry in entries])
    recorded = next((ledger.plan for ledger in ledgers if ledger.plan is not None), None)
    training = workload.settle(trained, recorded)
    bar = watching(progress, workload, studies=len(entries))
    shown = bar.around(watch)
    plays = {}
    for number, (entry, ledger) in enumerate(zip(entries, ledgers)):
        one = entry.part
        batch = one.settings.batch or one.searcher.batch or ANY_BATCH
        ledger.put(plan_record(one.settings, batch, one.scheduler, training))
        fulfil = study.Fulfil(
            recall=lambda order, number=number: trained.recall(
                study.merged({number: order}, STRIDE)
            ),
            release=lambda trials, number=number: trained.release(trials + number * STRIDE),
        )
        plays[number] = study.play(
            one.searcher,
            one.scheduler,
            workload.space.dims,
            fulfil,
            ledger,
            one.stop,
            seed=entry.seed,
            batch=batch,
            watch=lambda progress, entry=entry: shown(entry.name, entry.seed, progress, trained),
        )

    def carry_out(orders: Mapping[int, Order]):
        reports = {}
        for grad in (False, True):
            some = {number: order for number, order in orders.items() if order.grad == grad}
            if some:
                whole = report_of(
                    trained.carry_out(study.merged(some, STRIDE)), workload.evaluation
                )
                reports |= zip(some, study.parted(whole, list(some.values())))
        return reports

    with bar:
        study.together(plays, carry_out)
    return trained


def _cost(part: Part) -> tuple[int, float]:
    """Trials that a study is expected to have, and epochs of each."""
    mean = part.scheduler.mean_epochs
    if part.stop.epochs is not None:
        return max(1, int(part.stop.epochs / mean)), mean
    return part.stop.trials or EXPECTED_TRIALS, mean
