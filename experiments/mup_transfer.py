"""The best learning rate moves with the width, unless the network is parametrised for it (muP).

    HPJAX_DATA=... python -m experiments.mup_transfer
    python -m experiments.mup_transfer --plot results/mup_transfer

After Yang et al. (2021): two hidden layers, ReLU, no biases, Adam, minibatches of 64; training loss after some epochs against the
learning rate, for each width, in standard parametrisation and in muP with the narrowest width as its base, where both are the same
network. On MNIST-10k instead of CIFAR-10, and with Adam: with SGD the best rate moved by no more than one step either way.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

LOW, HIGH = -13.0, -3.0  # log2 of the learning rate
WAYS = {"standard": "standard", "muP": "mup"}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    widths: tuple[int, ...]
    rates: int  # learning rates
    epochs: int
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters((16, 32), 4, 1),
    "small": Parameters((32, 64, 128, 256, 512), 21, 4),
    "paper": Parameters((64, 128, 256, 512, 1024), 37, 20),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """Every width and rate in both parametrisations, a population each."""
    import hpjax

    task = hpjax.tasks.load("mnist10k", parameters.data)
    rates = 2.0 ** np.linspace(LOW, HIGH, parameters.rates)
    entry: dict = {
        "log2 rate": np.log2(rates).tolist(),
        "widths": list(parameters.widths),
        "loss": {},
    }
    for name, way in WAYS.items():
        space = {
            "hidden": hpjax.Choice([(w, w) for w in parameters.widths]),
            "parametrization": way,
            "base_width": parameters.widths[0],
            "init": "lecun",
            "bias": False,
            "optimizer": "adam",
            "batch_size": 64,
            "epochs": parameters.epochs,
            "learning_rate": hpjax.LogUniform(2.0 ** (LOW - 1), 2.0 ** (HIGH + 1)),
        }
        trials = [
            {"hidden": (w, w), "learning_rate": float(r)} for w in parameters.widths for r in rates
        ]
        found = hpjax.tune(
            space,
            task,
            search=trials,
            validation={"score_every": parameters.epochs},
            say=lambda text: None,
        )
        last = found.curves.groupby("trial").last()["train"].reindex(range(len(trials)))
        entry["loss"][name] = (
            last.to_numpy(float).reshape(len(parameters.widths), parameters.rates).tolist()
        )
        print(name, flush=True)
    return entry


def losses(entry: dict[str, Any], way: str) -> tuple[np.ndarray, np.ndarray]:
    """Losses [widths rates], and those that are drawn: NaN where training diverged, or nearly."""
    loss = np.array(entry["loss"][way], float)
    return loss, np.where(np.isfinite(loss) & (loss < 5), loss, np.nan)


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Training loss over the rate, a line per width; the best rate of each width."""
    import matplotlib

    from hpjax import plots

    entry = numbers["rates"]
    x, widths = np.array(entry["log2 rate"]), entry["widths"]
    made, axes = plots.figure(1, 3, width=plots.WIDE, height=2.2)
    rows = []
    for ax, name in zip(axes, WAYS):
        loss, shown = losses(entry, name)
        best = x[np.nanargmin(shown, 1)]
        for number, width in enumerate(widths):
            color = matplotlib.colormaps["viridis"](number / max(1, len(widths) - 1) * 0.9)
            ax.plot(x, shown[number], color=color, label=f"{width}")
            ax.plot(best[number], np.nanmin(shown[number]), "o", ms=3, color=color)
            rows += [[name, width, r, v] for r, v in zip(x, loss[number])]
        ax.set(xlabel="log2 learning rate", ylabel="training loss", ylim=(0, 2.4))
        ax.set_title("standard parametrisation" if name == "standard" else name)
        ax.legend(title="width", title_fontsize=6, fontsize=6)
        axes[2].plot(
            np.log2(widths),
            best,
            marker="os"[name == "muP"],
            ms=3,
            color=plots.COLORS[name == "muP"],
            label=name,
        )
    axes[2].set(xlabel="log2 width", ylabel="log2 of the best learning rate")
    axes[2].legend()
    sheet.figure(made, "rates")
    sheet.table("rates", ["parametrisation", "width", "log2 rate", "training loss"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["rates"]
    x = np.array(entry["log2 rate"])
    best = {name: x[np.nanargmin(losses(entry, name)[1], 1)] for name in WAYS}
    base = {name: losses(entry, name)[0][0] for name in WAYS}
    step = x[1] - x[0]
    drift = {name: (found.max() - found.min()) / step for name, found in best.items()}
    same = np.nanmax(np.abs(np.where(np.isfinite(base["muP"]), base["muP"] - base["standard"], 0)))
    return [
        Criterion(
            "muP: grid steps (half a power of two at small) that the best rate moves over the widths",
            drift["muP"],
            1,
            at_least=False,
        ),
        Criterion("standard: the same", drift["standard"], 2),
        Criterion("largest difference of both at the base width", same, 1e-6, at_least=False),
    ]


EXPERIMENT = Experiment(
    "mup_transfer",
    presets=PRESETS,
    parts={"rates": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
