"""One network from its hyperparameters, given, learned or scheduled: `fit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from hpjax import devices
from hpjax.evaluation import Evaluation
from hpjax.hypergrad import Learned
from hpjax.models import MLP, Family
from hpjax.network import Network
from hpjax.resolve import as_family, as_space, as_task, check
from hpjax.settings import Networks, Validation
from hpjax.space import Space
from hpjax.tasks import Task, all_of
from hpjax.train import train_along
from hpjax.training import batches


def fit(
    task: Any,
    values: Mapping | Learned,
    epochs: int | None = None,
    horizon: int | None = None,
    seed: int = 0,
    model: Any = None,
    loss: Any = None,
    stream: bool | None = None,
) -> Network:
    """One network with given or learned hyperparameters, trained on a task's development part.

    Args:
        task: a Task, its name, a file, or arrays or tables (x, y).
        values: hyperparameters by name, the rest hold their defaults; or what `hypergrad.learn` found.
        epochs: how long; of what was learned, as long as it was learned for.
        horizon: epochs that the learning-rate schedule runs over; `epochs` where None.
        seed: names all randomness.
        model, loss, stream: as for `tune`; what was learned is trained with all examples on the device.

    Returns:
        A Network.

    Raises:
        ValueError: no epochs for hyperparameters by name, or epochs for learned ones.
    """
    task = as_task(task)
    check(stream=stream)
    if isinstance(values, Learned):
        if epochs is not None or horizon is not None:
            raise ValueError(
                f"what was learned is {values.steps} steps long; leave epochs and horizon out"
            )
        rows = task.development
        played = values.replay(task, [seed], split=all_of(task))
        first = lambda tree: jax.tree.map(lambda leaf: leaf[0], tree)
        scalars = first({n: v for n, v in played.ready.config.items() if n not in values.segments})
        standards = batches.standards(played.ready.examples, rows, played.ready.plan.spec)
        return Network(
            task.signature,
            played.ready.plan.spec,
            scalars,
            first(played.params),
            first(played.stats),
            standards,
        )
    if epochs is None:
        raise ValueError("fit needs epochs: fit(task, values, epochs=20)")
    if "patience" in values:
        raise ValueError("patience needs validation, and fit trains on all examples; drop it")
    family = as_family(model, values, task, loss)
    # a schedule that ends before training does is a hyperparameter; one that ends later, a longer study
    early = {"horizon": horizon} if horizon is not None and horizon < epochs else {}
    space = as_space({**values, **early}, family)
    fidelity = max(epochs, horizon or epochs)
    return follow(task, space, [(epochs, np.zeros(0))], fidelity, seed, family, stream)


def follow(
    task: Task,
    space: Space,
    segments: Sequence[tuple[int, np.ndarray]],
    horizon: int,
    seed: int = 0,
    family: Family = MLP,
    stream: bool | None = None,
) -> Network:
    """One network trained along a schedule of hyperparameters, on a task's development part.

    Args:
        task: data.
        space: of the schedule's points.
        segments: (until epoch, point [D]), as `Result.schedule` has them.
        horizon: epochs that the learning-rate schedule runs over.
        seed: names all randomness.
        family: of the model.
        stream: as for `tune`.

    Returns:
        A Network, with the hyperparameters of the last stretch.
    """
    validation = Validation(folds=0, score_every=horizon)
    evaluation = Evaluation(Networks(task=None, validation=validation, stream=stream), family)
    one = devices.devices()[:1]
    trained = train_along(
        space, task, evaluation, [segments], seeds=[seed], fidelity=horizon, local_devices=one
    )
    return trained.network()
