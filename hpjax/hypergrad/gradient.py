"""What is the gradient of the loss after training with respect to hyperparameters? `hypergradient`, for one network or many."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpjax import devices, tasks
from hpjax.catalogue import family_of, trained_on
from hpjax.checks import one_of
from hpjax.configurations import single_network
from hpjax.defaults import EPOCHS
from hpjax.hypergrad import coordinates as on
from hpjax.hypergrad import cost
from hpjax.hypergrad.coordinates import Kind, Wrt
from hpjax.hypergrad.cost import Mode, numbers
from hpjax.hypergrad.evolution import evolution
from hpjax.hypergrad.forward import forward
from hpjax.hypergrad.implicit import implicit
from hpjax.hypergrad.mixed import mixed
from hpjax.hypergrad.modes import Asked, resolve_mode
from hpjax.hypergrad.process import OBJECTIVES, Process, TrainingPlan, process_of, resized
from hpjax.hypergrad.reverse import reverse, truncated
from hpjax.models import Spec
from hpjax.models.base import Array, Target
from hpjax.tasks import Split, Task
from hpjax.training import batches
from hpjax.training.losses import own_loss

WIDEST = 16  # networks in lockstep on a core


class Hypergradient(NamedTuple):
    """A loss after training, and its gradient; arrays lead with [P] where there are several networks."""

    loss: np.ndarray  # [] the objective
    gradient: dict[str, np.ndarray]  # d objective / d coordinate, by name
    coordinates: dict[str, np.ndarray]  # where: the values on their scales
    values: dict[str, np.ndarray]
    scales: dict[str, Kind]  # "log", "logit", "identity" or a range, by name
    mode: Mode
    info: dict  # what the mode says of itself: the residual of implicit
    state: Any  # weights, batch statistics and optimizer state after training


class Setup(NamedTuple):
    """A training run made ready: what is static, and what a compiled program takes."""

    plan: TrainingPlan
    config: dict  # the scheduled leaves at their lengths
    examples: batches.Examples
    data: batches.Data  # NumPy; one group a seed
    draws: np.ndarray  # [G n]
    batch: int  # examples a minibatch
    full: int  # examples of the training part

    @property
    def scales(self) -> dict[str, Kind]:
        """Of what is differentiated, by name."""
        return dict(self.plan.scales)

    @property
    def differentiated(self) -> int:
        """How many numbers are differentiated, of one network."""
        return sum(self.config[name][0].size for name in self.scales)

    @property
    def coordinates(self) -> dict[str, np.ndarray]:
        """Where to differentiate, [P ...] by name."""
        return on.encode(self.config, self.scales)

    @property
    def fixed(self) -> dict[str, np.ndarray]:
        """Config leaves [P ...] that are not differentiated."""
        return {name: value for name, value in self.config.items() if name not in self.scales}


def hypergradient(
    task: Task,
    spec: Spec,
    config: Mapping[str, Any],
    wrt: Wrt = "learning_rate",
    steps: int = 100,
    *,
    mode: Asked = "auto",
    key: int = 0,
    segments: Mapping[str, int] | None = None,
    objective: str = "validation",
    split: Split | None = None,
    gradients: str = "explicit",
    memory: int | None = None,
) -> Hypergradient:
    """The loss after training a network, and its gradient with respect to hyperparameters, through all of training.

    With w_T the weights after T steps of training from the hyperparameters h: d objective(w_T(h), h) / d h, on the
    scale of each hyperparameter (d / d log learning_rate, d / d logit momentum, ...).

    Args:
        task: data.
        spec: the network's shape, exact.
        config: its numbers; a leaf to differentiate may be one number, one per layer [L+1], or, where `segments` names it, a
            schedule [S] or [S L+1]. "data_weights" [N] are one per example of the task, 1 where absent.
        wrt: names, or name -> scale: "log", "logit", "identity", or a range, such as LogUniform(1e-3, 1), for its unit interval.
        steps: T.
        mode: "auto", the cheapest exact mode that fits in memory; "reverse", "mixed", "forward" or "implicit"; with settings,
            `Reverse(levels=2)`, `Mixed(...)`, `Truncated(window=5)`, `Implicit(...)`, `Evolution(window=10)`; "plain" trains
            without a gradient.
        key: names all randomness, as a study's seed does.
        segments: name -> S equal stretches of the steps, each with a value of its own; S = T is one per step.
        objective: "validation" loss, loss on the whole "train" part, mean loss of the training "curve", or the loss of the
            "next" minibatch.
        split: rows to train and validate on; 20 % held out of the development part where None.
        gradients: "explicit" (backprop by hand) or "autodiff", for training.
        memory: bytes that may be taken; half of what is free where None.

    Returns:
        A Hypergradient.

    Raises:
        ValueError: a combination without meaning, a schedule of the wrong length, a horizon that does not fit in memory.

    Example:
        >>> import hpjax
        >>> task = hpjax.tasks.load("iris")
        >>> spec, config = configure(task, hidden=(8,), optimizer="sgd", learning_rate=0.05, batch_size=0)
        >>> found = hypergradient(task, spec, config, "learning_rate", steps=20)
        >>> bool(found.gradient["learning_rate"] < 0)
        True

    References:
        Maclaurin, Duvenaud & Adams 2015; Franceschi et al. 2017; Griewank 1992; Kemaev et al. 2025; Baydin et al. 2018; Lorraine,
        Vicol & Duvenaud 2020; Vicol, Metz & Sohl-Dickstein 2021.
    """
    found = hypergradients(
        task,
        spec,
        [config],
        wrt,
        steps,
        mode=mode,
        key=key,
        segments=segments,
        objective=objective,
        split=split,
        gradients=gradients,
        memory=memory,
    )
    first = lambda tree: jax.tree.map(lambda a: a[0], tree)
    arrays = ("loss", "gradient", "coordinates", "values", "info", "state")
    return found._replace(**{name: first(getattr(found, name)) for name in arrays})


def hypergradients(
    task: Task,
    spec: Spec,
    configs: Sequence[Mapping[str, Any]],
    wrt: Wrt = "learning_rate",
    steps: int = 100,
    *,
    mode: Asked = "auto",
    key: int = 0,
    segments: Mapping[str, int] | None = None,
    objective: str = "validation",
    split: Split | None = None,
    gradients: str = "explicit",
    memory: int | None = None,
) -> Hypergradient:
    """`hypergradient` of P networks of one shape at once, on all devices; they share minibatches and initial draws.

    Args:
        configs: P of them; everything else as for `hypergradient`.

    Returns:
        A Hypergradient whose arrays lead with [P].
    """
    ready = setup(
        task,
        spec,
        configs,
        wrt,
        steps,
        keys=(key,),
        segments=segments,
        objective=objective,
        split=split,
        gradients=gradients,
    )
    width = width_of(ready.plan, ready.batch, len(configs))
    chosen = resolve_mode(
        ready.plan,
        mode,
        ready.differentiated,
        ready.batch,
        ready.full,
        width,
        memory=memory,
    )
    coordinates, scales = ready.coordinates, ready.scales
    group = np.zeros(len(configs), np.int32)
    runs = Runs(coordinates, ready.fixed, group, ready.draws[group])
    found = differentiate(ready.plan, chosen, runs, ready.data, seed=key)
    values = {name: ready.config[name] for name in scales}
    return Hypergradient(
        found.loss, found.gradient, coordinates, values, scales, chosen, found.info, found.state
    )


def configure(
    task: Task, *, epochs: int = EPOCHS, model: Any = None, **values: Any
) -> tuple[Spec, dict]:
    """The spec and config of a network on a task, from named values; the rest hold their defaults.

    Args:
        task: tells inputs, outputs and loss.
        epochs: that learning-rate schedules run over, where `horizon` is not given.
        model: as for `tune`; multilayer perceptrons where None.
        values: hyperparameters by name; `loss` may be a function of your own, as for `tune`.

    Example:
        >>> import hpjax
        >>> spec, config = configure(hpjax.tasks.load("iris"), hidden=(8,), learning_rate=0.1)
        >>> spec.sizes, float(config["learning_rate"])
        ((4, 8, 3), 0.1)
    """
    loss = values.pop("loss") if callable(values.get("loss")) else None
    named = {name: [value] for name, value in values.items()}
    family = family_of(model, named, task.inputs, task.outputs)
    if loss is not None:
        family = trained_on(family, own_loss(loss, task.outputs, task.classes))
    return single_network(Target.of(task, epochs), family=family, **values)


def setup(
    task: Task,
    spec: Spec,
    configs: Sequence[Mapping[str, Any]],
    wrt: Wrt,
    steps: int,
    *,
    keys: Sequence[int],
    segments: Mapping[str, int] | None = None,
    objective: str = "validation",
    split: Split | None = None,
    gradients: str = "explicit",
    report: bool = False,
    curve: bool = False,
) -> Setup:
    """Resolves what a user wrote into a plan and arrays; refuses what cannot be.

    Args:
        task, spec, configs, wrt, steps, segments, objective, split, gradients: as for `hypergradients`.
        report, curve: what plain training is to say beside the objective.
        keys: seeds; each gets a group of the data, with minibatches and initial weights of its own.
    """
    if isinstance(steps, bool) or steps != int(steps) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
    if spec.overhead > 1:
        raise ValueError("a padded spec has no hypergradient; give the network's own")
    one_of("objective", objective, OBJECTIVES)
    if not len(configs):
        raise ValueError("configs is empty; give at least one")
    scales = on.resolve_scales(wrt, spec)
    stretches = {name: int(many) for name, many in (segments or {}).items()}
    for name in stretches:
        if name not in scales:
            raise ValueError(f"segments has {name!r}, which wrt has not; name it there too")
        if name in ("data_weights", *on.AT_START):
            raise ValueError(f"{name} is not a matter of time; leave it out of segments")
    spec = dataclasses.replace(spec, features=on.features(spec, list(scales)))
    plan = TrainingPlan(
        spec,
        int(steps),
        tuple(scales.items()),
        tuple(sorted(stretches.items())),
        objective,
        gradients,
        report=report,
        curve=curve,
    )
    config = _stacked(task, plan, configs)
    if split is None:
        split = tasks.splits(task, 1, keys[0])[0]
    examples = batches.examples_of(task, [split] * len(keys))
    size = spec.batch(len(split.train))
    epochs = -(-(steps + (objective == "next")) // -(-len(split.train) // size))
    needed = 4 * len(keys) * epochs * -(-len(split.train) // size) * size
    if needed > cost.SHARE * devices.free_memory():
        raise ValueError(
            f"the minibatches of {steps} steps take {needed / 2**20:.0f} MiB, more than half of what is free; take fewer steps"
        )
    data = batches.prepare(examples, 1, keys, epochs, spec)
    draws = np.stack([batches.drawn(seed, 0, 0, 0, spec) for seed in keys])
    return Setup(plan, config, examples, data, draws, size, len(split.train))


def redrawn(ready: Setup, keys: Sequence[int]) -> Setup:
    """The same training run with other minibatches and initial weights, as many groups as before."""
    spec, (rows, _) = ready.plan.spec, ready.examples.folds[0]
    epochs, places = ready.data.order.shape[1:]
    order = [batches.orders(key, 0, 0, rows, places, epochs, spec) for key in keys]
    words = [batches.key_words(key, 0, 0) for key in keys]
    drawn: Any = {"order": np.stack(order), "key": np.stack(words)}
    return ready._replace(
        data=ready.data._replace(**drawn),
        draws=np.stack([batches.drawn(key, 0, 0, 0, spec) for key in keys]),
    )


def _stacked(
    task: Task, plan: TrainingPlan, configs: Sequence[Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Configs as one, leaves [P ...]; refuses what lacks a hyperparameter that is differentiated."""
    names, sized = [name for name, _ in plan.scales], []
    for config in configs:
        values = dict(config)
        if "data_weights" in names:
            values.setdefault("data_weights", np.ones(len(task.x)))
        weights = values.get("data_weights")
        if weights is not None and np.shape(weights) != (len(task.x),):
            raise ValueError(
                f"data_weights has {np.size(weights)} values for {len(task.x)} examples of {task.name}"
            )
        missing = [name for name in names if name not in values]
        if missing:
            raise ValueError(
                f"the config has no {missing[0]}; make it by hypergrad.configure(task, ...)"
            )
        sized.append(resized(plan, values))
    try:
        whole = lambda name: np.stack([np.asarray(c[name], np.float64) for c in sized])
        return {name: whole(name) for name in sized[0]}
    except (KeyError, ValueError):
        raise ValueError("the configs must have the same names, each of one length") from None


