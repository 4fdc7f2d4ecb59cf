"""What a user calls: `tune`, `resume`, `open_run`.

This file is long because of the docstrings and the refusals of `tune`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpjax import devices, records
from hpjax.assemble import Assembly, as_scheduler, as_space, as_task, check, fidelity_of, table
from hpjax.population import Population
from hpjax.records import Ledger, RunError
from hpjax.result import Result
from hpjax.schedulers import Scheduler, from_settings
from hpjax.space import Space
from hpjax.study import Progress, Stop
from hpjax.tasks import Task


def tune(
    space: Space | Mapping | str | Path,
    task: Task | str | Path | tuple = "digits",
    *,
    search: Any = "random",
    start: Sequence[Mapping] = (),
    scheduler: Scheduler | None = None,
    trials: int | None = None,
    seed: int = 0,
    folds: int = 1,
    repeats: int = 1,
    minimize: str = "loss",
    stop: Mapping | None = None,
    out: str | Path | None = None,
    explain: bool = False,
    levels: int = 5,
    batch: int | None = None,
    score_every: int = 1,
    gradients: str = "explicit",
    data: str | Path | None = None,
    target: str | None = None,
    watch: Callable[[Progress, Population], None] = lambda progress, trained: None,
    say: Callable[[str], None] | None = None,
) -> Result | None:
    """Searches hyperparameters of multilayer perceptrons, training whole populations of them at once.

    Args:
        space: named ranges and constants, or the path of a TOML file of them; names from the catalogue.
        task: a Task, its name, a file, or (x, y) arrays.
        search: a name ("random", "grid", "sobol", "bayes", "tpe", "genetic", "differential", "cmaes", or a method with its
            scheduler: "hyperband", "bohb", "dehb", "pbt"), a list of configurations (dicts), or a factory of `dims`.
        start: configurations to look at first.
        scheduler: `full`, `halving`, `hyperband`, `median`, `pbt` or `replay`; where None every network trains for `epochs` of
            the space, or as the named method says.
        trials: how many; None for all of a grid or list, else those of the scheduler's brackets, else 64.
        seed: names all randomness.
        folds: 1 holds out 20 % of the development part; K >= 2 is (stratified) K-fold cross-validation.
        repeats: networks per trial and fold, with fresh initial weights and minibatches.
        minimize: "loss" or "error" of validation.
        stop: further limits: {"epochs": ..., "seconds": ..., "rounds": ...}.
        out: run folder; nothing is written where None.
        explain: print the plan (programs, padding, predicted time and memory, rungs) and return None, without training.
        levels: values of a grid per range.
        batch: the most trials asked for at once; where None, what the search learns well from.
        score_every: epochs between scores.
        gradients: "explicit" (backprop by hand) or "autodiff".
        data, target: folder of stored data, and column to predict, for tasks by name or file.
        watch: shown progress after every report.
        say: shown warnings; standard error where None.

    Returns:
        A Result; None after `explain`.

    Raises:
        ValueError: anything that can be wrong with the arguments, in one line with the remedy.
        RunError: a run folder that is in use or cannot be written.

    Example:
        >>> from hpjax import Choice, LogUniform
        >>> space = {"hidden": Choice([(8,), (16,)]), "learning_rate": LogUniform(1e-3, 1e-1), "epochs": 5}
        >>> result = tune(space, "iris", trials=4)
        >>> sorted(result.best["config"]), len(result.trials)
        (['hidden', 'learning_rate'], 4)
    """
    say = say or devices.warn
    space = as_space(space)
    found = as_task(task, data, target)
    check(
        folds=folds, repeats=repeats, score_every=score_every, levels=levels, trials=trials, batch=batch,
        minimize=minimize, gradients=gradients, stop=stop,
    )  # fmt: skip
    limits = dict(stop or {})
    scheduler = as_scheduler(search, scheduler, fidelity_of(space))
    settings = {
        "schema": records.SCHEMA, "space": space.to_dict(), "space_hash": space.hash(),
        "task": str(task) if isinstance(task, (str, Path)) else None, "data": None if data is None else str(data),
        "target": target, "search": search if isinstance(search, (str, list, tuple)) else None,
        "start": [dict(config) for config in start], "scheduler": scheduler.settings, "seed": seed, "folds": folds, "repeats": repeats, "minimize": minimize,
        "levels": levels, "batch": batch, "score_every": score_every, "gradients": gradients,
        "stop": dict.fromkeys(Stop._fields) | limits | ({} if trials is None else {"trials": trials}),
    }  # fmt: skip
    made = Assembly(settings, space, found, search, scheduler, say)
    if explain:
        print(made.explain())
        return None
    if len(scheduler.brackets) > 1:
        for line in table(scheduler):
            say(f"hpjax: {line}")
    ledger = Ledger(out)
    if ledger.folder is not None:
        records.write_json(ledger.folder / "run.json", settings)
    return _finish(made, ledger, watch)


def resume(
    out: str | Path,
    *,
    task: Task | tuple | None = None,
    search: Any = None,
    scheduler: Scheduler | None = None,
    watch: Callable[[Progress, Population], None] = lambda progress, trained: None,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Goes on with a run that was interrupted; its ledger ends as if it had not been.

    Args:
        out: the run folder.
        task, search, scheduler: again, where they were objects rather than names.
        watch, say: as for `tune`.

    Raises:
        RunError: no run there, another process at work on it, or a replay that does not come out the same.
    """
    say = say or devices.warn
    made = load_assembly(out, task=task, search=search, scheduler=scheduler, say=say)
    ledger = Ledger(out, resume=True)
    for note in ledger.notes:
        say(f"hpjax: {note}")
    return _finish(made, ledger, watch)


