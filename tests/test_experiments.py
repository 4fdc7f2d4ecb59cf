"""Experiments run at their smoke preset, redraw the same bytes, and refuse what they do not know."""

import dataclasses
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hpjax
from hpjax import plots

ROOT = Path(__file__).parent.parent
if (ROOT / "experiments").exists():
    from experiments import _experiment
NAMES = sorted(path.stem for path in (ROOT / "experiments").glob("[a-z]*.py"))
pytestmark = pytest.mark.skipif(
    not (ROOT / "experiments").exists(), reason="runs in a checkout, which has the experiments"
)
FREE = {
    "pbt_toy": "toy", "asynchronous_halving": "race", "long_ledger": "seconds", "low_discrepancy": "hits", "grid_beside_random": "nine", "learning_rate_effect": "rates",
    "trainability_boundary": "boundary", "hypergradient_cost": "cost", "backprop_steps": "epoch1", "finite_differences": "differences",
    "exploding_gradients": "exploding", "initialisation": "histograms", "capacity_effect": "capacity", "activation_effect": "training",
    "optimizers_compared": "optimizers", "bayesian_steps": "steps", "hyperband_steps": "brackets", "pbt_schedule": "schedule", "bohb_dehb": "regret",
}  # fmt: skip
STORED = {
    "double_descent": "descent", "vanishing_gradients": "norms", "metalearn_rate": "rates", "many_starts": "starts",
    "hypergradient_chaos": "chaos", "learned_schedule": "schedule", "mup_transfer": "rates", "overfitting_cures": "cures",
    "epochs_and_early_stopping": "epochs", "batch_size_effect": "batches", "dropout_curves": "dropout", "random_efficiency": "efficiency",
    "several_objectives": "tables", "unseen_tables": "developed", "published_table": "again", "hyperband_compared": "compared", "fcnet_tables": "retrained", "tables": "tables",
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
    for part in ("evolution", "noise", "handicap", "valley", "counting"):
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


def experiment_of(name):
    return importlib.import_module(f"experiments.{name}").EXPERIMENT


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_is_one(name):
    """Its module's name, three presets of one kind; parameters that are read; parts and figures that are there."""
    found = experiment_of(name)
    assert found.name == name
    assert list(found.presets) == ["smoke", "small", "paper"]
    assert len({type(parameters) for parameters in found.presets.values()}) == 1
    text = (ROOT / "experiments" / f"{name}.py").read_text()
    for parameter in found.parameters:
        assert re.search(rf"\b(parameters|p)\.{parameter}\b", text), parameter
    assert set(found.on_request) < set(found.parts)


SLOW = ("trainability_boundary",)  # to judge


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in NAMES]
)
def test_committed_verdicts_are_those_of_the_committed_numbers(name):
    folder = ROOT / "results" / name
    found = experiment_of(name)
    judged = [c.written() for c in found.criteria(_experiment.Numbers(folder, found.parts))]
    kept = json.loads((folder / "criteria.json").read_text())
    assert [c["name"] for c in judged] == [c["name"] for c in kept]
    for mine, theirs in zip(judged, kept):
        assert mine == theirs | {"value": mine["value"]}
        assert mine["value"] == pytest.approx(theirs["value"], rel=1e-9, abs=1e-12)


