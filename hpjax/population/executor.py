"""Where blocks are trained: an executor is handed blocks and answers with results to come. This one has the devices of this machine.

Programs are traced at once and compiled in the background, in the order in which they will be needed, so that the second compiles
while the first trains. A block's results are asked for in the order of blocks, never of arrival.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from hpjax.devices import SETTINGS, exhausted, fast, mesh_of
from hpjax.models import Spec
from hpjax.population import stored_programs
from hpjax.population.kernels import Stages, jitted, kernel_of
from hpjax.population.pack import Block
from hpjax.population.plan import Program
from hpjax.population.regime import Regime
from hpjax.population.results import BlockResult
from hpjax.population.streaming import Streamed
from hpjax.population.weights import StoredNetworks, WeightStore
from hpjax.schedulers.base import Order
from hpjax.training import batches, loop
from hpjax.training.host_pieces import Pieces


class PendingBlock(Protocol):
    """A block's result, to come."""

    def result(self) -> BlockResult:
        """Waits for it; raises JaxRuntimeError where it does not fit in memory."""
        ...


class StateStore(Protocol):
    """The states of live trials between orders, where an executor's blocks find them: as `WeightStore` has them on this machine."""

    home: dict[int, int]
    age: dict[int, int]

    def begin(self, order: Order) -> None: ...

    def gather(self, block: Block) -> Any: ...

    def keep(self, block: Block, answer: BlockResult) -> None: ...

    def release(self, trials: Iterable[int]) -> None: ...

    def states(self, trials: Sequence[int]) -> Any: ...

    def saved(self) -> Iterator[StoredNetworks]: ...

    def load(self, stored: StoredNetworks) -> None: ...


class Executor(Protocol):
    """Trains blocks, somewhere.

    ahead:   blocks that are submitted before the first of them is waited for
    store:   (groups of a seed) -> where the states of live trials are between orders
    fitted:  (program of the plan) -> the same with blocks as they are trained here: chunks stay as wide as they are
    prepare: (number, program, config of one network or more) -> begins to make a program ready
    submit:  (block, what the store gathered for it) -> its result, to come
    forget:  (number) -> a program is about to change its width
    cancel:  () -> what is not yet under way is not needed any more
    """

    @property
    def ahead(self) -> int: ...

    def store(self, groups: int) -> StateStore: ...

    def fitted(self, program: Program) -> Program: ...

    def prepare(self, number: int, program: Program, config: dict[str, np.ndarray]) -> None: ...

    def submit(self, block: Block, sources: Any) -> PendingBlock: ...

    def forget(self, number: int) -> None: ...

    def cancel(self) -> None: ...


class Lowered(NamedTuple):
    """A program that is still to be compiled."""

    program: Program
    name: tuple  # among those of this process
    call: Any  # lowered
    empty: Any
    data: Any
    seconds: float  # that tracing it took
    stored: str | None  # its name among those of all processes


class Compiled(NamedTuple):
    """A program ready to run."""

    call: Callable
    empty: Any  # a block of states to start from scratch with, on the devices
    data: Any  # on the devices


# Programs of this process that are ready, by name -> the function, and an empty block: a later population of the same shapes begins at once.
# What a program is traced to may also depend on what the user has set in JAX.
READY: OrderedDict[tuple, tuple[jax.stages.Compiled | Stages, Any]] = OrderedDict()
MOST_READY = 64
SMALL = 2**24  # bytes of an empty block that is kept
STATES, TRAINED = 1, 7  # which of a program's arguments they are, and which of `Stages.train`'s


