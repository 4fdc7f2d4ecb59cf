"""How rows of numbers and codes become a network's inputs: standardised numbers, marks of gaps, one-hot categories.

What is estimated is estimated on a training part. A gap becomes the training part's mean, which is 0 once standardised, so that no
copy of the data is needed for any fold. A category that the training part has fewer than `RARE` times is pooled with its like; one
that it has not at all is all zeros.
"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.tasks.schema import Layout

Array = jax.Array | np.ndarray
RARE = 5  # examples below which a category is pooled


def places(codes: np.ndarray, where: Layout) -> np.ndarray:
    """The one-hot place [V + 1] of every value, by the codes of a training part [n Fc]; `hot` for none.

    A value's own, that of rare ones, or none where the training part has it not.
    """
    counts = np.bincount(codes.ravel(), minlength=len(where.position) + 1)[:-1]
    rare = (counts < RARE) & (where.pooled >= 0)
    found = np.where(rare, where.pooled, where.position)
    return np.append(np.where(counts > 0, found, where.hot), where.hot).astype(np.int32)


def moments(values: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Means and one over deviations of columns [F], without their gaps; a column that is constant but for rounding is left at its scale.

    A column of gaps alone has mean 0 and is multiplied by 0.

    Args:
        values: [n F].
        weights: [n] of the rows; 1 each where None.
    """
    gone = np.isnan(values)
    if weights is not None:
        share = np.where(gone, 0, weights[:, None])
        total = share.sum(0)
        here, share = total > 0, share / np.where(total > 0, total, 1)
        filled = np.where(gone, 0, values)
        mean = (share * filled).sum(0)
        deviation = np.sqrt((share * (filled - mean) ** 2).sum(0))
    elif not gone.any():
        mean, deviation = values.mean(0), values.std(0)
        here = np.ones(values.shape[1], bool)
    else:
        count = (~gone).sum(0)
        here, many = count > 0, np.maximum(count, 1)
        mean = np.where(gone, 0, values).sum(0) / many
        deviation = np.sqrt((np.where(gone, 0, values - mean) ** 2).sum(0) / many)
    varies = deviation > 10 * np.finfo(np.float64).eps * np.maximum(np.abs(mean), 1e-300)
    return mean, here / np.where(varies, deviation, 1)


def quantiles(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Quantiles [Q F] of a training part's columns [n F], between which a column is made normal; gaps are left out.

    Q is a thirtieth of the rows, from 10 to 1,000 (as Gorishniy et al. 2021 have it). A column of gaps alone has zeros.

    Args:
        values: [n F].
        weights: [n] of the rows, positive; 1 each where None.
    """
    from sklearn.preprocessing import QuantileTransformer

    many = min(len(values), int(np.clip(len(values) // 30, 10, 1000)))
    if weights is not None:
        levels = np.linspace(0, 1, many)
        return np.stack([_weighted_quantiles(v, weights, levels) for v in values.T], 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        fitted = QuantileTransformer(n_quantiles=many, subsample=None).fit(values)
    return np.nan_to_num(fitted.quantiles_, nan=0.0)


def _weighted_quantiles(values: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles [Q] of a column [n]: a value lies where half of its own weight is below it; from the least to the greatest value."""
    there = ~np.isnan(values)
    if not there.any():
        return np.zeros(len(levels))
    order = np.argsort(values[there])
    values, weights = values[there][order], weights[there][order]
    middle = np.cumsum(weights) - weights / 2
    span = middle[-1] - middle[0]
    at = (middle - middle[0]) / (span if span > 0 else 1)
    return np.interp(levels, at, values)


def ranked(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Columns [n F] made normal by where they lie among quantiles [Q F]; gaps stay, a column without spread is 0."""
    from sklearn.preprocessing import QuantileTransformer

    fitted = QuantileTransformer(n_quantiles=len(quantiles), output_distribution="normal")
    fitted.quantiles_, fitted.references_ = quantiles, np.linspace(0, 1, len(quantiles))
    fitted.n_quantiles_, fitted.n_features_in_ = quantiles.shape
    return np.where(
        quantiles[0] < quantiles[-1],
        fitted.transform(values),
        np.where(np.isnan(values), np.nan, 0),
    )


def encoded(
    numbers: Array, codes: Array, shift: Array, scale: Array, places: Array, gaps: Array, hot: Array
) -> Any:
    """A network's inputs [B F] of numbers [B Fn] and codes [B Fc].

    Args:
        shift, scale: [Fn] of a training part.
        places: [V + 1] of it.
        gaps: [Fg] numbers that have a mark.
        hot: [H] 0, 1, ..., H - 1.
    """
    gone = jnp.isnan(numbers)
    seen = jnp.where(gone, 0, (numbers - shift) * scale)
    marks = gone[:, gaps].astype(seen.dtype)
    lit = (places[codes][:, :, None] == hot).any(1).astype(seen.dtype)
    return jnp.concatenate([seen, marks, lit], 1)
