"""How good are the searches on tables that nobody tuned them to, whatever way the axes are written down?

    HPJAX_DATA=... python -m experiments.unseen_tables
    python -m experiments.unseen_tables --plot results/unseen_tables

developed  the tables that the searches were developed on: FCNet's protein and naval (Klein & Hutter 2019), HPOBench's MLP tables of
           Australian and car (Eggensperger et al. 2021)
untouched  HPOBench's tables of credit-g and blood-transfusion, which nothing was looked at, tried or chosen on: run once, at the end

Every table is searched with its axes written in three ways. Ordered: numbers are whole numbers in order. Unordered: numbers are the
values of choices; our searches look at them, Optuna's take them for names. Mixed: every other axis of numbers is ordered, the rest are
choices of words, so that nobody knows more than the others. 100 evaluations, one at a time; the mean of the tables' seeds is the loss.
Judged by ranks after 25, 50 and 100, over all ways and without the unordered one.
"""

from __future__ import annotations

import dataclasses
import functools
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import hpjax
from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main
from experiments._objectives import Problem, hpobench_table, stored_table
from experiments._search_peers import installed

TABLES = {
    "developed": ("FCNet protein", "FCNet naval", "HPOBench australian", "HPOBench car"),
    "untouched": ("HPOBench credit_g", "HPOBench blood_transfusion"),
}
ENCODINGS = ("ordered", "unordered", "mixed")
METHODS = ("random", "bayes", "tpe", "Optuna TPE", "Optuna GP")
OURS, RIVALS = ("bayes", "tpe"), ("Optuna TPE", "Optuna GP")
BUDGETS = (25, 50, 100)


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    evaluations: int
    seeds: int
    tables: int = 4  # of each part, at most
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(12, 2, 1),
    "small": Parameters(100, 20),
    "paper": Parameters(100, 100),
}


def written(loss: np.ndarray, axes: Mapping[str, list], encoding: str) -> Problem:
    """A table as a problem whose axes are written in one of the three ways."""
    space: dict[str, Any] = {}
    numeric = [name for name, values in axes.items() if not isinstance(values[0], str)]
    for name, values in axes.items():
        words = encoding == "mixed" and name in numeric[1::2]
        if name not in numeric or encoding == "unordered":
            space[name] = hpjax.Choice(values)
        elif words:
            space[name] = hpjax.Choice([f"{name} {value}" for value in values])
        else:
            space[name] = hpjax.IntUniform(0, len(values) - 1)

    def looked_up(point: Any) -> np.ndarray:
        at = []
        for name, entry in space.items():
            known = {value: i for i, value in enumerate(getattr(entry, "values", ()))}
            at.append([known.get(value, value) if known else value for value in point[name]])
        return loss[tuple(np.array(at, int))]

    return Problem(space, looked_up, float(loss.min()), BUDGETS[-1])


def problems(part: str, parameters: Parameters) -> dict[str, Problem]:
    """The tables of a part, each in every way, by title."""
    found = {}
    for title in TABLES[part][: parameters.tables]:
        family, name = title.split()
        read = stored_table if family == "FCNet" else hpobench_table
        loss, axes = read(name, parameters.data)
        found |= {f"{title}, {encoding}": written(loss, axes, encoding) for encoding in ENCODINGS}
    return found


def raced(part: str, parameters: Parameters) -> dict[str, Any]:
    """Every contestant on every table, two seeds at a time: losses so far less the table's least, and seconds of a search."""
    from joblib import Parallel, delayed

    contestants, found = installed(METHODS), {}
    for title, problem in problems(part, parameters).items():
        found[title] = {}
        for name, play in contestants.items():
            both = Parallel(n_jobs=2)(
                delayed(_timed)(play, problem, parameters.evaluations, seed)
                for seed in range(parameters.seeds)
            )
            regret = [np.minimum.accumulate(losses) - problem.optimum for losses, _ in both]
            seconds = float(np.median([took for _, took in both]))
            shown = [[float(f"{v:.4g}") for v in np.maximum(one, 0)] for one in regret]
            found[title][name] = {"regret": shown, "seconds": round(seconds, 3)}
            ends = np.median(np.array(regret), 0)[[min(b, len(regret[0])) - 1 for b in BUDGETS]]
            print(title, name, *(f"{v:.3g}" for v in ends), f"{seconds:.2f} s", flush=True)
    return found


def _timed(play: Any, problem: Problem, count: int, seed: int) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peers
        losses = play(problem, count, seed, 1)
    return losses, time.perf_counter() - started


