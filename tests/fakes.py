"""Stand-ins for the parts the command line calls: registry, runner, explain, rewriting, doctor."""

from __future__ import annotations

import dataclasses
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lab
from lab.errors import InputError
from lab.experiment import Experiment
from lab.store import RunResult
from tests.fake_run import ARCHES, PROPOSALS, UNWINDERS, WORKLOADS, fake_result


@dataclasses.dataclass(frozen=True)
class FakeNames:
    workloads: tuple[tuple[str, tuple[int, ...], str], ...] = tuple(
        (name, (1, 2), f"about {name}") for name in WORKLOADS
    )
    proposals: tuple[str, ...] = PROPOSALS
    unwinders: tuple[str, ...] = UNWINDERS
    rules: tuple[str, ...] = ("cap100", "irq-flag")
    rewriters: tuple[str, ...] = ("pac", "xray")
    compilers: tuple[str, ...] = ("clang",)
    arches: tuple[str, ...] = ARCHES
    modes: tuple[str, ...] = ("boundary", "call")


@dataclasses.dataclass(frozen=True)
class FakeFinding:
    name: str
    version: str | None
    status: str
    cost: str


FINDINGS = (FakeFinding("clang", "22.1.8", "ok", ""), FakeFinding("gdb", None, "missing", "x"))


def run(experiment: Experiment, progress: Callable[[int, int, str], None]) -> RunResult:
    progress(0, 1, "all of it")
    found = fake_result(
        arches=experiment.arches, proposals=experiment.proposals, unwinders=experiment.unwinders,
        workloads=experiment.workloads, modes=experiment.modes, functions=2, insns=16,
    )  # fmt: skip
    progress(1, 1, "all of it")
    return dataclasses.replace(found, experiment=experiment)


def load_unwinder(path: Path) -> Any:
    if "UNWINDER" not in path.read_text():
        raise InputError(f"{path}: defines no UNWINDER")
    return types.SimpleNamespace(name=path.stem)


def demo_names() -> FakeNames:
    """A registry that also knows what the packaged experiment of ``demo`` names."""
    demo = tomllib.loads((Path(lab.__file__).parent / "demo.toml").read_text())
    plain = FakeNames()
    known = {
        "workloads": plain.workloads + tuple((name, (1,), f"about {name}") for name in demo["workloads"]),
        "proposals": plain.proposals + tuple(demo["proposals"]),
        "unwinders": tuple(dict.fromkeys((*plain.unwinders, *demo["unwinders"]))),
    }
    return dataclasses.replace(plain, **known)


class Explained:
    def to_text(self) -> str:
        return "explained"

    def to_json(self) -> dict[str, Any]:
        return {"pc": 1}


def explain(image: Path, pc_text: str, unwinders: list[str], mode: str, hit: int) -> Explained:
    if not image.exists():
        raise InputError(f"{image}: no such file")
    return Explained()


def install(monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> None:
    """Put the stand-ins in place of lab.registry and the rest; *overrides* replace functions by name."""
    parts: dict[str, dict[str, Any]] = {
        "registry": {"names": FakeNames, "load_unwinder": load_unwinder},
        "runner": {"run": run},
        "explain": {"explain": explain},
        "doctor": {"diagnose": lambda: list(FINDINGS)},
        "rewriting": {"rewrite_file": None},
    }  # fmt: skip
    for name, contents in parts.items():
        module = types.ModuleType(f"lab.{name}")
        for key, value in contents.items():
            setattr(module, key, overrides.get(key, value))
        monkeypatch.setitem(sys.modules, f"lab.{name}", module)
        monkeypatch.setattr(lab, name, module, raising=False)
