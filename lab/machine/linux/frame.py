"""The frame a signal's handler runs on, and the return from it.

Sources: Linux v6.1 arch/arm64/kernel/signal.c, arch/arm64/include/uapi/asm/{sigcontext,ucontext}.h,
arch/x86/kernel/signal_64.c, arch/x86/include/asm/sigframe.h, arch/x86/include/uapi/asm/sigcontext.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from lab.machine.linux.refusal import Refusal
from lab.machine.linux.signals import SA_RESTORER, SA_SIGINFO, Delivery
from lab.machine.linux.vectors import load_vectors, save_vectors
from lab.machine.outcome import End

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel

SIGSEGV = 11
_X = tuple(f"x{i}" for i in range(31))
_SIGCONTEXT_64 = (
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp"),
    *("pc", "flags"),
)


@dataclass(frozen=True)
class FrameLayout:
    """struct rt_sigframe.  Offsets and sizes in bytes, from its start, which is where SP points in the handler.

    ``registers``: register -> its offset.  ``vectors``: where the floating-point state is, in the frame, or, where it
    lies apart, where its address is (``vectors_apart``); ``vectors_size``: its size.
    """

    size: int
    info: int
    context: int
    mask: int
    registers: MappingProxyType[str, int]
    vectors: int
    vectors_size: int
    vectors_apart: bool
    red_zone: int
    arguments: tuple[str, str, str]


_LAYOUTS = {
    "aarch64": FrameLayout(
        size=4688,
        info=0,
        context=128,
        mask=168,
        registers=MappingProxyType({name: 312 + 8 * i for i, name in enumerate((*_X, "sp", "pc", "flags"))}),
        vectors=592,
        vectors_size=528,
        vectors_apart=False,
        red_zone=0,
        arguments=("x0", "x1", "x2"),
    ),
    "x86_64": FrameLayout(
        size=440,
        info=312,
        context=8,
        mask=304,
        registers=MappingProxyType({name: 48 + 8 * i for i, name in enumerate(_SIGCONTEXT_64)}),
        vectors=232,
        vectors_size=512,
        vectors_apart=True,
        red_zone=128,
        arguments=("rdi", "rsi", "rdx"),
    ),
}
_SEGMENTS = 0x002B_0000_0000_0033  # x86-64: ss and cs of a user process, in sigcontext behind the flags
_SEGMENTS_AT = 48 + 8 * len(_SIGCONTEXT_64)
_UC_FLAGS = {"aarch64": 0, "x86_64": 0x6}  # UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
_HANDLER_CLEARS = 0x0001_0500  # x86-64 flags: RF, DF, TF
_USER_FLAGS = {"aarch64": 0xF000_0000, "x86_64": 0x0000_0CD5}  # what a return may set: the arithmetic flags and DF


def push_frame(k: Kernel, delivery: Delivery) -> tuple[int, int]:
    """Have the guest go on in the handler of *delivery*; (its return address, SP as before a call of it).

    Refusal where the frame has no place on the stack, or nobody says where the handler returns to.
    """
    layout, action = _LAYOUTS[k.arch.name], delivery.action
    link = bool(k.arch.lr)
    restorer = action.restorer if action.flags & SA_RESTORER else k.signals.trampoline
    if not restorer:
        raise Refusal(14)
    registers = {name: k.get(name) for name in layout.registers}
    sp = registers[k.arch.sp]
    top = k.signals.frame_top(sp, action)
    if top == sp:
        top -= layout.red_zone
    frame, vectors, record = _places(layout, top, link=link)
    k.user.write(frame, _frame(k, delivery, registers, vectors if layout.vectors_apart else 0))
    k.user.write(vectors, save_vectors(k.cpu, k.arch))
    if link:
        k.user.pack(record, "QQ", registers[str(k.arch.fp)], registers[str(k.arch.lr)])
    else:
        k.user.pack(frame, "Q", restorer)
    _start_handler(k, layout, delivery, frame)
    k.set("pc", action.handler)
    if link:
        k.set(str(k.arch.lr), restorer)
        k.set(k.arch.fp, record)
    return restorer, frame + k.arch.call_pushes


def _places(layout: FrameLayout, top: int, *, link: bool) -> tuple[int, int, int]:
    """Addresses of the frame, the floating-point state and the frame record (0: none) below *top*."""
    if link:
        record = (top - 16) & ~15
        frame = record - layout.size
        return frame, frame + layout.vectors, record
    vectors = (top - layout.vectors_size) & ~63
    frame = ((vectors - layout.size) & ~15) - 8  # as after a call: 16 bytes aligned plus the return address
    return frame, vectors, 0


def _frame(k: Kernel, delivery: Delivery, registers: dict[str, int], vectors: int) -> bytes:
    layout = _LAYOUTS[k.arch.name]
    data = bytearray(layout.size)
    low, high = k.signals.stack or (0, 0)
    flags = 2 if k.signals.stack is None else int(k.signals.on_stack(registers[k.arch.sp]))
    struct.pack_into("<QQQiiQ", data, layout.context, _UC_FLAGS[k.arch.name], 0, low, flags, 0, high - low)
    for name, offset in layout.registers.items():
        struct.pack_into("<Q", data, offset, registers[name])
    if vectors:
        struct.pack_into("<Q", data, _SEGMENTS_AT, _SEGMENTS)
        struct.pack_into("<Q", data, layout.vectors, vectors)
    struct.pack_into("<Q", data, layout.mask, delivery.mask)
    # struct siginfo: number, errno, code, and of kill and tgkill the sender's process and user.
    struct.pack_into("<iiiiiI", data, layout.info, delivery.number, 0, delivery.code, 0, 1000, 0)
    return bytes(data)


def _start_handler(k: Kernel, layout: FrameLayout, delivery: Delivery, frame: int) -> None:
    """SP, the arguments and the flags of a handler."""
    number, info, context = layout.arguments
    k.set(k.arch.sp, frame)
    k.set(number, delivery.number)
    if k.arch.name == "x86_64" or delivery.action.flags & SA_SIGINFO:
        k.set(info, frame + layout.info)
        k.set(context, frame + layout.context)
    if k.arch.name == "x86_64":
        k.set("rax", 0)
        k.set("flags", k.get("flags") & ~_HANDLER_CLEARS)


def pop_frame(k: Kernel) -> None:
    """rt_sigreturn: registers, floating-point state and mask from the frame at SP; SIGSEGV where there is none."""
    layout = _LAYOUTS[k.arch.name]
    k.resumed = True
    frame = k.get(k.arch.sp) - k.arch.call_pushes  # a handler's return has taken the return address off
    try:
        data = k.user.read(frame, layout.size)
        registers = {name: struct.unpack_from("<Q", data, at)[0] for name, at in layout.registers.items()}
        vectors = frame + layout.vectors
        if layout.vectors_apart:
            (vectors,) = struct.unpack_from("<Q", data, layout.vectors)
        if vectors:
            load_vectors(k.cpu, k.arch, k.user.read(vectors, layout.vectors_size))
    except Refusal:
        k.finish(End.SIGNAL, SIGSEGV, "SIGSEGV: no frame to return from")
        return
    allowed = _USER_FLAGS[k.arch.name]
    registers["flags"] = k.get("flags") & ~allowed | registers["flags"] & allowed
    for name, value in registers.items():
        k.set(name, value)
    k.signals.set_mask(struct.unpack_from("<Q", data, layout.mask)[0])
    k.late = k.signals.resume(frame)
