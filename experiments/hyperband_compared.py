"""Hyperband beside its own brackets and beside searches without early stopping, on MNIST's stored images.

    HPJAX_DATA=... python -m experiments.hyperband_compared
    python -m experiments.hyperband_compared --plot results/hyperband_compared

In the style of Li et al. (2018): a unit of resource is an epoch over 500 images, R = 27 (`paper`: 2,000 and 81), eta = 3. Every bracket over and
over, Hyperband, random search with R for each network (and with twice the budget), Bayesian search and TPE; all of them and all seeds
are one population. Value: the lowest validation loss of a network that was fully trained, against resource spent in multiples of R.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, short


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    most: int  # epochs of a network, R
    turns: int  # of Hyperband, that the budget lasts
    images: int  # to train on, and as many to be scored on
    seeds: int
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(9, 1, 100, 2),
    "small": Parameters(27, 3, 500, 5),
    "paper": Parameters(81, 5, 2000, 10),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """One comparison."""
    import hpjax
    from hpjax.tasks import Split

    task = hpjax.tasks.load("mnist10k", parameters.data)
    rows = np.random.default_rng(0).permutation(task.development)[: 2 * parameters.images]
    task = dataclasses.replace(
        task,
        folds=(Split(np.sort(rows[: parameters.images]), np.sort(rows[parameters.images :])),),
    )
    space = {
        "learning_rate": hpjax.LogUniform(1e-4, 1.0),
        "depth": hpjax.IntUniform(1, 2),
        "width_1": hpjax.LogIntUniform(8, 64),
        "width_2": hpjax.LogIntUniform(8, 64).when("depth", 2),
        "l2": hpjax.LogUniform(1e-6, 1e-1),
        "dropout": hpjax.Uniform(0.0, 0.7),
        "batch_size": 50,
        "epochs": parameters.most,
    }
    brackets = hpjax.hyperband(parameters.most).brackets
    methods: dict = {
        f"bracket {len(bracket) - 1}": {"search": "random", "scheduler": hpjax.halving(bracket)}
        for bracket in brackets
    }
    methods |= {
        "hyperband": {"search": "hyperband", "scheduler": hpjax.hyperband(parameters.most)},
        "random": "random",
    }
    methods |= {"bayes": {"search": "bayes", "batch": 4}, "tpe": {"search": "tpe", "batch": 4}}
    budget = parameters.turns * sum(until * many for bracket in brackets for until, many in bracket)
    found = hpjax.compare(
        methods,
        space,
        task,
        seeds=parameters.seeds,
        epochs=parameters.most,
        stop={"epochs": budget},
        say=lambda text: None,
    )
    return {
        "most": parameters.most,
        "budget": budget,
        "brackets": brackets,
        "cost": found.cost.tolist(),
        "values": {n: short(v) for n, v in found.values.items()},
        "speedup": {n: found.speedup(n) for n in found.names},
    }


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Brackets; competitors; what everybody ends at."""
    from matplotlib import colormaps

    from hpjax import analysis, plots

    entry = numbers["compared"]
    cost, most = np.array(entry["cost"]), entry["most"]
    values = {n: np.array(v, float) for n, v in entry["values"].items()}
    seeds = len(values["random"])
    mean = {n: np.where(np.isnan(v).any(0), np.nan, v.mean(0)) for n, v in values.items()}
    twice = np.array(
        [analysis.at_costs(cost, row, np.minimum(2 * cost, cost[-1])) for row in values["random"]]
    ).mean(0)
    twice[2 * cost > cost[-1]] = np.nan  # is not known
    made, axes = plots.figure(1, 3, width=plots.WIDE, height=2.5)
    inside = [n for n in values if n.startswith("bracket")]
    shades = dict(zip(inside, colormaps["viridis"](np.linspace(0, 0.85, len(inside)))))
    rows = [[n, c, v] for n, line in mean.items() for c, v in zip(cost, line)]
    for name in (*inside, "hyperband"):
        style = (
            {"color": shades[name]}
            if name in shades
            else plots.look(name) | {"ms": 3, "markevery": 8}
        )
        rungs = entry["brackets"][inside.index(name)] if name in shades else None
        label = (
            f"bracket {name.split()[1]}: {' > '.join(str(n) for _, n in rungs)}" if rungs else name
        )
        axes[0].plot(cost / most, mean[name], drawstyle="steps-post", lw=1, label=label, **style)
    for name in ("hyperband", "random", "bayes", "tpe"):
        axes[1].plot(
            cost / most,
            mean[name],
            drawstyle="steps-post",
            ms=3,
            markevery=8,
            label=name,
            **plots.look(name),
        )
    axes[1].plot(
        cost / most,
        twice,
        drawstyle="steps-post",
        color="#777777",
        ls=":",
        label="random, twice the budget",
    )
    rows += [["random, twice the budget", c, v] for c, v in zip(cost, twice)]
    lowest = min(np.nanmin(v) for v in mean.values())
    for ax in axes[:2]:
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="resource spent, multiples of R",
            ylim=(0.55 * lowest, 4 * lowest),
        )
        ax.legend(fontsize=5, loc="lower left", handlelength=1.2)
    axes[0].set(ylabel="lowest validation loss")
    axes[0].set_title(f"mean of {seeds} seeds, R = {most} epochs")
    axes[1].set_title("competitors")
    end = {n: np.nan_to_num(v[:, -1], nan=np.inf) for n, v in values.items()}
    order = sorted(end, key=lambda n: end[n].mean())
    for place, name in enumerate(order[::-1]):
        color = shades.get(name, plots.look(name)["color"])
        axes[2].plot(end[name], np.full(seeds, place), "o", ms=2.5, color=color, alpha=0.6)
        axes[2].plot(end[name].mean(), place, "|", ms=10, mew=1.5, color=color)
    axes[2].set_yticks(range(len(order)), order[::-1], fontsize=6)
    axes[2].set(xlabel="lowest validation loss at the end")
    axes[2].set_title("seeds, and their mean")
    sheet.figure(made, "compared")
    sheet.table("compared", ["method", "resource", "mean lowest validation loss"], rows)
    sheet.table("final", ["seed", *end], zip(range(seeds), *end.values()))


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["compared"]
    cost = np.array(entry["cost"])
    values = {n: np.array(v, float) for n, v in entry["values"].items()}
    inside = [n for n in values if n.startswith("bracket")]
    end = {n: np.nan_to_num(v[:, -1], nan=np.inf) for n, v in values.items()}
    best = min(end[n].mean() for n in inside)
    half = values["hyperband"][:, np.searchsorted(cost, cost[-1] / 2, side="right") - 1]
    return [
        Criterion(
            "hyperband's mean loss at the end over that of the best bracket",
            end["hyperband"].mean() / best,
            1.05,
            at_least=False,
        ),
        Criterion(
            "brackets that end with a higher mean loss than hyperband",
            float(sum(end[n].mean() > end["hyperband"].mean() for n in inside)),
            1,
        ),
        Criterion(
            "hyperband: times less resource to random's final median",
            entry["speedup"]["hyperband"],
            3,
        ),
        Criterion(
            "hyperband's mean loss at the end over random's",
            end["hyperband"].mean() / end["random"].mean(),
            1.0,
            at_least=False,
        ),
        Criterion(
            "hyperband's mean loss at half the budget over random's at the whole of it",
            half.mean() / end["random"].mean(),
            1.0,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "hyperband_compared",
    presets=PRESETS,
    parts={"compared": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
