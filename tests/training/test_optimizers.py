"""Every optimizer follows optax's own trajectory; every schedule optax's own values; no NaN at zero gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hpjax import configurations
from hpjax.models.base import Target
from hpjax.training import optimizers
from hpjax.training.learning_rate_schedules import schedule

RATE = 0.05
ORACLES = [
    ({"optimizer": "sgd"}, lambda: optax.sgd(RATE)),
    ({"optimizer": "sgd", "momentum": 0.9}, lambda: optax.sgd(RATE, 0.9)),
    ({"optimizer": "nesterov", "momentum": 0.9}, lambda: optax.sgd(RATE, 0.9, nesterov=True)),
    (
        {"optimizer": "damped", "momentum": 0.9},
        lambda: optax.chain(optax.ema(0.9, debias=False), optax.scale(-RATE)),
    ),
    (
        {"optimizer": "rmsprop", "beta2": 0.9},
        lambda: optax.rmsprop(RATE, 0.9, 1e-8, eps_in_sqrt=False),
    ),
    ({"optimizer": "adagrad"}, lambda: optax.adagrad(RATE, 0.0, 1e-8)),
    ({"optimizer": "adam"}, lambda: optax.adam(RATE)),
    (
        {"optimizer": "adam", "beta1": 0.7, "beta2": 0.9, "eps": 1e-3},
        lambda: optax.adam(RATE, 0.7, 0.9, 1e-3),
    ),
    ({"optimizer": "adamw", "weight_decay": 0.1}, lambda: optax.adamw(RATE, weight_decay=0.1)),
    (
        {"optimizer": "sgd", "clip_norm": 0.5},
        lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(RATE)),
    ),
]


def rule(values, **more):
    spec, config = configurations.single_network(
        Target(3, 1, "mse"), hidden=(), dtype="float64", learning_rate=RATE, **values, **more
    )
    config = {name: jnp.asarray(value, jnp.float64) for name, value in config.items()}
    return spec, config


@pytest.mark.parametrize(("values", "oracle"), ORACLES, ids=[str(v) for v, _ in ORACLES])
def test_trajectories_are_optaxs(values, oracle):
    with jax.enable_x64(True):
        spec, config = rule(values)
        ours, theirs = optimizers.optimizer(spec, config, jnp.float64(0)), oracle()
        curvature = jnp.array([[1.0], [3.0], [0.3]])
        a = b = ({"w": jnp.array([[1.0], [-2.0], [0.5]])},)
        state, other = ours.init(a), theirs.init(b)
        for _ in range(30):
            updates, state = ours.update(({"w": curvature * a[0]["w"]},), state, a)
            a = optax.apply_updates(a, updates)
            with jax.numpy_dtype_promotion("standard"):
                updates, other = theirs.update(({"w": curvature * b[0]["w"]},), other, b)
            b = optax.apply_updates(b, updates)
        np.testing.assert_allclose(a[0]["w"], b[0]["w"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("values", [v for v, _ in ORACLES], ids=str)
def test_zero_gradients_give_finite_updates_and_finite_hypergradients(values):
    with jax.enable_x64(True):
        spec, config = rule(values)
        zero = ({"w": jnp.zeros((3, 1))},)

        def moved(rate, gradient):
            ours = optimizers.optimizer(spec, config | {"learning_rate": rate}, jnp.float64(0))
            updates, _ = ours.update(({"w": gradient},), ours.init(zero), zero)
            return jnp.sum(updates[0]["w"])

        slopes = jax.grad(moved, argnums=(0, 1))(jnp.float64(RATE), jnp.zeros((3, 1)))
        assert all(np.isfinite(slope).all() for slope in slopes)


SCHEDULES = [
    ("constant", {}, lambda n: optax.constant_schedule(1.0)),
    (
        "step",
        {"decay_rate": 0.5, "decay_time": 0.2},
        lambda n: optax.exponential_decay(1.0, 0.2 * n, 0.5, staircase=True),
    ),
    (
        "exponential",
        {"decay_rate": 0.3, "decay_time": 0.5},
        lambda n: optax.exponential_decay(1.0, 0.5 * n, 0.3),
    ),
    ("cosine", {"end_factor": 0.1}, lambda n: optax.cosine_decay_schedule(1.0, n, 0.1)),
    (
        "warmup_cosine",
        {"warmup": 0.2},
        lambda n: optax.warmup_cosine_decay_schedule(0.0, 1.0, int(0.2 * n), n),
    ),
]


@pytest.mark.parametrize(("name", "values", "oracle"), SCHEDULES, ids=[s[0] for s in SCHEDULES])
def test_schedules_are_optaxs(name, values, oracle):
    with jax.enable_x64(True):
        horizon = 40
        spec, config = rule({"schedule": name, "horizon": float(horizon), **values})
        theirs = oracle(horizon)
        ours = [float(schedule(spec, config, jnp.float64(t))) for t in range(horizon + 1)]
        np.testing.assert_allclose(ours, [float(theirs(t)) for t in range(horizon + 1)], atol=1e-6)


def test_inverse_time():
    with jax.enable_x64(True):
        spec, config = rule(
            {"schedule": "inverse_time", "horizon": 10.0, "decay_rate": 2.0, "decay_time": 0.5}
        )
        np.testing.assert_allclose(schedule(spec, config, jnp.float64(5)), 1 / 3)


def test_schedules_can_be_traced_in_their_horizon():
    with jax.enable_x64(True):
        spec, config = rule({"schedule": "warmup_cosine", "horizon": 10.0})
        at = lambda horizon: schedule(spec, config | {"horizon": horizon}, jnp.float64(5))
        slope = jax.jit(jax.grad(at))(jnp.float64(10))
        numeric = (at(jnp.float64(10.001)) - at(jnp.float64(9.999))) / 0.002
        np.testing.assert_allclose(slope, numeric, rtol=1e-5)
