"""What a study was asked for: frozen, typed and versioned; run.json and compare.json are these types, written down."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np

from hpjax.files import RunError, encode, read_bytes

SCHEMA = 4
READ = (2, 3, SCHEMA)  # schemas that `show` reads
# fields that are left out where they are empty, so that older runs are as before
LATER = ("columns", "by_name", "splitter", "file", "further", "constraints", "stream")

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Seed = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Struct = TypeVar("Struct", bound=msgspec.Struct)


class Validation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a configuration is scored.

    Attributes:
        folds: 1 holds out 20 % of the development part; K >= 2 is K-fold cross-validation, stratified by classes; in
            `hpjax.train`, 0 trains on all of it and scores nothing.
        repeats: networks per configuration and fold, with fresh initial weights and minibatches.
        score_every: epochs between scores; training always ends on one. Where None, the fewest at which scoring takes no more than a
            tenth of the arithmetic, but ten scores of a whole training at least: 1 where a quarter of the development part or less is
            held out; and 1 with `patience`, which counts scores.
        splitter: what made the folds, where they were not drawn.
        file: whose rows are validated on, where they are not the task's.
    """

    folds: Annotated[int, msgspec.Meta(ge=0)] = 1
    repeats: Count = 1
    score_every: Count | None = None
    splitter: str | None = None
    file: str | None = None

    def by(self, folds: Any) -> dict[str, Any]:
        """The same as `tune` takes it, with these folds."""
        return {"folds": folds, "repeats": self.repeats, "score_every": self.score_every}


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of a study; the first that is reached ends it.

    Attributes:
        trials: that a search proposes.
        epochs: summed over trials.
        seconds: recorded as not deterministic.
        rounds: reports at full fidelity in a row without a better objective.
    """

    trials: Count | None = None
    epochs: Count | None = None
    seconds: Seconds | None = None
    rounds: Count | None = None


COSTS = ("parameters", "seconds")  # what a network has whatever it predicts


class Bound(NamedTuple):
    """A constraint: what is at most or at least a number."""

    name: str
    least: bool  # whether it is a lower bound
    value: float

    @classmethod
    def read(cls, name: str, text: str) -> Bound:
        """Of "<= 50_000" or ">= 0.9".

        Raises:
            ValueError: something else.
        """
        sign, number = text.strip()[:2], text.strip()[2:].strip()
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if sign not in ("<=", ">=") or not math.isfinite(value):
            raise ValueError(f"constraint {name} is {text!r:.60}; write '<= 50_000' or '>= 0.9'")
        return cls(name, sign == ">=", value)

    def broken(self, values: np.ndarray) -> np.ndarray:
        """By how much [n], as a share of the bound's size where that is above 1; 0 where it holds."""
        off = self.value - values if self.least else values - self.value
        return np.maximum(off, 0) / max(1.0, abs(self.value))


