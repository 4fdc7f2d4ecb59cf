"""Hypergradients: closed forms, central differences, agreement of the modes, refusals; no NaN at zero gradients."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hpjax import hypergrad
from hpjax.hypergrad import coordinates, cost, gradient, process
from hpjax.hypergrad.reverse import chunk_length
from hpjax.tasks import Split, Task
from hpjax.training import batches, loop

EXACT = [
    ("reverse", 0),
    ("reverse", 1),
    ("reverse", 2),
    ("reverse", 3),
    ("mixed", 1),
    ("mixed", 2),
    ("mixed", 3),
    ("forward", None),
]
slow = pytest.mark.slow
STEPS = [
    pytest.param(1, marks=slow),
    pytest.param(2, marks=slow),
    37,
    pytest.param(500, marks=slow),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Compiling takes longer than computing here."""
    options = {
        "xla_backend_optimization_level": 0,
        "xla_llvm_disable_expensive_passes": True,
    }
    monkeypatch.setattr(gradient.jax, "jit", partial(jax.jit, compiler_options=options))
    gradient.program.cache_clear()
    yield
    gradient.program.cache_clear()


# --- a quadratic: a linear network under mse --------------------------------------------------------------------------
class Quadratic:
    """Training 1/n |X w - y|^2 from w0, validation on other rows; everything in the eigenvectors of H = 2/n X'X."""

    def __init__(self):
        rng = np.random.default_rng(3)
        x = rng.normal(size=(30, 4)) * [1.0, 0.7, 0.5, 1.2]
        y = x @ rng.normal(size=4) + 0.3 * rng.normal(size=30)
        rows = Split(np.arange(20), np.arange(20, 30))
        self.task = Task("quadratic", x, y, standardize=False, folds=(rows,))
        self.split = rows
        a, b = x[:20], y[:20]
        self.hessian = 2 / 20 * a.T @ a
        self.best = np.linalg.solve(self.hessian, 2 / 20 * a.T @ b)
        self.valid_x, self.valid_y = x[20:], y[20:]
        self.eigen, self.q = np.linalg.eigh(self.hessian)

    def network(self, **values):
        return hypergrad.configure(
            self.task,
            hidden=(),
            bias=False,
            optimizer="sgd",
            batch_size=0,
            dtype="float64",
            **values,
        )

    def begin(self, spec):
        """w0 - w* in eigenvectors: the network's own draw."""
        scale = np.sqrt(2 / 4)  # he
        w0 = scale * batches.drawn(0, 0, 0, 0, spec)[:4].astype(np.float64)
        return self.q.T @ (w0 - self.best)

    def slope(self, error):
        """d validation loss / d w at w* + Q error, in eigenvectors."""
        residual = self.valid_x @ (self.best + self.q @ error) - self.valid_y
        return self.q.T @ (2 / 10 * self.valid_x.T @ residual)


@pytest.fixture(scope="module")
def quadratic():
    return Quadratic()


def way(mode, levels):
    """A mode with its levels of checkpoints."""
    return (
        mode
        if levels is None
        else {"reverse": hypergrad.Reverse, "mixed": hypergrad.Mixed}[mode](levels)
    )


ALL_MODES = [
    *(
        pytest.param(
            mode,
            level,
            marks=()
            if (mode, level) in (("reverse", 0), ("mixed", 2), ("forward", None))
            else slow,
        )
        for mode, level in EXACT
    )
]


@slow
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(("mode", "levels"), ALL_MODES)
def test_constant_rate_on_a_quadratic(quadratic, mode, levels, steps):
    rate = 0.004 if steps == 500 else 0.2  # so that there is still something to learn at the end
    spec, config = quadratic.network(learning_rate=rate)
    found = hypergrad.hypergradient(
        quadratic.task, spec, config, steps=steps, mode=way(mode, levels), split=quadratic.split
    )
    e0, lam = quadratic.begin(spec), quadratic.eigen
    at = (1 - rate * lam) ** steps * e0
    expected = quadratic.slope(at) @ (-steps * lam * (1 - rate * lam) ** (steps - 1) * e0)
    np.testing.assert_allclose(found.gradient["learning_rate"], rate * expected, rtol=1e-9)
    residual = quadratic.valid_x @ (quadratic.best + quadratic.q @ at) - quadratic.valid_y
    np.testing.assert_allclose(found.loss, np.mean(residual**2), rtol=1e-9)


