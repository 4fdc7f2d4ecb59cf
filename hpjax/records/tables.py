"""What a ledger says, as arrays: every trial's last report, the best so far, lineages, seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from hpjax.files import numbers, uncollected
from hpjax.records import curves
from hpjax.records.trial_status import status_of

# columns of a report, and what a null among them stands for
COLUMNS = {
    "objective": np.inf,
    "loss": np.inf,
    "error": np.nan,
    "train": np.nan,
    "kept": np.nan,
    "violation": np.inf,
}


def reports(records: list[dict]) -> Iterator[tuple[int, dict]]:
    """The reports of a ledger, numbered as their curves are."""
    yield from enumerate(record for record in records if record["kind"] == "report")


@uncollected()
def incumbent(records: list[dict], fidelity: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best value so far over cost. The trials of a report count one after another, in its order, as if trained so.

    Returns:
        Epochs spent over all trials after each trial of each report [n]; the best value by then at any fidelity [n], and among
        trials at full fidelity [n] (infinite before the first).
    """
    answers = [record for record in records if record["kind"] == "report"]
    costs = [cost for each in _charged(answers) for cost in each]
    value = _column(answers, "objective", np.inf)
    if any("violation" in record for record in answers):
        value = np.where(_column(answers, "violation", np.inf) > 0, np.inf, value)
    full = np.where(_column(answers, "epochs") >= fidelity, value, np.inf)
    return np.cumsum(costs), np.minimum.accumulate(value), np.minimum.accumulate(full)


def _charged(answers: list[dict]) -> Iterator[list[float]]:
    """The epochs that each report charged each of its trials."""
    age: dict[int, int] = {}
    for record in answers:
        reached = record.get("reached", record["epochs"])
        before = [age.get(source, 0) if source >= 0 else 0 for source in record["source"]]
        yield record.get("cost") or [max(0, r - b) for r, b in zip(reached, before)]
        age |= dict(zip(record["trial"], reached))


