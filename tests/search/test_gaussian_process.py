"""The Gaussian process against scikit-learn's and finite differences; what Bayesian search does with it."""

import functools
import json
import math

import numpy as np
import pytest

import hpjax
from hpjax.search import bayes, gaussian_process
from hpjax.search.base import Dim
from hpjax.search.bayes import _fit

BOWL = {"x": hpjax.Uniform(-1.0, 1.0), "y": hpjax.Uniform(-1.0, 1.0)}


def bowl(point):
    return (point["x"] - 0.3) ** 2 + (point["y"] + 0.2) ** 2


def warped(objective, warp="power"):
    return gaussian_process.warped(objective, warp)[0]


def test_one_loss_that_blew_up_hides_no_differences():
    loss = np.array([3.0, 0.153, 1.695, 0.2, 0.164, 0.151, 0.149])
    for far in (1e5, 1e34):
        value = warped(np.append(loss, far))
        assert (np.diff(value[np.argsort(np.append(loss, far))]) >= 0).all()
        assert value[3] - value[6] > 0.1  # 0.2 and 0.149, of a deviation of 1
    near, far = (warped(np.append(loss, v)) for v in (1e5, 1e34))
    np.testing.assert_array_equal(near, far)
    np.testing.assert_allclose(warped(np.append(loss, 1e5) - 9), near, atol=1e-6)
    half = warped(np.array([0, 0, 0, 0, 0, 0.1, 0.2, 0.5, 0.3]))
    assert len(np.unique(half)) == 5  # most are the best: nothing is cut


def model(n=25, features=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, features))
    value = warped(np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.standard_normal(n))
    theta, _ = gaussian_process.fit(x, value, [gaussian_process.default(features)], steps=60)
    return x, value, theta, gaussian_process.condition(x, value, theta)


def test_posterior_equals_scikit_learn_and_its_slopes_finite_differences():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    x, value, theta, made = model()
    kernel = ConstantKernel(made.variance) * Matern(made.lengths, nu=2.5)
    oracle = GaussianProcessRegressor(kernel, alpha=np.exp(theta[-1]) + made.jitter, optimizer=None)
    oracle.fit(x, value)
    points = np.random.default_rng(1).random((7, 3))
    mean, deviation, by_mean, by_deviation = gaussian_process.posterior_gradients(made, points)
    expected, spread = oracle.predict(points, return_std=True)
    np.testing.assert_allclose(mean, expected, atol=1e-8)
    np.testing.assert_allclose(deviation, spread, atol=1e-6)
    step = 1e-5
    for f in range(3):
        up, down = points.copy(), points.copy()
        up[:, f] += step
        down[:, f] -= step
        high, low = gaussian_process.posterior(made, up), gaussian_process.posterior(made, down)
        np.testing.assert_allclose(by_mean[:, f], (high[0] - low[0]) / (2 * step), atol=1e-5)
        np.testing.assert_allclose(by_deviation[:, f], (high[1] - low[1]) / (2 * step), atol=1e-5)


def test_the_fit_is_at_a_maximum_of_likelihood_times_prior():
    x, value, theta, _ = model()

    def density(theta):
        from scipy.stats import multivariate_normal
        from sklearn.gaussian_process.kernels import Matern

        scale, lengths, noise = np.exp(theta[0]), np.exp(theta[1:-1]), np.exp(theta[-1])
        covariance = scale * Matern(lengths, nu=2.5)(x) + (noise + 1e-10) * np.eye(len(x))
        return (
            multivariate_normal.logpdf(value, np.zeros(len(x)), covariance)
            + gaussian_process.log_prior(theta)[0]
        )

    best = density(theta)
    for i in range(len(theta)):
        for step in (-0.1, 0.1):
            moved = theta.copy()
            moved[i] += step
            assert density(moved) <= best + 1e-3


CHOICES = (
    Dim("continuous"),
    Dim("categorical", 2),
    Dim("categorical", 4),
    Dim("categorical", 5, order=(4, 0, 3, 1, 2)),
)


def test_choices_are_one_apart_and_numbers_among_them_have_a_length_scale_for_their_order():
    layout = gaussian_process.layout(CHOICES)
    assert layout.owner.tolist() == [0, 1, *[2] * 4, *[3] * 6]
    assert layout.scale.tolist() == [0, 1, *[2] * 4, *[3] * 5, 4]
    unit = np.array([[0.2, 0.0, a, b] for a in (0.1, 0.9) for b in (0.1, 0.3, 0.9)])
    features = gaussian_process.encode(unit, CHOICES)
    squares = gaussian_process._squares(features, layout.scale)
    np.testing.assert_allclose(squares[2], (unit[:, 2:3] != unit[:, 2]).astype(float))
    np.testing.assert_allclose(squares[3], (unit[:, 3:] != unit[:, 3]).astype(float))
    at = np.array([4, 0, 2, 4, 0, 2]) / 4
    np.testing.assert_allclose(squares[4], (at[:, None] - at) ** 2)


