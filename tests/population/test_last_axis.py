"""Networks on the last axis: each operation, and whole trainings, are those of `vmap`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import hpjax
from hpjax.models.mlp.activations import ACTIVATIONS
from hpjax.population import kernels
from hpjax.population.last_axis import NoRule, mapped_last
from hpjax.training.learning_rate_schedules import SCHEDULES
from hpjax.training.optimizers import OPTIMIZERS

P = 7
rng = np.random.default_rng(0)
quiet = {"say": lambda text: None, "progress": False}


def both(function, shared, own):
    """What `vmap` and `mapped_last` make of it, the axis first."""
    axes = (None,) * len(shared) + (0,) * len(own)
    expected = jax.jit(jax.vmap(function, axes))(*shared, *own)
    last = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), own)
    found = jax.jit(
        lambda *given: mapped_last(function, given[: len(shared)], given[len(shared) :])
    )(*shared, *last)
    return expected, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), found)


def loop_with_a_late_axis(a, b):
    """What is carried is the same everywhere at first, and each network's own later."""

    def body(carry, row):
        early, late = carry
        return (late + row.sum(), late * b.sum() + early), early * row

    return lax.scan(body, (jnp.zeros(()), jnp.ones(())), a)


CASES = {
    "sums": lambda a, b: (
        a.sum(),
        b.sum(0),
        b.max(1),
        b.argmax(0),
        jnp.cumsum(b, 1),
        (a[:, :2] > 0).any(0),
    ),
    "products": lambda a, b: (
        a @ b,
        b.T @ a.T,
        jnp.einsum("ij,jk->ki", a, b),
        jnp.dot(b[:, 0], b[:, 1]),
    ),
    "batched products": lambda a, b: jnp.einsum(
        "fij,fjk->fik", jnp.stack([a, 2 * a]), jnp.stack([b, b - 1])
    ),
    "shapes": lambda a, b: (
        a.T,
        a.reshape(-1),
        a[None],
        b[1:, ::2],
        jnp.squeeze(b[:1], 0),
        jnp.flip(b, 0),
        jnp.split(b, 2, 1),
    ),
    "joined": lambda a, b: (
        jnp.concatenate([b, jnp.ones((2, 4))], 0),
        jnp.stack([b, b]),
        jnp.pad(b, ((1, 0), (0, 2))),
    ),
    "chosen": lambda a, b: (
        jnp.where(b.sum() > 0, b, -b),
        jnp.clip(b, -0.5, b.sum()),
        jnp.where(a > 0, a, 0),
    ),
    "places": lambda a, b: (
        b[jnp.array([2, 0])],
        b.at[1].set(a[0, 0]),
        b.at[:, 2].set(a.sum()),
        lax.dynamic_slice(b, (1, 0), (2, 2)),
    ),
    "outside": lambda a, b: (
        lax.dynamic_slice_in_dim(b, jnp.int32(-6), 1, 0),
        lax.dynamic_update_slice(b, a[:1, :1], (jnp.int32(-9), 0)),
    ),
    "written": lambda a, b: (
        lax.dynamic_update_slice(b, jnp.ones((1, 1)), (1, 2)),
        lax.dynamic_update_slice(jnp.ones((3, 4)), b[:1], (1, 0)),
    ),
    "scan": lambda a, b: loop_with_a_late_axis(a, b),
    "scan backwards": lambda a, b: lax.scan(lambda c, r: (c * 0.5 + r, c), b[0], b, reverse=True),
    "while": lambda a, b: lax.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + b.sum()), (0, 0.0)
    ),
    "cond": lambda a, b: lax.cond(a.shape[0] > 1, lambda: b, lambda: -b),
    "switch": lambda a, b: lax.switch(
        jnp.int32(1), [lambda v: v, lambda v: v * 2, lambda v: v.sum() + jnp.zeros((3, 4))], b
    ),
    "jit": lambda a, b: jax.jit(lambda v: jnp.tanh(v) + a.sum())(b),
    "relu": lambda a, b: jax.grad(lambda v: (jax.nn.relu(v) ** 2).sum())(b),
    "random": lambda a, b: jax.random.normal(jax.random.key(0), (3, 4)) * b,
    "same for all": lambda a, b: (a * 2, 3.0, jnp.arange(3)),
    "types": lambda a, b: (
        b.astype(jnp.int32),
        b.astype(bool),
        (b > 0).sum(),
        jnp.round(b),
        jnp.sign(b),
        b**2,
        b**3,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_operation_is_that_of_vmap(name):
    a, b = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(P, 3, 4)).astype(np.float32)
    expected, found = both(CASES[name], (jnp.asarray(a),), (jnp.asarray(b),))
    assert jax.tree.structure(expected) == jax.tree.structure(found)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(found)):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (
            lambda b: lax.while_loop(lambda c: c < b.sum(), lambda c: c + 1, 0.0),
            "ends at another time",
        ),
        (lambda b: lax.dynamic_slice(jnp.arange(9), (b.sum().astype(int),), (2,)), "another place"),
        (lambda b: jnp.arange(9.0)[b.sum().astype(int)], "another place"),
        (lambda b: lax.cond(b.sum() > 0, lambda: 1.0, lambda: 2.0), "another branch"),
        (
            lambda b: jnp.ones((1, 100)) @ jnp.tile(b.reshape(-1, 1), (10, 1))[:100],
            "product of 100 terms",
        ),
        (lambda b: jnp.sort(b), "sort"),
        (lambda b: b.astype(jnp.bfloat16) @ b.T.astype(jnp.bfloat16), "a product of bfloat16"),
        (
            lambda b: lax.dot(
                b.astype(jnp.int8), b.T.astype(jnp.int8), preferred_element_type=jnp.int32
            ),
            "a product of int32, int8",
        ),
    ],
)
def test_what_has_no_rule_is_said(function, what):
    b = jnp.asarray(rng.normal(size=(3, 4, P)), jnp.float32)
    with pytest.raises(NoRule, match=what):
        jax.make_jaxpr(lambda b: mapped_last(function, (), (b,)))(b)


