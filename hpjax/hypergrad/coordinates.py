"""Which hyperparameters can be differentiated, and on which scale they move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.catalogue import known, tables
from hpjax.models import MLP, Spec
from hpjax.models.base import Traced
from hpjax.models.mlp.shape import MLPSpec
from hpjax.space import LogUniform, Range, Uniform
from hpjax.training.hyperparameters import NEEDS, SWITCHED
from hpjax.training.losses import loss_of

Array = jax.Array
# a scale: its name, or the range whose unit interval it is
Kind: TypeAlias = str | Uniform | LogUniform
Wrt: TypeAlias = str | Sequence[str] | Mapping[str, "Kind | None"]


class Scale(NamedTuple):
    """A coordinate on which steps are taken, and its inverse."""

    to: Callable[[np.ndarray], np.ndarray]  # value -> coordinate
    back: Callable[[Any], Any]  # coordinate -> value, traced
    low: float  # values must lie strictly between
    high: float
    ends: tuple[float, float] = (-float("inf"), float("inf"))  # where coordinates stop
    bounds: tuple[float, float] = (-float("inf"), float("inf"))  # and values


INF = float("inf")
SCALES = {
    "log": Scale(np.log, jnp.exp, 0.0, INF),
    "logit": Scale(lambda p: np.log(p) - np.log1p(-p), jax.nn.sigmoid, 0.0, 1.0),
    "identity": Scale(lambda v: v, lambda v: v, -INF, INF),
}


def scale(kind: Kind) -> Scale:
    """The scale of a name; of a range, its unit interval, ends included."""
    if isinstance(kind, str):
        return SCALES[kind]
    return Scale(
        kind.encode,
        kind.decode,
        float(np.nextafter(kind.low, -INF)),
        float(np.nextafter(kind.high, INF)),
        (0.0, 1.0),
        (kind.low, kind.high),
    )


class Rule(NamedTuple):
    """When a hyperparameter acts on training at all, and on which scale it moves."""

    scale: str
    where: str  # in words, for refusals
    acts: Callable[[Spec], bool]
    enters: str  # "init", "loss" or "update": where in training it stands


def _always(spec: Spec) -> bool:
    del spec
    return True


def _drops(spec: Spec, kinds: Sequence[str] = ("bernoulli", "gaussian")) -> bool:
    """Whether dropout, of one of these kinds, has units to act on."""
    return isinstance(spec, MLPSpec) and bool(spec.hidden) and spec.dropout_kind in kinds


def _embeds(spec: Spec) -> bool:
    return isinstance(spec, MLPSpec) and spec.embedding != "none"


def _needing(kind: str, name: str, but: tuple[str, ...] = ()) -> Rule:
    """The rule of a number that acts under some optimizers or schedules; `but` of these it has no derivative under."""
    choice, needed = NEEDS[name]
    values = [value for value in needed if value not in but]
    words = " or ".join(", ".join(values).rsplit(", ", 1))
    return Rule(kind, f"{choice} {words}", lambda s: getattr(s, choice) in values, "update")


RULES = {
    "learning_rate": Rule("log", "", _always, "update"),
    "momentum": _needing("logit", "momentum"),
    "beta1": _needing("logit", "beta1"),
    "beta2": _needing("logit", "beta2"),
    "eps": _needing("log", "eps"),
    "l1": Rule("log", "", _always, "loss"),
    "l2": Rule("log", "", _always, "loss"),
    "weight_decay": Rule("log", "", _always, "update"),
    "dropout": Rule(
        "logit",
        "dropout_kind='gaussian' and hidden layers (a mask of zeros and ones has no derivative; mode='evolution' has an estimate)",
        lambda s: _drops(s, ["gaussian"]),
        "loss",
    ),
    "input_noise": Rule("log", "", _always, "loss"),
    "label_smoothing": Rule(
        "logit", "targets that are classes", lambda s: loss_of(s).smooths is not None, "loss"
    ),
    "clip_norm": Rule("log", "", _always, "update"),
    "init_scale": Rule("log", "", _always, "init"),
    "frequency_scale": Rule("log", "an embedding of numbers", _embeds, "init"),
    "decay_rate": _needing("log", "decay_rate"),
    "decay_time": _needing("log", "decay_time", but=("step",)),
    "warmup": _needing("logit", "warmup"),
    "end_factor": _needing("logit", "end_factor"),
    "hypergradient_rate": _needing("log", "hypergradient_rate"),
    "data_weights": Rule("identity", "", _always, "loss"),
}

AT_START = tuple(name for name, rule in RULES.items() if rule.enters == "init")


def rules(numbers: Mapping[str, Traced]) -> dict[str, Rule]:
    """What can be differentiated: training's hyperparameters, and a network's own numbers."""
    own = {}
    for name, entry in numbers.items():
        positive = entry.low >= 0 and entry.default > 0
        own[name] = Rule("log" if positive else "identity", "", _always, "loss")
    return RULES | own


def resolve_scales(wrt: Wrt, spec: Spec) -> dict[str, Kind]:
    """Names -> scales, in the order of the names.

    Args:
        wrt: a name, several, or name -> scale: "log", "logit", "identity", a range for its unit interval, None for its own.
        spec: of the network.

    Raises:
        ValueError: a name that is not known or that has no derivative here, an unknown scale.
    """
    given = {wrt: None} if isinstance(wrt, str) else wrt
    named = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)
    if not named:
        raise ValueError("wrt is empty; name at least one hyperparameter, e.g. 'learning_rate'")
    every = rules(spec.hyperparameters)
    for name, kind in named.items():
        if name not in every:
            if name not in tables(MLP)[1] and name != "data_weights":
                known(name, MLP)
                raise ValueError(
                    f"{name} is a shape or a choice and has no derivative; search it instead"
                )
            raise ValueError(
                f"{name} has no derivative; wrt can be any of {', '.join(sorted(every))}"
            )
        if isinstance(kind, Range):
            if not isinstance(kind, (Uniform, LogUniform)) or kind.condition is not None:
                raise ValueError(
                    f"{kind} of {name} is no scale; give Uniform or LogUniform, without a condition"
                )
        elif kind is not None and kind not in SCALES:
            raise ValueError(
                f"scale {kind!r} of {name} is none of {', '.join(SCALES)}, Uniform(low, high), LogUniform(low, high)"
            )
    return {name: named[name] or every[name].scale for name in sorted(named)}


def acting(names: Sequence[str], spec: Spec, hard: bool = False) -> None:
    """Refuses hyperparameters that have no effect on this network: their gradient would be a silent zero.

    Args:
        names: to differentiate.
        spec: of the network.
        hard: whether a mask of zeros and ones may be moved (evolution strategies need no derivative).
    """
    every = rules(spec.hyperparameters)
    for name in names:
        if not every[name].acts(spec) and not (hard and name == "dropout" and _drops(spec)):
            raise ValueError(f"the gradient of {name} needs {every[name].where}")


def features(spec: Spec, names: Sequence[str]) -> tuple[str, ...]:
    """The switched hyperparameters of a spec with these among them."""
    return tuple(f for f in (*SWITCHED, *MLP.switched) if f in spec.features or f in names)


def encode(values: Mapping[str, Any], scales: Mapping[str, Kind]) -> dict[str, np.ndarray]:
    """Values as coordinates, float64.

    Raises:
        ValueError: a value that its scale cannot hold.
    """
    made = {}
    for name, kind in scales.items():
        value, on = np.asarray(values[name], np.float64), scale(kind)
        outside = ~((value > on.low) & (value < on.high))
        if outside.any():
            found = f"{name}={value[outside].flat[0]:g}"
            if not isinstance(kind, str):
                raise ValueError(
                    f"{found} lies outside {kind.low:g} to {kind.high:g}, its range in wrt; widen that, or start inside"
                )
            raise ValueError(
                f"{found} has no {kind}; start it strictly between {on.low:g} and {on.high:g}, "
                f"or move it on another scale: wrt={{{name!r}: 'identity'}}"
            )
        made[name] = np.asarray(on.to(value))
    return made


def decode(coordinates: Mapping[str, Any], scales: Mapping[str, Kind]) -> dict[str, Any]:
    """Coordinates as values; differentiable."""
    return {name: scale(kind).back(coordinates[name]) for name, kind in scales.items()}


def values(coordinates: Mapping[str, np.ndarray], scales: Mapping[str, Kind]) -> dict:
    """Coordinates as values, float64."""
    with jax.enable_x64(True):
        found = decode({name: jnp.asarray(coordinates[name]) for name in scales}, scales)
        # of the last rounding
        inside = lambda name, value: np.clip(value, *scale(scales[name]).bounds)
        return {name: inside(name, np.asarray(value)) for name, value in found.items()}
