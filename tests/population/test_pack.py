"""Blocks of any order hold each of its networks once, where they belong; nothing is trained here."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpjax import configurations
from hpjax.models.base import Target
from hpjax.population.pack import Job, pack
from hpjax.population.plan import Program, halved
from hpjax.population.results import BlockResult
from hpjax.population.weights import WeightStore
from hpjax.schedulers.base import Order

SPEC, _ = configurations.single_network(Target(4, 3, "cross_entropy"), hidden=(5,))


@st.composite
def jobs(draw):
    count = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    begin = rng.integers(0, 2, count) * rng.integers(1, 3, count)
    order = Order(
        rng.permutation(100)[:count],
        rng.random((count, 2)),
        np.where(begin > 0, rng.integers(0, 100, count), -1),
        begin + rng.integers(1, 4, count),
        rng.integers(0, 2, count),
    )
    rows = np.sort(rng.permutation(count)[: rng.integers(1, count + 1)])
    config = {
        "learning_rate": rng.random(len(rows)),
        "l2": rng.random((len(rows), 3)),
        "epochs": rng.integers(1, 5, len(rows)).astype(float),
    }
    cohort = rng.integers(0, 2, len(rows))
    program = Program(
        SPEC, int(rng.integers(1, 5)), int(rng.integers(1, 3)), int(rng.integers(1, 4))
    )
    groups = int(rng.integers(1, 4))
    left = rng.random((len(rows), groups)) < 0.8
    return order, Job(0, rows, config, begin[rows], cohort), program, groups, left


@settings(max_examples=200, deadline=None)
@given(jobs())
def test_every_network_that_is_left_is_in_one_place(case):
    order, job, program, groups, left = case
    blocks, seen = pack(order, job, program, groups, left), np.zeros_like(left, int)
    lengths = []
    for block in blocks:
        assert block.member.shape == (program.chunks * program.devices, program.chunk)
        for chunk in range(len(block.member)):
            members = block.member[chunk][block.real[chunk]]
            if not len(members):
                assert block.until[chunk] == 0
                assert (block.source[chunk] == -1).all()
                continue
            rows = job.rows[members]
            seen[members, block.own_group[chunk]] += 1
            assert (
                block.group[chunk] == job.cohort[members] * groups + block.own_group[chunk]
            ).all()
            assert (block.until[chunk] == order.epochs[rows]).all()
            assert (block.begin[chunk] == job.begin[members]).all()
            assert (block.seed[chunk] == order.seed[rows]).all()
            assert (block.fresh[chunk] == (order.source[rows] < 0)).all()
            real = block.real[chunk]
            np.testing.assert_array_equal(block.trial[chunk][real], order.trial[rows])
            np.testing.assert_array_equal(block.source[chunk][real], order.source[rows])
            spare = block.source[chunk][~real], block.trial[chunk][~real]
            assert (spare[0] == block.source[chunk][0]).all()
            assert (spare[1] == block.trial[chunk][0]).all()
            for name, leaf in job.config.items():
                np.testing.assert_array_equal(block.config[name][chunk][real], leaf[members])
            lengths.append(block.until[chunk] - block.begin[chunk])
    np.testing.assert_array_equal(seen, left)
    firsts = [int(block.epochs.max()) for block in blocks]
    assert firsts == sorted(firsts, reverse=True)


def test_a_program_is_halved_until_it_trains_one_network_a_device():
    widths, program = [], Program(SPEC, 4, 3, 2)
    while program is not None:
        widths.append((program.chunk, program.chunks))
        program = halved(program)
    assert widths == [(4, 3), (4, 1), (2, 1), (1, 1)]


def test_networks_of_a_chunk_end_near_one_another():
    """Where they have epochs of their own: a chunk takes as long as its longest."""
    own = np.random.default_rng(0).permutation(24) + 1.0
    nothing = np.zeros(24, int)
    order = Order(np.arange(24), np.zeros((24, 1)), np.full(24, -1), np.full(24, 20), nothing)
    job = Job(0, np.arange(24), {"epochs": own}, nothing, nothing)
    blocks = pack(order, job, Program(SPEC, 4, 1, 2), 1)
    each = [
        sorted(min(20, own[row]) for row in chunk) for block in blocks for chunk in block.member
    ]
    assert sorted(np.concatenate(each)) == sorted(np.minimum(own, 20))
    assert [chunk[-1] for chunk in each] == [20, 20, 16, 12, 8, 4]
    assert all(chunk[-1] - chunk[0] <= 3 for chunk in each)


# --- the store --------------------------------------------------------------------------------------------------------
def trained(store, order, value, number=0, groups=2):
    """Networks of one number each, all set to a value."""
    count = len(order.trial)
    config = {"epochs": np.full(count, 9.0)}
    job = Job(number, np.arange(count), config, np.zeros(count, int), np.zeros(count, int))
    store.begin(order)
    gathered = []
    for block in pack(order, job, Program(SPEC, 2, 1, 2), groups):
        leaves = store.gather(block)
        if leaves is not None:
            gathered += leaves[0][block.real].tolist()
        shape = block.member.shape
        state = {"w": np.broadcast_to(block.trial + value, shape).copy()}
        store.keep(block, BlockResult(state, np.zeros(0), 0.0))
    return gathered


def order(trials, sources, epochs):
    count = len(trials)
    return Order(
        np.array(trials),
        np.zeros((count, 0)),
        np.array(sources),
        np.full(count, epochs),
        np.zeros(count, int),
    )


def test_sources_are_read_before_any_is_overwritten():
    store = WeightStore(2)
    trained(store, order([1, 2, 3], [-1, -1, -1], 1), 0.0)
    # 1 goes on from 2 and 2 from 1, while 3 goes on from itself
    got = trained(store, order([1, 2, 3], [2, 1, 3], 2), 100.0)
    assert sorted(got) == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert store.states([3])["w"].tolist() == [[103.0, 103.0]]
    assert store.age == {1: 2, 2: 2, 3: 2}


def test_what_is_saved_is_loaded_and_what_is_released_is_gone():
    store, other = WeightStore(2), WeightStore(2)
    trained(store, order([4, 5], [-1, -1], 3), 0.5)
    trained(store, order([6], [-1], 2), 0.5, number=1)
    for stored in store.saved():
        other.load(stored)
        np.testing.assert_array_equal(
            other.states(stored.trials.tolist())["w"], store.states(stored.trials.tolist())["w"]
        )
    assert other.home == store.home == {4: 0, 5: 0, 6: 1}
    assert other.age == store.age
    assert trained(other, order([5], [5], 4), 0.0) == [5.5, 5.5]
    store.release([4, 5, 77])
    assert list(store.home) == [6]
    assert len(store.pools[0].leaves[0]) == 0
    with pytest.raises(KeyError):
        store.states([4])
