"""These configurations, trained as one population: `train` hands out their networks and learning curves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hpjax import catalogue, configurations, devices
from hpjax.network import Network
from hpjax.population import Population, Results
from hpjax.resolve import as_evaluation, as_seeds, check
from hpjax.schedulers import Order
from hpjax.settings import Validation
from hpjax.space import Choice, Range, frozen
from hpjax.tasks import Task
from hpjax.training import batches
from hpjax.watching import watching
from hpjax.workload import STRIDE, Workload

if TYPE_CHECKING:
    import pandas


def train(
    configs: Mapping | Sequence[Mapping],
    task: Task | str | Path | tuple = "digits",
    epochs: int = 20,
    *,
    model: Any = None,
    seeds: int | Sequence[int] = 1,
    validation: Validation | Mapping | int = 1,
    loss: Callable[..., Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    gradients: str = "explicit",
    data: str | Path | None = None,
    target: str | None = None,
    kind: str | None = None,
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
) -> Trained:
    """Trains networks of given hyperparameters, all of them as one population.

    Args:
        configs: one configuration or several (dicts); names that one of them leaves out hold their defaults there.
        task: as for `tune`.
        epochs: of every network.
        model: as for `tune`.
        seeds: how many, or which; each has its own folds, initial weights and minibatches, which all configurations share.
        validation: as for `tune`; 0 folds train on all of the development part, without validation.
        loss, metrics, gradients, data, target, kind, progress, say: as for `tune`.

    Returns:
        A Trained.

    Raises:
        ValueError: anything that can be wrong with the arguments, in one line with the remedy.

    Example:
        >>> found = train([{"hidden": (4,)}, {"hidden": (8,), "l2": 0.01}], "iris", epochs=3, seeds=2, say=lambda text: None)
        >>> found.table.shape, found.network(1).spec.hidden
        ((4, 7), (8,))
    """
    check(epochs=epochs, say=say)
    say = say or devices.warn
    listed = [configs] if isinstance(configs, Mapping) else list(configs)
    if not listed or not all(isinstance(config, Mapping) for config in listed):
        raise ValueError(f"configs must be configurations (dicts), got {configs!r:.80}")
    entries = _entries(listed)
    space, found, evaluation = as_evaluation(
        entries,
        task,
        data=data,
        target=target,
        kind=kind,
        model=model,
        loss=loss,
        metrics=metrics,
        validation=validation,
        gradients=gradients,
        fewest=0,
    )
    folds = evaluation.validation.folds
    if folds == 0 and "patience" in entries:
        raise ValueError("patience needs validation; give folds, or drop patience")
    numbers = as_seeds(seeds)
    for line in found.about(folds):
        say(f"hpjax: {line}")
    unit = np.zeros((len(listed), len(space.names)))
    for at, name in enumerate(space.names):
        unit[:, at] = space.ranges[name].encode([frozen(config.get(name)) for config in listed])
    workload = Workload(
        space,
        found,
        unit,
        evaluation,
        fidelity=epochs,
        seeds=numbers,
        trials=len(listed) * len(numbers),
        epochs=epochs,
        say=say,
    )
    population = workload.population(cohorts=range(len(numbers)))
    trial = np.array([s * STRIDE + i for s in range(len(numbers)) for i in range(len(listed))])
    order = Order(
        trial,
        np.tile(unit, (len(numbers), 1)),
        np.full(len(trial), -1),
        np.full(len(trial), epochs),
        np.zeros(len(trial), np.int64),
    )
    with watching(progress, workload):
        results = population.carry_out(order)
    if folds == 0:  # what was scored is a row of the training part
        for column in (results.loss, results.error, results.own, results.curves[..., 2:]):
            column[...] = np.nan
    return Trained(listed, numbers, workload, population, results, unit)


def _entries(configs: Sequence[Mapping]) -> dict[str, Any]:
    """A space that holds these configurations: what differs is a choice; None holds a default."""
    entries: dict[str, Any] = {}
    for name in sorted({name for config in configs for name in config}):
        values = [frozen(config.get(name)) for config in configs]
        if any(isinstance(value, Range) for value in values):
            raise ValueError(
                f"{name} is a range, but configurations hold values; to search it use hpjax.tune"
            )
        different = list({repr(value): value for value in values}.values())
        entries[name] = different[0] if len(different) == 1 else Choice(tuple(different))
    return entries or {"learning_rate": catalogue.TRACED["learning_rate"].default}


class Trained:
    """Networks that were trained together.

    Attributes:
        configs: as they were given.
        seeds: which.
        table: a pandas table, a row per configuration and seed: validation loss and error, own metrics, training loss, epochs (the mean over
            folds and repeats), parameters, diverged, failed (it did not fit in memory).
        curves: a pandas table of learning curves: config, seed, fold, repeat, epoch, train, loss, error, own metrics.
    """

    def __init__(
        self,
        configs: list[Mapping],
        seeds: Sequence[int],
        workload: Workload,
        population: Population,
        results: Results,
        unit: np.ndarray,
    ):
        self.configs, self.seeds = configs, list(seeds)
        self.workload, self.population, self.results = workload, population, results
        columns = workload.space.decode(unit)
        self._groups = configurations.split(columns, workload.target, workload.family)

    def __repr__(self) -> str:
        return f"<Trained: {len(self.configs)} configurations, {len(self.seeds)} seeds, {self.results.loss.size} networks>"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The user's own metrics."""
        return tuple(name for name, _ in self.workload.evaluation.metrics)

    def shape(self, config: int = 0) -> tuple[Any, dict]:
        """The Spec and the Config (scalar leaves, or one per layer) of a configuration."""
        for group in self._groups:
            at = np.flatnonzero(group.rows == config)
            if len(at):
                return group.spec, {name: leaf[at[0]] for name, leaf in group.config.items()}
        raise ValueError(f"config={config} is none of the {len(self.configs)} configurations")

    def states(self, config: int = 0, seed: int | None = None) -> Any:
        """The states of a configuration's networks as training left them, leaves of [K * R ...].

        Args:
            config: which, from 0.
            seed: which; the first where None.

        Raises:
            ValueError: no such configuration or seed.
        """
        spec, numbers = self.shape(config)
        trial = self._trial(config, seed)
        home = self.population.home.get(trial)
        if home is None:
            raise ValueError(f"the networks of config={config} did not fit in memory")
        program = self.population.programs[home].spec
        state = self.population.networks(trial)
        if state.best and numbers["patience"] > 0:
            best = np.isfinite(state.best.scores.loss)
            pick = lambda a, b: np.where(best.reshape(-1, *[1] * (a.ndim - 1)), a, b)
            state = state._replace(
                params=jax.tree.map(pick, state.best.params, state.params),
                stats=jax.tree.map(pick, state.best.stats, state.stats),
            )
        params, stats = program.cut(spec, state.params, state.stats)
        return state._replace(params=params, stats=stats)

    def network(
        self, config: int = 0, seed: int | None = None, fold: int = 0, repeat: int = 0
    ) -> Network:
        """One of the networks, to predict with; with `patience` as it was at its best epoch.

        Args:
            config, seed: as for `states`.
            fold, repeat: which, from 0.
        """
        work = self.workload
        if not (0 <= fold < self.population.regime.folds and 0 <= repeat < work.repeats):
            raise ValueError(
                f"fold={fold}, repeat={repeat}: there are {self.population.regime.folds} folds and {work.repeats} repeats"
            )
        spec, numbers = self.shape(config)
        group = fold * work.repeats + repeat
        state = jax.tree.map(lambda leaf: leaf[group], self.states(config, seed))
        which = self._place(seed) * self.population.regime.folds + fold
        rows, _ = work.examples.folds[which]
        standards = batches.standards(work.examples, rows)
        return Network(work.task, spec, numbers, state.params, state.stats, standards)

    @functools.cached_property
    def table(self) -> pandas.DataFrame:
        """A row per configuration and seed."""
        import pandas

        index = pandas.MultiIndex.from_product(
            [self.seeds, range(len(self.configs))], names=["seed", "config"]
        )
        weights = [self.shape(i)[0].weights for i in range(len(self.configs))]
        columns = {
            "loss": self.results.loss.mean(1),
            "error": self.results.error.mean(1),
            **{name: self.results.own[..., at].mean(1) for at, name in enumerate(self.metrics)},
            "train": self.results.train.mean(1),
            "epochs": self.results.kept.mean(1),
            "parameters": np.tile(weights, len(self.seeds)),
            "diverged": ~np.isfinite(self.results.train).all(1) & ~self.results.failed,
            "failed": self.results.failed,
        }
        return pandas.DataFrame(columns, index=index).swaplevel().sort_index()

    @functools.cached_property
    def curves(self) -> pandas.DataFrame:
        """A row per network and scored epoch."""
        import pandas

        curves = self.results.curves  # [S * configs, K * R, rows, 4+M]
        shape = (
            len(self.seeds),
            len(self.configs),
            self.population.regime.folds,
            self.workload.repeats,
        )
        names = np.indices((*shape, curves.shape[2])).reshape(5, -1)
        flat = curves.reshape(-1, curves.shape[-1]).astype(float)
        table = pandas.DataFrame(
            {
                "config": names[1],
                "seed": np.array(self.seeds)[names[0]],
                "fold": names[2],
                "repeat": names[3],
                "epoch": flat[:, 0],
                "train": flat[:, 1],
                "loss": flat[:, 2],
                "error": flat[:, 3],
                **{name: flat[:, 4 + at] for at, name in enumerate(self.metrics)},
            }
        )
        table = table[np.isfinite(flat[:, 0])].astype({"epoch": int})
        return table.sort_values(["config", "seed", "fold", "repeat", "epoch"], ignore_index=True)

    def _place(self, seed: int | None) -> int:
        if seed is None:
            return 0
        if seed not in self.seeds:
            raise ValueError(f"seed={seed} is none of {self.seeds}")
        return self.seeds.index(seed)

    def _trial(self, config: int, seed: int | None) -> int:
        return self._place(seed) * STRIDE + config
