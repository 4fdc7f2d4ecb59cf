"""The size of minibatches: gradient noise, the learning rate that suits it, steps and epochs needed, and sharp minima.

    HPJAX_DATA=... python -m experiments.batch_size_effect
    python -m experiments.batch_size_effect --plot results/batch_size_effect

noise      variance of a minibatch's gradient at one set of weights; drawn with replacement it is that of an example over the size
sweep      784-32-10 on 2,000 images of MNIST, SGD, 20 epochs: sizes x learning rates, every size one program of the population
sharpness  in the style of Keskar et al. (2017): 784-128-128-10, Adam, 4,000 images, minibatches of 32 and of a tenth of all, five
           seeds, 15 and 60 epochs, so that both fit alike: loss and accuracy along the line from the one's weights to the other's, and how much the loss can rise within a
           small box around each (their metric 2.1 with epsilon 10^-3, by signed gradient ascent)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, short
from experiments._trained import Trained, seen, trained

if TYPE_CHECKING:
    from jax import Array

    from hpjax.models import Spec
    from hpjax.tasks import Task


SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 0)
SAMPLED = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
EPSILON, ASCENT = 1e-3, 30
GOAL = 0.1  # training loss to reach


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    images: int  # to train on, in noise and sweep
    sizes: tuple[int, ...]  # of minibatches; 0: all images
    rates: int  # learning rates, from 1e-4 to 3
    epochs: int
    repeats: int  # networks of a size and rate
    sampled: tuple[int, ...]  # sizes at which the gradient's noise is measured
    draws: int  # minibatches of each
    pair_images: int  # to train on, in sharpness
    pair_epochs: tuple[int, int]  # of small and of large minibatches
    seeds: int  # pairs
    places: int  # on the line between the networks of a pair
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(200, (32, 0), 2, 1, 1, (4, 16, 64), 20, 300, (1, 2), 2, 7),
    "small": Parameters(2000, SIZES, 33, 20, 1, SAMPLED, 400, 4000, (15, 60), 5, 31),
    "paper": Parameters(2000, SIZES, 65, 20, 10, SAMPLED, 400, 4000, (15, 60), 5, 31),
}


def data(folder: Path | None, count: int) -> Task:
    """MNIST with that many images to train on, and its test set to be scored on."""
    import hpjax
    from hpjax.tasks import Split

    task = hpjax.tasks.load("mnist10k", folder)
    rows = np.random.default_rng(0).permutation(task.development)[:count]
    return dataclasses.replace(task, folds=(Split(np.sort(rows), task.test),))


def noise(one: Trained, x: Any, y: Any, sizes: Sequence[int], draws: int) -> list[float]:
    """Mean squared distance of minibatch gradients from the whole gradient, of the first network."""
    import jax
    import jax.numpy as jnp

    from hpjax.models.base import cast
    from hpjax.training.losses import loss_of

    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), one.params)
    config, x, y = (
        cast(one.config, one.spec),
        jnp.asarray(x, jnp.float32),
        jnp.asarray(y, jnp.float32),
    )

    def mean_loss(p: Any, index: Array):
        z, _ = one.spec.functions.outputs(p, (), config, x[index])
        return loss_of(one.spec).each(z, y[index]).mean()

    whole = jax.grad(mean_loss)(params, jnp.arange(len(x)))
    apart = lambda g: sum(
        ((a - b) ** 2).sum() for a, b in zip(jax.tree.leaves(g), jax.tree.leaves(whole))
    )
    at = jax.jit(lambda index: apart(jax.grad(mean_loss)(params, index)))
    rng = np.random.default_rng(0)
    return [
        float(np.mean([at(rng.integers(len(x), size=size)) for _ in range(draws)]))
        for size in sizes
    ]


def sharpness(spec: Spec, config: dict[str, Any], params: Any, x: Any, y: Any) -> float:
    """Rise of the loss within a box of EPSILON (|w| + 1) around the weights, over 1 + loss, in per cent."""
    import jax
    import jax.numpy as jnp

    from hpjax.models.base import cast
    from hpjax.training.losses import loss_of

    numbers, x, y = cast(config, spec), jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    loss = lambda p: loss_of(spec).each(spec.functions.outputs(p, (), numbers, x)[0], y).mean()
    box = jax.tree.map(lambda w: EPSILON * (jnp.abs(w) + 1), params)

    def climb(carry: Any, _: None):
        move, best = carry
        value, slope = jax.value_and_grad(loss)(jax.tree.map(jnp.add, params, move))
        move = jax.tree.map(
            lambda m, g, b: jnp.clip(m + 0.2 * b * jnp.sign(g), -b, b), move, slope, box
        )
        return (move, jnp.maximum(best, value)), None

    still = jax.tree.map(jnp.zeros_like, params)
    (last, best), _ = jax.jit(lambda: jax.lax.scan(climb, (still, -jnp.inf), None, ASCENT))()
    best = jnp.maximum(best, loss(jax.tree.map(jnp.add, params, last)))
    begin = loss(params)
    return float(100 * (best - begin) / (1 + begin))


def run(parameters: Parameters) -> dict[str, Any]:
    """All three parts."""
    import hpjax

    sizes, epochs = parameters.sizes, parameters.epochs
    task = data(parameters.data, parameters.images)
    rates = np.geomspace(1e-4, 3, parameters.rates)
    space = {
        "hidden": (32,),
        "optimizer": "sgd",
        "epochs": epochs,
        "batch_size": hpjax.Choice(sizes),
        "learning_rate": hpjax.LogUniform(1e-5, 10.0),
    }
    points = [{"batch_size": size, "learning_rate": rate} for size in sizes for rate in rates]
    found = trained(space, task, points, epochs, parameters.repeats)
    curves = np.stack([one.curve.mean(0) for one in found]).reshape(
        len(sizes), parameters.rates, epochs, 4
    )
    entry: dict = {
        "sizes": [s or parameters.images for s in sizes],
        "rates": rates.tolist(),
        "epochs": epochs,
        "examples": parameters.images,
    }
    entry |= {"loss": short(curves[:, :, -1, 2]), "train": [short(c) for c in curves[..., 1]]}
    x, y = seen(task, task.folds[0].train, task.folds[0].train)
    entry["noise"] = {
        "sizes": parameters.sampled,
        "variance": noise(found[parameters.rates // 2], x, y, parameters.sampled, parameters.draws),
    }
    print("sweep, noise", flush=True)

    entry["line"] = pair(parameters)
    return entry


def pair(parameters: Parameters) -> dict[str, Any]:
    """Networks of small and of large minibatches: the line between them, and how sharp their minima are."""
    import jax

    import hpjax
    from hpjax.models.base import cast
    from hpjax.training.losses import loss_of

    epochs, seeds = parameters.pair_epochs, parameters.seeds
    task = data(parameters.data, parameters.pair_images)
    large = parameters.pair_images // 10
    space = {
        "hidden": (128, 128),
        "optimizer": "adam",
        "epochs": hpjax.IntUniform(1, epochs[1]),
        "batch_size": hpjax.Choice((32, large)),
    }
    points = [{"batch_size": size, "epochs": until} for size, until in zip((32, large), epochs)]
    few, lots = trained(space, task, points, epochs[1], seeds, score_every=epochs[1])
    train, test = (seen(task, rows, task.folds[0].train) for rows in task.folds[0])
    places = np.linspace(-1, 2, parameters.places)
    config = cast(few.config, few.spec)

    @jax.jit
    def along(place: Array, x: Any, y: Any):
        between = jax.tree.map(lambda a, b: (1 - place) * a + place * b, few.params, lots.params)
        z = jax.vmap(lambda p: few.spec.functions.outputs(p, (), config, x)[0])(between)
        return jax.vmap(lambda one: loss_of(few.spec).each(one, y).mean())(z), (
            z.argmax(-1) == y.argmax(-1)
        ).mean(-1)

    line: dict = {"places": places.tolist(), "small": 32, "large": large, "seeds": seeds}
    for name, (x, y) in (("train", train), ("test", test)):
        values = [along(place, np.float32(x), np.float32(y)) for place in places]
        line[name] = {
            "loss": [np.asarray(v).tolist() for v, _ in values],
            "accuracy": [np.asarray(a).tolist() for _, a in values],
        }
    one = lambda made, seed: jax.tree.map(lambda leaf: leaf[seed], made.params)
    line["sharpness"] = {
        name: [sharpness(made.spec, made.config, one(made, s), *train) for s in range(seeds)]
        for name, made in (("small", few), ("large", lots))
    }
    return line


def lowest(x: np.ndarray, loss: np.ndarray) -> float:
    """exp(x) at the bottom of the parabola through the lowest loss and its neighbours."""
    at = int(np.nanargmin(loss))
    if not 0 < at < len(x) - 1 or not np.isfinite(loss[at - 1 : at + 2]).all():
        return float(np.exp(x[at]))
    a, b, _ = np.polyfit(x[at - 1 : at + 2] - x[at], np.log(loss[at - 1 : at + 2]), 2)
    return float(np.exp(x[at] - b / (2 * a)))


def crossing(curve: np.ndarray) -> float:
    """Epochs until a training loss of GOAL, between two epochs by the logarithm of the loss; infinite where it stays above.

    The loss of an epoch is the mean over its minibatches, so it stands for the epoch's middle.
    """
    log = np.log(np.nan_to_num(curve, nan=1e9, posinf=1e9))
    at = int(np.argmax(log < np.log(GOAL)))
    if not log[at] < np.log(GOAL):
        return np.inf
    if not at:
        return 0.5
    return at - 0.5 + float((log[at - 1] - np.log(GOAL)) / (log[at - 1] - log[at]))


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Noise; loss over rates; epochs and steps needed; the line between two minima."""
    from matplotlib import colormaps

    from hpjax import plots

    entry = numbers["batches"]
    made, axes = plots.figure(2, 3, width=plots.WIDE, height=4.2)
    noisy, over, needed, line, accuracy, sharp = axes.ravel()
    sampled, variance = (np.array(entry["noise"][n], float) for n in ("sizes", "variance"))
    noisy.plot(sampled, variance, "o", ms=4, color="#4477AA", label="measured")
    noisy.plot(
        sampled,
        variance[0] * sampled[0] / sampled,
        color="k",
        lw=0.7,
        ls=":",
        label="one example's / size",
    )
    noisy.set(
        xscale="log", yscale="log", xlabel="minibatch size", ylabel="variance of the gradient"
    )
    noisy.legend()
    sizes, rates = np.array(entry["sizes"]), np.array(entry["rates"])
    loss, train = np.array(entry["loss"], float), np.array(entry["train"], float)
    shades = colormaps["viridis"](np.linspace(0, 0.9, len(sizes)))
    rows = [["noise", int(s), None, v] for s, v in zip(sampled, variance)]
    for size, shade, values in zip(sizes, shades, loss):
        over.plot(
            rates,
            values,
            color=shade,
            marker="o",
            ms=2,
            lw=0.8,
            label=f"{size:,}" + (" (all)" if size == entry["examples"] else ""),
        )
        rows += [["sweep", int(size), r, v] for r, v in zip(rates, values)]
    over.set(
        xscale="log",
        yscale="log",
        xlabel="learning rate",
        ylabel=f"test loss, epoch {entry['epochs']}",
        ylim=(0.3, 60),
    )
    over.legend(
        title="minibatch",
        fontsize=5.5,
        title_fontsize=6,
        loc="upper left",
        ncols=2,
        columnspacing=0.8,
        handlelength=1,
    )
    epochs = np.array([min(crossing(row) for row in rows_of) for rows_of in train])
    steps = epochs * np.ceil(entry["examples"] / sizes)
    there = np.isfinite(epochs)
    needed.plot(sizes[there], steps[there], marker="s", ms=3, color="#EE6677", label="steps")
    needed.plot(sizes[there], epochs[there], marker="o", ms=3, color="#4477AA", label="epochs")
    scale = "log" if there.any() else "linear"
    needed.set(
        xscale=scale,
        yscale=scale,
        xlabel="minibatch size",
        ylabel=f"to a training loss of {GOAL:g}",
    )
    needed.legend(title="fastest of all rates", title_fontsize=6)
    rows += [["needed", int(s), e, t] for s, e, t in zip(sizes, epochs, steps)]
    found = entry["line"]
    places = np.array(found["places"])
    for part, dash in (("train", "-"), ("test", "--")):
        values, right = (np.array(found[part][n]) for n in ("loss", "accuracy"))
        line.plot(places, values.mean(1), color="#4477AA", ls=dash, label=part)
        accuracy.plot(places, 100 * right.mean(1), color="#EE6677", ls=dash, lw=0.8, label=part)
        rows += [["line", part, p, v] for p, v in zip(places, values.mean(1))]
    line.set(
        yscale="log", xlabel=f"place (0: size {found['small']}, 1: {found['large']})", ylabel="loss"
    )
    accuracy.set(xlabel="place on the line", ylabel="accuracy, %", ylim=(85, 100.5))
    for ax in (line, accuracy):
        ax.legend(loc="center left" if ax is line else "lower left")
        for place in (0, 1):
            ax.axvline(place, color="#DDDDDD", lw=0.6, zorder=0)
    line.set_title(f"between end points, {found['seeds']} seeds")
    accuracy.set_title("the same")
    few, lots = (np.array(found["sharpness"][n]) for n in ("small", "large"))
    for pair in zip(few, lots):
        sharp.plot([0, 1], pair, marker="o", ms=3, lw=0.8, color="#4477AA")
    sharp.set(xlim=(-0.4, 1.4), ylim=(0, None), ylabel="rise of the loss in the box, %")
    sharp.set_xticks([0, 1], [f"size {found['small']}", f"size {found['large']}"])
    sharp.set_title("sharpness, each seed")
    noisy.set_title("gradient noise")
    over.set_title("loss over the rate")
    needed.set_title("cost to fit")
    sheet.figure(made, "batches")
    sheet.table(
        "batches",
        ["part", "minibatch or examples", "rate, epochs or place", "variance, loss or steps"],
        rows,
    )
    sheet.table(
        "sharpness",
        ["seed", f"minibatches of {found['small']}, %", f"of {found['large']}, %"],
        zip(range(len(few)), few, lots),
    )


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["batches"]
    sampled, variance = (np.array(entry["noise"][n], float) for n in ("sizes", "variance"))
    sizes, rates = np.array(entry["sizes"]), np.array(entry["rates"])
    loss, train = np.array(entry["loss"], float), np.array(entry["train"], float)
    best = np.array([lowest(np.log(rates), row) for row in loss])
    epochs = np.array([min(crossing(row) for row in rows_of) for rows_of in train])
    steps = epochs * np.ceil(entry["examples"] / sizes)
    found = entry["line"]
    places = np.array(found["places"])
    few, lots = (np.array(found["sharpness"][n]) for n in ("small", "large"))
    slope = np.polyfit(np.log(sampled), np.log(variance), 1)[0]
    middling = (sizes <= 128) & (best > 1.01 * rates[0]) & (best < 0.99 * rates[-1])
    scaling = (
        np.polyfit(np.log(sizes[middling]), np.log(best[middling]), 1)[0]
        if middling.sum() > 1
        else np.nan
    )
    end = np.array(found["train"]["loss"])
    # [seeds]
    rise = lambda at, way: (
        end[np.abs(places - (at + way)).argmin()] - end[np.abs(places - at).argmin()]
    )
    ends = {
        name: float(np.mean(end[np.abs(places - at).argmin()]))
        for name, at in (("small", 0), ("large", 1))
    }
    return [
        Criterion(
            "noise: exponent of the variance over the size, distance from -1",
            abs(slope + 1),
            0.05,
            at_least=False,
        ),
        Criterion(
            "sweep: exponent of the best rate over the size, up to 128 (1: the linear scaling rule)",
            scaling,
            0.5,
        ),
        Criterion("the same, from above", scaling, 1.2, at_least=False),
        Criterion("sweep: epochs needed, largest over smallest size", epochs[-1] / epochs[0], 2),
        Criterion("sweep: steps needed, smallest over largest size", steps[0] / steps[-1], 2),
        Criterion(
            "sharpness: seeds, of all, whose large-batch end point is sharper",
            float((lots > few).mean()),
            0.8,
        ),
        Criterion(
            "line: seeds, of all, whose training loss rises more 0.5 beyond the large-batch end than 0.5 beyond the other",
            float((rise(1, 0.5) > rise(0, -0.5)).mean()),
            0.8,
        ),
        Criterion(
            f"line: training loss at the ends, {ends['small']:.2g} and {ends['large']:.2g}: factor between them",
            np.exp(abs(np.log(ends["large"] / ends["small"]))),
            2,
            at_least=False,
        ),
    ]


EXPERIMENT = Experiment(
    "batch_size_effect",
    presets=PRESETS,
    parts={"batches": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
