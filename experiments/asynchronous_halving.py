"""Does a rung that promotes as soon as it can keep blocks full? ASHA beside synchronous halving, at equal cost in epochs.

    python -m experiments.asynchronous_halving
    python -m experiments.asynchronous_halving --plot results/asynchronous_halving

Multilayer perceptrons on digits, with epochs that differ tenfold between trials (a hyperparameter: a network is done when its own are
over). All schedulers are given as many epochs, and start each seed in turn, so that a machine that slows down slows all; what they compile is
compiled before. Epochs a second, and the best loss of validation. ASHA's orders have at least so many trials, `together`: larger ones fill blocks, and reach the end later.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

COLORS = {"halving": "#999933", "promotion": "#117733", "stopping": "#882255"}
MARKERS = "os^v"  # of ASHA, by `together`


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    longest: int  # epochs of a network that lives to the end; the shortest has a tenth
    brackets: int  # of synchronous halving, whose cost all are given
    together: tuple[int, ...]  # trials of an order of ASHA
    seeds: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(9, 1, (4,), 1),
    "small": Parameters(81, 20, (8, 16), 10),
    "paper": Parameters(243, 40, (8, 16), 20),
}


def schedulers(parameters: Parameters) -> dict[str, Any]:
    """By name."""
    import hpjax

    longest = parameters.longest
    found = {"halving": hpjax.halving(hpjax.ladder(longest, longest))}
    for together in parameters.together:
        for variant in ("promotion", "stopping"):
            scheduler = hpjax.asha(longest, together=together, variant=variant)
            found[f"asha, {variant}, {together} together"] = scheduler
    return found


def raced(parameters: Parameters) -> dict[str, Any]:
    """All schedulers, seed by seed."""
    import hpjax

    longest = parameters.longest
    space = {
        "hidden": (64, 64),
        "learning_rate": hpjax.LogUniform(1e-4, 1e-1),
        "l2": hpjax.LogUniform(1e-7, 1e-2),
        "batch_size": 64,
        "epochs": hpjax.LogIntUniform(max(1, longest // 10), longest),
    }
    rungs = hpjax.ladder(longest, longest)
    budget = parameters.brackets * sum(
        networks * (until - before)
        for (until, networks), before in zip(rungs, (0, *(until for until, _ in rungs)))
    )
    rows = []
    for seed in range(-1, parameters.seeds):  # the first one, which compiles, does not count
        for name, scheduler in schedulers(parameters).items():
            began = time.perf_counter()
            found = hpjax.tune(
                space,
                "digits",
                scheduler=scheduler,
                seed=seed % (parameters.seeds + 1),
                trials=100_000,
                stop={"epochs": budget},
                say=lambda text: None,
            )
            seconds = time.perf_counter() - began
            if seed < 0:
                continue
            rows.append(
                {
                    "scheduler": name,
                    "seed": seed,
                    "epochs": int(found.trials["epochs"].sum()),
                    "seconds": seconds,
                    "error": found.best["error"],
                    "loss": found.best["loss"],
                    "ended": int((found.trials["status"] == "OK").sum()),
                }
            )
            row = rows[-1]
            print(
                f"{name} {seed}: {row['epochs']} epochs in {seconds:.1f} s, error {row['error']:.4f}, {row['ended']} to the end",
                flush=True,
            )
    return {"rows": rows}


def rates(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """Epochs a second [seeds]."""
    return np.array([row["epochs"] / row["seconds"] for row in rows if row["scheduler"] == name])


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Error over throughput, a point for each seed."""
    from hpjax import plots

    rows = numbers["race"]["rows"]
    figure, ax = plots.figure(1, 1, width=plots.COLUMN, height=3.0)
    names = list(dict.fromkeys(row["scheduler"] for row in rows))
    sizes = list(dict.fromkeys(name.split(", ")[-1] for name in names if name != "halving"))
    for name in names:
        own = [row for row in rows if row["scheduler"] == name]
        _, variant, size = name.split(", ") if name != "halving" else ("", "halving", "")
        color = COLORS[variant]
        ax.plot(
            rates(rows, name),
            [row["loss"] for row in own],
            MARKERS[sizes.index(size)] if size else "d",
            ms=4,
            color=color,
            label=name,
            mfc="none" if variant == "stopping" else color,
        )
    ax.set(xlabel="epochs of networks a second", ylabel="best validation loss")
    figure.legend(loc="outside lower center", ncols=2, fontsize=6, columnspacing=1)
    sheet.figure(figure, "race")
    header = ["scheduler", "seed", "epochs", "seconds", "error", "loss", "ended"]
    sheet.table("race", header, [[row[name] for name in header] for row in rows])


def criteria(numbers: Numbers) -> list[Criterion]:
    """Throughput over halving's, seed by seed; and no loss of quality."""
    rows = numbers["race"]["rows"]
    found = []
    losses = lambda name: np.array([row["loss"] for row in rows if row["scheduler"] == name])
    for name in dict.fromkeys(row["scheduler"] for row in rows if row["scheduler"] != "halving"):
        ratio = float(np.median(rates(rows, name) / rates(rows, "halving")))
        found.append(
            Criterion(
                f"{name}: epochs a second over those of synchronous halving, median over seeds",
                ratio,
                1.3,
                figure="race",
                part="race",
            )
        )
        worse = float(np.median(losses(name) - losses("halving")))
        found.append(
            Criterion(
                f"{name}: best validation loss less that of synchronous halving, median over seeds",
                worse,
                0.01,
                False,
                figure="race",
                part="race",
            )
        )
    return found


EXPERIMENT = Experiment("asynchronous_halving", PRESETS, {"race": raced}, draw, criteria)

if __name__ == "__main__":
    main(EXPERIMENT)
