"""What a study was asked for, from what a door of hpjax resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpjax.resolve.searches import written_search
from hpjax.schedulers import Scheduler
from hpjax.settings import Networks, Settings, Stop, settled
from hpjax.space import Space, spelled


def as_settings(
    space: Space,
    networks: Networks | None,
    search: Any,
    scheduler: Scheduler,
    *,
    start: Sequence[Mapping],
    seed: int,
    levels: int | Mapping[str, int],
    batch: int | None,
    stop: Stop,
    fidelities: bool = True,
    comparison: bool = False,
) -> Settings:
    """The settings of a study; arguments as for `tune`, the others as `Settings` has them.

    Raises:
        ValueError: what cannot be written.
    """
    return settled(
        Settings(
            space=space.to_dict(),
            space_hash=space.hash(),
            networks=networks,
            search=written_search(search),
            start=spelled(list(start)),
            scheduler=scheduler.settings,
            fidelity=scheduler.fidelity,
            seed=int(seed),
            levels=levels,  # type: ignore[bad-argument-type]
            batch=batch,
            stop=stop,
            fidelities=fidelities,
            comparison=comparison,
        )
    )
