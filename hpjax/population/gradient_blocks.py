"""What does a trial gain by moving its point? d loss / d unit of an order's networks, through their training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hpjax import catalogue, configurations, devices, hypergrad
from hpjax.hypergrad import TrainingPlan
from hpjax.messages import warn
from hpjax.models import Family, Spec
from hpjax.models.base import Config
from hpjax.population.executor import LocalExecutor
from hpjax.population.regime import Regime
from hpjax.population.results import Results
from hpjax.schedulers.base import Order
from hpjax.space import LogUniform, Space, Uniform
from hpjax.training import batches

# bytes that one network's gradient may take, and all that train in lockstep on a CPU core; fixed, so that equal studies run alike
MEMORY = 2 * 2**30


class TrialGradients(NamedTuple):
    """What comes back for the networks of one shape, m trials in G groups."""

    loss: np.ndarray  # [m G] validation loss
    error: np.ndarray  # [m G]
    train: np.ndarray  # [m G] loss on the training part, after training
    metrics: np.ndarray  # [m G M] other than loss and error
    grad: np.ndarray  # [m G D] d loss / d unit
    time: float  # of one network, in plain trainings


def _rules(family: Family) -> dict[str, Any]:
    """What of a family's hyperparameters can be differentiated: of networks of a user's own, all their numbers."""
    return hypergrad.rules(family.traced if family.user_defined else {})


def moving(space: Space, fidelity: int, family: Family) -> list[str]:
    """The ranges of a space that have derivatives: continuous ones.

    Args:
        space: of the study.
        fidelity: epochs that its networks train for.

    Raises:
        ValueError: a range that caps or stops training, which has none.
    """
    names = [n for n, entry in space.ranges.items() if isinstance(entry, (Uniform, LogUniform))]
    for name in (*space.ranges, *space.constants):
        if name == "patience" or (name == "epochs" and name in space.ranges):
            raise ValueError(
                f"search gradient cannot differentiate through {name}; make epochs a constant and drop patience"
            )
    if space.constants.get("epochs", fidelity) < fidelity:
        raise ValueError(
            f"search gradient trains for the scheduler's {fidelity} epochs, not {space.constants['epochs']}; give both the same"
        )
    known = _rules(family)
    for name in names:
        if catalogue.base(name, family) not in known:
            raise ValueError(
                f"{name} has no derivative; make it a choice or a constant, or use another search"
            )
    return names


def roots(space: Space, spec: Spec, fidelity: int, family: Family) -> list[str]:
    """The catalogue's names of what moves for networks of a shape: a condition may switch some off.

    Raises:
        ValueError: a range without effect on this shape, whose gradient would be a silent zero.
    """
    names, known = [], _rules(family)
    for name in moving(space, fidelity, family):
        root = catalogue.base(name, family)
        conditional = space.ranges[name].condition is not None
        if not known[root].acts(spec):
            if not conditional:
                raise ValueError(f"the gradient of {name} needs {known[root].where}")
            continue
        names.append(root)
    return sorted(set(names))


def carry_out(
    order: Order,
    shapes: Sequence[tuple[Spec, configurations.Group]],
    space: Space,
    regime: Regime,
    cohort: np.ndarray,
    executor: LocalExecutor,
    results: Results,
    say: Callable[[str], None] = warn,
) -> None:
    """Trains an order's networks to the end of their epochs, and differentiates.

    Args:
        order: n rows.
        shapes: the rows of each shape, and the shape of the program that trains them.
        space: of the points.
        regime: what they are trained on.
        cohort: [n] which of the seeds each row belongs to.
        executor: knows what networks start from.
        results: of the order, with grad and cost; is filled.
        say: told where networks do not fit in memory.
    """
    assert results.grad is not None
    assert results.cost is not None
    data: dict[tuple, batches.Data] = {}  # on the host: gradients spread it themselves
    for spec, group in shapes:
        whole = spec.member(group.spec, group.config)
        preparation = batches.preparation(spec)
        if preparation not in data:
            data[preparation] = regime.data(spec)
        for fresh in np.unique(order.seed[group.rows]).tolist():
            now = order.seed[group.rows] == fresh
            rows, begun = group.rows[now], time.perf_counter()
            which = [
                (cohort[rows] * regime.groups + g).astype(np.int32) for g in range(regime.groups)
            ]
            every = np.ones(len(rows), bool)
            draws = [executor.drawn(spec, w, order.seed[rows], every) for w in which]
            config = {leaf: value[now] for leaf, value in whole.items()}
            part = Part(spec, config, order.unit[rows], which, draws, fresh)
            try:
                gradients = of_shape(part, space, regime, data[preparation], say)
            except jax.errors.JaxRuntimeError as fault:
                if not devices.exhausted(fault):
                    raise
                results.failed[rows], results.cost[rows] = True, order.epochs[rows]
                say(
                    f"hpjax: gradients of {len(rows)} networks, {spec.label}, do not fit in memory: FAILED"
                )
                continue
            results.loss[rows], results.error[rows] = gradients.loss, gradients.error
            results.train[rows], results.metrics[rows] = gradients.train, gradients.metrics
            results.grad[rows] = gradients.grad
            results.cost[rows] = cost(gradients.time, order.epochs[rows])
            results.seconds[rows] = (time.perf_counter() - begun) / len(rows)
    epochs = np.broadcast_to(order.epochs[:, None], results.loss.shape)
    results.reached[:], results.weights_epoch[:] = epochs, epochs
    last = [
        epochs,
        results.train,
        results.loss,
        results.error,
        *np.moveaxis(results.metrics, -1, 0),
    ]
    results.curves[:, :, -1] = np.stack(last, -1)


class Part(NamedTuple):
    """Networks of one shape: m trials in G groups."""

    spec: Spec
    config: Config  # leaves [m ...]
    unit: np.ndarray  # [m D]
    groups: Sequence[np.ndarray]  # G of [m], which group of the data each trial's network trains in
    draws: Sequence[np.ndarray]  # G of [m n], what networks start from
    fresh: int  # names fresh randomness, 0 for none


def of_shape(
    part: Part,
    space: Space,
    regime: Regime,
    data: batches.Data,
    say: Callable[[str], None] = warn,
) -> TrialGradients:
    """Trains networks of one shape to the end of their epochs, and differentiates; fewer at once where they do not fit in memory.

    Raises:
        JaxRuntimeError: not even one network a device fits in memory.
    """
    spec, config, metrics = part.spec, part.config, regime.metrics
    names = roots(space, spec, regime.target.fidelity, regime.family)
    places = data.order.shape[-1]
    steps = regime.target.fidelity * spec.steps(places)
    uneven = batches.uneven(regime.examples, spec)
    plan = TrainingPlan(
        spec,
        steps,
        tuple((name, "identity") for name in names),
        gradients=regime.gradients,
        report=True,
        uneven=uneven,
        metrics=metrics,
    )
    count = sum(int(np.prod(config[name].shape[1:])) for name in names)
    full = max(len(rows) for rows, _ in regime.examples.folds)
    batch = spec.batch(full)
    mode = hypergrad.resolve_mode(
        plan, "auto" if names else "plain", count, batch, full, memory=MEMORY
    )
    rows, many = len(part.unit), len(part.groups)
    lead = lambda leaf: np.concatenate([leaf] * many)
    price = hypergrad.estimate(spec, steps, mode, count, batch, full)
    local_devices = devices.devices()
    allowed = int(hypergrad.SHARE * devices.memory(local_devices)) or MEMORY
    fitting = max(1, allowed // price.memory) * len(local_devices)
    coordinates = {name: lead(config[name]) for name in names}
    fixed = {name: lead(leaf) for name, leaf in config.items() if name not in names}
    group, draw = np.concatenate(list(part.groups)), np.concatenate(list(part.draws))

    runs = hypergrad.Runs(coordinates, fixed, group, draw)

    def run(width: int) -> Any:
        return hypergrad.differentiate(plan, mode, runs, data, fresh=part.fresh, width=width)

    def narrower(width: int) -> int | None:
        if width <= len(local_devices):
            return None
        say(f"hpjax: out of memory; gradients of {width // 2} networks at once instead of {width}")
        return width // 2

    width = min(hypergrad.width_of(plan, batch, rows * many), fitting)
    found = devices.narrowing(run, width, narrower)
    by_group = lambda a: np.moveaxis(
        np.asarray(a, np.float64).reshape(many, rows, *a.shape[1:]), 0, 1
    )
    return TrialGradients(
        loss=by_group(found.loss),
        error=by_group(found.info["error"]),
        train=by_group(found.info["train"]),
        metrics=by_group(found.info["metrics"]) if metrics else np.zeros((rows, many, 0)),
        grad=_chained(
            space, part, {n: by_group(g) for n, g in found.gradient.items()}, regime.family
        ),
        time=price.time,
    )


def _chained(
    space: Space, part: Part, gradient: dict[str, np.ndarray], family: Family
) -> np.ndarray:
    """d loss / d unit [m G D], from the gradient of each hyperparameter [m G] or, per layer, [m G L]."""
    chain = space.slopes(part.unit)[:, None, :] * np.ones((1, len(part.groups), 1))
    for at, name in enumerate(space.names):
        root = catalogue.base(name, family)
        if not chain[:, :, at].any():
            continue
        if root not in gradient:
            raise ValueError(f"the gradient of {name} needs {_rules(family)[root].where}")
        slope = gradient[root]
        if root != name:  # one layer's; a network without that layer does not feel it
            layer = int(name.rsplit("_", 1)[1]) - 1
            slope = slope[..., layer] if layer < slope.shape[-1] else np.zeros(slope.shape[:2])
        elif slope.ndim == 3:  # of all layers that have none of their own
            own = _own(space, root, part.unit, slope.shape[-1], family)
            slope = np.where(own[:, None], 0.0, slope).sum(-1)
        chain[:, :, at] *= slope
    return chain


def _own(space: Space, root: str, unit: np.ndarray, layers: int, family: Family) -> np.ndarray:
    """Which layers have a value of their own, [m layers] bool."""
    found = np.zeros((len(unit), layers), bool)
    active = space.active(unit)
    for name in (*space.ranges, *space.constants):
        if name == root or catalogue.base(name, family) != root:
            continue
        layer = int(name.rsplit("_", 1)[1]) - 1
        if layer < layers:
            found[:, layer] |= active[:, space.names.index(name)] if name in space.ranges else True
    return found


def cost(time: float, epochs: Any) -> np.ndarray:
    """Epochs charged for gradients that take `time` plain trainings."""
    return np.round(time * np.asarray(epochs)).astype(np.int64)
