"""`vmap` with the mapped axis last: what many tiny networks are trained with.

Where layers have but a few units, a product of every network is a loop over a few numbers, and starting it costs more than it computes.
With the networks on the last axis of every array each operation is one long loop over networks, which the processor's vectors run
through; a product becomes a sum of as many terms as its short axis is long.

The rule of nearly every operation is simple, since the axis is appended: no other axis changes its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

UNROLLED = 64  # terms of a product, at most

# operations on each number for itself
EACH = frozenset(
    [
        "abs",
        "acos",
        "add",
        "add_any",
        "and",
        "asin",
        "atan2",
        "cbrt",
        "ceil",
        "clamp",
        "convert_element_type",
        "copy",
        "copy_p",
        "cos",
        "cosh",
        "div",
        "eq",
        "erf",
        "erf_inv",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "ge",
        "gt",
        "integer_pow",
        "is_finite",
        "le",
        "log",
        "log1p",
        "logistic",
        "lt",
        "max",
        "min",
        "mul",
        "ne",
        "neg",
        "nextafter",
        "not",
        "optimization_barrier",
        "or",
        "pow",
        "reduce_precision",
        "rem",
        "round",
        "rsqrt",
        "select_n",
        "shift_left",
        "shift_right_arithmetic",
        "shift_right_logical",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "stop_gradient",
        "sub",
        "tan",
        "tanh",
        "xor",
    ]
)
# operations along axes that are named from the front
ALONG = frozenset(
    [
        "argmax",
        "argmin",
        "cumlogsumexp",
        "cummax",
        "cummin",
        "cumprod",
        "cumsum",
        "reduce_and",
        "reduce_max",
        "reduce_min",
        "reduce_or",
        "reduce_prod",
        "reduce_sum",
        "rev",
        "squeeze",
    ]
)
# operations that are a program of their own, and what they call it
INNER = {
    "pjit": "jaxpr",
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat": "jaxpr",
    "checkpoint": "jaxpr",
}


class NoRule(NotImplementedError):
    """An operation that has no rule here."""


def mapped_last(function: Callable[..., Any], shared: Sequence[Any], mapped: Sequence[Any]) -> Any:
    """`function(*shared, *mapped)` for every place of the last axis of the leaves of `mapped`.

    Args:
        function: of pytrees of arrays, to a pytree of arrays.
        shared: pytrees that are the same at all places.
        mapped: pytrees whose leaves are [... P].

    Returns:
        What the function returns, leaves [... P].

    Raises:
        NoRule: it does something that has no rule.
    """
    leaves, structure = jax.tree.flatten((*shared, *mapped))
    many = len(jax.tree.leaves(tuple(shared)))
    along = [False] * many + [True] * (len(leaves) - many)
    places = leaves[-1].shape[-1]
    one = [
        jax.ShapeDtypeStruct(leaf.shape[:-1] if last else leaf.shape, leaf.dtype)
        for leaf, last in zip(leaves, along)
    ]
    flat: list[Any] = []

    def of_leaves(*given: Any) -> list[Any]:
        answer, tree = jax.tree.flatten(function(*jax.tree.unflatten(structure, given)))
        flat.append(tree)
        return answer

    closed = jax.make_jaxpr(of_leaves)(*one)
    values, last = _Places(places).run(closed, leaves, along)
    spread = [v if at else _spread(v, jnp.shape(v), places) for v, at in zip(values, last)]
    return jax.tree.unflatten(flat[0], spread)


def _spread(value: Any, shape: Sequence[int], places: int) -> Any:
    """A value that is the same at all places, of some shape, at each of them."""
    value = jnp.broadcast_to(value, shape)
    return lax.broadcast_in_dim(value, (*shape, places), range(len(shape)))


class _Places:
    """Runs a program of JAX for P places at once; each value is a pair of arrays and whether it has the axis."""

    def __init__(self, places: int):
        self.places = places

    def run(
        self, closed: core.ClosedJaxpr, given: Sequence[Any], along: Sequence[bool]
    ) -> tuple[list[Any], list[bool]]:
        """The outputs of a program, and which of them have the axis."""
        program = closed.jaxpr
        known: dict[Any, tuple[Any, bool]] = {}
        known |= {var: (value, False) for var, value in zip(program.constvars, closed.consts)}
        known |= {var: pair for var, pair in zip(program.invars, zip(given, along))}

        def read(var: Any) -> tuple[Any, bool]:
            return (var.val, False) if isinstance(var, core.Literal) else known[var]

        for equation in program.eqns:
            values, flags = zip(*map(read, equation.invars)) if equation.invars else ((), ())
            out, last = self.step(equation, list(values), list(flags))
            known |= {var: pair for var, pair in zip(equation.outvars, zip(out, last))}
        outs = [read(var) for var in program.outvars]
        return [value for value, _ in outs], [flag for _, flag in outs]

    def step(
        self, equation: Any, values: list[Any], along: list[bool]
    ) -> tuple[list[Any], list[bool]]:
        """The outputs of an operation."""
        name, parameters = equation.primitive.name, dict(equation.params)
        if name in INNER:
            inner = parameters[INNER[name]]
            closed = inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())
            return self.run(closed, values, along)
        if not any(along):
            out = equation.primitive.bind(*values, **parameters)
            many = equation.primitive.multiple_results
            return (list(out) if many else [out]), [False] * len(equation.outvars)
        if name in EACH:
            shapes = [var.aval.shape for var in equation.outvars]
            if name == "optimization_barrier":
                return list(lax.optimization_barrier(tuple(values))), along
            wide = [self.widened(v, flag, shapes[0]) for v, flag in zip(values, along)]
            return [equation.primitive.bind(*wide, **parameters)], [True]
        rule = getattr(self, f"_{name}", None)
        if name in ALONG:
            return [equation.primitive.bind(*values, **parameters)], [True]
        if rule is None:
            raise NoRule(name)
        return rule(equation, values, along, parameters)

    def widened(self, value: Any, along: bool, shape: Sequence[int]) -> Any:
        """A value [*shape P]; of a number that stands for all of a shape, too."""
        if not along:
            return _spread(value, shape, self.places)
        if value.ndim - 1 == len(shape):
            return value
        return lax.broadcast_in_dim(value, (*shape, self.places), (len(shape),))

    def all_widened(
        self, variables: Sequence[Any], values: Sequence, along: Sequence[bool]
    ) -> list:
        """Values with the axis, each in the shape of its variable."""
        return [self.widened(v, f, var.aval.shape) for var, v, f in zip(variables, values, along)]

    # --- axes ---
    def _broadcast_in_dim(self, equation: Any, values: list, along: list, parameters: dict):
        shape, dims = parameters["shape"], parameters["broadcast_dimensions"]
        out = lax.broadcast_in_dim(values[0], (*shape, self.places), (*dims, len(shape)))
        return [out], [True]

    def _reshape(self, equation: Any, values: list, along: list, parameters: dict):
        if parameters.get("dimensions") is not None:
            raise NoRule("reshape of turned axes")
        return [values[0].reshape(*parameters["new_sizes"], self.places)], [True]

    def _transpose(self, equation: Any, values: list, along: list, parameters: dict):
        turned = parameters["permutation"]
        return [lax.transpose(values[0], (*turned, len(turned)))], [True]

    def _concatenate(self, equation: Any, values: list, along: list, parameters: dict):
        wide = self.all_widened(equation.invars, values, along)
        return [lax.concatenate(wide, parameters["dimension"])], [True]

    def _stack(self, equation: Any, values: list, along: list, parameters: dict):
        wide = self.all_widened(equation.invars, values, along)
        return [jnp.stack(wide, parameters["axis"])], [True]

    def _slice(self, equation: Any, values: list, along: list, parameters: dict):
        start, limit = parameters["start_indices"], parameters["limit_indices"]
        strides = parameters["strides"] or (1,) * len(start)
        return [lax.slice(values[0], (*start, 0), (*limit, self.places), (*strides, 1))], [True]

    def _split(self, equation: Any, values: list, along: list, parameters: dict):
        parts = lax.split(values[0], parameters["sizes"], parameters["axis"])
        return list(parts), [True] * len(parts)

    def _tile(self, equation: Any, values: list, along: list, parameters: dict):
        return [jnp.tile(values[0], (*parameters["reps"], 1))], [True]

    def _dynamic_slice(self, equation: Any, values: list, along: list, parameters: dict):
        if any(along[1:]):
            raise NoRule("dynamic_slice from another place for each network")
        start = (*values[1:], jnp.zeros((), values[1].dtype))
        sizes = (*parameters["slice_sizes"], self.places)
        return [equation.primitive.bind(values[0], *start, slice_sizes=sizes)], [True]

    def _dynamic_update_slice(self, equation: Any, values: list, along: list, parameters: dict):
        if any(along[2:]):
            raise NoRule("dynamic_update_slice at another place for each network")
        whole, part = self.all_widened(equation.invars[:2], values, along)
        start = (*values[2:], jnp.zeros((), values[2].dtype))
        return [equation.primitive.bind(whole, part, *start)], [True]

    def _pad(self, equation: Any, values: list, along: list, parameters: dict):
        if along[1]:
            raise NoRule("pad with another value for each network")
        config = (*parameters["padding_config"], (0, 0, 0))
        return [lax.pad(values[0], values[1], config)], [True]

    def _gather(self, equation: Any, values: list, along: list, parameters: dict):
        if along[1]:
            raise NoRule("gather from another place for each network")
        numbers = parameters["dimension_numbers"]
        rank = len(equation.outvars[0].aval.shape)
        parameters |= {
            "dimension_numbers": numbers._replace(offset_dims=(*numbers.offset_dims, rank)),
            "slice_sizes": (*parameters["slice_sizes"], self.places),
        }
        return [equation.primitive.bind(*values, **parameters)], [True]

    def _scatter(self, equation: Any, values: list, along: list, parameters: dict):
        if along[1]:
            raise NoRule("scatter to another place for each network")
        variables = equation.invars[::2]
        whole, updates = self.all_widened(variables, values[::2], along[::2])
        numbers = parameters["dimension_numbers"]
        window = (*numbers.update_window_dims, len(variables[1].aval.shape))
        parameters |= {"dimension_numbers": numbers._replace(update_window_dims=window)}
        return [equation.primitive.bind(whole, values[1], updates, **parameters)], [True]

    # --- products ---
    def _dot_general(self, equation: Any, values: list, along: list, parameters: dict):
        """A sum over the contracted axis, term by term: each is one loop over networks."""
        (left_contract, right_contract), (left_batch, right_batch) = parameters["dimension_numbers"]
        shapes = [var.aval.shape for var in equation.invars]
        dtypes = {var.aval.dtype for var in (*equation.invars, *equation.outvars)}
        if dtypes not in ({np.dtype(np.float32)}, {np.dtype(np.float64)}):
            raise NoRule(f"a product of {', '.join(sorted(map(str, dtypes)))}")
        terms = int(np.prod([shapes[0][axis] for axis in left_contract]))
        if terms > UNROLLED:
            raise NoRule(f"a product of {terms} terms")

        def arranged(value: Any, last: bool, shape: tuple, contract: tuple, batch: tuple) -> Any:
            free = [a for a in range(len(shape)) if a not in (*contract, *batch)]
            order = [*contract, *batch, *free] + ([len(shape)] if last else [])
            kept = [shape[a] for a in (*batch, *free)]
            tail = [self.places] if last else [1]
            return jnp.transpose(value, order).reshape(terms, *kept, *tail), len(free)

        left, free_left = arranged(values[0], along[0], shapes[0], left_contract, left_batch)
        right, free_right = arranged(values[1], along[1], shapes[1], right_contract, right_batch)
        batch = len(left_batch)
        left = left.reshape(*left.shape[:-1], *[1] * free_right, left.shape[-1])
        at = 1 + batch
        right = right.reshape(*right.shape[:at], *[1] * free_left, *right.shape[at:])
        total = left[0] * right[0]
        for term in range(1, terms):
            total = total + left[term] * right[term]
        return [total], [True]

    # --- loops ---
    def carried(
        self,
        variables: Sequence[Any],
        start: list,
        along: list[bool],
        once: Callable[[list, list[bool], list], tuple[list, list[bool]]],
        rows: list,
    ) -> tuple[list, list[bool]]:
        """What a loop carries from its start on, and which of it has the axis: what ever gets it has it from the beginning.

        Args:
            variables: what the loop calls what it carries.
            start: their values before it.
            along: which of these have the axis.
            once: (carried values, which have the axis, rows) -> the values after one turn, and which of them have it.
            rows: shapes of what each turn is given.
        """
        flags = along
        while True:
            carry = self.taken_along(variables, start, along, flags)
            grown = [a or b for a, b in zip(flags, self.flags_after(once, carry, flags, rows))]
            if grown == flags:
                return carry, flags
            flags = grown

    def flags_after(
        self, once: Callable[..., tuple[list, list[bool]]], carry: list, flags: list, rows: list
    ) -> list[bool]:
        """What has the axis after a turn of a loop; nothing is computed."""
        found: list[bool] = []

        def turn(carry: list, rows: list) -> None:
            found.extend(once(carry, flags, rows)[1])

        jax.eval_shape(turn, carry, rows)
        return found

    def taken_along(
        self, variables: Sequence[Any], values: Sequence, along: Sequence[bool], wanted: list[bool]
    ) -> list:
        """Values that a loop carries on: those of which it is wanted have the axis."""
        wide = zip(variables, values, along, wanted)
        return [self.widened(v, has, var.aval.shape) if want else v for var, v, has, want in wide]

    def _scan(self, equation: Any, values: list, along: list, parameters: dict):
        consts, count = parameters["num_consts"], parameters["num_carry"]
        closed, end = parameters["jaxpr"], consts + count
        variables, sliced = closed.jaxpr.invars[consts:end], values[end:]

        def once(carry: list, flags: list[bool], xs: list) -> tuple[list, list[bool]]:
            given = [*values[:consts], *carry, *xs]
            return self.run(closed, given, [*along[:consts], *flags, *along[end:]])

        rows = [jax.ShapeDtypeStruct(v.shape[1:], v.dtype) for v in sliced]
        carry, flags = self.carried(variables, values[consts:end], along[consts:end], once, rows)
        last: list[bool] = []

        def body(carry: list, xs: list) -> tuple[list, list]:
            out, last[:] = once(carry, flags, xs)
            return self.taken_along(variables, out, last, flags), out[count:]

        options = {name: parameters[name] for name in ("length", "reverse", "unroll")}
        final, stacked = lax.scan(body, carry, sliced, **options)
        return [*final, *stacked], [*flags, *last[count:]]

    def _while(self, equation: Any, values: list, along: list, parameters: dict):
        asked, repeated = parameters["cond_nconsts"], parameters["body_nconsts"]
        end, closed = asked + repeated, parameters["body_jaxpr"]
        variables = closed.jaxpr.invars[repeated:]

        def once(carry: list, flags: list[bool], rows: list) -> tuple[list, list[bool]]:
            return self.run(closed, [*values[asked:end], *carry], [*along[asked:end], *flags])

        carry, flags = self.carried(variables, values[end:], along[end:], once, [])

        def going_on(carry: list) -> Any:
            (go,), (last,) = self.run(
                parameters["cond_jaxpr"], [*values[:asked], *carry], [*along[:asked], *flags]
            )
            if last:
                raise NoRule("a loop that ends at another time for each network")
            return go

        body = lambda carry: self.taken_along(variables, *once(carry, flags, []), flags)
        return lax.while_loop(going_on, body, carry), flags

    def _cond(self, equation: Any, values: list, along: list, parameters: dict):
        if along[0]:
            raise NoRule("another branch for each network")
        shapes = [var.aval.shape for var in equation.outvars]

        def branch(closed: core.ClosedJaxpr) -> Callable[..., list]:
            def taken(*given: Any) -> list:
                out, last = self.run(closed, given, along[1:])
                return [self.widened(v, at, s) for v, at, s in zip(out, last, shapes)]

            return taken

        out = lax.switch(values[0], [branch(b) for b in parameters["branches"]], *values[1:])
        return list(out), [True] * len(out)
