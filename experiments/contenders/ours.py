"""hpjax: whole populations by `hpjax.train`, or one network after another."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments.contenders.sweep import About, Run, Sweep, digits

quiet = {"say": lambda text: None}


def asked(sweep: Sweep) -> tuple[list[dict[str, Any]], Any]:
    """Configurations of a sweep, and its task."""
    import hpjax
    from hpjax.tasks import Split

    x, y, x_valid, y_valid = digits()
    task = hpjax.Task.of(
        np.concatenate([x, x_valid]),
        np.concatenate([y, y_valid]),
        test=0,
        kind="classes",
        standardize=False,
    )
    fold = Split(np.arange(len(x)), np.arange(len(x), len(x) + len(x_valid)))
    common = {"hidden": sweep.hidden, "batch_size": sweep.batch, "init": "xavier"}
    rates = np.geomspace(5e-4, 2e-3, sweep.networks)
    configs = [common | {"learning_rate": float(rate)} for rate in rates]
    return configs, dataclasses.replace(task, folds=(fold,))


def hpjax_worker(sweep: Sweep, one_by_one: bool = False) -> tuple[Run, About]:
    """The reference sweep as one population; or its networks one at a time, on one core."""
    import jax

    import hpjax

    if one_by_one:
        jax.config.update("jax_num_cpu_devices", 1)
    configs, task = asked(sweep)
    parts = [[config] for config in configs] if one_by_one else [configs]
    latest = []

    def run() -> float:
        latest[:] = [hpjax.train(part, task, sweep.epochs, **quiet) for part in parts]
        return float(np.median([loss for one in latest for loss in one.table["loss"]]))

    def about() -> dict:
        population = latest[0].population
        return {
            "compile_seconds": population.compile_seconds,
            "chunk": population.programs[0].chunk,
            "devices": len(population.local_devices),
        }

    return run, about


def tiny_worker(sweep: Sweep) -> tuple[Run, About]:
    """2-4-1 networks on XOR, full batch of 4, scored once at the end; `sweep` holds how many and how long."""
    import hpjax

    common = {"hidden": (4,), "activation": "sigmoid", "optimizer": "sgd", "batch_size": 0}
    rates = np.geomspace(0.1, 1.0, sweep.networks)
    configs = [common | {"learning_rate": float(rate)} for rate in rates]
    validation = {"score_every": sweep.epochs}
    latest = []

    def run() -> float:
        latest[:] = [hpjax.train(configs, "xor", sweep.epochs, validation=validation, **quiet)]
        return float(latest[0].table["loss"].median())

    def about() -> dict:
        population = latest[0].population
        return {
            "compile_seconds": population.compile_seconds,
            "chunk": population.programs[0].chunk,
        }

    return run, about
