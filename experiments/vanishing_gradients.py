"""Gradients vanish on their way down a deep network; and what helps: activations, initial weights, normalisation, residuals.

    HPJAX_DATA=... python -m experiments.vanishing_gradients
    python -m experiments.vanishing_gradients --plot results/vanishing_gradients

speed   Nielsen's networks (2015, chapter 5): 784-30-...-30-10, sigmoid, cross-entropy of every output, 1,000 images of MNIST, full
        batch, rate 0.1, l2 of 5 / 1,000: norm of the biases' gradient in every hidden layer over 500 epochs
depth   norm of the weights' gradient, first hidden layer over the last hidden layer's before training, 2 to 10 layers, five activations
cures   eight hidden layers: norms before training, and training loss, with cures for the sigmoid
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._watch import watched

if TYPE_CHECKING:
    from hpjax.tasks import Split, Task


# Norms of d C / d b of the hidden layers before training, as Nielsen's own run recorded them.
PUBLISHED = {2: [0.0657, 0.3092], 3: [0.0118, 0.0600, 0.2831], 4: [0.00298, 0.0171, 0.0695, 0.2851]}
ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu")
DEEP = 8
CURES: dict[str, dict[str, Any]] = {
    "none": {"activation": "sigmoid", "init": "lecun"},
    "4 x wider initial weights": {"activation": "sigmoid", "init": "lecun", "init_scale": 4.0},
    "batch normalisation": {"activation": "sigmoid", "init": "lecun", "normalization": "batch"},
    "residual connections": {"activation": "sigmoid", "init": "lecun", "residual": True},
    "ReLU, He's weights": {"activation": "relu", "init": "he"},
}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    layers: tuple[int, ...]  # hidden, in speed
    epochs: int  # of speed
    activations: tuple[str, ...]
    depths: tuple[int, ...]
    cures: int
    cure_epochs: int
    seeds: int
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters((2,), 5, ACTIVATIONS[:1], (2, 3), 1, 3, 2),
    "small": Parameters((2, 3, 4), 500, ACTIVATIONS, (2, 4, 6, 8, 10), 5, 200, 5),
    "paper": Parameters((2, 3, 4), 500, ACTIVATIONS, (2, 4, 6, 8, 10), 5, 200, 5),
}


def setting(folder: Path | None) -> tuple[Task, Split]:
    """A thousand images with pixels from 0 to 1, all trained on."""
    from hpjax import tasks

    task = tasks.load("mnist10k", folder)
    task = dataclasses.replace(task, x=task.x / task.x.max(), standardize=False)
    return task, tasks.Split(task.development[:1000], task.test[:10])


def norms_of(
    parameters: Parameters, hidden: int, steps: int, rate: float, leaf: str = "w", **values: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Norms of the gradients of weights or biases [seeds steps L+1] and losses [seeds steps], summed over outputs as Nielsen's."""
    from hpjax import hypergrad

    task, split = setting(parameters.data)
    spec, config = hypergrad.configure(
        task,
        hidden=(30,) * hidden,
        loss="bce",
        optimizer="sgd",
        batch_size=0,
        learning_rate=rate * 10,
        **values,
    )
    loss, seen = watched(task, spec, [config], steps, split=split, keys=range(parameters.seeds))
    return 10 * seen[leaf][:, 0], 10 * loss[:, 0]


def run(parameters: Parameters) -> dict[str, Any]:
    """All three parts."""
    entry: dict = {"speed": {}, "depth": {}, "cures": {}}
    for hidden in parameters.layers:
        # Nielsen's l2 is lambda / n per weight; ours stands in the mean over outputs
        norm, _ = norms_of(
            parameters,
            hidden,
            parameters.epochs,
            0.1,
            "b",
            activation="sigmoid",
            init="lecun",
            l2=5 / 1000 / 10,
        )
        entry["speed"][str(hidden)] = norm[:, :, :hidden].mean(0).tolist()
        entry.setdefault("first", {})[str(hidden)] = norm[:, 0, :hidden].tolist()
        print(f"speed, {hidden} layers", flush=True)
    for activation in parameters.activations:
        init = "he" if "relu" in activation or activation == "elu" else "xavier"
        entry["depth"][activation] = {}
        for hidden in parameters.depths:
            norm, _ = norms_of(parameters, hidden, 1, 0.1, activation=activation, init=init)
            entry["depth"][activation][str(hidden)] = (
                norm[:, 0, 0] / norm[:, 0, hidden - 1]
            ).tolist()
        print(f"depth, {activation}", flush=True)
    for name, values in list(CURES.items())[: parameters.cures]:
        norm, loss = norms_of(parameters, DEEP, parameters.cure_epochs, 0.3, **values)
        entry["cures"][name] = {
            "norm": norm[:, 0, :DEEP].mean(0).tolist(),
            "loss": loss.mean(0).tolist(),
        }
        print(f"cures, {name}", flush=True)
    return entry


