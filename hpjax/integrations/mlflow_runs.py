"""Studies in MLflow: a run for the study, and nested in it a run for each trial with its parameters and learning curves."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path

from hpjax.integrations.following import Follower, Study, Trial
from hpjax.integrations.following import write as written
from hpjax.records import RunError
from hpjax.result import Result

MOST = 1000  # trials: each is a run, which MLflow writes one by one
AT_ONCE = 1000  # metrics that MLflow takes in a call
WHICH = "hpjax_study"  # tag of a study's run: what study it is of
STATUS = {
    "OK": "FINISHED",
    "PRUNED": "KILLED",
    "INFEASIBLE": "FINISHED",
    "DIVERGED": "FAILED",
    "FAILED": "FAILED",
    "RUNNING": "KILLED",
}


def write(
    result: Result,
    uri: str,
    experiment: str = "hpjax",
    say: Callable[[str], None] | None = None,
) -> int:
    """Writes a study to an MLflow store.

    Args:
        result: of `tune`, or read by `open_run`.
        uri: of the store or server, such as "sqlite:///mlflow.db".
        experiment: that the study is a run of; it is made where it is missing.
        say: told what is left out; standard error where None.

    Returns:
        How many trials were written: of more than `MOST` the best, and a sample of the others.

    Raises:
        ValueError: MLflow is not installed.
        RunError: the experiment holds the whole study already.
    """
    return written(result, MLflow(uri, experiment, _digest(result)), say)


def follow(run: str | Path, uri: str, experiment: str = "hpjax") -> Follower:
    """A watcher that writes a run to an MLflow store while it trains.

    Args:
        run: the folder that the study is given as `out=`.
        uri: of the store or server.
        experiment: that the study is a run of.

    Raises:
        ValueError: MLflow is not installed.
    """
    return Follower(run, MLflow(uri, experiment))


class MLflow:
    """An MLflow store as a `Tracker`.

    Args:
        uri: of the store or server.
        experiment: that the study is a run of.
        digest: of a study that is whole, which the experiment is to have once; of one that is under way, "".
    """

    most = MOST

    def __init__(self, uri: str, experiment: str, digest: str = ""):
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise ValueError("MLflow is not installed; pip install 'hpjax[mlflow]'") from None
        from mlflow.exceptions import MlflowException

        try:
            self._client = MlflowClient(tracking_uri=uri)
            known = self._client.get_experiment_by_name(experiment)
            self._experiment = (
                self._client.create_experiment(experiment) if known is None else known.experiment_id
            )
        except MlflowException as fault:
            raise ValueError(
                f"MLflow cannot use {uri!r:.80}: {' '.join(str(fault).split())[:200]}; a store in a file is sqlite:///mlflow.db"
            ) from None
        self._name, self._digest = experiment, digest
        self._study = ""
        self._runs: dict[int, str] = {}

    def begin(self, study: Study) -> None:
        """Begins the run of the study."""
        from mlflow.entities import Param

        tags = {WHICH: self._digest} if self._digest else {}
        if tags:
            self._refuse_twice(study)
        made = self._client.create_run(self._experiment, run_name=study.name, tags=tags)
        self._study = made.info.run_id
        parameters = [Param(name, text) for name, text in study.about.items()]
        goal = "maximize" if study.greater else "minimize"
        parameters += [Param("objective", f"{goal} {study.objective}")]
        self._client.log_batch(self._study, params=parameters)

    def _refuse_twice(self, study: Study) -> None:
        """Refuses a study that stands in the experiment already, whole."""
        wanted = f"tags.{WHICH} = '{self._digest}' and attributes.status = 'FINISHED'"
        there = self._client.search_runs([self._experiment], wanted, max_results=1)
        if there:
            raise RunError(
                f"MLflow's experiment {self._name!r:.80} holds {study.name} already, as run {there[0].info.run_id}; delete that one, or give another experiment"
            )

    def _run(self, trial: Trial) -> str:
        """The run of a trial, nested in that of the study."""
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        if trial.number not in self._runs:
            made = self._client.create_run(
                self._experiment,
                run_name=f"trial {trial.number}",
                tags={MLFLOW_PARENT_RUN_ID: self._study, "trial": str(trial.number)},
            )
            self._runs[trial.number] = made.info.run_id
        return self._runs[trial.number]

    def describe(self, trial: Trial) -> None:
        """Writes a trial's hyperparameters, which MLflow lets nobody change."""
        from mlflow.entities import Param

        parameters = [Param(name, str(value)) for name, value in trial.config.items()]
        self._client.log_batch(self._run(trial), params=parameters)

    def scores(self, trial: Trial, epochs: list[int], scores: dict[str, list[float]]) -> None:
        """Writes metrics, with epochs as steps; what is not finite is left out."""
        from mlflow.entities import Metric

        run, now = self._run(trial), int(time.time() * 1000)
        rows = [
            Metric(name, value, now, epoch)
            for name, values in scores.items()
            for epoch, value in zip(epochs, values)
            if math.isfinite(value)
        ]
        for at in range(0, len(rows), AT_ONCE):
            self._client.log_batch(run, metrics=rows[at : at + AT_ONCE])

    def end(self, trial: Trial, status: str) -> None:
        """Ends a trial's run."""
        run = self._run(trial)
        self._client.set_tag(run, "status", status)
        self._client.set_terminated(run, STATUS[status])

    def close(self, whole: bool) -> None:
        """Ends the run of the study."""
        if self._study:
            self._client.set_terminated(self._study, "FINISHED" if whole else "KILLED")


def _digest(result: Result) -> str:
    """The same text for the same trials with the same objectives, another for any others."""
    trials = result.table["unit"].tobytes() + result.table["objectives"].tobytes()
    return hashlib.sha256(result.name.encode() + trials).hexdigest()[:16]
