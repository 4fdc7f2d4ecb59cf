"""Studies in Weights & Biases, offline, or in Trackio, which has the same calls: a group of runs, one for each trial."""

from __future__ import annotations

import contextlib
import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpjax.checks import one_of
from hpjax.integrations.following import Follower, Study, Trial
from hpjax.integrations.following import write as written
from hpjax.result import Result

MOST = 100  # trials: each is a run with a process or a thread behind it
LIBRARIES = {"wandb": "Weights & Biases", "trackio": "Trackio"}


def write(
    result: Result,
    project: str,
    folder: str | Path = ".",
    library: str = "wandb",
    say: Callable[[str], None] | None = None,
) -> int:
    """Writes a study as runs of W&B (offline: `wandb sync` sends them) or Trackio.

    Args:
        result: of `tune`, or read by `open_run`.
        project: that the runs belong to.
        folder: where W&B keeps offline runs; Trackio has a place of its own (TRACKIO_DIR).
        library: "wandb" or "trackio".
        say: told what is left out; standard error where None.

    Returns:
        How many trials were written: of more than `MOST` the best, and a sample of the others.

    Raises:
        ValueError: the library is unknown or not installed.
    """
    return written(result, Runs(project, folder, library), say)


def follow(
    run: str | Path, project: str, folder: str | Path = ".", library: str = "wandb"
) -> Follower:
    """A watcher that writes a run to W&B (offline) or Trackio while it trains.

    Args:
        run: the folder that the study is given as `out=`.
        project, folder, library: as of `write`.

    Raises:
        ValueError: the library is unknown or not installed.
    """
    return Follower(run, Runs(project, folder, library))


class Runs:
    """A project of W&B or Trackio as a `Tracker`. Trials are told one after another: a run is written whole when its trial has ended."""

    most = MOST

    def __init__(self, project: str, folder: str | Path, library: str):
        one_of("library", library, LIBRARIES)
        try:
            self._library = importlib.import_module(library)
        except ImportError:
            raise ValueError(
                f"{LIBRARIES[library]} is not installed; pip install 'hpjax[{library}]'"
            ) from None
        self.project, self.folder, self.name = project, Path(folder), library
        self._study: Study | None = None
        self._config: dict[int, dict[str, Any]] = {}
        self._scores: dict[int, dict[int, dict[str, float]]] = {}  # trial -> epoch -> scores

    def begin(self, study: Study) -> None:
        """Takes note of the group's name."""
        self._study = study
        if self.name == "wandb":
            self.folder.mkdir(parents=True, exist_ok=True)

    def describe(self, trial: Trial) -> None:
        """Keeps hyperparameters until the trial ends."""
        self._config[trial.number] = dict(trial.config)

    def scores(self, trial: Trial, epochs: list[int], scores: dict[str, list[float]]) -> None:
        """Keeps scores until the trial ends: both libraries have one run open at a time."""
        rows = self._scores.setdefault(trial.number, {})
        for at, epoch in enumerate(epochs):
            named = {n: values[at] for n, values in scores.items() if math.isfinite(values[at])}
            rows.setdefault(epoch, {}).update(named)

    def end(self, trial: Trial, status: str) -> None:
        """Writes a trial as a run."""
        assert self._study is not None  # `begin` comes first
        config = self._config.pop(trial.number) | {"status": status, "trial": trial.number}
        common: dict[str, Any] = {
            "project": self.project,
            "group": self._study.name,
            "name": f"{self._study.name}-{trial.number:05d}",
            "config": config,
        }
        # W&B would hold a row back until the next one comes
        at_once = {"commit": True} if self.name == "wandb" else {}
        with contextlib.redirect_stdout(sys.stderr):  # Trackio says what it does
            run = self._begun(common)
            for epoch, row in sorted(self._scores.pop(trial.number, {}).items()):
                run.log(row, step=epoch, **at_once)
            # Trackio keeps its current one
            (run if self.name == "wandb" else self._library).finish()

    def _begun(self, common: dict[str, Any]) -> Any:
        """A run of the library."""
        if self.name == "trackio":
            return self._library.init(**common, embed=False)
        silent = self._library.Settings(silent=True, console="off")
        return self._library.init(
            **common, mode="offline", dir=str(self.folder), settings=silent, reinit="create_new"
        )

    def close(self, whole: bool) -> None:
        """Nothing is held open."""
