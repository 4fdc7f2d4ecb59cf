"""What do trials say of hyperparameters? Parallel coordinates, slices, importance, partial dependence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpjax import analysis, plots
from hpjax.outcome import Outcome
from hpjax.plots.trials import Scale
from hpjax.result import Result
from hpjax.search.base import snap
from hpjax.space import Choice, IntUniform, LogIntUniform, LogUniform, Space, Uniform

MODELLED = 10  # trials below which nothing is said about hyperparameters


TRUSTED = 20  # trials for each hyperparameter below which importance is said to be a hint


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


def worded(value: Any) -> str:
    """A hyperparameter's value as figures and pages write it."""
    return f"{value:.4g}" if isinstance(value, float) else _label(value)


def _label(value: Any) -> str:
    """Of a choice: as it was written."""
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)


def drawn_values(space: Space, unit: np.ndarray) -> dict[str, np.ndarray]:
    """Hyperparameters of points [n D] as numbers [n] to draw: choices by their index, inactive ones NaN."""
    mask, values = space.active(unit), {}
    for i, (name, entry) in enumerate(space.ranges.items()):
        column = entry.index(unit[:, i]) if isinstance(entry, Choice) else entry.decode(unit[:, i])
        values[name] = np.where(mask[:, i], np.asarray(column, float), np.nan)
    return values


class Scored(NamedTuple):
    """The trials of a result whose objective is finite, as figures of hyperparameters need them."""

    result: Outcome
    values: dict[str, np.ndarray]  # by name [n], as they are drawn
    kinds: list[Any]  # the axis of each hyperparameter
    objective: np.ndarray  # [n]
    label: str  # of the objective
    finite: np.ndarray  # which of the n trials
    full: np.ndarray  # [n] bool: trained to the end
    early: str  # what grey means; "" where no trial was stopped early


def scored(result: Outcome) -> Scored | None:
    """None where no trial has an objective."""
    objective, space = result.table["objective"], result.space
    finite = np.flatnonzero(np.isfinite(objective))
    if not len(finite):
        return None
    label = f"validation {result.settings.minimised}" if isinstance(result, Result) else "objective"
    full = result.table["whole"] & np.isfinite(objective)
    full = full if result.fidelities and full[finite].any() else np.ones(len(objective), bool)
    early = int((~full[finite]).sum())
    grey = f"grey: {early} trials that were stopped before epoch {result.fidelity}" if early else ""
    values = drawn_values(space, result.table["unit"])
    return Scored(result, values, scales(space), objective, label, finite, full, grey)


def hyperparameters(result: Outcome, folder: Path) -> list[Path]:
    """Parallel coordinates, slices, importance, partial dependence and a contour."""
    trials = scored(result)
    if trials is None:
        return []
    made = _parallel(trials, folder) + _slices(trials, folder)
    model = modelled(trials)
    if model is None:
        return made
    found = importance(trials, model)
    made += _importance(trials, found, folder)
    return made + _dependence(trials, model, found.order, folder)


def _parallel(trials: Scored, folder: Path) -> list[Path]:
    figure, ax = plots.figure(1, 1, width=plots.WIDE, height=2.4)
    lines = plots.parallel_coordinates(
        ax, trials.values, trials.kinds, trials.objective, trials.label, trials.full
    )
    figure.colorbar(lines, ax=ax, label=trials.label, pad=0.01)
    ax.set_title(trials.early, fontsize=6, loc="left")
    return plots.save(figure, folder / "parallel")[:1]


def _slices(trials: Scored, folder: Path) -> list[Path]:
    kinds, numbers = trials.kinds, np.arange(len(trials.objective))
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = plots.figure(rows, columns, width=plots.WIDE, height=1.7 * rows, squeeze=False)
    first = {id(ax) for ax in axes[:, 0]}
    points = []
    for ax, kind in zip(axes.ravel(), kinds):
        label = trials.label if id(ax) in first else ""
        column = trials.values[kind.name]
        points.append(plots.slice_(ax, column, trials.objective, numbers, kind, label, trials.full))
    figure.colorbar(points[0], ax=axes, label="trial", pad=0.01)
    if trials.early:
        figure.suptitle(trials.early.replace("grey", "grey crosses"), fontsize=6)
    for ax in axes.ravel()[len(kinds) :]:
        ax.set_axis_off()
    return plots.save(figure, folder / "slices")[:1]


class Modelled(NamedTuple):
    """What is said of hyperparameters, from the trials that were trained longest, so that fidelities are not mixed."""

    trials: np.ndarray  # [m] which
    level: int  # epochs that they have at least
    points: np.ndarray  # [m D]
    value: np.ndarray  # [m] log10 of the objective
    shares: analysis.Importance


