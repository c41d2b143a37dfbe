"""The memory that the hook and Python share: the blocks and arrays of one run, all kept alive here."""

from __future__ import annotations

import ctypes
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.engine.native.cells import (
    CALLED,
    CHAIN_LIMIT,
    ENTRY_WORDS,
    FRAME_CONSTANT,
    FRAME_FLAGS,
    FRAME_PC,
    HINTS_SIZE,
    KEY_WORDS,
    LINKS_SIZE,
    LOG_LIMIT,
    MAP_WORDS,
    NODE_WORDS,
    NOWHERE,
    OTHERS,
    RECALL_ENTRY,
    RECALL_SIZE,
    RECALLS,
    SHORT_PAUSE,
    SITE_CALL,
    SITE_NONE,
    TAKEN,
    TRUTH_WORDS,
    Changed,
    P,
    S,
    Truth,
)
from lab.engine.native.tables import Places, Span8
from lab.engine.native.unwinder_state import UnwinderState
from lab.machine.machine import Machine
from lab.machine.registers import RegisterBlock
from lab.metadata.rules import Field
from lab.unwind.api import BOUNDARY, CALL, MASK64
from lab.unwind.code_view import TABLES
from lab.unwind.reader import Reader

Words = npt.NDArray[np.uint64]
_FACTS = (
    *("final_record", "metadata_offset", "regs_fp_offset", "regs_pc_offset", "pac_mask"),
    *("shadow_kind", "shadow_base", "shadow_limit", "shadow_cell", "shadow_distance"),
    *("hw_base", "hw_limit", "regs_sp_offset", "regs_lr_offset"),
)
_GROWN = {"truth": (S.TRUTH, S.TRUTH_LIMIT), "entries": (S.ENTRIES, S.ENTRY_LIMIT), "nodes": (S.NODES, S.NODE_LIMIT)}
_EVERYTHING = sum(Changed)


