"""Workers of a Dask cluster, real processes on this machine: the same ledger as without them."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import hpjax
from hpjax.cluster.start import worker_command
from hpjax.records import RunError

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
quiet = {"say": lambda text: None}
SPACE = {
    "hidden": hpjax.Choice([(8,), (16,), (12, 12)]),
    "learning_rate": hpjax.LogUniform(1e-3, 1e-1),
    "patience": hpjax.Choice([0, 2]),
}


def local_cluster(workers):
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=2,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        resources={"device": 1},
        memory_limit=0,
    )


@pytest.fixture(scope="module")
def cluster():
    """Two workers that come back when they are killed, however slow the machine is."""
    lasting = dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"})
    with (
        lasting,
        local_cluster(2) as started,
    ):
        yield started


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def ledger(folder):
    return (folder / "ledger.jsonl").read_bytes()


class Harm:
    """A `watch` that sends a worker a signal, at two reports of a study.

    Attributes:
        harmed: the processes that got it.
    """

    def __init__(self, cluster, what, seed, reports, client=None):
        self.cluster, self.what, self.chance = cluster, what, random.Random(seed)
        # that keeps the other workers busy, so that the next blocks are this one's
        self.client = client
        self.at, self.seen, self.harmed = reports, 0, []

    def __call__(self, *report):
        self.seen += 1
        if self.seen in self.at:
            time.sleep(self.chance.uniform(0, 0.3))  # into the next blocks
            there = set(self.cluster.scheduler.workers)
            nannies = self.cluster.workers.values()
            pids = {n.pid: n.worker_address for n in nannies if n.worker_address in there}
            self.harmed.append(self.chance.choice(list(pids)))
            if self.client is not None:
                self.sleeping = occupied(self.client, pids[self.harmed[-1]])
            os.kill(self.harmed[-1], self.what)


def occupied(client, but):
    """Keeps all workers busy for some seconds, but for one."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return [
        client.submit(time.sleep, 6, pure=False, workers=[one], resources={"device": 1})
        for one in workers
        if one != but
    ]


METHODS = {
    "halving": {"scheduler": "halving", "trials": 18, "epochs": 9},
    "hyperband": {"search": "hyperband", "epochs": 9},
    "pbt": {"search": "pbt", "epochs": 20, "trials": 8},
    "bohb": {"search": "bohb", "epochs": 9, "trials": 20},
    "bayes": {"search": "bayes", "trials": 12, "epochs": 4},
}


def space_of(name):
    return {n: v for n, v in SPACE.items() if name != "pbt" or n != "hidden"}


@pytest.mark.parametrize("name", METHODS)
def test_the_ledger_is_that_of_one_machine(tmp_path, client, name):
    options = METHODS[name] | {"validation": 2}
    hpjax.tune(space_of(name), "iris", out=tmp_path / "here", **options, **quiet)
    found = hpjax.tune(
        space_of(name), "iris", out=tmp_path / "there", executor=client, **options, **quiet
    )
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")
    assert len(found.ensemble(progress=False).networks) >= 1


