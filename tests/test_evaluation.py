"""A user's own losses and metrics: trained on, recorded, minimised, confirmed, resumed, differentiated; and what they may not be."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

import hpjax
from hpjax import hypergrad, report
from hpjax.search import SEARCHES
from hpjax.training.losses import LOSSES, own_loss
from hpjax.training.metrics import Truth
from hpjax.training.named_metrics import as_metrics

quiet = dict(say=lambda text: None)
SPACE = {"hidden": (8,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1)}


def cross_entropy(outputs, y):
    """What hpjax has under this name, in other words."""
    return -(y * jax.nn.log_softmax(outputs, axis=-1)).sum(-1)


def brier(predictions, y):
    """A mean over examples."""
    return ((predictions - y) ** 2).sum(-1)


def f1_macro(predictions, y, weight):
    """No mean over examples."""
    chosen = jax.nn.one_hot(predictions.argmax(-1), y.shape[-1]) * weight[:, None]
    hit = (chosen * y).sum(0)
    return (2 * hit / jnp.maximum(chosen.sum(0) + (y * weight[:, None]).sum(0), 1)).mean()


METRICS = {"brier": brier, "f1_macro": hpjax.Metric(f1_macro, greater_is_better=True)}


# --- losses -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", LOSSES)
def test_the_slope_under_a_loss_is_its_derivative(name):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        outputs, y = jnp.array(rng.normal(size=(5, 3))), jnp.array(rng.random((5, 3)))
        share = jnp.array(rng.random((5, 1)))
        loss = LOSSES[name]
        config = dict.fromkeys(loss.hyperparameters, 0.7)
        total = lambda outputs: (share[:, 0] * loss.each(outputs, y, config)).sum()
        np.testing.assert_allclose(
            loss.slope(outputs, y, share, config), jax.grad(total)(outputs), rtol=1e-12
        )


@pytest.mark.slow
@pytest.mark.parametrize("gradients", ["explicit", "autodiff"])
def test_a_loss_in_other_words_trains_the_same_networks(gradients):
    options = dict(seeds=2, gradients=gradients, **quiet)
    config = {
        "hidden": (8,),
        "dtype": "float64",
        "dropout": 0.1,
        "l2": 1e-3,
        "label_smoothing": 0.1,
    }
    ours = hpjax.train(config, "iris", 5, **options)
    theirs = hpjax.train(config, "iris", 5, loss=cross_entropy, **options)
    for column in ("loss", "error", "train"):
        np.testing.assert_allclose(ours.table[column], theirs.table[column], rtol=1e-12)
    x = np.ones((1, 4))
    np.testing.assert_allclose(ours.network().predict_proba(x), theirs.network().predict_proba(x))


def test_a_loss_of_numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    y = x @ [1.0, -2.0, 0.5] + (rng.random(200) < 0.1) * 50
    absolute = lambda outputs, y: jnp.abs(outputs - y).mean(-1)
    config = {"hidden": (), "learning_rate": 0.05, "output": "identity"}
    straight = hpjax.train(config, (x, y), 60, loss=absolute, validation=0, **quiet).network()
    squared = hpjax.train(config, (x, y), 60, validation=0, **quiet).network()
    truth = x @ [1.0, -2.0, 0.5]
    off = lambda network: np.abs(network.predict(x) - truth).mean()
    assert off(straight) < 0.1 * off(squared)


def test_hypergradients_of_a_loss_of_ones_own():
    task = hpjax.tasks.load("iris")
    values = dict(hidden=(6,), learning_rate=0.05, optimizer="sgd", dtype="float64")
    slopes = []
    for loss in ({}, {"loss": cross_entropy}):
        spec, config = hypergrad.configure(task, **values, **loss)
        found = hypergrad.hypergradient(task, spec, config, ["learning_rate"], 12)
        slopes.append(found.gradient["learning_rate"])
    np.testing.assert_allclose(*slopes, rtol=1e-10)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("mse", "one by name belongs in the space: {'loss': 'mse'}"),
        (lambda outputs, y: ((outputs - y) ** 2).sum(), "must give one number for each example"),
        (lambda outputs, y: outputs - y, "must give one number for each example"),
        (lambda outputs: outputs, "must take"),
    ],
)
def test_losses_are_refused(loss, message):
    with pytest.raises(ValueError, match=r"\w") as caught:
        hpjax.tune(SPACE, "iris", loss=loss, **quiet)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_loss_is_enough():
    with pytest.raises(ValueError, match="the space has a loss, and loss is given"):
        hpjax.tune(SPACE | {"loss": "mse"}, "iris", loss=cross_entropy, **quiet)


# --- metrics ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    options = dict(metrics=METRICS, objective="f1_macro", loss=cross_entropy)
    return hpjax.tune(
        SPACE, "iris", trials=5, epochs=4, validation=3, out=folder, **options, **quiet
    )


def test_metrics_stand_in_tables_and_curves(result):
    trials, curves = result.trials, result.curves
    assert list(trials.columns)[1:6] == ["objective", "loss", "error", "brier", "f1_macro"]
    np.testing.assert_array_equal(trials["objective"], -trials["f1_macro"])
    np.testing.assert_array_equal(curves["objective"], -curves["f1_macro"])
    last = curves.groupby("trial").last()
    np.testing.assert_allclose(last["brier"], trials["brier"], rtol=1e-6)
    assert result.best["trial"] == trials["f1_macro"].idxmax()
    assert result.best["f1_macro"] == trials["f1_macro"].max()


def test_metrics_are_what_scikit_learn_computes(result):
    """Folds of 40 examples; three networks of a configuration, predicted by hand."""
    found = hpjax.train(
        result.space.constants | result.config(0),
        "iris",
        4,
        metrics=METRICS,
        loss=cross_entropy,
        validation=3,
        **quiet,
    )
    task, scores = found.workload.task, []
    for fold, (_, rows) in enumerate(found.workload.examples.folds):
        predicted = found.network(fold=fold).predict(task.x[rows])
        scores.append(sklearn_metrics.f1_score(task.truth(rows), predicted, average="macro"))
    assert found.table["f1_macro"].iloc[0] == pytest.approx(np.mean(scores), rel=1e-6)
    assert result.trials["f1_macro"][0] == pytest.approx(np.mean(scores), rel=1e-6)
    assert {"brier", "f1_macro"} <= set(found.curves)


def test_a_run_goes_on_with_its_functions_only(result, tmp_path):
    again = dict(metrics=METRICS, loss=cross_entropy)
    longer = hpjax.tune(
        SPACE,
        "iris",
        trials=5,
        epochs=4,
        validation=3,
        objective="f1_macro",
        out=tmp_path / "run",
        **again,
        **quiet,
    )
    whole = (tmp_path / "run" / "ledger.jsonl").read_bytes()
    assert whole == (result.folder / "ledger.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "run" / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    for given, message in (
        ({}, "was made with loss cross_entropy; give that again"),
        ({"loss": cross_entropy}, r"was made with metrics brier, f1_macro \(greater is better\)"),
        (again | {"loss": brier}, "was made with loss cross_entropy, not brier"),
        (again | {"metrics": {"brier": brier}}, "not brier"),
        (again | {"model": brier}, "has multilayer perceptrons; leave model out"),
    ):
        with pytest.raises(hpjax.RunError, match=message):
            hpjax.resume(tmp_path / "run", **given, **quiet)
    resumed = hpjax.resume(tmp_path / "run", **again, **quiet)
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes() == whole
    assert resumed.trials.drop(columns="seconds").equals(longer.trials.drop(columns="seconds"))


@pytest.mark.slow
def test_a_run_is_read_without_its_functions_and_trained_with_them(result):
    shown = hpjax.open_run(result.folder, **quiet)
    assert shown.trials.equals(result.trials)
    assert shown.curves.equals(result.curves)
    with pytest.raises(
        ValueError, match=r"give them again: open_run\(out, loss=..., metrics=...\)"
    ):
        shown.refit()
    with pytest.raises(ValueError, match="give them again"):
        hpjax.confirm(shown, top=2, repeats=2)
    whole = hpjax.open_run(result.folder, loss=cross_entropy, metrics=METRICS, **quiet)
    assert whole.test(whole.refit())["accuracy"] > 0.5
    confirmed = hpjax.confirm(whole, top=2, repeats=2)
    assert {"brier", "f1_macro"} <= set(confirmed.table)
    np.testing.assert_allclose(confirmed.table["objective"], -confirmed.table["f1_macro"])


@pytest.mark.slow
def test_a_comparison_of_ones_own_metrics(tmp_path):
    own = dict(metrics=METRICS, loss=cross_entropy)
    found = hpjax.compare(
        ["random", "bayes"],
        SPACE,
        "iris",
        epochs=2,
        stop={"trials": 4},
        seeds=2,
        objective="brier",
        out=tmp_path / "all",
        **own,
        **quiet,
    )
    alone = hpjax.tune(SPACE, "iris", epochs=2, trials=4, seed=1, objective="brier", **own, **quiet)
    mine = found.studies["random"][1]
    np.testing.assert_allclose(mine.trials["brier"], alone.trials["brier"], rtol=1e-5)
    (tmp_path / "all" / "bayes" / "seed1" / "ledger.jsonl").write_bytes(b"")
    with pytest.raises(hpjax.RunError, match="was made with loss cross_entropy; give that again"):
        hpjax.resume_comparison(tmp_path / "all", **quiet)
    again = hpjax.resume_comparison(tmp_path / "all", **own, **quiet)
    np.testing.assert_array_equal(again.final, found.final)


@pytest.mark.parametrize("search", ["gradient", *SEARCHES])
def test_every_search_records_them(search):
    if search == "optuna":
        pytest.importorskip("optuna")
    found = hpjax.tune(SPACE, "iris", search=search, trials=3, epochs=2, metrics=METRICS, **quiet)
    assert np.isfinite(found.trials[["brier", "f1_macro"]]).all(axis=None)


def test_gradients_are_of_the_loss_only():
    with pytest.raises(ValueError, match="brier has no gradient"):
        hpjax.tune(SPACE, "iris", search="gradient", objective="brier", metrics=METRICS, **quiet)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([brier], "metrics must be names, or a dict of functions by name"),
        ({"loss": brier}, "a metric cannot be called 'loss'"),
        ({"two words": brier}, "a metric cannot be called 'two words'"),
        ({"hidden": brier}, "hidden is a hyperparameter of the space and a metric"),
        ({"brier": 3}, "metric brier must be a function"),
        ({"brier": hpjax.Metric(brier, 1)}, "greater_is_better of metric brier must be True"),
        ({"brier": lambda p, y: ((p - y) ** 2).mean()}, "must give one number for each example"),
        ({"brier": lambda p, y, weight: p - y}, "must give one number, got [7, 3]"),
        ({"brier": lambda p: p}, "must take (predictions, y)"),
    ],
)
def test_metrics_are_refused(metrics, message):
    with pytest.raises(ValueError, match=r"\w") as caught:
        hpjax.tune(SPACE, "iris", metrics=metrics, **quiet)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_metric_of_padded_examples_counts_each_once():
    """Folds of 11 examples in three parts: the last is padded."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(11, 2)), np.arange(11) % 2
    metrics = {"ones": lambda p, y: jnp.ones(len(p)), "count": lambda p, y, weight: weight.sum()}
    found = hpjax.train({"batch_size": 4}, (x, y), 1, metrics=metrics, validation=3, **quiet)
    assert found.table["ones"].iloc[0] == 1.0
    parts = [len(rows) for _, rows in found.workload.examples.folds]
    assert found.table["count"].iloc[0] == pytest.approx(np.mean(parts))


