"""What a run found and where it is kept: rows, results/<run-id>/, loading, comparing."""

from lab.store.compare import Difference, compare
from lab.store.cost_rows import CostRow
from lab.store.document import RUN_SCHEMA, Run, make_run
from lab.store.folder import Stored, check_root, find_run, load_run, write_run
from lab.store.provenance import Provenance, here, version_differences
from lab.store.rows import (
    DOUBTS,
    VERDICTS,
    Cell,
    CellKey,
    CodeRow,
    ImageRow,
    RunResult,
    StackRow,
    VerdictRow,
    cell_key,
)

__all__ = [
    "DOUBTS",
    "RUN_SCHEMA",
    "VERDICTS",
    "Cell",
    "CellKey",
    "CodeRow",
    "CostRow",
    "Difference",
    "ImageRow",
    "Provenance",
    "Run",
    "RunResult",
    "StackRow",
    "Stored",
    "VerdictRow",
    "cell_key",
    "check_root",
    "compare",
    "find_run",
    "here",
    "load_run",
    "make_run",
    "version_differences",
    "write_run",
]
