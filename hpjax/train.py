"""These configurations, trained as one population: `train` hands out their networks and learning curves."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpjax import catalogue, checks
from hpjax.cluster import pooled
from hpjax.curve_columns import LOSS
from hpjax.defaults import EPOCHS
from hpjax.evaluation import Evaluation
from hpjax.messages import warn
from hpjax.population import empty_results
from hpjax.resolve import as_evaluation, as_seeds, check
from hpjax.schedulers import Order
from hpjax.space import Choice, Range, Space, frozen
from hpjax.tasks import Task
from hpjax.trained import Trained
from hpjax.watching import watching
from hpjax.workload import STRIDE, Workload


def train(
    configs: Mapping | Sequence[Mapping],
    task: Task | str | Path | tuple = "digits",
    epochs: int | Sequence[int] = EPOCHS,
    *,
    horizon: int | None = None,
    model: Any = None,
    seeds: int | Sequence[int] = 1,
    validation: Any = 1,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | Sequence[str] | None = None,
    gradients: str = "explicit",
    stream: bool | None = None,
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    executor: Any = None,
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> Trained:
    """Trains networks of given hyperparameters, all of them as one population.

    Args:
        configs: one configuration or several (dicts); names that one of them leaves out hold their defaults there.
        task: as for `tune`.
        epochs: of every network, or of each.
        horizon: epochs that learning-rate schedules run over; the most that a network trains for where None.
        model: as for `tune`.
        seeds: how many, or which; each has its own folds, initial weights and minibatches, which all configurations share.
        validation: as for `tune`; 0 folds train on all of the development part, without validation.
        loss, metrics, gradients, stream, data, target, kind, columns, executor, progress, say: as for `tune`.

    Returns:
        A Trained.

    Raises:
        ValueError: anything that can be wrong with the arguments, in one line with the remedy.

    Example:
        >>> found = train([{"hidden": (4,)}, {"hidden": (8,), "l2": 0.01}], "iris", epochs=3, seeds=2, say=lambda text: None)
        >>> found.table.shape, found.network(1).spec.hidden
        ((4, 7), (8,))
    """
    check(say=say)
    say = say or warn
    listed = [configs] if isinstance(configs, Mapping) else list(configs)
    if not listed or not all(isinstance(config, Mapping) for config in listed):
        raise ValueError(f"configs must be configurations (dicts), got {configs!r:.80}")
    many = _epochs(epochs, len(listed), horizon)
    names = sorted({name for config in listed for name in config})
    columns_of = {name: [frozen(config.get(name)) for config in listed] for name in names}
    entries = {name: _entry(name, values) for name, values in columns_of.items()}
    entries = entries or {"learning_rate": catalogue.TRACED["learning_rate"].default}
    space, resolved_task, evaluation = as_evaluation(
        entries,
        task,
        data=data,
        target=target,
        kind=kind,
        columns=columns,
        model=model,
        loss=loss,
        metrics=metrics,
        validation=validation,
        gradients=gradients,
        stream=stream,
        fewest=0,
    )
    folds = evaluation.validation.folds
    if folds == 0 and "patience" in entries:
        raise ValueError("patience needs validation; give folds, or drop patience")
    numbers = as_seeds(seeds)
    for line in resolved_task.about(folds):
        say(f"hpjax: {line}")
    unit = np.zeros((len(listed), len(space.names)))
    for at, name in enumerate(space.names):
        unit[:, at] = space.ranges[name].encode(columns_of[name])
    schedules = [[(until, point)] for until, point in zip(many, unit)]
    return train_along(
        space,
        resolved_task,
        evaluation,
        schedules,
        seeds=numbers,
        fidelity=int(horizon or max(many)),
        executor=executor,
        progress=progress,
        say=say,
    )


def train_along(
    space: Space,
    task: Task,
    evaluation: Evaluation,
    schedules: Sequence[Sequence[tuple[int, np.ndarray]]],
    *,
    seeds: Sequence[int],
    fidelity: int,
    executor: Any = None,
    progress: bool | None = False,
    say: Callable[[str], None] = warn,
    local_devices: list | None = None,
) -> Trained:
    """Trains a network along each of n schedules of hyperparameters, for every seed, fold and repeat, as one population.

    Args:
        space: of the points.
        task: data.
        evaluation: of a configuration.
        schedules: n of (until epoch, point [D]), as `Schedule.stretches` has them.
        seeds: S, which.
        fidelity: epochs that learning-rate schedules run over.
        executor, progress, say: as for `tune`.
        local_devices: devices; all of them where None.

    Returns:
        A Trained, with the hyperparameters of the last stretches; its results are those of the last epochs.
    """
    count = len(schedules)
    workload = Workload(
        space,
        task,
        np.array([point for segments in schedules for _, point in segments]),
        evaluation,
        fidelity=fidelity,
        seeds=seeds,
        trials=count * len(seeds),
        epochs=float(np.mean([segments[-1][0] for segments in schedules])),
        orders=_orders(schedules),
        say=say,
        local_devices=local_devices,
    )
    with pooled(executor, say) as pool, watching(progress, workload, pool) as bar:
        population = workload.population(cohorts=range(len(seeds)), pool=pool, listen=bar.event)
        whole = empty_results(count * len(seeds), workload.regime)
        for step in range(max(map(len, schedules))):
            going_on = [i for i, segments in enumerate(schedules) if step < len(segments)]
            rows = np.add.outer(np.arange(len(seeds)) * count, going_on).ravel()
            trial = rows // count * STRIDE + rows % count
            unit = np.tile([schedules[i][step][1] for i in going_on], (len(seeds), 1))
            until = np.tile([schedules[i][step][0] for i in going_on], len(seeds))
            source = trial if step else np.full(len(rows), -1)
            order = Order(trial, unit, source, until, np.zeros_like(trial))
            whole.take(rows, population.carry_out(order))
        population.fetch()
    if evaluation.validation.folds == 0:  # what was scored is a row of the training part
        for column in (whole.loss, whole.error, whole.metrics, whole.curves[..., LOSS:]):
            column[...] = np.nan
    last = np.array([segments[-1][1] for segments in schedules])
    return Trained(seeds, workload, population, whole, last)


def _orders(schedules: Sequence[Sequence[tuple[int, np.ndarray]]]) -> list[tuple[int, int]]:
    """(Schedules that go from one epoch to another together, for how many epochs), as a plan has it."""
    stretches = collections.Counter(
        (begin, until)
        for segments in schedules
        for (until, _), begin in zip(segments, (0, *(until for until, _ in segments)))
    )
    return [(many, until - begin) for (begin, until), many in stretches.items()]


def _epochs(epochs: int | Sequence[int], count: int, horizon: int | None) -> list[int]:
    """The epochs of each of so many networks; refuses what cannot be."""
    each: list[Any] = [epochs] * count if np.ndim(epochs) == 0 else [*epochs]  # type: ignore[not-iterable]
    if len(each) != count:
        raise ValueError(
            f"epochs has {len(each)} numbers for {count} configurations; give one each, or one for all"
        )
    for one in each:
        checks.count("epochs", one)
    if horizon is not None:
        checks.count("horizon", horizon, least=max(each))
    return [int(one) for one in each]


def _entry(name: str, values: list) -> Any:
    """What a space says of values that differ from configuration to configuration, or do not; None holds a default."""
    if any(isinstance(value, Range) for value in values):
        raise ValueError(
            f"{name} is a range, but configurations hold values; to search it use hpjax.tune"
        )
    different = list(dict(zip(map(repr, values), values)).values())
    return different[0] if len(different) == 1 else Choice(tuple(different))
