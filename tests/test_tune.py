"""`tune` and the command line, as users meet them: results, refits, refusals."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

import hpjax
from hpjax import cli, devices
from hpjax.schedulers import full, halving

SPACE = {"hidden": (8,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 3}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return hpjax.tune(
        SPACE,
        "iris",
        trials=6,
        validation={"folds": 2, "repeats": 2},
        out=tmp_path_factory.mktemp("run") / "run",
    )


@pytest.mark.slow
def test_a_result_has_best_trials_curves_and_a_network(result):
    assert result.best["loss"] == result.trials["loss"].min()
    assert result.stopped == "done"
    assert list(result.trials.columns) == [
        "learning_rate",
        "objective",
        "loss",
        "error",
        "train",
        "epochs",
        "parameters",
        "seconds",
        "diverged",
        "status",
    ]
    assert len(result.curves) == 6 * 3
    last = result.curves[result.curves["epoch"] == 3].set_index("trial")["loss"]
    np.testing.assert_allclose(last, result.trials["loss"], rtol=1e-6)
    network = result.refit()
    task = result.task
    p = network.predict_proba(task.x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    assert (network.predict(task.x) == p.argmax(1)).all()
    assert (
        network.score(task.x[task.test], task.truth(task.test)) == result.test(network)["accuracy"]
    )
    again = result.refit()
    np.testing.assert_array_equal(again.params[0]["w"], network.params[0]["w"])
    with pytest.raises(ValueError, match=r"takes \[N 4\] features, got \(2, 3\)"):
        network.predict(np.zeros((2, 3)))


@pytest.mark.slow
def test_numpy_numbers_are_numbers(tmp_path):
    """Broke: a list of configurations with NumPy's numbers could not be written to run.json."""
    search = [
        {"learning_rate": rate, "hidden": (np.int64(4),)} for rate in np.geomspace(1e-3, 1e-1, 3)
    ]
    space = {
        "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
        "hidden": hpjax.Choice([(np.int64(4),), (8,)]),
    }
    options = dict(
        search=search,
        start=[{"learning_rate": np.float32(0.01)}],
        seed=np.int64(3),
        epochs=np.int32(2),
        validation={"folds": np.int64(2)},
        stop={"epochs": np.int64(100)},
    )
    found = hpjax.tune(space, "iris", out=tmp_path / "run", say=lambda text: None, **options)
    shown = hpjax.open_run(tmp_path / "run")
    assert shown.settings == found.settings
    assert shown.trials.equals(found.trials)


def test_the_run_folder_says_everything(result):
    settings = json.loads((result.folder / "run.json").read_text())
    assert settings["space_hash"] == result.space.hash()
    environment = json.loads((result.folder / "environment.json").read_text())[0]
    assert environment["versions"]["jax"] == jax.__version__
    assert environment["devices"] == 2
    shown = hpjax.open_run(result.folder)
    assert shown.trials.equals(result.trials)
    assert shown.curves.equals(result.curves)
    assert shown.best == result.best


@pytest.mark.slow
def test_equal_studies_have_equal_ledgers(tmp_path):
    for name in ("a", "b"):
        hpjax.tune(
            SPACE,
            "iris",
            trials=4,
            scheduler=halving(((1, 4), (3, 2))),
            out=tmp_path / name,
            seed=7,
        )
    assert (tmp_path / "a" / "ledger.jsonl").read_bytes() == (
        tmp_path / "b" / "ledger.jsonl"
    ).read_bytes()
    hpjax.tune(
        SPACE, "iris", trials=4, scheduler=halving(((1, 4), (3, 2))), out=tmp_path / "c", seed=8
    )
    assert (tmp_path / "a" / "ledger.jsonl").read_bytes() != (
        tmp_path / "c" / "ledger.jsonl"
    ).read_bytes()


def test_diverged_trials_are_never_best(tmp_path):
    space = {
        "learning_rate": hpjax.Choice([1e6, 0.01]),
        "hidden": (8,),
        "optimizer": "sgd",
        "loss": "mse",
        "epochs": 3,
    }
    found = hpjax.tune(space, "iris", search="grid", out=tmp_path / "run")
    status = found.trials.set_index("learning_rate")["status"]
    assert status[1e6] == "DIVERGED"
    assert found.trials.set_index("learning_rate")["loss"][1e6] == np.inf
    assert found.trials.set_index("learning_rate")["diverged"][1e6] >= 1
    assert found.best["config"] == {"learning_rate": 0.01}
    lost = hpjax.tune(space | {"learning_rate": 1e6}, "iris", search=[{}])
    assert lost.best["trial"] is None
    with pytest.raises(ValueError, match="no trial reached full fidelity"):
        lost.refit()


