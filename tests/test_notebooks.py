"""What a notebook shows of an object: its words and its table, and no markup of others."""

import sys
import types
from functools import partial

import numpy as np
import pandas
import pytest

import hpjax
from hpjax import notebooks, watching

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


class Handle:
    """What IPython's `display` returns: remembers what it was told to show."""

    def __init__(self, seen):
        self.seen = seen

    def update(self, shown):
        self.seen.append(shown._repr_html_())


def test_a_bar_in_a_notebook_grows_and_goes(monkeypatch):
    seen = []
    monkeypatch.setattr(watching, "in_notebook", lambda: True)
    bar = partial(notebooks.NotebookBar, lambda shown: Handle(seen))
    monkeypatch.setattr(watching, "NotebookBar", bar)
    hpjax.tune(SPACE, "iris", trials=6, batch=2, say=quiet["say"])
    shares = [float(text.split('value="')[1].split('"')[0]) for text in seen if text]
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 1
    assert any("compiling program 1 of 1" in text for text in seen)
    assert any("6/6 trials" in text and "networks/s" in text for text in seen)
    assert seen[-1] == ""


def test_a_kernel_makes_a_notebook_and_an_import_does_not(monkeypatch):
    shell = types.SimpleNamespace(kernel=object())
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert notebooks.in_notebook()
    shell.kernel = None
    assert not notebooks.in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert not notebooks.in_notebook()


def test_a_bar_shows_no_markup_of_others():
    bar = notebooks.NotebookBar(lambda shown: Handle([]))
    bar.add_task("a<b>", best="x & y")
    assert "a&lt;b&gt;" in bar._repr_html_()
    assert "x &amp; y" in bar._repr_html_()
