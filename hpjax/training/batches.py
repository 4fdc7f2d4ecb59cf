"""What the host prepares for networks: examples, folds, the order of minibatches, and the randomness of every name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hpjax.models import Spec
from hpjax.models.base import Array
from hpjax.tasks import Split, Task

MOST_ORDERS = 8 * 2**30  # bytes of the table of minibatch orders
ORDER, KEY, INIT = 1, 2, 3  # purposes that randomness is named by


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
    # [G E M] int32 examples in the order of each epoch; E = 1 where every epoch is the whole training part
    order: Array
    count: Array  # [G] int32 places in use; the rest have weight 0
    train: Array  # [G M] int32 the training part
    valid: Array  # [G V] int32
    valid_weight: Array  # [G V] 0 or 1
    key: Array  # [G] keys of dropout and noise (as [G 2] uint32 until `keyed`)


def inputs(spec: Spec, data: Data, group: Array, index: Array) -> tuple[Array, Array]:
    """Examples [B] of one group as its networks see them: x [B F] and y [B C], standardised by its training part."""
    x = (data.x[index] - data.shift[group]) * data.scale[group]
    y = data.y[index]
    y = y if spec.classes else (y - data.y_shift[group]) * data.y_scale[group]
    return x.astype(spec.dtype), y.astype(spec.dtype)


class Examples(NamedTuple):
    """A task as plain arrays: all examples, and which of them each fold trains and validates on."""

    x: np.ndarray  # [N F]
    y: np.ndarray  # [N C]
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]  # K of (train [n], valid [m])
    standardize: bool
    classes: bool


def examples_of(task: Task, folds: Sequence[Split]) -> Examples:
    """A task's arrays as training wants them."""
    return Examples(
        task.x, task.targets(), tuple(tuple(fold) for fold in folds), task.standardize, task.classes
    )


def keyed(data: Data, seed: Array) -> Data:
    """The data with its keys made: fresh randomness where `seed` is not 0."""
    fold = lambda words: jax.random.fold_in(
        jax.random.wrap_key_data(words, impl="threefry2x32"), seed
    )
    return data._replace(key=jax.vmap(fold)(data.key))


