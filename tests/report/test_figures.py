"""Figures of runs and comparisons: drawn from disk, twice the same bytes, for every kind of study."""

import subprocess
import sys

import numpy as np
import pytest

import hpjax
from hpjax import analysis, plots, records, report
from hpjax.report.bayesian_step import step

SPACE = {
    "learning_rate": hpjax.LogUniform(1e-3, 1.0),
    "width_1": hpjax.LogIntUniform(4, 12),
    "activation": hpjax.Choice(["relu", "tanh"]),
    "epochs": 6,
}


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "hpjax", *map(str, words)], capture_output=True, text=True
    )


COMMON = {"figure", "pareto", "parallel", "slices", "importance", "dependence"}


@pytest.mark.parametrize(
    ("search", "drawn"),
    [
        pytest.param("bayes", {"process"}, marks=pytest.mark.slow),
        pytest.param("hyperband", {"rungs"}, marks=pytest.mark.slow),
        pytest.param("pbt", {"lineage"}, marks=pytest.mark.slow),
    ],
)
def test_every_figure_of_a_run_comes_out_the_same_twice(tmp_path, search, drawn):
    hpjax.tune(SPACE, "iris", search=search, trials=16, out=tmp_path / "run")
    result = hpjax.open_run(tmp_path / "run")
    made = report.figures(result, tmp_path / "run")
    # the members of a population cost all the same
    common = COMMON - {"pareto"} if search == "pbt" else COMMON
    assert {path.stem for path in made} == common | drawn
    first = [path.read_bytes() for path in made]
    again = report.figures(hpjax.open_run(tmp_path / "run"), tmp_path / "run")
    assert [path.read_bytes() for path in again] == first


def test_a_step_of_bayes_is_made_again_without_fitting(monkeypatch):
    space = {"x": hpjax.Uniform(0.0, 1.0), "y": hpjax.Uniform(0.0, 1.0)}
    found = hpjax.minimize(
        lambda p: (p["x"] - 0.3) ** 2 + p["y"], space, search="bayes", trials=14, batch=1
    )
    monkeypatch.setattr("hpjax.search.gaussian_process.fit", None)
    places = np.random.default_rng(0).random((300, 2))
    seen = step(found.records, found.space.dims, 13, places)
    assert seen.seen.shape == (13, 2)
    assert len(seen.mean) == len(seen.log_ei) == 300
    here = step(found.records, found.space.dims, 13, seen.proposed)
    assert here.log_ei[0] >= seen.log_ei.max() - 1e-6  # it proposed the highest
    with pytest.raises(ValueError, match="before there was a process"):
        step(found.records, found.space.dims, 0, places)
    with pytest.raises(ValueError, match="number 99 is none of them"):
        step(found.records, found.space.dims, 99, places)


def test_the_incumbent_counts_trials_one_after_another():
    rows = [
        {
            "kind": "report",
            "trial": [0, 1, 2],
            "source": [-1, -1, -1],
            "epochs": [2, 2, 2],
            "objective": [3.0, None, 1.0],
        },
        {"kind": "report", "trial": [2], "source": [2], "epochs": [6], "objective": [2.0]},
        {
            "kind": "report",
            "trial": [3],
            "source": [2],
            "epochs": [6],
            "objective": [0.5],
            "reached": [6],
        },
    ]
    cost, low, full = records.incumbent(rows, 6)
    assert cost.tolist() == [2, 4, 6, 10, 10]
    assert low.tolist() == [3, 3, 1, 1, 0.5]
    assert full.tolist() == [np.inf, np.inf, np.inf, 2, 0.5]
    assert analysis.at_costs(cost, full, np.array([9, 10]))[0] == np.inf


@pytest.mark.slow
def test_compare_show_resume_and_confirm_can_be_typed(tmp_path):
    out = tmp_path / "race"
    words = (
        "--methods",
        "random,hyperband",
        "--seeds",
        2,
        "--epochs",
        3,
        "--budget",
        4,
        "--out",
        out,
    )
    done = command("compare", "iris", *words)
    assert done.returncode == 0, done.stderr
    assert "hyperband" in done.stdout
    files = {path.name for path in out.iterdir()}
    assert {
        "anytime.png",
        "ranks.svg",
        "table.csv",
        "final.csv",
        "anytime.csv",
        "compare.json",
    } <= files
    before = (out / "anytime.svg").read_bytes()
    assert command("show", out).returncode == 0
    assert (out / "anytime.svg").read_bytes() == before
    ledger = out / "random" / "seed1" / "ledger.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert command("resume", out).returncode == 0
    assert ledger.read_bytes() == whole
    done = command("confirm", out / "random" / "seed0", "--top", 2, "--repeats", 2)
    assert done.returncode == 0, done.stderr
    assert "within noise of it" in done.stdout
    done = command("compare", "iris", "--methods", "random,nosuch")
    assert done.returncode == 2
    assert done.stderr.startswith("hpjax: search='nosuch' is none of")
    done = command("tune", "iris", "--search", "bohb", "--scheduler", "full")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_axes_are_saved_at_rounded_places_whatever_the_solver_leaves(tmp_path):
    made, axes = plots.figure(1, 2)
    drawn = axes[0].imshow(np.eye(3))
    made.colorbar(drawn, ax=axes[0])
    axes[1].set(xlabel="x", ylabel="a label that takes room")
    plots.save(made, tmp_path / "figure")
    for ax in made.axes:
        bounds = np.array(ax.get_position(original=True).bounds)
        np.testing.assert_allclose(bounds, bounds.round(6), atol=1e-12)


def test_figures_leave_the_style_of_the_session_alone(tmp_path):
    import matplotlib

    from hpjax import plots

    before = dict(matplotlib.rcParams), matplotlib.get_backend()
    with plots.house_style():
        figure, axes = plots.figure()
        axes.plot([1, 2])
        plots.save(figure, tmp_path / "line")
    assert (dict(matplotlib.rcParams), matplotlib.get_backend()) == before


def test_axes_of_one_name_are_written_in_one_way(tmp_path):
    from hpjax import plots

    made, (left, right) = plots.figure(1, 2)
    for axes, low in ((left, 1e-5), (right, 1e-3)):
        axes.plot([low, 1.0], [1.0, 2.0])
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
    plots.save(made, tmp_path / "figure")
    written = [[t.get_text() for t in axes.get_xticklabels()] for axes in (left, right)]
    assert all("10^{" in text for texts in written for text in texts if text)
