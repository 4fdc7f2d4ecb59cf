"""Studies in TensorBoard: a run per trial with its learning curves, and the table of the HParams plugin.

`tensorboard --logdir FOLDER` shows them; written by tensorboardX, without TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpjax.integrations.following import Follower, Study, Trial
from hpjax.integrations.following import write as written
from hpjax.records import RunError
from hpjax.result import Result

MOST = 1000  # trials: each is a folder, and TensorBoard slows beyond them
STATUS = {
    "OK": "STATUS_SUCCESS",
    "PRUNED": "STATUS_SUCCESS",
    "INFEASIBLE": "STATUS_SUCCESS",
    "DIVERGED": "STATUS_FAILURE",
    "FAILED": "STATUS_FAILURE",
    "RUNNING": "STATUS_UNKNOWN",
}
TYPES = {"bool": "DATA_TYPE_BOOL", "string": "DATA_TYPE_STRING", "number": "DATA_TYPE_FLOAT64"}
PLUGIN = "hparams"


def write(result: Result, folder: str | Path, say: Callable[[str], None] | None = None) -> int:
    """Writes a study to a new folder of TensorBoard.

    Args:
        result: of `tune`, or read by `open_run`.
        folder: must not hold files.
        say: told what is left out; standard error where None.

    Returns:
        How many trials were written: of more than `MOST` the best, and a sample of the others.

    Raises:
        ValueError: tensorboardX is not installed.
        RunError: a folder that holds files.
    """
    return written(result, TensorBoard(folder), say)


def follow(run: str | Path, folder: str | Path) -> Follower:
    """A watcher that writes a run to a new folder of TensorBoard while it trains.

    Args:
        run: the folder that the study is given as `out=`.
        folder: must not hold files.

    Raises:
        ValueError: tensorboardX is not installed.
        RunError: a folder that holds files.
    """
    return Follower(run, TensorBoard(folder))


class TensorBoard:
    """A folder of TensorBoard as a `Tracker`."""

    most = MOST

    def __init__(self, folder: str | Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ValueError(
                "tensorboardX is not installed; pip install 'hpjax[tensorboard]'"
            ) from None
        self.folder = Path(folder)
        if self.folder.exists() and any(self.folder.iterdir()):
            raise RunError(f"{folder} holds files already; give another folder, or move it away")
        self._written = 0  # files
        self._writer_of: Callable[..., Any] = SummaryWriter
        self._now: tuple[int, Any] | None = None  # the trial whose file is open: one at a time
        self._text: set[str] = set()  # hyperparameters whose values are not all of one kind

    def _open(self, name: str) -> Any:
        """A new file of a run: equal seconds must not give equal names."""
        self._written += 1
        return self._writer_of(str(self.folder / name), filename_suffix=f".{self._written:06d}")

    def begin(self, study: Study) -> None:
        """Writes which columns the table of trials has."""
        api, _, _ = _messages()
        infos = []
        for name, values in study.hyperparameters.items():
            kinds = {_kind(value) for value in values}
            if len(kinds) > 1:
                self._text.add(name)
            kind = "string" if len(kinds) > 1 else kinds.pop()
            infos.append(api.HParamInfo(name=name, type=api.DataType.Value(TYPES[kind])))
        experiment = api.Experiment(
            name=study.name,
            description="; ".join(f"{name} {text}" for name, text in study.about.items()),
            hparam_infos=infos,
            metric_infos=[
                api.MetricInfo(name=api.MetricName(tag=tag))
                for tag in dict.fromkeys((study.objective, "loss", "error"))
            ],
        )
        with self._open("") as root:
            _add(root, "experiment", experiment=experiment)

    def scores(self, trial: Trial, epochs: list[int], scores: dict[str, list[float]]) -> None:
        """Writes scalars, with epochs as steps; what is not finite is left out."""
        writer = self._writer(trial)
        for name, values in scores.items():
            for epoch, value in zip(epochs, values):
                if math.isfinite(value):
                    writer.add_scalar(name, value, epoch)

    def _writer(self, trial: Trial) -> Any:
        """A trial's file, the others' closed."""
        if self._now is None or self._now[0] != trial.number:
            self._shut()
            self._now = trial.number, self._open(f"trial_{trial.number:05d}")
        return self._now[1]

    def describe(self, trial: Trial) -> None:
        """Starts a trial's session: its hyperparameters."""
        session = _messages()[1].SessionStartInfo()
        for name, value in trial.config.items():
            given = str(value) if name in self._text else value
            setattr(session.hparams[name], f"{_kind(given)}_value", given)
        _add(self._writer(trial), "session_start_info", session_start_info=session)

    def end(self, trial: Trial, status: str) -> None:
        """Ends a trial's session."""
        api, plugin, _ = _messages()
        writer = self._writer(trial)
        ending = plugin.SessionEndInfo(status=api.Status.Value(STATUS[status]))
        _add(writer, "session_end_info", session_end_info=ending)
        writer.add_text("status", status)

    def _shut(self) -> None:
        if self._now is not None:
            self._now[1].close()
            self._now = None

    def close(self, whole: bool) -> None:
        """Writes what is still held back."""
        del whole
        self._shut()


def _kind(value: Any) -> str:
    """What a hyperparameter's value is, as HParams calls it."""
    return "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def _messages() -> tuple[Any, Any, Any]:
    """What the HParams plugin and summaries are made of: modules of protocol buffers."""
    from tensorboardX.proto import api_pb2, plugin_hparams_pb2, summary_pb2

    return api_pb2, plugin_hparams_pb2, summary_pb2


def _add(writer: Any, tag: str, **content: Any) -> None:
    """Writes what the HParams plugin reads."""
    _, plugin, summary = _messages()
    message = plugin.HParamsPluginData(version=0, **content).SerializeToString()
    data = summary.SummaryMetadata.PluginData(plugin_name=PLUGIN, content=message)
    metadata = summary.SummaryMetadata(plugin_data=data)
    value = summary.Summary.Value(tag=f"_hparams_/{tag}", metadata=metadata)
    writer.file_writer.add_summary(summary.Summary(value=[value]))