def modelled(trials: Scored) -> Modelled | None:
    """None where there are too few trials, or all are alike."""
    result, finite = trials.result, trials.finite
    epochs = result.table["epochs"][finite]
    enough = min(MODELLED, len(finite))
    level = max(e for e in np.unique(epochs) if (epochs == e).sum() >= enough or e == epochs.min())
    kept = finite[epochs >= level]
    if len(kept) < MODELLED or np.ptp(trials.objective[kept]) == 0:
        return None
    points = snap(result.table["unit"][kept], result.space.dims)
    value = _long_tailed(trials.objective[kept])
    return Modelled(kept, int(level), points, value, analysis.fanova(points, value))


class Importance(NamedTuple):
    """How much each hyperparameter matters, D of them."""

    order: np.ndarray  # [D] the most important first, by fANOVA; the first of equals first
    share: np.ndarray  # [D] of the variance of log loss
    deviation: np.ndarray  # [D] of the share, over the trees
    best: np.ndarray  # [D] share in being among the best tenth, by PED-ANOVA
    among: str  # of which trials
    doubt: str  # what speaks against trusting it; "" where there are enough trials


def importance(trials: Scored, model: Modelled) -> Importance:
    """By fANOVA and PED-ANOVA."""
    dims, count = trials.result.space.dims, len(model.trials)
    levels, needed = [dim.levels for dim in dims], TRUSTED * len(dims)
    among = f"{count} trials"
    if trials.result.fidelities:
        among += f" of at least {model.level} epochs"
    doubt = f"{count} trials are too few for {len(dims)} hyperparameters: a hint at best, {needed} would say more"
    return Importance(
        np.argsort(-model.shares.single, kind="stable"),
        model.shares.single,
        model.shares.deviation,
        analysis.ped_anova(model.points, model.value, levels, better=max(0.1, 4 / count)),
        among,
        doubt if count < needed else "",
    )


def _importance(trials: Scored, found: Importance, folder: Path) -> list[Path]:
    space, kinds = trials.result.space, trials.kinds
    figure, (left, right) = plots.figure(1, 2, width=plots.WIDE, height=0.6 + 0.3 * len(kinds))
    label = f"share of the variance of log loss\n(fANOVA, {found.among})"
    plots.importance(left, space.names, found.share, found.deviation, label)
    label = "share in being among the best tenth\n(PED-ANOVA)"
    plots.importance(right, space.names, found.best, None, label)
    if found.doubt:
        figure.suptitle(found.doubt, fontsize=7, color="#AA3377")
    return plots.save(figure, folder / "importance")[:1]


def _dependence(trials: Scored, model: Modelled, order: np.ndarray, folder: Path) -> list[Path]:
    """Effects of the two most important hyperparameters, and a contour of the two most important numbers."""
    space, kinds = trials.result.space, trials.kinds
    points, value, label = model.points, model.value, f"log10 {trials.label}"
    top = order[:2]
    figure, axes = plots.figure(1, 3, width=plots.WIDE, height=2.1, squeeze=False)
    axes = axes[0]
    for ax, i in zip(axes, top):
        places = len(kinds[i].labels) or 40
        x, mean, spread = analysis.partial_dependence(points, value, [int(i)], places=places)
        plots.partial_dependence(ax, as_drawn(space, int(i), x), mean, spread, kinds[i], label)
    spans = [ax.get_ylim() for ax in axes[: len(top)]]
    for ax in axes[: len(top)]:  # one scale, so that effects can be compared
        ax.set_ylim(min(low for low, _ in spans), max(high for _, high in spans))
    numbers = [int(i) for i in order if not kinds[i].labels][:2]
    if len(numbers) > 1:
        a, b = numbers
        x, surface, _ = analysis.partial_dependence(points, value, [a, b], places=25)
        filled = plots.contour(
            axes[2],
            as_drawn(space, a, x),
            as_drawn(space, b, x),
            surface,
            trials.values[kinds[a].name][model.trials],
            trials.values[kinds[b].name][model.trials],
            kinds[a],
            kinds[b],
        )
        figure.colorbar(filled, ax=axes[2], label=label)
    else:
        axes[2].set_axis_off()
    axes[1].set_ylabel("")
    if len(top) < 2:
        axes[1].set_axis_off()
    return plots.save(figure, folder / "dependence")[:1]


def _long_tailed(loss: np.ndarray) -> np.ndarray:
    """Logarithms of losses, shifted where some are not above 0."""
    low = loss.min()
    return np.log10(loss - min(0.0, low) + (1e-12 if low > 0 else 1e-3 * max(np.ptp(loss), 1e-12)))


def as_drawn(space: Space, i: int, x: np.ndarray) -> np.ndarray:
    """Places of the unit interval as a hyperparameter's numbers to draw, whole ones not rounded."""
    entry = list(space.ranges.values())[i]
    if isinstance(entry, Choice):
        return x * entry.levels - 0.5
    half = 0.0 if isinstance(entry, (Uniform, LogUniform)) else 0.5  # a whole number's cell
    low, high = entry.low - half, entry.high + half
    if isinstance(entry, (LogUniform, LogIntUniform)):
        return low * (high / low) ** x
    return low + x * (high - low)
