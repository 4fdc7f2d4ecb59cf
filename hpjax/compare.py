"""Which method is better? Many studies at once: methods x seeds, trained as one population, round by round."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from hpjax import records
from hpjax.assemble import ResolvedStudy, resolved_study
from hpjax.cluster import pooled
from hpjax.compared_studies import Entry, Watch, play_together, workload_of
from hpjax.comparison import Comparison
from hpjax.defaults import BUDGET, LEVELS, METHOD_NAMES, SEEDS
from hpjax.evaluation import Evaluation
from hpjax.messages import warn
from hpjax.records import Ledger, RunError
from hpjax.resolve import (
    as_evaluation,
    as_scheduler,
    as_seeds,
    as_settings,
    as_stop,
    check,
    fidelity_of,
    first_rung,
    refuse_idle_numbers,
    varying,
)
from hpjax.result import Result
from hpjax.schedulers import Scheduler, from_settings
from hpjax.search import grid
from hpjax.settings import (
    ComparisonSettings,
    MethodSettings,
    Networks,
    Settings,
    Stop,
    differing,
    fields,
    read_comparison,
    refuse_old_schema,
    settled,
    unchanged,
)
from hpjax.space import Choice, Space
from hpjax.tasks import Task
from hpjax.user_objects import UserObjects, refuse_missing


def compare(
    methods: Mapping[str, Any] | Sequence[str] = METHOD_NAMES,
    space: Space | Mapping | str | Path | None = None,
    task: Task | str | Path | tuple = "digits",
    *,
    seeds: int | Sequence[int] = SEEDS,
    epochs: int | None = None,
    stop: Stop | Mapping | None = None,
    validation: Any = 1,
    objective: str | Sequence[str] = "loss",
    constraints: Mapping[str, str] | None = None,
    levels: int = LEVELS,
    gradients: str = "explicit",
    stream: bool | None = None,
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    model: Any = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | Sequence[str] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    executor: Any = None,
    progress: bool | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] | None = None,
) -> Comparison:
    """Runs methods against each other, at equal cost, on the same seeds; all networks of a round train together.

    A study within a comparison is the study alone: same folds, initial weights, minibatches and proposals for its seed, up to
    rounding.

    Args:
        methods: names, or {name: method}, where a method is a search as `tune` takes it, or a dict of {"search", "scheduler",
            "trials", "batch", "start", "levels"}.
        space, task: as for `tune`.
        seeds: how many, or which.
        epochs: of a network that lives to the end, where no scheduler says; where None, of the schedulers that were made, if all methods have
            one, else of the space, or, where it has none, of those that have one.
        stop: limits of every study; {"epochs": 30 networks at full fidelity} where None. A study ends at the first report
            that reaches them; curves and tables are cut at the limit of epochs.
        validation, objective, constraints, levels, gradients, stream, data, target, kind, columns, model, loss, metrics: as for `tune`.
            With several objectives, methods are ranked by the hypervolume that their fronts cover. A grid without levels of its own takes as
            many as the epochs allow.
        out: folder for the studies' run folders; nothing is written where None.
        resume: go on with the comparison in `out`; give the same arguments again.
        executor: who trains, as for `tune`.
        progress: whether a bar is drawn on standard error; where None, if that is a terminal.
        watch: shown (name, seed, progress, population) after every report.
        say: shown warnings; standard error where None.

    Returns:
        A Comparison.

    Raises:
        ValueError: anything that can be wrong with the arguments, methods of different full fidelity among it.
        RunError: a folder that is in use, cannot be written, or was made by other arguments.

    Example:
        >>> from hpjax import LogUniform
        >>> space = {"hidden": (8,), "learning_rate": LogUniform(1e-3, 1e-1), "epochs": 3}
        >>> found = compare(["random", "sobol"], space, "iris", seeds=2, stop={"trials": 4})
        >>> sorted(found.table.index)
        ['random', 'sobol']
    """
    check(stop=stop, levels=levels, epochs=epochs, watch=watch, say=say)
    say = say or warn
    space, resolved_task, evaluation = as_evaluation(
        space,
        task,
        data=data,
        target=target,
        kind=kind,
        columns=columns,
        model=model,
        loss=loss,
        metrics=metrics,
        objective=objective,
        constraints=constraints,
        validation=validation,
        gradients=gradients,
        stream=stream,
    )
    if resume and out is not None:
        evaluation = _scored_as_before(evaluation, Path(out))
    refuse_idle_numbers(space, evaluation.known_family())
    varying(space, None, None, 1, evaluation.known_family())
    numbers, named = as_seeds(seeds), _named(methods)
    fidelity = _fidelity(named, epochs, space)
    limits = as_stop({"epochs": BUDGET * fidelity} if stop is None else stop)
    rules = Rules(space, evaluation.settings, limits, fidelity, levels)
    entries = [
        Entry(name, seed, _study(name, method, seed, rules))
        for name, method in named.items()
        for seed in numbers
    ]
    fidelity = _common_fidelity(entries)
    for line in resolved_task.about(evaluation.validation.folds):
        say(f"hpjax: {line}")
    folder = Path(out) if out is not None else None
    if folder is not None:
        _begin(folder, _asked(rules, numbers, entries), resume)
    with _ledgers(folder, entries, resume) as ledgers:
        if folder is not None:
            records.note_environment(folder, say)
        workload = workload_of(entries, numbers, space, resolved_task, evaluation, say)
        with pooled(executor, say) as pool:
            population = play_together(workload, entries, ledgers, progress, watch, pool)
    results = [
        Result.of_ledger(ledger, space, resolved_task, entry.study.settings, evaluation, population)
        for entry, ledger in zip(entries, ledgers)
    ]
    found = Comparison(list(named), numbers, results, folder, population)
    bounded = bool(evaluation.settings.constraints)
    kept, remedy = (
        (" and its constraints kept", "other constraints, or ") if bounded else ("", "or ")
    )
    for name, ends in zip(found.names, found.final.T):
        if lacking := int(np.isinf(ends).sum()):
            say(
                f"hpjax: {name}: no network was trained to epoch {fidelity} with a finite loss{kept} on {lacking} of {len(ends)} seeds; give a larger budget (stop=...), {remedy}another scheduler"
            )
    return found


def _scored_as_before(evaluation: Evaluation, folder: Path) -> Evaluation:
    """With as many epochs between scores as the comparison in a folder has, where nobody says how many."""
    if evaluation.validation.score_every is not None:
        return evaluation
    before = read_comparison(folder / "compare.json").networks.validation
    validation = msgspec.structs.replace(evaluation.validation, score_every=before.score_every)
    settings = msgspec.structs.replace(evaluation.settings, validation=validation)
    return evaluation._replace(settings=settings)


def _fidelity(methods: Mapping[str, Any], epochs: int | None, space: Space) -> int:
    """Epochs of a network that lives to the end: of the schedulers that were made, where all methods have one or nothing else says."""
    given = [method.get("scheduler") for method in methods.values() if isinstance(method, Mapping)]
    made = [scheduler.fidelity for scheduler in given if isinstance(scheduler, Scheduler)]
    if epochs is not None and made and set(made) != {epochs}:
        ends = " and ".join(map(str, sorted(set(made))))
        raise ValueError(f"epochs={epochs}, but schedulers end at {ends}; leave epochs out")
    said = epochs is not None or "epochs" in space.ranges or "epochs" in space.constants
    if len(set(made)) == 1 and (len(made) == len(methods) or not said):
        return made[0]
    return epochs or fidelity_of(space)


def _common_fidelity(entries: Sequence[Entry]) -> int:
    """The epoch at which all methods end; refuses different ones."""
    reached = {entry.name: entry.study.scheduler.fidelity for entry in entries}
    if len(set(reached.values())) > 1:
        raise ValueError(
            "the methods differ in full fidelity, which learning-rate schedules run over: "
            + ", ".join(f"{name} {value}" for name, value in reached.items())
            + "; give them schedulers that end at the same epoch"
        )
    return entries[0].study.scheduler.fidelity


def resume_comparison(
    out: str | Path,
    task: Task | tuple | None = None,
    model: Any = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    validation: Any = None,
    executor: Any = None,
    progress: bool | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] | None = None,
) -> Comparison:
    """Goes on with a comparison that was interrupted, from what its folder says.

    Args:
        out: the folder.
        task, model, loss, metrics, validation: again, where they were arrays, functions or splitters.
        executor, progress, watch, say: as for `compare`.

    Raises:
        RunError: no comparison there, or a method whose search is no name; use compare(..., resume=True) for those.
    """
    settings = read_comparison(Path(out) / "compare.json")
    refuse_old_schema(settings, Path(out))
    methods = {}
    for name in settings.methods:
        method = settings.studies.get(name)
        if method is None or method.search is None:
            raise RunError(
                f"the search of {name} is no name; give the methods again: compare(..., out={str(out)!r:.80}, resume=True)"
            )
        methods[name] = msgspec.structs.asdict(method) | {
            "scheduler": from_settings(method.scheduler)
        }
    networks, judged = settings.networks, settings.networks.validation
    refuse_missing(networks, UserObjects(model, loss, metrics, validation), Path(out))
    folds = validation if judged.splitter else judged.file or judged.folds
    source = networks.task if task is None else task
    if source is None:
        raise RunError("the comparison was made on arrays; give them again: task=(x, y)")
    alike = ("data", "target", "kind", "columns", "constraints", "gradients", "stream")
    return compare(
        methods,
        settings.space,
        source,
        seeds=settings.seeds,
        stop=settings.stop,
        out=out,
        resume=True,
        executor=executor,
        progress=progress,
        watch=watch,
        say=say,
        validation=judged.by(folds),
        model=model,
        loss=loss,
        metrics=networks.by_name or None if metrics is None else metrics,
        objective=list(networks.objectives),
        **{name: getattr(networks, name) for name in alike},
    )


def open_comparison(
    out: str | Path,
    task: Task | tuple | None = None,
    model: Any = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Comparison:
    """A comparison's folder, read without training anything.

    Args:
        out: the folder.
        task, model, loss, metrics: again, where they were arrays or functions and networks are wanted.

    Raises:
        RunError: no comparison there.
    """
    from hpjax.resume import open_run

    settings = read_comparison(Path(out) / "compare.json")
    results = [
        open_run(Path(out) / name / f"seed{seed}", task, model=model, loss=loss, metrics=metrics)
        for name in settings.methods
        for seed in settings.seeds
    ]
    return Comparison(settings.methods, settings.seeds, results, Path(out))


class Rules(NamedTuple):
    """What all studies of a comparison share."""

    space: Space
    networks: Networks
    stop: Stop
    fidelity: int  # of methods without a scheduler of their own
    levels: int | dict[str, int]  # of a grid without its own


def _study(name: str, method: Any, seed: int, rules: Rules) -> ResolvedStudy:
    """One study's search, scheduler and limits."""
    space, levels = rules.space, rules.levels
    if not re.fullmatch(r"[\w+()-][\w.+() -]{0,99}", name):
        raise ValueError(
            f"method {name!r:.120} cannot name a folder; use letters, digits, . + - and (), at most 100, not beginning with a dot or a space"
        )
    options = dict(method) if isinstance(method, Mapping) else {"search": method}
    known = MethodSettings.__struct_fields__
    for key in options:
        if key not in known:
            raise ValueError(
                f"method {name!r:.80} has no {key!r:.80}; it may have {', '.join(known)}"
            )
    search, trials = options.get("search", "random"), options.get("trials")
    check(trials=trials, batch=options.get("batch"))
    check(**{key: options[key] for key in ("start", "levels") if key in options})
    stop = as_stop(rules.stop, trials)
    resolved_scheduler = lambda rung: as_scheduler(
        search, options.get("scheduler"), rules.fidelity, trials=rung
    )
    if search == "grid" and "levels" not in options and stop.epochs:
        levels = _levels(space, stop.epochs // resolved_scheduler(trials).fidelity)
    levels = options.get("levels", levels)
    scheduler = resolved_scheduler(first_rung(search, space, levels, trials))
    settings = as_settings(
        space,
        rules.networks,
        search,
        scheduler,
        start=options.get("start", ()),
        seed=seed,
        levels=levels,
        batch=options.get("batch"),
        stop=stop,
        comparison=True,
    )
    return resolved_study(settings, space, search, scheduler)


def _levels(space: Space, most: int) -> dict[str, int]:
    """Levels of each range with which a grid has no more than `most` points: raised in turn, one range after another."""
    levels = {name: 1 for name, entry in space.ranges.items() if not isinstance(entry, Choice)}

    def size() -> int:
        searcher = grid(space.dims, axes=space.axes(levels))
        return len(searcher.ask(searcher.init(()), (), most + 1, 1)[0])

    growing = list(levels)
    while growing:
        for name in tuple(growing):
            before = size()
            levels[name] += 1
            if size() > most or size() == before:
                levels[name] -= 1
                growing.remove(name)
    return levels


@contextlib.contextmanager
def _ledgers(
    folder: Path | None, entries: Sequence[Entry], resume: bool
) -> Generator[list[Ledger], None, None]:
    """A ledger for each study, open until all have come to their ends."""
    with contextlib.ExitStack() as stack:
        ledgers = []
        for entry in entries:
            ledgers.append(_ledger(folder, entry, resume))
            stack.callback(ledgers[-1].close)
        yield ledgers


def _ledger(folder: Path | None, entry: Entry, resume: bool) -> Ledger:
    """Of one study; refuses to go on with one of other settings."""
    if folder is None:
        return Ledger()
    where = folder / entry.folder
    begun = resume and (where / "run.json").exists()
    ledger = Ledger(where, resume=begun, settings=entry.study.settings)
    if ledger.plan is not None:
        unchanged(entry.study.settings, ledger.plan, where / "run.json")
    return ledger


def _method(settings: Settings) -> MethodSettings:
    """What a method is, from one of its studies."""
    return MethodSettings(
        search=settings.search,
        scheduler=settings.scheduler,
        batch=settings.batch,
        start=settings.start,
        levels=settings.levels,
        trials=settings.stop.trials,
    )


def _asked(rules: Rules, seeds: list[int], entries: Sequence[Entry]) -> ComparisonSettings:
    """What compare.json says."""
    return settled(
        ComparisonSettings(
            space=rules.space.to_dict(),
            space_hash=rules.space.hash(),
            networks=rules.networks,
            seeds=seeds,
            stop=rules.stop,
            methods=list(dict.fromkeys(entry.name for entry in entries)),
            studies={entry.name: _method(entry.study.settings) for entry in reversed(entries)},
        )
    )


def _begin(folder: Path, settings: ComparisonSettings, resume: bool) -> None:
    """Writes compare.json before anything else, or requires that it is there."""
    path = folder / "compare.json"
    if resume:
        changed = differing(fields(read_comparison(path)), fields(settings))
        if changed:
            raise RunError(
                f"{path}: {', '.join(changed)} was another when the comparison began; give the same arguments again"
            )
        return
    if path.exists():
        raise RunError(
            f"{folder} holds a comparison already; `hpjax resume {folder}` goes on with it, or choose another --out"
        )
    records.refuse_occupied(folder)
    records.write_json(path, settings)


def _named(methods: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """Methods by name.

    Raises:
        ValueError: none, or one twice.
    """
    if not isinstance(methods, Iterable) or isinstance(methods, (str, bytes, type)):
        raise ValueError(
            f"methods must be a list of names or a dict, got {methods!r:.80}; write [{methods!r:.80}]"
        )
    pairs = (
        list(methods.items())
        if isinstance(methods, Mapping)
        else [(str(name), name) for name in methods]
    )
    if not pairs or len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("compare needs at least one method, and each once")
    return {str(name): method for name, method in pairs}
