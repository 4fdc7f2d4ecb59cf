"""Metrics by name are scikit-learn's, with weights; scorers of scikit-learn's kind are computed as they are."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from sklearn import metrics
from sklearn.metrics import fbeta_score, make_scorer

import hpjax
from hpjax.tasks import Task
from hpjax.training.host_scorers import by_copy, in_place
from hpjax.training.metrics import Truth, error
from hpjax.training.named_metrics import NEGATIVE, ON_DEVICE, by_name

SPACE = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 3}
OF_CLASSES = {
    "accuracy": lambda y, p, w: metrics.accuracy_score(y, p.argmax(1), sample_weight=w),
    "balanced_accuracy": lambda y, p, w: metrics.balanced_accuracy_score(
        y, p.argmax(1), sample_weight=w
    ),
    "f1": lambda y, p, w: metrics.f1_score(y, p.argmax(1), sample_weight=w),
    "f1_macro": lambda y, p, w: metrics.f1_score(
        y, p.argmax(1), average="macro", zero_division=0, sample_weight=w
    ),
    "roc_auc": lambda y, p, w: (
        metrics.roc_auc_score(y, p[:, 1], sample_weight=w)
        if p.shape[1] == 2
        else metrics.roc_auc_score(y, p, multi_class="ovr", sample_weight=w)
    ),
    "log_loss": lambda y, p, w: metrics.log_loss(y, p, sample_weight=w),
}
OF_NUMBERS = {
    "rmse": metrics.root_mean_squared_error,
    "mse": metrics.mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
}

for name, plain in NEGATIVE.items():
    of = OF_CLASSES if plain in OF_CLASSES else OF_NUMBERS
    of[name] = lambda *given, plain=of[plain], **more: -plain(*given, **more)


def quiet(text):
    pass


def predicted(classes, rows=60, seed=0):
    """Probabilities with ties, classes, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    p = rng.dirichlet(np.ones(classes), rows).round(1) + 0.01
    weight = np.where(np.arange(rows) < classes, 1, rng.integers(0, 3, rows))
    p = (p / p.sum(1, keepdims=True)).astype(np.float32)  # what ties is decided once
    return p, y, weight.astype(float)


@pytest.mark.parametrize("name", OF_CLASSES)
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_metrics_of_classes_are_scikit_learns(name, classes, seed):
    p, y, weight = predicted(classes, seed=seed)
    if name == "f1" and classes > 2:
        with pytest.raises(ValueError, match="f1_macro is the mean over them"):
            by_name([name], Truth(tuple(range(classes)), classes))
        return
    hot = np.eye(classes)[y]
    given = (p[:, 1:], hot[:, 1:]) if classes == 2 else (p, hot)
    ((_, metric),) = by_name([name], Truth(tuple(range(classes)), given[0].shape[1]))
    units = jnp.stack([jnp.ones(given[0].shape[1]), jnp.zeros(given[0].shape[1])])
    found = jax.jit(lambda *given: metric(*given))(
        *map(jnp.float32, given), jnp.float32(weight), units, jnp.arange(60)
    )
    assert float(found) == pytest.approx(OF_CLASSES[name](y, p, weight), rel=2e-5)


@pytest.mark.parametrize("name", OF_NUMBERS)
@pytest.mark.parametrize("count", [1, 3])
def test_metrics_of_numbers_are_scikit_learns_in_the_targets_units(name, count):
    rng = np.random.default_rng(0)
    y, p = rng.normal(3, 2, (2, 50, count)) * np.arange(1, count + 1)
    weight = rng.integers(0, 3, 50).astype(float)
    units = np.stack([np.full(count, 2.0) * np.arange(1, count + 1), np.full(count, 3.0)])
    plain = [(values - units[1]) / units[0] for values in (p, y)]
    ((_, metric),) = by_name([name], Truth((), count, single=count == 1))
    given = *map(jnp.float32, plain), jnp.float32(weight), jnp.float32(units)
    found = metric(*given, jnp.arange(50))
    assert float(found) == pytest.approx(OF_NUMBERS[name](y, p, sample_weight=weight), rel=2e-5)


