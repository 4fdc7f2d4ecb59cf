"""The loop: propose, dispatch, record, stop. It is handed `callbacks`; it never trains.

`play` is one study as a generator of orders, `run` carries them out one by one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import numpy as np

from hpjax.defaults import ANY_BATCH
from hpjax.randomness import SCHEDULE, SEARCH
from hpjax.records import Ledger, RunError, numbers, objectives_of, uncollected
from hpjax.schedulers.base import UNBOUNDED, Order, Scheduler
from hpjax.search.base import Dim, Observations, Searcher
from hpjax.settings import Stop
from hpjax.study import checks
from hpjax.study.failure_as_infinity import failure_as_infinity
from hpjax.study.reports import Report, recorded
from hpjax.study.study_state import Callbacks, Progress, State, StudyParts
from hpjax.study.together import together
from hpjax.study.trial_ages import Trials

# fields of a report's record that say which order it answers
ORDERED = ("kind", "trial", "source", "epochs", "seed", "unit")


def play(
    search: Searcher,
    scheduler: Scheduler,
    dims: tuple[Dim, ...],
    callbacks: Callbacks,
    ledger: Ledger,
    stop: Stop,
    *,
    seed: int = 0,
    batch: int = ANY_BATCH,
    extend_to: int | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    say: Callable[[str], None] = lambda text: None,
) -> Generator[Order, Report, None]:
    """A study, step by step: yields the orders that are to be carried out, and is sent their reports.

    Args:
        search: proposes points in the unit cube.
        scheduler: says how long each lives.
        dims: of the space.
        callbacks: takes note of recorded orders, and of networks that are no longer needed.
        ledger: records; one that holds records is replayed first, and must come out the same.
        stop: limits.
        seed: names the randomness of asks.
        batch: the most trials asked for at once.
        extend_to: trials that the study goes on to have, once it had those that it was asked for.
        watch: shown progress after every report that is new.
        say: told where a study that goes on differs from one that was asked for as many at once.

    Raises:
        RunError: a replay that does not come out the same, or a ledger that cannot be written.
        ValueError: a search or a scheduler that hands over what cannot be.
    """
    begun = time.monotonic()
    parts = StudyParts(search, scheduler, dims, ledger, stop, seed, batch)
    with contextlib.ExitStack() as replay:
        if ledger.replaying:
            replay.enter_context(uncollected())
        yield from _steps(parts, callbacks, extend_to, watch, say, begun, replay.close)


def _steps(
    parts: StudyParts,
    callbacks: Callbacks,
    extend_to: int | None,
    watch: Callable[[Progress], None],
    say: Callable[[str], None],
    begun: float,
    replayed: Callable[[], None],
) -> Generator[Order, Report, None]:
    """The steps of `play`; `replayed` is called when nothing recorded is left to go through."""
    search, scheduler, dims, ledger, stop, seed, _ = parts
    state = State(
        search.init((seed, SEARCH)), scheduler.init(dims), Trials(len(dims)), _limit(ledger, stop)
    )
    while True:
        extended = ledger.recorded("more")
        if extended is not None:
            state.limit, state.closed, state.why = extended["trials"], False, "done"
        order = _next(parts, state)
        if order is None:
            if extend_to is None or state.why != "done" or extend_to <= state.limit:
                break
            _extend(parts, state, extend_to, say)
            callbacks.extended(extend_to)
            continue
        known = ledger.recorded("report")
        if known is not None:  # it was checked when it was recorded
            order = _arrays(order)
            report = _recorded(parts, state, known, order)
            callbacks.recall(order)
        else:
            replayed()
            order = checks.order(order, state.trials, dims, scheduler.fidelity)
            sent = time.monotonic()
            report = yield order
            _time(ledger, state, order, report, time.monotonic() - sent)
        callbacks.release(_absorb(parts, state, order, report, known))
        seconds = time.monotonic() - begun
        if not ledger.replaying:
            callbacks.save()
            watch(_progress(state, order, seconds))
        if extend_to is None and ledger.recorded("stop") is not None:
            return
        if _stopped(parts, state, seconds):
            break
    if ledger.recorded("stop") is None:
        deterministic = state.why != "seconds"
        ledger.put(
            {
                "kind": "stop",
                "why": state.why,
                "deterministic": deterministic,
                "trials": state.trial_limit,
            }
        )


def _time(ledger: Ledger, state: State, order: Order, report: Report, seconds: float) -> None:
    """Notes how long an order took."""
    each = {} if report.seconds is None else {"each": np.round(report.seconds, 6)}
    ledger.time(report=state.reports, seconds=seconds, trials=len(order.trial), **each)


def _progress(state: State, order: Order, seconds: float) -> Progress:
    """What a watcher is shown, after an order."""
    return Progress(
        asked=state.trials.count,
        finished=state.finished,
        epochs=state.spent,
        incumbent=state.incumbent,
        best=state.best,
        seconds=seconds,
        until=int(np.max(order.epochs)),
        total=state.trial_limit,
    )


def _limit(ledger: Ledger, stop: Stop) -> float:
    """The trials that a study may have at first; a ledger knows it better than settings that were raised since."""
    first = stop.trials
    if ledger.ended:
        first = ledger.records[-1].get("trials")
    for record in ledger.records:
        if record["kind"] == "more":
            first = record["before"]
            break
    return np.inf if first is None else first


class Room(NamedTuple):
    """What a study has room for.

    Attributes:
        now: trials that are asked for.
        natural: trials that would be, without a limit of them.
        fidelity: epochs that they begin with.
        epochs_left: whether the limit of epochs allows another trial, counting those who wait.
    """

    now: int
    natural: int
    fidelity: int
    epochs_left: bool


def _room(parts: StudyParts, state: State) -> Room:
    """What the scheduler, the batch and the limits leave room for."""
    room, fidelity = parts.scheduler.room(state.scheduling)
    natural, epochs_left = min(room, parts.batch), True
    if parts.stop.epochs is not None:
        # trials that wait may all live to the end
        each = max(parts.scheduler.fidelity, state.charge) if room >= UNBOUNDED else fidelity
        waiting = state.trials.count - state.started
        rest = parts.stop.epochs - state.spent - waiting * each
        natural, epochs_left = min(natural, -(-rest // each)), rest > 0
    now = int(min(natural, state.limit - state.trials.count))
    return Room(now, natural, fidelity, epochs_left)


def _propose(parts: StudyParts, state: State, wanted: int, fidelity: int) -> int:
    """Asks the search for trials, records them and hands them to the scheduler; returns how many came."""
    search, ledger, first = parts.search, parts.ledger, state.trials.count
    known = ledger.upcoming("ask")
    if known is not None and "note" in known:
        state.searching = search.hint(state.searching, known["note"])
    unit, state.searching = search.ask(
        state.searching, (parts.seed, SEARCH, first), wanted, fidelity
    )
    unit = (
        checks.points(unit, wanted, parts.dims) if known is None else np.asarray(unit, np.float64)
    )
    if not len(unit):
        return 0
    note = search.note(state.searching)
    record = {"kind": "ask", "first": first, "unit": unit, "fidelity": fidelity}
    ledger.put(record | ({"note": note} if note else {}))
    state.scheduling = parts.scheduler.admit(state.scheduling, state.trials.add(unit), unit)
    return len(unit)


def _next(parts: StudyParts, state: State) -> Order | None:
    """The next order; None where the study is at its end."""
    while True:
        room = _room(parts, state)
        came = 0
        if room.now > 0:
            state.cut = state.cut or room.now < room.natural
            came = _propose(parts, state, room.now, room.fidelity)
        order, state.scheduling = parts.scheduler.ask(
            state.scheduling, (parts.seed, SCHEDULE, state.reports)
        )
        if order is not None:
            if not isinstance(order, Order):
                raise ValueError(f"the scheduler must give an Order or None, got {order!r:.80}")
            state.cut, state.closed = state.cut or (state.closed and state.short), False
            return order._replace(grad=parts.search.wants_grad)
        if came:  # the scheduler waits for more
            continue
        if not state.closed:
            state.short = room.now <= 0 < room.natural
            state.scheduling, state.closed = parts.scheduler.close(state.scheduling), True
            continue
        if not room.epochs_left:
            state.why = "epochs"
        elif room.now <= 0 and state.trials.count < state.limit:
            raise RunError("the scheduler has neither room nor an order, though trials remain")
        return None


def _extend(parts: StudyParts, state: State, extend_to: int, say: Callable[[str], None]) -> None:
    """Raises the limit of trials of a study that reached it."""
    before = int(state.limit)
    record = {"kind": "more", "before": before, "trials": extend_to} if state.cut else None
    if state.cut:
        say(
            f"hpjax: the last round was cut at {before} trials, so that this ledger differs from that of a study asked for {extend_to} at once"
        )
    parts.ledger.reopened(record)
    if record is None:
        state.limit, state.closed = extend_to, False


def _arrays(order: Order) -> Order:
    """An order whose columns may be lists, as arrays."""
    whole = lambda column: np.asarray(column, np.int64)
    return Order(
        whole(order.trial),
        np.asarray(order.unit, np.float64),
        whole(order.source),
        whole(order.epochs),
        whole(order.seed),
        order.grad,
    )


def _recorded(parts: StudyParts, state: State, known: dict, order: Order) -> Report:
    """The recorded report of an order, after making sure that it is the recorded order."""
    moved = not (state.trials.unit[order.trial] == order.unit).all()
    parts.ledger.same(
        {name: known[name] for name in ORDERED if name in known}, _ordered(order, moved), past=1
    )
    columns = {name: np.array(known[name]) for name in ("reached", "cost") if name in known}
    if "violation" in known:
        columns["violation"] = numbers(known["violation"], np.inf)
    grad = np.asarray(known["grad"], np.float64) if "grad" in known else None
    return Report(objectives_of(known), columns, grad=grad)


def _ordered(order: Order, moved: bool) -> dict:
    """What a report's record says of its order."""
    record = {
        "kind": "report",
        "trial": order.trial.tolist(),
        "source": order.source.tolist(),
        "epochs": order.epochs.tolist(),
    }
    if order.seed.any():
        record["seed"] = order.seed.tolist()
    if moved:  # by the scheduler
        record["unit"] = order.unit.tolist()
    return record


