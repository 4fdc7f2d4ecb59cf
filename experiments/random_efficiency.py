"""How many random trials does it take? Test accuracy of the best of 1, 2, 4, ... 128 trials, beside a grid of 96.

    HPJAX_DATA=... python -m experiments.random_efficiency
    python -m experiments.random_efficiency --plot results/random_efficiency

After figure 5 of Bergstra & Bengio (2012): 256 random trials a data set, divided into 256 / s disjoint experiments of s. Their space:
hidden units 18 to 1,024 and learning rates 0.001 to 10 on logarithmic scales, minibatches of 20 or 100, sigmoid or tanh, l2 with
probability 1/2. Their rate falls as t0 / max(t, t0), ours as 1 / (1 + t / t0). The epoch of the lowest validation loss is kept. The best
trial of an experiment is uncertain: its test accuracy is the mean over all trials, weighted by the probability that each is the best
on validation examples (their equations 5 and 6, by Monte Carlo with Bernoulli variances). `small` has up to 256 units and fewer images.

Then relevance, in the style of their figure 7: inverse length scales of a Gaussian process of the validation error, refitted on 80 %.
"""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._trained import outputs, seen, trained

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
DATA = ("digits", "mnist1d", "mnist10k")
COLORS = {"digits": "#4477AA", "mnist1d": "#EE6677", "mnist10k": "#228833"}
SHOWN = ("learning_rate", "width_1", "decay_time", "l2", "batch_size", "activation")


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    tasks: tuple[str, ...]
    trials: int  # at random
    grid: int  # trials of the grid
    epochs: int
    most: int  # units
    images: int  # to train on and, as many, to be chosen by
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(DATA[:1], 16, 8, 2, 32, 300),
    "small": Parameters(DATA, 256, 96, 20, 256, 1000),
    "paper": Parameters(DATA, 256, 96, 100, 1024, 8000),
}


def trials(count: int, most: int, seed: int) -> list[dict]:
    """Random trials in the paper's space."""
    rng = np.random.default_rng(seed)
    log = lambda low, high: float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return [
        {
            "width_1": round(log(18, most)),
            "learning_rate": log(1e-3, 10),
            "decay_time": log(0.2, 20),
            "batch_size": int(rng.choice([20, 100])),
            "activation": str(rng.choice(["sigmoid", "tanh"])),
            "l2": log(3.1e-7, 3.1e-5) if rng.random() < 0.5 else 0.0,
        }
        for _ in range(count)
    ]


def lattice(most: int) -> list[dict]:
    """A grid of 96 trials: what somebody would write down."""
    widths = [round(v) for v in np.geomspace(18, most, 3)]
    return [
        {
            "width_1": w,
            "learning_rate": r,
            "decay_time": t,
            "batch_size": b,
            "activation": a,
            "l2": 0.0,
        }
        for w, r, t, b, a in product(
            widths, (1e-3, 0.0215, 0.464, 10.0), (0.2, 20.0), (20, 100), ("sigmoid", "tanh")
        )
    ]


def best_of(
    valid: np.ndarray, test: np.ndarray, counts: tuple[int, int], rng: np.random.Generator
) -> tuple[float, float]:
    """Mean and deviation of the test accuracy of the best trial, which the validation examples leave uncertain."""
    spread = np.sqrt(np.maximum(valid * (1 - valid), 1e-12) / (counts[0] - 1))
    drawn = valid + spread * rng.standard_normal((2000, len(valid)))
    weight = np.bincount(drawn.argmax(1), minlength=len(valid)) / len(drawn)
    mean = float(weight @ test)
    variance = float(weight @ (test**2 + test * (1 - test) / (counts[1] - 1)) - mean**2)
    return mean, float(np.sqrt(max(variance, 0.0)))


