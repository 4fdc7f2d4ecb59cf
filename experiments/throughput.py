"""How fast populations train: against peers, against the machine, and as they grow.

    python -m experiments.throughput
    python -m experiments.throughput --only reference --preset smoke --out /tmp/throughput

Every contender is a process of its own that waits while another is timed; repeats are interleaved. Peers: a hand-written
`jit(vmap(scan))` loop, scikit-learn, and PyTorch and Keras where they are installed. The roofline (float32 matrix product,
copy) is measured between the repeats of the same run.

Parts: `reference` (32 networks 64-128-128-128-10, ReLU, batch 32, Adam, 20 epochs of 1,437 digits), `notebook` (the course's
grid, whole process, cold and with a warm compilation cache), `tiny` (2-4-1 networks on XOR), `overhead` (100,000 random trials
of those), `mixed` (a sweep of many shapes) and `growth` (cost against population size, width and epochs).
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from experiments._common import Criterion, Flags, main, read, write, write_rows

PARTS = ("reference", "notebook", "tiny", "overhead", "mixed", "growth")
REPEATS = {"smoke": 1, "small": 5, "paper": 9}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """The reference sweep."""

    networks: int = 32
    hidden: tuple[int, ...] = (128, 128, 128)
    batch: int = 32
    epochs: int = 20
    train: int = 1437
    valid: int = 360

    @property
    def steps(self) -> int:
        """Of one network's training."""
        return -(-self.train // self.batch) * self.epochs

    @property
    def flop(self) -> float:
        """Of all networks: training (no gradient of the inputs) and a validation per epoch."""
        sizes = (64, *self.hidden, 10)
        pairs = [a * b for a, b in pairwise(sizes)]
        step = self.train * (6 * sum(pairs) - 2 * pairs[0])
        return self.networks * self.epochs * (step + 2 * self.valid * sum(pairs))

    @property
    def moved(self) -> float:
        """Bytes that Adam moves through weights, moments and gradients: 4 reads and 3 writes of float32 a weight."""
        sizes = (64, *self.hidden, 10)
        weights = sum(a * b + b for a, b in pairwise(sizes))
        return self.networks * self.steps * weights * 28.0


def digits() -> tuple[np.ndarray, ...]:
    """Standardised digits: 1,437 examples to train on, 360 to validate on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    x, x_valid, y, y_valid = train_test_split(
        data.data, data.target, test_size=0.2, random_state=42
    )
    mean, deviation = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1)
    return (
        ((x - mean) / deviation).astype(np.float32),
        y,
        ((x_valid - mean) / deviation).astype(np.float32),
        y_valid,
    )


# --- contenders: each runs in a process of its own --------------------------------------------------------------------
# A worker is a function (sweep) -> run, where run() trains the whole sweep once and returns its median validation loss.
def hpjax_worker(sweep: Sweep, hidden=None, one_by_one: bool = False):
    """hpjax's population; or its networks one at a time."""
    import hpjax
    from hpjax import configurations, resolve
    from hpjax.models.base import Target
    from hpjax.population import Population, Regime, plan
    from hpjax.schedulers import Order
    from hpjax.tasks import Split
    from hpjax.training import batches

    x, y, x_valid, y_valid = digits()
    task = hpjax.Task.of(
        np.concatenate([x, x_valid]),
        np.concatenate([y, y_valid]),
        test=0,
        kind="classes",
        standardize=False,
    )
    fold = Split(np.arange(len(x)), np.arange(len(x), len(x) + len(x_valid)))
    space = resolve.as_space(
        {
            "hidden": hidden or sweep.hidden,
            "batch_size": sweep.batch,
            "learning_rate": hpjax.LogUniform(5e-4, 2e-3),
            "init": "xavier",
        }
    )
    target = Target(64, 10, "cross_entropy", sweep.epochs)
    load = plan.Load(1 if one_by_one else sweep.networks, 1, sweep.epochs, len(x), len(x_valid), 1)
    spec = configurations.split(space.decode(np.zeros((1, 1))), target)[0].spec
    found = hpjax.devices.devices()[: 1 if one_by_one else None]
    trained = Population(
        space,
        Regime(target, batches.examples_of(task, [fold])),
        plan.make([spec], [1.0], load, len(found)),
        load,
        found=found,
    )
    units = np.linspace(0, 1, sweep.networks)[:, None]

    def orders():
        step = 1 if one_by_one else sweep.networks
        for first in range(0, sweep.networks, step):
            rows = np.arange(first, first + step)
            yield Order(
                rows,
                units[rows],
                np.full(step, -1),
                np.full(step, sweep.epochs),
                np.zeros(step, int),
            )

    def run():
        losses = []
        for order in orders():
            losses.append(trained.carry_out(order).loss)
            trained.release(order.trial)
        trained.history.clear()
        return float(np.median(np.concatenate(losses)))

    def about():
        return {
            "compile_seconds": trained.compile_seconds,
            "chunk": trained.programs[0].chunk,
            "devices": len(found),
        }

    return run, about


def loop_worker(sweep: Sweep):
    """The loop that a good JAX user writes by hand: `jit(vmap(scan))` over all networks, optax, one-hot targets."""
    import jax
    import jax.numpy as jnp
    import optax

    x, y, x_valid, y_valid = (jnp.asarray(a) for a in digits())
    y, y_valid = jax.nn.one_hot(y, 10), jax.nn.one_hot(y_valid, 10)
    sizes = (64, *sweep.hidden, 10)
    steps = len(x) // sweep.batch

    def forward(params, x):
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        return x @ params[-1][0] + params[-1][1]

    def loss(params, x, y):
        return -(y * jax.nn.log_softmax(forward(params, x))).sum(-1).mean()

    def train(key, rate):
        optimizer = optax.adam(rate)
        keys = jax.random.split(key, len(sizes))
        glorot = jax.nn.initializers.glorot_normal()
        params = [(glorot(k, (a, b)), jnp.zeros(b)) for k, a, b in zip(keys, sizes, sizes[1:])]

        def epoch(carry, key):
            order = jax.random.permutation(key, len(x))[: steps * sweep.batch].reshape(
                steps, sweep.batch
            )

            def step(carry, index):
                params, state = carry
                updates, state = optimizer.update(jax.grad(loss)(params, x[index], y[index]), state)
                return (optax.apply_updates(params, updates), state), None

            carry, _ = jax.lax.scan(step, carry, order)
            return carry, loss(carry[0], x_valid, y_valid)

        _, losses = jax.lax.scan(
            epoch, (params, optimizer.init(params)), jax.random.split(keys[-1], sweep.epochs)
        )
        return losses

    keys = jax.random.split(jax.random.key(0), sweep.networks)
    rates = jnp.geomspace(5e-4, 2e-3, sweep.networks)
    started = time.perf_counter()
    compiled = jax.jit(jax.vmap(train)).lower(keys, rates).compile()
    seconds = time.perf_counter() - started

    def run():
        return float(np.median(np.asarray(compiled(keys, rates))[:, -1]))

    return run, lambda: {"compile_seconds": seconds, "steps": steps * sweep.epochs}


def sklearn_worker(sweep: Sweep):
    """scikit-learn's MLPClassifier, as many processes as cores, 8 of the networks (times are scaled to all)."""
    import warnings

    from joblib import Parallel, delayed
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    x, y, x_valid, y_valid = digits()
    rates = np.geomspace(5e-4, 2e-3, sweep.networks)[:: max(1, sweep.networks // 8)]

    def one(rate):
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


def torch_data(sweep: Sweep):
    """PyTorch's tensors and sizes."""
    import torch

    x, y, x_valid, y_valid = (torch.from_numpy(np.ascontiguousarray(a)) for a in digits())
    return torch, x, y.long(), x_valid, y_valid.long(), (64, *sweep.hidden, 10)


def torch_worker(sweep: Sweep):
    """A PyTorch loop with fused Adam, one network after another, 4 of them (times are scaled to all)."""
    torch, x, y, x_valid, y_valid, sizes = torch_data(sweep)
    torch.set_num_threads(1)  # faster than more, on networks of this size
    rates = np.geomspace(5e-4, 2e-3, sweep.networks)[:: max(1, sweep.networks // 4)]

    def one(rate):
        layers = []
        for a, b in pairwise(sizes):
            layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(network.parameters(), lr=float(rate), fused=True)
        for _ in range(sweep.epochs):
            for index in torch.randperm(len(x)).split(sweep.batch):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(x[index]), y[index]).backward()
                optimizer.step()
            with torch.no_grad():
                loss = torch.nn.functional.cross_entropy(network(x_valid), y_valid)
        return float(loss)

    return lambda: float(np.median([one(rate) for rate in rates])), lambda: {
        "share": len(rates) / sweep.networks
    }


def torch_vmap_worker(sweep: Sweep):
    """PyTorch's `torch.func.vmap` over all networks, Adam written out; a quarter of the epochs (times are scaled)."""
    torch, x, y, x_valid, y_valid, sizes = torch_data(sweep)
    epochs = max(1, sweep.epochs // 4)

    def forward(params, x):
        for w, b in zip(params[0::2][:-1], params[1::2][:-1]):
            x = torch.relu(x @ w + b)
        return x @ params[-2] + params[-1]

    def loss(params, x, y):
        return torch.nn.functional.cross_entropy(forward(params, x), y)

    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))

    def run():
        params = []
        for a, b in pairwise(sizes):
            params += [
                torch.randn(sweep.networks, a, b) * (2 / (a + b)) ** 0.5,
                torch.zeros(sweep.networks, b),
            ]
        first, second = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
        rates = torch.from_numpy(np.geomspace(5e-4, 2e-3, sweep.networks).astype(np.float32))
        step = 0
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(sweep.batch):
                grads = gradient(params, x[index], y[index])
                step += 1
                scale = rates * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
                for p, m, v, g in zip(params, first, second, grads):
                    m.mul_(0.9).add_(g, alpha=0.1)
                    v.mul_(0.999).addcmul_(g, g, value=0.001)
                    p.addcdiv_(
                        m * scale.reshape(-1, *[1] * (p.ndim - 1)), v.sqrt().add_(1e-8), value=-1
                    )
        return float(
            torch.func.vmap(loss, in_dims=(0, None, None))(params, x_valid, y_valid).median()
        )

    return run, lambda: {"share": epochs / sweep.epochs}


def keras_worker(sweep: Sweep):
    """Keras, one network of all (times are scaled)."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    x, y, x_valid, y_valid = digits()

    def one(rate):
        layers = [keras.layers.Dense(width, "relu") for width in sweep.hidden]
        network = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10, "softmax")])
        network.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        kept = network.fit(
            x, y, sweep.batch, sweep.epochs, verbose=0, validation_data=(x_valid, y_valid)
        )
        return kept.history["val_loss"][-1]

    return lambda: one(1e-3), lambda: {"share": 1 / sweep.networks}


def roofline_worker(sweep: Sweep):
    """The machine: the float32 matrix product of the installed NumPy on all cores, and a copy."""
    del sweep
    import threading

    n, found = 2048, {}
    rng = np.random.default_rng(0)
    a, b = (rng.random((n, n), np.float32) for _ in range(2))
    source = [np.ones(2**25, np.float32) for _ in range(os.cpu_count())]
    target = [np.empty_like(s) for s in source]

    def run():
        seconds = []
        for _ in range(6):
            started = time.perf_counter()
            a @ b
            seconds.append(time.perf_counter() - started)
        found["gflops"] = 2 * n**3 / statistics.median(seconds) / 1e9
        started = time.perf_counter()
        threads = [threading.Thread(target=np.copyto, args=pair) for pair in zip(target, source)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found["copy_gbytes"] = (
            2 * sum(s.nbytes for s in source) / (time.perf_counter() - started) / 1e9
        )
        return 0.0

    return run, lambda: dict(found)


def tiny_worker(sweep: Sweep):
    """2-4-1 networks on XOR, full batch of 4, scored once at the end; `sweep` holds how many and how long."""
    import hpjax
    from hpjax import configurations, resolve
    from hpjax.models.base import Target
    from hpjax.population import Population, Regime, plan
    from hpjax.schedulers import Order
    from hpjax.training import batches

    task = hpjax.tasks.load("xor")
    space = resolve.as_space(
        {
            "hidden": (4,),
            "activation": "sigmoid",
            "optimizer": "sgd",
            "batch_size": 0,
            "learning_rate": hpjax.LogUniform(0.1, 1.0),
        }
    )
    target = Target(2, 1, "bce", sweep.epochs)
    load = plan.Load(sweep.networks, 1, sweep.epochs, 4, 4, sweep.epochs)
    spec = configurations.split(space.decode(np.zeros((1, 1))), target)[0].spec
    programs = plan.make([spec], [1.0], load, len(hpjax.devices.devices()))
    trained = Population(
        space,
        Regime(target, batches.examples_of(task, task.groups), score_every=sweep.epochs),
        programs,
        load,
    )
    units = np.linspace(0, 1, sweep.networks)[:, None]
    rows = np.arange(sweep.networks)

    def run():
        loss = trained.carry_out(
            Order(rows, units, rows * 0 - 1, rows * 0 + sweep.epochs, rows * 0)
        ).loss
        trained.release(rows)
        trained.history.clear()
        return float(np.median(loss))

    return run, lambda: {"compile_seconds": trained.compile_seconds, "chunk": programs[0].chunk}


WORKERS = {
    "hpjax": hpjax_worker,
    "hpjax one at a time": lambda sweep: hpjax_worker(sweep, one_by_one=True),
    "jit(vmap(scan)) by hand": loop_worker,
    "scikit-learn": sklearn_worker,
    "PyTorch loop": torch_worker,
    "PyTorch vmap": torch_vmap_worker,
    "Keras": keras_worker,
    "roofline": roofline_worker,
    "tiny": tiny_worker,
}
NEEDS = {"PyTorch loop": "torch", "PyTorch vmap": "torch", "Keras": "keras"}


class Contender:
    """A worker process, asked for one repeat at a time."""

    def __init__(self, name: str, sweep: Sweep):
        self.name, self.seconds, self.losses = name, [], []
        words = [
            sys.executable,
            "-m",
            "experiments.throughput",
            "--worker",
            name,
            json.dumps(dataclasses.asdict(sweep)),
        ]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask()  # warm: everything compiled, every buffer touched

    def ask(self) -> dict:
        """One repeat; the worker's own seconds."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(
                f"the contender {self.name!r} ended without an answer; its error stands above"
            )
        self.about = json.loads(line)
        return self.about

    def repeat(self) -> None:
        """One timed repeat."""
        answer = self.ask()
        self.seconds.append(answer["seconds"] / answer.get("share", 1.0))
        self.losses.append(answer["loss"])

    def close(self) -> None:
        """Ends the worker."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def summary(self) -> dict:
        """Median and range of the seconds."""
        return {
            "seconds": statistics.median(self.seconds),
            "fastest": min(self.seconds),
            "slowest": max(self.seconds),
            "loss": statistics.median(self.losses),
            **{k: v for k, v in self.about.items() if k not in ("seconds", "loss")},
        }


def worker(name: str, sweep: Sweep) -> None:
    """The worker's side: answers each line with a line of JSON."""
    import resource

    run, about = WORKERS[name](sweep)
    for _ in sys.stdin:
        started = time.perf_counter()
        loss = run()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps({"seconds": seconds, "loss": loss, "peak_mib": peak, **about()}), flush=True
        )


def contest(names: list[str], sweep: Sweep, repeats: int) -> dict:
    """Interleaved repeats of several contenders."""
    contenders = [Contender(name, sweep) for name in names]
    try:
        for _ in range(repeats):
            for contender in contenders:
                contender.repeat()
        return {contender.name: contender.summary() for contender in contenders}
    finally:
        for contender in contenders:
            contender.close()


def installed(names: list[str]) -> tuple[list[str], list[str]]:
    """Those whose packages are here, and those that are not."""
    here = [name for name in names if name not in NEEDS or importlib.util.find_spec(NEEDS[name])]
    return here, [name for name in names if name not in here]


# --- parts ------------------------------------------------------------------------------------------------------------
def reference(preset: str) -> dict:
    """The reference sweep against all peers."""
    sweep = Sweep(networks=4, epochs=2) if preset == "smoke" else Sweep()
    peers = ["PyTorch loop", "PyTorch vmap", "Keras"]
    here, missing = installed(
        [
            "roofline",
            "hpjax",
            "jit(vmap(scan)) by hand",
            "hpjax one at a time",
            "scikit-learn",
            *peers,
        ]
    )
    for name in missing:
        print(f"reference: {name} is not installed and left out")
    found = contest(here, sweep, REPEATS[preset])
    roof = found.pop("roofline")
    ours = found["hpjax"]["seconds"]
    bound = max(sweep.flop / (roof["gflops"] * 1e9), sweep.moved / (roof["copy_gbytes"] * 1e9))
    for entry in found.values():
        # the hand-written loop drops the last, partial minibatch
        steps = entry.get("steps", sweep.steps)
        entry["network_steps_per_second"] = sweep.networks * steps / entry["seconds"]
        entry["gflops"] = sweep.flop / entry["seconds"] / 1e9
        entry["times_hpjax"] = entry["seconds"] / ours
    return {
        "sweep": dataclasses.asdict(sweep),
        "contenders": found,
        "missing": missing,
        "roofline": roof,
        "share_of_sgemm": found["hpjax"]["gflops"] / roof["gflops"],
        "share_of_bound": bound / ours,
        "bound_seconds": bound,
        "bound_by": "flop" if bound == sweep.flop / (roof["gflops"] * 1e9) else "bytes",
    }


NOTEBOOK_OURS = """
import sys, hpjax
from experiments.digits_notebook import digits, search
if sys.argv[1] == "warm":
    from hpjax.cli import use_cache
    use_cache()
space, options = search("grid", sys.argv[2])
result = hpjax.tune(space, digits(), validation=3, seed=42, **options)
print(result.best["loss"], result.trained.compile_seconds, result.trained.run_seconds, len(result.trained.compiled))
"""
NOTEBOOK_SKLEARN = """
import sys, os, warnings
os.environ["PYTHONWARNINGS"] = "ignore"
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
x, y = load_digits(return_X_y=True)
x, _, y, _ = train_test_split(x, y, test_size=0.2, random_state=42)
smoke = sys.argv[2] == "smoke"
widths = (64,) if smoke else (64, 128, 256)
network = MLPClassifier(batch_size=32, max_iter=2 if smoke else 20, tol=0, n_iter_no_change=10**6, random_state=42)
grid = {"mlpclassifier__hidden_layer_sizes": [(a, b, 128) for a in widths for b in widths],
        "mlpclassifier__activation": ["relu", "tanh"]}
found = GridSearchCV(make_pipeline(StandardScaler(), network), grid, cv=3, n_jobs=os.cpu_count(), scoring="neg_log_loss", refit=False)
print(-found.fit(x, y).cv_results_["mean_test_score"].max())
"""


def notebook(preset: str) -> dict:
    """The notebook's grid, whole processes: hpjax cold and with a warm cache, scikit-learn; no refit in either."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"XDG_CACHE_HOME": cache}
        commands = {
            "hpjax cold": (NOTEBOOK_OURS, "cold"),
            "hpjax warm cache": (NOTEBOOK_OURS, "warm"),
            "scikit-learn": (NOTEBOOK_SKLEARN, "-"),
        }

        def run(name):
            code, mode = commands[name]
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", code, mode, preset],
                env=environment,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise ValueError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
            return time.perf_counter() - started, [float(v) for v in done.stdout.split()]

        run("hpjax warm cache")  # fills the cache
        timed = {name: [] for name in commands}
        said = {}
        for _ in range(REPEATS[preset] if preset != "small" else 3):
            for name in commands:
                seconds, said[name] = run(name)
                timed[name].append(seconds)
    found = {
        name: {
            "seconds": statistics.median(times),
            "fastest": min(times),
            "slowest": max(times),
            "loss": said[name][0],
        }
        for name, times in timed.items()
    }
    for name in ("hpjax cold", "hpjax warm cache"):
        found[name] |= dict(zip(("compile_seconds", "run_seconds", "programs"), said[name][1:]))
        found[name]["sklearn_over_this"] = found["scikit-learn"]["seconds"] / found[name]["seconds"]
    return found


def tiny(preset: str) -> dict:
    """Network-steps per second of 2-4-1 networks."""
    sweep = (
        Sweep(networks=512, epochs=100) if preset == "smoke" else Sweep(networks=8192, epochs=2000)
    )
    found = contest(["tiny"], sweep, REPEATS[preset])["tiny"]
    return {
        **found,
        "networks": sweep.networks,
        "steps": sweep.epochs,
        "network_steps_per_second": sweep.networks * sweep.epochs / found["seconds"],
    }


OVERHEAD = """
import json, resource, sys, time, hpjax
trials, folder = int(sys.argv[1]), sys.argv[2]
space = {"hidden": (4,), "activation": "sigmoid", "optimizer": "sgd", "batch_size": 0, "epochs": 50,
         "learning_rate": hpjax.LogUniform(0.1, 1.0), "momentum": hpjax.Uniform(0.0, 0.9)}
started = time.perf_counter()
result = hpjax.tune(space, "xor", trials=trials, validation={"score_every": 50}, out=folder)
seconds = time.perf_counter() - started
trained = result.trained
host = seconds - trained.compile_seconds - trained.run_seconds
print(json.dumps({"trials": trials, "seconds": seconds, "compile_seconds": trained.compile_seconds,
    "run_seconds": trained.run_seconds, "host_microseconds_per_trial": host / trials * 1e6,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "best": result.best["loss"]}))
"""


def overhead(preset: str) -> list[dict]:
    """Host overhead and memory of many random trials of tiny networks, ledger included."""
    found = []
    for trials in (100, 1000) if preset == "smoke" else (1000, 10_000, 100_000):
        runs = []
        for _ in range(1 if preset == "smoke" else 3):
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(
                    [sys.executable, "-c", OVERHEAD, str(trials), f"{folder}/run"],
                    capture_output=True,
                    text=True,
                )
            if done.returncode:
                raise ValueError(f"overhead failed: {done.stderr.strip().splitlines()[-1]}")
            runs.append(json.loads(done.stdout))
        found.append(
            sorted(runs, key=lambda run: run["host_microseconds_per_trial"])[len(runs) // 2]
        )
    return found


MIXED = """
import json, sys, time, hpjax
from hpjax import catalogue, configurations
from hpjax.population import plan
from hpjax.models.base import Target
if sys.argv[1] == "exact":
    plan.COMPILE = 0.0  # programs cost nothing: every shape gets its own
trials, epochs = int(sys.argv[2]), int(sys.argv[3])
space = {"width_1": hpjax.LogIntUniform(16, 256), "width_2": hpjax.LogIntUniform(16, 256), "epochs": epochs,
         "activation": hpjax.Choice(["relu", "tanh"]), "learning_rate": hpjax.LogUniform(1e-4, 1e-2)}
started = time.perf_counter()
result = hpjax.tune(space, "digits", trials=trials)
seconds, trained = time.perf_counter() - started, result.trained
columns = {name: result.trials[name].tolist() for name in trained.space.names}
columns |= {name: [value] * trials for name, value in trained.space.constants.items()}
groups = configurations.split(columns, trained.regime.target)
shares = [len(group.rows) / trials for group in groups]
print(json.dumps({"seconds": seconds, "programs": len(trained.compiled),
    "padding": plan.waste(trained.programs, [group.spec for group in groups], shares),
    "compile_seconds": trained.compile_seconds, "run_seconds": trained.run_seconds, "loss": result.best["loss"]}))
"""


def mixed(preset: str) -> dict:
    """Sweeps of random shapes: as planned, and with (nearly) every shape in a program of its own."""
    trials, epochs = (8, 1) if preset == "smoke" else (48, 20)
    found = {}
    for name in ("planned", "exact"):
        done = subprocess.run(
            [sys.executable, "-c", MIXED, name, str(trials), str(epochs)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ValueError(f"mixed failed: {done.stderr.strip().splitlines()[-1]}")
        found[name] = json.loads(done.stdout)
    return {"trials": trials, "epochs": epochs, **found}


def growth(preset: str) -> dict:
    """Seconds against population size, width and epochs, hpjax beside the hand-written loop."""
    smoke = preset == "smoke"
    lines = {"networks": [], "width": [], "epochs": []}
    names = ["hpjax", "jit(vmap(scan)) by hand"]
    small = (32, 32)
    for networks in (1, 4) if smoke else (1, 4, 16, 64, 256, 1024, 4096):
        if networks <= 1024 or not smoke:
            found = contest(
                names, Sweep(networks=networks, hidden=small, epochs=1 if smoke else 2), 1
            )
            lines["networks"].append(
                {"value": networks, **{name: entry["seconds"] for name, entry in found.items()}}
            )
    for width in (16, 32) if smoke else (16, 32, 64, 128, 256, 512):
        found = contest(
            names,
            Sweep(networks=4 if smoke else 16, hidden=(width, width), epochs=1 if smoke else 4),
            1,
        )
        lines["width"].append(
            {"value": width, **{name: entry["seconds"] for name, entry in found.items()}}
        )
    for epochs in (1, 2) if smoke else (1, 4, 16, 64):
        found = contest(
            names, Sweep(networks=4 if smoke else 16, hidden=(64, 64), epochs=epochs), 1
        )
        lines["epochs"].append(
            {"value": epochs, **{name: entry["seconds"] for name, entry in found.items()}}
        )
    return lines


def run(flags: Flags, folder: Path) -> None:
    """Measures the parts; each leaves its JSON as soon as it is done."""
    measures = {
        "reference": reference,
        "notebook": notebook,
        "tiny": tiny,
        "overhead": overhead,
        "mixed": mixed,
        "growth": growth,
    }
    for part in [flags.only] if flags.only else PARTS:
        started = time.perf_counter()
        found = measures[part](flags.preset)
        write(
            folder / f"{part}.json",
            {
                "preset": flags.preset,
                "seconds": round(time.perf_counter() - started, 1),
                "found": found,
            },
        )
        print(f"{part}: {json.dumps(found)[:400]}")


# --- figures and verdicts ---------------------------------------------------------------------------------------------
def draw(folder: Path) -> list[dict]:
    """The table, the figure and the criteria of whatever parts the folder holds."""
    held = {
        part: read(folder / f"{part}.json")["found"]
        for part in PARTS
        if (folder / f"{part}.json").exists()
    }
    if not held:
        raise ValueError(f"{folder} holds no measurements; run the experiment before drawing it")
    criteria = []
    if "reference" in held:
        found = held["reference"]
        rates = {
            name: entry["network_steps_per_second"] for name, entry in found["contenders"].items()
        }
        by_hand = rates["hpjax"] / rates["jit(vmap(scan)) by hand"]
        criteria.append(Criterion("throughput over the hand-written jit(vmap(scan))", by_hand, 2.0))
        criteria.append(
            Criterion("share of the float32 matrix product's rate", found["share_of_sgemm"], 0.6)
        )
    if "notebook" in held:
        found = held["notebook"]
        criteria.append(
            Criterion(
                "scikit-learn's seconds over ours, cold",
                found["hpjax cold"]["sklearn_over_this"],
                5.0,
            )
        )
        criteria.append(
            Criterion(
                "scikit-learn's seconds over ours, warm cache",
                found["hpjax warm cache"]["sklearn_over_this"],
                7.0,
            )
        )
    if "tiny" in held:
        criteria.append(
            Criterion(
                "million network-steps per second, 2-4-1",
                held["tiny"]["network_steps_per_second"] / 1e6,
                10.0,
            )
        )
    if "overhead" in held:
        last = held["overhead"][-1]
        criteria.append(
            Criterion(
                f"host microseconds per trial of {last['trials']:,}",
                last["host_microseconds_per_trial"],
                20.0,
                at_least=False,
            )
        )
        criteria.append(
            Criterion(
                f"peak MiB of {last['trials']:,} trials", last["peak_mib"], 2048.0, at_least=False
            )
        )
    (folder / "table.md").write_text(table(held))
    if "reference" in held and "growth" in held:
        figure(folder, held)
    return criteria


def table(held: dict) -> str:
    """The measurements as Markdown."""
    lines = ["# Throughput", ""]
    if "reference" in held:
        found, roof = held["reference"], held["reference"]["roofline"]
        lines += [
            f"Reference sweep ({found['sweep']['networks']} networks 64-128-128-128-10, batch 32, Adam, {found['sweep']['epochs']} epochs of 1,437 digits; medians of interleaved repeats)",
            "",
        ]
        lines += [
            "| contender | seconds (range) | network-steps/s | GFLOP/s | x hpjax | validation loss | compile s | peak MiB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, e in sorted(found["contenders"].items(), key=lambda item: item[1]["seconds"]):
            compile_seconds = f"{e['compile_seconds']:.1f}" if "compile_seconds" in e else "-"
            lines.append(
                f"| {name} | {e['seconds']:.2f} ({e['fastest']:.2f}-{e['slowest']:.2f}) | {e['network_steps_per_second']:,.0f} | {e['gflops']:.1f} | {e['times_hpjax']:.2f} | {e['loss']:.3f} | {compile_seconds} | {e['peak_mib']:.0f} |"
            )
        lines += [
            "",
            f"Machine in the same run: matrix product {roof['gflops']:.0f} GFLOP/s, copy {roof['copy_gbytes']:.1f} GB/s. hpjax reaches {100 * found['share_of_sgemm']:.0f} % of the matrix product and {100 * found['share_of_bound']:.0f} % of the bound ({found['bound_by']}, {found['bound_seconds']:.2f} s).",
            "",
        ]
        lines += (
            [f"Not installed, left out: {', '.join(found['missing'])}.", ""]
            if found["missing"]
            else []
        )
    if "notebook" in held:
        lines += [
            "The notebook's grid, whole process (54 trainings, no refit)",
            "",
            "| what | seconds (range) | scikit-learn / this | compiling | training | validation loss |",
            "|---|---|---|---|---|---|",
        ]
        for name, e in held["notebook"].items():
            more = (
                (
                    f"{e['sklearn_over_this']:.2f}",
                    f"{e['compile_seconds']:.1f}",
                    f"{e['run_seconds']:.1f}",
                )
                if "compile_seconds" in e
                else ("1.00", "-", "-")
            )
            lines.append(
                f"| {name} | {e['seconds']:.1f} ({e['fastest']:.1f}-{e['slowest']:.1f}) | {' | '.join(more)} | {e['loss']:.4f} |"
            )
        lines.append("")
    if "tiny" in held:
        e = held["tiny"]
        lines += [
            f"2-4-1 networks, full batch of 4: {e['network_steps_per_second'] / 1e6:.1f} million network-steps per second ({e['networks']:,} networks, {e['steps']:,} steps).",
            "",
        ]
    if "overhead" in held:
        lines += [
            "Random trials of 2-4-1 networks, 50 steps each, with ledger",
            "",
            "| trials | seconds | host us/trial | peak MiB |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {e['trials']:,} | {e['seconds']:.1f} | {e['host_microseconds_per_trial']:.1f} | {e['peak_mib']:.0f} |"
            for e in held["overhead"]
        ] + [""]
    if "mixed" in held:
        found = held["mixed"]
        lines += [
            f"Mixed shapes ({found['trials']} random trials, {found['epochs']} epochs)",
            "",
            "| plan | seconds | programs | compiling | training | padding, share of the arithmetic |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {found[name]['seconds']:.1f} | {found[name]['programs']} | {found[name]['compile_seconds']:.1f} | {found[name]['run_seconds']:.1f} | {100 * found[name]['padding']:.0f} % |"
            for name in ("planned", "exact")
        ] + [""]
    return "\n".join(lines)


def figure(folder: Path, held: dict) -> None:
    """Peers on the reference sweep; cost against population size, width and epochs."""
    from hpjax import plots

    made, axes = plots.figure(1, 4, width=plots.WIDE, height=2.4, width_ratios=[1.3, 1, 1, 1])
    found = held["reference"]["contenders"]
    names = sorted(found, key=lambda name: -found[name]["seconds"])
    colors = [plots.COLORS[0] if name == "hpjax" else "#BBBBBB" for name in names]
    rates = [found[name]["network_steps_per_second"] for name in names]
    bars = axes[0].barh(names, rates, color=colors)
    axes[0].bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=2, fontsize=6)
    axes[0].set_xlim(0, 1.35 * max(rates))
    axes[0].set_xticks([])
    axes[0].spines["bottom"].set_visible(False)
    axes[0].set_xlabel("network-steps per second")
    rows = [["reference", name, found[name]["network_steps_per_second"], ""] for name in names]
    for ax, (name, points) in zip(axes[1:], held["growth"].items()):
        for which, color, marker in (
            ("hpjax", plots.COLORS[0], "o"),
            ("jit(vmap(scan)) by hand", plots.COLORS[1], "s"),
        ):
            ax.plot(
                [p["value"] for p in points],
                [p[which] for p in points],
                marker=marker,
                markersize=3,
                color=color,
                label=which,
            )
            rows += [[name, which, p["value"], p[which]] for p in points]
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.minorticks_off()
        values = [p["value"] for p in points][:: 2 if len(points) > 4 else 1]
        ax.set_xticks(values, [f"{value:,}" for value in values])
        ax.set_xlabel({"networks": "networks", "width": "hidden width", "epochs": "epochs"}[name])
    axes[1].set_ylabel("seconds")
    handles, labels = axes[1].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper right", ncols=2)
    plots.save(made, folder / "throughput")
    write_rows(folder / "throughput.csv", ["panel", "contender", "x", "seconds"], rows)


if __name__ == "__main__":
    if "--worker" in sys.argv:
        at = sys.argv.index("--worker")
        given = json.loads(sys.argv[at + 2])
        worker(sys.argv[at + 1], Sweep(**given | {"hidden": tuple(given["hidden"])}))
    else:
        main("throughput", run, draw, parts=PARTS)
