"""Figures of runs and comparisons, drawn from what is on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpjax import analysis, plots, records
from hpjax.compare import Comparison
from hpjax.hypergrad import Learned
from hpjax.outcome import Outcome
from hpjax.plots.trials import Scale
from hpjax.result import Result
from hpjax.search.base import snap
from hpjax.search.bayes import step
from hpjax.space import Choice, IntUniform, LogIntUniform, LogUniform, Space, Uniform

MODELLED = 10  # trials below which nothing is said about hyperparameters
TRUSTED = 20  # trials for each hyperparameter below which importance is said to be a hint


def overview(result: Result, path: Path) -> list[Path]:
    """Learning curves and the incumbent of a run."""
    made, (left, right) = plots.figure(1, 2, width=plots.WIDE)
    minimized = result.settings.minimised
    plots.learning_curves(
        left, result.curves, result.best["trial"], "objective", f"validation {minimized}"
    )
    incumbent = records.incumbent(result.records, result.fidelity)
    plots.incumbent(right, *incumbent, label=f"best validation {minimized}")
    return plots.save(made, path)


def learned(found: Learned, path: Path) -> list[Path]:
    """What meta-training found: every hyperparameter of the best start, and the objective of all starts.

    A schedule is drawn over its steps, other values over the meta-iterations, and what has a value for each example sorted.
    """
    names, best = list(found.scales), found.best
    objective = {
        "train": "training loss",
        "curve": "mean minibatch loss",
        "next": "next minibatch's loss",
    }.get(found.objective, "validation loss")
    made, axes = plots.figure(1, len(names) + 1, width=plots.WIDE, height=2.2, squeeze=False)
    for ax, name in zip(axes[0], names):
        kind, label = found.scales[name], name.replace("_", " ")
        log = kind == "log" or isinstance(kind, LogUniform)
        if name in found.segments:
            values = found.at_steps(name)
            plots.by_layer(ax, np.arange(1, found.steps + 1), values, "step", label, log)
        elif name in found.path:
            values = np.concatenate(
                [found.path[name][:, best], np.array(found.values()[name])[None]]
            )
            plots.by_layer(ax, np.arange(len(values)), values, "meta-iteration", label, log)
        else:
            values = np.sort(found.values()[name], axis=None)
            plots.by_layer(ax, np.arange(1, len(values) + 1), values, "number, sorted", label, log)
    plots.meta_curves(axes[0, -1], found.history.loss, objective, best)
    return plots.save(made, path)


def scales(space: Space) -> list[Scale]:
    """How each hyperparameter of a space is drawn."""
    return [
        Scale(
            name,
            isinstance(entry, (LogUniform, LogIntUniform)),
            tuple(map(_label, entry.values)) if isinstance(entry, Choice) else (),
            isinstance(entry, IntUniform),
        )
        for name, entry in space.ranges.items()
    ]


def _label(value) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def drawn_values(space: Space, unit: np.ndarray) -> dict[str, np.ndarray]:
    """Hyperparameters of points [n D] as numbers [n] to draw: choices by their index, inactive ones NaN."""
    mask, values = space.active(unit), {}
    for i, (name, entry) in enumerate(space.ranges.items()):
        column = entry.index(unit[:, i]) if isinstance(entry, Choice) else entry.decode(unit[:, i])
        values[name] = np.where(mask[:, i], np.asarray(column, float), np.nan)
    return values


def figures(result: Outcome, folder: Path) -> list[Path]:
    """Everything that can be drawn of a study: how its trials lie, what matters, how its scheduler and its search worked.

    Args:
        result: of `tune`, `open_run` or `minimize`.
        folder: the figures go here.

    Returns:
        The PNG files.
    """
    made: list[Path] = []
    if isinstance(result, Result):
        made += overview(result, folder / "figure")[:1]
        made += _rungs(result, folder)
        made += _pareto(result, folder)
    if result.space.names:
        made += _trials(result, folder)
        made += _lineage(result, folder)
        made += _process(result, folder)
    return made


def _trials(result: Outcome, folder: Path) -> list[Path]:
    """Parallel coordinates, slices, importance, partial dependence and a contour."""
    space, told, unit = result.space, result.table["objective"], result.table["unit"]
    values, kinds = drawn_values(space, unit), scales(space)
    label = f"validation {result.settings.minimised}" if isinstance(result, Result) else "objective"
    finite = np.flatnonzero(np.isfinite(told))
    if not len(finite):
        return []
    made = []
    figure, ax = plots.figure(1, 1, width=plots.WIDE, height=2.4)
    full = result.table["status"] == "OK"
    full = full if result.fidelities and full[finite].any() else np.ones(len(told), bool)
    lines = plots.parallel_coordinates(ax, values, kinds, told, label, full)
    figure.colorbar(lines, ax=ax, label=label, pad=0.01)
    early = int((~full[finite]).sum())
    grey = f"grey: {early} trials that were stopped before epoch {result.fidelity}" if early else ""
    ax.set_title(grey, fontsize=6, loc="left")
    made += plots.save(figure, folder / "parallel")[:1]

    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = plots.figure(rows, columns, width=plots.WIDE, height=1.7 * rows, squeeze=False)
    first = {id(ax) for ax in axes[:, 0]}
    drawn = [
        plots.slice_(
            ax,
            values[kind.name],
            told,
            np.arange(len(told)),
            kind,
            label if id(ax) in first else "",
            full,
        )
        for ax, kind in zip(axes.ravel(), kinds)
    ]
    figure.colorbar(drawn[0], ax=axes, label="trial", pad=0.01)
    if early:
        figure.suptitle(grey.replace("grey", "grey crosses"), fontsize=6)
    for ax in axes.ravel()[len(kinds) :]:
        ax.set_axis_off()
    made += plots.save(figure, folder / "slices")[:1]

    # about the trials that were trained longest, so that fidelities are not mixed
    epochs = result.table["epochs"][finite]
    level = max(
        e
        for e in np.unique(epochs)
        if (epochs == e).sum() >= min(MODELLED, len(finite)) or e == epochs.min()
    )
    kept = finite[epochs >= level]
    if len(kept) < MODELLED or np.ptp(told[kept]) == 0:
        return made
    points = snap(unit[kept], space.dims)
    value = _long_tailed(told[kept])
    shares = analysis.fanova(points, value)
    levels = [dim.levels for dim in space.dims]
    good = analysis.ped_anova(points, value, levels, better=max(0.1, 4 / len(kept)))
    figure, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=0.6 + 0.3 * len(kinds))
    few = len(kept) < TRUSTED * len(kinds)
    among = f"{len(kept)} trials"
    if isinstance(result, Result):
        among += f" of at least {level} epochs"
    plots.importance(
        left,
        space.names,
        shares.single,
        shares.deviation,
        f"share of the variance of log loss\n(fANOVA, {among})",
    )
    plots.importance(
        right, space.names, good, None, "share in being among the best tenth\n(PED-ANOVA)"
    )
    if few:
        figure.suptitle(
            f"{len(kept)} trials are too few for {len(kinds)} hyperparameters: a hint at best, {TRUSTED * len(kinds)} would say more",
            fontsize=7,
            color="#AA3377",
        )
    made += plots.save(figure, folder / "importance")[:1]

    top = np.argsort(-shares.single)[:2]
    figure, axes = plots.figure(1, 3, width=plots.WIDE, height=2.1, squeeze=False)
    axes = axes[0]
    for ax, i in zip(axes, top):
        levels = len(kinds[i].labels)
        x, mean, spread = analysis.partial_dependence(points, value, [int(i)], places=levels or 40)
        plots.partial_dependence(
            ax, _drawn(space, int(i), x), mean, spread, kinds[i], f"log10 {label}"
        )
    spans = [ax.get_ylim() for ax in axes[: len(top)]]
    for ax in axes[: len(top)]:  # one scale, so that effects can be compared
        ax.set_ylim(min(low for low, _ in spans), max(high for _, high in spans))
    numbers = [int(i) for i in np.argsort(-shares.single) if not kinds[i].labels][:2]
    if len(numbers) > 1:
        a, b = numbers
        x, surface, _ = analysis.partial_dependence(points, value, [a, b], places=25)
        filled = plots.contour(
            axes[2],
            _drawn(space, a, x),
            _drawn(space, b, x),
            surface,
            values[kinds[a].name][kept],
            values[kinds[b].name][kept],
            kinds[a],
            kinds[b],
        )
        figure.colorbar(filled, ax=axes[2], label=f"log10 {label}")
    else:
        axes[2].set_axis_off()
    axes[1].set_ylabel("")
    if len(top) < 2:
        axes[1].set_axis_off()
    made += plots.save(figure, folder / "dependence")[:1]
    return made


def _long_tailed(loss: np.ndarray) -> np.ndarray:
    """Logarithms of losses, shifted where some are not above 0."""
    low = loss.min()
    return np.log10(loss - min(0.0, low) + (1e-12 if low > 0 else 1e-3 * max(np.ptp(loss), 1e-12)))


def _drawn(space: Space, i: int, x: np.ndarray) -> np.ndarray:
    """Places of the unit interval as a hyperparameter's numbers to draw, whole ones not rounded."""
    entry = list(space.ranges.values())[i]
    if isinstance(entry, Choice):
        return x * entry.levels - 0.5
    half = 0.0 if isinstance(entry, (Uniform, LogUniform)) else 0.5  # a whole number's cell
    low, high = entry.low - half, entry.high + half
    if isinstance(entry, (LogUniform, LogIntUniform)):
        return low * (high / low) ** x
    return low + x * (high - low)


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
    """Loss against what a network costs: its parameters, and its seconds."""
    trials = result.trials
    ok = (trials["status"] == "OK") & np.isfinite(trials["objective"])
    if ok.sum() < 2:
        return []
    labels = {"parameters": "parameters", "seconds": "seconds of the devices"}
    costs = {label: trials.loc[ok, column].to_numpy(float) for column, label in labels.items()}
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
            analysis.pareto(cost, told),
            label,
            f"validation {result.settings.minimised}",
        )
    return plots.save(figure, folder / "pareto")[:1]


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
    last = [number for number, record in enumerate(asks) if "theta" in record.get("note", {})]
    if not last or result.best["trial"] is None:
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


