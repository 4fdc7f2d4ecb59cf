"""The boundary between learning rates that train and those that diverge is a fractal.

    python -m experiments.trainability_boundary
    python -m experiments.trainability_boundary --only fine
    python -m experiments.trainability_boundary --preset paper
    python -m experiments.trainability_boundary --plot results/trainability_boundary

After Sohl-Dickstein (2024): 16 inputs, 16 tanh units, one output, no biases, mean-field scaling, 272 parameters and as many examples,
all standard normal; full-batch gradient descent on the mean squared error in float64, the same data and initial weights for every
pixel, one learning rate per layer from 10^-3 to 10^6. A pixel converges where its loss over the last 20 steps is on average below
that at the start. `small` has 128^2 pixels and 100 steps, `--only fine` 512^2 and as many steps, `paper` 512^2 and 500.

Every pixel is one network, all of a view one population. Each view but the first is an eighth of the one before, in each direction:
of the windows with boundary in them, and with an input layer's rate above 1, so that both layers count, the one that has the
median of it. The dimension is the median over the views, as the paper's is over its zooms.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
import warnings
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, of_part

VIEWS = ("all", "closer", "closest")
LOW, HIGH = -3.0, 6.0  # log10 of the learning rates
LARGE = 1e6  # what losses are cut at
ZOOM = 8
CALIBRATION = 1024  # pixels of the known sets
STRIP = 128 * 128  # networks of one population: what memory for their curves is taken for


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    side: int  # pixels of an image
    steps: int  # of gradient descent
    fine_side: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(32, 20, 48),
    "small": Parameters(128, 100, 512),
    "paper": Parameters(512, 500, 1024),
}


def task():
    """272 examples of noise."""
    from hpjax.tasks import Split, Task

    rng = np.random.default_rng(0)
    rows = np.arange(272)
    x, y = rng.normal(size=(272, 16)), rng.normal(size=272)
    return Task("noise", x, y, test=rows[:1], standardize=False, folds=(Split(rows, rows[:2]),))


def image(window: tuple[float, float, float, float], side: int, steps: int) -> np.ndarray:
    """What every pixel's network did, [side side], output layer's rate upwards: -sum of v where it converged, else sum of 1 / v.

    v is the loss at each step over that before the first.

    Args:
        window: log10 of the input layer's lowest and highest rate, and of the output layer's.
        side: pixels.
        steps: of gradient descent.
    """
    import hpjax

    rates = [np.linspace(*window[:2], side), np.linspace(*window[2:], side)]
    space = {
        "hidden": (16,),
        "activation": "tanh",
        "bias": False,
        "parametrization": "mean_field",
        "optimizer": "sgd",
        "batch_size": 0,
        "dtype": "float64",
        "epochs": steps,
        "learning_rate_1": hpjax.LogUniform(10.0 ** (LOW - 1), 10.0 ** (HIGH + 1)),
        "learning_rate_2": hpjax.LogUniform(10.0 ** (LOW - 1), 10.0 ** (HIGH + 1)),
    }
    points = [
        {"learning_rate_1": 10.0**a, "learning_rate_2": 10.0**b} for b in rates[1] for a in rates[0]
    ]
    found = []
    for start in range(0, len(points), STRIP):
        part = points[start : start + STRIP]
        losses = np.full((len(part), steps), LARGE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # losses beyond float32 are cut below
            curves = hpjax.tune(space, task(), search=part).curves
        losses[curves["trial"], curves["epoch"] - 1] = curves["train"]
        with np.errstate(all="ignore"):
            v = losses / losses[:, :1]
        v = np.clip(np.where(np.isfinite(v), v, LARGE), 1 / LARGE, LARGE)
        found.append(np.where(v[:, -20:].mean(1) < 1, -v.sum(1), (1 / v).sum(1)))
    return np.concatenate(found).reshape(side, side)


def views(side: int, steps: int) -> dict[str, Any]:
    """The whole plane, then windows in it: an image of each, and what it shows."""
    window, found = (LOW, HIGH, LOW, HIGH), {}
    for view in VIEWS:
        started = time.perf_counter()
        value = image(window, side, steps)
        # signs are counted and ranks drawn: logarithms keep both, but for ties at eleven bits
        found[view] = (np.sign(value) * np.log1p(np.abs(value))).astype(np.float16)
        seconds = round(time.perf_counter() - started, 1)
        found[f"about {view}"] = {
            "window": window,
            "side": side,
            "steps": steps,
            "seconds": seconds,
        }
        print(f"{view}: {side} x {side} networks in {seconds:g} s", flush=True)
        window = inner(window, value)
    return found


def inner(
    window: tuple[float, float, float, float], value: np.ndarray
) -> tuple[float, float, float, float]:
    """The window of an eighth of the sides that has the median boundary of those that have some."""
    left, right, bottom, top = window
    side = len(value)
    wide, step = side // ZOOM, ((right - left) / (side - 1), (top - bottom) / (side - 1))
    edge = boundary(value)
    found = []
    for i in range(side - wide):
        for j in range(side - wide):
            many = edge[i : i + wide, j : j + wide].sum()
            if many and left + j * step[0] >= 0:
                found.append((many, i, j))
    if not found:
        raise ValueError("no boundary in view; take more pixels")
    _, i, j = sorted(found)[len(found) // 2]
    return (
        left + j * step[0],
        left + (j + wide) * step[0],
        bottom + i * step[1],
        bottom + (i + wide) * step[1],
    )


def boundary(value: np.ndarray) -> np.ndarray:
    """Where a 2 x 2 block has pixels of both signs, [side-1 side-1]."""
    sign = value < 0
    blocks = np.stack([sign[:-1, :-1], sign[1:, :-1], sign[:-1, 1:], sign[1:, 1:]])
    return np.logical_and(blocks.any(0), ~blocks.all(0))


def counts(edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of each size that cover a set: sizes in pixels, and the fewest over shifts of the grid."""
    side = len(edge)
    sizes = [size for size in 2 ** np.arange(10) if size <= max(2, side // 7)]
    found = []
    for size in sizes:
        many = []
        for down, right in itertools.product(
            sorted({0, size // 4, size // 2, 3 * size // 4}), repeat=2
        ):
            rows, columns = -(-(side + down) // size), -(-(side + right) // size)
            padded = np.zeros((rows * size, columns * size), bool)
            padded[down : down + side, right : right + side] = edge
            many.append(padded.reshape(rows, size, columns, size).any((1, 3)).sum())
        found.append(min(many))
    return np.array(sizes), np.array(found, float)


def dimension(edge: np.ndarray) -> tuple[float, float]:
    """Box-counting dimension by least squares over sizes from 4 pixels to a seventh of the side, and R^2."""
    sizes, found = counts(edge)
    x, y = np.log(1 / sizes[2:]), np.log(np.maximum(found[2:], 1e-9))
    slope, offset = np.polyfit(x, y, 1)
    rest = y - slope * x - offset
    return float(slope), float(1 - rest.var() / max(y.var(), 1e-12))


def known(side: int) -> dict[str, tuple[np.ndarray, float]]:
    """Sets of known dimension, drawn as the boundary is: a filled side of each, then its 2 x 2 blocks of both signs."""
    from matplotlib.path import Path as Outline

    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) + 0.5
    corners = np.array([np.exp(2j * np.pi * k / 3 + 0.5j * np.pi) for k in (0, 2, 1, 0)])
    while len(corners) < 4 * side:
        a, b = corners[:-1], corners[1:]
        third = (b - a) / 3
        peak = a + third + third * np.exp(1j * np.pi / 3)
        corners = np.append(np.stack([a, a + third, peak, b - third], 1).ravel(), corners[-1])
    flake = np.stack([corners.real, corners.imag], 1) * 0.45 * side + 0.5 * side
    filled = lambda outline: np.where(Outline(outline).contains_points(grid), -1.0, 1.0).reshape(
        side, side
    )
    line = np.where(grid[:, 1] < 0.37 * grid[:, 0] + 0.3 * side, -1.0, 1.0).reshape(side, side)
    return {
        "line": (boundary(line), 1.0),
        "Koch snowflake": (boundary(filled(flake)), np.log(4) / np.log(3)),
        "square": (np.ones((side - 1, side - 1), bool), 2.0),
    }


def circle(side: int, radius: float) -> np.ndarray:
    """A smooth curve, drawn as the boundary is; its radius is a part of the side."""
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    return np.where(np.hypot(x - side / 2, y - side / 2) < radius * side, -1.0, 1.0)


def stretched(value: np.ndarray) -> np.ndarray:
    """Ranks of each sign, to be coloured: from -1 (slowly) to -0.25 (at once) where training diverged, from 0.25 (fast) to 1 (slowly) where it
    converged."""
    shown = np.zeros(value.shape)
    for mask, low, high in ((value < 0, -1.0, -0.25), (value >= 0, 0.25, 1.0)):
        order = value[mask].argsort().argsort()
        shown[mask] = low + (high - low) * order / max(1, order.size - 1)
    return -shown


def finest(numbers: Numbers) -> dict[str, tuple[dict[str, Any], np.ndarray]]:
    """Every view at the most pixels that there are: what it shows, and the image [side side]."""
    entry = numbers["fine" if "fine" in numbers else "coarse"]
    return {view: (entry[f"about {view}"], entry[view].astype(np.float32)) for view in VIEWS}


def dimensions(
    parts: dict[str, tuple[dict[str, Any], np.ndarray]],
) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, float]]]:
    """Edges of the views and of known sets, and their dimensions with R^2."""
    edges = {view: boundary(value) for view, (_, value) in parts.items()}
    edges |= {name: edge for name, (edge, _) in known(CALIBRATION).items()}
    return edges, {name: dimension(edge) for name, edge in edges.items()}


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """All views; box counts beside those of known sets."""
    from hpjax import plots

    parts = finest(numbers)
    made, axes = plots.figure(1, 4, width=plots.WIDE, height=2.3)
    rows, nearer, shown = [], 1, None
    for number, (ax, (entry, value)) in enumerate(zip(axes, parts.values())):
        left, right, bottom, top = entry["window"]
        shown = ax.imshow(
            stretched(value),
            cmap="Spectral",
            vmin=-1,
            vmax=1,
            origin="lower",
            interpolation="nearest",
            extent=(left, right, bottom, top),
        )
        ax.set(xlabel="log10 rate, input layer", xticks=[left, right], yticks=[bottom, top])
        ax.set_title("all rates" if nearer == 1 else f"{nearer} times closer")
        ax.set_xticklabels([f"{v:.{number}f}" for v in (left, right)])
        ax.set_yticklabels([f"{v:.{number}f}" for v in (bottom, top)])
        if number:
            axes[number - 1].plot(
                [left, right, right, left, left],
                [bottom, bottom, top, top, bottom],
                color="k",
                lw=0.8,
            )
        nearer *= ZOOM
    axes[0].set_ylabel("log10 rate, output layer")
    assert shown is not None
    key = made.colorbar(
        shown, ax=list(axes[:3]), orientation="horizontal", aspect=50, shrink=0.8, pad=0.03
    )
    key.set_ticks(
        [-1, -0.25, 0.25, 1], labels=["diverged slowly", "at once", "converged fast", "slowly"]
    )
    key.ax.tick_params(length=0, labelsize=6)
    edges, found = dimensions(parts)
    looks = {
        "all": ("#4477AA", "o"),
        "closer": ("#EE6677", "s"),
        "closest": ("#AA3377", "D"),
        "line": ("#BBBBBB", "."),
        "Koch snowflake": ("#228833", "."),
    }
    for name, (color, marker) in looks.items():
        sizes, many = counts(edges[name])
        axes[3].plot(
            sizes, many, marker=marker, ms=3, color=color, label=f"{name}: {found[name][0]:.2f}"
        )
        rows += [[name, int(size), count] for size, count in zip(sizes, many)]
    axes[3].set(
        xscale="log",
        yscale="log",
        xlabel="box, pixels",
        ylabel="boxes with boundary",
        ylim=(None, 3e6),
    )
    axes[3].legend(title="dimension", fontsize=5, title_fontsize=5, loc="upper right")
    sheet.figure(made, "boundary")
    sheet.table("counts", ["set", "pixels", "boxes"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    parts = finest(numbers)
    _, found = dimensions(parts)
    side, slopes = parts["all"][0]["side"], [found[view][0] for view in VIEWS]
    circles = [circle(side, radius) for radius in (0.15, 0.25, 0.35, 0.45)]
    smooth = max(dimension(boundary(value))[0] for value in circles)
    judged = [
        *(
            Criterion(
                f"estimator: distance of the dimension of a {name} from {exact:.3f}",
                abs(found[name][0] - exact),
                0.03,
                at_least=False,
            )
            for name, (_, exact) in known(CALIBRATION).items()
        ),
        Criterion(
            f"dimension of the boundary, median of views ({', '.join(f'{s:.2f}' for s in slopes)}), less that of circles at its resolution ({smooth:.2f})",
            np.median(slopes) - smooth,
            0.1,
        ),
        Criterion(
            "dimension of the boundary, median of views: white noise has 2",
            np.median(slopes),
            1.95,
            at_least=False,
        ),
        Criterion(
            "R^2 of the box counts on log axes, the lowest of the views",
            min(found[view][1] for view in VIEWS),
            0.99,
        ),
    ]
    judged = of_part("fine", judged) if "fine" in numbers else judged
    coarse = numbers.get("coarse")
    if coarse is not None and coarse["about all"]["side"] == 128:
        seconds = coarse["about all"]["seconds"]
        judged.append(
            Criterion("seconds for 128^2 networks of 100 steps", seconds, 60, at_least=False)
        )
    if coarse is not None and "fine" in numbers:
        apart = abs(dimension(boundary(coarse["all"].astype(np.float32)))[0] - slopes[0])
        judged += of_part(
            "fine",
            [
                Criterion(
                    f"all rates: dimension at {side} pixels a side against {coarse['about all']['side']}",
                    apart,
                    0.05,
                    at_least=False,
                )
            ],
        )
    return judged


EXPERIMENT = Experiment(
    "trainability_boundary",
    presets=PRESETS,
    parts={
        "coarse": lambda p: views(p.side, p.steps),
        "fine": lambda p: views(p.fine_side, p.steps),
    },
    on_request=("fine",),
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
