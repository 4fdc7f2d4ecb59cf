"""Evolution strategies on truncations: persistent evolution strategies, PES (Vicol, Metz & Sohl-Dickstein 2021, algorithm 2).

2 N copies of training run side by side in windows of K steps. In every window a copy's coordinates are moved by a fresh
draw, N up and the same N down; a window's loss is weighed by all that a copy was moved by so far:

    gradient = sum over windows of  mean over pairs of  (sum of the draws so far) (L+ - L-) / (2 sigma^2)

which is unbiased for the objective smoothed by those draws, however short the windows. No derivative of training is
taken, so masks of zeros and ones, and training beyond the edge of stability, are no obstacle.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from hpjax.hypergrad.process import Hyper, Process
from hpjax.models.base import Array


def evolution(
    process: Process,
    coordinates: dict,
    key: jax.Array,
    *,
    window: int,
    pairs: int = 32,
    sigma: float = 0.1,
):
    """The objective at the coordinates, the last state there, and an estimate of the smoothed objective's gradient.

    Args:
        process: a training run; with the objective "curve" every window has a loss of its own, else only the last one.
        coordinates: where to estimate.
        key: draws the moves.
        window: K steps; the last window may be shorter.
        pairs: N antithetic pairs.
        sigma: standard deviation of the moves.

    Pairs whose losses are not finite count as no difference.
    """
    flat, restore = ravel_pytree(coordinates)
    here = process.hyper(coordinates)
    state = process.advance(process.begin(here), here, process.clock(here))
    loss = process.end(state, here)
    whole = process.steps // window

    def part(hyper: Hyper, start: Any, length: int):
        t, scheduled = process.clock(hyper)
        cut = lambda a: jax.lax.dynamic_slice_in_dim(a, start, length)
        return cut(t), jax.tree.map(cut, scheduled)

    def drawn(number: Any):
        name = jax.random.fold_in(key, number)
        return sigma * jax.random.normal(name, (pairs, flat.size), flat.dtype)

    def moved(draw: Array):
        return jnp.concatenate([flat + draw, flat - draw])

    def run(states: Any, number: Any, start: Any, length: int, total: Any):
        """All copies through one window: their states, the draws so far, and each copy's loss."""
        draw = drawn(number)

        def one(state: Any, at: Any):
            hyper = process.hyper(restore(at))
            new = process.advance(state, hyper, part(hyper, start, length))
            if new.total is None:
                return new, process.end(new, hyper)
            return new, (new.total - state.total) / process.steps

        states, losses = jax.vmap(one)(states, moved(draw))
        return states, total + draw, losses

    def estimate(total: Any, losses: Any):
        difference = losses[:pairs] - losses[pairs:]
        difference = jnp.where(jnp.isfinite(difference), difference, 0)
        return (total * difference[:, None]).mean(0) / (2 * sigma**2)

    begun = jax.vmap(lambda at: process.begin(process.hyper(restore(at))))
    states = begun(moved(drawn(0)))
    each = state.total is not None

    def window_of(carry: Any, number: Any):
        states, total, gradient = carry
        states, total, losses = run(states, number, number * window, window, total)
        gradient = gradient + estimate(total, losses) if each else gradient
        return (states, total, gradient), losses

    carry = (states, jnp.zeros((pairs, flat.size), flat.dtype), jnp.zeros_like(flat))
    numbers = jnp.arange(whole, dtype=jnp.int32)
    (states, total, gradient), losses = jax.lax.scan(window_of, carry, numbers)
    last = jax.tree.map(lambda a: a[-1], losses) if whole else None
    if process.steps % window:
        states, total, last = run(states, whole, whole * window, process.steps % window, total)
        gradient = gradient + estimate(total, last) if each else gradient
    if not each:
        gradient = estimate(total, last)
    return loss, state, restore(gradient)
