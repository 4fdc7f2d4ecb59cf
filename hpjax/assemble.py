"""From what a user writes to a study that runs: spaces, tasks, searches and schedulers by name, and the study itself.

This file is long because everything that a user may write is resolved, and refused, here.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpjax import catalogue, study, tasks
from hpjax.methods import METHODS
from hpjax.population import Population
from hpjax.records import SCHEMA, Ledger
from hpjax.schedulers import Scheduler, full
from hpjax.search import SEARCHES, Searcher, chain, grid, manual
from hpjax.space import Choice, Range, Space
from hpjax.study import Progress, Stop
from hpjax.tasks import Task
from hpjax.train import GRADIENTS
from hpjax.training import SAMPLES, Training, report_of

ROUND = 20.0  # predicted seconds that a round of a memoryless search takes; a crash costs one round
CHECKPOINT = 20.0  # seconds between checkpoints, at least
GRID = (
    50_000  # combinations of a grid that are looked at before it begins, to count and to plan them
)
TRIALS = 64  # of a study that names no limit


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
        if (
            not catalogue.structural(name)
            and len({isinstance(value, tuple) for value in values}) > 1
        ):
            raise ValueError(
                f"{name} mixes numbers and one per layer; write every choice per layer"
            )
    return space


def as_task(
    task: Task | str | Path | tuple, data: str | Path | None = None, target: str | None = None
) -> Task:
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


MINIMIZE = ("loss", "error")


def check(**options: Any) -> None:
    """Refuses options that cannot be: counts below 1, unknown words, unknown limits. None is no option.

    Raises:
        ValueError: in one line, with the remedy.
    """
    for name, value in options.items():
        if value is None:
            continue
        if name in ("minimize", "gradients"):
            known = MINIMIZE if name == "minimize" else GRADIENTS
            if value not in known:
                raise ValueError(f"{name}={value!r} is none of {', '.join(known)}")
        elif name == "stop":
            for limit in value:
                if limit not in Stop._fields:
                    raise ValueError(
                        f"stop has no limit called {limit!r}; it has {', '.join(Stop._fields)}"
                    )
        elif isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


class Found(NamedTuple):
    """A search, resolved."""

    make: Callable[..., Searcher]  # dims -> Searcher
    trials: int | None  # how many it proposes, where it is known
    points: np.ndarray | None  # [n D] what it proposes, where it is known


def as_points(configs: Any, space: Space, what: str = "search") -> np.ndarray:
    """Configurations (dicts) as points [n D] of the unit cube.

    Raises:
        ValueError: none given, or a name or value that is not in the space.
    """
    if not configs:
        raise ValueError(f"{what} is an empty list of configurations; give at least one")
    names = sorted({name for config in configs for name in config})
    points = space.encode({name: [config.get(name) for config in configs] for name in names})
    return points if names else np.full((len(configs), len(space.dims)), 0.5)


def as_search(search: Any, space: Space, levels: int | Mapping[str, int]) -> Found:
    """A search from its name, a list of configurations, or a factory of `dims`.

    Raises:
        ValueError: a name that is not known.
    """
    if isinstance(search, (list, tuple)):
        points = as_points(search, space)
        return Found(functools.partial(manual, points=points), len(points), points)
    if search == "grid":
        axes = space.axes(levels)
        total = int(np.prod([len(axis) for axis in axes], dtype=float))
        points = None
        if total <= GRID:
            found = grid(space.dims, axes=axes)
            points, _ = found.ask(found.init(()), (), total, 1)
        make = functools.partial(grid, axes=axes)
        return Found(make, total if points is None else len(points), points)
    if isinstance(search, str):
        if search in METHODS:
            return Found(METHODS[search].search, None, None)
        if search not in SEARCHES:
            raise ValueError(
                f"search={search!r} is none of {', '.join(sorted(SEARCHES | METHODS))}, or a list of configurations"
            )
        return Found(SEARCHES[search], None, None)
    if callable(search):
        return Found(search, None, None)
    raise ValueError(
        f"search must be a name, a list of configurations or a factory of dims, got {search!r}"
    )


def as_scheduler(search: Any, scheduler: Scheduler | None, epochs: int) -> Scheduler:
    """The scheduler that is given, or the one that belongs to a named method, or `full(epochs)`.

    Raises:
        ValueError: both given.
    """
    if isinstance(search, str) and search in METHODS:
        made = METHODS[search].scheduler(epochs)
        if scheduler is not None and scheduler.settings["name"] != made.settings["name"]:
            raise ValueError(
                f"{search} is a search with {made.settings['name']}; leave scheduler={scheduler.settings['name']} out, "
                f"or give that one's arguments: scheduler=hpjax.{made.settings['name']}(...)"
            )
        return made if scheduler is None else scheduler
    return full(epochs) if scheduler is None else scheduler


class Part(NamedTuple):
    """One study, resolved but for its networks: what a comparison holds many of."""

    settings: dict
    searcher: Searcher
    scheduler: Scheduler
    stop: Stop
    points: np.ndarray | None  # [n D] what it proposes, where it is known


def part(settings: dict, space: Space, search: Any, scheduler: Scheduler) -> Part:
    """A study's search and limits.

    Args:
        settings: as `tune` writes them.
        space: of the study.
        search, scheduler: as given, or as made from the settings.
    """
    found = as_search(search, space, settings["levels"])
    make, known, points = found
    searcher = make(space.dims)
    if searcher.wants_grad and scheduler.settings["name"] != "full":
        raise ValueError(
            f"this search takes gradients through whole trainings; use scheduler=hpjax.full(...), not {scheduler.settings['name']}"
        )
    start = settings["start"]
    if start:
        first = as_points([_tupled(config) for config in start], space, "start")
        make = functools.partial(chain, first=first, then=make)
        known = None if known is None else known + len(first)
        points = None if points is None else np.concatenate([first, points])
    stop = Stop(**settings["stop"])
    trials = stop.trials if known is None else min(known, stop.trials or known)
    if all(limit is None for limit in stop._replace(trials=trials)):
        trials = scheduler.trials or TRIALS
    return Part(settings, make(space.dims), scheduler, stop._replace(trials=trials), points)


def _tupled(config: Mapping) -> dict:
    """A configuration as JSON gives it back, its lists as tuples again."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in config.items()}


