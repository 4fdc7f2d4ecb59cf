"""Real tables, from the file to a network or an ensemble that predicts: how good, in how many seconds, beside what people use.

    HPJAX_DATA=... python -m experiments.tables
    HPJAX_DATA=... python -m experiments.tables --only adult --budgets good
    python -m experiments.tables --plot results/tables

Tables: Adult (its official test part), diamonds (ln of the price), Ames (ln of the price), flights (late by more than 15 minutes or
not); the last three have a fifth of their rows held out, drawn anew for every seed. Ours: `MLPClassifierCV` and `MLPRegressorCV`,
the single best network trained again on all rows, and the ensemble; with embeddings of numbers (the default space) and without
("plain"). Peers on the same rows and cores, in the same run: scikit-learn's MLP under RandomizedSearchCV, HistGradientBoosting, and
XGBoost where it is installed. Dashed lines: published figures. Parts `flights` and `memory` (a search of 27 configurations on all its
rows, and what that takes of memory) run where --only names them.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments._experiment import Criterion, Experiment, Numbers, Preset, Sheet, main

# of tuned models on the standard splits: TabPack (arXiv 2607.05380), plain and with embeddings of numbers; XGBoost there
PUBLISHED = {
    "adult": {"TabPack, plain": 0.8572, "TabPack, embeddings": 0.8693, "XGBoost": 0.872},
    "diamonds": {"TabPack, plain": 0.9822, "TabPack, embeddings": 0.9828},
}
TITLES = {
    "adult": ("Adult", "test accuracy"),
    "diamonds": ("diamonds", "test $R^2$ of ln(price)"),
    "ames": ("Ames (less is better)", "test RMSE of ln(price)"),
    "flights": ("flights", "test area under ROC"),
}
LOOKS = {
    "single": ("#4477AA", "o"),
    "ensemble": ("#EE6677", "s"),
    "scikit-learn MLPs": ("#228833", "^"),
    "HistGradientBoosting as it comes": ("#CCBB44", "D"),
    "XGBoost as it comes": ("#AA3377", "v"),
}
SIZES = {"fast": 14, "good": 36, "best": 64}  # of markers, by budget
SEARCHED = 20  # of scikit-learn's networks


@dataclasses.dataclass(frozen=True)
class Parameters:
    """What can be chosen."""

    budgets: tuple[str, ...]  # of the estimators
    spaces: tuple[str, ...]  # default (with embeddings of numbers), plain
    seeds: int
    best_seeds: int  # of budget "best", which takes long
    peers: bool  # whether they run, too
    rows: int | None = None  # the most that are read; all where absent
    data: Path | None = None  # folder of stored data sets; HPJAX_DATA where absent


PRESETS: dict[Preset, Parameters] = {
    "smoke": Parameters(("fast",), ("plain",), 1, 1, True, 600),
    "small": Parameters(("fast", "good", "best"), ("plain", "default"), 5, 1, True),
    "paper": Parameters(("fast", "good", "best"), ("plain", "default"), 5, 5, True),
}


# --- tables -----------------------------------------------------------------------------------------------------------
class Table(NamedTuple):
    """A table in two parts."""

    train: Any  # a frame of features
    y: np.ndarray
    test: Any
    truth: np.ndarray
    classes: bool
    score: Callable[[Any, Any, np.ndarray], float]  # (fitted, features, truth)


def accuracy(fitted: Any, x: Any, truth: np.ndarray) -> float:
    """Share of classes that are right."""
    return float(np.mean(fitted.predict(x) == truth))


def r_squared(fitted: Any, x: Any, truth: np.ndarray) -> float:
    """R^2."""
    return float(1 - np.mean((fitted.predict(x) - truth) ** 2) / truth.var())


def rmse(fitted: Any, x: Any, truth: np.ndarray) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((fitted.predict(x) - truth) ** 2)))


def area(fitted: Any, x: Any, truth: np.ndarray) -> float:
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, fitted.predict_proba(x)[:, 1]))


def read(name: str, seed: int, rows: int | None, data: Path | None) -> Table:
    """A table, its test part drawn by the seed where none is official."""
    import pandas

    folder = data or os.environ.get("HPJAX_DATA")
    if folder is None:
        raise ValueError("stored tables are needed; set HPJAX_DATA, or give --data FOLDER")
    file = lambda stem: pandas.read_csv(Path(folder) / f"{stem}.csv.gz").iloc[:rows]
    if name == "adult":
        train, test = file("adult_train"), file("adult_test")
        y, truth = train.pop("income").to_numpy(), test.pop("income").to_numpy()
        return Table(train, y, test, truth, True, accuracy)
    frame = file(name)
    if name == "flights":
        frame = frame[frame["arr_delay"].notna()]
        y: Any = np.where(frame.pop("arr_delay") > 15, "late", "in time")
    else:
        y = np.log(frame.pop({"diamonds": "price", "ames": "Sale_Price"}[name]).to_numpy(float))
    order = np.random.default_rng(seed).permutation(len(frame))
    held, kept = order[: len(frame) // 5], order[len(frame) // 5 :]
    score = {"flights": area, "ames": rmse, "diamonds": r_squared}[name]
    return Table(frame.iloc[kept], y[kept], frame.iloc[held], y[held], name == "flights", score)


# --- ours and peers ---------------------------------------------------------------------------------------------------
def ours(table: Table, budget: str, space: str, seed: int) -> list[dict[str, Any]]:
    """The single best network and the ensemble of one search; seconds from the frame on to either alone."""
    import hpjax
    from hpjax.defaults import table_space

    entries = table_space(len(table.train))
    if space == "plain":
        waves = ("embedding", "frequencies", "embedding_width", "frequency_scale")
        entries = {name: entry for name, entry in entries.items() if name not in waves}
    kind = hpjax.MLPClassifierCV if table.classes else hpjax.MLPRegressorCV
    found = kind(hpjax.Space.load(entries), budget=budget, cv=1, ensemble=False, random_state=seed)
    rows, seconds = [], {}
    seconds["fit"] = fresh_seconds(lambda: found.fit(table.train, table.y))
    seconds["refit"] = fresh_seconds(lambda: found.result_.refit())
    for what in ("single", "ensemble"):
        spent = seconds["fit"]
        if what == "ensemble":
            own = fresh_seconds(
                lambda: setattr(found, "network_", found.result_.ensemble(progress=False))
            )
            spent += own - seconds["refit"]
        row = {"what": what, "budget": budget, "space": space, "seconds": spent}
        rows.append(row | {"score": table.score(found, table.test, table.truth)})
    return rows


def fresh_seconds(work: Callable[[], object]) -> float:
    """Seconds of what compiles its programs, as the first of a process does."""
    import jax

    from hpjax.population.executor import READY

    jax.clear_caches()
    READY.clear()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def prepared(table: Table) -> Any:
    """scikit-learn's usual columns for its networks: one-hot categories, standardised numbers, gaps filled."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    words = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False
    )
    numeric = list(table.train.select_dtypes("number").columns)
    return make_column_transformer(
        (numbers, numeric), (words, [n for n in table.train if n not in numeric])
    )


