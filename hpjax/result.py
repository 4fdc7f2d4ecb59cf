"""What a study found: the best trial, tables, curves, and its network trained again."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from hpjax import catalogue, metrics, records
from hpjax.network import Network, fit
from hpjax.space import Space
from hpjax.tasks import Task

if TYPE_CHECKING:
    import pandas


class Result:
    """What a study found.

    Attributes:
        best: the best trial at full fidelity: {"trial", "config", "loss", "error", "epochs"}; "trial" is None if none.
        trials: a pandas table, a row per trial: its hyperparameters, loss, error, train, epochs, diverged, status.
        curves: a pandas table of learning curves: trial, epoch, train, loss, error.
        stopped: why the study ended: "done", "epochs", "seconds" or "rounds".
        folder: the run folder, or None.
    """

    def __init__(
        self, kept, curves, space: Space, task: Task, settings: dict, folder=None, trained=None
    ):
        self.records, self.space, self.task, self.settings, self.folder = (
            kept,
            space,
            task,
            settings,
            folder,
        )
        self.fidelity = settings["scheduler"][-1][0]
        self.trained = trained  # the Population, where this process trained it
        self._curves = curves
        self._table = records.summarise(kept, len(space.dims), self.fidelity)
        ends = [record for record in kept if record["kind"] == "stop"]
        self.stopped = ends[-1]["why"] if ends else "interrupted"

    @functools.cached_property
    def best(self) -> dict:
        """The best trial at full fidelity."""
        table = self._table
        eligible = np.isfinite(table["told"]) & (table["status"] == "OK")
        if not eligible.any():
            return {"trial": None, "config": {}, "loss": np.inf, "error": np.nan, "epochs": 0}
        trial = int(np.argmin(np.where(eligible, table["told"], np.inf)))
        return {
            "trial": trial,
            "config": self.config(trial),
            "loss": float(table["loss"][trial]),
            "error": float(table["error"][trial]),
            "epochs": int(table["epochs"][trial]),
        }

    def config(self, trial: int) -> dict:
        """A trial's hyperparameters as searched, inactive ones left out."""
        columns = self.space.decode(self._table["unit"][trial : trial + 1])
        values = {
            name: catalogue.plain(column[0])
            for name, column in columns.items()
            if name in self.space.ranges
        }
        return {name: value for name, value in values.items() if value is not None}

    @functools.cached_property
    def trials(self) -> pandas.DataFrame:
        """A row per trial."""
        import pandas

        columns = self.space.decode(self._table["unit"])
        shown = {name: columns[name] for name in self.space.names}
        rest = {
            name: self._table[name]
            for name in ("loss", "error", "train", "epochs", "diverged", "status")
        }
        table = pandas.DataFrame(shown | rest)
        table.index.name = "trial"
        return table

    @functools.cached_property
    def curves(self) -> pandas.DataFrame:
        """A row per trial and scored epoch; the mean over folds and repeats."""
        import pandas

        parts = []
        for number, record in records.reports(self.records):
            curve = self._curves(number)
            if curve is not None:
                trial = np.repeat(np.array(record["trial"], int), curve.shape[1])
                flat = curve.reshape(-1, 4)
                seen = np.isfinite(flat[:, 0])
                parts.append(np.column_stack([trial[seen], flat[seen]]))
        rows = np.concatenate(parts) if parts else np.zeros((0, 5))
        table = pandas.DataFrame(rows, columns=["trial", "epoch", "train", "loss", "error"])
        table = table.astype({"trial": int, "epoch": int}).drop_duplicates(
            ["trial", "epoch"], keep="last"
        )
        return table.sort_values(["trial", "epoch"]).reset_index(drop=True)

    def refit(self, trial: int | None = None, seed: int | None = None) -> Network:
        """The best trial's network (or another's), trained again on the whole development part.

        Trains for the epochs that the trial was scored at; with patience, for those of its best epoch.

        Args:
            trial: which; the best where None.
            seed: names the randomness; the study's where None.

        Raises:
            ValueError: no trial reached full fidelity without diverging.
        """
        trial = self.best["trial"] if trial is None else trial
        if trial is None:
            raise ValueError(
                "no trial reached full fidelity without diverging; lower learning_rate's range, or add trials"
            )
        values = self.space.constants | self.config(trial)
        values.pop("patience", None)
        epochs = max(1, round(float(self._table["kept"][trial])))
        values.pop("epochs", None)
        seed = self.settings["seed"] if seed is None else seed
        return fit(self.task, values, epochs, horizon=self.fidelity, seed=seed)

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