def run(parameters: Parameters) -> dict[str, Any]:
    """A population of random trials and one of a grid on each data set."""
    import hpjax
    from hpjax import devices, tasks
    from hpjax.tasks import Split

    devices.devices()  # before anything else starts JAX
    entry: dict = {}
    for name in parameters.tasks:
        task = tasks.load(name, parameters.data)
        split = tasks.splits(task)[0]
        split = Split(split.train[: parameters.images], split.valid[: parameters.images])
        task = dataclasses.replace(task, folds=(split,))
        space = {
            "depth": 1,
            "width_1": hpjax.IntUniform(1, parameters.most),
            "learning_rate": hpjax.LogUniform(1e-4, 100.0),
            "decay_time": hpjax.LogUniform(0.1, 40.0),
            "batch_size": hpjax.Choice([20, 100]),
            "activation": hpjax.Choice(["sigmoid", "tanh"]),
            "l2": hpjax.Uniform(0.0, 1.0),
            "optimizer": "sgd",
            "schedule": "inverse_time",
            "decay_rate": 1.0,
            "init": "xavier",
            "epochs": parameters.epochs,
            "patience": parameters.epochs,
        }
        parts = {
            "random": trials(parameters.trials, parameters.most, DATA.index(name)),
            "grid": lattice(parameters.most)[: parameters.grid],
        }
        judged = {
            part: seen(task, rows, split.train)
            for part, rows in (("valid", split.valid), ("test", task.test))
        }
        entry[name] = {"examples": [len(split.valid), len(task.test)], "points": parts["random"]}
        for kind, points in parts.items():
            found = trained(space, task, points, parameters.epochs, seed=DATA.index(name))
            for part, (x, y) in judged.items():
                entry[name][f"{kind} {part}"] = [
                    float((outputs(one, x)[0].argmax(-1) == y.argmax(-1)).mean()) for one in found
                ]
        entry[name]["relevance"] = relevance(parts["random"], np.array(entry[name]["random valid"]))
        print(
            f"{name}: best on validation, test accuracy {entry[name]['random test'][int(np.argmax(entry[name]['random valid']))]:.4f}",
            flush=True,
        )
    return entry


def relevance(points: list[dict], accuracy: np.ndarray, refits: int = 20) -> list:
    """Inverse length scales [refits D] of a process of the error over the space, each dimension from 0 to 1."""
    from hpjax.search import gaussian_process

    log = lambda name, low, high: [
        (np.log(p[name]) - np.log(low)) / np.log(high / low) for p in points
    ]
    most = max(p["width_1"] for p in points)
    columns = np.array(
        [
            log("learning_rate", 1e-3, 10),
            log("width_1", 18, most),
            log("decay_time", 0.2, 20),
            [float(p["l2"] > 0) for p in points],
            [float(p["batch_size"] == 100) for p in points],
            [float(p["activation"] == "tanh") for p in points],
        ]
    ).T
    rng, found = np.random.default_rng(0), []
    for _ in range(refits):
        some = rng.choice(len(points), round(0.8 * len(points)), replace=False)
        value, _ = gaussian_process.warped(1 - accuracy[some], "power")
        theta, _ = gaussian_process.fit(
            columns[some], value, [gaussian_process.default(columns.shape[1])], steps=40
        )
        found.append(np.exp(-theta[1:-1]).round(4).tolist())
    return found