@slow
@pytest.mark.parametrize("steps", STEPS[1:])
@pytest.mark.parametrize(("mode", "levels"), ALL_MODES)
def test_schedule_on_a_quadratic(quadratic, mode, levels, steps):
    rates = 0.02 + 0.1 * np.random.default_rng(1).random(steps)
    rates = 0.05 * rates if steps == 500 else rates
    spec, config = quadratic.network()
    found = hypergrad.hypergradient(
        quadratic.task,
        spec,
        config | {"learning_rate": rates},
        {"learning_rate": "identity"},
        steps,
        mode=way(mode, levels),
        segments={"learning_rate": steps},
        split=quadratic.split,
    )
    e0, lam = quadratic.begin(spec), quadratic.eigen
    factors = 1 - rates[:, None] * lam
    at = factors.prod(0) * e0
    others = np.array([np.delete(factors, k, 0).prod(0) for k in range(steps)])
    expected = -(others * lam * e0) @ quadratic.slope(at)
    np.testing.assert_allclose(
        found.gradient["learning_rate"], expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max()
    )


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize(("mode", "levels"), ALL_MODES)
def test_heavy_ball_on_a_quadratic(quadratic, mode, levels, steps):
    rate, beta = 0.001 if steps == 500 else 0.05, 0.8
    spec, config = quadratic.network(learning_rate=rate, momentum=beta)
    found = hypergrad.hypergradient(
        quadratic.task,
        spec,
        config,
        {"learning_rate": "identity", "momentum": "identity"},
        steps,
        mode=way(mode, levels),
        split=quadratic.split,
    )
    end, d_rate, d_beta = [], [], []
    for lam, e in zip(quadratic.eigen, quadratic.begin(spec)):
        matrix = np.array([[beta, lam], [-rate * beta, 1 - rate * lam]])
        by_rate, by_beta = np.array([[0, 0], [-beta, -lam]]), np.array([[1, 0], [-rate, 0]])
        powers = [np.linalg.matrix_power(matrix, t) for t in range(steps + 1)]
        start = np.array([0.0, e])
        moved = lambda by, powers=powers: sum(
            powers[steps - 1 - t] @ by @ powers[t] for t in range(steps)
        )
        end.append((powers[steps] @ start)[1])
        d_rate.append((moved(by_rate) @ start)[1])
        d_beta.append((moved(by_beta) @ start)[1])
    slope = quadratic.slope(np.array(end))
    np.testing.assert_allclose(found.gradient["learning_rate"], slope @ d_rate, rtol=1e-9)
    np.testing.assert_allclose(found.gradient["momentum"], slope @ d_beta, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", ["cg", "neumann"])
@pytest.mark.parametrize(
    ("name", "momentum"),
    [("l2", 0.0), ("weight_decay", 0.0), pytest.param("weight_decay", 0.5, marks=slow)],
)
def test_implicit_is_ridge_regression(quadratic, solver, name, momentum):
    """With momentum, a decoupled decay is (1 - momentum) of itself: it is added to v = g / (1 - momentum)."""
    penalty = 0.1
    more = {"momentum": momentum} if momentum else {}
    spec, config = quadratic.network(learning_rate=0.4 * (1 - momentum), **{name: penalty}, **more)
    found = hypergrad.hypergradient(
        quadratic.task,
        spec,
        config,
        {name: "identity"},
        800,
        mode=hypergrad.Implicit(solver, iterations=50 if solver == "cg" else 4000),
        split=quadratic.split,
    )
    share = 1 - momentum
    shifted = quadratic.hessian + share * penalty * np.eye(4)
    w = np.linalg.solve(shifted, quadratic.hessian @ quadratic.best)
    slope = 2 / 10 * quadratic.valid_x.T @ (quadratic.valid_x @ w - quadratic.valid_y)
    np.testing.assert_allclose(
        found.gradient[name], slope @ np.linalg.solve(shifted, -share * w), rtol=1e-9
    )
    assert found.info["stationarity"] < 1e-12
    assert found.info["residual"] < 1e-9
    unrolled = hypergrad.hypergradient(
        quadratic.task, spec, config, {name: "identity"}, 800, mode="reverse", split=quadratic.split
    )
    np.testing.assert_allclose(found.gradient[name], unrolled.gradient[name], rtol=1e-9)


@slow
def test_evolution_is_unbiased_for_the_smoothed_objective(quadratic):
    """Against E over two draws e1, e2 of the loss with each window's rate at exp(log rate + e), by Gauss and Hermite."""
    rate, sigma, window = 0.15, 0.3, 2
    spec, config = quadratic.network(learning_rate=rate)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights[:, None] * weights / weights.sum() ** 2

    def smoothed(key, move):
        w0 = np.sqrt(2 / 4) * batches.drawn(key, 0, 0, 0, spec)[:4].astype(np.float64)
        rates = rate * np.exp(move + sigma * nodes)
        factor = (1 - rates[:, None] * quadratic.eigen) ** window
        at = factor[:, None] * factor[None] * (quadratic.q.T @ (w0 - quadratic.best))
        w = quadratic.best + at @ quadratic.q.T
        return (weights * ((w @ quadratic.valid_x.T - quadratic.valid_y) ** 2).mean(-1)).sum()

    estimates, exact = [], []
    for key in range(20):
        found = hypergrad.hypergradient(
            quadratic.task,
            spec,
            config,
            steps=2 * window,
            mode=hypergrad.Evolution(window, pairs=2000, sigma=sigma),
            split=quadratic.split,
            key=key,
        )
        estimates.append(float(found.gradient["learning_rate"]))
        exact.append((smoothed(key, 1e-4) - smoothed(key, -1e-4)) / 2e-4)
    errors = np.subtract(estimates, exact)
    assert abs(errors.mean()) < 3 * errors.std(ddof=1) / np.sqrt(20)
    assert np.abs(errors).mean() < 0.5 * np.abs(exact).mean()  # not merely noise


@slow
def test_implicit_keeps_a_decay_that_is_not_moved(quadratic):
    spec, config = quadratic.network(learning_rate=0.3, l2=0.05, weight_decay=0.1)
    take = partial(
        hypergrad.hypergradient,
        quadratic.task,
        spec,
        config,
        {"l2": "identity"},
        800,
        split=quadratic.split,
    )
    np.testing.assert_allclose(
        take(mode="implicit").gradient["l2"], take(mode="reverse").gradient["l2"], rtol=1e-9
    )


def test_short_windows_are_biased_where_evolution_is_not(quadratic):
    spec, config = quadratic.network(learning_rate=0.05)
    take = partial(
        hypergrad.hypergradient, quadratic.task, spec, config, steps=40, split=quadratic.split
    )
    full, short = take(mode="reverse"), take(mode=hypergrad.Truncated(4))
    many = take(mode=hypergrad.Evolution(4, 20_000, 0.01))
    whole = float(full.gradient["learning_rate"])
    assert abs(float(short.gradient["learning_rate"])) < 0.5 * abs(whole)
    assert abs(float(many.gradient["learning_rate"]) - whole) < 0.1 * abs(whole)


# --- networks ---------------------------------------------------------------------------------------------------------
TANH = {"hidden": (6, 5), "activation": "tanh", "dtype": "float64", "batch_size": 8}
CASES = [
    (
        {
            "optimizer": "sgd",
            "momentum": (0.5, 0.8, 0.9),
            "learning_rate": (0.05, 0.1, 0.02),
            "l2": 1e-2,
            "init_scale": 0.7,
            "label_smoothing": 0.1,
        },
        ("learning_rate", "momentum", "l2", "init_scale", "label_smoothing"),
    ),
    (
        {
            "optimizer": "adam",
            "learning_rate": 0.02,
            "eps": 1e-3,
            "l1": 1e-3,
            "weight_decay": 1e-2,
            "schedule": "cosine",
            "end_factor": 0.1,
            "clip_norm": 0.5,
        },
        ("learning_rate", "beta1", "beta2", "eps", "weight_decay", "end_factor", "clip_norm", "l1"),
    ),
    (
        {
            "optimizer": "nesterov",
            "momentum": 0.7,
            "learning_rate": 0.05,
            "dropout": 0.2,
            "dropout_kind": "gaussian",
            "input_noise": 0.3,
            "schedule": "inverse_time",
            "decay_rate": 2.0,
        },
        ("learning_rate", "dropout", "input_noise", "decay_rate", "decay_time", "data_weights"),
    ),
    (
        {
            "optimizer": "rmsprop",
            "learning_rate": 0.01,
            "eps": 1e-3,
            "normalization": "batch",
            "schedule": "exponential",
        },
        ("learning_rate", "beta2", "eps", "decay_rate"),
    ),
    (
        {
            "optimizer": "damped",
            "momentum": 0.6,
            "learning_rate": 0.1,
            "normalization": "layer",
            "schedule": "warmup_cosine",
            "warmup": 0.31,
        },
        ("learning_rate", "momentum", "warmup"),
    ),
    (
        {
            "optimizer": "adam",
            "learning_rate": 0.02,
            "eps": 1e-3,
            "embedding": "periodic",
            "frequencies": 2,
            "embedding_width": 3,
            "frequency_scale": 0.3,
        },
        ("learning_rate", "frequency_scale"),
    ),
    (
        {"optimizer": "sgd", "learning_rate": 0.1, "embedding": "cosine", "frequencies": 2},
        ("learning_rate", "frequency_scale"),
    ),
    (
        {
            "optimizer": "adagrad",
            "learning_rate": 0.05,
            "eps": 1e-2,
            "residual": True,
            "hidden": (5, 5),
        },
        ("learning_rate", "eps", "init_scale"),
    ),
    (
        {
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "schedule": "hypergradient",
            "hypergradient_rate": 1e-2,
        },
        ("learning_rate", "hypergradient_rate"),
    ),
]


def network(blobs, values, **more):
    return hypergrad.configure(blobs, epochs=5, **(TANH | values | more))


@slow
@pytest.mark.parametrize(("values", "wrt"), CASES, ids=str)
def test_central_differences_and_modes(blobs, values, wrt):
    spec, config = network(blobs, values)
    take = partial(hypergrad.hypergradient, blobs, spec, wrt=wrt, steps=20)
    found = take(config, mode="reverse")
    for mode, levels in (("mixed", 1), ("mixed", 2), ("forward", None), ("reverse", 2)):
        if mode == "forward" and "data_weights" in wrt:
            continue
        other = take(config, mode=way(mode, levels))
        for name in wrt:
            np.testing.assert_allclose(
                other.gradient[name], found.gradient[name], rtol=1e-10, atol=1e-14
            )
        assert other.loss == pytest.approx(float(found.loss), rel=1e-12)
    # one compiled program takes all losses: a population of moved configs
    rng, step, moved, expected = np.random.default_rng(0), 1e-5, [], []
    for name in found.gradient:
        kind = coordinates.SCALES[found.scales[name]]
        direction = rng.normal(size=found.coordinates[name].shape)
        expected.append(np.vdot(found.gradient[name], direction))
        for sign in (1, -1):
            value = found.coordinates[name] + sign * step * direction
            with jax.enable_x64(True):
                moved.append(config | {name: np.asarray(kind.back(jnp.asarray(value)))})
    if "data_weights" in wrt:
        moved = [{"data_weights": np.ones(len(blobs.x))} | one for one in moved]
    shapes = {name: found.values[name].shape for name in wrt}
    moved = [one | {n: np.broadcast_to(one[n], s) for n, s in shapes.items()} for one in moved]
    losses = hypergrad.hypergradients(blobs, spec, moved, wrt, 20, mode="reverse").loss
    differences = (losses[0::2] - losses[1::2]) / (2 * step)
    np.testing.assert_allclose(differences, expected, rtol=1e-6, atol=1e-9)


@slow
def test_schedules_per_layer_and_leaf_agree_between_modes(blobs):
    """[S], [S L+1] and [S L+1 2]: forward carries their tangents, reverse and mixed their cotangents."""
    spec, config = network(blobs, {"optimizer": "nesterov", "momentum": 0.7, "learning_rate": 0.05})
    rng = np.random.default_rng(0)
    for more in ((), (3,), (3, 2)):
        config |= {"learning_rate": rng.uniform(0.02, 0.1, (4, *more))}
        config |= {"momentum": rng.uniform(0.3, 0.8, more)}
        options = dict(wrt=("learning_rate", "momentum"), steps=9, segments={"learning_rate": 4})
        found = [
            hypergrad.hypergradient(blobs, spec, config, mode=mode, **options).gradient
            for mode in ("mixed", "forward")
        ]
        assert found[0]["learning_rate"].shape == (4, *more)
        for name in found[0]:
            np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("optimizer", "mode"),
    [
        ("adam", "mixed"),
        *(
            pytest.param(o, m, marks=slow)
            for o in ("adam", "adamw", "rmsprop", "adagrad")
            for m in ("reverse", "forward")
        ),
        *(pytest.param(o, "mixed", marks=slow) for o in ("adamw", "rmsprop", "adagrad")),
    ],
)
def test_dead_inputs_give_no_nan(blobs, optimizer, mode):
    x = blobs.x.copy()
    x[:, 1] = 0.0  # its weights' gradients are exactly zero, always
    task = dataclasses.replace(blobs, x=x, standardize=False)
    spec, config = network(blobs, {"optimizer": optimizer, "learning_rate": 0.02}, dtype="float32")
    found = hypergrad.hypergradient(task, spec, config, ("learning_rate", "eps"), 15, mode=mode)
    assert all(np.isfinite(g).all() and (g != 0).all() for g in found.gradient.values())


