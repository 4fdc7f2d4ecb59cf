"""Blocks whose examples stay in the host's memory: the next minibatches are gathered while the devices train on these.

Each epoch's order is that of a task which is on the devices whole; a thread draws it during the epoch before.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hpjax.population.kernels import Stages
from hpjax.population.plan import Program
from hpjax.population.regime import Regime
from hpjax.training import loop
from hpjax.training.batches import Data
from hpjax.training.host_pieces import Pieces, stacked

AHEAD = 2  # pieces that are on their way before the first of them is waited for


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
    same: Data  # on the devices: what of their pieces does not depend on the examples


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
        each = lambda data: stacked([data] * len(group))
        none = np.zeros(self._rows(pieces), np.int64)
        of = lambda rows: pieces.of(0, none[:1])._replace(**pieces.examples(0, rows))
        some, seen = each(of(none)), each(of(none[: self._scored(pieces)]))
        valid, count = each(pieces.validation(0)), np.zeros(len(group), np.int32)
        total, curve, outputs = self._begun(pieces, config)
        ended, state = np.zeros(total.shape, bool), empty
        given = (
            (fresh, start, draw, state, config),
            (some, seed, count, count, count, count, until, state, total, config),
            (seen, count, state, outputs, config),
            (valid, until, state, curve, outputs, config, ended),
        )
        lowered = self.stages.each(lambda stage, args: stage.lower(*shaped(args)), given)
        return self._with(lowered)

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
        none = np.zeros(1, np.int64)
        same = self._placed([pieces.of(each, none) for each in group.tolist()])
        calls = self._calls(state, config, start, until, group, same)
        valid = self._placed([pieces.validation(each) for each in group.tolist()])
        rows = NamedSharding(self.mesh, PartitionSpec("device"))
        steps = np.full(len(group), pieces.steps, np.int32)
        config, seed, steps, until = jax.device_put((config, seed, steps, until), rows)
        under_way: deque[Any] = deque()
        ended: Any = np.zeros(total.shape, bool)
        with contextlib.closing(self._pieces(pieces, calls)) as making:
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
        self,
        state: Any,
        config: dict,
        start: np.ndarray,
        until: np.ndarray,
        group: np.ndarray,
        same: Data,
    ) -> Calls:
        """From when to when each chunk trains: networks that stopped by themselves may have to catch up."""
        ends = np.broadcast_to(until[:, None], next(iter(config.values())).shape[:2])
        if not loop.own_pace(self.program.spec):
            return Calls(group, start, until, ends, same)
        if "epochs" in config:
            ends = np.minimum(ends, config["epochs"]).astype(np.int32)
        epoch = np.asarray(state.epoch)
        going = epoch < ends
        if state.best:
            going &= ~np.asarray(state.best.stopped)
        behind = np.where(going, epoch, until[:, None]).min(1)
        return Calls(group, behind, np.where(going, ends, 0).max(1), ends, same)

    def _pieces(
        self, pieces: Pieces, calls: Calls
    ) -> Generator[Minibatches | Validation, None, None]:
        """The pieces of every epoch, and those of validation where some network is scored."""
        kept: list[Validation] = []
        every, scored = self.regime.score_every, self._scored(pieces)
        epochs = int((calls.until - calls.begin).max(initial=0))
        with ThreadPoolExecutor(1, "hpjax-orders") as thread:
            coming = thread.submit(_orders, pieces, calls, 0)
            for done in range(epochs):
                epoch, orders = (calls.begin + done).astype(np.int32), coming.result()
                if done + 1 < epochs:
                    coming = thread.submit(_orders, pieces, calls, done + 1)
                for first in range(0, pieces.steps, self.program.piece):
                    yield self._minibatches(pieces, calls, epoch, orders, first)
                due = ((epoch + 1) % every == 0) | (calls.ends == epoch[:, None] + 1).any(1)
                if (due & (epoch < calls.until)).any():
                    for first in range(0, pieces.validated, scored):
                        yield self._validation(pieces, calls, first, kept)

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
        none = np.zeros(self._rows(pieces), np.int64)
        idle = None if going.all() else pieces.examples(0, none)
        parts: dict[tuple[int, int], dict[str, Any]] = {}
        for name in (names[place] for place in np.flatnonzero(going)):
            if name not in parts:
                rows = orders[name][first * size :][: many * size]
                spare = self._rows(pieces) - len(rows)
                parts[name] = pieces.examples(name[0], np.pad(rows, (0, spare)))
        some = self._placed([parts[n] if go else idle for n, go in zip(names, going)])
        return Minibatches(
            calls.same._replace(**some),
            epoch,
            np.full(len(names), first, np.int32),
            np.where(going, many, 0).astype(np.int32),
        )

    def _validation(
        self, pieces: Pieces, calls: Calls, first: int, kept: list[Validation]
    ) -> Validation:
        """Examples of validation from row `first` on; all of them, where a piece holds them, are kept."""
        if kept:
            return kept[0]
        scored = self._scored(pieces)
        parts = []
        for group in calls.group.tolist():
            rows = pieces.data.valid[group][first : first + scored]
            parts.append(pieces.examples(group, np.pad(rows, (0, scored - len(rows)))))
        last, firsts = first + scored >= pieces.validated, np.full(len(parts), first, np.int32)
        found = Validation(calls.same._replace(**self._placed(parts)), firsts, last)
        if last and not first:
            kept.append(found)
        return found

    def _placed(self, parts: list[Any]) -> Any:
        """Pieces of chunks, leaves of [c ...] on the devices; each goes to its own device as it is."""
        rows, each = NamedSharding(self.mesh, PartitionSpec("device")), self.program.chunks
        with jax.enable_x64(self.program.spec.dtype == "float64"):
            local = [stacked(parts[at : at + each]) for at in range(0, len(parts), each)]
            held = jax.device_put(local, list(self.mesh.devices))
            whole = lambda *shards: jax.make_array_from_single_device_arrays(
                (len(parts), *shards[0].shape[1:]), rows, list(shards)
            )
            return jax.tree.map(whole, *held)


def _orders(pieces: Pieces, calls: Calls, done: int) -> dict[tuple[int, int], np.ndarray]:
    """The rows of chunks that are so many epochs after their beginning, by group and epoch."""
    epoch = calls.begin + done
    going = epoch < calls.until
    names = set(zip(calls.group[going].tolist(), epoch[going].tolist()))
    return {name: pieces.order(*name) for name in names}