def _absorb(
    parts: StudyParts, state: State, order: Order, report: Report, known: dict | None
) -> np.ndarray:
    """Records a report and tells it to the scheduler and the search; returns the trials that are finished."""
    ledger, trials = parts.ledger, state.trials
    every, violation = failure_as_infinity(report.objective), report.columns.get("violation")
    objectives = every if violation is None else _allowed(every, violation)
    state.scheduling, done = parts.scheduler.tell(state.scheduling, order, objectives)
    if known is None:
        done = checks.finished(done, order, trials)
        _record(ledger, trials, order, report, every, done)
    else:
        done = np.asarray(done, np.int64)
        again = {"kind": "report", "finished": np.sort(done).tolist()}
        ledger.same({"kind": "report", "finished": known["finished"]}, again, past=1)
    trials.finished[done] = True
    observations = Observations(
        order.trial,
        order.unit,
        objectives,
        order.epochs,
        trials.finished[order.trial],
        report.grad,
        violation,
    )
    state.searching = parts.search.tell(state.searching, observations)
    _account(state, order, report)
    state.finished += len(done)
    state.reports += 1
    full = order.epochs >= parts.scheduler.fidelity  # lower rungs cannot gain
    gained = _gain(state, order.trial[full], objectives[full])
    state.waited = 0 if gained else state.waited + bool(full.any())
    return done


