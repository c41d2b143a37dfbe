"""Signals: the frame a handler gets, the return from it, and which handler runs when."""

from __future__ import annotations

import random
import struct

import pytest
from unicorn import arm64_const, x86_const

from lab.machine.outcome import End
from tests.machine.linux.driver import CODE, SCRATCH, SCRATCH_SIZE, Driver
from tests.support import ARCH_NAMES

PID = 1000
HANDLER, OTHER, RESTORER = CODE + 0x100, CODE + 0x200, CODE + 0x300
SA_SIGINFO, SA_ONSTACK, SA_RESTORER, SA_NODEFER, SA_RESETHAND = 4, 1 << 27, 1 << 26, 1 << 30, 1 << 31
USR1, USR2, TERM, CHLD, KILL = 10, 12, 15, 17, 9
ARGUMENTS = {"aarch64": ("x0", "x1", "x2"), "x86_64": ("rdi", "rsi", "rdx")}
VECTOR = {"aarch64": arm64_const.UC_ARM64_REG_Q7, "x86_64": x86_const.UC_X86_REG_XMM7}


@pytest.fixture(params=ARCH_NAMES)
def driver(request: pytest.FixtureRequest) -> Driver:
    return Driver(request.param)


def catch(driver: Driver, number: int, handler: int = HANDLER, flags: int = SA_SIGINFO, mask: int = 0) -> None:
    action = struct.pack("<4Q", handler, flags | SA_RESTORER, RESTORER, mask)
    assert driver.call("rt_sigaction", number, action, 0, 8) == 0


def raised(driver: Driver, number: int) -> None:
    driver.call("tgkill", PID, PID, number)


def returned(driver: Driver) -> None:
    """The handler returns: to its restorer, which makes the call."""
    if driver.arch.name == "x86_64":
        sp = driver.get("rsp")
        assert driver.memory.load(sp) == RESTORER
        driver.set("rsp", sp + 8)
    else:
        assert driver.get("x30") == RESTORER
    driver.call("rt_sigreturn")


def at(driver: Driver) -> int:
    """Where the guest goes on: unicorn adds a system call's two bytes on x86-64."""
    return driver.get("pc") + (2 if driver.arch.name == "x86_64" else 0)


def mask_of(driver: Driver) -> int:
    assert driver.call("rt_sigprocmask", 0, 0, SCRATCH, 8) == 0
    return driver.memory.load(SCRATCH) or 0


def test_a_handler_finds_its_arguments_and_everything_comes_back(driver: Driver) -> None:
    catch(driver, USR1)
    rng = random.Random(driver.arch.name)
    scratch = {"x0", "x1", "x2", "x8", "rax", "rdi", "rsi", "rdx", "rcx", "r11"}
    names = [name for name in driver.arch.gprs if name not in scratch | {driver.arch.sp, "r8", "r9", "r10"}]
    names = [name for name in names if name not in {"x3", "x4", "x5"}]
    for name in names:
        driver.set(name, rng.getrandbits(64))
    vector = rng.getrandbits(128)
    driver.cpu.reg_write(VECTOR[driver.arch.name], vector)
    driver.set("pc", CODE + 0x40)
    before, sp = {name: driver.get(name) for name in names}, driver.get(driver.arch.sp)
    resume = at(driver)
    raised(driver, USR1)
    assert at(driver) == HANDLER
    number, info, context = (driver.get(name) for name in ARGUMENTS[driver.arch.name])
    frame = driver.get(driver.arch.sp)
    assert number == USR1
    assert driver.words(info, "iiiiiI") == (USR1, 0, -6, 0, PID, 0)
    assert (frame + driver.arch.call_pushes) % 16 == 0
    assert frame <= info < sp
    assert frame < context < sp
    assert driver.delivered == [(RESTORER, frame + driver.arch.call_pushes)]
    for name in names:
        driver.set(name, 0)
    driver.cpu.reg_write(VECTOR[driver.arch.name], 0)
    if driver.arch.lr:
        driver.set("x30", RESTORER)
    driver.set(driver.arch.sp, frame)
    returned(driver)
    assert {name: driver.get(name) for name in names} == before
    assert driver.cpu.reg_read(VECTOR[driver.arch.name]) == vector
    assert (driver.get(driver.arch.sp), at(driver)) == (sp, resume)


def test_a_signal_blocks_itself_and_its_mask_until_the_return(driver: Driver) -> None:
    catch(driver, USR1, mask=1 << (TERM - 1))
    catch(driver, TERM, OTHER)
    raised(driver, USR1)
    assert mask_of(driver) == 1 << (USR1 - 1) | 1 << (TERM - 1)
    raised(driver, TERM)
    assert at(driver) == HANDLER
    returned(driver)
    assert at(driver) == OTHER
    returned(driver)
    assert mask_of(driver) == 0


def test_signals_due_together_run_in_linuxs_order(driver: Driver) -> None:
    """Their frames are stacked, the lowest number's first: the highest number's handler runs first."""
    catch(driver, USR1, HANDLER)
    catch(driver, USR2, OTHER)
    both = (1 << (USR1 - 1) | 1 << (USR2 - 1)).to_bytes(8, "little")
    driver.call("rt_sigprocmask", 0, both, 0, 8)
    raised(driver, USR2)
    raised(driver, USR1)
    assert driver.delivered == []
    driver.call("rt_sigprocmask", 1, both, 0, 8)
    assert at(driver) == OTHER
    assert mask_of(driver) == int.from_bytes(both, "little")
    raised(driver, USR1)  # the first is on its way already: this one comes after it
    assert at(driver) == OTHER
    for _ in range(2):
        returned(driver)
        assert at(driver) == HANDLER
    returned(driver)
    assert len(driver.delivered) == 3
    assert mask_of(driver) == 0


