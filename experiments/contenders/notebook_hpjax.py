"""The course's grid by hpjax, a whole process: MODE (cold, or warm: with the cache of compiled programs) and PRESET."""

import sys

import hpjax
from experiments.digits_notebook import PRESETS, digits, grid
from hpjax import program_cache

if __name__ == "__main__":
    mode, preset = sys.argv[1:]
    parameters = {str(name): parameters for name, parameters in PRESETS.items()}[preset]
    if mode == "cold":
        program_cache.switch_off()
    result = hpjax.tune(grid(parameters), digits(), search="grid", validation=3, seed=42)
    population = result.population
    print(
        result.best["loss"],
        population.compile_seconds,
        population.run_seconds,
        len(population.compiled),
    )
