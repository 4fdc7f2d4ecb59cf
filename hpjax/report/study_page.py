"""What does the page of a study show? Everything that a run folder says, as plain numbers for `page/`."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpjax import analysis, configurations, records
from hpjax.messages import warn
from hpjax.models.base import Target
from hpjax.outcome import Outcome
from hpjax.population import plan
from hpjax.report.hyperparameters import (
    MODELLED,
    Modelled,
    Scored,
    as_drawn,
    drawn_values,
    importance,
    modelled,
    scales,
    scored,
    worded,
)
from hpjax.report.runs import fronts_of, population_of
from hpjax.result import Result
from hpjax.settings import Stop
from hpjax.space import Choice, IntUniform, LogIntUniform
from hpjax.training import metrics

ROWS = 10_000  # trials that stand in the table; of more the best, and a sample of the others
SHARES = (0.1, 0.25, 0.5, 0.75)  # of the trials, that have the same colour up to there
CURVES = 160  # learning curves that are drawn: of the best, and a sample of the others
POINTS = 60  # of a curve
CLASSES = 20  # of a confusion matrix; the most frequent ones
BINS = 10  # of a calibration curve
MEMBERS = 64  # of a population whose lineage is drawn
DIGITS = 5
COUNTED = ("epochs", "parameters", "diverged")


def study_page(result: Outcome, refit: bool = True) -> dict[str, Any]:
    """A study as plain numbers.

    Args:
        result: of `tune`, `open_run` or `minimize`.
        refit: whether the best network is trained again, for its confusion matrix and calibration.
    """
    sign = result.settings.sign
    pareto = _pareto(result) if isinstance(result, Result) else {}
    every = np.arange(len(result.table["objective"]))
    rows = result.sample(every, ROWS, [trial for front in pareto.values() for trial in front])
    trials = scored(result)
    model = None if trials is None else modelled(trials)
    return {
        "kind": "study",
        "title": title_of(result),
        "objective": result.settings.judged_by,
        "greater": sign < 0,
        "fidelity": result.fidelity if result.fidelities else None,
        "asked": asked(result),
        "found": found(result, sign),
        "total": len(every),
        "limits": _limits_of_bins(result, sign),
        "early": int(np.isin(result.table["status"], ("PRUNED", "INFEASIBLE")).sum()),
        "grey": "beyond a bound, or stopped early"
        if (result.table["status"] == "INFEASIBLE").any()
        else "stopped early",
        "trial": rows.tolist(),
        "columns": _columns(result, rows, sign),
        "incumbent": _incumbent(result, sign),
        "curves": _curves(result, sign) if isinstance(result, Result) else [],
        "importance": _importance(trials, model),
        "pareto": pareto,
        "lineage": _lineage(result, sign),
        "network": _network(result) if refit and isinstance(result, Result) else None,
        "facts": _facts(result),
    }


def title_of(result: Outcome) -> str:
    """The name of the task."""
    if not isinstance(result, Result):
        return "function"
    try:
        return result.name
    except records.RunError:  # arrays, which are not given again
        return "arrays"


# --- words ------------------------------------------------------------------------------------------------------------
def asked(result: Outcome) -> str:
    """What the study was asked for, in a sentence or two."""
    settings = result.settings
    search = settings.search
    how = "one of the user's own" if search is None else search
    how = f"{len(search)} configurations" if isinstance(search, list) else how
    text = f"Search: {how}"
    if result.fidelities:
        text += f"; scheduler: {settings.scheduler['name']}, at most {result.fidelity} epochs"
    limits = limits_of(settings.stop)
    text += f"; limits: {limits}" if limits else ""
    networks = settings.networks
    if networks is not None:
        judged = networks.validation
        folds = (
            networks.validation.file
            or (judged.splitter and f"{judged.folds} folds of {judged.splitter}")
            or ("one held-out fifth" if judged.folds == 1 else f"{judged.folds} folds")
        )
        text += f". Minimised: {settings.minimised} on {folds}"
        text += f", {judged.repeats} networks each" if judged.repeats > 1 else ""
    return f"{text}. Seed {settings.seed}."


def limits_of(stop: Stop) -> str:
    """The limits of a study in words; "" where there is none."""
    limits = {name: getattr(stop, name) for name in stop.__struct_fields__}
    return ", ".join(f"{limit} {name}" for name, limit in limits.items() if limit is not None)


ENDINGS = {
    "done": "all trials were done",
    "epochs": "the limit of epochs was reached",
    "seconds": "the limit of seconds was reached",
    "rounds": "rounds brought no better trial",
    "interrupted": "it was interrupted, or still runs",
}


def found(result: Outcome, sign: float) -> str:
    """What the study found, in a few sentences."""
    counts = dict(zip(*np.unique(result.table["status"], return_counts=True)))
    words = {
        "PRUNED": "stopped early",
        "INFEASIBLE": "broke a constraint",
        "DIVERGED": "diverged",
        "FAILED": "failed",
    }
    others = [f"{counts[status]} {word}" for status, word in words.items() if status in counts]
    total = len(result.table["objective"])
    why = ENDINGS.get(result.stopped, result.stopped)
    ending = f"{total} trials" + (f" ({', '.join(others)})" if others else "") + f"; {why}."
    best = result.best
    if best["trial"] is None:
        return f"No trial was trained to the end. {ending}"
    name = result.settings.judged_by
    values = ", ".join(f"{n} {worded(v)}" for n, v in best["config"].items())
    also = f" (error {best['error']:.4g})" if "error" in best and name != "error" else ""
    return f"Best: trial {best['trial']}, {name} {sign * best['objective']:.5g}{also} with {values}. {ending}"


# --- trials -----------------------------------------------------------------------------------------------------------
def _limits_of_bins(result: Outcome, sign: float) -> list[float | None]:
    """The objectives of the last trial of each of `SHARES` of those that were trained to the end, the best first."""
    ranked = sign * np.sort(result.table["objective"][result.ranking])
    if not len(ranked):
        return []
    at = [max(0, int(np.ceil(share * len(ranked))) - 1) for share in SHARES]
    return rounded(ranked[at])


def _columns(result: Outcome, rows: np.ndarray, sign: float) -> list[dict[str, Any]]:
    """Hyperparameters, then what became of each trial; objective first."""
    table = result.trials.iloc[rows]
    objective = {"name": "objective", "role": "objective"}
    columns = [objective | {"values": rounded(sign * table["objective"].to_numpy(float))}]
    drawn = drawn_values(result.space, result.table["unit"][rows])
    for scale, entry in zip(scales(result.space), result.space.ranges.values()):
        column: dict[str, Any] = {"name": scale.name, "role": "hyperparameter", "log": scale.log}
        column["whole"] = isinstance(entry, (IntUniform, LogIntUniform))
        values = drawn[scale.name]
        if isinstance(entry, Choice):
            column |= {"labels": list(scale.labels), "values": _whole(values)}
        else:
            column |= {"values": rounded(values)}
        columns.append(column)
    for name in result.columns:
        if name in ("objective", "status", result.settings.judged_by):
            continue
        values = table[name].to_numpy(float)
        if name == "diverged" and not values.any():
            continue
        written: list[Any] = [*(_whole(values) if name in COUNTED else rounded(values))]
        shown = f"{name} (result)" if name in result.space.ranges else name
        columns.append({"name": shown, "of": name, "role": "result", "values": written})
    statuses = list(dict.fromkeys(table["status"]))
    codes: list[Any] = [statuses.index(status) for status in table["status"]]
    columns.append({"name": "status", "role": "status", "labels": statuses, "values": codes})
    return columns


def _whole(values: np.ndarray) -> list[int | None]:
    return [int(value) if np.isfinite(value) else None for value in values.tolist()]


def rounded(values: Any, digits: int = DIGITS) -> list[float | None]:
    """Numbers with few digits, as JSON has them: null for what is not finite."""
    flat = np.asarray(values, float).tolist()
    return [float(f"{v:.{digits}g}") if np.isfinite(v) else None for v in flat]


def _incumbent(result: Outcome, sign: float) -> dict[str, list]:
    """The best by epochs spent: at full fidelity, where it changed."""
    cost, _, full = records.incumbent(result.records, result.fidelity)
    if not len(cost):
        return {"cost": [], "value": []}
    changed = np.flatnonzero(full < np.append(np.inf, full[:-1]))
    at = np.append(changed, len(cost) - 1)
    each = 1 if result.fidelities else result.fidelity  # of a function calls are counted
    return {"cost": [int(c) // each for c in cost[at]], "value": rounded(sign * full[at])}


def _curves(result: Result, sign: float) -> list[dict[str, Any]]:
    """Learning curves of the objective: the best trials', and a sample of the others'."""
    curves = result.curves
    if not len(curves):
        return []
    drawn = result.sample(np.unique(curves["trial"]), CURVES)
    shown = []
    for _, part in curves[curves["trial"].isin(drawn)].groupby("trial"):
        step = -(-len(part) // POINTS)
        at = np.unique(np.append(np.arange(0, len(part), step), len(part) - 1))
        values = sign * part["objective"].to_numpy(float)[at]
        epochs = part["epoch"].to_numpy(int)[at]
        shown.append(
            {
                "trial": int(part["trial"].iloc[0]),
                "epoch": epochs.tolist(),
                "value": rounded(values, 4),
            }
        )
    return shown


# --- what matters -----------------------------------------------------------------------------------------------------
def _importance(trials: Scored | None, model: Modelled | None) -> dict[str, Any]:
    """Importance with its deviations, effects and a contour; a reason where there is nothing to say."""
    if trials is None or model is None:
        return {
            "why": f"fewer than {MODELLED} trials of one fidelity differ: nothing is said of importance"
        }
    space, kinds, found = trials.result.space, trials.kinds, importance(trials, model)
    order = found.order
    numbers = [int(i) for i in order if not kinds[i].labels][:2]
    return {
        "names": [space.names[i] for i in order],
        "share": rounded(found.share[order], 4),
        "deviation": rounded(found.deviation[order], 4),
        "best": rounded(found.best[order], 4),
        "among": found.among,
        "few": found.doubt,
        "effects": [_effect(trials, model, int(i)) for i in order[:4]],
        "contour": _contour(trials, model, numbers) if len(numbers) > 1 else None,
    }


def _effect(trials: Scored, model: Modelled, i: int) -> dict[str, Any]:
    """The mean of a forest over all other hyperparameters, along one: log10 of the objective, less is better."""
    space, kind = trials.result.space, trials.kinds[i]
    places = len(kind.labels) or 40
    x, mean, spread = analysis.partial_dependence(model.points, model.value, [i], places=places)
    return {
        "name": kind.name,
        "log": kind.log,
        "whole": isinstance(space.ranges[kind.name], (IntUniform, LogIntUniform)),
        "labels": list(kind.labels),
        "x": rounded(as_drawn(space, i, x)),
        "mean": rounded(mean, 4),
        "spread": rounded(spread, 3),
    }


def _contour(trials: Scored, model: Modelled, pair: list[int]) -> dict[str, Any]:
    """The same along the two most important numbers."""
    a, b = pair
    _, surface, _ = analysis.partial_dependence(model.points, model.value, [a, b], places=25)
    space, kinds = trials.result.space, trials.kinds
    return {
        "names": [kinds[a].name, kinds[b].name],
        "log": [kinds[a].log, kinds[b].log],
        "ends": [rounded(as_drawn(space, i, np.array([0.0, 1.0]))) for i in (a, b)],
        "surface": [rounded(line, 4) for line in surface],
    }


def _pareto(result: Result) -> dict[str, list[int]]:
    """The trials that no other beats in objective and another one, or a cost where there is no other, by the latter."""
    return {name: front.trials[front.members].tolist() for name, front in fronts_of(result).items()}


# --- population-based training ----------------------------------------------------------------------------------------
def _lineage(result: Outcome, sign: float) -> dict[str, Any] | None:
    """Who copied whom in the best trial's population, and its schedule; None where no scheduler moves points."""
    together = population_of(result)
    if together is None:
        return None
    best, group, own = together
    shown = group[:MEMBERS] if best in group[:MEMBERS] else [best, *group[: MEMBERS - 1]]
    at = [group.index(trial) for trial in shown]
    pick = lambda column: [column[i] for i in at]
    kinds = {kind.name: kind for kind in scales(result.space)}
    schedules = {}
    for name, entry in result.space.ranges.items():
        if isinstance(entry, Choice):
            continue
        lines: list[dict[str, Any]] = []
        for trial in shown:
            stretch = records.lineage(result.records, trial)
            points = np.array([point for _, _, point in stretch])
            values = drawn_values(result.space, points)[name]
            lines.append(
                {"trial": trial, "until": [u for _, u, _ in stretch], "value": rounded(values, 4)}
            )
        if any(len(set(line["value"])) > 1 for line in lines):
            schedules[name] = {"log": kinds[name].log, "lines": lines}
    return {
        "trial": shown,
        "until": [record["epochs"][0] for record in own],
        "source": [pick(record["source"]) for record in own],
        "value": [
            rounded(sign * records.numbers(pick(record["objective"]), np.nan), 4) for record in own
        ],
        "line": [member for member, _, _ in records.lineage(result.records, best)],
        "schedules": schedules,
    }


