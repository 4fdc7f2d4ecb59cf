"""Many initial learning rates, one optimum: what descent along the full horizon finds, and what short horizons find instead.

    HPJAX_DATA=... python -m experiments.many_starts
    python -m experiments.many_starts --plot results/many_starts

After Wu, Ren, Liao & Grosse (2018): a rate that decays over T steps, its first value and its decay moved by hypergradients of the
training loss: through all of training (forward mode, 2 tangents), through its last K steps only (truncated), or of a training that
ends after K steps. They took MNIST, on which the noise of minibatches keeps the loss of a small network up, and
(1 + t/5000)^-decay; here MNIST-1D, a network that cannot learn it by heart (40-20-10, tanh, momentum 0.9, batches of 20), T = 5,000
and 1 / (1 + decay t / T). Where a path ends is judged by the mean loss of four fresh seeds.

surface    the loss after training over a grid of both
descents   from log-uniform first rates, for every horizon
live       the same rates adapting within one run (hypergradient descent, Baydin et al. 2018)
rescue     starts far beyond the edge, with rescue
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

PARTS = ("surface", "descents", "live", "rescue")
STEPS = 5000
HORIZONS = {"all steps": "forward", "last 100": "truncated", "first 100": "forward"}
SHORT = 100  # steps of a short horizon
RATES, DECAYS = (1e-4, 1.0), (0.1, 1000.0)  # of the starts
WIDE = 3.0  # largest rate of the surface
JUDGES = (101, 102, 103, 104)  # seeds that the ends are judged by
BOUNDS = {
    "learning_rate": (1e-4, 10.0),
    "decay_rate": (0.1, 1000.0),
}  # of the descents, as the paper has them
DESCENT = {
    "rate": 0.02,
    "end_factor": 0.05,
    "betas": (0.9, 0.99),
    "clip": 10.0,
    "objective": "train",
}
STEEP = 10.0  # size of a first hypergradient beyond which a start stands in chaos


def setting(flags: Flags):
    """Task and network, and the horizon."""
    from hpjax import hypergrad, tasks

    smoke = flags.preset == "smoke"
    steps = 60 if smoke else STEPS
    made = tasks.load("mnist1d", flags.data)
    per_epoch = -(-len(tasks.splits(made, 1, 0)[0].train) // 20)
    spec, config = hypergrad.configure(
        made,
        hidden=(20,),
        activation="tanh",
        optimizer="sgd",
        momentum=0.9,
        batch_size=20,
        schedule="inverse_time",
        horizon=steps / per_epoch,
    )
    return made, spec, config, steps


def run(flags: Flags, folder: Path) -> None:
    """The surface, then the descents."""
    import hpjax
    from hpjax import hypergrad

    smoke = flags.preset == "smoke"
    made, spec, config, steps = setting(flags)
    side = {"smoke": 3, "small": 24, "paper": 40}[flags.preset]
    starts = {"smoke": 2, "small": 32, "paper": 64}[flags.preset]
    rng = np.random.default_rng(0)
    first = np.exp(rng.uniform(*np.log(RATES), starts))
    decay = np.exp(rng.uniform(*np.log(DECAYS), starts))
    at = [config | {"learning_rate": r, "decay_rate": d} for r, d in zip(first, decay)]
    wrt = {name: hpjax.LogUniform(*bounds) for name, bounds in BOUNDS.items()}
    short = 20 if smoke else SHORT
    effort = {"iterations": 2 if smoke else 100, "seeds": 1 if smoke else 4}
    for part in [flags.only] if flags.only else PARTS:
        if part == "surface":
            grid = [np.geomspace(*bounds, side) for bounds in ((RATES[0], WIDE), DECAYS)]
            points = [
                config | {"learning_rate": r, "decay_rate": d} for r in grid[0] for d in grid[1]
            ]
            losses = judged(made, spec, points, steps).reshape(side, side)
            write(
                folder / "surface.json",
                {
                    "rates": grid[0].tolist(),
                    "decays": grid[1].tolist(),
                    "loss": losses.round(6).tolist(),
                },
                indent=None,
            )
        elif part == "descents":
            for name, mode in HORIZONS.items():
                horizon = short if name.startswith("first") else steps
                watch = lambda i, loss, name=name: (
                    i % 10 or print(f"{name}, {i}: {np.median(loss):.4f}", flush=True)
                )
                found = hypergrad.learn(
                    made,
                    spec,
                    at,
                    wrt,
                    horizon,
                    mode=hypergrad.Truncated(short) if mode == "truncated" else mode,
                    watch=watch,
                    **effort,
                    **DESCENT,
                )
                write(
                    folder / f"descents_{name.replace(' ', '_')}.json",
                    _entry(found, made, spec, config, steps),
                    indent=None,
                )
        elif part == "rescue":
            leaky = dataclasses.replace(spec, activation=("leaky_relu",))  # tanh never overflows
            wild = [config | {"learning_rate": r, "decay_rate": 1.0} for r in (1.0, 2.0, 5.0, 10.0)]
            found = hypergrad.learn(
                made, leaky, [at[0], *wild], wrt, steps, mode="forward", **effort, **DESCENT
            )
            write(folder / "rescue.json", _entry(found, made, leaky, config, steps), indent=None)
        else:
            live = dataclasses.replace(spec, schedule="hypergradient")
            points = [config | {"learning_rate": r, "hypergradient_rate": 1e-3} for r in first]
            losses = judged(made, live, points, steps)
            write(
                folder / "live.json",
                {"first": first.tolist(), "loss": losses.round(6).tolist()},
                indent=None,
            )


def judged(made, spec, configs, steps: int) -> np.ndarray:
    """Training loss after all steps, mean over the judges' seeds; infinite where one of them diverged."""
    from hpjax import hypergrad

    take = lambda key: (
        hypergrad.hypergradients(
            made, spec, configs, "learning_rate", steps, objective="train", mode="plain", key=key
        ).loss
    )
    found = np.mean([take(key) for key in JUDGES], 0, dtype=float)
    return np.where(np.isfinite(found), found, np.inf)


