"""One look for all figures: column sizes, fonts, a colour-blind palette, files that come out the same twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


COLUMN, WIDE = 3.25, 6.75  # inches, as ICML sets them
GOLDEN = 0.618
# Tol, bright
COLORS = (
    "#4477AA",
    "#EE6677",
    "#228833",
    "#CCBB44",
    "#66CCEE",
    "#AA3377",
    "#BBBBBB",
)
# One colour, marker and dash for each method, the same in every figure; peers share their counterpart's colour, dashed.
LOOKS = {
    "random": ("#BBBBBB", "o", "-"), "sobol": ("#66CCEE", "v", "-"), "grid": ("#777777", "s", "-"),
    "manual": ("#000000", "x", "-"), "bayes": ("#4477AA", "D", "-"), "tpe": ("#EE6677", "^", "-"),
    "genetic": ("#228833", "P", "-"), "nsga2": ("#332288", "p", "-"), "differential": ("#CCBB44", "X", "-"), "cmaes": ("#AA3377", "*", "-"),
    "hyperband": ("#DDAA33", "h", "-"), "bohb": ("#BB5566", "<", "-"), "dehb": ("#004488", ">", "-"),
    "pbt": ("#8C564B", "p", "-"), "halving": ("#999933", "d", "-"), "gradient": ("#CC3311", "8", "-"), "gradient_renewed": ("#CC3311", "H", "--"),
    "median": ("#44AA99", "4", "-"), "asha": ("#117733", "<", "-"),
    "Optuna random": ("#BBBBBB", "o", "--"), "Optuna GP": ("#4477AA", "D", "--"), "Optuna TPE": ("#EE6677", "^", "--"),
    "Optuna CMA-ES": ("#AA3377", "*", "--"), "bayesian-optimization": ("#4477AA", "s", ":"),
    "cmaes library": ("#AA3377", "1", ":"), "SciPy DE": ("#CCBB44", "2", ":"), "evosax CMA-ES": ("#AA3377", "3", "-."),
    "evosax DE": ("#CCBB44", "4", "-."), "SMAC": ("#117733", "s", "--"),
}  # fmt: skip
STYLE = {
    "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.linewidth": 0.5, "lines.linewidth": 1.0, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "pdf.fonttype": 42, "svg.fonttype": "none",
    "svg.hashsalt": "hpjax", "figure.dpi": 100, "savefig.dpi": 300,
}  # fmt: skip


def look(name: str) -> dict:
    """How a method's line is drawn; methods without a look of their own get one by their name."""
    if name not in LOOKS:
        number = sum(map(ord, name))
        return {
            "color": COLORS[number % 6],
            "marker": ".",
            "linestyle": ("-", "--", ":")[number % 3],
        }
    color, marker, dash = LOOKS[name]
    return {"color": color, "marker": marker, "linestyle": dash}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Our look for what is drawn within, as a context or a decorator; afterwards the user's is back."""
    with matplotlib.rc_context(STYLE):
        yield


@house_style()
def figure(
    rows: int = 1,
    columns: int = 1,
    width: float = COLUMN,
    height: float | None = None,
    **options: Any,
):
    """A figure and its Axes in the house style; draw on it within `house_style`, too."""
    height = width / columns * GOLDEN * rows * 1.25 if height is None else height
    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, **options)


# logarithmic axes within these are labelled 0.001, 0.1, 10; wider ones by powers of ten
PLAIN = (
    0.9e-4,
    1.1e5,
)


def is_plain(axis: Any) -> bool:
    """Whether what a logarithmic axis shows can be written as numbers."""
    low, high = axis.get_view_interval()
    return low >= PLAIN[0] and high <= PLAIN[1]


def tidy(axis: Any, powers: bool) -> None:
    """A logarithmic axis with labels that fit: a few within less than a decade, at 1, 2 and 5 where it spans few, else at decades.

    Args:
        axis: of Axes.
        powers: whether labels are powers of ten, else numbers.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if axis.get_scale() != "log":
        return
    low, high = axis.get_view_interval()
    if low > 0 and high / low < 60:
        subs = (1, 2, 5) if high / low < 20 else (1, 3)
        axis.set_major_locator(
            MaxNLocator(4, steps=[1, 2, 5, 10]) if high / low < 3 else LogLocator(subs=subs)
        )
    if not powers:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def empty(axes: Axes) -> bool:
    """Whether Axes show nothing: no finite point of a line, no bar, dot, surface, picture or text."""
    drawn = [line for line in axes.lines if np.isfinite(np.asarray(line.get_ydata(), float)).any()]
    return axes.axison and not (
        drawn or axes.collections or axes.patches or axes.images or axes.texts or axes.child_axes
    )


def settle(made: Figure) -> None:
    """Lays the figure out and rounds where its Axes stand: the solver's last bits differ from process to process."""
    made.draw_without_rendering()
    made.set_layout_engine("none")
    for axes in made.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position((round(left, 6), round(bottom, 6), round(width, 6), round(height, 6)))


@house_style()
def save(made: Figure, path: str | Path) -> list[Path]:
    """Writes PNG and SVG without dates, so that equal data give equal bytes; a panel without data is left out."""
    for axes in made.axes:
        if empty(axes):
            axes.set_visible(False)
    every = [axis for axes in made.axes for axis in (axes.xaxis, axes.yaxis)]
    wide = {a.get_label_text() for a in every if a.get_scale() == "log" and not is_plain(a)}
    for axis in every:  # what has one name is written in one way
        name = axis.get_label_text()
        tidy(axis, powers=name in wide if name else not is_plain(axis))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    settle(made)
    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for file, metadata in zip(files, ({"Software": None}, {"Date": None, "Creator": None})):
        part = file.with_name(f".{file.stem}.part{file.suffix}")
        part.unlink(missing_ok=True)  # never through a link of that name
        try:
            made.savefig(part, metadata=metadata)
            part.replace(file)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    return files
