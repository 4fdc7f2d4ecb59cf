"""The field's named methods, products of a search and a scheduler.

`bohb` models all dimensions together, as BOHB does, with `tpe`'s own default model; the paper's (`tpe(dims, model="bohb")`: Scott's
bandwidths, candidates three times wider, a third of the points random) did worse here, see results/LOG.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from hpjax.schedulers import Scheduler, by_name, full, hyperband
from hpjax.search import Searcher, differential, gradient, random, tpe


class NamedMethod(NamedTuple):
    """Where to look, and how long networks live."""

    search: Callable[..., Searcher]
    scheduler: Callable[[int, int], Scheduler]  # (epochs that a network may live, eta) -> Scheduler


METHODS = {
    "hyperband": NamedMethod(random, hyperband),
    "bohb": NamedMethod(tpe, hyperband),
    "dehb": NamedMethod(
        functools.partial(
            differential, strategy="rand1", scale=(0.5, 0.5), crossover=0.5, per_fidelity=True
        ),
        functools.partial(hyperband, promote="fresh"),
    ),
    "gradient": NamedMethod(gradient, lambda epochs, eta: full(epochs)),
    "gradient_renewed": NamedMethod(
        functools.partial(gradient, accept=False), lambda epochs, eta: full(epochs, renew=True)
    ),
    "pbt": NamedMethod(random, lambda epochs, eta: by_name("pbt", epochs, eta)),
}