def scikit_learn_networks(table: Table, seed: int) -> Any:
    """Twenty of scikit-learn's networks under its random search, one held-out part as ours has it."""
    from scipy.stats import loguniform
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.model_selection import RandomizedSearchCV, ShuffleSplit
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    network = (MLPClassifier if table.classes else MLPRegressor)(
        early_stopping=True, random_state=seed
    )
    space = {
        "network__hidden_layer_sizes": [(64,), (128,), (256,), (64, 64), (128, 128), (256, 256)],
        "network__learning_rate_init": loguniform(3e-4, 1e-2),
        "network__alpha": loguniform(1e-6, 1e-2),
        "network__batch_size": [256] if len(table.y) >= 20_000 else [32],
    }
    line = Pipeline([("columns", prepared(table)), ("network", network)])
    folds = ShuffleSplit(1, test_size=0.2, random_state=seed)
    if not table.classes:  # its networks do not standardise their target
        line = TransformedTargetRegressor(line, transformer=StandardScaler())
        space = {f"regressor__{name}": values for name, values in space.items()}
    return RandomizedSearchCV(
        line, space, n_iter=SEARCHED, cv=folds, n_jobs=os.cpu_count(), random_state=seed
    )


def boosted(table: Table, seed: int) -> Any:
    """scikit-learn's HistGradientBoosting as it comes."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if table.classes else HistGradientBoostingRegressor
    return kind(categorical_features="from_dtype", random_state=seed)


def xgboost(table: Table, seed: int) -> Any:
    """XGBoost as it comes; it wants classes as numbers."""
    from sklearn.preprocessing import LabelEncoder
    from xgboost import XGBClassifier, XGBRegressor

    if not table.classes:
        return XGBRegressor(enable_categorical=True, random_state=seed)

    class Named(XGBClassifier):
        """Its classes are those that were given."""

        def fit(self, X: Any, y: Any, **options: Any) -> Any:
            self.names_ = LabelEncoder().fit(y)
            return super().fit(X, self.names_.transform(y), **options)

        def predict(self, X: Any, **options: Any) -> Any:
            return self.names_.inverse_transform(super().predict(X, **options))

    return Named(enable_categorical=True, random_state=seed)


PEERS = {
    "scikit-learn MLPs": scikit_learn_networks,
    "HistGradientBoosting as it comes": boosted,
    "XGBoost as it comes": xgboost,
}


def typed(table: Table) -> Table:
    """Text as categories of both parts, which trees want."""
    import pandas

    train, test = table.train.copy(), table.test.copy()
    for name in train.columns[train.dtypes.map(lambda kind: kind.kind not in "fiub")]:
        values = train[name].value_counts().index[:254]
        for part in (train, test):
            part[name] = pandas.Categorical(part[name].where(part[name].isin(values)), values)
    return table._replace(train=train, test=test)


def peer(table: Table, name: str, seed: int) -> dict[str, Any]:
    """What a peer scores, and its seconds."""
    import warnings

    given = table if name == "scikit-learn MLPs" else typed(table)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = PEERS[name](given, seed).fit(given.train, given.y)
    seconds = time.perf_counter() - started
    return {"what": name, "score": given.score(fitted, given.test, given.truth), "seconds": seconds}


def run(name: str, parameters: Parameters) -> dict[str, Any]:
    """A table, seed by seed; nothing runs beside."""
    rows = []
    there = [n for n in PEERS if n != "XGBoost as it comes" or importlib.util.find_spec("xgboost")]
    for seed in range(parameters.seeds):
        table = read(name, seed, parameters.rows, parameters.data)
        found = [
            row
            for budget in parameters.budgets
            if budget != "best" or seed < parameters.best_seeds
            for space in parameters.spaces
            for row in ours(table, budget, space, seed)
        ]
        found += [peer(table, other, seed) for other in there if parameters.peers]
        for row in found:
            print(
                f"{name} {seed} {label(row)}: {row['score']:.5g}, {row['seconds']:.0f} s",
                flush=True,
            )
        rows += [row | {"seed": seed} for row in found]
    return {"rows": rows}


def memory(parameters: Parameters) -> dict[str, Any]:
    """A search of 27 configurations on all rows of flights: seconds, and the process's peak in GiB."""
    import resource

    import hpjax
    from hpjax.defaults import table_space

    table = read("flights", 0, parameters.rows, parameters.data)
    started = time.perf_counter()
    found = hpjax.tune(
        hpjax.Space.load(table_space(len(table.train))),
        (table.train, table.y),
        scheduler="halving",
        trials=27,
        epochs=9 if parameters.rows is None else 1,
        objective="roc_auc",
    )
    return {
        "rows": len(table.train),
        "seconds": time.perf_counter() - started,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "area": found.best["roc_auc"],
    }


