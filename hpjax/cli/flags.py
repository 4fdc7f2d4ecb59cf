"""What can be typed after `hpjax`: the commands and their flags, with the help behind them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hpjax.defaults import (
    BUDGET,
    CANDIDATES,
    CONFIRMED,
    FRESH_SEEDS,
    LEVELS,
    MEMBERS,
    METHOD_NAMES,
    SEEDS,
    SHOWN,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Printed:
    """For whom the output is."""

    json: bool = False  # one JSON value for programs on standard output, instead of tables


@dataclasses.dataclass(frozen=True, kw_only=True)
class Followed:
    """How a run is followed."""

    live: bool = False  # a page on this machine that follows the run while it trains


@dataclasses.dataclass(frozen=True)
class Data:
    """What is learned, and how networks are judged."""

    folds: int = 1  # 1 holds out 20 %, K >= 2 cross-validates
    repeats: int = 1  # networks per trial and fold
    # of validation: loss, error, a metric (roc_auc, f1_macro, rmse, ...) or a scorer of scikit-learn; several with commas between, parameters and
    # seconds among them
    objective: str = "loss"
    # bounds with commas between: "parameters <= 50000, error <= 0.1"
    constraints: str | None = None
    metrics: str | None = None  # more of them for tables and curves, with commas between
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent
    target: str | None = None  # column to predict, of a file
    kind: Literal["classes", "numbers"] | None = None  # of the targets; told from them where absent
    drop: str = ""  # columns of a table to leave out, with commas between
    number: str = ""  # columns that are numbers; the rest of such a column's text is taken for gaps
    categorical: str = ""  # columns that are categories
    date: str = ""  # columns that are dates
    weight: str = ""  # the column of the examples' weights
    group: str = ""  # the column of groups, whose rows are never apart
    validation_file: Path | None = None  # a file that is validated on, instead of folds
    # whether the data stay in this machine's memory, not the accelerator's; if they are too large for it where absent
    stream: bool | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Workers:
    """Who trains; the devices of this machine where nothing is said."""

    workers: int | None = None  # so many worker processes on this machine
    cluster: str | None = None  # a Dask scheduler's address, such as tcp://127.0.0.1:8786
    unlike: bool = False  # workers may have other versions or devices


@dataclasses.dataclass(frozen=True)
class Tune(Data, Workers, Followed, Printed):
    """Search hyperparameters of multilayer perceptrons on a task."""

    # a name that `hpjax tasks` lists, or a file
    task: Annotated[str, tyro.conf.Positional] = "digits"
    space: Path | None = None  # a TOML file of ranges; a sensible one where absent
    # where to look: grid, sobol, bayes, tpe, genetic, nsga2, differential, cmaes, gradient, gradient_renewed, hyperband, bohb, dehb, pbt
    search: str = "random"
    # how long each network lives; all to the end where absent, unless the search brings its own
    scheduler: Literal["asha", "halving", "hyperband", "median", "pbt", "full"] | None = None
    epochs: int | None = None  # of a network that lives to the end; those of the space where absent
    trials: int | None = None  # how many; those of the scheduler's brackets where absent, or 64
    eta: int | None = None  # halving, asha and hyperband keep one in eta; 3 where absent
    levels: int = LEVELS  # of a grid, per range
    seed: int = 0  # names all randomness
    # stop after so many, when the round under way has ended (recorded as not deterministic)
    seconds: float | None = None
    out: Path | None = None  # run folder; runs/TASK-TIME where absent
    explain: bool = False  # print the plan without training
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Resume(Workers, Followed, Printed):
    """Go on with an interrupted run."""

    run: Annotated[Path, tyro.conf.Positional]  # run folder
    trials: int | None = None  # go on until there are so many
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Compare(Data, Workers, Followed, Printed):
    """Run several methods against each other on a task, at equal cost, trained as one population."""

    # a name that `hpjax tasks` lists, or a file
    task: Annotated[str, tyro.conf.Positional] = "digits"
    methods: str = ",".join(METHOD_NAMES)  # names, with commas between
    space: Path | None = None  # a TOML file of ranges; a sensible one where absent
    seeds: int = SEEDS  # studies of each method
    epochs: int | None = None  # of a network that lives to the end; those of the space where absent
    budget: int = BUDGET  # networks at full fidelity that every study may cost
    batch: int | None = None  # points a round of those that learn; each search's own where absent
    out: Path | None = None  # folder; runs/compare-TASK-TIME where absent
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Show(Printed):
    """Print the table of a run or a comparison, and draw its figures."""

    run: Annotated[Path, tyro.conf.Positional]  # its folder
    top: int = SHOWN  # rows, at least 1
    # every figure: slices, importance, contours, Pareto front, rungs, lineage, process
    all: bool = False


@dataclasses.dataclass(frozen=True)
class Report(Printed):
    """Write a run or a comparison as one HTML file that needs nothing else: figures, tables, what mattered, the best network."""

    run: Annotated[Path, tyro.conf.Positional]  # its folder
    out: Path | None = None  # the file; RUN/report.html where absent
    # train a study's best network again, for its confusion matrix and calibration
    refit: bool = True
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Export(Printed):
    """Write a run as other tools have it."""

    run: Annotated[Path, tyro.conf.Positional]  # its folder
    optuna: Path | None = None  # a new journal, which optuna-dashboard shows
    tensorboard: Path | None = None  # a new folder, which tensorboard --logdir shows
    mlflow: str | None = None  # a store or server, such as sqlite:///mlflow.db
    wandb: Path | None = None  # a folder for offline runs, which wandb sync sends
    trackio: bool = False  # into Trackio's own place
    project: str = "hpjax"  # of MLflow (its experiment), W&B and Trackio


@dataclasses.dataclass(frozen=True)
class Watch:
    """Show a run or a comparison as a page on this machine that follows it while it runs, until interrupted. It only reads."""

    run: Annotated[Path, tyro.conf.Positional]  # its folder
    port: int = 0  # of the page; a free one where 0
    host: str = "127.0.0.1"  # that the page is served at; this machine alone reaches 127.0.0.1
    public: bool = False  # other machines may look


@dataclasses.dataclass(frozen=True)
class Confirm(Workers, Printed):
    """Train the best trials of a run again on fresh seeds, choose again, and test once."""

    run: Annotated[Path, tyro.conf.Positional]  # run folder
    top: int = CONFIRMED  # trials
    repeats: int = FRESH_SEEDS  # fresh seeds
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Ensemble(Printed):
    """Choose networks of a run that predict together, test them once, and save them as RUN/ensemble.npz."""

    run: Annotated[Path, tyro.conf.Positional]  # run folder
    size: int = MEMBERS  # the most members, counted as often as they are taken
    candidates: int = CANDIDATES  # trials that are chosen from, the best
    # train the chosen networks again on all examples; where absent, if one fold held some out
    refit: bool | None = None
    cache: bool = True  # keep compiled programs between runs


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Start a Dask cluster on this machine, or workers for one, until interrupted."""

    # one for each accelerator, or core where there is none, where absent; 0: the scheduler alone
    workers: int | None = None
    join: str | None = None  # a scheduler's address; a scheduler is started where absent
    host: str = "127.0.0.1"  # that the scheduler listens at; this machine alone reaches 127.0.0.1
    port: int = 8786  # of the scheduler


@dataclasses.dataclass(frozen=True)
class Cache(Printed):
    """Show where compiled programs are kept from one run to the next, and how many they are."""

    clear: bool = False  # drop all of them


@dataclasses.dataclass(frozen=True)
class Tasks(Printed):
    """List the tasks."""


@dataclasses.dataclass(frozen=True)
class Hyperparameters(Printed):
    """List the hyperparameters of training and of multilayer perceptrons, with their defaults and bounds."""

    # one alone, with all that is known of it
    name: Annotated[str | None, tyro.conf.Positional] = None


Command = (
    Annotated[Tune, tyro.conf.subcommand("tune")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Watch, tyro.conf.subcommand("watch")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Confirm, tyro.conf.subcommand("confirm")]
    | Annotated[Ensemble, tyro.conf.subcommand("ensemble")]
    | Annotated[Cluster, tyro.conf.subcommand("cluster")]
    | Annotated[Cache, tyro.conf.subcommand("cache")]
    | Annotated[Tasks, tyro.conf.subcommand("tasks")]
    | Annotated[Hyperparameters, tyro.conf.subcommand("hyperparameters")]
)
