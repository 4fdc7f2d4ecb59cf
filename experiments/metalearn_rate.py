"""Two learning rates, ten times apart, meet: MNIST-1D's metalearning of a learning rate.

    HPJAX_DATA=... python -m experiments.metalearn_rate

After Greydanus & Kobak's MNIST-1D notebook: 40-50-10, tanh, 200 steps of SGD with batches of 50, 50 meta-steps on the mean training
loss of those steps, from rates 1.5 and 0.15; both end near 0.62 there. Inputs as they are, weights with the deviation of PyTorch's
layers; the meta-optimizer is Adam on the log rate; ten seeds.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

STARTS = (1.5, 0.15)
PUBLISHED = 0.62


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    steps: int  # of training
    iterations: int  # of meta-training
    rates: int  # at which the objective is drawn
    seeds: int
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(10, 3, 5, 2),
    "small": Parameters(200, 50, 60, 10),
    "paper": Parameters(200, 50, 60, 10),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """Both descents, and the objective over a grid of rates."""
    from hpjax import hypergrad, tasks

    made = dataclasses.replace(tasks.load("mnist1d", parameters.data), standardize=False)
    rows = made.development
    spec, config = hypergrad.configure(
        made,
        hidden=(50,),
        activation="tanh",
        optimizer="sgd",
        batch_size=50,
        init="lecun",
        init_scale=3**-0.5,
    )
    split = tasks.Split(rows, rows[:1])
    options = dict(steps=parameters.steps, objective="curve", split=split)
    starts = [config | {"learning_rate": rate} for rate in STARTS]
    grid = np.geomspace(0.05, 3.0, parameters.rates)
    points = [config | {"learning_rate": float(rate)} for rate in grid]
    paths, ends, losses = [], [], []
    for key in range(parameters.seeds):
        found = hypergrad.learn(
            made,
            spec,
            starts,
            "learning_rate",
            iterations=parameters.iterations,
            rate=0.2,
            end_factor=0.05,
            fresh=False,
            key=key,
            **options,
        )
        plain = hypergrad.hypergradients(
            made, spec, points, "learning_rate", mode="plain", key=key, **options
        )
        end = found.learned["learning_rate"]
        paths.append(np.concatenate([found.path["learning_rate"], end[None]]).round(6).tolist())
        ends.append(end.tolist())
        losses.append(plain.loss.tolist())
    return {"paths": paths, "ends": ends, "grid": grid.tolist(), "losses": losses}


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The rates over meta-steps, and the objective they descend."""
    from hpjax import analysis, plots

    found = numbers["rates"]
    paths, ends = np.array(found["paths"]), np.array(found["ends"])  # [seeds steps starts]
    made, axes = plots.figure(1, 2, width=plots.WIDE, height=2.4)
    steps = np.arange(paths.shape[1])
    for start, color in zip(range(len(STARTS)), plots.COLORS):
        axes[0].plot(steps, paths[:, :, start].T, color=color, lw=0.4, alpha=0.4)
        axes[0].plot(
            steps,
            np.median(paths[:, :, start], 0),
            color=color,
            lw=1.5,
            label=f"from {STARTS[start]:g}",
        )
    axes[0].axhline(PUBLISHED, color="k", lw=0.6, ls=":")
    axes[0].text(steps[-1] * 0.72, PUBLISHED * 1.35, "published 0.62", fontsize=6)
    axes[0].set(xlabel="meta-step", ylabel="learning rate", yscale="log")
    axes[0].legend(title=f"{len(paths)} seeds and their median")
    low, middle, high = analysis.quartiles(np.array(found["losses"]))
    axes[1].fill_between(found["grid"], low, high, color="#777777", alpha=0.25, lw=0)
    axes[1].plot(found["grid"], middle, color="#777777")
    for start, color in zip(range(len(STARTS)), plots.COLORS):
        axes[1].plot(
            ends[:, start], np.full(len(ends), low.min() - 0.03 * (1 + start)), "|", color=color
        )
    axes[1].set(xscale="log", xlabel="learning rate", ylabel="mean training loss of 200 steps")
    sheet.figure(made, "rates")
    rows = [[seed, step, *paths[seed, step]] for seed in range(len(paths)) for step in steps]
    sheet.table("rates", ["seed", "meta-step", *(f"from {s:g}" for s in STARTS)], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    found = numbers["rates"]
    ends = np.array(found["ends"])
    apart = np.abs(ends[:, 0] - ends[:, 1])
    return [
        Criterion(
            "distance of the two rates after 50 meta-steps, median over seeds",
            np.median(apart),
            0.05,
            at_least=False,
        ),
        Criterion("where they meet, median over seeds", np.median(ends), 0.5),
        Criterion("the same, from above", np.median(ends), 0.75, at_least=False),
    ]


EXPERIMENT = Experiment(
    "metalearn_rate",
    presets=PRESETS,
    parts={"rates": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
