"""A Gaussian process over the unit cube: Matern 5/2 with a length scale per feature, fitted with priors.

Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, chapters 2 and 4; scikit-learn's processes do the linear
algebra. The log-normal priors are our own.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from hpjax.search.base import Dim, level, snap

LENGTHS, SCALES, NOISES = (5e-3, 1e2), (5e-2, 20.0), (1e-8, 0.2)  # bounds
LENGTH_PRIOR = (np.log(0.5), 0.7)  # of log length scales: mean, deviation
NOISE_PRIOR = (np.log(1e-5), 2.0)  # of log noise: mean, deviation; objectives have deviation 1
SCALE_PRIOR = (0.0, 1.0)
JITTERS = (1e-10, 1e-7, 1e-4)
# times what lies between the best and the middle objective: objectives further up are cut there, lest one hides all differences
BEYOND = 100.0


class Process(NamedTuple):
    """A fitted process: what prediction needs."""

    features: np.ndarray  # [n F]
    theta: np.ndarray  # [F + 2] log of scale, length scales, noise, as scikit-learn orders them
    lower: np.ndarray  # [n n] Cholesky factor
    alpha: np.ndarray  # [n]
    jitter: float

    @property
    def scale(self) -> float:
        """Prior variance."""
        return float(np.exp(self.theta[0]))

    @property
    def lengths(self) -> np.ndarray:
        """[F]"""
        return np.exp(self.theta[1:-1])


def encode(unit: np.ndarray, dims: tuple[Dim, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Points as features: numbers as they are, choices of two as 0 or 1, of more as one column per level.

    Integers stand at their levels, and inactive dimensions at one place, so that equal networks have equal features.

    Returns:
        [n F], and which dimension each feature belongs to [F].
    """
    unit, columns, owner = snap(unit, dims), [], []
    for i, dim in enumerate(dims):
        if dim.kind == "categorical" and dim.levels > 2:
            here = level(unit[:, i], dim)[:, None] == np.arange(dim.levels)
            columns.append(here.astype(float))
        elif dim.kind == "categorical":
            columns.append(level(unit[:, i], dim)[:, None].astype(float))
        else:
            columns.append(unit[:, i : i + 1])
        owner += [i] * columns[-1].shape[1]
    return np.concatenate(columns, 1), np.array(owner)


def default(features: int) -> np.ndarray:
    """Hyperparameters [F + 2] at the modes of their priors."""
    return np.concatenate([[0.0], np.full(features, LENGTH_PRIOR[0]), [NOISE_PRIOR[0]]])


