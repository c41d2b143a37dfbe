"""One image in one emulated processor, from its entry to its exit system call.

A static freestanding image starts as a Linux process does (SP at argc, argv, envp and an empty auxiliary vector) and
has the system calls of ``lab.machine.syscalls``, no more.  A real program is given a ``Process``: it starts with
arguments, environment and a full auxiliary vector, and has the confined Linux of ``lab.machine.linux``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import unicorn
from unicorn import x86_const

from lab.arch import Arch
from lab.arch.decode import Insn, Kind
from lab.errors import EngineError, InputError
from lab.images.image import Image
from lab.layout import ShadowLayout
from lab.machine.code import Code
from lab.machine.cpu import RegisterFile, new_cpu, register_ids
from lab.machine.exceptions import exceptions_of
from lab.machine.hooks import ACCESS, CODE, NativeHook, native_hooks
from lab.machine.linux.kernel import Guest, Kernel
from lab.machine.linux.process import Process
from lab.machine.loading import ENVIRONMENT_SHADOW, STACK_SIZE, STACK_TOP, lay_out, shadow_bounds
from lab.machine.memory import GuestMemory, Mapping
from lab.machine.outcome import Clock, End, Limits, Outcome
from lab.machine.registers import RegisterBlock, register_block
from lab.machine.syscalls import SystemCalls

__all__ = ["STACK_SIZE", "STACK_TOP", "End", "Limits", "Machine", "Outcome", "Process"]


class Machine:
    """An image loaded and ready; ``execute`` or ``execute_native`` runs it, once."""

    def __init__(
        self,
        image: Image,
        layout: ShadowLayout | None = None,
        limits: Limits | None = None,
        process: Process | None = None,
    ) -> None:
        self.image = image
        self.arch: Arch = image.arch
        self.layout = layout
        self.limits = limits or Limits()
        self.memory = GuestMemory()
        space = lay_out(self.memory, image, layout, process)
        self.stack_low, self.stack_high, self.stack_pages = space.stack_low, STACK_TOP, space.stack_pages
        self.initial_sp = space.initial_sp
        """Where SP starts: at argc, then the arguments, envp and the auxiliary vector."""
        self.cpu = new_cpu(self.arch)
        for mapping in self.memory.mappings:
            perms = unicorn.UC_PROT_READ
            perms |= unicorn.UC_PROT_WRITE * mapping.writable | unicorn.UC_PROT_EXEC * mapping.executable
            self.cpu.mem_map_ptr(mapping.start, mapping.end - mapping.start, perms, mapping.host_address)
        self._ids = register_ids(self.arch)
        self._all = self.register_file((*self.arch.gprs, "pc", "flags"))
        self._code = Code(image, self.memory)
        self._on_write: list[Callable[[int, int], None]] = []
        self._on_delivery: list[Callable[[int, int], None]] = []
        self._calls: SystemCalls | Kernel = SystemCalls(self.cpu, self.arch, self.memory)
        if process is not None:
            guest = Guest(self.cpu, self.arch, self.memory, self.write, self._on_delivery, space.trampoline)
            self._calls = Kernel(guest, process)
        self.exceptions = exceptions_of(self.cpu, image, self.memory, self.write, self._on_delivery)
        self._started = self._running = False
        self._ended: tuple[End, int | None, str] | None = None
        self._error: BaseException | None = None
        self.spent = Clock(0.0, 0.0)
        """What the run took, all its hooks included and nothing before or after it."""
        self._start()

    @property
    def shadow_bounds(self) -> tuple[int, int]:
        """[base, limit) of the shadow stack's storage; (0, 0) without one.  PARALLEL: the shifted stack."""
        return shadow_bounds(self.layout, self.stack_low)

    @property
    def final_record(self) -> int:
        """Where the task's own FINAL record must lie (the start stub writes it)."""
        return self.initial_sp - self.arch.final_record

    def _start(self) -> None:
        self.cpu.reg_write(self._ids[self.arch.sp], self.initial_sp)
        layout = self.layout
        if layout is not None and layout.provider == "environment" and layout.register is not None:
            self.cpu.reg_write(self._ids[layout.register], ENVIRONMENT_SHADOW)
        self.cpu.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        if self.arch.name == "x86_64":
            self.cpu.hook_add(unicorn.UC_HOOK_INSN, self._on_syscall, None, 1, 0, x86_const.UC_X86_INS_SYSCALL)

    def registers(self) -> dict[str, int]:
        """Every general register, ``pc`` and ``flags`` by canonical name."""
        return dict(zip(self._all.names, self._all.read(), strict=True))

    def register_file(self, names: tuple[str, ...]) -> RegisterFile:
        """A fast reader for a fixed set of registers."""
        return RegisterFile(self.cpu, self.arch, names)

    def register_block(self) -> RegisterBlock:
        """The general registers for native code (before the run).  Keep it as long as its addresses are in use."""
        return register_block(self.cpu, self.arch)

    def insn_at(self, pc: int) -> Insn:
        """The instruction at *pc* as memory holds it now."""
        return self._code.insn_at(pc)

    def code_at(self, pc: int) -> bytes:
        """What a decoder has to see of the code at *pc*, which is about to run; InputError where it is misread."""
        self._code.check(pc)
        return self._code.bytes_at(pc)

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """All guest memory in address order; there is none elsewhere, and none is added later."""
        return tuple(self.memory.mappings)

    @property
    def changeable(self) -> list[tuple[int, int]]:
        """[start, end) of what the guest can both write and execute: code that can change under a run."""
        return list(self._code.changeable)

    def write(self, address: int, data: bytes) -> None:
        """Write guest memory from the host, code included, before the run or from a hook in a run that has a CODE
        hook (only then is the program counter known in the middle of a block).

        InputError where not all of it lies in one mapping, and where it would change what was translated before: the
        instruction of this hook and those after it up to the next branch.
        """
        mapping = self.memory.find(address)
        if mapping is None or address + len(data) > mapping.end:
            what = f"a host write of {len(data)} bytes at {address:#x}: not all of it is mapped"
            raise InputError(f"{self.image.path}: {what}")
        if not data:
            return
        if mapping.executable:
            self._forget_code(address, address + len(data))
        self.memory.write(address, data)
        for callback in self._on_write:
            callback(address, len(data))

    def on_write(self, callback: Callable[[int, int], None]) -> None:
        """Have *callback*(address, size in bytes) called after every host write."""
        self._on_write.append(callback)

    def on_delivery(self, callback: Callable[[int, int], None]) -> None:
        """Have *callback*(return address, SP as before a call) called when a handler is about to run: once for each."""
        assert callback not in self._on_delivery, "it would be told of each delivery twice"
        self._on_delivery.append(callback)

    def forget_code(self, start: int, end: int) -> None:
        """The guest is about to write [start, end): decode it anew.  unicorn drops its own translations."""
        self._code.forget(start, end)

    def _forget_code(self, start: int, end: int) -> None:
        """Drop what was decoded and translated from [start, end).  unicorn drops every block that overlaps."""
        if self._running:
            pc = int(self.cpu.reg_read(self._ids["pc"]))
            if start < self._code.block_end(pc) and pc < end:
                raise InputError(
                    f"{self.image.path}: a host write at {start:#x} into the block that runs at "
                    f"{self.image.locate(pc)}; write before the block is entered"
                )
            self.cpu.ctl_remove_cache(start, end)
        self._code.forget(start, end)

    def execute(
        self,
        on_instruction: Callable[[int], object],
        on_access: Callable[[bool, int, int], None] | None = None,
    ) -> Outcome:
        """Run from the entry to the end.  *on_instruction*(pc) is called before each instruction executes and
        *on_access*(is_write, address, size) at each data access.  An exception in either ends the run and is raised
        here; so is InputError at what the emulator would misread.  A rep-prefixed x86 instruction is announced once,
        however many iterations it makes.
        """
        limit, deadline = self.limits.instructions, time.monotonic() + self.limits.seconds
        self._begin()
        count = 0
        previous = -1
        clock = time.monotonic

        def code(_cpu: object, pc: int, _size: int, _data: object) -> None:
            nonlocal count, previous
            if pc == previous and self.insn_at(pc).kind is Kind.REPEAT:
                if not count % 1024 and clock() > deadline:
                    self.stop(End.BUDGET, None, f"{self.limits.seconds:g} s")
                return
            previous = pc
            self._code.check(pc)
            if count >= limit:
                self.stop(End.BUDGET, None, f"{limit} instructions")
                return
            count += 1
            if not count & 1023 and clock() > deadline:
                self.stop(End.BUDGET, None, f"{self.limits.seconds:g} s")
                return
            count -= bool(on_instruction(pc))

        self.cpu.hook_add(unicorn.UC_HOOK_CODE, code)
        if on_access is not None:
            self._hook_accesses(on_access)
        return self._run()

    def execute_native(self, hook: int, state: int, on_access: int | None = None, on_access_state: int = 0) -> Outcome:
        """Run from the entry to the end with the native function at *hook* called before each instruction, *state*
        as its ``user``, and the one at *on_access* at each data access (signatures: ``lab.machine.hooks``).

        *hook* 0 is a bare run.  The instruction limit is the hook's to keep, and the time limit too, up to five
        seconds more.  A rep-prefixed x86 instruction is announced once per iteration and once more.  The
        functions and their states must stay alive.  Python they call ends the run with ``stop`` or ``abort``; what it
        raises is lost.
        """
        self._begin()
        hooks = [NativeHook(CODE, hook, state)] if hook else []
        if on_access is not None:
            hooks.append(NativeHook(ACCESS, on_access, on_access_state))
        with native_hooks(self.cpu, hooks):
            return self._run()

    def stop(self, end: End, status: int | None, detail: str) -> None:
        """End the run that is under way before its next instruction.  The first of several says how it ended."""
        self._must_run()
        if self._ended is None:
            self._ended = (end, status, detail)
        self.cpu.emu_stop()

    def abort(self, error: BaseException) -> None:
        """End the run under way with *error*, which is raised where it was started.  The first one wins."""
        self._must_run()
        if self._error is None:
            self._error = error
        self.cpu.emu_stop()

    def _must_run(self) -> None:
        if not self._running:
            raise EngineError(f"{self.image.path}: there is no run to end; stop and abort are for hooks of a run")

    def _begin(self) -> None:
        if self._started:
            raise EngineError(f"{self.image.path}: this machine has run already; make a new Machine for another run")
        self._started = True

    def _run(self) -> Outcome:
        detail = ""
        self._running = True
        began = Clock.now()
        # A second line of defence: it also stops a guest that never reaches a hook.  unicorn's own time-out would be a
        # thread that wakes up every few microseconds, at a fifth of the speed of the run and a third of a core.
        guard = threading.Timer(min(self.limits.seconds + 5, threading.TIMEOUT_MAX), self.cpu.emu_stop)
        guard.daemon = True
        try:
            guard.start()
            self.cpu.emu_start(self.image.entry, 0)
        except unicorn.UcError as error:
            detail = str(error).split(" (")[0]
        finally:
            self.spent = Clock.now().since(began)
            guard.cancel()
            self._running = False
            if self._error is not None:
                raise self._error
        pc = int(self.cpu.reg_read(self._ids["pc"]))
        if self._ended is None:
            end = self._kind_of_stop(pc)
            if not detail:
                end, detail = End.BUDGET, f"{self.limits.seconds:g} s"
            self._ended = (end, None, detail)
        end, status, detail = self._ended
        return Outcome(end, status, bytes(self._calls.output), pc, detail, self._calls.trace)

    def _hook_accesses(self, on_access: Callable[[bool, int, int], None]) -> None:
        def access(_cpu: object, kind: int, address: int, size: int, _value: int, _data: object) -> None:
            on_access(kind == unicorn.UC_MEM_WRITE, address, size)

        self.cpu.hook_add(unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE, access)

    def _kind_of_stop(self, pc: int) -> End:
        """TRAP where the guest executed a trap instruction, FAULT for everything else it could not do."""
        mapping = self.memory.find(pc)
        trapped = mapping is not None and mapping.executable and self.insn_at(pc).kind is Kind.TRAP
        return End.TRAP if trapped else End.FAULT

    def _on_interrupt(self, _cpu: object, number: int, _data: object) -> None:
        pc = int(self.cpu.reg_read(self._ids["pc"]))
        if self.arch.name == "aarch64" and number == 2:  # EXCP_SWI: svc
            self._on_syscall(_cpu, _data)
        else:
            self.stop(self._kind_of_stop(pc), None, f"exception {number} at {self.image.locate(pc)}")

    def _on_syscall(self, _cpu: object, _data: object) -> None:
        if self.exceptions and self.exceptions.in_user:
            self.exceptions.system_call()
        elif (ended := self._calls.call()) is not None:
            self.stop(*ended)