# --- figures and criteria -----------------------------------------------------------------------------------------------
def ranked(entry: Mapping[str, Any], evaluations: int) -> tuple[list[str], np.ndarray]:
    """Names of the contestants of one problem, and their ranks [seeds contestants] after so many evaluations."""
    from hpjax import analysis

    names = list(entry)
    regret = [[curve[:evaluations][-1] for curve in entry[name]["regret"]] for name in names]
    return names, analysis.ranks(np.array(regret).T)


def gap(found: Mapping[str, Any], one: str, other: str) -> tuple[float, float, float]:
    """Mean rank of one less that of another over all tables, ways and budgets, and its 95 % bootstrap interval over seeds.

    A seed is drawn again with all its ways and budgets: the ways share openings, and a smaller budget is the beginning of a larger one.
    """
    from hpjax import analysis

    gaps: dict[str, list[np.ndarray]] = {}
    for title, entry in found.items():
        for evaluations in BUDGETS:
            names, ranks = ranked(entry, evaluations)
            own = ranks[:, names.index(one)] - ranks[:, names.index(other)]
            gaps.setdefault(title.rsplit(", ", 1)[0], []).append(own)
    return analysis.bootstrap([np.mean(each, 0) for each in gaps.values()])


def worse_than_random(found: Mapping[str, Any], name: str) -> float:
    """The smallest one-sided p that a search is worse than random after 25 evaluations, over all problems, corrected by Holm."""
    from scipy.stats import mannwhitneyu

    at = lambda entry, n: [curve[: BUDGETS[0]][-1] for curve in entry[n]["regret"]]
    values = [
        mannwhitneyu(at(entry, name), at(entry, "random"), alternative="greater").pvalue
        for entry in found.values()
    ]
    return min(1.0, min(values) * len(values))


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Regret over evaluations, a panel for each table and way; mean ranks after each budget."""
    from hpjax import analysis, plots

    for part in TABLES:
        if part not in numbers:
            continue
        found = numbers[part]
        rows = len(found) // len(ENCODINGS)
        figure, axes = plots.figure(
            rows, len(ENCODINGS), plots.WIDE, 1.6 * rows + 0.5, squeeze=False, sharex=True
        )
        table: list[list[Any]] = []
        for ax, (title, entry) in zip(axes.ravel(), found.items()):
            count = np.arange(1, len(next(iter(entry.values()))["regret"][0]) + 1)
            # the least that can be seen above none, so that it has a place on a logarithmic axis
            least = min(v for one in entry.values() for c in one["regret"] for v in c if v > 0) / 2
            curves = {
                name: np.maximum(analysis.bands(np.array(one["regret"])), least)
                for name, one in entry.items()
            }
            plots.anytime(ax, count, curves, "evaluations", "regret")
            ax.set_title(title, fontsize=7)
            ax.set_xlabel("evaluations" if ax in axes[-1] else "")
            ax.set_ylabel("regret" if ax in axes[:, 0] else "")
            for evaluations in BUDGETS:
                names, ranks = ranked(entry, evaluations)
                for name, rank in zip(names, ranks.mean(0)):
                    end = np.median([c[:evaluations][-1] for c in entry[name]["regret"]])
                    table.append([title, evaluations, name, end, rank, entry[name]["seconds"]])
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=5, fontsize=7)
        sheet.figure(figure, part)
        header = ["table", "evaluations", "search", "median regret", "mean rank", "seconds"]
        sheet.table(part, header, table)


def criteria(numbers: Numbers) -> list[Criterion]:
    """Ranks against Optuna's, and never worse than random at first."""
    found = []
    for part in TABLES:
        if part not in numbers:
            continue
        entry, there = numbers[part], next(iter(numbers[part].values()))
        alike = {title: one for title, one in entry.items() if not title.endswith(ENCODINGS[1])}
        judge = functools.partial(Criterion, at_least=False, figure=part, part=part)
        for name in OURS:
            for rival in RIVALS:
                if rival in there:
                    for some, which in ((entry, ""), (alike, ", ordered and mixed axes only")):
                        high = gap(some, name, rival)[2]
                        title = f"{part}: rank of {name} less that of {rival}, upper end of its 95 % interval{which}"
                        found.append(judge(title, high, 0))
            title = f"{part}: least p (Holm) that {name} is worse than random after 25 evaluations"
            least = worse_than_random(entry, name)
            found.append(Criterion(title, least, 0.05, figure=part, part=part))
    return found


EXPERIMENT = Experiment(
    "unseen_tables",
    PRESETS,
    {part: functools.partial(raced, part) for part in TABLES},
    draw,
    criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