def test_r2_of_a_constant_part_is_scikit_learns():
    y = np.full((40, 1), 0.1, np.float32)
    p = y + np.float32(0.3)
    units, weight = jnp.array([[1.0], [0.0]]), jnp.ones(40)
    ((_, metric),) = by_name(["r2"], Truth((), 1))
    found = metric(jnp.asarray(p), jnp.asarray(y), weight, units, jnp.arange(40))
    assert float(found) == 0 == metrics.r2_score(y, p)
    assert float(error(jnp.asarray(p), jnp.asarray(y), weight, False)) == pytest.approx(
        3.6, rel=1e-4
    )


def test_f1_is_of_the_class_that_scikit_learn_takes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    y = np.where(x[:, 0] + rng.normal(size=120) > 0.7, 1, 2)
    pairs = [(np.arange(80), np.arange(80, 120))]
    task = Task.of(x, y, "w", test=0, kind="classes")
    names = ["f1", "precision", "recall"]
    found = hpjax.train({"hidden": (4,)}, task, 9, validation=pairs, metrics=names, say=quiet)
    f1, precision, recall = found.table[names].iloc[0]
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall), rel=1e-5)


def test_each_metric_on_the_device_is_compared():
    assert set(ON_DEVICE) == {*OF_CLASSES, *OF_NUMBERS}


NAMES = {
    "breast_cancer": ["roc_auc", "f1", "average_precision", "neg_brier_score", "neg_log_loss"],
    "iris": ["balanced_accuracy", "f1_macro", "f1_weighted", "roc_auc", "matthews_corrcoef"],
    "diabetes": ["rmse", "mae", "r2", "neg_median_absolute_error", "explained_variance"],
}


ON_PREDICTIONS = {
    "roc_auc": lambda y, got, p: (
        metrics.roc_auc_score(y, p, multi_class="ovr")
        if p.shape[1] > 2
        else metrics.roc_auc_score(y, p[:, 1])
    ),
    "f1": lambda y, got, p: metrics.f1_score(y, got),
    "average_precision": lambda y, got, p: metrics.average_precision_score(y, p[:, 1]),
    "neg_brier_score": lambda y, got, p: -metrics.brier_score_loss(y, p[:, 1]),
    "neg_log_loss": lambda y, got, p: -metrics.log_loss(y, p),
    "balanced_accuracy": lambda y, got, p: metrics.balanced_accuracy_score(y, got),
    "f1_macro": lambda y, got, p: metrics.f1_score(y, got, average="macro"),
    "f1_weighted": lambda y, got, p: metrics.f1_score(y, got, average="weighted"),
    "matthews_corrcoef": lambda y, got, p: metrics.matthews_corrcoef(y, got),
    "rmse": lambda y, got, p: metrics.root_mean_squared_error(y, got),
    "mae": lambda y, got, p: metrics.mean_absolute_error(y, got),
    "r2": lambda y, got, p: metrics.r2_score(y, got),
    "neg_median_absolute_error": lambda y, got, p: -metrics.median_absolute_error(y, got),
    "explained_variance": lambda y, got, p: metrics.explained_variance_score(y, got),
}


@pytest.mark.slow
@pytest.mark.parametrize("task", NAMES)
def test_a_network_scores_what_scikit_learn_says_of_its_predictions(task):
    """The end of training's metrics, of device and host, on the validation part, from one network's predictions."""
    task, names = hpjax.tasks.load(task), NAMES[task]
    folds = task.with_folds([hpjax.tasks.splits(task, 1, 0)[0]])
    trained = hpjax.train(
        {"hidden": (8,)},
        folds,
        5,
        metrics=names,
        validation=[*folds.folds],
        seeds=1,
        say=quiet,
    )
    network, rows = trained.network(0), folds.folds[0].valid
    truth, given = task.truth(rows), task.examples(rows)
    p = network.predict_proba(given) if task.classes else None
    for name in names:
        wanted = ON_PREDICTIONS[name](truth, network.predict(given), p)
        assert trained.table[name].iloc[0] == pytest.approx(wanted, rel=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["roc_auc", "average_precision", "log_loss"])
