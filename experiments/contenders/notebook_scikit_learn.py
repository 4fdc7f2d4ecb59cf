"""The course's grid by scikit-learn, a whole process: MODE (not used) and PRESET."""

import os
import sys
import warnings

os.environ["PYTHONWARNINGS"] = "ignore"  # of the worker processes
warnings.simplefilter("ignore")

from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import GridSearchCV, train_test_split  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

if __name__ == "__main__":
    smoke = sys.argv[2] == "smoke"
    x, y = load_digits(return_X_y=True)
    x, _, y, _ = train_test_split(x, y, test_size=0.2, random_state=42)
    widths = (64,) if smoke else (64, 128, 256)
    network = MLPClassifier(
        batch_size=32,
        max_iter=2 if smoke else 20,
        tol=0,
        n_iter_no_change=10**6,
        random_state=42,
    )
    grid = {
        "mlpclassifier__hidden_layer_sizes": [(a, b, 128) for a in widths for b in widths],
        "mlpclassifier__activation": ["relu", "tanh"],
    }
    found = GridSearchCV(
        make_pipeline(StandardScaler(), network),
        grid,
        cv=3,
        n_jobs=os.cpu_count(),
        scoring="neg_log_loss",
        refit=False,
    )
    print(-found.fit(x, y).cv_results_["mean_test_score"].max())
