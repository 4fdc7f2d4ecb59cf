"""One table of contracts over every search and every scheduler, on objectives that cost nothing."""

import functools
import json
import math
import shutil

import numpy as np
import pytest

import hpjax
from hpjax import search
from hpjax.records import encode
from hpjax.schedulers import asha, full, halving, hyperband, median, pbt
from hpjax.search import SEARCHES, bayes, gaussian_process, tpe
from hpjax.search.base import Dim, Observations, Parent, active, center, level, snap
from hpjax.search.history import distinct, empty, evidence, remember

BOWL = {"x": hpjax.Uniform(-1.0, 1.0), "y": hpjax.Uniform(-1.0, 1.0)}
MIXED = {
    "rate": hpjax.LogUniform(1e-4, 1.0),
    "width": hpjax.LogIntUniform(4, 256),
    "depth": hpjax.IntUniform(1, 3),
    "kind": hpjax.Choice(["a", "b", "c"]),
    "damping": hpjax.Uniform(0.0, 1.0).when("kind", "b"),
    "fixed": 7,
}
FINITE = {"kind": hpjax.Choice(["a", "b", "c"]), "on": hpjax.Choice([True, False])}
FOUND = {
    **{name: made for name, made in SEARCHES.items() if name not in ("grid", "gradient")},
    "grid": functools.partial(search.grid, levels=7),
    "bohb": functools.partial(tpe, model="bohb"),
    "rand1": functools.partial(search.differential, strategy="rand1"),
    "teams": functools.partial(search.differential, per_fidelity=True),
    "chain": lambda dims: search.chain(dims, np.full((2, len(dims)), 0.3), search.tpe),
}
SCHEDULED = {
    "asha": lambda: asha(9, together=4),
    "full": lambda: full(9),
    "halving": lambda: halving(((1, 9), (3, 3), (9, 1))),
    "hyperband": lambda: hyperband(9),
    "fresh": lambda: hyperband(9, promote="fresh"),
    "median": lambda: median(9, 3),
    "pbt": lambda: pbt(8, 9, 3),
}
MODELLING = ("bayes", "cmaes", "differential", "genetic", "tpe", "rand1")


def bowl(point, epochs=None):
    return (point["x"] - 0.3) ** 2 + (point["y"] + 0.2) ** 2


def mixed(point, epochs=None):
    loss = (np.log10(point["rate"]) + 2) ** 2 + (point["depth"] - 2) ** 2
    loss = loss + np.abs(np.log2(point["width"]) - 5) + (point["kind"] == "c")
    damping = np.asarray(point["damping"], float)
    assert (np.isnan(damping) == (point["kind"] != "b")).all()
    assert (point["fixed"] == 7).all()
    loss = loss + np.where(np.isnan(damping), 0.5, damping)
    return loss if epochs is None else loss + 1 / np.asarray(epochs)


@pytest.mark.parametrize("name", FOUND)
def test_points_lie_in_the_cube_and_follow_from_the_key(name):
    dims = hpjax.Space.load(MIXED).dims
    made = FOUND[name](dims)

    def play(seed):
        state, seen = made.init((seed, 1)), []
        for _ in range(5):
            unit, state = made.ask(state, (seed, 1, len(seen)), 6, 4)
            assert unit.shape[1] == len(dims)
            assert len(unit) <= 6
            assert ((unit >= 0) & (unit <= 1)).all()
            first = sum(map(len, seen))
            trial = np.arange(first, first + len(unit))
            loss = (unit**2).sum(1)
            state = made.tell(
                state,
                Observations(
                    trial, unit, loss[:, None], np.full(len(unit), 4), np.ones(len(unit), bool)
                ),
            )
            seen.append(unit)
        return np.concatenate(seen)

    first = play(3)
    assert len(first) >= 20
    np.testing.assert_array_equal(first, play(3))
    if name != "grid":
        assert not np.array_equal(first, play(4))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", SCHEDULED)
