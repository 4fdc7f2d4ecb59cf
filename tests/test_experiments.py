"""Experiments run at their smoke preset, redraw the same bytes, and refuse what they do not know."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "experiments").exists(), reason="runs in a checkout, which has the experiments"
    ),
]


def experiment(name, *words):
    command = [sys.executable, "-m", f"experiments.{name}", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


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


def test_throughput(tmp_path):
    for part in ("reference", "tiny", "growth"):
        done = experiment("throughput", "--preset", "smoke", "--only", part, "--out", tmp_path)
        assert done.returncode == 0, done.stderr
    assert "jit(vmap(scan)) by hand" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "throughput.png").exists()


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


def test_techniques_compared(tmp_path):
    done = experiment(
        "techniques_compared", "--preset", "smoke", "--only", "race", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "anytime.svg").read_bytes()
    assert experiment("techniques_compared", "--plot", tmp_path).returncode == 0
    assert (tmp_path / "anytime.svg").read_bytes() == drawn


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
