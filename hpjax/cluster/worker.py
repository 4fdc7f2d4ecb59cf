"""What runs in a worker: it trains blocks with an executor of its own, and keeps the states that others may ask for."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from distributed import Reschedule, Worker, WorkerPlugin, get_worker

from hpjax import devices, processor, program_cache, records
from hpjax.cluster.deaths import STUDIES
from hpjax.cluster.pool import DEVICE
from hpjax.cluster.start import CORE
from hpjax.messages import warn
from hpjax.population.executor import LocalExecutor
from hpjax.population.pack import Block
from hpjax.population.plan import Program
from hpjax.population.regime import Regime
from hpjax.population.results import BlockResult

RUNS = 2  # of which a worker keeps programs and data, the latest
MALLOC = {-1: 2**28, -3: 2**25}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h: bytes

_refused: set[str] = set()  # studies that this worker must not train for
_settings: dict[str, dict[str, Any]] = {}  # of JAX, by study
_executors: dict[str, LocalExecutor] = {}


class TrainedBlock(NamedTuple):
    """What training a block leaves on its worker.

    Attributes:
        state: leaves [c w ...] of its networks; None where they did not fit in memory.
        answer: the same without weights, for the study; or what the device said where they did not fit.
    """

    state: Any
    answer: BlockResult | str


class Devices(WorkerPlugin):
    """Gives each worker process its devices before JAX starts, and refuses one that is unlike the process of the study.

    Args:
        name: of the study, and of this plugin.
        count: CPU devices of JAX: as many as where the plan was made, so that programs, and the last digits of what they compute, are
            the same; they share the worker's core.
        pinned: whether workers whose names are whole numbers keep to a core each; only for those that are all on one machine.
        settings: of JAX, under which programs are traced.
        wanted: what `here` says where the study is; None where workers may be unlike.
    """

    def __init__(
        self,
        name: str,
        count: int,
        pinned: bool,
        settings: dict[str, Any],
        wanted: dict[str, Any] | None,
    ):
        self.name, self.count, self.pinned = name, count, pinned
        self.settings, self.wanted = settings, wanted

    async def setup(self, worker: Worker) -> None:
        """Runs in the worker, before its first task.

        Raises:
            ValueError: it is unlike; it is given no blocks then. Dask hands this to the client, or to the log of a worker that joins
                while a study runs.
        """
        keep_memory()
        program_cache.keep(warn)
        number = os.environ.get(CORE) or (str(worker.name) if self.pinned else "")
        if number.isdigit() and hasattr(os, "sched_setaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, {cores[int(number) % len(cores)]})
        _settings[self.name] = self.settings
        if jax.config.values["jax_num_cpu_devices"] < 0:
            jax.config.update("jax_num_cpu_devices", self.count)
        if self.wanted is None:
            return
        found = here()
        other = [
            f"{name} {found[name] or 'none'}, there {value or 'none'}"
            for name, value in self.wanted.items()
            if found[name] != value
        ]
        if other:
            _refused.add(self.name)
            await _set_devices(worker, 0)
            if self.name not in await getattr(worker.scheduler, STUDIES)():
                await self._forgotten(worker)  # it ended while this worker joined
            raise ValueError(
                f"worker {worker.address} is unlike the process of the study: {'; '.join(other)}; make them alike, or allow it by hpjax.Cluster(..., unlike=True) (--unlike)"
            )

    async def teardown(self, worker: Worker) -> None:
        """The study is over."""
        _settings.pop(self.name, None)
        if self.name in _refused:
            await self._forgotten(worker)

    async def _forgotten(self, worker: Worker) -> None:
        """The study that refused this worker is over."""
        _refused.discard(self.name)
        if not _refused:
            await _set_devices(worker, 1)


async def _set_devices(worker: Worker, count: int) -> None:
    """Tells the scheduler alone, so that a block which is on its way begins, and is handed back."""
    resources = {DEVICE: count}
    await worker.scheduler.set_resources(resources=resources, worker=worker.contact_address)


def keep_memory() -> None:
    """Lets this process keep freed memory, as others do: Dask has its workers give back all above 64 KiB, which each step of training
    then asks for again; training took 1.4 times as long.
    """
    with contextlib.suppress(AttributeError):  # a system whose C library is not glibc
        change = ctypes.CDLL(None).mallopt
        for setting, size in MALLOC.items():
            change(setting, size)


def here() -> dict[str, Any]:
    """What decides on the last digits that this process computes."""
    known = records.environment()
    return {
        **{name: known["versions"][name] for name in records.DECIDING},
        "machine": known["machine"],
        "XLA_FLAGS": known["xla_flags"],
        "device": jax.devices()[0].device_kind,
        "processor": processor.model(),
        "vectors": "avx512" if "avx512f" in processor.features() else "",
    }


def unpickled(data: bytes) -> Any:
    """What was pickled: what all networks of a run are trained on."""
    return pickle.loads(data)


def executor_of(run: str, regime: Regime, count: int) -> LocalExecutor:
    """This process's executor for a run, of blocks for so many devices."""
    for name, value in _settings.get(_study(run), {}).items():
        if jax.config.values[name] != value:
            jax.config.update(name, value)
    found = _executors.pop(run, None)
    if found is None:
        if len(jax.devices()) < count:
            raise ValueError(
                f"worker {get_worker().name} has {len(jax.devices())} devices, a block is for {count}; start it anew"
            )
        found = LocalExecutor(regime, jax.devices()[:count], lambda what, **facts: None)
    _executors[run] = found
    for old in list(_executors)[:-RUNS]:
        del _executors[old]
    return found


