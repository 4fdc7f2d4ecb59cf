"""Was it luck? `confirm` trains the best trials again on fresh seeds, chooses again, and tests once.

A search overfits to the seeds and to the validation examples that it chose by; papers report the confirmed figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpjax import devices
from hpjax.evaluation import BUILT_IN, Evaluation
from hpjax.population import Population
from hpjax.reopen import open_run
from hpjax.resolve import check
from hpjax.result import Result
from hpjax.schedulers import Order
from hpjax.watching import watching
from hpjax.workload import STRIDE, Workload, report_of

if TYPE_CHECKING:
    import pandas

FRESH = 1_000_003  # added to the study's seed


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """What was confirmed.

    Attributes:
        table: a row per trial, the confirmed best first: searched (its objective in the study), objective (mean over fresh seeds),
            deviation (standard, over them), loss, error and own metrics (means), tied (no worse than the best within noise), parameters, epochs, seconds.
        best: {"trial", "config", "objective", "tied"}: "tied" holds the trials that cannot be told from it.
        test: metrics on the held-out set, of the best trained again on the whole development part; {} without one.
        optimism: how much lower the searched objective of the study's best was than its confirmed one.
    """

    table: pandas.DataFrame
    best: dict
    test: dict[str, float]
    optimism: float


def confirm(
    result: Result | str | Path,
    top: int = 5,
    repeats: int = 5,
    level: float = 0.05,
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> Confirmation:
    """Trains a study's best trials again, on fresh folds, initial weights and minibatches, and chooses among them.

    All trials see the same fresh seeds, so that they are compared in pairs: a trial is tied with the best where the t
    interval of its paired difference holds 0. A trial of population-based training follows its schedule again.

    Args:
        result: of a study, or its run folder.
        top: trials.
        repeats: fresh seeds, at least 2.
        level: of the interval.
        progress: whether a bar is drawn on standard error; where None, if that is a terminal.
        say: shown warnings; standard error where None.

    Returns:
        A Confirmation.

    Raises:
        ValueError: fewer than two repeats, or no trial that reached full fidelity.
    """
    import pandas

    check(top=top, repeats=repeats, say=say)
    say = say or devices.warn
    result = result if isinstance(result, Result) else open_run(result, say=say)
    if repeats < 2:
        raise ValueError(f"confirm needs repeats of at least 2, got {repeats}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    trials = result.ranking[:top]
    if 0 < len(trials) < top:
        say(
            f"hpjax: confirms {len(trials)} trials, not {top}: no more reached epoch {result.fidelity} without diverging"
        )
    if not len(trials):
        raise ValueError(
            "no trial reached full fidelity without diverging; lower learning_rate's range, or add trials"
        )
    seeds = [result.settings.seed + FRESH + i for i in range(repeats)]
    schedules = [result.schedule(int(trial)).stretches for trial in trials]
    points = np.array([point for segments in schedules for _, point in segments])
    workload = Workload(
        result.space,
        result.task,
        points,
        result.evaluation,
        fidelity=result.fidelity,
        seeds=seeds,
        trials=len(trials) * repeats,
        epochs=result.fidelity,
        say=say,
    )
    trained = workload.population(cohorts=range(repeats))
    with watching(progress, workload, studies=repeats):
        values, metrics, seconds = _train_again(trained, schedules, repeats, result.evaluation)
    mean = values.mean(0)
    order = np.argsort(mean, kind="stable")
    best = int(order[0])
    tied = _tied(values, best, level)
    table = pandas.DataFrame(
        {
            "searched": result.table["objective"][trials[order]],
            "objective": mean[order],
            "deviation": np.std(values[:, order], axis=0, ddof=1)
            if np.isfinite(values).all()
            else np.nan,
            **{name: column[order] for name, column in metrics.items()},
            "tied": tied[order],
            "parameters": result.trials.loc[trials[order], "parameters"].to_numpy(),
            "epochs": result.table["epochs"][trials[order]],
            "seconds": seconds[order],
        },
        index=pandas.Index(trials[order], name="trial"),
    )
    trial = int(trials[best])
    chosen = {
        "trial": trial,
        "config": result.config(trial),
        "objective": float(mean[best]),
        "tied": [int(trials[i]) for i in order if tied[i] and i != best],
    }
    test = result.test(result.refit(trial, seed=seeds[0])) if len(result.task.test) else {}
    return Confirmation(table, chosen, test, float(mean[0] - result.table["objective"][trials[0]]))


def _train_again(
    trained: Population, schedules: list, repeats: int, evaluation: Evaluation
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Trains every trial along its schedule under every seed.

    Returns:
        The objective [repeats trials], every metric [trials] as its mean over seeds, and seconds [trials].
    """
    count = len(schedules)
    values, seconds = np.full((repeats, count), np.inf), np.zeros(count)
    own = [name for name, _ in evaluation.metrics]
    metrics = {name: np.full(count, np.inf) for name in (*BUILT_IN, *own)}
    by_seed = lambda column: np.where(np.isfinite(column), column, np.inf).reshape(repeats, -1)
    for step in range(max(map(len, schedules))):
        rows = [i for i, segments in enumerate(schedules) if step < len(segments)]
        number = np.array([s * STRIDE + i for s in range(repeats) for i in rows])
        unit = np.array([schedules[i][step][1] for _ in range(repeats) for i in rows])
        until = np.array([schedules[i][step][0] for _ in range(repeats) for i in rows])
        source = number if step else np.full(len(number), -1)
        order = Order(number, unit, source, until, np.zeros(len(number), np.int64))
        report = report_of(trained.carry_out(order), evaluation)
        values[:, rows] = by_seed(report.objective)
        for name, column in metrics.items():
            column[rows] = by_seed((report.columns | report.metrics)[name]).mean(0)
        assert report.seconds is not None
        seconds[rows] += report.seconds.reshape(repeats, len(rows)).sum(0)
    return values, metrics, seconds


def _tied(values: np.ndarray, best: int, level: float) -> np.ndarray:
    """Which trials [n] cannot be told from the best: the t interval of the paired difference holds 0.

    Args:
        values: [repeats n].
        best: which is the best.
        level: of the interval.
    """
    from scipy import stats

    repeats = len(values)
    with np.errstate(invalid="ignore"):  # of trials that diverged: infinity minus infinity
        gap = values - values[:, [best]]
        sure = (
            stats.t.ppf(1 - level / 2, repeats - 1) * np.std(gap, axis=0, ddof=1) / np.sqrt(repeats)
        )
        alike = np.isfinite(gap).all(0) & (gap.mean(0) <= sure)
    alike[best] = True
    return alike
