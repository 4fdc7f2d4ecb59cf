"""What the host prepares for networks: examples, folds, the order of minibatches, and the randomness of every name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hpjax import randomness
from hpjax.models import Spec
from hpjax.models.base import Array
from hpjax.tasks import Split, Task
from hpjax.tasks.schema import Column, Layout, apart, layout
from hpjax.training.encoding import encoded, moments, places, quantiles, ranked
from hpjax.training.targets import Units, powers, transformed, undone

MOST_ORDERS = 8 * 2**30  # bytes of the table of minibatch orders
ROWS = 2**16  # of examples that are standardised at once
# fields of a spec that `prepare` goes by: shapes that agree in them share its arrays
ORDERED = ("batch_size", "sampling")
CONTENTS = ("scaling", "target_transform", "class_weight", "dtype")
PREPARED = (*ORDERED, *CONTENTS)


def preparation(spec: Spec) -> tuple:
    """What `prepare` goes by: shapes that agree in it share its arrays."""
    return tuple(getattr(spec, field) for field in PREPARED)


def contents(spec: Spec) -> tuple:
    """What all arrays but the orders of minibatches go by."""
    return tuple(getattr(spec, field) for field in CONTENTS)


def device_bytes(examples: Examples, repeats: int, epochs: int, spec: Spec) -> tuple[int, int]:
    """What of a task a device would have to hold, (arrays, orders of minibatches)."""
    rows, folds = len(examples.x), len(examples.folds)
    copies = lambda many: 1 + (folds if many else 0)
    numbers = examples.x.shape[1] * copies(spec.scaling == "quantile")
    numbers += examples.y.shape[1] * copies(spec.target_transform != "none")
    numbers += examples.weights is not None
    codes = 0 if examples.codes is None else examples.codes.shape[1]
    arrays = rows * (np.dtype(spec.dtype).itemsize * numbers + 4 * codes)
    longest = max(len(train) for train, _ in examples.folds)
    return arrays, 4 * folds * repeats * longest * (epochs if spec.batch_size else 1)


class Data(NamedTuple):
    """A task as networks see it: all examples once, and for each group (fold x repeat) which to use and when.

    Axes: N examples, F features, C outputs, G groups, E epochs, M places in an epoch (steps x batch size), V places for
    validation.
    """

    x: Array  # [N F]
    y: Array  # [N C]
    shift: Array  # [G F] the training part's mean; 0 where inputs are left alone
    scale: Array  # [G F] one over its standard deviation
    y_shift: Array  # [G C]
    y_scale: Array  # [G C]
    units: Array  # [G 2 C] what 1 and 0 of standardised targets are
    # [G E M] int32 examples in the order of each epoch; E = 1 where every epoch is the whole training part
    order: Array
    count: Array  # [G] int32 places in use; the rest have weight 0
    train: Array  # [G M] int32 the training part
    valid: Array  # [G V] int32
    # [G V] 0 or 1, times the examples' weights, whose mean over the validation part is 1
    valid_weight: Array
    fold: Array  # [G] int32 which fold a group is of
    key: Array  # [G] keys of dropout and noise (as [G 2] uint32 until `keyed`)
    coded: Coded | None = None  # where there are categories or gaps; x is then numbers [N Fn]
    weights: Array | None = None  # [N] of the examples
    level: Array | None = None  # [G] one over the weights' mean over the training part
    # [K N F] of every fold, its numbers made normal by the ranks of its training part; `x` is then not used
    ranked: Array | None = None
    # [K N C] of every fold, transformed and standardised by its training part; `y` is then not used
    targets: Array | None = None
    about: Array | None = None  # [G 3 C] by which they are undone, as `powers` has it
    # [G 2 C] what 1 and 0 of standardised targets are, once they are undone
    raw: Array | None = None
    balance: Array | None = None  # [G C] what each class counts in training; of two classes both
    # [N] int32 which rows of the task the examples are, where they are not all of them
    rows: Array | None = None


class Coded(NamedTuple):
    """Categories of a task, and where its gaps are marked: arguments of `encoded`."""

    codes: Any  # [N Fc] int32
    places: Any  # [G V + 1] int32
    gaps: Any  # [Fg] int32
    hot: Any  # [H] int32


class Part(NamedTuple):
    """Examples that a network of one group is scored on.

    Attributes:
        x: [V F] inputs.
        y: [V C] targets.
        weight: [V] of the examples; 0 where there is none.
        units: of standardised targets.
        rows: [V] int32, which examples of the task they are.
    """

    x: Array
    y: Array
    weight: Array
    units: Units
    rows: Array


def part_of(spec: Spec, data: Data, group: Array, rows: Array, weight: Array) -> Part:
    """Weighted examples [V] of one group, as its networks see them."""
    x, y = inputs(spec, data, group, rows)
    rows = rows if data.rows is None else data.rows[rows]
    return Part(x, y, weight.astype(spec.dtype), units_of(data, group), rows)


def validation_part(spec: Spec, data: Data, group: Array) -> Part:
    """What the networks of one group are validated on."""
    return part_of(spec, data, group, data.valid[group], data.valid_weight[group])


def inputs(spec: Spec, data: Data, group: Array, index: Array) -> tuple[Array, Array]:
    """Examples [B] of one group as its networks see them: x [B F] and y [B C], standardised by its training part."""
    shift, scale, coded = data.shift[group], data.scale[group], data.coded
    x = data.x[index] if data.ranked is None else data.ranked[data.fold[group], index]
    if coded is None:
        x = (x - shift) * scale
    else:
        places, codes = coded.places[group], coded.codes[index]
        x = encoded(x, codes, shift, scale, places, coded.gaps, coded.hot)
    y = data.y[index] if data.targets is None else data.targets[data.fold[group], index]
    y = y if spec.classes else (y - data.y_shift[group]) * data.y_scale[group]
    return x.astype(spec.dtype), y.astype(spec.dtype)


def units_of(data: Data, group: Array) -> Units:
    """What standardised targets of one group are."""
    if data.targets is None or data.about is None or data.raw is None:
        return Units(data.units[group])
    return Units(data.units[group], data.about[group], data.raw[group])


def importance(data: Data, group: Array, index: Array) -> Array | None:
    """What multiplies the losses of examples [B] of one group: weights of theirs and of their classes, 1 in the mean over its training part."""
    found = None
    if data.weights is not None and data.level is not None:
        found = data.weights[index] * data.level[group]
    if data.balance is not None:
        y, each = data.y[index], data.balance[group]
        of_class = each[0] + y[:, 0] * (each[1] - each[0]) if y.shape[1] == 1 else y @ each
        found = of_class if found is None else found * of_class
    return found


class Examples(NamedTuple):
    """A task as plain arrays: all examples, and which of them each fold trains and validates on."""

    x: np.ndarray  # [N F], numbers [N Fn] where there is a layout
    y: np.ndarray  # [N C]
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]  # K of (train [n], valid [m])
    standardize: bool
    classes: bool
    codes: np.ndarray | None = None  # [N Fc] int32
    layout: Layout | None = None  # where there are categories or gaps
    weights: np.ndarray | None = None  # [N]


def examples_of(task: Task, folds: Sequence[Split]) -> Examples:
    """A task's arrays as training wants them."""
    rows = tuple((train, valid) for train, valid in folds)
    found = Examples(
        task.x, task.targets(), rows, task.standardize, task.classes, weights=task.weights
    )
    if not task.schema:
        return found
    where = layout(task.schema)
    numbers, codes = apart(task.x, where)
    return found._replace(x=numbers, codes=codes, layout=where)


