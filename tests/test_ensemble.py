"""Ensembles: greedy selection as in the paper, honest scores, networks that predict as each of them does, saved and read."""

import jax
import numpy as np
import pandas
import pytest
from sklearn.metrics import log_loss, roc_auc_score

import hpjax
from hpjax.ensemble import Judged, Score, honest, select
from hpjax.evaluation import Evaluation
from hpjax.population import Library
from hpjax.settings import Networks
from hpjax.tasks import Task, splits

SPACE = {
    "width": hpjax.LogIntUniform(4, 24),
    "depth": hpjax.IntUniform(1, 2),
    "learning_rate": hpjax.LogUniform(3e-3, 1e-1),
}
quiet = {"say": lambda text: None}


def spec_of(loss, outputs):
    return hpjax.hypergrad.configure(TASKS[loss, outputs], hidden=(2,))[0]


rng = np.random.default_rng(0)
X = rng.normal(size=(30, 2))
TASKS = {
    ("bce", 1): Task.of(X, np.arange(30) % 2, test=0),
    ("cross_entropy", 3): Task.of(X, np.arange(30) % 3, test=0),
    ("mse", 1): Task.of(X, X[:, 0], test=0),
}


def judged(loss, candidates=7, rows=90, seed=0):
    """Candidates that know a part of the truth each."""
    rng = np.random.default_rng(seed)
    if loss == "mse":
        y = rng.normal(size=(rows, 1))
        p = y + rng.normal(size=(candidates, rows, 1))
    else:
        classes = 2 if loss == "bce" else 3
        y = np.eye(classes)[rng.integers(0, classes, rows)]
        p = rng.dirichlet(np.ones(classes), (candidates, rows)) + y * rng.uniform(
            0, 1, (candidates, 1, 1)
        )
        p /= p.sum(-1, keepdims=True)
        y, p = (y[:, 1:], p[..., 1:]) if loss == "bce" else (y, p)
    units = np.stack([np.ones(y.shape[1]), np.zeros(y.shape[1])])
    weight = rng.uniform(0.5, 2, rows)
    return Judged(p.astype(np.float32), y, weight, units, np.arange(rows), np.arange(rows))


def score_by_hand(loss, p, y, weight):
    if loss == "mse":
        return np.average(((p - y) ** 2)[:, 0], weights=weight)
    whole = np.concatenate([1 - p, p], 1) if loss == "bce" else p
    truth = (y[:, 0] > 0).astype(int) if loss == "bce" else y.argmax(1)
    whole = whole / whole.sum(1, keepdims=True)
    return log_loss(truth, whole, sample_weight=weight, labels=np.arange(whole.shape[1]))


@pytest.mark.parametrize(("loss", "outputs"), TASKS)
def test_selection_is_greedy_with_replacement(loss, outputs):
    """Against a loop that scores every candidate by scikit-learn's own functions."""
    spec = spec_of(loss, outputs)
    score = Score(spec, {}, Evaluation(Networks(task=None), None))
    given = judged(loss)
    p = given.p.astype(np.float64)
    taken, path = [], []
    for _ in range(6):
        values = [
            score_by_hand(loss, p[[*taken, at]].mean(0), given.y, given.weight)
            for at in range(len(p))
        ]
        taken.append(int(np.argmin(values)))
        path.append(min(values))
    best = int(np.argmin(path)) + 1
    wanted = np.bincount(taken[:best], minlength=len(p))
    np.testing.assert_array_equal(select(score, given, 6), wanted)
    single = select(score, given, 1)
    assert single.sum() == 1
    assert path[best - 1] <= path[0]


def test_candidates_without_a_score_are_never_taken():
    spec = spec_of("mse", 1)
    score = Score(spec, {}, Evaluation(Networks(task=None), None))
    given = judged("mse")
    given.p[2] = np.nan
    assert select(score, given, 8)[2] == 0
    given.p[:] = np.nan
    assert not select(score, given, 8).any()


