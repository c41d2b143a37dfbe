"""System calls that tell the time, or let it pass."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from lab.machine.linux.refusal import Refusal
from lab.machine.linux.table import syscall

if TYPE_CHECKING:
    from lab.machine.linux.kernel import Kernel

_NS = 10**9
_REALTIME = frozenset({0, 5, 8, 11})  # CLOCK_REALTIME, _COARSE, _ALARM, CLOCK_TAI
_CLOCKS = 12


@syscall("int at")
def clock_gettime(k: Kernel, clock: int, address: int) -> int:
    """clock_gettime(2)."""
    if not 0 <= clock < _CLOCKS:
        raise Refusal(errno.EINVAL)
    now = k.clock.look() if clock in _REALTIME else k.clock.since_start()
    k.user.pack(address, "qq", now // _NS, now % _NS)
    return 0


@syscall("int at")
def clock_getres(k: Kernel, clock: int, address: int) -> int:
    """clock_getres(2)."""
    if not 0 <= clock < _CLOCKS:
        raise Refusal(errno.EINVAL)
    if address:
        k.user.pack(address, "qq", 0, 1)
    return 0


@syscall("at at")
def gettimeofday(k: Kernel, address: int, zone: int) -> int:
    """gettimeofday(2)."""
    now = k.clock.look()
    if address:
        k.user.pack(address, "qq", now // _NS, now % _NS // 1000)
    if zone:
        k.user.pack(zone, "ii", 0, 0)
    return 0


@syscall("at")
def time(k: Kernel, address: int) -> int:
    """time(2)."""
    now = k.clock.look() // _NS
    if address:
        k.user.pack(address, "q", now)
    return now


@syscall("at")
def times(k: Kernel, address: int) -> int:
    """times(2), in hundredths of a second."""
    ticks = k.clock.since_start() // 10**7
    if address:
        k.user.pack(address, "qqqq", ticks, 0, 0, 0)
    return ticks


@syscall("int at")
def getrusage(k: Kernel, _who: int, address: int) -> int:
    """getrusage(2): processor time only."""
    now = k.clock.since_start()
    k.user.pack(address, "18q", now // _NS, now % _NS // 1000, *(16 * [0]))
    return 0


@syscall("at at")
def nanosleep(k: Kernel, request: int, _left: int) -> int:
    """nanosleep(2): the clock goes on, nobody waits."""
    seconds, nanoseconds = k.user.unpack("qq", request)
    if seconds < 0 or not 0 <= nanoseconds < _NS:
        raise Refusal(errno.EINVAL)
    k.clock.sleep(seconds * _NS + nanoseconds)
    return 0


@syscall("int flags at at")
def clock_nanosleep(k: Kernel, clock: int, flags: int, request: int, left: int) -> int:
    """clock_nanosleep(2)."""
    if not flags & 1:  # TIMER_ABSTIME
        return nanosleep(k, request, left)
    seconds, nanoseconds = k.user.unpack("qq", request)
    now = k.clock.look() if clock in _REALTIME else k.clock.since_start()
    k.clock.sleep(seconds * _NS + nanoseconds - now)
    return 0