def costs_and_objectives(
    records: list[dict], fidelity: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of the m trials of each report, as `incumbent` has them: epochs spent after each [m], and its objectives [m O].

    Objectives are infinite where a trial has not reached full fidelity, or breaks a constraint.
    """
    answers, spent = [record for record in records if record["kind"] == "report"], 0.0
    for record, costs in zip(answers, _charged(answers)):
        after = spent + np.cumsum(costs)
        spent = float(after[-1]) if len(after) else spent
        good = np.array(record["epochs"]) >= fidelity
        if "violation" in record:
            good &= numbers(record["violation"], np.inf) <= 0
        yield after, np.where(good[:, None], objectives_of(record), np.inf)


def _column(records: list[dict], name: str, missing: float = np.nan) -> np.ndarray:
    """A column of several reports, one after another [n], its nulls as `missing`."""
    return numbers(list(chain.from_iterable(record[name] for record in records)), missing)


def objectives_of(record: dict) -> np.ndarray:
    """What a report says was minimised [n O]; failures are infinite."""
    first = numbers(record["objective"], np.inf)[:, None]
    rows = record.get("further")
    if rows is None:
        return first
    others = numbers(list(chain.from_iterable(rows)), np.inf).reshape(len(first), -1)
    return np.concatenate([first, others], 1)


@uncollected()
def summarise(
    records: list[dict], dims: int, fidelity: int, metrics: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Every trial's last report.

    Args:
        records: of one study.
        dims: D.
        fidelity: epochs of a network that lives to the end.
        metrics: the user's own, where no plan is recorded yet.

    Returns:
        Columns by trial number: unit [n D], objective (what was minimised; the first, where there are several), objectives [n O], violation (of
        constraints), loss, error, train, kept, the user's own metrics, epochs, diverged [n] (epoch, 0 if not), whole (whether it was to be trained to the end), finished (whether no more orders come) and status: OK, PRUNED, DIVERGED,
        FAILED, INFEASIBLE, RUNNING or NEW.
    """
    asks = [record for record in records if record["kind"] == "ask"]
    answers = [record for record in records if record["kind"] == "report"]
    count = sum(len(record["unit"]) for record in asks)
    unit = np.array(list(chain.from_iterable(record["unit"] for record in asks)), np.float64)
    unit = unit.reshape(count, dims)
    trial = _column(answers, "trial").astype(np.int64)
    table = {}
    for name, missing in COLUMNS.items():  # a trial's last report is assigned last
        table[name] = np.full(count, np.nan)
        having = [record for record in answers if name in record]
        table[name][_column(having, "trial").astype(np.int64)] = _column(having, name, missing)
    several = [objectives_of(record) for record in answers if "further" in record]
    table["objectives"] = table["objective"][:, None]
    if several:
        table["objectives"] = np.full((count, several[0].shape[1]), np.nan)
        table["objectives"][trial] = np.concatenate(several)
    own = [
        record["metrics"] | {"trial": record["trial"]} for record in answers if "metrics" in record
    ]
    for name in curves.columns(records, metrics)[len(curves.COLUMNS) :]:
        table[name] = np.full(count, np.nan)
        table[name][_column(own, "trial").astype(np.int64)] = _column(own, name)
    asked, epochs, diverged = (np.zeros(count, np.int64) for _ in range(3))
    finished, failed = np.zeros(count, bool), np.zeros(count, bool)
    asked[trial] = _column(answers, "epochs")
    epochs[trial] = _column([{"reached": r["epochs"]} | r for r in answers], "reached")
    for name, column in (("diverged", diverged), ("failed", failed)):
        column[trial] = _column([{name: [0] * len(r["trial"])} | r for r in answers], name)
    finished[_column(answers, "finished").astype(np.int64)] = True
    if records and records[-1].get("why") == "done":  # whoever waits is not trained on
        finished |= asked > 0
    for record in answers:
        if "unit" in record:
            unit[record["trial"]] = np.reshape(record["unit"], (len(record["unit"]), dims))
    broken = table["violation"] > 0
    status = status_of(table["objective"], asked, finished, failed, broken & finished, fidelity)
    whole = asked >= fidelity
    described = {"epochs": epochs, "diverged": diverged, "whole": whole, "finished": finished}
    return {"unit": unit, **table, **described, "status": status}


def lineage(records: list[dict], trial: int) -> list[tuple[int, int, np.ndarray]]:
    """Whose network a trial's became, from its first epoch on, by following the sources of weights backwards.

    Returns:
        (member, until epoch, point [D]) of every stretch, in the order of epochs.
    """
    proposed: dict[int, list] = {}
    orders = []
    for record in records:
        if record["kind"] == "ask":
            proposed |= dict(enumerate(record["unit"], record["first"]))
        elif record["kind"] == "report":
            if "unit" in record:
                proposed |= dict(zip(record["trial"], record["unit"]))
            orders.append((record, {t: proposed[t] for t in record["trial"]}))
    stretches, member = [], trial
    for record, points in reversed(orders):
        if member in points:
            row = record["trial"].index(member)
            stretches.append((member, record["epochs"][row], np.array(points[member], float)))
            member = record["source"][row]
            if member < 0:
                break
    return stretches[::-1]


@uncollected()
def seconds(records: list[dict], times: list[dict], count: int) -> np.ndarray:
    """Seconds of the devices that each trial took [count]; NaN where no process wrote them down."""
    each = {entry.get("report"): entry["each"] for entry in times if "each" in entry}
    timed = [
        (record["trial"], each[number])
        for number, record in reports(records)
        if len(each.get(number, ())) == len(record["trial"])
    ]
    trial = np.array(list(chain.from_iterable(trials for trials, _ in timed)), np.int64)
    taken = np.array(list(chain.from_iterable(shares for _, shares in timed)), np.float64)
    total = np.bincount(trial, taken, count).astype(np.float64)
    total[np.bincount(trial, minlength=count) == 0] = np.nan
    return total
