"""Networks that were trained together: their table, learning curves, states, and each of them to predict with."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from hpjax import configurations
from hpjax.curve_columns import COLUMNS, EPOCH
from hpjax.network import Network
from hpjax.notebooks import shown
from hpjax.population import Population, Results
from hpjax.population.finished_networks import best
from hpjax.training import batches
from hpjax.workload import STRIDE, Workload

if TYPE_CHECKING:
    import pandas


class Trained:
    """Networks that were trained together.

    Attributes:
        seeds: which.
        table: a pandas table, a row per configuration and seed: validation loss and error, own metrics, training loss, epochs (the mean over
            folds and repeats), parameters, diverged, failed (it did not fit in memory).
        curves: a pandas table of learning curves: config, seed, fold, repeat, epoch, train, loss, error, own metrics.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        workload: Workload,
        population: Population,
        results: Results,
        unit: np.ndarray,
    ):
        self.seeds, self.count = list(seeds), len(unit)
        self.workload, self.population, self.results = workload, population, results
        self.unit = unit

    def _repr_html_(self) -> str:
        return shown(self, table=self.table)

    def __repr__(self) -> str:
        return f"<Trained: {self.count} configurations, {len(self.seeds)} seeds, {self.results.loss.size} networks>"

    @functools.cached_property
    def _groups(self) -> list[configurations.Group]:
        work = self.workload
        return configurations.of_points(work.space, self.unit, work.target, work.family)

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
        raise ValueError(f"config={config} is none of the {self.count} configurations")

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
        state = best(self.population.networks(trial), numbers.get("patience", 0.0))
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
        if not (0 <= fold < self.population.regime.folds and 0 <= repeat < work.regime.repeats):
            raise ValueError(
                f"fold={fold}, repeat={repeat}: there are {self.population.regime.folds} folds and {work.regime.repeats} repeats"
            )
        spec, numbers = self.shape(config)
        group = fold * work.regime.repeats + repeat
        state = jax.tree.map(lambda leaf: leaf[group], self.states(config, seed))
        which = self._place(seed) * self.population.regime.folds + fold
        rows, _ = work.examples.folds[which]
        standards = batches.standards(work.examples, rows, spec)
        return Network(work.task.signature, spec, numbers, state.params, state.stats, standards)

    @functools.cached_property
    def table(self) -> pandas.DataFrame:
        """A row per configuration and seed."""
        import pandas

        index = pandas.MultiIndex.from_product(
            [self.seeds, range(self.count)], names=["seed", "config"]
        )
        weights = [self.shape(i)[0].weights for i in range(self.count)]
        columns = {
            "loss": self.results.loss.mean(1),
            "error": self.results.error.mean(1),
            **{name: self.results.metrics[..., at].mean(1) for at, name in enumerate(self.metrics)},
            "train": self.results.train.mean(1),
            "epochs": self.results.weights_epoch.mean(1),
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
            self.count,
            self.population.regime.folds,
            self.workload.regime.repeats,
        )
        names = np.indices((*shape, curves.shape[2])).reshape(5, -1)
        flat = curves.reshape(-1, curves.shape[-1]).astype(float)
        table = pandas.DataFrame(
            {
                "config": names[1],
                "seed": np.array(self.seeds)[names[0]],
                "fold": names[2],
                "repeat": names[3],
                **{name: flat[:, at] for at, name in enumerate((*COLUMNS, *self.metrics))},
            }
        )
        table = table[np.isfinite(flat[:, EPOCH])].astype({"epoch": int})
        return table.sort_values(["config", "seed", "fold", "repeat", "epoch"], ignore_index=True)

    def _place(self, seed: int | None) -> int:
        if seed is None:
            return 0
        if seed not in self.seeds:
            raise ValueError(f"seed={seed} is none of {self.seeds}")
        return self.seeds.index(seed)

    def _trial(self, config: int, seed: int | None) -> int:
        return self._place(seed) * STRIDE + config
