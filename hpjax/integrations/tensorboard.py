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
STATUS = {"OK": "STATUS_SUCCESS", "PRUNED": "STATUS_SUCCESS", "DIVERGED": "STATUS_FAILURE", "FAILED": "STATUS_FAILURE"}  # fmt: skip
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
        self._open = lambda name: SummaryWriter(str(self.folder / name), write_to_disk=True)
        self._writers: dict[int, Any] = {}

    def begin(self, study: Study) -> None:
        """Writes which columns the table of trials has."""
        api, _, _ = _messages()

        def kind(values: Any) -> Any:
            value = values[0]
            named = "BOOL" if isinstance(value, bool) else "STRING" if isinstance(value, str) else "FLOAT64"  # fmt: skip
            return api.DataType.Value(f"DATA_TYPE_{named}")

        experiment = api.Experiment(
            name=study.name,
            description="; ".join(f"{name} {text}" for name, text in study.about.items()),
            hparam_infos=[
                api.HParamInfo(name=n, type=kind(v)) for n, v in study.hyperparameters.items()
            ],
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
        """A trial's writer; its session starts with it."""
        if trial.number not in self._writers:
            writer = self._writers[trial.number] = self._open(f"trial_{trial.number:05d}")
            session = _messages()[1].SessionStartInfo()
            for name, value in trial.config.items():
                field = "bool_value" if isinstance(value, bool) else "string_value" if isinstance(value, str) else "number_value"  # fmt: skip
                setattr(session.hparams[name], field, value)
            _add(writer, "session_start_info", session_start_info=session)
        return self._writers[trial.number]

    def end(self, trial: Trial, status: str, last: dict[str, float]) -> None:
        """Ends a trial's session."""
        api, plugin, _ = _messages()
        writer = self._writer(trial)
        ending = plugin.SessionEndInfo(status=api.Status.Value(STATUS[status]))
        _add(writer, "session_end_info", session_end_info=ending)
        writer.add_text("status", status)
        writer.close()

    def close(self) -> None:
        """Writes what is still held back of trials that have not ended."""
        for writer in self._writers.values():
            writer.close()


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
