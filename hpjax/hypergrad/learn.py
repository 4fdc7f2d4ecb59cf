"""Training by meta-training: any hyperparameters, thousands of numbers, moved along their hypergradients.

`learn` repeats: train, differentiate, step; a schedule per layer and training step is 2 x layers x steps numbers. What it found,
a `Learned`, can be saved, read again, drawn and replayed in plain training.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpjax import randomness
from hpjax.catalogue import read_shape
from hpjax.checks import one_of
from hpjax.files import write_bytes
from hpjax.hypergrad import coordinates as on
from hpjax.hypergrad.coordinates import Kind, Wrt
from hpjax.hypergrad.cost import Mode
from hpjax.hypergrad.gradient import (
    Differentiated,
    Runs,
    Setup,
    differentiate,
    redrawn,
    setup,
    width_of,
)
from hpjax.hypergrad.modes import Asked, resolve_mode
from hpjax.models import Spec
from hpjax.space import Space
from hpjax.tasks import Split, Task
from hpjax.training.losses import Loss

META_RULES = ("adam", "sign")
EPS = 1e-8  # of Adam (Kingma & Ba 2015)
FEW = 64  # numbers of a start whose path is kept
RECENT = 5  # meta-iterations whose mean objective tells starts apart


class History(NamedTuple):
    """What meta-training saw, M iterations of S starts."""

    loss: np.ndarray  # [M S] objective before each step, mean over seeds
    norm: np.ndarray  # [M S] of the hypergradient, before it is clipped
    cosine: np.ndarray  # [M S] between this hypergradient and the one before; NaN at first
    rescued: np.ndarray  # [M S] bool: it was not finite, and the start was set back
    seconds: np.ndarray  # [M]


@dataclasses.dataclass(frozen=True)
class Learned:
    """What was learned; arrays lead with [S], one for every start.

    Attributes:
        spec, config: the network; `config` has what was not learned.
        steps: T.
        scales: "log", "logit", "identity" or a range, by name.
        segments: name -> stretches of the steps that have values of their own.
        objective: what was minimised.
        begun: name -> values [S ...] before the first step.
        learned: name -> values [S ...] after the last.
        path: name -> values [M S ...] before each step, of what has at most 64 numbers a start.
        history: of the meta-iterations.
        mode: that took the gradients.
    """

    spec: Spec
    config: dict
    steps: int
    scales: dict[str, Kind]
    segments: dict[str, int]
    objective: str
    begun: dict[str, np.ndarray]
    learned: dict[str, np.ndarray]
    path: dict[str, np.ndarray]
    history: History
    mode: Mode

    @property
    def best(self) -> int:
        """The start with the lowest mean objective over the last few iterations."""
        recent = self.history.loss[-RECENT:]
        return int(np.argmin(np.where(np.isfinite(recent), recent, np.inf).mean(0)))

    def values(self, start: int | None = None, begun: bool = False) -> dict[str, Any]:
        """What one start learned, or began with: numbers, or arrays of them; the best start where None."""
        start = self.best if start is None else start
        chosen = {n: v[start] for n, v in (self.begun if begun else self.learned).items()}
        return {n: v if np.ndim(v) else float(v) for n, v in chosen.items()}

    def at_steps(self, name: str, start: int | None = None, begun: bool = False) -> np.ndarray:
        """A hyperparameter at every step, [T] or [T L+1]."""
        value = self.values(start, begun)[name]
        if name not in self.segments:
            return np.broadcast_to(value, (self.steps, *np.shape(value)))
        return value[np.arange(self.steps) * self.segments[name] // self.steps]

    def save(self, path: str | Path) -> None:
        """Writes JSON that `Learned.load` reads, whole or not at all; functions of your own are left out, but for the name of a loss.

        Raises:
            RunError: it cannot be written.
        """
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        entries = fields | {
            "spec": self.spec.written(),
            "own_loss": self.spec.loss.name if isinstance(self.spec.loss, Loss) else None,
            "scales": Space(self.scales).to_dict(),
            "history": self.history._asdict(),
            "mode": self.mode._asdict(),
        }
        write_bytes(Path(path), (json.dumps(entries, default=_plain) + "\n").encode())

    @classmethod
    def load(
        cls, path: str | Path, model: Any = None, loss: Callable[..., Any] | None = None
    ) -> Learned:
        """Reads what `save` wrote.

        Args:
            path: of the file.
            model, loss: again, where they were your own.

        Raises:
            ValueError: no such file, or another one; what was your own and is not given again.
        """
        try:
            entries = json.loads(Path(path).read_text())
            spec = read_shape(entries.pop("spec"), entries.pop("own_loss", None), model, loss)
            arrays = lambda tree: {n: np.asarray(v, np.float64) for n, v in tree.items()}
            history = {
                n: np.asarray(v, bool if n == "rescued" else np.float64)
                for n, v in entries.pop("history").items()
            }
            scales = Space.load(entries.pop("scales"))
            return cls(
                spec=spec,
                scales=scales.ranges | scales.constants,
                config=arrays(entries.pop("config")),
                begun=arrays(entries.pop("begun")),
                learned=arrays(entries.pop("learned")),
                path=arrays(entries.pop("path")),
                history=History(**history),
                mode=Mode(**entries.pop("mode")),
                **entries,
            )
        except (OSError, ValueError, KeyError, TypeError) as fault:
            what = f"it has no {fault}" if isinstance(fault, KeyError) else fault
            raise ValueError(f"{path} cannot be read as Learned: {what}") from None

    def replay(
        self,
        task: Task,
        keys: Sequence[int] = (0,),
        *,
        start: int | None = None,
        begun: bool = False,
        split: Split | None = None,
        at_end: str = "validation",
    ) -> Replay:
        """Plain training with what was learned (or what it began with), once for every key.

        Args:
            task: data.
            keys: K seeds.
            start: whose; the best where None.
            begun: with the values before the first meta-step instead.
            split: as for `hypergradient`; its validation rows are what `loss` and `error` are of.
            at_end: the objective.
        """
        config = self.config | self.values(start, begun)
        ready = setup(
            task,
            self.spec,
            [config],
            self.scales,
            self.steps,
            keys=list(keys),
            segments=self.segments,
            objective=at_end,
            split=split,
            report=True,
            curve=True,
        )
        run = trained(ready, np.arange(len(keys)))
        info, state = run.info, run.state
        return Replay(
            run.loss, info["error"], info["train"], info["curve"], state.params, state.stats, ready
        )


class Replay(NamedTuple):
    """Plain training along a schedule, K times."""

    loss: np.ndarray  # [K] the objective
    error: np.ndarray  # [K] on the validation rows
    train: np.ndarray  # [K] loss on the training part
    curve: np.ndarray  # [K T] loss of each minibatch
    params: Any  # leaves [K ...]
    stats: Any  # leaves [K ...]
    ready: Setup


def trained(ready: Setup, group: np.ndarray) -> Differentiated:
    """Plain training of a setup's one config in each of these groups."""
    many = lambda tree: {n: np.repeat(v, len(group), 0) for n, v in tree.items()}
    group = group.astype(np.int32)
    runs = Runs(many(ready.coordinates), many(ready.fixed), group, ready.draws[group])
    return differentiate(ready.plan, Mode("plain"), runs, ready.data)


