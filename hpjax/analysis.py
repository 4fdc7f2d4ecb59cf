"""What many studies, or many trials, say together: ranks, intervals, profiles, importance. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np


# --- over cost --------------------------------------------------------------------------------------------------------
def at_costs(cost: np.ndarray, value: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A step curve read at given costs [g]: the value of the last step at or before each; NaN before the first.

    Args:
        cost: [n] rising.
        value: [n] from that cost on.
        grid: [g].

    Example:
        >>> at_costs(np.array([1, 3]), np.array([5.0, 2.0]), np.array([0, 1, 2, 3, 4])).tolist()
        [nan, 5.0, 5.0, 2.0, 2.0]
    """
    at = np.searchsorted(cost, grid, side="right") - 1
    return np.where(at >= 0, np.asarray(value, float)[np.maximum(at, 0)], np.nan)


def quartiles(values: np.ndarray) -> np.ndarray:
    """Lower quartile, median and upper quartile over the first axis, infinite values being the largest.

    Example:
        >>> quartiles(np.array([1.0, 2.0, np.inf])).tolist()
        [1.5, 2.0, inf]
    """
    ordered = np.sort(values, axis=0)
    at = np.array([0.25, 0.5, 0.75]) * (len(ordered) - 1)
    low = np.floor(at).astype(int)
    found = []
    for place, part in zip(low, at - low):
        below = ordered[place]
        above = ordered[min(place + 1, len(ordered) - 1)]
        with np.errstate(invalid="ignore"):  # inf - inf, where below is taken or is infinite itself
            between = below + part * (above - below)
        found.append(np.where((part == 0) | (below == above), below, between))
    return np.array(found)


def bands(values: np.ndarray) -> np.ndarray:
    """Quartiles over seeds, [3 g] of [s g]; NaN where a seed has no value yet."""
    blank = np.isnan(values).any(0)
    return np.where(blank, np.nan, quartiles(np.where(np.isnan(values), np.inf, values)))


# --- over methods -----------------------------------------------------------------------------------------------------
def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks [n k] of k methods on each of n problems: 1 is the lowest value, ties share their mean.

    Example:
        >>> ranks(np.array([[0.1, 0.3, 0.1]])).tolist()
        [[1.5, 3.0, 1.5]]
    """
    from scipy.stats import rankdata

    return rankdata(np.where(np.isfinite(values), values, np.inf), axis=1)


def rank_curves(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean ranks over seeds at each cost, {method: [g]} of {method: [s g]}; a method without a value (NaN) ranks last."""
    stacked = np.stack(list(values.values()), -1)  # [s g methods]
    each = ranks(stacked.reshape(-1, len(values))).reshape(stacked.shape)
    return {name: each[:, :, i].mean(0) for i, name in enumerate(values)}


def bootstrap(values: Sequence[np.ndarray], draws: int = 2000) -> tuple[float, float, float]:
    """The mean of several strata's means, and its stratified 95 % percentile interval.

    Args:
        values: one array per stratum; its rows (axis 0) are drawn again with replacement, each stratum for itself.
        draws: of the bootstrap.

    Returns:
        (estimate, low, high).

    References:
        Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice (stratified bootstrap).
    """
    rng = np.random.default_rng(0)
    mean = lambda parts: float(np.mean([np.mean(part) for part in parts]))
    found = [
        mean([part[rng.integers(len(part), size=len(part))] for part in values])
        for _ in range(draws)
    ]
    low, high = np.quantile(found, [0.025, 0.975])
    return mean(values), float(low), float(high)


def critical_difference(methods: int, problems: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks, q sqrt(k (k + 1) / 6 N) (Demsar 2006, section 3.2.2).

    Example:
        >>> round(critical_difference(5, 30), 3)
        1.114
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * problems)))


