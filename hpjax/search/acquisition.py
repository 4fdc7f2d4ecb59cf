"""Expected improvement: its logarithm, and the point of the cube where it peaks.

Ament et al. 2023, Unexpected Improvements to Expected Improvement for Bayesian Optimization (log EI).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hpjax.search import gaussian_process
from hpjax.search.base import Dim, active, center, snap
from hpjax.search.gaussian_process import Layout, Process
from hpjax.search.history import among

SCATTER = 1024  # points all over the cube at which EI is looked at first
AROUND = 64  # and around each of the best points seen
PEAKS = 6  # of them, from which it climbs
STEPS = 8  # from level to level, at most


class Model(NamedTuple):
    """The process, its objectives, and the lowest of them."""

    process: Process
    value: np.ndarray  # [n]
    layout: Layout  # of its features
    taken: set[bytes]  # points of a finite space that are not asked for again

    @property
    def best(self) -> float:
        """The lowest objective, as the process sees it."""
        return float(self.value.min())


def believe(model: Model, dims: tuple[Dim, ...], point: np.ndarray) -> Model:
    """The model as if a point had the objective that it predicts."""
    features = gaussian_process.encode(point[None], dims)
    mean, _ = gaussian_process.posterior(model.process, features)
    features = np.concatenate([model.process.features, features])
    value = np.append(model.value, mean)
    theta, scale = model.process.theta, model.layout.scale
    return model._replace(
        process=gaussian_process.condition(features, value, theta, scale),
        value=value,
        taken=model.taken and model.taken | {snap(point[None], dims)[0].tobytes()},
    )


def peak(
    model: Model, dims: tuple[Dim, ...], best: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The point [D] of highest EI: looked for all over, around the best points [b D], then by climbing from the highest."""
    width = len(dims)
    spread = 10 ** rng.uniform(-2.5, -0.5, (len(best), AROUND, 1))
    moved = best[:, None] + spread * rng.standard_normal((len(best), AROUND, width))
    some = rng.random(moved.shape) < rng.uniform(0, 1, (len(best), AROUND, 1))
    some[..., 0] |= ~some.any(-1)
    drawn = rng.random(moved.shape)
    discrete = np.array([dim.kind != "continuous" for dim in dims])
    jump = discrete & (rng.random(moved.shape) < 0.5)  # a level may be far
    near = np.where(some, np.where(jump, drawn, np.clip(moved, 0, 1)), best[:, None])
    points = snap(np.concatenate([rng.random((SCATTER, width)), near.reshape(-1, width)]), dims)
    height = _height(model, points, dims)
    top = points[np.argsort(-height, kind="stable")[:PEAKS]]
    top, height = _climb(model, top, dims)
    if all(dim.kind == "continuous" for dim in dims):
        return top[int(np.argmax(height))]
    moving = np.arange(len(top))
    for _ in range(STEPS):  # to the best neighbour by one level, each peak for itself
        around = [_neighbours(top[at], dims) for at in moving]
        heights = _height(model, np.concatenate(around), dims)
        ends = np.cumsum([len(each) for each in around])
        higher = []
        for at, each, own in zip(moving, around, np.split(heights, ends[:-1])):
            if len(each) and own.max() > height[at]:
                top[at], height[at] = each[int(np.argmax(own))], own.max()
                higher.append(at)
        moving = np.array(higher, int)
        if not len(moving):
            break
    return _climb(model, top[[int(np.argmax(height))]], dims)[0][0]


def _height(model: Model, unit: np.ndarray, dims: tuple[Dim, ...]) -> np.ndarray:
    """Log EI [m] at points; none where they were asked for before."""
    features = gaussian_process.encode(unit, dims)
    mean, deviation = gaussian_process.posterior(model.process, features)
    height = log_ei(mean, deviation, model.best)[0]
    return np.where(among(unit, model.taken), -np.inf, height)


def log_ei(
    mean: np.ndarray, deviation: np.ndarray, best: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log of expected improvement below `best` under normals, and its derivatives by mean and by deviation.

    EI = s h(z), z = (best - mean) / s, h(z) = phi(z) + z Phi(z); dEI/dmean = -Phi(z), dEI/ds = phi(z).
    """
    from scipy.special import erfcx, log_ndtr

    z = (best - mean) / deviation
    half_log = 0.5 * np.log(2 * np.pi)
    log_phi = -0.5 * z * z - half_log
    low = np.minimum(z, -1.0)
    # h = phi (1 - |z| Phi/phi), with Phi/phi = sqrt(pi/2) erfcx(|z|/sqrt 2); 1/z^2 where that cancels
    ratio = -low * np.sqrt(np.pi / 2) * erfcx(-low / np.sqrt(2))
    tail = np.where(low < -1e4, -2 * np.log(-low), np.log(np.maximum(1 - ratio, 1e-300)))
    high = np.maximum(z, -1.0)
    body = np.exp(-0.5 * high * high - half_log) + high * np.exp(log_ndtr(high))
    log_h = np.where(z < -1, log_phi + tail, np.log(np.maximum(body, 1e-300)))
    by_mean = -np.exp(log_ndtr(z) - log_h) / deviation
    by_deviation = np.exp(log_phi - log_h) / deviation
    return log_h + np.log(deviation), by_mean, by_deviation


def _climb(model: Model, unit: np.ndarray, dims: tuple[Dim, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Points [p D] moved to local peaks of EI along their active continuous dimensions, and log EI there [p]."""
    from scipy import optimize

    free = np.array([dim.kind == "continuous" for dim in dims]) & active(unit, dims)
    if not free.any():
        return unit, _height(model, unit, dims)
    # the last feature of each dimension: a continuous one has no other
    columns = np.searchsorted(model.layout.owner, np.arange(len(dims)), side="right") - 1

    def negative(moved: np.ndarray):
        points = unit.copy()
        points[free] = moved
        features = gaussian_process.encode(points, dims)
        mean, deviation, by_mean, by_deviation = gaussian_process.posterior_gradients(
            model.process, features
        )
        height, mean_slope, deviation_slope = log_ei(mean, deviation, model.best)
        slope = mean_slope[:, None] * by_mean + deviation_slope[:, None] * by_deviation
        return -height.sum(), -slope[:, columns][free]

    found = optimize.minimize(
        negative,
        unit[free],
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, 1)] * int(free.sum()),
        options={"maxiter": 50, "ftol": 1e-5},
    )
    points = unit.copy()
    points[free] = found.x
    before, after = _height(model, unit, dims), _height(model, points, dims)
    better = after > before
    return np.where(better[:, None], points, unit), np.where(better, after, before)


def _neighbours(point: np.ndarray, dims: tuple[Dim, ...]) -> np.ndarray:
    """Points [m D] that differ in one level: the next ones of an integer, all of a choice."""
    found = []
    for i, dim in enumerate(dims):
        if dim.kind == "continuous":
            continue
        own = int(np.argmin(np.abs(center(np.arange(dim.levels), dim) - point[i])))
        others = range(dim.levels) if dim.kind == "categorical" else (own - 1, own + 1)
        for other in others:
            if other != own and 0 <= other < dim.levels:
                moved = point.copy()
                moved[i] = center(other, dim)
                found.append(moved)
    return snap(np.array(found).reshape(-1, len(dims)), dims)
