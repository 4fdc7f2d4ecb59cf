"""Schedulers against the papers' numbers, driven without networks; then population-based training with networks."""

import itertools

import numpy as np
import pytest

import hpjax
from hpjax.randomness import generator
from hpjax.schedulers import (
    SCHEDULERS,
    asha,
    brackets,
    from_settings,
    full,
    halving,
    hyperband,
    median,
    pbt,
    replay,
)
from hpjax.schedulers.pbt import explore
from hpjax.search.base import Dim, Parent

LINE = {"x": hpjax.Uniform(0.0, 1.0)}


def orders_of(scheduler, loss, trials, space=LINE, **options):
    """The orders of a study, as (trials, epochs, sources) of its reports."""
    found = hpjax.minimize(loss, space, scheduler=scheduler, trials=trials, **options)
    return [r for r in found.records if r["kind"] == "report"], found


def test_hyperband_is_the_papers_table():
    table = [[networks for _, networks in rungs] for rungs in brackets(81, 3)]
    assert table == [[81, 27, 9, 3, 1], [34, 11, 3, 1], [15, 5, 1], [8, 2], [5]]
    assert [[epochs for epochs, _ in rungs] for rungs in brackets(81, 3)] == [
        [1, 3, 9, 27, 81],
        [3, 9, 27, 81],
        [9, 27, 81],
        [27, 81],
        [81],
    ]
    assert sum(networks for rungs in brackets(81) for _, networks in rungs) == 206
    # counted as by the paper, where a network trains from the start at every rung
    assert sum(epochs * networks for rungs in brackets(81) for epochs, networks in rungs) == 1902
    assert [len(rungs) for rungs in brackets(243, 3)] == [
        6,
        5,
        4,
        3,
        2,
        1,
    ]  # exact where logarithms are not
    assert hyperband(81).trials == 143


def test_hyperband_runs_its_table_and_survivors_go_on():
    reports, found = orders_of(hyperband(81), lambda p, e: p["x"] - 1 / e, 143)
    shape = [(len(r["trial"]), r["epochs"][0]) for r in reports]
    assert shape == [(n, e) for rungs in brackets(81) for e, n in rungs]
    for before, after in itertools.pairwise(reports):
        if after["epochs"][0] > before["epochs"][0] and after["source"][0] >= 0:
            assert after["source"] == after["trial"]
            best = np.argsort(before["objective"], kind="stable")[: len(after["trial"])]
            assert sorted(np.array(before["trial"])[best]) == after["trial"]
    assert found.best["epochs"] == 81  # best means best at full fidelity
    # which is at one epoch
    assert found.best["objective"] > min(min(r["objective"]) for r in reports)


def test_fresh_hyperband_trains_new_trials_at_every_rung():
    reports, found = orders_of(hyperband(9, promote="fresh"), lambda p, e: p["x"] + 0 / e, 30)
    assert [(len(r["trial"]), r["epochs"][0]) for r in reports][:6] == [
        (9, 1),
        (3, 3),
        (1, 9),
        (5, 3),
        (1, 9),
        (3, 9),
    ]
    assert all(set(r["source"]) == {-1} for r in reports)
    assert len(found.trials) == 30


def test_the_median_rule_by_hand():
    losses = {0.1: [1, 1, 1], 0.3: [2, 2, 2], 0.5: [3, 9, 9], 0.7: [4, 1, 0], 0.9: [5, 5, 5]}

    def loss(point, epochs):
        return np.array([losses[x][e - 1] for x, e in zip(point["x"].round(1), epochs)], float)

    start = [{"x": x} for x in losses]
    found = hpjax.minimize(loss, LINE, search=start, scheduler=median(3, 1))
    # running averages after one epoch: 1 2 3 4 5, median 3: 0.7 and 0.9 end. Of 1 2 6 then, median 2: 0.5, best 3, ends.
    assert found.trials["epochs"].tolist() == [3, 3, 2, 1, 1]
    assert found.trials["status"].tolist() == ["OK", "OK", "PRUNED", "PRUNED", "PRUNED"]
    patient = hpjax.minimize(loss, LINE, search=start, scheduler=median(3, 1, grace=3))
    assert (patient.trials["epochs"] == 3).all()


