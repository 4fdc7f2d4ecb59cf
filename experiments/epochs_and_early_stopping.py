"""How long to train: training loss keeps falling, validation loss turns; early stopping keeps the best epoch's weights.

    HPJAX_DATA=... python -m experiments.epochs_and_early_stopping
    python -m experiments.epochs_and_early_stopping --plot results/epochs_and_early_stopping

MNIST-1D, 40-100-100-10, ReLU, Adam at 0.001. The same networks are scored on validation and on test examples over all epochs, and
trained once more as a population of patiences: epochs without a lower validation loss until training stops (counted from the
lowest; Prechelt 1998, Early Stopping - But When?, has others). What the stopped networks are worth is said by the test.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._trained import losses, outputs, seen, trained

PATIENCES = (1, 2, 3, 5, 8, 13, 21, 34, 55)
CHOSEN = 8


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    epochs: int
    seeds: int  # networks
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(4, 2),
    "small": Parameters(150, 20),
    "paper": Parameters(500, 100),
}


def stops(loss: np.ndarray, patience: int) -> tuple[np.ndarray, np.ndarray]:
    """Epochs [R] at which training stops and whose weights it keeps, told from curves [R E] by hand."""
    ends, kept = [], []
    for curve in loss:
        best, at = np.inf, 0
        for epoch, value in enumerate(curve, 1):
            best, at = (value, epoch) if value < best else (best, at)
            if epoch - at >= patience:
                break
        ends.append(epoch)
        kept.append(at)
    return np.array(ends), np.array(kept)


def run(parameters: Parameters) -> dict[str, Any]:
    """Whole curves of every repeat, then every patience."""
    import hpjax
    from hpjax import tasks
    from hpjax.tasks import Split

    task = tasks.load("mnist1d", parameters.data)
    split = tasks.splits(task)[0]
    task = dataclasses.replace(task, folds=(split,))
    tested = dataclasses.replace(task, folds=(Split(split.train, task.test),))
    space = {
        "hidden": (100, 100),
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 32,
        "epochs": parameters.epochs,
    }
    entry: dict = {"epochs": parameters.epochs}
    for part, where in (("validation", task), ("test", tested)):
        curve = trained(space, where, [{}], parameters.epochs, parameters.seeds)[0].curve
        entry[part] = {
            name: np.round(curve[:, :, at], 5).tolist()
            for at, name in ((1, "train"), (2, "loss"), (3, "error"))
        }
        print(f"curves on {part}", flush=True)
    patient = space | {"patience": hpjax.IntUniform(1, 100)}
    found = trained(
        patient, task, [{"patience": p} for p in PATIENCES], parameters.epochs, parameters.seeds
    )
    x, y = seen(task, task.test, split.train)
    told = [stops(one.curve[:, :, 2], p) for p, one in zip(PATIENCES, found)]
    ended = [np.nanmax(one.curve[:, :, 0], 1) for one in found]
    entry["differ"] = sum(
        int((end != e).sum() + (kept != one.weights_epoch).sum())
        for one, end, (e, kept) in zip(found, ended, told)
    )
    entry["patience"] = {
        str(patience): {
            "kept": one.weights_epoch.tolist(),
            "stopped": end.tolist(),
            "loss": losses(one, x, y).round(5).tolist(),
            "error": (outputs(one, x).argmax(-1) != y.argmax(-1)).mean(-1).round(5).tolist(),
        }
        for patience, one, end in zip(PATIENCES, found, ended)
    }
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Curves with the epochs that are kept; what patience buys and costs."""
    from hpjax import analysis, plots

    entry = numbers["epochs"]
    made, axes = plots.figure(1, 3, width=plots.WIDE, height=2.4)
    epoch = np.arange(1, entry["epochs"] + 1)
    validation, test = (
        {n: np.array(v) for n, v in entry[part].items()} for part in ("validation", "test")
    )
    rows = []
    for what, values, color, dash in (
        ("training", validation["train"], "#BBBBBB", "--"),
        ("validation", validation["loss"], "#4477AA", "-"),
        ("test", test["loss"], "#EE6677", "-"),
    ):
        low, middle, high = analysis.quartiles(values)
        axes[0].plot(epoch, middle, color=color, ls=dash, label=what)
        axes[0].fill_between(epoch, low, high, color=color, alpha=0.2, lw=0)
        rows += [
            ["loss", what, int(e), *band]
            for e, band in zip(epoch, np.stack([low, middle, high], 1))
        ]
    patiences = np.array([int(p) for p in entry["patience"]])
    turned = float(np.median(np.array(entry["patience"][str(patiences[-1])]["kept"])))
    axes[0].axvline(turned, color="k", lw=0.6, ls=":")
    axes[0].text(
        turned * 0.9,
        0.15,
        f"lowest validation\nloss: epoch {turned:g}",
        fontsize=6,
        ha="right",
        va="top",
    )
    axes[0].set(yscale="log", xscale="log", xlabel="epoch", ylabel="loss", ylim=(1e-3, 4))
    axes[0].legend(loc="lower left")
    axes[0].set_title(f"median, quartiles of {len(test['loss'])} seeds")
    error = 100 * test["error"]
    low, middle, high = analysis.quartiles(error)
    axes[1].plot(epoch, middle, color="#EE6677", label="test")
    axes[1].fill_between(epoch, low, high, color="#EE6677", alpha=0.2, lw=0)
    rows += [
        ["error, %", "test", int(e), *band]
        for e, band in zip(epoch, np.stack([low, middle, high], 1))
    ]
    axes[1].axvline(turned, color="k", lw=0.6, ls=":")
    axes[1].set(xscale="log", xlabel="epoch", ylabel="test error, %")
    axes[1].set_title("the error does not turn")
    ends = {
        n: np.array([one[n] for one in entry["patience"].values()], float)
        for n in ("loss", "stopped", "kept")
    }
    middle = analysis.quartiles(ends["loss"].T)
    axes[2].plot(
        patiences, middle[1], marker="o", ms=3, color="#EE6677", label="test loss, stopped"
    )
    axes[2].fill_between(patiences, middle[0], middle[2], color="#EE6677", alpha=0.2, lw=0)
    last = float(np.median(test["loss"][:, -1]))
    axes[2].axhline(last, color="#EE6677", lw=0.8, ls="--")
    axes[2].text(
        patiences[0], last * 0.98, f"test loss after {entry['epochs']} epochs", fontsize=6, va="top"
    )
    axes[2].set(xscale="log", xlabel="patience, epochs", ylabel="test loss", ylim=(0, None))
    axes[2].yaxis.label.set_color("#EE6677")
    axes[2].tick_params(axis="y", colors="#EE6677")
    axes[2].set_title("what patience costs")
    spent = axes[2].twinx()
    spent.plot(
        patiences,
        np.median(ends["stopped"], 1),
        marker="s",
        ms=3,
        color="#228833",
        label="epochs trained",
    )
    spent.set(ylabel="epochs trained", ylim=(0, None))
    spent.spines["right"].set_visible(True)
    spent.yaxis.label.set_color("#228833")
    spent.tick_params(axis="y", colors="#228833")
    handles = [*axes[2].get_legend_handles_labels()[0], *spent.get_legend_handles_labels()[0]]
    axes[2].legend(
        handles,
        [h.get_label() for h in handles],
        loc="center left",
        bbox_to_anchor=(0.0, 0.72),
        fontsize=6,
    )
    sheet.figure(made, "epochs")
    sheet.table(
        "epochs",
        ["what", "examples", "epoch", "lower quartile", "median", "upper quartile"],
        rows,
    )
    sheet.table(
        "patience",
        ["patience", "seed", "stopped", "kept", "test loss", "test error"],
        [
            [int(p), s, *v]
            for p, one in entry["patience"].items()
            for s, v in enumerate(zip(one["stopped"], one["kept"], one["loss"], one["error"]))
        ],
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["epochs"]
    validation, test = (
        {n: np.array(v) for n, v in entry[part].items()} for part in ("validation", "test")
    )
    patiences = np.array([int(p) for p in entry["patience"]])
    chosen = entry["patience"][str(CHOSEN)]
    lowest = validation["loss"].min(1)
    ours = np.array(chosen["loss"])
    return [
        Criterion(
            "training loss, last epoch over that of the lowest validation loss",
            np.median(
                validation["train"][:, -1]
                / validation["train"][np.arange(len(lowest)), validation["loss"].argmin(1)]
            ),
            0.5,
            at_least=False,
        ),
        Criterion(
            "validation loss, last epoch over the lowest",
            np.median(validation["loss"][:, -1] / lowest),
            1.25,
        ),
        Criterion(
            f"stops and kept epochs that differ from those told from the curves by hand, of {2 * len(patiences) * len(lowest)}",
            entry["differ"],
            0,
            at_least=False,
        ),
        Criterion(
            f"patience {CHOSEN}: test loss of what it keeps over that of the last epoch, median",
            np.median(ours / test["loss"][:, -1]),
            0.8,
            at_least=False,
        ),
        Criterion(
            f"patience {CHOSEN}: the same over the lowest of all epochs on the test examples",
            np.median(ours / test["loss"].min(1)),
            1.05,
            at_least=False,
        ),
        Criterion(
            f"patience {CHOSEN}: share of the epochs trained",
            np.median(chosen["stopped"]) / entry["epochs"],
            0.5,
            at_least=False,
        ),
        Criterion(
            "the test error does not turn: median over the last ten epochs over the lowest median",
            np.median(test["error"][:, -10:]) / np.median(test["error"], 0).min(),
            1.05,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "epochs_and_early_stopping",
    presets=PRESETS,
    parts={"epochs": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
