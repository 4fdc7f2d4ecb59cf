"""One table of contracts over every search and every scheduler, on objectives that cost nothing."""

import functools
import shutil

import numpy as np
import pytest

import hpjax
from hpjax import search
from hpjax.records import encode
from hpjax.schedulers import asha, full, halving, hyperband, median, pbt
from hpjax.search import SEARCHES, tpe
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
        match=r"one value, or a row of values, for each of the 64 configurations of a batch, got shape \(\)",
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