def test_a_handler_that_never_returns_takes_the_waiting_ones_with_it(driver: Driver) -> None:
    catch(driver, USR1, HANDLER)
    catch(driver, USR2, OTHER)
    both = (1 << (USR1 - 1) | 1 << (USR2 - 1)).to_bytes(8, "little")
    sp = driver.get(driver.arch.sp)
    driver.call("rt_sigprocmask", 0, both, 0, 8)
    raised(driver, USR2)
    raised(driver, USR1)
    driver.call("rt_sigprocmask", 2, bytes(8), 0, 8)
    assert at(driver) == OTHER
    driver.set(driver.arch.sp, sp)  # siglongjmp
    driver.call("rt_sigprocmask", 2, bytes(8), 0, 8)
    catch(driver, TERM, HANDLER + 8)
    raised(driver, TERM)
    assert at(driver) == HANDLER + 8
    returned(driver)
    assert len(driver.delivered) == 2


def test_default_actions(driver: Driver) -> None:
    raised(driver, CHLD)
    assert driver.kernel.ended is None
    raised(driver, TERM)
    assert driver.kernel.ended == (End.SIGNAL, TERM, "SIGTERM")


def test_ignored_and_uncatchable(driver: Driver) -> None:
    catch(driver, USR1, 1)
    raised(driver, USR1)
    assert (driver.kernel.ended, driver.delivered) == (None, [])
    ignore = struct.pack("<4Q", 1, 0, 0, 0)
    assert driver.error("rt_sigaction", KILL, ignore, 0, 8) == "EINVAL"
    assert driver.error("rt_sigaction", 65, ignore, 0, 8) == "EINVAL"
    driver.call("rt_sigprocmask", 2, b"\xff" * 8, 0, 8)
    driver.call("kill", PID, KILL)
    assert driver.kernel.ended == (End.SIGNAL, KILL, "SIGKILL")


def test_one_shot_and_not_deferred(driver: Driver) -> None:
    catch(driver, USR1, flags=SA_RESETHAND | SA_NODEFER)
    raised(driver, USR1)
    assert mask_of(driver) == 0
    raised(driver, USR1)
    assert driver.kernel.ended == (End.SIGNAL, USR1, "SIGUSR1")


def test_the_alternate_stack(driver: Driver) -> None:
    low = SCRATCH + 0x9000
    assert driver.call("sigaltstack", struct.pack("<QiiQ", low, 0, 0, 0x3000), 0) == 0
    assert driver.error("sigaltstack", struct.pack("<QiiQ", low, 0, 0, 100), 0) == "ENOMEM"
    catch(driver, USR1, flags=SA_ONSTACK)
    sp = driver.get(driver.arch.sp)
    raised(driver, USR1)
    assert low < driver.get(driver.arch.sp) < low + 0x3000
    assert driver.error("sigaltstack", struct.pack("<QiiQ", 0, 2, 0, 0), 0) == "EPERM"
    returned(driver)
    assert driver.get(driver.arch.sp) == sp


def test_no_room_for_a_frame_and_no_frame_to_return_from(driver: Driver) -> None:
    catch(driver, USR1)
    driver.set(driver.arch.sp, SCRATCH + 64)
    raised(driver, USR1)
    assert driver.kernel.ended is not None
    assert driver.kernel.ended[:2] == (End.SIGNAL, 11)
    driver.kernel.ended = None
    driver.set(driver.arch.sp, SCRATCH + SCRATCH_SIZE)
    driver.call("rt_sigreturn")
    assert driver.kernel.ended[:2] == (End.SIGNAL, 11)


def test_a_frame_cannot_set_what_only_the_kernel_may(driver: Driver) -> None:
    """The arithmetic flags come back from the frame; the processor's mode does not."""
    catch(driver, USR1)
    flags = driver.get("flags")
    raised(driver, USR1)
    frame = driver.get(driver.arch.sp)
    offset = {"aarch64": 576, "x86_64": 48 + 17 * 8}[driver.arch.name]
    driver.memory.write(frame + offset, b"\xff" * 8)
    returned(driver)
    changed = driver.get("flags") ^ flags
    assert changed & ~{"aarch64": 0xF000_0000, "x86_64": 0xCD5}[driver.arch.name] == 0
    assert changed


def test_suspend_runs_a_waiting_signal_and_restores_the_mask(driver: Driver) -> None:
    catch(driver, USR1)
    driver.call("rt_sigprocmask", 2, b"\xff" * 8, 0, 8)
    assert driver.error("rt_sigsuspend", bytes(8), 8) == "EDEADLK"
    raised(driver, USR1)
    driver.call("rt_sigsuspend", bytes(8), 8)
    assert at(driver) == HANDLER
    returned(driver)
    assert mask_of(driver) == (1 << 64) - 1 - (1 << 8) - (1 << 18)
