"""What a run leaves on disk, and how it is read again: settings, ledger, curves, seconds, provenance."""

from hpjax.records.curves import load as load_curves
from hpjax.records.files import (
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
from hpjax.records.ledger import CHECKPOINT, Ledger, read_ledger, read_times, refuse_occupied
from hpjax.records.provenance import commit, differences, environment
from hpjax.records.run import SCHEMA, fingerprints, open_folder, read_settings, settled, unchanged
from hpjax.records.tables import incumbent, lineage, reports, seconds, summarise

__all__ = [
    "CHECKPOINT",
    "SCHEMA",
    "Ledger",
    "RunError",
    "commit",
    "differences",
    "encode",
    "environment",
    "fingerprints",
    "incumbent",
    "lineage",
    "load_curves",
    "numbers",
    "open_folder",
    "plain",
    "read_json",
    "read_ledger",
    "read_settings",
    "read_times",
    "refuse_occupied",
    "reports",
    "seconds",
    "settled",
    "summarise",
    "unchanged",
    "uncollected",
    "write_bytes",
    "write_csv",
    "write_json",
]
