"""Activations and gradients layer by layer: the standard initial weights let gradients die, Glorot's keep their size.

    python -m experiments.initialisation
    python -m experiments.initialisation --plot results/initialisation

In the style of Glorot & Bengio (2010): five hidden tanh layers on digits. The standard weights have variance 1 / (3 n) (as the uniform ones
up to 1 / sqrt(n); here both are normal), the normalised ones 2 / (n_in + n_out). Before training: histograms of activations, of back-propagated gradients
(d loss / d z) and of weight gradients per layer. In the linear regime a layer multiplies the variance of gradients by n times the
variance of the weights: 1/3 and 1. Then training, with both and, five times longer, with sigmoids: mean and deviation of each layer's activations.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows
from experiments._watch import watched

DEEP = 5
KINDS = {
    "standard": {"activation": "tanh", "init": "lecun", "init_scale": 3**-0.5},
    "normalised": {"activation": "tanh", "init": "xavier"},
    "sigmoid": {"activation": "sigmoid", "init": "lecun", "init_scale": 3**-0.5},
}
EDGES = {
    "activations": np.linspace(-1, 1, 81),
    "gradients": np.linspace(-4, 4, 81),
    "weight gradients": np.linspace(-4, 4, 81),
}


def looked(task, spec, config, rows: np.ndarray):
    """A look at what 300 examples make of a network: activations, d loss / d z, d loss / d W of its hidden layers."""
    import jax
    import jax.numpy as jnp

    from experiments._trained import seen
    from hpjax.models import Batch
    from hpjax.models.base import cast
    from hpjax.models.mlp import backprop

    x, y = (jnp.asarray(v, spec.dtype) for v in seen(task, rows[:300], rows))
    batch = Batch(x, y, jnp.ones(len(x), spec.dtype), jax.random.key(0))
    numbers = cast(config, spec)

    def look(params, grads):
        del grads
        layers = backprop.intermediates(params, (), numbers, batch, spec)[1][:DEEP]
        return {
            "activations": jnp.stack([layer.a for layer in layers]),  # [5 300 H]
            "gradients": jnp.stack([layer.delta for layer in layers]),
            "weight gradients": jnp.stack(
                [layer.dw[: min(task.inputs, *spec.hidden)].ravel() for layer in layers]
            ),
        }

    return look


def run(flags: Flags, folder: Path) -> None:
    """Histograms before training, moments during it."""
    import hpjax
    from hpjax import devices, hypergrad, tasks

    devices.devices()  # before anything else starts JAX
    width, seeds, steps = {"smoke": (20, 2, 3), "small": (100, 5, 400), "paper": (1000, 5, 4000)}[
        flags.preset
    ]
    seeds = flags.seeds or seeds
    task = hpjax.tasks.load("digits")
    split = tasks.splits(task)[0]
    task = dataclasses.replace(task, groups=(split,))
    entry: dict = {"width": width, "seeds": seeds, "steps": steps, "kinds": {}}
    for name, values in KINDS.items():
        spec, config = hypergrad.configure(
            task,
            hidden=(width,) * DEEP,
            optimizer="sgd",
            learning_rate=0.1,
            batch_size=32,
            **values,
        )
        look = looked(task, spec, config, split.train)
        _, start = watched(task, spec, [config], 1, look, split=split, keys=range(seeds))
        made: dict = {"deviation": {}, "histogram": {}, "scale": {}}
        for what, edges in EDGES.items():
            found = start[what][:, 0, 0].astype(np.float64)  # [K 5 ...]
            found = found.swapaxes(0, 1).reshape(DEEP, -1)
            made["deviation"][what] = found.std(1).tolist()
            scale = 1.0 if what == "activations" else float(found[-1].std())
            made["scale"][what] = scale
            counts = [np.histogram(layer / scale, edges, density=True)[0] for layer in found]
            made["histogram"][what] = np.round(counts, 5).tolist()

        def moments(params, grads, look=look):
            a = look(params, grads)["activations"]
            return {"mean": a.mean((1, 2)), "deviation": a.std((1, 2))}

        loss, during = watched(
            task,
            spec,
            [config],
            steps * (5 if name == "sigmoid" else 1),
            moments,
            split=split,
            keys=range(seeds),
        )
        # [T 5]
        made["during"] = {n: np.round(v[:, 0].mean(0), 5).tolist() for n, v in during.items()}
        made["loss"] = np.round(loss[:, 0].mean(0), 5).tolist()
        entry["kinds"][name] = made
        print(name, flush=True)
    write(folder / "initialisation.json", entry, indent=None)


def draw(folder: Path) -> list[dict]:
    """Histograms of both kinds of weights; activations while they train."""
    from matplotlib import colormaps

    from hpjax import plots

    entry = read(folder / "initialisation.json")
    shades = colormaps["viridis"](np.linspace(0, 0.85, DEEP))
    made, axes = plots.figure(2, 3, width=plots.WIDE, height=3.6, sharex="col")
    rows = []
    for line, name in enumerate(("standard", "normalised")):
        one = entry["kinds"][name]
        for column, (what, edges) in enumerate(EDGES.items()):
            ax = axes[line, column]
            middle = (edges[1:] + edges[:-1]) / 2
            for layer, counts in enumerate(one["histogram"][what]):
                ax.plot(
                    middle,
                    np.maximum(counts, 1e-3),
                    color=shades[layer],
                    lw=0.8,
                    label=f"layer {layer + 1}",
                )
                rows += [[name, what, layer + 1, x, c] for x, c in zip(middle, counts)]
            ax.set(yscale="log", ylim=(1e-2, None))
            if not column:
                ax.set_ylabel(f"{name}\ndensity")
            if line:
                ax.set_xlabel(
                    {
                        "activations": "activation",
                        "gradients": "d loss / d z, over layer 5's deviation",
                        "weight gradients": "d loss / d W, over layer 5's deviation",
                    }[what],
                    fontsize=7,
                )
            if not line:
                ax.set_title(
                    {
                        "activations": "activations",
                        "gradients": "back-propagated gradients",
                        "weight gradients": "weight gradients",
                    }[what]
                )
    made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=DEEP)
    plots.save(made, folder / "histograms")
    write_rows(
        folder / "histograms.csv", ["initial weights", "what", "layer", "value", "density"], rows
    )

    made, axes = plots.figure(1, 4, width=plots.WIDE, height=2.3)
    rows = []
    for ax, (name, one) in zip(axes, entry["kinds"].items()):
        mean, deviation = (np.array(one["during"][n]) for n in ("mean", "deviation"))
        shown, step = mean if name == "sigmoid" else deviation, np.arange(len(mean))
        for layer in range(DEEP):
            ax.plot(step, shown[:, layer], color=shades[layer], label=f"layer {layer + 1}")
            if name == "sigmoid" and layer in (0, DEEP - 1):
                ax.fill_between(
                    step,
                    (mean - deviation)[:, layer],
                    (mean + deviation)[:, layer],
                    color=shades[layer],
                    alpha=0.15,
                    lw=0,
                )
        rows += [
            [name, int(s), layer + 1, mean[s, layer], deviation[s, layer]]
            for s in step
            for layer in range(DEEP)
        ]
        ax.set(
            xlabel="step",
            ylabel="activation: mean, deviation"
            if name == "sigmoid"
            else "deviation of activations",
            ylim=(0, 1),
        )
        ax.set_title(
            {
                "standard": "tanh, standard",
                "normalised": "tanh, normalised",
                "sigmoid": "sigmoid, bands: 1 and 5",
            }[name]
        )
        axes[3].plot(
            one["loss"][: entry["steps"]],
            color={"standard": "#BBBBBB", "normalised": "#4477AA", "sigmoid": "#EE6677"}[name],
            lw=0.7,
            label={
                "standard": "tanh, standard",
                "normalised": "tanh, normalised",
                "sigmoid": "sigmoid",
            }[name],
        )
    made.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=DEEP)
    axes[3].set_title("the first steps")
    axes[3].set(xlabel="step", ylabel="training loss", ylim=(0, 2.5))
    axes[3].legend(fontsize=6, loc="center right", bbox_to_anchor=(1.02, 0.75))
    plots.save(made, folder / "training")
    write_rows(
        folder / "training.csv",
        ["weights", "step", "layer", "mean of activations", "deviation of activations"],
        rows,
    )
    ratio = {
        name: one["deviation"]["gradients"][0] / one["deviation"]["gradients"][-1]
        for name, one in entry["kinds"].items()
    }
    theory = 3.0 ** (-(DEEP - 1) / 2)
    signal = {
        name: one["deviation"]["activations"][-1] / one["deviation"]["activations"][0]
        for name, one in entry["kinds"].items()
    }
    start = {name: np.mean(one["loss"][-20:]) for name, one in entry["kinds"].items()}
    mean = np.array(entry["kinds"]["sigmoid"]["during"]["mean"])
    moved = (mean - mean[0])[np.abs(mean - mean[0])[:, -1].argmax()]
    return [
        Criterion(
            f"standard: deviation of gradients, layer 1 over layer 5, {ratio['standard']:.3f}; factor from the linear theory's {theory:.3f}",
            np.exp(abs(np.log(ratio["standard"] / theory))),
            1.5,
            at_least=False,
            figure="histograms",
        ),
        Criterion(
            "normalised: deviation of gradients, layer 1 over layer 5",
            ratio["normalised"],
            0.5,
            figure="histograms",
        ),
        Criterion(
            "the same, from above", ratio["normalised"], 2.0, at_least=False, figure="histograms"
        ),
        Criterion(
            "deviation of activations, layer 5 over layer 1: standard over normalised",
            signal["standard"] / signal["normalised"],
            0.5,
            at_least=False,
            figure="histograms",
        ),
        Criterion(
            "training loss at the end, normalised over standard",
            start["normalised"] / start["standard"],
            1.0,
            at_least=False,
            figure="training",
        ),
        Criterion(
            "training loss at the end, tanh with the same weights over sigmoid",
            start["standard"] / start["sigmoid"],
            0.5,
            at_least=False,
            figure="training",
        ),
        Criterion(
            f"sigmoid: furthest that the top layer's mean activation sinks from {mean[0, -1]:.2f}",
            -moved[-1],
            0.1,
            figure="training",
        ),
        Criterion(
            "sigmoid: furthest that any lower layer's mean has moved by then",
            np.abs(moved[:-1]).max(),
            0.05,
            at_least=False,
            figure="training",
        ),
    ]


if __name__ == "__main__":
    main("initialisation", run, draw, uses=("seeds",))
