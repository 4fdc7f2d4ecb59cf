"""Where to look: one search a file, all of them ask/tell machines over the unit cube."""

from hpjax.search.base import Dim, Observations, Searcher
from hpjax.search.bayes import bayes
from hpjax.search.chain import chain
from hpjax.search.cmaes import cmaes
from hpjax.search.differential import differential
from hpjax.search.genetic import genetic
from hpjax.search.gradient import gradient
from hpjax.search.grid import grid
from hpjax.search.manual import manual
from hpjax.search.nsga2 import nsga2
from hpjax.search.optuna import optuna
from hpjax.search.random import random
from hpjax.search.sobol import sobol
from hpjax.search.tpe import tpe

SEARCHES = {  # those that need nothing but the dimensions
    made.__name__: made
    for made in (bayes, cmaes, differential, genetic, gradient, grid, nsga2, random, sobol, tpe)
}

__all__ = [
    "SEARCHES",
    "Dim",
    "Observations",
    "Searcher",
    "bayes",
    "chain",
    "cmaes",
    "differential",
    "genetic",
    "gradient",
    "grid",
    "manual",
    "nsga2",
    "optuna",
    "random",
    "sobol",
    "tpe",
]
