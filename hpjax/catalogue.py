"""What can be tuned? Names of training's hyperparameters and of a family's: known, checked, as numbers.

Structural ones change a program (`Spec`), the others are numbers inside it (`Config`); `configurations` turns named values into both.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hpjax.models import MLP, Model, Spec
from hpjax.models.base import Family, Static, Traced, checked
from hpjax.models.user import user_family
from hpjax.training.hyperparameters import NEEDS, STATIC, TRACED
from hpjax.training.losses import Loss, own_loss, own_name

ALIASES = {"lr": "learning_rate", "alpha": "l2", "batchsize": "batch_size", "bs": "batch_size", "wd": "weight_decay", "layers": "hidden", "units": "width", "nonlinearity": "activation", "epsilon": "eps", "gamma": "decay_rate", "solver": "optimizer", "dropout_rate": "dropout", "n_layers": "depth", "num_layers": "depth", "max_iter": "epochs", "initializer": "init"}  # fmt: skip


def tables(family: Family) -> tuple[dict[str, Static], dict[str, Traced]]:
    """The structural and the traced hyperparameters of training and of a family."""
    return STATIC | dict(family.static), TRACED | dict(family.traced)


def family_of(model: Any, values: Mapping[str, list], inputs: int, outputs: int) -> Family:
    """The family of a user's networks; multilayer perceptrons where None.

    Args:
        model: a function of structural hyperparameters that returns a `Model`, a `Model`, a Family, or None.
        values: name -> values that will be given; the first of each shows which hyperparameters a network has.
        inputs, outputs: that the task has.

    Raises:
        ValueError: something else, or hyperparameters that training has already.
    """
    if model is None:
        return MLP
    if isinstance(model, Family):
        return model
    if isinstance(model, Model):
        return user_family(
            functools.partial(_same, model), values, (*STATIC, *TRACED), inputs, outputs
        )
    if not callable(model) or isinstance(model, type):
        raise ValueError(f"model must be a function that returns a hpjax.Model, got {model!r:.80}")
    return user_family(model, values, (*STATIC, *TRACED), inputs, outputs)


def trained_on(family: Family, loss: Loss) -> Family:
    """A family whose networks are trained on a user's loss."""

    def spec(given: dict[str, Any], common: dict[str, Any], parts: Any) -> Any:
        return family.spec(given, common | {"loss": loss}, parts)

    def read(written: dict[str, Any]) -> Any:
        return family.read(written | {"loss": loss})

    return family._replace(spec=spec, read=read)


def read_shape(
    written: dict[str, Any], named: str | None, model: Any, loss: Callable[..., Any] | None
) -> Spec:
    """The shape of a network as `Spec.written` made it, with the user's own functions again.

    Args:
        written: fields by name.
        named: the user's loss, by name; None where it had none.
        model, loss: as the user gives them again.

    Raises:
        ValueError: a function that is missing, is another one, or was not one of the user's.
    """
    if ("structure" in written) != (model is not None):
        raise ValueError(
            "its networks are multilayer perceptrons; leave model out"
            if model is not None
            else "its networks are of your own; give the function that built them: model=..."
        )
    values = {name: [value] for name, value in written.get("structure", {}).items()}
    family = family_of(model, values, written["inputs"], written["outputs"])
    if named is None and loss is not None:
        raise ValueError("it was trained on a loss that hpjax has; leave loss out")
    if named is not None and (loss is None or own_name(loss) != named):
        raise ValueError(f"it was trained on a loss of your own; give that again: loss={named}")
    if loss is not None:
        classes = written.get("classes", Spec.classes)
        family = trained_on(family, own_loss(loss, written["outputs"], classes))
    return family.read(written)


def _same(model: Model) -> Model:
    """A network without structural hyperparameters."""
    return model


_same.__qualname__ = "Model"  # how it is called in messages and in run.json


def base(name: str, family: Family) -> str:
    """The catalogue's name of a possibly numbered one: `width_2` -> `width`."""
    match = family.numbered.match(name) if family.numbered is not None else None
    return match.group(1) if match else name


def known(name: str, family: Family) -> str:
    """Returns `name` if it is in the catalogue; refuses it with the nearest known one otherwise."""
    root, (static, traced) = base(name, family), tables(family)
    if root not in static and root not in traced:
        names = [*static, *traced]
        near = ALIASES.get(name.lower())
        near = near if near in names else difflib.get_close_matches(name[:100], names, 1, 0.0)[0]
        raise ValueError(f"unknown hyperparameter {name!r:.100}; did you mean {near!r:.80}?")
    return name


