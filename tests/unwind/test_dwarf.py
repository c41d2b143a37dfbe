"""DWARF: exact at every stop of sound code with sound tables; where it is not, the cause is known."""

from __future__ import annotations

from collections import Counter

import pytest

from lab.engine.plan import Plan
from lab.engine.run import execute as execute_natively
from lab.images.toolchain import compiler_names
from lab.images.workloads import all_workloads
from lab.job import Job, prepare
from lab.machine.machine import Limits
from lab.registry import all_proposals, unwinder
from lab.unwind.api import BOUNDARY, CALL
from tests.support import ARCH_NAMES, assemble, execute, verdicts

KNOWN = {
    "asmleaf": ("length_bare", "length_odd"),  # no CFI, or a CFA register that no rule can hold
    "longjmp": ("longjmp",),  # between the restored SP and the jump the old frame's rows do not fit
    "smash": ("work", "smash", "victim"),  # the frames themselves are overwritten
    "brokenchain": ("work", "cut", "closed", "looped"),  # so are the saved frame pointers
    "fpclobber": ("tick", "busy", "number", "borrowed"),  # assembly changes the FP that the CFA is based on
    "pushpop": ("tick", "pushed"),  # assembly moves the SP that the CFA is based on
    "dynamicframe": ("with_room", "tick", "work"),  # the same, by an amount that no row can say
    "stackswitch": ("by_sp", "by_nothing", "tick", "work"),  # the same, or no CFI at all
    "frameless": ("without_cfi", "tick", "work"),  # no CFI
    "wrongcfi": ("helper", "tick", "work"),  # CFI written by hand, wrongly
    "deadslot": ("dead",),  # the return address is said to be below SP
    "nextrow": ("next",),  # the CFI begins with the frame
    "hoistedadd": ("pair",),  # clang's CFA is wrong at two instructions
}
"""Workload -> functions in which DWARF is not exact, and why."""
BELOW_SP = {"asmcall": ("tick", "counted"), "thunkcall": ("tick",)}
"""x86-64: after ``pop rbp`` the row still has RBP below SP, where it is dead.  The 16-byte alignment of the exception
frame leaves it alone unless a call was made with SP misaligned, as inline assembly's calls are."""


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_it_is_exact_at_every_stop_of_the_plain_corpus_but_for_known_causes(arch: str) -> None:
    known = KNOWN | (BELOW_SP if arch == "x86_64" else {})
    base = next(p for p in all_proposals() if p.name == "base")
    wrong: Counter[tuple[str, str]] = Counter()
    exact = 0
    for workload in all_workloads():
        if arch not in workload.arches or workload.changes_code:  # then its tables are of other code: tests/failures
            continue
        job = Job(arch, compiler_names()[0], workload.name, "base", (), (), "small", Limits(), 0)
        image = prepare(job, base, workload).image
        execution = execute_natively(image, None, Plan((unwinder("dwarf"),), ("boundary", "call"), Limits(), 0))
        for tally in execution.tallies:
            if tally.judgement.verdict.value == "exact":
                exact += tally.stops
                continue
            function = image.function_at(tally.pc - (tally.mode == CALL))
            wrong[workload.name, function.name if function else "?"] += tally.stops
    assert exact > 150_000
    assert [place for place in wrong if place[0] not in known] == []
    others = [place for place in wrong if place[0] != "smash" and place[1] not in known[place[0]]]
    assert others == []


DEAD_SLOT = """
FUNC _start
        .cfi_startproc
        .cfi_undefined x30
        bl test_main
        mov x8, #94
        svc #0
        .cfi_endproc
END _start
FUNC test_main
        .cfi_startproc
        stp x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x30, -8
        .cfi_offset x29, -16
        mov x29, sp
        bl callee
        ldp x29, x30, [sp], #16
        .cfi_def_cfa_offset 0
        .cfi_restore x29
        .cfi_restore x30
        mov x0, #0
        ret
        .cfi_endproc
END test_main
FUNC callee
        .cfi_startproc
        paciasp
        .cfi_negate_ra_state
        str x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x30, -16
        mov x0, #3
        ldr x30, [sp], #16
        .cfi_def_cfa_offset 0
dead:   autiasp
        .cfi_negate_ra_state
        .cfi_restore x30
        ret
        .cfi_endproc
END callee
"""


def test_a_dead_slot_below_sp_is_caught_with_the_exception_and_hidden_without() -> None:
    """Row 36: at AUTIASP the row still has the return address below SP.  Nothing has overwritten it until an exception
    does; in the red zone's model, whose frame lies lower, it is still there."""
    image = assemble("aarch64", DEAD_SLOT, start=False)
    dead = image.symbols["dead"]
    at_dead = {}
    for model in ("kernel", "signal"):
        plan = Plan((unwinder("dwarf"),), ("boundary",), Limits(1000, 60), 0, model)
        tallies = execute_natively(image, None, plan, "reference").tallies
        at_dead[model] = {t.judgement.verdict.value for t in tallies if t.pc == dead}
    assert at_dead["signal"] == {"exact"}
    assert at_dead["kernel"] in ({"missing"}, {"refused"})


NO_RETURN = {
    "aarch64": """
FUNC test_main
        .cfi_startproc
        stp x29, x30, [sp, #-16]!
        .cfi_def_cfa_offset 16
        .cfi_offset x30, -8
        .cfi_offset x29, -16
        bl leave
        .cfi_endproc
END test_main
FUNC leave
        .cfi_startproc
        nop
        mov x0, #0
        mov x8, #94
        svc #0
        .cfi_endproc
END leave
""",
    "x86_64": """
FUNC test_main
        .cfi_startproc
        push %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        call leave
        .cfi_endproc
END test_main
FUNC leave
        .cfi_startproc
        nop
        xor %edi, %edi
        mov $231, %eax
        syscall
        .cfi_endproc
END leave
""",
}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_one_byte_before_the_return_address_is_what_is_live(arch: str) -> None:
    """Row 41: after a call that does not return, the return address has the next function's row."""
    image = assemble(arch, NO_RETURN[arch])
    execution = execute(image, unwinder("dwarf"), unwinder("dwarf-pc"), modes=("boundary",))
    inside = image.symbols["leave"]
    reported = {k.unwinder: k.reported for k in execution.stacks if k.pc == inside}
    assert len(reported[0]) == 2, "the caller, and _start, which has no row"
    assert reported[1] != reported[0]
    assert verdicts(execution, BOUNDARY).get("exact", 0) == 0
