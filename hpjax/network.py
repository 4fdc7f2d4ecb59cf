"""A trained network to use: it predicts what the task asks, of examples as the task has them; saved, and read again elsewhere."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from hpjax.catalogue import read_shape
from hpjax.files import plain, write_arrays, write_bytes
from hpjax.models import Spec
from hpjax.models.base import cast
from hpjax.models.mlp import torch_and_flax
from hpjax.notebooks import shown
from hpjax.tasks.signature import Signature
from hpjax.training import losses, metrics
from hpjax.training.batches import Standards
from hpjax.training.targets import undone

FORMAT = 1  # of saved networks
AT_ONCE = 2**22  # numbers of inputs that are held at a time
LEAST = 64  # rows of a part


@functools.partial(jax.jit, static_argnames="spec")
def _predicted(params: Any, stats: Any, config: dict, x: Any, spec: Spec) -> jax.Array:
    """Predictions [N C]; one function, so that a second prediction compiles nothing."""
    outputs, _ = spec.functions.outputs(params, stats, config, x, None)
    return losses.loss_of(spec).predictions(outputs)


class Predictor:
    """What networks and ensembles share: what they predict, from their outputs.

    Attributes:
        takes: what it takes and gives: columns, classes.
        probabilities: whether outputs are probabilities of classes; under loss mse they need not lie between 0 and 1.
    """

    takes: Signature
    probabilities: bool

    def outputs(self, x: Any) -> np.ndarray:
        """Probabilities of classes [N C], of two the second's in one column; or numbers as they were trained on."""
        raise NotImplementedError

    def numbers(self, x: Any) -> np.ndarray:
        """Numbers [N C] in the target's units."""
        raise NotImplementedError

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities [N C] of the classes.

        Raises:
            ValueError: a task of numbers.
        """
        if not self.takes.classes:
            raise ValueError(
                "predict_proba needs classes, but the task's targets are numbers; use predict"
            )
        p = self.outputs(x)
        return np.concatenate([1 - p, p], 1) if p.shape[1] == 1 else p

    def predict(self, x: Any) -> np.ndarray:
        """Classes [N] as the task was given them, or numbers [N] or [N C]."""
        if self.takes.classes:
            return np.array(self.takes.values)[self.predict_proba(x).argmax(1)]
        y = self.numbers(x)
        return y[:, 0] if self.takes.single else y

    def score(self, x: Any, y: Any, weights: Any = None) -> float:
        """Accuracy, or R^2 for numbers, as scikit-learn's estimators score; of weighted examples [N]."""
        found = metrics.prediction_metrics(
            np.asarray(y), self.predict(x), self.takes.classes, weights
        )
        return found["accuracy"] if self.takes.classes else found["r2"]