class Described(NamedTuple):
    """A hyperparameter, as tables and documentation show it.

    Attributes:
        name: of it.
        kind: "structural": a program per value; "traced": a number inside the program, which never compiles.
        of: "training", or the family of networks.
        default: where nothing is said; None where the task decides.
        values: the words or numbers that it may have.
        per: "weights": may be one per weight layer; "hidden": one per hidden layer; None: one for the network.
        needs: the choices under which it acts, such as "optimizer: sgd, rmsprop"; "" where it always does.
        about: what it is.
        other_names: under which others know it.
    """

    name: str
    kind: str
    of: str
    default: Any
    values: str
    per: str | None
    needs: str
    about: str
    other_names: tuple[str, ...]


def described(family: Family = MLP) -> list[Described]:
    """All hyperparameters of training and of a family, those that change a program first."""
    static, traced = tables(family)
    rows = []
    for name, entry in (static | traced).items():
        choice, acting = NEEDS.get(name, ("", ()))
        options = entry.choices if isinstance(entry, Static) else None
        if isinstance(entry, Static):
            least = f"whole numbers from {entry.low}"
        else:
            least = f"{entry.low:g} to {entry.high:g}".replace(" to inf", " or more")
        rows.append(
            Described(
                name=name,
                kind="structural" if name in static else "traced",
                of="training" if name in STATIC or name in TRACED else family.name,
                default=entry.default,
                values=least if options is None else ", ".join(map(str, options)),
                per=None if isinstance(entry, Static) else entry.per,
                needs=f"{choice}: {', '.join(acting)}" if choice else "",
                about=entry.about,
                other_names=tuple(alias for alias, meant in ALIASES.items() if meant == name),
            )
        )
    return rows


def structural(name: str, family: Family) -> bool:
    """Whether a hyperparameter changes a shape or a branch (so that PBT may not move it)."""
    root = base(name, family)
    return root in STATIC or root in family.static


def check(name: str, value: Any, family: Family) -> Any:
    """Returns a hyperparameter's value in canonical form, or refuses it with its bounds."""
    root = base(known(name, family), family)
    if root in family.static:
        return family.check(name, family.static[root], value)
    if root in STATIC:
        return checked(name, STATIC[root], value)
    entry = tables(family)[1][root]
    return numbers(name, entry, root == name, [value], np.array([0]), entry.default)[0].tolist()


def are_within(name: str, values: Sequence, family: Family) -> bool:
    """Whether values are plain numbers of a continuous hyperparameter, all of them within its bounds: many at once."""
    entry = tables(family)[1].get(base(name, family))
    if entry is None or not {*map(type, values)} <= {int, float}:
        return False
    column = np.array(values, np.float64)
    return bool(((column >= entry.low) & (column <= entry.high)).all())


def numbers(
    name: str,
    entry: Traced,
    whole: bool,
    column: Sequence | np.ndarray,
    rows: np.ndarray,
    default: Any,
) -> np.ndarray:
    """One traced column's rows as float64, inactive ones at their default; refuses what is out of bounds.

    Args:
        name: of the column.
        entry: of the catalogue.
        whole: whether it is of all layers, and may then hold one number per layer.
        column: [n] values.
        rows: [m] which of them.
        default: of inactive ones.
    """
    picked = column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows]
    try:
        if not isinstance(column, np.ndarray) and any(isinstance(v, (str, bool)) for v in picked):
            raise TypeError
        lengths = {len(v) for v in picked if isinstance(v, (tuple, list))}
        if len(lengths) > 1:
            raise ValueError(
                f"{name} has {' and '.join(map(str, sorted(lengths)))} values for networks of one shape; give one value per layer, or one number"
            )
        length = max(lengths, default=0)
        if length:
            if entry.per is None or not whole:
                raise ValueError(f"{name} is one number per network, got {length}")
            picked = [
                [np.nan] * length if v is None else [v] * length if np.isscalar(v) else v
                for v in picked
            ]
        gaps = [np.nan if v is None else v for v in picked] if isinstance(picked, list) else picked
        leaf = np.array(gaps, np.float64)
    except TypeError:
        raise ValueError(
            f"{name} must be a number in [{entry.low:g}, {entry.high:g}], got {picked[0]!r:.80}"
        ) from None
    bad = (leaf < entry.low) | (leaf > entry.high)
    if bad.any():
        raise ValueError(
            f"{name} must be a number in [{entry.low:g}, {entry.high:g}], got {leaf[bad][0]:g}"
        )
    whole_default = np.ndim(default) == 0 or leaf.ndim == 1
    return np.where(
        np.isnan(leaf), default if whole_default else np.asarray(default)[:, None], leaf
    )