@pytest.mark.parametrize("name", FOUND)
def test_every_search_goes_with_every_scheduler_and_resumes(tmp_path, name, scheduler):
    options = dict(search=FOUND[name], scheduler=SCHEDULED[scheduler](), trials=36, seed=5)
    found = hpjax.minimize(mixed, MIXED, out=tmp_path / "whole", **options)
    assert found.stopped == "done"
    assert len(found.trials) == 36
    assert found.best["trial"] is not None
    assert set(found.trials["status"]) <= {"OK", "PRUNED"}
    whole = (tmp_path / "whole" / "ledger.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in (len(lines) // 2, len(lines) - 1):
        folder = tmp_path / str(cut)
        folder.mkdir()
        shutil.copy(tmp_path / "whole" / "run.json", folder)
        (folder / "ledger.jsonl").write_bytes(b"".join(lines[:cut]))
        again = hpjax.minimize(mixed, MIXED, out=folder, resume=True, **options)
        assert (folder / "ledger.jsonl").read_bytes() == whole
        assert again.best == found.best


@pytest.mark.parametrize("scheduler", SCHEDULED)
@pytest.mark.parametrize("name", FOUND)
def test_failures_are_never_the_best_and_stop_nobody(name, scheduler):
    def failing(point, epochs=None):
        loss = mixed(point, epochs)
        loss = np.where(point["depth"] == 1, np.nan, loss)
        return np.where(point["kind"] == "c", np.inf, loss)

    options = dict(search=FOUND[name], scheduler=SCHEDULED[scheduler](), trials=36, seed=1)
    found = hpjax.minimize(failing, MIXED, **options)
    assert len(found.trials) == 36
    if name == "grid":  # its first 36 points fail
        return
    config = found.best["config"]
    assert np.isfinite(found.best["objective"])
    assert config["depth"] > 1
    assert config["kind"] != "c"
    nothing = hpjax.minimize(lambda *point: np.full(len(point[0]["x"]), np.nan), BOWL, **options)
    assert nothing.best["trial"] is None
    assert len(nothing.trials) == 36


@pytest.mark.parametrize("name", FOUND)
def test_finite_spaces_are_used_up_without_a_fault(name):
    found = hpjax.minimize(
        lambda point: (point["kind"] == "a") + 2.0 * point["on"].astype(float),
        FINITE,
        search=FOUND[name],
        trials=30,
        seed=2,
    )
    assert found.best["objective"] == 0
    distinct = found.trials[["kind", "on"]].drop_duplicates()
    assert len(distinct) == 6 or name == "cmaes"
    if name in ("bayes", "tpe", "bohb", "genetic", "differential", "rand1", "teams", "grid"):
        assert len(found.trials) == 6


@pytest.mark.parametrize(
    "name", [pytest.param("bayes", marks=pytest.mark.slow), *(n for n in MODELLING if n != "bayes")]
)
def test_better_than_random_on_a_bowl(name):
    best = lambda finder, seed: hpjax.minimize(
        bowl, BOWL, search=finder, trials=80, seed=seed, batch=5
    ).best["objective"]
    ours = np.median([best(FOUND[name], seed) for seed in range(3)])
    assert ours < np.median([best("random", seed) for seed in range(3)])


def test_a_space_without_ranges_and_of_one_dimension():
    for name, made in FOUND.items():
        if name == "cmaes":
            with pytest.raises(ValueError, match="at least one dimension"):
                made(())
            continue
        found = hpjax.minimize(
            lambda point: np.zeros(len(point["x"])), {"x": 1.0}, search=made, trials=3
        )
        assert 1 <= len(found.trials) <= 3
    for name in FOUND:
        line = {"x": hpjax.Uniform(-1.0, 1.0)}
        found = hpjax.minimize(lambda point: point["x"] ** 2, line, search=FOUND[name], trials=25)
        assert found.best["objective"] < 0.1, name


def test_start_comes_first_and_is_learned_from():
    start = [{"x": 0.3, "y": -0.2}, {"x": -0.9, "y": 0.9}]
    for name in ("bayes", "tpe", "genetic", "differential", "cmaes"):
        found = hpjax.minimize(bowl, BOWL, search=name, start=start, trials=12)
        np.testing.assert_allclose(found.trials.loc[0, ["x", "y"]].astype(float), [0.3, -0.2])
        assert found.best["trial"] == 0
    with pytest.raises(ValueError, match="'z' is not in the space"):
        hpjax.minimize(bowl, BOWL, start=[{"z": 1}])


def test_objectives_are_refused_in_one_line():
    with pytest.raises(
        ValueError,
        match=r"one value, or a row of values, for each of its 64 configurations, got shape \(\)",
    ):
        hpjax.minimize(lambda point: 1.0, BOWL)
    with pytest.raises(ValueError, match="is none of bayes"):
        hpjax.minimize(bowl, BOWL, search="annealing")
    with pytest.raises(
        ValueError, match="bohb is a search with hyperband; leave scheduler=full out"
    ):
        hpjax.minimize(bowl, BOWL, search="bohb", scheduler=full(3))
    with pytest.raises(ValueError, match="trials must be a whole number"):
        hpjax.minimize(bowl, BOWL, trials=0)
    with pytest.raises(hpjax.RunError, match="no run in"):
        hpjax.minimize(bowl, BOWL, out="nowhere/at/all", resume=True)


# --- levels -----------------------------------------------------------------------------------------------------------
def test_levels_and_their_centers():
    for dim in (
        Dim("integer", 5),
        Dim("categorical", 3),
        Dim("integer", 250, low=3),
        Dim("integer", 4, low=1),
    ):
        every = np.arange(dim.levels)
        np.testing.assert_array_equal(level(center(every, dim), dim), every)
    dims = (Dim("categorical", 2), Dim("continuous", parent=Parent(0, (1,))), Dim("integer", 3))
    points = snap(np.array([[0.1, 0.9, 0.4], [0.9, 0.9, 0.6]]), dims)
    np.testing.assert_allclose(points, [[0.25, 0.5, 0.5], [0.75, 0.9, 0.5]])
    np.testing.assert_array_equal(active(points, dims)[:, 1], [False, True])


def test_distinct_replaces_and_runs_out():
    dims, rng = (Dim("categorical", 2), Dim("integer", 3)), np.random.default_rng(0)
    unit, replaced = distinct(np.full((9, 2), 0.2), set(), dims, rng)
    assert len(np.unique(unit, axis=0)) == len(unit) == 6
    assert replaced == 5
    same, none = distinct(np.full((3, 1), 0.2), set(), (Dim("continuous"),), rng)
    assert len(same) == 3
    assert none == 0


def test_an_older_history_stays_valid():
    dims = (Dim("continuous"),)
    observations = lambda trial, loss: Observations(
        np.array([trial]), np.array([[0.5]]), np.array([[loss]]), np.array([1]), np.array([True])
    )
    one = remember(empty(dims), observations(0, 1.0))
    left, right = remember(one, observations(1, 2.0)), remember(one, observations(1, 3.0))
    assert left.objective[: left.count].tolist() == [1.0, 2.0]
    assert right.objective[: right.count].tolist() == [1.0, 3.0]


def test_models_take_the_highest_fidelity_with_enough():
    dims = (Dim("continuous"),)
    history = empty(dims)
    for epochs, count in ((1, 9), (3, 4), (9, 1)):
        observations = Observations(
            np.arange(count),
            np.zeros((count, 1)),
            np.zeros((count, 1)),
            np.full(count, epochs),
            np.ones(count, bool),
        )
        history = remember(history, observations)
    assert set(history.epochs[evidence(history, 4)]) == {3}
    assert set(history.epochs[evidence(history, 1)]) == {9}
    assert set(history.epochs[evidence(history, 99)]) == {1}


# --- the Gaussian process ---------------------------------------------------------------------------------------------
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
    from hpjax.search.bayes import _fit

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
    for value in (np.repeat(np.arange(5.0), 6), np.zeros(30)):
        value = warped(value)
        theta, _ = gaussian_process.fit(x, value, [gaussian_process.default(2)], steps=30)
        mean, deviation = gaussian_process.posterior(gaussian_process.condition(x, value, theta), x)
        assert np.isfinite(mean).all()
        assert np.isfinite(deviation).all()


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


# --- evolution --------------------------------------------------------------------------------------------------------
def test_cmaes_says_which_method_and_restarts():
    notes = lambda found: [r["note"] for r in found.records if r["kind"] == "ask" and "note" in r]
    found = hpjax.minimize(bowl, BOWL, search="cmaes", trials=600)
    assert notes(found)[0] == {"method": "CMA", "generation": 6}
    assert notes(found)[1] == {"restart": 1, "generation": 12}
    assert found.best["objective"] < 1e-8
    mixed_ = hpjax.minimize(mixed, MIXED, search="cmaes", trials=20)
    assert notes(mixed_)[0]["method"] == "CatCMAwM"


def test_one_generation_of_cmaes_is_the_librarys_own():
    from cmaes import CMA

    dims = (Dim("continuous"),) * 3
    made = search.cmaes(dims, sigma=0.3, population=6)
    state = made.init((0,))
    unit, state = made.ask(state, (0, 1), 6, 1)
    loss = (unit**2).sum(1)
    state = made.tell(
        state, Observations(np.arange(6), unit, loss[:, None], np.ones(6), np.ones(6, bool))
    )
    oracle = CMA(np.full(3, 0.5), 0.3, np.tile([0.0, 1.0], (3, 1)), population_size=6)
    oracle.tell([(point, value) for point, value in zip(unit, loss)])
    np.testing.assert_allclose(state.optimizer._mean, oracle._mean)
    np.testing.assert_allclose(state.optimizer._C, oracle._C)


def test_differential_breeds_by_its_formula():
    dims = (Dim("continuous"),) * 2
    made = search.differential(dims, 4, "rand1", (0.5, 0.5), crossover=1.0)
    unit, state = made.ask(made.init((0,)), (0, 0), 4, 1)
    loss = np.array([3.0, 1.0, 2.0, 4.0])
    state = made.tell(
        state, Observations(np.arange(4), unit, loss[:, None], np.ones(4, int), np.ones(4, bool))
    )
    child, state = made.ask(state, (0, 4), 1, 1)
    mutants = [
        unit[a] + 0.5 * (unit[b] - unit[c])
        for a in range(4)
        for b in range(4)
        for c in range(4)
        if len({a, b, c}) == 3
    ]
    mutants = np.array([m for m in mutants if ((m >= 0) & (m <= 1)).all()])
    outside = not np.isclose(mutants, child[0]).all(1).any()
    if outside:  # a coordinate left the cube and was drawn again
        assert np.isclose(mutants[:, None], child[0]).any()
    better = Observations(
        np.array([4]), child, np.array([[0.5]]), np.ones(1, int), np.ones(1, bool)
    )
    after = made.tell(state, better)
    assert np.isclose(after.teams[0].unit, child[0]).all(1).any()


def test_dehb_never_draws_at_random_above_the_lowest_fidelity():
    """The points at full fidelity follow from losses: another objective leads to other points."""
    points = []
    for sign in (1, -1):
        found = hpjax.minimize(
            lambda p, e, sign=sign: sign * p["x"] + 1 / e,
            BOWL,
            search="dehb",
            scheduler=hyperband(9, promote="fresh"),
            trials=60,
        )
        points.append(found.table["unit"][found.table["epochs"] == 9])
    alike = (points[0][:, None] == points[1][None]).all(-1).any()
    assert not alike


def test_cmaes_starts_at_the_best_of_given_points_and_fills_brackets():
    start = [{"x": 0.9, "y": 0.9}, {"x": 0.3, "y": -0.2}]
    found = hpjax.minimize(
        bowl, BOWL, search=lambda dims: search.cmaes(dims, sigma=1e-6), start=start, trials=8
    )
    np.testing.assert_allclose(found.trials["x"][2:].to_numpy(float), 0.3, atol=1e-3)
    found = hpjax.minimize(
        lambda p, e: bowl(p), BOWL, search="cmaes", scheduler=hyperband(9), trials=17
    )
    first = [len(r["trial"]) for r in found.records if r["kind"] == "report"]
    assert first == [9, 3, 1, 5, 1, 3]


def test_dehb_takes_the_best_of_the_fidelity_below():
    dims = (Dim("continuous"),) * 2
    made = search.differential(dims, population=6, per_fidelity=True)
    unit, state = made.ask(made.init((0,)), (0, 0), 6, 1)
    loss = np.arange(6.0)[::-1].copy()
    state = made.tell(
        state, Observations(np.arange(6), unit, loss[:, None], np.ones(6, int), np.ones(6, bool))
    )
    higher, _ = made.ask(state, (0, 6), 3, 3)
    np.testing.assert_array_equal(higher, unit[[5, 4, 3]])


def test_optuna_samplers_are_searches():
    optuna = pytest.importorskip("optuna")
    wrapped = search.optuna(lambda seed: optuna.samplers.TPESampler(seed=seed))
    first = hpjax.minimize(mixed, MIXED, search=wrapped, trials=25, seed=3)
    again = hpjax.minimize(mixed, MIXED, search=wrapped, trials=25, seed=3)
    assert encode(first.records[1]) == encode(again.records[1])
    assert first.best["objective"] == again.best["objective"]
    failing = hpjax.minimize(lambda p: np.full(len(p["x"]), np.nan), BOWL, search=wrapped, trials=9)
    assert failing.best["trial"] is None


def test_random_search_follows_the_order_statistics_of_a_table():
    table = np.sort(np.random.default_rng(0).lognormal(size=1000))
    values = {"i": hpjax.IntUniform(0, 999)}
    shuffled = np.random.default_rng(1).permutation(table)
    for k in (8, 32):
        best = [
            hpjax.minimize(lambda point: shuffled[point["i"]], values, trials=k, seed=seed).best[
                "objective"
            ]
            for seed in range(300)
        ]
        chance = (1 - np.arange(1001) / 1000) ** k  # P(all of k are at or above rank i)
        exact = table @ (chance[:-1] - chance[1:])
        error = np.std(best) / np.sqrt(len(best))
        assert abs(np.mean(best) - exact) < 4 * error
