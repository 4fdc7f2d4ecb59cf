"""A network that learns a thousand images by heart, and what helps: l1, l2, dropout, early stopping, noise on the images.

    HPJAX_DATA=... python -m experiments.overfitting_cures
    python -m experiments.overfitting_cures --plot results/overfitting_cures

Nielsen's (2015, chapter 3) overfitting network: 784-30-10, sigmoid, cross-entropy of every output, weights from N(0, 1), rate 0.5,
minibatches of 10, 1,000 images, 400 epochs; tested on 3,000 others (he had MNIST's 10,000 test images). All cures, each at several
strengths, are one population; each curve is the mean of three networks.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

# What his own run recorded: lowest test cost and its epoch, test cost at the end, highest test accuracy; with l2, the highest.
PUBLISHED = {"cost": 1.2028, "epoch": 14, "end": 1.773, "accuracy": 0.8227, "l2": 0.8710}
OUTPUTS = 10  # our loss is the mean over outputs, his the sum
STRENGTHS = {
    "l2": (3e-6, 1e-5, 3e-5, 1e-4), "l1": (1e-6, 3e-6, 1e-5, 3e-5), "dropout": (0.1, 0.2, 0.3, 0.5), "input_noise": (0.1, 0.2, 0.4, 0.6),
}  # fmt: skip
COLORS = {"nothing": "#BBBBBB", "l2": "#4477AA", "l1": "#EE6677", "dropout": "#228833", "input_noise": "#CCBB44", "early stopping": "#000000"}  # fmt: skip


def run(flags: Flags, folder: Path) -> None:
    """Everything as one population."""
    import hpjax
    from hpjax.tasks import Split

    epochs, repeats = {"smoke": (3, 1), "small": (400, 3), "paper": (400, 10)}[flags.preset]
    task = hpjax.tasks.load("mnist10k", flags.data)
    rows = task.development[:4000]
    task = dataclasses.replace(task, x=task.x / task.x.max(), standardize=False, groups=(Split(rows[:1000], rows[1000:]),))  # fmt: skip
    space = {
        "hidden": (30,), "activation": "sigmoid", "loss": "bce", "init": "normal", "optimizer": "sgd", "batch_size": 10,
        "learning_rate": 0.5 * OUTPUTS, "epochs": epochs, "l2": hpjax.Uniform(0.0, 1e-3), "l1": hpjax.Uniform(0.0, 1e-3),
        "dropout": hpjax.Uniform(0.0, 0.9), "input_noise": hpjax.Uniform(0.0, 2.0),
    }  # fmt: skip
    none = dict.fromkeys(STRENGTHS, 0.0)
    what = [("nothing", 0.0)] + [(n, v) for n, values in STRENGTHS.items() for v in values[: 1 if flags.preset == "smoke" else None]]  # fmt: skip
    found = hpjax.tune(space, task, search=[none | ({n: v} if v else {}) for n, v in what], repeats=repeats, say=lambda text: None)  # fmt: skip
    table, entry = found.curves, []
    for trial, (name, value) in enumerate(what):
        mine = table[table["trial"] == trial]
        entry.append({"name": name, "value": value, "train": (OUTPUTS * mine["train"]).round(5).tolist(), "cost": (OUTPUTS * mine["loss"]).round(5).tolist(), "error": mine["error"].round(5).tolist()})  # fmt: skip
    sparse = {}
    for name in ("nothing", "l1", "l2"):
        trial = max(t for t, (n, _) in enumerate(what) if n == name)
        weights = np.abs(np.concatenate([np.ravel(layer["w"]) for layer in found.refit(trial).params]))  # fmt: skip
        sparse[name] = float(np.mean(weights < 1e-2))
    write(folder / "cures.json", {"curves": entry, "sparse": sparse}, indent=None)


def draw(folder: Path) -> list[dict]:
    """Test cost and accuracy over epochs, each cure at its best strength; accuracy over strengths."""
    from hpjax import plots

    entry = read(folder / "cures.json")
    made, axes = plots.figure(1, 3, width=plots.WIDE, height=2.3)
    best: dict = {}
    rows = []
    for one in entry["curves"]:
        one["accuracy"] = 1 - np.array(one["error"])
        last = one["accuracy"][-20:].mean()
        if one["name"] not in best or last > best[one["name"]][0]:
            best[one["name"]] = (last, one)
        rows += [[one["name"], one["value"], e + 1, c, a] for e, (c, a) in enumerate(zip(one["cost"], one["accuracy"]))]  # fmt: skip
    none = best["nothing"][1]
    epochs = np.arange(1, len(none["cost"]) + 1)
    axes[0].plot(epochs, none["train"], color="#BBBBBB", ls="--", label="nothing, training")
    for name, (_, one) in best.items():
        label = name.replace("input_noise", "noise").replace("_", " ")
        axes[0].plot(epochs, one["cost"], color=COLORS[name], label=label)
        axes[1].plot(epochs, one["accuracy"], color=COLORS[name], label=f"{label} {one['value']:g}" if one["value"] else label)  # fmt: skip
    stop = int(np.argmin(none["cost"]))
    axes[0].plot(epochs[stop], none["cost"][stop], "o", ms=4, color="k", label="early stopping")
    axes[1].plot(epochs[stop], none["accuracy"][stop], "o", ms=4, color="k")
    axes[0].plot(PUBLISHED["epoch"], PUBLISHED["cost"], "x", ms=5, mew=1, color="k", label="published lowest")  # fmt: skip
    axes[0].set(xscale="log", xlabel="epoch", ylabel="cost", ylim=(0, 3))
    axes[1].set(xscale="log", xlabel="epoch", ylabel="test accuracy", ylim=(0.6, 0.95))
    axes[0].legend(fontsize=5)
    axes[1].legend(fontsize=5, loc="lower right")
    for name in STRENGTHS:
        mine = [one for one in entry["curves"] if one["name"] == name]
        place = np.arange(1, len(mine) + 1)
        axes[2].plot(place, [one["accuracy"][-20:].mean() for one in mine], marker="o", ms=3, color=COLORS[name], label=name.replace("input_noise", "noise"))  # fmt: skip
        for x, one in zip(place, mine):
            axes[2].annotate(f"{one['value']:g}", (x, one["accuracy"][-20:].mean()), fontsize=5, ha="center", xytext=(0, 3), textcoords="offset points")  # fmt: skip
    axes[2].axhline(none["accuracy"][-20:].mean(), color="#BBBBBB")
    axes[2].text(1, none["accuracy"][-20:].mean() + 5e-4, "nothing", fontsize=5)
    axes[2].set(xlabel="strength, of four tried", ylabel="test accuracy, last 20 epochs", xticks=[], xlim=(0.7, 4.4), ylim=(0.8, None))  # fmt: skip
    axes[2].legend(fontsize=6, ncols=2, loc="lower center")
    plots.save(made, folder / "cures")
    write_rows(folder / "cures.csv", ["cure", "strength", "epoch", "test cost", "test accuracy"], rows)  # fmt: skip
    cost, accuracy = np.array(none["cost"]), none["accuracy"]
    gain = {name: last - best["nothing"][0] for name, (last, _) in best.items() if name != "nothing"}  # fmt: skip
    return [
        Criterion(f"nothing: epoch of the lowest test cost (published: {PUBLISHED['epoch']})", float(epochs[stop]), 40, at_least=False),
        Criterion(f"nothing: test cost at the end over the lowest (published: {PUBLISHED['end'] / PUBLISHED['cost']:.2f})", cost[-1] / cost.min(), 1.25),
        Criterion(f"nothing: highest test accuracy (published: {PUBLISHED['accuracy']:.4f})", accuracy.max(), 0.80),
        Criterion("the same, from above", accuracy.max(), 0.84, at_least=False),
        *(Criterion(f"{name}: points of test accuracy gained at the best of four strengths (chosen on the same examples), last 20 epochs", 100 * value, 2.0 if name == "l2" else 0.0) for name, value in gain.items()),
        Criterion("share of weights below 0.01, l1 at its strongest minus nothing", entry["sparse"]["l1"] - entry["sparse"]["nothing"], 0.1),
    ]  # fmt: skip


if __name__ == "__main__":
    main("overfitting_cures", run, draw)
