"""Which mode takes a gradient: the one asked for, unless it has no meaning here or does not fit in memory, or the cheapest."""

from __future__ import annotations

from typing import Any, NamedTuple

from hpjax import devices
from hpjax.checks import one_of
from hpjax.hypergrad import coordinates, cost
from hpjax.hypergrad.cost import Mode
from hpjax.hypergrad.implicit import SOLVERS
from hpjax.hypergrad.process import TrainingPlan

IMPLICIT = ("l2", "weight_decay", "label_smoothing", "data_weights")


class Reverse(NamedTuple):
    """Backpropagation through all steps; `levels` 0 to 3 of checkpoints, what fits in memory where None."""

    levels: int | None = None


class Mixed(NamedTuple):
    """Forward over reverse within a step; `levels` 1 to 3 of checkpoints, what fits in memory where None."""

    levels: int | None = None


class Forward(NamedTuple):
    """Tangents carried along."""


class Truncated(NamedTuple):
    """Backpropagation through the last `window` steps; `levels` as for `Reverse`."""

    window: int
    levels: int | None = None


class Implicit(NamedTuple):
    """At a stationary point of training.

    Attributes:
        solver: "cg" (conjugate gradients) or "neumann" (a series).
        iterations: of the solver, at most.
        damping: added to the Hessian's diagonal.
        rate: of the series; from the largest eigenvalue where None.
    """

    solver: str = "cg"
    iterations: int = 100
    damping: float = 0.0
    rate: float | None = None


class Evolution(NamedTuple):
    """Persistent evolution strategies: antithetic `pairs` of moves with deviation `sigma` in coordinates, windows of steps."""

    window: int
    pairs: int = 32
    sigma: float = 0.1


# what may be asked for; `Mode` is what comes of it
Asked = str | Reverse | Mixed | Forward | Truncated | Implicit | Evolution
NAMED: dict[str, type] = {
    "reverse": Reverse,
    "mixed": Mixed,
    "forward": Forward,
    "truncated": Truncated,
    "implicit": Implicit,
    "evolution": Evolution,
}


def _asked(mode: Any) -> tuple[str, Any]:
    """A mode's name, and its settings: those that are given, or its defaults; None for "auto" and "plain".

    Raises:
        ValueError: no such mode, or one whose window has to be given.
    """
    for name, form in NAMED.items():
        if isinstance(mode, form):
            return name, mode
    if mode in ("auto", "plain"):
        return mode, None
    if not isinstance(mode, str) or mode not in NAMED:
        raise ValueError(f"mode={mode!r:.80} is none of auto, {', '.join(NAMED)}")
    form = NAMED[mode]
    if "window" in form._fields:
        raise ValueError(
            f"mode={mode!r} needs a window of steps: mode=hypergrad.{form.__name__}(window=...)"
        )
    return mode, form()


def resolve_mode(
    plan: TrainingPlan,
    mode: Asked,
    count: int,
    batch: int,
    full: int,
    networks: int = 1,
    memory: int | None = None,
) -> Mode:
    """The mode with its settings, or a refusal in one line.

    Args:
        plan: of the training run.
        mode: as for `hypergradient`.
        count: how many numbers are differentiated, of one network.
        batch, full: examples of a minibatch, and of the training part.
        networks: how many at once.
        memory: bytes that may be taken; half of what is free where None.

    Raises:
        ValueError: says which mode to use instead.
    """
    spec, steps, names = plan.spec, plan.steps, [name for name, _ in plan.scales]
    mode, settings = _asked(mode)
    if mode == "plain":
        return Mode(mode)
    coordinates.acting(names, spec, hard=mode == "evolution")
    _refuse_window(plan, names, mode, getattr(settings, "window", None))
    choices = _choices(plan, names, mode, settings, batch == full)
    exact = cost.candidates(spec, steps, count, batch, full)
    prices = [cost.estimate(spec, steps, made, count, batch, full) for made in choices]
    limit = cost.SHARE * devices.free_memory() if memory is None else memory
    fitting = lambda costs: next((c.mode for c in costs if networks * c.memory <= limit), None)
    chosen = fitting(exact if mode == "auto" else prices)
    if chosen is not None:
        return chosen
    least = min(exact if mode == "auto" else prices, key=lambda price: price.memory)
    other = fitting(exact)
    remedy = "take fewer networks or steps" if other is None else f"use {_spelled(other)}"
    raise ValueError(
        f"{least.mode} over {steps} steps needs {_size(networks * least.memory)}, but {_size(limit)} may be taken; {remedy}"
    )


