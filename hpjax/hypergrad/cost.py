"""What each mode costs: time in plain training runs of the same length, and temporary memory in bytes.

The counts are of forward passes (a gradient is 3: one forward, two backward; what reverse mode does to a gradient costs
twice as much as the gradient) and of stored states; `experiments/hypergradient_cost.py` measures both.
"""

from __future__ import annotations

from typing import NamedTuple

from hpjax.hypergrad.reverse import chunk_length
from hpjax.models import Spec
from hpjax.training.optimizers import OPTIMIZERS

LEVELS = {"reverse": (0, 1, 2, 3), "mixed": (1, 2, 3), "truncated": (0, 1, 2, 3)}
SHARE = 0.5  # of the free memory that a gradient may take


class Mode(NamedTuple):
    """A way to a hypergradient, with its settings."""

    name: str
    levels: int = 0  # of checkpoints, for reverse, mixed and truncated
    window: int = 0  # steps, for truncated and evolution
    pairs: int = 0  # for evolution
    sigma: float = 0.0  # for evolution
    solver: str = ""  # for implicit
    iterations: int = 0  # for implicit
    damping: float = 0.0  # for implicit
    rate: float | None = None  # for implicit

    def __str__(self) -> str:
        return f"{self.name} ({self.levels})" if self.name in LEVELS else self.name


class Cost(NamedTuple):
    """Of one hypergradient of one network."""

    mode: Mode
    time: float  # in plain training runs of the same length
    memory: int  # bytes


def numbers(spec: Spec) -> int:
    """Numbers that training carries from step to step: weights, moments, batch statistics."""
    copies = OPTIMIZERS[spec.optimizer].moments(spec) + (spec.schedule == "hypergradient")
    return spec.weights * (1 + copies) + spec.size.statistics


def stored(steps: int, levels: int) -> int:
    """Most states that are stored at once with this many levels of checkpoints.

    Example:
        >>> stored(1000, 1), stored(1000, 2), stored(1000, 3)
        (1000, 65, 30)
    """
    if levels <= 1 or steps < 4:
        return steps
    length = chunk_length(steps, levels)
    return -(-steps // length) + stored(length, levels - 1)


def estimate(spec: Spec, steps: int, mode: Mode, count: int, batch: int, full: int) -> Cost:
    """The model of one mode.

    Args:
        spec: of the network.
        steps: T.
        mode: with its settings.
        count: m, how many numbers are differentiated.
        batch: examples a minibatch.
        full: examples of the training part.
    """
    item = 8 if spec.dtype == "float64" else 4
    state = item * numbers(spec)
    # what reverse mode keeps of a step beside the state: the products of its matrices; and what a step needs while at work:
    # inputs, each layer's z, a and their cotangents, and five copies of the state (counted in compiled programs)
    kept = item * 2 * batch * spec.size.units
    inside = item * batch * (spec.inputs + 4 * spec.size.units) + 5 * state
    match mode.name:
        case "plain":
            return Cost(mode, 1.0, inside)
        case "reverse":
            if mode.levels == 0:
                return Cost(mode, 3.0, steps * (state + kept))
            return Cost(mode, 3.0 + mode.levels, stored(steps, mode.levels) * state + inside)
        case "mixed":
            return Cost(mode, 2.0 + mode.levels, stored(steps, mode.levels) * state + inside)
        case "forward":
            return Cost(mode, 1.0 + count, 2 * (1 + count) * state + inside + count * kept)
        case "truncated":
            there = estimate(spec, mode.window, Mode("reverse", mode.levels), count, batch, full)
            return Cost(mode, 1 + (there.time - 1) * mode.window / steps, there.memory)
        case "implicit":
            products = mode.iterations + 2 + 20 * (mode.solver == "neumann" and mode.rate is None)
            each = full / batch / steps
            return Cost(mode, 1 + 2 * products * each, 6 * state + inside * full // batch)
    return Cost(
        mode,
        1 + 2.0 * mode.pairs,
        2 * (2 * mode.pairs + 1) * state + inside + 2 * mode.pairs * kept,
    )


def candidates(spec: Spec, steps: int, count: int, batch: int, full: int) -> list[Cost]:
    """Every exact mode's cost, the cheapest in time first."""
    modes = [Mode(name, levels) for name in ("reverse", "mixed") for levels in LEVELS[name]]
    costs = [estimate(spec, steps, mode, count, batch, full) for mode in (*modes, Mode("forward"))]
    return sorted(costs, key=lambda cost: (cost.time, cost.memory))


def cost_table(costs: list[Cost]) -> str:
    """Costs in words, a line each."""
    lines = [f"{'mode':14} {'time':>6} {'memory':>10}"]
    for cost in costs:
        lines.append(f"{cost.mode!s:14} {cost.time:5.1f}x {cost.memory / 2**20:6.0f} MiB")
    return "\n".join(lines)
