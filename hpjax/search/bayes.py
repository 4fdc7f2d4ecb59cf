"""Bayesian optimization: a Gaussian process of the loss, and the point of highest expected improvement.

Jones, Schonlau & Welch 1998, Efficient Global Optimization; log EI: Ament et al. 2023, Unexpected Improvements to Expected
Improvement for Bayesian Optimization; batches by the constant liar: Ginsbourger, Le Riche & Carraro 2010.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.search import process
from hpjax.search.base import Dim, Searcher, active, center, generator, snap
from hpjax.search.history import (
    History,
    distinct,
    empty,
    evidence,
    handed,
    remember,
    taken,
    waiting,
)
from hpjax.search.process import Process
from hpjax.search.sobol import sobol

SCATTER = 1024  # points all over the cube at which EI is looked at first
AROUND = 64  # and around each of the best points seen
PEAKS = 6  # of them, from which it climbs
MOST = 400  # points that a process is made of: the best half, and the latest


class State(NamedTuple):
    """What was seen, the hyperparameters fitted last, and what the last ask did."""

    history: History
    theta: np.ndarray | None  # [F + 2]
    fitted: int  # points that they were fitted to
    hint: list | None  # hyperparameters that the ledger has for the next ask
    first: tuple  # of the Sobol points
    note: dict


def bayes(dims: tuple[Dim, ...], startup: int | None = None, batch: int = 4) -> Searcher:
    """Points of highest expected improvement.

    Args:
        dims: the dimensions of the space, D of them.
        startup: Sobol points first; 2 D, at least 4 and at most 10, where None.
        batch: points a round; the more, the less each knows of the others' losses.

    Returns:
        A Searcher. It models the highest fidelity that has enough points. Points that are out, and those proposed before in
        the same batch, count as if they had the mean that the process predicts. The ledger has the fitted hyperparameters,
        and every fallback with its reason.
    """
    width = len(dims)
    startup = min(max(4, 2 * width), 10) if startup is None else startup
    opening = sobol(dims)

    def ask(state, key, n, fidelity):
        rng, history = generator(key), state.history
        rows = evidence(history, startup)
        finite = np.isfinite(history.loss[rows])
        first, note = state.first, {}
        theta, fitted = state.theta, state.fitted
        unit = np.zeros((0, width))
        if not width or len(rows) < startup or finite.sum() < 2:
            unit, first = opening.ask(state.first, key, n, fidelity)
        else:
            rows = _chosen(history.loss, rows)
            try:
                theta, fitted, model, note = _model(state, dims, rows)
                unit = _batch(model, dims, history, rows, rng, n)
            except np.linalg.LinAlgError as fault:
                unit = rng.random((n, width))
                note = {"fallback": f"random points: {fault}"}
        unit, replaced = distinct(unit, taken(history, dims), dims, rng)
        note |= {"replaced": replaced} if replaced else {}
        return unit, State(handed(history, unit), theta, fitted, None, first, note)

    def tell(state, told):
        told = told._replace(unit=snap(told.unit, dims))
        return state._replace(history=remember(state.history, told))

    return Searcher(
        init=lambda key: State(empty(dims), None, 0, None, opening.init(key), {}),
        ask=ask,
        tell=tell,
        batch=batch,
        note=lambda state: state.note,
        hint=lambda state, note: state._replace(hint=note.get("theta")),
    )


class Step(NamedTuple):
    """What the search saw, and thought, when it proposed a batch."""

    seen: np.ndarray  # [n D]
    value: np.ndarray  # [n] losses as the process saw them: standardised, long tails drawn in
    mean: np.ndarray  # [p] of the process at the places asked for
    deviation: np.ndarray  # [p]
    log_ei: np.ndarray  # [p]
    proposed: np.ndarray  # [m D]


def step(records: list[dict], dims: tuple[Dim, ...], number: int, places: np.ndarray) -> Step:
    """A step of a recorded study, made again from the hyperparameters in its ledger: nothing is fitted.

    Args:
        records: of the ledger of a study of full fidelity.
        dims: of its space, D of them.
        number: of the ask, from 0.
        places: [p D] where the process is wanted.

    Raises:
        ValueError: an ask that was not made by a process (the first ones are Sobol points).
    """
    asked, units, losses, theta = 0, {}, {}, None
    for record in records:
        if record["kind"] == "ask":
            theta = record.get("note", {}).get("theta", theta)
            points = np.array(record["unit"], float).reshape(-1, len(dims))
            if asked == number:
                break
            asked += 1
            units |= dict(enumerate(points, record["first"]))
        elif record["kind"] == "report":
            losses |= dict(zip(record["trial"], record["loss"]))
    else:
        raise ValueError(f"the ledger has {asked} asks; number {number} is none of them")
    if theta is None:
        raise ValueError(f"ask {number} was made before there was a process; choose a later one")
    told = [trial for trial in losses if trial in units]
    seen = snap(np.array([units[trial] for trial in told]), dims)
    loss = np.array([np.inf if losses[trial] is None else losses[trial] for trial in told], float)
    kept = _chosen(loss, np.arange(len(loss)))
    features, owner = process.encode(seen[kept], dims)
    value = process.standardised(loss[kept])
    model = Model(process.condition(features, value, np.array(theta)), value, owner)
    mean, deviation, _, _ = process.posterior(model.process, process.encode(places, dims)[0])
    height = log_ei(mean, deviation, model.best)[0]
    return Step(seen[kept], value, mean, deviation, height, points)


def _chosen(loss: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows that the process is made of: all while they are few, else the best half of MOST and the latest."""
    if len(rows) <= MOST:
        return rows
    best = np.argsort(loss[rows], kind="stable")[: MOST // 2]
    rest = np.setdiff1d(np.arange(len(rows)), best)[-MOST // 2 :]
    return rows[np.sort(np.concatenate([best, rest]))]


class Model(NamedTuple):
    """The process, its losses, and the lowest of them."""

    process: Process
    value: np.ndarray  # [n]
    owner: np.ndarray  # [F] which dimension each feature belongs to

    @property
    def best(self) -> float:
        """The lowest loss, as the process sees it."""
        return float(self.value.min())


def _model(state: State, dims, rows) -> tuple[np.ndarray, int, Model, dict]:
    """The process of some rows; hyperparameters are fitted when a twentieth of the points are new, and never on replay."""
    features, owner = process.encode(state.history.unit[rows], dims)
    value = process.standardised(state.history.loss[rows])
    count, theta, fitted, note = state.history.count, state.theta, state.fitted, {}
    if state.hint is not None:
        theta, fitted = np.array(state.hint), count
    elif theta is None or count >= max(fitted + 1, fitted * 1.05):
        start = process.default(features.shape[1])
        starts = [start] if theta is None else [theta] if len(rows) > 60 else [theta, start]
        theta = process.fit(features, value, starts, steps=60 if len(rows) < 150 else 10)
        fitted = count
    if fitted == count:
        note = {"theta": theta.tolist()}
    model = Model(process.condition(features, value, theta), value, owner)
    if model.process.jitter > process.JITTERS[0]:
        note |= {
            "fallback": f"{model.process.jitter:g} on the diagonal: the covariance was singular"
        }
    if len(rows) < len(state.history.loss[: state.history.count]):
        note |= {"modelled": len(rows)}
    return theta, fitted, model, note


def _batch(model: Model, dims, history: History, rows, rng, n: int) -> np.ndarray:
    """Points [n D], each of highest EI when those before it, and those that are out, had their predicted means."""
    lies = [*waiting(history)]
    known = history.unit[rows]
    order = np.argsort(model.value, kind="stable")
    unit = np.zeros((0, known.shape[1]))
    for lie in lies:
        model = _believe(model, dims, lie)
    for _ in range(n):
        point = _peak(model, dims, known[order[:5]], rng)
        unit = np.concatenate([unit, point[None]])
        if len(unit) < n:
            model = _believe(model, dims, point)
    return unit


def _believe(model: Model, dims, point: np.ndarray) -> Model:
    """The model as if a point had the loss that it predicts."""
    features, _ = process.encode(point[None], dims)
    mean, *_ = process.posterior(model.process, features)
    features = np.concatenate([model.process.features, features])
    value = np.append(model.value, mean)
    return model._replace(
        process=process.condition(features, value, model.process.theta), value=value
    )


def _peak(model: Model, dims, best: np.ndarray, rng) -> np.ndarray:
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
    for _ in range(2):  # neighbours by one level
        at = int(np.argmax(height))
        around = _neighbours(top[at], dims)
        if not len(around):
            break
        level_heights = _height(model, around, dims)
        if level_heights.max() <= height[at]:
            break
        top, height = _climb(model, around[[int(np.argmax(level_heights))]], dims)
    return top[int(np.argmax(height))]


def _height(model: Model, unit: np.ndarray, dims) -> np.ndarray:
    """Log EI [m] at points."""
    features, _ = process.encode(unit, dims)
    mean, deviation, _, _ = process.posterior(model.process, features)
    return log_ei(mean, deviation, model.best)[0]


def log_ei(mean, deviation, best) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _climb(model: Model, unit: np.ndarray, dims) -> tuple[np.ndarray, np.ndarray]:
    """Points [p D] moved to local peaks of EI along their active continuous dimensions, and log EI there [p]."""
    from scipy import optimize

    free = np.array([dim.kind == "continuous" for dim in dims]) & active(unit, dims)
    if not free.any():
        return unit, _height(model, unit, dims)
    at = {int(d): f for f, d in enumerate(model.owner)}  # a continuous dimension's only feature
    columns = np.array([at[i] for i in range(len(dims))])

    def negative(moved):
        points = unit.copy()
        points[free] = moved
        features, _ = process.encode(points, dims)
        mean, deviation, by_mean, by_deviation = process.posterior(model.process, features, True)
        height, mean_slope, deviation_slope = log_ei(mean, deviation, model.best)
        slope = mean_slope[:, None] * by_mean + deviation_slope[:, None] * by_deviation
        return -height.sum(), -slope[:, columns][free]

    found = optimize.minimize(
        negative, unit[free], jac=True, method="L-BFGS-B", bounds=[(0, 1)] * int(free.sum()),
        options={"maxiter": 50},
    )  # fmt: skip
    points = unit.copy()
    points[free] = found.x
    before, after = _height(model, unit, dims), _height(model, points, dims)
    better = after > before
    return np.where(better[:, None], points, unit), np.where(better, after, before)


def _neighbours(point: np.ndarray, dims) -> np.ndarray:
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
