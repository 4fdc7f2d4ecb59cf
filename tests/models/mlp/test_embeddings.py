"""Embeddings of numbers in tables and studies: what they embed, how they start, how their networks are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest

import hpjax
from hpjax import configurations
from hpjax.models.base import Target
from hpjax.models.mlp.embeddings import EMBEDDINGS, sine_cosine
from hpjax.tasks import Task

quiet = {"say": lambda text: None}


def table(rows=240, seed=0):
    """A class that is a wave of one number; a second number with gaps, and text."""
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "a": rng.uniform(0, 4, rows),
            "b": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "town": rng.choice(["Oslo", "Rome", "Nice"], rows),
        }
    )
    return frame, np.where(np.sin(2 * np.pi * frame["a"]) > 0, "up", "down")


def test_shapes_are_counted_as_they_are():
    for name in EMBEDDINGS:
        for numeric in (None, 3):
            target = Target(5, 2, "cross_entropy", numeric=numeric)
            spec, config = configurations.single_network(
                target, embedding=name, frequencies=4, embedding_width=6, hidden=(7,)
            )
            flat = np.zeros(spec.functions.draws.shape, np.float32)
            params, _ = spec.functions.init(flat, config)
            count = 5 if numeric is None else 3
            assert params[0]["frequencies"].shape == (count, 4)
            enters = count * 6 + 5 - count if name == "periodic" else 5 + count * 4
            assert params[0]["w"].shape == (enters, 7) == spec.sizes[:2]
            leaves = [leaf for layer in params for leaf in layer.values()]
            assert spec.size.weights == sum(leaf.size for leaf in leaves)


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_wave_is_learned_and_its_network_is_kept(tmp_path, name):
    frame, y = table()
    space = {
        "learning_rate": 0.02,
        "width": hpjax.Choice([12, 16]),  # padded
        "batch_size": 32,
        "embedding": name,
        "frequencies": 8,
        "frequency_scale": hpjax.LogUniform(0.3, 1),
    }
    task = Task.of(frame, y, "waves")
    found = hpjax.tune(space, task, trials=6, epochs=60, out=tmp_path / "run", **quiet)
    network = found.refit()
    held = task.test
    assert network.score(task.examples(held), task.truth(held)) > 0.85
    plain = {"learning_rate": 0.02, "width": 16, "batch_size": 32}
    without = hpjax.fit(task, plain, 60)
    assert without.score(task.examples(held), task.truth(held)) < 0.75
    network.save(tmp_path / "network.npz")
    again = hpjax.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(again.predict_proba(frame), network.predict_proba(frame))
    with pytest.raises(ValueError, match="embeddings, and scales or activations"):
        network.to_flax()
    ledger = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    lines = ledger.splitlines(keepends=True)
    (tmp_path / "run" / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    hpjax.resume(tmp_path / "run", task=task, **quiet)
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == ledger


def test_categories_and_marks_of_gaps_are_left_alone():
    """Only numbers are embedded: a table without any has no embedding."""
    frame, y = table()
    task = Task.of(frame, y, "waves")
    assert (task.inputs, task.numeric) == (2 + 1 + 4, 2)
    words = Task.of(frame[["town"]], y, "words")
    found = hpjax.train({"embedding": "cosine", "hidden": (4,)}, words, 1, **quiet)
    assert set(found.network().params[0]) == {"w", "b"}


def test_vectors_of_categories_are_their_rows():
    """A network with learned vectors computes what a table of vectors would; a category that is not there is zeros."""
    frame, y = table()
    task = Task.of(frame, y, "waves")
    config = {"hidden": (5,), "category_embedding": "learned", "category_width": 3}
    network = hpjax.train(config, task, 2, **quiet).network()
    p = network.params[0]
    assert task.categories == (4,)
    assert p["categories"].shape == (4, 3)
    assert p["w"].shape == (task.inputs - 4 + 3, 5)
    x = network.standards.inputs(task.x[:20], task.schema)
    vectors = np.where(x[:, -4:].any(1)[:, None], p["categories"][x[:, -4:].argmax(1)], 0)
    h = np.maximum(np.concatenate([x[:, :-4], vectors], 1) @ p["w"] + p["b"], 0)
    z = h @ network.params[1]["w"] + network.params[1]["b"]
    rows = task.examples(np.arange(20))
    np.testing.assert_allclose(network.outputs(rows), 1 / (1 + np.exp(-z)), rtol=1e-4)
    lost = rows.assign(town="Atlantis")
    assert np.isfinite(network.predict_proba(lost)).all()


@pytest.mark.slow
def test_vectors_of_categories_are_searched_saved_and_padded(tmp_path):
    frame, y = table()
    space = {
        "learning_rate": hpjax.LogUniform(1e-2, 1e-1),
        "width": hpjax.Choice([4, 12]),
        "category_embedding": hpjax.Choice(["one_hot", "learned"]),
        "category_width": 3,
        "embedding": hpjax.Choice(["none", "cosine"]),
    }
    found = hpjax.tune(space, Task.of(frame, y, "waves"), trials=12, epochs=5, **quiet)
    ensemble = found.ensemble()
    ensemble.save(tmp_path / "e.npz")
    np.testing.assert_array_equal(
        hpjax.load(tmp_path / "e.npz").predict(frame), ensemble.predict(frame)
    )
    assert np.isfinite(found.trials["loss"]).all()


@pytest.mark.parametrize("gradients", ["explicit", "autodiff"])
def test_both_gradients_train_the_same(gradients):
    frame, y = table()
    config = {"hidden": (8,), "embedding": "periodic", "l2": 1e-3}
    found = hpjax.train(config, Task.of(frame, y, "waves"), 3, gradients=gradients, **quiet)
    wanted = hpjax.train(config, Task.of(frame, y, "waves"), 3, **quiet)
    assert found.table["loss"].iloc[0] == pytest.approx(wanted.table["loss"].iloc[0], rel=1e-5)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"embedding": "waves"}, "embedding='waves' is none of none, periodic, cosine"),
        ({"frequencies": hpjax.Choice([4, 8])}, "frequencies acts on no network of the space"),
        (
            {"embedding": "cosine", "embedding_width": hpjax.Choice([4, 8])},
            "embedding_width acts on no network of the space; give embedding=periodic",
        ),
        (
            {"embedding": "none", "frequency_scale": hpjax.Uniform(0, 1)},
            "frequency_scale acts on no network",
        ),
        ({"category_width": hpjax.Choice([2, 4])}, "give category_embedding=learned, or drop it"),
        ({"embedding": "cosine", "frequencies": 0}, "frequencies must be a whole number"),
        ({"embedding": "cosine", "frequency_scale": -1.0}, "frequency_scale must be a number"),
    ],
)
def test_what_cannot_be_is_refused(space, message):
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1)} | space
    with pytest.raises(ValueError, match=message) as caught:
        hpjax.tune(space, "iris", trials=2, **quiet)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("largest", [0.5, 3.0, 1e3])
def test_sines_and_cosines_are_right_with_their_derivatives(dtype, largest):
    turns = np.random.default_rng(0).uniform(-largest, largest, 10_000).astype(dtype)
    turns[:33] = np.arange(-16, 17) / 8
    angle = 2 * np.pi * (turns.astype(np.float64) - np.round(turns.astype(np.float64)))
    with jax.enable_x64(dtype == "float64"):
        found = np.stack(jax.jit(sine_cosine)(turns))
        slope = [
            jax.vmap(jax.grad(lambda t, at=at: sine_cosine(t)[at]))(jnp.asarray(turns))
            for at in (0, 1)
        ]
    assert found.dtype == dtype
    close = 2e-7 if dtype == "float32" else 1e-15 * max(1, largest)
    np.testing.assert_allclose(found, [np.sin(angle), np.cos(angle)], atol=close)
    slope = np.stack(slope) / (2 * np.pi)
    np.testing.assert_allclose(slope, [np.cos(angle), -np.sin(angle)], atol=2 * close)
