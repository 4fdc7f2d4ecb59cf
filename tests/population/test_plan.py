"""Plans: how wide a block is, for what trains together."""

import pytest

import hpjax
from hpjax import configurations
from hpjax.models.base import Target
from hpjax.population import plan

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
    chunks = lambda found: [program.chunk for program in found.trained.programs]
    assert chunks(together) == chunks(alone)
