"""System calls about signals."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lab.machine.linux.calls_process import PID
from lab.machine.linux.frame import pop_frame
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.signals import SI_TKILL, SI_USER, SIG_DFL, SIG_IGN, Action, check
from lab.machine.linux.table import syscall

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel

SET_BYTES = 8
_BLOCK, _UNBLOCK, _SETMASK = 0, 1, 2
_SS_DISABLE, _SS_ONSTACK, _LEAST_STACK = 2, 1, 2048
_FLAGS_SHOWN = 0xFFFF_FFFF


def _set_size(size: int) -> None:
    if size != SET_BYTES:
        raise Refusal(errno.EINVAL)


@syscall("int at at size")
def rt_sigaction(k: Kernel, number: int, new: int, old: int, size: int) -> int:
    """rt_sigaction(2)."""
    _set_size(size)
    check(number, catch=bool(new))
    before = k.signals.action(number)
    if new:
        handler, flags, restorer, mask = k.user.unpack("4Q", new)
        k.remark = (
            f"{ {SIG_DFL: 'default', SIG_IGN: 'ignore'}.get(handler, 'handler') } {flags & _FLAGS_SHOWN:#x} {mask:#x}"
        )
        k.signals.set_action(number, Action(handler, flags, restorer, mask))
    if old:
        k.user.pack(old, "4Q", before.handler, before.flags, before.restorer, before.mask)
    return 0


@syscall("int at at size")
def rt_sigprocmask(k: Kernel, how: int, new: int, old: int, size: int) -> int:
    """rt_sigprocmask(2)."""
    _set_size(size)
    before = k.signals.mask
    if new:
        (bits,) = k.user.unpack("Q", new)
        masks = {_BLOCK: before | bits, _UNBLOCK: before & ~bits, _SETMASK: bits}
        if how not in masks:
            raise Refusal(errno.EINVAL)
        k.remark = f"{bits:#x}"
        k.signals.set_mask(masks[how])
    if old:
        k.user.pack(old, "Q", before)
    return 0


@syscall("at size")
def rt_sigpending(k: Kernel, address: int, size: int) -> int:
    """rt_sigpending(2)."""
    if size > SET_BYTES:
        raise Refusal(errno.EINVAL)
    pending = sum(1 << (number - 1) for number in k.signals.pending)
    k.user.write(address, pending.to_bytes(8, "little")[:size])
    return 0


@syscall("at size")
def rt_sigsuspend(k: Kernel, address: int, size: int) -> int:
    """rt_sigsuspend(2), where a signal is waiting already; nobody would send another."""
    _set_size(size)
    (mask,) = k.user.unpack("Q", address)
    if not any(not mask >> (number - 1) & 1 for number in k.signals.pending):
        raise Refusal(errno.EDEADLK, "would wait for ever")
    k.signals.restore = k.signals.mask
    k.signals.set_mask(mask)
    raise Refusal(errno.EINTR)


@syscall("at at")
def sigaltstack(k: Kernel, new: int, old: int) -> int:
    """sigaltstack(2)."""
    sp = k.get(k.arch.sp)
    stack, on_it = k.signals.stack, k.signals.on_stack(sp)
    if new:
        low, flags, size = k.user.unpack("QiiQ", new)[:2] + k.user.unpack("QiiQ", new)[3:]
        if on_it:
            raise Refusal(errno.EPERM)
        if flags & ~_SS_DISABLE & ~_SS_ONSTACK:
            raise Refusal(errno.EINVAL)
        if not flags & _SS_DISABLE and (size < _LEAST_STACK or low + size >= 1 << 64):
            raise Refusal(errno.ENOMEM)
        k.signals.stack = None if flags & _SS_DISABLE else (low, low + size)
    if old:
        low, high = stack or (0, 0)
        flags = _SS_DISABLE if stack is None else _SS_ONSTACK * on_it
        k.user.pack(old, "QiiQ", low, flags, 0, high - low)
    return 0


@syscall("int int")
def kill(k: Kernel, process: int, number: int) -> int:
    """kill(2) of this process, or of all of its group, which is the same."""
    if process not in {PID, 0, -1, -PID}:
        raise Refusal(errno.ESRCH)
    return _send(k, number, SI_USER)


@syscall("int int")
def tkill(k: Kernel, thread: int, number: int) -> int:
    """tkill(2)."""
    return tgkill(k, PID, thread, number)


@syscall("int int int")
def tgkill(k: Kernel, process: int, thread: int, number: int) -> int:
    """tgkill(2)."""
    if (process, thread) != (PID, PID):
        raise Refusal(errno.ESRCH)
    return _send(k, number, SI_TKILL)


def _send(k: Kernel, number: int, code: int) -> int:
    if number:
        check(number)
        k.signals.send(number, code)
    return 0


@syscall()
def rt_sigreturn(k: Kernel) -> int:
    """rt_sigreturn(2): everything is as the frame says."""
    pop_frame(k)
    return 0
