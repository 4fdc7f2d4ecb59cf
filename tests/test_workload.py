"""What studies share before they train: how often networks are scored."""

import numpy as np
import pytest

import hpjax
from hpjax.tasks import Task

SPACE = {"hidden": (2,), "epochs": 30}


def quiet(text):
    """Says nothing."""


def rows_scored(validation, space=SPACE, task="iris"):
    """Epochs of a trial's learning curve."""
    found = hpjax.tune(space, task, search=[{}], validation=validation, say=quiet)
    return found.curves["epoch"].dropna().tolist()


@pytest.mark.parametrize(
    ("validation", "every"), [(1, 1), (5, 1), (4, 1), (3, 2), (2, 3), ({"folds": 2}, 3)]
)
def test_scoring_takes_no_more_than_a_tenth_of_the_arithmetic(validation, every):
    """A validation part as large as the training part costs a third of an epoch."""
    assert rows_scored(validation) == list(range(every, 31, every))


def test_who_says_how_often_is_heard():
    assert rows_scored({"folds": 2, "score_every": 1}) == list(range(1, 31))
    assert rows_scored({"folds": 2, "score_every": 7}) == [*range(7, 30, 7), 30]
    assert rows_scored({"folds": 2, "score_every": None}) == list(range(3, 31, 3))


def test_patience_counts_epochs_whatever_scoring_costs():
    assert rows_scored(2, SPACE | {"patience": 50}) == list(range(1, 31))


def test_a_whole_training_is_scored_ten_times_at_least():
    x = np.random.default_rng(0).normal(size=(200, 2))
    task = Task.of(x, (x[:, 0] > 0).astype(int), test=0)
    few = [(np.arange(10), np.arange(10, 200))]
    assert rows_scored({"folds": few}, SPACE | {"batch_size": 5}, task) == list(range(3, 31, 3))
    assert rows_scored(2, SPACE | {"epochs": 19}) == list(range(1, 20))
