"""Fronts, crowding and hypervolume against their definitions; several objectives and constraints from end to end."""

import itertools

import numpy as np
import pytest

import hpjax
from hpjax import assemble, fronts, report
from hpjax.confirm import _table
from hpjax.schedulers import asha, by_name, full, halving, hyperband, median, pbt
from hpjax.search import SEARCHES, Dim

quiet = {"say": lambda text: None}
SPACE = {
    "hidden": hpjax.Choice([(2,), (8,), (32,)]),
    "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
    "epochs": 6,
}


def points(seed, count=40, objectives=2):
    rng = np.random.default_rng(seed)
    found = np.round(rng.random((count, objectives)), 1)  # with ties and doubles
    found[rng.random(count) < 0.1] = np.inf
    return found


def beats(a, b):
    return (a <= b).all() and (a < b).any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_ranks_by_definition(seed, objectives):
    every = points(seed, objectives=objectives)
    left, rank = set(range(len(every))), np.zeros(len(every), int)
    finite = {row for row in left if np.isfinite(every[row]).all()}
    for number in itertools.count():
        rest = left & finite
        if not rest:
            break
        first = {a for a in rest if not any(beats(every[b], every[a]) for b in rest)}
        rank[list(first)] = number
        left -= first
    rank[list(left)] = rank[list(finite)].max() + 1 if finite else 0
    np.testing.assert_array_equal(fronts.ranks(every), rank)


def test_points_that_break_constraints_are_behind():
    every = np.array([[5.0, 5.0], [1.0, 1.0], [2.0, 2.0], [np.inf, np.inf], [0.0, 0.0]])
    violation = np.array([0.0, 2.0, 0.5, 0.0, np.inf])
    assert fronts.ranks(every, violation).tolist() == [0, 2, 1, 3, 3]
    place = fronts.places(every, violation)
    assert np.isinf(place[[3, 4]]).all()
    assert place[0] < place[2] < place[1]


def test_crowding_by_hand():
    every = np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 1.0], [4.0, 0.0], [9.0, 9.0]])
    found = fronts.crowding(every, fronts.ranks(every))
    assert np.isinf(found[[0, 3, 4]]).all()
    np.testing.assert_allclose(found[[1, 2]], [3 / 4 + 3 / 4, 3 / 4 + 2 / 4])
    place = fronts.places(every)
    assert place[1] < place[2] < place[4]


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_the_hypervolume_is_the_share_of_random_points_behind_the_front(objectives, seed):
    rng = np.random.default_rng(seed)
    every, reference = rng.random((12, objectives)), np.full(objectives, 0.9)
    drawn = rng.random((200_000, objectives)) * 0.9
    behind = (every[:, None] <= drawn).all(-1).any(0).mean() * 0.9**objectives
    assert fronts.hypervolume(every, reference) == pytest.approx(behind, abs=4e-3)
    assert fronts.hypervolume(every + 1, reference) == 0


# --- searches and schedulers --------------------------------------------------------------------------------------------
def two_hills(point, epochs=None):
    """The front is x from 0 to 1 with y = 0.5; a lower fidelity says less."""
    off = 0.0 if epochs is None else 1.0 / np.asarray(epochs)
    y = np.abs(point["y"] - 0.5)
    return np.stack([point["x"] + y + off, 1 - point["x"] + y + off], 1)


SQUARE = {"x": hpjax.Uniform(0.0, 1.0), "y": hpjax.Uniform(0.0, 1.0)}
SCHEDULED = {
    "full": lambda: full(9),
    "halving": lambda: halving(((1, 9), (3, 3), (9, 1))),
    "hyperband": lambda: hyperband(9),
    "asha": lambda: asha(9, together=4),
    "asha that stops": lambda: asha(9, together=4, variant="stopping"),
}


