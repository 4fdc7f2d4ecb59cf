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
    "pbt_toy": "toy", "low_discrepancy": "hits", "grid_beside_random": "nine", "learning_rate_effect": "rates",
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
    assert (
        experiment("digits_notebook", "--plot", tmp_path, "--check").returncode == 1
    )  # two epochs are too few


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
    """Runs at the smallest preset, says what it criticises, and draws the same bytes again."""
    done = experiment(name, "--preset", "smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "criteria.json").exists()
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
