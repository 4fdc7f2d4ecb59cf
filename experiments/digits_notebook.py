"""The course's notebook: grid, random and Bayesian search of a three-layer network on scikit-learn's digits.

    python -m experiments.digits_notebook
    python -m experiments.digits_notebook --only grid --preset smoke --out /tmp/grid

Grid: neurons1, neurons2 in {64, 128, 256} x activation in {relu, tanh}, a third hidden layer of 128, Adam, batch 32, 20
epochs, 3 folds: 54 trainings. Random: 10 of {64, 128, 256, 512}^2 x {relu, tanh, softmax}, 3 folds.
Bayesian: 5 Sobol points, then 10 one by one, of whole widths from 64 to 512, the learning rate and the activation. The best of each is
trained again on the whole development part and judged on the 20 % test split of `random_state=42`.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

if TYPE_CHECKING:
    from hpjax.tasks import Task


ACTIVATIONS = ["relu", "tanh", "softmax"]
NETWORK = {"depth": 3, "width_3": 128, "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 32}
ACCURACY = 0.96  # (c) what the notebook's networks reach on this split, with a margin


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    epochs: int
    grid: tuple[int, ...]  # widths of the grid
    random: tuple[int, ...]  # widths that random search draws from
    random_trials: int
    widest: int  # of the Bayesian search
    startup: int  # its points before the first process
    bayes_trials: int


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(2, (64,), (64, 128), 2, 128, 3, 4),
    "small": Parameters(20, (64, 128, 256), (64, 128, 256, 512), 10, 512, 5, 15),
    "paper": Parameters(20, (64, 128, 256), (64, 128, 256, 512), 10, 512, 5, 15),
}


def digits() -> Task:
    """The notebook's task: digits, an unstratified 20 % test split."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from hpjax import Task

    x, y = load_digits(return_X_y=True)
    _, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=42)
    return Task.of(x, y, "digits", test=0, kind="classes").with_test(np.sort(test))


def grid(parameters: Parameters) -> dict[str, Any]:
    """Widths x widths x two activations."""
    import hpjax

    widths = hpjax.Choice(parameters.grid)
    space = {"width_1": widths, "width_2": widths, "activation": hpjax.Choice(["relu", "tanh"])}
    return NETWORK | space | {"epochs": parameters.epochs}


def by_grid(parameters: Parameters) -> dict[str, Any]:
    """Every point of the grid."""
    return searched("grid", grid(parameters), search="grid")


def by_random(parameters: Parameters) -> dict[str, Any]:
    """Widths and activations drawn."""
    import hpjax

    widths = hpjax.Choice(parameters.random)
    space = {"width_1": widths, "width_2": widths, "activation": hpjax.Choice(ACTIVATIONS)}
    space = NETWORK | space | {"epochs": parameters.epochs}
    return searched("random", space, trials=parameters.random_trials)


def by_bayes(parameters: Parameters) -> dict[str, Any]:
    """Whole widths, the rate and the activation, one point after the other."""
    import hpjax
    from hpjax import search

    widths = hpjax.LogIntUniform(64, parameters.widest)
    space = {
        "width_1": widths,
        "width_2": widths,
        "activation": hpjax.Choice(ACTIVATIONS),
        "learning_rate": hpjax.LogUniform(1e-4, 1e-2),
    }
    bayes = functools.partial(search.bayes, startup=parameters.startup)
    space = NETWORK | space | {"epochs": parameters.epochs}
    return searched("bayes", space, search=bayes, trials=parameters.bayes_trials, batch=1)


def searched(part: str, space: dict[str, Any], **options: Any) -> dict[str, Any]:
    """One of the notebook's searches: its trials, the best network's test metrics and confusion matrix."""
    import hpjax
    from hpjax.training import metrics

    task = digits()
    started = time.perf_counter()
    result = hpjax.tune(space, task, validation=3, seed=42, **options)
    seconds = time.perf_counter() - started
    network = result.refit()
    truth, predicted = task.truth(task.test), network.predict(task.x[task.test])
    trials, tested = result.trials, metrics.prediction_metrics(truth, predicted, True)
    test = ", ".join(f"{name} {value:.4f}" for name, value in tested.items())
    print(
        f"{part}: {3 * len(trials)} trainings in {seconds:.1f} s; best {result.best['config']}; test {test}"
    )
    return {
        "trainings": 3 * len(trials),
        "seconds_searching": round(seconds, 2),
        "seconds_compiling": round(result.population.compile_seconds, 2),
        "programs": len(result.population.compiled),
        "best": result.best,
        "test": tested,
        "confusion": metrics.confusion(truth, predicted, range(10)).tolist(),
        "labels": list(task.labels),
        "trials": {
            "columns": ["trial", *trials.columns],
            "rows": [list(row) for row in trials.itertuples()],
        },
    }


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """The confusion matrices."""
    from hpjax import plots

    made, axes = plots.figure(
        1,
        len(numbers),
        width=plots.WIDE if len(numbers) > 1 else 3.25,
        height=3.3 if len(numbers) < 3 else 2.7,
        squeeze=False,
    )
    for ax, (part, entry) in zip(axes[0], numbers.items()):
        plots.confusion(ax, np.array(entry["confusion"]), tuple(entry["labels"]))
        ax.set_title(
            f"{part} search: {entry['trainings']} trainings,\ntest accuracy {entry['test']['accuracy']:.3f}"
        )
        sheet.table(f"{part}_trials", entry["trials"]["columns"], entry["trials"]["rows"])
        header = [f"predicted {label}" for label in entry["labels"]]
        sheet.table(f"{part}_confusion", header, entry["confusion"])
    sheet.figure(made, "confusion")


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    return [
        Criterion(
            f"test accuracy of the best of the {part} search", entry["test"]["accuracy"], ACCURACY
        )
        for part, entry in numbers.items()
    ]


EXPERIMENT = Experiment(
    "digits_notebook",
    presets=PRESETS,
    parts={"grid": by_grid, "random": by_random, "bayes": by_bayes},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