def test_what_is_reported_was_not_selected_on():
    """Candidates that guess: the best of many looks good where it was chosen, and is no better than chance where it is scored."""
    rng = np.random.default_rng(1)
    y = np.eye(2)[rng.integers(0, 2, 60)][:, 1:]
    p = rng.uniform(0.1, 0.9, (200, 60, 1)).astype(np.float32)
    given = Judged(p, y, np.ones(60), np.array([[1.0], [0.0]]), np.arange(60), np.arange(60))
    score = Score(spec_of("bce", 1), {}, Evaluation(Networks(task=None), None))
    chosen = select(score, given, 32)
    mean = np.tensordot(chosen / chosen.sum(), p.astype(float), 1)
    assert score_by_hand("bce", mean, y, np.ones(60)) < 0.6
    found = honest(score, given, 32, 0)
    assert found["ensemble"] > 0.65
    assert found["single"] > 0.65


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "validation", "objective"),
    [
        ("iris", 1, "loss"),
        ("iris", {"folds": 3, "repeats": 2}, "error"),
        ("breast_cancer", 3, "roc_auc"),
        ("breast_cancer", 1, "average_precision"),
        ("diabetes", 2, "loss"),
        ("diabetes", 1, "mae"),
    ],
)
def test_an_ensemble_is_the_mean_of_its_networks(tmp_path, task, validation, objective):
    found = hpjax.tune(
        SPACE, task, trials=8, epochs=5, validation=validation, objective=objective, **quiet
    )
    ensemble = found.ensemble(size=6, refit=False)
    x = found.task.examples(found.task.test)
    assert ensemble.shares.sum() == pytest.approx(1)
    one = lambda network: network.predict_proba(x) if found.task.classes else network.predict(x)
    mean = sum(share * one(network) for share, network in zip(ensemble.shares, ensemble.networks))
    np.testing.assert_allclose(one(ensemble), mean, rtol=2e-5, atol=1e-6)
    assert found.test(ensemble)["accuracy" if found.task.classes else "rmse"] > 0
    folds = validation if isinstance(validation, int) else validation["folds"]
    assert len(ensemble.table) % folds == 0
    assert ensemble.table["taken"].sum() <= 6 * folds
    assert set(ensemble.validation) == {"ensemble", "single"}
    ensemble.save(tmp_path / "e.npz")
    read = hpjax.load(tmp_path / "e.npz")
    np.testing.assert_array_equal(read.predict(x), ensemble.predict(x))
    assert read.validation == ensemble.validation
    pandas.testing.assert_frame_equal(read.table, ensemble.table)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "scheduler", "validation", "more"),
    [
        ("iris", "full", 1, {}),
        ("iris", "full", 1, {"patience": 2, "learning_rate": hpjax.LogUniform(0.1, 1.0)}),
        ("breast_cancer", "halving", {"folds": 3, "repeats": 2}, {"schedule": "cosine"}),
        ("diabetes", "pbt", {"folds": 2, "repeats": 1}, {"width": 8, "depth": 1}),
    ],
)
def test_members_that_are_trained_again_are_what_refit_trains(task, scheduler, validation, more):
    space = SPACE | more | {"dtype": "float64"}
    found = hpjax.tune(
        space, task, trials=9, epochs=9, scheduler=scheduler, validation=validation, **quiet
    )
    chosen, again = (found.ensemble(size=5, refit=refit) for refit in (False, True))
    assert again.validation == chosen.validation
    assert "fold" not in again.table
    x = found.task.examples(found.task.test)
    for (trial, repeat), rows in chosen.table.groupby(["trial", "repeat"]):
        ours = again.table.query(f"trial == {trial} and repeat == {repeat}")
        assert ours["share"].item() == pytest.approx(rows["share"].sum())
        assert ours["taken"].item() == rows["taken"].iloc[0]
        if repeat == 0:
            network = again.networks[ours.index.item()]
            np.testing.assert_allclose(
                network.outputs(x), found.refit(trial).outputs(x), rtol=1e-7, atol=1e-9
            )
    assert again.shares.sum() == pytest.approx(1)
    default = found.ensemble(size=5)
    assert ("fold" in default.table) == (validation != 1)


def plain(kind, width=4):
    """Linear, or with a hidden layer of some width."""

    def init(key, x):
        return (
            np.ones((x.shape[-1], 3))
            if kind == "a"
            else (np.ones((x.shape[-1], width)), np.ones((width, 3)))
        )

    def apply(params, x):
        return x @ params if kind == "a" else np.tanh(1) * (x @ params[0]) @ params[1]

    return hpjax.Model(init, apply)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "more"),
    [
        (
            {"kind": hpjax.Choice(["a", "b"]), "width": hpjax.Choice([8, 16]).when("kind", "b")},
            {"model": plain},
        ),
        (
            {
                "depth": hpjax.IntUniform(1, 2),
                "width_1": hpjax.IntUniform(4, 6),
                "width_2": hpjax.IntUniform(4, 6),
            },
            {},
        ),
        (
            {"embedding": hpjax.Choice(["none", "periodic"]), "frequencies": hpjax.Choice([4, 8])},
            {},
        ),
        ({"epochs": hpjax.IntUniform(1, 4), "l2": hpjax.LogUniform(1e-6, 1e-3)}, {}),
    ],
)
def test_whatever_the_space_lets_be_members_can_be_trained_again(space, more):
    space = space | {"learning_rate": hpjax.LogUniform(1e-3, 1e-2)}
    found = hpjax.tune(space, "iris", trials=8, epochs=4, **more, **quiet)
    for size in (1, 6):
        ensemble = found.ensemble(size=size)
        assert "fold" not in ensemble.table
        assert np.isfinite(ensemble.predict_proba(found.task.x)).all()