class Standards(NamedTuple):
    """What a training part says of inputs and targets."""

    shift: np.ndarray  # [F] means of features
    scale: np.ndarray  # [F] one over their deviations
    y_shift: np.ndarray  # [C] of numeric targets
    y_scale: np.ndarray  # [C]
    places: np.ndarray | None = None  # [V + 1] of categories among one-hot inputs
    quantiles: np.ndarray | None = None  # [Q F] where numbers are made normal by their ranks
    about: np.ndarray | None = None  # [3 C] of the target's transform, as `powers` has it

    def numbers(self, outputs: np.ndarray, transform: str) -> np.ndarray:
        """Outputs [n C] in the target's units."""
        return undone(transform, outputs / self.y_scale + self.y_shift, self.about)

    def inputs(self, x: np.ndarray, schema: Sequence[Column]) -> np.ndarray:
        """A task's rows [n F] as a network's inputs."""
        by_rank = lambda x: x if self.quantiles is None else ranked(x, self.quantiles)
        if self.places is None:
            return (by_rank(x) - self.shift) * self.scale
        where = layout(schema)
        numbers, codes = apart(x, where)
        numbers = by_rank(numbers)
        hot = np.arange(where.hot)
        return np.asarray(
            encoded(numbers, codes, self.shift, self.scale, self.places, where.gaps, hot)
        )