@pytest.mark.slow
def test_training_is_plain_training(blobs):
    """The differentiated run's weights are those of `train.advance`, whole epochs, same names of randomness."""
    values = {"optimizer": "adam", "learning_rate": 0.02, "dropout": 0.3, "input_noise": 0.1}
    spec, config = network(blobs, values, dtype="float32")
    ready = gradient.setup(blobs, spec, [config], "learning_rate", 27, keys=(4,))
    per_epoch = ready.data.order.shape[-1] // 8
    epochs = 27 // per_epoch
    found = hypergrad.hypergradient(
        blobs, spec, config, steps=epochs * per_epoch, mode="forward", key=4
    )
    trainer = loop.Trainer(spec, 1, epochs)
    data = batches.keyed(jax.tree.map(jnp.asarray, ready.data), jnp.uint32(0))
    plain = {name: jnp.float32(value) for name, value in config.items()}
    begun = trainer.init(jnp.asarray(ready.draws[0]), plain)
    state, _ = jax.jit(trainer.advance)(begun, plain, data, jnp.int32(0), jnp.int32(epochs))
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6), found.state.params, state.params
    )
    np.testing.assert_allclose(found.loss, state.scores.loss, rtol=1e-5)


@slow
def test_truncation(blobs):
    values = {"optimizer": "sgd", "momentum": 0.5, "learning_rate": 0.1}
    spec, config = network(blobs, values)
    take = partial(hypergrad.hypergradient, blobs, spec, config, ("learning_rate", "momentum"), 20)
    full, whole = take(mode="reverse"), take(mode=hypergrad.Truncated(20))
    for name in full.gradient:
        np.testing.assert_allclose(whole.gradient[name], full.gradient[name], rtol=1e-12)
    short = take(mode=hypergrad.Truncated(5))
    assert abs(float(short.gradient["learning_rate"])) < abs(float(full.gradient["learning_rate"]))
    assert float(short.loss) == pytest.approx(float(full.loss), rel=1e-12)


