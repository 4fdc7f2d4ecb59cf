"""Reverse mode: backpropagation through all of training, with checkpoints on up to three levels.

Storing every step's matrix products (levels=0) costs memory in proportion to the horizon T. Storing only what a step begins with (1), only
every sqrt(T)-th of those (2) or every T^(2/3)-th (3) costs one more forward pass each (Griewank 1992; Chen et al. 2016).
Truncated: only the last `window` steps are differentiated, training before them taken as given.
"""

from __future__ import annotations

from typing import Any

import jax

from hpjax.hypergrad.process import Hyper, Process, State


def chunk_length(steps: int, levels: int) -> int:
    """Steps of one chunk when `steps` are to be checkpointed on `levels` levels: about steps^((levels-1)/levels).

    A divisor within a factor of 1.5, if there is one, so that no shorter chunk is left over.

    Example:
        >>> chunk_length(1000, 2), chunk_length(37, 2), chunk_length(1000, 3)
        (25, 6, 100)
    """
    ideal = steps ** ((levels - 1) / levels)
    near = [c for c in range(1, steps + 1) if steps % c == 0 and ideal / 1.5 <= c <= ideal * 1.5]
    if near:
        return min(near, key=lambda c: abs(c - ideal))
    return max(1, round(ideal))


def parts(clock: Any, length: int):
    """A clock [T ...] as (chunks [q length ...], the rest [r ...] or None)."""
    steps = jax.tree.leaves(clock)[0].shape[0]
    whole = steps // length
    many = jax.tree.map(lambda a: a[: whole * length].reshape(whole, length, *a.shape[1:]), clock)
    rest = jax.tree.map(lambda a: a[whole * length :], clock) if steps % length else None
    return many, rest


def unrolled(process: Process, state: State, hyper: Hyper, clock: Any, levels: int) -> State:
    """Training over a clock, with what reverse mode stores limited by nested checkpoints."""

    def step(state: Any, now: Any):
        t, scheduled = now
        return process.step(state, hyper.constant | scheduled, t), None

    def run(state: Any, clock: Any, levels: int):
        steps = jax.tree.leaves(clock)[0].shape[0]
        if levels <= 1 or steps < 4:
            # inputs and elementwise functions are made again: that is faster than to store them (results/LOG.md)
            kept = None if levels else jax.checkpoint_policies.dots_saveable
            body = jax.checkpoint(step, prevent_cse=False, policy=kept)
            return jax.lax.scan(body, state, clock)[0]
        chunks, rest = parts(clock, chunk_length(steps, levels))
        inner = jax.checkpoint(lambda s, c: (run(s, c, levels - 1), None), prevent_cse=False)
        state = jax.lax.scan(inner, state, chunks)[0]
        if rest is not None:
            state = inner(state, rest)[0]
        return state

    return run(state, clock, levels)


def reverse(process: Process, coordinates: dict, *, levels: int = 0):
    """The objective, the last state, and the gradient, by `jax.grad` through the unrolled steps.

    Args:
        process: a training run.
        coordinates: where to differentiate.
        levels: of checkpoints, 0 to 3.
    """

    def objective(coordinates: Any):
        hyper = process.hyper(coordinates)
        state = unrolled(process, process.begin(hyper), hyper, process.clock(hyper), levels)
        return process.end(state, hyper), state

    (loss, state), gradient = jax.value_and_grad(objective, has_aux=True)(coordinates)
    return loss, state, gradient


def truncated(process: Process, coordinates: dict, *, window: int, levels: int = 0):
    """As `reverse`, through the last `window` steps only; window = 1 is hypergradient descent (Baydin et al. 2018).

    The gradient leaves out what hyperparameters did before, so that long horizons look short (Wu et al. 2018).
    """
    cut = process.steps - window

    def objective(coordinates: Any):
        hyper = process.hyper(coordinates)
        clock = process.clock(hyper)
        first = jax.tree.map(lambda a: a[:cut], clock)
        last = jax.tree.map(lambda a: a[cut:], clock)
        state = process.advance(process.begin(hyper), hyper, first)
        if cut:
            state = jax.lax.stop_gradient(state)
        state = unrolled(process, state, hyper, last, levels)
        return process.end(state, hyper), state

    (loss, state), gradient = jax.value_and_grad(objective, has_aux=True)(coordinates)
    return loss, state, gradient
