"""What a user calls: `tune`, and the Result with `best`, `trials`, `curves`, `refit`, `test`."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hpjax import catalogue, metrics, net, plan, population, records, study, tasks, train
from hpjax.catalogue import Target
from hpjax.population import Population
from hpjax.records import Ledger, RunError
from hpjax.schedulers import Order, Scheduler, full, halving
from hpjax.search import SEARCHES, Searcher, grid, manual
from hpjax.space import Choice, LogUniform, Range, Space
from hpjax.study import Progress, Report, Stop
from hpjax.tasks import Task
from hpjax.train import Examples

if TYPE_CHECKING:
    import pandas

MINIMIZE = ("loss", "error")
ROUND = 20.0  # predicted seconds that a round of a memoryless search takes; a crash costs one round
CHECKPOINT = 20.0  # seconds between checkpoints, at least
SAMPLES = 1024  # points of the space that the plan looks at


# --- the study's parts, from what a user writes -----------------------------------------------------------------------
def as_space(space: Space | Mapping | str | Path) -> Space:
    """A space whose names are all in the catalogue and whose values all lie within its bounds.

    Raises:
        ValueError: an unknown name (with the nearest known one) or a value out of bounds.
    """
    if not isinstance(space, Space) or not any(dim.structural for dim in space.dims):
        entries = space.ranges | space.constants if isinstance(space, Space) else space
        space = Space.load(entries, catalogue.structural)
    for name, entry in (space.ranges | space.constants).items():
        if not isinstance(entry, Range):
            values = [entry]
        else:
            values = entry.values if isinstance(entry, Choice) else (entry.low, entry.high)
        for value in values:
            catalogue.check(catalogue.known(name), value)
    return space


def as_task(task: Task | str | Path | tuple, data: str | Path | None = None, target: str | None = None) -> Task:
    """A task from its name, a file, or a pair of arrays (x, y)."""
    if isinstance(task, Task):
        return task
    if isinstance(task, tuple):
        return Task.of(*task)
    return tasks.load(task, data, target)


def fidelity_of(space: Space) -> int:
    """Epochs of a study without a scheduler: the most that the space allows."""
    entry = space.ranges.get("epochs", space.constants.get("epochs"))
    if entry is None:
        return int(catalogue.TRACED["epochs"].default)
    if isinstance(entry, Range):
        return int(max(entry.values) if isinstance(entry, Choice) else entry.high)
    return int(entry)


def as_search(search: Any, space: Space, levels: int) -> tuple[Callable[..., Searcher], int | None, np.ndarray | None]:
    """A search as a factory of `dims`, with its number of trials and its points where they are known."""
    if isinstance(search, (list, tuple)):
        if not search:
            raise ValueError("search is an empty list of configurations; give at least one")
        names = sorted({name for config in search for name in config})
        points = space.encode({name: [config.get(name) for config in search] for name in names})
        return functools.partial(manual, points=points), len(points), points
    if search == "grid":
        axes = space.axes(levels)
        total = int(np.prod([len(axis) for axis in axes], dtype=float))
        points = None
        if total <= plan.SHAPES * SAMPLES:
            found = grid(space.dims, axes=axes)
            points, _ = found.ask(found.init(()), (), total, 1)
        return functools.partial(grid, axes=axes), total if points is None else len(points), points
    if isinstance(search, str):
        if search not in SEARCHES:
            raise ValueError(f"search={search!r} is none of {', '.join(sorted(SEARCHES))}, or a list of configurations")
        return SEARCHES[search], None, None
    if callable(search):
        return search, None, None
    raise ValueError(f"search must be a name, a list of configurations or a factory of dims, got {search!r}")


def examples_of(task: Task, folds: Sequence[tasks.Split]) -> Examples:
    """A task's arrays as training wants them."""
    return Examples(task.x, task.targets(), tuple(tuple(fold) for fold in folds), task.standardize, task.classes)


