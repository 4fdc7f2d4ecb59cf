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
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from hpjax.models import Spec
    from hpjax.tasks import Task


HORIZONS = {"all steps": "forward", "last 100": "truncated", "first 100": "forward"}
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


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    steps: int  # of training
    side: int  # of the surface
    starts: int
    short: int  # steps of a short horizon
    iterations: int  # of a descent
    seeds: int  # that a hypergradient is the mean of
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(60, 3, 2, 20, 2, 1),
    "small": Parameters(5000, 24, 32, 100, 100, 4),
    "paper": Parameters(5000, 40, 64, 100, 100, 4),
}


def setting(parameters: Parameters) -> tuple[Task, Spec, dict[str, Any]]:
    """Task and network."""
    from hpjax import hypergrad, tasks

    made = tasks.load("mnist1d", parameters.data)
    per_epoch = -(-len(tasks.splits(made, 1, 0)[0].train) // 20)
    spec, config = hypergrad.configure(
        made,
        hidden=(20,),
        activation="tanh",
        optimizer="sgd",
        momentum=0.9,
        batch_size=20,
        schedule="inverse_time",
        horizon=parameters.steps / per_epoch,
    )
    return made, spec, config


def starts(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """First rates and decays [S]."""
    rng = np.random.default_rng(0)
    drawn = lambda low, high: np.exp(rng.uniform(np.log(low), np.log(high), parameters.starts))
    return drawn(*RATES), drawn(*DECAYS)


def surface(parameters: Parameters) -> dict[str, Any]:
    """Losses over the first rate and the decay."""
    made, spec, config = setting(parameters)
    side = parameters.side
    grid = [np.geomspace(*bounds, side) for bounds in ((RATES[0], WIDE), DECAYS)]
    points = [config | {"learning_rate": r, "decay_rate": d} for r in grid[0] for d in grid[1]]
    losses = judged(made, spec, points, parameters.steps).reshape(side, side)
    return {
        "rates": grid[0].tolist(),
        "decays": grid[1].tolist(),
        "loss": losses.round(6).tolist(),
    }


def descended(
    parameters: Parameters, spec: Spec, configs: list[dict[str, Any]], horizon: int, **options: Any
) -> dict[str, Any]:
    """Descents from these starts along hypergradients of a horizon, and what their ends are worth."""
    import hpjax
    from hpjax import hypergrad

    made, _, config = setting(parameters)
    wrt = {name: hpjax.LogUniform(*bounds) for name, bounds in BOUNDS.items()}
    effort = {"iterations": parameters.iterations, "seeds": parameters.seeds}
    found = hypergrad.learn(made, spec, configs, wrt, horizon, **effort, **DESCENT, **options)
    return _entry(found, made, spec, config, parameters.steps)


def descents(parameters: Parameters) -> dict[str, Any]:
    """From every start, along hypergradients of three horizons."""
    from hpjax import hypergrad

    _, spec, config = setting(parameters)
    short, entry = parameters.short, {}
    pairs = zip(*starts(parameters))
    configs = [config | {"learning_rate": r, "decay_rate": d} for r, d in pairs]
    for name, mode in HORIZONS.items():
        watch = lambda i, loss, name=name: (
            i % 10 or print(f"{name}, {i}: {np.median(loss):.4f}", flush=True)
        )
        horizon = short if name.startswith("first") else parameters.steps
        mode = hypergrad.Truncated(short) if mode == "truncated" else mode
        entry[name] = descended(parameters, spec, configs, horizon, mode=mode, watch=watch)
    return entry


def rescue(parameters: Parameters) -> dict[str, Any]:
    """From far beyond the edge, where hypergradients overflow; tanh never does."""
    from hpjax.models.mlp.hyperparameters import MLPSpec

    _, spec, config = setting(parameters)
    assert isinstance(spec, MLPSpec)
    leaky = dataclasses.replace(spec, activation=("leaky_relu",))
    first, decay = starts(parameters)
    calm = config | {"learning_rate": first[0], "decay_rate": decay[0]}
    wild = [config | {"learning_rate": r, "decay_rate": 1.0} for r in (1.0, 2.0, 5.0, 10.0)]
    return descended(parameters, leaky, [calm, *wild], parameters.steps, mode="forward")


def live(parameters: Parameters) -> dict[str, Any]:
    """The same first rates, moved during one training by the hypergradient of the next minibatch."""
    made, spec, config = setting(parameters)
    spec, (first, _) = dataclasses.replace(spec, schedule="hypergradient"), starts(parameters)
    points = [config | {"learning_rate": r, "hypergradient_rate": 1e-3} for r in first]
    losses = judged(made, spec, points, parameters.steps)
    return {"first": first.tolist(), "loss": losses.round(6).tolist()}


def judged(made: Task, spec: Spec, configs: list[dict[str, Any]], steps: int) -> np.ndarray:
    """Training loss after all steps, mean over the judges' seeds; infinite where one of them diverged."""
    from hpjax import hypergrad

    take = lambda key: (
        hypergrad.hypergradients(
            made, spec, configs, "learning_rate", steps, objective="train", mode="plain", key=key
        ).loss
    )
    found = np.mean([take(key) for key in JUDGES], 0, dtype=float)
    return np.where(np.isfinite(found), found, np.inf)


def _entry(found: Any, made: Task, spec: Spec, config: dict[str, Any], steps: int) -> dict:
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


def surface_of(numbers: Numbers) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Rates, decays, losses [rates decays], NaN where training diverged, and the place of the lowest."""
    entry = numbers["surface"]
    rates, decays, loss = (np.array(entry[n], float) for n in ("rates", "decays", "loss"))
    shown = np.where(np.isfinite(loss), loss, np.nan)
    return rates, decays, shown, np.unravel_index(np.nanargmin(shown), shown.shape)


def whole_path(entry: dict[str, Any]) -> dict[str, np.ndarray]:
    """Values before each meta-step and after the last [M+1 S], by name."""
    return {
        n: np.concatenate([np.array(v), np.array(entry["ends"][n])[None]])
        for n, v in entry["path"].items()
    }


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The surface with paths and ends; losses of the ends."""
    from hpjax import plots

    rates, decays, shown, at = surface_of(numbers)
    best = float(shown[at])
    found = numbers["descents"]
    made, axes = plots.figure(1, 4, width=plots.WIDE, height=2.3, squeeze=False)
    levels = best * np.geomspace(1.0, 2.6, 12)
    calm = np.array(found["all steps"]["steepest"], float)[0] <= STEEP
    for number, (name, entry) in enumerate(found.items()):
        ax, color = axes[0, number], plots.COLORS[number]
        ax.contourf(
            rates, decays, np.clip(shown.T, levels[0], levels[-1]), levels, cmap="Greys", norm="log"
        )
        path = whole_path(entry)
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
        sheet.table(
            f"paths_{name.replace(' ', '_')}",
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
    alone = np.sort(np.array(numbers["live"]["loss"], float))
    axes[0, -1].plot(
        alone,
        (np.arange(len(alone)) + 1) / len(alone),
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
    sheet.figure(made, "starts")


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    rates, decays, shown, at = surface_of(numbers)
    best, found = float(shown[at]), numbers["descents"]
    calm = np.array(found["all steps"]["steepest"], float)[0] <= STEEP
    path = whole_path(found["last 100"])
    mean = mean_rate(path["learning_rate"], path["decay_rate"])
    right = mean_rate(rates[at[0]], decays[at[1]])
    above = mean[0] > right  # that begin too low may stay so; these came down
    ratio = right / np.median(mean[-1, above]) if above.any() else np.nan
    ends = np.array(found["all steps"]["loss"], float)
    wild = np.array(numbers["rescue"]["loss"], float)[1:]
    return [
        Criterion(
            f"all steps: share of the {calm.sum()} starts outside chaos that end within 5 % of the grid's best loss",
            np.mean(ends[calm] <= 1.05 * best),
            0.9,
        ),
        Criterion(
            "last 100 steps: mean learning rate of the grid's best over the median of the ends, of starts above it",
            ratio,
            10,
        ),
        Criterion(
            "starts far beyond the edge that were rescued and ended below the loss of chance, of 4",
            float(np.sum(wild < np.log(10))),
            4,
        ),
        Criterion(
            "rescues that each of those took, at least",
            float(np.min(numbers["rescue"]["rescued"][1:])),
            1,
        ),
    ]


EXPERIMENT = Experiment(
    "many_starts",
    presets=PRESETS,
    parts={"surface": surface, "descents": descents, "live": live, "rescue": rescue},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
