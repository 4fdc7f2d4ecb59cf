"""Gradients explode in deep networks with large weights; and what helps: clipping, regularisation, smaller rates and weights.

    python -m experiments.exploding_gradients
    python -m experiments.exploding_gradients --plot results/exploding_gradients

scale     eight hidden ReLU layers of 32 on digits: norm of every layer's gradient before training against the width of the initial
          weights, s times He's. Signals grow by s a layer on their way up and gradients on their way down, so that every layer's
          gradient grows as s^8
training  the same network with s = 2 over learning rates: nothing, clipping to norm 1, l2, both; and with s = 1
wall      in the style of Pascanu, Mikolov & Bengio (2013): one sigmoid unit that feeds itself for 50 steps, x <- s(w x + b), error
          (x_50 - 0.7)^2 over (w, b); gradient descent from a grid of starts with and without clipping
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, short
from experiments._watch import watched

if TYPE_CHECKING:
    from jax import Array


DEEP = 8
NET = {"hidden": (32,) * DEEP, "activation": "relu", "init": "he", "optimizer": "sgd"}
CURES = {
    "nothing": {"init_scale": 2.0},
    "clipping": {"init_scale": 2.0, "clip_norm": 1.0},
    "l2": {"init_scale": 2.0, "l2": 1e-2},
    "clipping and l2": {"init_scale": 2.0, "clip_norm": 1.0, "l2": 1e-2},
    "s = 1, nothing else": {},
}
COLORS = {
    "nothing": "#BBBBBB",
    "clipping": "#4477AA",
    "l2": "#CCBB44",
    "clipping and l2": "#AA3377",
    "s = 1, nothing else": "#228833",
}
UNROLLED, GOAL, RATE, THRESHOLD = 50, 0.7, 1.0, 0.3  # of the wall
BOX = (2.0, 9.0, -6.0, 0.0)  # w and b


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    scales: int  # of initial weights, from 0.5 to 4
    seeds: int  # networks of a scale
    rates: int  # learning rates, from 1e-5 to 10
    epochs: int
    repeats: int  # networks of a cure and rate
    starts: int  # on a side of the wall's plane
    steps: int  # of descent there


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(4, 2, 4, 1, 1, 8, 20),
    "small": Parameters(13, 10, 61, 10, 3, 60, 200),
    "paper": Parameters(13, 50, 61, 10, 3, 60, 200),
}


def unit_error(point: Any, steps: int = UNROLLED):
    """Error of the unit that feeds itself; point [2] is (w, b)."""
    import jax

    x = 0.5
    for _ in range(steps):
        x = jax.nn.sigmoid(point[0] * x + point[1])
    return (x - GOAL) ** 2


def descents(
    starts: np.ndarray, steps: int, threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient descent on the wall from many starts at once, gradients clipped to `threshold`.

    Returns:
        Points [T+1 n 2], gradients before clipping [T n 2], errors at the end [n].
    """
    import jax
    import jax.numpy as jnp

    from hpjax.training import optimizers

    with jax.enable_x64(True):
        slope = jax.vmap(jax.grad(unit_error))
        clip = jax.vmap(lambda g: optimizers.clip(g, jnp.asarray(threshold)))

        def step(points: Array, _: None):
            found = slope(points)
            return points - RATE * clip(found), (points, found)

        last, (path, found) = jax.jit(lambda p: jax.lax.scan(step, p, None, steps))(
            jnp.asarray(starts)
        )
        return (
            np.concatenate([path, last[None]]),
            np.asarray(found),
            np.asarray(jax.vmap(unit_error)(last)),
        )


