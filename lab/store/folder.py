"""results/<run-id>/: written into a hidden sibling folder, then renamed whole; read back with every check."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from lab.errors import EngineError, InputError
from lab.experiment import did_you_mean
from lab.store.compare import compare
from lab.store.cost_rows import CostRow
from lab.store.document import Run, make_run, read_document, to_json
from lab.store.rows import CodeRow, RunResult, StackRow, VerdictRow, sort_key
from lab.store.tables import read_table, write_table

DOCUMENT = "run.json"
COSTS = "cost.parquet"
_REPLACE_TRIES = 100
_PARTITION = frozenset({"arch"})


@dataclass(frozen=True)
class Stored:
    """Where a run was written, and warnings: what differs from an older run of the same id, if anything."""

    path: Path
    warnings: list[str]


def check_root(root: Path) -> None:
    """Make the results folder; InputError before the long work starts, not after it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{root}: cannot make the results folder: {error.strerror}") from error
    if (root / DOCUMENT).exists():
        raise InputError(f"{root}: is itself a run, and is replaced as a whole; choose the folder above it with -o")
    if not os.access(root, os.W_OK | os.X_OK):
        raise InputError(f"{root}: the results folder is not writable; choose another with -o")


def write_run(run: Run, root: Path, render: Callable[[Run, Path], None]) -> Stored:
    """Write *run* under *root* as a whole or not at all; *render* adds the reports to the given folder.

    An older run of the same id is compared first and then replaced.
    """
    check_root(root)
    target = root / run.run_id
    warnings = _repeats(run, target)
    try:
        with _scratch(root) as scratch:
            _write_tables(run.result, scratch)
            render(run, scratch)
            (scratch / DOCUMENT).write_text(to_json(run), encoding="utf-8")
            scratch.chmod(0o755)
            _replace(scratch, target)
    except OSError as error:
        raise InputError(f"{root}: cannot write the results: {error.strerror or error}") from error
    return Stored(target, warnings)


def load_run(name: str | Path, roots: Sequence[Path]) -> Run:
    """The run in a folder, or the run called *name* (its id or a unique beginning) in one of *roots*.

    InputError, one line, if there is none, or if it is half-written, corrupt or of another schema.
    """
    folder = find_run(name, roots)
    document = read_document(folder / DOCUMENT)
    try:
        verdicts, stacks, costs = _read_verdicts(folder), _read_stacks(folder), read_table(folder / COSTS, CostRow)
        code = _read_code(folder)
    except OSError as error:  # another process replaces the run
        raise InputError(f"{folder}: cannot read this run: {error.strerror}; try again") from error
    try:
        result = RunResult(
            experiment=document.config,
            cells=document.cells,
            verdicts=verdicts,
            stacks=stacks,
            costs=costs,
            images=document.images,
            compilers=document.compilers,
            notes=document.notes,
            code=code,
        )
    except EngineError as error:
        raise InputError(f"{folder}: {error}; a table is lost or cut: run the experiment again") from error
    run = make_run(result, document.provenance)
    if run.run_id != document.run_id:
        raise InputError(
            f"{folder / DOCUMENT}: run id {document.run_id}, but its configuration and images make {run.run_id}; "
            "run the experiment again"
        )
    return run


def find_run(name: str | Path, roots: Sequence[Path]) -> Path:
    """The folder of the run *name*: a folder's path, a run id, or a unique beginning of one."""
    known: dict[str, Path] = {}
    for root in roots:
        for path in sorted(root.glob(f"*/{DOCUMENT}")):
            if not path.parent.name.startswith("."):
                known.setdefault(path.parent.name, path.parent)
    if str(name) in known:
        return known[str(name)]
    if Path(name).is_dir():
        return Path(name)
    starts = [run for run in known if len(str(name)) >= 4 and run.startswith(str(name))]
    if len(starts) == 1:
        return known[starts[0]]
    searched = ", ".join(str(root) for root in roots)
    if starts:
        raise InputError(f"run '{name}' is not unique in {searched}: {', '.join(starts)}")
    raise InputError(f"unknown run '{name}' in {searched}{did_you_mean(str(name), known)}")


def _repeats(run: Run, target: Path) -> list[str]:
    """Differences to an older run of the same id: there should be none, for the id says the inputs are equal."""
    if not target.exists():
        return []
    try:
        older = load_run(target, [])
    except InputError as error:
        return [f"an older run of the same id was unreadable and has been replaced: {error}"]
    differences = compare(older, run)
    return [f"repeats that should be equal differ: {difference}" for difference in differences]


@contextlib.contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(scratch: Path, target: Path) -> None:
    """Rename *scratch* to *target*; an older *target* is set aside first and put back if that fails.

    Another process may do the same at the same moment: whoever comes last stays.
    """
    for _ in range(_REPLACE_TRIES):
        with tempfile.TemporaryDirectory(prefix=".replaced-", dir=target.parent, ignore_cleanup_errors=True) as folder:
            aside = Path(folder) / target.name
            try:
                with contextlib.suppress(FileNotFoundError):
                    target.rename(aside)
                scratch.rename(target)
                return
            except BaseException as error:
                if isinstance(error, OSError) and error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    continue  # the other's, of the same id
                if aside.exists():
                    aside.rename(target)
                raise
    raise InputError(f"{target}: other runs keep replacing it; try again")


def _write_tables(result: RunResult, folder: Path) -> None:
    parts: dict[tuple[str, str], list[VerdictRow]] = defaultdict(list)
    for row in result.verdicts:
        parts[row.arch, f"{row.workload}+{row.proposal}"].append(row)
    for (arch, image), rows in sorted(parts.items()):
        part = folder / "verdicts" / f"arch={_escape(arch)}" / f"image={_escape(image)}"
        part.mkdir(parents=True)
        write_table(part / "part.parquet", VerdictRow, rows, omit=_PARTITION)
    (folder / "stacks").mkdir()
    for arch in sorted({row.arch for row in result.stacks}):
        stacks = [row for row in result.stacks if row.arch == arch]
        write_table(folder / "stacks" / f"{_escape(arch)}.parquet", StackRow, stacks)
    write_table(folder / COSTS, CostRow, result.costs)
    if result.code:
        (folder / "code").mkdir()
    for arch in sorted({row.arch for row in result.code}):
        write_table(
            folder / "code" / f"{_escape(arch)}.parquet",
            CodeRow,
            [row for row in result.code if row.arch == arch],
            omit=_PARTITION,
        )


def _read_verdicts(folder: Path) -> list[VerdictRow]:
    rows: list[VerdictRow] = []
    for path in sorted(folder.glob("verdicts/arch=*/image=*/*.parquet")):
        arch = unquote(path.parent.parent.name.removeprefix("arch="))
        rows += read_table(path, VerdictRow, {"arch": arch})
    return rows


def _read_stacks(folder: Path) -> list[StackRow]:
    if not (folder / "stacks").is_dir():
        raise InputError(f"{folder / 'stacks'}: the tables of kept stacks are lost; run the experiment again")
    rows = [row for path in folder.glob("stacks/*.parquet") for row in read_table(path, StackRow)]
    return sorted(rows, key=sort_key)


def _read_code(folder: Path) -> list[CodeRow]:
    """Empty where an older unwindlab wrote the run."""
    rows: list[CodeRow] = []
    for path in sorted(folder.glob("code/*.parquet")):
        rows += read_table(path, CodeRow, {"arch": unquote(path.stem)})
    return rows


def _escape(name: str) -> str:
    """*name* as one path component (percent-encoded, the form Parquet readers decode)."""
    return quote(name, safe="+")