def all_best(entry: dict[str, Any]) -> dict[str, tuple[dict[int, list[float]], float, float]]:
    """On each data set: test accuracies of the best of random experiments by their size; the grid's, and its standard error."""
    rng, found = np.random.default_rng(0), {}
    for name, one in entry.items():
        valid, test = np.array(one["random valid"]), np.array(one["random test"])
        sizes = {
            s: [
                best_of(valid[i : i + s], test[i : i + s], one["examples"], rng)[0]
                for i in range(0, len(valid) - s + 1, s)
            ]
            for s in SIZES
            if s <= len(valid) // 2
        }
        grid = best_of(
            np.array(one["grid valid"]), np.array(one["grid test"]), one["examples"], rng
        )
        found[name] = (sizes, *grid)
    return found


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Boxes over the size of the experiment; relevance."""
    from hpjax import plots

    entry = numbers["trials"]
    made, axes = plots.figure(1, len(entry), width=plots.WIDE, height=2.4, squeeze=False)
    rows, experiments = [], all_best(entry)
    for ax, (name, one) in zip(axes[0], entry.items()):
        found, grid, spread = experiments[name]
        sizes = list(found)
        drawn = ax.boxplot(
            [100 * np.array(v) for v in found.values()],
            widths=0.6,
            patch_artist=True,
            flierprops={"marker": ".", "markersize": 2},
            medianprops={"color": "k"},
        )
        for box in drawn["boxes"]:
            box.set(facecolor=COLORS[name], alpha=0.5, linewidth=0.5)
        for place, values in enumerate(found.values(), 1):
            if len(values) < 10:  # too few for quartiles
                ax.plot(np.full(len(values), place), 100 * np.array(values), ".", ms=2, color="k")
        ax.axhspan(100 * (grid - spread), 100 * (grid + spread), color="k", alpha=0.08, lw=0)
        ax.axhline(
            100 * grid,
            color="k",
            lw=0.8,
            ls="--",
            label=f"grid of {len(one['grid valid'])}, one standard error",
        )
        low = 100 * np.quantile(found[sizes[min(1, len(sizes) - 1)]], 0.1)
        ax.legend(loc="lower right", fontsize=6)
        ax.set_xticks(range(1, len(sizes) + 1), sizes)
        ax.set(
            xlabel="trials in an experiment",
            ylabel="test accuracy, %",
            ylim=(low - 0.12 * (100 * grid - low), 100 * grid + 0.25 * (100 * grid - low)),
        )
        ax.set_title(name)
        rows += [[name, s, i, v] for s, values in found.items() for i, v in enumerate(values)] + [
            [name, "grid", 0, grid]
        ]
    sheet.figure(made, "efficiency")
    sheet.table("efficiency", ["data", "trials", "experiment", "test accuracy"], rows)
    made, axes = plots.figure(
        1, len(entry), width=plots.WIDE, height=1.9, squeeze=False, sharey=True
    )
    rows = []
    for ax, (name, one) in zip(axes[0], entry.items()):
        table = np.array(one["relevance"])
        low, middle, high = np.quantile(table, [0.25, 0.5, 0.75], axis=0)
        place = np.arange(len(SHOWN))[::-1]
        ax.barh(
            place,
            middle,
            0.6,
            xerr=[middle - low, high - middle],
            color=COLORS[name],
            alpha=0.5,
            error_kw={"lw": 0.6},
        )
        ax.set_yticks(place, [n.replace("width_1", "units").replace("_", " ") for n in SHOWN])
        ax.set(xlabel="1 / length scale")
        ax.set_title(name)
        rows += [[name, n, i, v] for n, column in zip(SHOWN, table.T) for i, v in enumerate(column)]
    sheet.figure(made, "relevance")
    sheet.table("relevance", ["data", "hyperparameter", "refit", "1 / length scale"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["trials"]
    experiments = all_best(entry)
    eight = {name: e for name, e in experiments.items() if 8 in e[0]}
    beaten = [float(np.median(sizes[8]) >= grid - spread) for sizes, grid, spread in eight.values()]
    width = lambda values: np.quantile(values, 0.75) - np.quantile(values, 0.25)
    shrinks = [width(s[32]) < width(s[4]) for s, _, _ in experiments.values() if 32 in s]
    first = [float(np.median(one["relevance"], 0).argmax() == 0) for one in entry.values()]
    return [
        *(
            Criterion(
                f"{name}: median of the best of 8 random trials less the grid's {grid:.4f} and one standard error",
                float(np.median(sizes[8]) - grid + spread),
                0.0,
                figure="efficiency",
            )
            for name, (sizes, grid, spread) in eight.items()
        ),
        Criterion(
            "data sets, of all, on which 8 random trials match the grid within a standard error",
            float(np.mean(beaten)),
            0.5,
            figure="efficiency",
        ),
        Criterion(
            "data sets, of all, whose quartiles close from 4 trials to 32",
            float(np.mean(shrinks)) if shrinks else 0.0,
            1.0,
            figure="efficiency",
        ),
        Criterion(
            "data sets, of all, on which the learning rate is the most relevant (published: all)",
            float(np.mean(first)),
            1.0,
            figure="relevance",
        ),
    ]


EXPERIMENT = Experiment(
    "random_efficiency",
    presets=PRESETS,
    parts={"trials": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
