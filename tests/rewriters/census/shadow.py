"""A run of an image as it is, beside a shadow stack that the census would keep: does every push meet its pop?"""

from __future__ import annotations

from dataclasses import dataclass, field

import unicorn
from unicorn import arm64_const as a64
from unicorn import x86_const as x86

from lab.arch.decode import Kind, decode_one
from lab.images.image import Image
from rewriters.census import Body, Exit, ExitKind, Survey

STACK_TOP, STACK_SIZE = 0x7F_F000_0000, 0x40_0000
_EXITS = {93, 94, 60, 231}


@dataclass
class Run:
    """``wrong``: the first differences; ``pushes``: how many; ``left``: entries at the program's end."""

    pushes: int = 0
    exits: int = 0
    wrong: list[str] = field(default_factory=list)
    left: int = 0


class Shadow:
    """One run.  An activation that jumps back by longjmp, or is left when the program ends, is dropped by its SP."""

    def __init__(self, image: Image, found: Survey) -> None:
        self.image, self.run = image, Run()
        self.fixed = image.arch.lr is not None
        mode = (unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM) if self.fixed else (unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self.uc = unicorn.Uc(*mode)
        self.sp = a64.UC_ARM64_REG_SP if self.fixed else x86.UC_X86_REG_RSP
        bodies = found.bodies.values()
        self.entries: dict[int, Body] = {b.entry: b for b in bodies if not b.fragment}
        self.loops = {address for b in bodies for address in b.to_entry}
        self.exits: dict[int, Exit] = {e.address: e for b in bodies for e in b.exits}
        self.stack: list[tuple[int, int]] = []
        self.before = 0
        self.taken: Exit | None = None
        self.syscalls: set[int] = set()
        self.plain: set[int] = set()
        self._map()

    def _map(self) -> None:
        page = 0xFFF
        for segment in self.image.segments:
            low, high = segment.address & ~page, segment.end + page & ~page
            self.uc.mem_map(low, high - low)
            self.uc.mem_write(segment.address, segment.data)
        self.uc.mem_map(STACK_TOP - STACK_SIZE, STACK_SIZE + 0x1000)
        self.uc.reg_write(self.sp, STACK_TOP - 256)

    def execute(self, limit: int = 300_000) -> Run:
        """Run to the end of the program, or *limit* instructions."""
        self.uc.hook_add(unicorn.UC_HOOK_CODE, self._step)
        if self.fixed:
            self.uc.reg_write(a64.UC_ARM64_REG_CPACR_EL1, 3 << 20)
            self.uc.hook_add(unicorn.UC_HOOK_INTR, lambda *_: None)
        else:
            self.uc.hook_add(unicorn.UC_HOOK_INSN, lambda *_: None, None, 1, 0, x86.UC_X86_INS_SYSCALL)
        self.uc.emu_start(self.image.entry, 0, count=limit)
        self.run.left = len(self.stack)
        return self.run

    def _step(self, uc: unicorn.Uc, pc: int, size: int, _: object) -> None:
        if self.taken is not None:
            self._conditional(pc)
        if pc in self.entries and self.before not in self.loops:
            self._push()
        self.before = pc
        if pc in self.exits:
            self._leave(self.exits[pc])
        elif pc not in self.plain:
            self._system(pc, size)

    def _top(self) -> int:
        sp = self.uc.reg_read(self.sp)
        if self.fixed:
            return self.image.arch.strip(int(self.uc.reg_read(a64.UC_ARM64_REG_LR)))
        return int.from_bytes(self.uc.mem_read(sp, 8), "little")

    def _push(self) -> None:
        sp = int(self.uc.reg_read(self.sp))
        while self.stack and self.stack[-1][1] < sp:  # a longjmp went past it
            self.stack.pop()
        self.stack.append((self._top(), sp))
        self.run.pushes += 1

    def _leave(self, way: Exit) -> None:
        if way.kind is ExitKind.TAIL_CONDITIONAL:
            self.taken = way
        else:
            self._pop(way)

    def _conditional(self, pc: int) -> None:
        way, self.taken = self.taken, None
        assert way is not None
        if pc == way.target:
            self._pop(way)

    def _pop(self, way: Exit) -> None:
        self.run.exits += 1
        sp = int(self.uc.reg_read(self.sp))
        while self.stack and self.stack[-1][1] < sp:
            self.stack.pop()
        goes = self._top()
        if way.kind is ExitKind.RETURN and way.register not in {None, "x30"}:
            goes = int(self.uc.reg_read(getattr(a64, f"UC_ARM64_REG_{way.register.upper()}")))
        expected = self.stack.pop() if self.stack else None
        if (expected is None or expected != (goes, sp)) and len(self.run.wrong) < 5:
            self.run.wrong.append(f"{self.image.locate(way.address)}: returns to {goes:#x} at {sp:#x}, kept {expected}")

    def _system(self, pc: int, size: int) -> None:
        if pc not in self.syscalls:
            if decode_one(self.image.arch, bytes(self.uc.mem_read(pc, size)), pc).kind is not Kind.SYSCALL:
                self.plain.add(pc)
                return
            self.syscalls.add(pc)
        number = self.uc.reg_read(a64.UC_ARM64_REG_X8 if self.fixed else x86.UC_X86_REG_RAX)
        if number in _EXITS:
            self.uc.emu_stop()
