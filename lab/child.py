"""A function run in a forked child, so that a crash, a hang or an overflow of memory is an error of one line.

For what must not take the lab down with it: parsers and emulators in C and C++ on files nobody vouches for.  It
protects from accidents, not from an attacker: the child has the user's rights, and its answer is unpickled.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import os
import pickle
import resource
import select
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from lab.errors import EngineError, InputError
from lab.interrupts import held_from_children

Result = TypeVar("Result")

_LENGTH = struct.Struct("<Q")
_LOOK_MS = 50  # how often the child's memory is looked at
_PIPE_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1  # Linux prctl(2)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_libc = ctypes.CDLL(None)


def in_child(work: Callable[..., Result], *args: object, what: str, seconds: float, memory: int) -> Result:
    """``work(*args)``, run in a child of this process; what it raises is raised here, with the child's traceback
    as a note.  The result is pickled, the arguments are not.

    InputError that begins with *what* ("x.elf: the ELF parser") where the child crashed, took longer than *seconds* or
    added more than *memory* bytes to what this process has.  What the child prints comes out on stderr when it has
    ended well, and is dropped when it has not.  The child is gone when this returns, however it does.
    """
    child = _Child(what)
    try:
        with held_from_children():
            child.start(work, args)
        fine, value = child.answer(seconds, memory)
    finally:
        with held_from_children():
            child.end()
    if fine:
        result: Result = value
        return result
    raise value


class _Child:
    """One child, from fork to wait; *what* begins every error."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pid = 0
        self._pipe = self._output = -1
        self._resident = 0

    def start(self, work: Callable[..., object], args: tuple[object, ...]) -> None:
        """Fork; the child never returns from here."""
        self._output = os.memfd_create("output")
        self._pipe, write_end = os.pipe()
        with contextlib.suppress(OSError):  # the user's pipes are used up: a smaller one is slower
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        parent = os.getpid()
        self._resident = _resident(parent)
        try:
            with warnings.catch_warnings():  # Python 3.12 warns where there are threads: the child needs none of them
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except OSError as error:
            os.close(write_end)
            raise EngineError(f"{self._what}: no process could be started: {error.strerror}") from None
        if self._pid == 0:
            _serve(work, args, write_end, self._output, parent)
        os.close(write_end)

    def answer(self, seconds: float, memory: int) -> tuple[bool, Any]:
        """What the work returned, or (False) raised; InputError where the child ends otherwise."""
        message = self._message(time.monotonic() + seconds, seconds, memory)
        try:
            fine, value = pickle.loads(message)
        except Exception:  # what it did to its memory it did to its answer
            raise self._crashed("its answer is damaged") from None
        self._print_output()
        return (False, self._too_much(memory)) if isinstance(value, MemoryError) else (fine, value)

    def _message(self, deadline: float, seconds: float, memory: int) -> bytes:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        message, size = bytearray(), -1
        while size < 0 or len(message) < size:
            if poll.poll(_LOOK_MS):
                piece = os.read(self._pipe, _PIPE_BYTES)
                if not piece:
                    raise self._crashed(_how(self._reaped()))
                message += piece
                if size < 0 and len(message) >= _LENGTH.size:
                    (size,) = _LENGTH.unpack_from(message)
                    del message[: _LENGTH.size]
            elif _resident(self._pid) - self._resident > memory:
                raise self._too_much(memory)
            elif _ended(self._pid) and not poll.poll(0):  # a child forked meanwhile may hold the pipe open
                raise self._crashed(_how(self._reaped()))
            if time.monotonic() > deadline:
                raise InputError(f"{self._what} did not end within {seconds:g} s on this file")
        return bytes(message)

    def _reap(self) -> int:
        """End the child if it has not ended, and wait for it: its wait status.  Signals must be held."""
        os.kill(self._pid, signal.SIGKILL)  # it is ours until it is waited for
        pid, self._pid = self._pid, 0
        return os.waitpid(pid, 0)[1]

    def _reaped(self) -> int:
        with held_from_children():
            return self._reap()

    def end(self) -> None:
        """Leave nothing behind.  Signals must be held."""
        if self._pid:
            self._reap()
        for descriptor in (self._pipe, self._output):
            if descriptor >= 0:
                os.close(descriptor)

    def _print_output(self) -> None:
        """Pass on what the child printed."""
        size = os.fstat(self._output).st_size
        if size and sys.stderr is not None:
            sys.stderr.write(os.pread(self._output, size, 0).decode(errors="replace"))

    def _crashed(self, how: str) -> InputError:
        return InputError(f"{self._what} crashed on this file ({how}); it is damaged, or this is a fault to report")

    def _too_much(self, memory: int) -> InputError:
        return InputError(f"{self._what} needs more than {memory >> 20} MiB of memory for this file")


def _serve(work: Callable[..., object], args: tuple[object, ...], pipe: int, output: int, parent: int) -> NoReturn:
    """The child's whole life."""
    status = 1
    try:
        faulthandler.disable()  # its report of a crash would go to the parent's stderr
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(status)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # The parent's own objects may hold text that it has not written yet.
        sys.stdout = sys.stderr = open(output, "w", buffering=1, closefd=False)  # noqa: SIM115
        gc.freeze()
        warnings.simplefilter("ignore", RuntimeWarning)  # lief's way to speak of numbers without a name
        try:
            message = pickle.dumps((True, work(*args)), pickle.HIGHEST_PROTOCOL)
        except BaseException as error:
            message = _pickled(error)
        sys.stdout.flush()
        with open(pipe, "wb") as stream:
            stream.write(_LENGTH.pack(len(message)) + message)
        status = 0
    finally:
        os._exit(status)


def _pickled(error: BaseException) -> bytes:
    """*error* as a message; an EngineError in its place if it cannot be carried over."""
    if not isinstance(error, MemoryError):
        error.add_note("In the child:\n" + "".join(traceback.format_exception(error)))
    try:
        message = pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
        pickle.loads(message)
    except Exception:
        message = pickle.dumps((False, EngineError(f"{type(error).__name__}: {error}")))
    return message


def _resident(pid: int) -> int:
    """Bytes of memory process *pid* holds; 0 where nobody can tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _ended(pid: int) -> bool:
    """Whether our child *pid* waits to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _how(status: int) -> str:
    """A wait *status* in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
