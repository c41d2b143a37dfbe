"""The memory an unwinder sees at a stop: the guest's, under what an exception entry would have left.

In ``boundary`` the entry has pushed pt_regs directly below E (E = SP aligned down as the CPU does), and
whatever lay below that is gone: poison, down to the stack's end.  In ``call`` memory is as it is.
"""

from __future__ import annotations

import bisect
import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from lab.arch import Arch
from lab.layout import LayoutRow, ShadowLayout
from lab.unwind.api import MASK64, SHADOW_KINDS, SHADOW_NONE, UNKNOWN, WHERE_CODES
from lab.unwind.code_view import CodeView

_U64 = struct.Struct("<Q")
_unpack = _U64.unpack_from


class Fault(Enum):
    """What went wrong during a step's reads."""

    NONE = "none"
    UNMAPPED = "unmapped"
    POISON = "poison"


@dataclass(frozen=True)
class Source:
    """Where a Reader's bytes come from.

    ``load`` gives a 64-bit value (None where unmapped), ``read`` bytes (short where unmapped), ``registers``
    all registers by canonical name (asked only when the overlay's pt_regs is read).  ``stack`` and ``shadow``
    are [low, high); ``stack_pages`` backs the stack, for reading it without a detour; ``final_record`` is the
    address of the FINAL record in the task's own pt_regs.  ``code``: rule tables and the like, None without any.
    """

    load: Callable[[int], int | None]
    stack_pages: mmap.mmap
    read: Callable[[int, int], bytes]
    registers: Callable[[], dict[str, int]]
    stack: tuple[int, int]
    shadow: tuple[int, int]
    final_record: int
    code: CodeView | None = None


OF_THE_STACK = (
    *("shadow_base", "shadow_limit", "hw_base", "hw_limit", "task", "task_flags", "task_regs"),
    *("irq_low", "irq_high", "irq_shadow_low", "irq_shadow_high"),
    *("task_ssp", "task_shadow_low", "task_shadow_high"),
    *("task_trace", "return_to_handler", "kretprobe_trampoline"),
)
"""Facts that change with the stack at hand, beside its bounds and ``final_record``."""


class View:
    """What a step function is given (``lab.unwind.api.Mem``): a Reader's facts and reads, and nothing to write to.

    All unwinders of a run share one Reader; a plug-in that assigned to it would change what the others see."""

    __slots__ = (
        *("stack_low", "stack_high", "final_record", "metadata_offset", "regs_fp_offset", "regs_pc_offset"),
        *("pac_mask", "shadow_kind", "shadow_base", "shadow_limit", "shadow_cell", "shadow_distance"),
        *("regs_sp_offset", "regs_lr_offset", "load", "row"),
        *OF_THE_STACK[2:],
        *("rule", "rule_word", "is_text", "after_call", "stack_of"),
    )

    def __init__(self, reader: Reader) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, getattr(reader, name))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"mem.{name} cannot be set: an unwinder keeps its state in its cursor")

    def renew(self, reader: Reader, names: tuple[str, ...]) -> None:
        """Facts that differ from stack to stack, taken over from *reader*."""
        for name in names:
            object.__setattr__(self, name, getattr(reader, name))


