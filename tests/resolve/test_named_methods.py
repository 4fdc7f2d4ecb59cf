"""Searches and schedulers by name: every method with every scheduler."""

import pytest

from hpjax import schedulers
from hpjax.methods import METHODS
from hpjax.resolve import as_scheduler
from hpjax.schedulers import ETA, by_name

NAMES = ("asha", "full", "halving", "hyperband", "median", "pbt")
DIVIDING = ("asha", "halving", "hyperband")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_itself_or_refused(method, name):
    usual = METHODS[method].scheduler(9, ETA)
    assert as_scheduler(method, None, 9).settings == usual.settings
    if name == usual.name:
        assert as_scheduler(method, name, 9).settings == usual.settings
    else:
        with pytest.raises(ValueError, match=f"{method} is a search with {usual.name}"):
            as_scheduler(method, name, 9)


@pytest.mark.parametrize("search", ["random", *METHODS])
@pytest.mark.parametrize("name", [None, *NAMES])
def test_eta_acts_or_is_refused(search, name):
    usual = METHODS[search].scheduler(9, ETA).name if search in METHODS else name or "full"
    name = name if search not in METHODS else None
    if usual in DIVIDING:
        assert as_scheduler(search, name, 9, eta=2, trials=8).brackets != (
            as_scheduler(search, name, 9, trials=8).brackets
        )
    else:
        with pytest.raises(ValueError, match="eta=2 acts on halving, asha and hyperband"):
            as_scheduler(search, name, 9, eta=2)


def test_dehb_breeds_afresh_by_any_of_its_names():
    for scheduler in (None, "hyperband"):
        assert as_scheduler("dehb", scheduler, 27, eta=2).settings == {
            "name": "hyperband",
            "epochs": 27,
            "eta": 2,
            "promote": "fresh",
        }
    assert as_scheduler("gradient_renewed", "full", 5).settings["renew"]


def test_a_scheduler_that_was_made():
    made = schedulers.hyperband(9, promote="live")
    assert as_scheduler("dehb", made, 20) is made
    with pytest.raises(ValueError, match="ends at epoch 9"):
        as_scheduler("random", made, 20, epochs=27)
    with pytest.raises(ValueError, match="made with its own"):
        as_scheduler("random", made, 20, eta=3)
    with pytest.raises(ValueError, match="bohb is a search with hyperband"):
        as_scheduler("bohb", schedulers.full(9), 20)


@pytest.mark.parametrize("name", NAMES)
def test_schedulers_by_name_end_where_they_should(name):
    for epochs in (1, 7, 40):
        scheduler = by_name(name, epochs)
        assert scheduler.name == name
        assert scheduler.fidelity == epochs
        assert scheduler.settings == schedulers.from_settings(scheduler.settings).settings
