"""Search hyperparameters: `tune`. Resolves what was asked for, runs the study, and hands out its Result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpjax import records
from hpjax.assemble import Assembly, rungs_in_words
from hpjax.cluster import Pool, pooled
from hpjax.defaults import LEVELS
from hpjax.messages import warn
from hpjax.population import Population
from hpjax.records import Ledger
from hpjax.resolve import (
    as_evaluation,
    as_scheduler,
    as_settings,
    as_stop,
    check,
    fidelity_of,
    first_rung,
    of_layers,
    refuse_idle_numbers,
    varying,
)
from hpjax.result import Result
from hpjax.schedulers import Scheduler
from hpjax.settings import Stop
from hpjax.space import Space
from hpjax.study import Progress
from hpjax.tasks import Task
from hpjax.watching import Watching, watching

Watch = Callable[[Progress, Population], None]


# arguments of `tune` that say how a study is carried out, not what it is
OF_A_RUN = ("out", "progress", "watch", "executor")


def tune(
    space: Space | Mapping | str | Path | None = None,
    task: Task | str | Path | tuple = "digits",
    *,
    search: Any = "random",
    start: Sequence[Mapping] = (),
    scheduler: Scheduler | str | None = None,
    epochs: int | None = None,
    eta: int | None = None,
    trials: int | None = None,
    seed: int = 0,
    validation: Any = 1,
    objective: str | Sequence[str] = "loss",
    constraints: Mapping[str, str] | None = None,
    stop: Stop | Mapping | None = None,
    out: str | Path | None = None,
    levels: int = LEVELS,
    batch: int | None = None,
    gradients: str = "explicit",
    stream: bool | None = None,
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    model: Any = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | Sequence[str] | None = None,
    executor: Any = None,
    progress: bool | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Searches hyperparameters of networks, multilayer perceptrons or your own, training whole populations of them at once.

    `hpjax tune` on the command line is this function: the same words make the same study.

    Args:
        space: named ranges and constants, or the path of a TOML file of them; names from the catalogue. Where None, learning
            rate, depth, widths, activation and l2.
        task: a Task, its name, a file, or arrays or tables (x, y), or (x, y, weights of the examples).
        search: a name ("random", "grid", "sobol", "bayes", "tpe", "genetic", "nsga2", "differential", "cmaes", or a method with its
            scheduler: "hyperband", "bohb", "dehb", "pbt"), a list of configurations (dicts), or a factory of `dims`.
        start: configurations to look at first.
        scheduler: a name ("asha", "full", "halving", "hyperband", "median", "pbt") or one that was made: `hpjax.halving(...)`; where
            None every network trains for all epochs, or as the named method says.
        epochs: of a network that lives to the end; those of the space where None (20 where it names none).
        eta: halving, asha and hyperband, by name, keep one network in eta; 3 where None.
        trials: how many; None for all of a grid or list, else those of the scheduler's brackets, else 64.
        seed: names all randomness.
        validation: how a configuration is scored: a dict ({"folds": 5, "repeats": 2, "score_every": 10}), or its folds alone. These are a
            number (1 holds out 20 % of the development part, K >= 2 is cross-validation; both stratified by classes, groups whole), a
            splitter of scikit-learn's kind, pairs of rows (train, valid), or the path of a file that is validated on.
        objective: what is minimised, of validation: "loss", "error", one of `metrics`, or another metric by name (made large where
            greater is better). Several, in a list, are minimised together (searches random, sobol, grid, bayes, tpe, genetic, nsga2): the
            first says how well a network does, others may be "parameters" and "seconds" (of the devices; a ledger with these is no two
            times the same). `result.pareto` is what no trial beats.
        constraints: bounds of objectives, metrics or costs, by name: {"parameters": "<= 50_000", "error": "<= 0.1"}. A trial that breaks
            one is INFEASIBLE, and never the best; bounds of "parameters" count at every rung, others once a network is trained to the end.
        stop: further limits: {"epochs": ..., "seconds": ..., "rounds": ...}; the round that is under way is trained to its end.
        out: run folder; nothing is written where None.
        levels: values of a grid per range.
        batch: the most trials asked for at once; where None, what the search learns well from.
        gradients: "explicit" (backprop by hand) or "autodiff".
        stream: whether the task stays in the host's memory, from where the next minibatches are brought to the devices while they train
            on these; where None, if it takes more than half of a device's memory (a quarter of the machine's on CPUs). The
            results are the same up to rounding.
        data, target: folder of stored data, and column to predict, for tasks by name or file.
        kind: of the targets: "classes" or "numbers"; told from them where None.
        columns: what columns of a table are, where that is not to be told from their values: name -> "number", "category", "date", "weight", "group" or "drop".
        model: a function of structural hyperparameters that returns a `hpjax.Model`; the names of the space are then its parameters,
            the Model's own numbers, and the catalogue's hyperparameters of training. Multilayer perceptrons where None.
        loss: your own, in jax.numpy: (outputs [B C], y [B C]) -> each example's loss [B]; outputs are logits of classes (one column
            for two classes), or numbers. As the task or the space says where None.
        metrics: what else stands in tables and curves: names ("accuracy", "balanced_accuracy", "f1", "f1_macro", "roc_auc",
            "log_loss", "rmse", "mse", "mae", "r2", or a scorer of scikit-learn, which the host computes), or your own by name:
            functions, a `Metric`, or scorers.
        executor: who trains the blocks: None for the devices of this process, a number of worker processes to start on this machine, the
            address of a Dask scheduler, a `distributed.Client`, or a `hpjax.Cluster` of one of these; the ledger is the same.
        progress: whether a bar is drawn on standard error; where None, if that is a terminal.
        watch: shown progress after every report.
        say: shown what the task is, and warnings; standard error where None.

    Returns:
        A Result.

    Raises:
        ValueError: anything that can be wrong with the arguments, in one line with the remedy.
        RunError: a run folder that is in use or cannot be written.

    Example:
        >>> from hpjax import Choice, LogUniform
        >>> space = {"hidden": Choice([(8,), (16,)]), "learning_rate": LogUniform(1e-3, 1e-1), "epochs": 5}
        >>> result = tune(space, "iris", trials=4, say=print)
        hpjax: iris: classification, 3 classes: setosa, versicolor, virginica
        >>> sorted(result.best["config"]), len(result.trials)
        (['hidden', 'learning_rate'], 4)
    """
    asked = {name: value for name, value in dict(locals()).items() if name not in OF_A_RUN}
    check(watch=watch)
    assembly = _assembly(**asked)
    if len(assembly.scheduler.brackets) > 1:
        for line in rungs_in_words(assembly.scheduler):
            assembly.say(f"hpjax: {line}")
    with (
        pooled(executor, assembly.say) as pool,
        watching(progress, assembly.workload, pool) as bar,
    ):
        return finish(assembly, Ledger(out, settings=assembly.settings), watch, bar, pool)