@pytest.mark.slow
def test_what_depends_on_patience_is_not_trained_again():
    space = SPACE | {
        "patience": hpjax.Choice([1, 2]),
        "l2": hpjax.LogUniform(1e-4, 1e-2).when("patience", 2),
    }
    found = hpjax.tune(space, "iris", trials=6, epochs=4, **quiet)
    assert "fold" in found.ensemble().table
    with pytest.raises(ValueError, match="a condition on patience"):
        found.ensemble(refit=True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["diverged", "failed"])
def test_a_member_that_cannot_be_trained_again_stays_as_it_was_chosen(monkeypatch, capsys, fault):
    found = hpjax.tune(SPACE, "breast_cancer", trials=12, epochs=5, **quiet)
    chosen = found.ensemble(size=6, refit=False)
    assert len(chosen.networks) > 1
    train_along = hpjax.result.train_along

    def first_is_lost(*given, **options):
        trained = train_along(*given, **options)
        if fault == "diverged":
            trained.results.train[0] = np.nan
        else:
            trained.results.failed[0] = True
        return trained

    monkeypatch.setattr("hpjax.result.train_along", first_is_lost)
    again = found.ensemble(size=6)
    lost = min(member["trial"] for member in chosen.members)
    assert f"trial {lost} diverged, or did not fit in memory" in capsys.readouterr().err
    assert again.table["trial"].tolist() == chosen.table["trial"].tolist()
    assert again.table["fold"].notna().tolist() == (again.table["trial"] == lost).tolist()
    assert again.shares.tolist() == chosen.shares.tolist()
    same = [
        a is b or np.array_equal(a.outputs(found.task.x), b.outputs(found.task.x))
        for a, b in zip(again.networks, chosen.networks)
    ]
    assert same == again.table["fold"].notna().tolist()


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["full", "halving", "pbt"])
def test_networks_that_are_not_at_hand_are_trained_again(tmp_path, scheduler):
    options = dict(epochs=9, scheduler=scheduler, validation=2, out=tmp_path / "run")
    space = SPACE | ({"width": 8, "depth": 1} if scheduler == "pbt" else {})
    found = hpjax.tune(space, "iris", trials=9, **options, **quiet)
    here = found.ensemble(size=5)
    again = hpjax.open_run(tmp_path / "run", **quiet).ensemble(size=5)
    assert again.table.equals(here.table)
    x = found.task.examples(found.task.test)
    np.testing.assert_allclose(again.predict_proba(x), here.predict_proba(x), atol=2e-3)


