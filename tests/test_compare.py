"""Comparisons: a study in one is the study alone; they resume; confirmations choose again."""

import numpy as np
import pytest

import hpjax
from hpjax.compare import _levels

SPACE = {
    "learning_rate": hpjax.LogUniform(1e-3, 1.0),
    "width_1": hpjax.IntUniform(3, 9),
    "dropout": hpjax.Uniform(0.0, 0.5),
    "dtype": "float64",
    "epochs": 9,
}
METHODS = {
    "random": "random",
    "tpe": {"search": "tpe", "batch": 4},
    "hyperband": "hyperband",
    "grid": "grid",
    "guess": [{"learning_rate": 0.1, "width_1": 5, "dropout": 0.0}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("comparison") / "run"


@pytest.fixture(scope="module")
def found(folder):
    return hpjax.compare(
        METHODS, SPACE, "iris", seeds=(0, 4), validation=2, stop={"epochs": 108}, out=folder
    )


@pytest.mark.slow
def test_a_study_in_a_comparison_is_the_study_alone(found):
    for name, options in (
        ("random", {"search": "random"}),
        ("tpe", {"search": "tpe", "batch": 4}),
        ("hyperband", {"search": "hyperband"}),
    ):
        for which, seed in enumerate((0, 4)):
            alone = hpjax.tune(
                SPACE, "iris", validation=2, seed=seed, stop={"epochs": 108}, **options
            )
            pooled = found.studies[name][which]
            np.testing.assert_allclose(pooled.trials["loss"], alone.trials["loss"], rtol=1e-7)
            assert pooled.trials["status"].tolist() == alone.trials["status"].tolist()
            assert pooled.best["config"] == alone.best["config"]


def test_a_comparison_compiles_no_more_programs_than_a_study(found):
    assert len(found.population.compiled) == 1


def test_tables_and_ranks(found):
    table = found.table
    assert list(table.index) == list(METHODS)
    assert table["mean rank"].sum() == pytest.approx(15)
    np.testing.assert_allclose(sum(found.ranks.values()), 15)
    assert (table["epochs"] <= 108 + 81).all()
    assert table.loc["guess", "trials"] == 1
    assert table.loc["grid", "trials"] == 12  # as many as 108 epochs allow
    for values in found.values.values():
        for row in values:
            seen = row[np.isfinite(row)]
            assert (np.diff(seen) <= 0).all()
    assert (table["seconds"] > 0).all()
    assert found.speedup("random") == 1


def test_a_method_without_a_whole_network_is_said():
    said = []
    space = {"hidden": (4,), "learning_rate": hpjax.LogUniform(1e-3, 1e-1)}
    methods = {"asha": {"scheduler": "asha"}, "random": "random"}
    hpjax.compare(methods, space, "iris", seeds=2, epochs=9, stop={"epochs": 40}, say=said.append)
    assert [line for line in said if "no network was trained to epoch 9" in line] == [
        "hpjax: asha: no network was trained to epoch 9 with a finite loss on 2 of 2 seeds; give a larger budget (stop=...), or another scheduler"
    ]


def test_it_is_read_again_and_resumed(found, folder, tmp_path):
    read = hpjax.open_comparison(folder)
    np.testing.assert_array_equal(read.final, found.final)
    assert read.table.drop(columns="seconds").equals(found.table.drop(columns="seconds"))
    single = hpjax.open_run(folder / "tpe" / "seed4")
    assert single.best == found.studies["tpe"][1].best

    class Interrupted(Exception):
        pass

    reports = []

    def watch(name, seed, progress, trained):
        reports.append(name)
        if len(reports) == 14:
            raise Interrupted

    options = dict(seeds=(0, 4), validation=2, stop={"epochs": 108}, out=tmp_path / "cut")
    with pytest.raises(Interrupted):
        hpjax.compare(METHODS, SPACE, "iris", watch=watch, **options)
    again = hpjax.compare(METHODS, SPACE, "iris", resume=True, **options)
    np.testing.assert_array_equal(again.final, found.final)
    for path in sorted(folder.rglob("ledger.jsonl")):
        twin = tmp_path / "cut" / path.relative_to(folder)
        assert twin.read_bytes() == path.read_bytes(), path
    with pytest.raises(hpjax.RunError, match="part of a comparison"):
        hpjax.resume(folder / "random" / "seed0")
    with pytest.raises(hpjax.RunError, match="holds a comparison already"):
        hpjax.compare(METHODS, SPACE, "iris", **options)
    with pytest.raises(hpjax.RunError, match=r"no run in .*compare.json is missing"):
        hpjax.compare(METHODS, SPACE, "iris", seeds=1, out=tmp_path / "none", resume=True)


@pytest.mark.parametrize(
    ("methods", "options", "message"),
    [
        ({"a/b": "random"}, {}, "cannot name a folder"),
        ({"a": {"serch": "random"}}, {}, "has no 'serch'"),
        ({"a": {"trials": 0}}, {}, "trials must be a whole number of at least 1, got 0"),
        (
            ["random"],
            {"objective": "eror"},
            "objective or constraint 'eror' is none of loss, error",
        ),
        (["random"], {"validation": 0}, "folds must be a whole number"),
        ({"a": "nosuch"}, {}, "search='nosuch' is none of"),
        ({}, {}, "at least one method"),
        (["random"], {"seeds": 0}, "seeds must be a whole number of at least 1"),
        (["random"], {"stop": {"hours": 1}}, "no limit called 'hours'"),
        ({"a": "random", "b": {"scheduler": hpjax.full(3)}}, {}, "differ in full fidelity"),
        ({"b": {"scheduler": hpjax.full(3)}}, {"epochs": 5}, "epochs=5, but schedulers end at 3"),
    ],
)
def test_refusals(methods, options, message):
    with pytest.raises(ValueError, match=message):
        hpjax.compare(methods, SPACE, "iris", **options)


@pytest.mark.parametrize(
    ("methods", "epochs", "space", "fidelity"),
    [
        ({"a": "random"}, None, {}, 20),
        ({"a": "random"}, 5, {"epochs": 9}, 5),
        ({"a": {"scheduler": hpjax.full(3)}}, None, {}, 3),
        ({"a": {"scheduler": hpjax.full(3)}}, None, {"epochs": 9}, 3),
        ({"a": {"scheduler": hpjax.full(3)}, "b": "random"}, None, {}, 3),
        ({"a": {"scheduler": hpjax.full(3)}, "b": {"scheduler": "hyperband"}}, None, {}, 3),
    ],
)
def test_the_budget_goes_by_the_epochs_that_networks_have(methods, epochs, space, fidelity):
    """Broke: schedulers that were made ended elsewhere than the budget said."""
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1.0), "hidden": (3,)} | space
    found = hpjax.compare(methods, space, "iris", seeds=1, epochs=epochs, say=lambda text: None)
    assert found.budget == 30 * fidelity
    assert {study.fidelity for (study,) in found.studies.values()} == {fidelity}


