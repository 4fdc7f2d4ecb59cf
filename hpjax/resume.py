"""A run folder, opened again: `open_run` reads a study of networks, `open_outcome` one of a function, `resume` goes on with networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpjax import records, workload
from hpjax.assemble import Assembly
from hpjax.cluster import pooled
from hpjax.messages import warn
from hpjax.models import Family
from hpjax.models.base import Target
from hpjax.outcome import Outcome
from hpjax.records import Ledger, RunError
from hpjax.resolve import (
    as_space,
    as_task,
    check,
)
from hpjax.result import Result
from hpjax.schedulers import Scheduler, from_settings
from hpjax.settings import (
    Networks,
    Settings,
    read_run,
    refuse_old_schema,
    unchanged,
)
from hpjax.space import Space
from hpjax.tasks import Task, validated_on
from hpjax.tune import Watch, finish
from hpjax.user_objects import UserObjects, evaluation_again
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
    executor: Any = None,
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
        executor, progress, watch, say: as for `tune`.

    Raises:
        RunError: no run there, one of another schema, another process at work on it, or a replay that does not come out the same.
        ValueError: trials that the run has already.
    """
    check(trials=trials, watch=watch, say=say)
    out, say = Path(out), say or warn
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
        objects = UserObjects(model, loss, metrics, validation)
        assembly = _assembly(settings, out, task, objects, search, scheduler, say)
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

    try:
        with (
            pooled(executor, say) as pool,
            watching(progress, assembly.workload, pool, work=left) as bar,
        ):
            return finish(assembly, ledger, watch, bar, pool, trials)
    finally:
        ledger.close()


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
    out = Path(out)
    folder = _folder(out, say or warn)
    settings = folder.settings
    if settings.networks is None:
        raise RunError(
            f"{out} is a run of hpjax.minimize, without networks; read it by hpjax.open_outcome({str(out)!r:.80})"
        )
    networks, plan = settings.networks, folder.records[0] if folder.records else {}
    objects = UserObjects(model, loss, metrics, validation)

    def loaded() -> Task:
        resolved_task = _task(networks, task, objects)
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
    evaluation = evaluation_again(
        networks, settings.space, objects, sizes, loaded, out, needed=False
    )
    space = _space(settings, out, evaluation.family)
    if task is not None:
        resolved_task = loaded()
        return Result(
            folder.records, folder.curves, space, lambda: resolved_task, settings, evaluation, out
        )
    return Result(folder.records, folder.curves, space, loaded, settings, evaluation, out)


def open_outcome(out: str | Path, say: Callable[[str], None] | None = None) -> Outcome:
    """A run folder of `minimize` as an Outcome; its function is not needed.

    Args:
        out: the run folder.
        say: shown what is damaged; standard error where None.

    Raises:
        RunError: no run there, one of networks, or files that are not what was written.
    """
    out = Path(out)
    folder = _folder(out, say or warn)
    if folder.settings.networks is not None:
        raise RunError(f"{out} is a study of networks; read it by hpjax.open_run({str(out)!r:.80})")
    space = _space(folder.settings, out, None)
    return Outcome(folder.records, space, folder.settings, out)


def _folder(out: Path, say: Callable[[str], None]) -> records.Folder:
    """A run folder, read; says what of it is missing or damaged."""
    folder = records.open_folder(out)
    for note in folder.notes:
        say(f"hpjax: {note}")
    return folder


def _assembly(
    settings: Settings,
    out: Path,
    task: Task | tuple | None,
    objects: UserObjects,
    search: Any,
    scheduler: Scheduler | None,
    say: Callable[[str], None],
) -> Assembly:
    """The study that a run folder's run.json describes."""
    assert settings.networks is not None
    resolved_task = _task(settings.networks, task, objects)
    there = lambda: resolved_task
    evaluation = evaluation_again(settings.networks, settings.space, objects, there, there, out)
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
    refuse_old_schema(settings, out)
    if settings.comparison:
        raise RunError(
            f"{out} is part of a comparison; go on with that: hpjax.resume_comparison({str(out.parent.parent)!r:.80})"
        )
    if settings.networks is None:
        raise RunError(
            f"{out} is a run of hpjax.minimize; go on with that: minimize(..., out={str(out)!r:.80}, resume=True)"
        )


def _space(settings: Settings, out: Path, family: Family | None) -> Space:
    space = Space.load(settings.space) if family is None else as_space(settings.space, family)
    if space.hash() != settings.space_hash:
        raise RunError(
            f"{out / 'run.json'}: space and space_hash do not belong together; put back what was there"
        )
    return space


def _task(networks: Networks, task: Task | tuple | None, objects: UserObjects) -> Task:
    if task is None and networks.task is None:
        raise RunError("the run was made on arrays; give them again: task=(x, y)")
    source = networks.task if task is None else task
    assert source is not None
    columns = None if isinstance(source, Task) else networks.columns
    found = as_task(source, networks.data, networks.target, networks.kind, columns)
    if networks.validation.file is not None:
        return validated_on(found, networks.validation.file, networks.target, networks.columns)
    return found if objects.validation is None else found.with_folds(objects.validation)


def _room(ledger: Ledger, assembly: Assembly, trials: int) -> None:
    """Refuses to go on to so many trials where that means nothing."""
    asked = sum(len(record["unit"]) for record in ledger.records if record["kind"] == "ask")
    known, limit = assembly.study.known, assembly.study.stop.trials
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
