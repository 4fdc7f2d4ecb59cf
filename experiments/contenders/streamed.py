"""One epoch of networks on a large task, held by the devices or by the host: HOW (devices or host), EXAMPLES, FEATURES, NETWORKS, WIDTH and
BATCH; prints JSON."""

import json
import resource
import sys
import time

import numpy as np

import hpjax


def task_of(examples: int, features: int) -> hpjax.Task:
    """Numbers, and a noisy function of them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((examples, features))
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]
    y += 0.1 * rng.standard_normal(examples)
    return hpjax.Task.of(x, y, kind="numbers", test=0)


if __name__ == "__main__":
    how = sys.argv[1]
    examples, features, networks, width, batch = map(int, sys.argv[2:])
    task = task_of(examples, features)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    common = {"hidden": (width, width), "batch_size": batch}
    configs = [common | {"learning_rate": r} for r in np.geomspace(1e-3, 1e-2, networks).tolist()]

    def run() -> tuple[float, float, float]:
        """Seconds of all, of training, and the loss."""
        started = time.perf_counter()
        made = hpjax.train(configs, task, 1, stream=how == "host", say=lambda text: None)
        seconds = time.perf_counter() - started
        return seconds, made.population.run_seconds, float(made.table["loss"].median())

    first = run()
    again = run() if examples <= 10**6 else first  # without compiling
    numbers = {
        "seconds": again[0],
        "run_seconds": again[1],
        "loss": again[2],
        "loaded_mib": loaded,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(numbers))