def width_of(plan: TrainingPlan, batch: int, networks: int) -> int:
    """How many networks train at the same moment: on CPUs what fits a core's cache in lockstep, one at least, on every core."""
    local_devices = devices.devices(lambda text: None)
    alone = -(-networks // len(local_devices))
    if local_devices[0].platform == "cpu":
        item = 8 if plan.spec.dtype == "float64" else 4
        touched = item * (
            4 * numbers(plan.spec) + 6 * batch * (plan.spec.inputs + plan.spec.size.units)
        )
        alone = min(alone, min(WIDEST, devices.in_cache(touched)))
    return min(networks, alone * len(local_devices))


# --- carrying it out --------------------------------------------------------------------------------------------------
class Runs(NamedTuple):
    """P trainings of one shape, side by side."""

    coordinates: dict[str, np.ndarray]  # [P ...] what is differentiated, by name
    fixed: dict[str, np.ndarray]  # [P ...] config leaves that are not
    group: np.ndarray  # [P] int32 of the data
    draw: np.ndarray  # [P n] what networks start from


class Differentiated(NamedTuple):
    """What training brought, and its gradient."""

    loss: np.ndarray  # [P] the objective
    state: Any  # leaves [P ...]
    gradient: dict[str, np.ndarray]  # [P ...] d loss / d coordinate, by name; empty in mode plain
    info: dict[str, np.ndarray]  # [P ...] what plan and mode say beside these


def differentiate(
    plan: TrainingPlan,
    mode: Mode,
    runs: Runs,
    data: batches.Data,
    *,
    fresh: int = 0,
    seed: int = 0,
    width: int | None = None,
) -> Differentiated:
    """Trains P networks and takes their hypergradients, spread over the devices.

    Args:
        plan: what is static; with the mode it names a compiled program.
        mode: resolved.
        runs: what is trained.
        data: of G groups.
        fresh: names fresh dropout and noise, 0 for none.
        seed: of evolution's moves.
        width: networks that train at the same moment, on all devices; as `width_of` says where None.
    """
    count, local_devices = len(runs.group), devices.devices()
    wide = min(len(local_devices), count)
    if width is None:
        width = width_of(plan, plan.spec.batch(data.order.shape[-1]), count)
    chunk = -(-width // wide)
    padding = -count % wide
    fill = lambda a: (
        np.concatenate([a, np.repeat(a[-1:], padding, 0)]) if padding else np.asarray(a)
    )
    dtype = np.dtype(plan.spec.dtype)
    with jax.enable_x64(dtype == np.float64):
        typed = lambda v: v if v.dtype == np.int32 else v.astype(dtype)  # widths of padded networks
        real = lambda tree: {n: typed(fill(np.asarray(v))) for n, v in tree.items()}
        call = program(plan, mode, wide, chunk)
        names = np.uint32(fresh), np.uint32(seed % 2**32)
        each = real(runs.coordinates), real(runs.fixed), fill(runs.group), fill(runs.draw)
        answer = call(data, *names, *each)
        return Differentiated(*jax.tree.map(lambda a: np.asarray(a)[:count], answer))


@functools.lru_cache(maxsize=64)
def program(plan: TrainingPlan, mode: Mode, wide: int, chunk: int):
    """The compiled function of `differentiate`, for networks on `wide` devices."""

    def take(run: Process, coordinates: dict[str, Array], seed: Any):
        match mode.name:
            case "plain":
                hyper = run.hyper(coordinates)
                if plan.curve:
                    state, curve = run.watched(run.begin(hyper), hyper, run.clock(hyper))
                    return run.end(state, hyper), state, {}, {"curve": curve}
                state = run.advance(run.begin(hyper), hyper, run.clock(hyper))
                return run.end(state, hyper), state, {}, {}
            case "reverse":
                return *reverse(run, coordinates, levels=mode.levels), {}
            case "mixed":
                return *mixed(run, coordinates, levels=mode.levels), {}
            case "forward":
                return *forward(run, coordinates), {}
            case "truncated":
                return *truncated(run, coordinates, window=mode.window, levels=mode.levels), {}
            case "implicit":
                return implicit(
                    run,
                    coordinates,
                    solver=mode.solver,
                    iterations=mode.iterations,
                    damping=mode.damping,
                    rate=mode.rate,
                )
        moves = jax.random.key(seed)
        return *evolution(
            run, coordinates, moves, window=mode.window, pairs=mode.pairs, sigma=mode.sigma
        ), {}

    def network(
        data: batches.Data,
        seed: Any,
        coordinates: dict[str, Array],
        fixed: dict[str, Array],
        group: Array,
        draw: Array,
    ):
        run = process_of(plan, fixed, data, group, draw)
        loss, state, gradient, info = take(run, coordinates, seed)
        return loss, state, gradient, info | run.report(state, run.hyper(coordinates))

    def device(data: batches.Data, fresh: Array, seed: Any, *args: Any):
        data = batches.keyed(data, fresh)
        each = functools.partial(network, data, seed)
        count = args[-1].shape[0]
        if count == 1:
            alone = each(*jax.tree.map(lambda a: a[0], args))
            return jax.tree.map(lambda a: jnp.asarray(a)[None], alone)
        if chunk >= count:
            return jax.vmap(each)(*args)
        return jax.lax.map(lambda one: each(*one), args, batch_size=chunk if chunk > 1 else None)

    compiled = functools.partial(jax.jit, compiler_options=devices.sound())
    if wide == 1:
        return compiled(device)
    mesh = devices.mesh_of(devices.devices()[:wide])
    return compiled(devices.side_by_side(device, mesh, shared=3, parted=4))
