"""Which figures does a run have? Learning curves, incumbent, rungs, lineage, what a process saw; from disk."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from hpjax import fronts, plots, records
from hpjax.outcome import Outcome
from hpjax.report.bayesian_step import step
from hpjax.report.hyperparameters import as_drawn, drawn_values, hyperparameters, scales
from hpjax.result import Result
from hpjax.space import Choice


@plots.house_style()
def overview(result: Result, path: Path) -> list[Path]:
    """Learning curves and the incumbent of a run."""
    figure, (left, right) = plots.figure(1, 2, width=plots.WIDE)
    minimized = result.settings.minimised
    plots.learning_curves(
        left, result.curves, result.best["trial"], "objective", f"validation {minimized}"
    )
    incumbent = records.incumbent(result.records, result.fidelity)
    plots.incumbent(right, *incumbent, label=f"best validation {minimized}")
    return plots.save(figure, path)


@plots.house_style()
def figures(result: Outcome, folder: Path) -> list[Path]:
    """Everything that can be drawn of a study: how its trials lie, what matters, how its scheduler and its search worked.

    Args:
        result: of `tune`, `open_run` or `minimize`.
        folder: the figures go here.

    Returns:
        The PNG files.
    """
    paths: list[Path] = []
    if isinstance(result, Result):
        paths += overview(result, folder / "figure")[:1]
        paths += _rungs(result, folder)
        paths += _pareto(result, folder)
        paths += _hypervolume(result, folder)
    if result.space.names:
        paths += hyperparameters(result, folder)
        paths += _lineage(result, folder)
        paths += _process(result, folder)
    return paths


def _rungs(result: Result, folder: Path) -> list[Path]:
    """Learning curves by rung, where a scheduler stopped some early."""
    reached: dict[int, int] = {}
    for _, record in records.reports(result.records):
        reached |= dict(zip(record["trial"], record["epochs"]))
    if len(set(reached.values())) < 2:
        return []
    figure, ax = plots.figure(1, 1, width=4.5, height=2.8)
    minimized = result.settings.minimised
    plots.rungs(ax, result.curves, reached, "objective", f"validation {minimized}")
    return plots.save(figure, folder / "rungs")[:1]


class Front(NamedTuple):
    """Which trials no other beats in the objective and in something else."""

    trials: np.ndarray  # [n] that were trained to the end, and have both numbers
    members: np.ndarray  # [m] places among them


def fronts_of(result: Result) -> dict[str, Front]:
    """The objective's front against each other objective; where there is none, against what a network costs: its parameters, its seconds.

    What has fewer than two different values has no front.
    """
    table = result.trials
    ok = ((table["status"] == "OK") & np.isfinite(table["objective"])).to_numpy()
    found = {}
    for name in [*result.objectives][1:] or ["parameters", "seconds"]:
        cost = table[name].to_numpy(float) * result.objectives.get(name, 1.0)
        trials = np.flatnonzero(ok & np.isfinite(cost))
        if len(np.unique(cost[trials])) > 1:
            points = np.stack([cost[trials], result.table["objective"][trials]], 1)
            found[name] = Front(trials, fronts.front(points))
    return found


class Together(NamedTuple):
    """A population whose points a scheduler moves."""

    best: int  # trial
    trials: list[int]  # of its population
    reports: list[dict]  # of the population


def population_of(result: Outcome) -> Together | None:
    """That of the best trial; None where no scheduler moves points."""
    reports = [record for _, record in records.reports(result.records)]
    best = result.best["trial"]
    if best is None or not any("unit" in record for record in reports):
        return None
    group = next(record["trial"] for record in reports if best in record["trial"])
    return Together(best, group, [record for record in reports if record["trial"] == group])


def _pareto(result: Result, folder: Path) -> list[Path]:
    """The objective against the others of the study; where it has one, against what a network costs: its parameters, and its seconds."""
    known = fronts_of(result)
    if not known:
        return []
    labels = {"parameters": "parameters", "seconds": "seconds of the devices"}
    width = plots.WIDE if len(known) == 2 else plots.COLUMN
    figure, axes = plots.figure(1, len(known), width=width)
    for ax, (name, front) in zip(np.atleast_1d(axes), known.items()):
        plots.pareto(
            ax,
            result.trials[name].to_numpy(float)[front.trials],
            result.table["objective"][front.trials],
            front.members,
            labels.get(name, f"validation {name}"),
            f"validation {result.settings.minimised}",
        )
    return plots.save(figure, folder / "pareto")[:1]


def _hypervolume(result: Result, folder: Path) -> list[Path]:
    """What the front covers over epochs, where there are several objectives."""
    table = result.hypervolume()
    if len(result.objectives) < 2 or not table["hypervolume"].any():
        return []
    figure, ax = plots.figure(1, 1)
    ax.step(table["epochs"], table["hypervolume"], where="post", color=plots.COLORS[0])
    ax.set(xlabel="epochs, all trials", ylabel="hypervolume", ylim=(0, None))
    ax.set_title(f"{' and '.join(result.objectives)}, before the worst of each", fontsize=7)
    return plots.save(figure, folder / "hypervolume")[:1]


def _lineage(result: Outcome, folder: Path) -> list[Path]:
    """Who copied whom, and the schedules that came of it, where a scheduler moved points."""
    together = population_of(result)
    if together is None:
        return []
    best, group, own = together
    line = records.lineage(result.records, best)
    steps = np.array([record["epochs"][0] for record in own])
    sources = np.array([record["source"] for record in own])
    losses = np.array([records.numbers(record["objective"], np.nan) for record in own])
    names = [
        name
        for i, name in enumerate(result.space.names)
        if len({point[i] for _, _, point in line}) > 1
        and not isinstance(result.space.ranges[name], Choice)
    ][:3]
    figure, axes = plots.figure(1, 1 + len(names), width=plots.WIDE, height=2.3, squeeze=False)
    axes = axes[0]
    plots.lineage(axes[0], steps, group, sources, losses, [member for member, _, _ in line])
    kinds = {kind.name: kind for kind in scales(result.space)}
    for ax, name in zip(axes[1:], names):
        segments = {}
        for trial in group:
            stretch = records.lineage(result.records, trial)
            points = np.array([point for _, _, point in stretch])
            segments[trial] = (
                np.array([until for _, until, _ in stretch]),
                drawn_values(result.space, points)[name],
            )
        plots.schedules(ax, segments, best, name, kinds[name].log)
    return plots.save(figure, folder / "lineage")[:1]


def _process(result: Outcome, folder: Path) -> list[Path]:
    """The Gaussian process and its expected improvement along every continuous dimension through the best point, at the last step."""
    asks = [record for record in result.records if record["kind"] == "ask"]
    last = [number for number, record in enumerate(asks) if "warp" in record.get("note", {})]
    if not last or result.best["trial"] is None or len(result.objectives) > 1:
        return []
    best = result.table["unit"][result.best["trial"]]
    dims = [i for i, dim in enumerate(result.space.dims) if dim.kind == "continuous"][:4]
    if not dims:
        return []
    figure, axes = plots.figure(
        2, len(dims), width=plots.WIDE, height=2.8, squeeze=False, sharex="col"
    )
    kinds, x = scales(result.space), (np.arange(200) + 0.5) / 200
    places = np.tile(best, (len(dims), len(x), 1))
    for column, i in enumerate(dims):
        places[column, :, i] = x
    seen = step(result.records, result.space.dims, last[-1], places.reshape(-1, len(best)))
    mean, deviation, log_ei = (
        a.reshape(len(dims), -1) for a in (seen.mean, seen.deviation, seen.log_ei)
    )
    for column, i in enumerate(dims):
        shown, log = as_drawn(result.space, i, x), kinds[i].log
        plots.posterior(
            axes[0, column],
            shown,
            mean[column],
            deviation[column],
            as_drawn(result.space, i, seen.seen[:, i]),
            seen.value,
            as_drawn(result.space, i, seen.proposed[:, i]),
            "",
            log=log,
        )
        plots.improvement(
            axes[1, column],
            shown,
            log_ei[column],
            as_drawn(result.space, i, seen.proposed[:, i]),
            kinds[i].name,
            log=log,
        )
        if column:
            axes[0, column].set_ylabel("")
            axes[1, column].set_ylabel("")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return plots.save(figure, folder / "process")[:1]
