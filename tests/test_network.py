"""Networks that were saved predict the same, elsewhere and without the data; what is no such file is refused in one line."""

import json
import subprocess
import sys

import jax
import numpy as np
import pandas
import pytest

import hpjax
from hpjax import Task
from hpjax.models.mlp.activations import ACTIVATIONS
from hpjax.models.mlp.torch_and_flax import FLAX

quiet = dict(say=lambda text: None)


def squares(outputs, y):
    return ((outputs - y) ** 2).mean(-1)


def linear(scale=1.0):
    init = lambda key, x: {"w": scale * jax.random.normal(key, (x.shape[1], 3))}
    return hpjax.Model(init, lambda params, x: x @ params["w"])


def people(rows=90):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(40, 9, rows)),
            "town": rng.choice(np.array(["Paris", "Orléans", None], object), rows),
            "since": pandas.Timestamp("2020-01-01")
            + pandas.to_timedelta(rng.integers(0, 900, rows), unit="D"),
        }
    )
    return frame, rng.choice([True, False], rows)


CASES = {
    "classes": ("iris", {"hidden": (8, 4), "activation": "tanh"}, {}),
    "two classes": ("breast_cancer", {"hidden": (6,), "normalization": "batch"}, {}),
    "numbers": ("diabetes", {"hidden": (6,), "dropout": 0.2, "bias": False}, {}),
    "several numbers": (
        (
            np.random.default_rng(0).normal(size=(60, 3)),
            np.random.default_rng(1).normal(size=(60, 2)),
        ),
        {"hidden": (5,)},
        {},
    ),
    "in float64": ("iris", {"hidden": (4,), "dtype": "float64"}, {}),
    "a table": (people(), {"hidden": (8,)}, {}),
    "own loss": ("iris", {"hidden": (4,)}, {"loss": squares}),
    "own network": ("iris", {"scale": 0.5}, {"model": linear}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_saved_network_predicts_the_same(name, tmp_path):
    source, config, own = CASES[name]
    task = hpjax.tasks.load(source) if isinstance(source, str) else Task.of(*source)
    network = hpjax.train(config, task, 3, **own, **quiet).network()
    network.save(tmp_path / "n.npz")
    again = hpjax.load(tmp_path / "n.npz", **own)
    x = task.examples(np.arange(len(task.x)))
    np.testing.assert_array_equal(again.outputs(x), network.outputs(x))
    np.testing.assert_array_equal(again.predict(x), network.predict(x))
    assert again.predict(x).dtype == network.predict(x).dtype
    assert again.spec == network.spec or own
    assert repr(again) == repr(network)
    again.save(tmp_path / "m.npz")
    with np.load(tmp_path / "n.npz") as first, np.load(tmp_path / "m.npz") as second:
        assert set(first) == set(second)
        for part in first:
            np.testing.assert_array_equal(first[part], second[part])


@pytest.mark.slow
def test_it_is_read_in_another_process_without_the_data(tmp_path):
    frame, y = people()
    network = hpjax.fit(Task.of(frame, y), {"hidden": (8,)}, epochs=3)
    network.save(tmp_path / "n.npz")
    frame.to_csv(tmp_path / "people.csv", index=False)
    code = (
        "import sys, pandas, hpjax\n"
        "network = hpjax.load(sys.argv[1])\n"
        "print(network.predict(pandas.read_csv(sys.argv[2])).tolist())"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "n.npz"), str(tmp_path / "people.csv")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.lower()) == network.predict(frame).tolist()


@pytest.mark.slow
def test_what_is_no_network_is_refused(tmp_path):
    network = hpjax.fit(hpjax.tasks.load("iris"), {"hidden": (4,)}, epochs=1)
    path = tmp_path / "n.npz"
    network.save(path)
    whole = path.read_bytes()
    with np.load(path) as saved:
        arrays = dict(saved)
    about = json.loads(arrays["about"].tobytes())

    def changed(**fields):
        text = json.dumps(about | fields).encode()
        np.savez(path, **arrays | {"about": np.frombuffer(text, np.uint8)})

    def without(name):
        np.savez(path, **{n: a for n, a in arrays.items() if n != name})

    for make, message in (
        (lambda: path.unlink(), "cannot be read as a network"),
        (lambda: path.write_bytes(b"no"), "cannot be read as a network"),
        (lambda: path.write_bytes(whole[: len(whole) // 2]), "cannot be read as a network"),
        (lambda: changed(format=9), "its format is 9, not 1; read it by hpjax"),
        (lambda: changed(own_loss="mine"), "give that again: loss=mine"),
        (lambda: changed(spec=about["spec"] | {"hidden": [5]}), "an array has shape"),
        (lambda: without("params 1"), "it has no '1'"),
        (lambda: without("about"), "it has no 'about'"),
    ):
        make()
        with pytest.raises(ValueError, match="cannot be read as a network") as caught:
            hpjax.load(path)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_many_rows_are_predicted_part_by_part(monkeypatch):
    network = hpjax.fit(hpjax.tasks.load("iris"), {"hidden": (4,)}, epochs=1)
    x = np.random.default_rng(0).normal(size=(1003, 4))
    whole = network.outputs(x)
    monkeypatch.setattr("hpjax.network.AT_ONCE", 400)
    np.testing.assert_allclose(network.outputs(x), whole, rtol=1e-6)


@pytest.mark.slow
def test_weights_are_carried_to_other_libraries():
    task = hpjax.tasks.load("iris")
    network = hpjax.fit(task, {"hidden": (8, 5), "activation": "tanh"}, epochs=3)
    inputs = network.standards.inputs(task.x, ())
    state = network.to_torch_state_dict()
    assert list(state) == [f"{at}.{part}" for at in (0, 2, 4) for part in ("weight", "bias")]
    z = inputs
    for at in (0, 2, 4):
        z = z @ state[f"{at}.weight"].T + state[f"{at}.bias"]
        z = np.tanh(z) if at < 4 else z
    shares = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, network.predict_proba(task.x), rtol=1e-4, atol=1e-5)
    pytest.importorskip("flax")
    module, variables = network.to_flax()
    np.testing.assert_allclose(
        module.apply(variables, inputs.astype(np.float32)), z, rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_flax_computes_every_activation_that_it_is_given(activation):
    pytest.importorskip("flax")
    task = hpjax.tasks.load("iris")
    network = hpjax.fit(task, {"hidden": (8,), "activation": activation}, epochs=3)
    if activation not in FLAX and activation != "identity":
        with pytest.raises(ValueError, match="no layer in Flax"):
            network.to_flax()
        return
    if activation not in FLAX:
        return
    module, variables = network.to_flax()
    z = np.asarray(module.apply(variables, network.inputs(task.x)))
    shares = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, network.predict_proba(task.x), rtol=1e-5, atol=1e-6)


def test_the_slope_of_prelu_is_carried():
    task = hpjax.tasks.load("iris")
    network = hpjax.fit(task, {"hidden": (8,), "activation": "prelu"}, epochs=3)
    state = network.to_torch_state_dict()
    assert list(state) == ["0.weight", "0.bias", "1.weight", "2.weight", "2.bias"]
    z = network.inputs(task.x) @ state["0.weight"].T + state["0.bias"]
    z = np.where(z > 0, z, state["1.weight"] * z) @ state["2.weight"].T + state["2.bias"]
    shares = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, network.predict_proba(task.x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "more",
    [
        {"normalization": "layer"},
        {"residual": True},
        {"embedding": "cosine"},
        {"parametrization": "mup"},
        {"parametrization": "mean_field"},
        {"loss": "mse", "output": "sigmoid"},
    ],
    ids=str,
)
def test_what_is_no_plain_stack_is_not_carried(more):
    network = hpjax.fit(hpjax.tasks.load("iris"), {"hidden": (8,)} | more, 1)
    with pytest.raises(ValueError, match="only multilayer perceptrons without normalisation"):
        network.to_torch_state_dict()


TO_ONNX = [
    ("classes", {"hidden": (8, 8), "normalization": "layer", "residual": True}),
    ("numbers", {"embedding": "periodic", "depth": 2, "width": 8}),
    ("classes", {"embedding": "cosine", "normalization": "batch", "dropout": 0.2}),
    ("numbers", {"category_embedding": "learned", "scaling": "quantile", "activation": "gelu"}),
    ("classes", {"hidden": (8,), "dtype": "float64"}),
    ("classes", {"hidden": (8,), "compute_dtype": "bfloat16"}),
    ("numbers", {"hidden": (8,), "target_transform": "log"}),
    ("numbers", {"hidden": (8,), "target_transform": "yeo_johnson"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "values"), TO_ONNX, ids=str)
def test_onnx_runtime_predicts_the_same(tmp_path, kind, values):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("jax2onnx")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "a": rng.normal(size=80),
            "b": np.where(rng.random(80) < 0.2, np.nan, rng.normal(size=80)),
            "town": rng.choice(["Oslo", "Rome", "Nice"], 80),
        }
    )
    y = np.exp(frame["a"].to_numpy())
    if kind == "classes":
        y = np.where(y > 1, "up", "down")
    network = hpjax.fit(Task.of(frame, y, "table"), values, epochs=2)
    network.to_onnx(tmp_path / "network.onnx")
    session = runtime.InferenceSession(tmp_path / "network.onnx")
    rows = frame[:7]
    (found,) = session.run(["y"], {"x": network.inputs(rows)})
    many = kind == "classes"
    expected = network.predict_proba(rows) if many else network.predict(rows)[:, None]
    rounding = 0.01 if "compute_dtype" in values else 1e-5
    np.testing.assert_allclose(found, expected, rtol=10 * rounding, atol=rounding)
