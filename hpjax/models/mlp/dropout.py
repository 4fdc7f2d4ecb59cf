"""Dropout: what multiplies a layer's activations in training, and the random bits that it is drawn from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.models.base import Array

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # of Threefry-2x32
PARITY = np.uint32(0x1BD11BDA)  # makes the third word of its key


def dropout_scale(
    key: Array, rate: Array, width: int, batch: int, dtype: Any, kind: str = "bernoulli"
) -> Array:
    """What multiplies the activations [B H], drawn unit-major, so that a narrow layer's draw is a prefix of a wide one's.

    bernoulli: 0 with probability `rate` (in steps of 1/256), else 1 / (1 - rate). gaussian: 1 + sqrt(rate / (1 - rate)) e
    with e standard normal, of the same mean and variance (Srivastava et al. 2014, section 10), and differentiable.
    """
    if kind == "gaussian":
        rate = rate.astype(dtype)
        noise = jax.random.normal(key, (width * batch,), dtype).reshape(width, batch).T
        some = rate > 0
        spread = jnp.sqrt(jnp.where(some, rate, 1) / (1 - jnp.minimum(rate, 1 - 1e-6)))
        return 1 + jnp.where(some, spread, 0) * noise
    words = random_bits(key, -(-width * batch // 4))
    bits = (
        jax.lax.bitcast_convert_type(words, jnp.uint8)
        .reshape(-1)[: width * batch]
        .reshape(width, batch)
        .T
    )
    level = jnp.minimum(jnp.round(rate * 256), 255).astype(jnp.int32)
    kept = 256.0 / (256 - level).astype(dtype)
    return jnp.where(bits.astype(jnp.int32) >= level, kept, jnp.zeros((), dtype))


def random_bits(key: Array, count: int) -> Array:
    """Random words [count] uint32: those of `jax.random.bits`, faster on CPUs.

    JAX rolls Threefry's rounds into a loop there, and writes every round to memory; here they are one pass. It is made in two parts,
    one after the other: XLA would make what stands in no loop anew for each use, and dropout has three (forward, and twice backward).

    Args:
        key: a Threefry key.
        count: of words.

    References:
        Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3": Threefry-2x32 with 20 rounds.
    """
    first, second = jax.random.key_data(key)
    half = -(-count // 2)

    def part(number: Array) -> Array:
        counter = number * np.uint32(half) + jax.lax.iota(jnp.uint32, half)
        return threefry(first, second, counter)

    return jax.lax.map(part, jnp.arange(2, dtype=jnp.uint32)).reshape(-1)[:count]


def threefry(first: Array, second: Array, counter: Array) -> Array:
    """Both words of Threefry-2x32 of a counter below 2^32, joined by xor, under a key of two words."""
    words = (first, second, first ^ second ^ PARITY)
    x, y = jnp.broadcast_to(words[0], counter.shape), counter + words[1]
    for group in range(5):
        for turn in ROTATIONS[group % 2]:
            x = x + y
            y = x ^ (y << np.uint32(turn) | y >> np.uint32(32 - turn))
        x = x + words[(group + 1) % 3]
        y = y + words[(group + 2) % 3] + np.uint32(group + 1)
    return x ^ y
