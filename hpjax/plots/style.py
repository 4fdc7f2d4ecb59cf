"""One look for all figures: column sizes, fonts, a colour-blind palette, files that come out the same twice."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure

COLUMN, WIDE = 3.25, 6.75  # inches, as ICML sets them
GOLDEN = 0.618
COLORS = (
    "#4477AA",
    "#EE6677",
    "#228833",
    "#CCBB44",
    "#66CCEE",
    "#AA3377",
    "#BBBBBB",
)  # Tol, bright
STYLE = {
    "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8, "legend.fontsize": 7, "xtick.labelsize": 7,
    "ytick.labelsize": 7, "axes.linewidth": 0.5, "lines.linewidth": 1.0, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "pdf.fonttype": 42, "svg.fonttype": "none",
    "svg.hashsalt": "hpjax", "figure.dpi": 100, "savefig.dpi": 300,
}  # fmt: skip


def figure(
    rows: int = 1, columns: int = 1, width: float = COLUMN, height: float | None = None, **options
):
    """A figure and its Axes in the house style."""
    matplotlib.rcParams.update(STYLE)
    height = width / columns * GOLDEN * rows * 1.25 if height is None else height
    made = Figure(figsize=(width, height), layout="constrained")
    return made, made.subplots(rows, columns, **options)


def save(made: Figure, path: str | Path) -> list[Path]:
    """Writes PNG and SVG without dates, so that equal data give equal bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams.update(STYLE)
    files = [path.with_suffix(".png"), path.with_suffix(".svg")]
    made.savefig(files[0], metadata={"Software": None})
    made.savefig(files[1], metadata={"Date": None, "Creator": None})
    return files
