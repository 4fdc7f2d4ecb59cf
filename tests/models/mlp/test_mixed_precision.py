"""Products of rounded factors: gradients by hand and by autodiff agree up to that rounding, and networks learn as well."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hpjax
from hpjax.configurations import single_network
from hpjax.models import Batch
from hpjax.models.base import Target, cast
from hpjax.models.mlp.hyperparameters import STATIC

ROUNDED = 2**-8  # of bfloat16: eight bits


def gradients(by_hand=True, **values):
    spec, config = single_network(
        Target(20, 5, "cross_entropy"), hidden=(30, 20), activation="tanh", **values
    )
    config, rng = cast(config, spec), np.random.default_rng(0)
    draw = jnp.asarray(rng.normal(size=spec.functions.draws.shape), jnp.float32)
    params, stats = spec.functions.init(draw, config)
    x = jnp.asarray(rng.normal(size=(32, 20)), jnp.float32)
    y = jax.nn.one_hot(jnp.arange(32) % 5, 5, dtype=jnp.float32)
    batch = Batch(x, y, jnp.ones(32), jax.random.key(0))
    autodiff = jax.value_and_grad(spec.functions.loss, has_aux=True)
    function = spec.functions.value_and_grad if by_hand else autodiff
    return jax.tree.leaves(jax.jit(function)(params, stats, config, batch)[1])


def apart(found, wanted):
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in zip(found, wanted))


def test_gradients_are_those_of_full_precision_up_to_rounding():
    rounded, whole = gradients(compute_dtype="bfloat16"), gradients()
    assert {leaf.dtype for leaf in rounded} == {np.dtype(np.float32)}
    assert 0 < apart(rounded, whole) < 4 * ROUNDED
    assert apart(rounded, gradients(by_hand=False, compute_dtype="bfloat16")) < 4 * ROUNDED


@pytest.mark.parametrize("hidden", [(32,), (4,)], ids=["vmap", "tiny"])
def test_networks_learn_as_well(hidden):
    configs = [{"hidden": hidden, "compute_dtype": kind} for kind in ("same", "bfloat16")]
    trained = hpjax.train(configs, "iris", epochs=30, say=lambda text: None)
    whole, rounded = trained.table["loss"]
    assert whole != rounded
    assert rounded == pytest.approx(whole, rel=0.05)
    weights = jax.tree.leaves(trained.network(1).params)
    assert {leaf.dtype for leaf in weights} == {np.dtype(np.float32)}
    # more than bfloat16 holds
    assert any(not np.array_equal(w, w.astype(jnp.bfloat16).astype(np.float32)) for w in weights)


def test_every_structural_choice_changes_the_shape():
    target = Target(4, 3, "cross_entropy", numeric=2, categories=(2,))
    usual = single_network(target)[0]
    for name, entry in STATIC.items():
        for value in entry.choices or ():
            if value not in (None, entry.default) and name != "output":  # fixed by this loss
                assert single_network(target, **{name: value})[0] != usual, (name, value)
