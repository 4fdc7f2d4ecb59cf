"""How are many networks trained at once? Orders are packed into blocks, an executor trains them, a store keeps the weights."""

from hpjax.population.population import Population, Results, nothing
from hpjax.population.regime import Regime

__all__ = ["Population", "Regime", "Results", "nothing"]
