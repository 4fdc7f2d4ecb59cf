"""What a ledger says, as arrays: every trial's last report, the best so far, lineages, seconds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hpjax.records.files import numbers

# columns of a report, and what a null among them stands for
COLUMNS = {"objective": np.inf, "loss": np.inf, "error": np.nan, "train": np.nan, "kept": np.nan}


def reports(records: list[dict]) -> Iterator[tuple[int, dict]]:
    """The reports of a ledger, numbered as their curves are."""
    yield from enumerate(record for record in records if record["kind"] == "report")


def incumbent(records: list[dict], fidelity: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best value so far over cost. The trials of a report count one after another, in its order, as if trained so.

    Returns:
        Epochs spent over all trials after each trial of each report [n]; the best value by then at any fidelity [n], and among
        trials at full fidelity [n] (infinite before the first).
    """
    age: dict[int, int] = {}
    costs, losses, fully = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, bool)]
    for _, record in reports(records):
        reached = record.get("reached", record["epochs"])
        before = [age.get(source, 0) if source >= 0 else 0 for source in record["source"]]
        costs.append(record.get("cost", np.maximum(0, np.subtract(reached, before))))
        losses.append(numbers(record["objective"], np.inf))
        fully.append(np.array(record["epochs"]) >= fidelity)
        age |= dict(zip(record["trial"], reached))
    loss, full = np.concatenate(losses), np.concatenate(fully)
    best = np.minimum.accumulate(loss)
    return (
        np.cumsum(np.concatenate(costs)),
        best,
        np.minimum.accumulate(np.where(full, loss, np.inf)),
    )


def summarise(records: list[dict], dims: int, fidelity: int) -> dict[str, np.ndarray]:
    """Every trial's last report.

    Args:
        records: of one study.
        dims: D.
        fidelity: epochs of a network that lives to the end.

    Returns:
        Columns by trial number: unit [n D], objective (what was minimised), loss, error, train, kept, epochs, diverged [n] (epoch, 0
        if not) and status: OK, PRUNED, DIVERGED, FAILED, RUNNING or NEW.
    """
    count = sum(len(record["unit"]) for record in records if record["kind"] == "ask")
    unit = np.full((count, dims), np.nan)
    table = {name: np.full(count, np.nan) for name in COLUMNS}
    asked, epochs, diverged = (np.zeros(count, np.int64) for _ in range(3))
    finished, failed = np.zeros(count, bool), np.zeros(count, bool)
    for record in records:
        if record["kind"] == "ask":
            rows = slice(record["first"], record["first"] + len(record["unit"]))
            unit[rows] = np.reshape(record["unit"], (len(record["unit"]), dims))
        elif record["kind"] == "report":
            trial = np.array(record["trial"], int)
            for name, missing in COLUMNS.items():
                if name in record:
                    table[name][trial] = numbers(record[name], missing)
            asked[trial] = record["epochs"]
            epochs[trial] = record.get("reached", record["epochs"])
            diverged[trial] = record.get("diverged", 0)
            failed[trial] = record.get("failed", False)
            finished[np.array(record["finished"], int)] = True
            if "unit" in record:
                unit[trial] = np.reshape(record["unit"], (len(record["unit"]), dims))
    status = np.full(count, "NEW", dtype="<U8")
    status[asked > 0] = "RUNNING"
    status[finished & (asked < fidelity)] = "PRUNED"
    status[finished & (asked >= fidelity)] = "OK"
    status[(asked > 0) & ~np.isfinite(table["objective"])] = "DIVERGED"
    status[failed] = "FAILED"
    return {"unit": unit, **table, "epochs": epochs, "diverged": diverged, "status": status}


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


def seconds(records: list[dict], times: list[dict], count: int) -> np.ndarray:
    """Seconds of the devices that each trial took [count]; NaN where no process wrote them down."""
    each = {entry["report"]: entry["each"] for entry in times if "each" in entry}
    total = np.full(count, np.nan)
    for number, record in reports(records):
        if number in each:
            trial = np.array(record["trial"], int)
            total[trial] = np.nan_to_num(total[trial]) + np.asarray(each[number])
    return total