# --- the best network -------------------------------------------------------------------------------------------------
def _network(result: Result) -> dict[str, Any]:
    """The best trial's network, trained again and tested: scores, confusion, calibration; a reason where that cannot be."""
    if result.best["trial"] is None:
        return {"why": result.why_none}
    try:
        task = result.task
        if not len(task.test):
            return {"why": "the task holds no rows out for a test"}
        network = result.refit()
    # its data, or what was the user's own, are not here
    except (ValueError, OSError, records.RunError) as fault:
        why = f"the best network was not trained again: {' '.join(str(fault).split())[:300]}"
        warn(f"hpjax: {why}")
        return {"why": why}
    rows = task.test
    examples, truth = task.examples(rows), task.truth(rows)
    predicted = network.predict(examples)
    tested: dict[str, Any] = {
        "trial": result.best["trial"],
        "rows": len(rows),
        "scores": {n: rounded([v])[0] for n, v in result.test(network).items()},
    }
    if not task.classes:
        return tested | _predicted_beside_true(truth, predicted)
    values, counts = np.unique(truth, return_counts=True)
    common = set(values[np.argsort(-counts, kind="stable")[:CLASSES]].tolist())
    shown = [(v, label) for v, label in zip(task.values, task.labels) if v in common]
    table = metrics.confusion(truth, predicted, [value for value, _ in shown])
    tested |= {
        "labels": [label for _, label in shown],
        "confusion": table.tolist(),
        "classes": len(task.labels),
    }
    probability = network.predict_proba(examples)
    right = predicted == truth
    return tested | {"calibration": calibration(probability.max(1), right)}


