"""Bayesian optimization: a Gaussian process of the objective, and the point of highest expected improvement.

Jones, Schonlau & Welch 1998, Efficient Global Optimization; batches by the kriging believer: Ginsbourger, Le Riche & Carraro
2010, section 3. `gaussian_process` is the model, `acquisition` finds the point. With several objectives each point is of other weights,
drawn at random, of an augmented Tchebycheff sum of their ranks: Knowles 2006, ParEGO, section III.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hpjax.randomness import generator
from hpjax.search import gaussian_process
from hpjax.search.acquisition import Model, believe, log_ei, peak
from hpjax.search.base import Dim, Key, Observations, Searcher, snap
from hpjax.search.gaussian_process import Layout
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
from hpjax.search.sobol import sobol

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

TCHEBYCHEFF = 0.05  # of the sum of weighted objectives, beside the largest of them
MOST = 400  # points that a process is made of: the best half, and the latest


class Fitted(NamedTuple):
    """What was chosen by evidence."""

    warp: str  # of objectives
    theta: np.ndarray  # hyperparameters [L + 2], of L length scales

    @property
    def note(self) -> dict:
        """As the ledger has it."""
        return {"warp": self.warp, "theta": self.theta.tolist()}

    @classmethod
    def noted(cls, note: dict) -> Fitted | None:
        """What the ledger has, if it does; one of a version without warps has nothing that is of use."""
        return cls(note["warp"], np.array(note["theta"])) if "warp" in note else None


class State(NamedTuple):
    """What was seen, the model fitted last, and what the last ask did."""

    history: History
    model: Fitted | None
    fitted: int  # points that it was fitted to
    hint: Fitted | None  # what the ledger has for the next ask
    first: tuple  # of the Sobol points
    note: dict


def bayes(dims: tuple[Dim, ...], startup: int | None = None, batch: int = 4) -> Searcher:
    """Points of highest expected improvement.

    Args:
        dims: the dimensions of the space, D of them.
        startup: Sobol points first; 2 D, at least 4 and at most 10, where None.
        batch: points a round; the more, the less each knows of the others' objectives.

    Returns:
        A Searcher. It models the highest fidelity that has enough points. Points that are out, and those proposed before in
        the same batch, count as if they had the mean that the process predicts (the kriging believer). The ledger has the fitted hyperparameters,
        and every fallback with its reason.
    """
    width = len(dims)
    startup = _startup(dims, startup)
    opening = sobol(dims)

    def ask(state: State, key: Key, n: int, fidelity: int):
        rng, history = generator(key), state.history
        rows = evidence(history, startup)
        finite = np.isfinite(history.objectives[rows]).all(1)
        first, note = state.first, {}
        fit, fitted = state.model, state.fitted
        unit = np.zeros((0, width))
        if not width or len(rows) < startup or finite.sum() < 2:
            unit, first = opening.ask(state.first, key, n, fidelity)
        else:
            try:
                with _blas().limit(limits=1):
                    fit, fitted, unit, note = _proposed(state, dims, rows, rng, n)
            except np.linalg.LinAlgError as fault:
                unit = rng.random((n, width))
                note = {"fallback": f"random points: {fault}"}
        unit, replaced = distinct(unit, taken(history, dims), dims, rng)
        note |= {"replaced": replaced} if replaced else {}
        return unit, State(handed(history, unit), fit, fitted, None, first, note)

    def tell(state: State, observations: Observations):
        observations = observations._replace(unit=snap(observations.unit, dims))
        return state._replace(history=remember(state.history, observations))

    return Searcher(
        init=lambda key: State(empty(dims), None, 0, None, opening.init(key), {}),
        ask=ask,
        tell=tell,
        batch=batch,
        note=lambda state: state.note,
        hint=lambda state, note: state._replace(hint=Fitted.noted(note)),
        several=True,
    )


@functools.cache
def _blas() -> ThreadpoolController:
    """The libraries of linear algebra: on one thread, which is faster for matrices of this size, their sums do not depend on the cores."""
    import scipy.linalg  # noqa: F401  brings a library of its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


class Step(NamedTuple):
    """What the search saw, and thought, when it proposed a batch."""

    seen: np.ndarray  # [n D]
    value: np.ndarray  # [n] objectives as the process saw them: standardised, long tails drawn in
    mean: np.ndarray  # [p] of the process at the places asked for
    deviation: np.ndarray  # [p]
    log_ei: np.ndarray  # [p]
    proposed: np.ndarray  # [m D]


def explained(
    history: History,
    fit: Fitted,
    proposed: np.ndarray,
    dims: tuple[Dim, ...],
    places: np.ndarray,
    startup: int | None = None,
) -> Step:
    """A batch of points, explained by what was known: nothing is fitted.

    Args:
        history: all observations before it.
        fit: hyperparameters of the process, as the search noted them.
        proposed: [m D] the points.
        dims: of the space, D of them.
        places: [p D] where the process is wanted.
        startup: as the study's search was given it.
    """
    kept = _chosen(history.objective, evidence(history, _startup(dims, startup)))
    seen, objective = history.unit, history.objective
    features, layout = gaussian_process.encode(seen[kept], dims), gaussian_process.layout(dims)
    value, _ = gaussian_process.warped(objective[kept], fit.warp)
    process = gaussian_process.condition(features, value, fit.theta, layout.scale)
    model = Model(process, value, layout, set())
    mean, deviation = gaussian_process.posterior(process, gaussian_process.encode(places, dims))
    height = log_ei(mean, deviation, model.best)[0]
    return Step(seen[kept], value, mean, deviation, height, proposed)


def _startup(dims: tuple[Dim, ...], said: int | None) -> int:
    """Points before there is a process."""
    return min(max(4, 2 * len(dims)), 10) if said is None else said


def _chosen(objective: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows that the process is made of: all while they are few, else the best half of MOST and the latest."""
    if len(rows) <= MOST:
        return rows
    best = np.argsort(objective[rows], kind="stable")[: MOST // 2]
    rest = np.setdiff1d(np.arange(len(rows)), best)[-MOST // 2 :]
    return rows[np.sort(np.concatenate([best, rest]))]


def _proposed(
    state: State, dims: tuple[Dim, ...], rows: np.ndarray, rng: np.random.Generator, n: int
) -> tuple[Fitted | None, int, np.ndarray, dict]:
    """What was fitted, the points that it was fitted to, proposals [n D], and what the ledger is told."""
    history = state.history
    if history.objectives.shape[1] == 1:
        rows = _chosen(history.objective, rows)
        fit, fitted, model, note = _model(state, dims, rows)
        return fit, fitted, _batch(model, dims, [*waiting(history)], history, rows, rng, n), note
    unit, note = np.zeros((0, len(dims))), {}
    fit, fitted = state.model, state.fitted
    for _ in range(n):
        value = np.full(len(history.trial), np.inf)
        value[rows] = _weighted(history.objectives[rows], rng)
        one = state._replace(history=history._replace(objectives=value[:, None]))
        kept = _chosen(value, rows)
        fit, fitted, model, said = _model(one, dims, kept)
        lies = [*waiting(history), *unit]
        unit = np.concatenate([unit, _batch(model, dims, lies, one.history, kept, rng, 1)])
        note, state = said | note, state._replace(model=fit, fitted=fitted, hint=None)
    return fit, fitted, unit, note


def _weighted(objectives: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Objectives [n O] as one [n]: the largest of their weighted ranks, and a little of the sum; +inf where they are."""
    from scipy.stats import rankdata

    weights = rng.dirichlet(np.ones(objectives.shape[1]))
    finite = np.isfinite(objectives).all(1)
    found = np.full(len(objectives), np.inf)
    rank = weights * rankdata(objectives[finite], axis=0) / max(1, finite.sum())
    found[finite] = rank.max(1) + TCHEBYCHEFF * rank.sum(1)
    return found


def _model(
    state: State, dims: tuple[Dim, ...], rows: np.ndarray
) -> tuple[Fitted, int, Model, dict]:
    """The process of some rows; it is fitted when a twentieth of the points are new, and never on replay."""
    layout = gaussian_process.layout(dims)
    features = gaussian_process.encode(state.history.unit[rows], dims)
    objective = state.history.objective[rows]
    count, fit, fitted, note = state.history.count, state.model, state.fitted, {}
    if state.hint is not None:
        fit, fitted = state.hint, count
    elif fit is None or count >= max(fitted + 1, fitted * 1.05):
        fit, fitted = _fit(features, objective, fit, layout), count
    if fitted == count:
        note = fit.note
    value, _ = gaussian_process.warped(objective, fit.warp)
    process = gaussian_process.condition(features, value, fit.theta, layout.scale)
    model = Model(process, value, layout, taken(state.history, dims))
    if model.process.jitter > gaussian_process.JITTERS[0]:
        note |= {
            "fallback": f"{model.process.jitter:g} on the diagonal: the covariance was singular"
        }
    if len(rows) < len(state.history.objective[: state.history.count]):
        note |= {"modelled": len(rows)}
    return fit, fitted, model, note


def _fit(
    features: np.ndarray, objective: np.ndarray, before: Fitted | None, layout: Layout
) -> Fitted:
    """The warp of objectives [n] and the hyperparameters of highest posterior density."""
    start, few = gaussian_process.default(layout.scale[-1] + 1), len(objective) <= 60
    starts = [start] if before is None else [before.theta, start] if few else [before.theta]
    steps = 60 if len(objective) < 150 else 10
    found = {}
    for warp in gaussian_process.WARPS:
        value, slopes = gaussian_process.warped(objective, warp)
        theta, density = gaussian_process.fit(features, value, starts, steps, layout.scale)
        found[warp] = density + slopes, Fitted(warp, theta)
    return max(found.values(), key=lambda one: one[0])[1]


def _batch(
    model: Model,
    dims: tuple[Dim, ...],
    lies: list[np.ndarray],
    history: History,
    rows: np.ndarray,
    rng: np.random.Generator,
    n: int,
) -> np.ndarray:
    """Points [n D], each of highest EI when those before it, and those that are out, `lies` [D], had their predicted means."""
    known = history.unit[rows]
    order = np.argsort(model.value, kind="stable")
    unit = np.zeros((0, known.shape[1]))
    for lie in lies:
        model = believe(model, dims, lie)
    for _ in range(n):
        point = peak(model, dims, known[order[:5]], rng)
        unit = np.concatenate([unit, point[None]])
        if len(unit) < n:
            model = believe(model, dims, point)
    return unit
