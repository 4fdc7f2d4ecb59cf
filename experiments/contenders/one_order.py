"""hpjax as a running study uses it: one order after another, of a population that is there."""

from __future__ import annotations

import numpy as np

from experiments.contenders.ours import asked, quiet
from experiments.contenders.sweep import About, Run, Sweep


def order_worker(sweep: Sweep) -> tuple[Run, About]:
    """The sweep as a study gives it to a population that is there: an order of fresh trials, whose networks are then released into a
    library, as finished ones are; without the search, the scheduler and the ledger.
    """
    import hpjax
    from hpjax.population import Library
    from hpjax.schedulers.base import Order

    configs, task = asked(sweep)
    trained = hpjax.train(configs, task, sweep.epochs, **quiet)
    count, trial = sweep.networks, np.arange(sweep.networks)
    until, fresh, seed = np.full(count, sweep.epochs), np.full(count, -1), np.zeros(count, np.int64)

    def run() -> float:
        nonlocal trial
        trial = trial + count
        trained.population.library = Library()
        results = trained.population.carry_out(Order(trial, trained.unit, fresh, until, seed))
        trained.population.release(trial)
        return float(np.median(results.loss))

    return run, dict
