"""Races of searches on problems: every contestant on every seed; regret over evaluations, ranks and performance profiles as figures."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments._experiment import Criterion, Sheet, write_json
from experiments._objectives import CONTINUOUS, MANY, Problem, best_by_mean, watched
from experiments._search_peers import ONLY_CONTINUOUS, installed

GRID = 40  # places of a budget at which curves are kept


def _timed(
    play: Callable[..., np.ndarray], problem: Problem, count: int, seed: int, batch: int
) -> tuple[np.ndarray, float]:
    """True losses [count] of the point that looks best so far, and the seconds that it took."""
    seen = None
    if problem.observed is not None:
        problem, seen = watched(problem, seed)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peers
        losses = play(problem, count, seed, batch)
    took = time.perf_counter() - started
    if seen is None:
        return np.minimum.accumulate(losses), took
    best = best_by_mean(losses[: len(seen.points)], seen)
    return np.pad(best, (0, count - len(best)), mode="edge"), took  # a space that is used up


def race(
    problems: dict[str, Problem],
    names: Sequence[str],
    seeds: int,
    batch: int,
    budget: Callable[[Problem], int] = lambda p: p.budget,
    kept: Path | None = None,
) -> dict:
    """Every contestant on every problem and seed, two at a time.

    Args:
        problems: by title.
        names: of the contestants.
        seeds: how many.
        batch: points a round; 0 for each search's own.
        budget: of a problem.
        kept: file that holds what an interrupted run of the same commit finished, and gets every contestant's result as it comes;
            whoever calls deletes it at the end.
    """
    from joblib import Parallel, delayed

    from hpjax import records

    # of the processes that are begun here: SMAC's points depend on it
    os.environ["PYTHONHASHSEED"] = "0"
    contestants, (commit, dirty) = installed(names), records.commit(Path(__file__))
    made_by = {"seeds": seeds, "commit": commit, "dirty": dirty}
    before = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    result = before["found"] if before.get("made_by") == made_by and not dirty else {}
    for title, problem in problems.items():
        count = budget(problem)
        grid = np.unique(np.round(np.geomspace(1, count, GRID)).astype(int))
        fresh: dict[str, Any] = {"evaluations": count, "grid": grid.tolist(), "methods": {}}
        entry = result.setdefault(title, fresh)
        for name, play in contestants.items():
            if name in entry["methods"] or not allowed(name, title):
                continue
            found = Parallel(n_jobs=2)(
                delayed(_timed)(play, problem, count, seed, batch) for seed in range(seeds)
            )
            regret = np.array([incumbent[grid - 1] - problem.optimum for incumbent, _ in found])
            seconds = float(np.median([took for _, took in found]))
            entry["methods"][name] = {
                "regret": rounded(regret.T),
                "seconds": round(seconds, 3),
            }  # [grid seeds]
            if kept is not None:
                write_json(kept, {"made_by": made_by, "found": result}, indent=None)
            print(
                f"{title} after {count}: {name} {np.median(regret[:, -1]):.3g}, {seconds:.2f} s",
                flush=True,
            )
    return result


def allowed(name: str, title: str) -> bool:
    """Whether a contestant can take part: some are for continuous spaces only, and two are too slow in ten dimensions."""
    if name in ("bayesian-optimization", "SMAC") and title in MANY:
        return False  # minutes a seed
    return title in CONTINUOUS or name not in ONLY_CONTINUOUS


def rounded(values: np.ndarray) -> list:
    """Numbers to four significant digits, for small files."""
    return [[float(f"{v:.4g}") for v in row] for row in np.maximum(values, 0).tolist()]


def final(found: dict, name: str) -> dict[str, np.ndarray]:
    """Problem -> final regrets [seeds] of a method, where it took part."""
    return {
        title: np.array(entry["methods"][name]["regret"][-1])
        for title, entry in found.items()
        if name in entry["methods"]
    }


def rank_table(found: dict, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Problem -> ranks [seeds k] of these methods by final regret."""
    from hpjax import analysis

    return {
        title: analysis.ranks(np.stack([final(found, name)[title] for name in names], 1))
        for title, entry in found.items()
        if all(name in entry["methods"] for name in names)
    }


def not_worse(found: dict, one: str, other: str, where: str, margin: float = 0.25) -> Criterion:
    """Upper end of the 95 % interval of the mean difference of ranks, of these two among themselves."""
    from hpjax import analysis

    parts = [table[:, 0] - table[:, 1] for table in rank_table(found, [one, other]).values()]
    _, _, high = analysis.bootstrap(parts)
    return Criterion(
        f"{where}: rank of {one} minus rank of {other}, upper end of its 95 % interval",
        high,
        margin,
        at_least=False,
        figure=f"{where}_ranks",
        part=where,
    )