def cliques(mean_ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Groups of methods, as (first, last) of the sorted mean ranks, that lie within a critical difference; maximal ones only.

    Example:
        >>> cliques(np.array([1.0, 1.5, 3.0, 3.2]), 0.6)
        [(0, 1), (2, 3)]
    """
    ordered, found = np.sort(mean_ranks), []
    for first in range(len(ordered)):
        last = int(np.searchsorted(ordered, ordered[first] + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def wilcoxon(ours: np.ndarray, theirs: np.ndarray) -> float:
    """One-sided p of Wilcoxon's signed-rank test that ours are lower, in pairs; 1 where all pairs are equal."""
    from scipy import stats

    return (
        1.0
        if np.array_equal(ours, theirs)
        else float(stats.wilcoxon(ours, theirs, alternative="less").pvalue)
    )


def profile(scores: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Share of runs [k g] whose score is above each level (Dolan & More 2002; Agarwal et al. 2021), of scores [k n]."""
    return (scores[:, :, None] > levels).mean(1)


def ecdf(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The empirical distribution of finite values: where it steps [n], and to which share of all [n]."""
    finite = np.sort(values[np.isfinite(values)])
    return finite, np.arange(1, len(finite) + 1) / max(1, len(values))


def best_of(values: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """E[lowest of k draws with replacement] of a finite table, exactly: sum of v_(i) (P(all >= i) - P(all > i)).

    Example:
        >>> best_of(np.array([0.0, 1.0]), [1, 2]).tolist()
        [0.5, 0.25]
    """
    ordered = np.sort(np.asarray(values, float).ravel())
    above = 1 - np.arange(len(ordered) + 1) / len(ordered)
    return np.array([ordered @ (above[:-1] ** k - above[1:] ** k) for k in counts])


# --- over hyperparameters ---------------------------------------------------------------------------------------------
class Importance(NamedTuple):
    """How much of the variance of the loss single hyperparameters, and pairs of them, explain."""

    single: np.ndarray  # [D]
    deviation: np.ndarray  # [D] over trees
    pairs: dict[tuple[int, int], float]  # beyond the two singles


def forest(unit: np.ndarray, value: np.ndarray, trees: int = 64, seed: int = 0):
    """A random forest of values [n] over points [n D] of the unit cube."""
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(
        trees, min_samples_leaf=2, max_features=0.7, bootstrap=True, random_state=seed
    ).fit(unit, value)


class Steps(NamedTuple):
    """A piecewise constant function of one dimension of the unit cube."""

    cuts: np.ndarray  # [s + 1] from 0 to 1
    height: np.ndarray  # [s]

    def at(self, x: np.ndarray) -> np.ndarray:
        """Its values at places [n]."""
        return self.height[
            np.clip(np.searchsorted(self.cuts, x, "right") - 1, 0, len(self.height) - 1)
        ]


def additive(unit: np.ndarray, value: np.ndarray, seed: int) -> list[Steps]:
    """A sum of functions of one dimension each [D], boosted from stumps, and centred: what single hyperparameters do by themselves.

    References:
        Lou, Caruana, Gehrke & Hooker 2013, Accurate Intelligible Models with Pairwise Interactions: main effects first.
    """
    from sklearn.ensemble import GradientBoostingRegressor

    boosted = GradientBoostingRegressor(
        n_estimators=150, learning_rate=RATE, max_depth=1, random_state=seed
    )
    boosted.fit(unit, value)
    stumps = [tree.tree_ for (tree,) in boosted.estimators_ if tree.tree_.feature[0] >= 0]
    found = []
    for dim in range(unit.shape[1]):
        mine = [tree for tree in stumps if tree.feature[0] == dim]
        inner = sorted({float(tree.threshold[0]) for tree in mine if 0 < tree.threshold[0] < 1})
        cuts = np.array([0.0, *inner, 1.0])
        middle = (cuts[:-1] + cuts[1:]) / 2
        height = np.zeros(len(middle))
        for tree in mine:
            left, right = tree.value[1].item(), tree.value[2].item()
            height += RATE * np.where(middle <= tree.threshold[0], left, right)
        found.append(Steps(cuts, height - height @ np.diff(cuts)))
    return found


RATE = 0.1  # of boosting
BAGS = 8  # samples of the trials that models are fitted to


def fanova(
    unit: np.ndarray, value: np.ndarray, pairs: bool = False, trees: int = 64, seed: int = 0
) -> Importance:
    """Functional analysis of variance over the unit cube, of main effects boosted first and of random trees on what they leave.

    A tree is constant on boxes, so that its marginals are sums over boxes, exact for the tree. Trees alone, which split where the variance
    falls at once, are blind to an interaction without main effects; with the main effects gone, trees whose cuts are drawn at random find it.

    Args:
        unit: [n D] points, levels at their centers.
        value: [n] losses (their logarithms or ranks, where they have long tails); finite.
        pairs: also the interactions of two.
        trees: of the forests, over all samples of the trials.
        seed: of the samples.

    References:
        Hutter, Hoos & Leyton-Brown 2014, An Efficient Approach for Assessing Hyperparameter Importance, algorithm 2.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    width, rng = unit.shape[1], np.random.default_rng(seed)
    shares, joint = [], {pair: [] for pair in combinations(range(width), 2)} if pairs else {}
    for bag in range(BAGS):
        rows = rng.integers(len(unit), size=len(unit))
        main = additive(unit[rows], value[rows], seed + bag)
        explained = sum(steps.at(unit[rows, i]) for i, steps in enumerate(main))
        rest = ExtraTreesRegressor(
            max(1, trees // BAGS), min_samples_leaf=2, random_state=seed + bag
        )
        rest.fit(unit[rows], value[rows] - explained)
        for tree in rest.estimators_:
            single, both = _decomposed(main, tree.tree_, list(joint))
            if single is not None:
                shares.append(single)
                for pair, share in zip(joint, both):
                    joint[pair].append(share)
    table = np.array(shares) if shares else np.zeros((1, width))
    return Importance(
        table.mean(0),
        table.std(0),
        {pair: float(np.mean(v)) if v else 0.0 for pair, v in joint.items()},
    )


def _decomposed(main: list[Steps], tree: Any, pairs: list[tuple[int, int]]):
    """Shares [D] of the variance of main effects plus a tree, and of pairs; None, [] where nothing varies."""
    width = len(main)
    low, high, leaf = _boxes(tree, width)
    side = high - low
    volume = side.prod(1)
    mean = float(volume @ leaf)
    # variance of the tree that no single dimension explains
    left = float(volume @ (leaf - mean) ** 2)
    own, variance = [], []
    for i, steps in enumerate(main):
        cuts, overlap = _strips(low[:, i], high[:, i])
        effect = Steps(cuts, overlap @ (volume / side[:, i] * leaf) - mean)
        left -= float(np.diff(cuts) @ effect.height**2)
        together = np.union1d(steps.cuts, cuts)
        middle = (together[:-1] + together[1:]) / 2
        variance.append(float(np.diff(together) @ (steps.at(middle) + effect.at(middle)) ** 2))
        own.append((effect.height, overlap, np.diff(cuts)))
    total = sum(variance) + max(left, 0.0)
    if total <= 1e-15:
        return None, []
    both = []
    for i, j in pairs:
        (a, over_a, wide_a), (b, over_b, wide_b) = own[i], own[j]
        weight = volume / (side[:, i] * side[:, j]) * leaf
        cell = (over_a * weight) @ over_b.T - mean - a[:, None] - b
        both.append(float(wide_a @ cell**2 @ wide_b) / total)
    return np.array(variance) / total, both


def _boxes(tree: Any, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A tree's leaves: their corners [l D], [l D] in the unit cube, and values [l]."""
    lows, highs, leaves = [], [], []
    stack = [(0, np.zeros(width), np.ones(width))]
    while stack:
        node, low, high = stack.pop()
        if tree.children_left[node] < 0:
            lows.append(low)
            highs.append(high)
            leaves.append(float(tree.value[node].ravel()[0]))
            continue
        at, cut = tree.feature[node], tree.threshold[node]
        below, above = high.copy(), low.copy()
        below[at], above[at] = min(cut, high[at]), max(cut, low[at])
        stack += [(tree.children_left[node], low, below), (tree.children_right[node], above, high)]
    return np.array(lows), np.array(highs), np.array(leaves)


def _strips(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cuts [s + 1] of one dimension, and which boxes cover which strip between them [s l]."""
    cuts = np.unique(np.concatenate([low, high, [0.0, 1.0]]))
    middle = (cuts[:-1] + cuts[1:]) / 2
    return cuts, ((low <= middle[:, None]) & (middle[:, None] < high)).astype(float)


def ped_anova(
    unit: np.ndarray,
    value: np.ndarray,
    levels: Sequence[int],
    better: float = 0.1,
    places: int = 100,
) -> np.ndarray:
    """Importance [D] for being among the best, by Pearson divergences of one-dimensional densities of the best from all.

    Args:
        unit: [n D], levels at their centers.
        value: [n] losses.
        levels: of each dimension, 0 for continuous ones; few levels are counted, else densities are smoothed.
        better: share of all points that counts as good.
        places: of the densities.

    Returns:
        Shares that sum to 1.

    References:
        Watanabe, Bansal & Hutter 2023, PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces, eq. 15.
    """
    order = np.argsort(value, kind="stable")
    few = unit[order[: max(2, round(better * len(order)))]]
    divergence = np.empty(unit.shape[1])
    for i, count in enumerate(levels):
        if 0 < count <= COUNTED:
            p, q = (np.bincount(_cell(x[:, i], count), minlength=count) + 1.0 for x in (few, unit))
            p, q = p / p.sum(), q / q.sum()
        else:
            width = max(1.06 * few[:, i].std() * len(few) ** -0.2, 2 / places)
            p, q = (_density(x[:, i], places, width) for x in (few, unit))
        divergence[i] = np.sum((p / q - 1) ** 2 * q)
    return divergence / max(divergence.sum(), 1e-300)


COUNTED = 12  # levels up to which they are counted


def _cell(numbers: np.ndarray, count: int) -> np.ndarray:
    """Which of `count` equal cells of the unit interval each number is in."""
    return np.minimum((numbers * count).astype(int), count - 1)


def _density(numbers: np.ndarray, places: int, width: float) -> np.ndarray:
    """A kernel density on the unit interval: its shares in `places` equal cells, with one point's worth of uniform in it."""
    x = (np.arange(places) + 0.5) / places
    kernels = np.exp(-0.5 * ((x - numbers[:, None]) / width) ** 2)
    kernels /= kernels.sum(1, keepdims=True)
    return (kernels.sum(0) + 1 / places) / (len(numbers) + 1)


def partial_dependence(
    unit: np.ndarray,
    value: np.ndarray,
    dims: Sequence[int],
    places: int = 40,
    trees: int = 64,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The forest's mean over all other dimensions, along one dimension or two.

    Args:
        unit: [n D].
        value: [n] finite.
        dims: one or two dimensions.
        places: per dimension.

    Returns:
        Places [p], means [p] or [p p], and deviations over trees, alike.

    References:
        Friedman 2001, Greedy Function Approximation, section 8.2.
    """
    x = (np.arange(places) + 0.5) / places
    width = unit.shape[1]
    found = []
    for tree in forest(unit, value, trees, seed).estimators_:
        low, high, leaf = _boxes(tree.tree_, width)
        side = high - low
        rest = np.delete(side, list(dims), axis=1).prod(1) * leaf
        inside = [
            ((low[:, i] <= x[:, None]) & (x[:, None] < high[:, i])).astype(float) for i in dims
        ]
        found.append(inside[0] @ rest if len(dims) == 1 else (inside[0] * rest) @ inside[1].T)
    table = np.array(found)
    return x, table.mean(0), table.std(0)
