"""Programs of unusual shape: jumps out of frames, odd calls, stack switches, code that changes itself.

Each is an assembly file in the folder of its architecture.  ``MAIN`` and ``DONE`` lines open and close test_main;
FUNC, END and the markers are those of tests.support and tests.engine.smash_forms.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

_COMMON = {
    "aarch64": """
FUNC leaf
 add x0, x0, #1
 ret
END leaf
FUNC probe
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl leaf
 ldp x29, x30, [sp], #16
 ret
END probe
""",
    "x86_64": """
FUNC leaf
 inc %eax
 ret
END leaf
FUNC probe
 push %rbp
 mov %rsp, %rbp
 call leaf
 pop %rbp
 ret
END probe
""",
}
_MAIN = {
    "aarch64": """
FUNC test_main
 stp x29, x30, [sp, #-64]!
 mov x29, sp
 stp x19, x20, [sp, #16]
 stp x21, x22, [sp, #32]
 stp x23, x24, [sp, #48]
""",
    "x86_64": """
FUNC test_main
 push %rbp
 mov %rsp, %rbp
 push %rbx
 push %r12
 push %r13
 push %r14
 push %r15
 sub $24, %rsp
""",
}
_DONE = {
    "aarch64": """
 mov w0, #0
 ldp x23, x24, [sp, #48]
 ldp x21, x22, [sp, #32]
 ldp x19, x20, [sp, #16]
 ldp x29, x30, [sp], #64
 ret
END test_main
""",
    "x86_64": """
 xor %eax, %eax
 lea -40(%rbp), %rsp
 pop %r15
 pop %r14
 pop %r13
 pop %r12
 pop %rbx
 pop %rbp
 ret
END test_main
""",
}


def shapes(arch: str) -> dict[str, str]:
    """Name -> text, the markers still in it, of every program for *arch*."""
    found = {}
    for path in sorted((FOLDER / arch).glob("*.s")):
        places = {"MAIN": _MAIN[arch], "DONE": _DONE[arch]}
        found[path.stem] = _COMMON[arch] + "\n".join(places.get(line, line) for line in path.read_text().splitlines())
    return found