class Climbing:
    """Asynchronous halving by lists and dicts, one decision at a time: the orders of a study of trials that come in their order."""

    def __init__(self, epochs, eta, grace, together, variant, loss, trials):
        self.eta, self.together, self.variant = eta, together, variant
        rungs = [epochs]
        while rungs[0] // eta >= grace and epochs // eta ** len(rungs) >= 1:
            rungs.insert(0, epochs // eta ** len(rungs))
        self.rungs = rungs
        self.reached = {rung: {} for rung in rungs}  # rung -> trial -> loss
        self.left = {rung: set() for rung in rungs}  # promoted or ended
        self.orders, self.new = [], list(range(trials))
        while self.step(loss):
            pass

    def ready(self, rung, up):
        reached, left = self.reached[rung], self.left[rung]
        if rung == self.rungs[-1]:
            return []
        ranked = sorted(reached, key=lambda trial: (reached[trial], trial))
        if self.variant == "promotion":
            share = -(-len(ranked) // self.eta) if up else len(ranked) // self.eta
            ranked = ranked[:share]
        else:
            ranked = list(reached)
        return [trial for trial in ranked if trial not in left and np.isfinite(reached[trial])]

    def step(self, loss):
        for rung in reversed(self.rungs):
            if len(self.ready(rung, False)) >= self.together:
                return self.promote(rung, False, loss)
        if self.new:
            many = self.eta * self.together
            chosen, self.new = self.new[:many], self.new[many:]
            return self.train(chosen, self.rungs[0], loss)
        for rung in self.rungs:
            if self.ready(rung, True):
                return self.promote(rung, True, loss)
        return False

    def promote(self, rung, up, loss):
        chosen = self.ready(rung, up)
        self.left[rung] |= set(chosen)
        return self.train(chosen, self.rungs[self.rungs.index(rung) + 1], loss)

    def train(self, chosen, rung, loss):
        chosen = sorted(chosen)
        for trial in chosen:
            self.reached[rung][trial] = loss(trial, rung)
            seen = sorted(self.reached[rung].values())
            best = len(seen) < self.eta or loss(trial, rung) <= seen[len(seen) // self.eta - 1]
            if self.variant == "stopping" and not best:
                self.left[rung].add(trial)
        self.orders.append((chosen, rung))
        return True


@pytest.mark.parametrize("variant", ["promotion", "stopping"])
@pytest.mark.parametrize(("epochs", "eta", "grace"), [(27, 3, 1), (20, 2, 3), (9, 3, 9), (5, 4, 1)])
@pytest.mark.parametrize("together", [1, 4, 50])
@pytest.mark.parametrize("trials", [1, 7, 40])
def test_asha_decides_as_by_hand(variant, epochs, eta, grace, together, trials):
    rng = np.random.default_rng(trials)
    table = np.round(rng.random((trials, epochs + 1)), 1)  # with ties
    table[rng.random(table.shape) < 0.1] = np.inf
    known = Climbing(
        epochs, eta, grace, together, variant, lambda trial, rung: table[trial, rung], trials
    )
    start = [{"x": (trial + 0.5) / trials} for trial in range(trials)]

    def loss(point, until):
        return table[(point["x"] * trials).astype(int), until]

    made = asha(epochs, eta, grace, together, variant)
    found = hpjax.minimize(loss, LINE, search=start, scheduler=made)
    reports = [r for r in found.records if r["kind"] == "report"]
    assert [(r["trial"], r["epochs"][0]) for r in reports] == known.orders
    assert not set(found.trials["status"]) & {"NEW", "RUNNING"}
    for report in reports:
        assert report["source"] == (
            [-1] * len(report["trial"])
            if report["epochs"][0] == known.rungs[0]
            else report["trial"]
        )


@pytest.mark.parametrize("search", ["random", "tpe", "bayes", "genetic"])
@pytest.mark.parametrize("variant", ["promotion", "stopping"])
def test_asha_is_replayed_exactly(tmp_path, search, variant):
    options = dict(search=search, scheduler=asha(9, together=5, variant=variant), trials=40, seed=2)
    loss = lambda point, until: (point["x"] - 0.3) ** 2 + 1 / until
    hpjax.minimize(loss, LINE, out=tmp_path / "whole", **options)
    for reports in (1, 2, 4):
        seen = []

        def watch(progress, seen=seen, reports=reports):
            seen.append(progress)
            if len(seen) == reports:
                raise KeyboardInterrupt

        folder = tmp_path / str(reports)
        with pytest.raises(KeyboardInterrupt):
            hpjax.minimize(loss, LINE, out=folder, watch=watch, **options)
        hpjax.minimize(loss, LINE, out=folder, resume=True, **options)
        ledgers = [(one / "ledger.jsonl").read_bytes() for one in (tmp_path / "whole", folder)]
        assert ledgers[0] == ledgers[1]


def test_asha_promotes_while_new_trials_come():
    """A rung is trained on as soon as it has enough trials."""
    reports, found = orders_of(asha(9, together=3), lambda p, e: p["x"] - 0 * e, 81, search="sobol")
    sizes = [(len(r["trial"]), r["epochs"][0]) for r in reports]
    assert sizes[:3] == [(9, 1), (3, 3), (9, 1)]
    assert sizes.count((9, 1)) == 9
    first = sizes.index(next(size for size in sizes if size[1] == 9))
    assert (9, 1) in sizes[first:]
    assert all(count >= 3 for count, _ in sizes[: sizes[::-1].index((9, 1))])
    assert (found.trials["status"] == "OK").sum() >= 9  # those that were overtaken went on, too


def test_an_epoch_limit_leaves_networks_that_live_to_the_end():
    found = hpjax.minimize(
        lambda p, e: p["x"] + 0 / e, LINE, scheduler=median(20, 2), stop={"epochs": 600}
    )
    assert found.best["trial"] is not None
    assert found.stopped == "epochs"
    spent = sum(found.trials["epochs"])
    assert 600 <= spent < 640


def test_planned_trials_and_epochs():
    assert [asha(epochs).trials for epochs in (1, 2, 9, 81, 729)] == [81, 81, 81, 81, 729]
    assert asha(9).mean_epochs == halving(((1, 81), (3, 27), (9, 9))).mean_epochs
    assert hyperband(81).trials == 143
    fresh = hyperband(81, promote="fresh")
    assert fresh.trials == 206
    assert fresh.mean_epochs == pytest.approx(1902 / 206)
    assert full(7).mean_epochs == 7
    assert halving(((1, 4), (3, 2))).mean_epochs == 2


def test_studies_stop_when_nothing_improves_for_rounds():
    found = hpjax.minimize(
        lambda p: np.ones(len(p["x"])), LINE, trials=500, batch=5, stop={"rounds": 3}
    )
    assert found.stopped == "rounds"
    assert len(found.trials) == 20  # one round that gains, three that do not


def test_exploring_moves_only_what_is_active_and_changes_no_shape():
    dims = (
        Dim("categorical", 3, structural=True),
        Dim("continuous"),
        Dim("integer", 5),
        Dim("categorical", 4),
        Dim("continuous", parent=Parent(0, (1,))),
    )
    unit = np.random.default_rng(0).random((200, 5))
    moved = explore(unit, dims, generator((0,)), resample=0.0, jump=0.1)
    np.testing.assert_array_equal(moved[:, [0, 3]], unit[:, [0, 3]])
    assert ((moved >= 0) & (moved <= 1)).all()
    steps = np.abs(moved[:, 1] - unit[:, 1])
    assert (steps <= 0.1 + 1e-12).all()
    assert (steps > 0).mean() > 0.95
    levels = (unit[:, 2] * 5).astype(int), np.minimum((moved[:, 2] * 5).astype(int), 4)
    inside = (levels[0] > 0) & (levels[0] < 4)
    assert (levels[0] != levels[1])[inside].all()
    off = (unit[:, 0] * 3).astype(int) != 1
    np.testing.assert_array_equal(moved[off, 4], unit[off, 4])
    drawn = explore(unit, dims, generator((0,)), resample=1.0, jump=0.1)
    assert (drawn[:, 3] != unit[:, 3]).mean() > 0.95


def test_pbt_copies_the_best_and_rescues_the_failed():
    def loss(point, epochs):
        return np.where((point["x"] > 0.6) & (epochs == 2), np.nan, point["x"])

    reports, found = orders_of(pbt(8, 8, 2), loss, 8, seed=3)
    assert [r["epochs"][0] for r in reports] == [2, 4, 6, 8]
    first, second = reports[:2]
    value = np.array([np.inf if v is None else v for v in first["objective"]])
    assert np.isinf(value).any()
    rank = np.argsort(value)
    copied = [t for t, s in zip(second["trial"], second["source"]) if s != t]
    assert set(rank[-2:]) <= set(copied)
    assert set(np.flatnonzero(np.isinf(value))) <= set(copied)
    assert {second["source"][t] for t in copied} <= set(rank[:2].tolist())
    kept = [t for t in second["trial"] if t not in copied]
    asked = np.array(found.records[1]["unit"])
    np.testing.assert_array_equal(np.array(second["unit"])[kept], asked[kept])
    assert found.best["objective"] < np.nanmin(value) + 1e-12


def test_settings_make_every_scheduler_again():
    made = (
        asha(9, 3, 2, 4, "stopping"),
        full(3),
        halving(((1, 4), (3, 2))),
        hyperband(27),
        hyperband(9, promote="fresh"),
        median(9, 2, 3),
        pbt(4, 10, 3),
        replay(((2, (0.5,)), (5, (0.1,)))),
    )
    assert {one.settings["name"] for one in made} == set(SCHEDULERS)
    for one in made:
        again = from_settings(one.settings)
        assert again.settings == one.settings
        assert again.brackets == one.brackets
        assert again.fidelity == one.fidelity


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hyperband(0), "epochs of at least 1"),
        (lambda: hyperband(9, promote="dead"), "promote='dead' is none of live, fresh"),
        (lambda: median(0), "epochs of at least 1"),
        (lambda: asha(9, eta=1), "asha needs eta of at least 2"),
        (lambda: asha(9, grace=10), "grace of at most its 9 epochs, got 10"),
        (lambda: asha(9, together=0), "asha needs together of at least 1"),
        (lambda: asha(9, variant="both"), "variant='both' is none of promotion, stopping"),
        (lambda: pbt(1), "population of at least 2"),
        (lambda: pbt(quantile=0.7), "quantile must be above 0 and at most 0.5, got 0.7"),
        (lambda: pbt(jump=-1), "jump must lie in"),
        (lambda: replay(()), "epochs rising"),
        (lambda: replay(((3, (0.1,)), (3, (0.2,)))), "epochs rising"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- with networks ----------------------------------------------------------------------------------------------------
SPACE = {
    "learning_rate": hpjax.LogUniform(1e-3, 1.0),
    "l2": hpjax.LogUniform(1e-6, 1e-2),
    "hidden": hpjax.Choice([(6,), (9,)]),
    "dtype": "float64",
    "epochs": 6,
}


@pytest.mark.slow
def test_a_schedule_found_by_pbt_is_followed_again_to_the_same_loss():
    """After exploiting, the rate in effect is the recorded one: fresh training along the lineage gives the recorded loss."""
    found = hpjax.tune(SPACE, "iris", scheduler=pbt(8, 6, 2, resample=0.5), trials=8, seed=1)
    copies = [r for r in found.records if r["kind"] == "report" and "unit" in r]
    assert copies
    moved = {t for r in copies for t, s in zip(r["trial"], r["source"]) if t != s}
    assert moved
    for trial in sorted(moved):
        schedule = found.schedule(trial)
        assert [until for until, _ in schedule.segments] == [2, 4, 6]
        assert schedule.members[-1] == trial
        again = hpjax.tune(
            SPACE, "iris", search=[schedule.start], scheduler=replay(schedule.segments), seed=1
        )
        assert again.trials["loss"][0] == pytest.approx(found.trials["loss"][trial], rel=1e-9)
    assert set(found.schedule().frame.columns) == {
        "member",
        "until",
        "learning_rate",
        "l2",
        "hidden",
    }


def test_pbt_resumes_with_networks(tmp_path):
    class Interrupted(Exception):
        pass

    whole = hpjax.tune(SPACE, "iris", search="pbt", trials=16, out=tmp_path / "whole")
    reports = []

    def watch(progress, trained):
        reports.append(progress)
        if len(reports) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        hpjax.tune(SPACE, "iris", search="pbt", trials=16, out=tmp_path / "cut", watch=watch)
    again = hpjax.resume(tmp_path / "cut")
    assert again.best == whole.best
    ledgers = [(tmp_path / name / "ledger.jsonl").read_bytes() for name in ("whole", "cut")]
    assert ledgers[0] == ledgers[1]


def test_the_table_of_brackets_is_said_before_it_runs():
    said = []
    hpjax.tune(SPACE, "iris", search="hyperband", trials=3, say=said.append)
    assert said == [
        "hpjax: iris: classification, 3 classes: setosa, versicolor, virginica",
        "hpjax: bracket 1: 3 until epoch 2, 1 until epoch 6",
        "hpjax: bracket 2: 2 until epoch 6",
    ]
