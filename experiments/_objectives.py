"""Functions whose minima are known, as batch objectives of the unit cube's points, and the published tables.

Branin, six-hump camel, Hartmann, Ackley, Rosenbrock, Levy: Surjanovic & Bingham, Virtual Library of Simulation Experiments. Counting
Ones: Falkner, Klein & Hutter 2018. Tables: Klein & Hutter 2019; Eggensperger et al. 2021.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import hpjax

A3 = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
P3 = 1e-4 * np.array(
    [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
)
A6 = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
P6 = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
WEIGHTS = np.array([1, 1.2, 3, 3.2])
MANY = ("Rosenbrock-10", "Ackley-20", "Levy-30")  # of ten dimensions and more
CONTINUOUS = ("Branin", "six-hump camel", "Hartmann-3", "Hartmann-6", "Ackley-5", *MANY)


class Problem(NamedTuple):
    """A space, a loss, and the least that the loss can be."""

    space: dict
    loss: Callable  # {name: values [P]} (, epochs [P]) -> [P]
    optimum: float
    budget: int  # evaluations
    # {name: values [P]}, generator -> noisy losses [P]; where evaluations have noise
    observed: Callable | None = None


def _box(loss: Callable, low: Any, high: Any, dims: int) -> tuple[dict, Callable]:
    """A function of points [P D] as one of named columns."""
    ends = np.broadcast_to(low, dims), np.broadcast_to(high, dims)
    space = {f"x{i:02d}": hpjax.Uniform(float(a), float(b)) for i, (a, b) in enumerate(zip(*ends))}
    return space, lambda point: loss(np.stack([point[name] for name in sorted(space)], 1))


def branin(x: np.ndarray):
    """[P 2] -> [P]"""
    a, b = x.T
    bend = b - 5.1 / (4 * np.pi**2) * a**2 + 5 / np.pi * a - 6
    return bend**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10


def camel(x: np.ndarray):
    """[P 2] -> [P]"""
    a, b = x.T
    return (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (-4 + 4 * b**2) * b**2


def hartmann(x: np.ndarray):
    """[P 3] or [P 6] -> [P]"""
    steep, at = (A3, P3) if x.shape[1] == 3 else (A6, P6)
    return -np.exp(-(steep * (x[:, None] - at) ** 2).sum(-1)) @ WEIGHTS


def ackley(x: np.ndarray):
    """[P D] -> [P]"""
    root = np.sqrt((x**2).mean(1))
    return -20 * np.exp(-0.2 * root) - np.exp(np.cos(2 * np.pi * x).mean(1)) + 20 + np.e


def rosenbrock(x: np.ndarray):
    """[P D] -> [P]"""
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def levy(x: np.ndarray):
    """[P D] -> [P]"""
    w = 1 + (x - 1) / 4
    inner = (w[:, :-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:, :-1] + 1) ** 2)
    last = (w[:, -1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[:, -1]) ** 2)
    return np.sin(np.pi * w[:, 0]) ** 2 + inner.sum(1) + last


def mixed(point: Any):
    """Branin over a rate on a log scale and a whole number, plus a choice of four that shifts and one of two that scales it."""
    a = 15 * (np.log10(point["rate"]) + 5) / 5 - 5
    b = 15 * (point["units"] - 1) / 63
    shift = np.select([point["kind"] == k for k in "abc"], [0.0, 5.0, 12.0], 25.0)
    scale = np.where(point["on"].astype(bool), 1.0, 1.5)
    return scale * branin(np.stack([a, b], 1)) + shift


def conditional(point: Any):
    """A choice of three, each with numbers of its own: a bowl, camel, and Rosenbrock in three dimensions."""
    number = lambda *names: np.stack([np.nan_to_num(np.asarray(point[n], float)) for n in names], 1)
    bowl = (number("bowl_x") ** 2).sum(1) + 0.3
    hump = camel(number("camel_x", "camel_y")) + 1.0316284534898774
    valley = rosenbrock(number("rose_x", "rose_y", "rose_z")) / 100 + 0.1
    return np.select([point["kind"] == "bowl", point["kind"] == "camel"], [bowl, hump], valley)


def counting_ones(choices: int = 8, numbers: int = 8):
    """-(sum of choices + mean of Bernoulli(p) draws, as many as the epochs), drawn by the point and the epochs."""

    def loss(point: Any, epochs: Any = None):
        ones = sum(point[f"c{i}"].astype(float) for i in range(choices))
        rates = np.stack([point[f"p{i}"] for i in range(numbers)], 1)
        if epochs is None:
            return -(ones + rates.sum(1))
        means = np.empty(rates.shape)
        for row, (rate, count) in enumerate(zip(rates, np.asarray(epochs).tolist())):
            words = [*(rate * 2**30).astype(np.int64).tolist(), count]
            draws = np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
            means[row] = draws.binomial(count, rate) / count
        return -(ones + means.sum(1))

    space = {f"c{i}": hpjax.Choice([0, 1]) for i in range(choices)}
    return space | {f"p{i}": hpjax.Uniform(0.0, 1.0) for i in range(numbers)}, loss


def synthetic() -> dict[str, Problem]:
    """The problems that need no data."""
    found = {}
    for name, loss, low, high, dims, optimum in (
        ("Branin", branin, (-5, 0), (10, 15), 2, 0.39788735772973816),
        ("six-hump camel", camel, (-3, -2), (3, 2), 2, -1.0316284534898774),
        ("Hartmann-3", hartmann, 0, 1, 3, -3.86278214782076),
        ("Hartmann-6", hartmann, 0, 1, 6, -3.322368011415512),
        # where searches begin, the cube's center, would be Ackley's minimum in its usual box, [-32.768, 32.768]
        ("Ackley-5", ackley, -20, 40, 5, 0.0),
        ("Rosenbrock-10", rosenbrock, -5, 10, 10, 0.0),
        ("Ackley-20", ackley, -20, 40, 20, 0.0),
        ("Levy-30", levy, -10, 10, 30, 0.0),
    ):
        found[name] = Problem(*_box(loss, low, high, dims), optimum, min(100, 10 * dims))
    space = {
        "rate": hpjax.LogUniform(1e-5, 1.0),
        "units": hpjax.IntUniform(1, 64),
        "kind": hpjax.Choice(["a", "b", "c", "d"]),
        "on": hpjax.Choice([True, False]),
    }
    units = np.arange(1, 65)
    a = np.linspace(-5, 10, 20001)
    least = min(branin(np.stack([a, np.full_like(a, 15 * (u - 1) / 63)], 1)).min() for u in units)
    found["mixed"] = Problem(space, mixed, float(least), 60)
    space = {
        "kind": hpjax.Choice(["bowl", "camel", "rose"]),
        "bowl_x": hpjax.Uniform(-4.0, 4.0).when("kind", "bowl"),
        "camel_x": hpjax.Uniform(-3.0, 3.0).when("kind", "camel"),
        "camel_y": hpjax.Uniform(-2.0, 2.0).when("kind", "camel"),
        **{f"rose_{n}": hpjax.Uniform(-2.0, 2.0).when("kind", "rose") for n in "xyz"},
    }
    found["conditional"] = Problem(space, conditional, 0.0, 70)
    return found


def with_noise(problem: Problem, share: float = 0.1) -> Problem:
    """A function seen with normal noise, whose standard deviation is this share of the losses' own interquartile range."""
    space = hpjax.Space(problem.space)
    points = space.decode(np.random.default_rng(0).random((1000, len(space.dims))))
    level = share * float(np.subtract(*np.quantile(problem.loss(points), [0.75, 0.25])))

    def observed(point: Any, rng: np.random.Generator) -> np.ndarray:
        loss = np.asarray(problem.loss(point), float)
        return loss + level * rng.standard_normal(len(loss))

    return problem._replace(observed=observed)