@pytest.mark.parametrize("seed", range(int(os.environ.get("HPJAX_KILLS", "2")) // 2))
@pytest.mark.parametrize("name", METHODS)
def test_workers_that_are_killed_change_nothing(tmp_path, cluster, client, name, seed):
    """Two kills for each study; HPJAX_KILLS=50 kills fifty workers for each method."""
    options = METHODS[name] | {"validation": 2}
    harm = Harm(cluster, signal.SIGKILL, seed, (1, 3))
    hpjax.tune(space_of(name), "iris", out=tmp_path / "here", **options, **quiet)
    hpjax.tune(
        space_of(name),
        "iris",
        out=tmp_path / "there",
        executor=client,
        watch=harm,
        **options,
        **quiet,
    )
    assert len(harm.harmed) == 2
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")


def test_a_worker_keeps_freed_memory():
    """Dask's setting gives it back to the system: each array of a megabyte is 256 new pages then."""
    program = """
import resource, sys
import numpy as np
from hpjax.cluster.worker import keep_memory

if sys.argv[1:] == ["keep"]:
    keep_memory()
for _ in range(200):
    np.ones(2**17)
    if _ == 99:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    setting = {"MALLOC_TRIM_THRESHOLD_": "65536"}
    given, kept = (
        int(
            subprocess.check_output(
                [sys.executable, "-c", program, *words], env=os.environ | setting
            )
        )
        for words in ([], ["keep"])
    )
    if given < 10_000:
        pytest.skip("this system's C library does not give memory back")
    assert kept < given / 100


def test_a_worker_that_stalls_is_started_anew(tmp_path, cluster, client, monkeypatch):
    monkeypatch.setattr("hpjax.cluster.pool.SILENT", 15.0)
    said = []
    hpjax.tune(SPACE, "iris", out=tmp_path / "here", **METHODS["halving"], **quiet)
    hpjax.tune(
        SPACE,
        "iris",
        out=tmp_path / "there",
        executor=client,
        watch=Harm(cluster, signal.SIGSTOP, 0, (1,), client),
        **METHODS["halving"],
        say=said.append,
    )
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")
    assert any("its blocks are trained elsewhere" in text for text in said)


def test_a_comparison_outlives_a_killed_worker(tmp_path, cluster, client):
    options = {"seeds": 2, "epochs": 9, "stop": {"epochs": 60}}
    methods = ["random", "hyperband"]
    hpjax.compare(methods, SPACE, "iris", out=tmp_path / "here", **options, **quiet)
    harm = Harm(cluster, signal.SIGKILL, 0, (2,))
    hpjax.compare(
        methods,
        SPACE,
        "iris",
        out=tmp_path / "there",
        executor=client,
        watch=harm,
        **options,
        **quiet,
    )
    assert harm.harmed
    paths = sorted((tmp_path / "here").rglob("ledger.jsonl"))
    assert len(paths) == 4
    for path in paths:
        other = tmp_path / "there" / path.relative_to(tmp_path / "here")
        assert path.read_bytes() == other.read_bytes()


def test_comparisons_train_and_confirm_as_on_one_machine(tmp_path, client):
    space = space_of("compare")
    for where, executor in (("here", None), ("there", client)):
        hpjax.compare(
            ["random", "hyperband"],
            space,
            "iris",
            seeds=2,
            epochs=9,
            stop={"epochs": 60},
            out=tmp_path / where,
            executor=executor,
            **quiet,
        )
    for path in sorted((tmp_path / "here").rglob("ledger.jsonl")):
        other = tmp_path / "there" / path.relative_to(tmp_path / "here")
        assert path.read_bytes() == other.read_bytes()
    configs = [{"hidden": (8,), "learning_rate": rate} for rate in (0.01, 0.03)]
    here, there = (
        hpjax.train(configs, "iris", 4, seeds=2, executor=executor, **quiet)
        for executor in (None, client)
    )
    np.testing.assert_array_equal(here.table["loss"], there.table["loss"])
    jax.tree.map(np.testing.assert_array_equal, here.states(1, 1), there.states(1, 1))
    one = hpjax.open_run(tmp_path / "here" / "random" / "seed0", **quiet)
    found = [
        hpjax.confirm(one, 2, 2, executor=executor, progress=False, **quiet)
        for executor in (None, client)
    ]
    np.testing.assert_array_equal(found[0].table["loss"], found[1].table["loss"])


def test_functions_are_spread(client):
    def objective(point):
        return (point["x"] - 1) ** 2

    space = {"x": hpjax.Uniform(-5.0, 5.0)}
    here, there = (
        hpjax.minimize(objective, space, search="genetic", trials=60, executor=executor)
        for executor in (None, client)
    )
    np.testing.assert_array_equal(here.trials["objective"], there.trials["objective"])


def test_a_function_that_hangs_is_called_again_elsewhere(tmp_path, client):
    """It hangs once; then, for ever."""

    def objective(point, mark=tmp_path / "hung"):
        if point["x"].max() > 4 and not mark.exists():
            mark.touch()
            time.sleep(600)
        return (point["x"] - 1) ** 2

    def hanging(point):
        time.sleep(600)
        return point["x"]

    space, cluster = {"x": hpjax.Uniform(-5.0, 5.0)}, hpjax.Cluster(client, patience=4)
    here = hpjax.minimize(lambda p: (p["x"] - 1) ** 2, space, search="sobol", trials=40)
    there = hpjax.minimize(objective, space, search="sobol", trials=40, executor=cluster)
    assert (tmp_path / "hung").exists()
    np.testing.assert_array_equal(here.trials["objective"], there.trials["objective"])
    began = time.monotonic()
    with pytest.raises(
        RunError, match="a function gave no answer within 4 s on worker after"
    ) as caught:
        hpjax.minimize(hanging, space, trials=2, out=tmp_path / "run", executor=cluster)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 60
    found = hpjax.minimize(
        lambda p: p["x"],
        {"x": hpjax.Uniform(-5.0, 5.0)},
        trials=2,
        out=tmp_path / "run",
        resume=True,
    )
    assert len(found.trials) == 2


class Ended(distributed.SchedulerPlugin):
    """Counts how often each task of a study ended on a worker."""

    def __init__(self):
        self.times: dict[str, int] = {}

    def transition(self, key, start, finish, *args, **more):
        if (start, finish) == ("processing", "memory") and str(key).startswith("hpjax-"):
            self.times[key] = self.times.get(key, 0) + 1


def test_a_death_between_rungs_trains_nothing_again(tmp_path, cluster, client):
    """Two workers have the states of networks that may go on."""
    ended, killed = Ended(), []
    cluster.scheduler.add_plugin(ended, name="ended")

    def kill(progress, population):
        if killed or not population.store.age:
            return
        deadline = time.monotonic() + 20
        held = [future.key for future in population.store._held.values()]
        while time.monotonic() < deadline and not all(map(copied, held)):
            time.sleep(0.05)
        assert all(map(copied, held))
        nannies = [n for n in cluster.workers.values() if n.worker_address]
        killed.append(nannies[0].pid)
        os.kill(killed[0], signal.SIGKILL)
        time.sleep(1)

    def copied(key):
        return len(cluster.scheduler.tasks[key].who_has) >= 2

    options = METHODS["halving"] | {"validation": 2}
    try:
        hpjax.tune(SPACE, "iris", out=tmp_path / "here", **options, **quiet)
        hpjax.tune(
            SPACE, "iris", out=tmp_path / "there", executor=client, watch=kill, **options, **quiet
        )
    finally:
        cluster.scheduler.remove_plugin("ended")
    assert killed
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")
    assert set(ended.times.values()) == {1}
    assert client.amm.running()


def test_a_worker_that_joins_as_its_study_ends_is_not_left_without_device(client):
    from hpjax.cluster.pool import Pool
    from hpjax.cluster.worker import Devices

    pool = Pool(client, hpjax.Cluster(client), lambda text: None)
    pool.begin(pinned=False, unlike=False)
    pool.close()
    late = Devices("hpjax-over", 1, False, {}, {"machine": "another"})
    with pytest.raises(ValueError, match="is unlike the process of the study"):
        client.register_plugin(late, name="hpjax-over")
    client.unregister_worker_plugin("hpjax-over")
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    assert [worker["resources"]["device"] for worker in workers] == [1, 1]


def test_a_block_that_does_not_fit_is_halved(tmp_path, client, monkeypatch):
    def small():
        from hpjax.population.executor import LocalExecutor

        run = LocalExecutor._run

        def limited(self, block, leaves):
            if block.program.chunk > 2:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
            return run(self, block, leaves)

        LocalExecutor._run, LocalExecutor._whole = limited, run

    def large():
        from hpjax.population.executor import LocalExecutor

        LocalExecutor._run = LocalExecutor._whole

    said = []
    client.run(small)
    try:
        found = hpjax.tune(
            {"learning_rate": hpjax.LogUniform(1e-3, 1e-1)},
            "iris",
            trials=16,
            epochs=2,
            executor=client,
            say=said.append,
        )
    finally:
        client.run(large)
    assert any("out of memory; blocks of" in text for text in said)
    assert set(found.trials["status"]) == {"OK"}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_scheduler_that_is_gone_ends_the_run_cleanly(tmp_path):
    """A cluster as `hpjax cluster` starts it; its scheduler is killed after the second report."""
    options = METHODS["hyperband"]
    hpjax.tune(SPACE, "iris", out=tmp_path / "here", **options, **quiet)
    command = [sys.executable, "-m", "hpjax", "cluster", "--workers", "1"]
    port = free_port()
    helper = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    reports = []

    def watch(progress, population):
        reports.append(progress)
        if len(reports) == 2:
            os.killpg(helper.pid, signal.SIGKILL)

    try:
        assert helper.stdout is not None
        address = helper.stdout.readline().split()[4].rstrip(";")
        assert address == f"tcp://127.0.0.1:{port}"
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        with pytest.raises(RunError, match=r"is gone; the ledger is whole up to here"):
            hpjax.tune(
                SPACE,
                "iris",
                out=tmp_path / "there",
                executor=address,
                watch=watch,
                **options,
                **quiet,
            )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(helper.pid, signal.SIGKILL)
        helper.communicate()
    hpjax.resume(tmp_path / "there", **quiet)
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")


def test_workers_that_are_unlike_are_refused_by_name(client, monkeypatch):
    from hpjax import records

    here = records.environment()
    other = here | {"versions": here["versions"] | {"jaxlib": "0.0.1"}}
    monkeypatch.setattr("hpjax.cluster.worker.records.environment", lambda: other)
    task = {"trials": 2, "epochs": 1}
    with pytest.raises(
        ValueError, match=r"is unlike the process of the study: jaxlib .*, there 0\.0\.1"
    ):
        hpjax.tune(SPACE, "iris", executor=client, **task, **quiet)
    found = hpjax.tune(SPACE, "iris", executor=hpjax.Cluster(client, unlike=True), **task, **quiet)
    assert len(found.trials) == 2


def test_what_is_no_cluster_is_refused():
    for wrong in ("tcp://127.0.0.1:1", 0, -1, 2.5, True, [1]):
        with pytest.raises(ValueError, match=r"executor=|no scheduler answers") as caught:
            hpjax.tune(SPACE, "iris", trials=2, epochs=1, executor=wrong, **quiet)
        assert "\n" not in str(caught.value)
    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as started,
        pytest.raises(ValueError, match="is not for one device"),
    ):
        hpjax.tune(SPACE, "iris", trials=2, epochs=1, executor=started.scheduler_address, **quiet)


@pytest.mark.parametrize("flags", ["", "--xla_cpu_enable_fast_math=true"])
def test_a_worker_that_comes_later_is_given_blocks_or_none(tmp_path, cluster, client, flags):
    """It joins after the first report, while the others are busy; where its XLA has another flag it is unlike."""
    options = {"trials": 96, "epochs": 4, "batch": 8, "validation": 2}
    hpjax.tune(SPACE, "iris", out=tmp_path / "here", **options, **quiet)
    late: list[subprocess.Popen] = []
    busy: list[distributed.Future] = []

    def join(progress, population):
        if not late:
            command = worker_command(cluster.scheduler_address, "late")
            given = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
            late.append(subprocess.Popen(command, env=given))
            client.wait_for_workers(3, timeout=60)
            workers = client.scheduler_info(n_workers=-1)["workers"]
            busy.extend(occupied(client, *(a for a, w in workers.items() if w["name"] == "late")))

    try:
        hpjax.tune(
            SPACE,
            "iris",
            out=tmp_path / "there",
            executor=client,
            watch=join,
            **options,
            **quiet,
        )
    finally:
        late[0].terminate()
        late[0].wait(30)
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")
    with open(tmp_path / "there" / "times.jsonl") as lines:
        seconds = json.loads(lines.readlines()[-1])["workers"]
    assert ("late" in seconds) == (not flags)


def test_hpjax_cluster_starts_workers_again_and_ends_with_its_scheduler():
    command = [sys.executable, "-m", "hpjax", "cluster", "--workers", "1", "--port"]
    helper = subprocess.Popen(
        [*command, str(free_port())], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert helper.stdout is not None
    try:
        address = helper.stdout.readline().split()[4].rstrip(";")
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
            info = next(iter(client.scheduler_info(n_workers=-1)["workers"].values()))
            nanny = client.run(os.getpid, nanny=True)
            for pid in (*nanny.values(), *client.run(os.getpid).values()):
                os.kill(pid, signal.SIGKILL)
            assert "ended with status -9; again" in helper.stdout.readline()
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                names = [w["name"] for w in client.scheduler_info(n_workers=-1)["workers"].values()]
                if names and info["name"] not in names:
                    break
                time.sleep(0.2)
            assert names != [info["name"]]
        helper.terminate()
        assert helper.wait(30) == 143
        with pytest.raises(OSError, match=r"Timed out|connect"):
            distributed.Client(address, timeout=1, set_as_default=False)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(helper.pid, signal.SIGKILL)
        helper.communicate()


def test_a_study_that_is_killed_goes_on(tmp_path, cluster, client):
    """`kill -9` of the process that searches, after three reports; the cluster outlives it."""
    program = """
import sys, hpjax

if __name__ == "__main__":
    space = {"learning_rate": hpjax.LogUniform(1e-3, 1e-1), "hidden": hpjax.Choice([(4,), (8,)])}
    address, folder = sys.argv[1:]
    options = {"search": "hyperband", "epochs": 9, "progress": False}
    hpjax.tune(space, "iris", executor=address or None, out=folder, **options)
"""
    script = tmp_path / "search.py"
    script.write_text(program)
    command = [sys.executable, str(script)]
    subprocess.run([*command, "", str(tmp_path / "here")], check=True, capture_output=True)
    there = tmp_path / "there"
    searching = subprocess.Popen(
        [*command, cluster.scheduler_address, str(there)], stderr=subprocess.DEVNULL
    )
    reports = lambda: (there / "ledger.jsonl").is_file() and ledger(there).count(b'"report"')
    deadline = time.monotonic() + 120
    while reports() < 3 and searching.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    searching.kill()
    assert searching.wait() == -signal.SIGKILL
    assert len(ledger(there)) < len(ledger(tmp_path / "here"))
    hpjax.resume(there, executor=client, **quiet)
    assert ledger(there) == ledger(tmp_path / "here")


def test_without_workers_for_long_the_run_ends_cleanly(tmp_path):
    options = METHODS["halving"]
    hpjax.tune(SPACE, "iris", out=tmp_path / "here", **options, **quiet)
    with (
        local_cluster(1) as own,
        distributed.Client(own, set_as_default=False) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        given = hpjax.Cluster(client, patience=4.0)
        with pytest.raises(RunError, match=r"no worker at tcp://.* for \d+ s; the ledger is whole"):
            hpjax.tune(
                SPACE,
                "iris",
                out=tmp_path / "there",
                executor=given,
                watch=lambda *report: own.scale(0),
                **options,
                **quiet,
            )
    hpjax.resume(tmp_path / "there", **quiet)
    assert ledger(tmp_path / "here") == ledger(tmp_path / "there")


def test_a_block_that_kills_worker_after_worker_ends_the_run_cleanly(tmp_path, client, monkeypatch):
    class Deadly(distributed.WorkerPlugin):
        """Every worker dies of its first block, and so does the one that takes its place."""

        def setup(self, worker):
            from hpjax.population.executor import LocalExecutor

            LocalExecutor._run = lambda *given: os._exit(1)

    monkeypatch.setattr("hpjax.cluster.deaths.DEATHS", 2)  # the scheduler is in this process
    client.register_plugin(Deadly(), name="deadly")
    try:
        with pytest.raises(RunError, match="worker after worker died of a block"):
            hpjax.tune(
                SPACE, "iris", trials=2, epochs=1, out=tmp_path / "run", executor=client, **quiet
            )
    finally:
        client.unregister_worker_plugin("deadly")
        client.restart()
    assert hpjax.resume(tmp_path / "run", **quiet).trials["status"].tolist() == ["OK", "OK"]


def test_a_machine_that_is_cut_off_and_comes_back(tmp_path, cluster, client, monkeypatch):
    """A worker and its nanny stop for as long as the study goes on; it was struck off by then, and ends."""
    monkeypatch.setattr("hpjax.cluster.pool.SILENT", 8.0)
    monkeypatch.setattr("hpjax.cluster.pool.ANSWER", 8.0)
    options = {"trials": 96, "epochs": 4, "batch": 8, "validation": 2}
    hpjax.tune(SPACE, "iris", out=tmp_path / "here", **options, **quiet)
    command = worker_command(cluster.scheduler_address, "cut")
    machine = subprocess.Popen(command, start_new_session=True)
    said: list[str] = []
    sleeping: list[distributed.Future] = []
    try:
        client.wait_for_workers(3, timeout=60)

        def cut(progress, population):
            workers = client.scheduler_info(n_workers=-1)["workers"]
            for address in (a for a, w in workers.items() if w["name"] == "cut" and not sleeping):
                # while it compiles, it is given no block
                while any(client.processing([address]).values()):
                    time.sleep(0.1)
                sleeping.extend(occupied(client, address))
                os.killpg(machine.pid, signal.SIGSTOP)

        hpjax.tune(
            SPACE,
            "iris",
            out=tmp_path / "there",
            executor=client,
            watch=cut,
            say=said.append,
            **options,
        )
        os.killpg(machine.pid, signal.SIGCONT)
        assert ledger(tmp_path / "here") == ledger(tmp_path / "there")
        assert any("its blocks are trained elsewhere" in text for text in said)
        deadline = time.monotonic() + 60
        names = ["cut"]
        while "cut" in names and time.monotonic() < deadline:
            names = [w["name"] for w in client.scheduler_info(n_workers=-1)["workers"].values()]
            time.sleep(0.2)
        assert "cut" not in names
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(machine.pid, signal.SIGKILL)
        machine.wait(30)
