"""The field's named methods, products of a search and a scheduler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from hpjax.schedulers import Scheduler, hyperband, pbt
from hpjax.search import Searcher, differential, random, tpe


class Method(NamedTuple):
    """Where to look, and how long networks live that may live `epochs` at most."""

    search: Callable[..., Searcher]
    scheduler: Callable[[int], Scheduler]  # epochs -> Scheduler


METHODS = {
    "hyperband": Method(random, hyperband),
    "bohb": Method(functools.partial(tpe, model="bohb"), hyperband),
    "dehb": Method(
        functools.partial(differential, per_fidelity=True),
        functools.partial(hyperband, promote="fresh"),
    ),
    "pbt": Method(random, lambda epochs: pbt(epochs=epochs, every=max(1, epochs // 10))),
}