def _predicted_beside_true(truth: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Predictions beside what is true, of the first target, of at most a thousand rows."""
    truth, predicted = truth.reshape(len(truth), -1)[:, 0], predicted.reshape(len(truth), -1)[:, 0]
    at = np.random.default_rng(0).permutation(len(truth))[:1000]
    return {"truth": rounded(truth[at], 4), "predicted": rounded(predicted[at], 4)}


def calibration(confidence: np.ndarray, right: np.ndarray) -> dict[str, list]:
    """How often predictions of a confidence are right, in bins of equal width that hold some.

    Args:
        confidence: [N] probabilities of the predicted classes.
        right: [N] bool.

    Returns:
        Mean confidence, share that is right, and number of predictions of each bin.

    References:
        Guo, Pleiss, Sun & Weinberger 2017, On Calibration of Modern Neural Networks, section 2.

    Example:
        >>> calibration(np.array([0.95, 0.92, 0.55]), np.array([True, True, False]))
        {'confidence': [0.55, 0.935], 'right': [0.0, 1.0], 'count': [1, 2]}
    """
    which = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(which, minlength=BINS)
    held = np.flatnonzero(count)
    mean = np.bincount(which, confidence, BINS)[held] / count[held]
    share = np.bincount(which, right, BINS)[held] / count[held]
    return {
        "confidence": rounded(mean, 4),
        "right": rounded(share, 4),
        "count": count[held].tolist(),
    }


# --- how it ran -------------------------------------------------------------------------------------------------------
def _facts(result: Outcome) -> list[list[str]]:
    """Name and value of what is worth knowing of the machine, the time and the plan."""
    facts: list[list[str]] = []
    if isinstance(result, Result):
        facts += _plan(result)
    facts += _seconds(result)
    if result.folder is not None:
        facts += environment_facts(result.folder)
    settings = result.settings
    facts.append(["seed", str(settings.seed)])
    facts.append(["space", settings.space_hash])
    facts.append(["schema", str(settings.schema)])
    return facts


def _plan(result: Result) -> list[list[str]]:
    """Programs and padding, of the plan in the ledger."""
    record = result.records[0] if result.records else {}
    family = result.evaluation.family
    if not isinstance(record.get("programs"), list) or "target" not in record or family is None:
        return []
    made = record["devices"]
    programs = [plan.read(entry, made, made, family) for entry in record["programs"]]
    groups = configurations.of_points(
        result.space, result.table["unit"], Target(**record["target"]), family
    )
    specs = [group.spec for group in groups]
    shares = [len(group.rows) for group in groups]
    padding = plan.waste(programs, specs, shares)
    return [
        ["devices", str(made)],
        ["programs", f"{len(programs)} for {len(specs)} shapes"],
        ["padding", f"{100 * padding:.0f} % of the arithmetic"],
    ]


def _seconds(result: Outcome) -> list[list[str]]:
    """Seconds of compiling and training, and networks per second."""
    total = lambda name: sum(entry[name] for entry in result.times if name in entry)
    compiling, training = total("compile_seconds"), total("run_seconds")
    facts = []
    if compiling or training:
        facts += [
            ["compiling", f"{compiling:.1f} s"],
            ["training", f"{training:.1f} s of the devices"],
        ]
    if training and isinstance(result, Result):
        validation = result.evaluation.validation
        groups = max(1, validation.folds) * validation.repeats
        finished = sum(len(record["trial"]) for _, record in records.reports(result.records))
        facts.append(
            ["networks", f"{groups * finished / training:.3g} a second (a rung counts as one)"]
        )
    each = [entry["workers"] for entry in result.times if entry.get("workers")]
    workers = {name: seconds for entry in each for name, seconds in entry.items()}
    if workers:
        facts.append(
            ["workers", ", ".join(f"{n}: {s:.1f} s" for n, s in sorted(workers.items())[:16])]
        )
    return facts


def environment_facts(folder: Any) -> list[list[str]]:
    """Versions, device and commit of the last process that worked on a folder."""
    path = folder / "environment.json"
    if not path.exists():
        return []
    try:
        last = records.read_json(path)[-1]
    except (records.RunError, IndexError, TypeError, KeyError):
        return [["environment", "environment.json cannot be read"]]
    versions = ", ".join(f"{name} {v}" for name, v in last.get("versions", {}).items() if v)
    named = [
        ("versions", versions),
        ("python", f"{last.get('python')} on {last.get('system')} {last.get('machine')}"),
        ("device", f"{last.get('device')}, {last.get('cores')} cores"),
        ("commit", f"{last.get('commit')}{', changed' if last.get('dirty') else ''}"),
    ]
    return [[name, str(value)] for name, value in named]
