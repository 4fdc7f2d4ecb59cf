"""The skeletons that a contributor copies run as they are; a scheduler of one's own is read and resumed."""

import runpy
import sys
from pathlib import Path

import pytest

import hpjax

EXAMPLES = Path(__file__).parents[1] / "examples"
SPACE = {"hidden": (8,), "learning_rate": hpjax.LogUniform(1e-3, 1.0)}
quiet = dict(say=lambda text: None)
pytestmark = pytest.mark.skipif(
    not EXAMPLES.exists(), reason="runs in a checkout, which has the examples"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search", "scheduler", "model"])
def test_a_skeleton_runs(name, capsys):
    runpy.run_path(str(EXAMPLES / f"skeleton_{name}.py"), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) > 3


@pytest.mark.slow
def test_the_skeleton_of_an_experiment_runs(tmp_path, capsys, monkeypatch):
    words = ["skeleton", "--seeds", "1", "--widths", "4", "8", "--rates", "3", "--epochs", "2"]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "skeleton_experiment.py"), run_name="__main__")
    assert "best rate, narrowest over widest" in capsys.readouterr().out
    assert {"rates.json", "rates.npz", "rates.png", "rates.svg", "rates.csv", "run.json"} <= {
        path.name for path in tmp_path.iterdir()
    }


@pytest.mark.slow
def test_a_scheduler_of_ones_own_is_read_and_resumed(tmp_path):
    """Broke: a run of an unknown scheduler could not even become a Result."""
    halfway = runpy.run_path(str(EXAMPLES / "skeleton_scheduler.py"))["halfway"]
    options = dict(scheduler=halfway(4, 4), trials=6, **quiet)
    result = hpjax.tune(SPACE, "iris", out=tmp_path / "run", **options)
    assert result.trials["status"].tolist().count("PRUNED") == 3
    assert result.fidelity == 4
    shown = hpjax.open_run(tmp_path / "run", **quiet)
    assert shown.trials.equals(result.trials)
    ledger = tmp_path / "run" / "ledger.jsonl"
    whole = ledger.read_bytes()
    ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    with pytest.raises(ValueError, match="give your own again"):
        hpjax.resume(tmp_path / "run", **quiet)
    hpjax.resume(tmp_path / "run", scheduler=halfway(4, 4), **quiet)
    assert ledger.read_bytes() == whole
    found = hpjax.compare(
        {"mine": {"search": "random", "scheduler": halfway(4, 4)}, "full": "random"},
        SPACE,
        "iris",
        epochs=4,
        seeds=1,
        stop={"epochs": 20},
        out=tmp_path / "comparison",
        **quiet,
    )
    again = hpjax.open_comparison(tmp_path / "comparison")
    assert again.table.drop(columns="seconds").equals(found.table.drop(columns="seconds"))
