"""Which networks train in one call: the members of an order as blocks of fixed width. Pure: nothing is trained or kept here.

A *job* is the part of an order that shares a program; a *block* is one call of it. A block has chunks, devices x chunks per device of
them; the networks of a chunk are alike in group (fold x repeat) and in first and last epoch. A spare place does what the
first of its chunk does, so that nobody waits for it; spare chunks train for zero epochs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hpjax import configurations
from hpjax.population.plan import Program
from hpjax.schedulers.base import Order


class Job(NamedTuple):
    """The m rows of an order that one program trains."""

    number: int  # of the program
    rows: np.ndarray  # [m] of the order
    config: dict[str, np.ndarray]  # leaves [m ...], in the program's dtype
    begin: np.ndarray  # [m] epochs done
    cohort: np.ndarray  # [m] which of the seeds


class Block(NamedTuple):
    """One call of a program; c = chunks on all devices, w = networks in a chunk."""

    number: int  # of the program
    program: Program
    member: np.ndarray  # [c w] which of the job's rows; -1 is a spare place
    group: np.ndarray  # [c] int32, of all seeds
    own_group: np.ndarray  # [c] of the seed
    trial: np.ndarray  # [c w]
    source: (
        np.ndarray
    )  # [c w] trial whose weights it goes on from, -1 for fresh ones and spare chunks
    config: dict[str, np.ndarray]  # leaves [c w ...]
    fresh: np.ndarray  # [c] bool
    begin: np.ndarray  # [c] int32 epochs
    until: np.ndarray  # [c] int32 epochs; 0 where the chunk is spare
    seed: np.ndarray  # [c] uint32 that names fresh weights and minibatches

    @property
    def real(self) -> np.ndarray:
        """[c w] which places are no spare ones."""
        return self.member >= 0

    @property
    def epochs(self) -> np.ndarray:
        """[c w] how many each network trains for, early stopping apart."""
        until = np.minimum(self.until[:, None], self.config["epochs"])
        return np.maximum(until - self.begin[:, None], 0)


def pack(
    order: Order, job: Job, program: Program, groups: int, left: np.ndarray | None = None
) -> list[Block]:
    """The blocks of a job, the longest chunks first.

    Args:
        order: whose rows they are.
        job: of the order.
        program: that trains it.
        groups: G of one seed.
        left: [m G] what is still to be trained; all of it where None.
    """
    left = np.ones((len(job.rows), groups), bool) if left is None else left
    table = _chunks(order, job, program.chunk, groups, left)
    places = program.chunks * program.devices
    # chunk j of a block goes to device j mod D: lengths are sorted, so devices get equal shares
    spread = np.arange(places).reshape(program.chunks, program.devices).T.ravel().argsort()
    return [
        _block(order, job, program, groups, table[first : first + places], spread)
        for first in range(0, len(table), places)
    ]


def _block(
    order: Order,
    job: Job,
    program: Program,
    groups: int,
    part: list[tuple[int, np.ndarray]],
    spread: np.ndarray,
) -> Block:
    places = len(spread)
    at = spread[np.arange(len(part))]
    member = np.full((places, program.chunk), -1)
    group = np.zeros(places, np.int32)
    member[at] = [chunk for _, chunk in part]
    group[at] = [g for g, _ in part]
    real = member >= 0
    row = np.maximum(np.where(real, member, member[:, :1]), 0)
    rows, first = job.rows[row], job.rows[row[:, 0]]  # a chunk's networks are alike
    busy = real[:, 0]
    return Block(
        number=job.number,
        program=program,
        member=member,
        group=group,
        own_group=group % groups,
        trial=order.trial[rows],
        source=np.where(busy[:, None], order.source[rows], -1),
        config={name: leaf[row] for name, leaf in job.config.items()},
        fresh=order.source[first] < 0,
        begin=job.begin[row[:, 0]].astype(np.int32),
        until=np.where(busy, order.epochs[first], 0).astype(np.int32),
        seed=order.seed[first].astype(np.uint32),
    )


def _chunks(
    order: Order, job: Job, width: int, groups: int, left: np.ndarray
) -> list[tuple[int, np.ndarray]]:
    """The members still to train, as (group of all seeds, rows [width]), longest first; -1 is a spare place.

    Members of a chunk are of one group, and start and end together, but for epochs of their own, by which they are sorted: a chunk
    ends with its longest network.
    """
    rows = job.rows
    fresh = order.source[rows] < 0
    length = np.maximum(np.minimum(order.epochs[rows], job.config["epochs"]) - job.begin, 0)
    kinds = (fresh, job.begin, order.epochs[rows], order.seed[rows], job.cohort)
    table = []
    for group in range(groups):
        waiting = np.flatnonzero(left[:, group])
        kind = configurations.combined([column[waiting] for column in kinds])
        for which in range(kind.max(initial=-1) + 1):
            alike = waiting[kind == which]
            alike = alike[np.argsort(-length[alike], kind="stable")]
            for start in range(0, len(alike), width):
                part = alike[start : start + width]
                chunk = np.pad(part, (0, width - len(part)), constant_values=-1)
                own_group = int(job.cohort[part[0]]) * groups + group
                table.append((length[part[0]], own_group, chunk))
    table.sort(key=lambda entry: -entry[0])
    return [(group, chunk) for _, group, chunk in table]
