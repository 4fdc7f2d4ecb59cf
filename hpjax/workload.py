"""How the networks of a space train on a task: folds, plan, population; for one study or for several at once."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpjax import catalogue, configurations, devices, tasks
from hpjax.cluster import Pool
from hpjax.curve_columns import EPOCH, LOSS, TRAIN
from hpjax.evaluation import Evaluation, minimised
from hpjax.models import Spec
from hpjax.models.base import Target
from hpjax.population import Library, Population, Regime, Results, gradient_blocks, plan
from hpjax.population.plan import Program
from hpjax.records import RunError, plain
from hpjax.space import Space
from hpjax.study import Report
from hpjax.tasks import Split, Task
from hpjax.training.batches import (
    MOST_ORDERS,
    Examples,
    device_bytes,
    examples_of,
    preparation,
)

SAMPLES = 1024  # points of the space that the plan looks at
CORNERS = 64  # of these points that are looked at once more, with the widest shapes
SCORING, SLACK = 0.1, 0.1  # share of the arithmetic; epochs by which it may be missed
CURVE = 10  # scores of a whole training at least
STRIDE = 2**32  # trial t of study s is trial s * STRIDE + t of the population


def small_batch(entries: Mapping, examples: int) -> dict[str, int]:
    """The batch size of data with fewer examples than the default's, where none is named; else nothing."""
    default = catalogue.STATIC["batch_size"].default
    return {"batch_size": examples} if "batch_size" not in entries and examples < default else {}


def data_of(task: Task, folds: int, seed: int) -> str:
    """The `data_hash` of a single study on a task."""
    return data_hash(examples_of(task, tasks.splits(task, folds, seed)))


def data_hash(examples: Examples) -> str:
    """Sixteen hexadecimal digits that tell two tasks or two draws of folds apart."""
    digest = hashlib.sha256()
    rows = (rows for fold in examples.folds for rows in fold)
    more = [array for array in (examples.codes, examples.weights) if array is not None]
    for array in (examples.x, examples.y, *rows, *more):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def nobody(what: str, **facts: Any) -> None:
    """Is told of compiling and blocks, and does nothing."""


