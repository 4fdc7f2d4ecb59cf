"""What does a trial gain by moving its point? d loss / d unit of an order's networks, through their training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hpjax import catalogue, devices, hypergrad
from hpjax.hypergrad import Plan
from hpjax.models import MLP, Family, Spec
from hpjax.models.base import Config, Target
from hpjax.space import LogUniform, Space, Uniform
from hpjax.training import batches
from hpjax.training.metrics import Metrics

# bytes that one network's gradient may take, and all that train in lockstep on a CPU core; fixed, so that equal studies run alike
MEMORY = 2 * 2**30


class Slopes(NamedTuple):
    """What comes back for the networks of one shape, m trials in G groups."""

    loss: np.ndarray  # [m G] validation loss
    error: np.ndarray  # [m G]
    train: np.ndarray  # [m G] loss on the training part, after training
    own: np.ndarray  # [m G M] a user's own metrics
    grad: np.ndarray  # [m G D] d loss / d unit
    time: float  # of one network, in plain trainings


def _rules(family: Family) -> dict[str, Any]:
    """What of a family's hyperparameters can be differentiated: of networks of a user's own, all their numbers."""
    return hypergrad.rules(family.traced if family.own else {})


def moving(space: Space, fidelity: int, family: Family = MLP) -> list[str]:
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


def roots(space: Space, spec: Spec, fidelity: int, family: Family = MLP) -> list[str]:
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


def slopes(
    space: Space, target: Target, examples: batches.Examples, data: batches.Data, spec: Spec, config: Config, unit: np.ndarray,
    groups: Sequence[np.ndarray], draws: Sequence[np.ndarray], fresh: int, gradients: str,
    say: Callable[[str], None] = devices.warn, family: Family = MLP, metrics: Metrics = (),
) -> Slopes:  # fmt: skip
    """Trains networks of one shape to the end of their epochs, and differentiates.

    Args:
        space: of the points.
        target: of the task; its fidelity is how long networks train.
        examples, data: the task, and its arrays for this shape.
        spec, config: of m trials, leaves [m ...].
        unit: [m D] their points.
        groups: G of [m], which group of the data each trial's network trains in.
        draws: G of [m n], what networks start from.
        fresh: names fresh randomness, 0 for none.
        gradients: "explicit" or "autodiff".
        say: told where fewer networks than planned fit in memory at once.

    Raises:
        JaxRuntimeError: not even one network a device fits in memory.
    """
    names = roots(space, spec, target.fidelity, family)
    places = data.order.shape[-1]
    steps = target.fidelity * (places // (spec.batch_size or places))
    plan = Plan(
        spec, steps, tuple((name, "identity") for name in names), gradients=gradients, report=True,
        uneven=batches.uneven(examples, spec), metrics=metrics,
    )  # fmt: skip
    count = sum(int(np.prod(config[name].shape[1:])) for name in names)
    full = max(len(rows) for rows, _ in examples.folds)
    batch = spec.batch_size or full
    mode = hypergrad.resolve(plan, "auto" if names else "plain", count, batch, full, memory=MEMORY)
    fixed = {name: leaf for name, leaf in config.items() if name not in names}
    rows, many = len(unit), len(groups)
    lead = lambda leaf: np.concatenate([leaf] * many)
    price, found = hypergrad.estimate(spec, steps, mode, count, batch, full), devices.devices()
    allowed = int(hypergrad.SHARE * devices.memory(found)) or MEMORY
    width = min(hypergrad.width_of(plan, batch, rows * many), max(1, allowed // price.memory) * len(found))  # fmt: skip
    while True:
        try:
            loss, _, gradient, info = hypergrad.carry_out(
                plan, mode, {name: lead(config[name]) for name in names}, {n: lead(v) for n, v in fixed.items()}, data,
                np.concatenate(list(groups)), np.concatenate(list(draws)), fresh, width=width,
            )  # fmt: skip
            break
        except jax.errors.JaxRuntimeError as fault:
            if width <= len(found) or not devices.exhausted(fault):
                raise
            say(f"hpjax: out of memory; gradients of {width // 2} networks at once instead of {width}")  # fmt: skip
            width //= 2
    by_group = lambda a: np.moveaxis(
        np.asarray(a, np.float64).reshape(many, rows, *a.shape[1:]), 0, 1
    )
    chain = space.slopes(unit)[:, None, :] * np.ones((1, many, 1))
    for at, name in enumerate(space.names):
        root = catalogue.base(name, family)
        if not chain[:, :, at].any():
            continue
        if root not in gradient:
            raise ValueError(f"the gradient of {name} needs {_rules(family)[root].where}")
        slope = by_group(gradient[root])
        if root != name:  # one layer's; a network without that layer does not feel it
            layer = int(name.rsplit("_", 1)[1]) - 1
            slope = slope[..., layer] if layer < slope.shape[-1] else np.zeros(slope.shape[:2])
        elif slope.ndim == 3:  # of all layers that have none of their own
            own = _own(space, root, unit, slope.shape[-1], family)
            slope = np.where(own[:, None], 0.0, slope).sum(-1)
        chain[:, :, at] *= slope
    own = by_group(info["own"]) if metrics else np.zeros((rows, many, 0))
    return Slopes(by_group(loss), by_group(info["error"]), by_group(info["train"]), own, chain, price.time)  # fmt: skip


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