class Study:
    """Everything a study needs, resolved: made once by `tune` and again by `resume`."""

    def __init__(self, settings: dict, space: Space, task: Task, search: Any, scheduler: Scheduler, say):
        self.settings, self.space, self.task, self.scheduler, self.say = settings, space, task, scheduler, say
        folds = tasks.splits(task, settings["folds"], settings["seed"])
        self.target = Target(task.inputs, task.outputs, task.loss, scheduler.fidelity)
        self.examples = examples_of(task, folds)
        self.search, known, points = as_search(search, space, settings["levels"])
        trials = settings["stop"]["trials"]
        trials = known if trials is None else trials if known is None else min(trials, known)
        if trials is None and all(limit is None for limit in settings["stop"].values()):
            trials = 64
        self.stop = Stop(**settings["stop"])._replace(trials=trials)
        if points is None:
            points = SEARCHES["random"](space.dims).ask((), (settings["seed"],), SAMPLES if space.dims else 1, 1)[0]
        groups = catalogue.split(space.decode(points[: SAMPLES * 4]), self.target)
        seen = sum(len(group.rows) for group in groups)
        self.shapes = [group.spec for group in groups]
        self.shares = [len(group.rows) / seen for group in groups]
        rungs = scheduler.rungs
        first = rungs[0][1] or 1
        steps = [(epochs - before, networks or 1) for (epochs, networks), before in zip(rungs, (0, *(e for e, _ in rungs)))]
        self.load = plan.Load(
            trials=trials or 1000,
            groups=len(folds) * settings["repeats"],
            epochs=sum(epochs * networks / first for epochs, networks in steps),
            train=max(len(fold.train) for fold in folds),
            valid=max(len(fold.valid) for fold in folds),
            score_every=settings["score_every"],
        )
        smallest = min(len(fold.train) for fold in folds)
        for spec in self.shapes:
            if spec.batch_size > smallest:
                raise ValueError(
                    f"batch_size={spec.batch_size} is larger than the {smallest} training examples of {task.name}; "
                    "make it smaller, or 0 for all of them"
                )
        self.found = population.devices(say)
        self.programs = plan.make(self.shapes, self.shares, self.load, len(self.found))
        per_trial = self.predicted() / max(1, self.load.trials)
        widest = max(program.width for program in self.programs)
        self.batch = settings["batch"] or max(-(-widest // self.load.groups), int(ROUND / max(per_trial, 1e-9)))

    def predicted(self) -> float:
        """Seconds of training by the plan's cost model, without compiling."""
        total = 0.0
        for spec, share in zip(self.shapes, self.shares):
            at = plan.assign(self.programs, spec)
            program = self.programs[at] if at is not None else plan.program(plan.laddered(spec), share, self.load, len(self.found), plan.cache_size())
            members = share * self.load.trials * self.load.groups
            full_chunks = plan.seconds(program.spec, max(members, 1), self.load, program.devices, program.chunk)
            total += full_chunks * min(1.0, members)
        return total

    def plan_record(self) -> dict:
        """The first record of the ledger."""
        return {
            "kind": "plan",
            "schema": records.SCHEMA,
            "space": self.space.hash(),
            "seed": self.settings["seed"],
            "batch": self.batch,
            "rungs": self.scheduler.rungs,
            "devices": len(self.found),
            "programs": [
                {"hidden": p.spec.hidden, "activations": p.spec.activations, "masked": p.spec.masked, "batch_size": p.spec.batch_size, "optimizer": p.spec.optimizer, "chunk": p.chunk, "chunks": p.chunks}
                for p in self.programs
            ],
        }  # fmt: skip

    def explain(self) -> str:
        """The plan in words: programs, padding, predicted time and memory, rungs."""
        trials = self.load.trials
        members = trials * self.load.groups
        wasted = plan.waste(self.programs, self.shapes, self.shares)
        lines = [
            f"task      {self.task.name}: {self.load.train} training and {self.load.valid} validation examples, "
            f"{len(self.examples.folds)} fold(s) x {self.settings['repeats']} repeat(s)",
            f"space     {len(self.space.dims)} dimensions, {len(self.shapes)} shapes seen",
            f"trials    {trials} ({members} networks), {self.load.epochs:g} epochs each on average",
            "rungs     " + ", ".join(f"{n or 'all'} until epoch {e}" for e, n in self.scheduler.rungs),
            f"programs  {len(self.programs)} on {len(self.found)} device(s), {100 * wasted:.0f} % of the arithmetic is padding",
        ]
        memory = self.examples.x.nbytes + self.examples.y.nbytes
        for p in self.programs:
            padding = "padded to" if p.spec.masked else "exactly"
            lines.append(
                f"          {padding} {'-'.join(map(str, p.spec.sizes))}, {'/'.join(p.spec.activations) or 'linear'}, "
                f"{p.spec.optimizer}, batch {p.spec.batch_size or 'all'}: blocks of {p.width} (chunks of {p.chunk})"
            )
            memory = max(memory, 3 * p.width * plan.member_bytes(p.spec, p.spec.batch_size or self.load.train))
        lines.append(
            f"predicted {len(self.programs) * plan.COMPILE:.0f} s compiling, {self.predicted():.1f} s training, "
            f"{memory / 2**20:.0f} MiB in blocks; rounds of at most {self.batch} trials"
        )
        return "\n".join(lines)

    def run(self, ledger: Ledger, watch: Callable[[Progress, Population], None]) -> Population:
        """Trains until the study is done."""
        cache = ledger.folder / "checkpoint.npz" if ledger.folder is not None else None
        trained = Population(
            self.space, self.target, self.examples, self.programs, self.load, repeats=self.settings["repeats"],
            seed=self.settings["seed"], score_every=self.settings["score_every"], gradients=self.settings["gradients"],
            found=self.found, cache=cache, say=self.say,
        )  # fmt: skip
        saved = [time.monotonic()]

        def carry_out(order):
            return report_of(trained.carry_out(order), self.settings["minimize"])

        def save():
            if cache is not None and trained.home and time.monotonic() - saved[0] > CHECKPOINT:
                ledger.save(cache, **trained.checkpoint())
                saved[0] = time.monotonic()

        ledger.put(self.plan_record())
        fulfil = study.Fulfil(carry_out, trained.recall, trained.release, save)
        search = self.search(self.space.dims)
        try:
            study.run(
                search, self.scheduler, fulfil, ledger, self.stop, seed=self.settings["seed"], batch=self.batch,
                watch=lambda progress: watch(progress, trained),
            )  # fmt: skip
        finally:
            ledger.time(compile_seconds=trained.compile_seconds, run_seconds=trained.run_seconds)
        if cache is not None:
            cache.unlink(missing_ok=True)
        return trained


def report_of(results: population.Results, minimize: str) -> Report:
    """Networks' results as trials': the mean over folds and repeats; a trial diverges where one of its networks does."""
    loss, error = results.loss.mean(1), results.error.mean(1)
    epoch = results.curves[..., 0]
    broken = np.isfinite(epoch) & ~np.isfinite(results.curves[..., 1:3]).all(-1)
    first = np.where(broken, epoch, np.inf).min((1, 2))
    bad = ~np.isfinite(loss)
    diverged = np.where(bad, np.where(np.isfinite(first), first, results.reached.max(1)), 0).astype(np.int64)
    columns = {"error": error, "train": results.train.mean(1), "reached": results.reached.max(1), "diverged": diverged}
    if results.failed.any():
        columns["failed"] = results.failed
    told = loss if minimize == "loss" else np.where(bad, np.nan, error)
    if minimize == "error":
        columns["validation_loss"] = loss
    return Report(told, columns, results.curves.mean(1))


# --- what a user calls ------------------------------------------------------------------------------------------------
def tune(
    space: Space | Mapping | str | Path,
    task: Task | str | Path | tuple = "digits",
    *,
    search: Any = "random",
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
) -> Result | str:
    """Searches hyperparameters of multilayer perceptrons, training whole populations of them at once.

    Args:
        space: named ranges and constants, or the path of a TOML file of them; names from the catalogue.
        task: a Task, its name, a file, or (x, y) arrays.
        search: "random", "grid", a list of configurations (dicts), or a factory of `dims`.
        scheduler: `full(epochs)` or `halving(rungs)`; where None every network trains for `epochs` of the space.
        trials: how many; None for all of a grid or list, else 64.
        seed: names all randomness.
        folds: 1 holds out 20 % of the development part; K >= 2 is (stratified) K-fold cross-validation.
        repeats: networks per trial and fold, with fresh initial weights and minibatches.
        minimize: "loss" or "error" of validation.
        stop: further limits: {"epochs": ..., "seconds": ..., "rounds": ...}.
        out: run folder; nothing is written where None.
        explain: return the plan as text, without training.
        levels: values of a grid per range.
        batch: the most trials asked for at once.
        score_every: epochs between scores.
        gradients: "explicit" (backprop by hand) or "autodiff".
        data, target: folder of stored data, and column to predict, for tasks by name or file.
        watch: shown progress after every report.
        say: shown warnings; standard error where None.

    Returns:
        A Result; or the plan as text.

    Raises:
        ValueError: anything that can be wrong with the arguments, in one line with the remedy.
        RunError: a run folder that is in use or cannot be written.

    Example:
        >>> space = {"hidden": Choice([(8,), (16,)]), "learning_rate": LogUniform(1e-3, 1e-1), "epochs": 5}
        >>> result = tune(space, "iris", trials=4)
        >>> sorted(result.best["config"]), len(result.trials)
        (['hidden', 'learning_rate'], 4)
    """
    say = say or population.warn
    space = as_space(space)
    found = as_task(task, data, target)
    for name, value in {"folds": folds, "repeats": repeats, "score_every": score_every, "levels": levels}.items():
        _positive(name, value)
    for name, value in {"trials": trials, "batch": batch}.items():
        _positive(name, 1 if value is None else value)
    for name, value, known in (("minimize", minimize, MINIMIZE), ("gradients", gradients, train.GRADIENTS)):
        if value not in known:
            raise ValueError(f"{name}={value!r} is none of {', '.join(known)}")
    limits = dict(stop or {})
    for name in limits:
        if name not in Stop._fields:
            raise ValueError(f"stop has no limit called {name!r}; it has {', '.join(Stop._fields)}")
    scheduler = full(fidelity_of(space)) if scheduler is None else scheduler
    settings = {
        "schema": records.SCHEMA, "space": space.to_dict(), "space_hash": space.hash(),
        "task": str(task) if isinstance(task, (str, Path)) else None, "data": None if data is None else str(data),
        "target": target, "search": search if isinstance(search, (str, list, tuple)) else None,
        "scheduler": list(scheduler.rungs), "seed": seed, "folds": folds, "repeats": repeats, "minimize": minimize,
        "levels": levels, "batch": batch, "score_every": score_every, "gradients": gradients,
        "stop": dict.fromkeys(Stop._fields) | limits | ({} if trials is None else {"trials": trials}),
    }  # fmt: skip
    made = Study(settings, space, found, search, scheduler, say)
    if explain:
        return made.explain()
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
    say = say or population.warn
    made = load_study(out, task=task, search=search, scheduler=scheduler, say=say)
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
    return Result(kept, functools.partial(records.load_curves, Path(out)), space, found, settings, Path(out))


def load_study(out: str | Path, *, task=None, search=None, scheduler=None, say=None) -> Study:
    """The study that a run folder's run.json describes."""
    settings = records.read_json(Path(out) / "run.json")
    space, found = _parts(settings, task)
    search = settings["search"] if search is None else search
    if search is None:
        raise RunError(f"{out} was made with a search that is no name; give it again: resume(out, search=...)")
    if scheduler is None:
        rungs = settings["scheduler"]
        scheduler = full(rungs[0][0]) if rungs[0][1] == 0 else halving(tuple(map(tuple, rungs)))
    return Study(settings, space, found, search, scheduler, say or population.warn)


def _parts(settings: dict, task: Task | tuple | None) -> tuple[Space, Task]:
    if settings["schema"] != records.SCHEMA:
        raise RunError(f"the run has schema {settings['schema']}, this version reads {records.SCHEMA}; use the version that made it")
    if task is None and settings["task"] is None:
        raise RunError("the run was made on arrays; give them again: task=(x, y)")
    source = settings["task"] if task is None else task
    return as_space(settings["space"]), as_task(source, settings["data"], settings["target"])


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def _finish(made: Study, ledger: Ledger, watch) -> Result:
    try:
        if ledger.folder is not None:
            path = ledger.folder / "environment.json"
            before = records.read_json(path) if path.exists() else []
            records.write_json(path, [*before, records.environment()])
        trained = made.run(ledger, watch)
    finally:
        ledger.close()
    return Result(ledger.records, ledger.get_curves, made.space, made.task, made.settings, ledger.folder, trained)


# --- results ----------------------------------------------------------------------------------------------------------
class Result:
    """What a study found.

    Attributes:
        best: the best trial at full fidelity: {"trial", "config", "loss", "error", "epochs"}; "trial" is None if none.
        trials: a pandas table, a row per trial: its hyperparameters, loss, error, train, epochs, diverged, status.
        curves: a pandas table of learning curves: trial, epoch, train, loss, error.
        stopped: why the study ended: "done", "epochs", "seconds" or "rounds".
        folder: the run folder, or None.
    """

    def __init__(self, kept, curves, space: Space, task: Task, settings: dict, folder=None, trained=None):
        self.records, self.space, self.task, self.settings, self.folder = kept, space, task, settings, folder
        self.fidelity = settings["scheduler"][-1][0]
        self.trained = trained  # the Population, where this process trained it
        self._curves = curves
        self._table = records.summarise(kept, len(space.dims), self.fidelity)
        ends = [record for record in kept if record["kind"] == "stop"]
        self.stopped = ends[-1]["why"] if ends else "interrupted"

    @functools.cached_property
    def best(self) -> dict:
        """The best trial at full fidelity."""
        table = self._table
        eligible = np.isfinite(table["loss"]) & (table["status"] == "OK")
        if not eligible.any():
            return {"trial": None, "config": {}, "loss": np.inf, "error": np.nan, "epochs": 0}
        trial = int(np.argmin(np.where(eligible, table["loss"], np.inf)))
        return {
            "trial": trial,
            "config": self.config(trial),
            "loss": float(table["loss"][trial]),
            "error": float(table["error"][trial]),
            "epochs": int(table["epochs"][trial]),
        }

    def config(self, trial: int) -> dict:
        """A trial's hyperparameters as searched, inactive ones left out."""
        columns = self.space.decode(self._table["unit"][trial : trial + 1])
        values = {name: catalogue.plain(column[0]) for name, column in columns.items() if name in self.space.ranges}
        return {name: value for name, value in values.items() if value is not None}

    @functools.cached_property
    def trials(self) -> pandas.DataFrame:
        """A row per trial."""
        import pandas

        columns = self.space.decode(self._table["unit"])
        shown = {name: columns[name] for name in self.space.names}
        rest = {name: self._table[name] for name in ("loss", "error", "train", "epochs", "diverged", "status")}
        table = pandas.DataFrame(shown | rest)
        table.index.name = "trial"
        return table

    @functools.cached_property
    def curves(self) -> pandas.DataFrame:
        """A row per trial and scored epoch; the mean over folds and repeats."""
        import pandas

        parts = []
        for number, record in records.reports(self.records):
            curve = self._curves(number)
            if curve is not None:
                trial = np.repeat(np.array(record["trial"], int), curve.shape[1])
                flat = curve.reshape(-1, 4)
                seen = np.isfinite(flat[:, 0])
                parts.append(np.column_stack([trial[seen], flat[seen]]))
        rows = np.concatenate(parts) if parts else np.zeros((0, 5))
        table = pandas.DataFrame(rows, columns=["trial", "epoch", "train", "loss", "error"])
        table = table.astype({"trial": int, "epoch": int}).drop_duplicates(["trial", "epoch"], keep="last")
        return table.sort_values(["trial", "epoch"]).reset_index(drop=True)

    def refit(self, trial: int | None = None, seed: int | None = None) -> Network:
        """The best trial's network (or another's), trained again on the whole development part.

        Trains for the epochs that the trial was scored at; with patience, for those of its best epoch.

        Args:
            trial: which; the best where None.
            seed: names the randomness; the study's where None.

        Raises:
            ValueError: no trial reached full fidelity without diverging.
        """
        trial = self.best["trial"] if trial is None else trial
        if trial is None:
            raise ValueError("no trial reached full fidelity without diverging; lower learning_rate's range, or add trials")
        values = self.space.constants | self.config(trial)
        epochs = int(self._table["epochs"][trial])
        if values.pop("patience", 0):
            curve = self.curves[self.curves["trial"] == trial]
            epochs = int(curve["epoch"].iloc[int(np.nanargmin(curve["loss"]))])
        values.pop("epochs", None)
        seed = self.settings["seed"] if seed is None else seed
        return fit(self.task, values, epochs, horizon=self.fidelity, seed=seed)

    def test(self, network: Network | None = None) -> dict[str, float]:
        """Metrics of a network (the best, refitted, where None) on the task's held-out test set.

        Raises:
            ValueError: a task without one.
        """
        rows = self.task.test
        if not len(rows):
            raise ValueError(f"{self.task.name} has no test set")
        network = network or self.refit()
        return metrics.table(self.task.truth(rows), network.predict(self.task.x[rows]), self.task.classes)


def fit(task: Task, values: Mapping, epochs: int, horizon: int | None = None, seed: int = 0) -> Network:
    """One network with given hyperparameters, trained on a task's development part.

    Args:
        task: data.
        values: hyperparameters by name; the rest hold their defaults.
        epochs: how long.
        horizon: epochs that the learning-rate schedule runs over; `epochs` where None.
        seed: names all randomness.

    Returns:
        A Network.
    """
    space = as_space(dict(values))
    rows = task.development
    examples = Examples(task.x, task.targets(), ((rows, rows[:1]),), task.standardize, task.classes)
    goal = Target(task.inputs, task.outputs, task.loss, horizon or epochs)
    columns = space.decode(np.zeros((1, 0)))
    group = catalogue.split(columns, goal)[0]
    load = plan.Load(1, 1, float(epochs), len(rows), 1, goal.fidelity)
    program = plan.Program(group.spec, 1, 1, 1)
    trained = Population(
        space, goal, examples, (program,), load, seed=seed, score_every=goal.fidelity, found=population.devices()[:1]
    )  # fmt: skip
    order = Order(*(np.array([value]) for value in (0, 0, -1, epochs, 0)))._replace(unit=np.zeros((1, 0)))
    trained.carry_out(order)
    state = jax.tree.map(lambda leaf: leaf[0], trained.networks(0))
    scalars = {name: leaf[0] for name, leaf in group.config.items()}
    return Network(task, group.spec, scalars, state.params, state.stats, train.standards(examples, rows))


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network that takes examples as the task has them.

    Attributes:
        task: what it was trained on.
        spec, config: its hyperparameters.
        params, stats: its weights and batch statistics, NumPy arrays.
        standards: shift and scale of features, and of numeric targets.
    """

    task: Task
    spec: catalogue.Spec
    config: dict
    params: Any
    stats: Any
    standards: tuple

    def outputs(self, x) -> np.ndarray:
        """The network's outputs [N C] for examples [N F]: probabilities, or standardised numbers.

        Raises:
            ValueError: another number of features.
        """
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != self.spec.inputs:
            raise ValueError(f"the network takes [N {self.spec.inputs}] features, got {x.shape}")
        shift, scale, _, _ = self.standards
        dtype = np.dtype(self.spec.dtype)
        with jax.enable_x64(dtype == np.float64):
            run = jax.jit(functools.partial(net.forward, spec=self.spec))
            z, _ = run(self.params, self.stats, net.cast(self.config, self.spec), ((x - shift) * scale).astype(dtype))
            return np.asarray(net.output(z, self.spec))

    def predict_proba(self, x) -> np.ndarray:
        """Probabilities [N C] of the classes.

        Raises:
            ValueError: a task of numbers.
        """
        if not self.task.classes:
            raise ValueError("predict_proba needs classes, but the task's targets are numbers; use predict")
        p = self.outputs(x)
        return np.concatenate([1 - p, p], 1) if p.shape[1] == 1 else p

    def predict(self, x) -> np.ndarray:
        """Classes [N] as the task was given them, or numbers [N] or [N C]."""
        if self.task.classes:
            return np.array(self.task.values)[self.predict_proba(x).argmax(1)]
        _, _, shift, scale = self.standards
        y = self.outputs(x) / scale + shift
        return y[:, 0] if self.task.y.ndim == 1 else y

    def score(self, x, y) -> float:
        """Accuracy, or R^2 for numbers, as scikit-learn's estimators score."""
        found = metrics.table(np.asarray(y), self.predict(x), self.task.classes)
        return found["accuracy"] if self.task.classes else found["r2"]