@pytest.mark.slow
@pytest.mark.parametrize("minimize", ["loss", "error"])
def test_what_is_minimised_is_what_is_told(minimize):
    found = hpjax.tune(SPACE, "iris", trials=5, objective=minimize)
    other = hpjax.tune(SPACE, "iris", trials=5)
    for column in ("loss", "error"):
        np.testing.assert_allclose(found.trials[column], other.trials[column])
    assert found.best[minimize] == found.trials[minimize].min()


@pytest.mark.slow
def test_errors_of_mse_with_an_output_activation_are_the_predictions():
    space = {"hidden": (4,), "loss": "mse", "output": "sigmoid", "epochs": 8, "learning_rate": 0.01}
    found = hpjax.tune(space, "breast_cancer", search=[{}])
    network = hpjax.fit(found.task, found.space.constants, epochs=8)
    p = network.predict_proba(found.task.x)[:, 1]
    assert ((p > 0.5) == network.predict(found.task.x)).all()
    # with the boundary before the activation it would be far higher
    assert found.best["error"] < 0.3


@pytest.mark.slow
def test_patience_off_the_grid_of_scores_and_over_folds():
    space = SPACE | {"patience": 2.0, "learning_rate": 0.05, "epochs": 30}
    found = hpjax.tune(
        space, "iris", search=[{}], scheduler=full(7), validation={"score_every": 10}
    )
    assert found.trials["status"].tolist() == ["OK"]
    folded = hpjax.tune(space, "iris", search=[{}], validation=3)
    record = next(r for r in folded.records if r["kind"] == "report")
    assert 1 <= record["kept"][0] < record["reached"][0] <= 30
    assert folded.curves["epoch"].max() == record["reached"][0]
    assert np.isfinite(folded.curves["loss"]).all()
    assert np.isfinite(folded.refit().params[0]["w"]).all()


@pytest.mark.slow
def test_small_data_take_a_small_default_batch():
    x = np.arange(12.0)[:, None]
    found = hpjax.tune({"learning_rate": 0.01, "epochs": 2}, (x, x[:, 0] * 2.0), search=[{}])
    assert found.trials["status"].tolist() == ["OK"]
    assert found.refit().predict(x).shape == (12,)