class Reader:
    """Bounds-checked memory with the exception overlay, and the facts of one image.  Unwinders get its ``view``."""

    def __init__(self, arch: Arch, source: Source, layout: ShadowLayout | None) -> None:
        self._load, self._read, self._registers = source.load, source.read, source.registers
        self._arch = arch
        self.stack_low, self.stack_high = source.stack
        self._stack_pages, self._stack_last = source.stack_pages, self.stack_high - 8
        self._pages_start = self.stack_low
        self.final_record = source.final_record
        self.metadata_offset = arch.pt_regs.metadata or 0
        self.regs_fp_offset = arch.pt_regs.registers[arch.fp]
        self.regs_pc_offset = arch.pt_regs.registers["pc"]
        self.regs_sp_offset = arch.pt_regs.registers[arch.sp]
        self.regs_lr_offset = arch.pt_regs.registers[arch.lr] if arch.lr is not None else 0
        self.pac_mask = arch.pac_mask
        self.shadow_kind = SHADOW_KINDS[layout.flavour] if layout else SHADOW_NONE
        self.shadow_base, self.shadow_limit = source.shadow
        self.shadow_cell = (layout.cell or 0) if layout else 0
        self.shadow_distance = (layout.distance or 0) if layout else 0
        self.layout_rows: tuple[LayoutRow, ...] = layout.rows if layout else ()
        self._row_starts = [row.start for row in self.layout_rows]
        self._row_cache: dict[int, tuple[int, int]] = {}
        self.code = code = source.code or CodeView(stacks=(source.stack,))
        self.hw_base, self.hw_limit = code.hardware
        self.rule, self.rule_word, self.is_text = code.rule, code.rule_word, code.is_text
        self.after_call, self.stack_of = code.ends_call, code.stack_of
        self.task = self.task_flags = self.task_regs = 0
        self.irq_low = self.irq_high = self.irq_shadow_low = self.irq_shadow_high = 0
        self.task_ssp = self.task_shadow_low = self.task_shadow_high = 0
        self.task_trace = self.return_to_handler = self.kretprobe_trampoline = 0
        self._exception_at = 0
        self._plain_low = self.stack_low
        self._frame: bytes | None = None
        self.fault = Fault.NONE
        self.walks, self.walking = 0, False
        self.hung: dict[str, str] = {}
        self.fault_address = 0
        self.log: list[tuple[int, int]] | None = None
        self.view = View(self)

    def enter(self, stack: tuple[int, int], pages: mmap.mmap, start: int, facts: Mapping[str, int]) -> None:
        """Another stack, [low, high), is the one at hand; *pages* back memory from *start* on and hold all of it.
        *facts*: OF_THE_STACK and ``final_record``."""
        self.stack_low, self.stack_high = stack
        self._stack_pages, self._pages_start, self._stack_last = pages, start, self.stack_high - 8
        for name, value in facts.items():
            setattr(self, name, value)
        self.view.renew(self, ("stack_low", "stack_high", *facts))
        self.no_exception()

    def exception(self, sp: int) -> None:
        """An exception has just been taken with stack pointer *sp*: lay the overlay."""
        self._exception_at = sp & -self._arch.exception_align
        self._plain_low = max(self._exception_at, self.stack_low)
        self._frame = None

    def no_exception(self) -> None:
        """No exception: the guest's memory as it is."""
        self._exception_at = 0
        self._plain_low = self.stack_low

    def load(self, address: int) -> int:
        """The 64-bit value at *address*; 0 with ``fault`` set where nothing can be read."""
        if self._plain_low <= address <= self._stack_last:  # nearly every read: the stack above the overlay
            value: int = _unpack(self._stack_pages, address - self._pages_start)[0]
        else:
            address &= MASK64
            if address < self._exception_at and address + 8 > self.stack_low:
                return self._load_overlaid(address)
            elsewhere = self._load(address)
            if elsewhere is None:
                return self._fail(Fault.UNMAPPED, address)
            value = elsewhere
        if self.log is not None:
            self.log.append((address, value))
        return value

    def row(self, pc: int) -> tuple[int, int]:
        """(code of Where, stack offset) of the layout row that holds *pc*; UNKNOWN where none does."""
        found = self._row_cache.get(pc)
        if found is None:
            index = bisect.bisect_right(self._row_starts, pc) - 1
            row = self.layout_rows[index] if index >= 0 and pc < self.layout_rows[index].end else None
            found = (WHERE_CODES[row.where], row.offset) if row else (UNKNOWN, 0)
            self._row_cache[pc] = found
        return found

    def _fail(self, fault: Fault, address: int) -> int:
        if self.fault is Fault.NONE:
            self.fault, self.fault_address = fault, address
        return 0

    def _load_overlaid(self, address: int) -> int:
        """Eight bytes of which at least one lies under the exception frame or in poison."""
        frame = self._pt_regs()
        low = self._exception_at - len(frame)
        if address < low:
            return self._fail(Fault.POISON, address)
        inside = frame[address - low : address - low + 8]
        beyond = self._read(self._exception_at, 8 - len(inside)) if len(inside) < 8 else b""
        if len(inside) + len(beyond) < 8:
            return self._fail(Fault.UNMAPPED, address)
        value: int = _U64.unpack(inside + beyond)[0]
        if self.log is not None:
            self.log.append((address, value))
        return value

    def _pt_regs(self) -> bytes:
        """The pt_regs block of this stop, as the architecture's kernel entry lays it out."""
        if self._frame is None:
            facts = self._arch.pt_regs
            block = bytearray(facts.size)
            values = self._registers()
            for name, offset in facts.registers.items():
                _U64.pack_into(block, offset, values[name])
            if facts.metadata is not None:  # an exception from the kernel itself: {0, 0}, type PT_REGS
                _U64.pack_into(block, facts.metadata + 16, 2)
            self._frame = bytes(block)
        return self._frame
