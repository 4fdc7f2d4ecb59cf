"""A network that learns a thousand images by heart, and what helps: l1, l2, dropout, early stopping, noise on the images.

    HPJAX_DATA=... python -m experiments.overfitting_cures
    HPJAX_DATA=... python -m experiments.overfitting_cures --only folds
    python -m experiments.overfitting_cures --plot results/overfitting_cures

Nielsen's (2015, chapter 3) overfitting network: 784-30-10, sigmoid, cross-entropy of every output, weights from N(0, 1), rate 0.5,
minibatches of 10, 1,000 images, 400 epochs; tested on 3,000 others (he had MNIST's 10,000 test images). All cures, each at several
strengths, are one population; each curve is the mean of three networks. Strengths are judged on the same test examples; what may be used instead
is cross-validation: `--only folds` chooses the strength of l2 by five folds of the 1,000 images alone, and asks the test what that was worth.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main, of_part
from experiments._trained import trained

if TYPE_CHECKING:
    from hpjax.tasks import Task


# What his own run recorded: lowest test cost and its epoch, test cost at the end, highest test accuracy; with l2, the highest.
PUBLISHED = {"cost": 1.2028, "epoch": 14, "end": 1.773, "accuracy": 0.8227, "l2": 0.8710}
OUTPUTS = 10  # our loss is the mean over outputs, his the sum
STRENGTHS = {
    "l2": (3e-6, 1e-5, 3e-5, 1e-4),
    "l1": (1e-6, 3e-6, 1e-5, 3e-5),
    "dropout": (0.1, 0.2, 0.3, 0.5),
    "input_noise": (0.1, 0.2, 0.4, 0.6),
}
COLORS = {
    "nothing": "#BBBBBB",
    "l2": "#4477AA",
    "l1": "#EE6677",
    "dropout": "#228833",
    "input_noise": "#CCBB44",
    "early stopping": "#000000",
}


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    folds: int  # and test networks
    fold_epochs: int
    strengths: int  # of each cure
    epochs: int
    repeats: int  # networks of a cure and strength
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(2, 3, 1, 3, 1),
    "small": Parameters(5, 150, 4, 400, 3),
    "paper": Parameters(5, 150, 4, 400, 10),
}


def folds(parameters: Parameters) -> dict[str, Any]:
    """Accuracy over strengths of l2: in five folds of the training images, and on the test examples."""
    import hpjax
    from hpjax.tasks import Split

    epochs, count = parameters.fold_epochs, parameters.folds
    task, space, rows = setting(parameters)
    parts = np.array_split(np.random.default_rng(0).permutation(rows[:1000]), count)
    split = lambda part: Split(np.sort(np.setdiff1d(rows[:1000], part)), np.sort(part))
    strengths = (0.0, 3e-6, 1e-5, 2e-5, 3e-5, 6e-5, 1e-4, 3e-4)
    points = [{"l2": v} for v in strengths]
    space = space | {"epochs": epochs, "l2": hpjax.Uniform(0.0, 1e-3)}
    found = {}
    for name, groups in (
        ("folds", [split(part) for part in parts]),
        ("test", [Split(rows[:1000], rows[1000:])]),
    ):
        made = trained(
            space,
            dataclasses.replace(task, folds=tuple(groups)),
            points,
            epochs,
            1 if name == "folds" else count,
        )
        last = max(1, epochs // 10)
        found[name] = [(1 - one.curve[:, -last:, 3].mean(1)).round(5).tolist() for one in made]
    return {"strengths": strengths, "epochs": epochs} | found


def setting(parameters: Parameters) -> tuple[Task, dict[str, Any], np.ndarray]:
    """Nielsen's network and 4,000 images, of which the first 1,000 are to train on."""
    import hpjax

    task = hpjax.tasks.load("mnist10k", parameters.data)
    task = dataclasses.replace(task, x=task.x / task.x.max(), standardize=False)
    space = {
        "hidden": (30,),
        "activation": "sigmoid",
        "loss": "bce",
        "init": "normal",
        "optimizer": "sgd",
        "batch_size": 10,
        "learning_rate": 0.5 * OUTPUTS,
    }
    return task, space, task.development[:4000]


