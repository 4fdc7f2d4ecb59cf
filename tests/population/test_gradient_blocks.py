"""Gradients of trials: against central differences of their losses; the search that follows them."""

import functools

import jax
import numpy as np
import pytest

import hpjax
from hpjax import hypergrad, search
from hpjax.search.gradient import gradient

SPACE = {
    "hidden": (6,),
    "activation": "tanh",
    "optimizer": hpjax.Choice(["sgd", "adam"]),
    "momentum": hpjax.Uniform(0.1, 0.9).when("optimizer", "sgd"),
    "learning_rate_1": hpjax.LogUniform(1e-3, 0.3),
    "learning_rate": hpjax.LogUniform(1e-3, 0.3),
    "l2": hpjax.LogUniform(1e-4, 1e-1),
    "dtype": "float64",
    "batch_size": 16,
    "epochs": 3,
}


def given(points):
    """A search that hands out points and wants gradients."""
    return lambda dims: search.manual(dims, points)._replace(wants_grad=True)


@pytest.mark.slow
def test_gradients_of_trials_are_central_differences(blobs):
    """Over folds and repeats, with a conditional range, a rate of one layer, and both optimizers."""
    space = hpjax.Space.load(SPACE)
    rng, step = np.random.default_rng(0), 1e-4
    points, width = rng.uniform(0.2, 0.8, (3, len(space.dims))), len(space.dims)
    points[:, space.names.index("optimizer")] = [0.25, 0.75, 0.75]
    rows = [*points]
    for point in points:
        for i, dim in enumerate(space.dims):
            if dim.kind == "continuous":
                rows += [point + step * sign * np.eye(width)[i] for sign in (1, -1)]
    found = hpjax.tune(
        SPACE, blobs, search=given(np.array(rows)), validation={"folds": 4, "repeats": 2}
    )
    report = next(record for record in found.records if record["kind"] == "report")
    loss = np.asarray(report["loss"])
    moved = iter(loss[3:].reshape(-1, 2))
    for number, point in enumerate(points):
        active = space.active(point[None])[0]
        for i, dim in enumerate(space.dims):
            if dim.kind != "continuous":
                assert report["grad"][number][i] == 0
                continue
            up, down = next(moved)
            expected = (up - down) / (2 * step)
            if not active[i]:
                assert report["grad"][number][i] == expected == 0
            np.testing.assert_allclose(report["grad"][number][i], expected, rtol=1e-4, atol=1e-9)
    # the losses are those of plain training
    plain = hpjax.tune(
        SPACE,
        blobs,
        search=[found.config(t) for t in range(3)],
        validation={"folds": 4, "repeats": 2},
    )
    np.testing.assert_allclose(plain.trials["loss"], loss[:3], rtol=1e-9)


@pytest.mark.slow
def test_rates_of_single_layers(blobs):
    """Constant for one, searched for another, for a layer that some networks lack, and a shape in which nothing moves."""
    common = {
        "optimizer": "sgd",
        "dtype": "float64",
        "batch_size": 16,
        "epochs": 2,
        "activation": "tanh",
    }
    space = common | {
        "hidden": hpjax.Choice([(5,), (4, 4)]),
        "learning_rate": hpjax.LogUniform(1e-2, 0.5),
        "learning_rate_2": 0.1,
        "learning_rate_3": hpjax.LogUniform(1e-2, 0.5),
    }
    step, rows = 1e-4, []
    for kind in (0.25, 0.75):
        for move in ((0, 0), (step, 0), (-step, 0), (0, step), (0, -step)):
            rows.append([kind, 0.5 + move[0], 0.4 + move[1]])
    found = hpjax.tune(space, blobs, search=given(np.array(rows)))
    report = next(record for record in found.records if record["kind"] == "report")
    assert found.space.names == ("hidden", "learning_rate", "learning_rate_3")
    for at in (0, 5):
        loss = report["loss"][at : at + 5]
        for column, pair in ((1, loss[1:3]), (2, loss[3:5])):
            np.testing.assert_allclose(
                report["grad"][at][column], (pair[0] - pair[1]) / (2 * step), rtol=1e-4, atol=1e-10
            )
    assert report["grad"][0][2] == 0
    still = common | {
        "optimizer": hpjax.Choice(["sgd", "adam"]),
        "momentum": hpjax.Uniform(0.0, 0.9).when("optimizer", "sgd"),
        "hidden": (4,),
    }
    found = hpjax.tune(still, blobs, search=given(np.array([[0.5, 0.25], [0.5, 0.75]])))
    report = next(record for record in found.records if record["kind"] == "report")
    assert report["grad"][1] == [0, 0]
    assert report["grad"][0][0] != 0


