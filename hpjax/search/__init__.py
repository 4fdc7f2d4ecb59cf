"""Where to look: one search a file, all of them ask/tell machines over the unit cube."""

from hpjax.search.base import Dim, Searcher, Told
from hpjax.search.grid import grid
from hpjax.search.manual import manual
from hpjax.search.random import random

SEARCHES = {"random": random, "grid": grid}  # those that need nothing but the dimensions

__all__ = ["SEARCHES", "Dim", "Searcher", "Told", "grid", "manual", "random"]
