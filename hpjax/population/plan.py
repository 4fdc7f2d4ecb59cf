"""Which trials share a program, and how wide a block is.

A program costs a second or two to compile; a padded one does more arithmetic than its networks need. The plan trades one
for the other by a small cost model of constants, never of timings, so that equal studies have equal plans.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from hpjax.models import Family, Spec
from hpjax.processor import cache_size, features, shared_cache_size
from hpjax.training.optimizers import OPTIMIZERS

COMPILE = 2.5  # seconds a program costs
WIDEST_CHUNK = 256
# networks that are trained on the last axis of arrays: units of a layer and examples of a minibatch at most; and as many in a chunk
TINY, WIDEST_TINY_CHUNK = 16, 1024
LOCKSTEP = 8  # measured: results/LOG.md, 2026-11-30
SEEN_LATE = 64  # trials that share the blocks of shapes which a plan did not foresee
# jaxlib 0.10.2 on CPU sums rows wrongly, silently, when a batched reduction has more bytes of them
ROW_BYTES = 2**17
CHUNKS = 1  # chunks per device in a block
PIECE_BYTES = 2**25  # of examples that go to a device at once, where it does not hold all of them
SHAPES = 100  # distinct shapes beyond which widths are rounded up to the ladder


class Rates(NamedTuple):
    """What a core does in training."""

    flop: float  # a second
    moved: float  # bytes a second of weights, moments and gradients
    launch: float  # seconds that a step costs whatever its size


# what a processor can do -> measured on one that can, the first that fits: results/LOG.md, 2026-11-30
RATES = {"avx512f": Rates(120e9, 40e9, 25e-6), "": Rates(60e9, 20e9, 40e-6)}


class Program(NamedTuple):
    """One compiled program: the networks it can hold, and how many at once."""

    spec: Spec  # exact, or padded
    chunk: int  # networks in lockstep, as many as train soonest
    chunks: int  # chunks per device in one call
    devices: int
    # minibatches whose examples are on the devices at once; 0 where they hold all of the task
    piece: int = 0

    @property
    def width(self) -> int:
        """Networks in a block."""
        return self.chunk * self.chunks * self.devices


def written(program: Program) -> dict:
    """A program as the ledger's plan keeps it: what of its shape is not the default, and its block."""
    entry = {
        "spec": program.spec.written(),
        "chunk": program.chunk,
        "chunks": program.chunks,
    }
    return entry | ({"piece": program.piece} if program.piece else {})


