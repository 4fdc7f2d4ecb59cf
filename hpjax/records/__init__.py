"""What a run leaves on disk, and how it is read again: settings, ledger, curves, seconds, provenance."""

from hpjax.files import (
    RunError,
    encode,
    numbers,
    plain,
    read_json,
    uncollected,
    write_bytes,
    write_csv,
    write_json,
)
from hpjax.records.curves import columns as curve_columns
from hpjax.records.curves import load as load_curves
from hpjax.records.ledger import CHECKPOINT, Ledger, read_ledger, read_times, refuse_occupied
from hpjax.records.provenance import DECIDING, commit, differences, environment, note_environment
from hpjax.records.run import Folder, open_folder
from hpjax.records.tables import (
    costs_and_objectives,
    incumbent,
    lineage,
    objectives_of,
    reports,
    seconds,
    summarise,
)

__all__ = [
    "CHECKPOINT",
    "DECIDING",
    "Folder",
    "Ledger",
    "RunError",
    "commit",
    "costs_and_objectives",
    "curve_columns",
    "differences",
    "encode",
    "environment",
    "incumbent",
    "lineage",
    "load_curves",
    "note_environment",
    "numbers",
    "objectives_of",
    "open_folder",
    "plain",
    "read_json",
    "read_ledger",
    "read_times",
    "refuse_occupied",
    "reports",
    "seconds",
    "summarise",
    "uncollected",
    "write_bytes",
    "write_csv",
    "write_json",
]
