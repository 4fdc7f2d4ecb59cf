"""A run folder, opened again: `open_run` reads it, `resume` goes on with it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpjax import devices, records, workload
from hpjax.assemble import Assembly
from hpjax.evaluation import Evaluation
from hpjax.models import MLP, Family
from hpjax.models.base import Target
from hpjax.records import Ledger, RunError
from hpjax.resolve import (
    as_family,
    as_space,
    as_task,
    check,
    truth_of,
)
from hpjax.result import Result
from hpjax.schedulers import Scheduler, from_settings
from hpjax.settings import (
    SCHEMA,
    Networks,
    Settings,
    read_run,
    unchanged,
)
from hpjax.space import Space
from hpjax.tasks import Task, TaskError, splitter_name, validated_on
from hpjax.training.losses import own_name
from hpjax.training.scorers import Truth, as_metrics, by_name, is_scorer
from hpjax.tune import Watch, finish
from hpjax.watching import watching


def resume(
    out: str | Path,
    *,
    trials: int | None = None,
    task: Task | tuple | None = None,
    search: Any = None,
    scheduler: Scheduler | None = None,
    model: Any = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    validation: Any = None,
    progress: bool | None = None,
    watch: Watch | None = None,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Goes on with a run that was interrupted; its ledger ends as if it had not been. A finished run is only read.

    Args:
        out: the run folder.
        trials: goes on until there are so many, more than the run was asked for. The ledger is then that of a study asked for as
            many at once, unless the old limit cut a round or a bracket short (which is said), or the plan would be another.
        task, search, scheduler, model, loss, metrics, validation: again, where they were objects rather than names or numbers.
        progress, watch, say: as for `tune`.

    Raises:
        RunError: no run there, one of another schema, another process at work on it, or a replay that does not come out the same.
        ValueError: trials that the run has already.
    """
    check(trials=trials, watch=watch, say=say)
    out, say = Path(out), say or devices.warn
    settings = read_run(out / "run.json")
    _current(settings, out)
    ledger = Ledger(out, resume=True)
    try:
        if ledger.plan is not None:
            unchanged(settings, ledger.plan, out / "run.json")
        for note in ledger.notes:
            say(f"hpjax: {note}")
        if trials is None and ledger.ended:
            ledger.close()
            return open_run(out, task, say, model, loss, metrics, validation)
        own = Own(model, loss, metrics, validation)
        assembly = _assembly(settings, out, task, own, search, scheduler, say)
        if trials is not None:
            _room(ledger, assembly, trials)
    except BaseException:
        ledger.close()
        raise

    def left() -> float:
        spent, _, _ = records.incumbent(ledger.records, assembly.scheduler.fidelity)
        return assembly.workload.left(
            trials or assembly.workload.load.trials, float(spent.max(initial=0))
        )

    with watching(progress, assembly.workload, work=left) as bar:
        return finish(assembly, ledger, watch, bar, trials)


def open_run(
    out: str | Path,
    task: Task | tuple | None = None,
    say: Callable[[str], None] | None = None,
    model: Any = None,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    validation: Any = None,
) -> Result:
    """A run folder as a Result, without training anything.

    Args:
        out: the run folder; of schema 2, too.
        task: again, where the run was made on arrays and their networks are wanted.
        say: shown what is missing or damaged; standard error where None.
        model, loss, metrics, validation: again, where they were your own and networks are wanted.

    Raises:
        RunError: no run there, or files that are not what was written.
    """
    out, say = Path(out), say or devices.warn
    folder = records.open_folder(out)
    for note in folder.notes:
        say(f"hpjax: {note}")
    settings = folder.settings
    if settings.networks is None:
        raise RunError(
            f"{out} is a run of hpjax.minimize; read it by minimize(..., out={str(out)!r}, resume=True)"
        )
    networks, plan = settings.networks, folder.records[0] if folder.records else {}
    own = Own(model, loss, metrics, validation)

    def loaded() -> Task:
        resolved_task = _task(networks, task, own)
        folds_known = networks.validation.splitter is None or validation is not None
        if "data" in plan and not settings.comparison and folds_known:
            now = workload.data_of(resolved_task, networks.validation.folds, settings.seed)
            if now != plan["data"]:
                raise RunError(
                    f"{resolved_task.name} is not the data that {out} was made on; give those: task=..., or put the file back"
                )
        return resolved_task

    known = Target(**plan["target"]) if "target" in plan else None
    sizes = lambda: known or loaded()
    evaluation = _evaluation(settings, own, sizes, loaded, out, all_of_it=False)
    space = _space(settings, out, evaluation.family)
    if task is not None:
        resolved_task = loaded()
        return Result(
            folder.records, folder.curves, space, lambda: resolved_task, settings, evaluation, out
        )
    return Result(folder.records, folder.curves, space, loaded, settings, evaluation, out)


class Own(NamedTuple):
    """Objects of the user's that a run folder knows by name only."""

    model: Any = None
    loss: Any = None
    metrics: Mapping[str, Any] | None = None
    validation: Any = None


def _assembly(
    settings: Settings,
    out: Path,
    task: Task | tuple | None,
    own: Own,
    search: Any,
    scheduler: Scheduler | None,
    say: Callable[[str], None],
) -> Assembly:
    """The study that a run folder's run.json describes."""
    assert settings.networks is not None
    resolved_task = _task(settings.networks, task, own)
    evaluation = _evaluation(settings, own, lambda: resolved_task, lambda: resolved_task, out)
    space = _space(settings, out, evaluation.family)
    search = settings.search if search is None else search
    if search is None:
        raise RunError(
            f"{out} was made with a search that is no name; give it again: resume(out, search=...)"
        )
    if scheduler is None:
        scheduler = from_settings(settings.scheduler)
    return Assembly(settings, space, resolved_task, evaluation, search, scheduler, say)


