"""The page of a run or a comparison: what it says, and that it needs nothing else."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import hpjax
from hpjax.report import write_page
from hpjax.report.html import page
from hpjax.report.study_page import calibration, rounded, study_page

SPACE = {
    "learning_rate": hpjax.LogUniform(1e-3, 1.0),
    "depth": hpjax.IntUniform(1, 2),
    "width_1": hpjax.LogIntUniform(4, 12),
    "width_2": hpjax.LogIntUniform(4, 12).when("depth", 2),
    "activation": hpjax.Choice(["relu", "tanh"]),
    "epochs": 6,
}
quiet = dict(say=lambda text: None, progress=False)


def data_of(path):
    """The numbers in a page."""
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.S).group(1))


def column(data, name):
    return next(column for column in data["columns"] if column["name"] == name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "run"
    rungs = hpjax.halving(((2, 12), (6, 4)))
    hpjax.tune(SPACE, "iris", scheduler=rungs, trials=12, metrics=["f1_macro"], out=folder, **quiet)
    return folder


def test_a_page_says_what_the_run_says(run):
    result = hpjax.open_run(run)
    path = write_page(result, run / "page.html")
    data = data_of(path)
    trials = result.trials
    assert data["trial"] == trials.index.tolist()
    np.testing.assert_allclose(column(data, "objective")["values"], trials["objective"], rtol=1e-4)
    np.testing.assert_allclose(column(data, "f1_macro")["values"], trials["f1_macro"], rtol=1e-4)
    np.testing.assert_allclose(
        column(data, "learning_rate")["values"], trials["learning_rate"].astype(float), rtol=1e-4
    )
    labels = column(data, "activation")["labels"]
    shown = [labels[code] for code in column(data, "activation")["values"]]
    assert shown == trials["activation"].tolist()
    inactive = [value is None for value in column(data, "width_2")["values"]]
    assert inactive == (trials["depth"].astype(int) == 1).tolist()
    status = column(data, "status")
    assert [status["labels"][code] for code in status["values"]] == trials["status"].tolist()
    assert f"trial {result.best['trial']}" in data["found"]
    assert "8 stopped early" in data["found"]
    assert {curve["trial"] for curve in data["curves"]} == set(trials.index)
    # the same numbers as Result.test gives
    assert data["network"]["scores"] == pytest.approx(result.test(), rel=1e-4)
    assert sum(map(sum, data["network"]["confusion"])) == len(result.task.test)
    assert sum(data["network"]["calibration"]["count"]) == len(result.task.test)
    facts = dict(data["facts"])
    assert facts["seed"] == "0"
    assert "jax" in facts["versions"]
    assert re.match(r"\d+ % of the arithmetic", facts["padding"])


def test_a_page_needs_no_network(run):
    text = write_page(hpjax.open_run(run), run / "page.html", refit=False).read_text()
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!data:)", text)
    assert data_of(run / "page.html")["network"] is None


def test_the_same_run_gives_the_same_page(run):
    pages = [write_page(hpjax.open_run(run), run / f"{i}.html").read_bytes() for i in range(2)]
    assert pages[0] == pages[1]


def test_text_of_others_stays_text(tmp_path):
    evil = "</script><script>alert(1)</script>"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), np.array([evil, "<b>&"])[np.arange(60) % 2]
    result = hpjax.tune(
        {"learning_rate": hpjax.LogUniform(1e-3, 0.1), "epochs": 2}, (x, y), trials=3, **quiet
    )
    path = write_page(result, tmp_path / "page.html")
    assert path.read_text().count("</script>") == 2  # the data's, and the page's own
    assert evil in data_of(path)["network"]["labels"]


def test_a_metric_that_should_be_large_is_shown_as_it_is(tmp_path):
    result = hpjax.tune(
        {"learning_rate": hpjax.LogUniform(1e-3, 0.1), "epochs": 3},
        "iris",
        trials=4,
        objective="f1_macro",
        **quiet,
    )
    data = study_page(result, refit=False)
    assert data["greater"]
    assert data["objective"] == "f1_macro"
    np.testing.assert_allclose(
        column(data, "objective")["values"], result.trials["f1_macro"], rtol=1e-4
    )
    last = [curve["value"][-1] for curve in data["curves"]]
    np.testing.assert_allclose(last, column(data, "objective")["values"], atol=1e-3)
    assert data["incumbent"]["value"][-1] == max(column(data, "objective")["values"])


def test_studies_without_anything_to_say(tmp_path):
    nothing = hpjax.tune(
        {"learning_rate": hpjax.LogUniform(1e20, 1e25), "optimizer": "sgd", "epochs": 2},
        "diabetes",
        trials=3,
        **quiet,
    )
    assert nothing.best["trial"] is None
    data = study_page(nothing)
    assert "No trial was trained to the end" in data["found"]
    assert "why" in data["importance"]
    assert "why" in data["network"]
    page(data)
    one = hpjax.tune({"hidden": (4,), "epochs": 2}, "xor", search=[{}], **quiet)
    assert study_page(one)["network"]["why"] == "the task holds no rows out for a test"
    function = hpjax.minimize(lambda p: p["x"] ** 2, {"x": hpjax.Uniform(-1, 1)}, trials=20)
    data = study_page(function)
    assert data["fidelity"] is None
    assert data["curves"] == []
    assert data["network"] is None
    page(data)


def test_a_network_that_cannot_be_trained_again_is_said(tmp_path):
    rng = np.random.default_rng(0)
    task = (rng.normal(size=(40, 2)), np.arange(40) % 2)
    space = {"learning_rate": hpjax.LogUniform(1e-3, 0.1), "epochs": 2}
    hpjax.tune(space, task, trials=3, out=tmp_path / "run", **quiet)
    data = study_page(hpjax.open_run(tmp_path / "run"))
    assert "give them again: task=(x, y)" in data["network"]["why"]
    assert len(data["trial"]) == 3


def test_of_many_trials_the_best_are_there_and_a_sample(monkeypatch):
    monkeypatch.setattr("hpjax.report.study_page.ROWS", 60)
    result = hpjax.minimize(lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=90)
    data = study_page(result)
    assert data["total"] == 90
    assert len(data["trial"]) == 60
    assert set(result.ranking[:30]) <= set(data["trial"])
    assert {len(column["values"]) for column in data["columns"]} == {60}
    best = np.sort(result.table["objective"])
    np.testing.assert_allclose(
        data["limits"], best[[8, 22, 44, 67]], rtol=1e-4
    )  # of all, not of the sample


def test_a_comparison(tmp_path):
    space = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 2}
    result = hpjax.compare(
        ["random", "sobol"],
        space,
        "iris",
        seeds=3,
        stop={"trials": 4},
        out=tmp_path / "run",
        **quiet,
    )
    path = write_page(hpjax.open_comparison(tmp_path / "run"), tmp_path / "page.html")
    data = data_of(path)
    assert [method["name"] for method in data["methods"]] == ["random", "sobol"]
    for i, method in enumerate(data["methods"]):
        np.testing.assert_allclose(method["final"], result.final[:, i], rtol=1e-4)
        assert all(
            a <= b <= c for a, b, c in zip(method["lower"], method["median"], method["upper"])
        )
    assert "jax" in dict(data["facts"])["versions"]


@pytest.mark.slow
def test_the_command_line(run, tmp_path):
    def command(*words):
        return subprocess.run(
            [sys.executable, "-m", "hpjax", "report", *map(str, words)],
            capture_output=True,
            text=True,
        )

    done = command(run, "--out", tmp_path / "a.html", "--no-refit")
    assert done.returncode == 0, done.stderr
    assert "a.html (0.0" in done.stdout
    assert data_of(tmp_path / "a.html")["kind"] == "study"
    for words, message in (
        ([tmp_path], "no run in"),
        ([run, "--out", run / "run.json" / "a.html", "--no-refit"], "run.json"),
    ):
        done = command(*words)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_calibration_counts_every_prediction():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.2, 1.0, 500)
    right = rng.random(500) < confidence
    found = calibration(confidence, right)
    assert sum(found["count"]) == 500
    weight = np.array(found["count"])
    assert weight @ np.array(found["right"]) / 500 == pytest.approx(right.mean(), abs=1e-3)
    assert weight @ np.array(found["confidence"]) / 500 == pytest.approx(
        confidence.mean(), abs=1e-3
    )
    assert calibration(np.ones(3), np.ones(3, bool))["count"] == [3]


def test_numbers_are_json():
    assert rounded([1 / 3, np.inf, np.nan, 1e-300]) == [0.33333, None, None, 1e-300]