def log_prior(theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Log density of hyperparameters up to a constant, and its gradient."""
    priors = [SCALE_PRIOR, *[LENGTH_PRIOR] * (len(theta) - 2), NOISE_PRIOR]
    mean, wide = np.array(priors).T
    z = (theta - mean) / wide
    return -0.5 * float(z @ z), -z / wide


def fit(
    features: np.ndarray, value: np.ndarray, starts: list[np.ndarray], steps: int
) -> np.ndarray:
    """Hyperparameters [F + 2] of highest posterior density, by L-BFGS from each start.

    Args:
        features: [n F].
        value: [n] objectives with mean 0 and deviation 1.
        starts: hyperparameters to start from.
        steps: of L-BFGS.

    Raises:
        numpy.linalg.LinAlgError: no start has a covariance that can be factored.
    """
    from scipy import optimize

    model = _regressor(starts[0], JITTERS[0])
    model.fit(features, value)

    def negative(theta: np.ndarray):
        value, slope = model.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False)
        prior, tilt = log_prior(theta)
        if not np.isfinite(value):
            return 1e25, np.zeros_like(theta)
        return -(value + prior), -(slope + tilt)

    bounds = model.kernel_.bounds
    found = [
        optimize.minimize(
            negative,
            np.clip(start, *bounds.T),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": steps, "maxfun": 2 * steps},
        )
        for start in starts
    ]
    best = min(found, key=lambda one: one.fun)
    if not best.fun < 1e24:
        raise np.linalg.LinAlgError("no hyperparameters with a covariance that can be factored")
    return best.x


def condition(features: np.ndarray, value: np.ndarray, theta: np.ndarray) -> Process:
    """The process with given hyperparameters, given objectives.

    Raises:
        numpy.linalg.LinAlgError: singular even with the largest jitter.
    """
    for jitter in JITTERS:
        model = _regressor(theta, jitter)
        try:
            model.fit(features, value)
        except np.linalg.LinAlgError:
            continue
        return Process(features, theta, model.L_, model.alpha_.ravel(), jitter)
    raise np.linalg.LinAlgError(f"singular even with {JITTERS[-1]:g} on the diagonal")


def _regressor(theta: np.ndarray, jitter: float) -> Any:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    count = len(theta) - 2
    kernel = (
        ConstantKernel(1.0, SCALES) * Matern(np.ones(count), LENGTHS, nu=2.5)
        + WhiteKernel(1e-5, NOISES)
    ).clone_with_theta(theta)
    return GaussianProcessRegressor(kernel, alpha=jitter, optimizer=None, copy_X_train=False)


def posterior(process: Process, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [m] of the noise-free function at features [m F]."""
    return _posterior(process, x)[:2]


def posterior_gradients(
    process: Process, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation [m] of the noise-free function at features [m F], and their gradients [m F]."""
    from scipy.linalg import solve_triangular

    mean, deviation, distance, half = _posterior(process, x)
    lengths = process.lengths
    # d k / d x_f = -5/3 decay (1 + distance) (x_f - X_f) / length_f^2
    inner = process.scale * np.exp(-distance) * (1 + distance) * (-5 / 3)
    weight = np.asarray(
        solve_triangular(process.lower, half, lower=True, trans="T", check_finite=False)
    ).T
    by_mean, by_half = inner * process.alpha, inner * weight
    steepness = lambda w: (x * w.sum(1, keepdims=True) - w @ process.features) / lengths**2
    return mean, deviation, steepness(by_mean), -steepness(by_half) / deviation[:, None]


def _posterior(
    process: Process, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation [m] at features [m F], their scaled distances [m n] from those seen, and the half-solved kernel [n m]."""
    from scipy.linalg import solve_triangular
    from scipy.spatial.distance import cdist

    lengths = process.lengths
    distance = np.sqrt(5) * np.asarray(cdist(x / lengths, process.features / lengths))
    k = process.scale * np.exp(-distance) * (1 + distance + distance**2 / 3)
    half = np.asarray(solve_triangular(process.lower, k.T, lower=True, check_finite=False))
    deviation = np.sqrt(np.maximum(process.scale - (half * half).sum(0), 1e-14))
    return k @ process.alpha, deviation, distance, half


def standardised(objective: np.ndarray) -> np.ndarray:
    """Losses [n] as the process sees them: failures at the worst finite one, long tails cut and drawn in, mean 0, deviation 1.

    Yeo & Johnson 2000, A New Family of Power Transformations to Improve Normality or Symmetry.
    """
    from sklearn.preprocessing import PowerTransformer

    finite = objective[np.isfinite(objective)]
    value = np.where(np.isfinite(objective), objective, finite.max() if len(finite) else 0.0)
    if len(finite):
        middle = np.quantile(finite, 0.5, method="lower")
        reach = middle - finite.min()
        value = np.minimum(value, middle + BEYOND * reach) if reach > 0 else value
    spread = value.std()
    if not spread > 0 or not np.isfinite(spread):
        return np.zeros_like(value)
    value = (value - value.mean()) / spread
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of lambdas at the end of their range
        power = PowerTransformer()
        warped = power.fit_transform(value[:, None])[:, 0]
    # only ever to draw in a tail of bad objectives: a power above 1 would press the good ones together
    straight = np.isfinite(warped).all() and warped.std() > 0.5 and power.lambdas_[0] < 1
    return warped if straight else value
