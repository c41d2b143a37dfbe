"""The hardware's shadow stack: pushed by calls, popped by returns, exact at every stop; where it would have faulted."""

from __future__ import annotations

import pytest

from lab.engine.plan import Plan
from lab.engine.run import execute as execute_natively
from lab.machine.machine import Limits
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, CALL
from tests.engine.native.agreement import assert_agree, case
from tests.support import ARCH_NAMES, assemble, compile_c, execute, verdicts

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { return leaf(x) + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""
ELSEWHERE = {
    "aarch64": """
FUNC test_main
        stp x29, x30, [sp, #-16]!
        bl victim
        mov x0, #1
landing: ldp x29, x30, [sp], #16
        mov x0, #0
        ret
END test_main
FUNC victim
        adr x30, landing
        ret
END victim
""",
    "x86_64": """
FUNC test_main
        call victim
        mov $1, %eax
        ret
landing: xor %eax, %eax
        ret
END test_main
FUNC victim
        lea landing(%rip), %rax
        mov %rax, (%rsp)
        ret
END victim
""",
}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_it_is_exact_at_every_stop(arch: str) -> None:
    execution = assert_agree(case(compile_c(arch, PROGRAM), [unwinder("hw-shadow")]))
    assert verdicts(execution, BOUNDARY) == {"exact": execution.instructions}
    assert verdicts(execution, CALL) == {"exact": execution.calls}
    assert execution.notes == ()


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_return_to_elsewhere_is_counted(arch: str) -> None:
    image = assemble(arch, ELSEWHERE[arch])
    notes = execute(image, unwinder("hw-shadow")).notes
    assert [note for note in notes if "would have faulted 1 times" in note]
    plan = Plan((unwinder("hw-shadow"),), ("boundary",), Limits(1000, 60))
    assert execute_natively(image, None, plan).notes == notes
