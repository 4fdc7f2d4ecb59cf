"""A member of a population, padded or not, in any block, on any devices, equals the member alone."""

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpjax import configurations, resolve, workload
from hpjax.evaluation import Evaluation
from hpjax.models import MLP
from hpjax.models.base import Target, cast
from hpjax.population import Population, Regime, plan
from hpjax.population.executor import LocalExecutor
from hpjax.schedulers.base import Order
from hpjax.settings import Networks
from hpjax.tasks import Split, Task
from hpjax.training import batches, loop, stepping

EPOCHS = 4


def uneven_folds(task):
    rows = task.development
    cut = len(rows) // 3
    return (Split(rows[cut:], rows[:cut]), Split(rows[: 2 * cut - 7], rows[2 * cut :]))


@functools.cache
def jitted(spec, uneven):
    trainer = loop.Trainer(spec, 1, EPOCHS, uneven=uneven)
    return jax.jit(trainer.init), jax.jit(trainer.advance)


def alone(task, folds, values, epochs, group=0, repeats=1, stops=None):
    """One network by training/loop.py only: no population, no vmap, its exact shape."""
    target = Target(task.inputs, task.outputs, task.loss, EPOCHS)
    spec, config = configurations.single_network(target, **values)
    examples = batches.examples_of(task, folds)
    data = batches.prepare(examples, repeats, (0,), EPOCHS, spec)
    with jax.enable_x64(spec.dtype == "float64"):
        init, advance = jitted(spec, batches.uneven(examples, spec))
        data = batches.keyed(data, jnp.uint32(0))
        config = cast(config, spec)
        fold, repeat = divmod(group, repeats)
        state = init(batches.drawn(0, repeat, fold, 0, spec), config)
        for stop in stops or [epochs]:
            state, _ = advance(state, config, data, jnp.int32(group), jnp.int32(stop))
        return jax.tree.map(np.asarray, state)


def population(task, folds, space, programs, devices=None, repeats=1):
    space = resolve.as_space(space)
    target = Target(task.inputs, task.outputs, task.loss, EPOCHS)
    load = plan.Load(
        8,
        len(folds) * repeats,
        EPOCHS,
        max(len(f.train) for f in folds),
        max(len(f.valid) for f in folds),
        1,
    )
    found = jax.devices()[: devices or 2]
    regime = Regime(target, batches.examples_of(task, folds), MLP, repeats=repeats)
    return Population(space, regime, programs, load, local_devices=found)


def order(trials, units, epochs, sources=None):
    trials = np.asarray(trials)
    sources = np.full(len(trials), -1) if sources is None else np.asarray(sources)
    return Order(
        trials,
        units,
        sources,
        np.broadcast_to(epochs, trials.shape).copy(),
        np.zeros(len(trials), int),
    )


def program_for(specs, chunk, chunks, devices):
    return plan.Program(specs[0].joined(specs), chunk, chunks, devices)


CONFIGS = [
    {"width_1": 8, "width_2": 5, "activation": "tanh", "learning_rate": 0.01},
    {"width_1": 3, "width_2": 7, "activation": "sigmoid", "learning_rate": 0.05},
    {
        "width_1": 6,
        "width_2": 6,
        "activation": "softmax",
        "learning_rate": 0.02,
    },  # residual: agrees only unpadded
]
EXTRAS = [  # the second by default, the others with -m slow
    {},
    {"optimizer": "sgd", "momentum": 0.9, "l2": 1e-3, "l1": 1e-4, "schedule": "cosine"},
    {"optimizer": "adamw", "weight_decay": 0.1, "normalization": "batch", "bias": False},
    {"dropout": 0.3, "input_noise": 0.1, "clip_norm": 0.5},
    {"residual": True, "optimizer": "adagrad", "parametrization": "mup"},
    {"optimizer": "rmsprop", "schedule": "warmup_cosine"},
    {"optimizer": "nesterov", "momentum": 0.8, "normalization": "layer", "label_smoothing": 0.1},
    {"optimizer": "damped", "momentum": 0.5, "parametrization": "mean_field"},
    {"batch_size": 0, "optimizer": "sgd"},
    {"sampling": "replacement", "optimizer": "adam", "init": "xavier"},
]


