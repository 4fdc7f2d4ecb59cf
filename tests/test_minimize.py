"""`minimize`: constraints of a function of a user's own, and its run folder, read again without the function."""

import json

import numpy as np
import pytest

import hpjax
from hpjax import cli
from hpjax.search import SEARCHES

SPACE = {"x": hpjax.Uniform(-5.0, 5.0), "y": hpjax.Uniform(-5.0, 5.0)}


def bowl(point):
    return (point["x"] - 2) ** 2 + point["y"] ** 2


def left_of_one(point):
    return point["x"] - 1


@pytest.mark.parametrize("search", sorted(SEARCHES.keys() - {"gradient"}))
def test_the_best_keeps_the_bounds(search, tmp_path):
    run = lambda **more: hpjax.minimize(
        bowl, SPACE, search=search, trials=24, constraints=left_of_one, **more
    )
    found = run(out=tmp_path / "run")
    trials = found.trials
    beyond = trials["x"] > 1
    assert 0 < beyond.sum() < len(trials)
    assert ((trials["status"] == "INFEASIBLE") == beyond).all()
    assert found.best["config"]["x"] <= 1
    assert found.best["objective"] == trials["objective"][~beyond].min()
    np.testing.assert_allclose(found.table["violation"], np.maximum(trials["x"] - 1, 0), atol=1e-12)
    again = run(out=tmp_path / "run", resume=True)
    assert again.best == found.best
    assert again.trials.equals(trials)
    assert run().trials.equals(trials)


def test_several_constraints_add_up_and_the_unknown_is_broken():
    def beyond(point):
        unknown = np.where(point["y"] > 0, np.nan, -1.0)
        return np.stack([point["x"] - 1, point["x"] - 3, unknown], 1)

    found = hpjax.minimize(bowl, SPACE, trials=30, constraints=beyond)
    known = (found.trials["y"] <= 0).to_numpy()
    x = found.trials["x"].to_numpy()
    assert np.isinf(found.table["violation"][~known]).all()
    wanted = (np.maximum(x - 1, 0) + np.maximum(x - 3, 0))[known]
    np.testing.assert_allclose(found.table["violation"][known], wanted)


def test_constraints_know_of_epochs_and_hold_a_trial_back():
    """What breaks a bound on a low rung goes no further."""
    seen = []

    def beyond(point, epochs):
        seen.extend(zip(point["x"].tolist(), epochs.tolist()))
        return point["x"] - 1

    found = hpjax.minimize(
        lambda point, epochs: bowl(point) / epochs,
        SPACE,
        scheduler=hpjax.halving([(1, 18), (3, 6), (9, 2)]),
        constraints=beyond,
    )
    assert {epochs for _, epochs in seen} == {1, 3, 9}
    assert all(x <= 1 for x, epochs in seen if epochs == 9)
    assert found.best["config"]["x"] <= 1


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ({"x": "<= 1"}, "constraints must be a function of"),
        (lambda point, epochs: 0, "constraints must be a function of"),
        (lambda point: 0.0, "constraints must return one value"),
        (lambda point: ["a"] * len(point["x"]), "constraints must return real numbers"),
    ],
)
def test_nonsense_is_refused(constraints, said):
    with pytest.raises(ValueError, match=said):
        hpjax.minimize(bowl, SPACE, trials=4, constraints=constraints)


def test_gradients_keep_no_constraints():
    with pytest.raises(ValueError, match="follows gradients keeps no constraints"):
        hpjax.minimize(
            bowl,
            SPACE,
            search="gradient",
            trials=4,
            gradient=lambda point: {"x": 2 * (point["x"] - 2), "y": 2 * point["y"]},
            constraints=left_of_one,
        )


def test_resuming_keeps_what_was_found(tmp_path):
    whole = hpjax.minimize(bowl, SPACE, trials=20, seed=3, constraints=left_of_one)
    run = lambda trials, resume: hpjax.minimize(
        bowl,
        SPACE,
        trials=trials,
        seed=3,
        out=tmp_path / "run",
        resume=resume,
        constraints=left_of_one,
    )
    run(10, False)
    longer = run(20, True)
    assert longer.best == whole.best
    assert longer.trials.equals(whole.trials)


def test_a_run_is_read_without_its_function(tmp_path, capsys):
    run = tmp_path / "run"
    found = hpjax.minimize(bowl, SPACE, trials=12, seed=3, out=run)
    read = hpjax.open_outcome(run)
    assert read.trials.equals(found.trials)
    assert (read.best, read.stopped) == (found.best, "done")

    def command(*words):
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, words)])
        return ended.value.code, capsys.readouterr()

    code, said = command("show", run, "--json")
    assert code == 0
    shown = json.loads(said.out)
    assert shown["best"] == found.best
    assert [row["trial"] for row in shown["trials"]] == found.ranking[:10].tolist()
    code, said = command("show", run, "--top", 3)
    assert code == 0
    assert "best of 12 trials by objective (12 OK)" in said.out
    code, said = command("export", run, "--tensorboard", tmp_path / "logs")
    assert code == 2
    assert "without learning curves; only --optuna takes it" in said.err
    for name in ("report", "watch", "confirm", "resume"):
        code, said = command(name, run)
        assert code == 2, name
        assert "is a run of hpjax.minimize" in said.err
    with pytest.raises(hpjax.RunError, match=r"read it by hpjax.open_outcome\("):
        hpjax.open_run(run)


def test_an_outcome_is_of_a_function(tmp_path):
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "hidden": (3,)}
    hpjax.tune(space, "iris", trials=1, epochs=1, out=tmp_path / "run", say=lambda text: None)
    with pytest.raises(hpjax.RunError, match=r"read it by hpjax.open_run\("):
        hpjax.open_outcome(tmp_path / "run")
