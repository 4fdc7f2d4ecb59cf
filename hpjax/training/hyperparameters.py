"""Training's own hyperparameters, which serve every model: names, defaults, bounds, meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpjax.defaults import EPOCHS
from hpjax.models.base import INF, Static, Traced
from hpjax.training.learning_rate_schedules import SCHEDULES
from hpjax.training.losses import LOSSES
from hpjax.training.optimizers import OPTIMIZER_NUMBERS, OPTIMIZERS
from hpjax.training.targets import TRANSFORMS

STATIC: dict[str, Static] = {
    "optimizer": Static("adam", tuple(OPTIMIZERS), 0, "update rule"),
    "schedule": Static("constant", tuple(SCHEDULES), 0, "learning rate over the horizon"),
    "batch_size": Static(32, None, 0, "examples a minibatch; 0 is the whole training part"),
    "sampling": Static(
        "permutation", ("permutation", "replacement"), 0, "how an epoch's minibatches are drawn"
    ),
    "loss": Static(
        None, tuple(LOSSES), 0, "default by task: cross_entropy for classes, mse for numbers"
    ),
    "scaling": Static(
        "standard",
        ("standard", "quantile"),
        0,
        "of numbers: to mean 0 and deviation 1, or made normal by their ranks",
    ),
    "target_transform": Static(
        "none", TRANSFORMS, 0, "of numeric targets in training; predictions are undone"
    ),
    "class_weight": Static(
        "none", ("none", "balanced"), 0, "balanced: every class counts alike in training"
    ),
    "dtype": Static("float32", ("float32", "float64"), 0, "precision of everything"),
}


TRACED: dict[str, Traced] = {
    "learning_rate": Traced(1e-3, 0.0, INF, "weights", "step size"),
    **OPTIMIZER_NUMBERS,
    "l1": Traced(0.0, 0.0, INF, "weights", "adds l1 * sum |W|"),
    "l2": Traced(0.0, 0.0, INF, "weights", "adds l2/2 * sum W^2"),
    "weight_decay": Traced(
        0.0, 0.0, INF, None, "decoupled decay of the weight matrices, times learning rate"
    ),
    "input_noise": Traced(0.0, 0.0, INF, None, "standard deviation of noise on the inputs"),
    "label_smoothing": Traced(0.0, 0.0, 1.0, None, "probability spread over all classes"),
    "huber_delta": Traced(
        1.0, 1e-6, INF, None, "where it turns straight, in deviations of the target"
    ),
    "quantile_level": Traced(0.5, 1e-6, 1 - 1e-6, None, "which quantile is predicted"),
    "focal_gamma": Traced(2.0, 0.0, INF, None, "how little easy examples count"),
    "clip_norm": Traced(INF, 0.0, INF, None, "largest global norm of a gradient"),
    "decay_rate": Traced(
        0.1, 0.0, INF, None, "what the learning rate is multiplied by in decay_time"
    ),
    "decay_time": Traced(
        1.0, 1e-6, INF, None, "fraction of the horizon in which decay_rate applies once"
    ),
    "warmup": Traced(
        0.1, 0.0, 1.0, None, "fraction of the horizon in which the learning rate rises"
    ),
    "hypergradient_rate": Traced(
        1e-7,
        0.0,
        INF,
        None,
        "how fast the schedule hypergradient moves the learning rate; 1e-3 suits sgd",
    ),
    "end_factor": Traced(
        0.0, 0.0, 1.0, None, "what the cosines end at, as a fraction of learning_rate"
    ),
    "horizon": Traced(
        0.0, 0.0, INF, None, "epochs the schedule runs over; 0 is the study's full fidelity"
    ),
    "epochs": Traced(float(EPOCHS), 1.0, INF, None, "caps the epochs of training"),
    "patience": Traced(
        0.0,
        0.0,
        INF,
        None,
        "scores without gain before training stops and the best weights return; 0 never",
    ),
}


def _needs(choice: str, table: Mapping[str, Any]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Hyperparameter -> the choice that it needs, and the values of that under which it acts."""
    names = dict.fromkeys(name for row in table.values() for name in row.hyperparameters)
    return {
        n: (choice, tuple(v for v, row in table.items() if n in row.hyperparameters)) for n in names
    }


# Numbers that act under some optimizers, schedules or losses only.
NEEDS = _needs("optimizer", OPTIMIZERS) | _needs("schedule", SCHEDULES) | _needs("loss", LOSSES)

# Traced hyperparameters whose code is in a program only when they are named: off, they cost nothing.
SWITCHED = (
    "momentum",
    "l1",
    "l2",
    "weight_decay",
    "input_noise",
    "label_smoothing",
    "clip_norm",
    "patience",
    "epochs",
)