def test_a_changed_data_set_does_not_resume(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    run = tmp_path / "run"
    hpjax.tune(SPACE, (x, y), trials=2, out=run)
    with pytest.raises(hpjax.RunError, match=r"is not the data that .* was made on"):
        hpjax.resume(run, task=(x + 1e-3, y))
    lines = (run / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (run / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    with pytest.raises(hpjax.RunError, match="is not the data that the run was made on"):
        hpjax.resume(run, task=(x + 1e-3, y))
    assert hpjax.resume(tmp_path / "run", task=(x, y)).stopped == "done"
    with pytest.raises(hpjax.RunError, match="made on arrays; give them again"):
        hpjax.resume(tmp_path / "run").refit()


@pytest.mark.slow
def test_manual_grid_regression_patience_and_float64():
    found = hpjax.tune(
        {
            "learning_rate": hpjax.LogUniform(1e-3, 1.0),
            "patience": 2,
            "epochs": 12,
            "hidden": (8,),
            "dtype": "float64",
        },
        "diabetes",
        search=[{"learning_rate": 0.01}, {"learning_rate": 0.3}],
    )
    assert found.trials["learning_rate"].round(9).tolist() == [0.01, 0.3]
    network = found.refit()
    assert network.params[0]["w"].dtype == np.float64
    assert network.predict(found.task.x).shape == (442,)
    assert 0 < network.score(found.task.x, found.task.y) < 1
    with pytest.raises(ValueError, match="predict_proba needs classes"):
        network.predict_proba(found.task.x)


@pytest.mark.slow
def test_epochs_may_be_searched():
    space = SPACE | {"epochs": hpjax.IntUniform(1, 4), "learning_rate": 0.01}
    found = hpjax.tune(space, "iris", search=[{"epochs": e} for e in (1, 4, 2)])
    assert found.trials["epochs"].astype(int).tolist() == [1, 4, 2]
    assert found.trials["status"].tolist() == ["OK"] * 3
    alone = hpjax.tune(SPACE | {"epochs": 4, "learning_rate": 0.01}, "iris", search=[{}])
    assert found.trials["loss"][1] == pytest.approx(alone.trials["loss"][0], rel=1e-4)


def test_rounds_are_shorter_where_seconds_are_few():
    space = {"hidden": (64, 64), "learning_rate": hpjax.LogUniform(1e-3, 1e-1)}
    trials = lambda **options: int(
        hpjax.explain(space, "digits", trials=100_000, **options)
        .split("rounds of at most ")[1]
        .split()[0]
    )
    assert trials() > 4 * trials(stop={"seconds": 10})
    assert trials(stop={"seconds": 10}) > 2 * trials(stop={"seconds": 2})


def test_a_list_that_is_one_value_per_layer_is_said():
    said = []
    space = {"hidden": (4,), "learning_rate": (0.1, 0.01), "l2": hpjax.LogUniform(1e-6, 1e-2)}
    hpjax.tune(space, "iris", trials=1, epochs=1, say=said.append)
    assert (
        "hpjax: learning_rate = [0.1, 0.01] is one value per layer; to try each of them write Choice([0.1, 0.01])"
        in said
    )


def test_explain_says_the_plan():
    space = {"width_1": hpjax.IntUniform(4, 64), "learning_rate": 0.01}
    rungs = halving(((1, 40), (3, 13)))
    text = hpjax.explain(space, "digits", trials=40, scheduler=rungs)
    for word in (
        "programs",
        "padding",
        "predicted",
        "rungs",
        "40 until epoch 1, 13 until epoch 3",
        "MiB",
    ):
        assert word in text


@pytest.mark.slow
def test_xor_is_learned_and_arrays_are_taken():
    found = hpjax.tune(
        {
            "hidden": (4,),
            "activation": "tanh",
            "optimizer": "adam",
            "learning_rate": 0.05,
            "batch_size": 0,
            "epochs": 300,
        },
        "xor",
        search=[{}],
        validation={"repeats": 4, "score_every": 100},
    )
    assert found.best["error"] < 0.3
    assert len(found.curves) == 3
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    labels = np.where(x[:, 0] > 0, "up", "down")
    network = hpjax.tune(SPACE | {"epochs": 20}, (x, labels), trials=3).refit()
    assert set(network.predict(x)) == {"up", "down"}
    assert network.score(x, labels) > 0.8


def test_predictions_of_many_rows_are_sound():
    """Trap: row sums above 32,768 rows (jaxlib 0.10.2)."""
    network = hpjax.fit(hpjax.tasks.load("iris"), {"hidden": (8,)}, epochs=2)
    x = np.random.default_rng(0).normal(size=(70_000, 4)) + 3
    p = network.predict_proba(x)
    (w0, w1), (b0, b1) = ([layer[name] for layer in network.params] for name in ("w", "b"))
    z = np.maximum(network.standards.inputs(x, ()) @ w0 + b0, 0) @ w1 + b1
    expected = np.exp(z - z.max(1, keepdims=True))
    np.testing.assert_allclose(p, expected / expected.sum(1, keepdims=True), atol=1e-5)


def test_a_dropout_network_predicts_without_dropping():
    network = hpjax.fit(hpjax.tasks.load("iris"), {"hidden": (8,), "dropout": 0.5}, epochs=2)
    x = hpjax.tasks.load("iris").x
    np.testing.assert_array_equal(network.outputs(x), network.outputs(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(trials=0), "trials must be a whole number"),
        (dict(validation=1.5), "folds must be a whole number"),
        (dict(objective="acc"), "objective or constraint 'acc' is none of loss, error"),
        (dict(gradients="magic"), "gradients='magic'"),
        (dict(search="annealing"), "search='annealing' is none of bayes, bohb"),
        (dict(search=[]), "empty list of configurations"),
        (dict(search=[{"learning_rate": 5.0}]), "outside the space"),
        (dict(search=[{"learning_rate": "0.1"}]), "learning_rate='0.1' is outside the space"),
        (dict(start=[{"learning_rate": [0.1]}]), r"learning_rate=\[0.1\] is outside the space"),
        (dict(start=[{"learning_rate": True}]), "learning_rate=True is outside the space"),
        (
            dict(
                space={"depth": hpjax.IntUniform(1, 3), "width": 4, "epochs": 3},
                start=[{"depth": 1.5}],
            ),
            "depth=1.5 is outside the space",
        ),
        (
            dict(space=SPACE | {"l2": hpjax.Choice([(0.1, 0.1), (0.1, 0.1, 0.1)])}),
            "l2 has 2 and 3 values for networks of one shape; give one value per layer",
        ),
        (dict(search=[{"momentum": 0.5}]), "'momentum' is not in the space"),
        (dict(stop={"hours": 1}), "stop has no limit called 'hours'"),
        (
            dict(space=SPACE | {"batch_size": 5000}),
            "batch_size=5000 is larger than the 96 training examples of iris",
        ),
        (dict(task="irsi"), "did you mean 'iris'"),
        (dict(space=SPACE | {"loss": "bce", "output": "tanh"}), "fixes the output activation"),
        (dict(task="diabetes", space=SPACE | {"loss": "cross_entropy"}), "targets are numbers"),
    ],
)
def test_refusals_write_nothing(tmp_path, change, message):
    options = dict(space=SPACE, task="iris", trials=2, out=tmp_path / "run") | change
    with pytest.raises(ValueError, match=message) as caught:
        hpjax.tune(**options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, arguments)))
    return ended.value.code