def test_any_metric_is_the_objective_and_runs_go_on(tmp_path, objective):
    options = dict(trials=6, objective=objective, search="tpe", say=quiet)
    whole = hpjax.tune(SPACE, "breast_cancer", out=tmp_path / "run", **options)
    trials = whole.trials
    best = trials[objective].max() if objective != "log_loss" else trials[objective].min()
    assert trials[objective][whole.best["trial"]] == best
    read = hpjax.open_run(tmp_path / "run", say=quiet)
    assert read.trials[objective].tolist() == trials[objective].tolist()
    assert hpjax.confirm(read, 2, 2).table[objective].notna().all()
    more = hpjax.resume(tmp_path / "run", trials=8, say=quiet)
    assert more.trials[objective].tolist()[:6] == pytest.approx(trials[objective].tolist())


@pytest.mark.slow
@pytest.mark.parametrize("task", NAMES)
def test_the_test_part_is_measured_by_what_was_asked_for(task):
    """By scikit-learn's functions, of the network's predictions."""
    found = hpjax.tune(SPACE, task, trials=3, metrics=NAMES[task], say=quiet)
    network, rows = found.refit(), found.task.test
    given, truth = found.task.examples(rows), found.task.truth(rows)
    p = network.predict_proba(given) if found.task.classes else None
    measured = found.test(network)
    for name in NAMES[task]:
        wanted = ON_PREDICTIONS[name](truth, network.predict(given), p)
        assert measured[name] == pytest.approx(wanted, rel=1e-4), name


def test_a_run_on_arrays_is_read_without_them(tmp_path):
    x, y = hpjax.tasks.load("iris").x, hpjax.tasks.load("iris").y
    found = hpjax.tune(
        SPACE, (x, y), trials=3, objective="f1_weighted", out=tmp_path / "run", say=quiet
    )
    read = hpjax.open_run(tmp_path / "run", say=quiet)
    assert read.trials["f1_weighted"].tolist() == found.trials["f1_weighted"].tolist()
    again = hpjax.open_run(tmp_path / "run", (x, y), say=quiet)
    assert again.refit().score(x, y) == found.refit().score(x, y)


def test_a_scorer_of_ones_own_is_handed_the_classes_as_they_were_given():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    y = np.where(x[:, 0] > 0.5, "yes", "no")
    scorer = make_scorer(fbeta_score, beta=2, pos_label="yes")
    found = hpjax.tune(
        SPACE | {"epochs": 40},
        (x, y),
        trials=4,
        metrics={"f2": scorer},
        objective="f2",
        say=quiet,
    )
    assert found.trials["f2"].max() == found.trials["f2"][found.best["trial"]] > 0.5


def women_found(estimator, X, y):
    """A scorer that reads the features: the share of right predictions among some rows."""
    women = X["sex"] == "f"
    return float(np.mean(estimator.predict(X[women]) == y[women.to_numpy()]))


def near_found(estimator, X, y):
    """The error of numbers whose first feature is large, by an array of features."""
    return -float(np.mean(np.abs(estimator.predict(X) - y)[X[:, 0] > 0]))


def people(rows=120, seed=0):
    rng = np.random.default_rng(seed)
    x = pandas.DataFrame({"age": rng.normal(size=rows), "sex": rng.choice(["f", "m"], rows)})
    return x, np.where(x["age"] + (x["sex"] == "f") + rng.normal(size=rows) > 0.5, "yes", "no")


