"""The command line: `hpjax tune`, `compare`, `resume RUN`, `show RUN`, `report RUN`, `watch RUN`, `export RUN`, `confirm RUN`, `ensemble RUN`, `tasks`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

from hpjax.defaults import SHOWN
from hpjax.flags import (
    Cluster,
    Command,
    Compare,
    Confirm,
    Ensemble,
    Export,
    Report,
    Resume,
    Show,
    Tasks,
    Tune,
    Watch,
    Workers,
)

WHAT = {
    "drop": "drop",
    "number": "number",
    "categorical": "category",
    "date": "date",
    "weight": "weight",
    "group": "group",
}


def _listed(text: str) -> list[str]:
    """Names with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _columns(options: Any) -> dict[str, str]:
    """What --drop, --number, --categorical and --date say of columns."""
    found: dict[str, str] = {}
    for flag, what in WHAT.items():
        for name in _listed(getattr(options, flag)):
            if found.setdefault(name, what) != what:
                raise ValueError(f"column {name!r:.80} is named by two of --{', --'.join(WHAT)}")
    return found


def _validation(options: Any) -> dict[str, Any]:
    """What --validation-file, --folds and --repeats say."""
    if options.validation_file is not None and options.folds > 1:
        raise ValueError("--validation-file is what is validated on; leave --folds out")
    return {"folds": options.validation_file or options.folds, "repeats": options.repeats}


def use_cache() -> None:
    """Keeps compiled programs between processes, in the user's cache folder."""
    import jax

    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hpjax" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(root))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def tune(options: Tune, console: Console) -> int:
    """Runs `hpjax tune`."""
    import hpjax

    if options.cache:
        use_cache()
    grouped = (
        "task",
        "space",
        "seconds",
        "cache",
        "out",
        "folds",
        "validation_file",
        "repeats",
        "explain",
        *WHAT,
        *WORKERS,
    )
    arguments = {name: value for name, value in vars(options).items() if name not in grouped}
    arguments["validation"] = _validation(options)
    arguments["columns"] = _columns(options)
    arguments["metrics"] = _listed(options.metrics or "")
    stop = {"seconds": options.seconds}
    if options.explain:
        print(hpjax.explain(options.space, options.task, stop=stop, **arguments))
        return 0
    out = _folder(options.out, Path(options.task).stem)
    _current.append(out)
    result = hpjax.tune(
        options.space, options.task, stop=stop, out=out, executor=_executor(options), **arguments
    )
    return end(result, console)


WORKERS = ("workers", "cluster", "unlike")  # flags of who trains
_current: list[Path] = []  # folders that are worked on, for the hint after an interrupt


def _folder(out: Path | None, name: str) -> Path:
    """The run folder that is named, or a new one below runs/."""
    if out is None:
        return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if not out.name:
        raise ValueError(f"--out {str(out)!r} names no folder; give one, such as --out runs/first")
    return out


def compare(options: Compare, console: Console) -> int:
    """Runs `hpjax compare`."""
    import hpjax
    from hpjax import resolve

    if options.cache:
        use_cache()
    names = _listed(options.methods)
    methods = {name: {"search": name, "batch": options.batch} for name in names}
    resolve.check(stop={"epochs": options.budget})
    if len(methods) < len(names):
        raise ValueError(f"--methods {options.methods} names one twice")
    epochs = options.epochs or resolve.fidelity_of(resolve.as_space(options.space))
    out = _folder(options.out, f"compare-{Path(options.task).stem}")
    _current.append(out)
    comparison = hpjax.compare(
        methods,
        options.space,
        options.task,
        seeds=options.seeds,
        epochs=options.epochs,
        stop={"epochs": options.budget * epochs},
        validation=_validation(options),
        objective=options.objective,
        metrics=_listed(options.metrics or ""),
        data=options.data,
        target=options.target,
        kind=options.kind,
        columns=_columns(options),
        out=out,
        executor=_executor(options),
    )
    return compared(comparison, console)


def compared(comparison: Any, console: Console) -> int:
    """The end of a comparison: its table, and where the files are."""
    from hpjax import report as figures

    printed = Table(
        title=f"{comparison.studies[comparison.names[0]][0].name}: best validation {comparison.settings.minimised} at {comparison.budget:g} epochs, {len(comparison.seeds)} seeds"
    )
    printed.add_column("method")
    table = comparison.table.sort_values("mean rank", kind="stable")
    for column in table.columns:
        printed.add_column(column, justify="right")
    for name, row in table.iterrows():
        printed.add_row(str(name), *(_cell(float(value)) for value in row))
    console.print(printed)
    if comparison.folder is not None:
        drawn = figures.comparison(figures.summary(comparison), comparison.folder)
        console.print(
            f"files: {comparison.folder} ({', '.join(path.name for path in drawn)}, table.csv, final.csv); again: hpjax show {comparison.folder}"
        )
    return 0