class Workload:
    """What studies of one space and one task share: folds of every seed, programs, and how wide their blocks are.

    Args:
        space: of the studies.
        task: data.
        points: [n D] that the plan looks at to see which shapes will come.
        evaluation: of a configuration.
        fidelity: epochs of a network that lives to the end.
        seeds: of the studies; each has its own folds, initial weights and minibatches.
        trials: how many a study is expected to have: programs are chosen for that.
        epochs: how long each trains, on average.
        orders: of schedulers: how many trials of a seed train together, 0 for all that are asked for at once; for how long.
        batch: trials of a seed that are asked for at once; any number where None.
        studies: how many train at once: blocks are as wide as all of them fill.
        grad: whether gradients will be asked for.
        local_devices: devices; all of them where None.
        say: shown warnings.

    Raises:
        ValueError: a batch larger than the training part; what has no gradient, where gradients will be asked for.
    """

    def __init__(
        self,
        space: Space,
        task: Task,
        points: np.ndarray,
        evaluation: Evaluation,
        *,
        fidelity: int,
        seeds: Sequence[int],
        trials: int,
        epochs: float,
        say: Callable[[str], None],
        orders: Sequence[tuple[int, int]] = (),
        batch: int | None = None,
        studies: int = 1,
        grad: bool = False,
        local_devices: list | None = None,
    ):
        self.task, self.evaluation, self.seeds, self.say = task, evaluation, tuple(seeds), say
        self.family, self.points = evaluation.known_family(), points
        self.target = Target.of(task, fidelity)
        self.examples = examples_of(task, self._splits())
        self.regime = Regime(
            self.target,
            self.examples,
            self.family,
            evaluation.validation.repeats,
            self.seeds,
            evaluation.validation.score_every or self._score_every(space),
            evaluation.settings.gradients,
            evaluation.metrics,
        )
        self.space = self._trained_space(space)
        self.shapes, self.shares = self._shapes()
        if grad:
            self._refuse_gradients()
        if evaluation.settings.stream and not all(spec.batch_size for spec in self.shapes):
            raise ValueError(
                "stream=True with batch_size=0: a minibatch of the whole training part has to be on the device; give a batch size, or stream=False"
            )
        self.local_devices = devices.devices(say) if local_devices is None else local_devices
        self.load = plan.Load(
            trials=trials,
            groups=self.regime.groups,
            epochs=epochs,
            train=self.regime.most_examples,
            valid=max(len(valid) for _, valid in self.examples.folds),
            score_every=self.regime.score_every,
            memory=devices.memory(self.local_devices),
            seeds=len(self.seeds),
            orders=tuple(orders),
            batch=batch,
            stream=not grad and self._streams(evaluation.settings.stream),
        )
        self.programs = plan.make(self.shapes, self.shares, self.load, len(self.local_devices))
        if studies > 1:
            self.load = self.load._replace(trials=trials * studies)
            share = 1 / len(self.programs)
            self.programs = tuple(
                plan.program(program.spec, share, self.load, len(self.local_devices))
                for program in self.programs
            )

    def _splits(self) -> list[Split]:
        """The folds of every seed; without folds all of the development part is trained on, and nothing is validated."""
        folds = self.evaluation.validation.folds
        if folds == 0:
            return [tasks.all_of(self.task)] * len(self.seeds)
        return [split for seed in self.seeds for split in tasks.splits(self.task, folds, seed)]

    def _score_every(self, space: Space) -> int:
        """Epochs between scores, where nobody says: scoring is a forward pass of the validation part, a training step three of its minibatch."""
        if "patience" in {*space.ranges, *space.constants}:
            return 1
        costs = [len(valid) / (3 * len(train)) for train, valid in self.examples.folds]
        fewest = math.ceil(max(costs) * (1 - SCORING) / SCORING - SLACK)
        return max(1, min(fewest, self.target.fidelity // CURVE))

    def _trained_space(self, space: Space) -> Space:
        """The space with what the data decides: a batch size that fits, and no cap of epochs where it caps nothing."""
        entries = space.ranges | space.constants
        parents = [r.condition.name for r in space.ranges.values() if r.condition is not None]
        capped = space.constants.get("epochs", 0) < self.target.fidelity
        if not capped and "epochs" not in parents:
            del entries["epochs"]  # networks of a chunk keep in step
        entries |= small_batch(entries, self._smallest)
        return Space(entries, lambda name: catalogue.structural(name, self.family))

    @property
    def _smallest(self) -> int:
        """Examples of the smallest training part."""
        return min(len(train) for train, _ in self.examples.folds)

    def _streams(self, asked: bool | None) -> bool:
        """Whether examples stay with the host: as asked for, else where a device has no room for them as all the shapes see them, or
        where the orders of minibatches are too many."""
        if asked is not None:
            return asked
        ways = {preparation(spec): spec for spec in self.shapes}.values()
        task = self.examples, self.regime.repeats, self.target.fidelity
        sizes = [device_bytes(*task, spec) for spec in ways]
        most, whole = max(orders for _, orders in sizes), sum(map(sum, sizes))
        return most > MOST_ORDERS or 0 < devices.room(self.local_devices) < whole

    def _shapes(self) -> tuple[list[Spec], list[float]]:
        """The shapes that will come, and how large a part of the trials each makes up.

        The widest shapes must have a program, though few trials will be there: some points are looked at once more with their
        whole numbers at the end.
        """
        points = self.points
        corners = points[:CORNERS].copy()
        corners[:, [dim.kind == "integer" for dim in self.space.dims]] = 1.0
        seen = np.concatenate([points, corners])
        groups = configurations.of_points(self.space, seen, self.target, self.family)
        for group in groups:
            if group.spec.batch_size > self._smallest:
                raise ValueError(
                    f"batch_size={group.spec.batch_size} is larger than the {self._smallest} training examples of {self.task.name}; "
                    "make it smaller, or 0 for all of them"
                )
        part = lambda rows: float(np.mean(rows < len(points)) * len(rows) / len(points))
        return [group.spec for group in groups], [part(group.rows) for group in groups]

    def _refuse_gradients(self) -> None:
        """Refuses what has no gradient, where gradients will be asked for."""
        if not self.evaluation.differentiable:
            raise ValueError(
                f"{self.evaluation.settings.objective} has no gradient; use objective='loss' with search gradient"
            )
        if self.evaluation.settings.stream:
            raise ValueError(
                "gradients through training need the whole task on the device; use stream=False with search gradient"
            )
        for spec in self.shapes:
            gradient_blocks.roots(self.space, spec, self.target.fidelity, self.family)

    def planned_for(self, trials: int) -> list[dict]:
        """The programs that a study of so many trials would have, as the ledger keeps them."""
        load = self.load._replace(trials=trials)
        programs = plan.make(self.shapes, self.shares, load, len(self.local_devices))
        return plain([plan.written(program) for program in programs])

    @property
    def widest(self) -> int:
        """Trials that fill a block."""
        return -(-max(program.width for program in self.programs) // self.load.groups)

    def predicted(self) -> float:
        """Seconds of training by the plan's cost model, without compiling."""
        shares: dict[Program, float] = {}
        for spec, share in zip(self.shapes, self.shares):
            at = plan.assign(self.programs, spec)
            program = (
                self.programs[at]
                if at is not None
                else plan.program(spec.roomier(), share, self.load, len(self.local_devices))
            )
            shares[program] = shares.get(program, 0.0) + share
        return sum(
            plan.training_seconds(program.spec, share, self.load, program.devices)(program.chunk)
            for program, share in shares.items()
        )

    def left(self, trials: int, spent: float) -> float:
        """Seconds of training that are predicted for a study of so many trials, of which so many epochs are behind."""
        whole = self.load.trials * self.load.epochs
        return self.predicted() * max(0.0, trials * self.load.epochs - spent) / whole

    def population(
        self,
        cache: Path | None = None,
        cohorts: Sequence[int] = (0,),
        library: Library | None = None,
        pool: Pool | None = None,
        listen: Callable[..., None] = nobody,
    ) -> Population:
        """The population that trains for the studies.

        Args:
            cache: file of checkpoints.
            cohorts: which of the seeds each study has.
            library: keeps finished networks.
            pool: workers that train; this process's devices where None.
            listen: told of compiling and blocks, as `nobody` is.
        """
        of_study = np.array(cohorts)
        return Population(
            self.space,
            self.regime,
            self.programs,
            self.load,
            cohort=lambda trial: of_study[np.asarray(trial) // STRIDE],
            local_devices=self.local_devices,
            executor=None if pool is None else pool.executor(self.regime),
            cache=cache,
            library=library,
            say=self.say,
            listen=listen,
        )

    def settle(self, population: Population, recorded: Mapping | None) -> dict:
        """Fixes programs and the widths of their blocks: as recorded when the run began, whatever this machine would choose.

        Args:
            population: of all its networks; on an accelerator widths are measured where nothing is recorded.
            recorded: the first record of the ledger, of a run that is resumed.

        Returns:
            What the ledger keeps of it.

        Raises:
            RunError: the run was made on other data.
        """
        devices_here, data = len(self.local_devices), data_hash(self.examples)
        if recorded is not None and recorded["data"] != data:
            raise RunError(
                f"{self.task.name} is not the data that the run was made on, row by row and column by column; give those: task=..., or put the file back"
            )
        if recorded is None:
            if self.load.memory:
                population.probe(self.points)
            made, programs = devices_here, [plan.written(p) for p in population.programs]
        else:
            made, programs = recorded["devices"], recorded["programs"]
            stream = any("piece" in entry for entry in programs)
            self.load = population.load = self.load._replace(stream=stream)
            population.adopt(
                [plan.read(entry, made, devices_here, self.family) for entry in programs], made
            )
            if made != devices_here:
                self.say(
                    f"hpjax: made on {made} device(s), here are {devices_here}; goes on with the recorded plan, the last digits of losses may differ"
                )
        own = [name for name, _ in self.evaluation.metrics]
        settled = {
            "data": data,
            "target": {n: v for n, v in self.target._asdict().items() if v is not None},
            "rows": population.regime.rows,
            "devices": made,
            "programs": programs,
        }
        return settled | ({"metrics": own} if own else {})

    def describe(self) -> list[str]:
        """Programs, padding, predicted time and memory, in words."""
        wasted = plan.waste(self.programs, self.shapes, self.shares)
        lines = [
            f"programs  {len(self.programs)} on {len(self.local_devices)} device(s), {100 * wasted:.0f} % of the arithmetic is padding"
        ]
        memory = self.examples.x.nbytes + self.examples.y.nbytes
        for p in self.programs:
            lines.append(
                f"          {p.spec.label}, {p.spec.optimizer}, batch {p.spec.batch_size or 'all'}: blocks of {p.width} (chunks of {p.chunk})"
                + (f", examples from the host, {p.piece} minibatches at a time" if p.piece else "")
            )
            memory = max(
                memory,
                3 * p.width * plan.member_bytes(p.spec, p.spec.batch(self.load.train)),
            )
        lines.append(
            f"predicted {len(self.programs) * plan.COMPILE:.0f} s compiling, {self.predicted():.1f} s training, "
            f"{memory / 2**20:.0f} MiB in blocks"
        )
        return lines


def report_of(results: Results, evaluation: Evaluation, whole: np.ndarray) -> Report:
    """Networks' results as trials': the mean over folds and repeats; a trial diverges where one of its networks does.

    Args:
        results: of an order.
        evaluation: of its study.
        whole: [n] whether a trial was trained to the end.
    """
    loss, error, others = results.loss.mean(1), results.error.mean(1), results.metrics.mean(1)
    epoch = results.curves[..., EPOCH]
    broken = np.isfinite(epoch) & ~np.isfinite(results.curves[..., [TRAIN, LOSS]]).all(-1)
    since = np.where(broken, epoch, np.inf).min((1, 2))  # the first epoch that was not finite
    since = np.where(np.isfinite(since), since, results.reached.max(1))
    diverged = np.where(np.isfinite(loss), 0, since).astype(np.int64)
    columns = {
        "loss": loss,
        "error": error,
        "train": results.train.mean(1),
        "reached": results.reached.max(1),
        "kept": results.weights_epoch.mean(1),
        "diverged": diverged,
    }
    metrics = {name: others[:, at] for at, (name, _) in enumerate(evaluation.metrics)}
    if results.failed.any():
        columns["failed"] = results.failed
    if results.cost is not None:
        columns["cost"] = results.cost
    values = {"loss": loss, "error": error} | metrics
    values |= {"parameters": results.parameters.astype(float), "seconds": results.seconds}
    value, violation = evaluation.objective(values), evaluation.violation(values, whole)
    if violation is not None:
        columns["violation"] = violation
    if results.loss.shape[1] > 1:
        each = {name: results.metrics[..., at] for at, (name, _) in enumerate(evaluation.metrics)}
        each |= {"loss": results.loss, "error": results.error}
        first = minimised(evaluation.settings, each)
        columns["replicates"] = np.where(np.isfinite(results.loss), first, np.nan)
    # networks that early stopping ended leave the mean to the others
    there = np.isfinite(epoch)[..., None]
    total = np.where(there, results.curves, 0).sum(1)
    curves = np.where(there.any(1), total / np.maximum(there.sum(1), 1), np.nan)
    grad = None if results.grad is None else results.grad.mean(1)
    return Report(value, columns, metrics, curves.astype(np.float32), grad, results.seconds)
