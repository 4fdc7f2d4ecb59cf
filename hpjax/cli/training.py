"""The commands that train: `tune`, `compare`, `resume`, `confirm`, `ensemble`; and `cluster`, which trains for others."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpjax import checks
from hpjax.cli.console import Output, fitted, table_of
from hpjax.cli.flags import Cluster, Compare, Confirm, Data, Ensemble, Resume, Tune, Workers
from hpjax.cli.interrupts import mind_interrupts, worked_on
from hpjax.cli.results_shown import comparison_shown, study_ended, test_shown

WHAT = {
    "drop": "drop",
    "number": "number",
    "categorical": "category",
    "date": "date",
    "weight": "weight",
    "group": "group",
}
# what `hpjax tune` says of where to look and for how long
SEARCHED = ("search", "scheduler", "epochs", "trials", "eta", "levels", "seed")


def _listed(text: str | None) -> list[str]:
    """Names with commas between."""
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _bounds(text: str | None) -> dict[str, str]:
    """Constraints by name, of "parameters <= 50000, error <= 0.1"."""
    found = {}
    for one in _listed(text):
        name, bound = re.fullmatch(r"([^<>=\s]*)(.*)", one).groups()  # type: ignore[union-attr]
        if name in found:
            raise ValueError(f"--constraints has two bounds of {name!r:.80}; give one")
        found[name] = bound.strip()
    return found


def _columns(options: Data) -> dict[str, str]:
    """What --drop, --number, --categorical, --date, --weight and --group say of columns."""
    found: dict[str, str] = {}
    for flag, what in WHAT.items():
        for name in _listed(getattr(options, flag)):
            if found.setdefault(name, what) != what:
                raise ValueError(f"column {name!r:.80} is named by two of --{', --'.join(WHAT)}")
    return found


def _evaluation(options: Data) -> dict[str, Any]:
    """What is learned, and how networks are judged: the arguments that `tune` and `compare` share."""
    if options.validation_file is not None and options.folds > 1:
        raise ValueError("--validation-file is what is validated on; leave --folds out")
    folds = options.validation_file or options.folds
    return {
        "validation": {"folds": folds, "repeats": options.repeats},
        "objective": options.objective
        if "," not in options.objective
        else _listed(options.objective),
        "constraints": _bounds(options.constraints),
        "stream": options.stream,
        "metrics": _listed(options.metrics),
        "data": options.data,
        "target": options.target,
        "kind": options.kind,
        "columns": _columns(options),
    }


def _executor(options: Workers) -> Any:
    """`executor=` of --workers, --cluster and --unlike."""
    import hpjax

    if options.workers is not None and options.cluster is not None:
        raise ValueError("--workers starts workers here, --cluster has some; give one of them")
    where = options.cluster if options.workers is None else options.workers
    if where is None:
        if options.unlike:
            raise ValueError("--unlike is for workers; give --cluster or --workers, too")
        return None
    return hpjax.Cluster(where, options.unlike)


def _folder(out: Path | None, name: str) -> Path:
    """The run folder that is named, or a new one below runs/."""
    if out is None:
        return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not out.name:
        raise ValueError(f"--out {str(out)!r} names no folder; give one, such as --out runs/first")
    return out


@contextlib.contextmanager
def _working_on(folder: Path, live: bool) -> Iterator[None]:
    """Remembers the folder, and shows it as a page meanwhile where that is wanted."""
    worked_on.append(folder)
    if not live:
        yield
        return
    from hpjax.report.live import beside

    with beside(folder) as address:
        print(
            f"hpjax: live at {address} until the run ends; afterwards hpjax watch {folder}",
            file=sys.stderr,
        )
        yield


def tune(options: Tune, output: Output) -> int:
    """Runs `hpjax tune`."""
    import hpjax

    arguments = _evaluation(options) | {name: getattr(options, name) for name in SEARCHED}
    arguments["stop"] = {"seconds": options.seconds}
    if options.explain:
        plan = hpjax.explain(options.space, options.task, **arguments)
        output.show(str(plan))
        output.note(plan=str(plan))
        return 0
    out = _folder(options.out, Path(options.task).stem)
    executor = _executor(options)
    with _working_on(out, options.live):
        result = hpjax.tune(
            options.space,
            options.task,
            out=out,
            executor=executor,
            watch=mind_interrupts,
            **arguments,
        )
    return study_ended(result, output)


def compare(options: Compare, output: Output) -> int:
    """Runs `hpjax compare`."""
    import hpjax
    from hpjax import resolve

    names = _listed(options.methods)
    methods = {name: {"search": name, "batch": options.batch} for name in names}
    checks.count("--budget", options.budget)
    if len(methods) < len(names):
        raise ValueError(f"--methods {options.methods} names one twice")
    epochs = options.epochs or resolve.fidelity_of(resolve.as_space(options.space))
    out = _folder(options.out, f"compare-{Path(options.task).stem}")
    executor = _executor(options)
    with _working_on(out, options.live):
        comparison = hpjax.compare(
            methods,
            options.space,
            options.task,
            seeds=options.seeds,
            epochs=options.epochs,
            stop={"epochs": options.budget * epochs},
            out=out,
            executor=executor,
            watch=mind_interrupts,
            **_evaluation(options),
        )
    return comparison_shown(comparison, output)


def resume(options: Resume, output: Output) -> int:
    """Runs `hpjax resume`."""
    import hpjax

    several = (options.run / "compare.json").exists()
    if several and options.trials is not None:
        raise ValueError("--trials is for single runs; a comparison ends at its budget of epochs")
    live = options.live and (several or (options.run / "run.json").exists())
    with _working_on(options.run, live):
        common: dict[str, Any] = {"executor": _executor(options), "watch": mind_interrupts}
        resumed = (
            hpjax.resume_comparison(options.run, **common)
            if several
            else hpjax.resume(options.run, trials=options.trials, **common)
        )
    return (comparison_shown if several else study_ended)(resumed, output)


def cluster(options: Cluster) -> int:
    """Runs `hpjax cluster`."""
    from hpjax.cluster import start

    if options.join is not None and options.workers == 0:
        raise ValueError("--join starts workers, and --workers 0 is none of them; leave one out")
    if options.join is None:
        start.serve(options.workers, options.host, options.port, print)
    else:
        start.workers_of(options.join, options.workers, print)
    return 0


def confirm(options: Confirm, output: Output) -> int:
    """Runs `hpjax confirm`."""
    import hpjax

    result = hpjax.open_run(options.run)
    confirmation = hpjax.confirm(result, options.top, options.repeats, executor=_executor(options))
    table = confirmation.table.rename_axis("trial")
    title = f"{result.name}: trained again on {options.repeats} fresh seeds, validation {result.settings.minimised}"
    output.show(table_of(*fitted(table, output.width, ["seconds", "parameters"]), title=title))
    tied = ", ".join(map(str, confirmation.best["tied"])) or "none"
    output.show(f"best trial {confirmation.best['trial']}; within noise of it: {tied}")
    output.show(f"the search's best looked {confirmation.optimism:.4g} better than it is")
    output.note(
        run=options.run, best=confirmation.best, optimism=confirmation.optimism, trials=table
    )
    if confirmation.test:
        test_shown(result, confirmation.test, output)
    return 0


def ensemble(options: Ensemble, output: Output) -> int:
    """Runs `hpjax ensemble`."""
    import hpjax

    result = hpjax.open_run(options.run)
    found = result.ensemble(options.size, options.candidates, refit=options.refit)
    output.show(table_of(found.table, "", f"{result.name}: networks that predict together"))
    output.note(run=options.run, members=found.table, validation=found.validation)
    if found.validation:
        together, alone = found.validation["ensemble"], found.validation["single"]
        output.show(
            f"validation {result.settings.minimised}, chosen on one half of it and scored on the other: {together:.4g}; the best network alone {alone:.4g}"
        )
    if len(result.task.test):
        test_shown(result, result.test(found), output)
    path = options.run / "ensemble.npz"
    found.save(path)
    output.show(f"saved: {path}; in Python hpjax.load({str(path)!r}).predict(x)")
    output.note(saved=path)
    return 0