class Networks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which networks a study trains, on what, and how they are judged; objects that cannot be written stand by name."""

    task: str | None  # a name or a file; None: arrays
    data: str | None = None  # folder of stored data
    target: str | None = None  # column to predict
    kind: Literal["classes", "numbers"] | None = None
    # said by the user
    columns: dict[str, Literal["number", "category", "date", "weight", "group", "drop"]] = {}
    model: str | None = None  # the function that builds them; None: multilayer perceptrons
    loss: str | None = None  # the user's function; None: as the task or the space says
    metrics: dict[str, bool] = {}  # by name, and whether greater is better
    # those of the metrics that are known by their names; the others are the user's functions
    by_name: list[str] = []
    objective: Text = "loss"  # "loss", "error", one of the metrics, or a cost
    further: list[Text] = []  # objectives beside that one
    constraints: dict[Text, Text] = {}  # of any of these, by name: "<= 50000", ">= 0.9"
    validation: Validation = Validation()
    gradients: Literal["explicit", "autodiff"] = "explicit"
    # whether examples stay in the host's memory; None: where a device cannot hold them
    stream: bool | None = None

    @property
    def user_metrics(self) -> dict[str, bool]:
        """The metrics that are the user's functions."""
        return {name: up for name, up in self.metrics.items() if name not in self.by_name}

    def objects(self) -> dict[str, Any]:
        """What is an object of the user's and has to be given again, by the argument's name; None where nothing is."""
        return {
            "model": self.model,
            "loss": self.loss,
            "metrics": self.user_metrics or None,
            "validation": self.validation.splitter,
        }

    @property
    def objectives(self) -> tuple[str, ...]:
        """All of them."""
        return (self.objective, *self.further)

    @property
    def bounds(self) -> list[Bound]:
        """The constraints, read."""
        return [Bound.read(name, text) for name, text in self.constraints.items()]

    def sign(self, name: str) -> float:
        """What an objective, as minimised, is times what it is called by: -1 for a metric that should be large."""
        return -1.0 if self.metrics.get(name) else 1.0

    def __post_init__(self) -> None:
        known = ("loss", "error", *self.metrics, *COSTS)
        for name in (*self.objectives, *self.constraints):
            if name not in known:
                raise ValueError(f"objective {name!r:.80} is no metric of the study")
        if len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"an objective stands twice among {', '.join(self.objectives)}")
        _ = self.bounds


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """run.json: one study, of networks or of a function."""

    schema: int = SCHEMA
    space: dict[str, Any]
    space_hash: Text
    networks: Networks | None  # None: a function
    search: str | list[dict[str, Any]] | None  # None: a factory, which has to be given again
    start: list[dict[str, Any]]
    scheduler: dict[str, Any]
    fidelity: Count | None = None  # epochs of a network that lives to the end; None before schema 4
    seed: Seed
    levels: Count | dict[str, Count]
    batch: Count | None
    stop: Stop
    fidelities: bool = True  # whether what is searched can be trained for some of its epochs
    comparison: bool = False  # whether it is one of the studies of a comparison

    def extended(self, trials: int | None) -> Settings:
        """The same study, of so many trials."""
        stop = msgspec.structs.replace(self.stop, trials=trials)
        return msgspec.structs.replace(self, stop=stop)

    @property
    def minimised(self) -> str:
        """The name of what is minimised: of a metric that should be large, "minus" and its name."""
        return f"minus {self.judged_by}" if self.sign < 0 else self.judged_by

    @property
    def judged_by(self) -> str:
        """The name of what trials are judged by, small or large."""
        return "objective" if self.networks is None else self.networks.objective

    @property
    def sign(self) -> float:
        """What the minimised objective is times what trials are judged by: -1 for a metric that should be large."""
        return 1.0 if self.networks is None else self.networks.sign(self.judged_by)


class MethodSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a method of a comparison is, whatever its seed."""

    search: str | list[dict[str, Any]] | None
    scheduler: dict[str, Any]
    trials: Count | None
    batch: Count | None
    start: list[dict[str, Any]]
    levels: Count | dict[str, Count]


class ComparisonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """compare.json."""

    schema: int = SCHEMA
    space: dict[str, Any]
    space_hash: Text
    networks: Networks
    seeds: Annotated[list[Seed], msgspec.Meta(min_length=1)]
    stop: Stop
    methods: Annotated[list[Text], msgspec.Meta(min_length=1)]
    studies: dict[str, MethodSettings] = {}


def fields(settings: msgspec.Struct) -> dict[str, Any]:
    """Settings as plain values by name; those of networks and of their validation beside the others."""
    plain = msgspec.to_builtins(settings)
    networks = plain.pop("networks", None) or {}
    named = plain | networks.pop("validation", {}) | networks
    return {name: value for name, value in named.items() if value or name not in LATER}


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The fields of settings that were changed, and those of `LATER` that were added or dropped."""
    names = before.keys() | (now.keys() & set(LATER))
    return [name for name in sorted(names) if before.get(name) != now.get(name)]


def written(settings: msgspec.Struct) -> dict[str, Any]:
    """Settings as JSON has them.

    Raises:
        ValueError: what cannot be written.
    """
    try:
        return msgspec.json.decode(encode(settings))
    except (msgspec.MsgspecError, TypeError, RecursionError) as fault:
        raise ValueError(f"these settings cannot be written: {fault!s:.200}") from None