@pytest.mark.parametrize("folds", [1, 3])
def test_scorers_read_the_features_of_the_rows_that_are_scored(folds):
    x, y = people()
    x.index = np.arange(120)[::-1] + 7  # a user's own, which is not the rows' number
    task = Task.of(x, y, "people", test=0)
    parts = hpjax.tasks.splits(task, folds, 0)
    found = hpjax.train(
        SPACE | {"learning_rate": 0.05},
        task,
        9,
        validation=[*parts],
        metrics={"women": women_found},
        say=quiet,
    )
    wanted = []
    for fold, (_, valid) in enumerate(parts):
        women = valid[(x["sex"] == "f").to_numpy()[valid]]
        predicted = found.network(0, fold=fold).predict(x.iloc[women])
        wanted.append(np.mean(predicted == y[women]))
    assert found.table["women"].iloc[0] == pytest.approx(np.mean(wanted))


@pytest.mark.slow
def test_scorers_of_many_examples_end():
    """The devices' callbacks wait for nothing that their own threads would have to do: two devices, more than 100 KiB."""
    program = """
import hpjax
space = {"hidden": (32,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 1}
found = hpjax.tune(space, "digits", trials=64, metrics=["matthews_corrcoef"], say=print)
assert found.trials["matthews_corrcoef"].between(-1, 1).all()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


@pytest.mark.parametrize("way", [in_place, by_copy])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_ways_to_the_host_hand_over_the_same(way, dtype):
    with jax.enable_x64(dtype == "float64"):
        p = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 2)), dtype)
        rows = jnp.arange(5, dtype=jnp.int32)
        seen = []

        def many(p, rows):
            seen.append((p.dtype, rows.shape))
            return (p[..., 0] * rows).sum(-1).astype(dtype)

        call = jax.jit(jax.vmap(way(many, dtype), (0, None)))
        found = np.asarray(call(p, rows))
        expected = (np.asarray(p)[..., 0] * np.asarray(rows)).sum(-1).astype(dtype)
        np.testing.assert_array_equal(found, expected)
        assert seen == [(np.dtype(dtype), (3, 5))]


def test_scorers_of_double_precision_lose_no_digits():
    """A callback has its own thread, where JAX's numbers are of single precision."""
    space = {"hidden": (4,), "dtype": "float64", "epochs": 2}
    seen = []

    def scorer(estimator, x, y):
        seen.append(estimator.predict_proba(x))
        return metrics.roc_auc_score(y == y[0], seen[-1][:, 0]) + np.pi * 1e-9

    found = hpjax.tune(
        space, "iris", search=[{}], validation={"repeats": 2}, metrics={"mine": scorer}, say=quiet
    )
    assert any((p != p.astype(np.float32)).any() for p in seen)
    assert found.best["mine"] != float(np.float32(found.best["mine"]))


def test_scorers_read_arrays_and_columns_without_text():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 2))
    y = x @ [1.0, 2.0] + 5
    pairs, options = [(np.arange(60), np.arange(60, 90))], dict(epochs=9, say=quiet)

    def by_name(estimator, X, y):
        return -float(np.mean(np.abs(estimator.predict(X) - y)[X["a"] > 0]))

    for given, scorer in ((x, near_found), (pandas.DataFrame(x, columns=["a", "b"]), by_name)):
        task = Task.of(given, y, "t", test=0)
        found = hpjax.train(
            {"hidden": (4,)}, task, validation=pairs, metrics={"near": scorer}, **options
        )
        network, seen = found.network(0), x[60:, 0] > 0
        wanted = -np.mean(np.abs(network.predict(given[60:]) - y[60:])[seen])
        assert found.table["near"].iloc[0] == pytest.approx(wanted, rel=1e-4)


def test_scorers_of_features_choose_ensembles_and_measure_the_test_part():
    x, y = people(300)
    found = hpjax.tune(
        SPACE, (x, y), trials=3, objective="women", metrics={"women": women_found}, say=quiet
    )
    rows, network = found.task.test, found.refit()
    women = rows[(x["sex"] == "f").to_numpy()[rows]]
    wanted = np.mean(network.predict(x.iloc[women]) == y[women])
    assert found.test(network)["women"] == pytest.approx(wanted)
    single = found.ensemble(size=1, refit=False)
    assert {member["trial"] for member in single.members} == {found.best["trial"]}


