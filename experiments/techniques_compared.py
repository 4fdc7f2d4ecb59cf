"""The course's comparison on digits, at equal cost in epochs: guesses, grid, random, Bayesian, Hyperband, evolution, gradients.

    python -m experiments.techniques_compared
    python -m experiments.techniques_compared --only cost

race  all methods x seeds as one population: table, anytime curves, ranks, critical difference
cost  seven methods x ten seeds: the comparison's time against the same studies one after another; alone, on an idle machine

Every study may cost 1,080 epochs: 40 networks that live to the end (27 epochs). Initial weights, minibatches and the
validation fold change with the seed and are the same for all methods.
"""

from __future__ import annotations

import functools
import tempfile
import time
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

PARTS = ("race", "cost")
EPOCHS, NETWORKS = 27, 40
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


def methods(smoke: bool) -> dict:
    """The techniques, by the names that figures show."""
    from hpjax.search import gradient

    if smoke:
        return {"manual": GUESSES[:2], "random": "random", "hyperband": "hyperband"}
    return {
        "manual": GUESSES,
        "grid": "grid",
        "random": "random",
        "bayes": {"search": "bayes", "batch": 4},
        "tpe": {"search": "tpe", "batch": 4},
        "genetic": {"search": "genetic", "batch": 8},
        "hyperband": "hyperband",
        "bohb": "bohb",
        "dehb": "dehb",
        "pbt": "pbt",
        "gradient": {"search": functools.partial(gradient, starts=4)},
    }


def run(flags: Flags, folder: Path) -> None:
    """Runs the comparison, or measures what it costs."""
    import hpjax
    from hpjax import report

    smoke = flags.preset == "smoke"
    seeds = flags.seeds or {"smoke": 2, "small": 20, "paper": 50}[flags.preset]
    if flags.only in (None, "race"):
        started = time.perf_counter()
        budget = EPOCHS * (3 if smoke else NETWORKS)
        with tempfile.TemporaryDirectory() as scratch:
            found = hpjax.compare(
                methods(smoke),
                space(),
                "digits",
                seeds=seeds,
                stop={"epochs": budget},
                out=Path(scratch) / "run",
            )
            numbers = report.summary(found)
            best = {name: found.studies[name][0] for name in found.names}
            confirmed = {}
            for name, study in best.items():
                if study.best["trial"] is not None:
                    again = hpjax.confirm(study, top=3, repeats=3)
                    confirmed[name] = {
                        "config": again.best["config"],
                        "loss": again.best["objective"],
                        "optimism": again.optimism,
                        "test": again.test,
                    }
        speed = {name: found.speedup(name) for name in found.names}
        write(
            folder / "race.json",
            numbers
            | {
                "speedup": speed,
                "confirmed": confirmed,
                "programs": len(found.trained.compiled),
                "seconds": round(time.perf_counter() - started, 1),
            },
            indent=None,
        )
        print(
            f"race: {time.perf_counter() - started:.0f} s, {len(found.trained.compiled)} programs"
        )
    if flags.only == "cost" or (flags.only is None and smoke):
        write(folder / "cost.json", cost(smoke))


def cost(smoke: bool) -> dict:
    """Seconds of a comparison of seven methods, and of the same studies one after another.

    Compiled programs are kept on disk, so that neither side pays for compiling the same program again.
    """
    import jax

    import hpjax

    names = ("random", "sobol", "bayes", "tpe", "genetic", "differential", "hyperband")
    names, seeds = (names[:2], 2) if smoke else (names, 10)
    chosen = {
        name: {"search": name, **({} if name == "hyperband" else {"batch": 8})} for name in names
    }
    stop = {"epochs": EPOCHS * (2 if smoke else 16)}
    result: dict = {"methods": list(names), "seeds": seeds, "together": [], "apart": []}

    def together():
        found = hpjax.compare(chosen, space(), "digits", seeds=seeds, stop=stop)
        result["programs together"] = len(found.trained.compiled)
        return found.trained.run_seconds, found.trained.compile_seconds

    def apart():
        training = compiling = 0.0
        for name in names:
            for seed in range(seeds):
                study = hpjax.tune(space(), "digits", seed=seed, stop=stop, **chosen[name])
                training += study.trained.run_seconds
                compiling += study.trained.compile_seconds
                programs = max(result.get("programs of one study", 0), len(study.trained.compiled))
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


def draw(folder: Path) -> list[dict]:
    """The figures of the race, and the criteria."""
    from hpjax import analysis, report

    criteria: list[dict] = []
    if not any((folder / f"{part}.json").exists() for part in PARTS):
        raise ValueError(f"{folder} holds no results; run the experiment before drawing it")
    if (folder / "race.json").exists():
        numbers = read(folder / "race.json")
        report.comparison(numbers, folder)
        final = {
            name: np.array([np.inf if row[-1] is None else row[-1] for row in rows])
            for name, rows in numbers["values"].items()
        }
        rows = [
            [n, e["loss"], e["optimism"], e["test"].get("accuracy"), str(e["config"])]
            for n, e in numbers["confirmed"].items()
        ]
        write_rows(
            folder / "confirmed.csv",
            [
                "method",
                "confirmed validation loss",
                "how much better it had looked",
                "test accuracy",
                "configuration",
            ],
            rows,
        )
        criteria.append(
            Criterion(
                "hyperband: times fewer epochs to random's final median loss",
                numbers["speedup"]["hyperband"],
                3,
            )
        )
        if "bohb" in final:
            criteria.append(
                Criterion(
                    "bohb: one-sided p that hyperband ends below it",
                    analysis.wilcoxon(final["hyperband"], final["bohb"]),
                    0.05,
                )
            )
        if "bayes" in final:
            criteria.append(
                Criterion(
                    "bayes: one-sided p that it ends below random",
                    analysis.wilcoxon(final["bayes"], final["random"]),
                    0.05,
                    at_least=False,
                )
            )
    if (folder / "cost.json").exists():
        measured = read(folder / "cost.json")
        middle = {
            which: float(np.median([m["total"] for m in measured[which]]))
            for which in ("together", "apart")
        }
        trained = {
            which: float(np.median([m["training"] for m in measured[which]]))
            for which in ("together", "apart")
        }
        criteria.append(
            Criterion(
                "comparison's time over that of the same studies one after another",
                middle["together"] / middle["apart"],
                1.05,
                at_least=False,
            )
        )
        criteria.append(
            Criterion(
                "the same, training only",
                trained["together"] / trained["apart"],
                1.05,
                at_least=False,
            )
        )
        criteria.append(
            Criterion(
                "programs of the comparison over those of one study",
                measured["programs together"] / measured["programs of one study"],
                1,
                at_least=False,
            )
        )
    return criteria


if __name__ == "__main__":
    main("techniques_compared", run, draw, parts=PARTS, uses=("seeds",))
