"""What did meta-training find? Every hyperparameter of the best start, and the objective of all starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpjax import plots
from hpjax.hypergrad import Learned
from hpjax.space import LogUniform


@plots.house_style()
def learned(found: Learned, path: Path) -> list[Path]:
    """What meta-training found: every hyperparameter of the best start, and the objective of all starts.

    A schedule is drawn over its steps, other values over the meta-iterations, and what has a value for each example sorted.
    """
    names, best = list(found.scales), found.best
    objective = {
        "train": "training loss",
        "curve": "mean minibatch loss",
        "next": "next minibatch's loss",
    }.get(found.objective, "validation loss")
    made, axes = plots.figure(1, len(names) + 1, width=plots.WIDE, height=2.2, squeeze=False)
    for ax, name in zip(axes[0], names):
        kind, label = found.scales[name], name.replace("_", " ")
        log = kind == "log" or isinstance(kind, LogUniform)
        if name in found.segments:
            values = found.at_steps(name)
            plots.by_layer(ax, np.arange(1, found.steps + 1), values, "step", label, log)
        elif name in found.path:
            values = np.concatenate(
                [found.path[name][:, best], np.array(found.values()[name])[None]]
            )
            plots.by_layer(ax, np.arange(len(values)), values, "meta-iteration", label, log)
        else:
            values = np.sort(found.values()[name], axis=None)
            plots.by_layer(ax, np.arange(1, len(values) + 1), values, "number, sorted", label, log)
    plots.meta_curves(axes[0, -1], found.history.loss, objective, best)
    return plots.save(made, path)
