"""Host overhead and memory of TRIALS random trials of tiny networks, ledger in FOLDER included; prints JSON."""

import json
import resource
import sys
import time

import hpjax

SPACE = {
    "hidden": (4,),
    "activation": "sigmoid",
    "optimizer": "sgd",
    "batch_size": 0,
    "epochs": 50,
    "learning_rate": hpjax.LogUniform(0.1, 1.0),
    "momentum": hpjax.Uniform(0.0, 0.9),
}

if __name__ == "__main__":
    trials, folder = int(sys.argv[1]), sys.argv[2]
    started = time.perf_counter()
    result = hpjax.tune(SPACE, "xor", trials=trials, validation={"score_every": 50}, out=folder)
    seconds = time.perf_counter() - started
    population = result.population
    numbers = {
        "trials": trials,
        "seconds": seconds,
        "compile_seconds": population.compile_seconds,
        "run_seconds": population.run_seconds,
        # compiling among it, which takes place beside other work
        "host_seconds": seconds - population.run_seconds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "best": result.best["loss"],
    }
    print(json.dumps(numbers))