def sample(space: Space, seed: int) -> np.ndarray:
    """Points [n D] that show which shapes a space has."""
    count = SAMPLES if space.dims else 1
    return SEARCHES["random"](space.dims).ask((), (seed,), count, 1)[0]


class Assembly:
    """Everything a study of networks needs, resolved: made once by `tune` and again by `resume`."""

    def __init__(
        self, settings: dict, space: Space, task: Task, search: Any, scheduler: Scheduler, say
    ):
        self.settings, self.space, self.task, self.scheduler, self.say = (
            settings,
            space,
            task,
            scheduler,
            say,
        )
        self.part = part(settings, space, search, scheduler)
        points = sample(space, settings["seed"]) if self.part.points is None else self.part.points
        self.training = Training(
            space, task, points[: SAMPLES * 4], grad=self.part.searcher.wants_grad, minimize=settings["minimize"], fidelity=scheduler.fidelity, seeds=[settings["seed"]],
            folds=settings["folds"], repeats=settings["repeats"], score_every=settings["score_every"],
            gradients=settings["gradients"], trials=self.part.stop.trials or 1000, epochs=scheduler.mean_epochs, say=say,
        )  # fmt: skip
        per_trial = self.training.predicted() / max(1, self.training.load.trials)
        self.batch = (
            settings["batch"]
            or self.part.searcher.batch
            or max(self.training.widest, int(ROUND / max(per_trial, 1e-9)))
        )

    def explain(self) -> str:
        """The plan in words: programs, padding, predicted time and memory, rungs."""
        load, repeats = self.training.load, self.settings["repeats"]
        lines = [
            f"task      {self.task.name}: {load.train} training and {load.valid} validation examples, "
            f"{self.settings['folds']} fold(s) x {repeats} repeat(s)",
            f"space     {len(self.space.dims)} dimensions, {len(self.training.shapes)} shapes seen",
            f"trials    {load.trials} ({load.trials * load.groups} networks), {load.epochs:g} epochs each on average",
            *table(self.scheduler),
            *self.training.describe(),
        ]
        lines[-1] += f"; rounds of at most {self.batch} trials"
        return "\n".join(lines)

    def run(self, ledger: Ledger, watch: Callable[[Progress, Population], None]) -> Population:
        """Trains until the study is done."""
        cache = ledger.folder / "checkpoint.npz" if ledger.folder is not None else None
        trained = self.training.population(cache)
        saved = [time.monotonic()]

        def carry_out(order):
            return report_of(trained.carry_out(order), self.settings["minimize"])

        def save():
            if cache is not None and trained.home and time.monotonic() - saved[0] > CHECKPOINT:
                ledger.save(cache, **trained.checkpoint())
                saved[0] = time.monotonic()

        self.training.settle(trained, ledger.records[0]["programs"] if ledger.replaying else None)
        ledger.put(
            plan_record(
                self.space, self.settings["seed"], self.batch, self.scheduler, self.training.record(trained.programs)
            )
        )  # fmt: skip
        fulfil = study.Fulfil(carry_out, trained.recall, trained.release, save)
        try:
            study.run(
                self.part.searcher, self.scheduler, self.space.dims, fulfil, ledger, self.part.stop,
                seed=self.settings["seed"], batch=self.batch, watch=lambda progress: watch(progress, trained),
            )  # fmt: skip
        finally:
            ledger.time(compile_seconds=trained.compile_seconds, run_seconds=trained.run_seconds)
        if cache is not None:
            cache.unlink(missing_ok=True)
        return trained


def plan_record(space: Space, seed: int, batch: int, scheduler: Scheduler, training: dict) -> dict:
    """The first record of a ledger."""
    return {
        "kind": "plan",
        "schema": SCHEMA,
        "space": space.hash(),
        "seed": seed,
        "batch": batch,
        "scheduler": scheduler.settings,
        **training,
    }


def table(scheduler: Scheduler) -> list[str]:
    """A scheduler's brackets, a line each: how many networks train until which epoch."""
    lines = []
    for number, rungs in enumerate(scheduler.brackets):
        title = "rungs     " if len(scheduler.brackets) == 1 else f"bracket {number + 1}: "
        lines.append(title + ", ".join(f"{n or 'all'} until epoch {e}" for e, n in rungs))
    return lines