def cures(parameters: Parameters) -> dict[str, Any]:
    """All cures as one population."""
    import hpjax
    from hpjax.tasks import Split

    task, space, rows = setting(parameters)
    task = dataclasses.replace(task, folds=(Split(rows[:1000], rows[1000:]),))
    space = space | {
        "epochs": parameters.epochs,
        "l2": hpjax.Uniform(0.0, 1e-3),
        "l1": hpjax.Uniform(0.0, 1e-3),
        "dropout": hpjax.Uniform(0.0, 0.9),
        "input_noise": hpjax.Uniform(0.0, 2.0),
    }
    none = dict.fromkeys(STRENGTHS, 0.0)
    what = [("nothing", 0.0)] + [
        (n, v) for n, values in STRENGTHS.items() for v in values[: parameters.strengths]
    ]
    found = hpjax.tune(
        space,
        task,
        search=[none | ({n: v} if v else {}) for n, v in what],
        validation={"repeats": parameters.repeats},
        say=lambda text: None,
    )
    table, entry = found.curves, []
    for trial, (name, value) in enumerate(what):
        mine = table[table["trial"] == trial]
        entry.append(
            {
                "name": name,
                "value": value,
                "train": (OUTPUTS * mine["train"]).round(5).tolist(),
                "cost": (OUTPUTS * mine["loss"]).round(5).tolist(),
                "error": mine["error"].round(5).tolist(),
            }
        )
    sparse = {}
    for name in ("nothing", "l1", "l2"):
        trial = max(t for t, (n, _) in enumerate(what) if n == name)
        weights = np.abs(
            np.concatenate([np.ravel(layer["w"]) for layer in found.refit(trial).params])
        )
        sparse[name] = float(np.mean(weights < 1e-2))
    return {"curves": entry, "sparse": sparse}


