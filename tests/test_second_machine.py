"""The same images on a second machine: natively on x86-64, under qemu-user on AArch64.  Output must agree.

Only images that bring their own shadow stack can run outside the lab: a parallel shadow stack's region is
mapped by the environment, and an image without a spare program header expects its register set.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab import registry
from lab.cost.counts import count
from lab.images.workloads import all_workloads, workload_by_name
from lab.job import Job, prepare, unsupported
from lab.machine.machine import Limits

PLAIN = [workload for workload in all_workloads() if workload.runtime == "plain"]
QEMU = "qemu-aarch64"
NATIVE = sys.platform == "linux" and platform.machine() == "x86_64"

on_x86 = pytest.mark.skipif(not NATIVE, reason="needs an x86-64 Linux host to run images natively")
on_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"needs {QEMU} (Debian package qemu-user)")


def images(arch: str, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """(workload, proposal) of every image there is."""
    jobs = [Job(arch, "clang", w.name, name, (), (), "small", Limits(), 0) for name in names for w in PLAIN]
    return [(job.workload, job.proposal) for job in jobs if unsupported(job) is None]


def agrees(arch: str, workload: str, name: str, command: list[str]) -> None:
    """The image's emulated output and exit status are those of *command* IMAGE."""
    job = Job(arch, "clang", workload, name, (), (), "small", Limits(), 0)
    subject = prepare(job, registry.proposal(name), workload_by_name(workload))
    layout = subject.rewrite.layout if subject.rewrite else None
    assert layout is None or layout.provider == "image"
    outcome = count(subject.image, layout, Limits()).outcome
    path: Path = subject.image.path
    other = subprocess.run([*command, str(path)], capture_output=True, timeout=60, check=False)
    assert other.stdout == outcome.output
    assert other.returncode == outcome.status == 0


@on_x86
@pytest.mark.parametrize(("workload", "name"), images("x86_64", ("base", "xray", "xray-memory-check")))
def test_native_x86_agrees(workload: str, name: str) -> None:
    agrees("x86_64", workload, name, [])


@on_qemu
@pytest.mark.parametrize(
    ("workload", "name"), images("aarch64", ("base", "pac", "pac-register-use", "xray-memory-check"))
)
def test_qemu_agrees(workload: str, name: str) -> None:
    agrees("aarch64", workload, name, [QEMU])
