"""Optimizers side by side: paths on a surface, convergence against theory in a ravine, and networks over learning rates.

    python -m experiments.optimizers_compared
    python -m experiments.optimizers_compared --plot results/optimizers_compared

ravine    x^2 / 2 + 100 y^2 / 2, turned by 30 degrees: distance to the minimum. Theory for condition number k (Polyak 1964): a step leaves (k - 1) / (k + 1) of
          it with plain descent and (sqrt k - 1) / (sqrt k + 1) with heavy-ball momentum, both at their best constants
surface   Beale's function from one start, every optimizer at its best of 200 rates; the same path by optax
networks  digits, 64-64-10: optimizers x rates as one population
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, short

CONDITION, TURN = 100.0, np.pi / 6
THEORY = {  # what a step leaves
    "sgd": (CONDITION - 1) / (CONDITION + 1),
    "momentum": (np.sqrt(CONDITION) - 1) / (np.sqrt(CONDITION) + 1),
}
SHOWN = {
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd", "momentum": 0.9},
    "nesterov": {"optimizer": "nesterov", "momentum": 0.9},
    "rmsprop": {"optimizer": "rmsprop", "beta2": 0.99},
    "adagrad": {"optimizer": "adagrad"},
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.01},
}
LOOKS = {
    "sgd": ("#777777", "o"),
    "momentum": ("#4477AA", "s"),
    "nesterov": ("#66CCEE", "D"),
    "rmsprop": ("#228833", "^"),
    "adagrad": ("#CCBB44", "v"),
    "adam": ("#EE6677", "P"),
    "adamw": ("#AA3377", "X"),
}
START, GOAL = (1.0, 1.0), (3.0, 0.5)
STEPS = 200
BATCH_LOSS = 0.05  # training loss to reach


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    surface_rates: int  # tried on the surface
    rates: int  # of networks, from 1e-5 to 10
    epochs: int
    seeds: int  # networks of an optimizer and rate


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(20, 3, 1, 1),
    "small": Parameters(200, 25, 20, 3),
    "paper": Parameters(200, 61, 50, 20),
}


def beale(point: Any):
    """Beale's function of a point [2]; 0 at (3, 0.5)."""
    x, y = point[0], point[1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def paths(
    loss: Callable[[Any], Any],
    start: tuple[float, float],
    steps: int,
    rates: np.ndarray,
    **values: Any,
) -> np.ndarray:
    """Points [rates T+1 2] of an optimizer of `hpjax.optimizers`, for many rates at once, in float64."""
    import jax
    import jax.numpy as jnp

    from hpjax.configurations import single_network
    from hpjax.models.base import Target, cast
    from hpjax.training import optimizers

    spec, config = single_network(
        Target(2, 1, "mse"), hidden=(), bias=False, dtype="float64", learning_rate=1.0, **values
    )
    with jax.enable_x64(True):

        def walk(rate: Any):
            rule = optimizers.optimizer(
                spec, cast(config, spec) | {"learning_rate": rate}, jnp.zeros(())
            )
            begin = ({"w": jnp.asarray(start, jnp.float64)[:, None]},)

            def step(carry: Any, _: None):
                params, state = carry
                grads = jax.grad(lambda p: loss(p[0]["w"][:, 0]))(params)
                moves, state = rule.update(grads, state, params)
                return (jax.tree.map(jnp.add, params, moves), state), params[0]["w"][:, 0]

            (last, _), seen = jax.lax.scan(step, (begin, rule.init(begin)), None, steps)
            return jnp.concatenate([seen, last[0]["w"][None, :, 0]])

        return np.asarray(jax.jit(jax.vmap(walk))(jnp.asarray(rates)))


def by_optax(
    name: str, loss: Callable[[Any], Any], start: tuple[float, float], steps: int, rate: float
) -> np.ndarray:
    """The same path [T+1 2], by optax."""
    import jax
    import jax.numpy as jnp
    import optax

    rule = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, 0.9),
        "nesterov": lambda: optax.sgd(rate, 0.9, nesterov=True),
        "rmsprop": lambda: optax.rmsprop(rate, decay=0.99, eps=1e-8, eps_in_sqrt=False),
        "adagrad": lambda: optax.adagrad(rate, 0.0, eps=1e-8),
        "adam": lambda: optax.adam(rate),
        "adamw": lambda: optax.adamw(rate, weight_decay=0.01),
    }[name]()
    with jax.enable_x64(True):
        point, seen = jnp.asarray(start, jnp.float64), []
        state, update = rule.init(point), jax.jit(rule.update)
        slope = jax.jit(jax.grad(loss))
        for _ in range(steps):
            seen.append(point)
            moves, state = update(slope(point), state, point)
            point = point + moves
        return np.stack([*seen, point])


def run(parameters: Parameters) -> dict[str, Any]:
    """All three parts."""
    rates = np.geomspace(1e-5, 10, parameters.rates)
    return {
        "ravine": in_the_ravine(),
        "surface": on_the_surface(parameters.surface_rates),
        "networks": of_networks(rates, parameters),
        "rates": rates.tolist(),
        "epochs": parameters.epochs,
    }