def prepare(
    examples: Examples, repeats: int, seeds: Sequence[int], epochs: int, spec: Spec
) -> Data:
    """A task's arrays for networks of a spec's batch size, sampling and dtype, groups being seed x fold x repeat.

    Args:
        examples: the task, with the folds of the first seed, then those of the second, and so on.
        repeats: R; group = fold * R + repeat, folds counted over all seeds.
        seeds: the studies'.
        epochs: E, the studies' full fidelity.
        spec: batch size, sampling, dtype.

    Returns:
        NumPy arrays, `key` as words [G 2] uint32.

    Raises:
        ValueError: a batch larger than the smallest training part.
    """
    dtype = np.dtype(spec.dtype)
    longest = max(len(train) for train, _ in examples.folds)
    numbers = len(examples.folds) * repeats * longest * (epochs if spec.batch_size else 1)
    if 4 * numbers > MOST_ORDERS:
        raise ValueError(
            f"the order of minibatches of {epochs} epochs, {len(examples.folds)} folds and {repeats} repeats takes {4 * numbers / 2**30:.0f} GiB; "
            "give fewer epochs, folds or repeats, or batch_size=0"
        )
    shortest = min(len(train) for train, _ in examples.folds)
    if spec.batch_size > shortest:
        raise ValueError(
            f"batch_size={spec.batch_size} is larger than the {shortest} training examples; "
            "make it smaller, or 0 for all of them"
        )
    places = -(-longest // spec.batch_size) * spec.batch_size if spec.batch_size else longest
    wide = max(len(valid) for _, valid in examples.folds)
    order, count, train, valid, valid_weight, key, moments = [], [], [], [], [], [], []
    per_seed = len(examples.folds) // len(seeds)
    for number, (train_rows, valid_rows) in enumerate(examples.folds):
        seed, fold = seeds[number // per_seed], number % per_seed
        moments.append(standards(examples, train_rows))
        for repeat in range(repeats):
            order.append(orders(seed, repeat, fold, train_rows, places, epochs, spec))
            count.append(len(train_rows))
            train.append(np.pad(train_rows, (0, places - len(train_rows)), mode="edge"))
            valid.append(np.pad(valid_rows, (0, wide - len(valid_rows)), mode="edge"))
            valid_weight.append(np.arange(wide) < len(valid_rows))
            key.append(np.random.SeedSequence([seed, repeat, fold, KEY]).generate_state(2))
    shift, scale, y_shift, y_scale = (np.repeat(np.stack(m), repeats, 0) for m in zip(*moments))
    x, middle, spread = _levelled(examples.x, examples.standardize)
    y, y_middle, y_spread = _levelled(examples.y, examples.standardize and not examples.classes)
    arrays: dict[str, Any] = dict(
        x=x,
        y=y,
        shift=(shift - middle) / spread,
        scale=scale * spread,
        y_shift=(y_shift - y_middle) / y_spread,
        y_scale=y_scale * y_spread,
        valid_weight=np.stack(valid_weight),
    )
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    arrays |= dict(
        order=np.stack(order),
        count=np.array(count, np.int32),
        train=np.stack(train).astype(np.int32),
        valid=np.stack(valid).astype(np.int32),
        key=np.stack(key).astype(np.uint32),
    )
    return Data(**arrays)


def standards(examples: Examples, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean and one over deviation of features [F] and of numeric targets [C], over the training part only."""

    def of(values: np.ndarray, on: bool):
        if not on:
            return np.zeros(values.shape[1]), np.ones(values.shape[1])
        return _moments(values[rows])

    return *of(examples.x, examples.standardize), *of(
        examples.y, examples.standardize and not examples.classes
    )


def drawn(seed: int, repeat: int, fold: int, fresh: int, spec: Spec) -> np.ndarray:
    """What a network of these names starts from, as its family draws it."""
    return spec.functions.draw(np.random.SeedSequence([seed, repeat, fold, fresh, INIT]))


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and one over deviations of columns; a column that is constant but for rounding is left at its scale."""
    mean, deviation = values.mean(0), values.std(0)
    varies = deviation > 10 * np.finfo(np.float64).eps * np.maximum(np.abs(mean), 1e-300)
    return mean, 1 / np.where(varies, deviation, 1)


def _levelled(values: np.ndarray, on: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values centred and scaled in float64 over all rows, before they lose digits in float32; the centre and scale.

    What a fold then subtracts and multiplies by is relative to these, so that its inputs are the same as without.
    """
    if not on:
        return values, np.zeros(values.shape[1]), np.ones(values.shape[1])
    mean, inverse = _moments(values)
    return (values - mean) * inverse, mean, 1 / inverse


def uneven(examples: Examples, spec: Spec) -> bool:
    """Whether some fold has fewer steps than another, so that a step may have no weight."""
    steps = {
        -(-len(train) // spec.batch_size) if spec.batch_size else 1 for train, _ in examples.folds
    }
    return len(steps) > 1


def orders(
    seed: int, repeat: int, fold: int, train: np.ndarray, places: int, epochs: int, spec: Spec
) -> np.ndarray:
    """The minibatch order of one group, drawn by NumPy's Philox under its names: (seed, repeat, fold, epoch, purpose).

    Args:
        seed, repeat, fold: names.
        train: [n] indices of the training part.
        places: M, at least n.
        epochs: E.
        spec: tells batch size and sampling.

    Returns:
        [E M] int32, or [1 M] where every epoch is the whole training part.
    """
    count = len(train)
    result = np.zeros((1 if spec.batch_size == 0 else epochs, places), np.int32)
    for epoch in range(len(result)):
        if spec.batch_size == 0:
            index = np.arange(count)
        else:
            names = np.random.SeedSequence([seed, repeat, fold, epoch, ORDER])
            generator = np.random.Generator(np.random.Philox(names))
            replace = spec.sampling == "replacement"
            index = (
                generator.integers(count, size=count) if replace else generator.permutation(count)
            )
        result[epoch, :count] = train[index]
        result[epoch, count:] = train[0]
    return result
