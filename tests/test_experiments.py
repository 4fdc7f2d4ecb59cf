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


def test_refusals_and_the_list(tmp_path):
    done = experiment("digits_notebook", "--only", "bayes", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "experiments.digits_notebook: --only 'bayes' is none of grid, random\n"
    done = experiment("throughput", "--plot", tmp_path)
    assert done.returncode == 2
    assert "holds no measurements" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "experiments"], cwd=ROOT, capture_output=True, text=True
    )
    assert "digits_notebook" in done.stdout
    assert "throughput" in done.stdout