def assert_member_alone(
    task, extra, dtype, tolerance, chunk, chunks, devices, epochs, names=("params",)
):
    folds = uneven_folds(task)
    common = {"batch_size": 16, "dtype": dtype} | extra
    space = {
        name: {"choice": sorted({c[name] for c in CONFIGS}, key=str)} for name in CONFIGS[0]
    } | common
    target = Target(task.inputs, task.outputs, task.loss, EPOCHS)
    specs = [configurations.single_network(target, **config, **common)[0] for config in CONFIGS]
    trained = population(task, folds, space, (program_for(specs, chunk, chunks, devices),), devices)
    units = trained.space.encode({name: [c[name] for c in CONFIGS] for name in CONFIGS[0]})
    results = trained.carry_out(order(range(len(CONFIGS)), units, epochs))
    assert len(trained.programs) == 1
    for trial, (config, until) in enumerate(zip(CONFIGS, np.broadcast_to(epochs, len(CONFIGS)))):
        for group in range(2):
            one = alone(task, folds, config | common, int(until), group)
            member = jax.tree.map(operator.itemgetter(group), trained.networks(trial))
            np.testing.assert_allclose(
                results.loss[trial, group], one.scores.loss, rtol=tolerance, atol=tolerance
            )
            assert (
                results.error[trial, group] == pytest.approx(one.scores.error, abs=1e-6)
                or dtype == "float32"
            )
            assert results.reached[trial, group] == until == one.epoch
            if dtype == "float64":
                for ours, theirs in zip(member.params, one.params):
                    for leaf in theirs:
                        cut = tuple(slice(0, n) for n in theirs[leaf].shape)
                        np.testing.assert_allclose(
                            ours[leaf][cut], theirs[leaf], rtol=tolerance, atol=tolerance
                        )


@pytest.mark.parametrize(
    "extra",
    [
        *EXTRAS[1:2],
        *(
            pytest.param(extra, marks=pytest.mark.slow)
            for extra in EXTRAS
            if extra is not EXTRAS[1]
        ),
    ],
    ids=str,
)
def test_member_equals_member_alone_in_float64(blobs, extra):
    assert_member_alone(blobs, extra, "float64", 1e-9, 2, 2, 2, np.array([3, 1, 3]))


@pytest.mark.parametrize(
    ("chunk", "chunks", "devices"),
    [
        (8, 1, 1),
        (4, 3, 2),
        *(pytest.param(*block, marks=pytest.mark.slow) for block in ((1, 1, 1), (1, 2, 2))),
    ],
)
def test_any_block_width_and_any_devices(blobs, chunk, chunks, devices):
    assert_member_alone(blobs, {}, "float64", 1e-9, chunk, chunks, devices, 3)


@pytest.mark.parametrize(
    ("optimizer", "tolerance"),
    [
        pytest.param("sgd", 1e-4, marks=pytest.mark.slow),
        pytest.param("adam", 1e-3, marks=pytest.mark.slow),
        pytest.param("rmsprop", 1e-3, marks=pytest.mark.slow),
    ],
)
def test_member_equals_member_alone_in_float32_after_an_epoch(blobs, optimizer, tolerance):
    assert_member_alone(blobs, {"optimizer": optimizer}, "float32", tolerance, 2, 1, 2, 1)


