"""What hypergradients cost: time in plain training runs of the same length, and memory against the horizon, beside the model.

    python -m experiments.hypergradient_cost
    python -m experiments.hypergradient_cost --plot results/hypergradient_cost

A network 784-50-50-50-10 (tanh, SGD with momentum, batch 200) on random data; one network on every core. Times are medians of
interleaved runs; memory is what the compiled program reserves for temporaries. Alone, on an idle machine.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from hpjax.hypergrad.gradient import Setup


HORIZONS = (100, 316, 1000, 3162, 10_000, 31_623, 100_000)
LIMITS = {  # of the time, in plain training runs, at 1,000 steps
    "reverse (0)": 3.5,
    "reverse (1)": 4.5,
    "reverse (2)": 5.5,
    "mixed (1)": 3.3,
    "mixed (2)": 4.3,
    "forward, 1": 1.8,
    "forward, 2": 2.6,
    "forward, 4": 4.2,
    "forward, 8": 7.4,
}
SLOPES = {
    "reverse (0)": 1.0,
    "reverse (1)": 1.0,
    "reverse (2)": 0.5,
    "reverse (3)": 1 / 3,
    "mixed (1)": 1.0,
    "mixed (2)": 0.5,
    "forward, 4": 0.0,
}
FORWARD = {  # how many numbers are differentiated
    1: {"learning_rate": 1},
    2: {"learning_rate": 1, "momentum": 1},
    4: {"learning_rate": 4},
    8: {"learning_rate": 4, "momentum": 4},
}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    steps: int  # at which times are taken
    horizons: tuple[int, ...]  # at which memory is
    repeats: int  # timed trainings of each mode


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(30, (16, 64), 1),
    "small": Parameters(1000, HORIZONS, 5),
    "paper": Parameters(1000, HORIZONS, 7),
}


def task(examples: int = 4000):
    """Random images and classes."""
    from hpjax import Task

    rng = np.random.default_rng(0)
    rows = np.arange(examples)
    x, y = rng.random((examples, 784)), rows % 10
    return Task("random", x, y, tuple("0123456789"), standardize=False).with_test(rows[-200:])


def ready(counts: dict, steps: int):
    """The training run, with so many numbers of each hyperparameter to differentiate."""
    from hpjax import hypergrad
    from hpjax.hypergrad import gradient

    alone = {"learning_rate": 0.05, "momentum": 0.5}
    values: dict[str, Any] = {
        n: (v,) * counts[n] if counts.get(n, 1) > 1 else v for n, v in alone.items()
    }
    spec, config = hypergrad.configure(
        task(), hidden=(50, 50, 50), activation="tanh", optimizer="sgd", batch_size=200, **values
    )
    return gradient.setup(task(), spec, [config], list(counts), steps, keys=(0,))


def contestants() -> dict:
    """Label -> (numbers differentiated, mode)."""
    from hpjax.hypergrad import Mode

    one = {"learning_rate": 1}
    made = {"plain": (one, Mode("plain"))}
    made |= {f"reverse ({k})": (one, Mode("reverse", k)) for k in (0, 1, 2, 3)}
    made |= {f"mixed ({k})": (one, Mode("mixed", k)) for k in (1, 2, 3)}
    made |= {f"forward, {m}": (counts, Mode("forward")) for m, counts in FORWARD.items()}
    return made | {"evolution, 4 pairs": (one, Mode("evolution", window=10, pairs=4, sigma=0.1))}


def arguments(made: Setup, networks: int, data: Any) -> tuple:
    """What a compiled program takes, as `hypergrad.differentiate` gives it."""
    many = lambda tree: {
        n: np.repeat(np.asarray(v), networks, 0).astype(np.float32) for n, v in tree.items()
    }
    group = np.zeros(networks, np.int32)
    return (
        data,
        np.uint32(0),
        np.uint32(0),
        many(made.coordinates),
        many(made.fixed),
        group,
        made.draws[group],
    )


def run(parameters: Parameters) -> dict[str, Any]:
    """Times every mode, interleaved, and reads the compiled programs' memory at every horizon."""
    import jax

    from hpjax import devices
    from hpjax.hypergrad import cost
    from hpjax.hypergrad.gradient import program

    steps, networks = parameters.steps, len(devices.devices())
    calls, times = {}, {}
    for label, (counts, mode) in contestants().items():
        made = ready(counts, steps)
        given = arguments(made, networks, jax.tree.map(np.asarray, made.data))
        calls[label] = (program(made.plan, mode, networks, 1), given)
        jax.block_until_ready(calls[label][0](*given))
        times[label] = []
        print(f"{label} compiled", flush=True)
    for _ in range(parameters.repeats):
        for label, (call, given) in calls.items():
            begun = time.perf_counter()
            jax.block_until_ready(call(*given))
            times[label].append(time.perf_counter() - begun)
    calls.clear()
    memory = []
    for label, (counts, mode) in contestants().items():
        if label == "plain" or (label.startswith("forward") and label not in SLOPES):
            continue
        for horizon in parameters.horizons:
            made = ready(counts, horizon)
            size = sum(counts.values())
            compiled = (
                program(made.plan, mode, 1, 1).lower(*arguments(made, 1, made.data)).compile()
            )
            bytes_used = compiled.memory_analysis()
            assert bytes_used is not None
            model = cost.estimate(made.plan.spec, horizon, mode, size, made.batch, made.full)
            memory.append([label, horizon, bytes_used.temp_size_in_bytes, model.memory])
            print(*memory[-1], flush=True)
    models = {}
    for label, (counts, mode) in contestants().items():
        made = ready(counts, steps)
        size = sum(counts.values())
        models[label] = (
            1.0
            if label == "plain"
            else cost.estimate(made.plan.spec, steps, mode, size, made.batch, made.full).time
        )
    return {
        "steps": steps,
        "networks": networks,
        "seconds": times,
        "models": models,
        "memory": memory,
    }


