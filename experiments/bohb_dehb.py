"""Hyperband with a model (BOHB) and with evolution (DEHB): regret over the budget, on Counting Ones and on real networks.

    HPJAX_DATA=... python -m experiments.bohb_dehb
    python -m experiments.bohb_dehb --plot results/bohb_dehb

In the style of Falkner et al. (2018) and of Awad et al. (2021); `bohb` is Hyperband with our own TPE, not with the paper's. Counting Ones with 4, 8 and 16 choices and as many numbers, fidelities
up to 81: the true regret of the incumbent. Digits and MNIST-1D: networks of up to 27 epochs, all methods and seeds one population;
regret is the lowest validation loss of a fully trained network, above the lowest that anyone found with the same seed (drawn and tabled from 0.001 up). Then mean ranks
over all problems.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments._counting_ones import counting
from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

METHODS = ("random", "tpe", "hyperband", "bohb", "dehb")
ONES, TASKS = (4, 8, 16), ("digits", "mnist1d")
SHARES = np.linspace(0.05, 1, 40)  # of a budget, at which ranks are taken


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    turns: int  # of Hyperband, that the budget of Counting Ones lasts
    seeds: int  # on Counting Ones
    ones: tuple[int, ...]  # dimensions of each kind
    tasks: tuple[str, ...]
    epochs: int
    images: int  # to train on
    studies: int  # seeds on networks
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(1, 2, ONES[:1], ("digits",), 3, 100, 2),
    "small": Parameters(3, 12, ONES, TASKS, 27, 800, 4),
    "paper": Parameters(6, 32, ONES, TASKS, 27, 800, 8),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """Counting Ones, then networks."""
    import hpjax
    from hpjax import tasks
    from hpjax.tasks import Split

    entry: dict = {"problems": {}}
    for ones in parameters.ones:
        found = counting(parameters.seeds, parameters.turns, ones, METHODS)
        entry["problems"][f"Counting Ones, {ones} + {ones}"] = {
            "cost": found["grid"],
            "values": {n: np.array(v, float).T.tolist() for n, v in found["methods"].items()},
        }
        print(f"Counting Ones, {ones}", flush=True)
    epochs, images = parameters.epochs, parameters.images
    for name in parameters.tasks:
        task = tasks.load(name, parameters.data)
        split = tasks.splits(task)[0]
        task = dataclasses.replace(task, folds=(Split(split.train[:images], split.valid[:500]),))
        space = {
            "learning_rate": hpjax.LogUniform(1e-4, 1.0),
            "depth": hpjax.IntUniform(1, 2),
            "width_1": hpjax.LogIntUniform(8, 64),
            "width_2": hpjax.LogIntUniform(8, 64).when("depth", 2),
            "activation": hpjax.Choice(["relu", "tanh"]),
            "l2": hpjax.LogUniform(1e-6, 1e-1),
            "dropout": hpjax.Uniform(0.0, 0.7),
            "epochs": epochs,
        }
        methods: dict = {n: {"search": n, "batch": 4} if n == "tpe" else n for n in METHODS}
        turn = sum(
            until * many for bracket in hpjax.hyperband(epochs).brackets for until, many in bracket
        )
        found = hpjax.compare(
            methods,
            space,
            task,
            seeds=parameters.studies,
            epochs=epochs,
            stop={"epochs": 2 * parameters.turns * turn},
            say=lambda text: None,
        )
        lowest = np.nanmin([values[:, -1] for values in found.values.values()], 0)
        entry["problems"][name] = {
            "cost": found.cost.tolist(),
            "values": {
                n: np.round(v - lowest[:, None], 6).tolist() for n, v in found.values.items()
            },
        }
        print(name, flush=True)
    return entry


Problems = dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]


def problems_of(numbers: Numbers) -> Problems:
    """Costs [g] and each method's regret [seeds g], of every problem."""
    return {
        n: (np.array(p["cost"]), {m: np.array(v, float) for m, v in p["values"].items()})
        for n, p in numbers["regret"]["problems"].items()
    }


def mean_ranks(problems: Problems) -> dict[str, np.ndarray]:
    """A method's rank at `SHARES` of the budget, the mean over seeds and problems."""
    from hpjax import analysis

    over: dict[str, list] = {m: [] for m in METHODS}
    for cost, values in problems.values():
        at = np.clip(np.searchsorted(cost, SHARES * cost[-1], side="right") - 1, 0, None)
        stacked = np.nan_to_num(np.stack([values[m][:, at] for m in METHODS], -1), nan=np.inf)
        # [g methods]
        ranks = analysis.ranks(stacked.reshape(-1, len(METHODS))).reshape(stacked.shape).mean(0)
        for number, method in enumerate(METHODS):
            over[method].append(ranks[:, number])
    return {m: np.mean(r, 0) for m, r in over.items()}


