"""What a study found: the best trial, tables, curves, and its network trained again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax import catalogue, metrics, records
from hpjax.models import MLP, Family
from hpjax.models.base import Target
from hpjax.network import Network, fit, follow
from hpjax.schedulers import from_settings
from hpjax.space import Space
from hpjax.tasks import Task

if TYPE_CHECKING:
    import pandas


class Outcome:
    """What a study found, networks or not.

    Attributes:
        best: the best trial at full fidelity: {"trial", "config", "objective"}, and "epochs" where there are any; "trial" is None
            if none.
        trials: a pandas table, a row per trial: its hyperparameters, objective, epochs where there are any, status.
        stopped: why the study ended: "done", "epochs", "seconds" or "rounds".
        folder: the run folder, or None.
    """

    def __init__(
        self, kept: list[dict], space: Space, settings: dict, folder: Path | None = None,
        times: list[dict] | None = None,
    ):  # fmt: skip
        self.records, self.space, self.settings, self.folder = kept, space, settings, folder
        self.fidelity = from_settings(settings["scheduler"]).fidelity
        self.table = records.summarise(kept, len(space.dims), self.fidelity)
        self.times: list[dict] = (times or []) if folder is None else records.read_times(folder)
        self.fidelities = settings.get("fidelities", True)  # a function may have none
        ends = [record for record in kept if record["kind"] == "stop"]
        self.stopped = ends[-1]["why"] if ends else "interrupted"

    def __repr__(self) -> str:
        best = "none finished" if self.best["trial"] is None else f"best {self.best['objective']:.4g} (trial {self.best['trial']})"  # fmt: skip
        return f"<{type(self).__name__}: {len(self.table['objective'])} trials, {best}, ended: {self.stopped}>"

    @property
    def columns(self) -> tuple[str, ...]:
        """What the table of trials says of each, beside its hyperparameters."""
        return ("objective", *(("epochs",) if self.fidelities else ()), "status")

    @functools.cached_property
    def ranking(self) -> np.ndarray:
        """Trials that reached full fidelity without failing [m], the best first."""
        value = np.where(self.table["status"] == "OK", self.table["objective"], np.inf)
        order = np.argsort(value, kind="stable")
        return order[np.isfinite(value[order])]

    @functools.cached_property
    def best(self) -> dict:
        """The best trial at full fidelity."""
        if not len(self.ranking):
            return {"trial": None, "config": {}, "objective": np.inf} | ({"epochs": 0} if self.fidelities else {})  # fmt: skip
        trial = int(self.ranking[0])
        found = {
            "trial": trial,
            "config": self.config(trial),
            "objective": float(self.table["objective"][trial]),
        }
        return found | ({"epochs": int(self.table["epochs"][trial])} if self.fidelities else {})

    def config(self, trial: int) -> dict:
        """A trial's hyperparameters as searched, inactive ones left out."""
        columns = self.space.decode(self.table["unit"][trial : trial + 1])
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

        columns = self.space.decode(self.table["unit"])
        shown = {name: columns[name] for name in self.space.names}
        table = pandas.DataFrame(shown | {name: self.table[name] for name in self.columns})
        table.index.name = "trial"
        return table

    def schedule(self, trial: int | None = None) -> Schedule:
        """What a trial's network was trained with, from its first epoch on: with population-based training, its lineage.

        Args:
            trial: which; the best where None.

        Raises:
            ValueError: a trial that was never trained.
        """
        trial = self.best["trial"] if trial is None else trial
        segments = [] if trial is None else records.lineage(self.records, int(trial))
        if not segments:
            raise ValueError(f"trial {trial} has no schedule: it was never trained")
        return Schedule(self.space, segments)


class Schedule:
    """Hyperparameters over epochs.

    Attributes:
        segments: (until epoch, point [D]) of each stretch, as `hpjax.replay` takes them.
        members: whose network it was in each stretch.
    """

    def __init__(self, space: Space, lineage: list[tuple[int, int, np.ndarray]]):
        self.space = space
        self.members = [member for member, _, _ in lineage]
        self.segments = [(until, point) for _, until, point in lineage]

    def __repr__(self) -> str:
        return f"<Schedule of {len(self.stretches)} stretches until epoch {self.segments[-1][0]}>"

    @property
    def stretches(self) -> list[tuple[int, np.ndarray]]:
        """The segments without the ends of rungs at which nothing changed."""
        kept: list[tuple[int, np.ndarray]] = []
        for until, point in self.segments:
            if kept and np.array_equal(kept[-1][1], point):
                kept.pop()
            kept.append((until, point))
        return kept

    @property
    def start(self) -> dict:
        """The configuration that it begins with, as `search=[...]` takes it."""
        row = self.frame.iloc[0]
        names = [name for name in self.space.names if row[name] == row[name] and row[name] is not None]  # fmt: skip
        return {name: catalogue.plain(row[name]) for name in names}

    @functools.cached_property
    def frame(self) -> pandas.DataFrame:
        """A row per stretch: member, until (epoch), and the hyperparameters."""
        import pandas

        columns = self.space.decode(np.array([point for _, point in self.segments]))
        shown = {name: columns[name] for name in self.space.names}
        until = [until for until, _ in self.segments]
        return pandas.DataFrame({"member": self.members, "until": until} | shown)


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
            for group in catalogue.split(columns, goal, self.family):
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
