"""Executors and kernels: programs compile while others train, results do not depend on who trains, a kernel may be another."""

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hpjax
from hpjax import configurations, resolve, tasks
from hpjax.models import MLP
from hpjax.models.base import Target
from hpjax.population import Population, Regime, executor, kernels, plan
from hpjax.population.executor import LocalExecutor
from hpjax.schedulers.base import Order
from hpjax.training import batches

WIDTHS = [(6,), (7, 7), (8,)]


@pytest.fixture(autouse=True)
def nothing_is_ready(monkeypatch):
    """Programs that other tests compiled are compiled again."""
    monkeypatch.setattr(executor, "READY", OrderedDict())


def setting(widths=WIDTHS, **options):
    """A population with a program for each shape, and an order of two networks of each."""
    task = tasks.load("iris")
    space = resolve.as_space({"hidden": hpjax.Choice(widths), "dtype": "float64"})
    target = Target(4, 3, "cross_entropy", 3)
    examples = batches.examples_of(task, tasks.splits(task, 1, 0))
    programs = tuple(
        plan.Program(configurations.single_network(target, hidden=w, dtype="float64")[0], 1, 1, 2)
        for w in widths
    )
    load = plan.Load(6, 1, 3, 96, 24, 1)
    regime = Regime(target, examples, MLP)
    trained = Population(space, regime, programs, load, **options)
    count = 2 * len(widths)
    units = space.encode({"hidden": [w for w in widths for _ in range(2)]})
    order = Order(
        np.arange(count),
        units,
        np.full(count, -1),
        np.full(count, 3),
        np.zeros(count, np.int64),
    )
    return trained, order, regime


@pytest.mark.slow
def test_the_second_program_compiles_while_the_first_trains(monkeypatch):
    """The first block is held back until the second program is ready: without a background it would wait for ever."""
    trained, order, _ = setting()
    run, ready = LocalExecutor._run, threading.Event()

    def waiting(self, block, leaves):
        if block.number == 0:
            assert ready.wait(60), "the second program was not compiled meanwhile"
        return run(self, block, leaves)

    compile_, done = LocalExecutor._compile, []

    def noted(self, traced):
        compiled = compile_(self, traced)
        done.append(traced.program.spec.hidden)
        if len(done) == 2:
            ready.set()
        return compiled

    monkeypatch.setattr(LocalExecutor, "_run", waiting)
    monkeypatch.setattr(LocalExecutor, "_compile", noted)
    assert np.isfinite(trained.carry_out(order).loss).all()
    assert done == WIDTHS


def test_an_interrupt_takes_back_what_waits_to_be_compiled(monkeypatch):
    trained, order, _ = setting()
    slow = LocalExecutor._compile

    def slowly(self, traced):
        time.sleep(0.2)
        return slow(self, traced)

    def interrupted(self, block, leaves):
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalExecutor, "_compile", slowly)
    monkeypatch.setattr(LocalExecutor, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained.carry_out(order)
    assert len(trained.compiled) < 3
    monkeypatch.undo()
    assert np.isfinite(trained.carry_out(order).loss).all()


def test_an_interrupt_while_a_program_is_traced_takes_back_the_others(monkeypatch):
    trained, order, _ = setting()
    begun, slow, trace = threading.Event(), LocalExecutor._compile, LocalExecutor._made
    compiled = []

    def slowly(self, traced):
        begun.wait(10)
        compiled.append(traced.program.spec.hidden)
        return slow(self, traced)

    def interrupted(self, program, shapes):
        if program.spec.hidden == WIDTHS[2]:
            raise KeyboardInterrupt
        return trace(self, program, shapes)

    monkeypatch.setattr(LocalExecutor, "_compile", slowly)
    monkeypatch.setattr(LocalExecutor, "_made", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained.carry_out(order)
    monkeypatch.undo()
    begun.set()
    assert np.isfinite(trained.carry_out(order).loss).all()
    assert WIDTHS[1] not in compiled


@pytest.mark.parametrize("fit", [0, 1, 4])
def test_programs_that_do_not_fit_while_they_are_made_ready_are_narrowed(monkeypatch, fit):
    """Broke: states that did not fit on the devices ended the study, if it was not a block that was too large."""
    trained, order, _ = setting()
    trained.adopt([program._replace(chunk=4) for program in trained.programs])
    trace, said = LocalExecutor._made, []
    trained.say = said.append

    def traced(self, program, shapes):
        if program.chunk > fit and program.spec.hidden == WIDTHS[1]:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return trace(self, program, shapes)

    monkeypatch.setattr(LocalExecutor, "_made", traced)
    results = trained.carry_out(order)
    assert results.failed.tolist() == [False, False, fit == 0, fit == 0, False, False]
    assert np.isfinite(results.loss).all() == (fit > 0)
    assert bool(said) == (fit < 4)


def test_what_a_user_sets_for_a_thread_holds_in_programs():
    """Broke: programs that were traced in the background did not know the precision or the promotion that a user had set."""
    seen = []

    def build():
        def apply(params, x):
            seen.append(jax.config.jax_default_matmul_precision)
            return x @ params

        return hpjax.Model(lambda key, x: jnp.ones((x.shape[1], 3)), apply)

    with jax.default_matmul_precision("highest"):
        hpjax.train({}, "iris", 1, model=build, say=lambda text: None)
    assert set(seen) == {"highest"}


class Elsewhere:
    """An executor that answers late and out of order, as a cluster does; it trains by another's hands."""

    def __init__(self, regime):
        self.hands = LocalExecutor(regime, jax.devices()[:2], lambda what, **facts: None)
        self.submitted = []
        self.ahead, self.waiting, self.most = 3, 0, 0

    def store(self, groups):
        return self.hands.store(groups)

    def fitted(self, program):
        return program._replace(chunks=1)

    def prepare(self, number, program, config):
        self.hands.prepare(number, program, config)

    def submit(self, block, leaves):
        self.submitted.append(block.number)
        answer: Future = Future()
        self.waiting += 1
        self.most = max(self.most, self.waiting)

        def work():
            time.sleep(0.01)
            trained = self.hands.submit(block, leaves).result()
            self.waiting -= 1
            answer.set_result(trained)

        threading.Thread(target=work).start()
        return answer

    def forget(self, number):
        self.hands.forget(number)

    def cancel(self):
        self.hands.cancel()


def test_another_executor_trains_the_same_networks():
    here, order, regime = setting()
    there, _, _ = setting(executor=Elsewhere(regime))
    local, far = here.carry_out(order), there.carry_out(order)
    np.testing.assert_array_equal(local.loss, far.loss)
    np.testing.assert_array_equal(local.curves, far.curves)
    jax.tree.map(np.testing.assert_array_equal, here.networks(3), there.networks(3))


def test_a_kernel_trains_what_it_supports(monkeypatch):
    """One network after another instead of `vmap`, for one of the shapes."""
    built = []

    def one_by_one(program, trainer, mesh):
        built.append(program.spec.hidden)
        vmapped = kernels.chunk_by_chunk(kernels.vmapped, program, trainer, mesh)
        return lambda *arguments: jax.tree.map(
            lambda leaf: leaf + jnp.zeros((), leaf.dtype), vmapped(*arguments)
        )

    kernel = kernels.Kernel(lambda program, *more: program.spec.hidden == (7, 7), one_by_one)
    plain, order, _ = setting()
    expected = plain.carry_out(order)
    monkeypatch.setattr(kernels, "KERNELS", {"one by one": kernel, **kernels.KERNELS})
    other, _, _ = setting()
    np.testing.assert_array_equal(other.carry_out(order).loss, expected.loss)
    assert built == [(7, 7)]
