"""scikit-learn's estimators: its own checks, and the company that they keep."""

import pickle

import joblib
import numpy as np
import pandas
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import f1_score, make_scorer, matthews_corrcoef, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    PredefinedSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import hpjax

SMALL = {"hidden": (8,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1)}
FEW = dict(trials=2, epochs=5, cv=2)
X, Y = load_iris(return_X_y=True)


def area(y, p):
    return roc_auc_score(y, p, multi_class="ovr")


def error_of_first(model, x, y):
    """A scorer as one would write it."""
    return float(np.mean(model.predict(x)[y == 0] == 0))


# why a check of scikit-learn's cannot pass
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "folds and minibatches are drawn by rows, so that a row that is repeated draws others",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [hpjax.MLPClassifierCV, hpjax.MLPRegressorCV])
def test_scikit_learns_own_checks(kind):
    estimator = kind({"hidden": (16,), "learning_rate": 0.05}, epochs=30)
    found = check_estimator(estimator, on_fail=None, on_skip=None)
    failed = {f["check_name"]: f["exception"] for f in found if f["status"] == "failed"}
    assert set(failed) <= set(EXPECTED), failed


def test_what_a_fit_leaves():
    found = hpjax.MLPClassifierCV(SMALL, **FEW).fit(X, Y)
    assert found.classes_.tolist() == [0, 1, 2]
    assert found.n_features_in_ == 4
    assert found.n_splits_ == 2
    assert set(found.best_params_) == {"learning_rate"}
    assert found.best_score_ == found.cv_results_["mean_test_score"].max()
    assert found.cv_results_["rank_test_score"][found.best_index_] == 1
    assert found.best_score_ == pytest.approx(-found.result_.best["objective"])
    assert found.predict_proba(X).shape == (150, 3)
    np.testing.assert_allclose(found.predict_proba(X).sum(1), 1, rtol=1e-5)
    again = hpjax.MLPClassifierCV(SMALL, **FEW).fit(X, Y)
    np.testing.assert_array_equal(again.predict_proba(X), found.predict_proba(X))
    other = hpjax.MLPClassifierCV(SMALL, random_state=1, **FEW).fit(X, Y)
    assert other.best_params_ != found.best_params_
    with pytest.raises(NotFittedError):
        clone(found).predict(X)
    kept = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(kept.predict(X), found.predict(X))
    assert not hasattr(kept, "result_")


@pytest.mark.slow
def test_an_ensemble_predicts_where_it_is_asked_for():
    found = hpjax.MLPClassifierCV(SMALL, **FEW | dict(trials=6), ensemble=True).fit(X, Y)
    assert isinstance(found.network_, hpjax.Ensemble)
    np.testing.assert_allclose(found.predict_proba(X), found.network_.predict_proba(X), rtol=1e-5)
    kept = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(kept.predict(X), found.predict(X))
    good = hpjax.MLPClassifierCV(SMALL, budget="good", trials=3, epochs=3, cv=1).fit(X, Y)
    assert isinstance(good.network_, hpjax.Ensemble)
    plain = hpjax.MLPClassifierCV(SMALL, budget="good", ensemble=False, trials=3, epochs=3, cv=1)
    assert isinstance(plain.fit(X, Y).network_, hpjax.Network)


def test_a_class_with_one_member_is_trained_on_where_there_is_one_fold():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    y = np.where(np.arange(300) == 7, "alone", np.where(x[:, 0] > 0, "much", "little"))
    found = hpjax.MLPClassifierCV(SMALL, trials=2, epochs=3, cv=1).fit(x, y)
    ((train, valid),) = found.result_.task.folds
    assert 7 in train
    assert (len(valid), len(train)) == (60, 240)
    assert found.classes_.tolist() == ["alone", "little", "much"]


def test_a_frame_with_text_and_gaps():
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "age": np.where(rng.random(120) < 0.1, np.nan, rng.normal(40, 9, 120)),
            "town": rng.choice(np.array(["Paris", "Lyon", None], object), 120),
        }
    )
    y = np.where(frame["town"] == "Paris", "in", "out")
    found = hpjax.MLPClassifierCV({"hidden": (8,), "learning_rate": 0.05}, epochs=60, cv=3).fit(
        frame, y
    )
    assert found.feature_names_in_.tolist() == ["age", "town"]
    assert found.score(frame, y) > 0.95
    assert set(found.predict(frame.iloc[:5])) <= {"in", "out"}
    with pytest.raises(ValueError, match="feature names should match"):
        found.predict(frame.rename(columns={"age": "years"}))