@dataclasses.dataclass(frozen=True, repr=False)
class Network(Predictor):
    """A trained network that takes examples as the task has them.

    Attributes:
        takes: what it takes and gives: columns, classes.
        spec, config: its hyperparameters.
        params, stats: its weights and batch statistics, NumPy arrays.
        standards: what its training part says of features, and of numeric targets.
    """

    takes: Signature  # type: ignore[misc]
    spec: Any
    config: dict
    params: Any
    stats: Any
    standards: Standards

    def __repr__(self) -> str:
        return f"<Network {self.spec.label.removeprefix('exactly ')} of {self.takes.name}, {self.spec.weights} weights>"

    def _repr_html_(self) -> str:
        numbers = {n: np.asarray(v).tolist() for n, v in sorted(self.config.items())}
        return shown(self, (f"{name}: {value}" for name, value in numbers.items()))

    def outputs(self, x: Any) -> np.ndarray:
        """The network's outputs [N C] for examples [N F]: probabilities, or standardised numbers.

        Args:
            x: an array with the task's columns, or a table that has them by name, in any order.

        Raises:
            ValueError: another number of features, or other columns.
        """
        x = self.takes.columns(x)
        return in_parts(self._outputs, x, max(1, AT_ONCE // self.takes.inputs))

    def inputs(self, x: Any) -> np.ndarray:
        """What enters the network [N E] for examples [N F]: numbers standardised, gaps filled and marked, categories one-hot.

        Raises:
            ValueError: another number of features, or other columns.
        """
        return self._inputs(self.takes.columns(x))

    def _inputs(self, x: np.ndarray) -> np.ndarray:
        """The same, for rows as `Signature.columns` gives them."""
        return self.standards.inputs(x, self.takes.schema).astype(self.spec.dtype)

    def _outputs(self, x: np.ndarray) -> np.ndarray:
        """Outputs of rows [n F] as `Signature.columns` gives them."""
        with jax.enable_x64(self.spec.dtype == "float64"):
            x = self._inputs(x)
            config = cast(self.config, self.spec)
            return np.asarray(_predicted(self.params, self.stats, config, x, spec=self.spec))

    @property
    def probabilities(self) -> bool:  # type: ignore[override]
        return losses.loss_of(self.spec).logits

    def numbers(self, x: Any) -> np.ndarray:
        return self.standards.numbers(self.outputs(x), self.spec.target_transform)

    # --- saved ---
    def save(self, path: str | Path) -> None:
        """Writes the network to one .npz file: weights, hyperparameters, columns, categories, classes, standards and versions; none
        of the training data, and no pickle. `hpjax.load` reads it, on any machine.

        Args:
            path: of the file.

        Raises:
            RunError: it cannot be written.
        """
        write_arrays(Path(path), self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """What `save` writes."""
        loss = self.spec.loss
        about = {
            "format": FORMAT,
            "hpjax": metadata.version("hpjax"),
            "jax": jax.__version__,
            "takes": self.takes.written(),
            "spec": self.spec.written(),
            "own_loss": loss.name if isinstance(loss, losses.Loss) else None,
        }
        text = json.dumps(plain(about), sort_keys=True).encode()
        arrays = {"about": np.frombuffer(text, np.uint8)}
        arrays |= {f"config {name}": np.asarray(value) for name, value in self.config.items()}
        for name, tree in (("params", self.params), ("stats", self.stats)):
            leaves = jax.tree.leaves(tree)
            arrays |= {f"{name} {at}": np.asarray(leaf) for at, leaf in enumerate(leaves)}
        named = self.standards._asdict()
        return arrays | {f"standards {n}": v for n, v in named.items() if v is not None}

    @classmethod
    def of(
        cls, arrays: dict[str, np.ndarray], model: Any, loss: Callable[..., Any] | None
    ) -> Network:
        """The network of what `arrays` made.

        Args:
            arrays: by name.
            model, loss: again, where they were your own.

        Raises:
            ValueError, KeyError, TypeError: other arrays; what was your own and is not given again.
        """
        about = json.loads(arrays["about"].tobytes())
        if about["format"] != FORMAT:
            raise ValueError(
                f"its format is {about['format']}, not {FORMAT}; read it by hpjax {about['hpjax']}"
            )
        takes = Signature.read(about["takes"])
        spec = read_shape(about["spec"], about["own_loss"], model, loss)
        group = lambda what: {
            name.removeprefix(f"{what} "): array
            for name, array in arrays.items()
            if name.startswith(f"{what} ")
        }
        config = group("config")
        params, stats = _restored(spec, config, group("params"), group("stats"))
        return cls(takes, spec, config, params, stats, Standards(**group("standards")))

    # --- carried elsewhere: the weights as they are, and nothing rounded on the way to outputs, whatever `compute_dtype` was ---
    def to_torch_state_dict(self) -> dict[str, np.ndarray]:
        """Weights as a `torch.nn.Sequential` of `Linear` and activation layers has them: "0.weight" [out in], "0.bias", "2.weight", ...

        It takes what `inputs` gives; its outputs are those before `predict_proba`'s sigmoid or softmax.

        Raises:
            ValueError: a network that is no plain stack of linear layers.
        """
        return torch_and_flax.torch_state_dict(self.spec, self.params)

    def to_flax(self) -> tuple[Any, dict[str, Any]]:
        """The same network as a `flax.linen.Sequential` and its variables; inputs and outputs as for `to_torch_state_dict`.

        Raises:
            ValueError: a network that is no plain stack of linear layers, or an activation that Flax has not.
        """
        return torch_and_flax.flax_module(self.spec, self.params)

    def to_onnx(self, path: str | Path) -> None:
        """Writes the network as an ONNX model, of any family, by jax2onnx (`pip install 'hpjax[onnx]'`).

        It takes `x` [N E] as `inputs` gives it, and gives `y` [N C]: what `predict_proba` gives, or numbers in the target's units.

        Args:
            path: of the file.

        Raises:
            RunError: it cannot be written.
        """
        from jax2onnx import to_onnx

        spec, takes = self.spec.in_full_precision(), self.takes
        typed = lambda array: None if array is None else np.asarray(array, spec.dtype)
        standards = (self.standards.y_scale, self.standards.y_shift, self.standards.about)
        scale, shift, about = map(typed, standards)
        with jax.enable_x64(spec.dtype == "float64"):
            config = cast(self.config, spec)

            def predicted(x: jax.Array) -> jax.Array:
                y = _predicted(self.params, self.stats, config, x, spec=spec)
                if not takes.classes:
                    return undone(spec.target_transform, y / scale + shift, about, jnp)
                return jnp.concatenate([1 - y, y], 1) if y.shape[1] == 1 else y

            rows = jax.export.symbolic_shape("N")[0]
            x = jax.ShapeDtypeStruct((rows, spec.inputs), spec.dtype)
            # traced here: while jax2onnx traces, its functions stand in for those of jax.numpy
            traced = jaxpr_as_fun(jax.make_jaxpr(predicted)(x))
            model = to_onnx(
                traced,
                [x],
                model_name=takes.name,
                enable_double_precision=spec.dtype == "float64",
                input_names=["x"],
                output_names=["y"],
            )
        write_bytes(Path(path), model.SerializeToString())


def in_parts(predict: Callable[[Any], np.ndarray], x: Any, rows: int) -> np.ndarray:
    """Predictions of examples [N F], at most so many at a time.

    All parts are of one shape, so that one program serves them; few examples are filled up to `LEAST`, so that one of them alone is
    predicted to the same digits as with the others.
    """
    rows = min(rows, max(len(x), LEAST))
    if len(x) in (0, rows):
        return predict(x)
    parts = [x[first : first + rows] for first in range(0, len(x), rows)]
    full = np.concatenate([parts[-1], np.repeat(parts[-1][:1], rows - len(parts[-1]), 0)])
    return np.concatenate([predict(part) for part in (*parts[:-1], full)])[: len(x)]


def _restored(
    spec: Spec, config: dict, params: dict[str, np.ndarray], stats: dict[str, np.ndarray]
) -> list[Any]:
    """Trees of weights and statistics of a shape, from their leaves by number; refuses others."""
    with jax.enable_x64(spec.dtype == "float64"):
        init = lambda draw: spec.functions.init(draw, cast(config, spec))
        like = jax.eval_shape(init, spec.functions.draws)
    trees = []
    for tree, leaves in zip(like, (params, stats)):
        wanted, structure = jax.tree.flatten(tree)
        given = [leaves[str(at)] for at in range(len(wanted))]
        for leaf, known in zip(given, wanted):
            if leaf.shape != known.shape:
                raise ValueError(
                    f"an array has shape {leaf.shape}, the network needs {known.shape}"
                )
        trees.append(jax.tree.unflatten(structure, given))
    return trees
