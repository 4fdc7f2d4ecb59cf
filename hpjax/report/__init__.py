"""Which figures does a run or a comparison have, and which page? From disk."""

from hpjax.report.comparisons import comparison, summary
from hpjax.report.html import write_page
from hpjax.report.hyperparameters import drawn_values, scales
from hpjax.report.learned import learned
from hpjax.report.runs import figures, overview

__all__ = [
    "comparison",
    "drawn_values",
    "figures",
    "learned",
    "overview",
    "scales",
    "summary",
    "write_page",
]
