"""The requirements: Documentation/livepatch/reliable-stacktrace.rst of Linux v6.13, sections 2 to 4.6, as data.

The document's demands in our own words, each with the stops at which the lab can see whether it is met.  To
add one, add an entry; tests/conformance checks it against the corpus.  ``lab.conformance.requirement`` says what each
word means.
"""

from __future__ import annotations

from typing import Final

from lab.conformance.requirement import Requirement

INTERRUPTED: Final = ("boundary", "inject")
"""Stops at which an exception interrupts the code in question."""
CALLED: Final = ("call", "blocked")
"""Stops at a call, where unwind state is expected to be consistent."""
NO_LR: Final = "x86-64 has no link register"
INSTRUMENTED: Final = ("pac-register-use", "insertion-memory-use")
"""Images with inserted code, one per architecture: what designs that need a shadow stack are looked at on."""
ENTRY: Final = ("vector_*", "call_on_irq_stack", "ret_to_kernel", "ret_to_user")
"""Functions of the small kernel's entry assembly, the same on both architectures (docs/kernel.md)."""
SWITCH: Final = ("cpu_switch_to", "ret_from_fork")
USER_MODE: Final = (
    {"region": ("handler",), "function": ("user_main", "user_round", "user_call")},
    {"arch": ("x86_64",), "function": ("vector_sync_user",)},
)
"""Stops on a user's stack, which no kernel's trace is asked for: in the user program and, since `syscall` leaves SP
alone, in the first instructions of that entry."""
RUNTIME: Final = ({"function": ("_start", "lab_start", "lab_mix*", "lab_check", "lab_report", "lab_next")},)
"""Code beside a workload's own, where what the workload is about does not happen."""
UNUSUAL: Final = (14, 15, 18, 33, 34, 35, 36, 44)
"""Rows of workloads in which more goes wrong than that an interrupt comes."""
OWN: Final = {"region": ("original",)}

