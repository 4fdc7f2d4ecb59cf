"""Training with an eye on it: what a function of weights and gradients says at every step, for many networks of one shape at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jax import Array

    from hpjax.models import Spec
    from hpjax.tasks import Split, Task


def norms(params: Any, grads: Any) -> dict:
    """Euclidean norm of every layer's gradient: {"w": [L+1], "b": [L+1]} (0 where there are no biases)."""
    import jax.numpy as jnp

    del params
    size = lambda g, leaf: jnp.linalg.norm(g[leaf].ravel()) if leaf in g else jnp.zeros(())
    return {leaf: jnp.stack([size(g, leaf) for g in grads]) for leaf in ("w", "b")}


def watched(
    task: Task,
    spec: Spec,
    configs: Sequence[Mapping],
    steps: int,
    look: Callable[[Any, Any], dict] = norms,
    *,
    split: Split | None = None,
    keys: Sequence[int] = (0,),
) -> tuple[np.ndarray, dict]:
    """Trains networks of one shape side by side, and says what it saw before every step.

    Args:
        task: data.
        spec, configs: of P networks, as `hypergrad.configure` makes them.
        steps: T.
        look: (params, gradients) -> name -> array.
        split: rows to train and validate on; drawn where None.
        keys: K names of initial weights and minibatches; every config is trained with each.

    Returns:
        Loss of every minibatch [K P T], and what was seen, leaves [K P T ...].
    """
    import jax
    import jax.numpy as jnp

    from hpjax import devices
    from hpjax.hypergrad.gradient import setup
    from hpjax.hypergrad.process import process_of
    from hpjax.training import batches

    devices.devices()
    ready = setup(task, spec, configs, "learning_rate", steps, keys=list(keys), split=split)
    dtype = np.dtype(ready.plan.spec.dtype)

    def network(data: Any, group: Array, normal: Array, coordinates: Any, fixed: Any):
        run = process_of(ready.plan, fixed, data, group, normal)
        hyper = run.hyper(coordinates)

        def body(state: Any, now: Any):
            t, scheduled = now
            h = hyper.constant | scheduled
            grads, aux = run.gradient(state.params, state.stats, h, t)
            return run.update(state, h, t, grads, aux), (aux[1], look(state.params, grads))

        return jax.lax.scan(body, run.begin(hyper), run.clock(hyper))[1]

    def everyone(data: Any, draws: Array, coordinates: Any, fixed: Any):
        keyed = batches.keyed(data, jax.numpy.uint32(0))
        one = lambda group, normal: jax.vmap(lambda c, f: network(keyed, group, normal, c, f))(
            coordinates, fixed
        )
        return jax.vmap(one)(jnp.arange(len(keys), dtype=jnp.int32), draws)

    with jax.enable_x64(dtype == np.float64):
        typed = lambda tree: {
            n: jnp.asarray(v if v.dtype == np.int32 else v.astype(dtype)) for n, v in tree.items()
        }
        call = jax.jit(everyone, compiler_options=devices.sound())
        loss, seen = call(
            ready.data,
            jnp.asarray(ready.draws.astype(dtype)),
            typed(ready.coordinates),
            typed(ready.fixed),
        )
        return np.asarray(loss), jax.tree.map(np.asarray, seen)