def _allowed(objectives: np.ndarray, violation: np.ndarray) -> np.ndarray:
    """Objectives [n O] of a study with constraints: those that break one are as those that failed."""
    return np.where(violation[:, None] > 0, np.inf, objectives)


def _record(
    ledger: Ledger,
    trials: Trials,
    order: Order,
    report: Report,
    objectives: np.ndarray,
    done: np.ndarray,
) -> None:
    """Writes a report [n O] and the trials that it finished."""
    moved = not (trials.unit[order.trial] == order.unit).all()
    record = _ordered(order, moved) | report.columns
    record |= recorded(objectives) | {"finished": np.sort(done)}
    if report.metrics:
        record["metrics"] = report.metrics
    if report.grad is not None:
        record["grad"] = report.grad
    if report.curves is not None:
        record["curves"] = ledger.put_curves(report.curves)
    ledger.put(record)


def _account(state: State, order: Order, report: Report) -> None:
    """Adds up what an order cost, and notes where it left its trials."""
    trials = state.trials
    reached = np.asarray(report.columns.get("reached", order.epochs)).astype(np.int64)
    behind = np.where(order.source >= 0, trials.age[np.maximum(order.source, 0)], 0)
    charged = np.asarray(report.columns.get("cost", np.maximum(reached - behind, 0)))
    state.spent += int(charged.sum())
    if "cost" in report.columns:
        state.charge = max(state.charge, int(np.max(charged)))
    trials.age[order.trial], trials.unit[order.trial] = reached, order.unit
    trials.reported[order.trial] = True
    state.started = max(state.started, int(order.trial.max()) + 1)


def _gain(state: State, trial: np.ndarray, objectives: np.ndarray) -> bool:
    """Whether one of these, at full fidelity, is better than all before; with several objectives, in one of them.

    The incumbent of a study with several objectives is that of the first.
    """
    if not len(trial):
        return False
    lowest = objectives.min(0)
    before = np.full(len(lowest), np.inf) if state.lowest is None else state.lowest
    state.lowest = np.minimum(before, lowest)
    if lowest[0] < before[0]:
        state.best = int(trial[objectives[:, 0].argmin()])
    return bool((lowest < before).any())


def _stopped(parts: StudyParts, state: State, seconds: float) -> bool:
    """Whether a limit other than that of trials ends the study; `why` says which."""
    stop = parts.stop
    if stop.epochs is not None and state.spent >= stop.epochs:
        state.why = "epochs"
    elif stop.rounds is not None and state.waited >= stop.rounds:
        state.why = "rounds"
    elif stop.seconds is not None and seconds >= stop.seconds and not parts.ledger.replaying:
        state.why = "seconds"
    else:
        return False
    return True


def run(
    search: Searcher,
    scheduler: Scheduler,
    dims: tuple[Dim, ...],
    callbacks: Callbacks,
    ledger: Ledger,
    stop: Stop,
    **options: Any,
) -> None:
    """Drives a search and a scheduler to the end of a study; arguments as for `play`."""
    study = play(search, scheduler, dims, callbacks, ledger, stop, **options)
    together({0: study}, lambda orders: {0: callbacks.carry_out(orders[0])})