def test_settings_name_them(result):
    networks = json.loads((result.folder / "run.json").read_text())["networks"]
    assert networks["loss"] == "cross_entropy"
    assert networks["metrics"] == {"brier": False, "f1_macro": True}
    assert networks["objective"] == "f1_macro"


def test_own_losses_and_metrics_are_themselves():
    """Two functions of one name are two losses: a program is compiled for each study."""
    first, second = (own_loss(lambda z, y: ((z - y) ** 2).mean(-1), 2, False) for _ in range(2))
    assert first != second
    truth = Truth((0, 1, 2), 3)
    assert as_metrics(METRICS, truth) != as_metrics(METRICS, truth)


@pytest.mark.slow
def test_a_metric_is_what_its_function_is_now():
    """Broke: a second study took the metric as it was traced for the first. One that cannot be hashed is one, too."""

    class Share(list):
        def __call__(self, predictions, y):
            return (predictions.max(-1) >= self[0]).astype(predictions.dtype)

    share = Share([0.6])
    found = []
    for share[0] in (0.6, 0.0):
        both = [
            hpjax.train({"hidden": (4,)}, "iris", 2, metrics={"share": share}, **quiet),
            hpjax.tune(
                SPACE,
                "iris",
                search="gradient",
                epochs=2,
                trials=2,
                metrics={"share": share},
                **quiet,
            ),
        ]
        found.append([both[0].table["share"].iloc[0], both[1].trials["share"][0]])
    assert max(found[0]) < 1
    assert found[1] == [1, 1]


