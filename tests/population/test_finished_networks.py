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