def learn(
    task: Task,
    spec: Spec,
    config: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    wrt: Wrt = "learning_rate",
    steps: int = 100,
    *,
    iterations: int = 50,
    rate: float = 0.05,
    end_factor: float = 1.0,
    rule: str = "adam",
    betas: tuple[float, float] = (0.9, 0.999),
    clip: float = 10.0,
    trust: float = 0.3,
    seeds: int = 1,
    fresh: bool = True,
    key: int = 0,
    mode: Asked = "auto",
    segments: Mapping[str, int] | None = None,
    objective: str = "validation",
    split: Split | None = None,
    gradients: str = "explicit",
    memory: int | None = None,
    watch: Callable[[int, np.ndarray], None] = lambda iteration, loss: None,
) -> Learned:
    """Learns hyperparameters by descending along their hypergradients.

    Args:
        task, spec, wrt, steps, mode, segments, objective, split, gradients, memory: as for `hypergradient`.
        config: where to start from, or several starts, which move at once.
        iterations: M meta-steps.
        rate: of the meta-optimizer, in coordinates (0.05 in log learning rate is 5 %).
        end_factor: what the rate falls to by the last step, along a cosine, as a fraction of it; 1 keeps it.
        rule: "adam", or "sign": steps of +-rate that halve where the sign flips (Micaelli & Storkey 2021).
        betas: of Adam; a lower second one forgets the steep slopes of bad starts sooner.
        clip: largest hypergradient of one training in any coordinate (Wu et al. 2018); the mean over seeds is of clipped ones.
        trust: longest step in any coordinate.
        seeds: trainings that a hypergradient is the mean of.
        fresh: whether every meta-step has new minibatches and initial weights; else those of `key`, always.
        key: names all randomness.
        watch: shown the iteration and its objectives [S].

    Returns:
        A Learned.

    Raises:
        ValueError: as `hypergradient`; settings out of bounds; or every start diverged at once.

    A start whose loss or gradient is not finite goes back to where it last was finite, and e times lower with its learning
    rate (where that is learned), and takes half as long steps from then on; it never touches the others.

    Example:
        >>> import hpjax
        >>> from hpjax import hypergrad
        >>> task = hpjax.tasks.load("iris")
        >>> spec, config = hypergrad.configure(task, hidden=(8,), optimizer="sgd", learning_rate=0.01, batch_size=0)
        >>> found = learn(task, spec, config, "learning_rate", steps=20, iterations=8, rate=0.3)
        >>> found.values()["learning_rate"] > 0.02
        True

    References:
        Maclaurin, Duvenaud & Adams 2015, section 3.
    """
    _refuse(rule, iterations, seeds, rate, clip, trust, betas)
    configs = [config] if isinstance(config, Mapping) else list(config)
    names = lambda k: [_seed(key, k if fresh else 0, j) for j in range(seeds)]
    ready = setup(
        task,
        spec,
        configs,
        wrt,
        steps,
        keys=names(0),
        segments=segments,
        objective=objective,
        split=split,
        gradients=gradients,
    )
    plan, scales, starts = ready.plan, ready.scales, len(configs)
    width = width_of(plan, ready.batch, starts * seeds)
    chosen = resolve_mode(
        plan, mode, ready.differentiated, ready.batch, ready.full, width, memory=memory
    )
    _refuse_different(ready.fixed)
    fixed = {n: np.repeat(v, seeds, 0) for n, v in ready.fixed.items()}
    group = np.tile(np.arange(seeds, dtype=np.int32), starts)
    meta = Meta(ready.coordinates, scales, rule, clip, trust, betas)
    rows, path = [], []
    for iteration in range(iterations):
        ready = redrawn(ready, names(iteration)) if iteration and fresh else ready
        begun = time.perf_counter()
        coordinates = {n: np.repeat(v, seeds, 0) for n, v in meta.coordinates.items()}
        runs = Runs(coordinates, fixed, group, ready.draws[group])
        found = differentiate(plan, chosen, runs, ready.data, seed=_seed(key, iteration, 0))
        loss, norm, slopes = _over_seeds(found, seeds, clip)
        path.append(
            {n: v for n, v in on.values(meta.coordinates, scales).items() if v[0].size <= FEW}
        )
        moved = meta.step(loss, slopes, _cosine(rate, end_factor, iteration / iterations))
        rows.append((loss, norm, *moved, time.perf_counter() - begun))
        watch(iteration, loss)
        if not np.isfinite(loss).any() and iteration == 0:
            raise ValueError(
                "training diverged from every start; lower the learning rate that they begin with"
            )
    history = History(*(np.array(column) for column in zip(*rows)))
    return _learned(ready, meta, objective, path, history, chosen)


