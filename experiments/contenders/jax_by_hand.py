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

    begin, step, score, data = _parts(sweep)
    steps = len(data[0]) // sweep.batch

    def train(key: Array, rate: Any):
        def epoch(carry: Any, key: Array):
            order = jax.random.permutation(key, len(data[0]))[: steps * sweep.batch]
            batches = order.reshape(steps, sweep.batch)
            carry, _ = jax.lax.scan(lambda c, index: (step(c, index, rate), None), carry, batches)
            return carry, score(carry)

        begun, key = begin(key, rate)
        _, losses = jax.lax.scan(epoch, begun, jax.random.split(key, sweep.epochs))
        return losses

    keys = jax.random.split(jax.random.key(0), sweep.networks)
    rates = jnp.geomspace(5e-4, 2e-3, sweep.networks)
    started = time.perf_counter()
    compiled = jax.jit(jax.vmap(train)).lower(keys, rates).compile()
    seconds = time.perf_counter() - started

    def run():
        return float(np.median(np.asarray(compiled(keys, rates))[:, -1]))

    return run, lambda: {"compile_seconds": seconds, "steps": steps * sweep.epochs}


def python_loop_worker(sweep: Sweep) -> tuple[Run, About]:
    """As most write a population: `jit(vmap(step))`, called for each minibatch from Python."""
    import jax
    import jax.numpy as jnp

    begin, step, score, data = _parts(sweep)
    steps = len(data[0]) // sweep.batch
    keys = jax.random.split(jax.random.key(0), sweep.networks)
    rates = jnp.geomspace(5e-4, 2e-3, sweep.networks)
    begin_all, score_all = jax.jit(jax.vmap(begin)), jax.jit(jax.vmap(score))
    step_all = jax.jit(jax.vmap(step, (0, None, 0)), donate_argnums=0)

    def run():
        state, _ = begin_all(keys, rates)
        rng, losses = np.random.default_rng(0), None
        for _ in range(sweep.epochs):
            order = rng.permutation(len(data[0]))[: steps * sweep.batch]
            for index in order.reshape(steps, sweep.batch):
                state = step_all(state, index, rates)
            losses = score_all(state)
        return float(np.median(np.asarray(losses)))

    return run, lambda: {"steps": steps * sweep.epochs}


def _parts(sweep: Sweep) -> tuple[Any, Any, Any, tuple]:
    """begin: (key, rate) -> (state, key); step: (state, index [batch], rate) -> state; score: state -> validation loss; the data."""
    import jax
    import jax.numpy as jnp
    import optax

    x, y, x_valid, y_valid = (jnp.asarray(a) for a in digits())
    y, y_valid = jax.nn.one_hot(y, 10), jax.nn.one_hot(y_valid, 10)
    sizes = (64, *sweep.hidden, 10)

    def forward(params: Any, x: Array):
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ params[-1][0] + params[-1][1]

    def loss(params: Any, x: Array, y: Array):
        return -(y * jax.nn.log_softmax(forward(params, x))).sum(-1).mean()

    def begin(key: Array, rate: Any):
        keys = jax.random.split(key, len(sizes))
        glorot = jax.nn.initializers.glorot_normal()
        params = [(glorot(k, (a, b)), jnp.zeros(b)) for k, a, b in zip(keys, sizes, sizes[1:])]
        return (params, optax.adam(rate).init(params)), keys[-1]

    def step(carry: Any, index: Array, rate: Any):
        params, state = carry
        gradient = jax.grad(loss)(params, x[index], y[index])
        updates, state = optax.adam(rate).update(gradient, state)
        return optax.apply_updates(params, updates), state

    return begin, step, lambda carry: loss(carry[0], x_valid, y_valid), (x, y)
