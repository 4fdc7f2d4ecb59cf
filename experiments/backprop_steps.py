"""Backpropagation step by step: the 2-4-1 network on XOR, with every number that a step computes.

    python -m experiments.backprop_steps
    python -m experiments.backprop_steps --plot results/backprop_steps

The course's network: sigmoid, binary cross-entropy, learning rate 0.5, all four examples in every step. A figure for each chosen epoch:
the network with activations on its nodes and weights on its edges, then z, a, delta of every unit and example, gradients, weights
before and after; and an animation over epochs. Then the example of Mazur (2015) as a table. Every number is compared with `jax.grad`.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hpjax.models.mlp.hyperparameters import MLPSpec


RATE = 0.5
SHOWN = (1, 100, 1000, 5000)
FRAMES = 24
MAZUR = {
    "net output of hidden 1": 0.593269992,
    "net output of hidden 2": 0.596884378,
    "output 1": 0.75136507,
    "output 2": 0.772928465,
    "error": 0.298371109,
    "dE/dw5": 0.082167041,
    "dE/dw6": 0.08266763,
    "dE/dw7": -0.02260254,
    "dE/dw8": -0.02274024,
    "dE/dw1": 0.000438568,
    "dE/dw2": 0.000877135,
    "dE/dw3": 0.000497713,
    "dE/dw4": 0.000995425,
    "w1 after": 0.149780716,
    "w5 after": 0.358916480,
    "error after": 0.291027924,
}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    epochs: int
    frames: int  # of the animation


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(50, 4),
    "small": Parameters(max(SHOWN), FRAMES),
    "paper": Parameters(max(SHOWN), FRAMES),
}


def taken_apart(params: Any, config: Any, batch: Any, spec: MLPSpec) -> tuple[dict, float, float]:
    """A step's numbers, and how far they lie from `jax.grad` and from central differences."""
    import jax
    from jax.flatten_util import ravel_pytree

    from hpjax.models.mlp import backprop

    value, layers = backprop.intermediates(params, (), config, batch, spec)
    mine = tuple({"w": layer.dw, "b": layer.db} for layer in layers)
    exact = jax.grad(lambda p: spec.functions.loss(p, (), config, batch)[0])(params)
    moved = backprop.finite_differences(params, (), config, batch, spec)
    apart = lambda other: float(np.abs(ravel_pytree(mine)[0] - ravel_pytree(other)[0]).max())
    step = {
        "loss": float(value),
        "layers": [
            {
                "w": p["w"].tolist(),
                "b": p["b"].tolist(),
                "z": layer.z.tolist(),
                "a": layer.a.tolist(),
                "delta": layer.delta.tolist(),
                "dw": layer.dw.tolist(),
                "db": layer.db.tolist(),
            }
            for p, layer in zip(params, layers)
        ],
    }
    return step, apart(exact), apart(moved)


def run(parameters: Parameters) -> dict[str, Any]:
    """XOR over epochs, then Mazur's example."""
    import jax
    import jax.numpy as jnp

    from hpjax import configurations, hypergrad, tasks
    from hpjax.models import Batch
    from hpjax.models.base import Target, cast
    from hpjax.models.mlp.hyperparameters import MLPSpec
    from hpjax.training import batches

    epochs = parameters.epochs
    shown = [e for e in SHOWN if e <= epochs]
    frames = np.unique(np.geomspace(1, epochs, parameters.frames).astype(int)).tolist()
    with jax.enable_x64(True):
        task = tasks.load("xor")
        spec, config = hypergrad.configure(
            task,
            hidden=(4,),
            activation="sigmoid",
            init="xavier",
            optimizer="sgd",
            dtype="float64",
            batch_size=0,
        )
        assert isinstance(spec, MLPSpec)
        config = cast(config, spec)
        params, _ = spec.functions.init(
            jnp.asarray(batches.drawn(1, 0, 0, 0, spec), jnp.float64), config
        )
        x, y = jnp.asarray(task.x), jnp.asarray(task.targets())
        batch = Batch(x, y, jnp.ones(len(x)), jax.random.key(0))
        entry: dict = {
            "x": task.x.tolist(),
            "y": task.targets()[:, 0].tolist(),
            "steps": {},
            "loss": [],
        }
        grad = jax.jit(jax.value_and_grad(lambda p: spec.functions.loss(p, (), config, batch)[0]))
        far = [0.0, 0.0]
        for epoch in range(1, epochs + 1):
            if epoch in shown or epoch in frames:
                step, exact, moved = taken_apart(params, config, batch, spec)
                far = [max(far[0], exact), max(far[1], moved)]
                entry["steps"][str(epoch)] = step
            value, grads = grad(params)
            entry["loss"].append(float(f"{float(value):.6g}"))
            params = jax.tree.map(lambda p, g: p - RATE * g, params, grads)
        entry |= {"shown": shown, "frames": frames, "apart": far}
        target = Target(2, 2, "mse")
        spec, config = configurations.single_network(
            target,
            hidden=(2,),
            activation="sigmoid",
            output="sigmoid",
            dtype="float64",
            optimizer="sgd",
        )
        params = (
            {"w": jnp.array([[0.15, 0.25], [0.20, 0.30]]), "b": jnp.array([0.35, 0.35])},
            {"w": jnp.array([[0.40, 0.50], [0.45, 0.55]]), "b": jnp.array([0.60, 0.60])},
        )
        batch = Batch(
            jnp.array([[0.05, 0.10]]), jnp.array([[0.01, 0.99]]), jnp.ones(1), jax.random.key(0)
        )
        config = cast(config, spec)
        step, exact, moved = taken_apart(params, config, batch, spec)
        after = tuple(
            p | {"w": p["w"] - RATE * jnp.asarray(layer["dw"])}
            for p, layer in zip(params, step["layers"])
        )
        first, last = step["layers"]
        values = [
            *first["a"][0],
            *last["a"][0],
            step["loss"],
            *np.array(last["dw"]).T.ravel(),
            *np.array(first["dw"]).T.ravel(),
        ]
        values += [
            after[0]["w"][0, 0],
            after[1]["w"][0, 0],
            spec.functions.loss(after, (), config, batch)[0],
        ]
    entry["mazur"] = dict(zip(MAZUR, map(float, values)))
    entry["apart"] = [max(entry["apart"][0], exact), max(entry["apart"][1], moved)]
    return entry