class LocalExecutor:
    """Trains blocks on the devices of this process.

    Args:
        regime: what all networks are trained on.
        local_devices: the devices.
        listen: told ("compile") and ("compiled", seconds=).
    """

    ahead = 1

    def __init__(self, regime: Regime, local_devices: list, listen: Callable[..., None]):
        self.regime, self.local_devices, self.listen = regime, local_devices, listen
        self.mesh = mesh_of(local_devices)
        self.compiled: dict[int, Future[Compiled]] = {}
        self.programs: dict[int, Program] = {}  # that were prepared
        self.compile_seconds = self.run_seconds = 0.0
        self._compiling = ThreadPoolExecutor(1, "hpjax-compile")
        self._data: dict[tuple, Any] = {}  # on the devices
        self._kept: dict[tuple, batches.Data] = {}  # on the host
        self._draws: dict[tuple, np.ndarray] = {}

    def store(self, groups: int) -> WeightStore:
        """In this process's memory."""
        return WeightStore(groups)

    def fitted(self, program: Program) -> Program:
        """Made for these devices."""
        return program

    # --- programs ---
    def prepare(self, number: int, program: Program, config: dict[str, np.ndarray]) -> None:
        """Begins to compile a program, where it is new; `config` shows the shapes and dtypes of its leaves, [m ...].

        It is traced here and now, in the caller's thread: JAX keeps a user's settings (precision, promotion of dtypes) by thread.
        """
        if number in self.compiled:
            return
        shapes = {name: (leaf.shape[1:], leaf.dtype) for name, leaf in config.items()}
        try:
            made = self._made(program, shapes)
        except jax.errors.JaxRuntimeError as fault:  # `submit` answers with it
            self.compiled[number] = Future()
            self.compiled[number].set_exception(fault)
            return
        if isinstance(made, Lowered):
            self.compiled[number] = self._compiling.submit(self._compile, made)
        else:
            self.compiled[number] = Future()
            self.compiled[number].set_result(made)

    def forget(self, number: int) -> None:
        """Drops a compiled program."""
        self.compiled.pop(number, None)

    def cancel(self) -> None:
        """Takes back programs that wait to be compiled; one that is under way is finished, and kept."""
        self._compiling.shutdown(wait=False, cancel_futures=True)
        self._compiling = ThreadPoolExecutor(1, "hpjax-compile")
        self.compiled = {n: f for n, f in self.compiled.items() if not f.cancelled()}

    def _made(self, program: Program, shapes: dict[str, tuple]) -> Lowered | Compiled:
        """The program, compiled where this process has done so before."""
        started = time.perf_counter()
        self.listen("compile")
        spec, regime = program.spec, self.regime
        with jax.enable_x64(spec.dtype == "float64"):
            data = self.pieces(spec) if program.piece else self.device_data(spec)
            uneven = batches.uneven(regime.examples, spec)
            trainer = loop.Trainer(
                spec, regime.score_every, regime.rows, regime.gradients, uneven, regime.metrics
            )
            kernel = kernel_of(program, self.local_devices[0].platform, regime.most_examples)
            call, begin = jitted(program, self.mesh, trainer, kernel)
            held = data.data if isinstance(data, Pieces) else data
            arrays = tuple((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(held))
            settings = tuple(getattr(jax.config, setting) for setting in SETTINGS)
            taken = tuple(sorted(shapes.items())), jax.tree.structure(held), arrays, settings
            name, stored = (call, *taken), None
            ready, empty = READY.get(name, (None, None))
            if ready is None and not regime.metrics and not program.piece:
                stored = stored_programs.name_of(
                    program, self.local_devices, kernel, trainer, taken
                )
            if stored is not None:
                ready = stored_programs.load(stored, self.local_devices)
            lead = (program.chunks * program.devices, program.chunk)
            draws = spec.functions.draws
            if ready is not None:
                if empty is None:
                    of_states = ready.train if isinstance(ready, Stages) else ready
                    at = TRAINED if isinstance(ready, Stages) else STATES
                    empty = self._empty((), of_states.args_info[0][at])
                self._keep_ready(name, ready, empty)
                self.listen("compiled", seconds=time.perf_counter() - started)
                return Compiled(self._callable(program, ready), empty, data)
            scalar = {n: jax.ShapeDtypeStruct(*shape) for n, shape in shapes.items()}
            empty = self._empty(lead, jax.eval_shape(begin, draws, scalar))
            call = self._callable(program, call)
            kinds = (bool, np.int32, np.int32, np.int32, np.uint32)
            each = [np.zeros(lead[:1], kind) for kind in kinds]
            wide = {n: np.zeros((*lead, *shape), dtype) for n, (shape, dtype) in shapes.items()}
            draw = np.zeros((lead[0], *draws.shape), draws.dtype)
            lowered = call.lower(data, empty, wide, *each, draw)
        seconds = time.perf_counter() - started
        return Lowered(program, name, lowered, empty, data, seconds, stored)

    def _callable(self, program: Program, call: Any) -> Any:
        """A program as `kernels` has it, whether in one call or in stages."""
        if isinstance(call, Stages):
            return Streamed(program, call, self.regime, self.mesh)
        return call

    def _empty(self, lead: tuple[int, ...], shapes: Any) -> Any:
        """A block of states of these shapes [*lead ...], zeros, on the devices."""
        rows = NamedSharding(self.mesh, PartitionSpec("device"))
        blank = lambda s: jax.device_put(np.zeros((*lead, *s.shape), s.dtype), rows)
        return jax.tree.map(blank, shapes)

    def _compile(self, lowered: Lowered) -> Compiled:
        """In the background."""
        started = time.perf_counter()
        with stored_programs.watched() as found:
            call = lowered.call.compile(fast())
        elapsed = lowered.seconds + time.perf_counter() - started
        self.compile_seconds += elapsed
        self.listen("compiled", seconds=elapsed)
        kept = call.stages if isinstance(call, Streamed) else call
        self._keep_ready(lowered.name, kept, lowered.empty)
        if lowered.stored is not None and not found:
            with contextlib.suppress(RuntimeError):  # cancelled meanwhile
                self._compiling.submit(stored_programs.keep, lowered.stored, call)
        return Compiled(call, lowered.empty, lowered.data)

    def _keep_ready(self, name: tuple, call: jax.stages.Compiled | Stages, empty: Any) -> None:
        """For later populations of this process; as the latest that was asked for."""
        # an accelerator's memory is for what trains
        small = sum(leaf.nbytes for leaf in jax.tree.leaves(empty)) <= SMALL
        kept = small and self.local_devices[0].platform == "cpu"
        READY.pop(name, None)
        READY[name] = call, empty if kept else None
        while len(READY) > MOST_READY:
            READY.popitem(last=False)

    def device_data(self, spec: Spec) -> Any:
        """The task on the devices, as `batches.prepare` makes it for a spec."""
        preparation = batches.preparation(spec)
        if preparation not in self._data:
            everywhere = NamedSharding(self.mesh, PartitionSpec())
            self._data[preparation] = jax.device_put(self.regime.data(spec), everywhere)
        return self._data[preparation]

    def pieces(self, spec: Spec) -> Pieces:
        """The task in this process's memory, for devices that do not hold it; its arrays once for all sizes of minibatches."""
        regime, contents = self.regime, batches.contents(spec)
        if contents not in self._kept:
            self._kept[contents] = regime.data(spec, ordered=False)
        return Pieces(regime.examples, regime.names, spec, self._kept[contents])

    # --- blocks ---
    def submit(self, block: Block, sources: list[np.ndarray] | None) -> Future[BlockResult]:
        """Trains a block; the answer is there when this returns.

        Args:
            block: to train.
            sources: leaves of the states [c w ...] that it begins with; fresh ones where None.
        """
        self.prepare(block.number, block.program, {n: v[0] for n, v in block.config.items()})
        answer: Future[BlockResult] = Future()
        try:
            answer.set_result(self._run(block, sources))
        except jax.errors.JaxRuntimeError as fault:
            self.forget(block.number)  # the next block tries again
            # what lacked memory must not be held by its traceback
            answer.set_exception(fault.with_traceback(None) if exhausted(fault) else fault)
        return answer

    def _run(self, block: Block, leaves: list[np.ndarray] | None) -> BlockResult:
        compiled = self.compiled[block.number].result()
        spec = block.program.spec
        with jax.enable_x64(spec.dtype == "float64"):
            state = compiled.empty
            if leaves is not None:
                state = jax.tree.unflatten(jax.tree.structure(compiled.empty), leaves)
            draw = self.drawn(spec, block.group, block.seed, block.fresh & (block.until > 0))
            begun = time.perf_counter()
            state, curve = compiled.call(
                compiled.data,
                state,
                block.config,
                block.fresh,
                block.begin,
                block.until,
                block.group,
                block.seed,
                draw,
            )
            state, curve = jax.tree.map(np.asarray, (state, curve))
        elapsed = time.perf_counter() - begun
        self.run_seconds += elapsed
        return BlockResult(state, curve, elapsed)

    def drawn(
        self, spec: Spec, group: np.ndarray, seed: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """The draws [c n] that fresh networks start from: of groups [c] under fresh seeds [c], zeros where not `wanted` [c]."""
        draws = spec.functions.draws
        found = np.zeros((len(group), *draws.shape), draws.dtype)
        for at in np.flatnonzero(wanted):
            name = (int(group[at]), int(seed[at]), draws.shape, draws.dtype)
            kept = self._draws.get(name)
            if kept is None:
                kept = batches.drawn(*self.regime.names(name[0]), name[1], spec)
                self._draws[name] = kept
            found[at] = kept
        return found
