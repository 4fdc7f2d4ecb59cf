"""Was it luck? `confirm` trains the best trials again on fresh seeds, chooses again, and tests once.

A search overfits to the seeds and to the validation examples that it chose by; papers report the confirmed figure.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax.defaults import CONFIRMED, FRESH_SEEDS
from hpjax.evaluation import BUILT_IN
from hpjax.messages import warn
from hpjax.resolve import check
from hpjax.result import Result
from hpjax.resume import open_run
from hpjax.train import train_along
from hpjax.trained import Trained
from hpjax.workload import report_of

if TYPE_CHECKING:
    import pandas

FRESH = 1_000_003  # added to the study's seed


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """What was confirmed.

    Attributes:
        table: a row per trial, the confirmed best first: searched (its objective in the study), objective (mean over fresh seeds),
            deviation (standard, over them), loss, error and own metrics (means), violation (of constraints; trials that break one are last), tied (no worse than the best within noise), parameters, epochs, seconds.
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
    top: int = CONFIRMED,
    repeats: int = FRESH_SEEDS,
    level: float = 0.05,
    executor: Any = None,
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> Confirmation:
    """Trains a study's best trials again, on fresh folds, initial weights and minibatches, and chooses among them.

    All trials see the same fresh seeds, so that they are compared in pairs: a trial is tied with the best where the t
    interval of its paired difference holds 0. A trial of population-based training follows its schedule again.

    Args:
        result: of a study, or its run folder.
        top: trials; of several objectives those of the front first, so that `top=len(result.pareto)` confirms it, by the first objective.
        repeats: fresh seeds, at least 2.
        level: of the interval.
        executor: who trains, as for `tune`.
        progress: whether a bar is drawn on standard error; where None, if that is a terminal.
        say: shown warnings; standard error where None.

    Returns:
        A Confirmation.

    Raises:
        ValueError: fewer than two repeats, or no trial that reached full fidelity.
    """
    check(top=top, repeats=repeats, say=say)
    say = say or warn
    result = result if isinstance(result, Result) else open_run(result, say=say)
    if repeats < 2:
        raise ValueError(f"confirm needs repeats of at least 2, got {repeats}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    trials = _finished(result, top, say)
    seeds = [result.settings.seed + FRESH + i for i in range(repeats)]
    schedules = [result.schedule(int(trial)).stretches for trial in trials]
    trained = train_along(
        result.space,
        result.task,
        result.evaluation,
        schedules,
        seeds=seeds,
        fidelity=result.fidelity,
        executor=executor,
        progress=progress,
        say=say,
    )
    table, optimism = _table(result, trials, trained, repeats, level)
    trial = int(table.index[0])
    chosen = {
        "trial": trial,
        "config": result.config(trial),
        "objective": float(table["objective"].iloc[0]),
        "tied": [int(other) for other in table.index[table["tied"]] if other != trial],
    }
    test = result.test(result.refit(trial, seed=seeds[0])) if len(result.task.test) else {}
    return Confirmation(table, chosen, test, optimism)


def _table(
    result: Result, trials: np.ndarray, trained: Trained, repeats: int, level: float
) -> tuple[pandas.DataFrame, float]:
    """What the trials [n] became on fresh seeds, the best first, and by how much the study's best had been flattered."""
    import pandas

    count = len(trained.results.loss)
    report = report_of(trained.results, result.evaluation, np.ones(count, bool))
    by_seed = lambda column: column.reshape(repeats, -1)
    first = report.objective.reshape(len(report.objective), -1)[:, 0]
    values = by_seed(np.where(np.isfinite(first), first, np.inf))
    names = (*BUILT_IN, *(name for name, _ in result.evaluation.metrics))
    metrics = {n: by_seed((report.columns | report.metrics)[n]).mean(0) for n in names}
    mean, searched = values.mean(0), result.table["objective"][trials]
    broken = report.columns.get("violation")
    violation = {} if broken is None else {"violation": by_seed(broken).mean(0)}
    allowed = violation.get("violation", np.zeros(len(trials))) <= 0
    order = np.lexsort((mean, ~allowed))
    with np.errstate(invalid="ignore"):  # of trials that diverged: NaN
        deviation = np.std(values, axis=0, ddof=1)
    columns = {
        "searched": searched,
        "objective": mean,
        "deviation": deviation,
        **metrics,
        **violation,
        "tied": _tied(values, int(order[0]), level) & (allowed == allowed[order[0]]),
        "parameters": result.trials.loc[trials, "parameters"].to_numpy(),
        "epochs": result.table["epochs"][trials],
        "seconds": by_seed(trained.results.seconds).sum(0),
    }
    index = pandas.Index(trials[order], name="trial")
    table = pandas.DataFrame({n: column[order] for n, column in columns.items()}, index=index)
    return table, float(mean[0] - searched[0])


def _finished(result: Result, top: int, say: Callable[[str], None]) -> np.ndarray:
    """The best trials [n] that reached full fidelity, as many as there are; refuses none."""
    trials = result.ranking[:top]
    if 0 < len(trials) < top:
        say(
            f"hpjax: confirms {len(trials)} trials, not {top}: no more reached epoch {result.fidelity} without diverging"
        )
    if not len(trials):
        raise ValueError(result.why_none)
    return trials


def _tied(values: np.ndarray, best: int, level: float) -> np.ndarray:
    """Which trials [n] are not worse than the best with that certainty: the t interval of the paired difference does not lie above 0.

    Args:
        values: [repeats n].
        best: which is the best; where there are constraints, another that breaks them may be lower.
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
