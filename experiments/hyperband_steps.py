"""Hyperband as it runs: five brackets of successive halving on digits, and what an early loss says of the last one.

    python -m experiments.hyperband_steps
    python -m experiments.hyperband_steps --plot results/hyperband_steps

R = 81 epochs, eta = 3 (Li et al. 2018, algorithm 1), four hyperparameters. Every bracket's networks with their learning curves, coloured
by the rung on which they ended. Then the first bracket's 81 networks are trained to the end all the same: how the order after 1, 3, 9
and 27 epochs agrees with the last one, and where the network that halving chose stands among them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, short

# What algorithm 1 gives for R = 81, eta = 3, as SMAC's tests have it: networks per rung, and epochs with every rung from scratch.
PUBLISHED, TOTAL = [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]], 1902


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    epochs: int  # R
    seeds: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(9, 1),
    "small": Parameters(81, 5),
    "paper": Parameters(81, 50),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """One turn of Hyperband, and its first bracket without halving."""
    import hpjax
    from hpjax import records

    epochs = parameters.epochs
    space = {
        "learning_rate": hpjax.LogUniform(1e-4, 1.0),
        "width_1": hpjax.LogIntUniform(8, 128),
        "depth": 1,
        "l2": hpjax.LogUniform(1e-6, 1e-1),
        "dropout": hpjax.Uniform(0.0, 0.8),
        "epochs": epochs,
    }
    scheduler = hpjax.hyperband(epochs)
    entry: dict = {"epochs": epochs, "brackets": scheduler.brackets, "studies": []}
    for seed in range(parameters.seeds):
        found = hpjax.tune(
            space,
            "digits",
            search="hyperband",
            scheduler=scheduler,
            seed=seed,
            say=lambda text: None,
        )
        reached, spent = {}, 0
        ran: list = []
        for _, record in records.reports(found.records):
            ran.append([record["epochs"][0], len(record["trial"])])
            ages = [0 if s < 0 else reached[s] for s in record["source"]]
            spent += sum(record["epochs"]) - sum(ages)
            reached |= dict(zip(record["trial"], record["epochs"]))
        first = scheduler.brackets[0][0][1]
        points = [found.config(trial) for trial in range(first)]
        whole = hpjax.tune(
            space,
            "digits",
            search=points,
            scheduler=hpjax.full(epochs),
            seed=seed,
            say=lambda text: None,
        )
        table = whole.curves
        curves = np.full((first, epochs), np.inf)
        curves[table["trial"], table["epoch"] - 1] = np.nan_to_num(table["loss"], nan=np.inf)
        one = {
            "ran": ran,
            "spent": spent,
            "reached": [reached[t] for t in range(len(reached))],
            "whole": [short(c) for c in curves],
        }
        if seed == 0:
            halved = found.curves
            one["curves"] = {name: short(halved[name]) for name in ("trial", "epoch", "loss")}
        entry["studies"].append(one)
        print(f"seed {seed}: {found.best['loss']:.4f}", flush=True)
    return entry


def order(study: dict[str, Any]) -> np.ndarray:
    """Places of networks that all train to the end, after each epoch [n epochs]."""
    whole = np.nan_to_num(np.array(study["whole"], float), nan=np.inf, posinf=np.inf)
    return whole.argsort(0, kind="stable").argsort(0, kind="stable")


def agreements(study: dict[str, Any], epochs: int) -> list[float]:
    """Rank correlations of each epoch's order with the last."""
    from scipy.stats import spearmanr

    places = order(study)
    return [spearmanr(places[:, e - 1], places[:, -1])[0] for e in range(1, epochs + 1)]


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Five brackets, and the agreement of early orders with the last."""
    import pandas
    from matplotlib import colormaps

    from hpjax import plots

    entry = numbers["brackets"]
    brackets, epochs = entry["brackets"], entry["epochs"]
    one = entry["studies"][0]
    kinds = {"trial": int, "epoch": int, "loss": float}
    curves = pandas.DataFrame(one["curves"]).astype(kinds)
    made, axes = plots.figure(2, 3, width=plots.WIDE, height=4.0)
    rungs = [until for until, _ in brackets[0]]
    shades = dict(zip(rungs, colormaps["viridis_r"](np.linspace(0.08, 1, len(rungs)))))
    first, rows, kept = 0, [], axes.ravel()
    for number, (ax, bracket) in enumerate(zip(kept, brackets)):
        trials = range(first, first + bracket[0][1])
        first += bracket[0][1]
        mine = curves[curves["trial"].isin(trials)]
        for trial, part in mine.groupby("trial"):
            end = one["reached"][trial]
            ax.plot(
                part["epoch"],
                part["loss"],
                color=shades[end],
                lw=1.2 if end == epochs else 0.5,
                zorder=end,
                marker="." if end == 1 else None,
                ms=2,
            )
            rows += [[number, trial, e, v] for e, v in zip(part["epoch"], part["loss"])]
        for until, _ in bracket[:-1]:
            ax.axvline(until, color="#DDDDDD", lw=0.6, zorder=0)
        ax.set(
            xscale="log",
            yscale="log",
            ylim=(0.05, 8),
            xlim=(0.9, epochs * 1.1),
            xlabel="epoch",
            ylabel="validation loss" if number in (0, 3) else "",
        )
        ax.set_title(" > ".join(str(n) for _, n in bracket) + " networks")
    for until in rungs:
        kept[0].plot([], [], color=shades[until], label=f"ended at epoch {until}")
    made.legend(*kept[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(rungs))
    ax = kept[len(brackets)]
    agreement = [agreements(study, epochs) for study in entry["studies"]]
    mean = np.mean(agreement, 0)
    epoch = np.arange(1, epochs + 1)
    ax.plot(epoch, mean, color="#4477AA")
    for line in agreement:
        ax.plot(epoch, line, color="#4477AA", lw=0.3)
    ax.plot(rungs, mean[np.array(rungs) - 1], "o", ms=4, color="k")
    ax.set(xscale="log", xlabel="epoch", ylabel="rank correlation", ylim=(None, 1.02))
    ax.set_title("of the order with the last (dots: rungs)")
    sheet.figure(made, "brackets")
    sheet.table("brackets", ["bracket", "network", "epoch", "validation loss"], rows)
    sheet.table(
        "agreement",
        ["epoch", "mean rank correlation", *(f"seed {s}" for s in range(len(agreement)))],
        zip(epoch, mean, *agreement),
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["brackets"]
    brackets, epochs, studies = entry["brackets"], entry["epochs"], entry["studies"]
    mean = np.mean([agreements(study, epochs) for study in studies], 0)
    place = []
    for study in studies:
        places = order(study)
        chosen = study["reached"][: len(places)].index(epochs)
        place.append(1 + int(places[chosen, -1]))
    planned = [tuple(rung) for bracket in brackets for rung in bracket]
    ran = [
        sum(a != tuple(b) for a, b in zip(planned, study["ran"]))
        + abs(len(planned) - len(study["ran"]))
        for study in studies
    ]
    spent = sum(until * many for until, many in planned)
    live = sum(
        (until - ([0] + [u for u, _ in bracket])[i]) * many
        for bracket in brackets
        for i, (until, many) in enumerate(bracket)
    )
    found = [
        Criterion(
            "rungs that ran otherwise than planned, all seeds", float(sum(ran)), 0, at_least=False
        )
    ]
    if epochs == 81:
        wrong = sum(a != [n for _, n in b] for a, b in zip(PUBLISHED, brackets))
        found += [
            Criterion(
                "brackets that differ from the published table", float(wrong), 0, at_least=False
            ),
            Criterion(
                f"epochs with every rung from scratch, distance from the published {TOTAL:,}",
                abs(spent - TOTAL),
                0,
                at_least=False,
            ),
        ]
    return [
        *found,
        Criterion(
            f"epochs trained, distance from the {live:,} that survivors need who go on from their weights, all seeds",
            max(abs(s["spent"] - live) for s in studies),
            0,
            at_least=False,
        ),
        Criterion(
            "rank correlation of the order after one epoch with the last, mean", mean[0], 0.5
        ),
        Criterion("the same after a third of the epochs", mean[max(0, epochs // 3 - 1)], 0.8),
        Criterion(
            f"place of the network that halving chose among all {brackets[0][0][1]} trained to the end, median over seeds",
            float(np.median(place)),
            8,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "hyperband_steps",
    presets=PRESETS,
    parts={"brackets": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
