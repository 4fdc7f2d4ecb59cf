"""What a notebook shows of an object: its words and its table, and no markup of others."""

import numpy as np
import pandas
import pytest

import hpjax

quiet = dict(say=lambda text: None, progress=False)
SPACE = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "hidden": (4,), "epochs": 2}


@pytest.fixture(scope="module")
def result():
    return hpjax.tune(SPACE, "iris", trials=3, **quiet)


def test_a_result_shows_its_best_trials(result):
    text = result._repr_html_()
    assert text.count("<tr") == 2 + 3  # columns, the name of the index, trials
    assert text.index(f"<th>{result.best['trial']}</th>") < text.index(
        f"<th>{result.ranking[1]}</th>"
    )
    assert "3 trials, best" in text


def test_networks_populations_and_functions_too(result):
    network = result.refit()
    assert "learning_rate: " in network._repr_html_()
    trained = hpjax.train([{"hidden": (4,)}], "iris", epochs=1, **quiet)
    assert "<table" in trained._repr_html_()
    function = hpjax.minimize(lambda p: p["x"], {"x": hpjax.Uniform(0, 1)}, trials=4)
    assert "<table" in function._repr_html_()
    comparison = hpjax.compare(["random"], SPACE, "iris", seeds=1, stop={"trials": 2}, **quiet)
    assert "random" in comparison._repr_html_()
    assert repr(comparison) == "<Comparison of random on 1 seeds>"


def test_text_of_others_is_escaped():
    frame = pandas.DataFrame({"<b>": [1.0, 2.0, np.nan, 4.0] * 5, "c": ["<i>", "x", "y", "z"] * 5})
    text = hpjax.Task.of(frame, ["<script>", "b"] * 10, "<evil>")._repr_html_()
    assert "<script>" not in text
    assert "<evil>" not in text
    assert "&lt;script&gt;" in text
