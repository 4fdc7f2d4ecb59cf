"""Meta-training: it lowers its objective, restores what diverges, and what it learned is replayed as it was learned."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hpjax
from hpjax import hypergrad, report
from hpjax.hypergrad.coordinates import encode, values
from hpjax.hypergrad.learn import Meta
from hpjax.hypergrad.process import shape

NET = {"hidden": (6,), "activation": "tanh", "optimizer": "sgd", "momentum": 0.5, "batch_size": 16}
STEPS = 16


def start(blobs, rate=0.01, **more):
    return hypergrad.configure(blobs, **(NET | {"learning_rate": rate} | more))


@pytest.mark.slow
def test_a_schedule_is_learned_saved_read_and_replayed(blobs, tmp_path):
    spec, config = start(blobs)
    config |= {"learning_rate": np.full((2, 2), 0.01)}  # of weights and of biases, per layer
    found = hypergrad.learn(
        blobs,
        spec,
        config,
        ("learning_rate", "momentum"),
        STEPS,
        iterations=12,
        rate=0.3,
        segments={"learning_rate": 4},
        mode="mixed",
    )
    loss = found.history.loss[:, 0]
    assert loss[-3:].mean() < 0.7 * loss[:3].mean()
    assert found.at_steps("learning_rate").shape == (STEPS, 2, 2)
    assert (found.at_steps("learning_rate")[:4] == found.values()["learning_rate"][0]).all()
    assert found.path["momentum"].shape == (12, 1)
    before, after = (found.replay(blobs, range(3), begun=begun) for begun in (True, False))
    assert after.loss.mean() < 0.7 * before.loss.mean()
    of_start = found.replay(blobs, range(3), start=found.best, at_end="train")
    np.testing.assert_array_equal(of_start.loss, of_start.train)
    np.testing.assert_array_equal(of_start.curve, after.curve)
    assert after.curve.shape == (3, STEPS)
    trained = hpjax.fit(blobs, found)
    assert trained.score(blobs.x[blobs.test], blobs.truth(blobs.test)) > 0.7
    with pytest.raises(ValueError, match="is 16 steps long"):
        hpjax.fit(blobs, found, epochs=3)
    found.save(tmp_path / "learned.json")
    again = hypergrad.Learned.load(tmp_path / "learned.json")
    np.testing.assert_array_equal(again.replay(blobs, range(3)).loss, after.loss)
    assert again.spec == found.spec
    assert again.mode == found.mode
    (tmp_path / "other.json").write_text(json.dumps({"spec": {}}))
    for name in ("other.json", "missing.json"):
        with pytest.raises(ValueError, match="cannot be read as Learned"):
            hypergrad.Learned.load(tmp_path / name)


@pytest.mark.slow
def test_what_a_loss_and_a_network_of_ones_own_learned_is_saved_and_read(blobs, tmp_path):
    def squares(outputs, y):
        return ((outputs - y) ** 2).sum(-1)

    def linear(scale=1.0):
        init = lambda key, x: {"w": scale * jax.random.normal(key, (x.shape[1], 3))}
        return hpjax.Model(init, lambda params, x: x @ params["w"])

    path = tmp_path / "learned.json"
    for functions in ({"loss": squares}, {"model": linear}, {"loss": squares, "model": linear}):
        own = {"scale": 0.5} if "model" in functions else {"hidden": (4,)}
        spec, config = hypergrad.configure(blobs, learning_rate=0.01, **own, **functions)
        found = hypergrad.learn(blobs, spec, config, "learning_rate", 4, iterations=2)
        found.save(path)
        again = hypergrad.Learned.load(path, **functions)
        np.testing.assert_array_equal(again.replay(blobs).loss, found.replay(blobs).loss)
        with pytest.raises(ValueError, match=r"your own.*(give that again|give the function)"):
            hypergrad.Learned.load(path)
        wrong = {"loss": squares, "model": linear}
        for name in wrong.keys() - functions.keys():
            with pytest.raises(ValueError, match="leave"):
                hypergrad.Learned.load(path, **functions, **{name: wrong[name]})


def test_a_learned_rate_is_replayed_as_its_loss_was_seen(blobs):
    """The loss before a meta-step is that of plain training with the same names of randomness."""
    spec, config = start(blobs, 0.1)
    found = hypergrad.learn(
        blobs, spec, config, "learning_rate", STEPS, iterations=1, fresh=False, mode="forward"
    )
    plain = hypergrad.hypergradient(
        blobs,
        spec,
        config,
        "learning_rate",
        STEPS,
        mode="plain",
        key=0,
    )
    assert plain.gradient == {}
    np.testing.assert_allclose(found.history.loss[0, 0], plain.loss, rtol=1e-5)


@pytest.mark.parametrize("rule", ["adam", "sign"])
def test_many_starts_meet_and_one_beyond_the_edge_is_rescued(blobs, rule):
    spec, config = start(blobs, activation="relu", momentum=0.9)
    starts = [config | {"learning_rate": rate} for rate in (0.003, 0.03, 1e4)]
    found = hypergrad.learn(
        blobs,
        spec,
        starts,
        "learning_rate",
        STEPS,
        iterations=30,
        rate=0.3,
        end_factor=0.1,
        rule=rule,
        fresh=False,
        mode="forward",
    )
    ends = found.learned["learning_rate"]
    assert found.history.rescued[:, :2].sum() == 0
    assert found.history.rescued[0, 2]
    assert np.isfinite(found.history.loss[-1]).all()
    assert ends[2] < 1e3
    alone = hypergrad.learn(
        blobs,
        spec,
        starts[:2],
        "learning_rate",
        STEPS,
        iterations=30,
        rate=0.3,
        end_factor=0.1,
        rule=rule,
        fresh=False,
        mode="forward",
    )
    np.testing.assert_allclose(ends[:2], alone.learned["learning_rate"], rtol=1e-3)
    assert found.best in (0, 1, 2)


def test_meta_steps_are_adams_and_stay_in_their_trust_region():
    rng = np.random.default_rng(0)
    place = {"learning_rate": rng.normal(size=(2, 3)), "momentum": rng.normal(size=2)}
    slopes = [{n: rng.normal(size=v.shape) for n, v in place.items()} for _ in range(5)]
    scales = {"learning_rate": "log", "momentum": "logit"}
    meta, rule = Meta(place, scales, "adam", 10.0, 0.3), optax.adam(0.1)
    theirs = {n: jnp.asarray(v, jnp.float32) for n, v in place.items()}
    state = rule.init(theirs)
    for slope in slopes:
        meta.step(np.ones(2), slope, 0.1)
        with jax.numpy_dtype_promotion("standard"):
            given = {n: jnp.asarray(v, jnp.float32) for n, v in slope.items()}
            updates, state = rule.update(given, state)
            theirs = optax.apply_updates(theirs, updates)
    for name, value in theirs.items():
        np.testing.assert_allclose(meta.coordinates[name], value, rtol=1e-4)
    short = Meta(place, scales, "adam", 10.0, 0.3)
    short.step(np.ones(2), slopes[0], 5.0)
    assert max(np.abs(short.coordinates[n] - place[n]).max() for n in place) <= 0.3 + 1e-12


def test_refusals(blobs):
    spec, config = start(blobs)
    with pytest.raises(ValueError, match="rule='newton' is none of adam, sign"):
        hypergrad.learn(blobs, spec, config, rule="newton")
    with pytest.raises(ValueError, match="iterations and seeds >= 1"):
        hypergrad.learn(blobs, spec, config, iterations=0)
    spec, config = start(blobs, 1e30, activation="relu", loss="mse")
    with pytest.raises(ValueError, match="training diverged from every start"):
        hypergrad.learn(blobs, spec, config, steps=STEPS, iterations=2, mode="forward")
    with pytest.raises(ValueError, match="30 segments for 20 steps"):
        shape("learning_rate", 0.1, 30, 20, spec)
    starts = [start(blobs)[1], start(blobs, momentum=0.9)[1]]
    with pytest.raises(ValueError, match="the starts differ in momentum"):
        hypergrad.learn(blobs, start(blobs)[0], starts, steps=STEPS)


@pytest.mark.slow
def test_the_unit_interval_of_a_range_is_a_scale(blobs, tmp_path):
    """Its gradient is that on the logarithm, stretched; steps stop at its ends; a file keeps it."""
    spec, config = start(blobs, activation="relu", momentum=0.9)
    unit = {"learning_rate": hpjax.LogUniform(1e-3, 0.1), "momentum": hpjax.Uniform(0.0, 0.99)}
    take = lambda wrt: hypergrad.hypergradient(blobs, spec, config, wrt, STEPS, mode="forward")
    mine, logs = take(unit), take({"learning_rate": "log", "momentum": "identity"})
    np.testing.assert_allclose(mine.coordinates["learning_rate"], 0.5)
    stretch = {"learning_rate": np.log(100), "momentum": 0.99}
    for name, factor in stretch.items():
        np.testing.assert_allclose(mine.gradient[name], factor * logs.gradient[name], rtol=1e-4)
    starts = [config, config | {"learning_rate": 1e-3}]
    found = hypergrad.learn(
        blobs, spec, starts, unit, STEPS, iterations=12, rate=0.2, mode="forward"
    )
    rates = np.concatenate([found.path["learning_rate"], found.learned["learning_rate"][None]])
    assert rates.max() == pytest.approx(0.1, rel=1e-6)  # where the loss falls still
    assert rates.min() == pytest.approx(1e-3, rel=1e-6)
    steep = hypergrad.learn(
        blobs,
        spec,
        config,
        {"learning_rate": hpjax.LogUniform(1e-4, 0.03)},
        STEPS,
        iterations=20,
        rate=0.2,
        mode="forward",
    )
    assert steep.values()["learning_rate"] <= 0.03  # and not one rounding beyond
    assert np.isfinite(steep.replay(blobs).loss).all()
    found.save(tmp_path / "unit.json")
    assert hypergrad.Learned.load(tmp_path / "unit.json").scales == unit
    with pytest.raises(ValueError, match=r"learning_rate=0\.01 lies outside 0.1 to 1, its range"):
        take({"learning_rate": hpjax.LogUniform(0.1, 1.0)})
    with pytest.raises(ValueError, match="is no scale; give Uniform or LogUniform"):
        take({"learning_rate": hpjax.Choice([0.1, 1.0])})


def test_a_rescued_start_goes_e_times_lower_on_every_scale():
    kinds = ("log", "identity", hpjax.LogUniform(0.01, 10.0), hpjax.Uniform(0.0, 10.0))
    for kind in kinds:
        scales = {"learning_rate": kind}
        place = encode({"learning_rate": np.array([0.5, 0.5, 0.011])}, scales)
        meta = Meta(place, scales, "adam", 10.0, 0.3)
        meta.step(np.array([1.0, np.inf, np.nan]), {"learning_rate": np.ones(3)}, 0.1)
        ends = values(meta.coordinates, scales)["learning_rate"]
        assert ends[0] != 0.5
        assert ends[1] == pytest.approx(0.5 / np.e)
        low = 0.01 if isinstance(kind, hpjax.LogUniform) else 0.0
        assert ends[2] == pytest.approx(max(0.011 / np.e, low))


@pytest.mark.slow
def test_what_was_learned_is_drawn(blobs, tmp_path):
    """Schedules over steps with a line for every layer, single values over meta-iterations, example weights sorted."""
    spec, config = start(blobs)
    config |= {"learning_rate": np.full((2, 2), 0.01)}
    wrt = ("learning_rate", "momentum", "data_weights")
    found = hypergrad.learn(
        blobs,
        spec,
        [config] * 2,
        wrt,
        STEPS,
        iterations=3,
        segments={"learning_rate": 4},
        mode="mixed",
    )
    first = report.learned(found, tmp_path / "learned")
    again = report.learned(found, tmp_path / "again")
    assert [f.suffix for f in first] == [".png", ".svg"]
    for one, other in zip(first, again):
        assert one.read_bytes() == other.read_bytes()
    svg = first[1].read_text()
    for text in ("layer 2", "biases", "momentum", "number, sorted", "other starts"):
        assert text in svg
