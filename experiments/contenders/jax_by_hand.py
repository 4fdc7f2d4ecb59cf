"""The loop that a good JAX user writes by hand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.contenders.sweep import About, Run, Sweep, digits

if TYPE_CHECKING:
    from jax import Array


def loop_worker(sweep: Sweep) -> tuple[Run, About]:
    """The loop that a good JAX user writes by hand: `jit(vmap(scan))` over all networks, optax, one-hot targets."""
    import jax
    import jax.numpy as jnp
    import optax

    x, y, x_valid, y_valid = (jnp.asarray(a) for a in digits())
    y, y_valid = jax.nn.one_hot(y, 10), jax.nn.one_hot(y_valid, 10)
    sizes = (64, *sweep.hidden, 10)
    steps = len(x) // sweep.batch

    def forward(params: Any, x: Array):
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ params[-1][0] + params[-1][1]

    def loss(params: Any, x: Array, y: Array):
        return -(y * jax.nn.log_softmax(forward(params, x))).sum(-1).mean()

    def train(key: Array, rate: Any):
        optimizer = optax.adam(rate)
        keys = jax.random.split(key, len(sizes))
        glorot = jax.nn.initializers.glorot_normal()
        params = [(glorot(k, (a, b)), jnp.zeros(b)) for k, a, b in zip(keys, sizes, sizes[1:])]

        def epoch(carry: Any, key: Array):
            order = jax.random.permutation(key, len(x))[: steps * sweep.batch].reshape(
                steps, sweep.batch
            )

            def step(carry: Any, index: Array):
                params, state = carry
                updates, state = optimizer.update(jax.grad(loss)(params, x[index], y[index]), state)
                return (optax.apply_updates(params, updates), state), None

            carry, _ = jax.lax.scan(step, carry, order)
            return carry, loss(carry[0], x_valid, y_valid)

        _, losses = jax.lax.scan(
            epoch, (params, optimizer.init(params)), jax.random.split(keys[-1], sweep.epochs)
        )
        return losses

    keys = jax.random.split(jax.random.key(0), sweep.networks)
    rates = jnp.geomspace(5e-4, 2e-3, sweep.networks)
    started = time.perf_counter()
    compiled = jax.jit(jax.vmap(train)).lower(keys, rates).compile()
    seconds = time.perf_counter() - started

    def run():
        return float(np.median(np.asarray(compiled(keys, rates))[:, -1]))

    return run, lambda: {"compile_seconds": seconds, "steps": steps * sweep.epochs}