def settled(settings: Struct) -> Struct:
    """Settings as they will be read again, lists for tuples.

    Raises:
        ValueError: what cannot be written, or is of another type than it has to be.
    """
    try:
        return msgspec.convert(written(settings), type(settings))
    except msgspec.ValidationError as fault:
        text = str(fault).replace("$.", "")
        raise ValueError(f"{text[:1].lower()}{text[1:]}") from None


# --- reading ----------------------------------------------------------------------------------------------------------
def read(path: Path) -> Settings | ComparisonSettings:
    """What run.json or compare.json says; of an older schema as if it were of this one, but for its number.

    Raises:
        RunError: no such file, no JSON, or a field that is missing, unknown or of another type; names file and field.
    """
    form = ComparisonSettings if path.name == "compare.json" else Settings
    try:
        plain = msgspec.json.decode(read_bytes(path), type=dict[str, Any])
        schema = plain.get("schema")
        if schema not in READ:
            raise RunError(
                f"{path}: schema {schema!r:.20} is not {', '.join(map(str, READ[:-1]))} or {SCHEMA}; use the version of hpjax that made it"
            )
        return msgspec.convert(plain if schema == SCHEMA else _renewed(plain), form)
    except msgspec.MsgspecError as fault:
        text = str(fault).replace("$.", "")
        raise RunError(
            f"{path}: {text[:1].lower()}{text[1:]}; restore the file from a copy"
        ) from None
    except (ValueError, RecursionError) as fault:
        raise RunError(f"{path} is not JSON: {fault!s:.200}; restore it from a copy") from None


def read_run(path: Path) -> Settings:
    """What a run.json says; raises as `read`."""
    found = read(path)
    assert isinstance(found, Settings)
    return found


def read_comparison(path: Path) -> ComparisonSettings:
    """What a compare.json says; raises as `read`."""
    found = read(path)
    assert isinstance(found, ComparisonSettings)
    return found


def _renewed(plain: dict[str, Any]) -> dict[str, Any]:
    """Settings of schema 2 or 3, in which everything stood side by side, as this schema has them."""
    new, old = {}, dict(plain)
    comparison = old.pop("comparison", False)
    minimized = old.pop("minimize", "loss")
    if "folds" in old:
        names = ("folds", "repeats", "score_every")
        validation = {name: old.pop(name) for name in names if name in old}
        names = ("task", "data", "target", "kind", "model", "gradients")
        networks = {name: old.pop(name) for name in names if name in old}
        new["networks"] = networks | {"objective": minimized, "validation": validation}
    elif "methods" not in old:
        old.pop("task", None)
        new["networks"], new["fidelities"] = None, old.pop("fidelities", False)
    if "methods" not in old:
        new["comparison"] = comparison
    return old | new


def refuse_old_schema(settings: Settings | ComparisonSettings, out: Path) -> None:
    """Refuses to go on with what an older version began.

    Raises:
        RunError: it did.
    """
    if settings.schema != SCHEMA:
        raise RunError(
            f"{out} has schema {settings.schema}, which this version can show but not go on with; use the version of hpjax that made it"
        )


# --- telling apart ----------------------------------------------------------------------------------------------------
def fingerprints(settings: Settings) -> dict[str, str]:
    """Eight hexadecimal digits for every field of a run's settings, as the plan keeps them.

    The number of trials is left out: it may be raised later.
    """
    return _digests(fields(settings))


def _digests(named: Mapping[str, Any]) -> dict[str, str]:
    """Eight hexadecimal digits for every field; of `stop` without trials."""
    stop = {name: limit for name, limit in named["stop"].items() if name != "trials"}
    entries = {**named, "stop": stop}
    return {name: hashlib.sha256(encode(v).encode()).hexdigest()[:8] for name, v in entries.items()}


def unchanged(settings: Settings, plan: Mapping[str, Any], path: Path) -> None:
    """Requires that settings are those that a ledger began with; of an older schema, as they stand in the file.

    Raises:
        RunError: names the fields that were changed.
    """
    known = plan.get("settings", {})
    if settings.schema == SCHEMA:
        now = fingerprints(settings)
    else:
        now = _digests(msgspec.json.decode(read_bytes(path), type=dict[str, Any]))
    changed = differing(known, now)
    if changed:
        raise RunError(
            f"{path}: {', '.join(changed)} changed since the run began; put back what was there"
        )
