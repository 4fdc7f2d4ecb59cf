"""Which networks of finished trials are kept, and that each is the one of its trial."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpjax.population.finished_networks import FinishedTrials, Library

LOSSES = st.lists(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, np.nan, np.inf]), max_size=5), max_size=6
)


def batches(losses):
    """Trials 0, 1, ... of some losses, each with one network of one number: that of its trial."""
    first = 0
    spec: Any = None
    for loss in losses:
        trials = np.arange(first, first + len(loss))
        first += len(loss)
        weights = trials[:, None, None].astype(np.float32)
        yield FinishedTrials(trials, spec, {"l2": trials * 1.0}, weights, (), np.array(loss, float))


def best_first(losses):
    flat = np.array([value for loss in losses for value in loss])
    order = np.argsort(flat, kind="stable").tolist() if len(flat) else []
    return [trial for trial in order if np.isfinite(flat[trial])]


@given(LOSSES, st.integers(1, 4))
def test_of_what_is_elsewhere_the_best_are_brought(losses, count):
    library = Library(count=count)
    for batch in batches(losses):
        library.add(batch.only(library.wanted(batch.loss)))
    assert set(library) == set(best_first(losses)[:count])
    for trial, one in library.items():
        assert one.params.tolist() == [[trial]]
        assert one.config["l2"] == trial


@given(LOSSES, st.integers(0, 8))
def test_of_what_is_here_the_best_are_kept(losses, most):
    library = Library(most=4 * most)
    for batch in batches(losses):
        library.add(batch)
    assert set(library) == set(best_first(losses)[:most])
    assert library.held == 4 * len(library)
    assert all(one.params.tolist() == [[trial]] for trial, one in library.items())


def test_what_all_trials_share_is_held_once():
    spec: Any = None
    config = {"beta1": np.full(1000, 0.9), "l2": np.arange(1000.0), "eps": np.full((1000, 2), 1e-8)}
    loss = np.linspace(0, 1, 1000)
    library = Library()
    library.add(FinishedTrials(np.arange(1000), spec, config, np.zeros((1000, 1, 1)), (), loss))
    held = library.parts[0].config
    assert {name: held[name].strides[0] for name in held} == {"beta1": 0, "l2": 8, "eps": 0}
    for name, leaf in config.items():
        np.testing.assert_array_equal(held[name], leaf)
    config["beta1"][0] = 0.5
    assert library[0].config["beta1"] == 0.9