def unsaved(folder, drawn):
    """A sheet that takes note of figures and tables, and keeps none."""
    from matplotlib import pyplot

    class Unsaved(_experiment.Sheet):
        def figure(self, figure, name):
            figure.canvas.draw()
            pyplot.close(figure)
            drawn.append(name)

        def table(self, name, header, rows):
            width = len(list(header))
            assert all(len(list(row)) == width for row in rows)
            drawn.append(name)

        def json(self, name, value):
            drawn.append(name)

    return Unsaved(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_committed_numbers_are_drawn(tmp_path, name):
    """As `--plot` does: what lies in results/ fits the code that draws it."""
    found, drawn = experiment_of(name), []
    found.draw(_experiment.Numbers(ROOT / "results" / name, found.parts), unsaved(tmp_path, drawn))
    assert drawn


@dataclasses.dataclass(frozen=True)
class Toy:
    """What can be chosen."""

    points: int  # of a line
    data: Path | None = None


def toy(**more):
    """A whole experiment: a line with an array of its own, and a part on request."""
    ran = []

    def line(parameters):
        ran.append("line")
        return {"y": np.arange(parameters.points, dtype=np.float16), "twice": [0.5, float("inf")]}

    def extra(parameters):
        ran.append("extra")
        return [parameters.points]

    def draw(numbers, sheet):
        made, ax = plots.figure(1, 1)
        ax.plot(numbers["line"]["y"])
        sheet.figure(made, "line")
        sheet.table("line", ["y"], [[y] for y in numbers["line"]["y"]])

    criteria = lambda numbers: [_experiment.Criterion("points", len(numbers["line"]["y"]), 5)]
    presets = {name: Toy(points) for name, points in (("smoke", 2), ("small", 4), ("paper", 8))}
    parts = {"line": line, "extra": extra}
    return ran, _experiment.Experiment("toy", presets, parts, draw, criteria, ("extra",), **more)


@pytest.mark.slow
def test_an_experiment_runs_draws_and_judges(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran, found = toy()
    call = lambda *words: _experiment.main(found, list(words))
    call("--preset", "smoke")
    assert "not judged" in capsys.readouterr().out
    assert not Path("runs/toy-smoke/criteria.json").exists()
    call()
    assert "FAILS: points = 4 (>= 5)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        call("--check")
    assert caught.value.code == 1
    call("--points", "6", "--data", "somewhere")
    assert "holds: points = 6 (>= 5)" in capsys.readouterr().out
    folder = Path("runs/toy")
    run = json.loads((folder / "run.json").read_text())
    assert run["changed"] == {"points": 6}  # where the data lie is no matter
    assert "somewhere" not in (folder / "run.json").read_text()
    numbers = _experiment.read(folder, "line")
    assert numbers["y"].dtype == np.float16
    assert numbers["twice"] == [0.5, float("inf")]
    drawn = (folder / "line.svg").read_bytes()
    call("--plot", "runs/toy")
    assert (folder / "line.svg").read_bytes() == drawn
    assert ran == ["line"] * 4
    call("--only", "extra", "--points", "9")
    assert ran[-1] == "extra"
    run = json.loads((folder / "run.json").read_text())
    assert (run["changed"], run["parts"]["extra"]["changed"]) == ({"points": 6}, {"points": 9})
    call()
    run = json.loads((folder / "run.json").read_text())
    assert (run["changed"], run["parts"]["extra"]["changed"]) == ({}, {"points": 9})
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "x"], "--only 'x' is none of line, extra"),
        (["--plot", "x", "--points", "3"], "leave --points out"),
        (["--plot", "x", "--only", "line"], "leave --only out"),
        (["--plot", "x"], "x holds no results"),
        (["--points", "0"], "--points must be at least 1, got 0"),
        (["--only", "extra"], "line.json is missing; run the experiment before drawing it"),
        (["--preset", "smoke", "--check"], "a smoke run is too small to be judged"),
        (["--seeds", "3"], "unrecognized options: --seeds"),
    ],
)
def test_flags_that_contradict_are_refused(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        _experiment.main(toy()[1], words)
    assert caught.value.code == 2
    assert message.lower() in capsys.readouterr().err.lower()


@pytest.mark.slow
def test_refusals_and_the_list(tmp_path):
    done = experiment("digits_notebook", "--only", "tpe", "--out", tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr == "experiments.digits_notebook: --only 'tpe' is none of grid, random, bayes\n"
    )
    done = experiment("throughput", "--plot", tmp_path)
    assert done.returncode == 2
    assert "holds no results" in done.stderr
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


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFAULT)
def test_one_of_each_family(name, tmp_path):
    smoke(name, FREE[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FREE if name not in DEFAULT])
def test_figures(name, tmp_path):
    smoke(name, FREE[name], tmp_path)


@pytest.mark.slow
@pytest.mark.skipif("HPJAX_DATA" not in os.environ, reason="needs stored data: set HPJAX_DATA")
@pytest.mark.parametrize(("name", "part"), [*STORED.items(), ("several_objectives", "naval")])
def test_figures_of_stored_data(name, part, tmp_path):
    smoke(name, part, tmp_path)


@pytest.mark.slow
def test_the_script_for_an_accelerator(tmp_path):
    """On this machine's device: forty lines at most."""
    done = experiment("contenders.accelerator", "--preset", "smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert any("float32, products highest: losses off by" in line for line in lines)
    assert any(line.startswith("2-4-1 networks:") for line in lines)
    assert sum("by hand" in line for line in lines) == 2


def test_with_noise_the_point_of_the_lowest_mean_is_judged():
    from experiments._objectives import Problem, Seen, best_by_mean, watched, with_noise

    often, steady = ("often",), ("steady",)
    seen = Seen([often, steady, often, steady, often, steady], [2.0, 1.5, 2.0, 1.5, 2.0, 1.5])
    assert best_by_mean(np.array([1.0, 1.5, 3.0, 1.5, 3.0, 1.5]), seen).tolist() == [
        2.0, 2.0, 1.5, 1.5, 1.5, 1.5,
    ]  # fmt: skip

    space = {"x": hpjax.Uniform(0.0, 1.0)}
    problem = with_noise(Problem(space, lambda point: point["x"], 0.0, 10))
    noisy, seen = watched(problem, 3)
    point = {"x": np.linspace(0, 1, 500)}
    observed = noisy.loss(point)
    assert seen.truths == point["x"].tolist()
    assert 0.04 < np.std(observed - point["x"]) < 0.06  # a tenth of the interquartile range, 0.5
    again, _ = watched(problem, 3)
    np.testing.assert_array_equal(again.loss(point), observed)

    inactive, seen = watched(problem._replace(loss=lambda point: np.zeros(3)), 3)
    inactive.loss({"x": np.array([np.nan, 0.5, np.nan]), "y": np.array(["a", "b", "a"])})
    assert seen.points == [(None, "a"), (0.5, "b"), (None, "a")]
