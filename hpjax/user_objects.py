"""How are objects of the user's, which a run folder knows by name only, given again? A model, a loss, metrics, a splitter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hpjax.evaluation import Evaluation
from hpjax.models import MLP, Family
from hpjax.models.base import Target
from hpjax.records import RunError
from hpjax.resolve import as_family, truth_of
from hpjax.settings import Networks
from hpjax.tasks import Task, TaskError, splitter_name
from hpjax.training.losses import own_name
from hpjax.training.metrics import Metrics, Truth
from hpjax.training.named_metrics import as_metrics, by_name, is_scorer

# what a run has where it has no such object
INSTEAD = {
    "model": "multilayer perceptrons",
    "loss": "the loss of its task or space",
    "metrics": "no metrics of its own",
    "validation": "folds that were drawn",
}


class UserObjects(NamedTuple):
    """Objects of the user's, as far as they are given again."""

    model: Any = None
    loss: Any = None
    metrics: Mapping[str, Any] | None = None
    validation: Any = None


def evaluation_again(
    networks: Networks,
    space: Mapping[str, Any],
    objects: UserObjects,
    sizes: Callable[[], Task | Target],
    task: Callable[[], Task],
    out: Path,
    needed: bool = True,
) -> Evaluation:
    """How a run judges configurations; refuses other objects than it was made with.

    Args:
        networks, space: of the run's settings.
        objects: that these name, as far as they are given again.
        sizes: tells inputs, outputs and loss of the task.
        task: the task itself.
        out: the run folder.
        needed: whether all of them are.

    Raises:
        RunError: an object that is missing, or is not the one that is named.
    """
    _refuse_needless(networks, objects, out)
    if needed:
        refuse_missing(networks, objects, out)
    missing = _missing(networks, objects)
    family = None if "model" in missing else _family(networks, space, objects, sizes, out)
    _refuse_other(networks, objects, out)
    truth = functools.cache(lambda: truth_of(task()))
    metrics = _user_metrics(networks, objects, sizes, truth, out)
    try:
        metrics = sorted([*metrics, *_named_metrics(networks, truth)], key=lambda metric: metric[0])
    except (RunError, TaskError):  # a table of the run can be shown without its data
        if needed:
            raise
        missing.append("task")
    return Evaluation(networks, family, tuple(metrics), tuple(missing))


def refuse_missing(networks: Networks, objects: UserObjects, out: Path) -> None:
    """Refuses to go on without an object that the settings of a run or a comparison name.

    Raises:
        RunError: names it.
    """
    for name in _missing(networks, objects):
        recorded = _named(networks.objects()[name])
        raise RunError(f"{out} was made with {name} {recorded}; give that again: {name}=...")


def _missing(networks: Networks, objects: UserObjects) -> list[str]:
    """What is named and not given again."""
    recorded = networks.objects()
    return [n for n, known in recorded.items() if known is not None and getattr(objects, n) is None]


def _refuse_needless(networks: Networks, objects: UserObjects, out: Path) -> None:
    for name, recorded in networks.objects().items():
        if recorded is None and getattr(objects, name) is not None:
            raise RunError(f"{out} has {INSTEAD[name]}; leave {name} out")


def _refuse_other(networks: Networks, objects: UserObjects, out: Path) -> None:
    """Refuses a loss or a splitter of another name."""
    if objects.loss is not None and own_name(objects.loss) != networks.loss:
        raise RunError(f"{out} was made with loss {networks.loss}, not {own_name(objects.loss)}")
    recorded = networks.validation.splitter
    if objects.validation is not None and splitter_name(objects.validation) != recorded:
        raise RunError(
            f"{out} was made with validation {recorded}, not {splitter_name(objects.validation)}"
        )


def _family(
    networks: Networks,
    space: Mapping[str, Any],
    objects: UserObjects,
    sizes: Callable[[], Task | Target],
    out: Path,
) -> Family:
    """The family of the models; refuses another model than the one that is named."""
    if objects.model is None and objects.loss is None:
        return MLP
    family = as_family(objects.model, space, sizes(), objects.loss)
    if networks.model is not None and family.name != networks.model:
        raise RunError(
            f"{out} searched networks of {networks.model}, not of {family.name}; give model={networks.model}"
        )
    return family


def _user_metrics(
    networks: Networks,
    objects: UserObjects,
    sizes: Callable[[], Task | Target],
    truth: Callable[[], Truth],
    out: Path,
) -> Metrics:
    """Metrics that are functions or scorers; refuses others than those that are named."""
    if objects.metrics is None:
        return ()
    listed = objects.metrics.values() if isinstance(objects.metrics, Mapping) else ()
    scorers = not isinstance(objects.metrics, Mapping) or any(map(is_scorer, listed))
    metrics = as_metrics(objects.metrics, truth() if scorers else Truth((), sizes().outputs))
    directions = {name: metric.greater_is_better for name, metric in metrics}
    if directions != networks.user_metrics:
        raise RunError(
            f"{out} was made with metrics {_named(networks.user_metrics)}, not {_named(directions)}"
        )
    return metrics


def _named_metrics(networks: Networks, truth: Callable[[], Truth]) -> Metrics:
    """Metrics that are known by name."""
    return by_name(networks.by_name, truth()) if networks.by_name else ()


def _named(recorded: str | Mapping[str, bool]) -> str:
    """A function by its name, or metrics by theirs."""
    if isinstance(recorded, str):
        return recorded
    return ", ".join(f"{name} (greater is better)" if up else name for name, up in recorded.items())
