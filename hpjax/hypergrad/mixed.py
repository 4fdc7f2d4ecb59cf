"""Mixed mode: reverse over the steps, forward-over-reverse within a step; it stores what steps begin with, no activations.

A step is  s' = update(s, h, g)  with  g = d loss / d w.  Given ds' = d objective / d s', its adjoint is

    (ds, dh, dg) = the pullback of update, which is elementwise and cheap
    ds.w += H dg,  dh += (d2 loss / d h d w) dg,   H the Hessian of the minibatch's loss

and both products are the derivative of the gradient in (w, h) as w moves along dg, H being symmetric (Pearlmutter 1994;
Kemaev et al. 2025, MixFlow-MG). A gradient costs 3 forward passes, its derivative 3 more: with training itself 9 in all,
against 12 for reverse mode with a checkpoint at every step.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from hpjax.hypergrad.process import Hyper, Process, State, real_leaves, with_real
from hpjax.hypergrad.reverse import chunk_length, parts
from hpjax.models.base import Array


def adjoint(process: Process, state: State, h: dict, t: Array, after: list) -> tuple[list, dict]:
    """One step backwards: d objective / d (real leaves of the state before it), and / d h.

    Args:
        process: a training run.
        state: before the step.
        h: hyperparameters of the step.
        t: its number.
        after: d objective / d (real leaves of the state after it).
    """
    both = jax.grad(process.loss, argnums=(0, 2), has_aux=True)
    (grads, _), along, aux = jax.linearize(
        lambda params: both(params, state.stats, h, t), state.params, has_aux=True
    )
    _, pull = jax.vjp(lambda s, h, g, a: process.update(s, h, t, g, a), state, h, grads, aux)
    before, dh, dgrads, daux = pull(with_real(state, after))
    curved, crossed = along(dgrads)
    params = jax.tree.map(jnp.add, before.params, curved)
    dh = jax.tree.map(jnp.add, dh, crossed)
    stats = before.stats
    if process.lost:  # batch statistics and data losses that go on
        passed = lambda params, stats, h: process.loss(params, stats, h, t)[1]
        more, more_stats, more_h = jax.vjp(passed, state.params, state.stats, h)[1](daux)
        params = jax.tree.map(jnp.add, params, more)
        stats = jax.tree.map(jnp.add, stats, more_stats)
        dh = jax.tree.map(jnp.add, dh, more_h)
    return real_leaves(before._replace(params=params, stats=stats), state), dh


def mixed(process: Process, coordinates: dict, *, levels: int = 1):
    """The objective, the last state, and the gradient.

    Args:
        process: a training run.
        coordinates: where to differentiate.
        levels: 1 stores what every step begins with; 2 and 3 about every sqrt(T)-th and T^(2/3)-th of these.
    """
    hyper, pull_hyper = jax.vjp(process.hyper, coordinates)
    state, pull_begin = jax.vjp(process.begin, hyper)
    last, tape = record(process, state, hyper, process.clock(hyper), levels)
    loss, (dlast, dend) = jax.value_and_grad(process.end, argnums=(0, 1), allow_int=True)(
        last, hyper
    )
    none = jax.tree.map(jnp.zeros_like, hyper.constant)
    carry = (real_leaves(dlast, last), none)
    (first, constant), scheduled = rewind(process, hyper, tape, process.clock(hyper), carry, levels)
    (dbegin,) = pull_begin(with_real(state, first))
    whole = jax.tree.map(lambda a, b, c: a + b + c, dbegin, dend, Hyper(constant, scheduled))
    return loss, last, pull_hyper(whole)[0]


def record(process: Process, state: State, hyper: Hyper, clock: Any, levels: int):
    """Trains over a clock: the last state, and the states that `rewind` starts from."""
    steps = jax.tree.leaves(clock)[0].shape[0]
    if levels == 1 or steps < 4:

        def body(state: State, now: Any):
            t, scheduled = now
            return process.step(state, hyper.constant | scheduled, t), state

        return jax.lax.scan(body, state, clock)
    chunks, rest = parts(clock, chunk_length(steps, levels))
    state, starts = jax.lax.scan(
        lambda state, chunk: (process.advance(state, hyper, chunk), state), state, chunks
    )
    if rest is None:
        return state, (starts, None)
    return process.advance(state, hyper, rest), (starts, state)


def rewind(process: Process, hyper: Hyper, tape: Any, clock: Any, carry: Any, levels: int):
    """Back over a clock: the carry (d state, d constant) before it, and d scheduled [T ...] of its steps."""
    steps = jax.tree.leaves(clock)[0].shape[0]
    if levels == 1 or steps < 4:

        def body(carry: Any, now: Any):
            after, total = carry
            state, (t, scheduled) = now
            before, dh = adjoint(process, state, hyper.constant | scheduled, t, after)
            total = {name: value + dh[name] for name, value in total.items()}
            return (before, total), {name: dh[name] for name in scheduled}

        return jax.lax.scan(body, carry, (tape, clock), reverse=True)
    chunks, rest = parts(clock, chunk_length(steps, levels))
    starts, start = tape

    def chunk(carry: Any, now: Any):
        state, clock = now
        _, tape = record(process, state, hyper, clock, levels - 1)
        return rewind(process, hyper, tape, clock, carry, levels - 1)

    late = None
    if rest is not None:
        carry, late = chunk(carry, (start, rest))
    carry, scheduled = jax.lax.scan(chunk, carry, (starts, chunks), reverse=True)
    scheduled = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), scheduled)
    if late is not None:
        scheduled = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), scheduled, late)
    return carry, scheduled