@pytest.mark.slow
def test_it_keeps_scikit_learns_company(tmp_path):
    line = make_pipeline(StandardScaler(), hpjax.MLPClassifierCV(SMALL, **FEW))
    assert cross_val_score(line, X, Y, cv=2).mean() > 0.6
    grid = GridSearchCV(hpjax.MLPClassifierCV(SMALL, **FEW), {"epochs": [2, 8]}, cv=2).fit(X, Y)
    assert grid.best_params_ == {"epochs": 8}
    joblib.dump(line.fit(X, Y), tmp_path / "line.joblib")
    kept = joblib.load(tmp_path / "line.joblib")
    np.testing.assert_array_equal(kept.predict(X), line.predict(X))


@pytest.mark.parametrize(
    "cv",
    [3, GroupKFold(3), TimeSeriesSplit(3), PredefinedSplit(np.arange(150) % 4 - 1)],
    ids=lambda cv: type(cv).__name__,
)
def test_any_splitter_makes_the_folds(cv):
    """Groups are for those that take them, as scikit-learn has it."""
    order = np.random.default_rng(0).permutation(150)
    groups = np.arange(150) % 5
    found = hpjax.MLPClassifierCV(SMALL, trials=2, epochs=3, cv=cv)
    found.fit(X[order], Y[order], groups=groups)
    assert found.n_splits_ == 3
    if isinstance(cv, GroupKFold):
        for train, valid in found.result_.task.folds:
            assert not set(groups[train]) & set(groups[valid])


@pytest.mark.slow
@pytest.mark.parametrize(
    "scoring",
    ["roc_auc", "neg_log_loss", "f1_weighted", make_scorer(matthews_corrcoef), error_of_first],
    ids=["roc_auc", "neg_log_loss", "f1_weighted", "a scorer", "a function"],
)
def test_any_scoring_is_what_scikit_learn_says_of_the_folds(scoring):
    cv = StratifiedKFold(2, shuffle=True, random_state=0)
    space = {"hidden": (8,), "learning_rate": 0.02}
    found = hpjax.MLPClassifierCV(space, epochs=60, cv=cv, scoring=scoring).fit(X, Y)
    known = make_scorer(area, response_method="predict_proba") if scoring == "roc_auc" else scoring
    wanted = cross_val_score(found, X, Y, cv=cv, scoring=known).mean()
    assert found.best_score_ == pytest.approx(wanted, abs=0.03)
    assert found.best_score_ > 0 if scoring != "neg_log_loss" else found.best_score_ < 0


def recall_of_one(model, x, y):
    """A scorer that knows the classes as they were given."""
    return float(np.mean(model.predict(x)[y == 1] == 1))


@pytest.mark.slow
def test_scorers_see_the_classes_as_they_were_given():
    space, cv = (
        {"hidden": (8,), "learning_rate": 0.02},
        StratifiedKFold(2, shuffle=True, random_state=0),
    )
    found = hpjax.MLPClassifierCV(space, epochs=60, cv=cv, scoring=recall_of_one).fit(X, Y + 1)
    wanted = cross_val_score(found, X, Y + 1, cv=cv, scoring=recall_of_one).mean()
    assert found.best_score_ == pytest.approx(wanted, abs=0.05)
    yes = make_scorer(f1_score, pos_label="yes")
    words = np.where(Y == 2, "yes", "no")
    found = hpjax.MLPClassifierCV(space, epochs=60, cv=cv, scoring=yes).fit(X, words)
    assert found.best_score_ == pytest.approx(
        cross_val_score(found, X, words, cv=cv, scoring=yes).mean(), abs=0.05
    )
    large = lambda model, x, y: float(np.mean((model.predict(x) == y)[x[:, 0] > 5.8]))
    found = hpjax.MLPClassifierCV(space, epochs=60, cv=cv, scoring=large).fit(X, Y)
    wanted = cross_val_score(found, X, Y, cv=cv, scoring=large).mean()
    assert found.best_score_ == pytest.approx(wanted, abs=0.05)


def test_a_scorer_without_weights_is_computed_without():
    weights = np.linspace(0, 1, 150)
    found = hpjax.MLPClassifierCV(SMALL, **FEW, scoring=recall_of_one)
    assert np.isfinite(found.fit(X, Y, sample_weight=weights).best_score_)


def test_weights_that_leave_one_class_name_it():
    names = np.where(Y == 1, "spam", "ham")
    found = hpjax.MLPClassifierCV(SMALL, **FEW)
    with pytest.raises(ValueError, match="every example has class 'spam'; two are needed"):
        found.fit(X, names, sample_weight=(Y == 1).astype(float))