@pytest.mark.parametrize(
    "scorer",
    [
        lambda estimator, X, y: float(np.mean(estimator.predict(X.assign(age=0)) == y)),
        lambda estimator, X, y: float(np.mean(estimator.predict(X.to_numpy()) == y)),
    ],
)
def test_a_scorer_that_predicts_other_rows_is_refused(scorer):
    x, y = people()
    x["height"] = np.arange(120.0)
    with pytest.raises(ValueError, match="known of the rows X that the scorer is given") as caught:
        hpjax.tune(SPACE, (x, y), trials=1, metrics={"mine": scorer}, say=quiet)
    assert "\n" not in str(caught.value)


def test_a_metric_may_ask_which_examples_it_is_of():
    x, y = people()
    price = np.random.default_rng(1).uniform(size=120)

    def cost(p, y, weight, rows):
        wrong = ((p[:, 0] > 0.5) != (y[:, 0] > 0.5)).astype(p.dtype)
        return (jnp.asarray(price, p.dtype)[rows] * wrong * weight).sum()

    pairs = [(np.arange(80), np.arange(80, 120))]
    task = Task.of(x, y, "people", test=0)
    found = hpjax.train(
        {"hidden": (4,)}, task, 3, validation=pairs, metrics={"cost": cost}, say=quiet
    )
    wrong = found.network(0).predict(x[80:]) != y[80:]
    assert found.table["cost"].iloc[0] == pytest.approx(price[80:][wrong].sum(), rel=1e-5)


def test_weights_are_handed_to_scorers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y, weights = (x[:, 0] > 0).astype(int), rng.uniform(0.1, 3, 80)
    task = Task.of(x, y, "w", test=0, weights=weights)
    pairs = [(np.arange(60), np.arange(60, 80))]
    found = hpjax.train(
        {"hidden": (4,)}, task, 3, validation=pairs, metrics=["matthews_corrcoef"], say=quiet
    )
    predictions = found.network(0).predict(x[60:])
    wanted = metrics.matthews_corrcoef(y[60:], predictions, sample_weight=weights[60:])
    assert found.table["matthews_corrcoef"].iloc[0] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (
            "iris",
            dict(objective="auc"),
            "objective or constraint 'auc' is none of loss, error, parameters, seconds, accuracy",
        ),
        ("iris", dict(objective=3), "objective or constraint 3 is none of loss, error"),
        (
            "iris",
            dict(objective="rmse"),
            "rmse is a metric of numbers, and the targets are classes",
        ),
        ("diabetes", dict(objective="roc_auc"), "roc_auc is a metric of classes, and the targets"),
        ("iris", dict(objective="f1"), "f1 is a metric of two classes, and there are 3"),
        ("iris", dict(objective="average"), "objective or constraint 'average' is none of"),
        ("iris", dict(metrics=["sharpness"]), "'sharpness' is no metric: none of accuracy"),
        ("diabetes", dict(objective="precision"), "precision cannot score such targets"),
        ("iris", dict(objective="precision"), "precision cannot score such targets"),
    ],
)
def test_metrics_that_cannot_be_are_refused_in_one_line(task, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        hpjax.tune(SPACE, task, trials=2, say=quiet, **options)
    assert "\n" not in str(caught.value)


def test_a_scorer_that_refuses_says_so_once(capsys):
    def picky(estimator, X, y):
        if len(y) < 20:
            raise ValueError("not of\nso few")
        return 0.5

    found = hpjax.tune(
        {"hidden": (4,), "learning_rate": 0.1},
        "iris",
        search=[{}] * 3,
        epochs=2,
        metrics={"picky": picky},
        validation={"folds": 12},
        say=lambda text: None,
    )
    assert found.trials["picky"].isna().all()
    said = capsys.readouterr().err.splitlines()
    assert said == ["hpjax: the scorer picky refused predictions and is NaN there: not of so few"]
