"""Transforms of targets: scikit-learn's, fitted on training parts, undone in predictions, metrics and ensembles."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from sklearn.preprocessing import PowerTransformer

import hpjax
from hpjax.tasks import Task
from hpjax.training import batches
from hpjax.training.targets import TRANSFORMS, powers, transformed, undone

quiet = {"say": lambda text: None}
CONFIG = {"hidden": (16,), "learning_rate": 0.01}


def skewed(rows=400, seed=0, shift=0.0):
    """Targets that are the exponential of a line, and its noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    return x, np.exp(2 * x[:, 0] + 0.1 * rng.normal(size=rows)) + shift


@pytest.mark.parametrize("xp", [np, jnp])
@pytest.mark.parametrize("power", [-1.5, 0.0, 0.4, 1.0, 2.0, 3.0])
def test_yeo_johnson_is_scikit_learns_and_is_undone(power, xp):
    y = np.linspace(-0.2, 3, 41)[:, None]
    known = PowerTransformer(standardize=False)
    known.lambdas_, known.n_features_in_ = np.array([power]), 1
    with np.errstate(all="ignore"):
        wanted = known.transform(y)
    about = xp.asarray([[power], [-np.inf], [np.inf]])
    found = transformed("yeo_johnson", xp.asarray(y), about, xp)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(undone("yeo_johnson", found, about, xp), y, rtol=1e-4, atol=1e-5)


def test_what_lies_beyond_the_end_is_taken_for_the_training_parts_own():
    """A negative power has transformed numbers below 1 / -power; beyond there would be no number."""
    y = np.exp(3 * np.random.default_rng(0).normal(size=(300, 1)))
    about = powers("yeo_johnson", y)
    assert about[0, 0] < 0
    far = undone("yeo_johnson", np.array([[-50.0], [50.0]]), about)
    np.testing.assert_allclose(far[:, 0], [y.min(), y.max()], rtol=1e-6)


def test_powers_are_those_of_the_training_part():
    x, y = skewed(shift=-1)
    task = Task.of(x, y, test=0)
    spec, _ = hpjax.hypergrad.configure(task, hidden=(4,), target_transform="yeo_johnson")
    folds = hpjax.tasks.splits(task, 3, 0)
    examples = batches.examples_of(task, folds)
    data = batches.prepare(examples, 2, [0], 1, spec)
    for fold, (train, _) in enumerate(folds):
        known = PowerTransformer().fit(y[train][:, None])
        np.testing.assert_allclose(data.about[2 * fold][0], known.lambdas_, rtol=1e-5)
        _, seen = batches.inputs(spec, data, 2 * fold, np.arange(400))
        np.testing.assert_allclose(seen, known.transform(y[:, None]), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_predictions_and_metrics_are_in_the_targets_units(tmp_path, transform):
    x, y = skewed()
    pairs = [(np.arange(300), np.arange(300, 400))]
    names = ["rmse", "mae", "neg_median_absolute_error"]
    trained = hpjax.train(
        CONFIG | {"target_transform": transform},
        Task.of(x, y, test=0),
        30,
        validation=pairs,
        metrics=names,
        **quiet,
    )
    network, row = trained.network(), trained.table.iloc[0]
    predicted, truth = network.predict(x[300:]), y[300:]
    assert row["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), rel=1e-3)
    assert row["mae"] == pytest.approx(mean_absolute_error(truth, predicted), rel=1e-3)
    median = np.median(np.abs(truth - predicted))
    assert row["neg_median_absolute_error"] == pytest.approx(-median, rel=1e-3)
    assert row["error"] == pytest.approx(np.mean((truth - predicted) ** 2) / truth.var(), rel=1e-3)
    network.save(tmp_path / "n.npz")
    np.testing.assert_array_equal(hpjax.load(tmp_path / "n.npz").predict(x), network.predict(x))
    if transform == "log":
        assert (predicted > 0).all()


@pytest.mark.slow
def test_the_logarithm_is_learned_more_easily():
    x, y = skewed(800)
    found = {}
    for transform in TRANSFORMS:
        task = Task.of(x[:600], y[:600], test=0)
        network = hpjax.fit(task, CONFIG | {"target_transform": transform}, 40)
        found[transform] = np.median(
            np.abs(np.log(np.maximum(network.predict(x[600:]), 1e-6) / y[600:]))
        )
    assert found["log"] < 0.5 * found["none"]
    assert found["yeo_johnson"] < found["none"]


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["log", "yeo_johnson"])
@pytest.mark.parametrize("objective", ["loss", "mae"])
def test_studies_and_ensembles_of_transformed_targets(tmp_path, transform, objective):
    x, y = skewed()
    space = {"width": hpjax.Choice([4, 8]), "learning_rate": hpjax.LogUniform(1e-2, 1e-1)}
    space |= {"target_transform": transform}
    options = dict(trials=6, epochs=9, objective=objective, validation=2, out=tmp_path / "run")
    found = hpjax.tune(space, (x, y), **options, **quiet)
    whole = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    (tmp_path / "run" / "ledger.jsonl").write_bytes(b"".join(whole.splitlines(True)[:2]))
    hpjax.resume(tmp_path / "run", task=(x, y), **quiet)
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == whole
    ensemble = found.ensemble(size=5)
    mean = sum(s * n.predict(x) for s, n in zip(ensemble.shares, ensemble.networks))
    np.testing.assert_allclose(ensemble.predict(x), mean, rtol=1e-4)
    best = found.best["objective"]
    assert 0.3 * best < ensemble.validation["ensemble"] < 3 * best
    gradient = hpjax.tune(space, (x, y), search="gradient", trials=2, epochs=2, **quiet)
    assert np.isfinite(gradient.trials["loss"]).all()


@pytest.mark.slow
def test_transforms_are_searched_by_a_metric():
    x, y = skewed()
    space = CONFIG | {"target_transform": hpjax.Choice(list(TRANSFORMS))}
    found = hpjax.tune(space, (x, y), trials=6, epochs=9, objective="mae", search="grid", **quiet)
    assert found.trials["mae"].notna().all()
    assert found.ensemble().predict(x).shape == y.shape


@pytest.mark.parametrize(
    ("task", "space", "message"),
    [
        ("iris", {"target_transform": "log"}, "target_transform needs numbers"),
        ("diabetes", {"target_transform": "sqrt"}, "target_transform='sqrt' is none of none, log"),
        (
            "diabetes",
            {"target_transform": hpjax.Choice(["none", "log"])},
            "as target_transform varies; give objective=",
        ),
    ],
)
def test_what_cannot_be_is_refused(task, space, message):
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1)} | space
    with pytest.raises(ValueError, match=message) as caught:
        hpjax.tune(space, task, trials=2, **quiet)
    assert "\n" not in str(caught.value)


def test_a_logarithm_of_what_is_not_positive_is_refused():
    x, y = skewed(shift=-1)
    with pytest.raises(ValueError, match="needs positive targets, and there is -0"):
        hpjax.fit(Task.of(x, y), CONFIG | {"target_transform": "log"}, 2)
    x, y = skewed()
    y[0] = 0.0  # in a validation part alone
    folds = [(np.arange(20, len(x)), np.arange(20))]
    with pytest.raises(ValueError, match="needs positive targets, and there is 0"):
        hpjax.train(
            CONFIG | {"target_transform": "log"},
            Task.of(x, y, test=0),
            2,
            validation=folds,
            **quiet,
        )
