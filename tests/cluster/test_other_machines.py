"""How to train on Slurm, Kubernetes and several GPUs: what the pages say, run on this machine with stand-ins for what is not here."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hpjax
from hpjax.cluster import WORKER_OPTIONS

yaml = pytest.importorskip("yaml")
distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# a queue that begins each job at once, and ends it when it is told to
SBATCH = """#!/bin/bash
job=$(mktemp) && cp "${@: -1}" "$job"  # which is gone when this ends
setsid bash "$job" > /dev/null 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
for job in "$@"; do kill -- -"$job" 2> /dev/null; done
true
"""
NVIDIA_SMI = """#!/bin/bash
echo "GPU 0: Stand-in (UUID: GPU-0)"
echo "GPU 1: Stand-in (UUID: GPU-1)"
"""


def example(name):
    path = EXAMPLES / name
    if not path.exists():
        pytest.skip("the examples are not beside the tests; run them in a checkout")
    return path


def with_commands(folder, **commands):
    """An environment in which these commands come first."""
    folder.mkdir()
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    path = [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    return os.environ | {"PATH": os.pathsep.join(path)}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextlib.contextmanager
def begun(*commands, env=None):
    """Processes that run meanwhile."""
    processes = [subprocess.Popen(words, env=env, start_new_session=True) for words in commands]
    try:
        yield processes
    finally:
        for process in reversed(processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            process.wait(30)


def ledger(folder):
    return (folder / "ledger.jsonl").read_bytes()


def test_the_script_for_slurm(tmp_path):
    pytest.importorskip("dask_jobqueue")
    env = with_commands(tmp_path / "bin", sbatch=SBATCH, scancel=SCANCEL)
    words = [sys.executable, str(example("slurm.py"))]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "'learning_rate'" in done.stdout
    run = hpjax.open_run(tmp_path / "runs" / "slurm", say=lambda text: None)
    assert (run.trials["status"] == "OK").any()
    trained = {
        line
        for line in (tmp_path / "runs" / "slurm" / "times.jsonl").read_text().split('"')
        if "SLURM" in line
    }
    assert len(trained) == 2


def test_the_manifests_for_kubernetes(tmp_path):
    """Their commands are run with this machine's address in the place of the service's."""
    port = free_port()
    commands = {}
    for manifest in yaml.safe_load_all(example("kubernetes.yaml").read_text()):
        assert {"apiVersion", "kind", "metadata", "spec"} <= set(manifest)
        if manifest["kind"] == "Service":
            host, asked = manifest["metadata"]["name"], manifest["spec"]["ports"][0]["port"]
            continue
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        words = [
            word.replace(f"{host}:{asked}", f"127.0.0.1:{port}") for word in container["command"]
        ]
        commands[container["name"]] = [sys.executable, "-m", *words]
    commands["scheduler"] += ["--port", str(port)]
    at = commands["scheduler"].index("0.0.0.0")
    commands["scheduler"][at] = "127.0.0.1"
    search = commands.pop("search")
    search[search.index("--out") + 1] = str(tmp_path / "there")
    plain = [word for word in search if word != "--cluster" and not word.startswith("tcp:")]
    plain[plain.index("--out") + 1] = str(tmp_path / "here")
    with begun(commands["scheduler"], commands["worker"], commands["worker"]):
        with distributed.Client(
            wait_for(f"tcp://127.0.0.1:{port}"), set_as_default=False
        ) as client:
            client.wait_for_workers(2, timeout=60)
        for words in (search, plain):
            done = subprocess.run(words, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")


def wait_for(address):
    from hpjax.cluster.start import answers

    deadline = time.monotonic() + 60
    while not answers(address):
        assert time.monotonic() < deadline
    return address


def test_each_device_has_a_worker_that_sees_it_alone(tmp_path):
    port = free_port()
    env = with_commands(tmp_path / "bin", **{"nvidia-smi": NVIDIA_SMI})
    words = [sys.executable, "-m", "hpjax", "cluster", "--port", str(port)]
    with (
        begun(words, env=env),
        distributed.Client(wait_for(f"tcp://127.0.0.1:{port}"), set_as_default=False) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        assert sorted(seen.values()) == ["0", "1"]
        space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1)}
        found = hpjax.tune(
            space, "iris", trials=4, epochs=2, executor=client, say=lambda text: None
        )
        assert len(found.trials) == 4


def test_workers_are_started_in_one_way():
    from hpjax.cluster.start import worker_command

    command = worker_command("tcp://127.0.0.1:1", "one")
    assert command[-len(WORKER_OPTIONS) :] == WORKER_OPTIONS
