"""definitions: a call stop belongs to the function that called, also where the call is its last instruction."""

from __future__ import annotations

import pytest

from lab.features import Features
from lab.registry import unwinder
from lab.unwind.api import CALL
from tests.support import ARCH_NAMES, assemble, execute

BODY = {
    "aarch64": "FUNC test_main\n stp x29, x30, [sp, #-16]!\n mov x29, sp\n bl leaves\nEND test_main\n"
    "FUNC next\n sub sp, sp, #16\n ret\nEND next\nFUNC leaves\n mov x0, #0\n mov x8, #94\n svc #0\nEND leaves\n",
    "x86_64": "FUNC test_main\n push %rbp\n mov %rsp, %rbp\n call leaves\nEND test_main\n"
    "FUNC next\n push %rbx\n ret\nEND next\nFUNC leaves\n xor %edi, %edi\n mov $231, %eax\n syscall\nEND leaves\n",
}


@pytest.mark.parametrize("arch", ARCH_NAMES)
def test_a_noreturn_call_at_the_end_is_counted_with_its_function(arch: str) -> None:
    image = assemble(arch, BODY[arch])
    features, after = Features(image, None), image.symbols["next"]
    execution = execute(image, unwinder("oracle"))
    assert execution.outcome.status == 0
    assert after in {tally.pc for tally in execution.tallies if tally.mode == CALL}
    stop = features.at_stop(after, after_call=True)
    start = image.symbols["test_main"]
    assert (stop.function, stop.location) == ("test_main", f"test_main+{after - start:#x}")
    assert stop.offset_class == "body"
    assert features.static(after).function == "next"
    assert features.at_stop(after, after_call=False).offset_class == "prologue"