def diagram(ax: Axes, step: dict, x: list, y: float, row: int) -> None:
    """The network with one example going through it: activations on nodes, weights on edges."""
    first, last = step["layers"]
    places = [[(0, 1.2), (0, -1.2)], [(1.6, 2.4 - 1.6 * j) for j in range(4)], [(3.2, 0.0)]]
    activations = [x, first["a"][row], last["a"][row]]
    for layer, (left, right) in enumerate(itertools.pairwise(places)):
        w = np.array(step["layers"][layer]["w"])
        for i, a in enumerate(left):
            for j, b in enumerate(right):
                color = "#4477AA" if w[i, j] >= 0 else "#EE6677"
                ax.plot(
                    [a[0], b[0]],
                    [a[1], b[1]],
                    color=color,
                    lw=0.4 + min(3.0, abs(w[i, j]) / 2.5),
                    alpha=0.75,
                    zorder=1,
                )
                at = 0.28 if layer == 0 and i == 0 else 0.22 if layer == 0 else 0.45
                ax.text(
                    a[0] + at * (b[0] - a[0]),
                    a[1] + at * (b[1] - a[1]),
                    f"{w[i, j]:.2f}",
                    fontsize=4.5,
                    ha="center",
                    va="center",
                    zorder=3,
                    bbox={"facecolor": "w", "edgecolor": "none", "pad": 0.3},
                )
    for layer, nodes in enumerate(places):
        for node, value in zip(nodes, activations[layer]):
            ax.scatter(*node, s=260, color="w", edgecolor="k", linewidth=0.6, zorder=4)
            ax.text(*node, f"{value:.2f}", fontsize=5.5, ha="center", va="center", zorder=5)
    ax.text(3.2, -0.75, f"target {y:g}", fontsize=6, ha="center")
    ax.set(xlim=(-0.4, 3.7), ylim=(-3.0, 3.0))
    ax.axis("off")


def listed(ax: Axes, title: str, header: list[str], rows: list[list]) -> None:
    """A small table of numbers."""
    from matplotlib.transforms import Bbox

    ax.axis("off")
    ax.set_title(title, fontsize=7, loc="left", pad=2)
    text = [[v if isinstance(v, str) else f"{v:.4f}" for v in row] for row in rows]
    made = ax.table(
        cellText=text,
        colLabels=header,
        loc="upper left",
        cellLoc="right",
        edges="horizontal",
        bbox=Bbox.unit(),
    )
    made.auto_set_font_size(False)
    made.set_fontsize(5)
    for cell in made.get_celld().values():
        cell.set_linewidth(0.2)


