"""scikit-learn's MLPClassifier."""

from __future__ import annotations

import os

import numpy as np

from experiments.contenders.sweep import About, Run, Sweep, digits


def sklearn_worker(sweep: Sweep) -> tuple[Run, About]:
    """scikit-learn's MLPClassifier, as many processes as cores, 8 of the networks (times are scaled to all)."""
    import warnings

    from joblib import Parallel, delayed
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    x, y, x_valid, y_valid = digits()
    rates = np.geomspace(5e-4, 2e-3, sweep.networks)[:: max(1, sweep.networks // 8)]

    def one(rate: float):
        warnings.simplefilter("ignore")
        network = MLPClassifier(
            sweep.hidden,
            batch_size=sweep.batch,
            learning_rate_init=rate,
            max_iter=sweep.epochs,
            tol=0,
            n_iter_no_change=10**6,
            random_state=0,
        )
        return log_loss(y_valid, network.fit(x, y).predict_proba(x_valid))

    pool = Parallel(n_jobs=os.cpu_count())

    def run():
        return float(np.median(pool(delayed(one)(rate) for rate in rates)))

    return run, lambda: {"share": len(rates) / sweep.networks}
