"""Which figures does a run have? Learning curves, incumbent, rungs, lineage, what a process saw; from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpjax import fronts, plots, records
from hpjax.outcome import Outcome
from hpjax.report.bayesian_step import step
from hpjax.report.hyperparameters import _drawn, drawn_values, hyperparameters, scales
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


def _pareto(result: Result, folder: Path) -> list[Path]:
    """The objective against the others of the study; where it has one, against what a network costs: its parameters, and its seconds."""
    trials = result.trials
    ok = (trials["status"] == "OK") & np.isfinite(trials["objective"])
    if ok.sum() < 2:
        return []
    labels = {"parameters": "parameters", "seconds": "seconds of the devices"}
    others = [*result.objectives][1:]
    if others:
        labels = {name: labels.get(name, f"validation {name}") for name in others}
    costs = {label: trials.loc[ok, column].to_numpy(float) for column, label in labels.items()}
    signs = {label: result.objectives.get(column, 1.0) for column, label in labels.items()}
    known = {label: cost for label, cost in costs.items() if np.isfinite(cost).all()}
    if not known:
        return []
    figure, axes = plots.figure(
        1, len(known), width=plots.WIDE if len(known) == 2 else plots.COLUMN
    )
    told = result.table["objective"][ok.to_numpy()]
    for ax, (label, cost) in zip(np.atleast_1d(axes), known.items()):
        plots.pareto(
            ax,
            cost,
            told,
            fronts.front(np.stack([cost * signs[label], told], 1)),
            label,
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
    reports = [record for _, record in records.reports(result.records)]
    moved = any("unit" in record for record in reports)
    if not moved or result.best["trial"] is None:
        return []
    best = result.best["trial"]
    line = records.lineage(result.records, best)
    group = next(record["trial"] for record in reports if best in record["trial"])
    own = [record for record in reports if record["trial"] == group]
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
        shown, log = _drawn(result.space, i, x), kinds[i].log
        plots.posterior(
            axes[0, column],
            shown,
            mean[column],
            deviation[column],
            _drawn(result.space, i, seen.seen[:, i]),
            seen.value,
            _drawn(result.space, i, seen.proposed[:, i]),
            "",
            log=log,
        )
        plots.improvement(
            axes[1, column],
            shown,
            log_ei[column],
            _drawn(result.space, i, seen.proposed[:, i]),
            kinds[i].name,
            log=log,
        )
        if column:
            axes[0, column].set_ylabel("")
            axes[1, column].set_ylabel("")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return plots.save(figure, folder / "process")[:1]
