"""A Gaussian process over the unit cube: Matern 5/2, a length scale for each dimension, fitted with priors.

Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, chapters 2, 4 and 5. Choices are as far from each other as
the ends of a number's range; where they are numbers, a second length scale tells how much their order matters. Length scales
grow with the square root of the dimensions: Hvarfner, Hellsten & Nardi 2024, Vanilla Bayesian Optimization Performs Great in
High Dimensions, section 4. The other log-normal priors are our own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax.search.base import Dim, level, snap

SCALES, LENGTHS, NOISES = (5e-2, 20.0), (5e-3, 1e2), (1e-8, 0.2)  # bounds
LENGTH_PRIOR = (np.log(0.5), 0.7)  # of log length scales, for one dimension: mean, deviation
NOISE_PRIOR = (np.log(1e-5), 2.0)  # of log noise: mean, deviation; objectives have deviation 1
SCALE_PRIOR = (0.0, 1.0)
JITTERS = (1e-10, 1e-7, 1e-4)
# times what lies between the best and the middle objective: objectives further up are cut there, lest one hides all differences
BEYOND = 100.0
WARPS = ("power", "log")
POWERS = (-5.0, 1.0)  # of Yeo & Johnson
SAME = 1e-12  # relative differences of objectives that are none
TINIEST = 1e-6  # difference, of a deviation of 1, that a logarithm shows
STRAIGHT = 0.1  # share of objectives above the best one, up to which a logarithm is straight


class Layout(NamedTuple):
    """Which dimension each of F features belongs to, and which length scale it has."""

    owner: np.ndarray  # [F]
    scale: np.ndarray  # [F] numbers of length scales, L of them


class Process(NamedTuple):
    """A fitted process: what prediction needs."""

    features: np.ndarray  # [n F]
    theta: np.ndarray  # [L + 2] log of the prior variance, of length scales, of the noise
    lengths: np.ndarray  # [F]
    whitening: np.ndarray  # [n n] inverse of the Cholesky factor
    alpha: np.ndarray  # [n]
    jitter: float

    @property
    def variance(self) -> float:
        """Prior variance."""
        return float(np.exp(self.theta[0]))


def layout(dims: tuple[Dim, ...]) -> Layout:
    """The features that `encode` makes: a number's own; for choices one for each level, and their order if they have one."""
    owner, scale = [], []
    for i, dim in enumerate(dims):
        several = dim.kind == "categorical" and dim.levels > 2
        parts = [dim.levels, 1] if several and dim.order else [dim.levels] if several else [1]
        for part in parts:
            scale += [scale[-1] + 1 if scale else 0] * part
            owner += [i] * part
    return Layout(np.array(owner, int), np.array(scale, int))


def encode(unit: np.ndarray, dims: tuple[Dim, ...]) -> np.ndarray:
    """Points as features [n F]: numbers as they are, choices of two as 0 or 1, of more as corners that are 1 apart.

    Integers stand at their levels, and inactive dimensions at one place, so that equal networks have equal features.
    """
    unit, columns = snap(unit, dims), [np.zeros((len(unit), 0))]
    for i, dim in enumerate(dims):
        if dim.kind != "categorical":
            columns.append(unit[:, i : i + 1])
            continue
        chosen = level(unit[:, i], dim)
        if dim.levels <= 2:
            columns.append(chosen[:, None].astype(float))
            continue
        columns.append((chosen[:, None] == np.arange(dim.levels)) / np.sqrt(2))
        if dim.order:
            columns.append(np.array(dim.order)[chosen][:, None] / (dim.levels - 1))
    return np.concatenate(columns, 1)


def default(lengths: int) -> np.ndarray:
    """Hyperparameters [L + 2] at the modes of their priors."""
    return _priors(lengths)[0]


