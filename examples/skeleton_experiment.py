"""A skeleton of an experiment: does a wider network need a smaller learning rate? Copy it to experiments/NAME.py.

python -m examples.skeleton_experiment --preset smoke
python -m examples.skeleton_experiment --seeds 5 --out runs/mine
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen; each is a flag of the command line, and the comment its help."""

    widths: tuple[int, ...]
    rates: int  # learning rates, from 1e-4 to 1
    epochs: int
    seeds: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters((4, 16), 3, 2, 1),
    "small": Parameters((4, 16, 64), 13, 20, 3),
    "paper": Parameters((4, 16, 64, 256), 41, 50, 10),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """All widths and rates as one population."""
    import hpjax

    rates = np.geomspace(1e-4, 1, parameters.rates)
    configs = [{"hidden": (w,), "learning_rate": r} for w in parameters.widths for r in rates]
    trained = hpjax.train(configs, "iris", parameters.epochs, seeds=parameters.seeds)
    loss = trained.table["loss"].groupby("config").median().to_numpy()
    shape = (len(parameters.widths), len(rates))
    return {"widths": parameters.widths, "rates": rates, "loss": loss.reshape(shape)}


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Validation loss over the rate, a line per width."""
    from hpjax import plots

    found = numbers["rates"]
    figure, ax = plots.figure(1, 1)
    for width, loss in zip(found["widths"], found["loss"]):
        ax.plot(found["rates"], loss, marker="o", ms=3, label=f"{width} units")
    ax.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="validation loss")
    ax.legend()
    sheet.figure(figure, "rates")
    header = ["learning rate", *(f"{width} units" for width in found["widths"])]
    sheet.table("rates", header, zip(found["rates"], *found["loss"]))


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    found = numbers["rates"]
    best = found["rates"][np.nanargmin(found["loss"], 1)]
    return [Criterion("best rate, narrowest over widest", best[0] / best[-1], 1)]


EXPERIMENT = Experiment("skeleton", PRESETS, {"rates": run}, draw, criteria)

if __name__ == "__main__":
    main(EXPERIMENT)