def test_the_command_line_from_tune_to_show(tmp_path, capsys):
    (tmp_path / "space.toml").write_text(
        "learning_rate = { log_uniform = [1e-3, 0.1] }\nhidden = [6]\n"
    )
    run = tmp_path / "run"
    words = [
        "iris",
        "--space",
        tmp_path / "space.toml",
        "--trials",
        9,
        "--epochs",
        4,
        "--scheduler",
        "halving",
        "--out",
        run,
        "--no-cache",
    ]
    assert command("tune", *words) == 0
    said = capsys.readouterr().out
    for word in (
        "best of 9 trials",
        "accuracy",
        "ledger.jsonl",
    ):
        assert word in said
    assert command("show", run) == 0
    assert (run / "figure.png").stat().st_size > 5000
    first = (run / "figure.svg").read_bytes()
    assert command("show", run) == 0
    assert (run / "figure.svg").read_bytes() == first
    assert command("tasks") == 0
    assert "breast_cancer" in capsys.readouterr().out
    assert command("resume", run, "--no-cache") == 0
    assert command("tune", *words) == 2
    assert "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune", "nowhere.csv"], "no file nowhere.csv"),
        (["tune", "iris", "--space", "none.toml"], "no space file none.toml"),
        (["tune", "iris", "--folds", "99"], "for 99 folds"),
        (["tune", "mnist10k", "--data", "nowhere"], "which is missing"),
        (["tune", "iris", "--trials", "0"], "trials must be a whole number of at least 1"),
        (["resume", "nowhere"], "no run in nowhere"),
        (["show", "nowhere"], "no run in nowhere"),
        (["watch", "nowhere", "--port", "80000"], "port must be at most 65535, got 80000"),
    ],
)
def test_the_command_line_refuses_in_one_line_with_code_2(
    tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    assert command(*words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("ledger.jsonl"))


@pytest.mark.slow
def test_too_few_devices_print_a_warning_with_the_remedy():
    if devices.cores() < 2:
        pytest.skip("needs two cores: with one, one CPU device is enough")
    code = "import jax; jax.devices(); from hpjax import devices; print(len(devices.devices()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert "JAX was already started with 1 CPU device" in done.stderr
    assert "jax.config.update('jax_num_cpu_devices'" in done.stderr
    code = "from hpjax import devices; print(len(devices.devices()) == devices.cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


FIRST_CALLS = {
    "tune": "hpjax.tune(space, 'iris', trials=2, out='run', progress=False)",
    "compare": "hpjax.compare(['random'], space, 'iris', seeds=2, stop={'trials': 1}, out='run', progress=False)",
    "train": "hpjax.train({'hidden': (2,)}, 'iris', 1)",
    "fit": "hpjax.fit('iris', {'hidden': (2,)}, epochs=1)",
    "estimator": "hpjax.MLPClassifierCV(trials=2, epochs=1, cv=2).fit([[0.0], [1.0]] * 20, [0, 1] * 20)",
}


@pytest.mark.parametrize(
    "name", [n if n == "compare" else pytest.param(n, marks=pytest.mark.slow) for n in FIRST_CALLS]
)
def test_the_first_call_of_a_process_has_a_device_per_core(tmp_path, name):
    """No door starts JAX before its devices are asked for."""
    if devices.cores() < 2:
        pytest.skip("needs two cores: with one, one CPU device is enough")
    space = "space = {'learning_rate': hpjax.LogUniform(1e-3, 1e-1), 'hidden': (2,), 'epochs': 1}"
    code = f"import hpjax, jax\n{space}\n{FIRST_CALLS[name]}\nprint(len(jax.devices()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "JAX was already started" not in done.stderr
    assert int(done.stdout) == devices.cores()


@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("values", [[0.1, (0.1, 0.2)], [None, (0.1, 0.2)], [None, 0.1, (0.2, 0.1)]])
def test_one_number_and_one_per_layer_may_be_mixed(tmp_path, values, batch):
    """Broke: networks of one program had leaves of several shapes, in a round without values per layer and after a resume."""
    space = SPACE | {"l2": hpjax.Choice(values), "epochs": 2}
    options = dict(batch=batch, trials=6, out=tmp_path / "run", say=lambda text: None)
    found = hpjax.tune(space, "iris", **options)
    assert (found.trials["status"] == "OK").all()
    ledger = tmp_path / "run" / "ledger.jsonl"
    whole = ledger.read_bytes()
    lines = whole.splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[: 1 + len(lines) // 2]))
    hpjax.resume(tmp_path / "run", say=lambda text: None)
    assert ledger.read_bytes() == whole
