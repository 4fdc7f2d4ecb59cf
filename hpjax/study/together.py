"""Several studies wait for each other, so that their orders become one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import numpy as np

from hpjax.schedulers.base import Order
from hpjax.study.reports import Report


def together(
    studies: Mapping[int, Generator[Order, Report, None]],
    carry_out: Callable[[dict[int, Order]], Mapping[int, Report]],
) -> None:
    """Drives several studies to their ends: in every round, the orders that all of them wait for are carried out at once.

    Args:
        studies: by number, as `play` makes them.
        carry_out: orders by study -> reports by study.
    """
    waiting = {}
    for number, study in studies.items():
        order = next(study, None)
        if order is not None:
            waiting[number] = order
    while waiting:
        reports = carry_out(waiting)
        following = {}
        for number in waiting:
            try:
                following[number] = studies[number].send(reports[number])
            except StopIteration:
                continue
        waiting = following


def merged(orders: Mapping[int, Order], stride: int) -> Order:
    """Several studies' orders as one; trial t of study s is trial s * stride + t.

    Args:
        orders: by study.
        stride: more than any study's trials.
    """
    shifted = [
        order._replace(
            trial=order.trial + number * stride,
            source=np.where(order.source >= 0, order.source + number * stride, -1),
        )
        for number, order in orders.items()
    ]
    if len({order.grad for order in shifted}) > 1:
        raise ValueError("orders with gradients and without cannot be merged")
    whole = lambda name: np.concatenate([getattr(order, name) for order in shifted])
    return Order(
        whole("trial"),
        whole("unit"),
        whole("source"),
        whole("epochs"),
        whole("seed"),
        shifted[0].grad,
    )
