"""RS 2 to 4.2: what a reliable trace promises, code and metadata it rests on, where it ends, where it refuses."""

from __future__ import annotations

from typing import Final

from lab.conformance.conditions import CALLED, ENTRY, INSTRUMENTED, INTERRUPTED, OWN, RUNTIME, SWITCH, TRACED, USER_MODE
from lab.conformance.requirement import Requirement

STACKS: Final = (
    # 2: what a reliable trace promises
    Requirement(
        id="RS-2-trace",
        title="a reliable trace lists every live caller",
        demand="A trace that is called reliable holds every address the task may return to.",
        unless=USER_MODE,
    ),
    Requirement(
        id="RS-2-functions",
        title="every live function is named by it",
        demand="Each live function holds an address of a trace that is called reliable, as live patching looks it up.",
        breaks=("uncovered",),
        rows=(41,),
        unless=USER_MODE,
    ),
    Requirement(
        id="RS-2-corrupt",
        title="a corrupted stack is not trusted",
        demand="Where the program has overwritten frame records or FP, the trace is right or is refused.",
        breaks=("missing", "crash"),
        modes=CALLED,
        rows=(14,),
        without=(15,),
        sited=True,
        unless=RUNTIME,
    ),
    Requirement(
        id="RS-2-shadow",
        title="a corrupted shadow stack is not trusted",
        demand="Where a slot of the shadow stack has been overwritten, the trace is right or is refused.",
        breaks=("missing", "extra", "crash"),
        modes=CALLED,
        rows=(4,),
        sited=True,
        shadow=True,
        proposals=INSTRUMENTED,
    ),
    Requirement(
        id="RS-2-robust",
        title="no walk without end, no unsafe access",
        demand="Whatever the stack holds, the walk ends and reads mapped memory only.",
        breaks=("crash",),
        unless=USER_MODE,
    ),
    # 3: code and metadata that are not as the unwinder expects
    Requirement(
        id="RS-3-call",
        title="a call made without a frame record",
        demand="Seen from a call that a function makes before or without a frame record: right or refused.",
        modes=CALLED,
        rows=(15, 18),
        where={"record_complete": (False,), **OWN},
    ),
    Requirement(
        id="RS-3-frameless",
        title="a body without a frame record",
        demand="Interrupted in a leaf, or where a shrink-wrapped function has no frame yet: right or refused.",
        modes=INTERRUPTED,
        rows=(16, 19),
        where={"offset_class": ("body",), "record_complete": (False,), **OWN},
    ),
    Requirement(
        id="RS-3-pushes",
        title="SP moves outside prologue and epilogue",
        demand="In a body that pushes, pops, or makes room on the stack at run time: right or refused.",
        modes=("boundary", "call", "inject"),
        workloads=("alloca", "dynamicframe", "pushpop", "stackswitch"),
        where={"offset_class": ("body",), **OWN},
        sited=True,
        unless=RUNTIME,
    ),
    Requirement(
        id="RS-3-metadata",
        title="metadata that is wrong or old",
        demand="Where rows say something else than the code does, the trace is right or is refused.",
        rows=(20, 33, 34, 35, 36),
        workloads=("wrongcfi",),
        sited=True,
        unless=RUNTIME,
        metadata=True,
    ),
    Requirement(
        id="RS-3-sites",
        title="sites that a tool did not fill in",
        demand="Where the tool that instruments code has left a site or a file out, right or refused.",
        rows=(5, 32, 34),
        sited=True,
        shadow=True,
        unless=RUNTIME,
        proposals=INSTRUMENTED,
    ),
    # 4.1: the end of the stack
    Requirement(
        id="RS-4.1-end",
        title="a chain that ends early is not an end",
        demand="A chain of frames that is broken, loops, or is longer than the consumer's buffer is no complete trace.",
        breaks=("missing", "extra", "crash"),
        modes=CALLED,
        rows=(45,),
        sited=True,
        unless=RUNTIME,
    ),
    Requirement(
        id="RS-4.1-task",
        title="a sleeping task: to its entry",
        demand="The trace of a task that is switched out reaches the place where the task began.",
        modes=("blocked",),
        where={"interrupted": (False,)},
        workloads=("tree", "early"),
    ),
    # 4.2: code that cannot be unwound
    Requirement(
        id="RS-4.2-entry",
        title="exception entry and exit code",
        demand="At every instruction of exception vectors and entry assembly, the trace is right or is refused.",
        modes=("boundary",),
        where={"region": ("handler",), "function": ENTRY},
        workloads=("tree", "early"),
        unless=USER_MODE,
    ),
    Requirement(
        id="RS-4.2-switch",
        title="the context switch itself",
        demand="At every instruction that switches from one task's stack to another's: right or refused.",
        modes=("boundary",),
        where={"region": ("handler",), "function": SWITCH},
        workloads=("tree", "early"),
    ),
    Requirement(
        id="RS-4.2-bare",
        title="assembly without metadata",
        demand="In hand-written routines that no row describes, the trace is right or is refused.",
        modes=INTERRUPTED,
        rows=(18, 44),
        where={"row_kind": ("none",), **OWN},
    ),
    Requirement(
        id="RS-4.2-foreign",
        title="code that nothing is known about",
        demand="Code made at run time, or foreign, is recognised: the trace is right or is refused.",
        rows=(43,),
        sited=True,
        unless=RUNTIME,
    ),
    Requirement(
        id="RS-4.2-trampoline",
        title="trampolines and patched text",
        demand="In trampolines, and where code was patched at run time, the trace is right or is refused.",
        rows=(6, 20, 37, 38),
        sited=True,
        unless=(*RUNTIME, {"function": TRACED}),
    ),
)
"""In the document's order."""