def gradient_at(blobs, spec, config, steps):
    """The gradient of the minibatch that step number `steps` trains on, at the weights before it; by `process`."""
    ready = gradient.setup(
        blobs, spec, [config], {"learning_rate": "identity"}, steps, keys=(0,), objective="next"
    )
    with jax.enable_x64(True):
        data = batches.keyed(jax.tree.map(jnp.asarray, ready.data), jnp.uint32(0))
        fixed = {n: v[0] for n, v in ready.config.items() if n != "learning_rate"}
        run = process.process_of(ready.plan, fixed, data, jnp.int32(0), jnp.asarray(ready.draws[0]))
        hyper = run.hyper({"learning_rate": jnp.asarray(ready.config["learning_rate"][0])})
        state = run.advance(run.begin(hyper), hyper, run.clock(hyper))
        grads, _ = run.gradient(state.params, state.stats, hyper.constant, jnp.int32(steps))
        return grads


@slow
def test_one_step_truncation_is_hypergradient_descent(blobs):
    """d loss(w_t) / d rate through one step is -g_t . g_(t-1) (Baydin et al. 2018, equation 5)."""
    spec, config = network(blobs, {"optimizer": "sgd", "learning_rate": 0.1})
    found = hypergrad.hypergradient(
        blobs,
        spec,
        config,
        {"learning_rate": "identity"},
        7,
        mode=hypergrad.Truncated(1),
        objective="next",
    )
    before, now = (gradient_at(blobs, spec, config, steps) for steps in (6, 7))
    along = sum(np.vdot(a, b) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(now)))
    np.testing.assert_allclose(found.gradient["learning_rate"], -along, rtol=1e-9)