def run(parameters: Parameters) -> dict[str, Any]:
    """All three parts."""
    import hpjax
    from hpjax import hypergrad

    scales = np.geomspace(0.5, 4, parameters.scales)
    task = hpjax.tasks.load("digits")
    spec, config = hypergrad.configure(task, **NET, batch_size=0, learning_rate=1e-6)
    _, seen = watched(
        task,
        spec,
        [config | {"init_scale": np.float64(s)} for s in scales],
        1,
        keys=range(parameters.seeds),
    )
    norm = np.exp(np.log(seen["w"][:, :, 0]).mean(0))
    entry: dict = {"scales": scales.tolist(), "norms": norm.tolist(), "seeds": parameters.seeds}

    rates = np.geomspace(1e-5, 10, parameters.rates)
    epochs, repeats = parameters.epochs, parameters.repeats
    entry |= {
        "rates": rates.tolist(),
        "epochs": epochs,
        "repeats": repeats,
        "training": {},
        "curves": {},
    }
    for name, values in CURES.items():
        space = (
            NET
            | values
            | {"batch_size": 32, "epochs": epochs, "learning_rate": hpjax.LogUniform(1e-6, 100.0)}
        )
        found = hpjax.tune(
            space,
            task,
            search=[{"learning_rate": r} for r in rates],
            validation={"repeats": repeats},
            say=lambda text: None,
        )
        entry["training"][name] = short(
            np.where(found.table["diverged"] > 0, np.nan, found.table["train"])
        )
        print(f"training, {name}", flush=True)

    side, steps = parameters.starts, parameters.steps
    w, b = np.linspace(*BOX[:2], side), np.linspace(*BOX[2:], side)
    starts = np.stack(np.meshgrid(w, b), -1).reshape(-1, 2)
    free, clipped = (descents(starts, steps, threshold) for threshold in (np.inf, THRESHOLD))
    moved = np.linalg.norm(np.diff(clipped[0], axis=0), axis=-1)
    along = (-np.diff(clipped[0], axis=0) * clipped[1]).sum(-1)
    some = moved > 1e-9
    cosine = along[some] / (moved * np.linalg.norm(clipped[1], axis=-1))[some]
    flung = ~(np.abs(free[0][-1]).max(-1) <= 20)
    arrived = clipped[2] < 1e-3
    jumps = np.linalg.norm(np.diff(free[0], axis=0), axis=-1).max(0)
    # a clear jump, not the wildest one
    shown = int(np.argmax(np.where(arrived & flung, -np.abs(np.log(jumps)), -np.inf)))
    entry["wall"] = {
        "starts": len(starts),
        "steps": steps,
        "longest clipped step": float(moved.max()),
        "longest step": float(np.nanmax(jumps)),
        "least cosine": float(cosine.min()),
        "flung": float(flung.mean()),
        "flung clipped": float((~(np.abs(clipped[0][-1]).max(-1) <= 20)).mean()),
        "arrived": float((free[2] < 1e-3).mean()),
        "arrived clipped": float(arrived.mean()),
        "free": free[0][:, shown].tolist(),
        "clipped": clipped[0][:, shown].tolist(),
    }
    return entry


