"""Hyperparameter search for multilayer perceptrons in JAX: whole populations of networks, trained as one program."""

import gc
import os
import signal
import sys
from multiprocessing import parent_process


def _interrupted(number: int, frame: object) -> None:
    """Ends the command line in one line while its modules load, where an exception would be lost or a traceback."""
    os.write(2, b"hpjax: interrupted; nothing was begun\n")
    os._exit(128 + number)


_typed = os.path.basename(sys.argv[0]) == "hpjax" or sys.orig_argv[1:3] == ["-m", "hpjax"]
if (
    _typed and parent_process() is None
):  # the command line itself, not a process that it has started
    for _request in (signal.SIGINT, signal.SIGTERM):
        signal.signal(_request, _interrupted)  # until `cli` takes over
    gc.disable()  # until then, too: loading modules leaves nothing to collect

from importlib import metadata
from typing import TYPE_CHECKING, Any

from hpjax import hypergrad
from hpjax.cluster import Cluster
from hpjax.compare import Comparison, compare, open_comparison, resume_comparison
from hpjax.confirm import Confirmation, confirm
from hpjax.ensemble import Ensemble, load
from hpjax.fit import fit
from hpjax.minimize import minimize
from hpjax.models import Model, Number
from hpjax.network import Network
from hpjax.outcome import Outcome
from hpjax.population import Population
from hpjax.records import RunError
from hpjax.result import Result
from hpjax.resume import open_outcome, open_run, resume
from hpjax.schedulers import asha, full, halving, hyperband, ladder, median, pbt, replay
from hpjax.settings import Stop, Validation
from hpjax.space import Choice, IntUniform, LogIntUniform, LogUniform, Space, Uniform
from hpjax.tasks import Task, TaskError
from hpjax.train import train
from hpjax.trained import Trained
from hpjax.training.metrics import Metric
from hpjax.tune import explain, tune

__version__ = metadata.version("hpjax")

if TYPE_CHECKING:
    from hpjax.estimators import MLPClassifierCV, MLPRegressorCV


def __getattr__(name: str) -> Any:
    """The estimators, for which scikit-learn has to be loaded."""
    if name in ("MLPClassifierCV", "MLPRegressorCV"):
        from hpjax import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module 'hpjax' has no attribute {name!r}")


__all__ = [
    "Choice",
    "Cluster",
    "Comparison",
    "Confirmation",
    "Ensemble",
    "IntUniform",
    "LogIntUniform",
    "LogUniform",
    "MLPClassifierCV",
    "MLPRegressorCV",
    "Metric",
    "Model",
    "Network",
    "Number",
    "Outcome",
    "Population",
    "Result",
    "RunError",
    "Space",
    "Stop",
    "Task",
    "TaskError",
    "Trained",
    "Uniform",
    "Validation",
    "__version__",
    "asha",
    "compare",
    "confirm",
    "explain",
    "fit",
    "full",
    "halving",
    "hyperband",
    "hypergrad",
    "ladder",
    "load",
    "median",
    "minimize",
    "open_comparison",
    "open_outcome",
    "open_run",
    "pbt",
    "replay",
    "resume",
    "resume_comparison",
    "train",
    "tune",
]
