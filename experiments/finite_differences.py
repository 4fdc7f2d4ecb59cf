"""Why backpropagation: perturbing every weight costs a forward pass each, and is never exact.

    python -m experiments.finite_differences
    python -m experiments.finite_differences --plot results/finite_differences

The gradient of a network's loss on 64 digits by backpropagation by hand, and by naive perturbation (L(w + h) - L(w)) / h and central
differences, one weight after another.

cost   seconds of each against the number of parameters, and their slopes
error  relative error against the step h, in float32 and float64
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from jax import Array


WAYS = ("backpropagation", "one-sided", "central")


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    widths: tuple[int, ...]  # of the hidden layer, in cost
    repeats: int  # timed calls; backpropagation has twenty times as many
    steps: int  # h, from 1e-12 to 1


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters((2, 4), 2, 5),
    "small": Parameters((2, 4, 8, 16, 32, 64), 5, 49),
    "paper": Parameters((2, 4, 8, 16, 32, 64), 5, 49),
}


def problem(hidden: tuple[int, ...], dtype: str):
    """Three gradients as compiled functions of the flat weights (and the step h), and weights to start at."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from hpjax import hypergrad, tasks
    from hpjax.models import Batch
    from hpjax.models.mlp import backprop
    from hpjax.models.mlp.hyperparameters import MLPSpec
    from hpjax.training import batches

    task = tasks.load("digits")
    spec, config = hypergrad.configure(
        task, hidden=hidden, activation="tanh", init="lecun", dtype=dtype
    )
    assert isinstance(spec, MLPSpec)
    config = {name: jnp.asarray(value, dtype) for name, value in config.items()}
    params, stats = spec.functions.init(jnp.asarray(batches.drawn(0, 0, 0, 0, spec), dtype), config)
    flat, restore = ravel_pytree(params)
    rows = task.development[:64]
    x, y = jnp.asarray(task.x[rows] / 16, dtype), jnp.asarray(task.targets()[rows], dtype)
    batch = Batch(x, y, jnp.ones(len(rows), dtype), jax.random.key(0))
    loss = lambda w: spec.functions.loss(restore(w), stats, config, batch)[0]

    def by_hand(w: Array, h: Array):
        del h
        return ravel_pytree(backprop.value_and_grad(spec)(restore(w), stats, config, batch)[1])[0]

    def one_sided(w: Array, h: Array):
        here, every = loss(w), jnp.arange(w.size, dtype=jnp.int32)
        return jax.lax.map(lambda i: (loss(w.at[i].add(h)) - here) / h, every)

    def central(w: Array, h: Any):
        return ravel_pytree(backprop.finite_differences(restore(w), stats, config, batch, spec, h))[
            0
        ]

    return {way: jax.jit(call) for way, call in zip(WAYS, (by_hand, one_sided, central))}, flat


def seconds(call: Callable[[], Array], repeats: int) -> float:
    """Median of several calls, after one that compiles."""
    call().block_until_ready()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call().block_until_ready()
        found.append(time.perf_counter() - begun)
    return float(np.median(found))


def cost(parameters: Parameters) -> list[list[float]]:
    """Parameters, and the seconds of each way."""
    table = []
    for width in parameters.widths:
        calls, w = problem((width,), "float32")
        times = [
            seconds(
                lambda call=call, w=w: call(w, np.float32(1e-3)),
                parameters.repeats * (20 if way == WAYS[0] else 1),
            )
            for way, call in calls.items()
        ]
        table.append([int(w.size), *times])
        print(f"{w.size} parameters", flush=True)
    return table


def error(parameters: Parameters) -> dict[str, Any]:
    """Relative errors over the step, of both differences in both precisions."""
    import jax

    steps = np.geomspace(1e-12, 1.0, parameters.steps)
    entry: dict[str, Any] = {"steps": steps.tolist()}
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            calls, w = problem((8,), dtype)
            take = lambda way, h, calls=calls, w=w, dtype=dtype: np.asarray(
                calls[way](w, np.asarray(h, dtype)), np.float64
            )
            exact = take(WAYS[0], 1.0)
            size = np.linalg.norm(exact)
            for way in WAYS[1:]:
                entry[f"{way}, {dtype}"] = [
                    float(np.linalg.norm(take(way, h) - exact) / size) for h in steps
                ]
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Seconds over parameters, errors over steps."""
    from hpjax import plots

    table, entry = np.array(numbers["cost"]), numbers["error"]
    made, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=2.3)
    for number, way in enumerate(WAYS):
        left.plot(
            table[:, 0],
            table[:, 1 + number],
            marker="os^"[number],
            ms=3,
            color=plots.COLORS[number],
            label=way,
        )
    left.set(xscale="log", yscale="log", xlabel="parameters", ylabel="seconds for a gradient")
    left.legend()
    steps = np.array(entry["steps"])
    for name, error in entry.items():
        if name == "steps":
            continue
        way, dtype = name.split(", ")
        right.plot(
            steps,
            error,
            color=plots.COLORS[WAYS.index(way)],
            ls="-" if dtype == "float64" else "--",
            label=name,
        )
    right.set(
        xscale="log",
        yscale="log",
        xlabel="step h",
        ylabel="relative error of the gradient",
        ylim=(1e-15, 1e3),
    )
    right.legend(loc="lower left")
    sheet.figure(made, "differences")
    sheet.table("cost", ["parameters", *WAYS], table)
    sheet.table("error", list(entry), zip(*entry.values()))


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    table, entry = np.array(numbers["cost"]), numbers["error"]
    slopes = {
        way: np.polyfit(np.log(table[-3:, 0]), np.log(table[-3:, 1 + number]), 1)[0]
        for number, way in enumerate(WAYS)
    }
    best = {name: float(np.min(error)) for name, error in entry.items()}
    ratio = table[-1, 1 + WAYS.index("one-sided")] / table[-1, 1]
    return [
        Criterion(
            f"seconds of one-sided perturbation over those of backpropagation, {int(table[-1, 0]):,} parameters",
            ratio,
            100,
        ),
        Criterion(
            "log-log slope of perturbation's seconds over parameters, the three largest",
            slopes["one-sided"],
            1.0,
        ),
        Criterion(
            "least relative error, central differences in float64",
            best["central, float64"],
            1e-8,
            at_least=False,
        ),
        Criterion(
            "least relative error, one-sided in float64",
            best["one-sided, float64"],
            1e-6,
            at_least=False,
        ),
        Criterion("least relative error, one-sided in float32", best["one-sided, float32"], 1e-4),
    ]


EXPERIMENT = Experiment(
    "finite_differences",
    presets=PRESETS,
    parts={"cost": cost, "error": error},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
