"""What a study of networks or of a function found: the best trial, the table of trials, schedules over epochs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpjax import configurations, fronts, records
from hpjax.defaults import SHOWN
from hpjax.notebooks import shown
from hpjax.schedulers import MOVING, SCHEDULERS, from_settings
from hpjax.settings import Settings
from hpjax.space import Space

if TYPE_CHECKING:
    import pandas


class Outcome:
    """What a study found, networks or not.

    Attributes:
        best: the best trial at full fidelity: {"trial", "config", "objective"}, and "epochs" where there are any; "trial" is None
            if none. Where there are several objectives, that of the front (`pareto`) with the lowest first one.
        trials: a pandas table, a row per trial: its hyperparameters, objective, epochs where there are any, status.
        stopped: why the study ended: "done", "epochs", "seconds" or "rounds".
        folder: the run folder, or None.
    """

    def __init__(
        self,
        ledger_records: list[dict],
        space: Space,
        settings: Settings,
        folder: Path | None = None,
        times: list[dict] | None = None,
    ):
        self.records, self.space, self.settings, self.folder = (
            ledger_records,
            space,
            settings,
            folder,
        )
        self.fidelity = settings.fidelity or from_settings(settings.scheduler).fidelity
        own = () if settings.networks is None else tuple(settings.networks.metrics)
        self.table = records.summarise(ledger_records, len(space.dims), self.fidelity, own)
        self.times: list[dict] = (times or []) if folder is None else records.read_times(folder)
        self.fidelities = settings.fidelities  # a function may have none
        ends = [record for record in ledger_records if record["kind"] == "stop"]
        self.stopped = ends[-1]["why"] if ends else "interrupted"

    def __repr__(self) -> str:
        best = (
            "none finished"
            if self.best["trial"] is None
            else f"best {self.best['objective']:.4g} (trial {self.best['trial']})"
        )
        return f"<{type(self).__name__}: {len(self.table['objective'])} trials, {best}, ended: {self.stopped}>"

    def _repr_html_(self) -> str:
        return shown(self, table=self.trials.loc[self.ranking[:SHOWN]])

    @property
    def moving(self) -> bool:
        """Whether the scheduler may change points between orders; of a user's own one that is not known."""
        name = self.settings.scheduler["name"]
        return name in MOVING or name not in SCHEDULERS

    @property
    def columns(self) -> tuple[str, ...]:
        """What the table of trials says of each, beside its hyperparameters."""
        return (*self.objectives, *(("epochs",) if self.fidelities else ()), "status")

    @functools.cached_property
    def ranking(self) -> np.ndarray:
        """Trials that reached full fidelity without failing [m], the best first."""
        value = np.where(self.table["status"] == "OK", self.table["objective"], np.inf)
        rank = np.zeros(len(value))
        if len(self.objectives) > 1:
            every = np.where(np.isfinite(value)[:, None], self.table["objectives"], np.inf)
            rank = fronts.ranks(every)
        order = np.lexsort((value, rank))
        return order[np.isfinite(value[order])]

    @property
    def objectives(self) -> dict[str, float]:
        """The names of what trials are judged by, and the sign that it has as minimised."""
        if self.settings.networks is not None:
            networks = self.settings.networks
            return {name: networks.sign(name) for name in networks.objectives}
        count = self.table["objectives"].shape[1]
        return {"objective": 1.0} | {f"objective_{at + 1}": 1.0 for at in range(1, count)}

    @functools.cached_property
    def pareto(self) -> pandas.DataFrame:
        """The trials at full fidelity that no other beats in all objectives, by the first one: hyperparameters and objectives."""
        ok = np.flatnonzero(self.table["status"] == "OK")
        rows = ok[fronts.front(self.table["objectives"][ok])]
        table = self.trials.loc[rows, [*self.space.names]]
        values = self.table["objectives"][rows] * list(self.objectives.values())
        return table.assign(**dict(zip(self.objectives, values.T)))

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> pandas.DataFrame:
        """How much the front covers, after each report: the volume between it and a reference, in the units of the objectives.

        Args:
            reference: a value of each objective, by name, that is worse than those that count; the worst that any trial reached at
                full fidelity, where None.

        Returns:
            A row per report: epochs (of all trials by then) and hypervolume.

        Raises:
            ValueError: a reference that lacks an objective, or has another.
        """
        import pandas

        names, signs = list(self.objectives), np.array(list(self.objectives.values()))
        if reference is not None and set(reference) != set(names):
            raise ValueError(
                f"reference has {', '.join(map(str, reference)) or 'nothing'}; give a value of {' and '.join(names)}"
            )
        every = self.table["objectives"][self.table["status"] == "OK"]
        if reference is not None:
            worst = signs * [reference[name] for name in names]
        else:
            worst = every.max(0, initial=-np.inf)
        seen, rows = np.zeros((0, len(names))), []
        for spent, points in records.costs_and_objectives(self.records, self.fidelity):
            seen = np.concatenate([seen, points[np.isfinite(points).all(1)]])
            seen = seen[fronts.front(seen)]
            volume = fronts.hypervolume(seen, worst)
            rows.append({"epochs": int(spent[-1]), "hypervolume": volume})
        return pandas.DataFrame(rows, columns=["epochs", "hypervolume"])

    @functools.cached_property
    def best(self) -> dict:
        """The best trial at full fidelity."""
        if not len(self.ranking):
            return {"trial": None, "config": {}, "objective": np.inf} | (
                {"epochs": 0} if self.fidelities else {}
            )
        trial = int(self.ranking[0])
        found = {
            "trial": trial,
            "config": self.config(trial),
            "objective": float(self.table["objective"][trial]),
        }
        return found | ({"epochs": int(self.table["epochs"][trial])} if self.fidelities else {})

    def sample(self, trials: np.ndarray, most: int, wanted: Sequence[int] = ()) -> np.ndarray:
        """At most so many of some trials, in their order: the best make up half of them, the others are drawn, always the same.

        Args:
            trials: [n] numbers, rising.
            most: of them.
            wanted: those that come before drawn ones, up to a quarter.
        """
        if len(trials) <= most:
            return trials
        best = np.union1d(self.ranking[: most // 2], wanted[: most // 4]).astype(np.int64)
        others = np.setdiff1d(trials, best)
        drawn = np.random.default_rng(0).choice(others, most - len(best), replace=False)
        return np.sort(np.concatenate([best, drawn]))

    def config(self, trial: int) -> dict:
        """A trial's hyperparameters as searched, inactive ones left out."""
        columns = self.space.decode(self.table["unit"][trial : trial + 1])
        values = {
            name: configurations.plain(column[0])
            for name, column in columns.items()
            if name in self.space.ranges
        }
        return {name: value for name, value in values.items() if value is not None}

    def column(self, name: str) -> np.ndarray:
        """A column of the table of trials, other than hyperparameters."""
        if name in self.table:
            return self.table[name]
        return self.table["objectives"][:, list(self.objectives).index(name)]

    @functools.cached_property
    def trials(self) -> pandas.DataFrame:
        """A row per trial."""
        import pandas

        columns = self.space.decode(self.table["unit"])
        shown = {name: columns[name] for name in self.space.names}
        table = pandas.DataFrame(shown | {name: self.column(name) for name in self.columns})
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
        segments: (until epoch, point [D]) of each order that trained it, as `hpjax.replay` takes them.
        members: whose network it was in each of them.
    """

    def __init__(self, space: Space, lineage: list[tuple[int, int, np.ndarray]]):
        self.space = space
        self.members = [member for member, _, _ in lineage]
        self.segments = [(until, point) for _, until, point in lineage]

    def __repr__(self) -> str:
        return f"<Schedule of {len(self.stretches)} stretches until epoch {self.segments[-1][0]}>"

    @property
    def stretches(self) -> list[tuple[int, np.ndarray]]:
        """The segments, those in one between which nothing changed."""
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
        names = [
            name for name in self.space.names if row[name] == row[name] and row[name] is not None
        ]
        return {name: configurations.plain(row[name]) for name in names}

    @functools.cached_property
    def frame(self) -> pandas.DataFrame:
        """A row per segment: member, until (epoch), and the hyperparameters."""
        import pandas

        columns = self.space.decode(np.array([point for _, point in self.segments]))
        shown = {name: columns[name] for name in self.space.names}
        until = [until for until, _ in self.segments]
        return pandas.DataFrame({"member": self.members, "until": until} | shown)