def curves_of(entry: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """All curves, with accuracies and their mean over the last 20 epochs; and each cure's at its best strength."""
    curves, best = [], {}
    for curve in entry["curves"]:
        accuracy = 1 - np.array(curve["error"])
        one = curve | {"accuracy": accuracy, "last": accuracy[-20:].mean()}
        curves.append(one)
        if one["name"] not in best or one["last"] > best[one["name"]]["last"]:
            best[one["name"]] = one
    return curves, best


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """Test cost and accuracy over epochs, each cure at its best strength; accuracy over strengths."""
    from hpjax import plots

    entry = numbers["cures"]
    made, axes = plots.figure(1, 3, width=plots.WIDE, height=2.3)
    curves, best = curves_of(entry)
    rows = []
    for one in curves:
        rows += [
            [one["name"], one["value"], e + 1, c, a]
            for e, (c, a) in enumerate(zip(one["cost"], one["accuracy"]))
        ]
    none = best["nothing"]
    epochs = np.arange(1, len(none["cost"]) + 1)
    axes[0].plot(epochs, none["train"], color="#BBBBBB", ls="--", label="nothing, training")
    for name, one in best.items():
        label = name.replace("input_noise", "noise").replace("_", " ")
        axes[0].plot(epochs, one["cost"], color=COLORS[name], label=label)
        axes[1].plot(
            epochs,
            one["accuracy"],
            color=COLORS[name],
            label=f"{label} {one['value']:g}" if one["value"] else label,
        )
    stop = int(np.argmin(none["cost"]))
    axes[0].plot(epochs[stop], none["cost"][stop], "o", ms=4, color="k", label="early stopping")
    axes[1].plot(epochs[stop], none["accuracy"][stop], "o", ms=4, color="k")
    axes[0].plot(
        PUBLISHED["epoch"], PUBLISHED["cost"], "x", ms=5, mew=1, color="k", label="published lowest"
    )
    axes[0].set(xscale="log", xlabel="epoch", ylabel="cost", ylim=(0, 3))
    axes[1].set(xscale="log", xlabel="epoch", ylabel="test accuracy", ylim=(0.6, 0.95))
    axes[0].legend(fontsize=5)
    axes[1].legend(fontsize=5, loc="lower right")
    for name in STRENGTHS:
        mine = [one for one in curves if one["name"] == name]
        place = np.arange(1, len(mine) + 1)
        axes[2].plot(
            place,
            [one["last"] for one in mine],
            marker="o",
            ms=3,
            color=COLORS[name],
            label=f"{name.replace('input_noise', 'noise')}: {', '.join(format(one['value'], 'g') for one in mine)}",
        )
    axes[2].axhline(none["last"], color="#BBBBBB")
    axes[2].text(1, none["last"] + 1e-3, "nothing", fontsize=6)
    axes[2].set(
        xlabel="strength, of four tried",
        ylabel="test accuracy, last 20 epochs",
        xticks=[],
        xlim=(0.7, 4.4),
        ylim=(0.78, None),
    )
    axes[2].legend(fontsize=5.5, loc="lower right")
    sheet.figure(made, "cures")
    sheet.table("cures", ["cure", "strength", "epoch", "test cost", "test accuracy"], rows)
    if "folds" in numbers:
        draw_folds(numbers["folds"], sheet)


def draw_folds(entry: dict[str, Any], sheet: Sheet) -> None:
    """Accuracy in folds and on the test over the strength, and what the chosen one is worth."""
    from hpjax import plots

    strengths, found = (
        np.array(entry["strengths"]),
        {n: np.array(entry[n]) for n in ("folds", "test")},
    )
    made, ax = plots.figure(1, 1)
    place = np.maximum(strengths, strengths[1] / 3)  # none stands a step before the least
    rows = []
    for name, color, marker, label in (
        ("folds", "#4477AA", "o", "five folds"),
        ("test", "#EE6677", "s", "test, five networks"),
    ):
        each = found[name]
        error = each.std(1, ddof=1) / np.sqrt(each.shape[1])
        ax.errorbar(
            place,
            100 * each.mean(1),
            100 * error,
            marker=marker,
            ms=3,
            lw=0.9,
            color=color,
            label=f"{label}, one standard error",
        )
        rows += [
            [name, s, i, v] for s, values in zip(strengths, each) for i, v in enumerate(values)
        ]
    best = int(found["folds"].mean(1).argmax())
    ax.axvline(place[best], color="k", lw=0.6, ls=":", label="chosen by the folds")
    ax.set(
        xscale="log",
        xlabel="l2 (the first: none)",
        ylabel=f"accuracy, %, last of {entry['epochs']} epochs",
    )
    ax.legend(fontsize=6, loc="lower right")
    sheet.figure(made, "folds")
    sheet.table("folds", ["examples", "l2", "fold or network", "accuracy"], rows)


def criteria(numbers: Numbers) -> list[Criterion]:
    """What the claim stands and falls with."""
    judged = []
    if "cures" in numbers:
        judged += judge_cures(numbers["cures"])
    if "folds" in numbers:
        judged += of_part("folds", judge_folds(numbers["folds"]))
    return judged


def judge_cures(entry: dict[str, Any]) -> list[Criterion]:
    """What the uncured network does, and what each cure gains."""
    _, best = curves_of(entry)
    none = best["nothing"]
    cost, accuracy = np.array(none["cost"]), none["accuracy"]
    gain = {name: one["last"] - none["last"] for name, one in best.items() if name != "nothing"}
    return [
        Criterion(
            f"nothing: epoch of the lowest test cost (published: {PUBLISHED['epoch']})",
            float(1 + np.argmin(cost)),
            40,
            at_least=False,
        ),
        Criterion(
            f"nothing: test cost at the end over the lowest (published: {PUBLISHED['end'] / PUBLISHED['cost']:.2f})",
            cost[-1] / cost.min(),
            1.25,
        ),
        Criterion(
            f"nothing: highest test accuracy (published: {PUBLISHED['accuracy']:.4f})",
            accuracy.max(),
            0.80,
        ),
        Criterion("the same, from above", accuracy.max(), 0.84, at_least=False),
        *(
            Criterion(
                f"{name}: points of test accuracy gained at the best of four strengths (chosen on the same examples), last 20 epochs",
                100 * value,
                2.0 if name == "l2" else 0.0,
            )
            for name, value in gain.items()
        ),
        Criterion(
            "share of weights below 0.01, l1 at its strongest minus nothing",
            entry["sparse"]["l1"] - entry["sparse"]["nothing"],
            0.1,
        ),
    ]


def judge_folds(entry: dict[str, Any]) -> list[Criterion]:
    """What the strength that the folds choose is worth."""
    best = int(np.mean(entry["folds"], 1).argmax())
    test = 100 * np.mean(entry["test"], 1)
    return [
        Criterion(
            "cross-validation: points of test accuracy that the chosen l2 lies below the best of all tried",
            test.max() - test[best],
            1.0,
            at_least=False,
            figure="folds",
        ),
        Criterion(
            "cross-validation: points of test accuracy that the chosen l2 gains over none",
            test[best] - test[0],
            2.0,
            figure="folds",
        ),
    ]


EXPERIMENT = Experiment(
    "overfitting_cures",
    presets=PRESETS,
    parts={"cures": cures, "folds": folds},
    draw=draw,
    criteria=criteria,
)

if __name__ == "__main__":
    main(EXPERIMENT)
