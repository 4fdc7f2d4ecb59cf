"""Any objective: `minimize` searches functions of a batch of configurations, as `tune` searches networks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpjax import study
from hpjax.assemble import plan_record, resolved_study
from hpjax.cluster import pooled, spread
from hpjax.defaults import ANY_BATCH, HYPERBAND_EPOCHS, LEVELS
from hpjax.messages import warn
from hpjax.outcome import Outcome
from hpjax.records import Ledger
from hpjax.resolve import as_scheduler, as_settings, as_stop, check, takes
from hpjax.schedulers import Scheduler
from hpjax.schedulers.base import Order
from hpjax.settings import Settings, Stop, read_run, unchanged
from hpjax.space import Space
from hpjax.study import Progress, Report

Function = Callable[..., Any]


def minimize(
    objective: Function,
    space: Space | Mapping | str | Path,
    *,
    search: Any = "random",
    start: Sequence[Mapping] = (),
    scheduler: Scheduler | str | None = None,
    trials: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    stop: Stop | Mapping | None = None,
    levels: int = LEVELS,
    out: str | Path | None = None,
    resume: bool = False,
    executor: Any = None,
    watch: Callable[[Progress], None] | None = None,
    gradient: Function | None = None,
    constraints: Function | None = None,
) -> Outcome:
    """Minimises a function of a batch of configurations.

    Args:
        objective: {name: values [P]} -> what is minimised [P], or [P O] of several objectives; inactive values are NaN (numbers) or None,
            and a value that is not finite is a failure. With a scheduler it is also given epochs [P].
        space: named ranges and constants, any names, or the path of a TOML file of them.
        search: a name ("random", "grid", "sobol", "bayes", "tpe", "genetic", "nsga2", "differential", "cmaes", or a method with its
            scheduler: "hyperband", "bohb", "dehb", "pbt"), a list of configurations, or a factory of `dims`.
        start: configurations to look at first.
        scheduler: one that was made, or a name, where the objective has fidelities; a named method without one has 81.
        trials: how many; None for all of a grid or list, else a scheduler's brackets, else 64.
        batch: the most points asked for at once; where None, what the search learns well from.
        seed: names all randomness.
        stop: further limits: {"epochs": ..., "seconds": ..., "rounds": ...}.
        levels: values of a grid per range.
        out: run folder; nothing is written where None.
        resume: go on with the run in `out`; give the same arguments again, or more trials.
        executor: workers over which the configurations of a batch are spread, as for `tune`; this process where None.
        watch: shown progress after every report.
        gradient: {name: values [P]} -> {name: d loss / d value [P]} of the continuous ranges, for searches that want it.
        constraints: {name: values [P]} -> [P], or [P C] of several, each of which must be at most 0; called after the objective, with
            the same arguments. A configuration that breaks one is INFEASIBLE, by the sum of what is above 0.

    Returns:
        An Outcome: `best`, `trials`; `pareto` where there are several objectives.

    Raises:
        ValueError: anything that can be wrong with the arguments, or values of another shape.
        RunError: a run folder that is in use, cannot be written, or was made by other arguments.

    Example:
        >>> from hpjax import Uniform
        >>> found = minimize(lambda point: (point["x"] - 1) ** 2, {"x": Uniform(-5.0, 5.0)}, search="cmaes", trials=120)
        >>> found.best["objective"] < 1e-3
        True
    """
    check(start=start, trials=trials, batch=batch, levels=levels, stop=stop, seed=seed, watch=watch)
    space = space if isinstance(space, Space) else Space.load(space)
    if not space.dims and trials is None and not isinstance(search, (list, tuple)):
        raise ValueError(
            "nothing varies in the space; give ranges, such as Uniform(0, 1), or say by trials=... how often the function is called"
        )
    scheduled = scheduler is not None
    scheduler = as_scheduler(search, scheduler, HYPERBAND_EPOCHS, trials=trials)
    fidelities = scheduled or scheduler.name != "full"
    _refuse_no_function("objective", objective, fidelities)
    if constraints is not None:
        _refuse_no_function("constraints", constraints, fidelities)
    settings = as_settings(
        space,
        None,
        search,
        scheduler,
        start=start,
        seed=seed,
        levels=levels,
        batch=batch,
        stop=as_stop(stop or {}, trials),
        fidelities=fidelities,
    )
    resolved = resolved_study(settings, space, search, scheduler)
    width = batch or resolved.searcher.batch or ANY_BATCH
    ledger = Ledger(out, resume=resume, settings=settings)
    try:
        before = _recorded_trials(ledger, settings) if resume else settings.stop.trials
        extend_to = None
        if before != settings.stop.trials:
            extend_to, settings = _raised(before, trials), settings.extended(before)
            resolved = resolved_study(settings, space, search, scheduler)

        def extended(trials: int) -> None:
            nonlocal settings
            settings = settings.extended(trials)
            ledger.put_settings(settings)

        ledger.put(plan_record(settings, width, scheduler, {}))
        with pooled(executor, warn) as pool:
            if pool is not None:
                objective = spread(objective, pool)
                constraints = constraints and spread(constraints, pool)
            carry_out = functools.partial(
                evaluate, objective, constraints, space, fidelities, gradient
            )
            study.run(
                resolved.searcher,
                scheduler,
                space.dims,
                study.Callbacks(carry_out, extended=extended),
                ledger,
                resolved.stop,
                seed=seed,
                batch=width,
                extend_to=extend_to,
                watch=watch or (lambda progress: None),
            )
    finally:
        ledger.close()
    return Outcome(ledger.records, space, settings, ledger.folder, ledger.times)


def _refuse_no_function(name: str, value: Any, fidelities: bool) -> None:
    """Refuses what is no function of configurations, or of these and of epochs."""
    given = "(configurations, epochs)" if fidelities else "(configurations)"
    if not takes(value, *((None,) * (1 + fidelities))):
        raise ValueError(f"{name} must be a function of {given}, got {value!r:.80}")


def _recorded_trials(ledger: Ledger, settings: Settings) -> int | None:
    """The limit of trials that a run was begun with, after making sure that the rest of its settings are these."""
    if ledger.plan is None or ledger.folder is None:
        return settings.stop.trials
    path = ledger.folder / "run.json"
    unchanged(settings, ledger.plan, path)
    return read_run(path).stop.trials


def _raised(before: int | None, trials: int | None) -> int:
    """The trials that a run goes on to have; refuses fewer than it was asked for."""
    if before is None or trials is None or trials < before:
        raise ValueError(
            f"the run was asked for {before} trials, now it is {trials}; give as many, or more"
        )
    return trials


def evaluate(
    objective: Function,
    constraints: Function | None,
    space: Space,
    fidelities: bool,
    gradient: Function | None,
    order: Order,
) -> Report:
    """An order, carried out by an objective."""
    decoded = space.decode(order.unit)
    columns = {name: _numbers(values) for name, values in decoded.items()}
    given = (columns, order.epochs) if fidelities else (columns,)
    count = len(order.trial)
    value = _real("the objective", objective(*given), count)
    if not order.grad:
        if constraints is None:
            return Report(value)
        beyond = _real("constraints", constraints(*given), count).reshape(count, -1)
        # a bound of which nothing is known does not hold
        beyond = np.where(np.isnan(beyond), np.inf, np.maximum(beyond, 0))
        return Report(value, {"violation": beyond.sum(1)})
    if constraints is not None:
        raise ValueError(
            "a search that follows gradients keeps no constraints; drop them, or use another search"
        )
    if gradient is None:
        raise ValueError("this search wants gradients; give minimize(..., gradient=...)")
    gradients = gradient(*given)
    slopes = space.slopes(order.unit)
    for i, name in enumerate(space.names):
        if name in gradients:
            slopes[:, i] *= np.asarray(gradients[name], np.float64)
        elif slopes[:, i].any():
            raise ValueError(
                f"the gradient has no {name!r}; give d loss / d {name} for every point"
            )
    return Report(value, grad=slopes)


def _real(name: str, returned: Any, count: int) -> np.ndarray:
    """What a function returned for so many configurations as numbers [P], or [P O]."""
    try:
        value = np.asarray(returned)
        if value.dtype.kind == "c":
            raise TypeError
        value = value.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must return real numbers [P], got {returned!r:.80}") from None
    if value.shape[:1] != (count,) or value.ndim > 2 or 0 in value.shape[1:]:
        raise ValueError(
            f"{name} must return one value, or a row of values, for each of the {count} configurations of a batch, got shape {value.shape}"
        )
    return value


def _numbers(values: np.ndarray) -> np.ndarray:
    """A column of Python numbers as numbers; others as they are."""
    kinds = {type(value) for value in values.tolist()}
    return values.astype(float) if kinds <= {int, float} and values.dtype == object else values
