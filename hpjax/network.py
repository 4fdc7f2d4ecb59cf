"""A trained network to use: `fit` makes one from hyperparameters, `Network` predicts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hpjax import configurations, devices
from hpjax.hypergrad import Learned
from hpjax.models import MLP, Family, Spec
from hpjax.models.base import Target, cast
from hpjax.population import Population, Regime, plan
from hpjax.resolve import as_family, as_space
from hpjax.schedulers import Order
from hpjax.space import Space
from hpjax.tasks import Split, Task
from hpjax.training import batches, losses, metrics
from hpjax.workload import small_batch


@functools.partial(jax.jit, static_argnames="spec")
def _predicted(params: Any, stats: Any, config: dict, x: Any, spec: Spec) -> jax.Array:
    """Predictions [N C]; one function, so that a second prediction compiles nothing."""
    outputs, _ = spec.functions.outputs(params, stats, config, x, None)
    return losses.loss_of(spec).predictions(outputs)


def fit(
    task: Task,
    values: Mapping | Learned,
    epochs: int | None = None,
    horizon: int | None = None,
    seed: int = 0,
    model: Any = None,
    loss: Any = None,
) -> Network:
    """One network with given or learned hyperparameters, trained on a task's development part.

    Args:
        task: data.
        values: hyperparameters by name, the rest hold their defaults; or what `hypergrad.learn` found.
        epochs: how long; of what was learned, as long as it was learned for.
        horizon: epochs that the learning-rate schedule runs over; `epochs` where None.
        seed: names all randomness.
        model, loss: as for `tune`.

    Returns:
        A Network.

    Raises:
        ValueError: no epochs for hyperparameters by name, or epochs for learned ones.
    """
    if isinstance(values, Learned):
        if epochs is not None or horizon is not None:
            raise ValueError(
                f"what was learned is {values.steps} steps long; leave epochs and horizon out"
            )
        rows = task.development
        played = values.replay(task, [seed], split=Split(rows, rows[:1]))
        first = lambda tree: jax.tree.map(lambda leaf: leaf[0], tree)
        scalars = first({n: v for n, v in played.ready.config.items() if n not in values.segments})
        standards = batches.standards(played.ready.examples, rows)
        return Network(
            task,
            played.ready.plan.spec,
            scalars,
            first(played.params),
            first(played.stats),
            standards,
        )
    if epochs is None:
        raise ValueError("fit needs epochs: fit(task, values, epochs=20)")
    family = as_family(model, values, task, loss)
    space = as_space(values, family)
    return follow(task, space, [(epochs, np.zeros(0))], horizon or epochs, seed, family)


def follow(
    task: Task,
    space: Space,
    segments: Sequence[tuple[int, np.ndarray]],
    horizon: int,
    seed: int = 0,
    family: Family = MLP,
) -> Network:
    """One network trained along a schedule of hyperparameters, on a task's development part.

    Args:
        task: data.
        space: of the schedule's points.
        segments: (until epoch, point [D]), as `Result.schedule` has them.
        horizon: epochs that the learning-rate schedule runs over.
        seed: names all randomness.
        family: of the model.

    Returns:
        A Network, with the hyperparameters of the last stretch.
    """
    rows = task.development
    entries = space.ranges | space.constants
    space = as_space(entries | small_batch(entries, len(rows)), family)
    examples = batches.examples_of(task, [Split(rows, rows[:1])])
    goal = Target(task.inputs, task.outputs, task.loss, horizon)
    groups = [
        configurations.split(space.decode(point[None]), goal, family)[0] for _, point in segments
    ]
    load = plan.Load(1, 1, float(segments[-1][0]), len(rows), 1, goal.fidelity)
    programs = tuple(plan.Program(spec, 1, 1, 1) for spec in dict.fromkeys(g.spec for g in groups))
    regime = Regime(goal, examples, family, seeds=(seed,), score_every=goal.fidelity)
    trained = Population(space, regime, programs, load, found=devices.devices()[:1])
    one = np.array([0])
    for number, (until, point) in enumerate(segments):
        source = one if number else one - 1
        trained.carry_out(Order(one, point[None], source, np.array([until]), one))
    state = jax.tree.map(lambda leaf: leaf[0], trained.networks(0))
    scalars = {name: leaf[0] for name, leaf in groups[-1].config.items()}
    return Network(
        task, groups[-1].spec, scalars, state.params, state.stats, batches.standards(examples, rows)
    )


@dataclasses.dataclass(frozen=True, repr=False)
class Network:
    """A trained network that takes examples as the task has them.

    Attributes:
        task: what it was trained on.
        spec, config: its hyperparameters.
        params, stats: its weights and batch statistics, NumPy arrays.
        standards: shift and scale of features, and of numeric targets.
    """

    task: Task
    spec: Any
    config: dict
    params: Any
    stats: Any
    standards: tuple

    def __repr__(self) -> str:
        return f"<Network {self.spec.label.removeprefix('exactly ')} of {self.task.name}, {self.spec.weights} weights>"

    def outputs(self, x: Any) -> np.ndarray:
        """The network's outputs [N C] for examples [N F]: probabilities, or standardised numbers.

        Args:
            x: an array with the task's columns, or a table that has them by name, in any order.

        Raises:
            ValueError: another number of features, or other columns.
        """
        x = self.task.columns(x)
        shift, scale, _, _ = self.standards
        dtype = np.dtype(self.spec.dtype)
        with jax.enable_x64(dtype == np.float64):
            config, x = cast(self.config, self.spec), ((x - shift) * scale).astype(dtype)
            return np.asarray(_predicted(self.params, self.stats, config, x, spec=self.spec))

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities [N C] of the classes.

        Raises:
            ValueError: a task of numbers.
        """
        if not self.task.classes:
            raise ValueError(
                "predict_proba needs classes, but the task's targets are numbers; use predict"
            )
        p = self.outputs(x)
        return np.concatenate([1 - p, p], 1) if p.shape[1] == 1 else p

    def predict(self, x: Any) -> np.ndarray:
        """Classes [N] as the task was given them, or numbers [N] or [N C]."""
        if self.task.classes:
            return np.array(self.task.values)[self.predict_proba(x).argmax(1)]
        _, _, shift, scale = self.standards
        y = self.outputs(x) / scale + shift
        return y[:, 0] if self.task.y.ndim == 1 else y

    def score(self, x: Any, y: Any) -> float:
        """Accuracy, or R^2 for numbers, as scikit-learn's estimators score."""
        found = metrics.table(np.asarray(y), self.predict(x), self.task.classes)
        return found["accuracy"] if self.task.classes else found["r2"]
