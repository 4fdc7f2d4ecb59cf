"""The shape of a multilayer perceptron, and how a narrow one runs, padded, inside a wide one."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hpjax.models.base import Config, Functions, Size, Spec
from hpjax.models.mlp.embeddings import EMBEDDINGS

COSINE = 10  # multiplications that a sine or cosine is worth
MASK, SELECT = 0.03, 0.03  # extra share of time for masks, and for each further activation
LADDER = tuple(int(2**k * m) for k in range(1, 14) for m in (1, 1.5))  # every second: powers of two


@dataclasses.dataclass(frozen=True)
class MLPSpec(Spec):
    """A multilayer perceptron's shape.

    A *padded* one (`masked=True`) has the array widths in `hidden`, and its networks bring their true widths in
    `config["width"]` [L] int32; with `select` they bring `config["activation"]` [L] int32, an index into `select`.
    """

    hidden: tuple[int, ...] = (64,)
    activation: tuple[str, ...] = ("relu",)  # one per hidden layer
    normalization: str = "none"
    residual: bool = False
    bias: bool = True
    init: str = "he"
    parametrization: str = "standard"
    output: str = "identity"  # activation of the outputs under mse
    dropout_kind: str = "bernoulli"
    compute_dtype: str = "same"  # of the factors of the layers' products; their sums have dtype
    embedding: str = "none"  # of numbers, of which there are `numeric`, the first of the inputs
    numeric: int = 0
    frequencies: int = 0
    embedding_width: int = 0
    # of the last inputs, one-hot: how many each column of categories has, where these become learned vectors of `category_width`
    blocks: tuple[int, ...] = ()
    category_width: int = 0
    masked: bool = False
    select: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths from what enters the first layer to outputs, [L+2]."""
        return (self._entering, *self.hidden, self.outputs)

    @property
    def _entering(self) -> int:
        """How many numbers enter the first layer."""
        inputs = self.inputs - sum(self.blocks) + len(self.blocks) * self.category_width
        if self.embedding == "none":
            return inputs
        return EMBEDDINGS[self.embedding].width(inputs, *self._embedded)

    @property
    def _embedded(self) -> tuple[int, int, int]:
        return self.numeric, self.frequencies, self.embedding_width

    @property
    def embedding_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays of embeddings by name, in the order in which they are drawn; {} for none."""
        shapes: dict[str, tuple[int, ...]] = {}
        if self.blocks:
            shapes["categories"] = sum(self.blocks), self.category_width
        if self.embedding != "none":
            shapes |= EMBEDDINGS[self.embedding].shapes(*self._embedded)
        return shapes

    @property
    def activations(self) -> tuple[str, ...]:
        """Every activation that occurs in a hidden layer."""
        return self.select or tuple(dict.fromkeys(self.activation))

    @property
    def layers(self) -> dict[str, int]:
        return {"weights": len(self.hidden) + 1, "hidden": len(self.hidden)}

    @property
    def label(self) -> str:
        padding = "padded to" if self.masked else "exactly"
        ways = [self.embedding] * (self.embedding != "none") + ["vectors"] * bool(self.blocks)
        before = f"{self.inputs} by {' and '.join(ways)} to " if ways else ""
        sizes = "-".join(map(str, self.sizes))
        return f"{padding} {before}{sizes}, {'/'.join(self.activations) or 'linear'}"

    @property
    def functions(self) -> Functions:
        from hpjax.models.mlp.functions import functions

        return functions(self)

    @functools.cached_property
    def size(self) -> Size:
        products = sum(a * b for a, b in zip(self.sizes, self.sizes[1:]))
        embedded = {name: math.prod(shape) for name, shape in self.embedding_shapes.items()}
        waves = 2 * embedded.get("frequencies", 0)
        per_unit = int(self.bias) + 2 * (self.normalization != "none")
        slopes = len(self.hidden) * ("prelu" in self.activations)
        return Size(
            weights=products
            + per_unit * sum(self.hidden)
            + int(self.bias) * self.outputs
            + slopes
            + sum(embedded.values()),
            products=products
            + sum(embedded.values())
            + COSINE * waves
            + embedded.get("categories", 0) * len(self.blocks),
            units=sum(self.sizes[1:]) + (self.sizes[0] + waves if embedded else 0),
            longest=max(self.sizes),
            statistics=2 * sum(self.hidden) * (self.normalization == "batch"),
        )

    def in_full_precision(self) -> MLPSpec:
        return dataclasses.replace(self, compute_dtype="same")

    # --- padding ---
    @property
    def overhead(self) -> float:
        return 1 + MASK * self.masked + SELECT * max(0, len(self.select) - 1)

    def covers(self, spec: Spec) -> bool:
        if self == spec:
            return True
        if not isinstance(spec, MLPSpec) or self.signature() != spec.signature():
            return False
        wide = all(a >= b if self.masked else a == b for a, b in zip(self.hidden, spec.hidden))
        if self.select:
            return wide and set(spec.activation) <= set(self.select)
        return wide and self.activation == spec.activation

    def signature(self) -> Any:
        if self.init == "orthogonal":  # a padded QR is not the narrow one's
            return ("exact", dataclasses.replace(self, masked=False, select=()))
        plain = dataclasses.replace(
            self, hidden=(0,) * len(self.hidden), activation=(), masked=False, select=()
        )
        return ("padded", plain)

    @staticmethod
    def joined(specs: Sequence[MLPSpec]) -> MLPSpec:
        first = specs[0]
        hidden = tuple(max(widths) for widths in zip(*(spec.hidden for spec in specs)))
        masked = any(spec.masked or spec.hidden != hidden for spec in specs)
        alike = all(spec.activation == first.activation and not spec.select for spec in specs)
        every = {name for spec in specs for name in spec.select or spec.activation}
        select = () if alike else tuple(sorted(every))
        activation = first.activation if alike else (select[0],) * len(hidden)
        return dataclasses.replace(
            first, hidden=hidden, activation=activation, masked=masked, select=select
        )

    def roomier(self) -> MLPSpec:
        return self._rounded(LADDER)

    @staticmethod
    def laddered(specs: Sequence[MLPSpec], every: int) -> list[MLPSpec]:
        widest: dict[tuple[int, int], int] = {}
        for spec in specs:
            for layer, width in enumerate(spec.hidden):
                at = (len(spec.hidden), layer)
                widest[at] = max(width, widest.get(at, 0))
        rounded = []
        for spec in specs:
            wide = spec._rounded(LADDER[::every])
            capped = [min(w, widest[len(spec.hidden), i]) for i, w in enumerate(wide.hidden)]
            rounded.append(dataclasses.replace(wide, hidden=tuple(capped)))
        return rounded

    def _rounded(self, ladder: Sequence[int]) -> MLPSpec:
        """A program for this shape: its widths rounded up to a geometric ladder."""
        if self.init == "orthogonal":
            return self
        hidden = tuple(
            next((step for step in ladder if step >= width), width) for width in self.hidden
        )
        return (
            dataclasses.replace(self, hidden=hidden, masked=True) if hidden != self.hidden else self
        )

    def cut(self, spec: Any, params: Any, stats: Any) -> tuple[Any, Any]:
        def whole(name: str, leaf: Any, rows: int, columns: int) -> Any:
            if name == "slope" or name in self.embedding_shapes:
                return leaf
            return leaf[..., :rows, :columns] if name == "w" else leaf[..., :columns]

        sizes, slopes = spec.sizes, "prelu" in spec.activations
        layers = [
            {n: whole(n, a, *pair) for n, a in p.items() if n != "slope" or slopes}
            for p, pair in zip(params, itertools.pairwise(sizes))
        ]
        means = [{n: a[..., :width] for n, a in s.items()} for s, width in zip(stats, spec.hidden)]
        return tuple(layers), tuple(means)

    def member(self, spec: Spec, config: Config) -> Config:
        assert isinstance(spec, MLPSpec)
        count = len(config["learning_rate"])
        if self.masked:
            config = config | {"width": np.tile(np.array(spec.hidden, np.int32), (count, 1))}
        if self.select:
            chosen = [self.select.index(name) for name in spec.activation]
            config = config | {"activation": np.tile(np.array(chosen, np.int32), (count, 1))}
        return config