def test_above_32769_rows():
    """Trap: silently wrong sums were reported for some batched programs of more than 32,768 rows (jax#39103)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(41_000, 3))
    task = Task.of(x, (x @ [1.0, -2.0, 0.5] > 0).astype(int), "many", test=0.0)
    rows = np.arange(len(x))
    folds = (Split(rows[:33_500], rows[33_500:]), Split(rows[500:], rows[:500]))
    values = {
        "hidden": (4,),
        "batch_size": 0,
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "dtype": "float64",
    }
    target = Target(3, 1, "bce", EPOCHS)
    spec, _ = configurations.single_network(target, **values)
    trained = population(task, folds, values, (plan.Program(spec, 2, 1, 2),))
    results = trained.carry_out(order([0, 1, 2], np.zeros((3, 0)), 3))
    for group in range(2):
        one = alone(task, folds, values, 3, group)
        np.testing.assert_allclose(results.loss[:, group], one.scores.loss, rtol=1e-9)


@pytest.mark.parametrize(("count", "valid"), [(40_000, 4), (600, 360), (40, 9_000)])
def test_members_of_a_planned_population_equal_the_member_alone(count, valid):
    """Trap: jaxlib 0.10.2 sums rows wrongly when chunk x examples exceeds 32,768; the plan must stay below."""
    rng = np.random.default_rng(0)
    y = np.arange(8 + valid) % 3
    task = Task.of(rng.normal(size=(8 + valid, 5)) + y[:, None], y, "rows", test=0.0)
    folds = (Split(np.arange(8), np.arange(8, 8 + valid)),)
    values = {"hidden": (2,), "batch_size": 0, "optimizer": "sgd"}
    spec, _ = configurations.single_network(Target(5, 3, "cross_entropy", EPOCHS), **values)
    load = plan.Load(count, 1, EPOCHS, 8, valid, 1)
    programs = plan.make([spec], [1.0], load, 2)
    trained = population(task, folds, values | {"learning_rate": {"uniform": [0.1, 1.0]}}, programs)
    units = np.linspace(0, 1, count)[:, None]
    results = trained.carry_out(order(range(count), units, 2))
    for trial in (0, count // 2 - 1, min(count, 32_770) - 1, count - 1):
        rate = trained.space.decode(units[trial : trial + 1])["learning_rate"][0]
        one = alone(task, folds, values | {"learning_rate": float(rate)}, 2)
        np.testing.assert_allclose(results.loss[trial, 0], one.scores.loss, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra", [{}, {"patience": 1.0}, {"dropout": 0.2}, {"normalization": "batch"}], ids=str
)
def test_advance_of_a_sum_is_the_sum_of_advances(blobs, extra):
    folds = uneven_folds(blobs)
    values = {
        "hidden": (6,),
        "batch_size": 16,
        "dtype": "float64",
        "schedule": "cosine",
        "learning_rate": 0.02,
    } | extra
    once, twice = (alone(blobs, folds, values, 4, stops=stops) for stops in ([4], [1, 3, 4]))
    jax.tree.map(np.testing.assert_array_equal, once, twice)


def test_a_later_rung_goes_on_and_rates_and_rounds_compile_nothing(blobs):
    folds = uneven_folds(blobs)
    values = {"hidden": (9,), "batch_size": 16}
    spec, _ = configurations.single_network(Target(5, 3, "cross_entropy", EPOCHS), **values)
    space = values | {"learning_rate": {"log_uniform": [1e-3, 1.0]}}
    trained = population(blobs, folds, space, (plan.Program(spec, 2, 1, 2),))
    units = np.linspace(0, 1, 6)[:, None]
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **more: compiled.append(name) if "backend_compile" in name else None
    )
    trained.carry_out(order(range(6), units, 1))
    assert compiled
    first = len(compiled)
    # in the same places of a block: on some processors vectors round otherwise from place to place
    later = trained.carry_out(order([0, 1], units[:2], 3, sources=[0, 1]))
    trained.carry_out(order(range(6, 12), units * 0.9, 2))
    assert len(compiled) == first
    straight = trained.carry_out(order([20, 21], units[:2], 3))
    np.testing.assert_array_equal(later.loss, straight.loss)
    assert np.isfinite(later.curves[..., 1:, 2][:, :, :2]).all()


@pytest.mark.slow
def test_a_living_network_stays_in_its_program_though_a_cheaper_one_is_added(blobs):
    """Broke `compare`: 3-3 lived in the program of 20-3, then 3-20 came and its program was cheaper for 3-3."""
    folds = uneven_folds(blobs)
    values = {"depth": 2, "batch_size": 16, "dtype": "float64"}
    space = values | {name: {"choice": [3, 20]} for name in ("width_1", "width_2")}
    wide, _ = configurations.single_network(
        Target(5, 3, "cross_entropy", EPOCHS), **values, width=20
    )
    trained = population(blobs, folds, space, (plan.Program(wide, 2, 1, 2),))
    shapes = [(20, 3), (3, 3), (3, 20), (20, 20)]
    units = trained.space.encode(dict(zip(("width_1", "width_2"), zip(*shapes))))
    trained.carry_out(order(range(3), units[:3], 1))
    results = trained.carry_out(order([1, 3], units[[1, 3]], 2, sources=[1, -1]))
    for row, shape in ((0, shapes[1]), (1, shapes[3])):
        one = alone(blobs, folds, values | dict(zip(("width_1", "width_2"), shape)), 2)
        np.testing.assert_allclose(results.loss[row, 0], one.scores.loss, rtol=1e-9)


def test_exploiting_copies_weights_and_uses_the_new_rate(blobs):
    """PBT's trap (ray#62173): after exploiting, the effective learning rate is the recorded one."""
    folds = uneven_folds(blobs)[:1]
    values = {"hidden": (6,), "batch_size": 0, "optimizer": "sgd"}
    spec, _ = configurations.single_network(Target(5, 3, "cross_entropy", EPOCHS), **values)
    space = values | {"learning_rate": {"uniform": [0.0, 1.0]}}
    trained = population(blobs, folds, space, (plan.Program(spec, 2, 1, 2),))
    trained.carry_out(order([0, 1], np.array([[0.5], [0.1]]), 1))
    before = jax.tree.map(np.array, trained.networks(0))
    other = jax.tree.map(np.array, trained.networks(1))
    # both at once: 0 goes on from 1 while 1 goes on from 0, at rates 0 and 0.25
    trained.carry_out(order([0, 1], np.array([[0.0], [0.25]]), 2, sources=[1, 0]))
    np.testing.assert_array_equal(trained.networks(0).params[0]["w"], other.params[0]["w"])
    moved = trained.networks(1).params[0]["w"] - before.params[0]["w"]
    trained.carry_out(order([2], np.array([[0.5]]), 1))
    trained.carry_out(order([2], np.array([[0.5]]), 2, sources=[2]))
    full = trained.networks(2).params[0]["w"] - before.params[0]["w"]
    np.testing.assert_allclose(moved, full / 2, rtol=1e-4, atol=1e-7)