@pytest.mark.parametrize(
    "optimizer", [pytest.param("sgd", marks=slow), pytest.param("adam", marks=slow)]
)
def test_live_rate_follows_its_hypergradient(blobs, optimizer):
    """The schedule hypergradient adds hypergradient_rate times -d loss / d rate, step by step."""
    live = {"schedule": "hypergradient", "hypergradient_rate": 1e-2}
    spec, config = network(blobs, {"optimizer": optimizer, "learning_rate": 0.05} | live)
    shift = lambda steps: (
        hypergrad.hypergradient(blobs, spec, config, steps=steps, mode="forward").state.opt.shift
    )
    assert shift(1) == 0
    # up to step 2 the rate has been the constant one: plain training, one step, then its one-step hypergradient
    plain, constant = network(blobs, {"optimizer": optimizer, "learning_rate": 0.05})
    one = hypergrad.hypergradient(
        blobs,
        plain,
        constant,
        {"learning_rate": "identity"},
        1,
        mode=hypergrad.Truncated(1),
        objective="next",
    )
    np.testing.assert_allclose(shift(2), -1e-2 * one.gradient["learning_rate"], rtol=1e-9)


# --- populations ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_population_is_a_loop_and_a_diverging_member_leaves_the_others(blobs):
    values = {"optimizer": "sgd", "momentum": 0.9}
    rates = [0.01, 0.03, 0.1]
    spec, config = network(blobs, values, dtype="float32", activation="identity", loss="mse")
    configs = [config | {"learning_rate": np.asarray(rate)} for rate in rates]
    take = partial(
        hypergrad.hypergradients,
        blobs,
        spec,
        wrt=("learning_rate", "momentum"),
        steps=25,
        mode=hypergrad.Mixed(2),
    )
    together = take([*configs, configs[0]])
    for number, one in enumerate(configs):
        alone = take([one])
        np.testing.assert_allclose(together.loss[number], alone.loss[0], rtol=1e-5)
        for name in alone.gradient:
            np.testing.assert_allclose(
                together.gradient[name][number], alone.gradient[name][0], rtol=1e-3, atol=1e-6
            )
    wild = take([*configs, config | {"learning_rate": np.asarray(1e4)}])
    assert not np.isfinite(wild.loss[3])
    np.testing.assert_array_equal(wild.loss[:3], together.loss[:3])
    for name in wild.gradient:
        np.testing.assert_array_equal(wild.gradient[name][:3], together.gradient[name][:3])


