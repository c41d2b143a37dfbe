"""graph, kretprobe: a return address that a tracer has replaced is looked up on the task's return stack.

Equation, for each return address ra that the wrapped unwinder found, of a frame F::

    graph       ra = return_to_handler:         ra' = ret of the newest entry, below the one used last, with
                                                      retp = F and ret != return_to_handler
    kretprobe   ra = the kretprobe trampoline:  ra' = ret_addr of the newest instance, after the one used last,
                                                      with frame = F

F is the caller's frame pointer (arm64) or the address of the return address (x86-64).  Where nothing matches, arm64
refuses (-EINVAL); x86-64 keeps return_to_handler's address, as ftrace_graph_ret_addr gives it back, and has an address
of 0, which is refused, for a kretprobe.  Only the entry address itself is looked up: an address within a trampoline
is one of its own frame.

Unlike the other rules these refuse nothing that the unwinder vouches for: they say what it found.

Source: Linux v6.13 arch/arm64/kernel/stacktrace.c (kunwind_recover_return_address), arch/x86/include/asm/unwind.h
(unwind_recover_ret_addr), kernel/trace/fgraph.c (ftrace_graph_ret_addr), kernel/kprobes.c (kretprobe_find_ret_addr),
kernel/trace/rethook.c (rethook_find_ret_addr).
"""

from __future__ import annotations

from lab.unwind.api import FRAME, Cursor, Mem, Reason, Regs, load64
from lab.unwind.rules.api import Rule

INSTANCES, ENTRIES, ENTRY = 8, 16, 24
"""Offsets in the task's trace, after the count of entries: the newest instance, the entries; bytes of an entry."""
RET, RETP = 0, 16
NEXT, RET_ADDR, OF_FRAME = 0, 8, 16


def begin(mode: int, pc: int, regs: Regs) -> Cursor:
    """(the entry, counted from 1, or instance used last; 0 while there is none,)."""
    return (0,)


def graph(mem: Mem, words: Cursor, ra: int, frame: int) -> tuple[int, int, Cursor]:
    """(FRAME or a Reason, the address, words) for *ra*, which the frame *frame* returns to."""
    last = words[0]
    if ra != mem.return_to_handler or mem.task_trace == 0:
        return FRAME, ra, (last,)
    at = last - 1 if last != 0 else load64(mem, mem.task_trace)
    while at != 0:
        entry = mem.task_trace + ENTRIES + (at - 1) * ENTRY
        ret = load64(mem, entry + RET)
        if load64(mem, entry + RETP) == frame and ret != mem.return_to_handler:
            return FRAME, ret, (at,)
        at = at - 1
    return (FRAME if mem.metadata_offset == 0 else Reason.NOT_RECORDED), ra, (last,)


def kretprobe(mem: Mem, words: Cursor, ra: int, frame: int) -> tuple[int, int, Cursor]:
    """The same for a kretprobe's trampoline."""
    last = words[0]
    if ra != mem.kretprobe_trampoline or mem.task_trace == 0:
        return FRAME, ra, (last,)
    at = load64(mem, last + NEXT) if last != 0 else load64(mem, mem.task_trace + INSTANCES)
    while at != 0:
        if load64(mem, at + OF_FRAME) == frame:
            return FRAME, load64(mem, at + RET_ADDR), (at,)
        at = load64(mem, at + NEXT)
    return Reason.NOT_RECORDED, ra, (last,)


RULES = (
    Rule("graph", "the function-graph tracer's return stack", "Linux v6.13 fgraph.c", begin, recover=graph),
    Rule("kretprobe", "kretprobes' return addresses", "Linux v6.13 kprobes.c, rethook.c", begin, recover=kretprobe),
)
