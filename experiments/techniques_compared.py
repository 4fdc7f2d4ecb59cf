"""The course's comparison on digits, at equal cost in epochs: guesses, grid, random, Bayesian, Hyperband, evolution, gradients.

    python -m experiments.techniques_compared
    python -m experiments.techniques_compared --only cost

race  all methods x seeds as one population: table, anytime curves, ranks, critical difference
cost  seven methods x ten seeds: the comparison's time against the same studies one after another; alone, on an idle machine

Every study may cost 1,080 epochs: 40 networks that live to the end (27 epochs). Initial weights, minibatches and the
validation fold change with the seed and are the same for all methods.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

EPOCHS = 27
SEARCHES = (
    "grid",
    "random",
    "bayes",
    "tpe",
    "genetic",
    "hyperband",
    "bohb",
    "dehb",
    "pbt",
    "gradient",
)
COSTED = ("random", "sobol", "bayes", "tpe", "genetic", "differential", "hyperband")
# What somebody who knows neural networks tries first.
GUESSES = [
    {"learning_rate": 1e-3, "depth": 1, "width_1": 64, "activation": "relu", "l2": 1e-4},
    {
        "learning_rate": 1e-3,
        "depth": 2,
        "width_1": 128,
        "width_2": 64,
        "activation": "relu",
        "l2": 1e-4,
    },
    {
        "learning_rate": 3e-3,
        "depth": 2,
        "width_1": 128,
        "width_2": 64,
        "activation": "relu",
        "l2": 1e-4,
    },
    {
        "learning_rate": 1e-3,
        "depth": 2,
        "width_1": 128,
        "width_2": 128,
        "activation": "tanh",
        "l2": 1e-5,
    },
    {"learning_rate": 1e-2, "depth": 1, "width_1": 128, "activation": "relu", "l2": 1e-3},
    {
        "learning_rate": 1e-3,
        "depth": 2,
        "width_1": 256,
        "width_2": 256,
        "activation": "relu",
        "l2": 1e-6,
    },
]


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    guesses: int  # of the manual method
    searches: tuple[str, ...]  # beside it
    networks: int  # of full length, for each method
    seeds: int
    cost_searches: tuple[str, ...]
    cost_seeds: int
    cost_networks: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(2, ("random", "hyperband"), 3, 2, COSTED[:2], 2, 2),
    "small": Parameters(6, SEARCHES, 40, 20, COSTED, 10, 16),
    "paper": Parameters(6, SEARCHES, 40, 50, COSTED, 10, 16),
}


def space() -> dict:
    """Six hyperparameters, one of them conditional."""
    import hpjax

    return {
        "learning_rate": hpjax.LogUniform(1e-4, 1e-1),
        "depth": hpjax.IntUniform(1, 2),
        "width_1": hpjax.LogIntUniform(8, 256),
        "width_2": hpjax.LogIntUniform(8, 256).when("depth", 2),
        "activation": hpjax.Choice(["relu", "tanh"]),
        "l2": hpjax.LogUniform(1e-7, 1e-2),
        "epochs": EPOCHS,
    }


def methods(parameters: Parameters) -> dict[str, Any]:
    """The techniques, by the names that figures show."""
    from hpjax.search import gradient

    options = {
        "bayes": {"search": "bayes", "batch": 4},
        "tpe": {"search": "tpe", "batch": 4},
        "genetic": {"search": "genetic", "batch": 8},
        "gradient": {"search": functools.partial(gradient, starts=4)},
    }
    named = {name: options.get(name, name) for name in parameters.searches}
    return {"manual": GUESSES[: parameters.guesses]} | named


def race(parameters: Parameters) -> dict[str, Any]:
    """The comparison, and the best of each method confirmed on fresh seeds."""
    import hpjax
    from hpjax import report

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        found = hpjax.compare(
            methods(parameters),
            space(),
            "digits",
            seeds=parameters.seeds,
            stop={"epochs": EPOCHS * parameters.networks},
            out=Path(scratch) / "run",
        )
        summary = report.summary(found)
        confirmed = {}
        for name in found.names:
            study = found.studies[name][0]
            if study.best["trial"] is not None:
                again = hpjax.confirm(study, top=3, repeats=3)
                confirmed[name] = {
                    "config": again.best["config"],
                    "loss": again.best["objective"],
                    "optimism": again.optimism,
                    "test": again.test,
                }
    seconds, programs = time.perf_counter() - started, len(found.population.compiled)
    print(f"race: {seconds:.0f} s, {programs} programs")
    return summary | {
        "speedup": {name: found.speedup(name) for name in found.names},
        "confirmed": confirmed,
        "programs": programs,
        "seconds": round(seconds, 1),
    }


def cost(parameters: Parameters) -> dict[str, Any]:
    """Seconds of a comparison of several methods, and of the same studies one after another.

    Compiled programs are kept on disk, so that neither side pays for compiling the same program again.
    """
    import jax

    import hpjax

    names, seeds = parameters.cost_searches, parameters.cost_seeds
    chosen: dict[str, dict[str, Any]] = {
        name: {"search": name, **({} if name == "hyperband" else {"batch": 8})} for name in names
    }
    stop = {"epochs": EPOCHS * parameters.cost_networks}
    result: dict[str, Any] = {"methods": list(names), "seeds": seeds, "together": [], "apart": []}

    def together() -> tuple[float, float]:
        found = hpjax.compare(chosen, space(), "digits", seeds=seeds, stop=stop)
        result["programs together"] = len(found.population.compiled)
        return found.population.run_seconds, found.population.compile_seconds

    def apart() -> tuple[float, float]:
        training = compiling = 0.0
        for name in names:
            for seed in range(seeds):
                study = hpjax.tune(space(), "digits", seed=seed, stop=stop, **chosen[name])
                training += study.population.run_seconds
                compiling += study.population.compile_seconds
                programs = max(
                    result.get("programs of one study", 0), len(study.population.compiled)
                )
                result["programs of one study"] = programs
        return training, compiling

    with tempfile.TemporaryDirectory() as scratch:
        jax.config.update("jax_compilation_cache_dir", scratch)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        for which, play in (("together", together), ("apart", apart), ("together", together)):
            started = time.perf_counter()
            training, compiling = play()
            total = time.perf_counter() - started
            result[which].append({"total": total, "training": training, "compiling": compiling})
            print(which, result[which][-1], flush=True)
    # the first one filled the cache
    result["together"] = result["together"][1:] or result["together"]
    return result


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The figures of the race."""
    from hpjax import report

    if "race" not in numbers:
        return
    report.comparison(numbers["race"], sheet.folder)
    header = [
        "method",
        "confirmed validation loss",
        "how much better it had looked",
        "test accuracy",
        "configuration",
    ]
    rows = [
        [n, e["loss"], e["optimism"], e["test"].get("accuracy"), str(e["config"])]
        for n, e in numbers["race"]["confirmed"].items()
    ]
    sheet.table("confirmed", header, rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    judged = []
    if "race" in numbers:
        judged += judge_race(numbers["race"])
    if "cost" in numbers:
        judged += judge_cost(numbers["cost"])
    return judged


def judge_race(entry: dict[str, Any]) -> list[Criterion]:
    """Hyperband against random and BOHB, bayes against random."""
    from hpjax import analysis

    final = {
        name: np.array([np.inf if row[-1] is None else row[-1] for row in rows])
        for name, rows in entry["values"].items()
    }
    judged = [
        Criterion(
            "hyperband: times fewer epochs to random's final median loss",
            entry["speedup"]["hyperband"],
            3,
        )
    ]
    if "bohb" in final:
        judged.append(
            Criterion(
                "bohb: one-sided p that hyperband ends below it",
                analysis.wilcoxon(final["hyperband"], final["bohb"]),
                0.05,
            )
        )
    if "bayes" in final:
        judged.append(
            Criterion(
                "bayes: one-sided p that it ends below random",
                analysis.wilcoxon(final["bayes"], final["random"]),
                0.05,
                at_least=False,
            )
        )
    return judged


def judge_cost(entry: dict[str, Any]) -> list[Criterion]:
    """The comparison's time over that of its studies."""
    median = lambda which, what: float(np.median([m[what] for m in entry[which]]))
    over = lambda what: median("together", what) / median("apart", what)
    return [
        Criterion(
            "comparison's time over that of the same studies one after another",
            over("total"),
            1.05,
            at_least=False,
        ),
        Criterion("the same, training only", over("training"), 1.05, at_least=False),
        Criterion(
            "programs of the comparison over those of one study",
            entry["programs together"] / entry["programs of one study"],
            1,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "techniques_compared",
    presets=PRESETS,
    parts={"race": race, "cost": cost},
    on_request=("cost",),
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