class State:
    """The block ``S`` and everything it points to."""

    def __init__(self, machine: Machine, reader: Reader, spans: Span8, places: Places) -> None:
        self.block = np.zeros(len(S), np.uint64)
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self._machine = machine
        self.registers = machine.register_block()
        self._set_registers(self.registers)
        self.slots = self._set_memory()
        self._set_exception()
        self._set_code(spans, places)
        for name in _FACTS:
            self[S[name.upper()]] = getattr(reader, name)
        self._set_lookups(reader)
        self._set_truth(spans.functions)
        self._set_recall()
        self.unwinders: list[UnwinderState] = []

    def __getitem__(self, cell: S) -> int:
        return int(self.block[cell])

    def __setitem__(self, cell: S, value: int) -> None:
        self.block[cell] = value & MASK64

    @property
    def address(self) -> int:
        """Host address of the block."""
        return int(self.block.ctypes.data)

    @property
    def sp(self) -> int:
        """SP now, which S.SP may not be yet."""
        return ctypes.c_uint64.from_address(self[S.SP_HOST]).value

    def array(self, name: str, array: npt.NDArray[Any]) -> int:
        """Keep *array* alive; its host address."""
        self.arrays[name] = array
        return int(array.ctypes.data)

    def grow(self, name: str) -> None:
        """Twice as many records of *name*, the old ones kept."""
        old = self.arrays[name]
        new = np.zeros((2 * len(old), old.shape[1]), np.uint64)
        new[: len(old)] = old
        pointer, limit = _GROWN[name]
        self[pointer], self[limit] = self.array(name, new), len(new)

    def _set_registers(self, registers: RegisterBlock) -> None:
        arch, order = self._machine.arch, registers.order
        self[S.REGISTERS] = registers.address
        places = (
            (S.SP_HOST, arch.sp),
            (S.FP_HOST, arch.fp),
            (S.LR_HOST, arch.lr),
            (S.SSP_HOST, arch.shadow_register),
        )
        for cell, name in places:
            self[cell] = registers.address + 8 * order.index(name) if name is not None else self.address + 8 * S.ZERO
        batch = registers.batch
        if batch is not None:
            self[S.BATCH], self[S.BATCH_HANDLE] = batch.function, batch.handle
            self[S.BATCH_IDS], self[S.BATCH_POINTERS] = batch.ids, batch.pointers
            self[S.BATCH_COUNT] = batch.count

    def _set_memory(self) -> int:
        """Mapping records, the stack's first; the number of 8-byte slots in all of them."""
        machine = self._machine
        stack = machine.stack_low
        ordered = sorted(machine.mappings, key=lambda m: (m.start != stack, m.start))
        maps = np.zeros((len(ordered), MAP_WORDS), np.uint64)
        slots = 0
        for row, mapping in zip(maps, ordered, strict=True):
            row[:] = (mapping.start, mapping.end, (mapping.host_address - mapping.start) & MASK64, slots)
            slots += (mapping.end - mapping.start) // 8 + 1
        self[S.STACK_LOW], self[S.STACK_HIGH] = machine.stack_low, machine.stack_high
        self[S.STACK_LAST], self[S.STACK_HOST] = machine.stack_high - 8, int(maps[0, 2])  # its slots begin at 0
        self[S.MAPS] = self.array("maps", maps)
        self[S.MAPS_END] = self[S.MAPS] + maps.nbytes
        changeable = machine.changeable
        if changeable:
            self[S.CHANGE_LOW] = min(start for start, _ in changeable)
            self[S.CHANGE_HIGH] = max(end for _, end in changeable)
        self[S.MASKS] = self.array("masks", np.zeros(slots, np.uint64))
        self[S.LOG] = self.array("log", np.zeros(LOG_LIMIT, np.uint64))
        return slots

    def _set_exception(self) -> None:
        """What of pt_regs comes from where, word by word."""
        arch, order = self._machine.arch, self.registers.order
        facts = arch.pt_regs
        kinds = np.full(facts.size // 8, FRAME_CONSTANT, np.uint8)
        constants = np.zeros(facts.size // 8, np.uint64)
        for name, offset in facts.registers.items():
            special = {"pc": FRAME_PC, "flags": FRAME_FLAGS}
            kinds[offset // 8] = special[name] if name in special else order.index(name)
        if facts.metadata is not None:
            constants[facts.metadata // 8 + 2] = 2  # type PT_REGS
        self[S.FRAME_SIZE] = facts.size
        self[S.FRAME_WORDS] = self.array("frame_words", kinds)
        self[S.FRAME_CONSTANTS] = self.array("frame_constants", constants)
        self[S.EXCEPTION_ALIGN] = arch.exception_align
        self[S.CALL_PUSHES] = arch.call_pushes

    def _set_code(self, spans: Span8, places: Places) -> None:
        self[S.CODE_LOW], self[S.CODE_SIZE] = spans.low, spans.size
        self[S.CODE_SHIFT] = places.shift
        self[S.PLACES] = self.array("places", places.records)
        self[S.SPANS] = self.array("spans", spans.spans)
        self[S.SPAN_FACTS] = self.array("span_facts", spans.facts)
        self[S.PC] = MASK64
        self[S.LISTS] = self.array("lists", np.zeros(2 * places.count, np.uint32))

    def _set_lookups(self, reader: Reader) -> None:
        """What unwinders may look up, and the hardware's shadow stack."""
        code, rules = reader.code, []
        for number in range(TABLES):
            rows = code.tables[number].array() if number in code.tables else np.zeros((1, len(Field)), np.uint64)
            rules += [self.array(f"rules{number}", np.ascontiguousarray(rows)), len(rows) - 1]
        self[S.RULES] = self.array("rules", np.array(rules, np.uint64))
        for name, first, end in (("text", S.TEXT, S.TEXT_END), ("stacks", S.STACKS, S.STACKS_END)):
            pairs = np.array(getattr(code, name), np.uint64)
            self[first] = self.array(name, pairs)
            self[end] = self[first] + pairs.nbytes
        self[S.SITES] = self.array("sites", np.zeros(self[S.CODE_SIZE], np.uint8))
        self[S.HSSP] = reader.hw_limit
        if reader.hw_limit:
            mapping = next(m for m in self._machine.mappings if m.start == reader.hw_base)
            self[S.HW_HOST] = mapping.host_address - mapping.start

    def found_site(self, address: int, ends: bool) -> int:
        """Whether a call *ends* before *address*, noted and as its code."""
        code = SITE_CALL if ends else SITE_NONE
        self.arrays["sites"][address - self[S.CODE_LOW]] = code
        return code

    def forget_sites(self) -> None:
        """Where calls end is not known any more."""
        self.arrays["sites"][:] = 0

    def _set_truth(self, functions: int) -> None:
        for name, records, words in (
            ("truth", 4096, TRUTH_WORDS),
            ("entries", 4096, ENTRY_WORDS),
            ("nodes", 1024, NODE_WORDS),
        ):
            pointer, limit = _GROWN[name]
            self[pointer] = self.array(name, np.zeros((records, words), np.uint64))
            self[limit] = records
        self.arrays["truth"][0, Truth.AT_CALL] = NOWHERE  # of no activation
        self[S.ENTRY_COUNT] = self[S.NODE_COUNT] = 1
        self[S.FIRST] = self.array("first", np.zeros(functions + 1, np.uint64))
        self[S.STAMPS] = self.array("stamps", np.zeros(functions + 1, np.uint64))
        self[S.TRUTH_VERSION] = 1
        self[S.CHANGED] = _EVERYTHING
        self[S.WATCH_ONE] = NOWHERE
        self[S.WATCH_TWO] = self[S.SHADOW_CELL] or NOWHERE
        self[S.TOP_AT_CALL] = NOWHERE
        self[S.KNOWS_FUNCTIONS] = any(f.symbol for f in self._machine.image.functions)

    def _set_recall(self) -> None:
        """Room for boundaries to be recalled."""
        for cell, shape in (
            (S.LINKS, (LINKS_SIZE, 4)),
            (S.HINTS, (HINTS_SIZE, 2)),
            (S.RECALL_ENTRIES, (RECALL_SIZE, RECALL_ENTRY)),
            (S.RECALL_KEY, (KEY_WORDS + 1,)),
            (S.OTHER_SLOTS, (OTHERS, 2)),
            *((cell, (CHAIN_LIMIT + 1,)) for cell in (S.LEVEL_NUMBERS, S.LEVEL_BITS, S.SHADOW_NUMBERS, S.HW_NUMBERS)),
        ):
            self[cell] = self.array(cell.name.lower(), np.zeros(shape, np.uint64))
        self[S.CREDIT] = 1 << 10
        self[S.PAUSE] = SHORT_PAUSE
        if self[S.HW_LIMIT]:
            self[S.HW_SLOTS] = (self[S.HW_LIMIT] - self[S.HW_BASE]) >> 3
            self[S.HW_SLOT] = self.mapped(self[S.HW_BASE])[1]
        self.new_epoch()

    def mapped(self, address: int) -> tuple[int, int]:
        """Of the guest's memory at *address*: (host address minus guest address, number of its slot)."""
        maps = self.arrays["maps"]
        (row,) = maps[(maps[:, 0] <= address) & (address < maps[:, 1])].tolist()
        start, _, host, slot = row
        return host, slot + ((address - start) >> 3)

    def new_epoch(self) -> None:
        """What numbers stand for holds no more (see ``core.chain``)."""
        self[S.NUMBERS] += 1
        for name, hold in (
            ("level_numbers", S.LEVELS_HOLD),
            ("shadow_numbers", S.SHADOW_HOLDS),
            ("hw_numbers", S.HW_HOLDS),
        ):
            self.arrays[name][0] = self[S.NUMBERS]
            self[hold] = 0

    def set_unwinders(self, evaluators: list[tuple[int, int, int, int]], places: int) -> None:
        """(evaluator's address or 0 for the oracle, words of its cursor, P.READS, P.TRACKED) of each unwinder."""
        self.unwinders = [UnwinderState(index, evaluator, self.slots) for index, evaluator in enumerate(evaluators)]
        pointers = np.array([u.block.ctypes.data for u in self.unwinders], np.uint64)
        self[S.ASK] = reduce(or_, (reads for _, _, reads, _ in evaluators), int(Changed.TRUTH | Changed.UNSURE))
        self[S.UNWINDERS] = self.array("unwinders", pointers)
        self[S.UNWINDER_COUNT] = len(pointers)
        self[S.TOGETHER] = (1 << len(pointers)) - 1
        self[S.SEEN] = self.array("seen", np.zeros(2 * places * max(1, len(pointers)), np.uint8))
        self[S.VECTOR] = self[S.VECTOR_CALL] = 0

    def set_recall(self, *, on: bool) -> None:
        """Whether stops are recalled."""
        self[S.RECALL] = RECALLS if on else 0
        for unwinder in () if on else self.unwinders:
            unwinder.block[P.APART] = 1

    def set_limits(self, caps: list[tuple[int, int]], *, keep: bool) -> None:
        """(most addresses it reports, the status it then ends with) of each unwinder, and whether stacks are kept."""
        for unwinder, (cap, status) in zip(self.unwinders, caps, strict=True):
            unwinder.block[P.CAP], unwinder.block[P.CAP_STATUS] = cap, status
            for mode in () if keep else (BOUNDARY, CALL):
                unwinder.set_full(mode)

    def delivered(self, ra: int, sp: int) -> None:
        """A handler runs next: a signal's, as if a call with these had retired, or an exception's."""
        self.pend(CALLED if self._machine.exceptions is None else TAKEN, ra, sp)

    def pend(self, what: int, ra: int, sp: int) -> None:
        """*what* (CALLED or TAKEN) has happened; it is an activation from the next instruction on."""
        cell = self[S.SHADOW_CELL]
        self[S.PENDING], self[S.PENDING_RA], self[S.PENDING_SP] = what, ra, sp
        self[S.PENDING_MARKER] = (self._machine.memory.load(cell) or 0) if cell else self[S.SSP]

    def look_around(self) -> None:
        """The hook looks around before its next instruction."""
        self[S.INSTRUCTIONS] -= self[S.LEFT]
        self[S.LEFT] = 0

    def forget(self) -> None:
        """Nothing memoised holds any more (the host has written)."""
        self[S.CHANGED] = _EVERYTHING
        self.new_epoch()
        for unwinder in self.unwinders:
            unwinder.forget()
