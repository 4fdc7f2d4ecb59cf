"""The command line: `hpjax tune`, `compare`, `resume RUN`, `show RUN`, `confirm RUN`, `tasks`.

This file is long because six commands share their tables and their progress.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

# The space that `hpjax tune` searches when none is given.
SPACE = {
    "learning_rate": {"log_uniform": [3e-4, 3e-2]},
    "depth": {"int_uniform": [1, 2]},
    "width_1": {"log_int_uniform": [16, 256]},
    "width_2": {"log_int_uniform": [16, 256], "when": {"depth": [2]}},
    "activation": {"choice": ["relu", "tanh"]},
    "l2": {"log_uniform": [1e-6, 1e-2]},
}
NETWORKS, EPOCHS = 81, 54  # of the default's first rung and last


@dataclasses.dataclass(frozen=True)
class Tune:
    """Search hyperparameters of multilayer perceptrons on a task."""

    task: Annotated[str, tyro.conf.Positional] = (
        "digits"  # a name that `hpjax tasks` lists, or a file
    )
    space: Path | None = None  # a TOML file of ranges; a sensible one where absent
    search: str = "random"  # where to look: grid, sobol, bayes, tpe, genetic, differential, cmaes, gradient, gradient_renewed, hyperband, bohb, dehb, pbt
    scheduler: Literal["halving", "hyperband", "median", "pbt", "full"] | None = (
        None  # how long each network lives; halving where absent, unless the search brings its own
    )
    epochs: int | None = None  # of a network that lives to the end
    trials: int | None = None  # how many; the scheduler's first rung where absent
    eta: int = 3  # halving keeps one in eta
    levels: int = 5  # of a grid, per range
    seed: int = 0  # names all randomness
    folds: int = 1  # 1 holds out 20 %, K >= 2 cross-validates
    repeats: int = 1  # networks per trial and fold
    minimize: Literal["loss", "error"] = "loss"  # of validation
    seconds: float | None = None  # stop after (recorded as not deterministic)
    out: Path | None = None  # run folder; runs/TASK-TIME where absent
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent
    target: str | None = None  # column to predict, of a file
    explain: bool = False  # print the plan without training
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Resume:
    """Go on with an interrupted run."""

    run: Annotated[Path, tyro.conf.Positional]  # run folder
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Compare:
    """Run several methods against each other on a task, at equal cost, trained as one population."""

    task: Annotated[str, tyro.conf.Positional] = (
        "digits"  # a name that `hpjax tasks` lists, or a file
    )
    methods: str = "random,bayes,tpe,genetic,hyperband,bohb"  # names, with commas between
    space: Path | None = None  # a TOML file of ranges; a sensible one where absent
    seeds: int = 5  # studies of each method
    epochs: int = 27  # of a network that lives to the end
    budget: int = 30  # networks at full fidelity that every study may cost
    batch: int | None = None  # points a round of those that learn; each search's own where absent
    folds: int = 1  # 1 holds out 20 %, K >= 2 cross-validates
    repeats: int = 1  # networks per trial and fold
    minimize: Literal["loss", "error"] = "loss"  # of validation
    out: Path | None = None  # folder; runs/compare-TASK-TIME where absent
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent
    target: str | None = None  # column to predict, of a file
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Show:
    """Print the table of a run or a comparison, and draw its figures."""

    run: Annotated[Path, tyro.conf.Positional]  # its folder
    top: int = 10  # rows
    all: bool = (
        False  # every figure: slices, importance, contours, Pareto front, rungs, lineage, process
    )


@dataclasses.dataclass(frozen=True)
class Confirm:
    """Train the best trials of a run again on fresh seeds, choose again, and test once."""

    run: Annotated[Path, tyro.conf.Positional]  # run folder
    top: int = 5  # trials
    repeats: int = 5  # fresh seeds
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Tasks:
    """List the tasks."""


def use_cache() -> None:
    """Keeps compiled programs between processes, in the user's cache folder."""
    import jax

    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hpjax" / "xla"
    jax.config.update("jax_compilation_cache_dir", str(root))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class Watcher:
    """Live progress: trials done, networks per second, the incumbent."""

    def __init__(self, console: Console, minimize: str):
        self.console, self.minimize = console, minimize
        self.status = console.status("planning and compiling", spinner="dots")
        self.started = time.monotonic()

    def __enter__(self):
        self.status.start()
        return self

    def __exit__(self, *fault):
        self.status.stop()

    def __call__(self, progress, trained) -> None:
        best = (
            f"{progress.incumbent:.4f} (trial {progress.best})"
            if progress.best >= 0
            else "none yet"
        )
        rate = trained.networks_trained / max(trained.run_seconds, 1e-9)
        line = (
            f"{progress.finished}/{progress.asked} trials done, {progress.epochs} epochs, {rate:.1f} networks/s, "
            f"best {self.minimize} {best}, {progress.seconds:.0f} s"
        )
        if self.console.is_terminal:
            self.status.update(line)
        else:
            self.console.print(line)