def test_networks_of_many_widths_share_programs(blobs):
    """Padded, a network's gradient is that of the network alone."""
    space = {
        "hidden": hpjax.Choice([(3,), (4,), (5,), (6,)]),
        "learning_rate": hpjax.LogUniform(1e-2, 1.0),
        "epochs": 2,
    }
    points = np.array([[0.1, 0.5], [0.4, 0.6], [0.6, 0.3], [0.9, 0.5]])
    together = hpjax.tune(space, blobs, search=given(points))
    assert len(together.population.programs) < 4
    grads = np.array(next(r for r in together.records if r["kind"] == "report")["grad"])
    for point, grad in zip(points, grads):
        alone = hpjax.tune(space, blobs, search=given(point[None]))
        known = next(r for r in alone.records if r["kind"] == "report")["grad"][0]
        np.testing.assert_allclose(grad, known, rtol=1e-3, atol=1e-6)


QUICK = {
    "hidden": (6,),
    "optimizer": "sgd",
    "learning_rate": hpjax.LogUniform(1e-3, 1.0),
    "momentum": hpjax.Uniform(0.0, 0.95),
    "epochs": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("search", ["gradient", "gradient_renewed"])
def test_a_study_resumes_to_the_same_ledger_and_is_charged_for_gradients(blobs, tmp_path, search):
    options = dict(search=search, stop={"epochs": 200})
    found = hpjax.tune(QUICK, blobs, out=tmp_path / "whole", **options)
    whole = (tmp_path / "whole" / "ledger.jsonl").read_bytes()
    reports = [record for record in found.records if record["kind"] == "report"]
    spent = sum(sum(record["cost"]) for record in reports)
    assert 200 <= spent < 200 + max(max(record["cost"]) for record in reports)
    assert spent >= 2.5 * 2 * len(found.trials)
    best = [min(record["loss"]) for record in reports]
    assert min(best[1:]) < best[0]
    lines = whole.splitlines(keepends=True)
    folder = tmp_path / "cut"
    folder.mkdir()
    for name in ("run.json",):
        (folder / name).write_bytes((tmp_path / "whole" / name).read_bytes())
    (folder / "ledger.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    hpjax.resume(folder, task=blobs)
    assert (folder / "ledger.jsonl").read_bytes() == whole
    renewed = found.records[0]["scheduler"].get("renew", False)
    assert renewed == (search == "gradient_renewed")


@pytest.mark.slow
def test_a_comparison_trains_gradients_beside_others(blobs):
    found = hpjax.compare(["random", "gradient"], QUICK, blobs, seeds=2, stop={"epochs": 60})
    alone = hpjax.tune(QUICK, blobs, search="gradient", seed=1, stop={"epochs": 60})
    together = found.studies["gradient"][1]
    np.testing.assert_allclose(together.trials["loss"], alone.trials["loss"], rtol=1e-4)
    assert len(found.studies["random"][0].trials) == 30
    assert found.table.loc["gradient", "epochs"] >= 60


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        ({"dropout": hpjax.Uniform(0.0, 0.5)}, {}, "needs dropout_kind='gaussian'"),
        (
            {"beta1": hpjax.Uniform(0.5, 0.9)},
            {},
            "beta1 acts on no network of the space; give optimizer=adam or adamw",
        ),
        ({"epochs": hpjax.IntUniform(1, 3)}, {}, "make epochs a constant"),
        ({"patience": 2}, {}, "drop patience"),
        ({"epochs": 2}, {"scheduler": hpjax.full(4)}, "give both the same"),
        ({"horizon": hpjax.Uniform(1.0, 3.0)}, {}, "horizon has no derivative"),
        ({}, {"scheduler": hpjax.halving(((1, 4), (2, 2)))}, "gradient is a search with full"),
        (
            {},
            {
                "search": functools.partial(gradient, starts=2),
                "scheduler": hpjax.halving(((1, 4), (2, 2))),
            },
            "not halving",
        ),
        ({}, {"objective": "error"}, "error has no gradient"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refusals(blobs, space, options, message):
    with pytest.raises(ValueError, match=message):
        hpjax.tune(QUICK | space, blobs, **({"search": "gradient", "trials": 4} | options))


# --- the search alone, on functions -----------------------------------------------------------------------------------
VALLEY = {
    "x": hpjax.Uniform(-2.0, 2.0),
    "y": hpjax.LogUniform(1e-3, 1.0),
    "kind": hpjax.Choice([0, 1]),
}


def valley(point):
    return (
        (point["x"] - 0.5) ** 2
        + 5 * (np.log10(point["y"]) + 1.5) ** 2
        + point["kind"].astype(float)
    )


def valley_slope(point):
    return {
        "x": 2 * (point["x"] - 0.5),
        "y": 10 * (np.log10(point["y"]) + 1.5) / (point["y"] * np.log(10)),
    }


@pytest.mark.parametrize("rule", ["adam", "sign"])
def test_descent_beats_random_search(rule):
    made = functools.partial(gradient, starts=4, rule=rule)
    found = hpjax.minimize(valley, VALLEY, search=made, gradient=valley_slope, trials=160)
    other = hpjax.minimize(valley, VALLEY, search="random", trials=160)
    assert found.best["objective"] < 0.1 * other.best["objective"]


def test_descents_are_rescued_and_restarted():
    def broken(point):
        return np.where(point["x"] > 1.5, np.nan, valley(point))

    made = functools.partial(gradient, starts=6)
    found = hpjax.minimize(broken, VALLEY, search=made, gradient=valley_slope, trials=300, seed=2)
    notes = [record["note"] for record in found.records if record.get("note")]
    assert any("rescued" in note for note in notes)
    assert any("restarted" in note for note in notes)
    assert found.best["objective"] < 1e-3
    again = hpjax.minimize(broken, VALLEY, search=made, gradient=valley_slope, trials=300, seed=2)
    np.testing.assert_array_equal(found.trials["objective"], again.trials["objective"])


def test_given_starts_descend_too():
    start = [{"x": 0.4, "y": 0.03, "kind": 0}]
    found = hpjax.minimize(
        valley, VALLEY, search="gradient", gradient=valley_slope, start=start, trials=17 * 4
    )
    near = np.abs(found.trials["x"] - 0.5) < 0.2
    assert near.sum() >= 3  # the first, and its descent


def test_gradients_must_come():
    with pytest.raises(ValueError, match="give minimize"):
        hpjax.minimize(valley, VALLEY, search="gradient", trials=4)
    slope = lambda point: {"x": point["x"]}
    with pytest.raises(ValueError, match="has no 'y'"):
        hpjax.minimize(valley, VALLEY, search="gradient", gradient=slope, trials=4)
    with pytest.raises(ValueError, match="at least one continuous range"):
        hpjax.minimize(valley, {"kind": hpjax.Choice([0, 1])}, search="gradient", trials=4)


def test_renewed_orders_have_fresh_randomness(blobs):
    space = QUICK | {"learning_rate": 0.1, "momentum": hpjax.Choice([0.5])}
    config = [{"momentum": 0.5}] * 4
    plain = hpjax.tune(space, blobs, search=config, batch=2)
    fresh = hpjax.tune(space, blobs, search=config, batch=2, scheduler=hpjax.full(2, renew=True))
    assert plain.trials["loss"].nunique() == 1
    assert fresh.trials["loss"].nunique() == 2
    assert fresh.trials["loss"][0] == plain.trials["loss"][0]


@pytest.mark.slow
@pytest.mark.parametrize("fits", [4, 0])
def test_gradients_that_do_not_fit_in_memory_go_on_in_halves_or_fail_alone(
    blobs, monkeypatch, capsys, fits
):
    options = dict(search=functools.partial(gradient, starts=16), trials=16)
    expected = hpjax.tune(QUICK, blobs, **options)
    real, tried = hypergrad.differentiate, []

    def failing(*arguments, width, **more):
        tried.append(width)
        if width > fits:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return real(*arguments, width=width, **more)

    monkeypatch.setattr(hypergrad, "differentiate", failing)
    found, said = hpjax.tune(QUICK, blobs, **options), capsys.readouterr().err
    if fits:
        assert tried == [16, 8, 4]
        np.testing.assert_allclose(found.trials["loss"], expected.trials["loss"], rtol=1e-4)
        assert "gradients of 8 networks at once instead of 16" in said
    else:
        assert set(found.trials["status"]) == {"FAILED"}
        assert "16 networks, exactly 5-6-3, relu, do not fit in memory: FAILED" in said
        failing_too = hpjax.tune(QUICK, blobs, search="gradient", stop={"epochs": 64})
        assert 16 <= len(failing_too.trials) <= 64  # what fails is charged, so that budgets end
