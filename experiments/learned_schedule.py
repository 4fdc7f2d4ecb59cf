"""A learning-rate and momentum schedule for every layer and step, learned by differentiating through training.

    HPJAX_DATA=... python -m experiments.learned_schedule
    python -m experiments.learned_schedule --plot results/learned_schedule

After Maclaurin, Duvenaud & Adams (2015), their second to fifth figures: 784-50-50-50-10, tanh, 100 steps of damped momentum,
batches of 200 drawn with replacement; 100 x 8 log rates and 100 x 8 logit momenta (weights and biases of four layers apart) and 4 log
initial scales, moved by Adam for 50 iterations with fresh minibatches and weights in each, to lower the loss on the whole
training part. They had 10,000 of MNIST's training images; here 8,000 of its test images are trained on and 2,000 tested on. Their Adam had a rate of
0.04, but no momentum after the first step and early steps up to five times longer; ours is the textbook's, with 0.04 or 0.06.

plain      pixels from 0 to 1
centred    pixels less their mean
starts     16 starts around the published one, centred
initial    the first hypergradient, over many seeds
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from hpjax.hypergrad import Learned
    from hpjax.models import Spec
    from hpjax.tasks import Split, Task


STEPS, LAYERS = 100, 4
RATES = {"plain": 0.04, "centred": 0.06, "starts": 0.06}
TRAIN, TEST = 0.12, 0.24  # read off the authors' plot
JITTER = 0.5  # standard deviation of the starts, in coordinates


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    iterations: int  # of meta-training
    starts: int
    seeds: int  # of the first hypergradient
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(3, 2, 2),
    "small": Parameters(50, 16, 100),
    "paper": Parameters(50, 16, 100),
}


def task(data: Path | None, centred: bool):
    """MNIST-10k, pixels from 0 to 1; its development part trains, its test part validates."""
    from hpjax import tasks

    found = tasks.load("mnist10k", data)
    x = found.x / found.x.max()
    x = x - x[found.development].mean(0) if centred else x
    found = dataclasses.replace(found, x=x, standardize=False)
    return found, tasks.Split(found.development, found.test)


def network(made: Task, jitter: float = 0.0, seed: int = 0):
    """The published start, or one around it."""
    from hpjax import hypergrad

    spec, config = hypergrad.configure(
        made,
        hidden=(50, 50, 50),
        activation="tanh",
        optimizer="damped",
        init="normal",
        sampling="replacement",
        batch_size=200,
    )
    move = jitter * np.random.default_rng(seed).normal(size=3)
    start = {
        "learning_rate": np.full((LAYERS, 2), np.exp(-1 + move[0])),
        "momentum": np.full((LAYERS, 2), 1 / (1 + np.exp(-move[1]))),
        "init_scale": np.full(LAYERS, np.exp(-3 + 0.5 * move[2])),
    }
    return spec, config | start


def learned(
    label: str, made: Task, split: Split, spec: Spec, configs: Any, iterations: int
) -> Learned:
    """Meta-training, said as it goes."""
    from hpjax import hypergrad

    def watch(iteration: int, loss: np.ndarray) -> None:
        if iteration % 10 == 0 or iteration == iterations - 1:
            print(f"{label}, iteration {iteration}: training loss {np.min(loss):.4f}", flush=True)

    return hypergrad.learn(
        made,
        spec,
        configs,
        ("learning_rate", "momentum", "init_scale"),
        STEPS,
        iterations=iterations,
        rate=RATES[label],
        segments={"learning_rate": STEPS, "momentum": STEPS},
        objective="train",
        split=split,
        watch=watch,
    )


def told(found: Any, made: Task, split: Split) -> dict:
    """What a Learned's figures need: its best start replayed with fresh seeds, before and after."""
    keys = range(1000, 1010)
    entry = {
        "loss": found.history.loss,
        "cosine": found.history.cosine,
        "seconds": float(found.history.seconds.sum()),
        "mode": str(found.mode),
        "rates": found.at_steps("learning_rate"),
        "momenta": found.at_steps("momentum"),
        "scales": found.values()["init_scale"],
        "first": float(found.history.seconds[0]),
    }
    for name, begun in (("before", True), ("after", False)):
        played = found.replay(made, keys, begun=begun, split=split)
        entry[name] = {
            "train": played.train,
            "test": played.loss,
            "error": played.error,
            "curve": played.curve.mean(0),
        }
    return entry


def by_learning(label: str, parameters: Parameters, starts: int = 1) -> dict[str, Any]:
    """A schedule learned from one or several starts, replayed; and the schedule itself, as `Learned.save` writes it."""
    made, split = task(parameters.data, label != "plain")
    spec, _ = network(made)
    configs = [network(made, JITTER * (n > 0), n)[1] for n in range(starts)]
    found = learned(label, made, split, spec, configs, parameters.iterations)
    entry = rounded(told(found, made, split) | {"per start": found.history.loss[-5:].mean(0)})
    digits = lambda tree, many: {n: np.round(v, many) for n, v in tree.items()}
    best = dataclasses.replace(
        found,
        config=digits(found.config, 6),
        learned=digits(found.learned, 4),
        begun=digits(found.begun, 4),
    )
    with tempfile.TemporaryDirectory() as folder:
        best.save(Path(folder) / "learned.json")
        return entry | {"learned": json.loads((Path(folder) / "learned.json").read_text())}