# --- refusals, cost ---------------------------------------------------------------------------------------------------
REFUSED = [
    ({}, {"wrt": "learning_rat"}, "did you mean 'learning_rate'"),
    ({}, {"wrt": "hidden"}, "is a shape or a choice"),
    ({}, {"wrt": "epochs"}, "has no derivative"),
    ({}, {"wrt": ()}, "wrt is empty"),
    ({}, {"wrt": {"learning_rate": "sqrt"}}, "is none of log, logit, identity"),
    ({}, {"wrt": "momentum"}, "needs optimizer sgd, nesterov or damped"),
    ({"optimizer": "sgd"}, {"wrt": "beta1"}, "needs optimizer adam"),
    ({"optimizer": "sgd"}, {"wrt": "eps"}, "needs optimizer rmsprop, adagrad, adam or adamw"),
    ({"dropout": 0.2}, {"wrt": "dropout"}, "mode='evolution' has an estimate"),
    ({}, {"wrt": "l2"}, "l2=0 has no log"),
    ({}, {"wrt": "warmup"}, "needs schedule warmup_cosine"),
    ({"loss": "mse"}, {"wrt": "end_factor"}, "needs schedule cosine"),
    ({}, {"mode": "backward"}, "is none of auto, reverse, mixed"),
    ({}, {"mode": "implicit"}, "does not move the optimum"),
    ({"l2": 0.1}, {"mode": "implicit", "wrt": "l2"}, "set batch_size=0"),
    ({"weight_decay": 0.1, "batch_size": 0}, {"mode": "implicit", "wrt": "weight_decay"}, "with adam use l2"),
    ({"l1": 0.1, "batch_size": 0}, {"mode": "implicit", "wrt": "l1"}, "optimum lies at kinks"),
    ({"l2": 0.1, "batch_size": 0}, {"mode": "implicit", "wrt": "l2", "objective": "curve"}, "the way there"),
    ({"l2": 0.1, "batch_size": 0, "normalization": "batch"}, {"mode": "implicit", "wrt": "l2"}, "does not differentiate batch statistics"),
    ({}, {"mode": hypergrad.Truncated(5), "segments": {"learning_rate": 4}}, "would leave the first segments"),
    ({}, {"mode": hypergrad.Evolution(5), "wrt": "data_weights"}, "is for a few numbers"),
    ({}, {"mode": "truncated"}, "needs a window of steps: mode=hypergrad.Truncated"),
    ({}, {"mode": hypergrad.Truncated(21)}, "needs a window of 1 to 20 steps"),
    ({}, {"mode": hypergrad.Truncated(5), "wrt": "init_scale"}, "acts before the window"),
    ({}, {"mode": hypergrad.Evolution(5, sigma=0.0)}, "sigma > 0"),
    ({}, {"mode": hypergrad.Mixed(0)}, "is none of 1, 2, 3"),
    ({}, {"segments": {"learning_rate": 30}}, "30 segments for 20 steps"),
    ({}, {"segments": {"momentum": 3}}, "which wrt has not"),
    ({}, {"objective": "test"}, "is none of validation"),
    ({}, {"steps": 0}, "steps must be a whole number"),
    ({}, {"mode": "reverse", "memory": 10_000}, "take fewer networks or steps"),
    ({}, {"mode": hypergrad.Reverse(0), "memory": 60_000}, "use mode="),
]  # fmt: skip


