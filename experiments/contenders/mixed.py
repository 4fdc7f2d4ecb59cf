"""A sweep of many shapes: HOW (planned, or exact: a program for every shape), TRIALS and EPOCHS; prints JSON."""

import json
import sys
import time

import hpjax
from hpjax import configurations
from hpjax.population import plan

if __name__ == "__main__":
    how, trials, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if how == "exact":
        plan.COMPILE = 0.0  # programs cost nothing: every shape gets its own
    space = {
        "width_1": hpjax.LogIntUniform(16, 256),
        "width_2": hpjax.LogIntUniform(16, 256),
        "epochs": epochs,
        "activation": hpjax.Choice(["relu", "tanh"]),
        "learning_rate": hpjax.LogUniform(1e-4, 1e-2),
    }
    started = time.perf_counter()
    result = hpjax.tune(space, "digits", trials=trials)
    seconds = time.perf_counter() - started
    population = result.population
    columns = {name: result.trials[name].tolist() for name in population.space.names}
    columns |= {name: [value] * trials for name, value in population.space.constants.items()}
    groups = configurations.split(columns, population.regime.target, population.regime.family)
    shares = [len(group.rows) / trials for group in groups]
    numbers = {
        "seconds": seconds,
        "programs": len(population.compiled),
        "padding": plan.waste(population.programs, [group.spec for group in groups], shares),
        "compile_seconds": population.compile_seconds,
        "run_seconds": population.run_seconds,
        "loss": result.best["loss"],
    }
    print(json.dumps(numbers))