def summary(found: Comparison) -> dict:
    """A comparison as plain numbers, from which `comparison` draws: costs [g], values {method: [seeds g]}, the table."""
    table = found.table
    return {
        "minimize": found.settings.minimised,
        "seeds": found.seeds,
        "cost": found.cost.tolist(),
        "values": {
            name: [[None if v != v else float(f"{v:.5g}") for v in row] for row in values.tolist()]
            for name, values in found.values.items()
        },
        "table": {
            "columns": list(table.columns),
            "rows": {name: row.tolist() for name, row in zip(table.index, table.to_numpy())},
        },
    }


def comparison(numbers: dict, folder: Path) -> list[Path]:
    """Anytime curves, ranks, critical difference and distributions of a comparison, and CSV files of the plotted points.

    Args:
        numbers: as `summary` gives them.
        folder: the figures go here.

    Returns:
        The PNG files.
    """
    names, seeds, minimized = list(numbers["values"]), numbers["seeds"], numbers["minimize"]
    cost = np.array(numbers["cost"])
    values = {
        n: np.array([records.numbers(row, np.nan) for row in rows])
        for n, rows in numbers["values"].items()
    }
    curves = {name: analysis.bands(value) for name, value in values.items()}
    rank = analysis.rank_curves(values)
    figure, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=2.9)
    plots.anytime(left, cost, curves, "epochs, all trials", f"best validation {minimized}")
    plots.rank_curves(right, cost, rank, "epochs, all trials")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    left.set_title(f"median and quartiles of {len(seeds)} seeds")
    right.set_title(f"{len(names)} methods")
    made = plots.save(figure, folder / "anytime")[:1]
    rows = [
        [n, at, *band, place]
        for n, bands in curves.items()
        for at, band, place in zip(cost, bands.T, rank[n])
    ]
    records.write_csv(
        folder / "anytime.csv",
        ["method", "epochs", "lower quartile", "median", "upper quartile", "mean rank"],
        rows,
    )

    ends = np.stack([value[:, -1] for value in values.values()], 1)
    final = np.nan_to_num(ends, nan=np.inf)
    figure, axes = plots.figure(1, 2, width=plots.WIDE, height=2.5)
    axes[0].set_axis_off()
    if len(names) > 1:
        mean = dict(zip(names, analysis.ranks(final).mean(0)))
        difference = analysis.critical_difference(len(mean), len(seeds))
        plots.critical_difference(
            axes[0], mean, difference, analysis.cliques(np.array(list(mean.values())), difference)
        )
        axes[0].set_title(
            f"mean ranks on this task at {cost[-1]:g} epochs, {len(seeds)} seeds", fontsize=7
        )
    steps = {name: analysis.ecdf(final[:, i]) for i, name in enumerate(names)}
    plots.ecdfs(axes[1], steps, f"best validation {minimized} at the end")
    figure.legend(
        *axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=min(5, len(names))
    )
    made += plots.save(figure, folder / "ranks")[:1]
    table = numbers["table"]
    records.write_csv(
        folder / "table.csv",
        ["method", *table["columns"]],
        [[name, *row] for name, row in table["rows"].items()],
    )
    records.write_csv(
        folder / "final.csv", ["seed", *names], [[seed, *row] for seed, row in zip(seeds, final)]
    )
    return made