class Seen(NamedTuple):
    """What evaluations with noise were of."""

    points: list[tuple]  # [n] values, by name; None where one is inactive
    truths: list[float]  # [n] without noise


def watched(problem: Problem, seed: int) -> tuple[Problem, Seen]:
    """The problem with its noisy losses in place of the true ones, and what it was asked, as it comes."""
    assert problem.observed is not None
    observed, rng, seen = problem.observed, np.random.default_rng(seed), Seen([], [])

    def loss(point: Any) -> np.ndarray:
        columns = (np.asarray(point[name]).tolist() for name in sorted(point))
        # NaN is not equal to itself
        seen.points.extend(tuple(v if v == v else None for v in row) for row in zip(*columns))
        seen.truths.extend(np.asarray(problem.loss(point), float).tolist())
        return observed(point, rng)

    return problem._replace(loss=loss), seen


def best_by_mean(observed: np.ndarray, seen: Seen) -> np.ndarray:
    """The true losses [n] of the point that looks best after each evaluation: the lowest mean of what was observed of it; the first of equals."""
    means: dict[tuple, tuple[float, int]] = {}  # point -> mean, how often
    true = dict(zip(seen.points, seen.truths))
    found = np.empty(len(observed))
    for at, (loss, point) in enumerate(zip(observed.tolist(), seen.points)):
        mean, count = means.get(point, (0.0, 0))
        means[point] = mean + (loss - mean) / (count + 1), count + 1
        found[at] = true[min(means, key=lambda one: means[one][0])]
    return found


