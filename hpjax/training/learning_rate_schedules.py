"""What multiplies the learning rate over the horizon.

Each is a function of the Config, of t, the fraction of the horizon that is behind, and of n = epochs / (horizon * decay_time). One more
is one more function, and its row in `SCHEDULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from hpjax.models.base import Array, Config, Spec


def constant(config: Config, t: Array, n: Array) -> Array:
    """1."""
    return jnp.ones_like(t)


def step(config: Config, t: Array, n: Array) -> Array:
    """decay_rate^floor(n)."""
    return config["decay_rate"] ** jnp.floor(n + 1e-6)


def exponential(config: Config, t: Array, n: Array) -> Array:
    """decay_rate^n."""
    return config["decay_rate"] ** n


def inverse_time(config: Config, t: Array, n: Array) -> Array:
    """1 / (1 + decay_rate n)."""
    return 1 / (1 + config["decay_rate"] * n)


def cosine(config: Config, t: Array, n: Array) -> Array:
    """e + (1 - e) (1 + cos(pi t)) / 2 with e = end_factor (Loshchilov & Hutter 2017, eq. 5)."""
    end = config["end_factor"]
    return end + (1 - end) * (1 + jnp.cos(jnp.pi * t)) / 2


def warmup_cosine(config: Config, t: Array, n: Array) -> Array:
    """Rises linearly to 1 over the first `warmup` of the horizon, then falls as the cosine."""
    rise = jnp.maximum(config["warmup"], 1e-6)
    fall = (t - rise) / jnp.maximum(1 - rise, 1e-6)
    return jnp.where(t < rise, t / rise, cosine(config, jnp.clip(fall, 0, 1), n))


class Schedule(NamedTuple):
    """A schedule's row in the table.

    Attributes:
        factor: (config, t, n) -> what multiplies the learning rate [].
        hyperparameters: the continuous hyperparameters that act on it.
    """

    factor: Callable[[Config, Array, Array], Array]
    hyperparameters: tuple[str, ...] = ()


SCHEDULES = {
    "constant": Schedule(constant),
    "step": Schedule(step, ("decay_rate", "decay_time")),
    "exponential": Schedule(exponential, ("decay_rate", "decay_time")),
    "inverse_time": Schedule(inverse_time, ("decay_rate", "decay_time")),
    "cosine": Schedule(cosine, ("end_factor",)),
    "warmup_cosine": Schedule(warmup_cosine, ("warmup", "end_factor")),
    # the optimizer moves the learning rate by itself
    "hypergradient": Schedule(constant, ("hypergradient_rate",)),
}


def schedule(spec: Spec, config: Config, epoch: Array) -> Array:
    """What multiplies the learning rate [].

    Args:
        spec: names the schedule.
        config: scalar leaves.
        epoch: [] epochs done, with the fraction of the current one.
    """
    t = jnp.clip(epoch / config["horizon"], 0, 1)
    n = epoch / (config["horizon"] * config["decay_time"])
    return SCHEDULES[spec.schedule].factor(config, t, n)