def in_the_ravine() -> dict[str, Any]:
    """Distances to the minimum; plain descent and momentum at their best constants, the others at their best of 200 rates."""
    root = np.sqrt(CONDITION)
    turn = lambda p: (
        p[0] * np.cos(TURN) + p[1] * np.sin(TURN),
        p[1] * np.cos(TURN) - p[0] * np.sin(TURN),
    )
    ravine = lambda p: 0.5 * (turn(p)[0] ** 2 + CONDITION * turn(p)[1] ** 2)
    start = (np.cos(TURN) - np.sin(TURN), np.cos(TURN) + np.sin(TURN))  # (1, 1) along the axes
    best = {
        "sgd": (2 / (1 + CONDITION), {}),
        "momentum": (4 / (root + 1) ** 2, {"momentum": ((root - 1) / (root + 1)) ** 2}),
    }
    entry = {}
    for name, values in SHOWN.items():
        rates, extra = (
            (np.array([best[name][0]]), best[name][1])
            if name in best
            else (np.geomspace(1e-4, 3, 200), {})
        )
        walked = np.clip(paths(ravine, start, STEPS, rates, **(values | extra)), -1e100, 1e100)
        found = np.linalg.norm(walked, axis=-1)
        at = int(np.nan_to_num(found[:, -1], nan=np.inf).argmin())
        entry[name] = {"rate": rates[at], "distance": found[at].tolist()}
    return entry


def on_the_surface(count: int) -> dict[str, Any]:
    """Paths at the best of so many rates, and how far optax's are from them."""
    entry = {}
    rates = np.geomspace(1e-4, 3, count)
    for name, values in SHOWN.items():
        found = paths(beale, START, STEPS, rates, **values)
        with np.errstate(all="ignore"):
            value = np.nan_to_num(beale(found.T).T, nan=np.inf, posinf=np.inf)  # [rates T+1]
        at = int(value[:, -1].argmin())
        theirs = by_optax(name, beale, START, STEPS, float(rates[at]))
        entry[name] = {
            "rate": rates[at],
            "path": found[at].tolist(),
            "value": value[at].tolist(),
            "distance": float(np.abs(theirs - found[at]).max()),
        }
        print(
            f"surface, {name}: {value[at, -1]:.3g} at rate {rates[at]:.3g}, {entry[name]['distance']:.1e} from optax",
            flush=True,
        )
    return entry