def keyed(data: Data, seed: Array) -> Data:
    """The data with its keys made: fresh randomness where `seed` is not 0."""
    fold = lambda words: jax.random.fold_in(
        jax.random.wrap_key_data(words, impl="threefry2x32"), seed
    )
    return data._replace(key=jax.vmap(fold)(data.key))


def prepare(
    examples: Examples,
    repeats: int,
    seeds: Sequence[int],
    epochs: int,
    spec: Spec,
    ordered: bool = True,
) -> Data:
    """A task's arrays for networks of a spec's batch size, sampling and dtype, groups being seed x fold x repeat.

    Args:
        examples: the task, with the folds of the first seed, then those of the second, and so on.
        repeats: R; group = fold * R + repeat, folds counted over all seeds.
        seeds: the studies'.
        epochs: E, the studies' full fidelity.
        spec: the fields that `PREPARED` names.
        ordered: whether with the orders of minibatches; else E = M = 0.

    Returns:
        NumPy arrays, `key` as words [G 2] uint32.

    Raises:
        ValueError: a batch larger than the smallest training part.
    """
    _refuse_batches(examples, repeats, epochs if ordered else 0, spec)
    of_folds = [standards(examples, train, spec) for train, _ in examples.folds]
    every = lambda column: np.repeat(np.stack(column), repeats, 0)
    rows, valid_weight = _rows_of_groups(examples, repeats, seeds, epochs if ordered else 0, spec)
    numbers = _standardised(examples, of_folds, repeats, spec.dtype) | {
        "valid_weight": valid_weight
    }
    if spec.scaling == "quantile":
        numbers |= dict(
            ranked=np.stack([ranked(examples.x, np.asarray(part.quantiles)) for part in of_folds]),
            shift=np.zeros_like(numbers["shift"]),
            scale=np.ones_like(numbers["scale"]),
        )
    if spec.target_transform != "none":
        numbers |= _targets_of(examples, of_folds, repeats, spec)
    numbers |= _importance_of(examples, repeats, spec)
    arrays: dict[str, Any] = {
        name: array.astype(spec.dtype, copy=False) for name, array in numbers.items()
    } | rows
    where = examples.layout
    if where is not None:
        marks, hot = where.gaps, np.arange(where.hot, dtype=np.int32)
        arrays["coded"] = Coded(examples.codes, every([m.places for m in of_folds]), marks, hot)
    return Data(**arrays)


