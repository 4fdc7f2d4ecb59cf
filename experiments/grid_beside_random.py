"""Why random search beats the grid: nine trials of each, where one of two hyperparameters matters.

    python -m experiments.grid_beside_random
    python -m experiments.grid_beside_random --plot results/grid_beside_random

After figure 1 of Bergstra & Bengio (2012): f(x, y) = g(x) + h(y), nearly g(x). Then the same with networks: learning rate and
l2 (1e-8 to 1e-5) of a digits network, the rate alone mattering.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    repeats: int  # searches of f
    epochs: int
    studies: int  # searches of networks


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(50, 2, 4),
    "small": Parameters(1000, 10, 300),
    "paper": Parameters(1000, 10, 300),
}


def important(x: np.ndarray) -> np.ndarray:
    """g: two bumps."""
    return np.exp(-((x - 0.62) ** 2) / 0.006) + 0.6 * np.exp(-((x - 0.25) ** 2) / 0.03)


def unimportant(y: np.ndarray) -> np.ndarray:
    """h: a slight slope."""
    return 0.08 * np.sin(3 * y)


def points(kind: str, seed: int) -> np.ndarray:
    """Nine trials [9 2]."""
    from hpjax import search
    from hpjax.search.base import Dim

    dims = (Dim("continuous"), Dim("continuous"))
    axis = (np.arange(3) + 0.5) / 3
    found = search.grid(dims, axes=[axis, axis]) if kind == "grid" else search.random(dims)
    return found.ask(found.init((seed,)), (seed,), 9, 1)[0]


def run(parameters: Parameters) -> dict[str, Any]:
    """Nine trials of each; a thousand repetitions; networks."""
    import hpjax

    value = lambda p: important(p[:, 0]) + unimportant(p[:, 1])
    repeats, studies = parameters.repeats, parameters.studies
    rng = np.random.default_rng(0)
    offsets = rng.uniform(size=(repeats, 2))  # the target is where it is: both meet it shifted
    shifted = lambda p, offset: value((p + offset) % 1.0)
    best = {
        kind: [float(shifted(points(kind, seed), offsets[seed]).max()) for seed in range(repeats)]
        for kind in ("grid", "random")
    }
    entry: dict = {"points": {kind: points(kind, 3).tolist() for kind in best}, "best": best}
    rates, penalties = (1e-4, 10.0), (1e-8, 1e-5)
    space = {
        "hidden": (32,),
        "optimizer": "sgd",
        "batch_size": 32,
        "epochs": parameters.epochs,
        "learning_rate": hpjax.LogUniform(*rates),
        "l2": hpjax.LogUniform(*penalties),
    }
    networks = {}
    for kind in best:
        trials = []
        for seed in range(studies):
            p = points(kind, seed)
            if kind == "grid":
                p = (p + np.array([offsets[seed, 0], 0.0])) % 1.0
            trials += [
                {
                    "learning_rate": rates[0] * (rates[1] / rates[0]) ** u,
                    "l2": penalties[0] * (penalties[1] / penalties[0]) ** v,
                }
                for u, v in p
            ]
        found = hpjax.tune(
            space, "digits", search=trials, validation={"repeats": 1}, say=lambda text: None
        )
        loss = found.trials["error"].to_numpy(float).reshape(studies, 9)
        networks[kind] = np.nan_to_num(loss, nan=1.0).min(1).round(6).tolist()
    entry["networks"] = networks
    return entry


def distinct(entry: dict[str, Any]) -> dict[str, int]:
    """How many values of the important parameter nine trials see."""
    return {
        kind: len(np.unique(np.array(points)[:, 0].round(9)))
        for kind, points in entry["points"].items()
    }


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Nine trials of each with both projections; the best of nine over repetitions."""
    from hpjax import plots

    entry = numbers["nine"]
    made, axes = plots.figure(
        2,
        3,
        width=plots.WIDE,
        height=2.9,
        gridspec_kw={"height_ratios": [0.35, 1], "width_ratios": [1, 1, 1.1]},
    )
    x, seen = np.linspace(0, 1, 400), distinct(entry)
    for column, kind in enumerate(("grid", "random")):
        p, look = np.array(entry["points"][kind]), plots.look(kind)
        axes[0, column].plot(x, important(x), color="#228833")
        axes[0, column].plot(p[:, 0], important(p[:, 0]), "o", ms=3, color="k")
        axes[0, column].set(xticks=[], yticks=[], xlim=(0, 1))
        axes[0, column].set_title(f"{kind}: {seen[kind]} values that matter")
        for px, py in p:
            axes[1, column].plot([px, px], [py, 1], color="#BBBBBB", lw=0.4)
        axes[1, column].plot(
            p[:, 0], p[:, 1], look["marker"], ms=4, color=look["color"], mec="k", mew=0.4
        )
        axes[1, column].set(
            xlim=(0, 1),
            ylim=(0, 1),
            xticks=[],
            yticks=[],
            xlabel="important parameter",
            ylabel="unimportant parameter",
        )
    axes[0, 2].axis("off")
    rows = []
    for kind in ("grid", "random"):
        found, look = np.sort(entry["best"][kind]), plots.look(kind)
        axes[1, 2].plot(
            found,
            (np.arange(len(found)) + 1) / len(found),
            color=look["color"],
            label=f"{kind}: mean {np.mean(found):.2f}",
        )
        rows += [[kind, "f", v] for v in found] + [
            [kind, "digits", v] for v in entry["networks"][kind]
        ]
    axes[1, 2].set(
        xlabel="best of nine trials",
        ylabel=f"share of {len(entry['best']['grid']):,} searches",
        ylim=(0, 1),
    )
    axes[1, 2].legend(loc="upper left")
    sheet.figure(made, "nine")
    sheet.table("nine", ["search", "problem", "best of nine"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["nine"]
    seen = distinct(entry)
    mean = {kind: np.mean(entry["best"][kind]) for kind in entry["best"]}
    spread = np.sqrt(sum(np.var(v, ddof=1) / len(v) for v in entry["networks"].values()))
    error = {kind: np.mean(entry["networks"][kind]) for kind in entry["networks"]}
    return [
        Criterion(
            "values of the important parameter that nine grid trials see",
            seen["grid"],
            3,
            at_least=False,
        ),
        Criterion("values of it that nine random trials see", seen["random"], 9),
        Criterion("mean best of nine, random minus grid", mean["random"] - mean["grid"], 0.0),
        Criterion(
            f"networks: mean error of the best of nine, grid {error['grid']:.4f} minus random {error['random']:.4f}, less two standard errors",
            error["grid"] - error["random"] - 2 * spread,
            0.0,
        ),
    ]


EXPERIMENT = Experiment(
    "grid_beside_random",
    presets=PRESETS,
    parts={"nine": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
