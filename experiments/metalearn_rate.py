"""Two learning rates, ten times apart, meet: MNIST-1D's metalearning of a learning rate.

    HPJAX_DATA=... python -m experiments.metalearn_rate

After Greydanus & Kobak's MNIST-1D notebook: 40-50-10, tanh, 200 steps of SGD with batches of 50, 50 meta-steps on the mean training
loss of those steps, from rates 1.5 and 0.15; both end near 0.62 there. Inputs as they are, weights with the deviation of PyTorch's
layers; the meta-optimizer is Adam on the log rate.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

STARTS = (1.5, 0.15)
PUBLISHED = 0.62


def run(flags: Flags, folder: Path) -> None:
    """Both descents, and the objective over a grid of rates."""
    from hpjax import hypergrad, tasks

    smoke = flags.preset == "smoke"
    made = dataclasses.replace(tasks.load("mnist1d", flags.data), standardize=False)
    rows = made.development
    spec, config = hypergrad.configure(
        made, hidden=(50,), activation="tanh", optimizer="sgd", batch_size=50, init="lecun", init_scale=3**-0.5
    )  # fmt: skip
    split = tasks.Split(rows, rows[:1])
    options = dict(steps=10 if smoke else 200, objective="curve", split=split)
    starts = [config | {"learning_rate": rate} for rate in STARTS]
    found = hypergrad.learn(
        made, spec, starts, "learning_rate", iterations=3 if smoke else 50, rate=0.1, end_factor=0.1, fresh=False, **options
    )  # fmt: skip
    grid = np.geomspace(0.05, 3.0, 5 if smoke else 60)
    losses = hypergrad.hypergradients(made, spec, [config | {"learning_rate": float(r)} for r in grid], "learning_rate", mode="plain", **options).loss  # fmt: skip
    write(folder / "rates.json", {"path": found.path["learning_rate"].tolist(), "loss": found.history.loss.tolist(), "ends": found.learned["learning_rate"].tolist(), "grid": grid.tolist(), "losses": losses.tolist()}, indent=None)  # fmt: skip


def draw(folder: Path) -> list[dict]:
    """The rates over meta-steps, and the objective they descend."""
    from hpjax import plots

    found = read(folder / "rates.json")
    ends = np.array(found["ends"])
    path = np.concatenate([np.array(found["path"]), ends[None]])
    made, axes = plots.figure(1, 2, width=plots.WIDE, height=2.4)
    for start, color in zip(range(len(STARTS)), plots.COLORS):
        axes[0].plot(np.arange(len(path)), path[:, start], color=color, label=f"from {STARTS[start]:g}")  # fmt: skip
    axes[0].axhline(PUBLISHED, color="k", lw=0.6, ls=":")
    axes[0].text(len(path) * 0.75, PUBLISHED * 0.86, "published 0.62", fontsize=6)
    axes[0].set(xlabel="meta-step", ylabel="learning rate", yscale="log")
    axes[0].legend()
    axes[1].plot(found["grid"], found["losses"], color="#777777")
    for start, color in zip(range(len(STARTS)), plots.COLORS):
        axes[1].plot(path[:-1, start], np.array(found["loss"])[:, start], ".", ms=3, color=color)
    axes[1].set(xscale="log", xlabel="learning rate", ylabel="mean training loss of 200 steps")
    plots.save(made, folder / "rates")
    write_rows(folder / "rates.csv", ["meta-step", *(f"from {s:g}" for s in STARTS)], [[i, *row] for i, row in enumerate(path.round(5).tolist())])  # fmt: skip
    return [
        Criterion("distance of the two rates after 50 meta-steps", abs(ends[0] - ends[1]), 0.05, at_least=False),
        Criterion("lower of the two", ends.min(), 0.5),
        Criterion("higher of the two", ends.max(), 0.75, at_least=False),
    ]  # fmt: skip


if __name__ == "__main__":
    main("metalearn_rate", run, draw)
