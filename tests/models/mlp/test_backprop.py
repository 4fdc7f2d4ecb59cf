"""Explicit gradients equal `jax.grad` and central differences, over the whole catalogue; published figures."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpjax import configurations
from hpjax.models import Batch
from hpjax.models.base import Target, cast
from hpjax.models.mlp import backprop, network
from hpjax.models.mlp.activations import ACTIVATIONS, activate
from hpjax.models.mlp.embeddings import EMBEDDINGS
from hpjax.training.losses import loss_of

# compiling takes longer than computing here
jit = partial(
    jax.jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    },
)

CASES = [
    *({"activation": name} for name in ACTIVATIONS),
    *({"normalization": n, "activation": a} for n in ("batch", "layer") for a in ("tanh", "prelu")),
    *({"parametrization": p, "activation": "tanh"} for p in ("mean_field", "mup")),
    *({"init": i, "activation": "tanh"} for i in ("normal", "xavier", "he", "lecun", "orthogonal")),
    {"hidden": (5, 5, 5), "residual": True, "activation": "tanh"},
    {
        "hidden": (5, 5),
        "residual": True,
        "normalization": "batch",
        "dropout": 0.3,
        "activation": "silu",
    },
    {"hidden": (7, 4), "activation": ("relu", "softmax"), "dropout": (0.2, 0.5)},
    {"hidden": (3, 4), "activation": ("relu", "prelu")},
    {"bias": False, "activation": "gelu"},
    {"hidden": ()},
    {"l1": 0.01, "l2": (0.1, 0.2, 0.0), "activation": "tanh"},
    {"dropout": 0.4, "input_noise": 0.2, "label_smoothing": 0.1, "activation": "elu"},
    {"loss": "mse", "activation": "tanh"},
    *(
        {"loss": "mse", "output": name, "activation": "tanh"}
        for name in ACTIVATIONS
        if name != "prelu"
    ),
    {"loss": "bce", "activation": "sigmoid", "label_smoothing": 0.2},
    {"loss": "focal", "focal_gamma": 1.5, "activation": "tanh", "label_smoothing": 0.1},
    {"loss": "focal", "outputs": 1, "activation": "tanh"},
    *(
        {"loss": loss, "task": "mse", "activation": "tanh"} | numbers
        for loss, numbers in (
            ("mae", {}),
            ("huber", {"huber_delta": 0.7}),
            ("quantile", {"quantile_level": 0.9, "output": "sigmoid"}),
        )
    ),
    *({"embedding": e, "frequencies": 3, "activation": "tanh"} for e in EMBEDDINGS),
    *({"embedding": e, "frequencies": 2, "numeric": 3, "l2": 0.1, "l1": 0.01} for e in EMBEDDINGS),
    {
        "embedding": "periodic",
        "embedding_width": 2,
        "numeric": 2,
        "hidden": (6, 6),
        "residual": True,
    },
    {"embedding": "cosine", "hidden": (), "input_noise": 0.1, "parametrization": "mup"},
    {
        "categories": (2,),
        "category_embedding": "learned",
        "category_width": 3,
        "activation": "tanh",
    },
    *(
        {
            "categories": (2, 1),
            "category_embedding": "learned",
            "embedding": e,
            "numeric": 1,
            "l2": 0.1,
        }
        for e in EMBEDDINGS
    ),
]


def problem(values, masked=False, select=()):
    values = {"hidden": (6, 5)} | values
    outputs, task = values.pop("outputs", 3), values.pop("task", "cross_entropy")
    task = "bce" if outputs == 1 else task
    parts = {name: values.pop(name, None) for name in ("numeric", "categories")}
    target = Target(4, outputs, task, **parts)
    spec, config = configurations.single_network(target, dtype="float64", **values)
    if masked:
        config |= {"width": np.array(spec.hidden, np.int32)}
        spec = dataclasses.replace(spec, hidden=tuple(h + 3 for h in spec.hidden), masked=True)
    if select:
        config |= {"activation": np.array([select.index(a) for a in spec.activation], np.int32)}
        spec = dataclasses.replace(spec, select=select)
    config = cast(config, spec)
    params, stats = spec.functions.init(
        jax.random.normal(jax.random.key(0), spec.functions.draws.shape), config
    )
    noise = lambda leaf: (
        leaf + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape, leaf.dtype)
    )
    params = jax.tree.map(noise, params)
    rng = np.random.default_rng(1)
    y = jnp.asarray(np.eye(3)[rng.integers(3, size=8)])[:, :outputs]
    weight = jnp.asarray([1.0, 1, 1, 1, 1, 1, 0, 0])
    batch = Batch(jnp.asarray(rng.normal(size=(8, 4))), y, weight, jax.random.key(7))
    return params, stats, config, batch, spec


def assert_trees_close(a, b, tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance), a, b)


@pytest.mark.parametrize("values", CASES, ids=str)
def test_explicit_equals_autodiff(values):
    with jax.enable_x64(True):
        *arguments, spec = problem(values)
        auto = jax.value_and_grad(spec.functions.loss, has_aux=True)
        both = jit(lambda *a: (backprop.value_and_grad(spec)(*a), auto(*a)))
        assert_trees_close(*both(*arguments), 1e-10)


@pytest.mark.parametrize(
    "values",
    [*CASES[::3], *(pytest.param(c, marks=pytest.mark.slow) for i, c in enumerate(CASES) if i % 3)],
    ids=str,
)
def test_explicit_equals_central_differences(values):
    with jax.enable_x64(True):
        *arguments, spec = problem(values)
        naive = partial(backprop.finite_differences, spec=spec)
        both = jit(lambda *a: (backprop.value_and_grad(spec)(*a)[1], naive(*a)))
        assert_trees_close(*both(*arguments), 1e-6)


@pytest.mark.parametrize(
    ("values", "select"),
    [
        pytest.param({"activation": "tanh"}, (), marks=pytest.mark.slow),
        ({"activation": "softmax"}, ()),
        ({"activation": "sigmoid", "normalization": "layer"}, ()),
        ({"activation": "sigmoid", "normalization": "batch", "dropout": 0.3}, ()),
        ({"hidden": (4, 4), "residual": True, "activation": "sigmoid"}, ()),
        ({"activation": ("prelu", "softmax")}, ("tanh", "prelu", "softmax")),
        ({"embedding": "periodic", "frequencies": 3, "residual": True, "hidden": (4, 4)}, ()),
        (
            {"embedding": "cosine", "frequencies": 3, "activation": ("tanh", "relu")},
            ("relu", "tanh"),
        ),
        (
            {"activation": ("tanh", "identity"), "parametrization": "mean_field"},
            ("tanh", "identity"),
        ),
    ],
    ids=str,
)
def test_padded_and_selected_gradients_equal_autodiff_and_stay_in_their_mask(values, select):
    with jax.enable_x64(True):
        params, stats, config, batch, spec = problem(values, masked=True, select=select)
        explicit = jit(backprop.value_and_grad(spec))(params, stats, config, batch)
        auto = jit(jax.value_and_grad(spec.functions.loss, has_aux=True))(
            params, stats, config, batch
        )
        assert_trees_close(explicit, auto, 1e-10)
        masks = network.unit_masks(spec, config)
        for layer, grads in enumerate(explicit[1][:-1]):
            outside = np.asarray(masks[layer + 1]) == 0
            assert not np.asarray(grads["w"])[:, outside].any()


def test_weights_of_padding_stay_zero_under_l1():
    """By either gradient: the derivative of |w| is 0 at 0."""
    with jax.enable_x64(True):
        params, stats, config, batch, spec = problem(
            {"l1": 0.05, "activation": "tanh"}, masked=True
        )
        for way in (
            backprop.value_and_grad(spec),
            jax.value_and_grad(spec.functions.loss, has_aux=True),
        ):
            params = spec.functions.init(
                jax.random.normal(jax.random.key(0), spec.functions.draws.shape), config
            )[0]
            _, grads = jit(way)(params, stats, config, batch)
            outside = np.asarray(network.unit_masks(spec, config)[1]) == 0
            assert not np.asarray(grads[0]["w"])[:, outside].any()


def test_the_courses_figures():
    with jax.enable_x64(True):
        z = jnp.array([0.1653, 0.4551, 0.6317, 0.4961])
        a = activate("sigmoid", z)
        np.testing.assert_allclose(a, [0.5412, 0.6118, 0.6529, 0.6215], atol=6e-5)
        out = activate("sigmoid", jnp.float64(3.5097))
        np.testing.assert_allclose(out, 0.9710, atol=5e-5)
        spec, _ = configurations.single_network(Target(2, 1, "bce"), hidden=(4,), dtype="float64")
        loss = loss_of(spec).each(jnp.array([[3.5097]]), jnp.ones((1, 1)))[0]
        np.testing.assert_allclose(loss, -np.log(0.9710), atol=5e-5)
        np.testing.assert_allclose(loss, 0.029468, atol=5e-5)


def test_mazurs_example():
    """Mazur 2015, A Step by Step Backpropagation Example: two squared errors, halved, are their mean."""
    with jax.enable_x64(True):
        spec, config = configurations.single_network(
            Target(2, 2, "mse"),
            hidden=(2,),
            activation="sigmoid",
            output="sigmoid",
            dtype="float64",
            optimizer="sgd",
        )
        params = (
            {"w": jnp.array([[0.15, 0.25], [0.20, 0.30]]), "b": jnp.array([0.35, 0.35])},
            {"w": jnp.array([[0.40, 0.50], [0.45, 0.55]]), "b": jnp.array([0.60, 0.60])},
        )
        batch = Batch(
            jnp.array([[0.05, 0.10]]), jnp.array([[0.01, 0.99]]), jnp.ones(1), jax.random.key(0)
        )
        value, layers = backprop.intermediates(params, (), cast(config, spec), batch, spec)
        np.testing.assert_allclose(value, 0.298371109, atol=1e-9)
        np.testing.assert_allclose(layers[0].a[0], [0.593269992, 0.596884378], atol=1e-9)
        np.testing.assert_allclose(layers[1].a[0], [0.75136507, 0.772928465], atol=1e-8)
        dw5_8 = layers[1].dw.T.ravel()
        np.testing.assert_allclose(
            dw5_8, [0.082167041, 0.08266763, -0.02260254, -0.02274024], atol=1e-8
        )
        dw1_4 = layers[0].dw.T.ravel()
        np.testing.assert_allclose(
            dw1_4, [0.000438568, 0.000877135, 0.000497713, 0.000995425], atol=1e-9
        )
        moved = tuple(p | {"w": p["w"] - 0.5 * layer.dw} for p, layer in zip(params, layers))
        np.testing.assert_allclose(
            moved[0]["w"].T.ravel(), [0.149780716, 0.199561432, 0.249751144, 0.299502287], atol=1e-9
        )
        after = spec.functions.loss(moved, (), cast(config, spec), batch)[0]
        np.testing.assert_allclose(after, 0.291027774, atol=1e-6)

        def step(_, p):
            _, found = backprop.intermediates(p, (), cast(config, spec), batch, spec)
            return tuple(a | {"w": a["w"] - 0.5 * layer.dw} for a, layer in zip(p, found))

        end = jax.jit(lambda p: jax.lax.fori_loop(0, 10_000, step, p))(params)
        np.testing.assert_allclose(
            spec.functions.loss(end, (), cast(config, spec), batch)[0], 3.5102e-05, rtol=1e-4
        )


@pytest.mark.slow
def test_intermediates_are_those_of_autodiff():
    with jax.enable_x64(True):
        params, stats, config, batch, spec = problem(
            {"hidden": (4,), "activation": "sigmoid", "loss": "bce"}
        )
        value, layers = backprop.intermediates(params, stats, config, batch, spec)
        auto, grads = jax.value_and_grad(spec.functions.loss, has_aux=True)(
            params, stats, config, batch
        )
        np.testing.assert_allclose(value, auto[0], rtol=1e-12)
        for layer, grad in zip(layers, grads):
            np.testing.assert_allclose(layer.dw, grad["w"], atol=1e-12)
            np.testing.assert_allclose(layer.db, grad["b"], atol=1e-12)
            np.testing.assert_allclose(layer.dw, layer.a_in.T @ layer.delta, atol=1e-12)
