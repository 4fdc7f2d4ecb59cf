"""Experiments run at their smoke preset, redraw the same bytes, and refuse what they do not know."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    not (ROOT / "experiments").exists(), reason="runs in a checkout, which has the experiments"
)
FREE = {
    "pbt_toy": "toy", "long_ledger": "seconds", "low_discrepancy": "hits", "grid_beside_random": "nine", "learning_rate_effect": "rates",
    "trainability_boundary": "boundary", "hypergradient_cost": "cost", "backprop_steps": "epoch1", "finite_differences": "differences",
    "exploding_gradients": "exploding", "initialisation": "histograms", "capacity_effect": "capacity", "activation_effect": "training",
    "optimizers_compared": "optimizers", "bayesian_steps": "steps", "hyperband_steps": "brackets", "pbt_schedule": "schedule", "bohb_dehb": "regret",
}  # fmt: skip
STORED = {
    "double_descent": "descent", "vanishing_gradients": "norms", "metalearn_rate": "rates", "many_starts": "starts",
    "hypergradient_chaos": "chaos", "learned_schedule": "schedule", "mup_transfer": "rates", "overfitting_cures": "cures",
    "epochs_and_early_stopping": "epochs", "batch_size_effect": "batches", "dropout_curves": "dropout", "random_efficiency": "efficiency",
    "hyperband_compared": "compared", "fcnet_tables": "retrained",
}  # fmt: skip


def experiment(name, *words):
    command = [sys.executable, "-m", f"experiments.{name}", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_digits_notebook(tmp_path):
    done = experiment("digits_notebook", "--preset", "smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "grid: 6 trainings" in done.stdout
    first = (tmp_path / "confusion.svg").read_bytes(), (tmp_path / "confusion.png").read_bytes()
    assert experiment("digits_notebook", "--plot", tmp_path).returncode == 0
    assert (
        (tmp_path / "confusion.svg").read_bytes(),
        (tmp_path / "confusion.png").read_bytes(),
    ) == first
    done = experiment("digits_notebook", "--plot", tmp_path, "--check")
    assert done.returncode == 2
    assert "a smoke run is too small to be judged" in done.stderr


@pytest.mark.slow
def test_throughput(tmp_path):
    for part in ("reference", "tiny", "growth"):
        done = experiment("throughput", "--preset", "smoke", "--only", part, "--out", tmp_path)
        assert done.returncode == 0, done.stderr
    assert "jit(vmap(scan)) by hand" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "throughput.png").exists()


@pytest.mark.slow
def test_search_quality(tmp_path):
    done = experiment("search_quality", "--preset", "smoke", "--only", "branin", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("evolution", "handicap", "valley", "counting"):
        done = experiment("search_quality", "--preset", "smoke", "--only", part, "--out", tmp_path)
        assert done.returncode == 0, done.stderr
    assert {"evolution_anytime.png", "evolution_ranks.csv", "counting.svg"} <= {
        path.name for path in tmp_path.iterdir()
    }
    drawn = (tmp_path / "evolution_ranks.svg").read_bytes()
    assert experiment("search_quality", "--plot", tmp_path).returncode == 0
    assert (tmp_path / "evolution_ranks.svg").read_bytes() == drawn
    done = experiment("search_quality", "--only", "law", "--data", tmp_path, "--out", tmp_path)
    assert done.returncode == 2
    assert "fcnet_protein_table.npz (validation errors of 62,208 networks) is not in" in done.stderr


@pytest.mark.slow
def test_techniques_compared(tmp_path):
    done = experiment(
        "techniques_compared", "--preset", "smoke", "--only", "race", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "anytime.svg").read_bytes()
    assert experiment("techniques_compared", "--plot", tmp_path).returncode == 0
    assert (tmp_path / "anytime.svg").read_bytes() == drawn


def main_of(name):
    """The call of `main` that an experiment ends with, as text."""
    text = (ROOT / "experiments" / f"{name}.py").read_text()
    return text[text.rindex("main(") :], text


def test_every_experiment_declares_the_flags_that_it_heeds():
    """An undeclared flag is refused; one that is declared is read."""
    for path in sorted((ROOT / "experiments").glob("[a-z]*.py")):
        call, text = main_of(path.stem)
        assert ("parts=" in call) == ("flags.only" in text), path.stem
        for flag in ("seeds", "data"):
            assert (f'"{flag}"' in call) == (f"flags.{flag}" in text), path.stem


def test_flags_that_change_nothing_are_refused_and_results_stay(tmp_path, capsys, monkeypatch):
    from experiments import _common

    monkeypatch.chdir(tmp_path)
    ran = []
    call = lambda *words, **more: _common.main(
        "toy",
        lambda flags, folder: (ran.append(folder), folder.mkdir(parents=True)),
        lambda folder: [_common.Criterion("c", 1, 2)],
        list(words),
        **more,
    )
    for words, message in (
        (["--only", "x"], "this experiment has none"),
        (["--seeds", "3"], "--seeds changes nothing"),
        (["--data", "x"], "--data changes nothing"),
        (["--plot", "x", "--seeds", "3"], "leave --seeds out"),
    ):
        with pytest.raises(SystemExit) as caught:
            call(*words, uses=("seeds",) if "--plot" in words else ())
        assert caught.value.code == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("--seeds", "0", uses=("seeds",))
    assert not ran
    call("--preset", "smoke")
    assert "not judged" in capsys.readouterr().out
    call()
    assert "FAILS: c = 1 (>= 2)" in capsys.readouterr().out
    assert [str(folder) for folder in ran] == ["runs/toy-smoke", "runs/toy"]
    assert not (tmp_path / "results").exists()
    with pytest.raises(SystemExit) as caught:
        call("--plot", "runs/toy-smoke", "--check")
    assert caught.value.code == 2


@pytest.mark.slow
def test_refusals_and_the_list(tmp_path):
    done = experiment("digits_notebook", "--only", "tpe", "--out", tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr == "experiments.digits_notebook: --only 'tpe' is none of grid, random, bayes\n"
    )
    done = experiment("throughput", "--plot", tmp_path)
    assert done.returncode == 2
    assert "holds no measurements" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "experiments"], cwd=ROOT, capture_output=True, text=True
    )
    assert "digits_notebook" in done.stdout
    assert "throughput" in done.stdout


def smoke(name, figure, tmp_path):
    """Runs at the smallest preset, is not judged, draws no empty panel, and draws the same bytes again."""
    done = experiment(name, "--preset", "smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "criteria are not judged" in done.stdout
    assert "FAILS" not in done.stdout
    assert not (tmp_path / "criteria.json").exists()
    drawn = (tmp_path / f"{figure}.svg").read_bytes(), (tmp_path / f"{figure}.png").read_bytes()
    done = experiment(name, "--plot", tmp_path)
    assert done.returncode == 0, done.stderr
    again = (tmp_path / f"{figure}.svg").read_bytes(), (tmp_path / f"{figure}.png").read_bytes()
    assert again == drawn


DEFAULT = ("pbt_toy", "capacity_effect")  # one of the papers, one of the course


@pytest.mark.parametrize("name", DEFAULT)
def test_one_of_each_family(name, tmp_path):
    smoke(name, FREE[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FREE if name not in DEFAULT])
def test_figures(name, tmp_path):
    smoke(name, FREE[name], tmp_path)


@pytest.mark.slow
@pytest.mark.skipif("HPJAX_DATA" not in os.environ, reason="needs stored data: set HPJAX_DATA")
@pytest.mark.parametrize("name", STORED)
def test_figures_of_stored_data(name, tmp_path):
    smoke(name, STORED[name], tmp_path)
