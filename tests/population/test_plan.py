"""Plans: how wide a block is, for what trains together."""

import numpy as np
import pytest

import hpjax
from hpjax import configurations
from hpjax.models.base import Target
from hpjax.population import plan
from hpjax.resolve import as_evaluation
from hpjax.workload import Workload

quiet = {"say": lambda text: None}


def spec(*hidden):
    return configurations.single_network(Target(64, 10, "cross_entropy", 9), hidden=hidden)[0]


def chunk(load, *hidden, devices=2):
    return plan.chunk_of(spec(*hidden), 1.0, load, devices)


LOAD = plan.Load(64, 1, 9, 1000, 200, 1)


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("hidden", [(8,), (64,), (256, 256)])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"orders": ((0, 9),), "batch": 8},
        {"orders": ((27, 1), (9, 2), (3, 6), (1, 18)), "trials": 27},
        {"orders": ((64, 20),), "trials": 8},
        {"seeds": 32, "trials": 32},
        {"orders": tuple((1, epochs) for epochs in range(1, 51)), "trials": 50},
    ],
    ids=str,
)
def test_no_other_width_trains_sooner(more, hidden, groups):
    load = LOAD._replace(groups=groups, **more)
    found = chunk(load, *hidden)
    seconds = plan.training_seconds(spec(*hidden), 1.0, load, 2)
    assert found & (found - 1) == 0
    assert all(seconds(found) <= seconds(width) for width in (1, 2, 4, 8) if width < 2 * found)
    # a chunk that is half empty could be half as wide
    assert found < 2 * max(load.together())


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ({"seeds": 32, "trials": 32}, 1),
        ({"orders": tuple((1, epochs) for epochs in range(1, 51)), "trials": 50}, 1),
        ({"orders": ((64, 20),), "trials": 8}, 4),
        ({"orders": ((8, 20),), "trials": 64}, 4),
    ],
)
def test_a_chunk_is_as_wide_as_what_trains_together_fills_on_all_devices(more, most):
    assert chunk(LOAD._replace(**more), 64) <= most


def test_orders_of_one_size_are_one():
    load = LOAD._replace(orders=((16, 1),) * 200 + ((0, 3),), batch=16)
    assert load.together() == {16: 203}
    assert LOAD.together() == {64: 1}
    assert LOAD._replace(orders=((64, 0),)).together() == {64: 1}


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 2), (5, 2), (2, [1, 2, 2, 3])])
def test_networks_of_a_training_fill_their_chunks(seeds, epochs):
    configs = [{"hidden": (64,), "learning_rate": rate} for rate in (0.01, 0.02, 0.03, 0.04)]
    found = hpjax.train(configs, "iris", epochs, seeds=seeds, **quiet)
    together = {1: 4, 5: 4, 2: 2}[seeds]
    assert all(program.chunk <= together for program in found.population.programs)


def test_a_comparison_is_planned_with_the_orders_of_its_methods():
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "hidden": (64,)}
    options = {"seeds": 2, "epochs": 9, **quiet}
    together = hpjax.compare({"a": "hyperband"}, space, "iris", **options)
    alone = hpjax.tune(space, "iris", search="hyperband", epochs=9, **quiet)
    chunks = lambda found: [program.chunk for program in found.population.programs]
    assert chunks(together) == chunks(alone)


def test_shapes_of_one_program_share_its_chunks():
    """Many shapes, each a small part of the trials: predicted is what their program takes for all of them."""
    space = hpjax.Space({"hidden": hpjax.Choice([(width,) for width in range(17, 65)])})
    assembled = assembly(space)
    load, programs = assembled.load, assembled.programs
    shares = [
        sum(
            share
            for shape, share in zip(assembled.shapes, assembled.shares)
            if plan.assign(programs, shape) == number
        )
        for number in range(len(programs))
    ]
    assert len(programs) < len(assembled.shapes)
    assert sum(shares) == pytest.approx(1)
    whole = sum(
        plan.training_seconds(program.spec, share, load, program.devices)(program.chunk)
        for program, share in zip(programs, shares)
    )
    assert assembled.predicted() == pytest.approx(whole)


def assembly(space):
    """The workload of a study of a hundred random trials on iris."""
    task = hpjax.tasks.load("iris")
    points = np.random.default_rng(0).random((256, len(space.names)))
    evaluation = as_evaluation(space, task)[2]
    return Workload(
        space,
        task,
        points,
        evaluation,
        fidelity=20,
        seeds=[0],
        trials=100,
        epochs=20,
        say=lambda text: None,
    )


@pytest.mark.parametrize(
    ("able", "memory", "flop"),
    [({"avx2", "avx512f"}, 0, 120e9), ({"avx2"}, 0, 60e9), (set(), 0, 60e9), (set(), 2**30, 120e9)],
)
def test_rates_are_those_of_the_processor(monkeypatch, able, memory, flop):
    monkeypatch.setattr(plan, "features", lambda: frozenset(able))
    load = LOAD._replace(memory=memory)
    assert plan.rates_of(load).flop == flop
    seconds = plan.epoch_seconds(spec(64), load)
    assert seconds(1) < seconds(2) < 2 * seconds(1)
