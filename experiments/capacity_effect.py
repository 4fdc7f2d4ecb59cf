"""Capacity: too few units cannot bend enough, too many follow the noise; fits drawn, and error taken apart into bias and variance.

    python -m experiments.capacity_effect
    python -m experiments.capacity_effect --plot results/capacity_effect

One hidden layer of 1 to 256 tanh units, 30 points of sin(2 pi x) with noise of deviation 0.5, trained to the end (full batch, Adam,
8,000 steps, cosine). Every width is trained on many independent data sets, all of them one population. With f the truth and f_s the
fit to data set s: mean of (f_s - f)^2 = (mean f_s - f)^2 + variance of f_s (Geman, Bienenstock & Doursat 1992, equation 2.3).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._trained import outputs, trained

POINTS, NOISE, PLACES = 30, 0.5, 200
WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
SHOWN = (1, 3, 64)


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    steps: int  # of training
    widths: tuple[int, ...]
    seeds: int  # data sets


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(50, WIDTHS[:3], 3),
    "small": Parameters(8000, WIDTHS, 40),
    "paper": Parameters(8000, WIDTHS, 200),
}


def task(sets: int):
    """Noisy data sets, each a fold; all are scored on the truth at the same places."""
    from hpjax.tasks import Split, Task

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, sets * POINTS)
    y = np.sin(2 * np.pi * x) + NOISE * rng.normal(size=len(x))
    grid = np.linspace(-0.95, 0.95, PLACES)
    rows, scored = np.arange(len(x)).reshape(sets, POINTS), len(x) + np.arange(PLACES)
    return Task(
        "noisy sines",
        np.append(x, grid)[:, None],
        np.append(y, np.sin(2 * np.pi * grid)),
        test=scored[:1],
        standardize=False,
        folds=tuple(Split(row, scored) for row in rows),
    )


def run(parameters: Parameters) -> dict[str, Any]:
    """All widths and data sets at once."""
    import hpjax

    data = task(parameters.seeds)
    space = {
        "hidden": hpjax.Choice([(w,) for w in parameters.widths]),
        "activation": "tanh",
        "init": "lecun",
        "init_scale": 3.0,
        "optimizer": "adam",
        "learning_rate": 0.02,
        "schedule": "cosine",
        "batch_size": 0,
        "epochs": parameters.steps,
        "loss": "mse",
    }
    found = trained(
        space,
        data,
        [{"hidden": (w,)} for w in parameters.widths],
        parameters.steps,
        score_every=parameters.steps,
    )
    x = data.x[-PLACES:]
    fits = np.stack([outputs(one, x)[:, :, 0] for one in found])  # [widths sets places]
    return {
        "fits": fits.round(4).astype(np.float32),
        "widths": parameters.widths,
        "x": x[:, 0].tolist(),
        "first": [data.x[:POINTS, 0].tolist(), data.y[:POINTS].tolist()],
        "train": [one.curve[:, -1, 1].tolist() for one in found],
        "test": [one.curve[:, -1, 2].tolist() for one in found],
    }


def taken_apart(entry: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits [widths sets places], the squares of their bias [widths] and their variances [widths]."""
    fits = np.clip(entry["fits"].astype(float), -5, 5)  # one may run off between two points
    bias = ((fits.mean(1) - np.sin(2 * np.pi * np.array(entry["x"]))) ** 2).mean(1)
    return fits, bias, fits.var(1).mean(1)


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Fits at three widths; errors, bias and variance over the width."""
    from hpjax import analysis, plots

    entry = numbers["capacity"]
    widths, x = np.array(entry["widths"]), np.array(entry["x"])
    fits = entry["fits"].astype(float)
    train, test = np.array(entry["train"]), np.array(entry["test"])
    truth = np.sin(2 * np.pi * x)
    sets = fits.shape[1]
    made, axes = plots.figure(
        1, 5, width=plots.WIDE, height=2.4, gridspec_kw={"width_ratios": [1, 1, 1, 1.5, 1.5]}
    )
    for ax, width in zip(axes, SHOWN):
        at = int(np.abs(widths - width).argmin())
        for fit in fits[at, : min(sets, 20)]:
            ax.plot(x, fit, color="#BBBBBB", lw=0.3)
        ax.plot([], [], color="#BBBBBB", lw=0.8, label="fits to other sets")
        ax.plot(x, truth, color="k", lw=0.8, ls=":", label="truth")
        ax.plot(x, fits[at, 0], color="#4477AA", label="fit to the dots")
        ax.plot(*entry["first"], ".", ms=3, color="k", label="one data set")
        ax.set(ylim=(-2.2, 2.2), xticks=[-1, 0, 1], yticks=[-2, 0, 2], xlabel="x")
        ax.set_title(f"{widths[at]} unit{'s' if widths[at] > 1 else ''}")
    axes[0].set_ylabel("y")
    made.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
    low, middle, high = analysis.quartiles(test.T)
    axes[3].plot(widths, np.median(train, 1), color="#BBBBBB", marker="s", ms=3, label="training")
    axes[3].plot(widths, middle, color="#4477AA", marker="o", ms=3, label="test, noise-free")
    axes[3].fill_between(widths, low, high, color="#4477AA", alpha=0.2, lw=0)
    axes[3].set(xscale="log", yscale="log", xlabel="hidden units", ylabel="squared error")
    axes[3].set_ylim(0.05, 1.6)
    axes[3].legend(fontsize=6, loc="upper left")
    axes[3].set_title(f"quartiles of {sets} sets")
    _, bias, variance = taken_apart(entry)
    axes[4].plot(widths, bias, color="#EE6677", marker="^", ms=3, label="bias squared")
    axes[4].plot(widths, variance, color="#228833", marker="v", ms=3, label="variance")
    axes[4].plot(widths, bias + variance, color="#4477AA", lw=0.8, ls="--", label="sum")
    axes[4].set(xscale="log", yscale="log", xlabel="hidden units", ylabel="squared error")
    axes[4].legend(fontsize=6)
    axes[4].set_title("bias and variance")
    sheet.figure(made, "capacity")
    sheet.table(
        "capacity",
        [
            "hidden units",
            "training error, median",
            "test error, lower quartile",
            "median",
            "upper quartile",
            "bias squared",
            "variance",
        ],
        zip(widths, np.median(train, 1), low, middle, high, bias, variance),
    )
    sheet.table(
        "fits",
        ["hidden units", "data set", "x", "fit"],
        [
            [int(w), s, v, f]
            for w in SHOWN
            if w in widths
            for s in range(min(sets, 20))
            for v, f in zip(x[::4], fits[list(widths).index(w), s, ::4])
        ],
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["capacity"]
    widths, truth = np.array(entry["widths"]), np.sin(2 * np.pi * np.array(entry["x"]))
    train, middle = np.array(entry["train"]), np.median(entry["test"], 1)
    clipped, bias, variance = taken_apart(entry)
    best, most = int(middle.argmin()), int(np.abs(widths - SHOWN[-1]).argmin())
    each = ((clipped - truth) ** 2).mean((1, 2))
    mean_best = int(each.argmin())
    return [
        Criterion("units of the lowest median test error: at least", float(widths[best]), 2),
        Criterion("the same: at most", float(widths[best]), 12, at_least=False),
        Criterion("test error of one unit over the lowest", middle[0] / middle[best], 2),
        Criterion(
            f"test error of {widths[most]} units over the lowest", middle[most] / middle[best], 1.5
        ),
        Criterion(
            f"training error of {widths[most]} units over that of one",
            np.median(train[most]) / np.median(train[0]),
            0.25,
            at_least=False,
        ),
        Criterion(
            f"bias squared of {widths[most]} units over that of one",
            bias[most] / bias[0],
            0.25,
            at_least=False,
        ),
        Criterion(
            f"variance of {widths[most]} units over that at the lowest mean error ({widths[mean_best]} units)",
            variance[most] / variance[mean_best],
            1.5,
        ),
        Criterion(
            "bias squared plus variance, largest relative distance from the mean error",
            float(np.max(np.abs((bias + variance) / each - 1))),
            1e-9,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "capacity_effect",
    presets=PRESETS,
    parts={"capacity": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
