"""The course's notebook: grid, random and Bayesian search of a three-layer network on scikit-learn's digits.

    python -m experiments.digits_notebook
    python -m experiments.digits_notebook --only grid --preset smoke --out /tmp/grid

Grid: neurons1, neurons2 in {64, 128, 256} x activation in {relu, tanh}, a third hidden layer of 128, Adam, batch 32, 20
epochs, 3 folds: 54 trainings. Random: 10 of {64, 128, 256, 512}^2 x {relu, tanh, softmax}, 3 folds.
Bayesian: 5 Sobol points, then 10 one by one, of whole widths from 64 to 512, the learning rate and the activation. The best of each is
trained again on the whole development part and judged on the 20 % test split of `random_state=42`.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

PARTS = ("grid", "random", "bayes")
NETWORK = {"depth": 3, "width_3": 128, "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 32}
ACCURACY = 0.96  # (c) what the notebook's networks reach on this split, with a margin


def digits():
    """The notebook's task: digits, an unstratified 20 % test split."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from hpjax import Task

    data = load_digits()
    _, test = train_test_split(np.arange(len(data.target)), test_size=0.2, random_state=42)
    return Task.of(data.data, data.target, "digits", test=0, kind="classes").with_test(
        np.sort(test)
    )


def search(part: str, preset: str):
    """One of the notebook's searches, as `hpjax.tune` takes it."""
    import hpjax

    smoke = preset == "smoke"
    epochs = {"epochs": 2 if smoke else 20}
    if part == "grid":
        widths = hpjax.Choice([64] if smoke else [64, 128, 256])
        space = {"width_1": widths, "width_2": widths, "activation": hpjax.Choice(["relu", "tanh"])}
        return space | NETWORK | epochs, {"search": "grid"}
    if part == "bayes":
        from hpjax import search as searches

        widths = hpjax.LogIntUniform(64, 128 if smoke else 512)
        space = {
            "width_1": widths,
            "width_2": widths,
            "activation": hpjax.Choice(["relu", "tanh", "softmax"]),
            "learning_rate": hpjax.LogUniform(1e-4, 1e-2),
        }
        made = functools.partial(searches.bayes, startup=3 if smoke else 5)
        trials = 4 if smoke else 15
        return NETWORK | space | epochs, {"search": made, "trials": trials, "batch": 1}
    widths = hpjax.Choice([64, 128] if smoke else [64, 128, 256, 512])
    space = {
        "width_1": widths,
        "width_2": widths,
        "activation": hpjax.Choice(["relu", "tanh", "softmax"]),
    }
    return space | NETWORK | epochs, {"search": "random", "trials": 2 if smoke else 10}


def run(flags: Flags, folder: Path) -> None:
    """Searches, refits, predicts; saves tables and counts."""
    import hpjax
    from hpjax.training import metrics

    task = digits()
    found = {}
    for part in [flags.only] if flags.only else PARTS:
        started = time.perf_counter()
        space, options = search(part, flags.preset)
        result = hpjax.tune(space, task, validation=3, seed=42, **options)
        searched = time.perf_counter() - started
        network = result.refit()
        truth, predicted = task.truth(task.test), network.predict(task.x[task.test])
        trials = result.trials
        write_rows(folder / f"{part}_trials.csv", ["trial", *trials.columns], trials.itertuples())
        counts = metrics.confusion(truth, predicted, range(10))
        write_rows(
            folder / f"{part}_confusion.csv",
            [f"predicted {label}" for label in task.labels],
            counts,
        )
        found[part] = {
            "trainings": 3 * len(trials),
            "seconds_searching": round(searched, 2),
            "seconds_compiling": round(result.trained.compile_seconds, 2),
            "programs": len(result.trained.compiled),
            "best": result.best,
            "test": metrics.table(truth, predicted, True),
            "confusion": counts.tolist(),
            "labels": list(task.labels),
        }
        test = ", ".join(f"{name} {value:.4f}" for name, value in found[part]["test"].items())
        print(
            f"{part}: {3 * len(trials)} trainings in {searched:.1f} s; best {result.best['config']}; test {test}"
        )
    write(folder / "searches.json", found)


def draw(folder: Path) -> list[dict]:
    """The confusion matrices, and the criteria."""
    from hpjax import plots

    found = read(folder / "searches.json")
    made, axes = plots.figure(
        1,
        len(found),
        width=plots.WIDE if len(found) > 1 else 3.25,
        height=3.3 if len(found) < 3 else 2.7,
        squeeze=False,
    )
    criteria = []
    for ax, (part, entry) in zip(axes[0], found.items()):
        plots.confusion(ax, np.array(entry["confusion"]), tuple(entry["labels"]))
        ax.set_title(
            f"{part} search: {entry['trainings']} trainings,\ntest accuracy {entry['test']['accuracy']:.3f}"
        )
        criteria.append(
            Criterion(
                f"test accuracy of the best of the {part} search",
                entry["test"]["accuracy"],
                ACCURACY,
            )
        )
    plots.save(made, folder / "confusion")
    return criteria


if __name__ == "__main__":
    main("digits_notebook", run, draw, parts=PARTS)