def test_a_score_that_is_not_defined_says_so():
    for scoring in ("roc_auc", "roc_auc_ovo"):  # a class is missing from the last parts
        found = hpjax.MLPClassifierCV(
            SMALL, trials=2, epochs=3, cv=TimeSeriesSplit(3), scoring=scoring
        )
        with pytest.raises(ValueError, match=f"{scoring} is not defined on some fold"):
            found.fit(X, Y)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "trials", "epochs"),
    [
        (dict(search="grid"), 5, 15),
        (dict(search=[{"learning_rate": rate} for rate in np.geomspace(1e-3, 1e-1, 20)]), 20, 15),
        (dict(scheduler=hpjax.halving([(3, 9), (9, 3)])), 9, 9),
        (dict(scheduler="full", budget="good", epochs=2, trials=3), 3, 2),
        (
            dict(space={"hidden": (8,), "learning_rate": hpjax.Uniform(0.01, 0.1), "epochs": 4}),
            16,
            4,
        ),
    ],
)
def test_the_budget_gives_way_to_what_is_said(options, trials, epochs):
    found = hpjax.MLPClassifierCV(**{"space": SMALL, "cv": 1} | options).fit(X, Y)
    assert len(found.result_.trials) == trials
    assert found.result_.trials["epochs"].max() == epochs


@pytest.mark.parametrize("widths", [[(8,), (4,)], [(8, 8), (4, 4)], [(8,), (4, 4)]])
def test_values_of_any_shape_stand_in_the_results(widths):
    space = {"hidden": hpjax.Choice(widths), "learning_rate": hpjax.LogUniform(1e-3, 1e-1)}
    found = hpjax.MLPClassifierCV(space, trials=6, epochs=1, cv=1).fit(X, Y)
    cells = found.cv_results_["param_hidden"]
    assert cells.shape == (6,)
    assert set(cells.tolist()) <= set(widths)


def test_rows_of_weight_zero_are_not_there():
    """Neither the first row, which stands in where nothing is validated, nor what numbers are standardised by."""
    weights, x = np.ones(150), X.copy()
    weights[:50:2] = 0
    x[weights == 0] *= 1e6
    found = hpjax.MLPClassifierCV(SMALL, **FEW).fit(x, Y, sample_weight=weights)
    standards = found.network_.standards
    np.testing.assert_allclose(standards.shift, X[weights > 0].mean(0))
    np.testing.assert_allclose(standards.scale, 1 / X[weights > 0].std(0))


def test_weights_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = hpjax.MLPClassifierCV(SMALL, **FEW)
        estimator.set_fit_request(sample_weight=True, groups=False)
        line = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
        weighted = line.fit(X, Y, sample_weight=1.0 * (Y != 2) + 0.01)[-1]
    plain = make_pipeline(StandardScaler(), hpjax.MLPClassifierCV(SMALL, **FEW)).fit(X, Y)[-1]
    scaled = StandardScaler().fit_transform(X)
    mean = lambda found: found.predict_proba(scaled)[:, 2].mean()
    assert mean(weighted) < 0.7 * mean(plain)


@pytest.mark.slow
def test_numbers_and_several_of_them():
    x, y = load_diabetes(return_X_y=True)
    one = hpjax.MLPRegressorCV({"hidden": (8,)}, epochs=30, cv=1).fit(x, y)
    assert one.score(x, y) > 0.3
    two = hpjax.MLPRegressorCV({"hidden": (8,)}, epochs=5, cv=2)
    assert two.fit(x, np.stack([y, -y], 1)).predict(x).shape == (442, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(budget="huge"), "budget='huge' is none of fast, good, best"),
        (dict(scoring="auc"), "objective or constraint 'auc' is none of loss, error"),
        (dict(seconds=-1), "seconds"),
        (dict(trials=0), "trials must be a whole number"),
        (dict(search="annealing"), "search='annealing' is none of"),
        (dict(cv=2.5), "cv=2.5 must be a number of folds"),
        (dict(cv=True), "cv=True must be a number of folds"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        hpjax.MLPClassifierCV(SMALL, **FEW | change).fit(X, Y)
    assert "\n" not in str(caught.value)


def test_frames_that_scikit_learn_words_badly_are_refused_in_one_line():
    frame = pandas.DataFrame({"x": np.arange(40.0), "z": np.arange(40.0) % 7})
    y = np.array(["a", "b"] * 20, object)
    twice = frame.set_axis(["x", "x"], axis=1)
    lost = np.where(np.arange(40) == 3, None, y)
    for x, targets, message in (
        (twice, y, "column 'x' stands twice"),
        (frame, lost, "y: row 4 has no label"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            hpjax.MLPClassifierCV(trials=1, epochs=1).fit(x, targets)
        assert "\n" not in str(caught.value)