def ratios(entry: dict[str, Any]) -> dict[str, np.ndarray]:
    """Each mode's times, in plain trainings."""
    plain = np.array(entry["seconds"]["plain"])
    times = {label: np.array(seconds) for label, seconds in entry["seconds"].items()}
    return {label: seconds / plain for label, seconds in times.items() if label != "plain"}


def memory(entry: dict[str, Any], label: str) -> np.ndarray:
    """Steps, bytes and the model's bytes of a mode, [horizons 3]."""
    return np.array([row[1:] for row in entry["memory"] if row[0] == label], float)


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Time as bars beside the model's, memory against the horizon with the model's lines."""
    from hpjax import plots

    found = numbers["cost"]
    ratio = ratios(found)
    made, axes = plots.figure(1, 2, width=plots.WIDE, height=3.0)
    labels = list(ratio)
    middle = np.array([np.median(ratio[n]) for n in labels])
    spread = np.abs(np.array([np.quantile(ratio[n], [0.25, 0.75]) for n in labels]).T - middle)
    place = np.arange(len(labels))
    axes[0].barh(
        place, middle, xerr=spread, color="#4477AA", height=0.6, label="measured, quartiles"
    )
    axes[0].plot([found["models"][n] for n in labels], place, "k|", ms=11, mew=1.5, label="model")
    axes[0].plot(
        [LIMITS.get(n, np.nan) for n in labels], place, ">", color="#EE6677", ms=4, label="target"
    )
    axes[0].set_yticks(place, labels)
    axes[0].invert_yaxis()
    axes[0].set_xlabel(f"time, in plain trainings of {found['steps']:,} steps")
    axes[0].set_xlim(0, 1.35 * max(middle))
    axes[0].legend(loc="upper right")
    marks = "osD^vP*"
    for number, label in enumerate(SLOPES):
        values = memory(found, label)
        color = plots.COLORS[number % 7]
        axes[1].plot(
            values[:, 0], values[:, 1] / 2**20, marks[number], color=color, ms=4, label=label
        )
        axes[1].plot(values[:, 0], values[:, 2] / 2**20, "-", color=color, lw=0.8)
    axes[1].set(xscale="log", yscale="log", xlabel="steps", ylabel="temporary memory (MiB)")
    axes[1].set_title("marks: compiled; lines: model")
    axes[1].legend(fontsize=6)
    sheet.figure(made, "cost")
    sheet.table(
        "time",
        ["mode", "plain trainings", "lower quartile", "upper quartile", "model"],
        [
            [n, *np.quantile(ratio[n], [0.5, 0.25, 0.75]).round(3), found["models"][n]]
            for n in labels
        ],
    )
    sheet.table("memory", ["mode", "steps", "bytes", "model"], found["memory"])


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    found = numbers["cost"]
    ratio = ratios(found)
    judged = [
        Criterion(f"{n}: time in plain trainings", np.median(ratio[n]), limit, at_least=False)
        for n, limit in LIMITS.items()
    ]
    for label, wanted in SLOPES.items():
        values = memory(found, label)
        slope = float(np.polyfit(np.log(values[-3:, 0]), np.log(values[-3:, 1]), 1)[0])
        worst = float(np.exp(np.abs(np.log(values[:, 1] / values[:, 2])).max()))
        judged += [
            Criterion(
                f"{label}: distance of the memory's log-log slope {slope:.3f} from {wanted:.2f}",
                abs(slope - wanted),
                0.05,
                at_least=False,
            ),
            Criterion(
                f"{label}: memory over its model, or under it, at most", worst, 1.3, at_least=False
            ),
        ]
    return judged


EXPERIMENT = Experiment(
    "hypergradient_cost",
    presets=PRESETS,
    parts={"cost": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