@pytest.mark.parametrize("scheduler", SCHEDULED)
@pytest.mark.parametrize("search", assemble.SEVERAL)
def test_every_search_of_several_objectives_with_every_scheduler(tmp_path, search, scheduler):
    options = dict(
        search=search, scheduler=SCHEDULED[scheduler](), trials=24, batch=8, levels=5, seed=1
    )
    found = hpjax.minimize(two_hills, SQUARE, out=tmp_path / "whole", **options)
    assert found.table["objectives"].shape[1] == 2
    front = found.pareto
    values = front[["objective", "objective_2"]].to_numpy()
    assert len(front)
    assert not any(beats(a, b) for a in values for b in values)
    assert found.best["trial"] in front.index
    seen = []

    def watch(progress):
        seen.append(progress)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hpjax.minimize(two_hills, SQUARE, out=tmp_path / "cut", watch=watch, **options)
    hpjax.minimize(two_hills, SQUARE, out=tmp_path / "cut", resume=True, **options)
    ledgers = [(tmp_path / name / "ledger.jsonl").read_bytes() for name in ("whole", "cut")]
    assert ledgers[0] == ledgers[1]


def test_those_that_take_several_objectives_say_so():
    dims = (Dim("continuous"), Dim("continuous"))
    assert {name for name, made in SEARCHES.items() if made(dims).several} == set(assemble.SEVERAL)
    named = {
        name
        for name in ("asha", "full", "halving", "hyperband", "median", "pbt")
        if by_name(name, 9).several
    }
    assert named == {"asha", "full", "halving", "hyperband"}
    assert not median(3).several
    assert not pbt(4, 4).several


@pytest.mark.parametrize("search", ["nsga2", "tpe", "bayes"])
def test_searches_cover_more_than_random_points(search):
    reference = {"objective": 1.5, "objective_2": 1.5}
    volume = lambda name, seed: (
        hpjax.minimize(two_hills, SQUARE, search=name, trials=200, batch=8, seed=seed)
        .hypervolume(reference)["hypervolume"]
        .iloc[-1]
    )
    found = np.array([[volume(name, seed) for name in (search, "random")] for seed in range(4)])
    assert (found[:, 0] > found[:, 1]).all()


def test_failures_and_single_objectives_are_as_before():
    def failing(point):
        value = two_hills(point)
        value[point["x"] > 0.7, 1] = np.nan
        return value

    found = hpjax.minimize(failing, SQUARE, search="nsga2", trials=120)
    assert (found.trials["status"][found.trials["x"] > 0.7] == "DIVERGED").all()
    assert found.pareto["x"].max() <= 0.7
    one = hpjax.minimize(lambda p: two_hills(p)[:, :1], SQUARE, search="genetic", trials=40)
    same = hpjax.minimize(lambda p: two_hills(p)[:, 0], SQUARE, search="genetic", trials=40)
    assert one.trials["objective"].tolist() == same.trials["objective"].tolist()
    assert one.pareto.index.tolist() == [one.best["trial"]]


@pytest.mark.parametrize("search", ["differential", "cmaes"])
def test_searches_of_one_objective_refuse(search):
    with pytest.raises(ValueError, match="takes one objective, the study has 2"):
        hpjax.minimize(two_hills, SQUARE, search=search, trials=40)
    with pytest.raises(ValueError, match=r"the search takes one objective.*nsga2") as caught:
        hpjax.tune(SPACE, "iris", search=search, objective=["error", "parameters"], **quiet)
    assert "\n" not in str(caught.value)


