"""What several requirements are about: kinds of stop, places in the code, images."""

from __future__ import annotations

from typing import Final

INTERRUPTED: Final = ("boundary", "inject")
"""Stops at which an exception interrupts the code in question."""
CALLED: Final = ("call", "blocked")
"""Stops at a call, where unwind state is expected to be consistent."""
NO_LR: Final = "x86-64 has no link register"
INSTRUMENTED: Final = ("pac-register-record", "xray-memory-record")
"""Images with inserted code, one per architecture: what designs that need a shadow stack are looked at on."""
ENTRY: Final = ("vector_*", "call_on_irq_stack", "ret_to_kernel", "ret_to_user")
"""Functions of the small kernel's entry assembly, the same on both architectures (docs/kernel.md)."""
SWITCH: Final = ("cpu_switch_to", "ret_from_fork")
USER_MODE: Final = (
    {"function": ("user_main*", "user_round*", "user_call*")},
    {"arch": ("x86_64",), "function": ("vector_sync_user",)},
)
"""Stops on a user's stack, which no kernel's trace is asked for: in the user program and, since `syscall` leaves SP
alone, in the first instructions of that entry.  Instrumented, the program's sequences are its own code too."""
RUNTIME: Final = ({"function": ("_start", "lab_start", "lab_mix*", "lab_check", "lab_report", "lab_next")},)
"""Code beside a workload's own, where what the workload is about does not happen."""
TRACED: Final = ("outer", "untraced", "work")
"""Functions that tracers are seen from, in workloads of rows 37 and 38; not themselves trampolines."""
UNUSUAL: Final = (14, 15, 18, 33, 34, 35, 36, 44)
"""Rows of workloads in which more goes wrong than that an interrupt comes."""
OWN: Final = {"region": ("original",)}
