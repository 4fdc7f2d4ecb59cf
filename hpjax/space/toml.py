"""Spaces as files: ranges in TOML and JSON, and back."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpjax.space.ranges import Choice, IntUniform, LogIntUniform, LogUniform, Range, Uniform

KINDS: dict[str, type[Range]] = {
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "int_uniform": IntUniform,
    "log_int_uniform": LogIntUniform,
    "choice": Choice,
}


def read(source: str | Path | Mapping) -> dict[str, Any]:
    """The entries of a space from a TOML file or from the mapping that one holds.

    Raises:
        ValueError: a file that cannot be read, or an entry that is no range; names file and entry.
    """
    if isinstance(source, Mapping):
        entries, where = source, "space"
    else:
        where = str(source)
        try:
            entries = tomllib.loads(Path(source).read_text())
        except FileNotFoundError:
            raise ValueError(f"no space file {where}; give the path of a TOML file") from None
        except (OSError, ValueError, RecursionError) as fault:
            raise ValueError(
                f"cannot read the space {where[:200]}: {' '.join(str(fault).split())[:200]}"
            ) from None
    found = {}
    for name, entry in entries.items():
        try:
            found[name] = parsed(entry)
        except (ValueError, TypeError, RecursionError, OverflowError) as fault:
            raise ValueError(f"{where}: {name}: {' '.join(str(fault).split())[:300]}") from None
    return found


def written(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping that a TOML file of these entries would hold."""
    inverse = {kind: name for name, kind in KINDS.items()}
    result: dict[str, Any] = {}
    for name in sorted(entries):
        entry = entries[name]
        if not isinstance(entry, Range):
            result[name] = spelled(entry)
            continue
        values = spelled(entry.values) if isinstance(entry, Choice) else [entry.low, entry.high]
        result[name] = {inverse[type(entry)]: values}
        if entry.condition is not None:
            result[name]["when"] = {entry.condition.name: list(entry.condition.values)}
    return result


def parsed(entry: Any) -> Any:
    if isinstance(entry, Range):
        return entry
    if not isinstance(entry, Mapping):
        return unspelled(entry)
    entry = dict(entry)
    condition = entry.pop("when", None)
    if not all(isinstance(key, str) for key in entry):
        raise ValueError(f"holds names that are no text, got {entry!r:.100}")
    if len(entry) != 1 or next(iter(entry)) not in KINDS:
        raise ValueError(
            f"is none of {', '.join(KINDS)}; write e.g. {{ uniform = [0, 1] }}, got {entry!r:.80}"
        )
    kind, values = next(iter(entry.items()))
    if kind == "choice":
        result = Choice(unspelled(values))
    elif not isinstance(values, Sequence) or len(values) != 2:
        raise ValueError(f"{kind} needs [low, high], got {values!r:.80}")
    else:
        result = KINDS[kind](*values)
    if condition is None:
        return result
    if not isinstance(condition, Mapping) or len(condition) != 1:
        raise ValueError(
            f"when needs one parent, e.g. when = {{ depth = [2, 3] }}, got {condition!r:.80}"
        )
    parent, allowed = next(iter(condition.items()))
    return result.when(parent, *(allowed if isinstance(allowed, (list, tuple)) else [allowed]))


def spelled(value: Any) -> Any:
    """Infinities as text, which JSON can hold."""
    if isinstance(value, Mapping):
        return {name: spelled(v) for name, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(v) for v in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def unspelled(value: Any) -> Any:
    """What `spelled` wrote, back."""
    if isinstance(value, (list, tuple)):
        return [unspelled(v) for v in value]
    return float(value) if value in ("inf", "-inf") else value
