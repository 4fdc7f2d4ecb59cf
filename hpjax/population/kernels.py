"""How one block of networks is trained: who builds its function. XLA's `vmap` by default; a new kernel says which shapes it can train.

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
from hpjax.population.plan import Program
from hpjax.training import batches, loop
from hpjax.training.metrics import Metrics


class Kernel(NamedTuple):
    """A way to train blocks.

    supports: (program, platform of the devices) -> whether it can train the program's networks
    build:    (program, trainer, mesh) -> the function of a block
    """

    supports: Callable[[Program, str], bool]
    build: Callable[[Program, loop.Trainer, Mesh], Callable]


# --- vmap -------------------------------------------------------------------------------------------------------------
def vmapped(program: Program, trainer: loop.Trainer, mesh: Mesh) -> Callable:
    """Devices stand side by side; each goes through its chunks one after another; a chunk's networks train in lockstep."""
    spec = program.spec
    # its networks may stop at different epochs
    own_pace = bool({"epochs", "patience"} & set(spec.features))

    def chunk(args: tuple, data: batches.Data) -> Any:
        state, config, fresh, start, until, group, seed, draw = args
        data = batches.keyed(data, seed)

        def network(state: loop.TrainState, config: dict) -> Any:
            config = cast(config, spec)
            begun = trainer.init(draw, config)
            state = jax.tree.map(partial(jnp.where, fresh), begun, state)
            if not own_pace:
                state = state._replace(epoch=start)
            return trainer.advance(state, config, data, group, until)

        return jax.vmap(network)(state, config)

    def device(data: batches.Data, *args: Any) -> Any:
        if program.chunks == 1:
            one = chunk(jax.tree.map(lambda leaf: leaf[0], args), data)
            return jax.tree.map(lambda leaf: leaf[None], one)
        return jax.lax.map(lambda one: chunk(one, data), args)

    return side_by_side(device, mesh, shared=1, parted=8)


# The first that supports a program trains it.
KERNELS: dict[str, Kernel] = {"vmap": Kernel(lambda program, platform: True, vmapped)}


def kernel_of(program: Program, platform: str) -> Kernel:
    """The kernel that trains a program."""
    return next(kernel for kernel in KERNELS.values() if kernel.supports(program, platform))


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
