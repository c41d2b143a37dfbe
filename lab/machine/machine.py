"""One image in one emulated processor, from its entry to its exit system call.

The guest is a static freestanding ELF image.  It starts as a Linux process does (SP at argc, argv, envp
and an empty auxiliary vector) and has the system calls of ``lab.machine.syscalls``, no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import unicorn
from unicorn import x86_const

from lab.arch import Arch
from lab.arch.decode import Insn, Kind, decode_one
from lab.errors import EngineError, InputError
from lab.images.image import Image
from lab.images.rawelf import PF_W, PF_X
from lab.layout import Flavour, ShadowLayout
from lab.machine.cpu import RegisterFile, new_cpu, register_ids
from lab.machine.hooks import ACCESS, CODE, NativeHook, native_hooks
from lab.machine.memory import PAGE, GuestMemory
from lab.machine.outcome import End, Limits, Outcome
from lab.machine.registers import RegisterBlock, register_block
from lab.machine.syscalls import SystemCalls

# With the MMU off an AArch64 address is a physical one, and at EL1 unicorn faults on those near 2^47.
STACK_TOP = 0x7F_F000_0000
STACK_SIZE = 1 << 20
ENVIRONMENT_SHADOW = 0x7F_D000_0000
ENVIRONMENT_SHADOW_SIZE = 1 << 16

__all__ = ["STACK_SIZE", "STACK_TOP", "End", "Limits", "Machine", "Outcome"]


class Machine:
    """An image loaded and ready; ``execute`` or ``execute_native`` runs it, once."""

    def __init__(self, image: Image, layout: ShadowLayout | None = None, limits: Limits | None = None) -> None:
        self.image = image
        self.arch: Arch = image.arch
        self.layout = layout
        self.limits = limits or Limits()
        self.memory = GuestMemory()
        self.stack_low, self.stack_high = STACK_TOP - STACK_SIZE, STACK_TOP
        self._map_image()
        stack = self.memory.add(self.stack_low, STACK_SIZE, "stack", writable=True, executable=False)
        self.stack_pages = stack.pages
        self._map_shadow()
        self.cpu = new_cpu(self.arch)
        for mapping in self.memory.mappings:
            perms = unicorn.UC_PROT_READ
            perms |= unicorn.UC_PROT_WRITE * mapping.writable | unicorn.UC_PROT_EXEC * mapping.executable
            self.cpu.mem_map_ptr(mapping.start, mapping.end - mapping.start, perms, mapping.host_address)
        self._ids = register_ids(self.arch)
        self._all = RegisterFile(self.cpu, self.arch, (*self.arch.gprs, "pc", "flags"))
        self._decoded: dict[int, Insn] = {}
        self._calls = SystemCalls(self.cpu, self.arch, self.memory)
        self._started = self._running = False
        self._ended: tuple[End, int | None, str] | None = None
        self._error: BaseException | None = None
        self._start()

    # -- loading ------------------------------------------------------------------------------------------

    def _map_image(self) -> None:
        """Map every PT_LOAD.  Segments that share a page get one mapping with the union of their rights."""
        groups: list[tuple[int, int, bool, bool, list[Any]]] = []
        for segment in self.image.segments:
            low = segment.address // PAGE * PAGE
            high = -(-segment.end // PAGE) * PAGE
            writable, executable = bool(segment.flags & PF_W), bool(segment.flags & PF_X)
            if groups and low < groups[-1][1]:
                start, _, old_w, old_x, members = groups.pop()
                groups.append((start, high, old_w or writable, old_x or executable, [*members, segment]))
            else:
                groups.append((low, high, writable, executable, [segment]))
        if groups[0][0] == 0 or groups[-1][1] > ENVIRONMENT_SHADOW:
            raise InputError(f"{self.image.path}: segment at an address the machine keeps for itself")
        for low, high, writable, executable, members in groups:
            self.memory.add(low, high - low, "image", writable=writable, executable=executable)
            for segment in members:
                self.memory.write(segment.address, segment.data)

    def _map_shadow(self) -> None:
        layout = self.layout
        if layout is None:
            return
        if layout.register is not None and layout.register not in self.arch.gprs:
            raise InputError(f"{self.image.path}: its rewrite map names register '{layout.register}'")
        if layout.flavour is Flavour.PARALLEL and layout.distance is not None:
            start = self.stack_low - layout.distance
            taken = any(m.start < start + STACK_SIZE and start < m.end for m in self.memory.mappings)
            if taken or start <= 0 or start % PAGE:
                raise InputError(
                    f"{self.image.path}: a shadow stack {layout.distance:#x} bytes below the stack has no place here"
                )
            self.memory.add(start, STACK_SIZE, "parallel shadow", writable=True, executable=False)
        elif layout.provider == "environment":
            self.memory.add(
                ENVIRONMENT_SHADOW, ENVIRONMENT_SHADOW_SIZE, "shadow stack", writable=True, executable=False
            )

    @property
    def shadow_bounds(self) -> tuple[int, int]:
        """[base, limit) of the shadow stack's storage; (0, 0) without one.  PARALLEL: the shifted stack."""
        layout = self.layout
        if layout is None:
            return 0, 0
        if layout.flavour is Flavour.PARALLEL and layout.distance is not None:
            return self.stack_low - layout.distance, self.stack_high - layout.distance
        if layout.provider == "environment":
            return ENVIRONMENT_SHADOW, ENVIRONMENT_SHADOW + ENVIRONMENT_SHADOW_SIZE
        return layout.base, layout.limit

    @property
    def initial_sp(self) -> int:
        """Where SP starts: argc = 0, then the ends of argv, envp and the auxiliary vector."""
        return self.stack_high - 64

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

    # -- looking ------------------------------------------------------------------------------------------

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
        """The instruction at *pc*, cached unless the page is writable as well as executable."""
        found = self._decoded.get(pc)
        if found is None:
            found = decode_one(self.arch, self.memory.read(pc, 16), pc)
            if pc // PAGE not in self._changeable_pages:
                self._decoded[pc] = found
        return found

    @cached_property
    def _changeable_pages(self) -> frozenset[int]:
        both = [m for m in self.memory.mappings if m.writable and m.executable]
        return frozenset(page for m in both for page in range(m.start // PAGE, m.end // PAGE))

    # -- running ------------------------------------------------------------------------------------------

    def execute(
        self,
        on_instruction: Callable[[int], None],
        on_access: Callable[[bool, int, int], None] | None = None,
    ) -> Outcome:
        """Run from the entry to the end.  *on_instruction*(pc) is called before each instruction executes and
        *on_access*(is_write, address, size) at each data access.  An exception in either ends the run and is
        raised here.  A rep-prefixed x86 instruction is announced once, however many iterations it makes.
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
            if count >= limit:
                self.stop(End.BUDGET, None, f"{limit} instructions")
                return
            count += 1
            if not count & 1023 and clock() > deadline:
                self.stop(End.BUDGET, None, f"{self.limits.seconds:g} s")
                return
            on_instruction(pc)

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
        """End the run that is under way with *error*, which is raised where it was started.  The first one wins."""
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
        try:
            # The time-out is a second line of defence: it also stops a guest that never reaches a hook.
            self.cpu.emu_start(self.image.entry, 0, timeout=int((self.limits.seconds + 5) * 1e6))
        except unicorn.UcError as error:
            detail = str(error).split(" (")[0]
        finally:
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
        return Outcome(end, status, bytes(self._calls.output), pc, detail)

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
        if self.arch.name == "aarch64" and number == 2:  # EXCP_SWI: svc
            self._on_syscall(_cpu, _data)
            return
        pc = int(self.cpu.reg_read(self._ids["pc"]))
        self.stop(self._kind_of_stop(pc), None, f"exception {number} at {self.image.locate(pc)}")

    def _on_syscall(self, _cpu: object, _data: object) -> None:
        status = self._calls.call()
        if status is not None:
            self.stop(End.EXIT, status, "")
