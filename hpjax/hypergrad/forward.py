"""Forward mode: one tangent per hyperparameter, carried along with training; memory does not grow with the horizon.

Z_(t+1) = (d step / d state) Z_t + d step / d hyperparameters (Franceschi et al. 2017, forward-HG).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from hpjax.hypergrad.process import Process, real_leaves, with_real


def forward(process: Process, coordinates: dict):
    """The objective, the last state, and the gradient: m tangents beside one training run.

    Args:
        process: a training run.
        coordinates: where to differentiate, m numbers in all.
    """
    flat, restore = ravel_pytree(coordinates)
    basis = [jnp.eye(flat.size, dtype=flat.dtype)]
    hyper, dhyper = push(lambda flat: process.hyper(restore(flat)), flat, basis)
    state, dstate = push(process.begin, hyper, dhyper)
    count = len(jax.tree.leaves(hyper.constant))
    dconstant, dscheduled = dhyper[:count], dhyper[count:]
    turned = {2: lambda a: a.T, 3: lambda a: a, 4: lambda a: jnp.moveaxis(a, 1, 2)}
    along_steps = [turned[a.ndim](a) for a in dscheduled]  # steps first, then as `push` has it

    def step(carry: Any, now: Any):
        state, dstate = carry
        (t, scheduled), dh = now
        stepped = lambda at: process.step(at[0], at[1] | at[2], t)
        return push(stepped, (state, hyper.constant, scheduled), [*dstate, *dconstant, *dh]), None

    clock = (process.clock(hyper), along_steps)
    (state, dstate), _ = jax.lax.scan(step, (state, dstate), clock)
    loss, (slopes,) = push(lambda at: process.end(*at), (state, hyper), [*dstate, *dhyper])
    return loss, state, restore(slopes)


def push(function: Callable[..., Any], at: Any, along: list):
    """A function's value, and its derivatives along m tangents, in the real leaves of where it is taken and of its value.

    Tangents lead with [m]; those of matrices have it second, [in m out], so that a layer's inputs times all tangents of its
    weights is one product of matrices.
    """
    second = lambda leaf: int(leaf.ndim >= 2)
    inward = [second(leaf) for leaf in real_leaves(at, at)]
    shapes = jax.eval_shape(function, at)
    outward = [second(leaf) for leaf in real_leaves(shapes, shapes)]

    def one(*tangents: Any):
        value, slopes = jax.jvp(function, (at,), (with_real(at, list(tangents)),))
        return value, real_leaves(slopes, value)

    return jax.vmap(one, in_axes=inward, out_axes=(None, outward))(*along)