def losses(monkeypatch, kernel, space, task, **options):
    """Losses of a study whose networks one kernel trains."""
    kernels.jitted.cache_clear()
    monkeypatch.setattr(kernels, "kernel_of", lambda *asked: kernels.KERNELS[kernel])
    monkeypatch.setattr(
        "hpjax.population.executor.kernel_of", lambda *asked: kernels.KERNELS[kernel]
    )
    found = hpjax.tune(space, task, trials=6, epochs=3, **options, **quiet)
    return found.curves[["train", "loss", "error"]].to_numpy()


SPACES = (
    [{"activation": name} for name in ACTIVATIONS]
    + [{"optimizer": name} for name in OPTIMIZERS]
    + [{"schedule": name} for name in SCHEDULES]
    + [
        {"activation": hpjax.Choice(["relu", "tanh"]), "depth": hpjax.IntUniform(1, 2)},
        {"width": hpjax.IntUniform(2, 6), "normalization": "batch", "residual": True},
        {"normalization": "layer", "dropout": hpjax.Uniform(0, 0.5), "l1": 1e-3, "l2": 1e-3},
        {"patience": 1}, {"epochs": hpjax.IntUniform(1, 3)},
        {"batch_size": 0, "clip_norm": 0.5, "weight_decay": 0.01},
        {"label_smoothing": 0.1, "input_noise": 0.1},
        {"embedding": "periodic", "frequencies": 3, "embedding_width": 2},
    ]
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_training_is_that_of_vmap(monkeypatch, space):
    space = {
        "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
        "width": 4,
        "batch_size": 16,
        "dtype": "float64",
    } | space
    options = {"validation": {"folds": 2, "repeats": 1}}
    expected = losses(monkeypatch, "vmap", space, "iris", **options)
    found = losses(monkeypatch, "last axis", space, "iris", **options)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("batch", "trained"), [(16, "last axis"), (90, "vmap")])
def test_what_has_no_rule_is_trained_by_vmap(monkeypatch, batch, trained):
    seen = []

    def watched(*given):
        try:
            found = mapped_last(*given)
        except NoRule:
            seen.append("vmap")
            raise
        seen.append("last axis")
        return found

    monkeypatch.setattr(kernels, "mapped_last", watched)
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "width": 4, "batch_size": batch}
    curves = losses(monkeypatch, "last axis", space, "iris")
    assert seen == [trained]
    assert np.isfinite(curves).all()