def _over_seeds(
    found: Differentiated, seeds: int, clip: float
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Means over the seeds of S starts: the objective [S], the norm of the hypergradient [S], and the clipped one by name [S ...]."""
    starts = len(found.loss) // seeds
    mean = lambda a: a.reshape(starts, seeds, *a.shape[1:]).mean(1, dtype=np.float64)
    steep = np.concatenate([mean(g).reshape(starts, -1) for g in found.gradient.values()], 1)
    clipped = lambda g: np.where(np.isfinite(g), np.clip(g, -clip, clip), np.nan)
    means = {n: mean(clipped(g)) for n, g in found.gradient.items()}
    return mean(found.loss), np.linalg.norm(steep, axis=1), means


def _learned(
    ready: Setup, meta: Meta, objective: str, path: list[dict], history: History, mode: Mode
) -> Learned:
    """What the meta-optimizer arrived at."""
    plan, scales = ready.plan, ready.scales
    return Learned(
        plan.spec,
        {n: v[0] for n, v in ready.fixed.items()},
        plan.steps,
        scales,
        dict(plan.segments),
        objective,
        {n: ready.config[n] for n in scales},
        on.values(meta.coordinates, scales),
        {n: np.array([at[n] for at in path]) for n in path[0]},
        history,
        mode,
    )


def _refuse(
    rule: str,
    iterations: int,
    seeds: int,
    rate: float,
    clip: float,
    trust: float,
    betas: tuple[float, float],
) -> None:
    """Refuses settings of the meta-optimizer that are out of bounds."""
    one_of("rule", rule, META_RULES)
    if min(iterations, seeds) < 1 or min(rate, clip, trust) <= 0:
        raise ValueError(
            f"learn needs iterations and seeds >= 1 and rate, clip and trust > 0, got {iterations}, {seeds}, {rate}, {clip} and {trust}"
        )
    if not all(0 <= beta < 1 for beta in betas) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas}")


def _refuse_different(fixed: Mapping[str, np.ndarray]) -> None:
    """Refuses starts that differ in what is not learned."""
    for name, value in fixed.items():
        if (value != value[0]).any():
            raise ValueError(
                f"the starts differ in {name}, which is not learned; name it in wrt, or give them the same"
            )


def _cosine(rate: float, end_factor: float, done: float) -> float:
    """The rate of the meta-optimizer when this part of the iterations is done."""
    fallen = (1 - np.cos(np.pi * done)) / 2
    return rate * (1 - (1 - end_factor) * fallen)


class Meta:
    """The meta-optimizer: S starts, each with its own moments.

    Args:
        coordinates: name -> coordinates [S ...].
        scales: of the coordinates.
        rule, clip, trust, betas: as for `learn`.
    """

    def __init__(
        self,
        coordinates: dict[str, np.ndarray],
        scales: Mapping[str, Kind],
        rule: str,
        clip: float,
        trust: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ):
        self.scales = scales
        self.coordinates = {n: v.copy() for n, v in coordinates.items()}
        self.good = {n: v.copy() for n, v in coordinates.items()}
        self.rule, self.clip, self.trust, self.betas = rule, clip, trust, betas
        zeros = lambda: {n: np.zeros_like(v) for n, v in coordinates.items()}
        self.mean, self.square, self.last = zeros(), zeros(), zeros()
        self.size = {n: np.ones_like(v) for n, v in coordinates.items()}
        self.steps = np.zeros(len(next(iter(coordinates.values()))), np.int64)
        self.short = np.ones(len(self.steps))  # part of a step that a rescued start still takes

    def step(
        self, loss: np.ndarray, slopes: dict[str, np.ndarray], rate: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moves every start at this rate; returns the cosine of each one's gradient with its last, and whether it was rescued, [S] each."""
        flat = np.concatenate([slopes[n].reshape(len(loss), -1) for n in self.coordinates], 1)
        before = np.concatenate([self.last[n].reshape(len(loss), -1) for n in self.coordinates], 1)
        lost = ~(np.isfinite(loss) & np.isfinite(flat).all(1))
        with np.errstate(invalid="ignore", divide="ignore"):
            sizes = np.linalg.norm(flat, axis=1) * np.linalg.norm(before, axis=1)
            cosine = (flat * before).sum(1) / sizes
        self.steps += ~lost
        self.short = np.where(lost, 0.5 * self.short, self.short)
        for name, point in self.coordinates.items():
            each = (slice(None),) + (None,) * (point.ndim - 1)
            slope = np.where(lost[each], 0.0, np.clip(slopes[name], -self.clip, self.clip))
            keep = lambda new, old, each=each: np.where(lost[each], old, new)
            move = self._move(name, slope, rate, each, keep)
            self.good[name] = keep(point, self.good[name])
            back = self.good[name]
            if name == "learning_rate":
                back = self._lowered(back)
            self.good[name] = np.where(lost[each], back, self.good[name])
            moved = point + np.clip(self.short[each] * move, -self.trust, self.trust)
            moved = np.clip(moved, *on.scale(self.scales[name]).ends)
            self.coordinates[name] = np.where(lost[each], back, moved)
            self.last[name] = keep(slopes[name], self.last[name])
        return cosine, lost

    def _move(
        self,
        name: str,
        slope: np.ndarray,
        rate: float,
        each: tuple,
        keep: Callable[..., np.ndarray],
    ) -> np.ndarray:
        """A hyperparameter's step [S ...] by the rule, its moments brought up to date; `keep` leaves lost starts as they were."""
        beta1, beta2 = self.betas
        self.mean[name] = keep(beta1 * self.mean[name] + (1 - beta1) * slope, self.mean[name])
        square = beta2 * self.square[name] + (1 - beta2) * slope**2
        self.square[name] = keep(square, self.square[name])
        if self.rule == "adam":
            steps = np.maximum(self.steps, 1)[each]
            root = np.sqrt(self.square[name] / (1 - beta2**steps)) + EPS
            return -rate * self.mean[name] / (1 - beta1**steps) / root
        flipped = slope * self.last[name] < 0
        self.size[name] = keep(np.where(flipped, 0.5, 1.0) * self.size[name], self.size[name])
        return -rate * self.size[name] * np.sign(slope)

    def _lowered(self, rate: np.ndarray) -> np.ndarray:
        """Coordinates of learning rates e times lower."""
        kind = {"learning_rate": self.scales["learning_rate"]}
        scale = on.scale(kind["learning_rate"])
        lower = on.values({"learning_rate": rate}, kind)["learning_rate"] / np.e
        return np.clip(scale.to(lower), *scale.ends)


def _seed(key: int, iteration: int, number: int) -> int:
    """A whole number that names the randomness of one training; the first is the key itself."""
    if iteration == number == 0:
        return key
    return int(randomness.words((key, iteration, number), 1)[0])


def _plain(value: Any) -> Any:
    return value.tolist()
