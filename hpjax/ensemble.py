"""Ensembles: networks of a study that predict together, chosen greedily by what they predicted of validation examples.

Ensemble selection with replacement, from the networks of every trial that went to the end (Caruana, Niculescu-Mizil, Crew & Ksikes
2004, "Ensemble selection from libraries of models").
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hpjax.archives import FAULTS, read_arrays
from hpjax.evaluation import Evaluation, minimised, truth_on
from hpjax.files import write_arrays
from hpjax.models import Spec
from hpjax.models.base import Config, cast
from hpjax.network import FORMAT, Network, Predictor, in_parts
from hpjax.population.finished_networks import Finished
from hpjax.tasks import Split, Task
from hpjax.training import batches, losses, metrics
from hpjax.training.targets import transformed, undone

if TYPE_CHECKING:
    import pandas

AT_ONCE = 2**25  # numbers that the networks of a shape hold at a time
ROUNDING = 1e-6  # relative: scores that are nearer are equal
HALVES = 2  # parts of the validation examples: what is selected on one is reported on the other


# --- selection --------------------------------------------------------------------------------------------------------
class Judged(NamedTuple):
    """What candidates predicted of the validation examples of all folds.

    Attributes:
        p: [M V C] float32 probabilities of classes, or standardised numbers.
        y: [V C] targets alike.
        weight: [V] of the examples.
        units: [2 C] what 1 and 0 of standardised numbers are.
        rows: [V] which examples of the task they are.
        owner: [V] whose the examples are: numbers of groups, or of rows, that halves keep together.
    """

    p: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    units: np.ndarray
    rows: np.ndarray
    owner: np.ndarray

    def part(self, rows: np.ndarray) -> Judged:
        """Of some examples."""
        y, weight, which, owner = (
            array[rows] for array in (self.y, self.weight, self.rows, self.owner)
        )
        return Judged(self.p[:, rows], y, weight, self.units, which, owner)

    @property
    def truth(self) -> tuple[Any, ...]:
        """What a score takes beside predictions, in single precision."""
        arrays = (np.float32(array) for array in (self.y, self.weight, self.units))
        return *arrays, self.rows.astype(np.int32)


class Score:
    """What a search minimises, of predictions.

    Args:
        spec, config: of a network of the study: its loss, and the numbers of that.
        evaluation: of the study.
        standards: of one of its training parts, where targets are transformed: the loss is of these.
    """

    def __init__(
        self,
        spec: Spec,
        config: Config,
        evaluation: Evaluation,
        standards: batches.Standards | None = None,
    ):
        self._loss, self._classes, self._config = losses.loss_of(spec), spec.classes, config
        self._transform, self._standards = spec.target_transform, standards
        self._evaluation = evaluation
        self.many = jax.jit(jax.vmap(self.objective, (0, None, None, None, None)))

    def objective(self, p: Any, y: Any, weight: Any, units: Any, rows: Any) -> Any:
        """[] of predictions [V C] of weighted examples, rows of the task."""
        logits = self._loss.logits
        outputs = _as_logits(p) if logits else p
        objective = self._evaluation.settings.objective
        if objective == "loss":
            outputs, y = self._trained_on(outputs, units), self._trained_on(y, units)
            return (self._loss.each(outputs, y, self._config) * weight).sum() / weight.sum()
        if objective == "error":
            return metrics.error(p, y, weight, self._classes, 0.5)
        metric = dict(self._evaluation.metrics)[objective]
        return minimised(self._evaluation.settings, {objective: metric(p, y, weight, units, rows)})  # type: ignore[arg-type]

    def _trained_on(self, v: Any, units: Any) -> Any:
        """Standardised numbers of the target as the loss takes them."""
        if self._transform == "none" or self._standards is None:
            return v
        s = self._standards
        about = jnp.asarray(s.about, v.dtype)
        t = transformed(self._transform, v * units[0] + units[1], about, jnp)
        return ((t - s.y_shift) * s.y_scale).astype(v.dtype)


def _as_logits(p: Any) -> Any:
    """Logits whose probabilities these are: of classes, or of the second of two in one column."""
    least = jnp.finfo(p.dtype).eps
    safe = jnp.clip(p, least, 1 - least if p.shape[-1] == 1 else 1)
    return jnp.log(safe) - jnp.log1p(-safe) if p.shape[-1] == 1 else jnp.log(safe)


def select(score: Score, judged: Judged, size: int) -> np.ndarray:
    """How often each candidate is taken [M]: one after another the one that helps most, until no step of `size` did better.

    What differs by rounding is the same: of equal candidates the first is taken, and a step that only repeats a mean is none.

    Args:
        score: what is minimised.
        judged: what the candidates predicted.
        size: the most members, counted as often as they are taken.
    """
    count = np.zeros(len(judged.p), np.int64)
    p, given = judged.p, judged.truth
    total, best, best_count = np.zeros_like(p[0]), np.inf, count
    for taken in range(1, size + 1):
        values = np.asarray(score.many((total + p) / taken, *given), np.float64)
        values = np.where(np.isfinite(values), values, np.inf)
        if not np.isfinite(least := values.min()):
            break
        chosen = int(np.argmax(values <= least + ROUNDING * abs(least)))
        count = count.copy()
        count[chosen] += 1
        total += p[chosen]
        if not best_count.any() or least < best - ROUNDING * abs(best):
            best, best_count = least, count
    return best_count


def score_of(score: Score, judged: Judged, count: np.ndarray) -> float:
    """What candidates score together."""
    p = np.tensordot(count / count.sum(), judged.p, 1)
    return float(score.many(p[None], *judged.truth)[0])


def honest(score: Score, judged: Judged, size: int, seed: int) -> dict[str, float]:
    """What selection is worth: chosen on one half of the validation examples, scored on the other, and the other way round.

    Returns:
        "ensemble" and "single" (the best candidate alone, chosen and scored in the same way), means over both halves, of what is minimised;
        {} where a half has no score. What was chosen before with all validation examples (candidates, where fewer are taken than
        trials finished; epochs, where patience is on) is not chosen again.
    """
    owners, place = np.unique(judged.owner, return_inverse=True)
    half = (np.random.default_rng([seed, len(owners)]).permutation(len(owners)) % HALVES)[place]
    found: dict[str, list[float]] = {"ensemble": [], "single": []}
    for number in range(HALVES):
        seen, held = (
            judged.part(np.flatnonzero((half == number) == same)) for same in (True, False)
        )
        for name, most in (("ensemble", size), ("single", 1)):
            count = select(score, seen, most)
            found[name].append(score_of(score, held, count) if count.any() else np.nan)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return means if np.isfinite(list(means.values())).all() else {}


# --- networks that predict together -----------------------------------------------------------------------------------
@functools.partial(jax.jit, static_argnames="spec")
def _together(
    params: Any, stats: Any, config: dict, share: Any, x: Any, scale: Any, about: Any, spec: Spec
) -> Any:
    """The sum over networks [m ...] of their shares [m] times what they predict of x [B F]: [B C]."""

    def one(params: Any, stats: Any, config: dict, share: Any) -> Any:
        outputs, _ = spec.functions.outputs(params, stats, config, x, None)
        found = losses.loss_of(spec).predictions(outputs)
        if spec.target_transform != "none":  # no straight line: undone before the mean
            found = undone(spec.target_transform, found * scale[0] + scale[1], about, jnp)
        return share * found

    return jax.vmap(one)(params, stats, config, share).sum(0)


class Stack(NamedTuple):
    """Networks of one shape and one training part.

    Attributes:
        first: one of them.
        params, stats, config: leaves [m ...] of all.
        share: [m] what each counts.
    """

    first: Network
    params: Any
    stats: Any
    config: dict
    share: np.ndarray

    def outputs(self, x: np.ndarray) -> np.ndarray:
        """The sum [N C] of shares times predictions of rows [N F] as `Signature.columns` gives them, in the target's units."""
        spec, standards = self.first.spec, self.first.standards
        width = max(spec.size.units, spec.inputs) * len(self.share)
        found = in_parts(self._outputs, x, max(1, AT_ONCE // width)).astype(np.float64)
        if self.first.takes.classes or spec.target_transform != "none":
            return found
        return found / standards.y_scale + standards.y_shift * float(self.share.sum())

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        spec = self.first.spec
        with jax.enable_x64(spec.dtype == "float64"):
            x = self.first.standards.inputs(x, self.first.takes.schema).astype(spec.dtype)
            config = cast(self.config, spec)
            s = self.first.standards
            scale = np.stack([1 / np.where(s.y_scale > 0, s.y_scale, 1), s.y_shift])
            given = (
                scale.astype(spec.dtype),
                None if s.about is None else s.about.astype(spec.dtype),
            )
            found = _together(self.params, self.stats, config, self.share, x, *given, spec=spec)
            return np.asarray(found)


def stacked(networks: Sequence[Network], shares: np.ndarray) -> Stack:
    """Networks of one shape and one training part, side by side."""
    tree = lambda name: jax.tree.map(
        lambda *leaves: np.stack(leaves), *(getattr(network, name) for network in networks)
    )
    share = shares.astype(networks[0].spec.dtype)
    return Stack(networks[0], tree("params"), tree("stats"), tree("config"), share)


class Ensemble(Predictor):
    """Networks that predict together, by the mean of what each predicts.

    Attributes:
        takes: what it takes and gives: columns, classes.
        networks: m of them.
        shares: [m] what each counts, 1 in all.
        members: for each network the trial, fold (not where it was trained again on all examples) and repeat that it is of, and how often
            it was taken.
        validation: "ensemble" and "single": the study's objective, as minimised, where members were selected on one half of the
            validation examples and scored on the other; {} where it was not estimated.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        shares: Sequence[float] | np.ndarray,
        members: Sequence[dict[str, int]],
        validation: dict[str, float],
    ):
        self.networks, self.members = list(networks), list(members)
        self.takes, self.probabilities = self.networks[0].takes, self.networks[0].probabilities
        self.shares, self.validation = np.asarray(shares, np.float64), dict(validation)

    def __repr__(self) -> str:
        trials = len({member["trial"] for member in self.members})
        return f"<Ensemble of {self.takes.name}: {len(self.networks)} networks of {trials} trials>"

    @property
    def table(self) -> pandas.DataFrame:
        """A row per network: trial, fold (not of one that was trained again on all examples), repeat, how often it was taken, and its share."""
        import pandas

        return pandas.DataFrame(self.members).assign(share=self.shares)

    @functools.cached_property
    def _stacks(self) -> list[Stack]:
        """Networks of one shape and one training part side by side."""
        groups: dict[Any, list[int]] = {}
        for at, network in enumerate(self.networks):
            part = b"".join(np.asarray(a).tobytes() for a in network.standards if a is not None)
            groups.setdefault((network.spec, part), []).append(at)
        return [
            stacked([self.networks[at] for at in places], self.shares[places])
            for places in groups.values()
        ]

    def outputs(self, x: Any) -> np.ndarray:
        """As `Network.outputs`, but numbers are in the target's units."""
        x = self.takes.columns(x)
        found = np.sum([stack.outputs(x) for stack in self._stacks], 0)
        several = self.probabilities and found.shape[1] > 1
        return found / found.sum(1, keepdims=True) if several else found

    numbers = outputs

    def save(self, path: str | Path) -> None:
        """Writes all networks to one .npz file, as `Network.save` does one; `hpjax.load` reads it.

        Raises:
            RunError: it cannot be written.
        """
        about = {"format": FORMAT, "members": self.members, "validation": self.validation}
        arrays = {
            "ensemble": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "shares": self.shares,
        }
        for at, network in enumerate(self.networks):
            arrays |= {f"{at}/{name}": array for name, array in network.arrays().items()}
        write_arrays(Path(path), arrays)


def load(
    path: str | Path, model: Any = None, loss: Callable[..., Any] | None = None
) -> Network | Ensemble:
    """Reads what `Network.save` or `Ensemble.save` wrote.

    Args:
        path: of the file.
        model, loss: again, where they were your own.

    Raises:
        ValueError: no such file, or another one; what was your own and is not given again.
    """
    try:
        arrays = read_arrays(Path(path))
        if "ensemble" not in arrays:
            return Network.of(arrays, model, loss)
        about = json.loads(arrays["ensemble"].tobytes())
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']}, not {FORMAT}")
        networks = []
        for at in range(len(about["members"])):
            own = {
                name.removeprefix(f"{at}/"): array
                for name, array in arrays.items()
                if name.startswith(f"{at}/")
            }
            networks.append(Network.of(own, model, loss))
        if not networks or arrays["shares"].shape != (len(networks),):
            raise ValueError(f"{len(networks)} networks, and shares of {arrays['shares'].shape}")
        return Ensemble(networks, arrays["shares"], about["members"], about["validation"])
    except (*FAULTS, OSError, KeyError, TypeError, ValueError) as fault:
        missing = isinstance(fault, KeyError)
        what = f"it has no {fault}" if missing else " ".join(str(fault).split())
        raise ValueError(f"{path} cannot be read as a network: {what[:300]}") from None


# --- of a study -------------------------------------------------------------------------------------------------------
def ensemble_of(
    task: Task,
    splits: Sequence[Split],
    repeats: int,
    library: dict[int, Finished],
    evaluation: Evaluation,
    size: int,
    seed: int,
) -> Ensemble:
    """The ensemble of a study's networks.

    Args:
        task: of the study.
        splits: K folds of it.
        repeats: R networks of each trial and fold; a candidate is the K networks of one trial and repeat.
        library: trials, with networks [K R ...].
        evaluation: of a configuration.
        size: the most candidates, counted as often as they are taken.
        seed: of the halves.

    Raises:
        ValueError: no candidate whose score is a number.
    """
    examples = batches.examples_of(task, splits)

    @functools.cache
    def standards(fold: int, spec: Spec) -> batches.Standards:
        return batches.standards(examples, splits[fold].train, spec)

    names = [(trial, repeat) for trial in sorted(library) for repeat in range(repeats)]

    def network(trial: int, fold: int, repeat: int) -> Network:
        kept, group = library[trial], fold * repeats + repeat
        own = lambda tree: jax.tree.map(lambda leaf: leaf[group], tree)
        params, stats = own(kept.params), own(kept.stats)
        about = standards(fold, kept.spec)
        return Network(task.signature, kept.spec, kept.config, params, stats, about)

    judged = _judged(task, splits, names, network)
    first = next(iter(library.values()))
    score = Score(first.spec, first.config, evaluation, standards(0, first.spec))
    count = select(score, judged, size)
    if not count.any():
        raise ValueError(
            f"{evaluation.settings.objective} is not defined on the validation examples; give another objective, or other folds"
        )
    networks, shares, members = [], [], []
    for (trial, repeat), taken in zip(names, count.tolist()):
        for fold in range(len(splits) if taken else 0):
            networks.append(network(trial, fold, repeat))
            shares.append(taken / count.sum() / len(splits))
            members.append({"trial": trial, "fold": fold, "repeat": repeat, "taken": taken})
    return Ensemble(networks, shares, members, honest(score, judged, size, seed))


def _judged(
    task: Task,
    splits: Sequence[Split],
    names: Sequence[tuple[int, int]],
    network: Callable[[int, int, int], Network],
) -> Judged:
    """What every candidate predicts of the validation examples; numbers standardised alike in all folds."""
    rows = np.concatenate([valid for _, valid in splits])
    truth = truth_on(task, rows)
    predicted = []
    for fold, (_, valid) in enumerate(splits):
        given = task.examples(valid)
        rows_of = task.signature.columns(given)
        one = (stacked([network(trial, fold, repeat)], np.ones(1)) for trial, repeat in names)
        predicted.append(np.stack([each.outputs(rows_of) for each in one]))
    p = truth.standardised(np.concatenate(predicted, 1)).astype(np.float32)
    return Judged(p, *truth, rows if task.groups is None else task.groups[rows])
