"""Losses by name: what they make of outliers, quantiles and rare classes; class weights; what is refused."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

import hpjax
from hpjax.tasks import Task
from hpjax.training.batches import balanced, examples_of, importance, prepare
from hpjax.training.losses import LOSSES

quiet = {"say": lambda text: None}
RATE = hpjax.LogUniform(1e-3, 1e-1)


def outliers(rows=600, seed=0):
    """A line with a tenth of its targets far above it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (rows, 1))
    y = x[:, 0] + 0.1 * rng.normal(size=rows)
    wild = rng.random(rows) < 0.1
    return x, np.where(wild, y + 20, y)


@pytest.mark.slow
def test_robust_losses_follow_the_many():
    x, y = outliers()
    config = {"hidden": (16,), "learning_rate": 0.01}
    far = {}
    for loss, numbers in (("mse", {}), ("mae", {}), ("huber", {"huber_delta": 0.05})):
        network = hpjax.fit(Task.of(x, y, test=0), config | {"loss": loss} | numbers, 60)
        far[loss] = np.abs(network.predict(x) - x[:, 0]).mean()
    assert far["mae"] < 0.3 < far["mse"]
    assert far["huber"] < 0.5 < far["mse"]


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_a_quantile_is_predicted(level):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4000, 1))
    y = x[:, 0] + rng.exponential(size=4000)
    config = {"hidden": (16,), "learning_rate": 0.01, "schedule": "cosine", "batch_size": 128}
    config |= {"loss": "quantile", "quantile_level": level}
    network = hpjax.fit(Task.of(x, y, test=0), config, 60)
    assert np.mean(y < network.predict(x)) == pytest.approx(level, abs=0.02)


@pytest.mark.slow
def test_focal_loss_without_focus_is_cross_entropy():
    for task in ("iris", "breast_cancer"):
        trained = [
            hpjax.train({"hidden": (8,)} | more, task, 3, **quiet).table["loss"].iloc[0]
            for more in ({}, {"loss": "focal", "focal_gamma": 0.0})
        ]
        assert trained[0] == pytest.approx(trained[1], rel=1e-5)


def rare(rows=900, seed=0):
    """Three classes, of which one makes up 4 %."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, rows, p=[0.04, 0.3, 0.66])
    x = rng.normal(size=(rows, 2)) + np.array([[1.2, 0], [-0.5, 1], [-0.5, -1]])[y]
    return x, y


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_scikit_learns(classes, weighted):
    x, y = rare()
    y = np.minimum(y, classes - 1)
    weights = np.random.default_rng(1).integers(1, 3, len(y)) if weighted else None
    task = Task.of(x, y, test=0, weights=weights)
    pair = [(np.arange(700), np.arange(700, 900))]
    examples = examples_of(task, task.with_folds(pair).folds)
    repeated = np.repeat(y[:700], 1 if weights is None else weights[:700])
    wanted = compute_class_weight("balanced", classes=np.arange(classes), y=repeated)
    np.testing.assert_allclose(balanced(examples, np.arange(700)), wanted)
    spec, _ = hpjax.hypergrad.configure(task, hidden=(4,), class_weight="balanced")
    data = prepare(examples, 1, [0], 1, spec)
    found = importance(data, 0, np.arange(700))
    each = np.ones(700) if weights is None else weights[:700] / weights[:700].mean()
    np.testing.assert_allclose(found, each * wanted[y[:700]], rtol=1e-5)


@pytest.mark.slow
def test_balanced_classes_are_found_alike():
    x, y = rare()
    recall = {}
    for way in ("none", "balanced"):
        config = {"hidden": (16,), "learning_rate": 0.01, "class_weight": way}
        table = hpjax.train(
            config, (x, y), 30, validation=4, metrics=["balanced_accuracy"], **quiet
        ).table
        recall[way] = table["balanced_accuracy"].iloc[0]
    assert recall["balanced"] > recall["none"] + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_searched_resumed_and_made_an_ensemble_of(tmp_path, loss):
    task = "diabetes" if LOSSES[loss].of != "classes" else "iris"
    task = "breast_cancer" if loss == "bce" else task
    space = {"hidden": (4,), "learning_rate": RATE, "loss": loss}
    found = hpjax.tune(space, task, trials=4, epochs=3, out=tmp_path / "run", **quiet)
    ledger = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    (tmp_path / "run" / "ledger.jsonl").write_bytes(b"".join(ledger.splitlines(True)[:2]))
    hpjax.resume(tmp_path / "run", **quiet)
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == ledger
    assert np.isfinite(found.ensemble(size=3).validation["ensemble"])
    gradient = hpjax.tune(space, task, trials=2, epochs=2, search="gradient", **quiet)
    assert np.isfinite(gradient.trials["loss"]).all()
    found.refit().save(tmp_path / "n.npz")
    assert hpjax.load(tmp_path / "n.npz").spec.loss == found.refit().spec.loss


@pytest.mark.parametrize(
    ("task", "space", "message"),
    [
        (
            "iris",
            {"loss": "huber"},
            "loss='huber' needs numbers, but the task's targets are classes",
        ),
        (
            "diabetes",
            {"loss": "focal"},
            "loss='focal' needs classes, but the task's targets are num",
        ),
        ("diabetes", {"class_weight": "balanced"}, "class_weight needs classes"),
        ("diabetes", {"huber_delta": hpjax.Uniform(0.1, 1)}, "huber_delta acts on no network"),
        ("diabetes", {"loss": hpjax.Choice(["mse", "mae"])}, "as loss varies; give objective="),
        (
            "diabetes",
            {"loss": "quantile", "quantile_level": hpjax.Uniform(0.1, 0.9)},
            "as quantile_level varies",
        ),
        (
            "diabetes",
            {"loss": "quantile", "quantile_level": 1.5},
            "quantile_level must be a number",
        ),
    ],
)
def test_what_cannot_be_is_refused(task, space, message):
    with pytest.raises(ValueError, match=message) as caught:
        hpjax.tune({"learning_rate": RATE} | space, task, trials=2, **quiet)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_different_losses_are_compared_by_a_metric():
    space = {"learning_rate": RATE, "loss": hpjax.Choice(["mse", "mae", "huber"])}
    found = hpjax.tune(space, "diabetes", trials=6, epochs=3, objective="rmse", **quiet)
    assert found.trials["rmse"].notna().all()