# --- networks -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("search", ["random", "nsga2", "tpe", "bayes"])
def test_error_and_size_of_networks(tmp_path, search):
    options = dict(objective=["error", "parameters"], search=search, trials=12, batch=4, **quiet)
    found = hpjax.tune(SPACE, "iris", out=tmp_path / "run", **options)
    front = found.pareto
    assert list(front.columns) == ["hidden", "learning_rate", "error", "parameters"]
    np.testing.assert_array_equal(front["parameters"], found.trials.loc[front.index, "parameters"])
    np.testing.assert_allclose(front["error"], found.trials.loc[front.index, "error"])
    assert front["error"].is_monotonic_increasing
    assert front["parameters"].is_monotonic_decreasing
    for trial in set(found.trials.index) - set(front.index):
        row = found.trials.loc[trial, ["error", "parameters"]].to_numpy(float)
        values = front[["error", "parameters"]].to_numpy(float)
        assert ((values <= row).all(1)).any()
    read = hpjax.open_run(tmp_path / "run", **quiet)
    assert read.pareto.equals(front)
    assert read.hypervolume({"error": 1, "parameters": 1000})["hypervolume"].is_monotonic_increasing
    assert (tmp_path / "run" / "hypervolume.png") in report.figures(read, tmp_path / "run")
    more = hpjax.resume(tmp_path / "run", trials=16, **quiet)
    assert len(more.trials) == 16
    assert len(found.ensemble(size=3, progress=False).networks) >= 1


def test_metrics_that_should_be_large_are_shown_so():
    found = hpjax.tune(SPACE, "iris", objective=["accuracy", "parameters"], trials=6, **quiet)
    front = found.pareto
    assert front["accuracy"].between(0, 1).all()
    assert front["accuracy"].is_monotonic_decreasing
    np.testing.assert_allclose(front["accuracy"], found.trials.loc[front.index, "accuracy"])


@pytest.mark.parametrize("scheduler", [None, "hyperband", "asha"])
@pytest.mark.parametrize("search", ["random", "nsga2", "tpe", "bayes"])
def test_constraints_hold(tmp_path, search, scheduler):
    found = hpjax.tune(
        SPACE, "iris", objective="error", constraints={"parameters": "<= 60"}, search=search,
        scheduler=scheduler, trials=16, out=tmp_path / "run", **quiet,
    )  # fmt: skip
    large = found.trials["parameters"] > 60
    assert (found.trials["status"][large] == "INFEASIBLE").all()
    assert not (found.trials["status"][~large] == "INFEASIBLE").any()
    assert found.best["config"]["hidden"] != (32,)
    assert found.trials["parameters"][found.best["trial"]] <= 60
    reports = [r for r in found.records if r["kind"] == "report"]
    times = np.bincount(np.concatenate([r["trial"] for r in reports]))
    assert (times[large.to_numpy()] == 1).all()  # none is promoted
    read = hpjax.open_run(tmp_path / "run", **quiet)
    assert read.best == found.best
    assert read.trials["violation"].equals(found.trials["violation"])


@pytest.mark.parametrize("scheduler", ["halving", "asha", "pbt"])
def test_bounds_of_what_training_changes_are_judged_at_its_end(scheduler):
    """After the first epochs nobody has so small an error."""
    space = {name: value for name, value in SPACE.items() if name != "hidden"} | {"epochs": 9}
    found = hpjax.tune(
        space, "iris", objective="loss", constraints={"error": "<= 0.2"}, scheduler=scheduler,
        trials=16, **quiet,
    )  # fmt: skip
    ended = found.trials[found.table["whole"]]
    assert set(ended["status"]) <= {"OK", "INFEASIBLE"}
    assert (ended["status"] == "OK").tolist() == (ended["error"] <= 0.2).tolist()
    assert found.best["error"] <= 0.2
    early = found.trials[~found.table["whole"]]
    assert not (early["status"] == "INFEASIBLE").any()


def test_the_size_of_networks_that_are_differentiated_is_known():
    space = {"hidden": (8,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1), "epochs": 2}
    for bound, status in (("<= 66", "INFEASIBLE"), ("<= 67", "OK")):
        found = hpjax.tune(
            space, "iris", search="gradient", constraints={"parameters": bound}, trials=8, **quiet
        )
        assert set(found.trials["parameters"]) == {67}
        assert set(found.trials["status"]) == {status}