def confirm(options: Confirm, console: Console) -> int:
    """Runs `hpjax confirm`."""
    import hpjax

    if options.cache:
        use_cache()
    result = hpjax.open_run(options.run)
    confirmation = hpjax.confirm(result, options.top, options.repeats, executor=_executor(options))
    printed = Table(
        title=f"{result.name}: trained again on {options.repeats} fresh seeds, validation {result.settings.minimised}"
    )
    printed.add_column("trial", justify="right")
    for column in confirmation.table.columns:
        printed.add_column(column, justify="right")
    for trial, row in confirmation.table.iterrows():
        printed.add_row(str(trial), *(_cell(value) for value in row))
    console.print(printed)
    tied = ", ".join(map(str, confirmation.best["tied"])) or "none"
    console.print(f"best trial {confirmation.best['trial']}; within noise of it: {tied}")
    console.print(f"the search's best looked {confirmation.optimism:.4g} better than it is")
    if confirmation.test:
        console.print(_tested(result, confirmation.test))
    return 0


def _tested(result: Any, metrics: dict[str, float]) -> str:
    """Test metrics in a line."""
    named = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    return f"test ({len(result.task.test)} examples): {named}"


def ensemble(options: Ensemble, console: Console) -> int:
    """Runs `hpjax ensemble`."""
    import hpjax

    if options.cache:
        use_cache()
    result = hpjax.open_run(options.run)
    found = result.ensemble(options.size, options.candidates)
    printed = Table(title=f"{result.name}: networks that predict together")
    table = found.table
    for column in table.columns:
        printed.add_column(column, justify="right")
    for _, row in table.iterrows():
        printed.add_row(*(_cell(row[c] if c == "share" else int(row[c])) for c in table.columns))
    console.print(printed)
    if found.validation:
        together, alone = found.validation["ensemble"], found.validation["single"]
        console.print(
            f"validation {result.settings.minimised}, chosen on one half and scored on the other: {together:.4g}; the best network alone {alone:.4g}"
        )
    if len(result.task.test):
        console.print(_tested(result, result.test(found)))
    path = options.run / "ensemble.npz"
    found.save(path)
    console.print(f"saved: {path}; in Python hpjax.load({str(path)!r}).predict(x)")
    return 0


def resume(options: Resume, console: Console) -> int:
    """Runs `hpjax resume`."""
    import hpjax

    if options.cache:
        use_cache()
    _current.append(options.run)
    if (options.run / "compare.json").exists():
        if options.trials is not None:
            raise ValueError(
                "--trials is for single runs; a comparison ends at its budget of epochs"
            )
        found = hpjax.resume_comparison(options.run, executor=_executor(options))
        return compared(found, console)
    result = hpjax.resume(options.run, trials=options.trials, executor=_executor(options))
    return end(result, console)


def cluster(options: Cluster, console: Console) -> int:
    """Runs `hpjax cluster`."""
    from hpjax.cluster import start

    del console
    with start.ended_by_signals():
        if options.join is None:
            start.serve(options.workers, options.host, options.port, print)
        else:
            start.workers_of(options.join, options.workers, print)
    return 0


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


def end(result: Any, console: Console, top: int = SHOWN) -> int:
    """The end of a study: top trials, test metrics, and where the files are."""
    from hpjax import report as figures

    console.print(trials_table(result, top))
    if result.best["trial"] is None:
        console.print(result.why_none)
        return 1
    if len(result.task.test):
        network = result.refit()
        console.print(
            f"best trial {result.best['trial']}, trained again on all {len(result.task.development)} development examples"
        )
        console.print(_tested(result, result.test(network)))
    if result.folder is not None:
        try:
            drawn = figures.overview(result, result.folder / "figure")
        except OSError as fault:
            console.print(
                f"the study is whole in {result.folder}, but its figure could not be drawn: {fault.strerror}; again: hpjax show {result.folder}"
            )
            return 2
        console.print(
            f"files: {result.folder} (ledger.jsonl, curves.bin, {drawn[0].name}); again: hpjax show {result.folder}"
        )
    return 0