def _current(settings: Settings, out: Path) -> None:
    if settings.schema != SCHEMA:
        raise RunError(
            f"{out} has schema {settings.schema}, which this version can show but not go on with; use the version of hpjax that made it"
        )
    if settings.comparison:
        raise RunError(
            f"{out} is part of a comparison; go on with that: hpjax.resume_comparison({str(out.parent.parent)!r:.80})"
        )
    if settings.networks is None:
        raise RunError(
            f"{out} is a run of hpjax.minimize; go on with that: minimize(..., out={str(out)!r:.80}, resume=True)"
        )


def _evaluation(
    settings: Settings,
    own: Own,
    sizes: Callable[[], Task | Target],
    task: Callable[[], Task],
    out: Path,
    all_of_it: bool = True,
) -> Evaluation:
    """How a run judges configurations; refuses other objects than it was made with.

    Args:
        settings: of the run.
        own: the objects that its settings name, as far as they are given again.
        sizes: tells inputs, outputs and loss of the task.
        task: the task itself.
        out: the run folder.
        all_of_it: whether all of them are needed.

    Raises:
        RunError: an object that is missing, or is not the one that is named.
    """
    networks = settings.networks
    assert networks is not None
    what = {
        "model": "multilayer perceptrons",
        "loss": "the loss of its task or space",
        "metrics": "no metrics of its own",
        "validation": "folds that were drawn",
    }
    missing = []
    for name, known in networks.objects().items():
        given = getattr(own, name)
        if known is None and given is not None:
            raise RunError(f"{out} has {what[name]}; leave {name} out")
        if known is not None and given is None:
            missing.append(name)
            if all_of_it:
                raise RunError(
                    f"{out} was made with {name} {_named(known)}; give that again: {name}=..."
                )
    family: Family | None = None
    if "model" not in missing:
        plain = own.model is None and own.loss is None
        family = MLP if plain else as_family(own.model, settings.space, sizes(), own.loss)
        if networks.model is not None and family.name != networks.model:
            raise RunError(
                f"{out} searched networks of {networks.model}, not of {family.name}; give model={networks.model}"
            )
    if own.loss is not None and own_name(own.loss) != networks.loss:
        raise RunError(f"{out} was made with loss {networks.loss}, not {own_name(own.loss)}")
    truth = functools.cache(lambda: truth_of(task()))
    metrics: list = []
    if own.metrics is not None:
        functions = isinstance(own.metrics, Mapping) and not any(
            map(is_scorer, own.metrics.values())
        )
        known = Truth((), sizes().outputs) if functions else truth()
        metrics = list(as_metrics(own.metrics, known))
    given = {name: metric.greater_is_better for name, metric in metrics}
    if own.metrics is not None and given != networks.own_metrics:
        raise RunError(
            f"{out} was made with metrics {_named(networks.own_metrics)}, not {_named(given)}"
        )
    if networks.by_name:
        try:
            metrics = sorted([*metrics, *by_name(networks.by_name, truth())], key=lambda m: m[0])
        except (RunError, TaskError):  # a table of the run can be shown without its data
            if all_of_it:
                raise
            missing.append("task")
    if own.validation is not None and splitter_name(own.validation) != networks.validation.splitter:
        raise RunError(
            f"{out} was made with validation {networks.validation.splitter}, not {splitter_name(own.validation)}"
        )
    return Evaluation(networks, family, tuple(metrics), tuple(missing))


def _named(known: str | Mapping[str, bool]) -> str:
    """A function by its name, or metrics by theirs."""
    if isinstance(known, str):
        return known
    return ", ".join(f"{name} (greater is better)" if up else name for name, up in known.items())


def _space(settings: Settings, out: Path, family: Family | None) -> Space:
    space = Space.load(settings.space) if family is None else as_space(settings.space, family)
    if space.hash() != settings.space_hash:
        raise RunError(
            f"{out / 'run.json'}: space and space_hash do not belong together; put back what was there"
        )
    return space


def _task(networks: Networks, task: Task | tuple | None, own: Own) -> Task:
    if task is None and networks.task is None:
        raise RunError("the run was made on arrays; give them again: task=(x, y)")
    source = networks.task if task is None else task
    assert source is not None
    columns = None if isinstance(source, Task) else networks.columns
    found = as_task(source, networks.data, networks.target, networks.kind, columns)
    if networks.validation.file is not None:
        return validated_on(found, networks.validation.file, networks.target, networks.columns)
    return found if own.validation is None else found.with_folds(own.validation)


def _room(ledger: Ledger, assembly: Assembly, trials: int) -> None:
    """Refuses to go on to so many trials where that means nothing."""
    asked = sum(len(record["unit"]) for record in ledger.records if record["kind"] == "ask")
    known, limit = assembly.part.known, assembly.part.stop.trials
    if known is not None and trials > known:
        raise RunError(
            f"the search has no more than {known} trials, so that it cannot go on to have {trials}"
        )
    if ledger.ended and ledger.records[-1]["why"] != "done":
        raise RunError(
            f"the run ended at its limit of {ledger.records[-1]['why']}, not of trials; start another with a higher limit"
        )
    if limit is None:
        raise ValueError("the run has no limit of trials; it goes on without trials=")
    most = max(asked, 0 if ledger.ended else limit)
    if trials <= most:
        raise ValueError(f"trials={trials}, but the run has {most} already; give more")
