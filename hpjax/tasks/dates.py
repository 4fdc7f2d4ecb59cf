"""Dates in a table: what is one, and the numbers that it becomes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

DAY = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")
POINTED = re.compile(r"\d{1,2}\.\d{1,2}\.\d{2,4}\b")  # the day first, wherever it is written so
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[APap][Mm])?")
YEAR = re.compile(r"(?<!\d)(1[5-9]|2\d)\d{2}(?!\d)")
SLASHED = re.compile(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}\b")  # the day or the month first


def likely(words: Sequence[str]) -> str:
    """The remedy where texts may be dates; "" where they do not look like it."""
    if all(SLASHED.match(word) for word in words):
        return "; if they are dates, write YYYY-MM-DD"
    dated = all(YEAR.search(word) or POINTED.match(word) for word in words)
    if dated and not np.isnan(days(words[:100])).any():
        return '; if they are dates, say so (columns={name: "date"}, --date name)'
    return ""


def unclear(values: Sequence[Any]) -> Any:
    """The first value that has the day or the month first, which cannot be told; None where there is none."""
    return next((value for value in values if SLASHED.match(str(value))), None)


def days(values: Sequence[Any]) -> np.ndarray:
    """Days since 1970 [n] of dates, in UTC where they say their zone; NaN where a value is none. With points, the day stands first."""
    import pandas

    clocks = np.array([bool(CLOCK.fullmatch(str(value))) for value in values], bool)  # no day
    each = pandas.Series(values, dtype=object).mask(clocks)
    pointed = each.astype(str).str.match(POINTED)
    found = np.full(len(each), np.nan)
    for dayfirst in (False, True):
        some = each[pointed == dayfirst]
        when = pandas.to_datetime(
            some, errors="coerce", utc=True, format="mixed", dayfirst=dayfirst
        )
        read = when.dt.tz_localize(None).to_numpy("M8[us]")
        found[some.index] = (read - np.datetime64(0, "us")) / np.timedelta64(1, "D")
    return found


def parts(days: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers that dates become, by what is added to a column's name: days since 1970 [n] as they are, the weekday from 0 (Monday), and
    the day of the year from 1.
    """
    when = moments(days).astype("M8[D]")
    weekday = (when - np.datetime64("1970-01-05")) % np.timedelta64(7, "D")
    past = when - when.astype("M8[Y]")
    of_week, of_year = (each / np.timedelta64(1, "D") for each in (weekday, past))
    return {"": days, " (weekday)": of_week, " (day of the year)": of_year + 1}


def moments(days: np.ndarray) -> np.ndarray:
    """Days since 1970 as moments, to the microsecond."""
    there = np.isfinite(days)
    rounded = np.round(np.where(there, days, 0) * 86_400_000_000).astype("M8[us]")
    return np.where(there, rounded, np.datetime64("NaT", "us"))
