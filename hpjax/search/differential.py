"""Differential evolution: every target is challenged by the best plus a difference of two others.

Storn & Price 1997, Differential Evolution, strategies rand/1/bin and best/1/bin; with a subpopulation for every fidelity and
mutants bred from the fidelity below, Awad, Mallik & Hutter 2021, DEHB, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.checks import one_of
from hpjax.randomness import generator
from hpjax.search.base import Dim, Key, Observations, Searcher
from hpjax.search.history import History, distinct, empty, handed, remember, taken

FEWEST = 4  # targets to breed from
STRATEGIES = ("rand1", "best1", "current_to_best1")


class Team(NamedTuple):
    """Targets, and the fidelity that each was judged at."""

    unit: np.ndarray  # [p D]
    objective: np.ndarray  # [p]
    epochs: np.ndarray  # [p]
    turn: int  # which is challenged next

    def best(self, count: int) -> np.ndarray:
        """The best points [m D], ranked by epochs, then by objective."""
        return self.unit[np.lexsort((self.objective, -self.epochs))[:count]]

    def copied(self) -> Team:
        """One that may be written."""
        return Team(self.unit.copy(), self.objective.copy(), self.epochs.copy(), self.turn)

    def joined(self, unit: np.ndarray, objective: float, epochs: int) -> Team:
        """The team and one more target."""
        return Team(
            np.concatenate([self.unit, unit[None]]),
            np.append(self.objective, objective),
            np.append(self.epochs, epochs),
            self.turn,
        )

    def challenge(self, place: int, unit: np.ndarray, objective: float, epochs: int) -> None:
        """Writes a challenger in the place of its target (where that is not there, the worst), if it is no worse."""
        if not 0 <= place < len(self.objective):
            place = int(np.lexsort((self.objective, -self.epochs))[-1])
        no_worse = (epochs, -objective) >= (self.epochs[place], -self.objective[place])
        if no_worse or np.array_equal(self.unit[place], unit):
            self.unit[place], self.objective[place], self.epochs[place] = unit, objective, epochs


class State(NamedTuple):
    """Teams, one for each fidelity or one for all, and which target each challenger in flight is for."""

    teams: dict[int, Team]
    rivals: dict[int, tuple[int, int]]  # trial -> (team, target), target -1 for a newcomer
    history: History
    replaced: int


class Breeding(NamedTuple):
    """How a challenger is made, as `differential` has it."""

    strategy: str
    scale: tuple[float, float]
    crossover: float


def differential(
    dims: tuple[Dim, ...],
    population: int = 20,
    strategy: str = "best1",
    scale: tuple[float, float] = (0.5, 1.0),
    crossover: float = 0.7,
    per_fidelity: bool = False,
) -> Searcher:
    """Challengers for a population of targets; a challenger that is no worse takes its target's place.

    Args:
        dims: the dimensions of the space, D of them.
        population: targets of each fidelity; the first of the lowest fidelity are random.
        strategy: "rand1": base is a random point; "best1": the best; "current_to_best1": the target, moved towards the best.
        scale: F is drawn from this range, once per challenger (dither).
        crossover: probability that a coordinate comes from the mutant.
        per_fidelity: a team for every fidelity, as DEHB has them: one without targets takes the best points of the team below,
            and mutants are bred from there. Else one team, where more epochs rank before less, and then the lower objective.

    Returns:
        A Searcher.

    Raises:
        ValueError: fewer than four targets, or an unknown strategy.
    """
    if population < FEWEST:
        raise ValueError(f"differential needs a population of at least 4, got {population}")
    one_of("strategy", strategy, STRATEGIES)
    width, breeding = len(dims), Breeding(strategy, scale, crossover)
    nobody = Team(np.zeros((0, width)), np.zeros(0), np.zeros(0, np.int64), 0)

    def ask(state: State, key: Key, n: int, fidelity: int):
        rng = generator(key)
        fidelity = fidelity if per_fidelity else 0
        team = state.teams.get(fidelity, nobody)
        below = [f for f in state.teams if f < fidelity and len(state.teams[f].objective)]
        lower = state.teams[max(below)] if below else None
        coming = sum(f == fidelity for f, _ in state.rivals.values())
        first = _newcomers(population, team, lower, coming, n, rng)
        count = n - len(first)
        target = np.arange(team.turn, team.turn + count) % max(1, len(team.objective))
        bred = _challengers(breeding, team, lower, target, rng) if count else np.zeros((0, width))
        wanted = np.concatenate([first, bred])
        unit, replaced = distinct(wanted, taken(state.history, dims), dims, rng)
        numbers = range(state.history.asked, state.history.asked + len(unit))
        places = [-1] * len(first) + target.tolist()
        rivals = state.rivals | {t: (fidelity, place) for t, place in zip(numbers, places)}
        teams = state.teams | {fidelity: team._replace(turn=team.turn + count)}
        return unit, State(teams, rivals, handed(state.history, unit), replaced)

    def tell(state: State, observations: Observations):
        history = remember(state.history, observations)
        teams, rivals = dict(state.teams), dict(state.rivals)
        opened = set()
        for trial, unit, objective, epochs, finished in zip(
            observations.trial.tolist(),
            observations.unit,
            observations.objective.tolist(),
            observations.epochs.tolist(),
            observations.finished.tolist(),
        ):
            which = epochs if per_fidelity else 0
            at, place = rivals.get(trial, (which, -1))
            place = place if at == which else -1
            if finished:
                rivals.pop(trial, None)
            team = teams.get(which, nobody)
            if which not in opened:  # copied once a report, then written in place
                opened.add(which)
                team = team.copied()
            if place < 0 and len(team.objective) < population:
                # it joins under its number, to be judged again
                if not finished and not per_fidelity:
                    rivals[trial] = (which, len(team.objective))
                team = team.joined(unit, objective, epochs)
            else:
                team.challenge(place, unit, objective, epochs)
            teams[which] = team
        return State(teams, rivals, history, 0)

    return Searcher(
        init=lambda key: State({}, {}, empty(dims), 0),
        ask=ask,
        tell=tell,
        batch=population,
        note=lambda state: {"replaced": state.replaced} if state.replaced else {},
    )


def _newcomers(
    population: int,
    team: Team,
    lower: Team | None,
    coming: int,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Points [m D], m <= n, for the vacant places of a team, of which `coming` are under way: drawn, or the best from below."""
    size, width = len(team.objective), team.unit.shape[1]
    if lower is None:
        vacant = min(n, max(0, population - size - coming))
        first = rng.random((vacant, width))
    else:  # an empty team takes the best from below; then enough to breed
        known = {row.tobytes() for row in team.unit}
        ranked = lower.best(len(lower.objective))
        others = np.array([row for row in ranked if row.tobytes() not in known])
        vacant = n if not size else min(n, max(0, FEWEST - size - coming))
        first = others.reshape(-1, width)[:vacant]
    # nobody to breed from
    if not size or (lower is None and size < FEWEST):
        first = np.concatenate([first, rng.random((n - len(first), width))])
    return first


