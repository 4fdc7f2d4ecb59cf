"""Searches and schedulers of users: what cannot be is refused before it is recorded."""

import numpy as np
import pytest

import hpjax
from hpjax import search
from hpjax.schedulers import Order, full
from hpjax.schedulers.base import Scheduler

SPACE = {"n": hpjax.IntUniform(1, 4), "x": hpjax.Uniform(0.0, 1.0)}
PROPOSED = {
    "below": (lambda n: np.full((n, 2), -1.5), "proposed -1.5 in dimension 0"),
    "above": (lambda n: np.full((n, 2), 1.5), "proposed 1.5 in dimension 0"),
    "nan": (lambda n: np.full((n, 2), np.nan), "proposed nan in dimension 0"),
    "complex": (lambda n: np.full((n, 2), 0.5j), "array of complex128"),
    "text": (lambda n: np.full((n, 2), "a"), "array of <U1"),
    "narrow": (lambda n: np.full((n, 1), 0.5), r"real numbers \[n 2\] are needed"),
    "flat": (lambda n: np.full(n, 0.5), r"real numbers \[n 2\] are needed"),
    "many": (lambda n: np.full((n + 1, 2), 0.5), "proposed 5 points when asked for at most 4"),
}


@pytest.mark.parametrize("name", PROPOSED)
def test_points_that_cannot_be_are_refused_and_not_recorded(tmp_path, name):
    proposed, message = PROPOSED[name]

    def made(dims):
        return search.random(dims)._replace(
            ask=lambda state, key, n, fidelity: (proposed(n), state)
        )

    with pytest.raises(ValueError, match=message):
        hpjax.minimize(lambda p: p["x"], SPACE, search=made, trials=4, out=tmp_path / "run")
    assert (tmp_path / "run" / "ledger.jsonl").read_bytes().count(b"\n") == 1  # the plan


def changed(**columns):
    """A scheduler whose orders have other columns than they should."""

    def scheduler() -> Scheduler:
        plain = full(3)

        def ask(state, key):
            order, state = plain.ask(state, key)
            return (
                None
                if order is None
                else order._replace(**{n: f(order) for n, f in columns.items()})
            ), state

        return plain._replace(ask=ask)

    return scheduler


ORDERED = {
    "epochs below 1": (changed(epochs=lambda o: o.epochs * 0 - 2), "trains until epoch -2"),
    "epochs beyond": (changed(epochs=lambda o: o.epochs + 1), "trains until epoch 4, outside 1 to"),
    "epochs broken": (changed(epochs=lambda o: o.epochs * 1.0), "epochs of float64"),
    "unknown trial": (changed(trial=lambda o: o.trial + 90), "names trial 90, which was never"),
    "twice": (changed(trial=lambda o: o.trial * 0), "has a trial twice"),
    "unknown source": (changed(source=lambda o: o.trial), "names source 0, which is finished or"),
    "short": (changed(seed=lambda o: o.seed[:1]), "columns of unequal length"),
    "negative seed": (changed(seed=lambda o: o.seed - 1), "negative seed"),
    "nan point": (changed(unit=lambda o: o.unit * np.nan), "the scheduler proposed nan"),
    "no order": (
        lambda: full(3)._replace(ask=lambda state, key: ({"trial": [0]}, state)),
        "must give an Order",
    ),
    "huge seed": (changed(seed=lambda o: o.seed + 2**33), "beyond 2"),
    "no trials": (changed(trial=lambda o: o.trial[:0]), r"whole numbers \[n\] are needed"),
}


@pytest.mark.parametrize("name", ORDERED)
def test_orders_that_cannot_be_are_refused_and_not_recorded(tmp_path, name):
    scheduler, message = ORDERED[name]
    with pytest.raises(ValueError, match=message):
        hpjax.minimize(
            lambda p, epochs: p["x"], SPACE, scheduler=scheduler(), trials=4, out=tmp_path / "run"
        )
    assert b"report" not in (tmp_path / "run" / "ledger.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (lambda order: order.trial + 50, "each ends once"),
        (lambda order: np.concatenate([order.trial, order.trial]), "each ends once"),
        (lambda order: order.trial * 1.5, "trial numbers"),
    ],
)
def test_endings_that_cannot_be_are_refused(done, message):
    plain = full(3)
    scheduler = plain._replace(tell=lambda state, order, losses: (state, done(order)))
    with pytest.raises(ValueError, match=message):
        hpjax.minimize(lambda p, epochs: p["x"], SPACE, scheduler=scheduler, trials=4)


def test_an_order_may_hold_lists_of_numbers():
    plain = full(3)

    def ask(state, key):
        order, state = plain.ask(state, key)
        return (
            None if order is None else Order(*(np.asarray(c).tolist() for c in order[:5]))
        ), state

    found = hpjax.minimize(
        lambda p, epochs: p["x"], SPACE, scheduler=plain._replace(ask=ask), trials=4
    )
    assert len(found.trials) == 4
