"""How are many networks trained at once? Orders are packed into blocks, an executor trains them, a store keeps the weights."""

from hpjax.population.finished_networks import Finished, Library
from hpjax.population.population import Population
from hpjax.population.regime import Regime
from hpjax.population.results import Results, empty_results

__all__ = ["Finished", "Library", "Population", "Regime", "Results", "empty_results"]
