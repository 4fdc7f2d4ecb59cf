"""Targets in a form that is easier to learn, and what networks say of them, undone into the target's own units.

Yeo-Johnson's power (Yeo & Johnson 2000) is fitted to each fold's training part by scikit-learn's PowerTransformer; where examples
have weights, which that does not take, by the same likelihood weighted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Array = Any  # of JAX or NumPy
TRANSFORMS = ("none", "log", "yeo_johnson")
STEEPEST = 80.0  # of an exponent that is undone: exp of more is no number in float32


class Units(NamedTuple):
    """What standardised numbers are.

    Attributes:
        scale: [2 C] what 1 and 0 of them are.
        about: [3 C] as `powers` has it, where targets were transformed; else None.
        raw: [2 C] what 1 and 0 of the targets themselves are, where these were transformed; else None.
    """

    scale: Array
    about: Array | None = None
    raw: Array | None = None


def powers(
    name: str, y: np.ndarray, rows: Any = slice(None), weights: np.ndarray | None = None
) -> np.ndarray:
    """What a transform needs to know of targets [N C], by those of a training part, `rows`, and their weights, positive: of each column
    Yeo-Johnson's power (1 under other transforms), and the least and the greatest that is undone, [3 C].

    Under a power below 0 or above 2 transformed numbers have an end; what a network says beyond the training part's own is taken for that.

    Raises:
        ValueError: targets that are not positive, under "log".
    """
    if name == "log" and not (y > 0).all():
        raise ValueError(
            f"target_transform='log' needs positive targets, and there is {y.min():g}; use 'yeo_johnson', or shift them"
        )
    open_ended = np.ones(y.shape[1])
    if name != "yeo_johnson":
        return np.stack([open_ended, -np.inf * open_ended, STEEPEST * open_ended])
    if weights is None:
        from sklearn.preprocessing import PowerTransformer

        power = PowerTransformer(standardize=False).fit(y[rows]).lambdas_
    else:
        power = np.array([_power(column, weights) for column in y[rows].T])
    t = transformed(name, y[rows], np.stack([power, power, power]))
    return np.stack([power, t.min(0), t.max(0)])


def _power(y: np.ndarray, weights: np.ndarray) -> float:
    """The power under which numbers [n] are most likely normal, each counted by its weight; 1 where they do not vary."""
    from scipy.optimize import minimize_scalar

    share = weights / weights.sum()
    if np.ptp(y) == 0:
        return 1.0
    logs = (share * np.sign(y) * np.log1p(np.abs(y))).sum()

    def unlikely(power: float) -> float:
        """Minus the mean logarithm of the likelihood, but for a constant."""
        t = transformed("yeo_johnson", y, np.full((3, 1), power))
        variance = (share * (t - (share * t).sum()) ** 2).sum()
        if not 0 < variance < np.inf:
            return np.inf
        return float(np.log(variance) / 2 - (power - 1) * logs)

    with np.errstate(over="ignore", invalid="ignore"):  # powers far off
        return float(minimize_scalar(unlikely, (-2, 2), method="brent").x)


def transformed(name: str, y: Any, about: Any, xp: Any = np) -> Any:
    """Targets [n C] as networks learn them; `about` [3 C] as `powers` has it."""
    if name == "log":
        return xp.log(y)
    if name != "yeo_johnson":
        return y
    power = about[0]
    up, down = xp.maximum(y, 0), xp.maximum(-y, 0)
    return xp.where(y >= 0, _powered(up, power, xp), -_powered(down, 2 - power, xp))


def undone(name: str, t: Any, about: Any, xp: Any = np) -> Any:
    """What `transformed` made, in the target's own units."""
    if name == "none":
        return t
    t = xp.clip(t, about[1], about[2])
    if name == "log":
        return xp.exp(t)
    power = about[0]
    up, down = xp.maximum(t, 0), xp.maximum(-t, 0)
    return xp.where(t >= 0, _unpowered(up, power, xp), -_unpowered(down, 2 - power, xp))


def _powered(y: Any, power: Any, xp: Any) -> Any:
    """((y + 1)^power - 1) / power of y >= 0, log(y + 1) for power 0."""
    plain = xp.abs(power) < 1e-8
    return xp.where(plain, xp.log1p(y), ((y + 1) ** power - 1) / xp.where(plain, 1, power))


def _unpowered(t: Any, power: Any, xp: Any) -> Any:
    """What `_powered` made."""
    plain = xp.abs(power) < 1e-8
    safe = xp.where(plain, 1, power)
    log = xp.log(xp.maximum(t * safe + 1, 1e-30)) / safe
    return xp.expm1(xp.minimum(xp.where(plain, t, log), STEEPEST))


def in_units(name: str, v: Any, units: Units) -> Any:
    """Standardised numbers [n C] of a transformed target as standardised numbers of the target itself."""
    assert units.raw is not None
    y = undone(name, v * units.scale[0] + units.scale[1], units.about, jnp)
    return (y - units.raw[1]) / units.raw[0]