def _entry(found, made, spec, config, steps) -> dict:
    """Paths of the starts, and the loss of where they ended after training of the full length."""
    ends = [config | found.values(s) for s in range(len(found.history.loss[0]))]
    rounded = lambda v: float(f"{v:.6g}") if np.isfinite(v) else None
    keep = lambda a: [keep(row) if np.ndim(row) else rounded(row) for row in np.asarray(a, float)]
    return {
        "path": {n: keep(v) for n, v in found.path.items()},
        "ends": {n: keep(v) for n, v in found.learned.items()},
        "loss": keep(judged(made, spec, ends, steps)),
        "steepest": keep(found.history.norm),
        "rescued": found.history.rescued.sum(0).tolist(),
    }


def mean_rate(first: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """Mean over training of first / (1 + decay t / T)."""
    return first * np.log1p(decay) / decay


def draw(folder: Path) -> list[dict]:
    """The surface with paths and ends; losses of the ends."""
    from hpjax import plots

    surface = read(folder / "surface.json")
    rates, decays, loss = (np.array(surface[n], float) for n in ("rates", "decays", "loss"))
    shown = np.where(np.isfinite(loss), loss, np.nan)
    best = float(np.nanmin(shown))
    at = np.unravel_index(np.nanargmin(shown), shown.shape)
    found = {name: read(folder / f"descents_{name.replace(' ', '_')}.json") for name in HORIZONS}
    made, axes = plots.figure(1, 4, width=plots.WIDE, height=2.3, squeeze=False)
    levels = best * np.geomspace(1.0, 2.6, 12)
    calm = np.array(found["all steps"]["steepest"], float)[0] <= STEEP
    criteria, ratios = [], {}
    for number, (name, entry) in enumerate(found.items()):
        ax, color = axes[0, number], plots.COLORS[number]
        ax.contourf(
            rates, decays, np.clip(shown.T, levels[0], levels[-1]), levels, cmap="Greys", norm="log"
        )
        path = {
            n: np.concatenate([np.array(v), np.array(entry["ends"][n])[None]])
            for n, v in entry["path"].items()
        }
        for side, shade in ((calm, color), (~calm, "#AA3377")):
            ax.plot(
                path["learning_rate"][:, side],
                path["decay_rate"][:, side],
                color=shade,
                lw=0.4,
                alpha=0.7,
            )
            ax.plot(
                path["learning_rate"][-1, side],
                path["decay_rate"][-1, side],
                "o",
                ms=2.5,
                color=shade,
            )
        ax.plot(rates[at[0]], decays[at[1]], "*", ms=7, color="k")
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="first learning rate",
            xlim=(rates[0], rates[-1]),
            ylim=(decays[0], decays[-1]),
        )
        ax.set_title(name)
        if not number:
            ax.set_ylabel("decay over training")
        rows = [
            [*(float(f"{path[n][i, s]:.5g}") for n in ("learning_rate", "decay_rate")), s, i]
            for s in range(path["learning_rate"].shape[1])
            for i in range(len(path["learning_rate"]))
        ]
        write_rows(
            folder / f"paths_{name.replace(' ', '_')}.csv",
            ["learning rate", "decay", "start", "meta-step"],
            rows,
        )
        ends = np.array(entry["loss"], float)
        axes[0, -1].plot(
            np.sort(ends),
            (np.arange(len(ends)) + 1) / len(ends),
            drawstyle="steps-post",
            color=color,
            label=name,
        )
        mean = mean_rate(path["learning_rate"], path["decay_rate"])
        right = mean_rate(rates[at[0]], decays[at[1]])
        above = mean[0] > right  # that begin too low may stay so; these came down
        ratios[name] = right / np.median(mean[-1, above]) if above.any() else np.nan
    live = np.sort(np.array(read(folder / "live.json")["loss"], float))
    axes[0, -1].plot(
        live,
        (np.arange(len(live)) + 1) / len(live),
        drawstyle="steps-post",
        ls="--",
        color="k",
        label="live",
    )
    axes[0, -1].axvline(best, color="k", lw=0.6, ls=":")
    axes[0, -1].set(
        xlabel="loss after all steps",
        xlim=(0.98 * best, 2.2),
        ylabel="share of starts at most that",
        ylim=(0, 1.02),
    )
    axes[0, -1].legend(fontsize=6, loc="lower right")
    plots.save(made, folder / "starts")
    ends = np.array(found["all steps"]["loss"], float)
    criteria.append(
        Criterion(
            f"all steps: share of the {calm.sum()} starts outside chaos that end within 5 % of the grid's best loss",
            np.mean(ends[calm] <= 1.05 * best),
            0.9,
        )
    )
    criteria.append(
        Criterion(
            "last 100 steps: mean learning rate of the grid's best over the median of the ends, of starts above it",
            ratios["last 100"],
            10,
        )
    )
    entry = read(folder / "rescue.json")
    wild = np.array(entry["loss"], float)[1:]
    criteria.append(
        Criterion(
            "starts far beyond the edge that were rescued and ended below the loss of chance, of 4",
            float(np.sum(wild < np.log(10))),
            4,
        )
    )
    criteria.append(
        Criterion(
            "rescues that each of those took, at least", float(np.min(entry["rescued"][1:])), 1
        )
    )
    return criteria


if __name__ == "__main__":
    main("many_starts", run, draw, parts=PARTS, uses=("data",))
