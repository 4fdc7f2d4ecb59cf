"""Blocks whose examples stay in the host's memory: a thread gathers the next minibatches while the devices train on these.

Each epoch's order is that of a task which is on the devices whole, drawn when the epoch begins.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hpjax.population.kernels import Stages
from hpjax.population.plan import Program
from hpjax.population.regime import Regime
from hpjax.training import loop
from hpjax.training.batches import Data
from hpjax.training.pieces import Pieces, side_by_side

AHEAD = 2  # pieces that are made ready before they are needed


class Minibatches(NamedTuple):
    """Some minibatches of an epoch, for each chunk of a block."""

    data: Data  # leaves of [c ...]
    epoch: np.ndarray  # [c] int32
    first: np.ndarray  # [c] int32
    many: np.ndarray  # [c] int32; 0 where a chunk is done


class Validation(NamedTuple):
    """Some examples of validation, for each chunk of a block."""

    data: Data  # leaves of [c ...]
    first: np.ndarray  # [c] int32 row
    last: bool


class Calls(NamedTuple):
    """What the networks of a block are asked for; chunks [c]."""

    group: np.ndarray
    begin: np.ndarray  # epochs
    until: np.ndarray
    ends: np.ndarray  # [c w] epochs at which each of the networks stops


class Streamed:
    """The function of a program's blocks, as `kernels` has it, of examples that come piece by piece.

    Args:
        program: with a piece.
        stages: jitted, lowered or compiled.
        regime: what all networks are trained on.
        mesh: of the devices.
    """

    def __init__(self, program: Program, stages: Stages, regime: Regime, mesh: Mesh):
        self.program, self.stages, self.regime, self.mesh = program, stages, regime, mesh

    def lower(self, pieces: Pieces, empty: Any, config: dict, *chunked: Any) -> Streamed:
        """Traced for such arguments, as `kernels` has them."""
        fresh, start, until, group, seed, draw = chunked
        rows = NamedSharding(self.mesh, PartitionSpec("device"))
        shaped = lambda tree: jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=rows), tree
        )
        each = lambda data: shaped(side_by_side([data] * len(group)))
        none = np.zeros(self._rows(pieces), np.int64)
        some, seen = each(pieces.of(0, none)), each(pieces.of(0, none[: self._scored(pieces)]))
        valid, count = each(pieces.validation(0)), np.zeros(len(group), np.int32)
        state = shaped(empty)
        total, curve, outputs = map(shaped, self._begun(pieces, config))
        ended = shaped(np.zeros(total.shape, bool))
        given = (
            (fresh, start, draw, state, config),
            (some, seed, count, count, count, count, until, state, total, config),
            (seen, count, state, outputs, config),
            (valid, until, state, curve, outputs, config, ended),
        )
        return self._with(self.stages.each(lambda stage, args: stage.lower(*args), given))

    def compile(self, options: dict[str, Any]) -> Streamed:
        """Ready to run."""
        return self._with(self.stages.each(lambda stage: stage.compile(options)))

    def _with(self, stages: Stages) -> Streamed:
        return Streamed(self.program, stages, self.regime, self.mesh)

    def __call__(
        self,
        pieces: Pieces,
        state: Any,
        config: dict[str, np.ndarray],
        fresh: np.ndarray,
        start: np.ndarray,
        until: np.ndarray,
        group: np.ndarray,
        seed: np.ndarray,
        draw: np.ndarray,
    ) -> tuple[Any, Any]:
        """As `kernels` has it."""
        state = self.stages.begin(fresh, start, draw, state, config)
        total, curve, outputs = self._begun(pieces, config)
        calls = self._calls(state, config, start, until, group)
        steps = np.full(len(group), pieces.steps, np.int32)
        valid = self._placed([pieces.validation(each) for each in group.tolist()])
        under_way: deque[Any] = deque()
        ended: Any = np.zeros(total.shape, bool)
        with contextlib.closing(_ahead(self._pieces(pieces, calls))) as making:
            for some in making:
                if isinstance(some, Minibatches):
                    where = some.epoch, some.first, some.many, steps, until
                    state, total, ended = self.stages.train(
                        some.data, seed, *where, state, total, config
                    )
                    under_way.append(ended)
                else:
                    outputs = self.stages.predict(some.data, some.first, state, outputs, config)
                    jax.block_until_ready(outputs)
                    if some.last:
                        state, curve, going = self.stages.score(
                            valid, until, state, curve, outputs, config, ended
                        )
                        if state.best and not np.asarray(going).any():
                            break
                if len(under_way) > AHEAD:
                    jax.block_until_ready(under_way.popleft())
        return state, curve

    def _rows(self, pieces: Pieces) -> int:
        """Examples of a piece."""
        return self.program.piece * pieces.size

    def _scored(self, pieces: Pieces) -> int:
        """Examples of validation at a time."""
        return min(self._rows(pieces), pieces.validated)

    def _begun(self, pieces: Pieces, config: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of networks that have not begun: losses so far [c w], learning curves [c w rows 4+M] and outputs [c w V C]."""
        lead = next(iter(config.values())).shape[:2]
        spec, scored = self.program.spec, self._scored(pieces)
        empty = lambda *shape: np.full((*lead, *shape), np.nan, spec.dtype)
        curve = empty(self.regime.rows, self.regime.columns)
        outputs = empty(-(-pieces.validated // scored) * scored, spec.outputs)
        return np.zeros(lead, spec.dtype), curve, outputs

    def _calls(
        self, state: Any, config: dict, start: np.ndarray, until: np.ndarray, group: np.ndarray
    ) -> Calls:
        """From when to when each chunk trains: networks that stopped by themselves may have to catch up."""
        ends = np.broadcast_to(until[:, None], next(iter(config.values())).shape[:2])
        if not loop.own_pace(self.program.spec):
            return Calls(group, start, until, ends)
        if "epochs" in config:
            ends = np.minimum(ends, config["epochs"]).astype(np.int32)
        epoch = np.asarray(state.epoch)
        going = epoch < ends
        if state.best:
            going &= ~np.asarray(state.best.stopped)
        behind = np.where(going, epoch, until[:, None]).min(1)
        return Calls(group, behind, np.where(going, ends, 0).max(1), ends)

    def _pieces(
        self, pieces: Pieces, calls: Calls
    ) -> Iterator[Callable[[], Minibatches | Validation]]:
        """What makes the pieces of every epoch, and those of validation where some network is scored."""
        kept: list[Validation] = []
        every = self.regime.score_every
        for done in range(int((calls.until - calls.begin).max(initial=0))):
            epoch = (calls.begin + done).astype(np.int32)
            orders: dict[tuple[int, int], np.ndarray] = {}  # drawn with the first piece
            for first in range(0, pieces.steps, self.program.piece):
                yield partial(self._minibatches, pieces, calls, epoch, orders, first)
            due = ((epoch + 1) % every == 0) | (calls.ends == epoch[:, None] + 1).any(1)
            if (due & (epoch < calls.until)).any():
                scored = self._scored(pieces)
                for first in range(0, pieces.validated, scored):
                    yield partial(self._validation, pieces, calls.group, first, kept)

    def _minibatches(
        self,
        pieces: Pieces,
        calls: Calls,
        epoch: np.ndarray,
        orders: dict[tuple[int, int], np.ndarray],
        first: int,
    ) -> Minibatches:
        """Minibatches from `first` on of chunks that are in these epochs [c]; `orders` by group and epoch."""
        size, going = pieces.size, epoch < calls.until
        names = list(zip(calls.group.tolist(), epoch.tolist()))
        many = min(self.program.piece, pieces.steps - first)
        idle = pieces.of(0, np.zeros(self._rows(pieces), np.int64)) if not going.all() else None
        parts: dict[tuple[int, int], Data] = {}
        for name in (names[place] for place in np.flatnonzero(going)):
            if name not in orders:
                orders[name] = pieces.order(*name)
            if name not in parts:
                rows = orders[name][first * size :][: many * size]
                spare = self._rows(pieces) - len(rows)
                parts[name] = pieces.of(name[0], np.pad(rows, (0, spare)))
        return Minibatches(
            self._placed([parts[n] if go else idle for n, go in zip(names, going)]),
            epoch,
            np.full(len(names), first, np.int32),
            np.where(going, many, 0).astype(np.int32),
        )

    def _validation(
        self, pieces: Pieces, group: np.ndarray, first: int, kept: list[Validation]
    ) -> Validation:
        """Examples of validation from row `first` on; all of them, where a piece holds them, are kept."""
        if kept:
            return kept[0]
        scored = self._scored(pieces)
        part = lambda rows: pieces.of(each, np.pad(rows, (0, scored - len(rows))))
        data = []
        for each in group.tolist():
            data.append(part(pieces.data.valid[each][first : first + scored]))
        last = first + scored >= pieces.validated
        found = Validation(self._placed(data), np.full(len(group), first, np.int32), last)
        if last and not first:
            kept.append(found)
        return found

    def _placed(self, parts: list[Any]) -> Data:
        """Pieces of chunks, on the devices."""
        with jax.enable_x64(self.program.spec.dtype == "float64"):
            rows = NamedSharding(self.mesh, PartitionSpec("device"))
            return jax.device_put(side_by_side(parts), rows)


def _ahead(
    making: Iterator[Callable[[], Minibatches | Validation]],
) -> Generator[Minibatches | Validation, None, None]:
    """What is made, in a thread, a few pieces before it is needed."""
    with ThreadPoolExecutor(1, "hpjax-pieces") as thread:
        waiting: deque[Future] = deque()
        try:
            for make in making:
                waiting.append(thread.submit(make))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