def page(made: Figure, entry: dict, epoch: int) -> None:
    """One epoch: diagram, loss, and everything that the step computes."""
    step, before = entry["steps"][str(epoch)], entry["loss"]
    first, last = step["layers"]
    grid = made.add_gridspec(4, 3, width_ratios=(1.15, 1, 1))
    row = 2  # the example that the diagram shows
    ax = made.add_subplot(grid[:3, 0])
    diagram(ax, step, entry["x"][row], entry["y"][row], row)
    ax.set_title(
        f"epoch {epoch:,}: inputs {entry['x'][row][0]:g}, {entry['x'][row][1]:g}; loss {step['loss']:.4f}",
        fontsize=8,
    )
    ax = made.add_subplot(grid[3, 0])
    ax.plot(np.arange(1, len(before) + 1), before, color="#4477AA", lw=0.8)
    ax.plot(epoch, before[epoch - 1], "o", ms=3, color="#EE6677")
    ax.set(xscale="log", xlabel="epoch", ylabel="loss", ylim=(0, None))
    names = [f"{a:g} {b:g}" for a, b in entry["x"]]
    units = [f"h{j + 1}" for j in range(4)]
    for column, (key, title) in enumerate((("z", "z = W a + b"), ("a", "a = sigmoid(z)"))):
        rows = [[n, *h, *o] for n, h, o in zip(names, first[key], last[key])]
        listed(made.add_subplot(grid[0, 1 + column]), title, ["x", *units, "out"], rows)
    rows = [[n, *h, *o] for n, h, o in zip(names, first["delta"], last["delta"])]
    listed(made.add_subplot(grid[1, 1]), "delta = d loss / d z", ["x", *units, "out"], rows)
    stacked = lambda key, bias: [
        ["x1", *first[key][0]],
        ["x2", *first[key][1]],
        ["bias", *first[bias]],
        ["to out", *np.ravel(last[key])],
    ]
    listed(made.add_subplot(grid[1, 2]), "d loss / d W", ["", *units], stacked("dw", "db"))
    listed(made.add_subplot(grid[2, 1]), "W before", ["", *units], stacked("w", "b"))
    after = {
        key: {k: (np.array(layer[k]) - RATE * np.array(layer[f"d{k}"])).tolist() for k in "wb"}
        for key, layer in (("first", first), ("last", last))
    }
    rows = [
        ["x1", *after["first"]["w"][0]],
        ["x2", *after["first"]["w"][1]],
        ["bias", *after["first"]["b"]],
        ["to out", *np.ravel(after["last"]["w"])],
    ]
    listed(made.add_subplot(grid[2, 2]), f"W after: W - {RATE:g} d loss / d W", ["", *units], rows)
    ax = made.add_subplot(grid[3, 1:])
    rows = [
        [n, float(t), float(o[0]), float(o[0]) - float(t)]
        for n, t, o in zip(names, entry["y"], last["a"])
    ]
    listed(
        ax,
        f"what it says; bias of out {last['b'][0]:.4f}, its gradient {last['db'][0]:.4f}",
        ["x", "target", "output", "output - target"],
        rows,
    )


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """A figure an epoch, an animation, and Mazur's table."""
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from hpjax import plots

    entry = numbers["steps"]
    for epoch in entry["shown"]:
        made = Figure(figsize=(plots.WIDE, 4.2), layout="constrained")
        page(made, entry, epoch)
        sheet.figure(made, f"epoch{epoch}")
    made = Figure(figsize=(4.0, 3.0), layout="constrained", dpi=80)
    FigureCanvasAgg(made)
    ax = made.subplots()

    def frame(number: int):
        ax.clear()
        epoch = entry["frames"][number]
        step = entry["steps"][str(epoch)]
        diagram(ax, step, entry["x"][2], entry["y"][2], 2)
        ax.set_title(f"epoch {epoch:,}, loss {step['loss']:.4f}")

    moving = FuncAnimation(made, frame, frames=len(entry["frames"]))
    moving.save(sheet.folder / "epochs.gif", writer=PillowWriter(fps=3))
    sheet.table("loss", ["epoch", "loss"], enumerate(entry["loss"], 1))
    sheet.table(
        "mazur",
        ["number", "published", "ours"],
        [[n, v, entry["mazur"][n]] for n, v in MAZUR.items()],
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["steps"]
    far = max(abs(entry["mazur"][n] - v) for n, v in MAZUR.items())
    return [
        Criterion(
            "largest distance of a gradient drawn from jax.grad's",
            entry["apart"][0],
            1e-10,
            at_least=False,
        ),
        Criterion(
            "largest distance of it from central differences",
            entry["apart"][1],
            1e-8,
            at_least=False,
        ),
        Criterion(
            "Mazur's example: largest distance from the published numbers",
            far,
            1e-6,
            at_least=False,
        ),
        Criterion("XOR: loss at the last epoch", entry["loss"][-1], 0.05, at_least=False),
    ]


EXPERIMENT = Experiment(
    "backprop_steps",
    presets=PRESETS,
    parts={"steps": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