def test_settings_without_them_are_as_before():
    """A run that was begun before there were several objectives goes on."""
    found = hpjax.tune(SPACE, "iris", trials=2, **quiet)
    marks = hpjax.settings.fingerprints(found.settings)
    assert not {"further", "constraints"} & set(marks)
    for name in ("violation", "objectives"):
        with pytest.raises(ValueError, match=f"a metric cannot be called '{name}'"):
            hpjax.tune(SPACE, "iris", metrics={name: lambda p, y: p[:, 0]}, trials=2, **quiet)


def test_folds_have_replicates_of_the_first_objective():
    options = dict(objective=["error", "parameters"], validation=2, trials=3, **quiet)
    found = hpjax.tune(SPACE, "iris", **options)
    mean = found.replicates.mean(axis=1).groupby("trial").mean()
    np.testing.assert_allclose(mean, found.trials["error"], atol=1e-6)


def test_a_front_is_confirmed_within_its_bounds():
    options = dict(objective=["error", "parameters"], constraints={"error": "<= 0.9"})
    found = hpjax.tune(SPACE, "iris", trials=6, **options, **quiet)
    table = hpjax.confirm(found, len(found.pareto), 2, progress=False, **quiet).table
    assert set(table.index) == set(found.pareto.index)
    assert (table["violation"] == 0).all()
    assert table["objective"].is_monotonic_increasing


def confirmed(losses, errors, **options):
    """The table of three trials that had these losses and errors [seeds 3] on fresh seeds."""
    found = hpjax.tune(SPACE, "iris", trials=3, **options, **quiet)
    trained = hpjax.train([found.config(n) for n in range(3)], "iris", 6, seeds=2, **quiet)
    of = lambda values: np.reshape(values, (-1, 1)).astype(float)
    trained.results = trained.results._replace(loss=of(losses), error=of(errors))
    return _table(found, np.arange(3), trained, 2, 0.05)[0]


def test_ties_are_among_those_that_keep_the_constraints():
    """Broke: a trial that breaks them and is lower was tied with the best of those that keep them."""
    losses = [[0.10, 0.20, 0.21], [0.12, 0.21, 0.20]]
    errors = [[0.99, 0.10, 0.10], [0.99, 0.10, 0.10]]
    table = confirmed(losses, errors, constraints={"error": "<= 0.95"})
    assert table.index.tolist() == [1, 2, 0]
    assert table["tied"].tolist() == [True, True, False]
    assert (table["violation"] > 0).tolist() == [False, False, True]
    assert confirmed(losses, errors).index[0] == 0


def test_a_trial_that_diverges_leaves_the_others_their_deviations():
    """Broke: one network that was not finite took the deviation of all trials."""
    losses = [[0.10, np.nan, 0.30], [0.12, 0.21, 0.34]]
    table = confirmed(losses, np.full((2, 3), 0.1))
    assert table.index.tolist() == [0, 2, 1]
    np.testing.assert_allclose(table["deviation"], [0.02 / 2**0.5, 0.04 / 2**0.5, np.nan])


