"""The hyperparameters of a multilayer perceptron: names, defaults, bounds, and how they become its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hpjax.models.base import INF, Family, Parts, Static, Traced, checked
from hpjax.models.mlp.activations import ACTIVATIONS
from hpjax.models.mlp.embeddings import EMBEDDINGS
from hpjax.models.mlp.shape import MLPSpec
from hpjax.training.losses import LOSSES, Loss

DEEPEST = 1000  # layers; a program is compiled layer by layer
NUMBERED = re.compile(
    r"^(width|activation|learning_rate|momentum|l1|l2|dropout|init_scale)_([1-9][0-9]*)$"
)
STATIC: dict[str, Static] = {
    "hidden": Static((64,), None, 1, "widths of the hidden layers"),
    "depth": Static(None, None, 0, "number of hidden layers, of widths width_1, width_2, ..."),
    "width": Static(64, None, 1, "width of every hidden layer; width_1, width_2, ... of one"),
    "activation": Static(
        "relu", tuple(ACTIVATIONS), 0, "hidden activation; activation_1, ... of one layer"
    ),
    "normalization": Static(
        "none", ("none", "batch", "layer"), 0, "between weights and activation"
    ),
    "residual": Static(
        False, (False, True), 0, "add a layer's input to its output where widths agree"
    ),
    "bias": Static(True, (False, True), 0, "whether layers have biases"),
    "init": Static("he", ("normal", "xavier", "he", "lecun", "orthogonal"), 0, "initial weights"),
    "parametrization": Static(
        "standard", ("standard", "mean_field", "mup"), 0, "how scale depends on width"
    ),
    "output": Static(
        None,
        tuple(ACTIVATIONS),
        0,
        "output activation; fixed by losses of classes, else identity where nothing is given",
    ),
    "dropout_kind": Static(
        "bernoulli",
        ("bernoulli", "gaussian"),
        0,
        "activations times 0 or 1/(1-p), or N(1, p/(1-p))",
    ),
    "compute_dtype": Static(
        "same",
        ("same", "bfloat16"),
        0,
        "of the factors of layers' products (mixed precision); all else is in dtype",
    ),
    "embedding": Static("none", ("none", *EMBEDDINGS), 0, "what each number of an example becomes"),
    "frequencies": Static(16, None, 1, "of an embedding, per number"),
    "embedding_width": Static(16, None, 1, "what a number becomes in a periodic embedding"),
    "category_embedding": Static(
        "one_hot", ("one_hot", "learned"), 0, "what each category of an example becomes"
    ),
    "category_width": Static(8, None, 1, "of a category's learned vector"),
}
AS_GIVEN = (  # fields of a shape
    "normalization",
    "residual",
    "bias",
    "init",
    "parametrization",
    "dropout_kind",
    "compute_dtype",
)
TRACED: dict[str, Traced] = {
    "dropout": Traced(
        0.0,
        0.0,
        1.0,
        "hidden",
        "fraction of hidden activations dropped, in steps of 1/256; p of a gaussian dropout",
    ),
    "init_scale": Traced(1.0, 0.0, INF, "weights", "times the initialisation's standard deviation"),
    "frequency_scale": Traced(
        0.1, 0.0, INF, None, "deviation of an embedding's frequencies at the start"
    ),
    "base_width": Traced(
        64.0, 1.0, INF, None, "width at which mup is the standard parametrization"
    ),
}
SWITCHED = ("dropout",)


def check(name: str, entry: Static, value: Any) -> Any:
    """A structural value in canonical form; lists are widths or activations, one per hidden layer."""
    listed = isinstance(value, (list, tuple))
    if name == "hidden":
        nested = listed and any(isinstance(width, (str, Sequence)) for width in value)
        if not listed or nested:
            raise ValueError(
                f"hidden must be a list of widths, got {value!r:.80}; write [64] for one layer"
            )
        return tuple(checked("width", STATIC["width"], width) for width in value)
    if name == "activation" and listed:
        return tuple(checked("activation", entry, one) for one in value)
    return checked(name, entry, value)


def shape(given: Mapping[str, Any], common: Mapping[str, Any], parts: Parts) -> MLPSpec:
    """The shape that structural values name.

    Args:
        given: by name, checked; absent ones hold their defaults.
        common: the fields that every family's spec has.
        parts: of the inputs.

    Raises:
        ValueError: values that do not go together.
    """
    hidden = _widths(given)
    activation = given.get("activation", STATIC["activation"].default)
    if isinstance(activation, str):
        activation = (activation,) * len(hidden)
    if len(activation) != len(hidden):
        raise ValueError(
            f"activation has {len(activation)} entries for {len(hidden)} hidden layers; one per layer is meant, to try several write Choice({list(activation)})"
        )
    activation = tuple(given.get(f"activation_{i + 1}", one) for i, one in enumerate(activation))
    output, loss = given.get("output") or "identity", common["loss"]
    logits = (loss if isinstance(loss, Loss) else LOSSES[loss]).logits
    if logits and output != "identity":
        raise ValueError(
            f"output={output!r:.80} has no effect: loss={getattr(loss, 'name', loss)!r:.80} fixes the output activation; drop it"
        )
    if output == "prelu":
        raise ValueError("output='prelu' is for hidden layers; use 'leaky_relu'")
    others: dict[str, Any] = {name: given.get(name, STATIC[name].default) for name in AS_GIVEN}
    embedding = given.get("embedding", "none")
    if embedding != "none" and parts.numbers:
        named = ("frequencies", *["embedding_width"] * (embedding == "periodic"))
        others |= {name: given.get(name, STATIC[name].default) for name in named}
        others |= {"embedding": embedding, "numeric": parts.numbers}
    if given.get("category_embedding") == "learned" and parts.categories:
        width = given.get("category_width", STATIC["category_width"].default)
        others |= {"blocks": parts.categories, "category_width": width}
    return MLPSpec(**common, hidden=hidden, activation=activation, output=output, **others)


def _widths(given: Mapping[str, Any]) -> tuple[int, ...]:
    """The widths of the hidden layers: given whole, or as depth and widths."""
    depth = given.get("depth")
    if "hidden" in given:
        if depth is not None or any(name == "width" or name.startswith("width_") for name in given):
            raise ValueError(
                "give the widths as hidden, or as depth and width_1, width_2, ...; not both"
            )
        return given["hidden"]
    numbered = sorted(int(name[6:]) for name in given if name.startswith("width_"))
    if depth is None and numbered != list(range(1, len(numbered) + 1)):
        last = numbered[-1]
        raise ValueError(
            f"width_{last} is named, but not all of width_1 to width_{last}; name them, or give depth"
        )
    depth = depth if depth is not None else max(numbered, default=1)
    if depth > DEEPEST:
        raise ValueError(f"depth must be at most {DEEPEST}, got {depth}")
    width = given.get("width", STATIC["width"].default)
    return tuple(given.get(f"width_{i + 1}", width) for i in range(depth))


# name -> the choice that it needs, and the values of that
ACTS: dict[str, tuple[str, set[str]]] = {
    "frequencies": ("embedding", {*EMBEDDINGS}),
    "frequency_scale": ("embedding", {*EMBEDDINGS}),
    "embedding_width": ("embedding", {"periodic"}),
    "category_width": ("category_embedding", {"learned"}),
}


def refuse_idle(values: Mapping[str, list]) -> None:
    """Refuses hyperparameters that act on no network of a space: of layers that none has, of embeddings that none has.

    Args:
        values: name -> the values that the space gives it, or the ends of its range.
    """
    for name in values.keys() & ACTS.keys():
        choice, needed = ACTS[name]
        if not needed & set(values.get(choice, [STATIC[choice].default])):
            raise ValueError(
                f"{name} acts on no network of the space; give {choice}={' or '.join(sorted(needed))}, or drop it"
            )
    depths = [len(widths) for widths in values.get("hidden", [])]
    depths = depths or [int(depth) for depth in values.get("depth", [])]
    numbered = {name: match for name in values if (match := NUMBERED.match(name))}
    widths = [int(match.group(2)) for match in numbered.values() if match.group(1) == "width"]
    deepest = max(depths or widths or [1])
    for name, match in numbered.items():
        per = "hidden" if match.group(1) in ("width", "activation", "dropout") else "weights"
        most = deepest + (per == "weights")
        if int(match.group(2)) > most:
            raise ValueError(
                f"{name} is of layer {match.group(2)}, but no network of the space has more than {most} {per} layers; drop it"
            )


def read(written: Mapping[str, Any]) -> MLPSpec:
    """What `Spec.written` made, with lists as tuples."""
    fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in written.items()}
    return MLPSpec(**fields)


FAMILY = Family("mlp", STATIC, TRACED, SWITCHED, NUMBERED, shape, read, check, refuse_idle)