def test_the_evidence_equals_scikit_learn_and_its_slope_finite_differences():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern

    rng = np.random.default_rng(0)
    layout = gaussian_process.layout(CHOICES)
    features = gaussian_process.encode(rng.random((20, 4)), CHOICES)
    value, theta = rng.standard_normal(20), rng.uniform(-1, 1, layout.scale[-1] + 3)
    squares = gaussian_process._squares(features, layout.scale)
    evidence, slope = gaussian_process.log_evidence(squares, value, theta)
    kernel = ConstantKernel(np.exp(theta[0])) * Matern(np.exp(theta[1:-1])[layout.scale], nu=2.5)
    alpha = np.exp(theta[-1]) + gaussian_process.JITTERS[0]
    oracle = GaussianProcessRegressor(kernel, alpha=alpha, optimizer=None).fit(features, value)
    assert evidence == pytest.approx(oracle.log_marginal_likelihood(oracle.kernel_.theta))
    for i in range(len(theta)):
        step = 1e-5 * np.eye(len(theta))[i]
        up, down = (
            gaussian_process.log_evidence(squares, value, theta + s)[0] for s in (step, -step)
        )
        assert slope[i] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("warp", gaussian_process.WARPS)
def test_what_a_warp_multiplies_volumes_by(warp):
    """Of the map from objectives that are cut and standardised; the numbers that it is fitted by are held."""
    rng = np.random.default_rng(1)
    objective = rng.gamma(0.7, size=40)
    value, slopes = gaussian_process.warped(objective, warp)
    assert value.mean() == pytest.approx(0, abs=1e-9)
    assert value.std() == pytest.approx(1)
    order = np.argsort(objective)
    assert (np.diff(value[order]) > 0).all()
    # slopes between neighbours: their logarithms add up to nearly the same, for they are smooth
    grid = np.sort((objective - objective.mean()) / objective.std())
    between = np.log(np.diff(value[order]) / np.diff(grid))
    assert slopes == pytest.approx(between.sum() * 40 / 39, rel=0.15)


def test_the_evidence_chooses_logarithms_for_losses_over_decades():
    rng = np.random.default_rng(0)
    x = rng.random((40, 3))
    far = ((x - 0.3) ** 2).sum(1)
    layout = gaussian_process.Layout(np.arange(3), np.arange(3))
    assert _fit(x, 10 ** (8 * far), None, layout).warp == "log"
    assert _fit(x, np.sin(5 * x[:, 0]) + x[:, 1], None, layout).warp == "power"


@pytest.mark.parametrize("search", ["bayes", "tpe"])
def test_no_point_of_a_finite_space_is_proposed_twice(search):
    """Not even to be replaced by a random one, while there are others."""
    space = {"a": hpjax.Choice([1, 10, 100, 1000]), "b": hpjax.IntUniform(0, 5)}
    loss = lambda point: (point["a"].astype(float) - 10) ** 2 + point["b"]
    found = hpjax.minimize(loss, space, search=search, trials=20, batch=2)
    asks = [record for record in found.records if record["kind"] == "ask"]
    assert len({tuple(point) for record in asks for point in record["unit"]}) == 20
    replaced = sum(record.get("note", {}).get("replaced", 0) for record in asks[5:])
    assert replaced <= {"bayes": 0, "tpe": 4}[search]  # candidates are few, or all seen


def test_the_order_of_numbers_among_choices_is_learned():
    """A bowl over the logarithms of 8 x 8 numbers in no order: fewer evaluations than where they are words."""
    values = [64, 1, 16, 128, 2, 8, 32, 4]
    needed = {}
    for kind, shown in (("numbers", lambda v: v), ("words", lambda v: f"v{v}")):
        space = {name: hpjax.Choice([shown(v) for v in values]) for name in "ab"}
        known = {shown(v): np.log2(v) for v in values}
        at = lambda point, n, known=known: np.array([known[v] for v in point[n]])
        bowl = lambda point, at=at: (at(point, "a") - 4.4) ** 2 + (at(point, "b") - 2.4) ** 2
        firsts = []
        for seed in range(6):
            found = hpjax.minimize(bowl, space, search="bayes", trials=40, batch=1, seed=seed)
            best = np.minimum.accumulate(found.table["objective"])
            firsts.append(np.flatnonzero(best == best[-1])[0])
        needed[kind] = np.mean(firsts)
    assert needed["numbers"] < needed["words"]