def open_run(out: str | Path, task: Task | tuple | None = None) -> Result:
    """A run folder as a Result, without training anything.

    Raises:
        RunError: no run there.
    """
    settings = records.read_json(Path(out) / "run.json")
    space, found = _parts(settings, task)
    kept, _ = records.read_lines(Path(out) / "ledger.jsonl")
    return Result(
        kept, functools.partial(records.load_curves, Path(out)), space, found, settings, Path(out)
    )


def load_assembly(out: str | Path, *, task=None, search=None, scheduler=None, say=None) -> Assembly:
    """The study that a run folder's run.json describes."""
    settings = records.read_json(Path(out) / "run.json")
    space, found = _parts(settings, task)
    if settings.get("comparison"):
        raise RunError(f"{out} is part of a comparison; go on with that: compare(..., resume=True)")
    search = settings["search"] if search is None else search
    if search is None:
        raise RunError(
            f"{out} was made with a search that is no name; give it again: resume(out, search=...)"
        )
    if scheduler is None:
        scheduler = from_settings(settings["scheduler"])
    return Assembly(settings, space, found, search, scheduler, say or devices.warn)


def _parts(settings: dict, task: Task | tuple | None) -> tuple[Space, Task]:
    if settings["schema"] != records.SCHEMA:
        raise RunError(
            f"the run has schema {settings['schema']}, this version reads {records.SCHEMA}; use the version that made it"
        )
    if task is None and settings["task"] is None:
        raise RunError("the run was made on arrays; give them again: task=(x, y)")
    source = settings["task"] if task is None else task
    return as_space(settings["space"]), as_task(source, settings["data"], settings["target"])


def _finish(made: Assembly, ledger: Ledger, watch) -> Result:
    try:
        if ledger.folder is not None:
            path = ledger.folder / "environment.json"
            before = records.read_json(path) if path.exists() else []
            records.write_json(path, [*before, records.environment()])
        trained = made.run(ledger, watch)
    finally:
        ledger.close()
    return Result(
        ledger.records,
        ledger.get_curves,
        made.space,
        made.task,
        made.settings,
        ledger.folder,
        trained,
        ledger.times,
    )