def tune(options: Tune, console: Console) -> int:
    """Runs `hpjax tune`."""
    from hpjax import api, assemble, schedulers
    from hpjax.methods import METHODS

    if options.cache:
        use_cache()
    space = assemble.as_space(options.space if options.space is not None else SPACE)
    own = METHODS.get(options.search)
    chosen = options.scheduler or ("halving" if own is None else None)
    epochs = options.epochs
    if epochs is None:
        named = "epochs" in space.ranges or "epochs" in space.constants
        default = chosen != "full" and not named
        epochs = EPOCHS if default else assemble.fidelity_of(space)
    trials = options.trials
    if options.search == "grid" and trials is None:
        trials = assemble.as_search("grid", space, options.levels).trials
    if chosen is None and own is not None:
        scheduler = own.scheduler(epochs)
    elif chosen == "halving":
        trials = NETWORKS if trials is None else trials
        scheduler = schedulers.halving(schedulers.ladder(trials, epochs, options.eta))
        if len(scheduler.brackets[0]) == 1:
            console.print(
                f"halving has one rung for {trials} trials and {epochs} epochs: every network trains to the end"
            )
    else:
        makers = {
            "hyperband": lambda: schedulers.hyperband(epochs, options.eta),
            "median": lambda: schedulers.median(epochs, max(1, epochs // 10)),
            "pbt": lambda: schedulers.pbt(epochs=epochs, every=max(1, epochs // 10)),
            "full": lambda: schedulers.full(epochs),
        }
        scheduler = makers[str(chosen)]()
    trials = (scheduler.trials or NETWORKS) if trials is None else trials
    name = Path(options.task).stem
    out = options.out or Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    common = dict(
        search=options.search, scheduler=scheduler, trials=trials, seed=options.seed, folds=options.folds,
        repeats=options.repeats, minimize=options.minimize, levels=options.levels, data=options.data,
        target=options.target, stop={"seconds": options.seconds},
    )  # fmt: skip
    if options.explain:
        api.tune(space, options.task, explain=True, **common)
        return 0
    console.print(f"{trials} trials on {options.task}")
    if len(scheduler.brackets) == 1:
        console.print(assemble.table(scheduler)[0])
    with Watcher(console, options.minimize) as watch:
        result = api.tune(space, options.task, out=out, watch=watch, **common)
    assert result is not None
    return end(result, console)


class Race:
    """Live progress of a comparison: studies done, epochs, seconds."""

    def __init__(self, console: Console, studies: int):
        self.console, self.studies, self.epochs = console, studies, {}
        self.status = console.status("planning and compiling", spinner="dots")
        self.said = self.started = time.monotonic()

    def __enter__(self):
        self.status.start()
        return self

    def __exit__(self, *fault):
        self.status.stop()

    def __call__(self, name, seed, progress, trained) -> None:
        self.epochs[name, seed] = progress.epochs
        now = time.monotonic()
        line = f"{len(self.epochs)}/{self.studies} studies begun, {sum(self.epochs.values())} epochs, {now - self.started:.0f} s"
        if self.console.is_terminal:
            self.status.update(line)
        elif now - self.said > 5:
            self.said = now
            self.console.print(line)


def compare(options: Compare, console: Console) -> int:
    """Runs `hpjax compare`."""
    from hpjax import compare as run

    if options.cache:
        use_cache()
    names = [name.strip() for name in options.methods.split(",") if name.strip()]
    methods = {name: {"search": name, "batch": options.batch} for name in names}
    out = options.out or Path("runs") / f"compare-{Path(options.task).stem}-{time.strftime('%Y%m%d-%H%M%S')}"  # fmt: skip
    space = options.space if options.space is not None else SPACE
    with Race(console, len(names) * options.seeds) as watch:
        found = run(
            methods, space, options.task, seeds=options.seeds, epochs=options.epochs,
            stop={"epochs": options.budget * options.epochs}, folds=options.folds, repeats=options.repeats,
            minimize=options.minimize, data=options.data, target=options.target, out=out, watch=watch,
        )  # fmt: skip
    return compared(found, console)


def compared(found, console: Console) -> int:
    """The end of a comparison: its table, and where the files are."""
    from hpjax import report as figures

    made = Table(title=f"{found.studies[found.names[0]][0].task.name}: best validation {found.settings['minimize']} at {found.budget:g} epochs, {len(found.seeds)} seeds")  # fmt: skip
    made.add_column("method")
    table = found.table.sort_values("mean rank", kind="stable")
    for column in table.columns:
        made.add_column(column, justify="right")
    for name, row in table.iterrows():
        made.add_row(str(name), *(_cell(float(value)) for value in row))
    console.print(made)
    if found.folder is not None:
        drawn = figures.comparison(figures.summary(found), found.folder)
        console.print(
            f"files: {found.folder} ({', '.join(path.name for path in drawn)}, table.csv, final.csv); again: hpjax show {found.folder}"
        )
    return 0


def confirm(options: Confirm, console: Console) -> int:
    """Runs `hpjax confirm`."""
    from hpjax import api
    from hpjax import confirm as train_again

    if options.cache:
        use_cache()
    result = api.open_run(options.run)
    found = train_again(result, options.top, options.repeats)
    made = Table(title=f"{result.task.name}: trained again on {options.repeats} fresh seeds, validation {result.settings['minimize']}")  # fmt: skip
    made.add_column("trial", justify="right")
    for column in found.table.columns:
        made.add_column(column, justify="right")
    for trial, row in found.table.iterrows():
        made.add_row(str(trial), *(_cell(value) for value in row))
    console.print(made)
    tied = ", ".join(map(str, found.best["tied"])) or "none"
    console.print(f"best trial {found.best['trial']}; within noise of it: {tied}")
    console.print(f"the search's best looked {found.optimism:.4g} better than it is")
    if found.test:
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in found.test.items())
        console.print(f"test ({len(result.task.test)} examples): {metrics}")
    return 0


def resume(options: Resume, console: Console) -> int:
    """Runs `hpjax resume`."""
    from hpjax import api, records, resume_comparison

    if options.cache:
        use_cache()
    if (options.run / "compare.json").exists():
        settings = records.read_json(options.run / "compare.json")
        with Race(console, len(settings["methods"]) * len(settings["seeds"])) as race:
            found = resume_comparison(options.run, watch=race)
        return compared(found, console)
    minimize = records.read_json(options.run / "run.json")["minimize"]
    with Watcher(console, minimize) as watch:
        result = api.resume(options.run, watch=watch)
    return end(result, console)


def end(result, console: Console, top: int = 10) -> int:
    """The end of a study: top trials, test metrics, and where the files are."""
    from hpjax import report as figures

    console.print(table(result, top))
    if result.best["trial"] is None:
        console.print(
            "no trial reached full fidelity without diverging; lower learning_rate's range, or add trials"
        )
        return 1
    if len(result.task.test):
        network = result.refit()
        metrics = ", ".join(f"{name} {value:.4f}" for name, value in result.test(network).items())
        console.print(
            f"best trial {result.best['trial']}, trained again on all {len(result.task.development)} development examples"
        )
        console.print(f"test ({len(result.task.test)} examples): {metrics}")
    if result.folder is not None:
        drawn = figures.overview(result, result.folder / "figure")
        console.print(
            f"files: {result.folder} (ledger.jsonl, curves/, {drawn[0].name}); again: hpjax show {result.folder}"
        )
    return 0


def table(result, top: int) -> Table:
    """The best trials as a table."""
    trials = result.trials
    minimized = result.settings["minimize"]
    order = {"OK": 0, "RUNNING": 1, "PRUNED": 1, "NEW": 2, "DIVERGED": 3, "FAILED": 3}
    rank = trials["status"].map(order)
    best = trials.assign(rank=rank).sort_values(["rank", minimized], kind="stable").head(top)
    counts = ", ".join(
        f"{count} {status}" for status, count in trials["status"].value_counts().items()
    )
    made = Table(
        title=f"{result.task.name}: best of {len(trials)} trials by validation {minimized} ({counts})"
    )
    made.add_column("trial", justify="right")
    columns = ["loss", "error", "epochs", "parameters", "seconds", *result.space.names, "status"]
    for column in columns:
        made.add_column(column, justify="right")
    for trial, row in best.iterrows():
        made.add_row(str(trial), *(_cell(row[column]) for column in columns))
    return made


def _cell(value) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show(options: Show, console: Console) -> int:
    """Runs `hpjax show`."""
    from hpjax import api, open_comparison
    from hpjax import report as figures

    if (options.run / "compare.json").exists():
        return compared(open_comparison(options.run), console)
    result = api.open_run(options.run)
    console.print(table(result, options.top))
    console.print(
        f"ended: {result.stopped}; seed {result.settings['seed']}, space {result.settings['space_hash']}"
    )
    if len(result.trials):
        drawn = figures.figures(result, options.run) if options.all else figures.overview(result, options.run / "figure")[:1]  # fmt: skip
        console.print("figures: " + ", ".join(str(path) for path in drawn))
    return 0


def tasks(console: Console) -> int:
    """Runs `hpjax tasks`."""
    from hpjax.tasks.named import NAMES, STORED

    made = Table("name", "what")
    for name, (_, about) in NAMES.items():
        made.add_row(name, about)
    for name, (_, about) in STORED.items():
        made.add_row(name, f"{about} (needs --data DIR or HPJAX_DATA)")
    console.print(made)
    console.print(
        "or a file: .csv, .npz, .arff, .parquet, idx(.gz); --target names the column to predict"
    )
    return 0


Command = (
    Annotated[Tune, tyro.conf.subcommand("tune")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Confirm, tyro.conf.subcommand("confirm")]
    | Annotated[Tasks, tyro.conf.subcommand("tasks")]
)


def main(arguments: list[str] | None = None) -> None:
    """The entry point; a fault that the user can put right is one line and exit code 2."""
    options = tyro.cli(Command, prog="hpjax", description="Hyperparameter search for multilayer perceptrons in JAX", args=arguments)  # fmt: skip
    console = Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)
    from hpjax.records import RunError

    try:
        match options:
            case Tune():
                code = tune(options, console)
            case Compare():
                code = compare(options, console)
            case Confirm():
                code = confirm(options, console)
            case Resume():
                code = resume(options, console)
            case Show():
                code = show(options, console)
            case Tasks():
                code = tasks(console)
    except (ValueError, RunError) as fault:
        print(f"hpjax: {fault}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("hpjax: interrupted; `hpjax resume RUN` goes on with the run", file=sys.stderr)
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
