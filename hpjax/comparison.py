"""What a comparison of methods found: tables, incumbents over cost, ranks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax import analysis, fronts, records
from hpjax.notebooks import shown
from hpjax.records import RunError
from hpjax.result import Result
from hpjax.schedulers import from_settings

if TYPE_CHECKING:
    import pandas


BEYOND = 1.1  # where a front's volume ends, its worst values being 1
GRID = 60  # places of the budget at which curves are compared


class Comparison:
    """What a comparison found.

    Attributes:
        names: of the methods.
        seeds: of the studies.
        studies: {method: [Result of each seed]}.
        folder: of the run folders, or None.
        population: the Population, where this process trained it.
    """

    def __init__(
        self,
        names: list[str],
        seeds: list[int],
        results: list[Result],
        folder: Path | None = None,
        population: Any = None,
    ):
        self.names, self.seeds, self.folder, self.population = (
            list(names),
            list(seeds),
            folder,
            population,
        )
        each = len(self.seeds)
        self.studies = {n: results[i * each : (i + 1) * each] for i, n in enumerate(self.names)}
        self.settings = results[0].settings
        self.objectives = list(results[0].objectives)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.names)} on {len(self.seeds)} seeds>"

    def _repr_html_(self) -> str:
        return shown(self, table=self.table)

    @functools.cached_property
    def budget(self) -> float:
        """Epochs at which studies are compared: their limit, or what the cheapest of them spent."""
        if not all(len(costs) for curves in self._incumbents.values() for costs, _ in curves):
            raise RunError(
                "a study of the comparison has not reported yet; go on with it first: hpjax resume"
            )
        limit = self.settings.stop.epochs
        spent = [
            self._incumbents[name][seed][0][-1]
            for name in self.names
            for seed in range(len(self.seeds))
        ]
        return float(limit) if limit is not None else float(min(spent))

    @property
    def label(self) -> str:
        """What the values are, for axes and titles."""
        if len(self.objectives) > 1:
            return f"share of the hypervolume of {' and '.join(self.objectives)} not covered"
        return f"best validation {self.settings.minimised}"

    @functools.cached_property
    def _incumbents(self) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
        """Per method and seed: epochs spent, and the best fully trained value by then."""
        if len(self.objectives) > 1:
            every = [one.table for results in self.studies.values() for one in results]
            seen = np.concatenate([one["objectives"][one["status"] == "OK"] for one in every])
            front = seen[fronts.front(seen)]
            return {
                name: [_uncovered(study, front) for study in results]
                for name, results in self.studies.items()
            }
        curves_of = {}
        for name, results in self.studies.items():
            curves = [records.incumbent(study.records, study.fidelity) for study in results]
            curves_of[name] = [(cost, full) for cost, _, full in curves]
        return curves_of

    @functools.cached_property
    def cost(self) -> np.ndarray:
        """Epochs [g] at which curves are given."""
        first = self.settings.fidelity or from_settings(self.settings.scheduler).fidelity
        return np.unique(np.round(np.geomspace(min(first, self.budget), self.budget, GRID)))

    @functools.cached_property
    def values(self) -> dict[str, np.ndarray]:
        """Per method: the best fully trained validation value by each cost, [seeds g]; NaN before the first.

        With several objectives: the share of a volume that the front of a study does not cover. The volume is that of the front of all studies
        together, from its best values to a tenth beyond its worst ones (of Ishibuchi et al. 2018, How to Specify a Reference Point in
        Hypervolume Calculation, the reference of a front of many points).
        """
        return {
            name: np.array([_finite(analysis.at_costs(*curve, self.cost)) for curve in curves])
            for name, curves in self._incumbents.items()
        }

    @functools.cached_property
    def final(self) -> np.ndarray:
        """The best value at the end of the budget, [seeds methods]; infinite where no network was fully trained."""
        ends = np.stack([self.values[name][:, -1] for name in self.names], 1)
        return np.where(np.isnan(ends), np.inf, ends)

    @functools.cached_property
    def ranks(self) -> dict[str, np.ndarray]:
        """Per method: mean rank over seeds by each cost [g]; a method without a fully trained network ranks last."""
        return analysis.rank_curves(self.values)

    @functools.cached_property
    def table(self) -> pandas.DataFrame:
        """A row per method: final value (median, quartiles), mean rank, trials, epochs, parameters of the best, seconds."""
        import pandas

        mean_ranks = analysis.ranks(self.final).mean(0)
        rows = {}
        for i, name in enumerate(self.names):
            results = self.studies[name]
            low, middle, high = analysis.quartiles(self.final[:, i])
            best = [
                study.trials.loc[study.best["trial"]]
                for study in results
                if study.best["trial"] is not None
            ]
            rows[name] = {
                "median": middle,
                "lower quartile": low,
                "upper quartile": high,
                "mean rank": mean_ranks[i],
                "trials": float(np.mean([len(study.trials) for study in results])),
                "epochs": float(np.mean([curve[0][-1] for curve in self._incumbents[name]])),
                "parameters of the best": float(np.median([row["parameters"] for row in best]))
                if best
                else np.nan,
                "seconds": float(np.mean([study.trials["seconds"].sum() for study in results])),
            }
        return pandas.DataFrame.from_dict(rows, orient="index")

    def speedup(self, name: str, over: str = "random") -> float:
        """How many times fewer epochs a method's median needs to reach another's final median; 0 where it never does."""
        goal = np.median(self.final[:, self.names.index(over)])
        reached = _median(self.values[name])
        own = _median(self.values[over])
        hit, base = np.flatnonzero(reached <= goal), np.flatnonzero(own <= goal)
        return float(self.cost[base[0]] / self.cost[hit[0]]) if len(hit) and len(base) else 0.0


def _uncovered(study: Result, goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Epochs spent after each trial, and the share of the volume of a front [m O] that the study's own does not cover by then."""
    count = goal.shape[1]
    best, worst = goal.min(0, initial=np.inf), goal.max(0, initial=-np.inf)
    spread = np.where(worst > best, worst - best, 1.0)
    front, costs, shares = np.zeros((0, count)), [], []
    for spent, points in records.costs_and_objectives(study.records, study.fidelity):
        for cost, point in zip(spent, points):
            costs.append(cost)
            if not np.isfinite(point).all():
                shares.append(shares[-1] if shares else np.inf)
                continue
            front = np.concatenate([front, (point[None] - best) / spread])
            front = front[fronts.front(front)]
            covered = fronts.hypervolume(front, np.full(count, BEYOND))
            shares.append(1 - covered / BEYOND**count)
    return np.array(costs, float), np.array(shares)


def _finite(values: np.ndarray) -> np.ndarray:
    """Infinities (nothing fully trained yet) as NaN."""
    return np.where(np.isfinite(values), values, np.nan)


def _median(values: np.ndarray) -> np.ndarray:
    """The median over seeds [g], infinite while more than half have no value."""
    return np.median(np.where(np.isnan(values), np.inf, values), axis=0)
