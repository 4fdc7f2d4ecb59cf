"""Dropout's random bits are JAX's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpjax.models.mlp.dropout import dropout_scale, random_bits


@pytest.mark.parametrize("count", [1, 2, 3, 64, 1001])
@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_bits_are_those_of_jax(seed, count):
    key = jax.random.fold_in(jax.random.key(seed), 7)
    expected = jax.random.bits(key, (count,), jnp.uint32)
    np.testing.assert_array_equal(jax.jit(random_bits, static_argnums=1)(key, count), expected)


def test_a_narrow_layer_has_the_first_units_of_a_wide_one():
    key, rate = jax.random.key(3), jnp.float32(0.3)
    narrow, wide = (dropout_scale(key, rate, width, 37, jnp.float32) for width in (5, 64))
    np.testing.assert_array_equal(narrow, wide[:, :5])


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_the_mean_is_one_and_the_variance_that_of_the_rate(kind):
    scale = dropout_scale(jax.random.key(0), jnp.float32(0.25), 500, 400, jnp.float32, kind)
    assert abs(float(scale.mean()) - 1) < 0.01
    assert abs(float(scale.var()) - 0.25 / 0.75) < 0.01
