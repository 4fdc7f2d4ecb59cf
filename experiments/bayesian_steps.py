"""Bayesian optimisation step by step: the Gaussian process, expected improvement, and the next point, over one learning rate.

    python -m experiments.bayesian_steps
    python -m experiments.bayesian_steps --plot results/bayesian_steps

Digits, 64-32-10, SGD, ten epochs: the validation loss over the learning rate, mean of five networks, first at 400 rates as one
population (the truth), then searched one rate at a time. The processes drawn are those of the recorded study, from the hyperparameters
in its ledger. Then 50 searches of the truth itself, beside the exact median of random search: the best of k draws lies below the
quantile 1 - 2^(-1/k) of the truth in half of all searches.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

LOW, HIGH = 1e-4, 10.0
NET = {"hidden": (32,), "optimizer": "sgd"}
REPEATS = 5
SHOWN = (4, 5, 7, 10)  # asks; the first four are Sobol points


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    rates: int  # at which the truth is known
    epochs: int
    trials: int  # of a search
    seeds: int  # searches of the truth


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(40, 1, 6, 3),
    "small": Parameters(400, 10, 14, 50),
    "paper": Parameters(2000, 50, 14, 1000),
}


def run(parameters: Parameters) -> dict[str, Any]:
    """The truth, one search of networks, many searches of the truth."""
    import hpjax
    from hpjax.report.bayesian_step import step

    trials = parameters.trials
    space = NET | {"epochs": parameters.epochs, "learning_rate": hpjax.LogUniform(LOW, HIGH)}
    rates = np.geomspace(LOW, HIGH, parameters.rates)
    truth = hpjax.tune(
        space,
        "digits",
        search=[{"learning_rate": r} for r in rates],
        validation={"repeats": REPEATS},
        say=lambda text: None,
    ).table["loss"]
    worst = np.nanmax(np.where(np.isfinite(truth), truth, np.nan))
    truth = np.where(np.isfinite(truth), truth, worst)
    found = hpjax.tune(
        space, "digits", search="bayes", trials=trials, batch=1, validation={"repeats": REPEATS}
    )
    places = (np.arange(2000) + 0.5)[:, None] / 2000
    steps = []
    for number in range(4, trials):
        seen = step(found.records, found.space.dims, number, places)
        at = step(
            found.records, found.space.dims, number, np.concatenate([seen.seen, seen.proposed])
        )
        thin = slice(None, None, 10)
        steps.append(
            {
                "number": number,
                "seen": seen.seen[:, 0].tolist(),
                "value": seen.value.tolist(),
                "mean": seen.mean[thin].tolist(),
                "deviation": seen.deviation[thin].tolist(),
                "log ei": seen.log_ei[thin].tolist(),
                "proposed": float(seen.proposed[0, 0]),
                "peak": float(seen.log_ei.max()),
                "reached": float(at.log_ei[-1]),
                "misses": float(np.abs(at.mean[:-1] - seen.value).max()),
            }
        )
    unit = np.linspace(0, 1, parameters.rates)
    look_up = lambda point: np.interp(
        np.log(point["learning_rate"] / LOW) / np.log(HIGH / LOW), unit, truth
    )
    ours = []
    for seed in range(parameters.seeds):
        told = hpjax.minimize(
            look_up,
            {"learning_rate": hpjax.LogUniform(LOW, HIGH)},
            search="bayes",
            trials=trials,
            batch=1,
            seed=seed,
        ).table["objective"]
        ours.append(np.minimum.accumulate(told))
    return {
        "rates": rates.tolist(),
        "truth": np.round(truth, 5).tolist(),
        "losses": found.table["loss"].tolist(),
        "units": found.table["unit"][:, 0].tolist(),
        "places": places[::10, 0].tolist(),
        "steps": steps,
        "bayes": np.round(ours, 6).tolist(),
        "random": [float(np.quantile(truth, 1 - 0.5 ** (1 / k))) for k in range(1, trials + 1)],
        "epochs": parameters.epochs,
    }


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Four steps: truth and trials, process, expected improvement; then the race."""
    from hpjax import analysis, plots

    entry = numbers["steps"]
    rates, truth, losses = (np.array(entry[n]) for n in ("rates", "truth", "losses"))
    rate = lambda unit: LOW * (HIGH / LOW) ** np.asarray(unit)
    places, shown = rate(entry["places"]), [s for s in entry["steps"] if s["number"] in SHOWN]
    made, axes = plots.figure(
        3, len(SHOWN), width=plots.WIDE, height=4.2, sharex=True, sharey="row"
    )
    rows = []
    for column, one in enumerate(shown):
        number, proposed = one["number"], rate(one["proposed"])
        top, middle, bottom = axes[:, column]
        top.plot(rates, truth, color="k", lw=0.7, ls=":", label="truth")
        top.plot(
            rate(entry["units"][:number]), losses[:number], "o", ms=2.5, color="k", label="seen"
        )
        gone = rate(entry["units"][:number])[~(losses[:number] < 4)]
        top.plot(
            gone,
            np.full(len(gone), 3.6),
            "^",
            ms=3,
            color="k",
            clip_on=False,
            label="seen, diverged",
        )
        top.plot(
            proposed, losses[number], "*", ms=7, mfc="none", color="#EE6677", label="found next"
        )
        top.axvline(proposed, color="#EE6677", lw=0.8, ls="--")
        top.set(xscale="log", yscale="log", ylim=(0.02, 4))
        top.set_title(f"{number} rates seen")
        plots.posterior(
            middle,
            places,
            np.array(one["mean"]),
            np.array(one["deviation"]),
            rate(one["seen"]),
            np.array(one["value"]),
            proposed,
            "",
            log=True,
        )
        middle.set_ylim(-3, 3)
        plots.improvement(
            bottom, places, np.array(one["log ei"]), proposed, "learning rate", log=True
        )
        if column:
            middle.set_ylabel("")
            bottom.set_ylabel("")
        rows += [
            [number, p, m, d, e]
            for p, m, d, e in zip(places, one["mean"], one["deviation"], one["log ei"])
        ]
    for ax in axes[:, len(shown) :].ravel():
        ax.set_axis_off()
    axes[0, 0].set_ylabel("validation loss")
    axes[0, 0].legend(fontsize=5.5, loc="lower left")
    low = axes[2, 0].get_ylim()[0]
    axes[2, 0].text(LOW, low, "cut 12 below the peak", fontsize=6, va="bottom")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=4)
    sheet.figure(made, "steps")
    sheet.table(
        "steps",
        [
            "rates seen",
            "learning rate",
            "mean, standardised",
            "deviation",
            "log expected improvement",
        ],
        rows,
    )
    made, ax = plots.figure(1, 1)
    ours, least = np.array(entry["bayes"]), truth.min()
    count = np.arange(1, ours.shape[1] + 1)
    low, middle, high = analysis.quartiles(ours - least)
    look = plots.look("bayes")
    ax.plot(count, middle, **look, ms=3, label=f"bayes, median and quartiles of {len(ours)}")
    ax.fill_between(count, low, high, color=look["color"], alpha=0.15, lw=0)
    ax.plot(
        count,
        np.array(entry["random"]) - least,
        **plots.look("random"),
        ms=3,
        label="random, exact median",
    )
    ax.set(yscale="log", xlabel="rates tried", ylabel="regret (validation loss)")
    ax.legend()
    sheet.figure(made, "race")
    sheet.table(
        "race",
        ["rates", "bayes, lower quartile", "median", "upper quartile", "random, median"],
        zip(count, low, middle, high, np.array(entry["random"]) - least),
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    from hpjax import analysis

    entry = numbers["steps"]
    truth, losses = (np.array(entry[n]) for n in ("truth", "losses"))
    ours, least = np.array(entry["bayes"]), truth.min()
    _, middle, _ = analysis.quartiles(ours - least)
    return [
        Criterion(
            "log expected improvement at the proposed points below its peak on 2,000 places, at most",
            np.max([s["peak"] - s["reached"] for s in entry["steps"]]),
            1e-3,
            at_least=False,
            figure="steps",
        ),
        Criterion(
            "the process at what was seen, largest distance from it in deviations of the losses",
            np.max([s["misses"] for s in entry["steps"]]),
            0.2,
            at_least=False,
            figure="steps",
        ),
        Criterion(
            f"rates: lowest loss of {len(losses)} over the lowest of {len(truth)}",
            losses.min() / truth.min(),
            1.05,
            at_least=False,
            figure="steps",
        ),
        Criterion(
            f"median regret after {ours.shape[1]} rates, bayes over random",
            middle[-1] / (entry["random"][-1] - least),
            1.0,
            at_least=False,
            figure="race",
        ),
    ]


EXPERIMENT = Experiment(
    "bayesian_steps",
    presets=PRESETS,
    parts={"steps": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
