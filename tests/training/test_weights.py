"""Weights of examples: a weight of three is three examples, in training, validation and metrics."""

import numpy as np
import pandas
import pytest
from sklearn import metrics as sklearn_metrics

import hpjax
from hpjax import Task, hypergrad
from hpjax.tasks import Split
from hpjax.training import batches
from hpjax.training.targets import powers

quiet = dict(say=lambda text: None)


def both(kind, seed=0):
    """A weighted task, and the same with as many rows as weights say; one split, the same examples on either side."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, 3))
    y = (x[:, 0] > 0).astype(int) if kind == "classes" else x @ np.array([1.0, 2.0, 3.0])
    weights = rng.integers(0, 4, 40)
    weights[:4] = weights[30:34] = 1  # both classes on both sides
    train, valid = np.arange(28), np.arange(28, 40)
    times = np.repeat(np.arange(40), weights)
    labels = ("a", "b") if kind == "classes" else ()
    plain = dict(standardize=False, labels=labels)
    one = Task("w", x, y, weights=weights.astype(float), folds=(Split(train, valid),), **plain)
    parts = [np.flatnonzero(np.isin(times, rows)) for rows in (train, valid)]
    other = Task("r", x[times], y[times], folds=(Split(*parts),), **plain)
    return one, other


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.parametrize("gradients", ["explicit", "autodiff"])
def test_a_weight_is_as_many_examples(kind, gradients):
    one, other = both(kind)
    # the mean over the weights is what repeated rows have: penalties are the same then, too
    config = {
        "hidden": (6,),
        "batch_size": 0,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "l2": 0.01,
        "dtype": "float64",
        "activation": "tanh",
    }
    options = dict(seeds=[1], gradients=gradients, metrics={"mine": lambda p, y: (p - y).sum(-1)})
    weighted, repeated = (hpjax.train(config, t, 5, **options, **quiet) for t in (one, other))
    for a, b in zip(weighted.network().params, repeated.network().params):
        np.testing.assert_allclose(a["w"], b["w"], rtol=1e-9)
    columns = ["train", "loss", "mine"] + (["error"] if kind == "classes" else [])
    np.testing.assert_allclose(weighted.table[columns], repeated.table[columns], rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_weight_is_as_many_examples_to_the_power_of_a_transform(seed):
    rng = np.random.default_rng(seed)
    y = np.stack([np.exp(rng.normal(size=60)), rng.normal(size=60) ** 3, np.ones(60)], 1)
    weights = rng.integers(0, 4, 60)
    y[weights == 0] *= 1e6  # says nothing
    rows = np.flatnonzero(weights)
    weighted = powers("yeo_johnson", y, rows, weights[rows].astype(float))
    repeated = powers("yeo_johnson", np.repeat(y, weights, 0))
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5)


def test_examples_without_weight_say_nothing_of_a_transform():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), np.exp(rng.normal(size=60))
    weights = rng.integers(0, 3, 60).astype(float)
    found = []
    for factor in (1, 1e5):
        task = Task.of(x, np.where(weights > 0, y, y * factor), test=0, weights=weights)
        spec, _ = hypergrad.configure(task, hidden=(4,), target_transform="yeo_johnson")
        examples = batches.examples_of(task, hpjax.tasks.splits(task, 2, 0))
        found.append([batches.standards(examples, train, spec) for train, _ in examples.folds])
    for one, other in zip(*found):
        np.testing.assert_array_equal(one.about, other.about)
        np.testing.assert_array_equal(one.y_shift, other.y_shift)


@pytest.mark.slow
def test_hypergradients_are_of_weighted_training():
    one, other = both("classes")
    found = []
    for task in (one, other):
        spec, config = hypergrad.configure(
            task, hidden=(4,), batch_size=0, optimizer="sgd", learning_rate=0.1, dtype="float64"
        )
        split = task.folds[0]
        options = dict(split=split, mode="reverse", key=3)
        found.append(hypergrad.hypergradient(task, spec, config, "learning_rate", 4, **options))
    np.testing.assert_allclose(found[0].loss, found[1].loss, rtol=1e-9)
    gradients = [f.gradient["learning_rate"] for f in found]
    np.testing.assert_allclose(*gradients, rtol=1e-8)


@pytest.mark.slow
def test_weights_reach_every_door(tmp_path):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(rng.normal(size=(90, 3)), columns=["a", "b", "c"])
    y, w = np.where(frame["a"] > 0, "up", "down"), rng.integers(0, 3, 90) + 0.5
    space = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 2}
    pair = hpjax.tune(space, (frame, y, w), trials=3, **quiet)
    frame.assign(w=w, y=y).to_csv(tmp_path / "d.csv", index=False)
    file = hpjax.tune(
        space,
        str(tmp_path / "d.csv"),
        trials=3,
        columns={"w": "weight"},
        out=tmp_path / "run",
        **quiet,
    )
    np.testing.assert_allclose(file.trials["loss"], pair.trials["loss"], rtol=1e-4)
    plain = hpjax.tune(space, (frame, y), trials=3, **quiet)
    assert not np.allclose(plain.trials["loss"], pair.trials["loss"], rtol=1e-4)
    again = hpjax.open_run(tmp_path / "run", **quiet)
    network, task = again.refit(), again.task
    test = again.test(network)
    expected = sklearn_metrics.accuracy_score(
        task.truth(task.test),
        network.predict(task.examples(task.test)),
        sample_weight=task.weights[task.test],
    )
    assert test["accuracy"] == pytest.approx(expected)
    assert "w: weights of the examples" in " ".join(task.about())
