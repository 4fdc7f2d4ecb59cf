"""Dropout: error curves of several architectures with and without, the rate, the size of the data set, and averaging many masks.

    HPJAX_DATA=... python -m experiments.dropout_curves
    python -m experiments.dropout_curves --plot results/dropout_curves

In the style of Srivastava et al. (2014), on MNIST's stored images, ReLU, Adam at 0.001, dropout in the hidden layers only:
curves   six architectures, half of the units dropped or none: test error over epochs
rate     784-n-n-10 over the probability p of keeping a unit, with n fixed, and with p n fixed
size     784-256-256-10 over the number of training images, with and without; sets under 1,000 train for as many steps as 1,000
masks    one network's test error when the outputs of k random masks are averaged, against one pass with scaled weights
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._trained import Trained, outputs, seen, trained

if TYPE_CHECKING:
    from jax import Array

    from hpjax.tasks import Task


ARCHITECTURES = (
    (256, 256),
    (384, 384),
    (512, 512),
    (256, 256, 256),
    (384, 384, 384),
    (512, 512, 512),
)
RATES = 4  # networks a point of `rate` and `size` at small
KEPT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SIZES = (100, 200, 500, 1000, 2000)
MASKS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120)
LOOKS = {"dropout": ("#4477AA", "o"), "none": ("#BBBBBB", "s")}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    images: int  # to train on
    epochs: int
    architectures: tuple[tuple[int, ...], ...]  # hidden layers; the first is that of masks
    width: int  # of the two layers of rate
    kept: tuple[float, ...]  # probabilities in rate
    sizes: tuple[int, ...]  # training images in size
    size_width: int  # of its two layers
    equal_steps: bool  # whether few images are trained on for as many steps as 1,000
    masks: int  # times that masks are drawn
    seeds: int  # networks of a curve; rate and size have as many times RATES / 2
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(200, 2, ((16, 16), (32, 32)), 16, (0.5, 1.0), (100, 200), 16, False, 2, 1),
    "small": Parameters(1000, 40, ARCHITECTURES, 256, KEPT, SIZES, 256, True, 10, 2),
    "paper": Parameters(8000, 200, ARCHITECTURES, 256, KEPT, SIZES, 256, True, 10, 10),
}


def data(folder: Path | None, count: int) -> Task:
    """MNIST with pixels from 0 to 1, that many images to train on, and 2,000 others to be scored on."""
    import hpjax
    from hpjax.tasks import Split

    task = hpjax.tasks.load("mnist10k", folder)
    rows = np.random.default_rng(0).permutation(task.development)[:count]
    return dataclasses.replace(
        task, x=task.x / task.x.max(), standardize=False, folds=(Split(np.sort(rows), task.test),)
    )


def averaged(one: Trained, x: Any, truth: np.ndarray, draws: int) -> dict:
    """Test errors [R] with scaled weights, and [R repeats] for each number of masks."""
    import jax
    import jax.numpy as jnp

    from hpjax.models import Batch
    from hpjax.models.base import cast

    config, x = cast(one.config, one.spec), jnp.asarray(x, jnp.float32)
    blank = Batch(x, jnp.zeros((len(x), 10)), jnp.ones(len(x)), jax.random.key(0))

    @jax.jit
    def masked(params: Any, key: Array):
        z, _ = one.spec.functions.outputs(params, (), config, x, blank._replace(key=key))
        return jax.nn.softmax(z)

    found: dict = {
        "scaled": (outputs(one, np.asarray(x)).argmax(-1) != truth).mean(-1).tolist(),
        "masks": [],
    }
    for network in range(len(one.weights_epoch)):
        params = jax.tree.map(lambda leaf, n=network: jnp.asarray(leaf[n]), one.params)
        rows = []
        for repeat in range(draws):
            keys = jax.random.split(jax.random.key(1000 * network + repeat), MASKS[-1])
            total = np.cumsum([np.asarray(masked(params, key)) for key in keys], 0)
            rows.append([float((total[k - 1].argmax(-1) != truth).mean()) for k in MASKS])
        found["masks"].append(rows)
    return found


def run(parameters: Parameters) -> dict[str, Any]:
    """All four parts; each a population or a few."""
    import hpjax

    epochs, seeds = parameters.epochs, parameters.seeds
    base = {
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 100,
        "epochs": epochs,
        "dropout": hpjax.Uniform(0.0, 0.95),
    }
    task = data(parameters.data, parameters.images)
    shapes = parameters.architectures
    entry: dict = {
        "epochs": epochs,
        "repeats": seeds,
        "images": parameters.images,
    }
    points = [{"hidden": shape, "dropout": p} for shape in shapes for p in (0.0, 0.5)]
    found = trained(base | {"hidden": hpjax.Choice(shapes)}, task, points, epochs, seeds)
    entry["curves"] = [
        {
            "hidden": p["hidden"],
            "dropout": p["dropout"],
            "error": np.round(one.curve[:, :, 3].mean(0), 5).tolist(),
        }
        for p, one in zip(points, found)
    ]
    print("curves", flush=True)
    width, kept = parameters.width, parameters.kept
    # scoring costs as much as training here; the last two scores count
    every = max(1, epochs // 10)
    ends = lambda found: [one.curve[:, -2:, 3].mean(1).round(5).tolist() for one in found]  # [p R]
    fixed = trained(
        base | {"hidden": (width, width)},
        task,
        [{"dropout": 1 - p} for p in kept],
        epochs,
        RATES * seeds // 2,
        score_every=every,
    )
    entry["rate"] = {"width": width, "kept": kept, "fixed n": ends(fixed)}
    wide = [p for p in kept if p >= 0.2]
    shapes = [(round(width / 2 / p),) * 2 for p in wide]
    points = [{"hidden": shape, "dropout": 1 - p} for shape, p in zip(shapes, wide)]
    entry["rate"] |= {
        "kept wide": wide,
        "fixed pn": ends(
            trained(
                base | {"hidden": hpjax.Choice(shapes)},
                task,
                points,
                epochs,
                1,
                score_every=every,
            )
        ),
    }
    print("rate", flush=True)
    errors: dict[str, list] = {"none": [], "dropout": []}
    space = base | {"hidden": (parameters.size_width,) * 2}
    for size in parameters.sizes:
        here = epochs
        if parameters.equal_steps:
            here = max(epochs, round(epochs * min(parameters.images, 1000) / size))
        pair = trained(
            space | {"epochs": here, "batch_size": min(100, size // 2)},
            data(parameters.data, size),
            [{"dropout": 0.0}, {"dropout": 0.5}],
            here,
            RATES * seeds // 2,
            score_every=here,
        )
        for name, one in zip(("none", "dropout"), pair):
            errors[name].append(one.curve[:, -1, 3].tolist())
    entry["size"] = {"sizes": parameters.sizes} | errors
    print("size", flush=True)
    shape = parameters.architectures[0]
    several = trained(
        base | {"hidden": shape},
        task,
        [{"dropout": 0.5}],
        epochs,
        3,
        score_every=epochs,
    )[0]
    x, y = seen(task, task.test, task.folds[0].train)
    entry["masks"] = {"hidden": shape} | averaged(several, x, y.argmax(-1), parameters.masks)
    return entry


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The four parts."""
    from hpjax import plots

    entry = numbers["dropout"]
    made, axes = plots.figure(2, 2, width=plots.WIDE, height=4.4)
    curves, rate, size, masks = axes.ravel()
    rows = []
    epoch = np.arange(1, entry["epochs"] + 1)
    named: set = set()
    for one in entry["curves"]:
        name = "dropout" if one["dropout"] else "none"
        curves.plot(
            epoch,
            100 * np.array(one["error"]),
            color=LOOKS[name][0],
            lw=0.7,
            label=None if name in named else {"none": "without", "dropout": "half dropped"}[name],
        )
        named.add(name)
        rows += [
            ["curves", f"{'-'.join(map(str, one['hidden']))} {name}", int(e), v]
            for e, v in zip(epoch, one["error"])
        ]
    top = 100 * np.median([one["error"][-1] for one in entry["curves"]])
    curves.set(xlabel="epoch", ylabel="test error, %", ylim=(0.75 * top, 2.2 * top))
    curves.legend(title=f"{len(entry['curves']) // 2} architectures", title_fontsize=7)
    found = entry["rate"]
    kept, wide = np.array(found["kept"]), np.array(found["kept wide"])
    for places, key, color, marker, label in (
        (kept, "fixed n", "#4477AA", "o", f"n = {found['width']} units a layer"),
        (wide, "fixed pn", "#228833", "^", f"p n = {found['width'] // 2}"),
    ):
        test = np.array([np.mean(v) for v in found[key]])
        rate.plot(
            places, 100 * test, color=color, marker=marker, ms=3, label=f"test error, {label}"
        )
        rows += [["rate", key, p, v] for p, v in zip(places, test)]
    rate.set(yscale="log", xlabel="probability p of keeping a unit", ylabel="test error, %")
    rate.legend(fontsize=6.5)
    sizes = np.array(entry["size"]["sizes"])
    ends = {name: 100 * np.array(entry["size"][name]) for name in LOOKS}
    for name, (color, marker) in LOOKS.items():
        size.plot(sizes, ends[name], ".", ms=2, color=color)
        size.plot(
            sizes,
            ends[name].mean(1),
            color=color,
            marker=marker,
            ms=3,
            lw=0.9,
            label={"none": "without", "dropout": "half dropped"}[name],
        )
        rows += [["size", name, int(s), v / 100] for s, v in zip(sizes, ends[name].mean(1))]
    size.set(xscale="log", xlabel="training images", ylabel="test error, % (dots: single networks)")
    size.legend()
    scaled, drawn = (
        100 * np.array(entry["masks"]["scaled"]),
        100 * np.array(entry["masks"]["masks"]),
    )
    mean, spread = drawn.mean((0, 1)), drawn.std(1).mean(0)
    masks.errorbar(
        MASKS,
        mean,
        spread,
        color="#4477AA",
        marker="o",
        ms=3,
        lw=0.9,
        label="k masks averaged (1 deviation)",
    )
    masks.axhline(scaled.mean(), color="k", lw=0.8, ls="--", label="scaled weights")
    rows += [["masks", "averaged", k, v / 100] for k, v in zip(MASKS, mean)]
    masks.set(xscale="log", xlabel="masks k", ylabel="test error, %")
    masks.legend()
    sheet.figure(made, "dropout")
    sheet.table("dropout", ["part", "what", "epoch, p, images or masks", "test error"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    entry = numbers["dropout"]
    found, sizes = entry["rate"], np.array(entry["size"]["sizes"])
    ends = {name: 100 * np.array(entry["size"][name]) for name in LOOKS}
    scaled, drawn = (100 * np.array(entry["masks"][name]) for name in ("scaled", "masks"))
    mean, spread = drawn.mean((0, 1)), drawn.std(1).mean(0)
    last = lambda one: np.mean(one["error"][-max(1, entry["epochs"] // 10) :])
    pairs = [(last(a), last(b)) for a, b in zip(entry["curves"][::2], entry["curves"][1::2])]
    fixed = {p: np.array(v) for p, v in zip(found["kept"], found["fixed n"])}
    flat = [v.mean() for p, v in fixed.items() if 0.4 <= p <= 0.8]
    gain = ends["none"] - ends["dropout"]  # [sizes R], in pairs of networks with the same start
    less_error = lambda pairs: float(100 * (pairs.mean() - pairs.std(ddof=1) / np.sqrt(pairs.size)))
    big = gain[sizes >= min(1000, sizes[-1])]
    many = [i for i, k in enumerate(MASKS) if k >= 50]
    return [
        Criterion(
            "architectures, of all, whose test error over the last tenth of the epochs is lower with dropout",
            float(np.mean([b < a for a, b in pairs])),
            1.0,
        ),
        Criterion(
            "p at fixed n: error at the least p over that at 0.5",
            fixed[min(fixed)].mean() / fixed[0.5].mean(),
            1.2,
        ),
        Criterion(
            "p at fixed n: points of error gained by p = 0.5 over no dropout, pairs of networks, mean less a standard error",
            less_error(fixed[1.0] - fixed[0.5]),
            0.0,
        ),
        Criterion(
            "p at fixed n: highest over lowest error for p from 0.4 to 0.8",
            max(flat) / min(flat),
            1.1,
            at_least=False,
        ),
        Criterion(
            "size: points gained from 1,000 images on, pairs of networks, mean less a standard error",
            less_error(big / 100),
            0.0,
        ),
        Criterion(
            "size: points gained at 100 images (Srivastava: none), mean less a standard error",
            less_error(gain[0] / 100),
            0.0,
            at_least=False,
        ),
        Criterion(
            "masks: 50 or more averaged, distance from scaled weights in points",
            float(np.max(np.abs(mean[many] - scaled.mean()))),
            float(np.mean(spread[many])),
            at_least=False,
        ),
        Criterion("masks: error of a single one over that of 50", mean[0] / mean[many[0]], 1.05),
    ]


EXPERIMENT = Experiment(
    "dropout_curves",
    presets=PRESETS,
    parts={"dropout": run},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
