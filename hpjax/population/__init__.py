"""How are many networks trained at once? Orders are packed into blocks, an executor trains them, a store keeps the weights."""

from hpjax.population.library import Finished, Library
from hpjax.population.population import Population, Results, nothing
from hpjax.population.regime import Regime

__all__ = ["Finished", "Library", "Population", "Regime", "Results", "nothing"]
