"""The house rules that a reader relies on: who may import whom, small files, docstrings, no machine's paths."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("lab", "rewriters")
MOST_LINES = 300
SKIPPED = frozenset({".git", ".venv", "__pycache__", "build", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
MACHINE_PATH = re.compile(rb"(?<![\w.$~{}>-])/(?:work|home|root|tmp)/[\w.]")

LAYERS = {
    "lab.arch": {"lab.errors"},
    "lab.layout": {"lab.errors"},
    "lab.truth": set(),
    "lab.lowering": set(),
    "lab.images": {"lab.arch", "lab.errors"},
    "lab.machine": {"lab.arch", "lab.images", "lab.layout", "lab.errors"},
    "lab.metadata": {"lab.arch", "lab.errors"},
    "lab.unwind": {"lab.arch", "lab.layout", "lab.lowering", "lab.metadata", "lab.errors"},
    "lab.verdict": {"lab.unwind"},
    "lab.proposals": {"lab.arch", "lab.layout", "rewriters"},
    "lab.store": {"lab", "lab.experiment", "lab.arch", "lab.errors"},
    "lab.report": {"lab.store", "lab.arch", "lab.errors"},
    "rewriters": {"lab.arch", "lab.images", "lab.layout", "lab.metadata", "lab.errors"},
    "lab.mutation": {
        *("lab", "lab.arch", "lab.cost", "lab.engine", "lab.errors", "lab.explain", "lab.features", "lab.images"),
        *("lab.layout", "lab.machine", "lab.metadata", "lab.registry", "lab.report", "lab.selftest", "lab.unwind"),
        *("lab.verdict", "lab.workers"),
    },
}
"""Part -> the other parts of the project it may import, besides itself."""

ONLY = {
    "unicorn": ("lab.machine",),
    "lief": ("lab.images", "rewriters"),
    "keystone": ("rewriters",),
    "matplotlib": ("lab.report",),
    "numba": ("lab.engine.native", "lab.doctor", "lab.engine_findings"),
    "pyarrow": ("lab.store",),
}
"""Outside package -> the only parts that may import it."""

NEVER_REACHES = {
    "lab.report": ("unicorn", "lief", "lab.machine", "lab.engine", "lab.images"),
    "lab.unwind": ("lab.truth", "lab.machine", "lab.engine", "lab.verdict"),
    "lab.truth": ("lab.unwind", "lab.verdict"),
    "lab.engine.native.classify": ("lab.arch.decode", "lab.machine"),
    "lab.engine.native.core": ("lab.truth", "lab.covers", "lab.features", "lab.arch.decode", "lab.machine"),
    "rewriters": ("lab.unwind", "lab.truth", "lab.machine", "lab.engine"),
    "lab.engine": ("lab.mutation",),
}
"""Part -> what it must not reach through any chain of imports."""


def sources() -> dict[str, Path]:
    """Module name -> file, of both packages."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """Every module that *module* imports anywhere, functions and type-checking blocks included."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import hides what it depends on"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in SOURCES else node.module or "")
    return frozenset(found)


def within(module: str, part: str) -> bool:
    return module == part or module.startswith(part + ".")


def members(part: str) -> Iterator[str]:
    return (module for module in SOURCES if within(module, part))


def reached(part: str) -> dict[str, str]:
    """Everything reachable from *part* by imports -> the module that imports it."""
    seen: dict[str, str] = {}
    todo = list(members(part))
    while todo:
        module = todo.pop()
        for name in imports(module):
            if name not in seen:
                seen[name] = module
                if name in SOURCES:
                    todo.append(name)
    return seen


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 50
    assert all(list(members(part)) for part in LAYERS)


@pytest.mark.parametrize("part", LAYERS)
def test_a_part_imports_only_the_parts_below_it(part: str) -> None:
    allowed = {part, *LAYERS[part]}
    wrong = [
        f"{module} imports {name}"
        for module in members(part)
        for name in sorted(imports(module))
        if name.split(".")[0] in PACKAGES and not _allowed(name, allowed)
    ]
    assert not wrong


def _allowed(name: str, parts: Iterable[str]) -> bool:
    # ``lab`` itself, which imports nothing, is allowed by its own name only.
    return any(name == part if part == "lab" else within(name, part) for part in parts)


@pytest.mark.parametrize("package", ONLY)
def test_an_outside_package_is_known_to_its_own_parts_only(package: str) -> None:
    users = [module for module in SOURCES if any(within(name, package) for name in imports(module))]
    assert users
    assert [user for user in users if not any(within(user, part) for part in ONLY[package])] == []


@pytest.mark.parametrize("part", NEVER_REACHES)
def test_some_parts_are_out_of_reach_however_long_the_way(part: str) -> None:
    seen = reached(part)
    wrong = [
        f"{name} (imported by {by})" for name, by in seen.items() for bar in NEVER_REACHES[part] if within(name, bar)
    ]
    assert not wrong


def test_truth_and_unwind_never_import_each_other() -> None:
    assert not any(within(name, "lab.unwind") for name in imports("lab.truth"))
    assert not any(within(name, "lab.truth") for module in members("lab.unwind") for name in imports(module))


def test_the_package_itself_imports_nothing() -> None:
    assert imports("lab") == frozenset()


@pytest.mark.parametrize("module", SOURCES)
def test_everything_public_says_what_it_is(module: str) -> None:
    silent = [name for name, node in _public(tree(module), module) if not ast.get_docstring(node)]
    assert not silent, f"without a docstring: {', '.join(silent)}"


def _public(node: ast.Module, module: str) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef]]:
    """The module, its public functions and its public classes.  Methods are left to their author."""
    yield module, node
    for item in node.body:
        if isinstance(item, ast.ClassDef | ast.FunctionDef) and not item.name.startswith("_"):
            yield f"{module}.{item.name}", item


def tracked() -> list[Path]:
    """The files of the project: what git tracks, or, in an unpacked archive, every file but the caches."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        listed = [ROOT / name for name in done.stdout.decode().split("\0") if name]
        return [path for path in listed if path.is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not SKIPPED & set(path.relative_to(ROOT).parts)]


def test_no_python_file_is_longer_than_a_small_room() -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in tracked() if path.suffix == ".py"}
    long = [f"{path.relative_to(ROOT)}: {count}" for path, count in lengths.items() if count > MOST_LINES]
    assert lengths
    assert not long


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    files = tracked()
    assert files
    found = [
        f"{path.relative_to(ROOT)}: {hit.group().decode()}"
        for path in files
        for hit in MACHINE_PATH.finditer(path.read_bytes())
    ]
    assert not found


def test_the_path_pattern_finds_what_it_should() -> None:
    for text in (b"see /" + b"work/main", b'"/' + b'home/u"', b"(/" + b"tmp/x)", b"/" + b"root/.cache"):
        assert MACHINE_PATH.search(text)
    for text in (b"$HOME/tmp/x", b"docs/work/x", b"a/tmp/b", b"/tmpfs"):
        assert not MACHINE_PATH.search(text)
