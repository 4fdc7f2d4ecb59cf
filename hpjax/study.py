"""The loop: ask, order, report, tell, record. It is handed `fulfil`; it never trains.

`play` is one study as a generator of orders, `run` carries them out one by one, and `together` lets several studies wait for
each other, so that their orders become one.

This file is long because one study and several at once share the loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hpjax.records import Ledger, RunError, numbers
from hpjax.schedulers.base import UNBOUNDED, Order, Scheduler
from hpjax.search.base import Dim, Searcher, Told

SEARCH, SCHEDULE = 11, 12  # purposes that randomness is named by


class Report(NamedTuple):
    """What comes back from an order, n rows."""

    loss: np.ndarray  # [n] what is minimised; not finite where it failed
    columns: dict[
        str, np.ndarray
    ] = {}  # [n] others to record: error, train, reached, diverged, failed; cost (epochs), where it is not the epochs trained
    curves: np.ndarray | None = None  # [n rows 4]
    grad: np.ndarray | None = None  # [n D]
    seconds: np.ndarray | None = None  # [n] that each trial took of the devices


class Stop(NamedTuple):
    """Limits; the first that is reached ends the study."""

    trials: int | None = None
    epochs: int | None = None  # summed over trials
    seconds: float | None = None  # recorded as not deterministic
    rounds: int | None = None  # reports at full fidelity in a row without a better loss


class Progress(NamedTuple):
    """What a watcher is shown after every report."""

    asked: int
    finished: int
    epochs: int  # summed over trials
    incumbent: float
    best: int  # trial number, -1 for none
    seconds: float


def _nobody(order: Order) -> Report:
    raise NotImplementedError("orders of this study are carried out by `together`")


class Fulfil(NamedTuple):
    """The population, as the loop sees it."""

    carry_out: Callable[[Order], Report] = _nobody
    recall: Callable[[Order], None] = lambda order: (
        None
    )  # an order that was carried out before a resume
    release: Callable[[np.ndarray], None] = lambda trials: None  # these trials are finished
    save: Callable[[], None] = lambda: None  # a moment to write a checkpoint


def play(
    search: Searcher,
    scheduler: Scheduler,
    dims: tuple[Dim, ...],
    fulfil: Fulfil,
    ledger: Ledger,
    stop: Stop,
    *,
    seed: int = 0,
    batch: int = 2**20,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Generator[Order, Report, None]:
    """A study, step by step: yields the orders that are to be carried out, and is sent their reports.

    Args:
        search: proposes points in the unit cube.
        scheduler: says how long each lives.
        dims: of the space.
        fulfil: takes note of recorded orders, and of networks that are no longer needed.
        ledger: records; one that holds records is replayed first, and must come out the same.
        stop: limits.
        seed: names the randomness of asks.
        batch: the most trials asked for at once.
        watch: shown progress after every report.

    Raises:
        RunError: a replay that does not come out the same, or a ledger that cannot be written.
    """
    begun = time.monotonic()
    searching, scheduling = search.init((seed, SEARCH)), scheduler.init(dims)
    asked = finished = spent = round_ = report_number = waited = started = charge = 0
    incumbent, best = np.inf, -1
    points = np.zeros((0, len(dims)))  # [asked D] where each trial stands now
    age = np.zeros(0, np.int64)  # [asked] epochs behind each trial
    closed = False
    limit = stop.trials if stop.trials is not None else np.inf
    why = "done"
    while True:
        room, fidelity = scheduler.room(scheduling)
        wanted = min(room, batch, limit - asked)
        if stop.epochs is not None:  # no more than the epochs allow, counting those who wait
            each = (
                max(scheduler.fidelity, charge) if room >= UNBOUNDED else fidelity
            )  # who may all live to the end
            rest = stop.epochs - spent - (asked - started) * each
            wanted = min(wanted, -(-rest // each))
            why = "epochs" if rest <= 0 else why
        unit = points[:0]
        if wanted > 0:
            known = ledger.upcoming("ask")
            if known is not None and "note" in known:
                searching = search.hint(searching, known["note"])
            unit, searching = search.ask(searching, (seed, SEARCH, asked), int(wanted), fidelity)
            if len(unit):
                unit = np.asarray(unit, np.float64)
                note = search.note(searching)
                record = {"kind": "ask", "first": asked, "unit": unit, "fidelity": fidelity}
                ledger.put(record | ({"note": note} if note else {}))
                trials = np.arange(asked, asked + len(unit))
                scheduling = scheduler.admit(scheduling, trials, unit)
                asked += len(unit)
                points = np.concatenate([points, unit])
                age = np.concatenate([age, np.zeros(len(unit), np.int64)])
        order, scheduling = scheduler.ask(scheduling, (seed, SCHEDULE, round_))
        round_ += 1
        if order is None:
            if wanted > 0 and len(unit):  # it waits for more
                continue
            if not closed:
                scheduling, closed = scheduler.close(scheduling), True
                continue
            if wanted <= 0 and asked < limit and why == "done":
                raise RunError("the scheduler has neither room nor an order, though trials remain")
            break
        closed = False
        order = order._replace(grad=search.wants_grad)
        started = max(started, int(order.trial.max()) + 1)
        known = ledger.recorded("report")
        if known is not None:
            loss, report = _same(known, order), None
            grad = np.asarray(known["grad"], np.float64) if "grad" in known else None
            fulfil.recall(order)
        else:
            sent = time.monotonic()
            report = yield order
            value = np.asarray(report.loss, np.float64)
            loss = np.where(
                np.isfinite(value), value, np.inf
            )  # the one place where failure becomes +inf
            grad = report.grad
            each = {} if report.seconds is None else {"each": np.round(report.seconds, 6)}
            elapsed = time.monotonic() - sent
            ledger.time(report=report_number, seconds=elapsed, trials=len(loss), **each)
        scheduling, done = scheduler.tell(scheduling, order, loss)
        columns = report.columns if report is not None else known or {}
        reached = np.asarray(columns.get("reached", order.epochs))
        told = Told(
            order.trial,
            order.unit,
            loss,
            np.asarray(order.epochs),
            np.isin(order.trial, done),
            grad,
        )
        if report is not None:
            if report.curves is not None:
                ledger.put_curves(report_number, report.curves)
            ledger.put(_record(order, loss, report, done, points))
        searching = search.tell(searching, told)
        report_number += 1
        behind = np.where(order.source >= 0, age[np.maximum(order.source, 0)], 0)
        charged = np.asarray(columns.get("cost", np.maximum(reached - behind, 0)))
        spent += int(charged.sum())
        if "cost" in columns:
            charge = int(np.max(charged))
        age[order.trial], points[order.trial] = reached, order.unit
        fulfil.release(done)
        finished += len(done)
        full = np.asarray(order.epochs) >= scheduler.fidelity
        lowest = np.where(full, loss, np.inf)
        at = int(np.argmin(lowest)) if len(loss) else 0
        gained = len(loss) > 0 and lowest[at] < incumbent
        if gained:
            incumbent, best = float(lowest[at]), int(order.trial[at])
        waited = 0 if gained else waited + bool(full.any())  # lower rungs cannot gain
        if not ledger.replaying:
            fulfil.save()
        seconds = time.monotonic() - begun
        watch(Progress(asked, finished, spent, incumbent, best, seconds))
        ended = ledger.recorded("stop")
        if ended is not None:
            return
        if stop.epochs is not None and spent >= stop.epochs:
            why = "epochs"
        elif stop.rounds is not None and waited >= stop.rounds:
            why = "rounds"
        elif stop.seconds is not None and seconds >= stop.seconds and not ledger.replaying:
            why = "seconds"
        if why in ("rounds", "seconds") or (stop.epochs is not None and spent >= stop.epochs):
            break
    if ledger.recorded("stop") is None:
        ledger.put({"kind": "stop", "why": why, "deterministic": why != "seconds"})


def run(
    search: Searcher,
    scheduler: Scheduler,
    dims: tuple[Dim, ...],
    fulfil: Fulfil,
    ledger: Ledger,
    stop: Stop,
    **options,
) -> None:
    """Drives a search and a scheduler to the end of a study; arguments as for `play`."""
    study = play(search, scheduler, dims, fulfil, ledger, stop, **options)
    together({0: study}, lambda orders: {0: fulfil.carry_out(orders[0])})


def together(
    studies: Mapping[int, Generator[Order, Report, None]],
    carry_out: Callable[[dict[int, Order]], Mapping[int, Report]],
) -> None:
    """Drives several studies to their ends: in every round, the orders that all of them wait for are carried out at once.

    Args:
        studies: by number, as `play` makes them.
        carry_out: orders by study -> reports by study.
    """
    waiting = {}
    for number, study in studies.items():
        order = next(study, None)
        if order is not None:
            waiting[number] = order
    while waiting:
        reports = carry_out(waiting)
        following = {}
        for number in waiting:
            try:
                following[number] = studies[number].send(reports[number])
            except StopIteration:
                continue
        waiting = following


def merged(orders: Mapping[int, Order], stride: int) -> Order:
    """Several studies' orders as one; trial t of study s is trial s * stride + t.

    Args:
        orders: by study.
        stride: more than any study's trials.
    """
    shifted = [
        order._replace(
            trial=order.trial + number * stride,
            source=np.where(order.source >= 0, order.source + number * stride, -1),
        )
        for number, order in orders.items()
    ]
    if len({order.grad for order in shifted}) > 1:
        raise ValueError("orders with gradients and without cannot be merged")
    whole = lambda name: np.concatenate([getattr(order, name) for order in shifted])
    return Order(
        whole("trial"),
        whole("unit"),
        whole("source"),
        whole("epochs"),
        whole("seed"),
        shifted[0].grad,
    )


def parted(report: Report, orders: Sequence[Order]) -> list[Report]:
    """A merged order's report, cut into one for each of the orders."""
    ends = np.cumsum([len(order.trial) for order in orders])[:-1]
    parts = []
    for rows in np.split(np.arange(len(report.loss)), ends):
        cut = lambda column, rows=rows: None if column is None else column[rows]
        columns = {name: column[rows] for name, column in report.columns.items()}
        parts.append(
            Report(
                report.loss[rows],
                columns,
                cut(report.curves),
                cut(report.grad),
                cut(report.seconds),
            )
        )
    return parts


def _record(
    order: Order, loss: np.ndarray, report: Report, done: np.ndarray, points: np.ndarray
) -> dict:
    record = {
        "kind": "report",
        "trial": order.trial,
        "source": order.source,
        "epochs": order.epochs,
        "loss": loss,
        "finished": np.sort(done),
        **report.columns,
    }
    if np.any(order.seed):
        record["seed"] = order.seed
    if report.grad is not None:
        record["grad"] = report.grad
    if not np.array_equal(points[order.trial], order.unit):  # the scheduler moved some
        record["unit"] = order.unit
    return record


def _same(known: dict, order: Order) -> np.ndarray:
    """The recorded losses of an order, after making sure that it is the recorded order."""
    for name in ("trial", "source", "epochs"):
        if known[name] != np.asarray(getattr(order, name)).tolist():
            raise RunError(
                f"the recorded order's {name} did not come out again; was the run made by another version?"
            )
    return numbers(known["loss"], np.inf)