def everywhere_there(found: dict[str, Any]) -> list[str]:
    """The methods that took part in every problem, in the order in which they first appear."""
    names = dict.fromkeys(n for entry in found.values() for n in entry["methods"])
    return [n for n in names if all(n in entry["methods"] for entry in found.values())]


def draw_anytime(part: str, saved: dict[str, Any], sheet: Sheet) -> None:
    """Regret over evaluations, a panel for each problem."""
    from hpjax import analysis, plots

    found, seeds = saved["found"], saved["seeds"]
    columns = 5 if len(found) > 6 else max(1, min(3, len(found)))
    rows = -(-len(found) // columns)
    made, axes = plots.figure(
        rows, columns, width=plots.WIDE, height=1.75 * rows + 0.6, squeeze=False
    )
    table, handles = [], {}
    for ax, (title, entry) in zip(axes.ravel(), found.items()):
        curves = {n: analysis.bands(np.array(m["regret"]).T) for n, m in entry["methods"].items()}
        curves = {n: np.maximum(c, 1e-9) for n, c in curves.items()}
        plots.anytime(ax, entry["grid"], curves, "evaluations", "regret")
        ax.set_title(title)
        ax.set_xlabel("evaluations" if ax in axes[-1] else "")
        ax.set_ylabel("regret" if ax in axes[:, 0] else "")
        handles |= dict(zip(ax.get_legend_handles_labels()[1], ax.get_legend_handles_labels()[0]))
        for name, bands in curves.items():
            table += [[title, name, count, *point] for count, point in zip(entry["grid"], bands.T)]
    for ax in axes.ravel()[len(found) :]:
        ax.set_axis_off()
    made.legend(handles.values(), handles, loc="outside lower center", ncols=5)
    made.suptitle(f"median and quartiles of {seeds} seeds", fontsize=8)
    sheet.figure(made, f"{part}_anytime")
    sheet.table(
        f"{part}_anytime",
        ["problem", "method", "evaluations", "lower quartile", "median", "upper quartile"],
        table,
    )


def draw_ranks(part: str, saved: dict[str, Any], sheet: Sheet) -> None:
    """Ranks over the budget, and the critical difference."""
    from hpjax import analysis, plots

    found, seeds = saved["found"], saved["seeds"]
    names = everywhere_there(found)
    everywhere = rank_table(found, names)
    mean = {
        n: float(np.mean([t[:, i].mean() for t in everywhere.values()]))
        for i, n in enumerate(names)
    }
    made, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=2.3)
    shares = np.linspace(0.1, 1, 19)
    over = {n: [] for n in names}
    for share in shares:
        at = []
        for entry in found.values():
            place = np.searchsorted(entry["grid"], share * entry["evaluations"], side="right") - 1
            at.append(
                analysis.ranks(
                    np.stack([entry["methods"][n]["regret"][place] for n in names], 1)
                ).mean(0)
            )
        for n, rank in zip(names, np.mean(at, 0)):
            over[n].append(rank)
    plots.rank_curves(
        left,
        100 * shares,
        {n: np.array(r) for n, r in over.items()},
        "share of the evaluations (%)",
    )
    difference = analysis.critical_difference(len(names), len(found))
    plots.critical_difference(
        right, mean, difference, analysis.cliques(np.array(list(mean.values())), difference)
    )
    right.set_title(f"{len(found)} problems, ranks averaged over {seeds} seeds", fontsize=7)
    sheet.figure(made, f"{part}_ranks")
    sheet.table(
        f"{part}_ranks",
        ["method", "mean rank", *(f"at {100 * s:.0f} %" for s in shares)],
        [[n, mean[n], *over[n]] for n in names],
    )


def draw_profile(part: str, saved: dict[str, Any], sheet: Sheet) -> None:
    """On what share of problems and seeds each method reaches a score."""
    from hpjax import analysis, plots

    found = saved["found"]
    scores = {}
    # 1 is the least regret that anyone reached on the problem, 0 the most, on a logarithmic scale
    for name in everywhere_there(found):
        each = []
        for entry in found.values():
            ends = {
                n: np.log(np.maximum(m["regret"][-1], 1e-9)) for n, m in entry["methods"].items()
            }
            low, high = min(v.min() for v in ends.values()), max(v.max() for v in ends.values())
            each.append((high - ends[name]) / max(high - low, 1e-12))
        scores[name] = np.concatenate(each)
    made, ax = plots.figure(1, 1)
    levels = np.linspace(0, 1, 101)
    shares = {n: analysis.profile(v[None], levels)[0] for n, v in scores.items()}
    plots.profiles(ax, levels, shares, "score (1: least log regret of anyone)")
    ax.legend(fontsize=5.5, loc="upper right")
    sheet.figure(made, f"{part}_profile")
    sheet.table(f"{part}_profile", ["method", *levels], [[n, *v] for n, v in shares.items()])
