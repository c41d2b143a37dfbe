"""A bare unicorn run of a test guest, with its own call stack and, for rewritten images, the layout as oracle."""

from __future__ import annotations

from dataclasses import dataclass, field

import unicorn
from unicorn import arm64_const as a64
from unicorn import x86_const as x86

from lab.arch.decode import Insn, Kind, decode_one
from lab.images.image import Image
from lab.layout import Flavour, LayoutRow, ShadowLayout, Where

STACK_TOP, STACK_SIZE = 0x7F_F000_0000, 0x40_0000
LIMIT = 400_000


@dataclass
class Outcome:
    """``result``: what compute() returned.  ``asked``/``unknown``: instructions at which the layout was compared with
    the true return address / said unknown.  ``wrong``: the first differences.  ``left``: entries at exit."""

    result: int | None = None
    instructions: int = 0
    trapped: bool = False
    asked: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    left: int | None = None


class Guest:
    """One image in one emulator."""

    def __init__(self, image: Image, layout: ShadowLayout | None = None) -> None:
        self.image, self.layout = image, layout
        self.a64 = image.arch.lr is not None
        if self.a64:
            self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        else:
            self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        self.sp = a64.UC_ARM64_REG_SP if self.a64 else x86.UC_X86_REG_RSP
        self.outcome = Outcome()
        self.decoded: dict[int, Insn] = {}
        self.rows: dict[int, LayoutRow] = {}
        self.calls: list[tuple[int, int]] = []
        self.before: tuple[Insn, int] | None = None
        home = image.function_at(image.symbols.get("longjmp", 0))
        self.jumps_back = {home.end - 4, home.end - 3} if home else set()  # its last instruction: ret, or jmp *56(%rdi)
        self._map()

    def _map(self) -> None:
        page = 0xFFF
        spans: list[list[int]] = []
        for segment in self.image.segments:
            low, high = segment.address & ~page, segment.end + page & ~page
            if spans and low < spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], high)
            else:
                spans.append([low, high])
        for low, high in spans:
            self.uc.mem_map(low, high - low)
        for segment in self.image.segments:
            self.uc.mem_write(segment.address, segment.data)
        self.uc.mem_map(STACK_TOP - STACK_SIZE, STACK_SIZE + 0x1000)
        if self.layout is not None and self.layout.distance:
            self.uc.mem_map(STACK_TOP - STACK_SIZE - self.layout.distance, STACK_SIZE + 0x1000)
        self.uc.reg_write(self.sp, STACK_TOP - 256)
        if self.layout is not None:
            if self.layout.provider == "environment" and self.layout.flavour is Flavour.REGISTER:
                self.uc.mem_map(0x6000_0000, 0x100000)
                self.uc.reg_write(a64.UC_ARM64_REG_X18, 0x6000_0000)
            for row in self.layout.rows:
                for address in range(row.start, row.end):
                    self.rows[address] = row

    def word(self, address: int) -> int:
        return int.from_bytes(self.uc.mem_read(address, 8), "little")

    def run(self) -> Outcome:
        """Run to the exit system call, a trap, or the instruction limit."""
        self.uc.hook_add(unicorn.UC_HOOK_CODE, self._step)
        try:
            self.uc.emu_start(self.image.entry, 0, count=LIMIT)
        except unicorn.UcError:
            self.outcome.trapped = True
        return self.outcome

    def _step(self, uc: unicorn.Uc, pc: int, size: int, _: object) -> None:
        self.outcome.instructions += 1
        sp = uc.reg_read(self.sp)
        insn = self.decoded.get(pc)
        if insn is None:
            insn = self.decoded[pc] = decode_one(self.image.arch, bytes(uc.mem_read(pc, min(max(size, 4), 15))), pc)
        if self.before is not None and self.before[0].kind is Kind.CALL:
            self.calls.append((self.before[0].end, self.before[1]))
        while self.calls and ((self.calls[-1][0] == pc and sp >= self.calls[-1][1]) or sp > self.calls[-1][1]):
            self.calls.pop()
        if self.before is not None and self.before[0].address in self.jumps_back:
            while self.calls and sp >= self.calls[-1][1]:  # longjmp arrives: whoever was called from here is gone
                self.calls.pop()
        self.before = (insn, sp)
        if self.layout is not None:
            self._ask(pc, sp)
        if insn.kind is Kind.SYSCALL:
            self._system_call(insn)
        elif insn.kind is Kind.TRAP:
            self.outcome.trapped = True
            self.uc.emu_stop()

    def _system_call(self, insn: Insn) -> None:
        """exit and exit_group end the guest; there are no others (the stub of a parallel shadow stack asks for one)."""
        number = self.uc.reg_read(a64.UC_ARM64_REG_X8 if self.a64 else x86.UC_X86_REG_RAX)
        if number in ({93, 94} if self.a64 else {60, 231}):
            self._exit()
            return
        self.uc.reg_write(a64.UC_ARM64_REG_X0 if self.a64 else x86.UC_X86_REG_RAX, -38)
        self.uc.reg_write(a64.UC_ARM64_REG_PC if self.a64 else x86.UC_X86_REG_RIP, insn.end)

    def _exit(self) -> None:
        register = a64.UC_ARM64_REG_X0 if self.a64 else x86.UC_X86_REG_RDI
        self.outcome.result = self.uc.reg_read(register)
        if self.layout is not None and self.layout.flavour is not Flavour.PARALLEL:
            base = self.layout.base or 0x6000_0000
            self.outcome.left = (self._pointer() - base) // 8
        self.uc.emu_stop()

    def _pointer(self) -> int:
        assert self.layout is not None
        if self.layout.cell is not None:
            return self.word(self.layout.cell)
        return int(self.uc.reg_read(a64.UC_ARM64_REG_X18))

    def _ask(self, pc: int, sp: int) -> None:
        row = self.rows.get(pc)
        kind = "none" if row is None else row.where.value
        self.outcome.asked[kind] = self.outcome.asked.get(kind, 0) + 1
        if row is None or row.where in {Where.UNKNOWN, Where.OUTERMOST}:
            return
        if not self.calls:
            self.outcome.wrong.append(f"{self.image.locate(pc)}: {kind}, but nobody was called")
            return
        true, at_call = self.calls[-1]
        said = self._said(row, sp, at_call)
        if said != true and len(self.outcome.wrong) < 5:
            self.outcome.wrong.append(f"{self.image.locate(pc)} ({pc:#x}): {kind} says {said:#x}, true {true:#x}")

    def _said(self, row: LayoutRow, sp: int, at_call: int) -> int:
        assert self.layout is not None
        if row.where is Where.LR:
            return self.image.arch.strip(int(self.uc.reg_read(a64.UC_ARM64_REG_X30)))
        if row.where is Where.STACK:
            return self.word(sp + row.offset)
        if self.layout.distance:
            return self.word(at_call - (0 if self.a64 else 8) - self.layout.distance)
        return self.word(self._pointer() - 8)


def run(image: Image, layout: ShadowLayout | None = None) -> Outcome:
    """Run *image*; with its *layout* if it was rewritten."""
    return Guest(image, layout).run()