def test_log_expected_improvement_equals_quadrature_and_stays_finite_far_out():
    from scipy.integrate import quad
    from scipy.stats import norm

    from hpjax.search.acquisition import log_ei

    for mean, deviation, best in ((0.3, 0.5, 0.1), (1.0, 0.2, 0.0), (-1.0, 0.1, 0.0)):
        gain = lambda y, at=(mean, deviation, best): (at[2] - y) * norm.pdf(y, *at[:2])
        area = quad(gain, mean - 12 * deviation, best)[0]
        height, by_mean, by_deviation = log_ei(np.array([mean]), np.array([deviation]), best)
        assert height[0] == pytest.approx(math.log(area), abs=1e-6)
        step = 1e-6
        up = log_ei(np.array([mean + step]), np.array([deviation]), best)[0]
        down = log_ei(np.array([mean - step]), np.array([deviation]), best)[0]
        assert by_mean[0] == pytest.approx((up - down)[0] / (2 * step), rel=1e-4)
        up = log_ei(np.array([mean]), np.array([deviation + step]), best)[0]
        down = log_ei(np.array([mean]), np.array([deviation - step]), best)[0]
        assert by_deviation[0] == pytest.approx((up - down)[0] / (2 * step), rel=1e-4)
    far = log_ei(np.array([10.0, 1e3, 1e6]), np.array([1.0, 1.0, 1.0]), 0.0)
    assert all(np.isfinite(part).all() for part in far)
    assert (np.diff(far[0]) < 0).all()


def test_duplicates_and_flat_losses_do_not_break_the_process():
    x = np.repeat(np.random.default_rng(0).random((5, 2)), 6, axis=0)
    for value in (np.repeat(np.arange(5.0), 6), np.zeros(30), np.full(30, 0.1), 1e30 * np.ones(30)):
        value = warped(value)
        theta, _ = gaussian_process.fit(x, value, [gaussian_process.default(2)], steps=30)
        mean, deviation = gaussian_process.posterior(gaussian_process.condition(x, value, theta), x)
        assert np.isfinite(mean).all()
        assert np.isfinite(deviation).all()


@pytest.mark.parametrize("count", [2, 3, 7, 12, 30])
@pytest.mark.parametrize("warp", gaussian_process.WARPS)
def test_equal_objectives_are_zeros_whatever_rounding_says(warp, count):
    for objective in (0.1, 1 / 3, 1e-300, -7.7e12):
        value, slopes = gaussian_process.warped(np.full(count, objective), warp)
        assert slopes == 0
        assert (value == 0).all()
        some = np.append(np.full(count, objective), np.inf)
        assert (gaussian_process.warped(some, warp)[0] == 0).all()
    near = np.append(np.full(count, 0.1), [0.1 + 1e-9, 0.2])
    value, slopes = gaussian_process.warped(near, warp)
    assert np.isfinite([*value, slopes]).all()


def test_a_flat_function_is_searched_without_a_fallback():
    flat = lambda point: np.full(len(point["x"]), 0.1)
    found = hpjax.minimize(flat, BOWL, search="bayes", trials=24)
    notes = [record.get("note", {}) for record in found.records if record["kind"] == "ask"]
    assert not any("fallback" in note for note in notes)
    assert "warp" in notes[-1]


def test_a_fallback_of_bayes_is_in_the_ledger(monkeypatch):
    def singular(*arguments, **options):
        raise np.linalg.LinAlgError("made to fail")

    monkeypatch.setattr(gaussian_process, "condition", singular)
    found = hpjax.minimize(bowl, BOWL, search="bayes", trials=9, batch=3)
    notes = [record.get("note", {}) for record in found.records if record["kind"] == "ask"]
    assert [note.get("fallback") for note in notes] == [None, None, "random points: made to fail"]


def test_resume_does_not_fit_again(tmp_path, monkeypatch):
    options = dict(search="bayes", trials=16, batch=2, out=tmp_path / "run")
    hpjax.minimize(bowl, BOWL, **options)
    path = tmp_path / "run" / "ledger.jsonl"
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert "theta" in json.loads(lines[-3])["note"]
    path.write_bytes(b"".join(lines[:-1]))  # all but the end

    def never(*arguments, **options):
        raise AssertionError("fitted again")

    monkeypatch.setattr(gaussian_process, "fit", never)
    hpjax.minimize(bowl, BOWL, resume=True, **options)
    assert path.read_bytes() == whole


def test_batches_of_bayes_spread():
    found = hpjax.minimize(
        bowl, BOWL, search=functools.partial(bayes, startup=6), trials=14, batch=8
    )
    unit = np.array(
        [point for record in found.records if record["kind"] == "ask" for point in record["unit"]]
    )[6:]
    gaps = np.linalg.norm(unit[:, None] - unit[None], axis=-1)[~np.eye(len(unit), dtype=bool)]
    assert gaps.min() > 1e-3