def of_networks(rates: np.ndarray, parameters: Parameters) -> dict[str, Any]:
    """Learning curves at every rate."""
    import hpjax

    entry = {}
    for name, values in SHOWN.items():
        space = {
            "hidden": (64,),
            "epochs": parameters.epochs,
            "learning_rate": hpjax.LogUniform(1e-6, 100.0),
        } | values
        found = hpjax.tune(
            space,
            "digits",
            search=[{"learning_rate": r} for r in rates],
            validation={"repeats": parameters.seeds},
            say=lambda text: None,
        )
        curves, table = np.full((parameters.rates, parameters.epochs), np.inf), found.curves
        curves[table["trial"], table["epoch"] - 1] = np.nan_to_num(table["train"], nan=np.inf)
        entry[name] = {
            "curves": [short(row) for row in curves],
            "loss": short(found.table["loss"]),
        }
        print(f"networks, {name}", flush=True)
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The ravine, the surface, and networks."""
    from hpjax import plots

    entry = numbers["optimizers"]
    made, axes = plots.figure(2, 2, width=plots.WIDE, height=4.6)
    ravine, surface, over, curve = axes.ravel()
    rows = []
    x, y = np.meshgrid(np.linspace(0.8, 4.0, 161), np.linspace(-1.2, 1.3, 126))
    surface.contourf(x, y, np.log10(beale((x, y)) + 1e-3), 24, cmap="Greys_r", alpha=0.55)
    for name, one in entry["surface"].items():
        color, marker = LOOKS[name]
        path = np.array(one["path"])
        surface.plot(
            *np.clip(path, -5, 9).T, color=color, lw=0.9, marker=marker, ms=2.5, markevery=12
        )
        rows += [["surface", name, i, *point] for i, point in enumerate(path)]
    surface.plot(*START, "o", color="k", ms=4)
    surface.plot(*GOAL, "*", color="k", ms=7)
    surface.set(xlabel="x", ylabel="y", xlim=(0.8, 4.0), ylim=(-1.2, 1.3))
    surface.set_title("Beale's function (log shades), from dot to star")
    for name, one in entry["ravine"].items():
        color, marker = LOOKS[name]
        distance = np.maximum(one["distance"], 1e-17)
        ravine.plot(distance, color=color, marker=marker, ms=2.5, markevery=25, label=name)
        rows += [["ravine", name, i, v, None] for i, v in enumerate(distance)]
    step = np.arange(STEPS + 1)
    for name, factor in THEORY.items():
        at = 100 if name == "momentum" else 0
        ravine.plot(
            step,
            entry["ravine"][name]["distance"][at] * factor ** (step - at),
            color=LOOKS[name][0],
            ls=":",
            lw=0.8,
        )
    ravine.plot([], [], color="k", ls=":", lw=0.8, label="theory's slope")
    ravine.set(yscale="log", xlabel="step", ylabel="distance to the minimum", ylim=(1e-17, 3))
    ravine.set_title(f"a ravine of condition {CONDITION:g}")
    made.legend(
        *ravine.get_legend_handles_labels(), loc="outside lower center", ncols=8, columnspacing=1
    )
    rates = np.array(entry["rates"])
    for name, one in entry["networks"].items():
        color, marker = LOOKS[name]
        curves = np.array(one["curves"], float)
        loss = np.array(one["loss"], float)
        beyond = ~(loss < 5) & (np.arange(len(loss)) > np.nanargmin(loss))
        over.plot(
            rates,
            np.where(np.maximum.accumulate(beyond), np.nan, loss),
            color=color,
            marker=marker,
            ms=2.5,
        )
        best = int(np.nanargmin(loss))
        curve.plot(
            np.arange(1, curves.shape[1] + 1),
            curves[best],
            color=color,
            marker=marker,
            ms=2.5,
            markevery=4,
        )
        rows += [["networks", name, i, r, v] for i, (r, v) in enumerate(zip(rates, loss))]
    over.set(
        xscale="log", yscale="log", xlabel="learning rate", ylabel="validation loss", ylim=(0.06, 5)
    )
    over.set_title(f"digits, {entry['epochs']} epochs")
    curve.set(
        yscale="log",
        xlabel="epoch",
        ylabel="training loss",
        xticks=np.linspace(0, entry["epochs"], 5).astype(int),
    )
    curve.set_title("digits, each at its rate of the lowest validation loss")
    sheet.figure(made, "optimizers")
    sheet.table(
        "optimizers",
        [
            "part",
            "optimizer",
            "step or rate's number",
            "distance, x or rate",
            "y or validation loss",
        ],
        rows,
    )


def fewest(curves: np.ndarray) -> float:
    """Epochs to a training loss of BATCH_LOSS, of the fastest curve [rates E]."""
    below = np.nan_to_num(curves, nan=np.inf) < BATCH_LOSS
    return float(np.where(below.any(1), below.argmax(1) + 1, np.inf).min())


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["optimizers"]
    ravine, surface, networks = (entry[name] for name in ("ravine", "surface", "networks"))
    tails = {n: np.array(ravine[n]["distance"])[-101:] for n in THEORY}  # the last hundred steps
    rate = {
        n: float(np.exp(np.polyfit(np.arange(len(tail)), np.log(tail), 1)[0]))
        for n, tail in tails.items()
    }
    arrived = [n for n, one in ravine.items() if min(one["distance"]) < 1e-4]
    step = np.log10(entry["rates"][1] / entry["rates"][0])
    losses = {n: np.array(one["loss"], float) for n, one in networks.items()}
    lowest = {n: np.nanmin(loss) for n, loss in losses.items()}
    broad = {n: float((loss < 0.2).sum()) * step for n, loss in losses.items()}
    reached = {n: fewest(np.array(one["curves"], float)) for n, one in networks.items()}
    return [
        *(
            Criterion(
                f"ravine: what a step of {n} leaves, {rate[n]:.4f}; distance from the theory's {THEORY[n]:.4f}",
                abs(rate[n] - THEORY[n]),
                0.01,
                at_least=False,
            )
            for n in THEORY
        ),
        Criterion(
            "ravine: distance of plain descent after 200 steps over that of momentum",
            ravine["sgd"]["distance"][-1] / ravine["momentum"]["distance"][-1],
            1e6,
        ),
        Criterion(
            "surface: largest distance of seven optimizers' paths from optax's",
            np.max([one["distance"] for one in surface.values()]),
            1e-8,
            at_least=False,
        ),
        Criterion(
            "surface: optimizers that end below 0.01",
            sum(one["value"][-1] < 0.01 for one in surface.values()),
            7,
        ),
        Criterion(
            f"networks: fewest epochs to a training loss of {BATCH_LOSS:g}, plain descent over the fastest ({min(reached, key=lambda n: reached[n])})",
            reached["sgd"] / min(reached.values()),
            1.5,
        ),
        Criterion(
            "networks: lowest validation loss, worst optimizer over the best, each at its own rate",
            max(lowest.values()) / min(lowest.values()),
            1.5,
            at_least=False,
        ),
        Criterion(
            f"networks: decades of rates with a validation loss below 0.2, least of all ({min(broad, key=lambda n: broad[n])})",
            min(broad.values()),
            0.5,
        ),
        Criterion(
            f"ravine: optimizers that come within 1e-4, at their best of 200 rates ({', '.join(arrived)})",
            len(arrived),
            3,
        ),
    ]


EXPERIMENT = Experiment(
    "optimizers_compared",
    presets=PRESETS,
    parts={"optimizers": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