# --- figures ----------------------------------------------------------------------------------------------------------
def label(row: dict[str, Any]) -> str:
    """How a row is called in tables."""
    if "budget" not in row:
        return row["what"]
    return f"{row['what']}, {row['budget']}, {'with embeddings' if row['space'] == 'default' else 'plain'}"


def means(rows: list[dict[str, Any]]) -> dict[str, tuple[float, float, float, int]]:
    """Score (the mean), its deviation over seeds, seconds (the median) and seeds, by label."""
    found: dict[str, tuple[float, float, float, int]] = {}
    for name in dict.fromkeys(map(label, rows)):
        of = [row for row in rows if label(row) == name]
        scores = np.array([row["score"] for row in of])
        spread = float(scores.std(ddof=1)) if len(of) > 1 else float("nan")
        seconds = float(np.median([row["seconds"] for row in of]))
        found[name] = float(scores.mean()), spread, seconds, len(of)
    return found


def draw(numbers: Numbers, sheet: Sheet) -> None:
    """A panel per table: score over seconds; every seed faint, means full."""
    from hpjax import plots

    every = {name: numbers[name]["rows"] for name in TITLES if name in numbers}
    names = list(every)
    if not names:  # the part `memory` alone
        return
    width = plots.COLUMN if len(names) == 1 else plots.WIDE
    figure, axes = plots.figure(1, len(names), width, 2.4, squeeze=False)
    for ax, name in zip(axes[0], names):
        rows = every[name]
        for other, (score, _, seconds, _) in means(rows).items():
            what = other.split(",")[0]
            colour, marker = LOOKS[what]
            filled = "plain" not in other
            of = [row for row in rows if label(row) == other]
            ax.scatter(
                [row["seconds"] for row in of],
                [row["score"] for row in of],
                color=colour,
                marker=marker,
                s=8,
                alpha=0.3,
                lw=0,
            )
            ax.scatter(
                seconds,
                score,
                facecolor=colour if filled else "none",
                edgecolor=colour,
                marker=marker,
                s=next((size for budget, size in SIZES.items() if f", {budget}," in other), 36),
                label=None,
            )
        published = PUBLISHED.get(name, {})
        near = 0.05 * np.ptp(ax.get_ylim())
        for title, value in published.items():
            below = any(0 < other - value < near for other in published.values())
            ax.axhline(value, color="0.5", ls="--", lw=0.8, zorder=0)
            ax.annotate(
                title,
                (0.5, value),
                xycoords=("axes fraction", "data"),
                ha="center",
                va="top" if below else "bottom",
                fontsize=6,
                color="0.35",
            )
        title, metric = TITLES[name]
        ax.set(xscale="log", xlabel="seconds", ylabel=metric, title=title)
    legend(figure, [row for rows in every.values() for row in rows])
    sheet.figure(figure, "tables")
    header = ["table", "what", "score", "deviation", "seconds", "seeds"]
    lines = [(name, what, *values) for name in names for what, values in means(every[name]).items()]
    sheet.table("tables", header, lines)