REQUIREMENTS: Final = (
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
        sited=True,
        unless=RUNTIME,
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
        rows=(17, 40),
        where={"offset_class": ("body",), "record_complete": (True,), **OWN},
        sited=True,
        unless=RUNTIME,
    ),
    Requirement(
        id="RS-3-metadata",
        title="metadata that is wrong or old",
        demand="Where rows say something else than the code does, the trace is right or is refused.",
        rows=(20, 33, 34, 35, 36),
        sited=True,
        unless=RUNTIME,
        metadata=True,
    ),
    # 4.1: the end of the stack
    Requirement(
        id="RS-4.1-end",
        title="a chain that ends early is not an end",
        demand="A chain of frames that is broken, loops, or is longer than the consumer's buffer is no complete trace.",
        breaks=("missing", "extra", "crash"),
        modes=CALLED,
        rows=(14, 45),
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
        lacking="no workload of row 43 yet",
    ),
    Requirement(
        id="RS-4.2-trampoline",
        title="trampolines and patched text",
        demand="In trampolines, and where code was patched at run time, the trace is right or is refused.",
        rows=(6, 20, 37, 38),
        sited=True,
        unless=RUNTIME,
        lacking="no workload of rows 6, 20, 37 and 38 yet",
    ),
    # 4.3: across interrupts and exceptions
    Requirement(
        id="RS-4.3-prologue",
        title="an interrupt in a prologue",
        demand="Interrupted before the frame is complete, the trace is right or is refused.",
        modes=INTERRUPTED,
        rows=(12, 13),
        without=UNUSUAL,
        where={"offset_class": ("prologue",), **OWN},
    ),
    Requirement(
        id="RS-4.3-epilogue",
        title="an interrupt in an epilogue",
        demand="Interrupted while the frame is taken down, the trace is right or is refused.",
        modes=INTERRUPTED,
        rows=(12, 13),
        without=UNUSUAL,
        where={"offset_class": ("epilogue",), **OWN},
    ),
    Requirement(
        id="RS-4.3-body",
        title="an interrupt in a body",
        demand="Interrupted in a function's body, the trace is right or is refused.",
        modes=INTERRUPTED,
        rows=(12, 13),
        without=UNUSUAL,
        where={"offset_class": ("body",), **OWN},
    ),
    Requirement(
        id="RS-4.3-inserted",
        title="an interrupt in inserted code",
        demand="Interrupted in code that instrumentation has put in, the trace is right or is refused.",
        modes=INTERRUPTED,
        where={"region": ("inserted", "trampoline")},
        workloads=("tree", "early", "shrinkwrap"),
        proposals=INSTRUMENTED,
    ),
    Requirement(
        id="RS-4.3-nested",
        title="an interrupt taken within an interrupt",
        demand="Interrupted while an exception is handled, the trace is right or is refused.",
        modes=("inject",),
        where={"region": ("handler",), "interrupted": (True,)},
        workloads=("tree", "early"),
    ),
    Requirement(
        id="RS-4.3-preempted",
        title="a task preempted by an interrupt",
        demand="The trace of a task that was switched out at the end of an interrupt is right or is refused.",
        modes=("blocked",),
        where={"interrupted": (True,)},
        workloads=("tree", "early"),
    ),
    Requirement(
        id="RS-4.3-answers",
        title="interrupts are unwound where they can be",
        demand="A design that could unwind across an exception does not refuse every one.",
        modes=INTERRUPTED,
        rows=(12, 13),
        without=UNUSUAL,
        where=OWN,
        answers=True,
        recommended=True,
    ),
    # 4.4: return addresses that were replaced
    Requirement(
        id="RS-4.4-window",
        title="in a return trampoline",
        demand="While a replaced return address is in nobody's usual place, the trace is right or is refused.",
        rows=(37,),
        where={"function": ("*return_to_handler*", "*kretprobe*", "*return_hook*", "*fgraph*")},
        lacking="no workload of row 37 yet",
    ),
    Requirement(
        id="RS-4.4-traced",
        title="below a traced function",
        demand="With return addresses replaced on the stack, the original ones are reported, or it is refused.",
        rows=(37,),
        where=OWN,
        lacking="no workload of row 37 yet",
    ),
    Requirement(
        id="RS-4.4-answers",
        title="traced functions are unwound",
        demand="A trace through functions whose return is traced is not always refused.",
        modes=CALLED,
        rows=(37,),
        where=OWN,
        answers=True,
        recommended=True,
        lacking="no workload of row 37 yet",
    ),
    # 4.5: return addresses that are somewhere else for a while
    Requirement(
        id="RS-4.5-ftrace",
        title="an obscured return address",
        demand="While a call site or trampoline holds the return address in another register, right or refused.",
        rows=(6, 38),
        sited=True,
        unless=RUNTIME,
        lacking="no workload of rows 6 and 38 yet",
    ),
    Requirement(
        id="RS-4.5-register",
        title="a return address in another register",
        demand="A routine that returns through a register of its own is unwound rightly, or it is refused.",
        modes=("boundary", "call"),
        where={"function": ("length_odd",)},
        workloads=("asmleaf",),
    ),
    # 4.6: the link register
    Requirement(
        id="RS-4.6-live",
        title="the caller is in LR alone",
        demand="Interrupted while only LR holds the return address, the caller is reported, or it is refused.",
        modes=INTERRUPTED,
        rows=(29,),
        without=UNUSUAL,
        workloads=("tree", "early", "shrinkwrap"),
        where={"lr_live": (True,), "record_complete": (False,), **OWN},
        arches=("aarch64",),
        elsewhere=NO_LR,
    ),
    Requirement(
        id="RS-4.6-stale",
        title="LR is left over from a call",
        demand="Interrupted while LR no longer holds a live return address, it is not reported as one.",
        breaks=("missing", "extra"),
        modes=INTERRUPTED,
        rows=(29,),
        without=UNUSUAL,
        workloads=("tree", "early", "shrinkwrap"),
        where={"lr_live": (False,), "record_complete": (True,), **OWN},
        arches=("aarch64",),
        elsewhere=NO_LR,
    ),
    Requirement(
        id="RS-4.6-both",
        title="LR and the record hold the same",
        demand="Interrupted while LR and the frame record both hold the return address, it is reported once.",
        breaks=("missing", "extra"),
        modes=INTERRUPTED,
        rows=(29,),
        without=UNUSUAL,
        workloads=("tree", "early", "shrinkwrap"),
        where={"offset_class": ("prologue",), "record_complete": (True,), **OWN},
        arches=("aarch64",),
        elsewhere=NO_LR,
    ),
)
"""Every requirement, in the document's order."""
