"""How one block of networks is trained: who builds its function. XLA's `vmap` by default, the networks on the last axis where they are
tiny; a new kernel says which shapes it trains.

A kernel makes, of a program, the function

    (state, config, fresh, start, until, group, seed, draw, data) -> (state, curve)

State and config lead with [chunks on all devices, chunk]; the next five are one per chunk: its networks begin and end at the
same epochs, so that its loops need no masks. `draw` leads with one flat draw per chunk, `curve` is [chunks, chunk, rows, 4+M].
Of a program whose examples stay with the host it makes the `Stages` of that function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from hpjax.devices import side_by_side
from hpjax.models.base import cast
from hpjax.population import plan
from hpjax.population.last_axis import NoRule, mapped_last
from hpjax.population.plan import Program
from hpjax.training import batches, loop, piecewise


class Kernel(NamedTuple):
    """A way to train blocks.

    supports: (program, platform of the devices, examples of the largest training part) -> whether it trains the program's networks
    build:    (program, trainer, mesh) -> the function of a block
    """

    supports: Callable[[Program, str, int], bool]
    build: Callable[[Program, loop.Trainer, Mesh], Callable | Stages]


# (network, what it shares with the others, what is its own [chunk ...]) -> what each makes of it, [chunk ...]
Together = Callable[[Callable[..., Any], tuple, tuple], Any]


def chunk_by_chunk(
    together: Together, program: Program, trainer: loop.Trainer, mesh: Mesh
) -> Callable | Stages:
    """Devices stand side by side; each goes through its chunks one after another; a chunk's networks train in lockstep."""
    if program.piece:
        return in_stages(together, program, trainer, mesh)
    spec = program.spec

    def network(
        data: batches.Data,
        fresh: Any,
        start: Any,
        until: Any,
        group: Any,
        draw: Any,
        state: loop.TrainState,
        config: dict,
    ) -> Any:
        config = cast(config, spec)
        state = begun(trainer, fresh, start, draw, state, config)
        return trainer.advance(state, config, data, group, until)

    def chunk(args: tuple, data: batches.Data) -> Any:
        state, config, fresh, start, until, group, seed, draw = args
        shared = (batches.keyed(data, seed), fresh, start, until, group, draw)
        return together(network, shared, (state, config))

    def device(data: batches.Data, *args: Any) -> Any:
        return each(lambda one: chunk(one, data), program.chunks, args)

    return side_by_side(device, mesh, shared=1, parted=8)


class Stages(NamedTuple):
    """The function of a block, piece by piece of its examples: `population/streaming.py` calls one after another.

    All arguments lead with [chunks on all devices], states, totals and configs with [chunks on all devices, chunk].
    """

    begin: Any  # (fresh, start, draw, state, config) -> state
    # (data, seed, epoch, first, many, steps, until, state, total, config) -> (state, total, whether the epoch is at its end)
    train: Any
    predict: Any  # (data, first, state, outputs, config) -> outputs
    # (data, until, state, curve, outputs, config, ended) -> (state, curve, whether it trains on)
    score: Any

    def each(self, change: Callable[..., Any], *given: Sequence[Any]) -> Stages:
        """All of them changed."""
        return Stages(*map(change, self, *given))


# which of their arguments each of the stages may write its results over: states, and what grows with them
ONCE = Stages((), (7, 8), (3,), (2, 3))


def in_stages(together: Together, program: Program, trainer: loop.Trainer, mesh: Mesh) -> Stages:
    """What `chunk_by_chunk` makes, where devices hold a piece of the examples at a time."""
    spec = program.spec

    def begin(*args: Any) -> Any:
        network = lambda fresh, start, draw, state, config: begun(
            trainer, fresh, start, draw, state, cast(config, spec)
        )
        return together(network, args[:3], args[3:])

    def train(data: batches.Data, seed: Any, *args: Any) -> Any:
        network = lambda data, epoch, first, many, steps, until, state, total, config: (
            piecewise.piece(
                trainer, state, total, cast(config, spec), data, epoch, first, many, steps, until
            )
        )
        return together(network, (batches.keyed(data, seed), *args[:5]), args[5:])

    def predict(*args: Any) -> Any:
        network = lambda data, first, state, outputs, config: piecewise.predict(
            trainer, state, outputs, cast(config, spec), data, first
        )
        return together(network, args[:2], args[2:])

    def score(*args: Any) -> Any:
        network = lambda data, until, state, curve, outputs, config, ended: piecewise.score(
            trainer, state, curve, outputs, cast(config, spec), data, ended, until
        )
        return together(network, args[:2], args[2:])

    def parted(stage: Callable[..., Any], many: int) -> Callable:
        device = lambda *args: each(lambda one: stage(*one), program.chunks, args)
        return side_by_side(device, mesh, shared=0, parted=many)

    return Stages(parted(begin, 5), parted(train, 10), parted(predict, 5), parted(score, 7))


def begun(
    trainer: loop.Trainer,
    fresh: Any,
    start: Any,
    draw: Any,
    state: loop.TrainState,
    config: dict,
) -> loop.TrainState:
    """What a network of a block trains from: a fresh state, or the one that it had, at epoch `start`."""
    state = jax.tree.map(partial(jnp.where, fresh), trainer.init(draw, config), state)
    # others have counted their epochs themselves
    return state if loop.own_pace(trainer.spec) else state._replace(epoch=start)


def each(chunk: Callable[[tuple], Any], chunks: int, args: tuple) -> Any:
    """A device's chunks, one after another: leaves of [chunks ...]."""
    if chunks == 1:
        one = chunk(jax.tree.map(lambda leaf: leaf[0], args))
        return jax.tree.map(lambda leaf: leaf[None], one)
    return jax.lax.map(chunk, args)


def vmapped(network: Callable[..., Any], shared: tuple, own: tuple) -> Any:
    """Networks on the first axis of every array."""
    axes = (None,) * len(shared) + (0,) * len(own)
    return jax.vmap(network, axes)(*shared, *own)


def last_axis(network: Callable[..., Any], shared: tuple, own: tuple) -> Any:
    """Networks on the last axis of every array; on the first where something that they do has no rule for that."""
    turned = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), own)
    try:
        found = mapped_last(network, shared, turned)
    except NoRule:
        return vmapped(network, shared, own)
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), found)


# The first that supports a program trains it.
KERNELS: dict[str, Kernel] = {
    "last axis": Kernel(
        lambda program, platform, examples: platform == "cpu" and plan.tiny(program.spec, examples),
        partial(chunk_by_chunk, last_axis),
    ),
    "vmap": Kernel(lambda *asked: True, partial(chunk_by_chunk, vmapped)),
}


def kernel_of(program: Program, platform: str, examples: int) -> Kernel:
    """The kernel that trains a program."""
    asked = program, platform, examples
    return next(kernel for kernel in KERNELS.values() if kernel.supports(*asked))


@functools.lru_cache(maxsize=64)
def jitted(
    program: Program, mesh: Mesh, trainer: loop.Trainer, kernel: Kernel
) -> tuple[Any, Callable]:
    """The function of a program's blocks, or its stages, jitted, and (draw, config) -> the state that one network begins with.

    JAX keeps what it traced and compiled as long as the function lives: kept here, a second study of the same shapes in one
    process compiles nothing.
    """
    begin = lambda draw, config: trainer.init(draw, cast(config, program.spec))
    built = kernel.build(program, trainer, mesh)
    if isinstance(built, Stages):
        return built.each(lambda stage, once: jax.jit(stage, donate_argnums=once), ONCE), begin
    return jax.jit(built), begin