def legend(figure: Any, rows: list[dict[str, Any]]) -> None:
    """What markers mean; hollow ones have no embeddings of numbers."""
    from matplotlib.lines import Line2D

    there = [name for name in LOOKS if any(row["what"] == name for row in rows)]
    handles = [
        Line2D([], [], color=LOOKS[name][0], marker=LOOKS[name][1], ls="", ms=5, label=name)
        for name in there
    ]
    if any(row.get("space") == "plain" for row in rows):
        handles.append(
            Line2D([], [], color="0.3", marker="o", mfc="none", ls="", ms=5, label="no embeddings")
        )
    budgets = [b for b in SIZES if any(row.get("budget") == b for row in rows)]
    if len(budgets) > 1:
        handles += [
            Line2D([], [], color="0.3", marker="o", ls="", ms=SIZES[b] ** 0.5, label=f'"{b}"')
            for b in budgets
        ]
    columns = len(handles) if len(handles) < 6 else -(-len(handles) // 2)
    figure.legend(handles=handles, fontsize=6, ncols=columns, loc="outside lower center")


def criteria(numbers: Numbers) -> list[Criterion]:
    """The published figures as bounds; scikit-learn's networks and trees of the same run."""
    found: list[Criterion] = []
    mean = {name: means(numbers[name]["rows"]) for name in TITLES if name in numbers}

    def bound(table: str, what: str, value: float, title: str, at_least: bool = True) -> None:
        if table in mean and what in mean[table]:
            found.append(
                Criterion(title, mean[table][what][0], value, at_least, figure="tables", part=table)
            )

    bound("adult", "single, good, plain", 0.856, "Adult: accuracy of a plain network")
    bound("adult", "ensemble, good, plain", 0.858, "Adult: accuracy of the plain ensemble")
    bound("adult", "ensemble, good, with embeddings", 0.869, "Adult: accuracy of the ensemble")
    bound("diamonds", "ensemble, good, plain", 0.982, "diamonds: R2 of the plain ensemble")
    bound("diamonds", "ensemble, good, with embeddings", 0.9828, "diamonds: R2 of the ensemble")
    trees = mean.get("ames", {}).get("HistGradientBoosting as it comes")
    if trees:
        claim = "Ames: RMSE of the ensemble, at most that of trees as they come"
        bound("ames", "ensemble, good, with embeddings", trees[0], claim, False)
    other = mean.get("adult", {}).get("scikit-learn MLPs")
    best = mean.get("adult", {}).get("ensemble, good, with embeddings")
    if "memory" in numbers:
        peak = numbers["memory"]["peak"]
        title = "flights, all rows: peak GiB of a search of 27 configurations"
        found.append(Criterion(title, peak, 3, False, part="memory"))
    if other and best:
        for title, value, least in (
            ("seconds of 20 scikit-learn networks over ours", other[2] / best[2], 1),
            ("accuracy beyond 20 scikit-learn networks", best[0] - other[0], 0),
        ):
            found.append(Criterion(f"Adult: {title}", value, least, figure="tables", part="adult"))
    return found


PARTS = {name: functools.partial(run, name) for name in TITLES} | {"memory": memory}
EXPERIMENT = Experiment("tables", PRESETS, PARTS, draw, criteria, on_request=("flights", "memory"))

if __name__ == "__main__":
    main(EXPERIMENT)
