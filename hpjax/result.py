"""What a study of networks found: tables, learning curves, and its network trained again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpjax import catalogue, configurations, records
from hpjax.curve_columns import EPOCH, FIRST_METRIC
from hpjax.defaults import CANDIDATES, MEMBERS
from hpjax.ensemble import Ensemble, ensemble_of
from hpjax.evaluation import Evaluation, minimised
from hpjax.fit import fit, follow
from hpjax.messages import warn
from hpjax.models.base import Target
from hpjax.network import Network
from hpjax.outcome import Outcome
from hpjax.population import Population
from hpjax.records import Ledger
from hpjax.resolve import check
from hpjax.settings import Networks, Settings, Validation
from hpjax.space import Space
from hpjax.tasks import Task, splits
from hpjax.train import train_along
from hpjax.training import metrics

if TYPE_CHECKING:
    import pandas


class Result(Outcome):
    """What a study of networks found.

    Attributes:
        best: the best trial at full fidelity: {"trial", "config", "objective", "loss", "error", "epochs"} and own metrics; "trial" is
            None if none.
        trials: a pandas table, a row per trial: its hyperparameters, objective (what was minimised), loss, error,
            own metrics, train, epochs, parameters, seconds (of the devices), diverged, status.
        curves: a pandas table of learning curves: trial, epoch, objective, train, loss, error, own metrics.
    """

    def __init__(
        self,
        ledger_records: list[dict],
        curves: Sequence[np.ndarray | None],
        space: Space,
        task: Callable[[], Task],
        settings: Settings,
        evaluation: Evaluation,
        folder: Path | None = None,
        population: Any = None,
        times: list[dict] | None = None,
    ):
        super().__init__(ledger_records, space, settings, folder, times)
        self.evaluation = evaluation
        self._load_task = task
        self.population = population  # the Population, where this process trained it
        self._curves = curves
        self.table |= {
            "seconds": records.seconds(ledger_records, self.times, len(self.table["objective"]))
        }

    @classmethod
    def of_ledger(
        cls,
        ledger: Ledger,
        space: Space,
        task: Task,
        settings: Settings,
        evaluation: Evaluation,
        population: Population,
    ) -> Result:
        """What this process found."""
        return cls(
            ledger.records,
            ledger.all_curves(),
            space,
            lambda: task,
            settings,
            evaluation,
            ledger.folder,
            population,
            ledger.times,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """What the table of trials says of each, beside its hyperparameters."""
        after = ("train", "epochs", "parameters", "seconds", "diverged", "status")
        if self.evaluation.settings.constraints:
            after = ("violation", *after)
        return ("objective", "loss", "error", *self.metrics, *after)

    @property
    def _curve_columns(self) -> tuple[str, ...]:
        return records.curve_columns(self.records, tuple(self.evaluation.settings.metrics))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Other than loss and error."""
        return self._curve_columns[FIRST_METRIC:]

    @functools.cached_property
    def task(self) -> Task:
        """What the study was made on; read again where this process did not train."""
        return self._load_task()

    @property
    def name(self) -> str:
        """Of the task, for titles; without reading it."""
        if "task" in self.__dict__ or self.evaluation.settings.task is None:
            return self.task.name
        return Path(self.evaluation.settings.task).stem

    @functools.cached_property
    def best(self) -> dict:
        """The best trial at full fidelity."""
        found = super().best
        at = found["trial"]
        of = lambda name: np.nan if at is None else float(self.table[name][at])
        return found | {name: of(name) for name in ("loss", "error", *self.metrics)}

    def column(self, name: str) -> np.ndarray:
        """A column of the table of trials."""
        return self.parameters if name == "parameters" else super().column(name)

    @functools.cached_property
    def parameters(self) -> np.ndarray:
        """Weights and biases of each trial's network [n]; NaN where the user's `model=` is not known."""
        plan = self.records[0] if self.records else {}
        known = plan.get("target")
        goal = Target(**known) if known else Target.of(self.task, self.fidelity)
        unit, family = self.table["unit"], self.evaluation.family
        if family is None:
            return np.full(len(unit), np.nan)
        weights = np.zeros(len(unit), np.int64)
        for group in configurations.of_points(self.space, unit, goal, family):
            weights[group.rows] = group.spec.weights
        return weights

    @functools.cached_property
    def curves(self) -> pandas.DataFrame:
        """A row per trial and scored epoch; the mean over folds and repeats."""
        import pandas

        there = [
            (record["trial"], self._curves[i])
            for i, record in records.reports(self.records)
            if self._curves[i] is not None
        ]
        curves = [curve for _, curve in there if curve is not None]
        columns = self._curve_columns
        flat = np.concatenate(
            [
                np.zeros((0, len(columns)), np.float32),
                *(c.reshape(-1, len(columns)) for c in curves),
            ]
        )
        rows = [curve.shape[1] for curve in curves for _ in range(len(curve))]
        trial = np.repeat([trial for trials, _ in there for trial in trials], rows)
        seen = np.isfinite(flat[:, EPOCH])
        table = pandas.DataFrame(flat[seen].astype(float), columns=list(columns))
        table.insert(0, "trial", trial[seen].astype(int))
        table = table.astype({"epoch": int}).drop_duplicates(["trial", "epoch"], keep="last")
        values = {str(name): column.to_numpy() for name, column in table.items()}
        table.insert(2, "objective", minimised(self.evaluation.settings, values))
        return table.sort_values(["trial", "epoch"]).reset_index(drop=True)

    @functools.cached_property
    def replicates(self) -> pandas.DataFrame:
        """The objective of each network, as minimised: a row per trial and fold, a column per repeat; its last report."""
        import pandas

        validation = self.evaluation.validation
        shape = (len(self.table["objective"]), validation.folds, validation.repeats)
        value = np.full(shape, np.nan)
        if validation.folds * validation.repeats == 1:
            value[:, 0, 0] = self.table["objective"]
        for _, record in records.reports(self.records):
            for trial, each in zip(record["trial"], record.get("replicates", ())):
                value[trial] = records.numbers(each, np.inf).reshape(shape[1:])
        index = pandas.MultiIndex.from_product(
            [range(n) for n in shape[:2]], names=["trial", "fold"]
        )
        return pandas.DataFrame(value.reshape(-1, shape[2]), index)

    @property
    def why_none(self) -> str:
        """What to say where no trial is the best."""
        objective = ", ".join(self.evaluation.settings.objectives)
        if (np.isfinite(self.table["loss"]) & ~np.isfinite(self.table["objective"])).any():
            return f"{objective} is not defined on some fold, as where a class is missing; give another objective, or other folds"
        if (self.table["status"] == "INFEASIBLE").any():
            limits = self.evaluation.settings.constraints.items()
            return f"no trial that reached full fidelity keeps the constraints {', '.join(f'{name} {bound}' for name, bound in limits)}; widen them, or add trials"
        return "no trial reached full fidelity without diverging; lower learning_rate's range, or add trials"

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
        family = self.evaluation.known_family()
        trial = self.best["trial"] if trial is None else trial
        if trial is None:
            raise ValueError(self.why_none)
        seed = self.settings.seed if seed is None else seed
        segments = self.schedule(trial).stretches
        if len(segments) > 1:
            return follow(
                self.task,
                self.space,
                segments,
                self.fidelity,
                seed,
                family,
                self.evaluation.settings.stream,
            )
        return fit(
            self.task,
            self._values(trial),
            self._kept(trial),
            horizon=self.fidelity,
            seed=seed,
            model=family,
            stream=self.evaluation.settings.stream,
        )

    def ensemble(
        self,
        size: int = MEMBERS,
        candidates: int = CANDIDATES,
        *,
        refit: bool | None = None,
        progress: bool | None = None,
    ) -> Ensemble:
        """Networks of the best trials that predict together, chosen greedily, with replacement, by their validation predictions.

        Networks of a process's own study are at hand (up to 1 GiB of them); others are trained again, on the study's folds, before
        members are chosen.

        Args:
            size: the most members, counted as often as they are taken; with folds each is a trial's networks of all folds.
            candidates: trials that are chosen from, the best that went to the end; with fewer than these, the `validation` of the
                ensemble is too good by what choosing them does.
            refit: whether the members are trained again on the whole development part, as `refit` trains one; where None, if there is
                one fold, so that a part of the examples was never trained on (and networks were not begun afresh every round, nor
                anything searched under a condition on patience). The `validation` is that of the members as chosen.
            progress: whether a bar is drawn on standard error while networks are trained again; where None, if that is a terminal.

        Returns:
            An Ensemble, whose `validation` tells what selection is worth on examples that it did not see.

        Raises:
            ValueError: no trial reached full fidelity without diverging; `refit` where something depends on patience.
        """
        check(size=size, candidates=candidates)
        evaluation, task = self.evaluation, self.task
        evaluation.known_family()  # refuses what has to be given again
        trials = self.ranking[:candidates].tolist()
        if not trials:
            raise ValueError(self.why_none)
        afresh = self.settings.scheduler.get("renew")
        ranges = self.space.ranges.values()
        depends = any(one.condition and one.condition.name == "patience" for one in ranges)
        if refit and depends:
            raise ValueError(
                "something is searched under a condition on patience, which needs validation, so that members cannot be trained on all examples; leave refit out"
            )
        if refit is None:
            refit = evaluation.validation.folds == 1 and not afresh and not depends
        kept = {} if self.population is None else self.population.library or {}
        missing = [trial for trial in trials if trial not in kept]
        library = {trial: kept[trial] for trial in trials if trial in kept}
        if missing and afresh:
            raise ValueError(
                "networks that were begun afresh every round cannot be trained again; call ensemble() where the study ran, with fewer candidates"
            )
        if missing:
            again = train_along(
                self.space,
                task,
                evaluation,
                [self.schedule(trial).stretches for trial in missing],
                seeds=[self.settings.seed],
                fidelity=self.fidelity,
                progress=progress,
            )
            there = [at for at in range(len(missing)) if at in again.population.home]
            for finished in again.population.finished(there):
                library |= {missing[at]: one for at, one in finished.each().items()}
        if not library:
            raise ValueError("no network of the candidates fits in memory; give other candidates")
        validation = evaluation.validation
        folds = splits(task, validation.folds, self.settings.seed)
        chosen = ensemble_of(
            task, folds, validation.repeats, library, evaluation, size, self.settings.seed
        )
        return self._refitted(chosen, progress) if refit else chosen

    def _refitted(self, chosen: Ensemble, progress: bool | None) -> Ensemble:
        """An ensemble whose members are trained again on the whole development part, one network for those of all folds.

        A member that diverges then, or does not fit in memory, stays as it was chosen.
        """
        trials = sorted({member["trial"] for member in chosen.members})
        space, schedules = self._without_patience(trials)
        repeats = self.evaluation.validation.repeats
        whole = Validation(folds=0, repeats=repeats, score_every=self.fidelity)
        family = self.evaluation.known_family()
        trained = train_along(
            space,
            self.task,
            Evaluation(
                Networks(task=None, validation=whole, stream=self.evaluation.settings.stream),
                family,
            ),
            schedules,
            seeds=[self.settings.seed],
            fidelity=self.fidelity,
            progress=progress,
        )
        sound = np.isfinite(trained.results.train).all(1) & ~trained.results.failed
        for trial in (trial for trial, good in zip(trials, sound) if not good):
            warn(
                f"hpjax: trial {trial} diverged, or did not fit in memory, when it was trained on all examples; it stays as it was chosen"
            )
        networks, shares, members = [], [], []
        for network, share, member in zip(chosen.networks, chosen.shares.tolist(), chosen.members):
            at = trials.index(member["trial"])
            if sound[at]:
                member = {name: value for name, value in member.items() if name != "fold"}
                if member in members:
                    shares[members.index(member)] += share
                    continue
                network = trained.network(at, repeat=member["repeat"])
            networks.append(network)
            shares.append(share)
            members.append(member)
        return Ensemble(networks, shares, members, chosen.validation)

    def _without_patience(
        self, trials: Sequence[int]
    ) -> tuple[Space, list[list[tuple[int, np.ndarray]]]]:
        """The space and the schedules by which trials are trained where nothing is validated."""
        entries = dict(self.space.ranges | self.space.constants)
        entries.pop("patience", None)
        names = [name for name in self.space.names if name != "patience"]
        columns = [self.space.names.index(name) for name in names]
        family = self.evaluation.known_family()
        space = Space(entries, lambda name: catalogue.structural(name, family))
        schedules = []
        for trial in trials:
            stretches = self.schedule(trial).stretches
            if len(stretches) == 1:
                stretches = [(self._kept(trial), stretches[0][1])]
            schedules.append([(until, point[columns]) for until, point in stretches])
        return space, schedules

    def _kept(self, trial: int) -> int:
        """Epochs that a trial is trained for again: with patience those of its best one."""
        return max(1, round(float(self.table["kept"][trial])))

    def _values(self, trial: int) -> dict[str, Any]:
        """A trial's hyperparameters, as it is trained again without validation."""
        values = self.space.constants | self.config(trial)
        return {name: v for name, v in values.items() if name not in ("patience", "epochs")}

    def test(self, network: Network | Ensemble | None = None) -> dict[str, float]:
        """Metrics of a network or an ensemble (the best network, refitted, where None) on the task's held-out test set, the study's own
        among them.

        Raises:
            ValueError: a task without one.
        """
        rows = self.task.test
        if not len(rows):
            raise ValueError(f"{self.task.name} has no test set")
        network = network or self.refit()
        task, x = self.task, self.task.examples(rows)
        predicted = network.predict(x)
        weights = None if task.weights is None else task.weights[rows]
        table = metrics.prediction_metrics(task.truth(rows), predicted, task.classes, weights)
        if not self.evaluation.metrics:
            return table
        p = network.predict_proba(x) if task.classes else predicted.reshape(len(rows), -1)
        return table | self.evaluation.measured(task, rows, p)
