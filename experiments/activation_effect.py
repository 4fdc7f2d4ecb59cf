"""Activation functions: what they and their derivatives look like, which learning rates they train at, and units that die.

    python -m experiments.activation_effect
    python -m experiments.activation_effect --plot results/activation_effect

shapes    every activation with the derivative that `hpjax.backprop` has beside it, against central differences
training  three spirals, four hidden layers of 32, SGD with momentum 0.9: ten activations x learning rates as one population
dead      the same network with ReLU and with leaky ReLU: share of hidden units that no training example switches on, after training;
          of networks that did not diverge
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, short
from experiments._trained import Trained, seen, trained
from hpjax.curve_columns import ERROR, LOSS, TRAIN

SHOWN = (
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "prelu",
    "gelu",
    "silu",
    "identity",
    "softmax",
)
DEEP, WIDTH = 4, 32
FIT = 0.1  # training loss at which a network counts as trained
NET = {
    "hidden": (WIDTH,) * DEEP,
    "init": "he",
    "optimizer": "sgd",
    "momentum": 0.9,
    "batch_size": 32,
}
COLORS = (
    "#4477AA",
    "#66CCEE",
    "#EE6677",
    "#AA3377",
    "#228833",
    "#CCBB44",
    "#DDAA33",
    "#000088",
    "#777777",
    "#000000",
)
MARKERS = "osD^vP*Xh."


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    rates: int  # learning rates, from 1e-4 to 10
    epochs: int
    activations: tuple[str, ...]
    seeds: int  # networks of an activation and rate


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(3, 1, SHOWN[:3], 1),
    "small": Parameters(25, 40, SHOWN, 5),
    "paper": Parameters(61, 50, SHOWN, 20),
}


def shapes() -> dict:
    """Values and derivatives on [-4, 4] in float64; of softmax, the first of three units with the others at 0."""
    import jax
    import jax.numpy as jnp

    from hpjax.models.mlp.activations import activate, activation

    found: dict = {}
    z, step = np.linspace(-4, 4, 162), 1e-6  # 0 is not among them: kinks have no derivative
    with jax.enable_x64(True):
        for name in SHOWN:
            slope = jnp.asarray(0.25) if name == "prelu" else None
            wide = 3 if name == "softmax" else 1
            at = lambda v, wide=wide: jnp.pad(jnp.asarray(v)[:, None], ((0, 0), (0, wide - 1)))
            value = lambda v, at=at, name=name, slope=slope: np.asarray(
                activate(name, at(v), slope)
            )[:, 0]
            _, back = activation(name, at(z), slope)
            ones = jnp.zeros((len(z), wide)).at[:, 0].set(1.0)
            derivative = np.asarray(back(ones)[0])[:, 0]
            central = (value(z + step) - value(z - step)) / (2 * step)
            found[name] = {
                "value": value(z).tolist(),
                "derivative": derivative.tolist(),
                "distance": float(np.abs(central - derivative).max()),
            }
    return {"z": z.tolist(), "shapes": found}


def dead_share(one: Trained, x: np.ndarray) -> np.ndarray:
    """Share of hidden units [R] that no example switches on; NaN of a network that diverged."""
    import jax
    import jax.numpy as jnp

    from hpjax.models.mlp.activations import activate

    def of(params: Any):
        a, silent = jnp.asarray(x, one.spec.dtype), []
        for layer in params[:-1]:
            z = a @ layer["w"] + layer["b"]
            silent.append((z <= 0).all(0).mean())
            a = activate(one.spec.activation[0], z)
        return jnp.where(jnp.isfinite(a).all(), jnp.stack(silent).mean(), jnp.nan)

    return np.asarray(jax.vmap(of)(one.params))


def alive(share: np.ndarray) -> float:
    """Mean over the networks that did not diverge; NaN where fewer than half are left."""
    left = share[np.isfinite(share)]
    return float(left.mean()) if 2 * len(left) >= len(share) else np.nan


def run(parameters: Parameters) -> dict[str, Any]:
    """All three parts."""
    import hpjax
    from hpjax import devices, tasks

    devices.devices()  # before anything else starts JAX
    entry: dict = shapes()
    task = tasks.load("spirals")
    split = tasks.splits(task)[0]
    task = dataclasses.replace(task, folds=(split,))
    rates = np.geomspace(1e-4, 10, parameters.rates)
    space = NET | {
        "activation": hpjax.Choice(parameters.activations),
        "learning_rate": hpjax.LogUniform(1e-5, 100.0),
        "epochs": parameters.epochs,
    }
    points = [
        {"activation": name, "learning_rate": rate}
        for name in parameters.activations
        for rate in rates
    ]
    found = trained(space, task, points, parameters.epochs, parameters.seeds)
    entry |= {"rates": rates.tolist(), "epochs": parameters.epochs, "training": {}, "curves": {}}
    for number, name in enumerate(parameters.activations):
        mine = found[number * parameters.rates : (number + 1) * parameters.rates]
        curves = np.stack([one.curve for one in mine])  # [rates R E 4]
        diverged = ~np.isfinite(curves[..., [TRAIN, LOSS]]).all((2, 3))
        loss = np.where(diverged, np.inf, curves[:, :, -1, LOSS])
        error = np.where(diverged, 0.9, curves[:, :, -1, ERROR])
        below = curves[..., TRAIN] < FIT
        fast = np.median(np.where(below.any(2) & ~diverged, below.argmax(2) + 1, np.inf), 1)
        best = int(fast.argmin()) if np.isfinite(fast).any() else int(np.median(loss, 1).argmin())
        entry["training"][name] = {
            "loss": short(np.median(loss, 1)),
            "error": short(np.median(error, 1)),
            "train": short(np.median(np.where(diverged, np.inf, curves[:, :, -1, 1]), 1)),
        }
        entry["curves"][name] = {
            "rate": rates[best],
            "epochs": short(fast[[best]])[0],
            "train": short(np.median(curves[best, :, :, 1], 0)),
        }
    x, _ = seen(task, split.train, split.train)
    leaky = space | {"activation": "leaky_relu"}
    entry["dead"] = {
        name: [
            v if np.isfinite(v) else None
            for v in (
                alive(dead_share(one, x))
                for one in trained(
                    (space if name == "relu" else leaky) | {"activation": name},
                    task,
                    [{"learning_rate": r} for r in rates],
                    parameters.epochs,
                    parameters.seeds,
                )
            )
        ]
        for name in ("relu", "leaky_relu")
    }
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Shapes; then losses over rates, the best curves, dead units."""
    from hpjax import plots

    entry = numbers["activations"]
    z = np.array(entry["z"])
    made, axes = plots.figure(2, 5, width=plots.WIDE, height=2.8, sharex=True)
    rows = []
    for ax, name in zip(axes.ravel(), SHOWN):
        one = entry["shapes"][name]
        ax.axhline(0, color="#DDDDDD", lw=0.5)
        ax.plot(z, one["value"], color="#4477AA", label="f(z)")
        ax.plot(z, one["derivative"], color="#EE6677", ls="--", label="f'(z)")
        ax.set(ylim=(-1.3, 2), yticks=[-1, 0, 1, 2])
        ax.set_title(name.replace("_", " ") + (" (of three)" if name == "softmax" else ""))
        rows += [[name, x, v, d] for x, v, d in zip(z, one["value"], one["derivative"])]
    for ax in axes[1]:
        ax.set_xlabel("z")
    axes[0, 0].legend(fontsize=6, loc="lower right")
    sheet.figure(made, "shapes")
    sheet.table("shapes", ["activation", "z", "value", "derivative"], rows)
    made, axes = plots.figure(1, 3, width=plots.WIDE, height=2.9)
    rates, best, rows, wide = np.array(entry["rates"]), {}, [], {}
    for name, one in entry["training"].items():
        number = SHOWN.index(name)
        loss, error = np.array(one["loss"], float), np.array(one["error"], float)
        label, style = (
            name.replace("_", " "),
            {"color": COLORS[number], "marker": MARKERS[number], "ms": 3, "lw": 0.8},
        )
        axes[0].plot(rates, 100 * np.where(np.isfinite(loss), error, np.nan), label=label, **style)
        curve = np.array(entry["curves"][name]["train"], float)
        axes[1].plot(np.arange(1, len(curve) + 1), curve, label=label, markevery=5, **style)
        best[name], wide[name] = np.nanmin(error), float((error < 0.1).sum())
        rows += [[name, r, v, e] for r, v, e in zip(rates, loss, error)]
    axes[0].set(xscale="log", xlabel="learning rate", ylabel="validation error, %", ylim=(-2, 75))
    axes[1].set(yscale="log", xlabel="epoch", ylabel="training loss", ylim=(2e-5, 3))
    made.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    for name, marker in (("relu", "D"), ("leaky_relu", "^")):
        number = SHOWN.index(name)
        axes[2].plot(
            rates,
            100 * np.array(entry["dead"][name], float),
            marker=marker,
            ms=3,
            color=COLORS[number],
            label=name.replace("_", " "),
        )
        rows += [
            [f"{name}, share of silent units", r, v, None]
            for r, v in zip(rates, entry["dead"][name])
        ]
    axes[2].set(
        xscale="log",
        xlabel="learning rate",
        ylabel="hidden units never switched on, %",
        ylim=(0, None),
    )
    axes[2].legend(loc="upper left")
    axes[2].set_title("where most networks train")
    axes[0].set_title("lines end where training diverges")
    axes[1].set_title("at the fastest rate of each")
    sheet.figure(made, "training")
    sheet.table(
        "training",
        ["activation", "learning rate", "validation loss or share", "validation error"],
        rows,
    )
    criteria = [
        Criterion(
            "derivatives in backprop, largest distance from central differences",
            np.max([one["distance"] for one in entry["shapes"].values()]),
            1e-8,
            at_least=False,
            figure="shapes",
        )
    ]
    if "identity" in best:
        epochs = {n: one["epochs"] or np.inf for n, one in entry["curves"].items()}
        gates = [n for n in best if n not in ("identity", "softmax", "sigmoid")]
        criteria += [
            Criterion(
                "points of lowest validation error, identity minus the best",
                100 * (best["identity"] - min(best.values())),
                10,
                figure="training",
            ),
            Criterion(
                f"epochs to a training loss of {FIT:g} at the fastest rate, sigmoid over ReLU",
                epochs["sigmoid"] / epochs["relu"],
                2,
                figure="training",
            ),
            Criterion(
                "the same, the slowest over the fastest of tanh, ReLU and its kin",
                max(epochs[n] for n in gates) / min(epochs[n] for n in gates),
                4,
                at_least=False,
                figure="training",
            ),
            Criterion(
                "rates with less than 10 % error: ReLU's over the sigmoid's",
                wide["relu"] / max(wide["sigmoid"], 1),
                1.5,
                figure="training",
            ),
        ]


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["activations"]
    error = {n: np.array(one["error"], float) for n, one in entry["training"].items()}
    best = {n: np.nanmin(values) for n, values in error.items()}
    wide = {n: float((values < 0.1).sum()) for n, values in error.items()}
    dead = {name: np.array(values, float) for name, values in entry["dead"].items()}
    both = np.flatnonzero(np.isfinite(dead["relu"]) & np.isfinite(dead["leaky_relu"]))[-1]
    criteria = [
        Criterion(
            "derivatives in backprop, largest distance from central differences",
            np.max([one["distance"] for one in entry["shapes"].values()]),
            1e-8,
            at_least=False,
            figure="shapes",
        )
    ]
    if "identity" in best:
        epochs = {n: one["epochs"] or np.inf for n, one in entry["curves"].items()}
        gates = [n for n in best if n not in ("identity", "softmax", "sigmoid")]
        criteria += [
            Criterion(
                "points of lowest validation error, identity minus the best",
                100 * (best["identity"] - min(best.values())),
                10,
                figure="training",
            ),
            Criterion(
                f"epochs to a training loss of {FIT:g} at the fastest rate, sigmoid over ReLU",
                epochs["sigmoid"] / epochs["relu"],
                2,
                figure="training",
            ),
            Criterion(
                "the same, the slowest over the fastest of tanh, ReLU and its kin",
                max(epochs[n] for n in gates) / min(epochs[n] for n in gates),
                4,
                at_least=False,
                figure="training",
            ),
            Criterion(
                "rates with less than 10 % error: ReLU's over the sigmoid's",
                wide["relu"] / max(wide["sigmoid"], 1),
                1.5,
                figure="training",
            ),
        ]
    return [
        *criteria,
        Criterion(
            "ReLU: largest share of silent units over that at the lowest rate",
            np.nanmax(dead["relu"]) / dead["relu"][0],
            2,
            figure="training",
        ),
        Criterion(
            "share of silent units at the highest rate at which both train, leaky ReLU over ReLU",
            dead["leaky_relu"][both] / dead["relu"][both],
            1.0,
            at_least=False,
            figure="training",
        ),
    ]


EXPERIMENT = Experiment(
    "activation_effect",
    presets=PRESETS,
    parts={"activations": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