def test_a_comparison_on_other_data_is_refused_as_that(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    options = dict(seeds=1, stop={"trials": 2}, out=tmp_path / "run", say=lambda text: None)
    hpjax.compare(["random", "sobol"], SPACE, (x, y), **options)
    for name in ("random", "sobol"):
        ledger = tmp_path / "run" / name / "seed0" / "ledger.jsonl"
        ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.raises(hpjax.RunError, match="is not the data that the run was made on"):
        hpjax.resume_comparison(tmp_path / "run", task=(x + 1e-3, y))
    with pytest.raises(hpjax.RunError, match="constraints was another when the comparison began"):
        hpjax.compare(
            ["random", "sobol"],
            SPACE,
            (x, y),
            resume=True,
            constraints={"parameters": "<= 10"},
            **options,
        )


def test_constraints_that_were_dropped_are_named(tmp_path):
    options = dict(seeds=1, stop={"trials": 2}, out=tmp_path / "run", say=lambda text: None)
    hpjax.compare(["random"], SPACE, "iris", constraints={"parameters": "<= 1000"}, **options)
    with pytest.raises(hpjax.RunError, match="constraints was another when the comparison began"):
        hpjax.compare(["random"], SPACE, "iris", resume=True, **options)


def test_a_grid_takes_the_levels_that_the_epochs_allow():
    space = hpjax.Space(
        {"a": hpjax.Uniform(0, 1), "b": hpjax.Uniform(0, 1), "c": hpjax.Choice([1, 2])}
    )
    assert _levels(space, 49) == {"a": 6, "b": 4}
    assert _levels(space, 50) == {"a": 5, "b": 5}
    assert _levels(space, 2) == {"a": 1, "b": 1}


@pytest.mark.slow
def test_confirm_chooses_again_and_flags_ties(found):
    study = found.studies["random"][0]
    confirmed = hpjax.confirm(study, top=3, repeats=3)
    table = confirmed.table
    assert len(table) == 3
    assert table["objective"].is_monotonic_increasing
    assert table["tied"].iloc[0]
    assert confirmed.best["trial"] == table.index[0]
    assert set(confirmed.test) >= {"accuracy"}
    again = hpjax.confirm(study, top=3, repeats=3)
    assert again.table["loss"].tolist() == table["loss"].tolist()
    with pytest.raises(ValueError, match="repeats of at least 2"):
        hpjax.confirm(study, repeats=1)
    # the mean of fresh studies of the same configuration, trained alone
    trial = int(table.index[0])
    seeds = [1_000_003, 1_000_004, 1_000_005]
    alone = [
        hpjax.tune(SPACE, "iris", search=[study.config(trial)], validation=2, seed=seed).best[
            "loss"
        ]
        for seed in seeds
    ]
    assert table["loss"].iloc[0] == pytest.approx(np.mean(alone), rel=1e-7)


@pytest.mark.slow
def test_confirm_follows_a_schedule(tmp_path):
    found = hpjax.tune(SPACE, "iris", scheduler=hpjax.pbt(6, 9, 3), trials=6)
    confirmed = hpjax.confirm(found, top=2, repeats=2)
    assert np.isfinite(confirmed.table["loss"]).all()
    trial = confirmed.best["trial"]
    schedule = found.schedule(trial)
    assert len({point.tobytes() for _, point in schedule.segments}) == len(schedule.stretches)
    if len(schedule.stretches) > 1:  # the tested network followed the schedule too
        last = hpjax.fit(found.task, found.space.constants | found.config(trial), 9)
        network = found.refit(trial)
        x = found.task.x[found.task.test]
        assert not np.allclose(network.outputs(x), last.outputs(x))
