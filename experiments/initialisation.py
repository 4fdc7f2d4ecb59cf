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
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._watch import watched

if TYPE_CHECKING:
    from hpjax.models.mlp.hyperparameters import MLPSpec
    from hpjax.tasks import Task


DEEP = 5
KINDS: dict[str, dict[str, Any]] = {
    "standard": {"activation": "tanh", "init": "lecun", "init_scale": 3**-0.5},
    "normalised": {"activation": "tanh", "init": "xavier"},
    "sigmoid": {"activation": "sigmoid", "init": "lecun", "init_scale": 3**-0.5},
}
EDGES = {
    "activations": np.linspace(-1, 1, 81),
    "gradients": np.linspace(-4, 4, 81),
    "weight gradients": np.linspace(-4, 4, 81),
}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    width: int  # of the five hidden layers
    steps: int  # of training
    seeds: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(20, 3, 2),
    "small": Parameters(100, 400, 5),
    "paper": Parameters(1000, 4000, 5),
}


def looked(task: Task, spec: MLPSpec, config: dict[str, Any], rows: np.ndarray):
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

    def look(params: Any, grads: Any):
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


def run(parameters: Parameters) -> dict[str, Any]:
    """Histograms before training, moments during it."""
    import hpjax
    from hpjax import devices, hypergrad, tasks
    from hpjax.models.mlp.hyperparameters import MLPSpec

    devices.devices()  # before anything else starts JAX
    task = hpjax.tasks.load("digits")
    split = tasks.splits(task)[0]
    task = dataclasses.replace(task, folds=(split,))
    entry: dict = {
        "width": parameters.width,
        "seeds": parameters.seeds,
        "steps": parameters.steps,
        "kinds": {},
    }
    for name, values in KINDS.items():
        spec, config = hypergrad.configure(
            task,
            hidden=(parameters.width,) * DEEP,
            optimizer="sgd",
            learning_rate=0.1,
            batch_size=32,
            **values,
        )
        assert isinstance(spec, MLPSpec)
        look = looked(task, spec, config, split.train)
        _, start = watched(task, spec, [config], 1, look, split=split, keys=range(parameters.seeds))
        made: dict = {"deviation": {}, "histogram": {}, "scale": {}}
        for what, edges in EDGES.items():
            found = start[what][:, 0, 0].astype(np.float64)  # [K 5 ...]
            found = found.swapaxes(0, 1).reshape(DEEP, -1)
            made["deviation"][what] = found.std(1).tolist()
            scale = 1.0 if what == "activations" else float(found[-1].std())
            made["scale"][what] = scale
            counts = [np.histogram(layer / scale, edges, density=True)[0] for layer in found]
            made["histogram"][what] = np.round(counts, 5).tolist()

        def moments(params: Any, grads: Any, look: Callable[..., Any] = look):
            a = look(params, grads)["activations"]
            return {"mean": a.mean((1, 2)), "deviation": a.std((1, 2))}

        loss, during = watched(
            task,
            spec,
            [config],
            parameters.steps * (5 if name == "sigmoid" else 1),
            moments,
            split=split,
            keys=range(parameters.seeds),
        )
        # [T 5]
        made["during"] = {n: np.round(v[:, 0].mean(0), 5).tolist() for n, v in during.items()}
        made["loss"] = np.round(loss[:, 0].mean(0), 5).tolist()
        entry["kinds"][name] = made
        print(name, flush=True)
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Histograms of both kinds of weights; activations while they train."""
    from matplotlib import colormaps

    from hpjax import plots

    entry = numbers["initialisation"]
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
    sheet.figure(made, "histograms")
    sheet.table("histograms", ["initial weights", "what", "layer", "value", "density"], rows)

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
    sheet.figure(made, "training")
    sheet.table(
        "training",
        ["weights", "step", "layer", "mean of activations", "deviation of activations"],
        rows,
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["initialisation"]
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


EXPERIMENT = Experiment(
    "initialisation",
    presets=PRESETS,
    parts={"initialisation": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
