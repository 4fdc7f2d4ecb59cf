"""Flax and Equinox modules as a Model: what they compute, what they carry, how they are told of training; the examples."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hpjax
from hpjax import models, tasks

linen = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
equinox = pytest.importorskip("equinox")
EXAMPLES = Path(__file__).parents[2] / "examples"
quiet = dict(say=lambda text: None)


@pytest.fixture(autouse=True)
def standard_promotion():
    """The libraries' own layers mix whole and real numbers."""
    with jax.numpy_dtype_promotion("standard"):
        yield


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        h = linen.Dense(6)(x)
        h = linen.BatchNorm(use_running_average=not train, momentum=0.9)(h)
        h = linen.Dropout(0.5, deterministic=not train)(linen.relu(h))
        return linen.Dense(3)(h)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(4, 6, rngs=rngs)
        self.norm = nnx.BatchNorm(6, momentum=0.9, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


class Equinox(equinox.Module):
    first: equinox.nn.Linear
    norm: equinox.nn.BatchNorm
    drop: equinox.nn.Dropout
    last: equinox.nn.Linear

    def __init__(self, key):
        first, last = jax.random.split(key)
        self.first = equinox.nn.Linear(4, 6, key=first)
        self.norm = equinox.nn.BatchNorm(6, "batch", momentum=0.9, mode="batch")
        self.drop = equinox.nn.Dropout(0.5)
        self.last = equinox.nn.Linear(6, 3, key=last)

    def __call__(self, x, state, key=None):
        h, state = self.norm(self.first(x), state)
        return self.last(self.drop(jax.nn.relu(h), key=key)), state


def in_linen():
    return models.linen(Linen())


def in_nnx():
    return models.nnx(Nnx)


def in_equinox():
    return models.equinox(equinox.nn.make_with_state(Equinox))


BUILDS = [in_linen, in_nnx, in_equinox]


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).normal(size=(16, 4)), jnp.float32)


@pytest.mark.parametrize("build", BUILDS)
def test_training_draws_and_carries_and_prediction_does_neither(build, x):
    model = build()
    params, state = model.init(jax.random.key(0), x[:1])
    call = lambda state, key, train: model.apply(params, state, x, key=key, train=train)
    first, moved = call(state, jax.random.key(1), True)
    again, _ = call(state, jax.random.key(1), True)
    other, _ = call(state, jax.random.key(2), True)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01  # dropout
    leaves = lambda tree: [np.asarray(leaf, float) for leaf in jax.tree.leaves(tree)]
    assert any(np.abs(a - b).max() > 0 for a, b in zip(leaves(state), leaves(moved)))  # statistics
    quiet_outputs, still = call(moved, None, False)
    np.testing.assert_array_equal(quiet_outputs, call(moved, None, False)[0])
    assert all(np.array_equal(a, b) for a, b in zip(leaves(moved), leaves(still)))
    np.testing.assert_allclose(
        quiet_outputs[:3], model.apply(params, moved, x[:3], key=None, train=False)[0], rtol=1e-5
    )


@pytest.mark.parametrize("build", BUILDS)
def test_keys_give_other_weights_and_the_same_key_the_same(build, x):
    model = build()
    weights = lambda seed: np.concatenate(
        [np.ravel(leaf) for leaf in jax.tree.leaves(model.init(jax.random.key(seed), x[:1])[0])]
    )
    np.testing.assert_array_equal(weights(0), weights(0))
    assert np.abs(weights(0) - weights(1)).max() > 0.1


def test_what_is_predicted_is_what_the_library_computes(x):
    model = models.linen(Linen())
    params, state = model.init(jax.random.key(0), x[:1])
    direct = Linen().apply({"params": params, **state}, x, train=False)
    np.testing.assert_array_equal(model.apply(params, state, x, key=None, train=False)[0], direct)
    module = Nnx(nnx.Rngs(params=jax.random.key(0), dropout=jax.random.key(0)))
    module.eval()
    model = models.nnx(Nnx)
    params, state = model.init(jax.random.key(0), x[:1])
    np.testing.assert_array_equal(
        model.apply(params, state, x, key=None, train=False)[0], module(x)
    )
    made, begun = equinox.nn.make_with_state(Equinox)(jax.random.key(0))
    made = equinox.nn.inference_mode(made)
    model = in_equinox()
    params, state = model.init(jax.random.key(0), x[:1])
    direct = jnp.stack([made(row, begun)[0] for row in x])
    np.testing.assert_allclose(
        model.apply(params, state, x, key=None, train=False)[0], direct, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("build", [pytest.param(build, marks=pytest.mark.slow) for build in BUILDS])
def test_they_are_searched_resumed_and_used(build, tmp_path):
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1)}
    scheduler = hpjax.halving(((2, 4), (4, 2)))
    found = hpjax.tune(
        space,
        "iris",
        model=build,
        scheduler=scheduler,
        trials=4,
        validation={"repeats": 2},
        out=tmp_path / "run",
        **quiet,
    )
    path = tmp_path / "run" / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    hpjax.resume(tmp_path / "run", model=build, **quiet)
    assert path.read_bytes() == whole
    network = found.refit()
    task = tasks.load("iris")
    assert network.predict_proba(task.x).shape == (150, 3)
    assert np.isfinite(network.score(task.x, task.truth(np.arange(150))))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["residual_flax", "residual_equinox"])
def test_the_examples_run(name, capsys):
    found = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    short = {"epochs": 3, "trials": 4} | ({"iterations": 2} if name == "residual_equinox" else {})
    module.main(task="iris", **short)
    assert "learning_rate" in capsys.readouterr().out


def test_arrays_of_whole_numbers_are_carried_not_trained():
    eqx = pytest.importorskip("equinox")

    class Picked(eqx.Module):
        order: jax.Array
        linear: eqx.nn.Linear

        def __init__(self, key):
            self.order, self.linear = jnp.array([3, 1, 0, 2]), eqx.nn.Linear(4, 3, key=key)

        def __call__(self, x):
            return self.linear(x[self.order])

    trained = hpjax.train(
        {"learning_rate": 0.01}, "iris", 2, model=models.equinox(Picked), say=lambda text: None
    )
    assert np.isfinite(trained.table["loss"]).all()
    assert trained.network().predict(np.ones((2, 4))).shape == (2,)