def _rows_of_groups(
    examples: Examples, repeats: int, seeds: Sequence[int], epochs: int, spec: Spec
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Which rows each group trains and validates on, in which order, under which key; and what each row counts in validation [G V]."""
    longest = max(len(train) for train, _ in examples.folds)
    wide = max(len(valid) for _, valid in examples.folds)
    places = spec.steps(longest) * spec.batch(longest) if epochs else 0
    filled = lambda rows, many: np.pad(rows, (0, many - len(rows)), mode="edge")
    fold, order, count, train, valid, key, valid_weight = [], [], [], [], [], [], []
    per_seed = len(examples.folds) // len(seeds)
    for number, (train_rows, valid_rows) in enumerate(examples.folds):
        seed, own = seeds[number // per_seed], number % per_seed
        weights = _weights_of(examples, valid_rows)
        for repeat in range(repeats):
            fold.append(number)
            order.append(orders(seed, repeat, own, train_rows, places, epochs, spec))
            count.append(len(train_rows))
            train.append(filled(train_rows, places) if epochs else np.zeros(0))
            valid.append(filled(valid_rows, wide))
            key.append(key_words(seed, repeat, own))
            valid_weight.append(np.pad(weights / weights.mean(), (0, wide - len(valid_rows))))
    rows = {
        "fold": np.array(fold, np.int32),
        "order": np.stack(order),
        "count": np.array(count, np.int32),
        "train": np.stack(train).astype(np.int32),
        "valid": np.stack(valid).astype(np.int32),
        "key": np.stack(key),
    }
    return rows, np.stack(valid_weight)


def _standardised(
    examples: Examples, of_folds: Sequence[Standards], repeats: int, dtype: str
) -> dict[str, np.ndarray]:
    """Features and targets on one level for all folds, and how each group's own standards are reached from there."""
    columns = zip(*(part[:4] for part in of_folds))
    shift, scale, y_shift, y_scale = (np.repeat(np.stack(c), repeats, 0) for c in columns)
    x, middle, spread = _levelled(examples.x, examples.standardize, dtype)
    y, y_middle, y_spread = _levelled(
        examples.y, examples.standardize and not examples.classes, dtype
    )
    return {
        "x": x,
        "y": y,
        "shift": (shift - middle) / spread,
        "scale": scale * spread,
        "y_shift": (y_shift - y_middle) / y_spread,
        "y_scale": y_scale * y_spread,
        "units": np.stack([1 / np.where(y_scale > 0, y_scale, 1), y_shift], 1),
    }


def _targets_of(
    examples: Examples, of_folds: Sequence[Standards], repeats: int, spec: Spec
) -> dict[str, np.ndarray]:
    """Transformed targets of every fold, standardised already; how they are undone, and what 1 and 0 of the targets themselves are."""
    targets, about, raw = [], [], []
    for part, (rows, _) in zip(of_folds, examples.folds):
        y = transformed(spec.target_transform, examples.y, part.about)
        deviation = examples.y[rows].std(0)
        targets.append((y - part.y_shift) * part.y_scale)
        about.append(np.asarray(part.about))
        raw.append(np.stack([np.where(deviation > 0, deviation, 1), examples.y[rows].mean(0)]))
    every = lambda column: np.repeat(np.stack(column), repeats, 0)
    ones = np.ones((len(of_folds) * repeats, examples.y.shape[1]))
    return {
        "targets": np.stack(targets),
        "about": every(about),
        "raw": every(raw),
        "y_shift": 0 * ones,
        "y_scale": ones,
    }


def _importance_of(examples: Examples, repeats: int, spec: Spec) -> dict[str, np.ndarray]:
    """What `importance` reads: weights of examples, and of classes where the spec has them."""
    arrays, parts = {}, [train for train, _ in examples.folds]
    every = lambda column: np.repeat(np.stack(column), repeats, 0)
    if examples.weights is not None:
        level = every([1 / _weights_of(examples, rows).mean() for rows in parts])
        arrays = {"weights": examples.weights, "level": level}
    if spec.class_weight == "balanced":
        arrays["balance"] = every([balanced(examples, rows) for rows in parts])
    return arrays


def _refuse_batches(examples: Examples, repeats: int, epochs: int, spec: Spec) -> None:
    """Refuses batches larger than a training part, and orders of minibatches that no memory holds."""
    sizes = [len(train) for train, _ in examples.folds]
    _, orders = device_bytes(examples, repeats, epochs, spec)
    if orders > MOST_ORDERS:
        raise ValueError(
            f"the order of minibatches of {epochs} epochs, {len(sizes)} folds and {repeats} repeats takes {orders / 2**30:.0f} GiB; "
            "give fewer epochs, folds or repeats, batch_size=0, or, without gradients through training, stream=True"
        )
    if spec.batch_size > min(sizes):
        raise ValueError(
            f"batch_size={spec.batch_size} is larger than the {min(sizes)} training examples; "
            "make it smaller, or 0 for all of them"
        )


def _weights_of(examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Weights of some examples [n]; 1 each where there are none.

    Raises:
        ValueError: all of them are 0.
    """
    if examples.weights is None:
        return np.ones(len(rows))
    weights = examples.weights[rows]
    if not weights.any():
        raise ValueError(
            f"all {len(rows)} examples of a part have weight 0; give other weights, or fewer folds"
        )
    return weights


def balanced(examples: Examples, rows: np.ndarray) -> np.ndarray:
    """What each class counts, so that all of a training part, rows [n], count alike: n / (C n_c), as scikit-learn has it; 1 where a class
    is not there. Of two classes both."""
    y, weights = examples.y[rows], _weights_of(examples, rows)
    whole = np.concatenate([1 - y, y], 1) if y.shape[1] == 1 else y
    counts = weights @ whole
    return np.where(
        counts > 0, counts.sum() / (np.sum(counts > 0) * np.where(counts > 0, counts, 1)), 1
    )


def standards(examples: Examples, rows: np.ndarray, spec: Spec | None = None) -> Standards:
    """What the training part, rows [n], says of features and of numeric targets; rows of weight 0 say nothing.

    Args:
        examples: the task.
        rows: the training part.
        spec: tells how numbers and targets are made ready; to mean 0 and deviation 1 where None.

    Raises:
        ValueError: targets that cannot be transformed so.
    """
    weights = None if examples.weights is None else examples.weights[rows]

    def of(values: np.ndarray, on: bool) -> tuple[np.ndarray, np.ndarray]:
        if not on:
            return np.zeros(values.shape[1]), np.ones(values.shape[1])
        return moments(values[rows], weights)

    numeric = examples.standardize and not examples.classes
    by_rank = spec is not None and spec.scaling == "quantile"
    transform = "none" if spec is None else spec.target_transform
    seen = rows if weights is None else rows[weights > 0]
    counted = None if weights is None else weights[weights > 0]
    y, about = examples.y, None
    if transform != "none":
        about = powers(transform, y, seen, counted)
        y = transformed(transform, y, about)
    of_inputs = of(examples.x, examples.standardize and not by_rank)
    found = Standards(*of_inputs, *of(y, numeric), about=about)
    if by_rank:
        found = found._replace(quantiles=quantiles(examples.x[seen], counted))
    if examples.layout is None or examples.codes is None:
        return found
    return found._replace(places=places(examples.codes[seen], examples.layout))


def drawn(seed: int, repeat: int, fold: int, fresh: int, spec: Spec) -> np.ndarray:
    """What a network of these names starts from, as its family draws it."""
    return spec.functions.draw((seed, repeat, fold, fresh, randomness.INIT))


def key_words(seed: int, repeat: int, fold: int) -> np.ndarray:
    """The words, uint32 [2], of the JAX key that dropout and noise of a group are folded from."""
    return randomness.words((seed, repeat, fold, randomness.KEY), 2)


def _levelled(
    values: np.ndarray, on: bool, dtype: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values centred and scaled in float64 over all rows, before they lose digits in float32; the centre and scale.

    What a fold then subtracts and multiplies by is relative to these, so that its inputs are the same as without.
    """
    if not on:
        return values.astype(dtype), np.zeros(values.shape[1]), np.ones(values.shape[1])
    mean, inverse = moments(values)
    inverse = np.where(inverse > 0, inverse, 1)
    level = np.empty(values.shape, dtype)
    for first in range(0, len(values), ROWS):  # no copy of all of them in float64
        level[first : first + ROWS] = (values[first : first + ROWS] - mean) * inverse
    return level, mean, 1 / inverse


def uneven(examples: Examples, spec: Spec) -> bool:
    """Whether some fold has fewer steps than another, so that a step may have no weight."""
    steps = {spec.steps(len(train)) for train, _ in examples.folds}
    return len(steps) > 1


def orders(
    seed: int, repeat: int, fold: int, train: np.ndarray, places: int, epochs: int, spec: Spec
) -> np.ndarray:
    """The minibatch order of one group, drawn under its names.

    Args:
        seed, repeat, fold: names.
        train: [n] indices of the training part.
        places: M, at least n.
        epochs: E.
        spec: tells batch size and sampling.

    Returns:
        [E M] int32, or [1 M] where every epoch is the whole training part.
    """
    result = np.zeros((1 if spec.batch_size == 0 else epochs, places), np.int32)
    for epoch in range(len(result)):
        result[epoch, : len(train)] = order_of(seed, repeat, fold, epoch, train, spec)
        result[epoch, len(train) :] = train[0]
    return result


def order_of(
    seed: int, repeat: int, fold: int, epoch: int, train: np.ndarray, spec: Spec
) -> np.ndarray:
    """The training part, rows [n], in the order of one epoch, as `orders` has it."""
    if spec.batch_size == 0:
        return train
    rng = randomness.generator((seed, repeat, fold, epoch, randomness.ORDER))
    if spec.sampling == "replacement":
        return train[rng.integers(len(train), size=len(train))]
    return train[rng.permutation(len(train))]
