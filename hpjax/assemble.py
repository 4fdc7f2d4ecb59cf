"""From what a user writes to a study that runs: spaces, tasks, searches, the plan, the population.

This file is long because `Assembly` resolves everything once, for `tune`, `resume` and `explain` alike.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpjax import catalogue, plan, population, records, study, tasks
from hpjax.catalogue import Target
from hpjax.population import Population
from hpjax.records import Ledger
from hpjax.schedulers import Scheduler
from hpjax.search import SEARCHES, Searcher, grid, manual
from hpjax.space import Choice, Range, Space
from hpjax.study import Progress, Report, Stop
from hpjax.tasks import Task
from hpjax.train import Examples

ROUND = 20.0  # predicted seconds that a round of a memoryless search takes; a crash costs one round
CHECKPOINT = 20.0  # seconds between checkpoints, at least
GRID = (
    50_000  # combinations of a grid that are looked at before it begins, to count and to plan them
)
SAMPLES = 1024  # points of the space that the plan looks at


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


def as_search(
    search: Any, space: Space, levels: int
) -> tuple[Callable[..., Searcher], int | None, np.ndarray | None]:
    """A search as a factory of `dims`, with its number of trials and its points where they are known."""
    if isinstance(search, (list, tuple)):
        if not search:
            raise ValueError("search is an empty list of configurations; give at least one")
        names = sorted({name for config in search for name in config})
        points = space.encode({name: [config.get(name) for config in search] for name in names})
        points = points if names else np.full((len(search), len(space.dims)), 0.5)
        return functools.partial(manual, points=points), len(points), points
    if search == "grid":
        axes = space.axes(levels)
        total = int(np.prod([len(axis) for axis in axes], dtype=float))
        points = None
        if total <= GRID:
            found = grid(space.dims, axes=axes)
            points, _ = found.ask(found.init(()), (), total, 1)
        return functools.partial(grid, axes=axes), total if points is None else len(points), points
    if isinstance(search, str):
        if search not in SEARCHES:
            raise ValueError(
                f"search={search!r} is none of {', '.join(sorted(SEARCHES))}, or a list of configurations"
            )
        return SEARCHES[search], None, None
    if callable(search):
        return search, None, None
    raise ValueError(
        f"search must be a name, a list of configurations or a factory of dims, got {search!r}"
    )


def examples_of(task: Task, folds: Sequence[tasks.Split]) -> Examples:
    """A task's arrays as training wants them."""
    return Examples(
        task.x, task.targets(), tuple(tuple(fold) for fold in folds), task.standardize, task.classes
    )


def small_batch(entries: Mapping, examples: int) -> dict[str, int]:
    """The batch size of data with fewer examples than the default's, where none is named; else nothing."""
    default = catalogue.STATIC["batch_size"].default
    return {"batch_size": examples} if "batch_size" not in entries and examples < default else {}


