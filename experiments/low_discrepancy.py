"""How many trials until one hits a hundredth of the space? Grid, random, Latin hypercube, Halton and Sobol points.

    python -m experiments.low_discrepancy
    python -m experiments.low_discrepancy --plot results/low_discrepancy

After figure 8 of Bergstra & Bengio (2012): targets of 1 % of the unit cube at random places, in three and five dimensions, as cubes
and as boxes as wide as the space in one dimension. Points of `hpjax.search` (random, Sobol, grid) and of SciPy (Latin hypercube,
Halton), each scrambled anew for every repetition.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

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
    inside = ((points[None] >= low[:, None]) & (points[None] < low[:, None] + side)).all(2)
    return np.where(inside.any(1), inside.argmax(1), len(points))


def run(flags: Flags, folder: Path) -> None:
    """The share of targets hit, for every kind, problem and number of trials."""
    repeats, targets = {"smoke": (3, 50), "small": (100, 200), "paper": (1000, 500)}[flags.preset]
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
                shares = np.zeros((repeats, len(sizes)))
                for r in range(repeats):
                    low = rng.uniform(size=(targets, width)) * (1 - side)
                    for i, n in enumerate(sizes):
                        shares[r, i] = np.mean(first_hits(drawn(kind, n, width, r), low, side) < n)
            else:
                sizes = list(range(1, MOST + 1))
                shares = np.zeros((repeats, MOST))
                for r in range(repeats):
                    low = rng.uniform(size=(targets, width)) * (1 - side)
                    hits = first_hits(drawn(kind, MOST, width, r), low, side)
                    shares[r] = np.searchsorted(np.sort(hits), np.arange(1, MOST + 1)) / targets
            table[problem][kind] = {
                "trials": sizes,
                "share": shares.mean(0).round(5).tolist(),
                "error": (shares.std(0, ddof=1) / np.sqrt(repeats)).round(6).tolist(),
            }
        print(problem, flush=True)
    write(folder / "shares.json", table, indent=None)


def draw(folder: Path) -> list[dict]:
    """Chance to hit over trials, minus that of random points where it is known exactly."""
    from hpjax import plots

    table = read(folder / "shares.json")
    made, axes = plots.figure(1, len(PROBLEMS), width=plots.WIDE, height=2.1, sharey=True)
    rows, gain, distance = [], {}, 0.0
    for ax, problem in zip(axes, PROBLEMS):
        for kind in KINDS:
            entry = table[problem][kind]
            trials, share, error = (np.array(entry[n]) for n in ("trials", "share", "error"))
            exact = 1 - (1 - VOLUME) ** trials
            look = (
                plots.look(kind)
                if kind not in LOOKS
                else {"color": LOOKS[kind][0], "marker": LOOKS[kind][1], "linestyle": "-"}
            )
            few = kind in ("grid", "Latin hypercube")
            style = look | {"markersize": 3} | ({"linestyle": ""} if few else {"marker": ""})
            ax.plot(trials, share - exact, label=kind, **style)
            rows += [[problem, kind, int(n), s, e] for n, s, e in zip(trials, share, error)]
            if kind == "random":
                distance = max(
                    distance,
                    float(np.quantile(np.abs(share - exact) / np.maximum(error, 1e-9), 0.95)),
                )
            if kind == "sobol":
                middle = (trials >= 100) & (trials <= 300)
                gain[problem] = float(np.mean((share - exact)[middle]))
        ax.axhline(0, color="k", lw=0.4)
        ax.set(xscale="log", xlabel="trials", ylim=(-0.6, 0.25))
        ax.set_title(problem)
    axes[0].set_ylabel("chance above random's")
    axes[0].legend(fontsize=6)
    plots.save(made, folder / "hits")
    write_rows(folder / "hits.csv", ["target", "points", "trials", "share", "standard error"], rows)
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


if __name__ == "__main__":
    main("low_discrepancy", run, draw)
