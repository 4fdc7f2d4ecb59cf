"""What a study of networks found: tables, learning curves, and its network trained again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax import configurations, records
from hpjax.models import MLP, Family
from hpjax.models.base import Target
from hpjax.network import Network, fit, follow
from hpjax.outcome import Outcome
from hpjax.space import Space
from hpjax.tasks import Task
from hpjax.training import metrics

if TYPE_CHECKING:
    import pandas


class Result(Outcome):
    """What a study of networks found.

    Attributes:
        best: the best trial at full fidelity: {"trial", "config", "objective", "loss", "error", "epochs"}; "trial" is None if none.
        trials: a pandas table, a row per trial: its hyperparameters, objective (which of loss and error was minimised), loss, error,
            train, epochs, parameters, seconds (of the devices), diverged, status.
        curves: a pandas table of learning curves: trial, epoch, objective, train, loss, error.
    """

    columns: tuple[str, ...] = (
        "objective",
        "loss",
        "error",
        "train",
        "epochs",
        "parameters",
        "seconds",
        "diverged",
        "status",
    )

    def __init__(
        self, kept: list[dict], curves: Sequence[np.ndarray | None], space: Space, task: Callable[[], Task], settings: dict,
        folder: Path | None = None, trained: Any = None, times: list[dict] | None = None, family: Family | None = MLP,
    ):  # fmt: skip
        super().__init__(kept, space, settings, folder, times)
        self.family = family  # of its networks; None where the user's function was not given again
        self._load_task = task
        self.trained = trained  # the Population, where this process trained it
        self._curves = curves
        self.table |= {"seconds": records.seconds(kept, self.times, len(self.table["objective"]))}

    @functools.cached_property
    def task(self) -> Task:
        """What the study was made on; read again where this process did not train."""
        return self._load_task()

    @property
    def name(self) -> str:
        """Of the task, for titles; without reading it."""
        if "task" in self.__dict__ or self.settings["task"] is None:
            return self.task.name
        return Path(self.settings["task"]).stem

    @functools.cached_property
    def best(self) -> dict:
        """The best trial at full fidelity."""
        found = super().best
        at = found["trial"]
        of = lambda name: np.nan if at is None else float(self.table[name][at])
        return found | {"loss": of("loss"), "error": of("error")}

    @functools.cached_property
    def trials(self) -> pandas.DataFrame:
        """A row per trial."""
        plan = self.records[0] if self.records else {}
        if "target" in plan:
            goal = Target(**plan["target"])
        else:
            task = self.task
            goal = Target(task.inputs, task.outputs, task.loss, self.fidelity)
        weights = np.zeros(len(self.table["objective"]), np.int64)
        if self.family is None:
            weights = np.full(len(weights), np.nan)
        else:
            columns = self.space.decode(self.table["unit"])
            for group in configurations.split(columns, goal, self.family):
                weights[group.rows] = group.spec.weights
        self.table |= {"parameters": weights}
        return super().trials

    @functools.cached_property
    def curves(self) -> pandas.DataFrame:
        """A row per trial and scored epoch; the mean over folds and repeats."""
        import pandas

        there = [(record["trial"], self._curves[i]) for i, record in records.reports(self.records) if self._curves[i] is not None]  # fmt: skip
        curves = [curve for _, curve in there if curve is not None]
        flat = np.concatenate([curve.reshape(-1, 4) for curve in curves]) if curves else np.zeros((0, 4))  # fmt: skip
        rows = [curve.shape[1] for curve in curves for _ in range(len(curve))]
        trial = np.repeat([trial for trials, _ in there for trial in trials], rows)
        seen = np.isfinite(flat[:, 0])
        table = pandas.DataFrame(
            flat[seen].astype(float), columns=["epoch", "train", "loss", "error"]
        )
        table.insert(0, "trial", trial[seen].astype(int))
        table = table.astype({"epoch": int}).drop_duplicates(["trial", "epoch"], keep="last")
        table.insert(2, "objective", table[self.settings["minimize"]])
        return table.sort_values(["trial", "epoch"]).reset_index(drop=True)

    def known_family(self) -> Family:
        """The family of its networks.

        Raises:
            ValueError: networks of a function that was not given again.
        """
        if self.family is None:
            raise ValueError(
                f"the networks of {self.settings['model']} are not known here; give the function again: open_run(out, model=...)"
            )
        return self.family

    def refit(self, trial: int | None = None, seed: int | None = None) -> Network:
        """The best trial's network (or another's), trained again on the whole development part.

        Trains for the epochs that the trial was scored at; with patience, for those of its best epoch; a trial of
        population-based training along its schedule.

        Args:
            trial: which; the best where None.
            seed: names the randomness; the study's where None.

        Raises:
            ValueError: no trial reached full fidelity without diverging.
        """
        family = self.known_family()
        trial = self.best["trial"] if trial is None else trial
        if trial is None:
            raise ValueError(
                "no trial reached full fidelity without diverging; lower learning_rate's range, or add trials"
            )
        seed = self.settings["seed"] if seed is None else seed
        segments = self.schedule(trial).stretches
        if len(segments) > 1:
            return follow(self.task, self.space, segments, self.fidelity, seed, family)
        values = self.space.constants | self.config(trial)
        values.pop("patience", None)
        epochs = max(1, round(float(self.table["kept"][trial])))
        values.pop("epochs", None)
        return fit(self.task, values, epochs, horizon=self.fidelity, seed=seed, model=family)

    def test(self, network: Network | None = None) -> dict[str, float]:
        """Metrics of a network (the best, refitted, where None) on the task's held-out test set.

        Raises:
            ValueError: a task without one.
        """
        rows = self.task.test
        if not len(rows):
            raise ValueError(f"{self.task.name} has no test set")
        network = network or self.refit()
        return metrics.table(
            self.task.truth(rows), network.predict(self.task.x[rows]), self.task.classes
        )