def test_divergence_is_seen_and_touches_no_neighbour(blobs):
    folds = uneven_folds(blobs)[:1]
    values = {"hidden": (6,), "batch_size": 16, "optimizer": "sgd", "loss": "mse"}
    spec, _ = configurations.single_network(Target(5, 3, "cross_entropy", EPOCHS), **values)
    rates = {"learning_rate": {"choice": [0.01, 1e6, 0.02]}}
    trained = population(blobs, folds, values | rates, (plan.Program(spec, 4, 1, 2),))
    units = trained.space.encode({"learning_rate": [0.01, 1e6, 0.02]})
    mixed = trained.carry_out(order([0, 1, 2], units, 4))
    calm = trained.carry_out(order([3, 5], units[[0, 2]], 4))
    np.testing.assert_array_equal(mixed.loss[[0, 2]], calm.loss)
    assert not np.isfinite(mixed.loss[1]).any()
    report = workload.report_of(mixed, Evaluation(Networks(task=None), MLP), np.ones(3, bool))
    assert report.columns["diverged"][1] >= 1
    assert (report.columns["diverged"][[0, 2]] == 0).all()


def test_out_of_memory_halves_the_block(blobs, monkeypatch):
    folds = uneven_folds(blobs)
    values = {"hidden": (6,), "batch_size": 16}
    spec, _ = configurations.single_network(Target(5, 3, "cross_entropy", EPOCHS), **values)
    said = []
    trained = population(
        blobs,
        folds,
        values | {"learning_rate": {"uniform": [0.0, 1.0]}},
        (plan.Program(spec, 4, 2, 2),),
    )
    trained.say = said.append
    units = np.linspace(0.01, 0.1, 7)[:, None]
    expected = population(
        blobs,
        folds,
        values | {"learning_rate": {"uniform": [0.0, 1.0]}},
        (plan.Program(spec, 4, 2, 2),),
    ).carry_out(order(range(7), units, 2))
    run = LocalExecutor._run

    def failing(self, block, leaves):
        if block.program.width > 8:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return run(self, block, leaves)

    monkeypatch.setattr(LocalExecutor, "_run", failing)
    results = trained.carry_out(order(range(7), units, 2))
    assert said == ["hpjax: out of memory; blocks of 8 networks instead of 16"]
    np.testing.assert_allclose(results.loss, expected.loss, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 100])