def log_prior(theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Log density of hyperparameters up to a constant, and its gradient."""
    mean, wide = _priors(len(theta) - 2)
    z = (theta - mean) / wide
    return -0.5 * float(z @ z), -z / wide


def _priors(lengths: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of the logarithms."""
    mean = LENGTH_PRIOR[0] + 0.5 * np.log(max(1, lengths))
    priors = [SCALE_PRIOR, *[(mean, LENGTH_PRIOR[1])] * lengths, NOISE_PRIOR]
    return tuple(np.array(priors).T)


def fit(
    features: np.ndarray,
    value: np.ndarray,
    starts: list[np.ndarray],
    steps: int,
    scale: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Hyperparameters [L + 2] of highest posterior density, by L-BFGS from each start; and its logarithm, up to a constant.

    Args:
        features: [n F].
        value: [n] objectives with mean 0 and deviation 1.
        starts: hyperparameters to start from.
        steps: of L-BFGS.
        scale: [F] which length scale each feature has; each its own where None.

    Raises:
        numpy.linalg.LinAlgError: no start has a covariance that can be factored.
    """
    from scipy import optimize

    squares = _squares(features, np.arange(features.shape[1]) if scale is None else scale)

    def negative(theta: np.ndarray):
        prior, tilt = log_prior(theta)
        try:
            evidence, slope = log_evidence(squares, value, theta)
        except np.linalg.LinAlgError:
            return 1e25, np.zeros_like(theta)
        return -(evidence + prior), -(slope + tilt)

    bounds = np.log([SCALES, *[LENGTHS] * (len(starts[0]) - 2), NOISES])
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
    return best.x, -float(best.fun)


def log_evidence(
    squares: np.ndarray, value: np.ndarray, theta: np.ndarray
) -> tuple[float, np.ndarray]:
    """Log marginal likelihood of objectives [n], and its gradient [L + 2] (Rasmussen & Williams, equations 5.8 and 5.9).

    Args:
        squares: [L n n] squared distances along each length scale.
        value: [n].
        theta: [L + 2].

    Raises:
        numpy.linalg.LinAlgError: the covariance cannot be factored.
    """
    from scipy.linalg import cho_solve, cholesky

    variance, noise = np.exp(theta[0]), np.exp(theta[-1])
    inverse_squares, count = np.exp(-2 * theta[1:-1]), len(value)
    distance = np.sqrt(5 * np.tensordot(inverse_squares, squares, 1))
    decay = variance * np.exp(-distance)
    kernel = decay * (1 + distance + distance**2 / 3)
    covariance = kernel + (noise + JITTERS[0]) * np.eye(count)
    lower = cholesky(covariance, lower=True, check_finite=False)
    alpha = cho_solve((lower, True), value, check_finite=False)
    evidence = -0.5 * value @ alpha - np.log(np.diag(lower)).sum() - count / 2 * np.log(2 * np.pi)
    inverse = cho_solve((lower, True), np.eye(count), check_finite=False)
    weight = 0.5 * (np.outer(alpha, alpha) - inverse)
    by_lengths = 5 / 3 * inverse_squares * np.tensordot(squares, weight * decay * (1 + distance), 2)
    slope = [(weight * kernel).sum(), *by_lengths, noise * np.trace(weight)]
    return float(evidence), np.array(slope)


def _squares(features: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Squared distances [L n n] of points [n F] along each length scale."""
    found = np.zeros((scale.max(initial=-1) + 1, len(features), len(features)))
    for feature, number in enumerate(scale):
        column = features[:, feature]
        found[number] += (column[:, None] - column) ** 2
    return found


def condition(
    features: np.ndarray, value: np.ndarray, theta: np.ndarray, scale: np.ndarray | None = None
) -> Process:
    """The process with given hyperparameters, given objectives; `scale` as `fit` has it.

    Raises:
        numpy.linalg.LinAlgError: singular even with the largest jitter.
    """
    from scipy.linalg import cholesky, solve_triangular
    from scipy.spatial.distance import cdist

    own = np.exp(theta[1:-1])
    lengths = own if scale is None else own[scale]
    kernel = np.exp(theta[0]) * _matern(np.sqrt(5) * cdist(features / lengths, features / lengths))
    for jitter in JITTERS:
        covariance = kernel + (np.exp(theta[-1]) + jitter) * np.eye(len(value))
        try:
            lower = cholesky(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        identity = np.eye(len(value))
        whitening = np.asarray(solve_triangular(lower, identity, lower=True, check_finite=False))
        alpha = whitening.T @ (whitening @ value)
        return Process(features, theta, lengths, whitening, alpha, jitter)
    raise np.linalg.LinAlgError(f"singular even with {JITTERS[-1]:g} on the diagonal")


def _matern(distance: np.ndarray) -> np.ndarray:
    """Correlations at distances times the root of 5."""
    return np.exp(-distance) * (1 + distance + distance**2 / 3)


def posterior(process: Process, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [m] of the noise-free function at features [m F]."""
    return _posterior(process, x)[:2]


def posterior_gradients(
    process: Process, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation [m] of the noise-free function at features [m F], and their gradients [m F]."""
    mean, deviation, distance, half = _posterior(process, x)
    # d k / d x_f = -5/3 decay (1 + distance) (x_f - X_f) / length_f^2
    inner = process.variance * np.exp(-distance) * (1 + distance) * (-5 / 3)
    by_mean, by_half = inner * process.alpha, inner * (half.T @ process.whitening)
    steepness = lambda w: (x * w.sum(1, keepdims=True) - w @ process.features) / process.lengths**2
    return mean, deviation, steepness(by_mean), -steepness(by_half) / deviation[:, None]


def _posterior(
    process: Process, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean and deviation [m] at features [m F], their scaled distances [m n] from those seen, and the half-solved kernel [n m]."""
    from scipy.spatial.distance import cdist

    lengths = process.lengths
    distance = np.sqrt(5) * np.asarray(cdist(x / lengths, process.features / lengths))
    k = process.variance * _matern(distance)
    half = process.whitening @ k.T
    deviation = np.sqrt(np.maximum(process.variance - (half * half).sum(0), 1e-14))
    return k @ process.alpha, deviation, distance, half


# --- objectives as the process sees them ------------------------------------------------------------------------------
def warped(objective: np.ndarray, warp: str) -> tuple[np.ndarray, float]:
    """Objectives [n] with mean 0 and deviation 1, long tails cut and drawn in, failures at the worst finite one.

    Args:
        objective: [n], +inf where it failed.
        warp: "power" draws in a tail of bad ones (Yeo & Johnson 2000, A New Family of Power Transformations to Improve Normality or
            Symmetry); "log" spreads the good ones, too, as losses over several decades want it.

    Returns:
        [n], and the logarithm of what a volume of objectives is multiplied by: log evidences of the two warps are compared with it
        (Snelson, Rasmussen & Ghahramani 2003, Warped Gaussian Processes, equation 6).
    """
    finite = objective[np.isfinite(objective)]
    value = np.where(np.isfinite(objective), objective, finite.max() if len(finite) else 0.0)
    if len(finite):
        middle = np.quantile(finite, 0.5, method="lower")
        reach = middle - finite.min()
        value = np.minimum(value, middle + BEYOND * reach) if reach > 0 else value
    spread = value.std()
    if not SAME * np.abs(value).max(initial=0.0) < np.ptp(value) or not np.isfinite(spread):
        return np.zeros_like(value), 0.0
    value = (value - value.mean()) / spread
    found, slopes = _power(value) if warp == "power" else _logarithm(value)
    deviation = found.std()
    return (found - found.mean()) / deviation, float(slopes.sum() - len(value) * np.log(deviation))


def _power(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yeo & Johnson's transformation of highest likelihood [n], and the logarithms of its slopes [n].

    Its power is at most 1: a larger one would press the good objectives together.
    """
    from scipy import optimize

    signed = np.sign(value) * np.log1p(np.abs(value))

    def transformed(power: float) -> np.ndarray:
        up = np.maximum(value, 0)
        above = np.log1p(up) if power == 0 else ((1 + up) ** power - 1) / power
        return np.where(
            value >= 0, above, -((1 - np.minimum(value, 0)) ** (2 - power) - 1) / (2 - power)
        )

    def negative(power: float) -> float:
        spread = transformed(power).var()
        if not 0 < spread < np.inf:
            return np.inf
        return len(value) / 2 * np.log(spread) - (power - 1) * signed.sum()

    power = optimize.minimize_scalar(negative, bounds=POWERS, method="bounded").x
    return transformed(power), (power - 1) * signed


def _logarithm(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithm of what objectives are above the best [n], which is straight for the best tenth, and of its slopes [n]."""
    above = value - value.min()
    found = np.log(above + max(TINIEST, np.quantile(above[above > 0], STRAIGHT)))
    return found, -found