def early_ratio(cost: np.ndarray, values: dict[str, np.ndarray]) -> float:
    """Median regret of BOHB over that of Hyperband, after a sixth of the budget."""
    sixth = max(0, np.searchsorted(cost, cost[-1] / 6, side="right") - 1)
    first = values["bohb"][:, sixth], values["hyperband"][:, sixth]
    return float(np.divide(*(np.median(np.nan_to_num(v, nan=1e9)) for v in first)))


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Regret on each problem; mean ranks over all."""
    from hpjax import analysis, plots

    problems = problems_of(numbers)
    made, axes = plots.figure(2, 3, width=plots.WIDE, height=4.1)
    rows = []
    for ax, (name, (cost, values)) in zip(axes.ravel(), problems.items()):
        curves = {m: np.maximum(analysis.bands(v), 1e-3) for m, v in values.items()}
        real = "Ones" not in name
        plots.anytime(
            ax,
            cost,
            curves,
            "epochs, all trials" if real else "samples, all trials",
            "regret over the seed's best" if real else "regret",
        )
        ax.set(yscale="log", xscale="log")
        if real:
            ax.set_yticks([1e-3, 1e-2, 1e-1, 1], ["0", "$10^{-2}$", "$10^{-1}$", "$10^0$"])
        seeds = len(next(iter(values.values())))
        ax.set_title(f"{name}, {seeds} seeds", fontsize=7)
        rows += [
            [name, m, c, *band] for m, curve in curves.items() for c, band in zip(cost, curve.T)
        ]
    ax = axes.ravel()[len(problems)]
    mean = mean_ranks(problems)
    plots.rank_curves(ax, 100 * SHARES, mean, "share of the budget, %")
    ax.set_title(f"ranks over {len(problems)} problems", fontsize=7)
    for spare in axes.ravel()[len(problems) + 1 :]:
        spare.set_axis_off()
    made.suptitle("medians and quartiles", fontsize=7)
    made.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(METHODS)
    )
    sheet.figure(made, "regret")
    sheet.table(
        "regret",
        ["problem", "method", "epochs", "lower quartile", "median", "upper quartile"],
        rows,
    )
    sheet.table("ranks", ["share of the budget", *METHODS], zip(SHARES, *mean.values()))


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    from hpjax import analysis

    problems = problems_of(numbers)
    mean = mean_ranks(problems)
    end = {
        n: {m: np.nan_to_num(values[m][:, -1], nan=np.inf) for m in METHODS}
        for n, (_, values) in problems.items()
    }
    ones = [n for n in problems if n.startswith("Counting")]
    real = [n for n in problems if n not in ones]
    lower = lambda names, a, b: analysis.wilcoxon(
        np.concatenate([end[n][a] for n in names]), np.concatenate([end[n][b] for n in names])
    )
    ratio = [early_ratio(*problems[n]) for n in ones]
    return [
        Criterion(
            "Counting Ones: BOHB over Hyperband, median regret after a sixth of the budget, lowest of the problems",
            min(ratio),
            0.5,
        ),
        Criterion("the same, highest of them", max(ratio), 2.0, at_least=False),
        Criterion(
            "Counting Ones: one-sided p that bohb ends below hyperband, all sizes",
            lower(ones, "bohb", "hyperband"),
            0.05,
            at_least=False,
        ),
        Criterion(
            "Counting Ones: one-sided p that bohb ends below random",
            lower(ones, "bohb", "random"),
            0.05,
            at_least=False,
        ),
        *(
            Criterion(
                f"{n}: one-sided p that bohb ends below {other}",
                lower([n], "bohb", other),
                0.05,
                at_least=False,
            )
            for n in real
            for other in ("hyperband", "random")
        ),
        Criterion(
            "dehb's mean rank at the end less hyperband's",
            mean["dehb"][-1] - mean["hyperband"][-1],
            -1e-9,
            at_least=False,
        ),
        Criterion(
            "dehb's mean rank at the end less random's",
            mean["dehb"][-1] - mean["random"][-1],
            -1e-9,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "bohb_dehb",
    presets=PRESETS,
    parts={"regret": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
