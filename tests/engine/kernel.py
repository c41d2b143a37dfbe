"""Kernel images of corpus workloads, unwinders that know all stacks, and the plan for all four modes."""

from __future__ import annotations

from functools import cache

from lab.arch import arch_by_name
from lab.engine.plan import Injection, Plan
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.workloads import workload_by_name
from lab.machine.machine import Limits
from lab.unwind.api import BOUNDARY, END, FRAME, Cursor, Mem, Reason, Regs, StepResult, Unwinder, load64, strip

ALL = ("boundary", "call", "inject", "blocked")
LIMITS = Limits(1_000_000, 200)
PT_REGS = 2
FROM_RECORDS, LR_NEXT = 0, 1


@cache
def kernel_image(arch: str, workload: str) -> Image:
    """*workload* on *arch* as a task of the lab's kernel."""
    return load_image(build(workload_by_name(workload), arch_by_name(arch), (), "small", runtime="kernel"))


def plan(*unwinders: Unwinder, modes: tuple[str, ...] = ALL, injection: Injection | None = None) -> Plan:
    """Enough for every kernel image of the tests."""
    return Plan(unwinders, modes, LIMITS, 4, injection=injection)


def start_fp(mode: int, pc: int, regs: Regs) -> Cursor:
    """(fp, what is next, the LR of the context at hand)."""
    return regs.fp, FROM_RECORDS, 0


def start_lr(mode: int, pc: int, regs: Regs) -> Cursor:
    """The same, but an interrupted context's LR is a return address, too."""
    if mode == BOUNDARY:
        return regs.fp, LR_NEXT, regs.lr
    return regs.fp, FROM_RECORDS, 0


def _from_regs(mem: Mem, regs: int, lr_at: int) -> tuple[int, int, int]:
    """(pc, fp, lr) of the pt_regs at *regs*."""
    return load64(mem, regs + mem.regs_pc_offset), load64(mem, regs + mem.regs_fp_offset), load64(mem, regs + lr_at)


def _record(mem: Mem, fp: int) -> tuple[int, int, int]:
    """(status, return address, next FP or the address of pt_regs with bit 0 set): one frame record, on any stack."""
    if mem.metadata_offset == 0 and fp & 1:
        return (END, 0, 0) if fp - 1 == mem.task_regs or mem.task_regs == 0 else (FRAME, 0, fp)
    if fp & 7 or fp == 0:
        return Reason.FP_UNALIGNED, 0, 0
    older = load64(mem, fp)
    ra = load64(mem, fp + 8)
    if older == 0 and ra == 0:
        if mem.metadata_offset != 0 and load64(mem, fp + 16) == PT_REGS:
            return FRAME, 0, (fp - mem.metadata_offset) | 1
        return END, 0, 0
    return FRAME, strip(mem, ra), older


def step_fp(mem: Mem, cursor: Cursor) -> StepResult:
    """Records over all stacks, through pt_regs."""
    status, ra, older = _record(mem, cursor[0])
    if status != FRAME or older & 1 == 0 or ra != 0:
        return status, ra, (older, FROM_RECORDS, 0)
    pc, fp, _ = _from_regs(mem, older - 1, 0)
    return FRAME, pc, (fp, FROM_RECORDS, 0)


def step_lr(mem: Mem, cursor: Cursor) -> StepResult:
    """The same with the LR of every interrupted context."""
    fp, next_one, lr = cursor
    if next_one == LR_NEXT:
        return FRAME, strip(mem, lr), (fp, FROM_RECORDS, 0)
    status, ra, older = _record(mem, fp)
    if status != FRAME or older & 1 == 0 or ra != 0:
        return status, ra, (older, FROM_RECORDS, 0)
    pc, older_fp, older_lr = _from_regs(mem, older - 1, 240)
    return FRAME, pc, (older_fp, LR_NEXT, older_lr)


FP = Unwinder("fp-all-stacks", "records over all stacks", "tests", start_fp, step_fp)
LR = Unwinder("fp-lr-all-stacks", "the same with interrupted LRs", "tests", start_lr, step_lr, frozenset({"aarch64"}))
