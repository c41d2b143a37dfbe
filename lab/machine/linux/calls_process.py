"""System calls about the process, time, identity and limits.  There is one process, one thread and one user, 0."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

from lab.machine.cpu import set_thread_pointer
from lab.machine.linux.descriptors import MOST
from lab.machine.linux.records import sysinfo_bytes, uname_bytes
from lab.machine.linux.refusal import Refusal
from lab.machine.linux.table import syscall
from lab.machine.outcome import End

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel

PID, PARENT = 1000, 999
_ARCH_SET_FS, _ARCH_GET_FS = 0x1002, 0x1003
_INFINITY = (1 << 64) - 1
_STACK, _FILES = 8 << 20, MOST
_LIMITS = 16  # RLIM_NLIMITS
_RLIMIT_STACK, _RLIMIT_NOFILE = 3, 7
RANDOM_MOST = 1 << 20


@syscall("int", "exit", "exit_group")
def finish(k: Kernel, status: int) -> int:
    """exit_group(2)."""
    k.finish(End.EXIT, status & 0xFF, "")
    return 0


@syscall("", "clone", "clone3", "fork", "vfork", "execve", "execveat")
def no_processes(_k: Kernel) -> int:
    """No second process or program."""
    raise Refusal(errno.ENOSYS, "one process only")


@syscall("int int int", "socket")
def no_network(_k: Kernel, _family: int, _kind: int, _protocol: int) -> int:
    """socket(2): no family of addresses."""
    raise Refusal(errno.EAFNOSUPPORT, "no network")


@syscall("int", "getpeername")
def no_socket(k: Kernel, descriptor: int) -> int:
    """getpeername(2): no descriptor is a socket."""
    k.descriptors.file(descriptor)
    raise Refusal(errno.ENOTSOCK)


@syscall("", "wait4", "waitid")
def no_children(_k: Kernel) -> int:
    """wait4(2) of a process without children."""
    raise Refusal(errno.ECHILD)


@syscall("", "getpid", "gettid", "getpgrp")
def own_id(_k: Kernel) -> int:
    """getpid(2)."""
    return PID


@syscall("int", "getpgid", "getsid")
def group_of(_k: Kernel, process: int) -> int:
    """getpgid(2)."""
    if process not in {0, PID}:
        raise Refusal(errno.ESRCH)
    return PID


@syscall()
def getppid(_k: Kernel) -> int:
    """getppid(2)."""
    return PARENT


@syscall("", "getuid", "geteuid", "getgid", "getegid", "getgroups", "sched_yield")
def zero(_k: Kernel) -> int:
    """Calls of one user, 0, in no further groups, and of one thread."""
    return 0


@syscall("int int int", "setuid", "setgid", "setresuid", "setresgid", "setpgid", "setgroups")
def unchanged(_k: Kernel, _first: int, _second: int, _third: int) -> int:
    """Calls that would change an identity: accepted, and nothing comes of them."""
    return 0


@syscall("at at at", "getresuid", "getresgid")
def identities(k: Kernel, *places: int) -> int:
    """getresuid(2)."""
    for place in places:
        k.user.pack(place, "I", 0)
    return 0


@syscall("at")
def set_tid_address(_k: Kernel, _address: int) -> int:
    """set_tid_address(2)."""
    return PID


@syscall("at size")
def set_robust_list(_k: Kernel, _address: int, size: int) -> int:
    """set_robust_list(2)."""
    if size != 24:
        raise Refusal(errno.EINVAL)
    return 0


@syscall("at int flags at")
def futex(k: Kernel, address: int, operation: int, value: int, _timeout: int) -> int:
    """futex(2): nobody to wake, and nobody who could wake this thread."""
    match operation & 0x7F:
        case 0:
            if k.user.unpack("I", address)[0] == value:
                raise Refusal(errno.EDEADLK, "would wait for ever")
            raise Refusal(errno.EAGAIN)
        case 1:
            return 0
        case _:
            raise Refusal(errno.ENOSYS)


@syscall("int at")
def arch_prctl(k: Kernel, code: int, value: int) -> int:
    """arch_prctl(2): the FS base."""
    if code == _ARCH_SET_FS:
        if value >= 1 << 47:
            raise Refusal(errno.EPERM)
        set_thread_pointer(k.cpu, value)
        return 0
    raise Refusal(errno.EINVAL)


@syscall("int")
def prctl(_k: Kernel, _option: int) -> int:
    """prctl(2): no option."""
    raise Refusal(errno.EINVAL)


@syscall("at")
def uname(k: Kernel, address: int) -> int:
    """uname(2)."""
    k.user.write(address, uname_bytes(k.arch.name))
    return 0


@syscall("at")
def sysinfo(k: Kernel, address: int) -> int:
    """sysinfo(2)."""
    k.user.write(address, sysinfo_bytes())
    return 0


@syscall("int size at")
def sched_getaffinity(k: Kernel, _process: int, size: int, address: int) -> int:
    """sched_getaffinity(2): one processor."""
    if size < 8 or size % 8:
        raise Refusal(errno.EINVAL)
    k.user.pack(address, "Q", 1)
    return 8


@syscall("at size flags")
def getrandom(k: Kernel, address: int, size: int, _flags: int) -> int:
    """getrandom(2): SHA-256 of a counter, the same in every run."""
    found = bytearray()
    while len(found) < min(size, RANDOM_MOST):
        found += hashlib.sha256(b"unwindlab %d" % k.random).digest()
        k.random += 1
    data = bytes(found[: min(size, RANDOM_MOST)])
    k.user.write(address, data)
    return len(data)


@syscall("int int at at")
def prlimit64(k: Kernel, process: int, resource: int, new: int, old: int) -> int:
    """prlimit(2): fixed limits; new ones are read and forgotten."""
    if process not in {0, PID}:
        raise Refusal(errno.ESRCH)
    if not 0 <= resource < _LIMITS:
        raise Refusal(errno.EINVAL)
    if new:
        k.user.unpack("QQ", new)
    if old:
        limit = {_RLIMIT_STACK: _STACK, _RLIMIT_NOFILE: _FILES}.get(resource, _INFINITY)
        k.user.pack(old, "QQ", limit, limit)
    return 0


@syscall("int at")
def getrlimit(k: Kernel, resource: int, address: int) -> int:
    """getrlimit(2)."""
    return prlimit64(k, 0, resource, 0, address)


@syscall("int at")
def setrlimit(k: Kernel, resource: int, address: int) -> int:
    """setrlimit(2)."""
    return prlimit64(k, 0, resource, address, 0)


@syscall("at flags at at at", "ppoll")
def ppoll(k: Kernel, address: int, count: int, _timeout: int, _mask: int, _size: int) -> int:
    """ppoll(2): whatever can be read or written can be so at once."""
    if count > MOST:
        raise Refusal(errno.EINVAL)
    ready = 0
    for at in range(address, address + 8 * count, 8):
        descriptor, events = k.user.unpack("ih", at)
        found = _events(k, descriptor, events)
        ready += found != 0
        k.user.pack(at + 6, "h", found)
    return ready


def _events(k: Kernel, descriptor: int, events: int) -> int:
    if descriptor < 0:
        return 0
    try:
        file = k.descriptors.file(descriptor)
    except Refusal:
        return 0x20  # POLLNVAL
    return events & ((1 if file.readable else 0) | (4 if file.writable else 0))


@syscall("at flags int")
def poll(k: Kernel, address: int, count: int, _timeout: int) -> int:
    """poll(2)."""
    return ppoll(k, address, count, 0, 0, 0)
