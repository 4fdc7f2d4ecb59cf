"""NSGA-II: a genetic algorithm of several objectives, by fronts and crowding.

Deb, Pratap, Agarwal & Meyarivan 2002, A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II. Children are made as `genetic` makes
them, by blend crossover in the place of the paper's simulated binary one.
"""

from __future__ import annotations

from hpjax.search.base import Dim, Searcher
from hpjax.search.genetic import genetic


def nsga2(dims: tuple[Dim, ...], population: int = 20) -> Searcher:
    """Children of the points on the first fronts, those that lie apart preferred; parents by tournaments of two.

    Args:
        dims: the dimensions of the space, D of them.
        population: how many of the best may be parents; the first `population` points are random.

    Returns:
        A Searcher of one objective or several, and of constraints: what breaks them is behind all that does not, the less the better.

    Example:
        >>> search = nsga2((Dim("continuous"),))
        >>> search.several, search.ask(search.init((0,)), (0,), 3, 1)[0].shape
        (True, (3, 1))
    """
    return genetic(dims, population=population, tournament=2)
