"""How one block of networks is trained: who builds its function. XLA's `vmap` by default, the networks on the last axis where they are
tiny; a new kernel says which shapes it trains.

A kernel makes, of a program, the function

    (state, config, fresh, start, until, group, seed, draw, data) -> (state, curve)

State and config lead with [chunks on all devices, chunk]; the next five are one per chunk: its networks begin and end at the
same epochs, so that its loops need no masks. `draw` leads with one flat draw per chunk, `curve` is [chunks, chunk, rows, 4+M].
"""

from __future__ import annotations

import functools
from collections.abc import Callable
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
from hpjax.training import batches, loop
from hpjax.training.metrics import Metrics


class Kernel(NamedTuple):
    """A way to train blocks.

    supports: (program, platform of the devices, examples of the largest training part) -> whether it trains the program's networks
    build:    (program, trainer, mesh) -> the function of a block
    """

    supports: Callable[[Program, str, int], bool]
    build: Callable[[Program, loop.Trainer, Mesh], Callable]


# (network, what it shares with the others, what is its own [chunk ...]) -> what each makes of it, [chunk ...]
Together = Callable[[Callable[..., Any], tuple, tuple], Any]


def chunk_by_chunk(
    together: Together, program: Program, trainer: loop.Trainer, mesh: Mesh
) -> Callable:
    """Devices stand side by side; each goes through its chunks one after another; a chunk's networks train in lockstep."""
    spec = program.spec
    # its networks may stop at different epochs
    own_pace = bool({"epochs", "patience"} & set(spec.features))

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
        begun = trainer.init(draw, config)
        state = jax.tree.map(partial(jnp.where, fresh), begun, state)
        if not own_pace:
            state = state._replace(epoch=start)
        return trainer.advance(state, config, data, group, until)

    def chunk(args: tuple, data: batches.Data) -> Any:
        state, config, fresh, start, until, group, seed, draw = args
        shared = (batches.keyed(data, seed), fresh, start, until, group, draw)
        return together(network, shared, (state, config))

    def device(data: batches.Data, *args: Any) -> Any:
        if program.chunks == 1:
            one = chunk(jax.tree.map(lambda leaf: leaf[0], args), data)
            return jax.tree.map(lambda leaf: leaf[None], one)
        return jax.lax.map(lambda one: chunk(one, data), args)

    return side_by_side(device, mesh, shared=1, parted=8)


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
    program: Program,
    mesh: Mesh,
    score_every: int,
    rows: int,
    gradients: str,
    uneven: bool,
    metrics: Metrics,
    kernel: Kernel,
) -> tuple[Any, Callable]:
    """The function of a program's blocks, jitted, and (draw, config) -> the state that one network begins with.

    JAX keeps what it traced and compiled as long as the function lives: kept here, a second study of the same shapes in one
    process compiles nothing.
    """
    trainer = loop.trainer(program.spec, score_every, rows, gradients, uneven, metrics)
    begin = lambda draw, config: trainer.init(draw, cast(config, program.spec))
    return jax.jit(kernel.build(program, trainer, mesh)), begin