@pytest.mark.parametrize(("values", "options", "message"), REFUSED, ids=[r[2] for r in REFUSED])
def test_refusals(blobs, values, options, message):
    spec, config = network(blobs, values)
    with pytest.raises(ValueError, match=message) as caught:
        hypergrad.hypergradient(blobs, spec, config, **({"steps": 20} | options))
    assert "\n" not in str(caught.value)


def test_a_schedule_of_the_wrong_length_names_both(blobs):
    spec, config = network(blobs, {})
    with pytest.raises(ValueError, match="has length 7, but 10 segments are asked for"):
        hypergrad.hypergradient(
            blobs,
            spec,
            config | {"learning_rate": np.full(7, 0.1)},
            steps=20,
            segments={"learning_rate": 10},
        )


def test_a_schedule_without_segments_is_not_taken_for_layers(blobs):
    spec, config = network(blobs, {"optimizer": "sgd"})
    for name, value, message in (
        ("learning_rate", np.full(20, 0.1), "has 20 values; give one number, or 3, one per layer"),
        ("learning_rate", np.full((3, 5), 0.1), "has 3 x 5 values"),
        ("eps", np.full(3, 1e-3), "has 3 values; give one number"),
    ):
        with pytest.raises(ValueError, match=message):
            hypergrad.hypergradient(blobs, spec, config | {name: value}, steps=20)