def trials_table(result: Any, top: int) -> Table:
    """The best trials as a table."""
    trials = result.trials
    minimized = result.settings.minimised
    order = {"OK": 0, "RUNNING": 1, "PRUNED": 1, "NEW": 2, "DIVERGED": 3, "FAILED": 3}
    rank = trials["status"].map(order)
    best = trials.assign(rank=rank).sort_values(["rank", "objective"], kind="stable").head(top)
    counts = ", ".join(
        f"{count} {status}" for status, count in trials["status"].value_counts().items()
    )
    printed = Table(
        title=f"{result.name}: best of {len(trials)} trials by validation {minimized} ({counts})"
    )
    printed.add_column("trial", justify="right")
    columns = [
        "loss",
        "error",
        *result.metrics,
        "epochs",
        "parameters",
        "seconds",
        *result.space.names,
        "status",
    ]
    for column in columns:
        printed.add_column(column, justify="right")
    for trial, row in best.iterrows():
        printed.add_row(str(trial), *(_cell(row[column]) for column in columns))
    return printed


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show(options: Show, console: Console) -> int:
    """Runs `hpjax show`."""
    import hpjax
    from hpjax import report as figures

    if options.top < 1:
        raise ValueError(f"--top must be at least 1, got {options.top}")
    if (options.run / "compare.json").exists():
        return compared(hpjax.open_comparison(options.run), console)
    result = hpjax.open_run(options.run)
    console.print(trials_table(result, options.top))
    console.print(
        f"ended: {result.stopped}; seed {result.settings.seed}, space {result.settings.space_hash}"
    )
    if len(result.trials):
        drawn = (
            figures.figures(result, options.run)
            if options.all
            else figures.overview(result, options.run / "figure")[:1]
        )
        console.print("figures: " + ", ".join(str(path) for path in drawn))
    return 0


def report(options: Report, console: Console) -> int:
    """Runs `hpjax report`."""
    import hpjax
    from hpjax.report import write_page

    if options.cache:
        use_cache()
    several = (options.run / "compare.json").exists()
    opened = hpjax.open_comparison(options.run) if several else hpjax.open_run(options.run)
    path = write_page(opened, options.out or options.run / "report.html", options.refit)
    console.print(f"written: {path} ({path.stat().st_size / 1e6:.2f} MB); open it in any browser")
    return 0


def watch(options: Watch, console: Console) -> int:
    """Runs `hpjax watch`."""
    import functools

    import hpjax
    from hpjax.report.live import Live, server

    if (options.run / "compare.json").exists():
        read: Any = hpjax.open_comparison
    else:
        read = functools.partial(hpjax.open_run, say=lambda text: None)
    read(options.run)  # refuses a folder without a run
    with server(Live(options.run, read), options.host, options.port, options.public) as page:
        host, port = page.server_address[:2]
        console.print(f"{options.run} at http://{host}:{port}/ until interrupted")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            page.serve_forever()
    return 0


def export(options: Export, console: Console) -> int:
    """Runs `hpjax export`."""
    import hpjax
    from hpjax.integrations import optuna_studies

    if options.optuna is None:
        raise ValueError("say where to: --optuna FILE")
    count = optuna_studies.write_journal(hpjax.open_run(options.run), options.optuna)
    console.print(f"written: {count} trials to {options.optuna}; optuna-dashboard {options.optuna}")
    return 0


def tasks(console: Console) -> int:
    """Runs `hpjax tasks`."""
    from hpjax.tasks.named import NAMES, STORED

    printed = Table("name", "what")
    for name, (_, about) in NAMES.items():
        printed.add_row(name, about)
    for name, (_, about) in STORED.items():
        printed.add_row(name, f"{about} (needs --data DIR or HPJAX_DATA)")
    console.print(printed)
    console.print(
        "or a file: .csv, .npz, .arff, .parquet, idx(.gz); --target names the column to predict"
    )
    return 0


def main(arguments: list[str] | None = None) -> None:
    """The entry point; a fault that the user can put right is one line and exit code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for name in ("stdout", "stderr"):  # closed by whoever called us
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if arguments == ["--version"]:
        from hpjax import __version__

        print(f"hpjax {__version__}")
        sys.exit(0)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        where = (
            f"`hpjax resume {_current[-1]}` goes on with the run"
            if _current
            and any((_current[-1] / name).exists() for name in ("run.json", "compare.json"))
            else "nothing was begun"
        )
        print(f"hpjax: interrupted; {where}", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as fault:
        print(
            f"hpjax: {fault.strerror or fault}{f': {fault.filename}' if fault.filename else ''}",
            file=sys.stderr,
        )
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 2
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Parses the command line and runs its command; returns the exit code."""
    options = tyro.cli(
        Command,
        prog="hpjax",
        description="Hyperparameter search for multilayer perceptrons in JAX",
        args=arguments,
    )
    console = Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)
    from hpjax.records import RunError

    signal.signal(signal.SIGINT, signal.default_int_handler)  # modules are loaded
    try:
        match options:
            case Tune():
                return tune(options, console)
            case Compare():
                return compare(options, console)
            case Ensemble():
                return ensemble(options, console)
            case Confirm():
                return confirm(options, console)
            case Resume():
                return resume(options, console)
            case Show():
                return show(options, console)
            case Report():
                return report(options, console)
            case Export():
                return export(options, console)
            case Watch():
                return watch(options, console)
            case Cluster():
                return cluster(options, console)
            case Tasks():
                return tasks(console)
    except (ValueError, RunError) as fault:
        print(f"hpjax: {' '.join(str(fault).split())}", file=sys.stderr)
        return 2
    raise AssertionError(options)


if __name__ == "__main__":
    main()
