"""A study in Optuna's journal says what its ledger says, and a study of Optuna's is where ours can start."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest

import hpjax
from hpjax.integrations.optuna_studies import distributions, start_from, write_journal

optuna = pytest.importorskip("optuna", reason="optuna is not installed")
from optuna.trial import TrialState  # noqa: E402

SPACE = {
    "hidden": hpjax.Choice([(4,), (6,)]),
    "learning_rate": hpjax.LogUniform(1e-3, 1e9),
    "optimizer": hpjax.Choice(["sgd", "adam"]),
    "momentum": hpjax.Uniform(0.0, 0.9).when("optimizer", "sgd"),
    "epochs": 6,
}
quiet = dict(say=lambda text: None, progress=False)


def loaded(path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(path)))
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("optuna") / "run"
    rungs = hpjax.halving(((2, 24), (6, 8)))
    hpjax.tune(SPACE, "iris", scheduler=rungs, trials=24, metrics=["f1_macro"], out=folder, **quiet)
    return folder


@pytest.fixture(scope="module")
def exported(run):
    result = hpjax.open_run(run)
    path = run / "journal.log"
    assert write_journal(result, path) == 24
    return result, loaded(path), path


def test_a_journal_says_what_the_ledger_says(exported):
    result, study, _ = exported
    table = result.trials
    states = {"OK": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "DIVERGED": TrialState.FAIL}
    assert {"OK", "PRUNED", "DIVERGED"} <= set(table["status"])
    curves = result.curves.set_index("trial")
    for number, trial in enumerate(study.trials):
        row = table.loc[number]
        assert trial.state == states[row["status"]]
        assert trial.params["learning_rate"] == row["learning_rate"]
        assert ("momentum" in trial.params) == (row["optimizer"] == "sgd")
        assert tuple(eval(trial.params["hidden"])) == row["hidden"]
        if trial.state == TrialState.FAIL:
            assert trial.value is None
            continue
        assert trial.value == row["objective"]
        own = curves.loc[[number]]
        assert list(trial.intermediate_values) == own["epoch"].tolist()
        np.testing.assert_array_equal(list(trial.intermediate_values.values()), own["objective"])
        assert trial.user_attrs["f1_macro"] == row["f1_macro"]
        assert trial.user_attrs["epochs"] == row["epochs"]
        assert trial.datetime_start < trial.datetime_complete
    assert study.best_trial.number == result.best["trial"]
    assert study.user_attrs["hpjax"]["seed"] == 0
    assert study.user_attrs["objective"] == "loss"
    assert study.user_attrs["hpjax"]["space_hash"] == result.settings.space_hash


def test_optuna_can_work_with_it(exported):
    """And draws what we draw: learning curves, and the best value so far."""
    result, study, path = exported
    frame = study.trials_dataframe()
    assert len(frame) == 24
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        history = optuna.visualization.matplotlib.plot_optimization_history(study)
        intermediate = optuna.visualization.matplotlib.plot_intermediate_values(study)
    whole = result.trials["status"] == "OK"
    best = np.minimum.accumulate(np.where(whole, result.trials["objective"], np.inf))
    np.testing.assert_array_equal(history.lines[0].get_ydata(), best)
    assert best[-1] == result.best["objective"] == study.best_value
    alive = result.trials["status"].isin(
        ["OK", "PRUNED"]
    )  # the others are FAIL there, and not drawn
    kept = result.curves[result.curves["trial"].map(alive)]
    curves = {int(t): part for t, part in kept.groupby("trial")}
    drawn = [line for line in intermediate.lines if len(line.get_xdata())]
    assert len(drawn) == len(curves)
    for line, (_, curve) in zip(drawn, sorted(curves.items())):
        finite = np.isfinite(curve["objective"])
        np.testing.assert_array_equal(line.get_xdata(), curve["epoch"][finite])
        np.testing.assert_array_equal(line.get_ydata(), curve["objective"][finite])
    again = loaded(path)
    again.optimize(lambda trial: trial.suggest_float("learning_rate", 1e-3, 1e9, log=True), 1)


def test_importance_agrees_where_one_hyperparameter_decides(tmp_path):
    space = {
        "learning_rate": hpjax.LogUniform(1e-6, 1e-1),
        "l2": hpjax.LogUniform(1e-9, 1e-6),
        "epochs": 3,
    }
    result = hpjax.tune(space, "iris", trials=48, **quiet)
    write_journal(result, tmp_path / "journal.log")
    theirs = optuna.importance.get_param_importances(loaded(tmp_path / "journal.log"))
    from hpjax.report.study_page import study_page

    ours = study_page(result, refit=False)["importance"]
    assert ours["names"][0] == next(iter(theirs)) == "learning_rate"
    assert theirs["learning_rate"] > 0.8
    assert ours["best"][0] > 0.8


def test_a_metric_that_should_be_large(tmp_path):
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 2}
    result = hpjax.tune(space, "iris", trials=4, objective="f1_macro", **quiet)
    write_journal(result, tmp_path / "journal.log", name="mine")
    study = loaded(tmp_path / "journal.log")
    assert study.study_name == "mine"
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    np.testing.assert_array_equal([t.value for t in study.trials], result.trials["f1_macro"])
    assert start_from(study, top=1)[0] == result.best["config"]


def test_several_objectives_and_bounds(tmp_path):
    found = hpjax.tune(
        {"hidden": hpjax.Choice([(2,), (16,)]), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 6},
        "iris", objective=["accuracy", "parameters"], constraints={"parameters": "<= 100"},
        scheduler="halving", trials=9, say=lambda text: None,
    )  # fmt: skip
    write_journal(found, tmp_path / "journal.log")
    study = loaded(tmp_path / "journal.log")
    assert [one.name for one in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    best = {trial.user_attrs["trial"]: trial.values for trial in study.best_trials}
    assert set(best) >= set(found.pareto.index)
    for trial, row in found.pareto.iterrows():
        assert best[trial] == pytest.approx([row["accuracy"], row["parameters"]])
    broken = found.trials.index[found.trials["status"] == "INFEASIBLE"]
    assert len(broken)
    assert not set(best) & set(broken)


def test_of_many_trials_the_best_and_a_sample_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr("hpjax.integrations.optuna_studies.MOST", 20)
    result = hpjax.minimize(lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=50)
    said = []
    assert write_journal(result, tmp_path / "journal.log", say=said.append) == 20
    assert "writes 20 of 50 trials" in said[0]
    numbers = {trial.user_attrs["trial"] for trial in loaded(tmp_path / "journal.log").trials}
    assert set(result.ranking[:10].tolist()) <= numbers


def test_a_study_starts_where_optuna_ended(exported, tmp_path):
    result, _, path = exported
    first = start_from(path, top=3)
    assert first == [result.config(trial) for trial in result.ranking[:3]]
    again = hpjax.tune(SPACE, "iris", start=first, trials=5, **quiet)
    for trial, config in enumerate(first):
        found = again.config(trial)
        assert found.keys() == config.keys()
        for name, value in config.items():
            assert found[name] == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("entry", "written"),
    [
        (hpjax.Uniform(-1.0, 2.0), "FloatDistribution(high=2.0, log=False, low=-1.0, step=None)"),
        (
            hpjax.LogUniform(1e-3, 1.0),
            "FloatDistribution(high=1.0, log=True, low=0.001, step=None)",
        ),
        (hpjax.IntUniform(1, 4), "IntDistribution(high=4, log=False, low=1, step=1)"),
        (hpjax.LogIntUniform(1, 64), "IntDistribution(high=64, log=True, low=1, step=1)"),
        (
            hpjax.Choice([(4, 2), "a", None]),
            "CategoricalDistribution(choices=('[4, 2]', 'a', None))",
        ),
    ],
)
def test_every_range_is_a_distribution(entry, written):
    found = distributions(hpjax.Space({"x": entry}))["x"]
    assert str(found) == written
    for unit in np.linspace(0, 1, 7):
        value = entry.decode(np.array([unit]))[0]
        value = json.dumps(value) if isinstance(value, tuple) else value
        assert found._contains(found.to_internal_repr(value))


def test_a_choice_of_none_is_a_value(tmp_path):
    space = {"c": hpjax.Choice([None, "x"]), "a": hpjax.Uniform(0, 1)}
    cost = lambda p: np.where(np.array([c is None for c in p["c"]]), 0.0, 1.0) + p["a"]
    result = hpjax.minimize(cost, space, trials=8)
    write_journal(result, tmp_path / "journal.log")
    first = start_from(tmp_path / "journal.log", top=1)
    assert first[0]["c"] is None
    again = hpjax.minimize(cost, space, start=first, trials=1)
    assert again.best["objective"] == pytest.approx(result.best["objective"])


def test_faults_are_one_line(exported, tmp_path, monkeypatch):
    result, _, path = exported
    with pytest.raises(hpjax.RunError, match="is there already"):
        write_journal(result, path)
    with pytest.raises(ValueError, match="no Optuna journal at"):
        start_from(tmp_path / "none")
    with pytest.raises(ValueError, match="no complete trial"):
        start_from(optuna.create_study())
    with pytest.raises(ValueError, match="several objectives"):
        start_from(optuna.create_study(directions=["minimize", "minimize"]))
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ValueError, match="Optuna is not installed; pip install 'hpjax"):
        write_journal(result, tmp_path / "a.log")


@pytest.mark.slow
def test_the_command_line(run, tmp_path):
    def command(*words):
        return subprocess.run(
            [sys.executable, "-m", "hpjax", "export", *map(str, words)],
            capture_output=True,
            text=True,
        )

    done = command(run, "--optuna", tmp_path / "a.log")
    assert done.returncode == 0, done.stderr
    assert "optuna-dashboard" in done.stdout
    assert len(loaded(tmp_path / "a.log").trials) == 24
    for words, message in (
        ([run, "--optuna", tmp_path / "a.log"], "is there already"),
        ([run], "say where to: --optuna"),
        ([tmp_path, "--optuna", tmp_path / "b.log"], "no run in"),
    ):
        done = command(*words)
        assert done.returncode == 2
        assert message in done.stderr
