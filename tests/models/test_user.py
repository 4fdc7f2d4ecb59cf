"""A user's own networks: trained as a loop by hand trains them, in every search and scheduler, resumed, differentiated, refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import hpjax
from hpjax import catalogue, configurations, hypergrad, randomness, tasks
from hpjax.models import Model, Number
from hpjax.models.base import Target
from hpjax.search import SEARCHES
from hpjax.training import batches

quiet = dict(say=lambda text: None)


def build(width, activation="tanh"):
    """Two layers with dropout of its own and a temperature."""
    squash = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation]

    def init(key, x):
        first, second = jax.random.split(key)
        w = jax.random.normal(first, (x.shape[1], width)) / x.shape[1] ** 0.5
        return {
            "w": w,
            "b": jnp.zeros(width),
            "v": jax.random.normal(second, (width, 3)) / width**0.5,
        }

    def apply(params, x, *, key, train, tau):
        h = squash(x @ params["w"] + params["b"])
        if train:
            h = h * jax.random.bernoulli(key, 0.9, h.shape).astype(h.dtype) / 0.9
        return tau * (h @ params["v"])

    return Model(init, apply, {"tau": Number(1.0, 0.0)})


def plain(width):
    """The least that a network is."""

    def init(key, x):
        return jax.random.normal(key, (x.shape[1], 3)) / width

    return Model(init, lambda params, x: x @ params)


SPACE = {
    "width": hpjax.Choice([4, 6]),
    "activation": hpjax.Choice(["relu", "tanh"]),
    "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
    "tau": hpjax.LogUniform(0.3, 3.0),
}


@pytest.mark.slow
def test_a_population_trains_as_a_loop_with_optax_does():
    """The oracle knows nothing of hpjax but the order of minibatches and the keys: init and apply, momentum and l2 by optax and jax.grad."""
    values = dict(
        width=5,
        tau=0.7,
        learning_rate=0.03,
        l2=0.01,
        optimizer="sgd",
        momentum=0.9,
        dtype="float64",
        batch_size=16,
    )
    result = hpjax.tune(values, "iris", model=build, validation={"repeats": 2}, epochs=4, **quiet)
    task = tasks.load("iris")
    with jax.enable_x64(True):
        examples = batches.examples_of(task, tasks.splits(task, 1, 0))
        spec, _ = configurations.single_network(
            Target(4, 3, "cross_entropy", 4),
            family=catalogue.family_of(build, {"width": [5]}, 4, 3),
            **values,
        )
        data = batches.keyed(batches.prepare(examples, 2, (0,), 4, spec), jnp.uint32(0))
        model, losses = build(5), []
        for repeat in range(2):
            words = randomness.words((0, repeat, 0, 0, randomness.INIT), 2)
            key = jax.random.wrap_key_data(words, impl="threefry2x32")
            params = jax.tree.map(lambda a: a.astype(float), model.init(key, jnp.zeros((1, 4))))
            rule = optax.sgd(0.03, momentum=0.9)
            state = rule.init(params)

            def loss(params, x, y, key):
                z = model.apply(params, x, key=key, train=True, tau=0.7)
                decay = (params["w"] ** 2).sum() + (params["v"] ** 2).sum()
                return optax.softmax_cross_entropy(z, y).mean() + 0.005 * decay

            for epoch in range(4):
                rows = data.order[repeat, epoch].reshape(-1, 16)
                for number, row in enumerate(rows):
                    x, y = batches.inputs(spec, data, repeat, row)
                    name = jax.random.fold_in(jax.random.fold_in(data.key[repeat], epoch), number)
                    grads = jax.grad(loss)(params, x, y, jax.random.fold_in(name, 1))
                    moves, state = rule.update(grads, state, params)
                    params = optax.apply_updates(params, moves)
            x, y = batches.inputs(spec, data, repeat, data.valid[repeat])
            z = model.apply(params, x, key=None, train=False, tau=0.7)
            losses.append(float(optax.softmax_cross_entropy(z, y).mean()))
    np.testing.assert_allclose(result.best["loss"], np.mean(losses), rtol=1e-9)


@pytest.mark.parametrize(
    "search",
    [
        name if name == "random" else pytest.param(name, marks=pytest.mark.slow)
        for name in sorted(set(SEARCHES) - {"gradient", "gradient_renewed"})
    ],
)
def test_every_search_takes_them(search):
    found = hpjax.tune(
        SPACE, "iris", model=build, search=search, levels=2, trials=8, epochs=2, **quiet
    )
    assert len(found.trials) == 8
    assert np.isfinite(found.best["loss"])
    assert set(found.trials["parameters"]) <= {4 * w + w + 3 * w for w in (4, 6)}


@pytest.mark.parametrize(
    "scheduler",
    [
        pytest.param(hpjax.halving(((1, 6), (3, 2))), marks=pytest.mark.slow),
        pytest.param(hpjax.median(4, 2), marks=pytest.mark.slow),
        pytest.param(hpjax.pbt(population=4, epochs=4, every=2), marks=pytest.mark.slow),
    ],
    ids=lambda made: made.settings["name"],
)
def test_a_run_that_was_cut_goes_on_with_its_function(tmp_path, scheduler):
    space = SPACE | (
        {"width": 4, "activation": "relu"} if scheduler.settings["name"] == "pbt" else {}
    )
    options = dict(scheduler=scheduler, validation=2, out=tmp_path / "run", **quiet)
    hpjax.tune(space, "iris", model=build, **options)
    path = tmp_path / "run" / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    hpjax.resume(tmp_path / "run", model=build, **quiet)
    assert path.read_bytes() == whole


@pytest.mark.slow
def test_comparisons_confirmations_and_networks(tmp_path):
    found = hpjax.compare(
        ["random", "tpe"],
        SPACE,
        "iris",
        model=build,
        seeds=2,
        stop={"trials": 4},
        epochs=3,
        out=tmp_path / "c",
        **quiet,
    )
    alone = hpjax.tune(
        SPACE, "iris", model=build, trials=4, epochs=3, out=tmp_path / "run", **quiet
    )
    in_it = found.studies["random"][0]
    np.testing.assert_allclose(in_it.trials["loss"], alone.trials["loss"], rtol=1e-5)
    again = hpjax.resume_comparison(tmp_path / "c", model=build, **quiet)
    assert again.table["median"].equals(found.table["median"])
    confirmed = hpjax.confirm(alone, top=2, repeats=2, **quiet)
    assert len(confirmed.table) == 2
    network = alone.refit()
    assert "build(activation=" in repr(network)
    task = alone.task
    assert network.predict_proba(task.x[task.test]).shape == (30, 3)
    later = hpjax.open_run(tmp_path / "run", **quiet)
    assert later.trials["parameters"].isna().all()
    with pytest.raises(ValueError, match="give them again"):
        later.refit()
    later = hpjax.open_run(tmp_path / "run", model=build, **quiet)
    np.testing.assert_array_equal(later.refit().predict(task.x), network.predict(task.x))
    fitted = hpjax.fit(task, {"width": 4, "learning_rate": 0.05}, epochs=20, model=build)
    assert fitted.score(task.x[task.test], task.truth(task.test)) > 0.7


@pytest.mark.parametrize(
    "mode",
    ["reverse", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("mixed", "forward"))],
)
def test_hypergradients_of_own_numbers_are_those_of_finite_differences(mode):
    task = tasks.load("iris")
    spec, config = hypergrad.configure(
        task,
        model=build,
        width=5,
        learning_rate=0.05,
        l2=1e-3,
        optimizer="sgd",
        momentum=0.5,
        dtype="float64",
        batch_size=16,
    )
    names = {"tau": "identity", "learning_rate": "identity", "l2": "identity"}
    found = hypergrad.hypergradient(task, spec, config, names, 20, mode=mode)
    for name in names:
        at = lambda value, name=name: float(
            hypergrad.hypergradient(
                task, spec, config | {name: value}, names, 20, mode="plain"
            ).loss
        )
        step = 1e-5
        naive = (at(config[name] + step) - at(config[name] - step)) / (2 * step)
        np.testing.assert_allclose(found.gradient[name], naive, rtol=1e-6)


@pytest.mark.slow
def test_own_numbers_are_learned():
    task = tasks.load("iris")
    spec, config = hypergrad.configure(task, model=build, width=5, optimizer="sgd", batch_size=0)
    learned = hypergrad.learn(
        task, spec, config, ["tau", "learning_rate"], steps=20, iterations=4, rate=0.2
    )
    assert set(learned.values()) == {"tau", "learning_rate"}


@pytest.mark.slow
def test_search_gradient_moves_their_numbers():
    space = {n: v for n, v in SPACE.items() if n in ("learning_rate", "tau")} | {
        "width": 4,
        "optimizer": "sgd",
    }
    found = hpjax.tune(space, "iris", model=build, search="gradient", trials=6, epochs=3, **quiet)
    assert len(found.trials) == 6
    assert all(
        len(record["grad"][0]) == 2 for record in found.records if record["kind"] == "report"
    )


def test_the_least_is_enough_and_a_model_needs_no_function():
    for model in (plain, lambda width: (plain(width).init, plain(width).apply)):
        found = hpjax.tune(
            {"width": 2, "learning_rate": hpjax.LogUniform(1e-2, 1.0)},
            "iris",
            model=model,
            trials=3,
            epochs=3,
            **quiet,
        )
        assert found.best["loss"] < 1.2
    found = hpjax.tune(None, "iris", model=plain(1), trials=3, epochs=3, **quiet)
    assert list(found.best["config"]) == ["learning_rate"]


def test_inputs_and_outputs_are_told_where_they_are_asked_for():
    def linear(inputs, outputs):
        return Model(lambda key, x: jnp.zeros((inputs, outputs)), lambda params, x: x @ params)

    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    for y in (x @ np.ones((3, 2)), (x[:, 0] > 0).astype(int)):
        found = hpjax.tune(
            {"learning_rate": 0.1},
            (x, y),
            model=linear,
            validation={"repeats": 2},
            epochs=20,
            **quiet,
        )
        assert found.best["error"] < 0.2


def test_a_state_that_is_not_trained_is_carried_along():
    def counting():
        def init(key, x):
            return jnp.zeros((x.shape[1], 3)), {"steps": jnp.zeros((), jnp.int32)}

        def apply(params, state, x, *, train):
            return x @ params, {"steps": state["steps"] + int(train)}

        return Model(init, apply, stateful=True)

    task = tasks.load("iris")
    network = hpjax.fit(task, {"learning_rate": 0.1, "batch_size": 40}, epochs=3, model=counting)
    assert network.stats["steps"] == 3 * 3  # 120 examples


def wrong_outputs(width):
    return Model(lambda key, x: jnp.zeros((x.shape[1], width)), lambda params, x: x @ params)


def whole_numbers(width):
    return Model(lambda key, x: jnp.zeros((x.shape[1], 3), int), lambda params, x: x @ params)


def takes_the_learning_rate(learning_rate):
    return plain(1)


@pytest.mark.parametrize(
    ("model", "space", "message"),
    [
        (
            wrong_outputs,
            {"width": 2},
            r"wrong_outputs\(width=2\) gives outputs \[7, 2\] for 7 examples, but the task needs \[7, 3\]",
        ),
        (whole_numbers, {"width": 2}, "params are real numbers"),
        (
            takes_the_learning_rate,
            {"learning_rate": 0.1},
            "learning_rate of takes_the_learning_rate is a hyperparameter of training",
        ),
        (build, {"learning_rate": 0.1}, "build needs width; give it in the space"),
        (build, {"width": 4, "depth": 2}, "unknown hyperparameter 'depth'"),
        (build, {"width": hpjax.Uniform(1.0, 4.0)}, "width changes the shape of a network"),
        (build, {"width": 4, "tau": -1.0}, r"tau must be a number in \[0, inf\], got -1"),
        (lambda width: 3, {"width": 4}, "must return a hpjax.Model, got 3"),
        (3, {"width": 4}, "model must be a function that returns a hpjax.Model, got 3"),
        (lambda **named: plain(1), {"width": 4}, "name its hyperparameters one by one"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(model, space, message):
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1)} | space
    with pytest.raises(ValueError, match=message) as fault:
        hpjax.tune(space, "iris", model=model, trials=2, epochs=1, **quiet)
    assert "\n" not in str(fault.value)


def test_a_model_refuses_what_apply_does_not_take():
    with pytest.raises(
        ValueError, match=r"apply has no parameter 'tau'; write apply\(params, x, \*, tau\)"
    ):
        Model(plain(1).init, lambda params, x: x, {"tau": Number(1.0)})
    with pytest.raises(ValueError, match="has the default 2 outside 0 to 1"):
        Model(plain(1).init, lambda params, x, tau: x, {"tau": Number(2.0, 0.0, 1.0)})


@pytest.mark.slow
def test_a_run_refuses_another_function(tmp_path):
    hpjax.tune(
        SPACE, "iris", model=build, trials=4, batch=2, epochs=1, out=tmp_path / "run", **quiet
    )
    path = tmp_path / "run" / "ledger.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(hpjax.RunError, match="was made with model build; give that again"):
        hpjax.resume(tmp_path / "run", **quiet)
    with pytest.raises(hpjax.RunError, match="searched networks of build, not of plain"):
        hpjax.resume(tmp_path / "run", model=plain, **quiet)

    @functools.wraps(build)
    def other(width, activation="tanh"):
        made = build(2 * width, activation)
        return Model(made.init, made.apply, made.hyperparameters)

    with pytest.raises(ValueError, match="has other weights than the run began with"):
        hpjax.resume(tmp_path / "run", model=other, **quiet)
    hpjax.tune(
        {"learning_rate": 0.1, "hidden": hpjax.Choice([(2,), (3,)])},
        "iris",
        trials=2,
        epochs=1,
        out=tmp_path / "mlp",
        **quiet,
    )
    with pytest.raises(hpjax.RunError, match="has multilayer perceptrons; leave model out"):
        hpjax.open_run(tmp_path / "mlp", model=build, **quiet)


def test_structural_values_of_other_types_are_other_networks():
    """1, True and 1.0 are equal to Python, but not to a build function."""

    def typed(which):
        def init(key, x):
            return jnp.full((x.shape[1], 3), {int: 0.0, bool: 0.1, float: 0.2}[type(which)])

        return Model(init, lambda params, x: x @ params)

    start = {}
    for value in (1, True, 1.0):
        trained = hpjax.train(
            {"which": value, "learning_rate": 0.0}, "iris", 1, model=typed, **quiet
        )
        start[type(value)] = float(np.ravel(trained.network().params)[0])
    assert start == pytest.approx({int: 0.0, bool: 0.1, float: 0.2})
    both = hpjax.train([{"which": 1}, {"which": 1.0}], "iris", 1, model=typed, **quiet)
    assert both.shape(0)[0] != both.shape(1)[0]


def test_what_a_build_function_refers_to_may_change_between_studies():
    """As when the cell of a notebook that defines a module is run again."""
    scale = {"now": 1.0}

    def build():
        factor = scale["now"]
        return Model(lambda key, x: jnp.eye(4, 3), lambda params, x: factor * (x @ params))

    def loss():
        trained = hpjax.train({"learning_rate": 0.0}, "iris", 1, model=build, **quiet)
        return float(trained.table["loss"].iloc[0])

    assert loss() != pytest.approx(np.log(3))
    scale["now"] = 0.0
    assert loss() == pytest.approx(np.log(3))


def test_none_is_the_default_or_refused():
    def build(depth=None):
        return Model(lambda key, x: jnp.ones((x.shape[1], 3)), lambda params, x: x @ params)

    def other(depth=2):
        return build(depth)

    space = {"depth": hpjax.Choice([None, 3]), "learning_rate": 0.1}
    assert len(hpjax.tune(space, "iris", model=build, search="grid", epochs=1, **quiet).trials) == 2
    with pytest.raises(ValueError, match="None means the default of depth"):
        hpjax.tune(space, "iris", model=other, search="grid", epochs=1, **quiet)


def test_the_task_decides_inputs_and_outputs():
    seen = set()

    def build(inputs, outputs):
        seen.add((inputs, outputs))
        shape = (inputs, outputs)
        return Model(lambda key, x: jnp.ones(shape), lambda params, x: x @ params)

    hpjax.train({}, "iris", 1, model=build, **quiet)
    assert seen == {(4, 3)}


def test_copies_that_fill_a_minibatch_are_told():
    """96 examples of iris train: of the last minibatch of 50, four are copies."""

    def apply(params, state, x, *, train, weight):
        if train:
            return x @ params, state + weight.sum()
        assert weight is None
        return x @ params, state

    init = lambda key, x: (jnp.ones((4, 3)), jnp.zeros(()))
    trained = hpjax.train(
        {"batch_size": 50}, "iris", 2, model=Model(init, apply, stateful=True), **quiet
    )
    assert np.ravel(trained.states().stats).tolist() == [192.0]


def test_a_tuple_that_is_structural_for_a_users_model_is_not_taken_for_values_of_layers():
    def build(widths):
        def init(key, x):
            return jnp.zeros((x.shape[1], 3 * len(widths)))

        return Model(init, lambda params, x: x @ params[:, :3])

    with pytest.raises(ValueError, match="nothing varies") as caught:
        hpjax.tune({"widths": (4, 8), "learning_rate": 0.1}, "iris", model=build, **quiet)
    assert "per layer" not in str(caught.value)
    assert "Choice([0.1, 0.01])" in str(caught.value)