def prepare(
    run: str, regime: Regime, number: int, program: Program, config: dict[str, np.ndarray]
) -> None:
    """Begins to compile a program."""
    if _study(run) in _refused:
        return
    executor = executor_of(run, regime, program.devices)
    _refresh(executor, number, program)
    executor.prepare(number, program, config)


def train(
    run: str, regime: Regime, block: Block, held: Sequence[Any], at: np.ndarray | None
) -> TrainedBlock:
    """Trains a block.

    Args:
        run: names the executor.
        regime: what its networks are trained on.
        block: to train.
        held: states of other blocks, trees of leaves [a b ...], that some of its networks go on from.
        at: [c w 3] (which of `held`, and its a and b) for each place, -1 for fresh ones; None where all are fresh.
    """
    if _study(run) in _refused:
        raise Reschedule  # it came before the scheduler knew that this worker is unlike
    executor = executor_of(run, regime, block.program.devices)
    _refresh(executor, block.number, block.program)
    leaves = None if at is None else gathered(held, at)
    try:
        answer = executor.submit(block, leaves).result()
    except jax.errors.JaxRuntimeError as fault:
        if not devices.exhausted(fault):
            raise
        return TrainedBlock(None, str(fault))
    bare = answer.state._replace(params=None, stats=None, opt=None)
    if bare.best:
        bare = bare._replace(best=bare.best._replace(params=None, stats=None))
    return TrainedBlock(answer.state, answer._replace(state=bare, worker=str(get_worker().name)))


def gathered(held: Sequence[Any], at: np.ndarray) -> list[np.ndarray]:
    """The leaves [c w ...] of the states that a block begins with, zeros at fresh places."""
    trees = [jax.tree.leaves(_state(tree)) for tree in held]
    leaves = [np.zeros((*at.shape[:2], *leaf.shape[2:]), leaf.dtype) for leaf in trees[0]]
    for which, tree in enumerate(trees):
        there = at[..., 0] == which
        a, b = at[there][:, 1:].T
        for leaf, kept in zip(leaves, tree, strict=True):
            leaf[there] = kept[a, b]
    return leaves


def _study(run: str) -> str:
    """The study of an executor."""
    return run.rpartition("-")[0]


def called(function: Callable[..., Any], *given: Any) -> Any:
    """What a user's function returns, or what it raises."""
    try:
        return function(*given)
    except Exception as fault:
        return fault


def answered(trained: TrainedBlock) -> BlockResult | str:
    """What the study needs to know of a block."""
    return trained.answer


def picked(held: Any, places: np.ndarray) -> Any:
    """States at some places (a, b) [n 2], leaves of [n ...]."""
    a, b = places.T
    return jax.tree.map(lambda leaf: leaf[a, b], _state(held))


def _state(held: Any) -> Any:
    """The states of a block.

    Raises:
        MemoryError: it was trained again, where it did not fit in memory.
    """
    if isinstance(held, TrainedBlock) and held.state is None:
        raise MemoryError(f"networks that were lost do not fit in memory again: {held.answer}")
    return held.state if isinstance(held, TrainedBlock) else held


def _refresh(executor: LocalExecutor, number: int, program: Program) -> None:
    """Forgets a program whose blocks have another width now."""
    known = executor.programs.get(number)
    if known is not None and known != program:
        executor.forget(number)
    executor.programs[number] = program