def test_the_probe_of_an_accelerator_finds_the_knee(blobs, monkeypatch, limit):
    """Driven on CPU devices, with invented times: throughput grows until 256 networks, and memory may end before."""
    folds = uneven_folds(blobs)
    values = {"hidden": (6,), "batch_size": 16}
    spec, _ = configurations.single_network(Target(5, 3, "cross_entropy", EPOCHS), **values)
    space = values | {"learning_rate": {"uniform": [0.0, 1.0]}}
    trained = population(blobs, folds, space, (plan.Program(spec, 4096, 1, 1),), 1)
    real, tried = Population._epoch_seconds, []

    def timed(self, number, config):
        assert real(self, number, config) > 0
        width = self.programs[number].chunk
        tried.append(width)
        if limit and width > limit:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return 1.0 if width <= 256 else width / 256

    monkeypatch.setattr(Population, "_epoch_seconds", timed)
    trained.probe(np.linspace(0, 1, 3)[:, None])
    assert tried == ([64, 256, 1024] if limit is None else [64, 256])
    assert trained.programs[0].chunk == (256 if limit is None else 64)
    results = trained.carry_out(order(range(5), np.linspace(0.01, 0.1, 5)[:, None], 1))
    assert np.isfinite(results.loss).all()


def test_early_stopping_keeps_the_best_epochs_weights(blobs):
    folds = uneven_folds(blobs)
    values = {"hidden": (16,), "batch_size": 4, "learning_rate": 0.3, "patience": 1.0}
    state = alone(blobs, folds, values, 4)
    assert state.best.stopped
    assert state.best.epoch == state.epoch - 1
    at_best = alone(blobs, folds, values, int(state.best.epoch))
    jax.tree.map(np.testing.assert_array_equal, state.best.params, at_best.params)


def test_finished_networks_are_dropped(blobs):
    folds = uneven_folds(blobs)
    values = {"hidden": (6,), "batch_size": 16}
    spec, _ = configurations.single_network(Target(5, 3, "cross_entropy", EPOCHS), **values)
    trained = population(blobs, folds, values, (plan.Program(spec, 2, 1, 2),))
    trained.carry_out(order(range(6), np.zeros((6, 0)), 1))
    trained.release(np.arange(5))
    assert list(trained.home) == [5]
    trained.release(np.array([5]))
    assert all(len(pool.leaves[0]) == 0 for pool in trained.store.pools.values())


def test_gradients_by_hand_and_by_autodiff_train_alike(blobs):
    folds = uneven_folds(blobs)
    target = Target(5, 3, "cross_entropy", EPOCHS)
    spec, config = configurations.single_network(
        target, hidden=(6,), batch_size=16, dtype="float64"
    )
    examples = batches.examples_of(blobs, folds)
    with jax.enable_x64(True):
        data = jax.jit(batches.keyed)(
            batches.prepare(examples, 1, (0,), EPOCHS, spec), jnp.uint32(0)
        )
        config = cast(config, spec)
        ends = []
        for gradients in stepping.GRADIENTS:
            trainer = loop.Trainer(spec, 1, EPOCHS, gradients)
            state = trainer.init(batches.drawn(0, 0, 0, 0, spec), config)
            ends.append(
                jax.jit(trainer.advance)(state, config, data, jnp.int32(0), jnp.int32(3))[0].params
            )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *ends)


def test_padding_is_refused_for_orthogonal_weights():
    target = Target(5, 3, "cross_entropy", EPOCHS)
    narrow, wide = (
        configurations.single_network(target, hidden=(n,), init="orthogonal")[0] for n in (4, 8)
    )
    assert not dataclasses.replace(wide, masked=True).covers(narrow)