def data_hash(examples: Examples) -> str:
    """Sixteen hexadecimal digits that tell two tasks or two draws of folds apart."""
    digest = hashlib.sha256()
    for array in (examples.x, examples.y, *(rows for fold in examples.folds for rows in fold)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


class Assembly:
    """Everything a study needs, resolved: made once by `tune` and again by `resume`."""

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
        folds = tasks.splits(task, settings["folds"], settings["seed"])
        self.target = Target(task.inputs, task.outputs, task.loss, scheduler.fidelity)
        self.examples = examples_of(task, folds)
        entries = space.ranges | space.constants
        named = [r.condition.name for r in space.ranges.values() if r.condition is not None]
        if space.constants.get("epochs", 0) >= scheduler.fidelity and "epochs" not in named:
            del entries["epochs"]  # it caps nothing: networks of a chunk keep in step
        entries |= small_batch(entries, min(len(fold.train) for fold in folds))
        self.trained_space = Space(entries, catalogue.structural)
        self.search, known, points = as_search(search, space, settings["levels"])
        trials = settings["stop"]["trials"]
        trials = known if trials is None else trials if known is None else min(trials, known)
        if trials is None and all(limit is None for limit in settings["stop"].values()):
            trials = 64
        self.stop = Stop(**settings["stop"])._replace(trials=trials)
        if points is None:
            points = SEARCHES["random"](space.dims).ask(
                (), (settings["seed"],), SAMPLES if space.dims else 1, 1
            )[0]
        points = points[: SAMPLES * 4]
        corners = points[
            :64
        ].copy()  # the widest shapes must have a program, though few trials will be there
        corners[:, [dim.kind == "integer" for dim in space.dims]] = 1.0
        groups = catalogue.split(
            self.trained_space.decode(np.concatenate([points, corners])), self.target
        )
        self.shapes = [group.spec for group in groups]
        self.shares = [
            float(np.mean(group.rows < len(points)) * len(group.rows) / len(points))
            for group in groups
        ]
        self.found = population.devices(say)
        self.points = points
        rungs = scheduler.rungs
        first = rungs[0][1] or 1
        steps = [
            (epochs - before, networks or 1)
            for (epochs, networks), before in zip(rungs, (0, *(e for e, _ in rungs)))
        ]
        self.load = plan.Load(
            trials=trials or 1000,
            groups=len(folds) * settings["repeats"],
            epochs=sum(epochs * networks / first for epochs, networks in steps),
            train=max(len(fold.train) for fold in folds),
            valid=max(len(fold.valid) for fold in folds),
            score_every=settings["score_every"],
            memory=population.memory(self.found),
        )
        smallest = min(len(fold.train) for fold in folds)
        for spec in self.shapes:
            if spec.batch_size > smallest:
                raise ValueError(
                    f"batch_size={spec.batch_size} is larger than the {smallest} training examples of {task.name}; "
                    "make it smaller, or 0 for all of them"
                )
        self.programs = plan.make(self.shapes, self.shares, self.load, len(self.found))
        per_trial = self.predicted() / max(1, self.load.trials)
        widest = max(program.width for program in self.programs)
        self.batch = settings["batch"] or max(
            -(-widest // self.load.groups), int(ROUND / max(per_trial, 1e-9))
        )

    def predicted(self) -> float:
        """Seconds of training by the plan's cost model, without compiling."""
        total = 0.0
        for spec, share in zip(self.shapes, self.shares):
            at = plan.assign(self.programs, spec)
            program = (
                self.programs[at]
                if at is not None
                else plan.program(plan.laddered(spec), share, self.load, len(self.found))
            )
            members = share * self.load.trials * self.load.groups
            full_chunks = plan.seconds(
                program.spec, max(members, 1), self.load, program.devices, program.chunk
            )
            total += full_chunks * min(1.0, members)
        return total

    def plan_record(self, programs: Sequence[plan.Program]) -> dict:
        """The first record of the ledger."""
        return {
            "kind": "plan",
            "schema": records.SCHEMA,
            "space": self.space.hash(),
            "seed": self.settings["seed"],
            "data": data_hash(self.examples),
            "batch": self.batch,
            "rungs": self.scheduler.rungs,
            "devices": len(self.found),
            "programs": [
                {"hidden": p.spec.hidden, "activations": p.spec.activations, "masked": p.spec.masked, "batch_size": p.spec.batch_size, "optimizer": p.spec.optimizer, "chunk": p.chunk, "chunks": p.chunks}
                for p in programs
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
            "rungs     "
            + ", ".join(f"{n or 'all'} until epoch {e}" for e, n in self.scheduler.rungs),
            f"programs  {len(self.programs)} on {len(self.found)} device(s), {100 * wasted:.0f} % of the arithmetic is padding",
        ]
        memory = self.examples.x.nbytes + self.examples.y.nbytes
        for p in self.programs:
            padding = "padded to" if p.spec.masked else "exactly"
            lines.append(
                f"          {padding} {'-'.join(map(str, p.spec.sizes))}, {'/'.join(p.spec.activations) or 'linear'}, "
                f"{p.spec.optimizer}, batch {p.spec.batch_size or 'all'}: blocks of {p.width} (chunks of {p.chunk})"
            )
            memory = max(
                memory,
                3 * p.width * plan.member_bytes(p.spec, p.spec.batch_size or self.load.train),
            )
        lines.append(
            f"predicted {len(self.programs) * plan.COMPILE:.0f} s compiling, {self.predicted():.1f} s training, "
            f"{memory / 2**20:.0f} MiB in blocks; rounds of at most {self.batch} trials"
        )
        return "\n".join(lines)

    def run(self, ledger: Ledger, watch: Callable[[Progress, Population], None]) -> Population:
        """Trains until the study is done."""
        cache = ledger.folder / "checkpoint.npz" if ledger.folder is not None else None
        trained = Population(
            self.trained_space, self.target, self.examples, self.programs, self.load, repeats=self.settings["repeats"],
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

        if (
            ledger.replaying
        ):  # the widths that the run began with, whatever this machine would choose
            widths = [(entry["chunk"], entry["chunks"]) for entry in ledger.records[0]["programs"]]
            if len(widths) == len(trained.programs):
                trained.programs = [
                    program._replace(chunk=chunk, chunks=chunks)
                    for program, (chunk, chunks) in zip(trained.programs, widths)
                ]
        elif self.load.memory:
            trained.probe(self.points)
        ledger.put(self.plan_record(trained.programs))
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
    diverged = np.where(bad, np.where(np.isfinite(first), first, results.reached.max(1)), 0).astype(
        np.int64
    )
    columns = {
        "error": error,
        "train": results.train.mean(1),
        "reached": results.reached.max(1),
        "kept": results.kept.mean(1),
        "diverged": diverged,
    }
    if results.failed.any():
        columns["failed"] = results.failed
    told = loss if minimize == "loss" else np.where(bad, np.nan, error)
    if minimize == "error":
        columns["validation_loss"] = loss
    there = np.isfinite(epoch)[
        ..., None
    ]  # networks that early stopping ended leave the mean to the others
    total = np.where(there, results.curves, 0).sum(1)
    curves = np.where(there.any(1), total / np.maximum(there.sum(1), 1), np.nan)
    return Report(told, columns, curves.astype(np.float32))
