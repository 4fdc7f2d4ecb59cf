"""Gradient descent from many starts at once: every start takes a step along -d objective / d point, round after round.

The gradients are those of training itself (Maclaurin, Duvenaud & Adams 2015; Franceschi et al. 2017), asked of whoever carries
out the orders. Steps are Adam's (Kingma & Ba 2015) or of signs that halve when they flip (Micaelli & Storkey 2021), on clipped
gradients, within a trust region, and are taken back where they made things worse. A start that diverges is rescued: back to its
last good point with half the step, or drawn anew where it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hpjax.checks import one_of
from hpjax.randomness import generator
from hpjax.search.base import Dim, Key, Observations, Searcher
from hpjax.search.sobol import sobol

RULES = ("adam", "sign")
LEAST = 1 / 32  # a start whose steps shrank below this part of the first one has converged
BETA1, BETA2, EPS = 0.9, 0.99, 1e-8
GROW, SHRINK = 1.3, 0.5  # of a step that was accepted, and of one that was not


class Start(NamedTuple):
    """One descent."""

    unit: np.ndarray  # [D] the best point so far
    objective: float  # there; infinite before the first
    mean: np.ndarray  # [D] Adam's first moment
    square: np.ndarray  # [D] second moment
    sign: np.ndarray  # [D] of the last gradient
    size: np.ndarray  # [D] part of the full step
    move: np.ndarray  # [D] the step that was last tried
    steps: int  # accepted


class Rule(NamedTuple):
    """How a descent takes its steps; as `gradient` has them."""

    name: str
    rate: float
    clip: float
    trust: float
    accept: bool
    moving: np.ndarray  # [D] bool: the dimensions that move


class State(NamedTuple):
    """All descents."""

    starts: tuple[Start, ...]
    ready: tuple[tuple[int, np.ndarray], ...]  # (start, point [D]) to be asked next
    out: dict[int, tuple[int, np.ndarray]]  # trial -> (start, point) in flight
    asked: int
    drawn: int  # points drawn from the space, restarts included
    fresh: object  # state of the search that draws them
    note: dict  # what happened in the last report: rescued, restarted
    key: tuple  # names the draws of restarts


def gradient(
    dims: tuple[Dim, ...],
    starts: int = 16,
    first: Callable[[tuple[Dim, ...]], Searcher] = sobol,
    rule: str = "adam",
    rate: float = 0.05,
    clip: float = 10.0,
    trust: float = 0.1,
    accept: bool = True,
) -> Searcher:
    """Descends along the gradients that it is told, from many starts at once.

    Only continuous dimensions move; whole numbers and choices stay what they were where a descent began. A descent whose
    steps have become small begins anew elsewhere.

    Args:
        dims: the dimensions of the space, D of them.
        starts: how many descents go on side by side.
        first: makes the search that draws where they begin.
        rule: "adam" or "sign".
        rate: first step, as a part of each dimension's range.
        clip: largest norm of a gradient (Wu et al. 2018).
        trust: longest step in any dimension, as a part of its range.
        accept: whether a step that made things worse is taken back; False where every round has fresh randomness.

    Returns:
        A Searcher that wants gradients.

    Raises:
        ValueError: no continuous dimension, or a setting out of bounds.

    Example:
        >>> from hpjax.search.base import Observations
        >>> search = gradient((Dim("continuous"),), starts=1)
        >>> state = search.init((0,))
        >>> best = np.inf
        >>> for trial in range(40):
        ...     unit, state = search.ask(state, (0, trial), 1, 1)
        ...     observations = Observations(np.array([trial]), unit, (unit - 0.3) ** 2, np.ones(1), np.ones(1, bool), 2 * (unit - 0.3))
        ...     state, best = search.tell(state, observations), min(best, observations.objective[0])
        >>> bool(best < 1e-4)
        True
    """
    moving = np.array([dim.kind == "continuous" and not dim.structural for dim in dims], bool)
    if not moving.any():
        raise ValueError("search gradient needs at least one continuous range; use another search")
    one_of("rule", rule, RULES)
    if starts < 1 or not 0 < rate <= trust or clip <= 0:
        raise ValueError(
            f"gradient needs starts >= 1, 0 < rate <= trust and clip > 0, got {starts}, {rate}, {trust} and {clip}"
        )
    draws = first(dims)
    width = len(dims)
    descent = Rule(rule, rate, clip, trust, accept, moving)

    def ask(state: State, key: Key, n: int, fidelity: int):
        ready, fresh, drawn = list(state.ready), state.fresh, state.drawn
        begin = min(starts - len(state.starts), max(0, n - len(ready)))
        descents = list(state.starts)
        if begin > 0:
            units, fresh = draws.ask(fresh, (*key, drawn), begin, fidelity)
            for unit in units:
                ready.append((len(descents), unit))
                descents.append(_begun(unit))
            drawn += len(units)
        # the best go on where not all can
        ready.sort(key=lambda pair: (descents[pair[0]].objective, pair[0]))
        now, later = ready[:n], ready[n:]
        numbers = range(state.asked, state.asked + len(now))
        unit = np.array([point for _, point in now]).reshape(len(now), width)
        return unit, state._replace(
            starts=tuple(descents),
            ready=tuple(later),
            out=state.out | dict(zip(numbers, now)),
            asked=state.asked + len(now),
            drawn=drawn,
            fresh=fresh,
        )

    def tell(state: State, observations: Observations):
        if observations.grad is None:
            raise ValueError(
                "search gradient was told no gradients; give minimize(..., gradient=...) or tune networks"
            )
        descents, out, ready = list(state.starts), dict(state.out), list(state.ready)
        note: dict[str, int] = {}
        drawn = state.drawn
        for trial, unit, objective, slope in zip(
            observations.trial.tolist(),
            observations.unit,
            observations.objective,
            observations.grad,
        ):
            number, _ = out.pop(trial, (None, None))
            if number is None:  # given to look at first: a start of its own
                number = len(descents)
                descents.append(_begun(np.array(unit)))
            start, point, event = _followed(
                descents[number], np.array(unit), float(objective), slope, descent
            )
            if event:
                note[event] = note.get(event, 0) + 1
            if point is None:
                point = generator((*state.key, drawn)).random(width)
                start, drawn = _begun(point), drawn + 1
            descents[number] = start
            ready.append((number, point))
        return state._replace(
            starts=tuple(descents), ready=tuple(ready), out=out, note=note, drawn=drawn
        )

    return Searcher(
        init=lambda key: State((), (), {}, 0, 0, draws.init(key), {}, tuple(key)),
        ask=ask,
        tell=tell,
        wants_grad=True,
        batch=starts,
        note=lambda state: dict(state.note),
    )


def _begun(unit: np.ndarray) -> Start:
    """A descent that has not been evaluated yet."""
    zero = np.zeros(len(unit))
    return Start(unit, np.inf, zero, zero, zero, np.ones(len(unit)), zero, 0)


def _followed(
    start: Start, unit: np.ndarray, objective: float, slope: np.ndarray, rule: Rule
) -> tuple[Start, np.ndarray | None, str]:
    """A descent after one more evaluation: itself, its next point (None: draw another), and what happened to it."""
    slope = np.where(rule.moving, slope, 0.0)
    good = bool(np.isfinite(objective) and np.isfinite(slope).all())
    if not good and not np.isfinite(start.objective):
        return start, None, "rescued"
    if good and (objective <= start.objective or not rule.accept):
        start = _stepped(start, unit, objective, slope, rule)
    else:  # back, with half the step
        start = start._replace(size=SHRINK * start.size, move=SHRINK * start.move)
    point = np.clip(start.unit + start.move, 0, 1)
    still = np.abs(point - start.unit)[rule.moving].max() < LEAST * rule.rate * 0.1
    if start.size[rule.moving].max() < LEAST or still:
        return start, None, "restarted"
    return start, point, "" if good else "rescued"


def _stepped(
    start: Start, unit: np.ndarray, objective: float, slope: np.ndarray, rule: Rule
) -> Start:
    """A descent whose last step was accepted, with the next one, by Adam or by signs."""
    norm = float(np.linalg.norm(slope))
    slope = slope * min(1.0, rule.clip / norm) if norm > 0 else slope
    mean = BETA1 * start.mean + (1 - BETA1) * slope
    square = BETA2 * start.square + (1 - BETA2) * slope**2
    steps, sign = start.steps + 1, np.sign(slope)
    if rule.name == "adam":
        size = np.minimum(1.0, GROW * start.size)
        root = np.sqrt(square / (1 - BETA2**steps)) + EPS
        move = -rule.rate * size * mean / (1 - BETA1**steps) / root
    else:
        size = np.where(sign * start.sign < 0, SHRINK * start.size, start.size)
        move = -rule.rate * size * sign
    move = np.clip(move, -rule.trust, rule.trust)
    return Start(unit, objective, mean, square, sign, size, move, steps)