def explain(*words: Any, **named: Any) -> str:
    """What `tune` would do with the same arguments: programs, padding, predicted time and memory, rungs. Nothing is trained.

    Args:
        words, named: as for `tune`.

    Raises:
        ValueError: as `tune`.

    Example:
        >>> print(explain({"hidden": (8,)}, "iris", search=[{}], say=lambda text: None).splitlines()[0])
        task      iris: 96 training and 24 validation examples, 1 fold(s) x 1 repeat(s)
    """
    bound = inspect.signature(tune).bind(*words, **named)
    bound.apply_defaults()
    asked = {name: value for name, value in bound.arguments.items() if name not in OF_A_RUN}
    return _assembly(**asked).explain()


def _assembly(
    space: Any,
    task: Any,
    *,
    search: Any,
    start: Sequence[Mapping],
    scheduler: Any,
    epochs: int | None,
    eta: int | None,
    trials: int | None,
    seed: int,
    stop: Any,
    levels: int,
    batch: int | None,
    say: Callable[[str], None] | None,
    **judged: Any,
) -> Assembly:
    """The study that these arguments of `tune` describe; `judged` as for `as_evaluation`."""
    check(
        start=start,
        epochs=epochs,
        eta=eta,
        trials=trials,
        seed=seed,
        stop=stop,
        levels=levels,
        batch=batch,
        say=say,
    )
    say = say or warn
    resolved_space, resolved_task, evaluation = as_evaluation(space, task, **judged)
    refuse_idle_numbers(resolved_space, evaluation.known_family())
    trials = varying(
        resolved_space, search, trials, evaluation.validation.repeats, evaluation.known_family()
    )
    rung = first_rung(search, resolved_space, levels, trials)
    fidelity = epochs or fidelity_of(resolved_space)
    scheduler = as_scheduler(search, scheduler, fidelity, epochs=epochs, trials=rung, eta=eta)
    settings = as_settings(
        resolved_space,
        evaluation.settings,
        search,
        scheduler,
        start=start,
        seed=seed,
        levels=levels,
        batch=batch,
        stop=as_stop(stop or {}, trials),
    )
    assembly = Assembly(settings, resolved_space, resolved_task, evaluation, search, scheduler, say)
    for line in resolved_task.about(evaluation.validation.folds):
        say(f"hpjax: {line}")
    for name in of_layers(resolved_space, evaluation.known_family()):
        values = list(resolved_space.constants[name])
        say(
            f"hpjax: {name} = {values} is one value per layer; to try each of them write Choice({values})"
        )
    return assembly


def finish(
    assembly: Assembly,
    ledger: Ledger,
    watch: Watch | None,
    bar: Watching,
    pool: Pool | None,
    extend_to: int | None = None,
) -> Result:
    """Runs a study to its end, and hands out what it found."""
    try:
        if ledger.folder is not None:
            records.note_environment(ledger.folder, assembly.say)
        population = assembly.run(ledger, bar.around(watch), extend_to, pool, bar.event)
    finally:
        ledger.close()
    return Result.of_ledger(
        ledger, assembly.space, assembly.task, assembly.settings, assembly.evaluation, population
    )