def read(entry: Mapping, planned_devices: int, devices: int, family: Family) -> Program:
    """A program that a ledger's plan keeps, for as many networks in a block on another number of devices.

    Args:
        entry: as `written` makes it.
        planned_devices: devices that the plan was made for.
        devices: there are here.
        family: of the models.
    """
    chunks = -(-entry["chunks"] * planned_devices // devices)
    spec, piece = family.read(entry["spec"]), entry.get("piece", 0)
    return Program(spec, entry["chunk"], chunks, devices, piece)


def packed(program: Program) -> np.ndarray:
    """A program as bytes [n] uint8, for archives of arrays."""
    return np.frombuffer(json.dumps(written(program), sort_keys=True).encode(), np.uint8)


def unpacked(data: np.ndarray, devices: int, family: Family) -> Program:
    """What `packed` made, for so many devices."""
    return read(json.loads(data.tobytes()), devices, devices, family)


class Load(NamedTuple):
    """What a study asks of the machine."""

    trials: int  # expected
    groups: int  # folds x repeats
    epochs: float  # expected per trial
    train: int  # examples in the largest training part
    valid: int  # examples in the largest validation part
    score_every: int
    memory: int = 0  # bytes of an accelerator; 0 on CPUs, whose caches count instead
    seeds: int = 1  # that the trials are of: networks of different ones share no chunk
    # (trials of a seed that are trained together, 0 for all that are asked for at once; for how many epochs); all at once where ()
    orders: tuple[tuple[int, int], ...] = ()
    batch: int | None = None  # trials of a seed that are asked for at once; any number where None
    stream: bool = False  # whether examples stay with the host

    def together(self) -> dict[int, int]:
        """Trials of a seed that are trained together -> for how many epochs, over all orders."""
        most = max(1, math.ceil(self.trials / self.seeds))
        found: dict[int, int] = {}
        for trials, epochs in self.orders or ((0, 1),):
            many = min(most, trials or self.batch or most)
            found[many] = found.get(many, 0) + epochs
        return {trials: epochs for trials, epochs in found.items() if epochs} or {most: 1}


def member_bytes(spec: Spec, batch: int) -> int:
    """Bytes that one network's training step touches: weights, gradients, moments, activations."""
    size, moments = spec.size, OPTIMIZERS[spec.optimizer].moments(spec)
    numbers = size.weights * (2 + moments) + 3 * batch * (spec.inputs + size.units)
    return np.dtype(spec.dtype).itemsize * numbers


def epoch_seconds(spec: Spec, load: Load) -> Callable[[int], float]:
    """Networks of a chunk -> predicted seconds in which a core trains them for an epoch."""
    batch, overhead, rates = spec.batch(load.train), spec.overhead, rates_of(load)
    steps, size = -(-load.train // batch), spec.size
    validation = 2 * size.products * load.valid / max(1, load.score_every * steps)
    flop = 6 * batch * size.products + validation
    item = np.dtype(spec.dtype).itemsize
    moved = item * size.weights * OPTIMIZERS[spec.optimizer].traffic
    work = flop / rates.flop + moved / rates.moved
    return lambda chunk: steps * (rates.launch + chunk * overhead * work)


def rates_of(load: Load) -> Rates:
    """Of this processor's cores; accelerators, which are probed before a study begins, are planned for as the fastest."""
    if load.memory:
        return RATES["avx512f"]
    return next(rates for able, rates in RATES.items() if not able or able in features())


def training_seconds(spec: Spec, share: float, load: Load, devices: int) -> Callable[[int], float]:
    """Networks of a chunk -> predicted seconds of training a share of the trials of a study, order by order: a chunk that is not full
    takes as long as a full one.
    """
    together, of_epoch = load.together(), epoch_seconds(spec, load)
    planned = load.seeds * sum(trials * epochs for trials, epochs in together.items())
    scale = load.trials * load.epochs / planned

    def seconds(chunk: int) -> float:
        total = 0.0
        for trials, epochs in together.items():
            members = share * trials
            chunks = load.seeds * load.groups * math.ceil(max(1.0, members) / chunk)
            total += epochs * math.ceil(chunks / devices) * min(1.0, members)
        return scale * total * of_epoch(chunk)

    return seconds


def lockstep_bytes() -> int:
    """What networks in lockstep on a core may touch in a step: half of what it has of the third-level cache, up to `LOCKSTEP` times the
    second level. The time of starting kernels that is saved is more than what the slower memory costs.
    """
    return max(cache_size(), min(LOCKSTEP * cache_size(), shared_cache_size() // 2))


def tiny(spec: Spec, examples: int) -> bool:
    """Whether starting the products of a network costs a CPU more than they compute: measured, results/LOG.md, 2026-11-30.

    Args:
        spec: of the network.
        examples: of the training part.
    """
    return spec.batch(examples) <= TINY and spec.size.longest <= TINY


def chunk_of(spec: Spec, share: float, load: Load, devices: int) -> int:
    """Networks in lockstep, a power of two, of a program that trains a share of the trials.

    On CPUs that with which the study is trained soonest, of what `lockstep_bytes` hold and ROW_BYTES allows; on accelerators as many as
    their memory holds, which is probed for the knee of throughput before the study begins.
    """
    touched, trials = member_bytes(spec, spec.batch(load.train)), max(1.0, share * load.trials)
    # states in, states out, and what a step touches
    if load.memory:
        wide = min(load.memory // (4 * touched), math.ceil(trials / devices))
        return 1 << (max(1, wide).bit_length() - 1)
    rows = max(load.valid, spec.batch(load.train), spec.size.longest)
    sound = max(1, ROW_BYTES // (np.dtype(spec.dtype).itemsize * rows))
    most = WIDEST_TINY_CHUNK if tiny(spec, load.train) else WIDEST_CHUNK
    widest = min(most, max(1, lockstep_bytes() // touched), sound)
    chunks = [1 << power for power in range(widest.bit_length())]
    return min(chunks, key=training_seconds(spec, share, load, devices))


def make(
    specs: Sequence[Spec],
    shares: Sequence[float],
    load: Load,
    devices: int,
) -> tuple[Program, ...]:
    """Chooses programs for the shapes that a study is expected to see.

    Merges shapes greedily, the best pair first, as long as the model says that compiling one program less saves more
    than padding costs.

    Args:
        specs: distinct exact shapes.
        shares: how large a part of the trials each makes up.
        load: what the study asks of the machine.
        devices: cores or accelerators.

    Returns:
        Programs that together cover all shapes.
    """

    def cost(spec: Spec, share: float) -> float:
        chunk = chunk_of(spec, share, load, devices)
        return COMPILE + training_seconds(spec, share, load, devices)(chunk)

    alike: dict[tuple, dict[Spec, float]] = {}
    for spec, share in zip(*rounded(specs, shares)):
        group = alike.setdefault(spec.signature(), {})
        group[spec] = group.get(spec, 0.0) + share
    chosen = [
        candidate
        for group in alike.values()
        for candidate in _merged(
            [Candidate(s, share, cost(s, share)) for s, share in group.items()], cost
        )
    ]
    return tuple(program(each.spec, each.share, load, devices) for each in chosen)


class Candidate(NamedTuple):
    """A shape that may become a program."""

    spec: Spec
    share: float  # of the trials
    cost: float  # predicted seconds, compilation included


class Merger(NamedTuple):
    """One program in the place of two."""

    saved: float  # seconds
    joint: Candidate


def _merged(candidates: list[Candidate], cost: Callable[[Spec, float], float]) -> list[Candidate]:
    """Shapes of one signature, merged pair by pair, the pair that saves most first."""

    def merger(a: Candidate, b: Candidate) -> Merger:
        spec, share = a.spec.joined([a.spec, b.spec]), a.share + b.share
        joint = Candidate(spec, share, cost(spec, share))
        return Merger(a.cost + b.cost - joint.cost, joint)

    live = dict(enumerate(candidates))
    mergers = {(i, j): merger(live[i], live[j]) for i, j in combinations(live, 2)}
    while mergers:
        best = max(mergers, key=lambda pair: mergers[pair].saved)
        if mergers[best].saved <= 0:
            break
        number, joint = max(live) + 1, mergers[best].joint
        live = {i: candidate for i, candidate in live.items() if i not in best}
        mergers = {pair: known for pair, known in mergers.items() if not set(pair) & set(best)}
        mergers |= {(i, number): merger(candidate, joint) for i, candidate in live.items()}
        live[number] = joint
    return list(live.values())


def rounded(specs: Sequence[Spec], shares: Sequence[float]) -> tuple[list[Spec], list[float]]:
    """The shapes as they are while they are few; else with widths rounded up to the ladder, or to powers of it."""
    kept = dict(zip(specs, shares))
    for every in (1, 2, 4):
        if len(kept) <= SHAPES:
            break
        kept = {}
        for wide, share in zip(specs[0].laddered(specs, every), shares):
            kept[wide] = kept.get(wide, 0.0) + share
    return list(kept), list(kept.values())


def program(spec: Spec, share: float, load: Load, devices: int) -> Program:
    """A program with its block width."""
    chunk = chunk_of(spec, share, load, devices)
    needed = math.ceil(max(1.0, share * load.trials) * load.groups / (chunk * devices))
    return Program(spec, chunk, max(1, min(CHUNKS, needed)), devices, piece_of(spec, load, devices))


def piece_of(spec: Spec, load: Load, devices: int) -> int:
    """Minibatches whose examples are on a device at once; 0 where it holds the whole task, or where a minibatch is all of it."""
    if not spec.batch_size or not load.stream:
        return 0
    row = np.dtype(spec.dtype).itemsize * (spec.inputs + spec.outputs)
    most = PIECE_BYTES if load.memory else PIECE_BYTES // devices  # CPUs share their memory
    return max(1, min(most // (row * spec.batch_size), spec.steps(load.train)))


def assign(programs: Sequence[Program], spec: Spec) -> int | None:
    """The cheapest program of a plan that covers a shape; None if there is none."""
    fitting = [i for i, p in enumerate(programs) if p.spec.covers(spec)]
    return min(fitting, key=lambda i: (programs[i].spec.weights, i), default=None)


def unforeseen(planned: int, spec: Spec, load: Load, devices: int) -> Program:
    """The program of a shape that none of the `planned` programs covers.

    It depends on the plan and the shape alone (and on what schedulers order), never on what was trained before, nor on how many trials there are to be: a network stays in one program for its
    whole life, and a resumed study or a comparison meets its shapes in another order but trains them in the same programs.
    """
    return program(spec.roomier(), 1 / (planned + 1), load._replace(trials=SEEN_LATE), devices)


def halved(program: Program) -> Program | None:
    """The program with half as many networks in a block; None where it has but one a device."""
    if program.chunks > 1:
        return program._replace(chunks=program.chunks // 2)
    return program._replace(chunk=program.chunk // 2) if program.chunk > 1 else None


def waste(programs: Sequence[Program], specs: Sequence[Spec], shares: Sequence[float]) -> float:
    """Share of the arithmetic that is padding."""
    done = true = 0.0
    for spec, share in zip(specs, shares):
        at = assign(programs, spec)
        program = programs[at].spec if at is not None else spec.roomier()
        done += share * program.size.products
        true += share * spec.size.products
    return 1 - true / done if done else 0.0
