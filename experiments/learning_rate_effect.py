"""What the learning rate does: too low, good, oscillating, diverging; a thousand rates as one population.

    python -m experiments.learning_rate_effect
    python -m experiments.learning_rate_effect --plot results/learning_rate_effect

Digits, 64-32-10, ReLU, plain gradient descent on the whole training part, 100 steps; every rate from the same weights. Then the
same rates under schedules that end lower.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, short

LOW, HIGH = 1e-3, 100.0
SHOWN = {"too low": 0.01, "good": 1.0, "oscillating": 3.0, "diverging": 5.0}
DECAY = {"decay_rate": 0.1, "decay_time": 0.4}
SCHEDULES = {"constant": {}, "step": DECAY, "exponential": DECAY, "cosine": {}}
NET = {"hidden": (32,), "optimizer": "sgd", "batch_size": 0}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    rates: int
    epochs: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(12, 3),
    "small": Parameters(1000, 100),
    "paper": Parameters(1000, 500),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """All rates at once, once for each schedule."""
    import hpjax

    rates = np.unique(
        np.append(np.geomspace(LOW, HIGH, parameters.rates - len(SHOWN)), list(SHOWN.values()))
    )
    space = NET | {
        "learning_rate": hpjax.LogUniform(LOW, HIGH),
        "epochs": parameters.epochs,
    }
    entry: dict = {"rates": rates.tolist(), "epochs": parameters.epochs}
    for schedule, decay in SCHEDULES.items():
        started = time.perf_counter()
        found = hpjax.tune(
            space | {"schedule": schedule} | decay,
            "digits",
            search=[{"learning_rate": r} for r in rates],
            say=lambda text: None,
        )
        seconds = round(time.perf_counter() - started, 1)
        curves, table = np.full((len(rates), parameters.epochs), np.inf), found.curves
        curves[table["trial"], table["epoch"] - 1] = table["train"]
        loss = np.nan_to_num(found.trials["loss"].to_numpy(float), nan=np.inf, posinf=np.inf)
        entry[schedule] = {"seconds": seconds, "loss": short(loss)}
        if schedule == "constant":
            entry["curves"] = {
                name: short(curves[np.abs(rates - rate).argmin()]) for name, rate in SHOWN.items()
            }
        print(
            f"{schedule}: lowest validation loss {loss.min():.4f} at {rates[loss.argmin()]:.3g}",
            flush=True,
        )
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Curves at four rates; the end of training at all."""
    from hpjax import plots

    entry = numbers["rates"]
    rates, epochs = np.array(entry["rates"]), np.arange(1, entry["epochs"] + 1)
    curves = {name: np.array(curve, float) for name, curve in entry["curves"].items()}
    made, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=2.3)
    rows = []
    for number, (name, rate) in enumerate(SHOWN.items()):
        left.plot(epochs, curves[name], color=plots.COLORS[number], label=f"{rate:g}: {name}")
        rows += [[name, rate, int(epoch), loss] for epoch, loss in zip(epochs, curves[name])]
    left.set(xlabel="step", ylabel="training loss", yscale="log", ylim=(5e-3, 1e3), xlim=(0, 50))
    left.legend(title="learning rate", title_fontsize=7)
    sheet.table("curves", ["what", "learning rate", "epoch", "training loss"], rows)
    best = {}
    for number, schedule in enumerate(SCHEDULES):
        loss = np.array(entry[schedule]["loss"], float)
        best[schedule] = rates[np.nanargmin(loss)]
        right.plot(
            rates,
            np.where(np.isfinite(loss), loss, np.nan),
            color=plots.COLORS[number],
            lw=0.7,
            label=schedule,
        )
    right.axhline(np.log(10), color="k", lw=0.6, ls=":")
    right.text(20, np.log(10) * 1.1, "chance", fontsize=6)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="learning rate",
        ylabel="validation loss",
        ylim=(0.05, 30),
    )
    right.legend(loc="lower left")
    sheet.figure(made, "rates")
    sheet.table(
        "ends",
        ["learning rate", *SCHEDULES],
        zip(rates, *(entry[s]["loss"] for s in SCHEDULES)),
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["rates"]
    rates = np.array(entry["rates"])
    curves = {name: np.array(curve, float) for name, curve in entry["curves"].items()}
    loss = np.array(entry["constant"]["loss"], float)
    loss = np.where(np.isfinite(loss), loss, np.inf)
    # not a number is a rise
    rises = {name: float((~(np.diff(curve[:20]) <= 0)).sum()) for name, curve in curves.items()}
    low, high = loss[rates <= 0.01].min(), np.minimum(loss[rates >= 10], 1e9).min()
    return [
        Criterion(
            "U shape: lowest validation loss up to a rate of 0.01 over the lowest of all",
            low / loss.min(),
            3,
        ),
        Criterion(
            "U shape: lowest validation loss above a rate of 10 over the lowest of all",
            high / loss.min(),
            3,
        ),
        Criterion(
            "good: steps of the first 20 that raised the training loss",
            rises["good"],
            0,
            at_least=False,
        ),
        Criterion("oscillating: the same", rises["oscillating"], 3),
        Criterion(
            "oscillating: training loss at the end over that at the start",
            curves["oscillating"][-1] / curves["oscillating"][0],
            1,
            at_least=False,
        ),
        Criterion(
            "diverging: steps of the first 20 that raised the training loss", rises["diverging"], 15
        ),
        Criterion(
            f"seconds for {len(rates):,} networks", entry["constant"]["seconds"], 30, at_least=False
        ),
    ]


EXPERIMENT = Experiment(
    "learning_rate_effect",
    presets=PRESETS,
    parts={"rates": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