def surface(side: int = 201) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The error over (w, b)."""
    w, b = np.linspace(*BOX[:2], side), np.linspace(*BOX[2:], side)
    x = np.full((side, side), 0.5)
    for _ in range(UNROLLED):
        x = 1 / (1 + np.exp(-(w * x + b[:, None])))
    return w, b, (x - GOAL) ** 2


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Norms over scales, losses over rates, the wall."""
    from hpjax import plots

    entry = numbers["exploding"]
    made, axes = plots.figure(1, 3, width=plots.WIDE, height=2.5)
    scales, norms = np.array(entry["scales"]), np.array(entry["norms"])
    rows = []
    for number, layer in enumerate((0, DEEP // 2, DEEP)):
        axes[0].plot(
            scales,
            norms[:, layer],
            marker="os^"[number],
            ms=3,
            color=plots.COLORS[number],
            label=f"layer {layer + 1}",
        )
        rows += [["scale", f"layer {layer + 1}", s, n] for s, n in zip(scales, norms[:, layer])]
    axes[0].plot(
        scales,
        norms[-1, 0] * (scales / scales[-1]) ** DEEP,
        color="k",
        lw=0.6,
        ls=":",
        label="$s^8$",
    )
    axes[0].set(
        xscale="log",
        yscale="log",
        xlabel="initial weights, times He's (s)",
        ylabel="norm of d loss / d weights",
    )
    axes[0].set_xticks([0.5, 1, 2, 4])
    axes[0].legend()
    axes[0].set_title("before training")
    rates, best, edge = np.array(entry["rates"]), {}, {}
    for name, values in entry["training"].items():
        loss = np.array(values, float)
        axes[1].plot(
            rates,
            loss,
            color=COLORS[name],
            lw=2.5 if name in ("nothing", "clipping") else 1,
            label=name,
        )
        best[name], edge[name] = np.nanmin(loss), rates[np.isfinite(loss)].max()
        rows += [["training", name, r, v] for r, v in zip(rates, loss)]
    axes[1].axhline(np.log(10), color="k", lw=0.6, ls=":")
    axes[1].text(rates[0], np.log(10) * 0.75, "chance", fontsize=6, va="top")
    axes[1].text(rates[-1], 500, "lines end where training diverges", fontsize=6, ha="right")
    axes[1].set(
        xscale="log",
        yscale="log",
        xlabel="learning rate",
        ylabel=f"training loss, epoch {entry['epochs']}",
        ylim=(0.01, 1e3),
    )
    axes[1].legend(fontsize=6, loc="lower left")
    axes[1].set_title("training, s = 2")
    wall = entry["wall"]
    w, b, error = surface()
    filled = axes[2].contourf(w, b, np.log10(np.maximum(error, 1e-6)), 15, cmap="Blues_r")
    made.colorbar(filled, ax=axes[2], label="log10 error", ticks=range(-6, 1))
    for name, color, dash in (("free", "#EE6677", "--"), ("clipped", "#CCBB44", "-")):
        path = np.array(wall[name])
        axes[2].plot(
            *np.clip(path, -100, 100).T,
            color=color,
            ls=dash,
            marker=".",
            ms=2,
            lw=0.8,
            label={"free": "plain (leaves)", "clipped": "clipped"}[name],
        )
        rows += [["wall", name, *point] for point in path]
    axes[2].plot(*wall["free"][0], "o", ms=4, color="k", label="start")
    axes[2].set(xlabel="weight w", ylabel="bias b", xlim=BOX[:2], ylim=BOX[2:])
    axes[2].legend(fontsize=6, loc="upper right", frameon=True)
    axes[2].set_title("a unit fed back 50 times")
    sheet.figure(made, "exploding")
    sheet.table("exploding", ["part", "what", "scale, rate or w", "norm, loss or b"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["exploding"]
    scales, norms = np.array(entry["scales"]), np.array(entry["norms"])
    rates, best, edge = np.array(entry["rates"]), {}, {}
    for name, values in entry["training"].items():
        loss = np.array(values, float)
        best[name], edge[name] = np.nanmin(loss), rates[np.isfinite(loss)].max()
    wall = entry["wall"]
    top = scales >= 1
    slope = np.polyfit(np.log(scales[top]), np.log(norms[top, 0]), 1)[0]
    return [
        Criterion(
            f"exponent of the first layer's norm over s, {slope:.2f}: relative distance from {DEEP}",
            abs(slope / DEEP - 1),
            0.05,
            at_least=False,
        ),
        Criterion(
            "s = 2: highest rate that does not diverge, with clipping over without",
            edge["clipping"] / edge["nothing"],
            10,
        ),
        Criterion(
            "s = 2: lowest training loss, clipping over nothing",
            best["clipping"] / best["nothing"],
            1,
            at_least=False,
        ),
        Criterion(
            "s = 2: lowest training loss, l2 over nothing",
            best["l2"] / best["nothing"],
            1,
            at_least=False,
        ),
        Criterion(
            "s = 2: lowest training loss, clipping and l2 over nothing",
            best["clipping and l2"] / best["nothing"],
            0.5,
            at_least=False,
        ),
        Criterion(
            "lowest training loss, s = 1 over s = 2, nothing else",
            best["s = 1, nothing else"] / best["nothing"],
            0.2,
            at_least=False,
        ),
        Criterion(
            f"wall: longest clipped step over rate x threshold ({wall['starts']:,} starts x {wall['steps']} steps)",
            wall["longest clipped step"] / (RATE * THRESHOLD),
            1 + 1e-9,
            at_least=False,
        ),
        Criterion(
            "wall: longest plain step over the longest clipped one",
            wall["longest step"] / wall["longest clipped step"],
            10,
        ),
        Criterion(
            "wall: least cosine of a clipped step with the gradient downhill",
            wall["least cosine"],
            1 - 1e-9,
        ),
        Criterion(
            "wall: share of starts that arrive (error below 0.001), clipped minus plain",
            wall["arrived clipped"] - wall["arrived"],
            0.0,
        ),
        Criterion(
            "wall: share of starts flung out, plain minus clipped",
            wall["flung"] - wall["flung clipped"],
            1e-6,
        ),
    ]


EXPERIMENT = Experiment(
    "exploding_gradients",
    presets=PRESETS,
    parts={"exploding": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
