"""scikit-learn's face: estimators with the search inside, `MLPClassifierCV` and `MLPRegressorCV`.

They are to multilayer perceptrons what `LogisticRegressionCV` is to logistic regression: `fit` searches hyperparameters over folds,
trains the best network again on all examples, and keeps it. scikit-learn is loaded when one of them is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_sample_weight,  # type: ignore[attr-defined]
    check_is_fitted,
    column_or_1d,
    validate_data,  # type: ignore[attr-defined]
)

from hpjax.checks import one_of
from hpjax.defaults import VALIDATION_SHARE, table_space
from hpjax.ensemble import Ensemble
from hpjax.models import MLP
from hpjax.network import Network
from hpjax.resolve import as_space, of_layers
from hpjax.schedulers import Scheduler, halving, hyperband
from hpjax.space import Space
from hpjax.tasks import Task, TaskError, is_splitter, wants_groups
from hpjax.tasks.columns import frame_names, refuse_lost_labels
from hpjax.training.named_metrics import Scorer
from hpjax.tune import tune

# of "fast", where nothing else is said: until epoch, networks
FAST_RUNGS = (
    (1, 16),
    (5, 6),
    (15, 3),
)


class Budget(NamedTuple):
    """What a search may cost: the method, trials, and epochs of a network that lives to the end."""

    search: str
    trials: int
    epochs: int


# of Hyperband with a model, one round of its brackets: 27 + 12 + 6 + 4 trials, and 81 + 34 + 15 + 8 + 5
BUDGETS = {
    "fast": Budget("random", FAST_RUNGS[0][1], FAST_RUNGS[-1][0]),
    "good": Budget("bohb", hyperband(27).trials, 27),
    "best": Budget("bohb", hyperband(81).trials, 81),
}
LARGE = 5_000  # examples from which one fold is enough where `cv` is None


class _SearchInside(BaseEstimator):
    """What both estimators share."""

    _kind = "numbers"

    def __init__(
        self,
        space: Space | Mapping | str | Path | None = None,
        *,
        budget: str = "fast",
        search: Any = None,
        scheduler: Scheduler | str | None = None,
        trials: int | None = None,
        epochs: int | None = None,
        seconds: float | None = None,
        cv: Any = None,
        scoring: Any = "loss",
        ensemble: bool | None = None,
        columns: Mapping[str, str] | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ):
        self.space = space
        self.budget = budget
        self.search = search
        self.scheduler = scheduler
        self.trials = trials
        self.epochs = epochs
        self.seconds = seconds
        self.cv = cv
        self.scoring = scoring
        self.ensemble = ensemble
        self.columns = columns
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        """Searches; then trains the best configuration again on all examples, or lets networks of the search predict together.

        Args:
            X: [N F] numbers, or a data frame with numbers, text, booleans, dates and gaps.
            y: [N] classes, or [N] or [N C] numbers.
            sample_weight: [N] of the examples.
            groups: [N] of the examples, for splitters that take them.

        Returns:
            The estimator itself.

        Raises:
            ValueError: what is wrong with the data or the parameters, in one line.
        """
        one_of("budget", self.budget, BUDGETS)
        X, y = self._checked(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
            self._refuse_one_class(y, sample_weight > 0)
        seed = self._seed()
        cv = self._cv()
        if cv is not None and is_splitter(cv) and not wants_groups(cv):
            groups = None  # as scikit-learn has it
        task = Task.of(
            X,
            y,
            "data",
            test=0,
            kind=self._kind,
            columns=self.columns,
            weights=sample_weight,
            groups=groups,
        )
        if task.classes:  # for scorers
            task = dataclasses.replace(task, values=tuple(self.classes_.tolist()))  # type: ignore[attr-defined]
        space = as_space(table_space(len(task.x)) if self.space is None else self.space)
        self.result_ = tune(
            space,
            task,
            seed=seed,
            validation=self._folds(task, cv, seed),
            **self._scored(),
            stop={"seconds": self.seconds},
            progress=bool(self.verbose),
            say=print if self.verbose else _quiet,
            **self._effort(space),
        )
        if self.result_.best["trial"] is None:
            raise ValueError(self.result_.why_none)
        together = self.budget != "fast" if self.ensemble is None else self.ensemble
        self.network_: Network | Ensemble = (
            self.result_.ensemble(progress=False) if together else self.result_.refit()
        )
        self._describe()
        return self

    def _effort(self, space: Space) -> dict[str, Any]:
        """Search, trials and epochs as `tune` takes them; where nothing varies, the one configuration that there is."""
        if not space.dims and self.search is None:
            for name in of_layers(space, MLP):
                if isinstance(self.space, Mapping) and isinstance(self.space.get(name), list):
                    values = self.space[name]
                    raise ValueError(
                        f"nothing varies in the space: {name} = {values} is one value per layer; to try these values write Choice({values}), to mean the layers {tuple(values)}"
                    )
            return {
                "search": [{}],
                "scheduler": self.scheduler,
                "epochs": self.epochs or BUDGETS[self.budget].epochs,
            }
        parameters = ("search", "scheduler", "trials", "epochs")
        given = {n: getattr(self, n) for n in parameters if getattr(self, n) is not None}
        budget = BUDGETS[self.budget]._asdict()
        own_epochs = "epochs" in {*space.ranges, *space.constants}
        if self.budget == "fast" and not given and not own_epochs:
            return {"search": "random", "scheduler": halving(FAST_RUNGS)}
        if self.search == "grid" or not isinstance(self.search, (str, type(None))):
            del budget["trials"]  # as many as there are
        if own_epochs:
            del budget["epochs"]
        if self.scheduler is not None:  # the user's, with any search
            del budget["search"]
        if isinstance(self.scheduler, Scheduler):  # which knows both
            budget = {n: v for n, v in budget.items() if n not in ("trials", "epochs")}
        return budget | given

    def _scored(self) -> dict[str, Any]:
        """Objective and metrics as `tune` takes them."""
        if not callable(self.scoring):
            return {"objective": self.scoring}
        return {"objective": "score", "metrics": {"score": Scorer(self.scoring)}}

    def _seed(self) -> int:
        """What names all randomness."""
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _cv(self) -> Any:
        """`cv` as it was given: None, a number, a splitter, or a list of pairs.

        Raises:
            ValueError: something else.
        """
        cv = self.cv
        if cv is None or is_splitter(cv):
            return cv
        if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool) and cv >= 1:
            return int(cv)
        if isinstance(cv, Iterable) and not isinstance(cv, str):
            return list(cv)
        raise ValueError(
            f"cv={cv!r:.80} must be a number of folds, a splitter of scikit-learn's kind, or pairs of rows (train, valid)"
        )

    def _folds(self, task: Task, cv: Any, seed: int) -> Any:
        """What makes the folds of the search, as `tune` takes it: a number where there are groups, else a splitter.

        A class with too few members for every fold is in the training part of some folds only, as scikit-learn has it.
        """
        if cv is None:
            cv = 1 if len(task.x) >= LARGE else 5
            most = int(np.bincount(task.y).max()) if task.classes else len(task.x)
            cv = max(2, min(cv, most)) if cv > 1 else 1
        if not isinstance(cv, int) or task.groups is not None:
            return cv
        if cv == 1:
            return self._one_fold(task, seed)
        kind = StratifiedKFold if task.classes else KFold
        return kind(cv, shuffle=True, random_state=seed % 2**32)

    def _one_fold(self, task: Task, seed: int) -> Any:
        """A fifth to validate on; classes with one member are trained on."""
        if not task.classes or np.bincount(task.y).min() > 1:
            return 1
        alone = np.flatnonzero(np.bincount(task.y)[task.y] == 1)
        others = np.setdiff1d(np.arange(len(task.y)), alone)
        train, valid = train_test_split(
            others, test_size=VALIDATION_SHARE, random_state=seed % 2**32, stratify=task.y[others]
        )
        return [(np.concatenate([train, alone]), valid)]

    def _describe(self) -> None:
        """Fills in what scikit-learn's searches have."""
        found, trials = self.result_, self.result_.trials
        finished = trials[trials["status"] == "OK"]
        score = -finished["objective"].to_numpy()
        configs = [found.config(trial) for trial in finished.index]
        names = sorted({name for config in configs for name in config})

        def column(name: str) -> np.ma.MaskedArray:
            cells = np.ma.masked_all(len(configs), object)
            for row, config in enumerate(configs):
                if name in config:
                    cells[row] = config[name]
            return cells

        folds = -found.replicates.mean(axis=1).unstack("fold").loc[finished.index].to_numpy()
        order = np.argsort(-score, kind="stable")
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(1, len(order) + 1)
        self.cv_results_ = {
            "params": configs,
            **{f"param_{name}": column(name) for name in names},
            **{f"split{fold}_test_score": folds[:, fold] for fold in range(folds.shape[1])},
            "mean_test_score": score,
            "std_test_score": folds.std(1),
            "rank_test_score": rank,
            "mean_fit_time": finished["seconds"].to_numpy(),
            "n_epochs": finished["epochs"].to_numpy(),
        }
        self.best_index_ = int(order[0])
        self.best_params_ = configs[self.best_index_]
        self.best_score_ = float(score[self.best_index_])
        self.n_splits_ = found.evaluation.validation.folds

    def _checked(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """Features and targets, refused as scikit-learn does; sets n_features_in_ and feature_names_in_."""
        if frame_names(X) is not None:
            if not len(X):
                raise TaskError("X is a table without rows; give some")
            refuse_lost_labels(np.asarray([] if y is None else y, object).ravel(), "y")
            validate_data(self, X, reset=True, skip_check_array=True)
            return X, self._targets(y)
        X, y = validate_data(
            self,
            X,
            y,
            dtype=None,
            ensure_all_finite="allow-nan",
            ensure_min_samples=2,
            multi_output=True,
            y_numeric=self._kind == "numbers",
        )
        return X, self._targets(y)

    def _targets(self, y: Any) -> np.ndarray:
        raise NotImplementedError

    def _refuse_one_class(self, codes: np.ndarray, rows: np.ndarray) -> None:
        """Refuses classes of which only one is left in these rows."""

    def _rows(self, X: Any) -> Any:
        """Features to predict, refused as scikit-learn does."""
        check_is_fitted(self, "network_")
        if frame_names(X) is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            return X
        return validate_data(self, X, reset=False, dtype=None, ensure_all_finite="allow-nan")

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but the search, whose trained population and data stay behind."""
        return {name: value for name, value in super().__getstate__().items() if name != "result_"}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _quiet(text: str) -> None:
    """Says nothing."""


class MLPClassifierCV(ClassifierMixin, _SearchInside):
    """A multilayer perceptron for classes, its hyperparameters searched by cross-validation.

    Args:
        space: as for `hpjax.tune`; where None, learning rate, depth, width, dropout, weight decay and embeddings of numbers.
        budget: "fast", "good" or "best": how many networks are tried for how long; `search`, `scheduler`, `trials` and `epochs`
            take the place of what it says.
        search, scheduler, trials, epochs: as for `hpjax.tune`.
        seconds: after which the search begins no more networks.
        cv: folds, any splitter of scikit-learn, or pairs of rows; where None, 5, or one fold from 5,000 examples on.
        scoring: what counts over the folds: "loss", "error", any metric that `hpjax.tune` knows by name ("roc_auc", "rmse",
            "neg_log_loss", ...), or a scorer (estimator, X, y), such as `make_scorer` makes; its estimator predicts the rows of X alone.
        ensemble: whether several networks predict together (`Result.ensemble`), not the best one alone; where None, with "good" and
            "best".
        columns: what columns of a frame are, as for `hpjax.tune`.
        random_state: a number, a RandomState, or None for another one each time.
        verbose: whether progress is shown.

    Attributes:
        network_: the best network, trained again on all examples, or the ensemble, whose networks are trained again where one fold held
            examples out; `network_.save(path)` keeps it.
        result_: the search, a `hpjax.Result`; it is not pickled.
        classes_: [C] as they were given.
        best_params_, best_score_, best_index_: of the best configuration; greater scores are better (those of a loss are negative).
        cv_results_: params, param_*, split*_test_score, mean_test_score, std_test_score, rank_test_score, mean_fit_time, n_epochs of
            those that were trained to the end.
        n_splits_, n_features_in_, feature_names_in_: as everywhere.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x, y = load_iris(return_X_y=True)
        >>> found = MLPClassifierCV({"hidden": (8,), "learning_rate": 0.05}, epochs=20, cv=2).fit(x, y)
        >>> found.predict(x).shape, bool(found.score(x, y) > 0.8)
        ((150,), True)
    """

    _kind = "classes"

    def _targets(self, y: Any) -> np.ndarray:
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._refuse_one_class(codes, np.ones(len(codes), bool))
        return codes

    def _refuse_one_class(self, codes: np.ndarray, rows: np.ndarray) -> None:
        there = self.classes_[np.unique(codes[rows])].tolist()
        if len(there) == 1:
            raise TaskError(f"every example has class {there[0]!r:.80}; two are needed")

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [N C] of `classes_`."""
        rows = self._rows(X)
        p = self.network_.predict_proba(rows).astype(np.float64)
        # one in float64, too, as scikit-learn's metrics check
        return p / p.sum(1, keepdims=True) if self.network_.probabilities else p

    def predict(self, X: Any) -> np.ndarray:
        """Classes [N]."""
        chosen = self.predict_proba(X).argmax(1)
        return self.classes_[chosen]


class MLPRegressorCV(RegressorMixin, _SearchInside):
    """A multilayer perceptron for numbers, its hyperparameters searched by cross-validation; as `MLPClassifierCV`."""

    def _targets(self, y: Any) -> np.ndarray:
        if type_of_target(y) == "unknown":
            raise ValueError("Unknown label type: targets must be numbers")
        y = np.asarray(y)
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def predict(self, X: Any) -> np.ndarray:
        """Numbers [N] or [N C]."""
        rows = self._rows(X)
        return np.asarray(self.network_.predict(rows), np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
