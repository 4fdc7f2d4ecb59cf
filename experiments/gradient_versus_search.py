"""Do hypergradients find better hyperparameters than searches, at equal cost? Learning rate, momentum and l2.

    HPJAX_DATA=... python -m experiments.gradient_versus_search
    python -m experiments.gradient_versus_search --plot results/gradient_versus_search

Gradient descent from 8 starts against random, Bayesian, Hyperband and PBT, each given as many epochs of training (a gradient is charged
what it costs), on digits and on MNIST-10k; and 200 random starts in one population on digits.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

TASKS = ("digits", "mnist10k")
STARTS = 8


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    budget: int  # networks of full length, for each method
    digits_epochs: int
    mnist_epochs: int
    seeds: int
    starts: int  # of the population
    trials: int  # of the population
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(20, 3, 3, 2, 10, 30),
    "small": Parameters(96, 27, 9, 10, 200, 200 * 12),
    "paper": Parameters(256, 27, 9, 30, 200, 200 * 12),
}


def space(epochs: int) -> dict:
    """What is searched."""
    import hpjax

    return {
        "hidden": (64,),
        "activation": "tanh",
        "optimizer": "sgd",
        "batch_size": 64,
        "learning_rate": hpjax.LogUniform(1e-4, 3.0),
        "momentum": hpjax.Uniform(0.0, 0.99),
        "l2": hpjax.LogUniform(1e-7, 1e-1),
        "epochs": epochs,
    }


def methods(epochs: int) -> dict:
    """By name, as `compare` takes them."""
    import hpjax
    from hpjax.search import gradient

    made = functools.partial(gradient, starts=STARTS)
    every = max(1, epochs // 9)
    return {
        "gradient": {"search": made},
        "random": "random",
        "bayes": "bayes",
        "hyperband": {"search": "hyperband", "scheduler": hpjax.hyperband(epochs)},
        "pbt": {"search": "random", "scheduler": hpjax.pbt(STARTS * 2, epochs, every)},
    }


def compared(task: str, epochs: int, parameters: Parameters) -> dict[str, Any]:
    """All methods on a task."""
    import hpjax

    found = hpjax.compare(
        methods(epochs),
        space(epochs),
        task,
        seeds=parameters.seeds,
        stop={"epochs": parameters.budget * epochs},
        data=parameters.data,
        watch=lambda name, seed, progress, trained: None,
    )
    print(found.table.round(4).to_string(), flush=True)
    return {
        "cost": found.cost.tolist(),
        "values": {n: v.tolist() for n, v in found.values.items()},
        "final": found.final.tolist(),
        "names": found.names,
        "table": found.table.round(5).to_dict("index"),
        "fidelity": epochs,
    }


def population(parameters: Parameters) -> dict[str, Any]:
    """Many starts at once, moved along their gradients."""
    import hpjax
    from hpjax.search import gradient, random

    made = functools.partial(gradient, starts=parameters.starts, first=random)
    result = hpjax.tune(
        space(parameters.digits_epochs), "digits", search=made, trials=parameters.trials
    )
    reports = [record for record in result.records if record["kind"] == "report"]
    losses = [
        [float(v) if np.isfinite(float(v)) else None for v in record["loss"]] for record in reports
    ]
    return {
        "losses": losses,
        "best": result.best,
        "trials": len(result.trials),
        "cost": int(sum(sum(r["cost"]) for r in reports)),
        "seconds": float(result.trials["seconds"].sum()),
    }


def quantiles(entry: dict[str, Any]) -> np.ndarray:
    """Best 5 %, quartiles and median of the population's losses, round by round [rounds 4]."""
    rounds = [np.array([np.inf if v is None else v for v in row], float) for row in entry["losses"]]
    return np.array([np.nanquantile(losses, [0.05, 0.25, 0.5, 0.75]) for losses in rounds])


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Anytime curves and ranks; the population's losses round by round."""
    from hpjax import analysis, plots

    tasks = [part for part in TASKS if part in numbers]
    others = "population" in numbers
    made, axes = plots.figure(1, len(tasks) + others, width=plots.WIDE, height=2.7, squeeze=False)
    for ax, part in zip(axes[0], tasks):
        found = numbers[part]
        cost = np.array(found["cost"]) / found["fidelity"]
        values = {n: np.array(v, float) for n, v in found["values"].items()}
        curves = {
            n: analysis.quartiles(np.where(np.isnan(v), np.inf, v)) for n, v in values.items()
        }
        plots.anytime(
            ax,
            cost,
            {n: np.where(np.isfinite(c), c, np.nan) for n, c in curves.items()},
            "cost (full trainings)",
            "best validation loss",
        )
        ax.set_title(part)
        rows = [[n, c, *q[:, i]] for n, q in curves.items() for i, c in enumerate(cost)]
        sheet.table(
            f"{part}",
            ["method", "cost", "lower quartile", "median", "upper quartile"],
            rows,
        )
    if tasks:
        axes[0, 0].legend()
    if others:
        spread = quantiles(numbers["population"])
        ax = axes[0, -1]
        place = np.arange(len(spread))
        ax.fill_between(place, spread[:, 1], spread[:, 3], color="#CC3311", alpha=0.2, lw=0)
        ax.plot(place, spread[:, 2], color="#CC3311", label="median, quartiles")
        ax.plot(place, spread[:, 0], color="#CC3311", ls="--", label="best 5 %")
        ax.set(xlabel="round", ylabel="validation loss", yscale="log")
        ax.set_title(f"{len(numbers['population']['losses'][0])} starts, digits")
        ax.legend()
        sheet.table(
            "population",
            ["round", "best 5 %", "lower quartile", "median", "upper quartile"],
            [[i, *row] for i, row in enumerate(spread.round(5).tolist())],
        )
    sheet.figure(made, "comparison")


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    from hpjax import analysis

    found = []
    for part in (part for part in TASKS if part in numbers):
        names = numbers[part]["names"]
        final = dict(zip(names, np.array(numbers[part]["final"], float).T))
        found += [
            Criterion(
                f"{part}: one-sided p that gradient ends below {name}",
                analysis.wilcoxon(final["gradient"], final[name]),
                0.05,
                at_least=False,
            )
            for name in names[1:]
        ]
    if "population" in numbers:
        middle = quantiles(numbers["population"])[:, 2]
        found.append(
            Criterion(
                "200 starts: median validation loss after the last round over the first",
                middle[-1] / middle[0],
                0.5,
                at_least=False,
            )
        )
    return found


EXPERIMENT = Experiment(
    "gradient_versus_search",
    presets=PRESETS,
    parts={
        "digits": lambda p: compared("digits", p.digits_epochs, p),
        "mnist10k": lambda p: compared("mnist10k", p.mnist_epochs, p),
        "population": population,
    },
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
