"""Many networks at once: carries out orders in blocks, on all devices.

A *bucket* of the population is the networks that share a program; a *block* is one call of it. Inside a block, devices
stand side by side, each goes through chunks one after another, and a chunk of networks trains in lockstep, its whole
training innermost: on a CPU a chunk's weights, moments and gradients then stay in one core's cache. The host streams
networks through blocks of a fixed width; a spare place trains for zero epochs.

The networks of a chunk share a group (fold x repeat), so examples, minibatches and random draws are common to them.

This file is long because everything that knows of a population axis is in it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hpjax import configurations, plan, slopes
from hpjax.devices import devices, exhausted, warn
from hpjax.models import MLP, Family
from hpjax.models.base import Target, cast
from hpjax.plan import Load, Program
from hpjax.records import checkpoint
from hpjax.schedulers.base import Order
from hpjax.space import Space
from hpjax.training import batches, loop
from hpjax.training.metrics import Metrics

PROBE = 64  # narrowest chunk that is tried on an accelerator


# --- one block --------------------------------------------------------------------------------------------------------
def block_function(program: Program, trainer: loop.Trainer, mesh: Mesh) -> Callable:
    """The function that trains one block.

    (state, config, fresh, start, until, group, seed, draw, data) -> (state, curve). State and config lead with
    [chunks on all devices, chunk]; the next five are one per chunk: its networks begin and end at the same epochs, so
    that its loops need no masks. `draw` leads with one flat draw per chunk.
    """
    spec = program.spec
    own_pace = bool(
        {"epochs", "patience"} & set(spec.features)
    )  # its networks may stop at different epochs

    def chunk(args, data):
        state, config, fresh, start, until, group, seed, draw = args
        data = batches.keyed(data, seed)

        def network(state, config):
            config = cast(config, spec)
            begun = trainer.init(draw, config)
            state = jax.tree.map(partial(jnp.where, fresh), begun, state)
            if not own_pace:
                state = state._replace(epoch=start)
            return trainer.advance(state, config, data, group, until)

        return jax.vmap(network)(state, config)

    def device(data, *args):
        if program.chunks == 1:
            one = chunk(jax.tree.map(lambda leaf: leaf[0], args), data)
            return jax.tree.map(lambda leaf: leaf[None], one)
        return jax.lax.map(lambda one: chunk(one, data), args)

    rows, whole = PartitionSpec("device"), PartitionSpec()
    return jax.shard_map(
        device, mesh=mesh, in_specs=(whole, *(rows,) * 8), out_specs=rows, check_vma=False
    )


@functools.lru_cache(maxsize=64)
def kernel(
    program: Program,
    mesh: Mesh,
    score_every: int,
    rows: int,
    gradients: str,
    uneven: bool,
    metrics: Metrics,
) -> tuple[Any, Callable]:
    """The block function of a program, jitted, and (draw, config) -> the state that one network begins with.

    JAX keeps what it traced and compiled as long as the function lives: kept here, a second study of the same shapes in one
    process compiles nothing.
    """
    trainer = loop.trainer(program.spec, score_every, rows, gradients, uneven, metrics)
    begin = lambda draw, config: trainer.init(draw, cast(config, program.spec))
    return jax.jit(block_function(program, trainer, mesh)), begin


class Compiled(NamedTuple):
    """A program ready to run."""

    program: Program
    call: Callable
    empty: Any  # a block of states to start from scratch with, on the devices
    data: object  # on the devices


class Pool:
    """The live networks of one program, on the host: leaves of [capacity, G, ...]."""

    def __init__(self, shapes: list, groups: int):
        self.shapes, self.groups = shapes, groups
        self.leaves: list[np.ndarray] = [np.zeros((0, groups, *s.shape), s.dtype) for s in shapes]
        self.slot: dict[int, int] = {}
        self.free: list[int] = []

    def reserve(self, trials: list[int]) -> np.ndarray:
        """Slots [n] of these trials, new ones where they have none."""
        missing = [trial for trial in dict.fromkeys(trials) if trial not in self.slot]
        short = len(missing) - len(self.free)
        if short > 0:
            old = len(self.slot) + len(self.free)
            grown = max(short, old // 2)
            self.leaves = [
                np.concatenate([a, np.zeros((grown, *a.shape[1:]), a.dtype)]) for a in self.leaves
            ]
            self.free += range(old, old + grown)
        for trial in missing:
            self.slot[trial] = self.free.pop()
        return np.array([self.slot[trial] for trial in trials], np.int64)

    def drop(self, trials: list[int]) -> None:
        """Forgets these trials; an empty pool gives its memory back."""
        for trial in trials:
            at = self.slot.pop(trial, None)
            if at is not None:
                self.free.append(at)
        if not self.slot:
            self.__init__(self.shapes, self.groups)


class Results(NamedTuple):
    """What an order brought, per trial and group."""

    loss: np.ndarray  # [n G]
    error: np.ndarray  # [n G]
    train: np.ndarray  # [n G]
    reached: np.ndarray  # [n G] epochs
    kept: (
        np.ndarray
    )  # [n G] epoch whose weights count: the best one where patience is on, else the last
    own: np.ndarray  # [n G M] the user's own metrics
    curves: np.ndarray  # [n G rows 4+M] of (epoch, train, loss, error) and those
    failed: np.ndarray  # [n] bool
    seconds: np.ndarray  # [n] of the devices: its share of the blocks that it was in
    grad: np.ndarray | None = (
        None  # [n G D] d validation loss / d unit, where the order asks for it
    )
    cost: np.ndarray | None = None  # [n] epochs charged, where it is not the epochs trained


class Population:
    """Trains the trials that orders name, on a task, and keeps their networks between orders.

    Args:
        space: decodes units.
        target: what the task asks of a network.
        examples: the task's arrays, and the folds of each seed.
        programs: the plan; shapes that it did not foresee get programs of their own.
        load: as the plan was made with.
        family: of the models.
        repeats: R networks per trial and fold.
        seeds: of the studies that it trains for.
        cohort: trials [n] -> which of the seeds each belongs to [n]; a trial trains in the groups of its seed only.
        score_every: epochs between scores.
        gradients: "explicit" or "autodiff".
        metrics: the user's own.
        found: devices, all of them where None.
        cache: path of the checkpoint to revive networks from after a resume.
        say: shown warnings.
        listen: told ("compile"), ("compiled", seconds=) and ("block", seconds=, work=, networks=), where work is what the plan
            predicts for the block, in seconds.
    """

    def __init__(
        self, space: Space, target: Target, examples: batches.Examples, programs: tuple[Program, ...], load: Load, *,
        family: Family = MLP, repeats: int = 1, seeds: tuple[int, ...] = (0,), cohort: Callable[[np.ndarray], np.ndarray] = np.zeros_like,
        score_every: int = 1, gradients: str = "explicit", metrics: Metrics = (), found: list | None = None,
        cache: Path | None = None, say: Callable[[str], None] = warn,
        listen: Callable[..., None] = lambda what, **facts: None,
    ):  # fmt: skip
        self.space, self.target, self.examples, self.load = space, target, examples, load
        self.family = family
        self.repeats, self.seeds, self.cohort = repeats, seeds, cohort
        self.score_every, self.gradients, self.metrics = score_every, gradients, metrics
        self.folds = len(examples.folds) // len(seeds)
        self.groups = self.folds * repeats  # G of one seed
        self.rows = -(-target.fidelity // score_every)
        self.found = devices(say) if found is None else found
        self.adopt(programs)
        self.mesh = Mesh(np.array(self.found), ("device",), axis_types=(AxisType.Auto,))
        self.say, self.listen = say, listen
        self.compiled: dict[int, Compiled] = {}
        self.pools: dict[int, Pool] = {}
        self.data: dict[tuple, object] = {}
        self.host_data: dict[tuple, batches.Data] = {}  # for gradients, which spread it themselves
        self.history: list[Order] = []
        self.cache = cache
        self._recalled, self._released = False, set()
        self.home: dict[int, int] = {}  # live trial -> program
        self.age: dict[int, int] = {}  # live trial -> epoch that it was last trained until
        self.compile_seconds = self.run_seconds = 0.0
        self.networks_trained = 0
        self.probed: dict[int, int] = {}  # program -> chunk found on an accelerator
        self.draws: dict[
            tuple, np.ndarray
        ] = {}  # (group of all seeds, fresh seed, shape, dtype) -> draw

    def adopt(self, programs: Sequence[Program], devices: int | None = None) -> None:
        """Takes a plan's programs; shapes that they do not cover get programs of their own, behind these.

        Args:
            programs: of the plan.
            devices: that it was made for; those that are here where None.
        """
        self.programs, self.planned = list(programs), len(programs)
        self.planned_devices = devices or len(self.found)

    # --- orders ---
    def carry_out(self, order: Order) -> Results:
        """Trains an order's networks; leaves them in the pools."""
        if self._recalled:
            self._revive()
        results = self._differentiate(order) if order.grad else self._train(order)
        self.history.append(order)
        return results

    def recall(self, order: Order) -> None:
        """Takes note of an order that was carried out before a resume."""
        self.history.append(order)
        self._recalled = True

    def release(self, trials: np.ndarray) -> None:
        """Drops finished networks."""
        gone: dict[int, list[int]] = {}
        for trial in np.asarray(trials).tolist():
            if self._recalled:
                self._released.add(trial)
            if trial in self.home:
                gone.setdefault(self.home.pop(trial), []).append(trial)
                del self.age[trial]
        for number, here in gone.items():
            self.pools[number].drop(here)

    def _revive(self) -> None:
        """After a resume: live networks from the checkpoint, and from there by training recorded orders again."""
        self._recalled = False
        base = self._load()
        live = {t for order in self.history for t in order.trial.tolist()} - self._released
        changed = {t for order in self.history[base:] for t in order.trial.tolist()}
        need, steps = {t for t in live if t not in self.home or t in changed}, []
        for order in reversed(self.history[base:]):
            rows = np.flatnonzero(np.isin(order.trial, list(need)))
            if len(rows):
                steps.append(
                    Order(
                        order.trial[rows],
                        order.unit[rows],
                        order.source[rows],
                        order.epochs[rows],
                        order.seed[rows],
                    )
                )
                need -= set(order.trial[rows].tolist())
                need |= set(order.source[rows][order.source[rows] >= 0].tolist())
        for step in reversed(steps):
            self._train(step)
        self.release(np.array(sorted(set(self.home) - live), np.int64))

    def _load(self) -> int:
        """Reads the checkpoint into the pools; returns how many orders it has behind it, 0 without one."""
        if self.cache is None or not self.cache.exists():
            return 0
        try:
            arrays = checkpoint.verified(self.cache)
            orders, behind = int(arrays.pop("orders")), arrays.pop("behind")
        except checkpoint.FAULTS as fault:
            self.say(
                f"hpjax: {self.cache.name} is broken ({fault!s:.100}); its networks are trained again"
            )
            return 0
        if orders > len(self.history) or not np.array_equal(behind, self._behind(orders)):
            self.say(
                f"hpjax: {self.cache.name} does not belong to this ledger; its networks are trained again"
            )
            return 0
        for name in sorted(name for name in arrays if name.endswith("_trials")):
            saved = name.removesuffix("_trials")
            count = sum(other.startswith(f"{saved}_") for other in arrays) - 3
            leaves = [arrays[f"{saved}_{i}"] for i in range(count)]
            number = self._numbered(
                plan.unpacked(arrays[f"{saved}_program"], len(self.found), self.family)
            )
            shapes = [jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype) for leaf in leaves]
            self.pools[number] = pool = Pool(shapes, self.groups)
            slots = pool.reserve(arrays[name].tolist())
            for kept, leaf in zip(pool.leaves, leaves):
                kept[slots] = leaf
            self.home |= dict.fromkeys(arrays[name].tolist(), number)
            self.age |= dict(zip(arrays[name].tolist(), arrays[f"{saved}_ages"].tolist()))
        return orders

    # --- programs ---
    def _program_of(self, spec) -> int:
        """The number of a shape's program; one that the plan did not foresee is added behind the others."""
        at = plan.assign(self.programs[: self.planned], spec)
        if at is not None:
            return at
        made = plan.unforeseen(self.planned, spec, self.load, self.planned_devices)
        chunks = -(-made.chunks * self.planned_devices // len(self.found))
        return self._numbered(made._replace(chunks=chunks, devices=len(self.found)))

    def _numbered(self, added: Program) -> int:
        """The number of a program, which is added where it is new."""
        for number in range(len(self.programs)):
            if self.programs[number].spec == added.spec:
                return number
        self.programs.append(added)
        return len(self.programs) - 1

    def device_data(self, spec):
        """The task on the devices, for a spec's batch size, sampling and dtype."""
        name = (spec.batch_size, spec.sampling, spec.dtype)
        if name not in self.data:
            everywhere = NamedSharding(self.mesh, PartitionSpec())
            self.data[name] = jax.device_put(self._prepared(spec), everywhere)
        return self.data[name]

    def _prepared(self, spec) -> batches.Data:
        return batches.prepare(self.examples, self.repeats, self.seeds, self.target.fidelity, spec)

    def _compile(self, number: int, config: dict) -> Compiled:
        """The compiled program `number`; `config` shows the shapes of its leaves."""
        if number in self.compiled:
            return self.compiled[number]
        program = self.programs[number]
        started = time.perf_counter()
        self.listen("compile")
        data = self.device_data(program.spec)
        uneven = batches.uneven(self.examples, program.spec)
        call, begin = kernel(
            program, self.mesh, self.score_every, self.rows, self.gradients, uneven, self.metrics
        )
        lead = (program.chunks * program.devices, program.chunk)
        scalar = {
            name: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype) for name, leaf in config.items()
        }
        draws = program.spec.functions.draws
        one = jax.eval_shape(begin, draws, scalar)
        shapes = jax.tree.map(lambda s: jax.ShapeDtypeStruct((*lead, *s.shape), s.dtype), one)
        rows = NamedSharding(self.mesh, PartitionSpec("device"))
        empty = jax.tree.map(lambda s: jax.device_put(np.zeros(s.shape, s.dtype), rows), shapes)
        each = [
            np.zeros(lead[:1], kind) for kind in (bool, np.int32, np.int32, np.int32, np.uint32)
        ]
        wide = {
            name: np.zeros((*lead, *leaf.shape[1:]), leaf.dtype) for name, leaf in config.items()
        }
        draw = np.zeros((lead[0], *draws.shape), draws.dtype)
        arguments = (data, empty, wide, *each, draw)
        call = call.lower(*arguments).compile()
        elapsed = time.perf_counter() - started
        self.compile_seconds += elapsed
        self.listen("compiled", seconds=elapsed)
        self.compiled[number] = Compiled(program, call, empty, data)
        if number not in self.pools:
            self.pools[number] = Pool(jax.tree.leaves(one), self.groups)
        return self.compiled[number]

    def probe(self, units: np.ndarray) -> None:
        """Chooses each program's chunk on an accelerator: the narrowest at the knee of throughput, within its memory.

        Widths grow fourfold from `PROBE` while networks per second still grow by a quarter; a width that does not fit ends
        the search. The plan's chunk is the upper limit.

        Args:
            units: [n D] points of the space that between them use every program.
        """
        for group in configurations.split(self.space.decode(units), self.target, self.family):
            number = self._program_of(group.spec)
            if number in self.probed:
                continue
            program, first = self.programs[number], np.zeros(1, np.int64)
            config = program.spec.member(group.spec, group.config)
            config = self._cast({name: leaf[first] for name, leaf in config.items()}, program.spec)
            best, width = 0.0, min(PROBE, program.chunk)
            while True:
                self.programs[number] = program._replace(chunk=width)
                try:
                    rate = width / self._epoch_seconds(number, config)
                except jax.errors.JaxRuntimeError as fault:
                    if not exhausted(fault) or not best:
                        raise
                    break
                if rate < 1.25 * best:
                    break
                best, self.probed[number] = rate, width
                if width >= program.chunk:
                    break
                width = min(4 * width, program.chunk)
            if self.probed[number] != width:
                self.compiled.pop(number, None)
            self.programs[number] = program._replace(chunk=self.probed[number])

    def _epoch_seconds(self, number: int, config: dict) -> float:
        """Seconds that a full block of fresh networks needs for one epoch, compilation apart."""
        self.compiled.pop(number, None)
        dtype = self.programs[number].spec.dtype
        with jax.enable_x64(dtype == "float64"):
            compiled = self._compile(number, config)
            program = compiled.program
            places = program.chunks * program.devices
            lead = (places, program.chunk)
            wide = {n: np.broadcast_to(v[0], (*lead, *v.shape[1:])) for n, v in config.items()}
            each = [np.full(places, value, kind) for value, kind in ((True, bool), (0, np.int32), (1, np.int32), (0, np.int32), (0, np.uint32))]  # fmt: skip
            draw = self._drawn(program.spec, each[3], each[4], each[0])
            seconds = []
            for _ in range(2):
                begun = time.perf_counter()
                jax.block_until_ready(
                    compiled.call(compiled.data, compiled.empty, wide, *each, draw)
                )
                seconds.append(time.perf_counter() - begun)
        return seconds[-1]

    def _cast(self, config: dict, spec) -> dict:
        """Config leaves in the spec's dtype; counts as they are."""
        return {n: v.astype(spec.dtype) if v.dtype == np.float64 else v for n, v in config.items()}

    # --- training ---
    def _train(self, order: Order) -> Results:
        count, nan = len(order.trial), np.nan
        lead = (count, self.groups)
        results = Results(
            loss=np.full(lead, nan), error=np.full(lead, nan), train=np.full(lead, nan),
            reached=np.zeros(lead, np.int64), kept=np.zeros(lead, np.int64), own=np.full((*lead, len(self.metrics)), nan),
            curves=np.full((*lead, self.rows, 4 + len(self.metrics)), nan, np.float32),
            failed=np.zeros(count, bool), seconds=np.zeros(count),
        )  # fmt: skip
        # a network that did not fit in memory leaves none to go on from
        results.failed[:] = [s >= 0 and s not in self.home for s in order.source.tolist()]
        jobs: dict[int, list[tuple[np.ndarray, dict]]] = {}
        for group in configurations.split(self.space.decode(order.unit), self.target, self.family):
            number = self._program_of(group.spec)
            wide = self.programs[number].spec.member(group.spec, group.config)
            there = ~results.failed[group.rows]
            wide = {name: leaf[there] for name, leaf in wide.items()}
            jobs.setdefault(number, []).append((group.rows[there], wide))
            for source in order.source[group.rows].tolist():
                if self.home.get(source, number) != number:
                    raise ValueError(f"the network of trial {source} has another shape than the trial that goes on from it; a scheduler may not move structural hyperparameters")  # fmt: skip
        sources = self._snapshot(order)
        begins = np.array([self.age.get(source, 0) for source in order.source.tolist()])
        for number in sorted(jobs):
            rows = np.concatenate([rows for rows, _ in jobs[number]])
            configs = [config for _, config in jobs[number]]
            config = {name: np.concatenate([c[name] for c in configs]) for name in configs[0]}
            spec = self.programs[number].spec
            config = self._cast(config, spec)
            with jax.enable_x64(spec.dtype == "float64"):
                self._bucket(number, order, rows, begins[rows], config, sources, results)
        return results

    def _differentiate(self, order: Order) -> Results:
        """Trains an order's networks from the start to the end, with d loss / d unit; only last scores are kept."""
        if (order.source >= 0).any() or (order.epochs != self.target.fidelity).any():
            raise ValueError(
                "gradients are of whole trainings; use scheduler full with this search"
            )
        count, lead = len(order.trial), (len(order.trial), self.groups)
        curves = np.full((*lead, self.rows, 4 + len(self.metrics)), np.nan, np.float32)
        found: dict[str, np.ndarray] = {
            name: np.full(lead, np.nan) for name in ("loss", "error", "train")
        }
        found["own"] = np.full((*lead, len(self.metrics)), np.nan)
        grad, charged = np.zeros((*lead, order.unit.shape[1])), np.zeros(count, np.int64)
        failed, seconds = np.zeros(count, bool), np.zeros(count)
        cohort = self.cohort(order.trial)
        for group in configurations.split(self.space.decode(order.unit), self.target, self.family):
            spec = self.programs[self._program_of(group.spec)].spec
            whole = spec.member(group.spec, group.config)
            name = (spec.batch_size, spec.sampling, spec.dtype)
            if name not in self.host_data:
                self.host_data[name] = self._prepared(spec)
            for fresh in np.unique(order.seed[group.rows]).tolist():
                here = order.seed[group.rows] == fresh
                rows, begun = group.rows[here], time.perf_counter()
                which = [
                    (cohort[rows] * self.groups + g).astype(np.int32) for g in range(self.groups)
                ]
                draws = [
                    self._drawn(spec, w, order.seed[rows], np.ones(len(rows), bool)) for w in which
                ]
                config = {leaf: value[here] for leaf, value in whole.items()}
                try:
                    one = slopes.slopes(
                        self.space, self.target, self.examples, self.host_data[name], spec, config, order.unit[rows], which, draws,
                        fresh, self.gradients, self.say, self.family, self.metrics,
                    )  # fmt: skip
                except jax.errors.JaxRuntimeError as fault:
                    if not exhausted(fault):
                        raise
                    failed[rows], charged[rows] = True, order.epochs[rows]
                    self.say(f"hpjax: gradients of {len(rows)} networks, {spec.label}, do not fit in memory: FAILED")  # fmt: skip
                    continue
                for column in found:
                    found[column][rows] = getattr(one, column)
                grad[rows], charged[rows] = one.grad, slopes.cost(one.time, order.epochs[rows])
                seconds[rows] = (time.perf_counter() - begun) / len(rows)
        self.run_seconds += float(seconds.sum())
        self.networks_trained += count * self.groups
        epochs = np.broadcast_to(order.epochs[:, None], lead)
        last = [
            epochs,
            found["train"],
            found["loss"],
            found["error"],
            *np.moveaxis(found["own"], -1, 0),
        ]
        curves[:, :, -1] = np.stack(last, -1)
        return Results(
            found["loss"], found["error"], found["train"], epochs.copy(), epochs.copy(), found["own"], curves, failed, seconds,
            grad, charged,
        )  # fmt: skip

    def _snapshot(self, order: Order) -> dict[int, list[np.ndarray]]:
        """Copies of networks that others go on from: all sources are read before any is overwritten."""
        taken = order.source[(order.source >= 0) & (order.source != order.trial)]
        found = {}
        for trial in set(taken.tolist()) & set(self.home):
            pool = self.pools[self.home[trial]]
            found[trial] = [leaf[pool.slot[trial]].copy() for leaf in pool.leaves]
        return found

    def _bucket(
        self, number: int, order: Order, rows, begins, config: dict, sources: dict, results: Results
    ) -> None:
        """Streams the trials `rows` of an order, all of one program, through its blocks."""
        left = np.ones((len(rows), self.groups), bool)
        while left.any():
            try:
                compiled = self._compile(number, config)
                self._blocks(number, compiled, order, rows, begins, config, sources, results, left)
            except jax.errors.JaxRuntimeError as fault:
                if not exhausted(fault):
                    raise
                program = self.programs[number]
                if program.chunk * program.chunks == 1:
                    results.failed[rows[left.any(1)]] = True
                    self.say(
                        f"hpjax: {left.any(1).sum()} networks, {program.spec.label}, do not fit in memory: FAILED"
                    )
                    return
                half = (
                    program._replace(chunks=program.chunks // 2)
                    if program.chunks > 1
                    else program._replace(chunk=program.chunk // 2)
                )
                self.programs[number] = half
                self.compiled.pop(number, None)
                self.say(
                    f"hpjax: out of memory; blocks of {half.width} networks instead of {program.width}"
                )

    def _blocks(
        self, number, compiled, order, rows, begins, config, sources, results, left
    ) -> None:
        program, pool = compiled.program, self.pools[number]
        table = self._chunks(program, order, rows, begins, left)
        places = program.chunks * program.devices
        one_epoch = self.load._replace(epochs=1)
        epoch_seconds = plan.seconds(program.spec, program.width, one_epoch, program.devices, program.chunk)  # fmt: skip
        spread = np.arange(places).reshape(program.chunks, program.devices).T.ravel().argsort()
        treedef = jax.tree.structure(compiled.empty)
        for start in range(0, len(table), places):
            part = table[start : start + places]
            # chunk j of the block goes to device j mod D: lengths are sorted, so devices get equal shares
            at = spread[np.arange(len(part))]
            member = np.full((places, program.chunk), -1)
            group = np.zeros(places, np.int32)  # of all seeds
            member[at] = [chunk for _, chunk in part]
            group[at] = [g for g, _ in part]
            own = group % self.groups  # of its seed
            real = member >= 0
            local = np.maximum(member, 0)
            first = rows[local[:, 0]]  # a chunk's networks are alike in all of these
            trial, source = order.trial[rows[local]], np.where(real, order.source[rows[local]], -1)
            fresh, busy = order.source[first] < 0, real[:, 0]
            begin = begins[local[:, 0]].astype(np.int32)
            until = np.where(busy, order.epochs[first], 0).astype(np.int32)
            seed = order.seed[first].astype(np.uint32)
            state = compiled.empty
            if (source >= 0).any():
                state = self._gather(number, source, trial, own, sources, treedef)
            here = {name: leaf[local] for name, leaf in config.items()}
            draw = self._drawn(program.spec, group, seed, fresh & busy)
            begun = time.perf_counter()
            state, curve = compiled.call(
                compiled.data, state, here, fresh, begin, until, group, seed, draw
            )
            leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
            curve = np.asarray(curve)
            elapsed = time.perf_counter() - begun
            self.run_seconds += elapsed
            work = epoch_seconds * float((until - begin).max())
            self.listen("block", seconds=elapsed, work=work, networks=int(real.sum()))
            spot, g = local[real], np.broadcast_to(own[:, None], real.shape)[real]
            trained = np.maximum(np.broadcast_to((until - begin)[:, None], real.shape)[real], 1)
            np.add.at(results.seconds, rows[spot], elapsed * trained / trained.sum())
            self._score(
                results,
                rows[spot],
                g,
                jax.tree.unflatten(treedef, [leaf[real] for leaf in leaves]),
                curve[real],
                {n: v[spot] for n, v in config.items()},
            )
            owners = order.trial[rows[spot]].tolist()
            slots = pool.reserve(owners)
            for kept, leaf in zip(pool.leaves, leaves):
                kept[slots, g] = leaf[real]
            for owner in set(owners):
                if self.home.get(owner, number) != number:
                    self.pools[self.home[owner]].drop([owner])
                self.home[owner] = number
            self.age |= dict(zip(owners, order.epochs[rows[spot]].tolist()))
            left[spot, g] = False

    def _chunks(
        self, program: Program, order: Order, rows, begins, left
    ) -> list[tuple[int, np.ndarray]]:
        """The members still to train, as (group of all seeds, rows [chunk]), longest first; -1 is a spare place.

        Members of a chunk are of one group, and start and end together.
        """
        fresh = order.source[rows] < 0
        cohort = self.cohort(order.trial[rows])
        kinds = np.stack([fresh, begins, order.epochs[rows], order.seed[rows], cohort], 1)
        table = []
        for group in range(self.groups):
            here = np.flatnonzero(left[:, group])
            _, kind = np.unique(kinds[here], axis=0, return_inverse=True)
            for which in range(kind.max(initial=-1) + 1):
                alike = here[kind.ravel() == which]
                for start in range(0, len(alike), program.chunk):
                    part = alike[start : start + program.chunk]
                    chunk = np.pad(part, (0, program.chunk - len(part)), constant_values=-1)
                    length = int(order.epochs[rows[part[0]]] - begins[part[0]])
                    table.append((length, int(cohort[part[0]]) * self.groups + group, chunk))
        table.sort(key=lambda entry: -entry[0])
        return [(group, chunk) for _, group, chunk in table]

    def _drawn(self, spec, group: np.ndarray, seed: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The draws [chunks, n] that fresh networks start from."""
        draws = spec.functions.draws
        found = np.zeros((len(group), *draws.shape), draws.dtype)
        for at in np.flatnonzero(wanted):
            name = (int(group[at]), int(seed[at]), draws.shape, draws.dtype)
            kept = self.draws.get(name)
            if kept is None:
                fold, repeat = divmod(name[0], self.repeats)
                which, fold = divmod(fold, self.folds)
                kept = batches.drawn(self.seeds[which], repeat, fold, name[1], spec)
                self.draws[name] = kept
            found[at] = kept
        return found

    def _gather(self, number, source, trial, group, sources, treedef):
        """The block's states: from the pool, or from the snapshot where a network goes on from another's weights."""
        pool = self.pools[number]
        own = (source >= 0) & (source == trial)
        leaves = [np.zeros((*source.shape, *leaf.shape[2:]), leaf.dtype) for leaf in pool.leaves]
        g = np.broadcast_to(group[:, None], source.shape)
        if own.any():
            slots = np.array([pool.slot[t] for t in source[own].tolist()])
            for leaf, kept in zip(leaves, pool.leaves):
                leaf[own] = kept[slots, g[own]]
        for i, j in np.argwhere((source >= 0) & ~own):
            for leaf, kept in zip(leaves, sources[int(source[i, j])]):
                leaf[i, j] = kept[group[i]]
        return jax.tree.unflatten(treedef, leaves)

    def _score(self, results: Results, rows, groups, state: loop.TrainState, curve, config) -> None:
        scores, kept = state.scores, state.epoch
        if state.best:  # early stopping reports the epoch whose weights it keeps
            patient = (config["patience"] > 0) & np.isfinite(state.best.scores.loss)
            scores = jax.tree.map(lambda a, b: np.where(patient, a, b), state.best.scores, scores)
            kept = np.where(patient, state.best.epoch, kept)
        results.loss[rows, groups], results.error[rows, groups] = scores.loss, scores.error
        results.train[rows, groups], results.reached[rows, groups] = scores.train, state.epoch
        results.kept[rows, groups], results.curves[rows, groups] = kept, curve
        for at, values in enumerate(scores.own):
            results.own[rows, groups, at] = values
        self.networks_trained += len(rows)

    # --- networks on disk ---
    def networks(self, trial: int) -> loop.TrainState:
        """A live trial's states, leaves of [G, ...]."""
        number = self.home[trial]
        pool = self.pools[number]
        leaves = [leaf[pool.slot[trial]] for leaf in pool.leaves]
        return jax.tree.unflatten(jax.tree.structure(self.compiled[number].empty), leaves)

    def saved(self) -> dict[str, np.ndarray]:
        """Arrays from which `_load` makes the live networks again."""
        orders = len(self.history)
        arrays = {"orders": np.array(orders), "behind": self._behind(orders)}
        for number, pool in self.pools.items():
            if pool.slot:
                arrays[f"p{number}_program"] = plan.packed(self.programs[number])
                trials = sorted(pool.slot)
                slots = np.array([pool.slot[trial] for trial in trials])
                arrays[f"p{number}_trials"] = np.array(trials)
                arrays[f"p{number}_ages"] = np.array([self.age[trial] for trial in trials])
                for i, leaf in enumerate(pool.leaves):
                    arrays[f"p{number}_{i}"] = leaf[slots]
        return checkpoint.signed(arrays)

    def _behind(self, orders: int) -> np.ndarray:
        """What tells the first orders of this study from those of another."""
        columns = ("trial", "unit", "source", "epochs")
        return checkpoint.digest(
            (name, np.asarray(getattr(order, name)))
            for order in self.history[:orders]
            for name in columns
        )
