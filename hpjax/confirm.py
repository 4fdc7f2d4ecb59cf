"""Was it luck? `confirm` trains the best trials again on fresh seeds, chooses again, and tests once.

A search overfits to the seeds and to the validation examples that it chose by; papers report the confirmed figure.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from hpjax.result import Result
from hpjax.schedulers import Order
from hpjax.training import STRIDE, Training, report_of

if TYPE_CHECKING:
    import pandas

FRESH = 1_000_003  # added to the study's seed


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """What was confirmed.

    Attributes:
        table: a row per trial, the confirmed best first: searched (its loss in the study), loss (mean over fresh seeds),
            deviation (standard, over them), tied (no worse than the best within noise), parameters, epochs, seconds.
        best: {"trial", "config", "loss", "tied"}: "tied" holds the trials that cannot be told from it.
        test: metrics on the held-out set, of the best trained again on the whole development part; {} without one.
        optimism: how much lower the searched loss of the study's best was than its confirmed one.
    """

    table: pandas.DataFrame
    best: dict
    test: dict[str, float]
    optimism: float


def confirm(result: Result, top: int = 5, repeats: int = 5, level: float = 0.05) -> Confirmation:
    """Trains a study's best trials again, on fresh folds, initial weights and minibatches, and chooses among them.

    All trials see the same fresh seeds, so that they are compared in pairs: a trial is tied with the best where the t
    interval of its paired difference holds 0. A trial of population-based training follows its schedule again.

    Args:
        result: of a study.
        top: trials.
        repeats: fresh seeds, at least 2.
        level: of the interval.

    Returns:
        A Confirmation.

    Raises:
        ValueError: fewer than two repeats, or no trial that reached full fidelity.
    """
    import pandas
    from scipy import stats

    if repeats < 2 or top < 1:
        raise ValueError(f"confirm needs repeats >= 2 and top >= 1, got {repeats} and {top}")
    trials = result.ranking[:top]
    if not len(trials):
        raise ValueError(
            "no trial reached full fidelity without diverging; lower learning_rate's range, or add trials"
        )
    settings = result.settings
    seeds = [settings["seed"] + FRESH + i for i in range(repeats)]
    schedules = [result.schedule(int(trial)).stretches for trial in trials]
    points = np.array([point for segments in schedules for _, point in segments])
    training = Training(
        result.space, result.task, points, fidelity=result.fidelity, seeds=seeds, folds=settings["folds"],
        repeats=settings["repeats"], score_every=settings["score_every"], gradients=settings["gradients"],
        trials=len(trials) * repeats, epochs=result.fidelity, say=lambda text: None,
    )  # fmt: skip
    trained = training.population(cohorts=range(repeats))
    losses, seconds = np.full((repeats, len(trials)), np.inf), np.zeros(len(trials))
    for step in range(max(map(len, schedules))):
        rows = [i for i, segments in enumerate(schedules) if step < len(segments)]
        number = np.array([s * STRIDE + i for s in range(repeats) for i in rows])
        unit = np.array([schedules[i][step][1] for _ in range(repeats) for i in rows])
        until = np.array([schedules[i][step][0] for _ in range(repeats) for i in rows])
        source = number if step else np.full(len(number), -1)
        order = Order(number, unit, source, until, np.zeros(len(number), np.int64))
        report = report_of(trained.carry_out(order), settings["minimize"])
        losses[:, rows] = np.where(np.isfinite(report.loss), report.loss, np.inf).reshape(repeats, len(rows))  # fmt: skip
        assert report.seconds is not None
        seconds[rows] += report.seconds.reshape(repeats, len(rows)).sum(0)
    mean = losses.mean(0)
    order = np.argsort(mean, kind="stable")
    best = int(order[0])
    tied = []
    for i in order:
        gap = losses[:, i] - losses[:, best]
        sure = stats.t.ppf(1 - level / 2, repeats - 1) * np.std(gap, ddof=1) / np.sqrt(repeats)
        tied.append(bool(i == best or (np.isfinite(gap).all() and gap.mean() <= sure)))
    table = pandas.DataFrame(
        {
            "searched": result.table["told"][trials[order]], "loss": mean[order],
            "deviation": np.std(losses[:, order], axis=0, ddof=1) if np.isfinite(losses).all() else np.nan,
            "tied": tied, "parameters": result.trials.loc[trials[order], "parameters"].to_numpy(),
            "epochs": result.table["epochs"][trials[order]], "seconds": seconds[order],
        },
        index=pandas.Index(trials[order], name="trial"),
    )  # fmt: skip
    trial = int(trials[best])
    chosen = {
        "trial": trial,
        "config": result.config(trial),
        "loss": float(mean[best]),
        "tied": [int(trials[i]) for i, alike in zip(order, tied) if alike and i != best],
    }
    test = result.test(result.refit(trial, seed=seeds[0])) if len(result.task.test) else {}
    return Confirmation(table, chosen, test, float(mean[0] - result.table["told"][trials[0]]))