def test_methods_are_compared_by_what_their_fronts_cover(tmp_path):
    """Of studies that report in batches, or all at once beyond their limit; a front of two objectives is measured by hand."""
    options = dict(
        objective=["error", "parameters"], constraints={"parameters": "<= 100"}, seeds=2,
        stop={"epochs": 200}, validation=2,
    )  # fmt: skip
    out = tmp_path / "run"
    found = hpjax.compare(["random", "tpe"], SPACE, "iris", out=out, **options, **quiet)
    tables = [one.table for several in found.studies.values() for one in several]
    every = np.concatenate([table["objectives"][table["status"] == "OK"] for table in tables])
    whole = every[fronts.front(every)]
    best, worst = whole.min(0), whole.max(0)
    assert worst[1] <= 100

    def uncovered(table, first):
        seen = table["objectives"][:first][table["status"][:first] == "OK"]
        seen = (seen - best) / (worst - best)
        grid = (np.arange(2000) + 0.5) / 2000 * 1.1
        lowest = np.array([min(seen[seen[:, 0] <= x, 1], default=1.1) for x in grid])
        return 1 - np.clip(1.1 - lowest, 0, None).mean() / 1.1

    for i, name in enumerate(found.names):
        for j, one in enumerate(found.studies[name]):
            within = 200 // 6  # the last trial of `random` ends beyond
            assert found.final[j, i] == pytest.approx(uncovered(one.table, within), abs=2e-3)
            at = int(np.flatnonzero(found.cost >= 90)[0])
            early = uncovered(one.table, int(found.cost[at]) // 6)
            assert found.values[name][j][at] == pytest.approx(early, abs=2e-3)
            seen = found.values[name][j]
            assert (np.diff(seen[np.isfinite(seen)]) <= 0).all()
    assert len(found.studies["random"][0].trials) > 200 // 6
    read = hpjax.resume_comparison(out, **quiet)
    np.testing.assert_array_equal(read.final, found.final)
    drawn = report.comparison(report.summary(read), out)
    assert "hypervolume of error and parameters" in (report.summary(read)["label"])
    assert all(path.is_file() for path in drawn)
    assert "not covered" in report.write_page(read, tmp_path / "page.html").read_text()
    with pytest.raises(ValueError, match="takes one objective"):
        hpjax.compare(["cmaes"], SPACE, "iris", **options, **quiet)


def test_a_comparison_in_which_nothing_holds_has_a_table():
    options = dict(objective=["error", "parameters"], constraints={"parameters": "<= 3"})
    stop = {"epochs": 36}
    found = hpjax.compare(["random", "nsga2"], SPACE, "iris", seeds=1, stop=stop, **options, **quiet)  # fmt: skip
    assert np.isinf(found.final).all()
    assert found.table["mean rank"].tolist() == [1.5, 1.5]


def test_where_nothing_holds_nothing_is_best():
    found = hpjax.tune(
        SPACE, "iris", objective=["error", "parameters"], constraints={"parameters": "<= 3"},
        search="nsga2", trials=8, **quiet,
    )  # fmt: skip
    assert found.best["trial"] is None
    assert not len(found.pareto)
    assert "keeps the constraints parameters <= 3" in found.why_none


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(objective=[]), "objective is an empty list"),
        (dict(objective=["error", "error"]), "objective has 'error' twice"),
        (dict(objective="parameters"), "the first objective must say how well a network does"),
        (dict(objective=["parameters", "error"]), "the first objective must say how well"),
        (
            dict(objective=["error", "size"]),
            "objective or constraint 'size' is none of loss, error, parameters",
        ),
        (dict(objective=["error", "rmse"]), "rmse is a metric of numbers"),
        (dict(constraints={"parameters": 5}), "constraint parameters is 5; write '<= 50_000'"),
        (dict(constraints={"parameters": "< 5"}), "constraint parameters is '< 5'; write"),
        (dict(constraints={"size": "<= 5"}), "objective or constraint 'size' is none of"),
        (dict(constraints=["parameters"]), "constraints must be a dict such as"),
        (
            dict(objective=["error", "parameters"], scheduler="median"),
            "scheduler median takes one objective",
        ),
        (
            dict(objective=["error", "seconds"], scheduler="halving"),
            "seconds are known of whole trainings",
        ),
        (
            dict(objective=["loss", "parameters"], search="gradient"),
            "the search takes one objective",
        ),
    ],
)
def test_objectives_that_cannot_be_are_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        hpjax.tune(SPACE, "iris", trials=2, **options, **quiet)
    assert "\n" not in str(caught.value)


def test_a_reference_that_lacks_an_objective_is_refused():
    found = hpjax.minimize(two_hills, SQUARE, trials=4)
    with pytest.raises(ValueError, match="reference has objective; give a value of objective and"):
        found.hypervolume({"objective": 1.0})
    assert found.hypervolume()["hypervolume"].iloc[-1] >= 0
