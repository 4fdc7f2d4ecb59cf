"""How many trials until one hits a hundredth of the space? Grid, random, Latin hypercube, Halton and Sobol points.

    python -m experiments.low_discrepancy
    python -m experiments.low_discrepancy --plot results/low_discrepancy

After figure 8 of Bergstra & Bengio (2012): targets of 1 % of the unit cube at random places, in three and five dimensions, as cubes
and as boxes as wide as the space in one dimension. Points of `hpjax.search` (random, Sobol, grid) and of SciPy (Latin hypercube,
Halton), each scrambled anew for every repetition.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

MOST = 512
VOLUME = 0.01
KINDS = ("random", "grid", "Latin hypercube", "Halton", "sobol")
LOOKS = {"Latin hypercube": ("#EE6677", "^"), "Halton": ("#228833", "P")}
PROBLEMS = {
    "cube, 3 dimensions": (3, 0),
    "cube, 5 dimensions": (5, 0),
    "long box, 3 dimensions": (3, 1),
    "long box, 5 dimensions": (5, 1),
}
SIZES = (8, 27, 32, 64, 125, 216, 243, 343, 512)  # at which grids are complete


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    repeats: int
    targets: int  # in each


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(3, 50),
    "small": Parameters(100, 200),
    "paper": Parameters(1000, 500),
}


def drawn(kind: str, count: int, width: int, seed: int) -> np.ndarray:
    """Points [count width]."""
    from scipy.stats import qmc

    from hpjax import search
    from hpjax.search.base import Dim

    if kind == "Latin hypercube":
        return qmc.LatinHypercube(width, rng=seed).random(count)
    if kind == "Halton":
        return qmc.Halton(width, rng=seed).random(count)
    dims = (Dim("continuous"),) * width
    if kind == "grid":
        levels = round(count ** (1 / width))
        axis = (np.arange(levels) + 0.5) / levels
        found = search.grid(dims, axes=[axis] * width)
    else:
        found = getattr(search, kind)(dims)
    return found.ask(found.init((seed,)), (seed,), count, 1)[0]


def sides(width: int, long: int) -> np.ndarray:
    """Of a target: equal, but for the dimensions that it fills."""
    short = width - long
    return np.array([1.0] * long + [VOLUME ** (1 / short)] * short)


def first_hits(points: np.ndarray, low: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Number of the first point in each target [m], beyond all where none is."""
    above, below = points[None] >= low[:, None], points[None] < low[:, None] + side
    inside = np.logical_and(above, below).all(axis=2)
    return np.where(np.any(inside, 1), np.argmax(inside, 1), len(points))


def run(parameters: Parameters) -> dict[str, Any]:
    """The share of targets hit, for every kind, problem and number of trials."""
    table = {}
    for problem, (width, long) in PROBLEMS.items():
        side = sides(width, long)
        table[problem] = {}
        for kind in KINDS:
            rng = np.random.default_rng(0)
            if kind in ("grid", "Latin hypercube"):  # made for a number of trials
                sizes = [
                    n for n in SIZES if kind != "grid" or round(n ** (1 / width)) ** width == n
                ]
                shares = np.zeros((parameters.repeats, len(sizes)))
                for r in range(parameters.repeats):
                    low = rng.uniform(size=(parameters.targets, width)) * (1 - side)
                    for i, n in enumerate(sizes):
                        shares[r, i] = np.mean(first_hits(drawn(kind, n, width, r), low, side) < n)
            else:
                sizes = list(range(1, MOST + 1))
                shares = np.zeros((parameters.repeats, MOST))
                for r in range(parameters.repeats):
                    low = rng.uniform(size=(parameters.targets, width)) * (1 - side)
                    hits = first_hits(drawn(kind, MOST, width, r), low, side)
                    shares[r] = (
                        np.searchsorted(np.sort(hits), np.arange(1, MOST + 1)) / parameters.targets
                    )
            table[problem][kind] = {
                "trials": sizes,
                "share": shares.mean(0).round(5).tolist(),
                "error": (shares.std(0, ddof=1) / np.sqrt(parameters.repeats)).round(6).tolist(),
            }
        print(problem, flush=True)
    return table


def shares(entry: dict[str, Any]) -> tuple[np.ndarray, ...]:
    """Numbers of trials, shares of targets hit, their standard errors, and what random points hit exactly."""
    trials, share, error = (np.array(entry[n]) for n in ("trials", "share", "error"))
    return trials, share, error, 1 - (1 - VOLUME) ** trials


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Chance to hit over trials, minus that of random points where it is known exactly."""
    from hpjax import plots

    table = numbers["shares"]
    made, axes = plots.figure(1, len(PROBLEMS), width=plots.WIDE, height=2.1, sharey=True)
    rows = []
    for ax, problem in zip(axes, PROBLEMS):
        for kind in KINDS:
            trials, share, error, exact = shares(table[problem][kind])
            look = (
                plots.look(kind)
                if kind not in LOOKS
                else {"color": LOOKS[kind][0], "marker": LOOKS[kind][1], "linestyle": "-"}
            )
            few = kind in ("grid", "Latin hypercube")
            style = look | {"markersize": 3} | ({"linestyle": ""} if few else {"marker": ""})
            ax.plot(trials, share - exact, label=kind, **style)
            rows += [[problem, kind, int(n), s, e] for n, s, e in zip(trials, share, error)]
        ax.axhline(0, color="k", lw=0.4)
        ax.set(xscale="log", xlabel="trials", ylim=(-0.6, 0.25))
        ax.set_title(problem)
    axes[0].set_ylabel("chance above random's")
    axes[0].legend(fontsize=6)
    sheet.figure(made, "hits")
    sheet.table("hits", ["target", "points", "trials", "share", "standard error"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    gain, distance = {}, 0.0
    for problem, kinds in numbers["shares"].items():
        _, share, error, exact = shares(kinds["random"])
        apart = np.abs(share - exact) / np.maximum(error, 1e-9)
        distance = max(distance, float(np.quantile(apart, 0.95)))
        trials, share, _, exact = shares(kinds["sobol"])
        middle = (trials >= 100) & (trials <= 300)
        gain[problem] = float(np.mean((share - exact)[middle]))
    return [
        Criterion(
            "random: distance from 1 - 0.99^n, 95 % quantile over n, standard errors",
            distance,
            3,
            at_least=False,
        ),
        *(
            Criterion(f"Sobol: mean gain over random at 100 to 300 trials, {problem}", value, 0.0)
            for problem, value in gain.items()
        ),
    ]


EXPERIMENT = Experiment(
    "low_discrepancy",
    presets=PRESETS,
    parts={"shares": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