def initial(parameters: Parameters) -> dict[str, Any]:
    """The first hypergradient of the log rates of the weights, mean and standard error over seeds, [T L]."""
    from hpjax import hypergrad

    made, split = task(parameters.data, True)
    spec, config = network(made)
    slopes = []
    for key in range(parameters.seeds):
        found = hypergrad.hypergradient(
            made,
            spec,
            config,
            ("learning_rate", "momentum", "init_scale"),
            STEPS,
            objective="train",
            split=split,
            key=key,
            segments={"learning_rate": STEPS, "momentum": STEPS},
        )
        slopes.append(found.gradient["learning_rate"][:, :, 0])
    error = np.std(slopes, 0) / np.sqrt(parameters.seeds)
    return rounded({"mean": np.mean(slopes, 0), "error": error})


def rounded(value: Any) -> Any:
    """Nested numbers to five digits, for small files."""
    if isinstance(value, dict):
        return {n: rounded(v) for n, v in value.items()}
    if isinstance(value, str):
        return value
    array = np.asarray(value, float)
    return np.vectorize(lambda v: float(f"{v:.5g}"), otypes=[float])(array).tolist()


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Schedules, learning curves, meta-learning curves, the initial hypergradient."""
    from hpjax import plots

    one = numbers["centred"]
    rates = np.array(one["rates"])[:, :, 0]
    made, axes = plots.figure(2, 2, width=plots.WIDE, height=4.4)
    steps = np.arange(STEPS)
    for layer in range(LAYERS):
        color = plots.COLORS[layer]
        axes[0, 0].plot(steps, rates[:, layer], color=color, label=f"layer {layer + 1}")
        if "initial" in numbers:
            mean, error = (np.array(numbers["initial"][n])[:, layer] for n in ("mean", "error"))
            axes[1, 1].plot(steps, mean, color=color, label=f"layer {layer + 1}")
            axes[1, 1].fill_between(steps, mean - error, mean + error, color=color, alpha=0.2, lw=0)
    axes[0, 0].set(xlabel="step", ylabel="learning rate of the weights", ylim=(0, None))
    axes[0, 0].legend()
    for name, color in (("before", "#BBBBBB"), ("after", "#4477AA")):
        label = {"before": "first schedule", "after": "learned"}[name]
        axes[0, 1].plot(steps, one[name]["curve"], color=color, label=label)
    axes[0, 1].set(xlabel="step", ylabel="minibatch loss", yscale="log")
    axes[0, 1].legend()
    for part, color in (("plain", "#CCBB44"), ("centred", "#4477AA"), ("starts", "#228833")):
        if part not in numbers:
            continue
        loss = np.array(numbers[part]["loss"])
        where = np.arange(len(loss))
        if part == "starts":
            axes[1, 0].plot(where, loss, color=color, lw=0.4, alpha=0.5)
            axes[1, 0].plot([], [], color=color, lw=0.6, label=f"{loss.shape[1]} starts, centred")
        else:
            axes[1, 0].plot(where, loss[:, 0], color=color, label=part)
    axes[1, 0].axhline(TRAIN, color="k", lw=0.6, ls=":")
    axes[1, 0].text(0.5, TRAIN * 1.03, "published, after 50", fontsize=6)
    axes[1, 0].set(xlabel="meta-iteration", ylabel="training loss", yscale="log", ylim=(0.05, 2))
    axes[1, 0].legend()
    axes[1, 1].axhline(0, color="k", lw=0.5)
    axes[1, 1].set(xlabel="step", ylabel="d loss / d log rate, first")
    sheet.figure(made, "schedule")
    sheet.table(
        "schedule",
        ["step", *(f"layer {n + 1}" for n in range(LAYERS))],
        [[t, *row] for t, row in enumerate(rates.round(5).tolist())],
    )
    sheet.json("learned", one["learned"])


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    one, judged = numbers["centred"], []
    rates = np.array(one["rates"])[:, :, 0]
    for part in ("plain", "centred"):
        if part in numbers:
            after, seconds = numbers[part]["after"], numbers[part]["seconds"]
            judged += [
                Criterion(
                    f"{part}: training loss with the learned schedule, mean of 10 fresh seeds",
                    np.mean(after["train"]),
                    TRAIN,
                    at_least=False,
                ),
                Criterion(
                    f"{part}: test loss with it", np.mean(after["test"]), TEST, at_least=False
                ),
                Criterion(f"{part}: seconds of meta-training", seconds, 60, at_least=False),
            ]
    falls = rates[:-10].mean(0) / rates[-10:].mean(0)
    judged += [
        Criterion(
            "centred: mean cosine of successive hypergradients over the first 25 iterations",
            float(np.mean(np.array(one["cosine"])[1:26, 0])),
            0.9,
        ),
        Criterion(
            "centred: by how much every layer's rate falls over the last ten steps, the least",
            float(np.min(falls)),
            1.0,
        ),
        Criterion(
            "centred: top layer's rate over the largest of the others, first ten steps",
            rates[:10, -1].mean() / rates[:10, :-1].mean(0).max(),
            1.0,
        ),
    ]
    if "starts" in numbers:
        judged.append(
            Criterion(
                "best of 16 starts: training loss with its schedule, mean of 10 fresh seeds",
                np.mean(numbers["starts"]["after"]["train"]),
                0.10,
                at_least=False,
            )
        )
    return judged


EXPERIMENT = Experiment(
    "learned_schedule",
    presets=PRESETS,
    parts={
        "plain": lambda p: by_learning("plain", p),
        "centred": lambda p: by_learning("centred", p),
        "starts": lambda p: by_learning("starts", p, p.starts),
        "initial": initial,
    },
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
