"""Implicit mode: the gradient at a stationary point of training, from the implicit function theorem.

Where  G(w, h) = d training loss / d w (+ decoupled decay) = 0,  dw/dh = -(dG/dw)^-1 dG/dh, so with v solving
(dG/dw + damping) v = d objective / d w,

    d objective / d h = direct part - v . dG/dh

v by conjugate gradients (Pedregosa 2016) or by the Neumann series (Lorraine, Vicol & Duvenaud 2020, algorithm 3). It knows only
what moves the optimum: penalties, label smoothing, weights of examples. How training got there has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hpjax.hypergrad.process import Process

SOLVERS = ("cg", "neumann")


def implicit(
    process: Process,
    coordinates: dict,
    *,
    solver: str = "cg",
    iterations: int = 100,
    damping: float = 0.0,
    rate: float | None = None,
):
    """The objective, the last state, and the gradient as if training had converged; and how far from it it is.

    Args:
        process: a training run; its first minibatch must be the whole training part.
        coordinates: where to differentiate.
        solver: "cg", or "neumann": v = rate sum of (1 - rate dG/dw)^k, of `iterations` terms.
        iterations: of the solver, at most.
        damping: added to dG/dw; for networks, whose Hessian has negative eigenvalues.
        rate: of the Neumann series; half of one over the largest eigenvalue (by power iteration) where None.

    Returns:
        loss, state, gradient, and {"stationarity": |G|, "residual": |(dG/dw + damping) v - b| / |b|}.
    """
    hyper = process.hyper(coordinates)
    state = process.advance(process.begin(hyper), hyper, process.clock(hyper))
    params = state.params

    def stationary(params: Any, coordinates: Any):
        return process.rest(params, state.stats, process.hyper(coordinates).constant)

    def objective(params: Any, coordinates: Any):
        return process.end(state._replace(params=params), process.hyper(coordinates))

    loss, (b, direct) = jax.value_and_grad(objective, argnums=(0, 1))(params, coordinates)
    still, product = jax.linearize(lambda params: stationary(params, coordinates), params)
    times = lambda v: jax.tree.map(lambda a, d: a + damping * d, product(v), v)
    if solver == "cg":
        v, _ = jax.scipy.sparse.linalg.cg(
            times, b, tol=4 * float(jnp.finfo(loss.dtype).eps), maxiter=iterations
        )
    else:
        step = 0.5 / _largest(times, b) if rate is None else jnp.asarray(rate, loss.dtype)
        minus = lambda a, x: jax.tree.map(lambda p, q: p - step * q, a, x)

        def term(_: Any, carry: Any):
            power, total = carry
            power = minus(power, times(power))
            return power, jax.tree.map(jnp.add, total, power)

        _, total = jax.lax.fori_loop(0, iterations, term, (b, b))
        v = jax.tree.map(lambda a: step * a, total)
    pull = jax.vjp(lambda coordinates: stationary(params, coordinates), coordinates)[1]
    (through,) = pull(v)
    left = jax.tree.map(jnp.subtract, times(v), b)
    info = {"stationarity": norm(still), "residual": norm(left) / norm(b)}
    return loss, state, jax.tree.map(jnp.subtract, direct, through), info


def norm(tree: Any) -> jax.Array:
    """The Euclidean length of all leaves together."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))


def _largest(times: Callable[[Any], Any], start: Any) -> jax.Array:
    """The largest eigenvalue in size, by 20 power iterations."""

    def step(_: Any, v: Any):
        v = times(v)
        return jax.tree.map(lambda a: a / norm(v), v)

    v = jax.lax.fori_loop(0, 20, step, jax.tree.map(lambda a: a / norm(start), start))
    return norm(times(v))
