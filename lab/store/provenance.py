"""Where and with what a run was made: argv, git id, versions, CPU, Python.  No paths, no host names."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lab

PACKAGES = (
    "capstone",
    "keystone-engine",
    "lief",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyelftools",
    "unicorn",
    "ziglang",
)
"""Distributions whose version can change what a run finds or how it is written."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """``git_id`` and ``git_dirty`` are None outside a checkout.  ``unwinder_files`` maps a path to its sha256."""

    argv: list[str]
    unwindlab: str
    git_id: str | None
    git_dirty: bool | None
    packages: dict[str, str]
    python: str
    cpu: str
    unwinder_files: dict[str, str]


def here(argv: Sequence[str] = (), unwinder_files: dict[str, str] | None = None) -> Provenance:
    """The provenance of a run made now; *argv* without the program's own path."""
    git_id, dirty = _git()
    return Provenance(
        argv=["unwindlab", *argv],
        unwindlab=lab.__version__,
        git_id=git_id,
        git_dirty=dirty,
        packages={name: version for name in PACKAGES if (version := _version(name))},
        python=f"{platform.python_implementation()} {platform.python_version()}",
        cpu=_cpu(),
        unwinder_files=unwinder_files or {},
    )


def version_differences(old: Provenance, new: Provenance) -> list[str]:
    """One line per version that differs: the likely cause of counts that differ."""
    lines = []
    for name in sorted({*old.packages, *new.packages}):
        before, now = old.packages.get(name, "absent"), new.packages.get(name, "absent")
        if before != now:
            lines.append(f"{name}: {before} then, {now} now")
    pairs = [("unwindlab", old.unwindlab, new.unwindlab), ("python", old.python, new.python)]
    if old.git_id and new.git_id:
        pairs.append(("git", _tree(old), _tree(new)))
    lines += [f"{name}: {before} then, {now} now" for name, before, now in pairs if before != now]
    for path in sorted(old.unwinder_files):
        if new.unwinder_files.get(path) != old.unwinder_files[path]:
            lines.append(f"{path}: the file has changed since")
    return lines


def _tree(made: Provenance) -> str:
    return f"{(made.git_id or '')[:12]}{' with changes' if made.git_dirty else ''}"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git() -> tuple[str | None, bool | None]:
    """(commit, changed) of the checkout this package is tracked in; an installed copy has none."""
    folder = Path(lab.__file__).parent
    if _run_git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    commit, changes = _run_git(folder, "rev-parse", "HEAD"), _run_git(folder, "status", "--porcelain")
    return (commit, bool(changes)) if commit and changes is not None else (None, None)


def _run_git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu() -> str:
    """The processor's name as Linux gives it, else the machine type."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{platform.machine()}: {line.partition(':')[2].strip()}"
    except OSError:
        pass
    return f"{platform.machine()}: {platform.processor() or sys.platform}"
