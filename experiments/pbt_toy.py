"""Population-based training on two parameters: why weights are copied and hyperparameters are moved.

    python -m experiments.pbt_toy
    python -m experiments.pbt_toy --plot results/pbt_toy

After figure 2 of Jaderberg et al. (2017). Two members ascend Q^ = 1.2 - (h0 t0^2 + h1 t1^2) from t = (0.9, 0.9), one with
h = (1, 0), one with h = (0, 1), and are judged by Q = 1.2 - (t0^2 + t1^2). Alone, neither can pass 1.2 - 0.81 = 0.39. The scheduler
is `hpjax.pbt` itself; only who trains is a toy. "Exploit only" copies weights and keeps h; "explore only" takes the better member's h,
moved, and keeps its weights.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

START, EVERY, RATE = 0.9, 4, 0.02
WAYS = {
    "PBT": (True, True),
    "exploit only": (True, False),
    "explore only": (False, True),
    "grid": (False, False),
}
ALONE = 1.2 - START**2


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    steps: int
    seeds: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(40, 2),
    "small": Parameters(200, 20),
    "paper": Parameters(200, 100),
}


def trained(copies: bool, moves: bool, seed: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters [steps+1 2 2] and Q [steps+1 2] of both members; whether weights are copied, and whether h is moved."""
    import hpjax
    from hpjax import search, study
    from hpjax.records import Ledger
    from hpjax.schedulers import Order
    from hpjax.search.base import Dim

    begun = np.array([[1.0, 0.0], [0.0, 1.0]])
    place = np.full((2, 2), START)
    path = [place.copy()]

    def carry_out(order: Order) -> study.Report:
        nonlocal place
        source = np.where(order.source < 0, order.trial, order.source)
        if copies:
            place = place[source]
        h = order.unit if moves else begun
        while len(path) <= order.epochs[0]:
            place = place * (1 - 2 * RATE * h)
            path.append(place.copy())
        return study.Report((place**2).sum(1) - 1.2)

    scheduler = hpjax.pbt(population=2, epochs=steps, every=EVERY, quantile=0.5)
    dims = (Dim("continuous"), Dim("continuous"))
    study.run(
        search.manual(dims, begun),
        scheduler,
        dims,
        study.Callbacks(carry_out),
        Ledger(),
        hpjax.Stop(trials=2),
        seed=seed,
    )
    found = np.array(path)
    return found, 1.2 - (found**2).sum(2)


def run(parameters: Parameters) -> dict[str, Any]:
    """Four ways, over seeds."""
    entry = {}
    for name, (copies, moves) in WAYS.items():
        seeds = range(parameters.seeds)
        found = [trained(copies, moves, seed, parameters.steps) for seed in seeds]
        entry[name] = {
            "path": found[0][0].round(6).tolist(),
            "score": [score.max(1).round(6).tolist() for _, score in found],
        }
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Paths of the first seed; the better member's Q over steps, median and quartiles."""
    from hpjax import plots

    entry = numbers["toy"]
    made, axes = plots.figure(1, len(WAYS) + 1, width=plots.WIDE, height=1.7)
    rows = []
    for number, name in enumerate(WAYS):
        path, score = np.array(entry[name]["path"]), np.array(entry[name]["score"])
        color = plots.COLORS[number]
        for member, marker in ((0, "o"), (1, "^")):
            axes[number].plot(
                path[:, member, 0],
                path[:, member, 1],
                marker,
                ms=1.5,
                color=plots.COLORS[0 if member == 0 else 1],
            )
        axes[number].plot(0, 0, "*", ms=6, color="k")
        axes[number].set(
            xlim=(-0.05, 1), ylim=(-0.05, 1), xlabel="$\\theta_0$", xticks=[0, 0.9], yticks=[0, 0.9]
        )
        axes[number].set_title(name)
        steps = np.arange(score.shape[1])
        low, middle, high = np.quantile(score, (0.25, 0.5, 0.75), axis=0)
        axes[-1].plot(steps, middle, color=color, label=name)
        axes[-1].fill_between(steps, low, high, color=color, alpha=0.15, lw=0)
        rows += [[name, int(t), *values] for t, *values in zip(steps, low, middle, high)]
    axes[0].set_ylabel("$\\theta_1$")
    axes[-1].axhline(ALONE, color="k", lw=0.5, ls=":")
    axes[-1].set(xlabel="step", ylabel="Q, better member")
    axes[-1].legend(fontsize=5)
    sheet.figure(made, "toy")
    sheet.table("toy", ["way", "step", "lower quartile", "median", "upper quartile"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    score = {name: np.array(numbers["toy"][name]["score"]) for name in WAYS}
    there = {name: values >= 1.19 for name, values in score.items()}
    reached = {
        name: float(np.median(np.where(hit.any(1), hit.argmax(1), hit.shape[1])))
        for name, hit in there.items()
    }
    end = {name: values[:, -1] for name, values in score.items()}
    return [
        Criterion(
            "grid: distance of Q from its limit 0.39",
            float(np.abs(end["grid"] - ALONE).max()),
            1e-3,
            at_least=False,
        ),
        Criterion("PBT: Q at the end, median over seeds", np.median(end["PBT"]), 1.19),
        Criterion(
            "exploit only: Q at the end, median over seeds",
            np.median(end["exploit only"]),
            ALONE + 0.01,
        ),
        *(
            Criterion(
                f"steps to 1.19, median over seeds: PBT's over those of {name}",
                reached["PBT"] / reached[name],
                1.0,
                at_least=False,
            )
            for name in ("exploit only", "explore only")
        ),
    ]


EXPERIMENT = Experiment(
    "pbt_toy",
    presets=PRESETS,
    parts={"toy": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
