"""What every tracker is told of a study: each trial's hyperparameters, its learning curves as they grow, and how it ended.

A finished run is told at once (`write`), a run that trains again and again (`Follower`, as `watch=` of `tune`): both read the run folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from hpjax.configurations import plain
from hpjax.messages import warn
from hpjax.result import Result
from hpjax.resume import open_run

SHARE = 0.05  # of the time that a run takes, which following it may add
INTERRUPTED = "interrupted"  # why a study ended that did not end
ENDED = (
    "OK",
    "INFEASIBLE",
    "DIVERGED",
    "FAILED",
)  # a pruned trial may still be trained on while the run lasts


class Study(NamedTuple):
    """What is told of a study before its trials.

    Attributes:
        name: of it.
        hyperparameters: name -> its values where they are a few, else its least and its largest.
        objective: what is judged by, under the name that it has among the scores.
        greater: whether more of it is better.
        about: what else is known: task, search, scheduler, seed, versions, as text.
    """

    name: str
    hyperparameters: Mapping[str, Any]
    objective: str
    greater: bool
    about: Mapping[str, str]


class Trial(NamedTuple):
    """What is told of a trial.

    Attributes:
        number: of it.
        config: its hyperparameters, inactive ones left out: numbers, booleans and text.
    """

    number: int
    config: Mapping[str, Any]


class Tracker(Protocol):
    """Where a study is written to."""

    most: int  # trials that it bears

    def begin(self, study: Study) -> None:
        """Called once, first."""

    def describe(self, trial: Trial) -> None:
        """A trial's hyperparameters: once, before its first scores, or, where they move while it trains, before its end."""

    def scores(self, trial: Trial, epochs: list[int], scores: dict[str, list[float]]) -> None:
        """What a trial scored after these epochs [n], by name; finite or not."""

    def end(self, trial: Trial, status: str) -> None:
        """A trial is OK, PRUNED, INFEASIBLE, DIVERGED or FAILED, or RUNNING where the study ended before it."""

    def close(self, whole: bool) -> None:
        """Called once, last: whether the study was done, or is interrupted."""


def write(result: Result, tracker: Tracker, say: Callable[[str], None] | None = None) -> int:
    """Writes a study to a tracker; of more trials than it bears, the best and a sample of the others.

    Args:
        result: of `tune`, or read by `open_run`.
        tracker: where it is written to.
        say: told what is left out; standard error where None.

    Returns:
        How many trials were written.
    """
    every = np.arange(len(result.table["objective"]))
    chosen = result.sample(every, tracker.most)
    if len(chosen) < len(every):
        _say_left_out(
            say, f"{len(chosen)} of {len(every)} trials: the best, and a sample of the others"
        )
    told = _Told(tracker, set(chosen.tolist()))
    told.tell(result, over=True)
    tracker.close(result.stopped != INTERRUPTED)
    return len(told.ended)


def _say_left_out(say: Callable[[str], None] | None, what: str) -> None:
    (say or warn)(f"hpjax: writes {what}")


class _Told:
    """What a tracker was told already, and tells it the rest."""

    def __init__(self, tracker: Tracker, chosen: set[int] | None):
        self.tracker, self.chosen = tracker, chosen
        self.begun = False
        self.epochs: dict[int, int] = {}  # trial -> last epoch that was told
        self.described: set[int] = set()
        self.ended: set[int] = set()

    def _describe(self, trial: Trial) -> None:
        if trial.number not in self.described:
            self.tracker.describe(trial)
            self.described.add(trial.number)

    def tell(self, result: Result, over: bool) -> None:
        """Tells what is new; of a run that is over, the ends of pruned trials, too."""
        if not self.begun:
            self.tracker.begin(_study(result))
            self.begun = True
        status, finished = np.asarray(result.table["status"]), result.table["finished"]
        chosen = range(min(len(status), self.tracker.most)) if self.chosen is None else self.chosen
        curves = result.curves
        told = curves["trial"].map(self.epochs).fillna(-1)
        fresh = curves[(curves["epoch"] > told) & curves["trial"].isin(chosen)]
        names = [name for name in fresh.columns if name not in ("trial", "epoch", "objective")]
        parts = {int(part["trial"].iloc[0]): part for _, part in fresh.groupby("trial")}
        ended = {n for n in chosen if over or (finished[n] and status[n] in ENDED)} - self.ended
        # one after another: a tracker may hold one open
        for number in sorted(parts.keys() | ended):
            trial = _trial(result, number)
            if number in parts:
                if not result.moving:
                    self._describe(trial)
                epochs = parts[number]["epoch"].tolist()
                self.tracker.scores(trial, epochs, {n: parts[number][n].tolist() for n in names})
                self.epochs[number] = epochs[-1]
            if number in ended and (number in self.epochs or status[number] in ENDED):
                self._describe(trial)
                self.tracker.end(trial, str(status[number]))
                self.ended.add(number)


def _study(result: Result) -> Study:
    settings, space = result.settings, result.space
    search = settings.search if isinstance(settings.search, str) else "the user's own"
    about = {
        "task": str(result.evaluation.settings.task),
        "search": search,
        "scheduler": str(settings.scheduler["name"]),
        "seed": str(settings.seed),
        "space": settings.space_hash,
        "run": str(result.folder),
    }
    scales = {
        name: [_value(v) for v in entry.values]
        if hasattr(entry, "values")
        else (entry.low, entry.high)
        for name, entry in space.ranges.items()
    }
    name = result.folder.name if result.folder is not None else result.name
    return Study(name, scales, settings.judged_by, settings.sign < 0, about)


def _trial(result: Result, number: int) -> Trial:
    return Trial(number, {name: _value(v) for name, v in result.config(number).items()})


def _value(value: Any) -> Any:
    """A hyperparameter as a number, a boolean or text."""
    value = plain(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


class Follower:
    """Follows a run while it trains: `watch=` of `tune`, as a context that ends after the run.

    Args:
        run: the folder that the study is given as `out=`.
        tracker: where it is written to.
        say: told what is left out; standard error where None.

    Example:
        >>> with tensorboard.follow("runs/a", "logs") as follower:  # doctest: +SKIP
        ...     hpjax.tune(space, task, out="runs/a", watch=follower)
    """

    def __init__(self, run: str | Path, tracker: Tracker, say: Callable[[str], None] | None = None):
        self.run, self.tracker, self.say = Path(run), tracker, say
        self._told = _Told(tracker, None)
        self._next, self._whole = 0.0, False

    def __call__(self, *shown: Any) -> None:
        """After a report: tells what is new, where that does not slow the run down."""
        if time.monotonic() >= self._next:
            self._tell(over=False)

    def _tell(self, over: bool) -> None:
        begun = time.monotonic()
        result = open_run(self.run, say=lambda text: None)
        self._told.tell(result, over)
        if over and len(result.table["objective"]) > self.tracker.most:
            told = f"the first {self.tracker.most} of {len(result.table['objective'])} trials"
            _say_left_out(self.say, f"{told}; a finished run's best: hpjax export {self.run}")
        now = time.monotonic()
        self._next = now + (now - begun) / SHARE
        self._whole = result.stopped != INTERRUPTED

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *fault: object) -> None:
        try:
            if (self.run / "run.json").exists():
                self._tell(over=True)
        finally:
            self.tracker.close(self._whole)