def _challengers(
    breeding: Breeding,
    team: Team,
    lower: Team | None,
    target: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Points [m D] that challenge these targets [m] of a team; their parents are of the team below, where there is one."""
    count, width = len(target), team.unit.shape[1]
    # drawn even where it is drawn again below: recorded runs replay with these numbers
    order = rng.random((count, len(team.unit)))
    pool = team.unit
    if lower is None:  # base and difference are of others than the target
        order[np.arange(count), target] = np.inf
    else:
        pool = lower.best(max(FEWEST, len(team.objective)))
        order = rng.random((count, len(pool)))
    picked = np.argsort(order, axis=1)[:, :3]
    a, b, c = (pool[picked[:, i % len(pool)]] for i in range(3))
    factor = rng.uniform(*breeding.scale, size=(count, 1))
    own, best = team.unit[target], team.best(1)[0]
    base = {
        "rand1": a,
        "best1": np.broadcast_to(best, a.shape),
        "current_to_best1": own + factor * (best - own),
    }
    mutant = base[breeding.strategy] + factor * (b - c)
    outside = (mutant < 0) | (mutant > 1)
    mutant = np.where(outside, rng.random(mutant.shape), mutant)
    cross = rng.random((count, width)) < breeding.crossover
    cross[np.arange(count), rng.integers(max(1, width), size=count)] = width > 0
    return np.where(cross, mutant, own)