@pytest.mark.slow
def test_the_weights_are_those_of_the_best_epoch_where_patience_is_on():
    space = SPACE | {"patience": 2, "learning_rate": hpjax.LogUniform(0.1, 1.0)}
    found = hpjax.tune(space, "iris", trials=6, epochs=30, **quiet)
    library = found.population.library
    ((_, valid),) = splits(found.task, 1, 0)
    for trial in found.ranking:
        only = hpjax.ensemble.ensemble_of(
            found.task, splits(found.task, 1, 0), 1, {trial: library[trial]}, found.evaluation, 1, 0
        )
        p = only.predict_proba(found.task.examples(valid))
        truth = found.task.y[valid]
        wanted = found.trials["loss"][trial]
        assert log_loss(truth, p, labels=[0, 1, 2]) == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_examples_of_one_owner_are_in_one_half():
    """Twelve patients whose class is a coin: a candidate that knows the patients is worth nothing on others."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(12), 20)
    found = []
    for seed in range(8):
        y = rng.integers(0, 2, 12)[owner][:, None].astype(float)
        p = rng.uniform(0.05, 0.95, (60, 12, 1)).astype(np.float32)[:, owner]
        score = Score(spec_of("bce", 1), {}, Evaluation(Networks(task=None), None))
        units = np.array([[1.0], [0.0]])
        found.append(
            [
                honest(score, Judged(p, y, np.ones(240), units, np.arange(240), whose), 32, seed)[
                    "ensemble"
                ]
                for whose in (owner, np.arange(240))
            ]
        )
    kept, torn = np.mean(found, 0)
    assert kept > 0.65 > torn


def test_a_half_without_a_score_is_no_estimate():
    given = judged("bce")
    given.weight[1:] = 0
    score = Score(spec_of("bce", 1), {}, Evaluation(Networks(task=None), None))
    assert honest(score, given, 4, 0) == {}


def test_outputs_that_are_no_probabilities_are_not_made_some():
    """Classes under loss mse: the ensemble of one network says what that one says, far away from the examples, too."""
    x = np.random.default_rng(0).normal(size=(90, 2))
    task = Task.of(x, np.arange(90) % 3, test=0)
    space = {"hidden": (6,), "loss": "mse", "learning_rate": hpjax.Uniform(0.01, 0.1)}
    ensemble = hpjax.tune(space, task, trials=3, epochs=5, **quiet).ensemble(size=1)
    far = 20 * np.random.default_rng(1).normal(size=(500, 2))
    np.testing.assert_array_equal(ensemble.predict(far), ensemble.networks[0].predict(far))


@pytest.mark.slow
def test_networks_that_were_begun_afresh_are_not_made_up(tmp_path):
    scheduler = hpjax.full(4, renew=True)
    found = hpjax.tune(
        SPACE, "iris", trials=6, batch=2, scheduler=scheduler, out=tmp_path / "run", **quiet
    )
    here = found.ensemble()
    p = here.predict_proba(found.task.x[found.task.test])
    assert np.isfinite(p).all()
    with pytest.raises(ValueError, match="begun afresh every round cannot be trained again"):
        hpjax.open_run(tmp_path / "run", **quiet).ensemble()


@pytest.mark.slow
def test_an_objective_by_name_selects_by_it():
    found = hpjax.tune(
        SPACE, "breast_cancer", trials=8, epochs=3, objective="roc_auc", validation=2, **quiet
    )
    ensemble = found.ensemble()
    assert -1 <= ensemble.validation["ensemble"] < -0.9
    x = found.task.examples(found.task.test)
    assert roc_auc_score(found.task.truth(found.task.test), ensemble.predict_proba(x)[:, 1]) > 0.9


@pytest.mark.slow
def test_where_memory_ends_the_best_are_kept():
    found = hpjax.tune(SPACE, "iris", trials=9, epochs=3, **quiet)
    every = found.population.library
    small = Library(most=every.held // 2)
    for finished in reversed(every.parts):  # some drop others, some are dropped
        small.add(finished)
    assert small.held == sum(part.bytes for part in small.parts) <= small.most
    worst = max(one.loss for one in small.values())
    dropped = set(every) - set(small)
    assert dropped
    assert all(every[trial].loss >= worst for trial in dropped)
    for trial, one in small.items():
        jax.tree.map(np.testing.assert_array_equal, one, every[trial])
    found.population.library = small
    assert found.ensemble(size=4).shares.sum() == pytest.approx(1)


@pytest.mark.slow
def test_a_table_with_text_gaps_and_weights():
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "a": np.where(rng.random(200) < 0.1, np.nan, rng.normal(size=200)),
            "town": rng.choice(["Oslo", "Rome"], 200),
        }
    )
    y = np.where((frame["a"].fillna(0) > 0) == (frame["town"] == "Rome"), "yes", "no")
    task = Task.of(frame, y, weights=rng.uniform(0.5, 2, 200))
    found = hpjax.tune(SPACE, task, trials=6, epochs=40, validation=2, **quiet)
    ensemble = found.ensemble()
    held = task.test
    assert ensemble.score(task.examples(held), task.truth(held)) > 0.75
    assert ensemble.predict(frame.iloc[::-1]).tolist() == ensemble.predict(frame).tolist()[::-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=0), "size must be a whole number of at least 1"),
        (dict(candidates=0), "candidates must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    found = hpjax.tune(SPACE, "iris", trials=2, epochs=1, **quiet)
    with pytest.raises(ValueError, match=message):
        found.ensemble(**options)
    with pytest.raises(ValueError, match="needs classes"):
        hpjax.tune(SPACE, "diabetes", trials=2, epochs=1, **quiet).ensemble().predict_proba(X)


def test_a_file_that_is_no_ensemble_is_refused_in_one_line(tmp_path):
    (tmp_path / "e.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read as a network") as caught:
        hpjax.load(tmp_path / "e.npz")
    assert "\n" not in str(caught.value)