def test_weights_of_examples_count_where_they_are_not_moved(blobs):
    spec, config = network(blobs, {"optimizer": "sgd"})
    take = lambda **more: (
        hypergrad.hypergradient(blobs, spec, config | more, steps=10, mode="plain").loss
    )
    assert take(data_weights=np.ones(len(blobs.x))) == take()
    assert take(data_weights=np.zeros(len(blobs.x))) > take()


def test_chunks_cover_the_horizon():
    for steps in (1, 3, 4, 37, 100, 500, 997):
        for levels in (1, 2, 3):
            length = chunk_length(steps, levels) if levels > 1 else steps
            assert 1 <= length <= steps
            assert cost.stored(steps, levels) <= 2.2 * levels * steps ** (1 / levels) + 4


def test_auto_takes_the_cheapest_that_fits(blobs):
    spec, config = network(blobs, {})
    take = partial(hypergrad.hypergradient, blobs, spec, config, steps=20)
    generous, tight = take(), take(memory=60_000)
    assert generous.mode.name in ("reverse", "mixed", "forward")
    price = lambda mode: cost.estimate(spec, 20, mode, 1, 8, 57)
    assert price(tight.mode).memory <= 60_000 < price(cost.Mode("reverse", 0)).memory
    np.testing.assert_allclose(
        tight.gradient["learning_rate"], generous.gradient["learning_rate"], rtol=1e-9
    )
    assert "forward" in cost.cost_table(cost.candidates(spec, 20, 1, 8, 57))


@pytest.mark.slow
def test_sums_over_many_rows_are_right_whatever_runs_beside():
    """Trap: jaxlib 0.10.2 on CPU loses rows past 32,768 of a batched sum; 64 copies of 1,000 examples are more."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1250, 8))
    task = Task.of(x, (x @ rng.normal(size=(8, 3))).argmax(1), "rows", test=0.2)
    spec, config = gradient.configure(
        task,
        hidden=(12, 6),
        activation="tanh",
        optimizer="damped",
        momentum=0.5,
        batch_size=50,
        learning_rate=0.3,
    )
    split = Split(task.development, task.test)
    take = partial(
        hypergrad.hypergradient,
        task,
        spec,
        config,
        "learning_rate",
        6,
        objective="train",
        split=split,
    )
    exact = take(mode="forward").gradient["learning_rate"]
    moved = take(mode=hypergrad.Evolution(3, 32, 0.05)).gradient["learning_rate"]
    assert abs(moved / exact - 1) < 0.8