def stored_file(name: str, what: str, folder: Path | None) -> Path:
    """A stored file.

    Raises:
        ValueError: it is not there; says `what` it holds.
    """
    folder = Path(folder or os.environ.get("HPJAX_DATA", ""))
    if not (folder / name).is_file():
        raise ValueError(f"{name} ({what}) is not in {folder or 'HPJAX_DATA'}; give --data DIR")
    return folder / name


def stored_table(
    name: str, folder: Path | None, seeds: bool = False
) -> tuple[np.ndarray, dict[str, list]]:
    """A published table: validation errors over the grid, the mean of its seeds or with the seeds last; and the grid's axes.

    Raises:
        ValueError: a table that is not there, by its name.
    """
    what = "validation errors of 62,208 networks"
    with np.load(stored_file(f"fcnet_{name}_table.npz", what, folder)) as saved:
        loss = saved["valid_mse"].astype(float)
        return loss if seeds else loss.mean(-1), {
            axis: saved[axis].tolist() for axis in saved if axis != "valid_mse"
        }


def hpobench_table(name: str, folder: Path | None) -> tuple[np.ndarray, dict[str, list]]:
    """One of HPOBench's MLP tables: validation errors [10 10 3 10 10], the mean of five seeds; and the grid's axes.

    Raises:
        ValueError: a table that is not there, by its name.
    """
    arrays = hpobench_arrays(name, folder)
    axes = {a: arrays[a].tolist() for a in arrays if a not in ("val_acc", "train_time")}
    return 1 - arrays["val_acc"].astype(float).mean(-1), axes


def hpobench_arrays(name: str, folder: Path | None) -> dict[str, np.ndarray]:
    """One of HPOBench's MLP tables as it was published: accuracies `val_acc` [10 10 3 10 10 5], `train_time` in seconds, and its axes.

    Raises:
        ValueError: a table that is not there, by its name.
    """
    what = "validation accuracies of 30,000 networks"
    with np.load(stored_file(f"hpobench_mlp_{name}.npz", what, folder)) as saved:
        return dict(saved)


def tables(folder: Path | None, noise: bool = False) -> dict[str, Problem]:
    """The two tables of 62,208 networks each: the mean of four seeds; with noise one of these at each evaluation.

    Raises:
        ValueError: a table that is not there, by its name.
    """
    found = {}
    for name in ("protein", "naval"):
        seeds, axes = stored_table(name, folder, seeds=True)
        loss = seeds.mean(-1)
        named = ("activation_1", "activation_2", "schedule")
        space = {
            axis: hpjax.Choice(values) if axis in named else hpjax.IntUniform(0, len(values) - 1)
            for axis, values in axes.items()
        }

        def place(point: Any, axes: Any = axes, named: Any = named) -> tuple[np.ndarray, ...]:
            return tuple(
                np.array([axes[a].index(v) for v in point[a]])
                if a in named
                else np.asarray(point[a], int)
                for a in axes
            )

        def look_up(point: Any, loss: np.ndarray = loss, place: Any = place) -> np.ndarray:
            return loss[place(point)]

        def one_seed(
            point: Any, rng: np.random.Generator, seeds: np.ndarray = seeds, place: Any = place
        ) -> np.ndarray:
            found = seeds[place(point)]
            return found[np.arange(len(found)), rng.integers(seeds.shape[-1], size=len(found))]

        observed = one_seed if noise else None
        found[f"FCNet {name}"] = Problem(space, look_up, float(loss.min()), 100, observed)
    return found