def _refuse_window(plan: TrainingPlan, names: list[str], mode: str, window: int | None) -> None:
    """Refuses windows that are no part of training, or see too little of it."""
    steps = plan.steps
    if mode not in ("truncated", "evolution"):
        return
    if window is None or not 1 <= window <= steps:
        raise ValueError(f"mode={mode!r} needs a window of 1 to {steps} steps, got {window}")
    for name in names:
        if mode == "truncated" and name in coordinates.AT_START and window != steps:
            raise ValueError(
                f"{name} acts before the window of mode='truncated'; use reverse, mixed or forward"
            )
    if mode == "truncated" and plan.segments and window != steps:
        raise ValueError(
            "mode='truncated' would leave the first segments of a schedule without a gradient; use reverse, mixed or forward"
        )
    if mode == "evolution" and ("data_weights" in names or any(s > 64 for _, s in plan.segments)):
        raise ValueError(
            "mode='evolution' is for a few numbers; use mixed or reverse for weights of examples and long schedules"
        )


def _choices(
    plan: TrainingPlan, names: list[str], mode: str, settings: Any, whole: bool
) -> list[Mode]:
    """The ways to take a gradient that were asked for; the cheapest that fits is taken."""
    if mode == "auto":
        return []
    if mode == "implicit":
        _stationary(plan, names, whole, settings.solver)
        return [Mode(mode, **settings._asdict())]
    if mode == "evolution":
        if settings.pairs < 1 or settings.sigma <= 0:
            raise ValueError(
                f"evolution needs pairs >= 1 and sigma > 0, got {settings.pairs} and {settings.sigma}"
            )
        return [Mode(mode, **settings._asdict())]
    if mode not in cost.LEVELS:
        return [Mode(mode)]
    allowed, levels = cost.LEVELS[mode], settings.levels
    if levels is not None and levels not in allowed:
        raise ValueError(
            f"levels={levels} of mode={mode!r} is none of {', '.join(map(str, allowed))}"
        )
    window = getattr(settings, "window", 0)
    return [Mode(mode, n, window=window) for n in (allowed if levels is None else (levels,))]


def _stationary(plan: TrainingPlan, names: list[str], whole: bool, solver: str) -> None:
    """Refuses what has no gradient at a stationary point of training."""
    spec = plan.spec
    for name in names:
        if name == "l1":
            raise ValueError(
                "mode='implicit' has no gradient of l1, whose optimum lies at kinks; use reverse, mixed or forward, or l2"
            )
        if name not in IMPLICIT:
            raise ValueError(
                f"mode='implicit' has no gradient of {name}, which does not move the optimum that training converges to; "
                "use reverse, mixed or forward"
            )
    if plan.segments:
        raise ValueError("mode='implicit' has no schedules; use reverse, mixed or forward")
    if plan.objective == "curve":
        raise ValueError(
            "mode='implicit' knows no objective 'curve', the way there; use validation or train"
        )
    if spec.size.statistics:
        raise ValueError(
            "mode='implicit' does not differentiate batch statistics; use normalization='layer' or another mode"
        )
    if "clip_norm" in spec.features and "weight_decay" in spec.features:
        raise ValueError(
            "mode='implicit' cannot have clip_norm beside weight_decay; drop one, or use l2"
        )
    if spec.sampling == "replacement" and spec.batch_size:
        whole = False
    if not whole or {"dropout", "input_noise"} & set(plan.spec.features):
        raise ValueError(
            "mode='implicit' needs training on the whole training part without noise; set batch_size=0"
        )
    if "weight_decay" in plan.spec.features and not coordinates.RULES["momentum"].acts(plan.spec):
        raise ValueError(
            f"mode='implicit' with weight_decay needs sgd, nesterov or damped; with {plan.spec.optimizer} use l2"
        )
    one_of("solver", solver, SOLVERS)


def _spelled(mode: Mode) -> str:
    form = NAMED[mode.name].__name__
    levels = f"levels={mode.levels}" if mode.name in cost.LEVELS else ""
    return f"mode=hypergrad.{form}({levels})"


def _size(memory: float) -> str:
    return f"{memory / 2**20:.0f} MiB"