def first_over_last(found: dict[str, list[float]]) -> np.ndarray:
    """First layer's norm over the last's, the geometric mean over seeds, at each depth."""
    return np.array([np.exp(np.mean(np.log(v))) for v in found.values()])


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Norms over epochs, over depth, and with cures."""
    from hpjax import plots

    entry = numbers["norms"]
    made, axes = plots.figure(1, 4, width=plots.WIDE, height=2.2)
    deepest = max(entry["speed"], key=int)
    rows = []
    norm = np.array(entry["speed"][deepest])
    for layer in range(norm.shape[1]):
        axes[0].plot(norm[:, layer], color=plots.COLORS[layer], label=f"layer {layer + 1}")
        rows += [
            ["speed", f"layer {layer + 1}", epoch, v] for epoch, v in enumerate(norm[:, layer])
        ]
        if int(deepest) in PUBLISHED:
            axes[0].plot(
                0, PUBLISHED[int(deepest)][layer], "x", ms=5, mew=1, color=plots.COLORS[layer]
            )
    axes[0].plot([], [], "x", color="k", ms=5, label="published, start")
    axes[0].set(yscale="log", xlabel="epoch", ylabel="norm of d loss / d bias")
    axes[0].set_title("sigmoid, four layers")
    axes[0].legend(fontsize=5)
    for number, (activation, found) in enumerate(entry["depth"].items()):
        depth, ratio = [int(d) for d in found], first_over_last(found)
        axes[1].plot(
            depth,
            ratio,
            marker="os^Dv"[number],
            ms=3,
            color=plots.COLORS[number],
            label=activation.replace("_", " "),
        )
        rows += [["depth", activation, d, v] for d, v in zip(depth, ratio)]
    axes[1].set(yscale="log", xlabel="hidden layers", ylabel="norm, first over last layer")
    axes[1].set_title("before training")
    axes[1].legend(fontsize=5)
    for number, (name, found) in enumerate(entry["cures"].items()):
        color = plots.COLORS[number]
        layers = np.arange(1, len(found["norm"]) + 1)
        axes[2].plot(layers, found["norm"], marker="os^Dv"[number], ms=3, color=color)
        axes[3].plot(found["loss"], color=color, label=name)
        rows += [["cures", name, int(n), v] for n, v in zip(layers, found["norm"])]
    axes[2].set(yscale="log", xlabel="hidden layer", ylabel="norm before training")
    axes[2].set_title("eight layers, cures")
    axes[3].set(xlabel="epoch", ylabel="training loss", ylim=(0, 8), xlim=(0, None))
    axes[3].legend(fontsize=5)
    sheet.figure(made, "norms")
    sheet.table("norms", ["part", "what", "epoch, layers or layer", "value"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["norms"]
    judged = []
    for hidden, first in entry["first"].items():
        mean = np.exp(np.log(np.array(first)).mean(0))
        steps = mean[1:] / mean[:-1]
        judged.append(
            Criterion(f"{hidden} layers: least ratio of neighbouring layers' norms", steps.min(), 2)
        )
        judged.append(
            Criterion(f"{hidden} layers: largest of them", steps.max(), 10, at_least=False)
        )
        published = np.array(PUBLISHED[int(hidden)])
        judged.append(
            Criterion(
                f"{hidden} layers: last over first, factor from the published {published[-1] / published[0]:.1f}",
                np.exp(abs(np.log(mean[-1] / mean[0] / (published[-1] / published[0])))),
                3,
                at_least=False,
            )
        )
    depth = {name: first_over_last(found) for name, found in entry["depth"].items()}
    if "relu" in depth:
        judged.append(
            Criterion(
                "ten layers: ReLU's first over last, over the sigmoid's",
                depth["relu"][-1] / depth["sigmoid"][-1],
                100,
            )
        )
    for name, found in list(entry["cures"].items())[1:]:
        spread = found["norm"][-1] / found["norm"][0]
        judged.append(
            Criterion(
                f"{name}: last over first, of that without",
                spread / (entry["cures"]["none"]["norm"][-1] / entry["cures"]["none"]["norm"][0]),
                0.01,
                at_least=False,
            )
        )
    return judged


EXPERIMENT = Experiment(
    "vanishing_gradients",
    presets=PRESETS,
    parts={"norms": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
