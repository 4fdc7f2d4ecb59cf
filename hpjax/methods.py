"""The field's named methods, products of a search and a scheduler.

`bohb` models all dimensions together, as BOHB does, with `tpe`'s own default model; the paper's (`tpe(dims, model="bohb")`: Scott's
bandwidths, candidates three times wider, a third of the points random) did worse here, see results/LOG.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from hpjax.schedulers import Scheduler, full, hyperband, pbt
from hpjax.search import Searcher, differential, gradient, random, tpe


class Method(NamedTuple):
    """Where to look, and how long networks live that may live `epochs` at most."""

    search: Callable[..., Searcher]
    scheduler: Callable[[int], Scheduler]  # epochs -> Scheduler


METHODS = {
    "hyperband": Method(random, hyperband),
    "bohb": Method(tpe, hyperband),
    "dehb": Method(
        functools.partial(
            differential, strategy="rand1", scale=(0.5, 0.5), crossover=0.5, per_fidelity=True
        ),
        functools.partial(hyperband, promote="fresh"),
    ),
    "gradient": Method(gradient, full),
    "gradient_renewed": Method(
        functools.partial(gradient, accept=False), functools.partial(full, renew=True)
    ),
    "pbt": Method(random, lambda epochs: pbt(epochs=epochs, every=max(1, epochs // 10))),
}
