"""Studies as Optuna has them: written to a journal, which `optuna.load_study` and optuna-dashboard read, and read from there.

Akiba et al. 2019, Optuna: A Next-generation Hyperparameter Optimization Framework.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hpjax import records
from hpjax.configurations import plain
from hpjax.messages import warn
from hpjax.outcome import Outcome
from hpjax.records import RunError
from hpjax.result import Result
from hpjax.settings import written
from hpjax.space import Choice, IntUniform, LogIntUniform, LogUniform, Range, Space

MOST = 3000  # trials that are written: Optuna writes them one by one, and its dashboard slows beyond thousands
STATES = {
    "OK": "COMPLETE",
    "PRUNED": "PRUNED",
    "INFEASIBLE": "COMPLETE",
    "DIVERGED": "FAIL",
    "FAILED": "FAIL",
}
BOUNDS = "constraints"  # Optuna's own name for how far a trial is beyond its bounds


def library() -> Any:
    """Optuna.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ValueError("Optuna is not installed; pip install 'hpjax[optuna]'") from None
    return optuna


def write_journal(
    result: Outcome,
    path: str | Path,
    name: str | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Writes a study to a new Optuna journal, which `optuna-dashboard PATH` shows.

    Trials that were trained to the end are COMPLETE, those that a scheduler stopped PRUNED, those that diverged or did not fit in memory
    FAIL, and those that break a constraint say so as Optuna's samplers do; others are left out. Intermediate values, of one objective, are the learning curve; user attributes are the other columns of the table of trials.

    Args:
        result: of `tune` or `minimize`, or read by `open_run`.
        path: of the journal; no file may be there.
        name: of the study; that of its folder where None.
        say: told what is left out; standard error where None.

    Returns:
        How many trials were written: of more than `MOST` the best, and a sample of the others.

    Raises:
        ValueError: Optuna is not installed.
        RunError: a file that is there.
    """
    optuna = library()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path, say = Path(path), say or warn
    if path.exists():
        raise RunError(f"{path} is there already; give another file, or move it away")
    trials = _written_trials(result, say)
    settings = result.settings
    frozen = _frozen(result, trials)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name=name or (result.folder.name if result.folder is not None else "hpjax"),
            directions=[
                "minimize" if sign > 0 else "maximize" for sign in result.objectives.values()
            ],
        )
        study.set_user_attr("objective", ", ".join(result.objectives))
        study.set_user_attr("hpjax", written(settings))
        study.add_trials(frozen)
    finally:
        optuna.logging.set_verbosity(before)
    return len(trials)


def _written_trials(result: Outcome, say: Callable[[str], None]) -> list[int]:
    """The trials that are written, in their order."""
    status = result.table["status"]
    ended = np.flatnonzero(np.isin(status, list(STATES)))
    if len(ended) < len(status):
        say(f"hpjax: {len(status) - len(ended)} trials have not ended; they are left out")
    if len(ended) <= MOST:
        return ended.tolist()
    say(f"hpjax: writes {MOST} of {len(ended)} trials: the best, and a sample of the others")
    return result.sample(ended, MOST).tolist()


def _frozen(result: Outcome, trials: list[int]) -> list[Any]:
    """Trials as Optuna has them."""
    signs = np.array([*result.objectives.values()])
    from optuna.trial import TrialState, create_trial

    scales, when = distributions(result.space), _when(result)
    curves = (
        _curves(result, float(signs[0])) if len(signs) == 1 else {}
    )  # Optuna has none of several
    columns = result.space.decode(result.table["unit"])
    active = result.space.active(result.table["unit"])
    table = result.trials
    others = [name for name in result.columns if name not in ("objective", "status")]
    made = []
    for trial in trials:
        state = TrialState[STATES[result.table["status"][trial]]]
        if state == TrialState.COMPLETE and not result.table["whole"][trial]:
            state = TrialState.PRUNED
        values = (signs * result.table["objectives"][trial]).tolist()
        if state == TrialState.FAIL or (state == TrialState.PRUNED and len(signs) > 1):
            values = None
        beyond = float(result.table["violation"][trial])
        there = [n for i, n in enumerate(result.space.names) if active[trial, i]]
        named = {n: _written(plain(columns[n][trial])) for n in there}
        frozen = create_trial(
            state=state,
            values=values,
            params=named,
            distributions={n: scales[n] for n in named},
            intermediate_values=curves.get(trial, {}),
            user_attrs={n: plain(table.at[trial, n]) for n in others} | {"trial": trial},
            system_attrs={} if np.isnan(beyond) else {BOUNDS: [beyond]},
        )
        if trial in when:  # else it is now
            frozen.datetime_start, frozen.datetime_complete = when[trial]
        made.append(frozen)
    return made


def distributions(space: Space) -> dict[str, Any]:
    """The ranges of a space as Optuna's distributions; values that are tuples are text there."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    def of(entry: Range) -> Any:
        if isinstance(entry, Choice):
            return CategoricalDistribution([_written(value) for value in entry.values])
        kind = (
            IntDistribution if isinstance(entry, (IntUniform, LogIntUniform)) else FloatDistribution
        )
        log = isinstance(entry, (LogUniform, LogIntUniform))
        return kind(entry.low, entry.high, log=log)  # type: ignore[missing-attribute]

    return {name: of(entry) for name, entry in space.ranges.items()}


def _written(value: Any) -> Any:
    """A value as Optuna can have it."""
    return json.dumps(value) if isinstance(value, tuple) else value


def _curves(result: Outcome, sign: float) -> dict[int, dict[int, float]]:
    """Trial -> epoch -> objective."""
    if not isinstance(result, Result):
        return {}
    frame = result.curves
    finite = frame[np.isfinite(frame["objective"])]
    return {
        int(part["trial"].iloc[0]): dict(
            zip(part["epoch"].tolist(), (sign * part["objective"]).tolist())
        )
        for _, part in finite.groupby("trial")
    }


def _when(result: Outcome) -> dict[int, tuple[datetime.datetime, datetime.datetime]]:
    """Trial -> when its first order was sent, and when its last one was answered; by this machine's clock, as Optuna has it."""
    at = {entry["report"]: entry for entry in result.times if "report" in entry and "at" in entry}
    clock = datetime.datetime.fromtimestamp
    when: dict[int, tuple[datetime.datetime, datetime.datetime]] = {}
    for number, record in records.reports(result.records):
        if number not in at:
            continue
        ended = clock(at[number]["at"])
        begun = clock(at[number]["at"] - at[number]["seconds"])
        for trial in record["trial"]:
            when[trial] = when.get(trial, (begun, ended))[0], ended
    return when


def start_from(study: Any, top: int = 10) -> list[dict[str, Any]]:
    """The best configurations of an Optuna study, as `start=` of `tune` takes them: what it found is looked at first.

    Args:
        study: an `optuna.Study` of one objective, or the path of a journal with one study.
        top: how many.

    Raises:
        ValueError: no such journal, several studies or objectives, or no trial that is complete.
    """
    optuna = library()
    if isinstance(study, (str, Path)):
        study = _loaded(Path(study))
    if len(study.directions) > 1:
        raise ValueError(
            "the Optuna study has several objectives; give start= a list of configurations"
        )
    complete = [
        t for t in study.get_trials(deepcopy=False) if t.state == optuna.trial.TrialState.COMPLETE
    ]
    if not complete:
        raise ValueError("the Optuna study has no complete trial to start from")
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    ranked = sorted(complete, key=lambda trial: (sign * trial.value, trial.number))
    return [{n: _read(v) for n, v in trial.params.items()} for trial in ranked[:top]]


def _read(value: Any) -> Any:
    """What `_written` made."""
    if isinstance(value, str) and value.startswith("["):
        try:
            listed = json.loads(value)
        except ValueError:
            return value
        return tuple(listed)
    return value


def _loaded(path: Path) -> Any:
    """The only study of a journal."""
    optuna = library()
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if not path.is_file():
        raise ValueError(f"no Optuna journal at {path}")
    storage = JournalStorage(JournalFileBackend(str(path)))
    names = optuna.get_all_study_names(storage)
    if len(names) != 1:
        raise ValueError(
            f"{path} holds {len(names)} studies; load one: start_from(optuna.load_study(study_name=..., storage=...))"
        )
    return optuna.load_study(study_name=names[0], storage=storage)
