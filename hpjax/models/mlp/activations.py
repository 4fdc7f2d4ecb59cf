"""Activations: each function with its derivative under it. One more is one more function in `ACTIVATIONS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from hpjax.models.base import Array

LEAK = 0.01  # leaky_relu's slope below zero
Pulled = tuple[Array, Callable[[Array], Any]]  # a, and d loss/d a -> d loss/d z


def sigmoid(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = jax.nn.sigmoid(z)  # a = 1 / (1 + exp(-z))
    return a, lambda da: da * (a * (1 - a))


def tanh(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = jnp.tanh(z)
    return a, lambda da: da * (1 - a * a)


def relu(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = jnp.where(z <= 0, 0, z)  # slope 0 at 0; NaN stays NaN
    return a, lambda da: jnp.where(z <= 0, 0, da)


def leaky_relu(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = jnp.where(z > 0, z, LEAK * z)
    return a, lambda da: da * jnp.where(z > 0, jnp.ones((), z.dtype), LEAK)


def elu(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = jnp.where(z > 0, z, jnp.expm1(jnp.minimum(z, 0)))  # exp(z) - 1 below zero
    return a, lambda da: da * jnp.where(z > 0, jnp.ones((), z.dtype), a + 1)


def prelu(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = jnp.where(z > 0, z, slope * z)
    return a, lambda da: (
        da * jnp.where(z > 0, jnp.ones((), z.dtype), slope),
        (da * jnp.where(z > 0, 0, z)).sum(),  # d loss / d slope
    )


def softmax(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = masked_softmax(z, mask)
    # da_i/dz_j = a_i (1[i=j] - a_j)
    return a, lambda da: a * (da - (da * a).sum(-1, keepdims=True))


def gelu(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = jax.nn.gelu(z, approximate=False)  # a = z Phi(z)

    def back(da: Array):
        one = jnp.ones((), z.dtype)
        cdf = 0.5 * (1 + jax.lax.erf(z / jnp.sqrt(2 * one)))
        pdf = jnp.exp(-0.5 * z * z) / jnp.sqrt(2 * jnp.pi * one)
        return da * (cdf + z * pdf)

    return a, back


def silu(z: Array, slope: Any, mask: Array | None) -> Pulled:
    a = z * jax.nn.sigmoid(z)

    def back(da: Array):
        s = jax.nn.sigmoid(z)
        return da * (s + z * s * (1 - s))

    return a, back


def identity(z: Array, slope: Any, mask: Array | None) -> Pulled:
    return z, lambda da: da


ACTIVATIONS: dict[str, Callable[..., Pulled]] = {
    function.__name__: function
    for function in (sigmoid, tanh, relu, leaky_relu, elu, prelu, softmax, gelu, silu, identity)
}


def masked_softmax(z: Array, mask: Array | None) -> Array:
    """Softmax over the units that exist."""
    return jax.nn.softmax(z if mask is None else jnp.where(mask > 0, z, -jnp.inf), axis=-1)


def activate(name: str, z: Array, slope: Any = None, mask: Array | None = None) -> Array:
    """One activation [B H] -> [B H]; `slope` is prelu's, `mask` [H] says which units a softmax runs over."""
    return ACTIVATIONS[name](z, slope, mask)[0]


def activation(name: str, z: Array, slope: Any = None, mask: Array | None = None) -> Pulled:
    """a = f(z), and the function that takes d loss/d a to (d loss/d z, d loss/d slope)."""
    a, back = ACTIVATIONS[name](z, slope, mask)
    return a, (back if name == "prelu" else lambda da: (back(da), None))
