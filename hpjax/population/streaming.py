"""Blocks whose examples stay in the host's memory: a thread gathers the next minibatches while the devices train on these.

Each epoch's order is that of a task which is on the devices whole, drawn when the epoch begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import compress
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


class Some(NamedTuple):
    """Minibatches of an epoch, for each chunk of a block."""

    data: Data  # leaves of [c ...]
    first: np.ndarray  # [c] int32
    many: np.ndarray  # [c] int32; 0 where a chunk is done
    ended: (
        np.ndarray
    )  # [c] int32 epochs that are done with these; -1 where they are not the last of one


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
        none = np.zeros(self.program.piece * pieces.size, np.int64)
        some = side_by_side([pieces.of(0, none)] * len(group))
        valid = side_by_side([pieces.validation(0)] * len(group))
        count = np.zeros(len(group), np.int32)
        total, curve = self._begun(config)
        state, some, valid, total, curve = map(shaped, (empty, some, valid, total, curve))
        given = (
            (fresh, start, draw, state, config),
            (some, seed, count, count, count, until, state, total, config),
            (valid, count, until, state, curve, config),
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
        total, curve = self._begun(config)
        steps = np.full(len(group), pieces.steps, np.int32)
        valid = self._placed(side_by_side([pieces.validation(int(each)) for each in group]))
        alone = loop.own_pace(self.program.spec)
        under_way: deque[Any] = deque()
        for some in _ahead(self._pieces(pieces, group, start, until)):
            where = some.first, some.many, steps, until
            state, total, place = self.stages.train(some.data, seed, *where, state, total, config)
            under_way.append(place)
            if len(under_way) > AHEAD:
                jax.block_until_ready(under_way.popleft())
            epoch = some.ended
            due = (epoch > 0) & ((epoch % self.regime.score_every == 0) | (epoch == until))
            if due.any() or (alone and (epoch > 0).any()):
                state, curve, going = self.stages.score(valid, epoch, until, state, curve, config)
                if alone and not np.asarray(going).any():
                    break
        return state, curve

    def _begun(self, config: dict) -> tuple[np.ndarray, np.ndarray]:
        """An epoch's loss so far, and learning curves, of networks that have not begun: [c w] and [c w rows 4+M]."""
        lead = next(iter(config.values())).shape[:2]
        dtype = self.program.spec.dtype
        return np.zeros(lead, dtype), np.full(
            (*lead, self.regime.rows, self.regime.columns), np.nan, dtype
        )

    def _pieces(
        self, pieces: Pieces, group: np.ndarray, start: np.ndarray, until: np.ndarray
    ) -> Iterator[Callable[[], Some]]:
        """What makes each piece of the epochs of chunks [c]."""
        for done in range(int((until - start).max(initial=0))):
            epoch = start + done
            names = list(zip(group.tolist(), epoch.tolist()))
            orders: dict[
                tuple[int, int], np.ndarray
            ] = {}  # of this epoch, drawn with its first piece
            for first in range(0, pieces.steps, self.program.piece):
                yield partial(self._made, pieces, names, epoch, until, orders, first)

    def _made(
        self,
        pieces: Pieces,
        names: list[tuple[int, int]],
        epoch: np.ndarray,
        until: np.ndarray,
        orders: dict[tuple[int, int], np.ndarray],
        first: int,
    ) -> Some:
        """Minibatches from `first` on of chunks that are in these epochs [c], their `names` (group, epoch)."""
        size, going = pieces.size, epoch < until
        if not first:
            orders |= {name: pieces.order(*name) for name in {*compress(names, going)}}
        many = min(self.program.piece, pieces.steps - first)
        rows = np.zeros((len(names), self.program.piece * size), np.int64)
        for place in np.flatnonzero(going):
            rows[place, : many * size] = orders[names[place]][first * size :][: many * size]
        parts: dict[tuple[int, int], Data] = {}
        for place, name in enumerate(names):
            if name not in parts:
                parts[name] = pieces.of(name[0], rows[place])
        last = first + many == pieces.steps
        return Some(
            self._placed(side_by_side([parts[name] for name in names])),
            np.full(len(names), first, np.int32),
            np.where(going, many, 0).astype(np.int32),
            np.where(going & last, epoch + 1, -1).astype(np.int32),
        )

    def _placed(self, data: Data) -> Data:
        """On the devices."""
        with jax.enable_x64(self.program.spec.dtype == "float64"):
            return jax.device_put(data, NamedSharding(self.mesh, PartitionSpec("device")))


def _ahead(making: Iterator[Callable[[], Some]]) -> Iterator[Some]:
    """What is made, in a thread, a few pieces before it is needed."""
    with ThreadPoolExecutor(1, "hpjax-pieces") as thread:
        waiting: deque[Any] = deque()
        for make in making:
            waiting.append(thread.submit(make))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
