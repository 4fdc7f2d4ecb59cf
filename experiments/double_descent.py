"""Double descent: with noisy labels, test error falls, rises where the network can just learn all by heart, and falls again.

    HPJAX_DATA=... python -m experiments.double_descent
    python -m experiments.double_descent --plot results/double_descent

After Greydanus (2020) on MNIST-1D: 40-H-H-10, ReLU, SGD at 0.01 with momentum 0.9, batches of 100, 500 epochs, 4,000 training
examples of which 15 % have a random label; H from 2 to 300. His test set has 12,000 examples, ours is the stored 1,000.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from hpjax.tasks import Task


NOISES = (0.15, 0.0)
# Test errors in per cent that his notebook printed, by H: dip, peak and widest with noise; the same without.
PUBLISHED = {
    0.15: {9: 48.97, 47: 54.05, 61: 54.02, 300: 45.47},
    0.0: {21: 42.63, 47: 41.0, 300: 37.25},
}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    widest: int  # H
    widths: int
    epochs: int
    seeds: int
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(8, 3, 2, 1),
    "small": Parameters(300, 20, 500, 1),
    "paper": Parameters(300, 20, 500, 10),
}


def noisy(task: Task, noise: float, seed: int) -> Task:
    """The task with random labels on a share of the training part; trained on all of it, and scored on the test set."""
    from hpjax.tasks import Split

    rng = np.random.default_rng(seed)
    y, rows = task.y.copy(), task.development
    changed = rng.permutation(rows)[: round(noise * len(rows))]
    y[changed] = rng.integers(len(task.labels), size=len(changed))
    return dataclasses.replace(task, y=y, standardize=False, folds=(Split(rows, task.test),))


def run(parameters: Parameters) -> dict[str, Any]:
    """All widths as one population, for both kinds of labels and several seeds."""
    import hpjax

    task = hpjax.tasks.load("mnist1d", parameters.data)
    sizes = np.geomspace(2, parameters.widest, parameters.widths).astype(int)
    sizes = np.unique(sizes).tolist()
    space = {
        "hidden": hpjax.Choice([(h, h) for h in sizes]),
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": 0.01,
        "batch_size": 100,
        "epochs": parameters.epochs,
    }
    found = {}
    for noise in NOISES:
        rows = []
        for seed in range(parameters.seeds):
            result = hpjax.tune(
                space,
                noisy(task, noise, seed),
                search=[{"hidden": (h, h)} for h in sizes],
                seed=seed,
                validation={"score_every": parameters.epochs},
                say=lambda text: None,
            )
            last = result.curves.groupby("trial").last()
            rows.append({"error": last["error"].tolist(), "train": last["train"].tolist()})
            print(f"noise {noise:g}, seed {seed}", flush=True)
        found[str(noise)] = rows
    return {"widths": sizes, "found": found}


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Test error and training loss over the width."""
    from hpjax import plots

    entry = numbers["widths"]
    sizes = np.array(entry["widths"])
    made, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=2.3)
    rows, middle = [], {}
    for noise, color, marker in zip(NOISES, ("#EE6677", "#4477AA"), "os"):
        runs = entry["found"][str(noise)]
        error = 100 * np.array([r["error"] for r in runs])
        train = np.array([r["train"] for r in runs]).mean(0)
        middle[noise] = error.mean(0)
        label = f"{100 * noise:g} % random labels" if noise else "true labels"
        left.plot(sizes, middle[noise], marker=marker, ms=3, color=color, label=label)
        left.fill_between(sizes, error.min(0), error.max(0), color=color, alpha=0.15, lw=0)
        published = PUBLISHED[noise]
        left.plot(list(published), list(published.values()), "x", ms=4, color=color, mew=1)
        right.plot(sizes, train, marker=marker, ms=3, color=color, label=label)
        rows += [[noise, int(h), e, t] for h, e, t in zip(sizes, middle[noise], train)]
    left.plot([], [], "x", color="k", ms=4, label="published")
    left.set(xscale="log", xlabel="hidden units a layer", ylabel="test error, %")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="hidden units a layer",
        ylabel="training loss, last epoch",
    )
    left.legend()
    right.legend()
    sheet.figure(made, "descent")
    sheet.table(
        "descent",
        ["share of random labels", "hidden units", "test error, %", "training loss"],
        rows,
    )
    error = middle[NOISES[0]]


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["widths"]
    sizes, found = np.array(entry["widths"]), entry["found"]
    middle = {
        noise: np.mean([100 * np.array(r["error"]) for r in found[str(noise)]], 0)
        for noise in NOISES
    }
    error = middle[NOISES[0]]
    wide = sizes >= 15
    peak = int(np.flatnonzero(wide)[error[wide].argmax()]) if wide.any() else int(error.argmax())
    dip = int(error[: peak + 1].argmin())
    return [
        Criterion("random labels: width at the peak of the test error", float(sizes[peak]), 27),
        Criterion("the same, from above", float(sizes[peak]), 90, at_least=False),
        Criterion(
            f"random labels: points from the dip (width {sizes[dip]}) to the peak",
            error[peak] - error[dip],
            3,
        ),
        Criterion(
            "random labels: points that the widest lies below the dip", error[dip] - error[-1], 0
        ),
        Criterion(
            "true labels: points from the narrowest of 15 or more to the widest",
            middle[0.0][sizes >= min(15, sizes[-1])][0] - middle[0.0][-1],
            0,
        ),
    ]


EXPERIMENT = Experiment(
    "double_descent",
    presets=PRESETS,
    parts={"widths": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