@pytest.mark.slow
def test_a_metric_may_not_be_called_as_a_column_is(result):
    """Every column of every table, and what the tables are made of."""
    trained = hpjax.train({"hidden": (4,)}, "iris", 1, **quiet)
    confirmed = hpjax.confirm(
        hpjax.tune(SPACE, "iris", trials=2, epochs=1, **quiet), top=2, repeats=2
    )
    tables = [result.trials, result.curves, trained.table, trained.curves, confirmed.table]
    names = {*result.table, *result.best, *(name for table in tables for name in table)}
    names |= {name for table in tables for name in table.index.names if name}
    for name in names - {*METRICS, *SPACE}:
        with pytest.raises(ValueError, match=f"a metric cannot be called '{name}'"):
            hpjax.tune(SPACE, "iris", metrics={name: brier}, **quiet)


def test_metrics_are_the_same_in_any_order(tmp_path):
    options = dict(trials=3, epochs=2, **quiet)
    found = [
        hpjax.tune(SPACE, "iris", out=tmp_path / name, metrics=dict(items), **options)
        for name, items in (("a", METRICS.items()), ("b", reversed(METRICS.items())))
    ]
    assert found[0].curves.equals(found[1].curves)
    backwards = dict(reversed(METRICS.items()))
    longer = hpjax.resume(tmp_path / "a", trials=4, metrics=backwards, **quiet)
    assert len(longer.trials) == 4
    (tmp_path / "b" / "ledger.jsonl").unlink()
    empty = hpjax.open_run(tmp_path / "b", **quiet)
    assert {"brier", "f1_macro"} <= set(empty.trials)
    assert {"brier", "f1_macro"} <= set(empty.curves)
    assert empty.best["trial"] is None


@pytest.mark.slow
def test_a_lineage_of_what_is_made_large_is_drawn(tmp_path):
    """Broke: shades were of the logarithm of what is minimised, which is negative."""
    options = dict(metrics=METRICS, objective="f1_macro", **quiet)
    hpjax.tune(SPACE, "iris", search="pbt", epochs=8, trials=8, out=tmp_path / "run", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        made = report.figures(hpjax.open_run(tmp_path / "run", **quiet), tmp_path)
    assert "lineage" in {path.stem for path in made}
