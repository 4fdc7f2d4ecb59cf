"""Trains the networks that orders name, and keeps them between orders: packs, submits, records, in the order of blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from hpjax import configurations
from hpjax.devices import devices, exhausted
from hpjax.messages import warn
from hpjax.models import Spec
from hpjax.population import checkpoints, gradient_blocks, plan
from hpjax.population.executor import Executor, LocalExecutor, PendingBlock
from hpjax.population.finished_networks import FinishedTrials, Library, best
from hpjax.population.pack import Block, Job, pack
from hpjax.population.plan import Load, Program
from hpjax.population.regime import Regime
from hpjax.population.results import BlockResult, Results, empty_results
from hpjax.schedulers.base import Order
from hpjax.space import Space
from hpjax.training import loop

AT_ONCE = 2**26  # bytes of weights of finished networks that are copied together
PROBE = 64  # narrowest chunk that is tried on an accelerator


class Population:
    """Trains the trials that orders name, on a task, and keeps their networks between orders.

    Args:
        space: decodes units.
        regime: what all networks are trained on.
        programs: the plan; shapes that it did not foresee get programs of their own.
        load: as the plan was made with.
        cohort: trials [n] -> which of the seeds each belongs to [n]; a trial trains in the groups of its seed only.
        local_devices: devices of a local executor, all of them where None.
        executor: where blocks are trained; the devices of this process where None.
        cache: path of the checkpoint to revive networks from after a resume.
        say: shown warnings.
        library: takes the networks of trials that went to the end; none are kept where None.
        listen: told ("compile"), ("compiled", seconds=) and ("block", seconds=, work=, networks=), where work is what the plan
            predicts for the block, in seconds.
    """

    def __init__(
        self,
        space: Space,
        regime: Regime,
        programs: Sequence[Program],
        load: Load,
        *,
        cohort: Callable[[np.ndarray], np.ndarray] = np.zeros_like,
        local_devices: list | None = None,
        executor: Executor | None = None,
        cache: Path | None = None,
        library: Library | None = None,
        say: Callable[[str], None] = warn,
        listen: Callable[..., None] = lambda what, **facts: None,
    ):
        self.space, self.regime, self.load, self.cohort = space, regime, load, cohort
        self.cache, self.say, self.listen, self.library = cache, say, listen, library
        self.local_devices = devices(say) if local_devices is None else local_devices
        self.local = LocalExecutor(regime, self.local_devices, listen)
        self.executor: Executor = executor or self.local
        self.store = self.executor.store(regime.groups)
        self.adopt(programs)
        self.history: list[Order] = []
        # live trial -> the point [D] that it was last trained at
        self._point: dict[int, np.ndarray] = {}
        self._loss: dict[int, float] = {}  # live trial -> its last validation loss
        self.networks_trained = 0
        self.gradient_seconds = 0.0
        self._recalled, self._released = False, set()

    def adopt(self, programs: Sequence[Program], devices: int | None = None) -> None:
        """Takes a plan's programs; shapes that they do not cover get programs of their own, behind these.

        Args:
            programs: of the plan.
            devices: that it was made for; those that are here where None.
        """
        self.programs = [self.executor.fitted(program) for program in programs]
        self.planned = len(programs)
        self.planned_devices = devices or len(self.local_devices)

    @property
    def home(self) -> dict[int, int]:
        """Live trial -> number of its program."""
        return self.store.home

    @property
    def compiled(self) -> list[int]:
        """Numbers of the programs that were compiled here."""
        return list(self.local.compiled)

    @property
    def compile_seconds(self) -> float:
        """Seconds of compiling, some of them while blocks were trained."""
        return self.local.compile_seconds

    @property
    def run_seconds(self) -> float:
        """Seconds of training."""
        return self.local.run_seconds + self.gradient_seconds

    def networks(self, trial: int) -> loop.TrainState:
        """A live trial's states, leaves of [G, ...]."""
        return jax.tree.map(lambda leaf: leaf[0], self.store.states([trial]))

    # --- orders ---
    def carry_out(self, order: Order) -> Results:
        """Trains an order's networks; leaves them in the store."""
        if self._recalled:
            self._revive()
        results = self._differentiate(order) if order.grad else self._train(order)
        self._point |= zip(order.trial.tolist(), order.unit)
        self._loss |= zip(order.trial.tolist(), results.loss.mean(1).tolist())
        self.history.append(order)
        return results

    def recall(self, order: Order) -> None:
        """Takes note of an order that was carried out before a resume."""
        self._point |= zip(order.trial.tolist(), order.unit)
        self.history.append(order)
        self._recalled = True

    def release(self, trials: np.ndarray) -> None:
        """Drops finished networks."""
        dropped = np.asarray(trials).tolist()
        if self._recalled:
            self._released |= set(dropped)
        elif self.library is not None:
            fidelity = self.regime.target.fidelity
            whole = [trial for trial in dropped if self.store.age.get(trial, 0) >= fidelity]
            wanted = self.library.wanted(self._losses(whole))
            for finished in self.finished(np.array(whole, int)[wanted].tolist()):
                self.library.add(finished)
        self.store.release(dropped)
        for trial in dropped:
            self._point.pop(trial, None)
            self._loss.pop(trial, None)

    def finished(self, trials: Sequence[int]) -> Iterator[FinishedTrials]:
        """The networks of live trials, as they predict; program by program."""
        if not len(trials):
            return
        for group in self._groups(np.stack([self._point[trial] for trial in trials])):
            owners = np.asarray(trials)[group.rows]
            homes = np.array([self.home[trial] for trial in owners.tolist()])
            for home in np.unique(homes).tolist():
                program, whole = self.programs[home].spec, np.flatnonzero(homes == home)
                many = max(1, AT_ONCE // (4 * (program.weights + 1) * self.regime.groups))
                for rows in np.split(whole, range(many, len(whole), many)):
                    own = {name: leaf[rows] for name, leaf in group.config.items()}
                    config = program.member(group.spec, own)
                    live = owners[rows].tolist()
                    state = best(self.store.states(live), config.get("patience", 0.0))
                    loss = self._losses(live)
                    yield FinishedTrials(
                        owners[rows], program, config, state.params, state.stats, loss
                    )

    def _losses(self, trials: Sequence[int]) -> np.ndarray:
        """Validation losses [n], NaN where they are not known: of networks from before a resume."""
        return np.array([self._loss.get(trial, np.nan) for trial in trials])

    def fetch(self) -> None:
        """Brings live networks that are elsewhere into this process, whose devices train from now on."""
        if self.executor is self.local:
            return
        here = self.local.store(self.regime.groups)
        for stored in self.store.saved():
            here.load(stored)
        self.store, self.executor = here, self.local

    # --- checkpoints ---
    def saved(self) -> dict[str, np.ndarray]:
        """Arrays from which a resume makes the live networks again."""
        return checkpoints.saved(self.store, self.programs, self.history)

    def _revive(self) -> None:
        """After a resume: live networks from the checkpoint, and from there by training recorded orders again."""
        self._recalled = False
        base = 0
        if self.cache is not None:
            base = checkpoints.load(self.cache, self.store, self._read, self.history, self.say)
        live = {t for order in self.history for t in order.trial.tolist()} - self._released
        for order in checkpoints.missing(self.history, base, live, set(self.home)):
            self._train(order)
        self.release(np.array(sorted(set(self.home) - live), np.int64))

    def _read(self, data: np.ndarray) -> int:
        """The number of a program that a checkpoint holds."""
        return self._numbered(plan.unpacked(data, len(self.local_devices), self.regime.family))

    # --- programs ---
    def _program_of(self, spec: Spec) -> int:
        """The number of a shape's program; one that the plan did not foresee is added behind the others."""
        at = plan.assign(self.programs[: self.planned], spec)
        if at is not None:
            return at
        made = plan.unforeseen(self.planned, spec, self.load, self.planned_devices)
        chunks = -(-made.chunks * self.planned_devices // len(self.local_devices))
        here = made._replace(chunks=chunks, devices=len(self.local_devices))
        return self._numbered(self.executor.fitted(here))

    def _numbered(self, added: Program) -> int:
        """The number of a program, which is added where it is new."""
        for number in range(len(self.programs)):
            if self.programs[number].spec == added.spec:
                return number
        self.programs.append(added)
        return len(self.programs) - 1

    def _groups(self, unit: np.ndarray) -> list[configurations.Group]:
        """The rows of each shape among points [n D]."""
        return configurations.of_points(self.space, unit, self.regime.target, self.regime.family)

    # --- training ---
    def _train(self, order: Order) -> Results:
        results = empty_results(len(order.trial), self.regime)
        # a network that did not fit in memory leaves none to go on from
        results.failed[:] = [s >= 0 and s not in self.home for s in order.source.tolist()]
        jobs = self._jobs(order, results)
        self.store.begin(order)
        try:
            for job in jobs:
                self.executor.prepare(job.number, self.programs[job.number], job.config)
            self._stream(order, jobs, results)
        except BaseException:
            self.executor.cancel()
            raise
        return results

    def _jobs(self, order: Order, results: Results) -> list[Job]:
        """An order's rows, program by program."""
        begins = np.array([self.store.age.get(source, 0) for source in order.source.tolist()])
        parts: dict[int, list[tuple[np.ndarray, dict]]] = {}
        for group in self._groups(order.unit):
            number = self._program_of(group.spec)
            results.parameters[group.rows] = group.spec.weights
            config = self.programs[number].spec.member(group.spec, group.config)
            there = ~results.failed[group.rows]
            config = {name: leaf[there] for name, leaf in config.items()}
            parts.setdefault(number, []).append((group.rows[there], config))
            for source in order.source[group.rows].tolist():
                if self.home.get(source, number) != number:
                    raise ValueError(
                        f"the network of trial {source} has another shape than the trial that goes on from it; a scheduler may not move structural hyperparameters"
                    )
        jobs = []
        for number in sorted(parts):
            rows = np.concatenate([rows for rows, _ in parts[number]])
            if not len(rows):
                continue
            configs = [config for _, config in parts[number]]
            config = {name: np.concatenate([c[name] for c in configs]) for name in configs[0]}
            config = typed(config, self.programs[number].spec)
            jobs.append(Job(number, rows, config, begins[rows], self.cohort(order.trial[rows])))
        return jobs

    def _stream(self, order: Order, jobs: list[Job], results: Results) -> None:
        """Streams jobs through their programs' blocks; halves those that do not fit in memory, and trains what is left in them."""
        left = {job.number: np.ones((len(job.rows), self.regime.groups), bool) for job in jobs}
        while jobs:
            tight = self._submitted(order, jobs, left, results)
            again = []
            for job in (job for job in jobs if job.number in tight):
                if self._halved(job.number):
                    again.append(job)
                    continue
                lost = left[job.number].any(1)
                results.failed[job.rows[lost]] = True
                self.store.release(order.trial[job.rows[lost]].tolist())
                label = self.programs[job.number].spec.label
                self.say(f"hpjax: {lost.sum()} networks, {label}, do not fit in memory: FAILED")
            jobs = again

    def _submitted(
        self, order: Order, jobs: list[Job], left: dict[int, np.ndarray], results: Results
    ) -> set[int]:
        """Trains what is left of jobs, and strikes it off; answers with the programs of which a block did not fit in memory.

        Blocks are submitted as many ahead as the executor wants, and recorded in their order.
        """
        waiting: deque[tuple[Job, Block, PendingBlock]] = deque()
        tight: set[int] = set()

        def recorded() -> None:
            job, block, answer = waiting.popleft()
            try:
                trained = answer.result()
            except jax.errors.JaxRuntimeError as fault:
                if not exhausted(fault):
                    raise
                tight.add(job.number)
                return
            if job.number in tight:  # trained again in narrower blocks, whoever was quick
                return
            self._record(job, block, trained, results)
            self.store.keep(block, trained)
            group = np.broadcast_to(block.own_group[:, None], block.real.shape)
            left[job.number][block.member[block.real], group[block.real]] = False

        for job in jobs:
            program = self.programs[job.number]
            for block in pack(order, job, program, self.regime.groups, left[job.number]):
                if job.number in tight:  # the next would not fit either
                    break
                waiting.append((job, block, self.executor.submit(block, self.store.gather(block))))
                if len(waiting) >= self.executor.ahead:
                    recorded()
        while waiting:
            recorded()
        return tight

    def _halved(self, number: int) -> bool:
        """Makes the blocks of a program half as wide; False where they hold but one network a device."""
        program = self.programs[number]
        half = plan.halved(program)
        if half is None:
            return False
        self.programs[number] = half
        self.executor.forget(number)
        self.say(
            f"hpjax: out of memory; blocks of {half.width} networks instead of {program.width}"
        )
        return True

    def _record(self, job: Job, block: Block, answer: BlockResult, results: Results) -> None:
        """Writes what a block brought into the results of its order."""
        real, program = block.real, block.program
        member = block.member[real]
        rows, groups = job.rows[member], np.broadcast_to(block.own_group[:, None], real.shape)[real]
        each = program.chunks * plan.epoch_seconds(program.spec, self.load)(program.chunk)
        planned = int((block.until - block.begin).max())
        self.listen("block", seconds=answer.seconds, work=each * planned, networks=len(rows))
        trained = np.maximum(block.epochs[real], 1)
        np.add.at(results.seconds, rows, answer.seconds * trained / trained.sum())
        own = lambda tree: jax.tree.map(lambda leaf: leaf[real], tree)
        state = answer.state
        scores, reached = own((state.scores, state.epoch))
        weights_epoch = reached
        if state.best:  # early stopping reports the epoch whose weights it keeps
            best_scores, best_epoch = own((state.best.scores, state.best.epoch))
            patient = (job.config["patience"][member] > 0) & np.isfinite(best_scores.loss)
            scores = jax.tree.map(lambda a, b: np.where(patient, a, b), best_scores, scores)
            weights_epoch = np.where(patient, best_epoch, weights_epoch)
        at = rows, groups
        results.loss[at], results.error[at], results.train[at] = (
            scores.loss,
            scores.error,
            scores.train,
        )
        results.reached[at], results.weights_epoch[at] = reached, weights_epoch
        results.curves[at] = answer.curve[real]
        for number, values in enumerate(scores.metrics):
            results.metrics[rows, groups, number] = values
        self.networks_trained += len(rows)

    def _differentiate(self, order: Order) -> Results:
        """Trains an order's networks from the start to the end, with d loss / d unit; only last scores are kept."""
        if (order.source >= 0).any() or (order.epochs != self.regime.target.fidelity).any():
            raise ValueError(
                "gradients are of whole trainings; use scheduler full with this search"
            )
        if self.executor is not self.local and not self.gradient_seconds:
            self.say(
                "hpjax: gradients are taken on this machine alone; the workers have no part in it"
            )
        results = empty_results(len(order.trial), self.regime)._replace(
            grad=np.zeros((len(order.trial), self.regime.groups, order.unit.shape[1])),
            cost=np.zeros(len(order.trial), np.int64),
        )
        groups = self._groups(order.unit)
        for group in groups:
            results.parameters[group.rows] = group.spec.weights
        shapes = [(self.programs[self._program_of(group.spec)].spec, group) for group in groups]
        gradient_blocks.carry_out(
            order,
            shapes,
            self.space,
            self.regime,
            self.cohort(order.trial),
            self.local,
            results,
            self.say,
        )
        self.gradient_seconds += float(results.seconds.sum())
        self.networks_trained += len(order.trial) * self.regime.groups
        return results

    # --- accelerators ---
    def probe(self, units: np.ndarray) -> None:
        """Chooses each program's chunk on an accelerator: the narrowest at the knee of throughput, within its memory.

        Widths grow fourfold from `PROBE` while networks per second still grow by a quarter; a width that does not fit ends
        the search. The plan's chunk is the upper limit.

        Args:
            units: [n D] points of the space that between them use every program.
        """
        probed: dict[int, int] = {}  # program -> chunk
        for group in self._groups(units):
            number = self._program_of(group.spec)
            if number in probed:
                continue
            program = self.programs[number]
            config = program.spec.member(group.spec, group.config)
            config = typed({name: leaf[:1] for name, leaf in config.items()}, program.spec)
            fastest, width = 0.0, min(PROBE, program.chunk)
            while True:
                self.programs[number] = program._replace(chunk=width)
                try:
                    rate = width / self._epoch_seconds(number, config)
                except jax.errors.JaxRuntimeError as fault:
                    if not exhausted(fault) or not fastest:
                        raise
                    break
                if rate < 1.25 * fastest:
                    break
                fastest, probed[number] = rate, width
                if width >= program.chunk:
                    break
                width = min(4 * width, program.chunk)
            if probed[number] != width:
                self.executor.forget(number)
            self.programs[number] = program._replace(chunk=probed[number])

    def _epoch_seconds(self, number: int, config: dict) -> float:
        """Seconds that a full block of fresh networks needs for one epoch, compilation apart."""
        self.executor.forget(number)
        program = self.programs[number]
        count = program.width
        order = Order(
            np.arange(count),
            np.zeros((count, 0)),
            np.full(count, -1),
            np.ones(count, np.int64),
            np.zeros(count, np.int64),
        )
        wide = {n: np.repeat(leaf, count, 0) for n, leaf in config.items()}
        job = Job(
            number, np.arange(count), wide, np.zeros(count, np.int64), np.zeros(count, np.int64)
        )
        (block,) = pack(order, job, program, 1)
        return [self.executor.submit(block, None).result().seconds for _ in range(2)][-1]


def typed(config: dict[str, np.ndarray], spec: Spec) -> dict[str, np.ndarray]:
    """Config leaves in the spec's dtype; counts as they are."""
    return {n: v.astype(spec.dtype) if v.dtype == np.float64 else v for n, v in config.items()}
