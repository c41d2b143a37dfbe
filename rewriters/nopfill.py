"""NOP fill: sequences written into the sleds of chosen sites, out of line where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from lab.arch import Arch, arch_by_name
from lab.images.image import Image
from lab.layout import InsertedRange, LayoutRow, Leaves, Policy, Region, Where
from rewriters import encode
from rewriters.choose import Chosen, Selection, decode_all, select
from rewriters.elf_tables import NewSymbol
from rewriters.flavours import FlavourSpec
from rewriters.pairing import Paired, State, entry_rows, plain_rows, site_states
from rewriters.plan import OUT_OF_LINE, Plan, Prepared, Storage
from rewriters.sequences import Binding, Emitted, Sequence, assemble, emit
from rewriters.sites import Ending, Found
from rewriters.unwind import Span, registered

#: What fills the unreachable rest of a sled after an unconditional jump: NOPs stay NOPs, x86 gets traps.
_A64_NOP, _X86_NOP, _X86_TRAP = bytes.fromhex("1f2003d5"), b"\x90", b"\xcc"
_X86_RET = b"\xc3"


def prepare(
    find: Callable[[Image], Found], image: Image, spec: FlavourSpec, policy: Policy, leaves: Leaves
) -> Prepared:
    """The sites *find* knows in *image*, decided."""
    found = find(image)
    codes = decode_all(image)
    selection = select(image, found, codes, spec, policy, leaves=leaves)
    decoded = sum(len(code.insns) for code in codes.values())

    def fill(plan: Plan, storage: Storage) -> None:
        own_rows: dict[int, list[LayoutRow]] = {}
        for start, sites in sorted(selection.chosen.items()):
            writer = _FunctionWriter(image, plan, selection.walks[start], storage)
            own_rows[start] = writer.write(sites)
        plan.rows.extend(_all_rows(image, selection, own_rows))

    out_of_line = any(not _fits(image.arch, chosen) for sites in selection.chosen.values() for chosen in sites)
    return Prepared(
        fill=fill,
        needs_text=out_of_line,
        instrumented=len(selection.chosen),
        sites=found.total,
        left_out=selection.left_out,
        scan=found.scan,
        # Pairing follows every instruction's effect on the stack pointer: what is decoded has to be understood.
        decoded=decoded,
        understood=decoded,
        registrations=registered(image) if out_of_line else (),
        calling=sum(bool(code.calls) for code in codes.values()),
        calling_instrumented=sum(bool(codes[start].calls) for start in selection.chosen),
    )


def _length(arch: Arch, chosen: Chosen) -> int:
    """Bytes of the sequence and, at an x86 exit, of the return behind it.  Lengths do not depend on
    addresses."""
    return _sequence_length(arch.name, chosen.sequence, chosen.scratch) + (
        len(_X86_RET) if chosen.site.ending is Ending.RETURN else 0
    )


@cache
def _sequence_length(arch_name: str, what: Sequence, scratch: tuple[str, ...]) -> int:
    return sum(len(piece.raw) for piece in emit(arch_by_name(arch_name), what, 0, Binding(scratch, 8)))


def _fits(arch: Arch, chosen: Chosen) -> bool:
    return _length(arch, chosen) <= chosen.site.size


class _FunctionWriter:
    """Writes the sites of one function into the plan and keeps its rows."""

    def __init__(self, image: Image, plan: Plan, paired: Paired, storage: Storage) -> None:
        self.arch = image.arch
        self.plan = plan
        self.paired = paired
        self.cell = storage.cell
        self.name = paired.graph.code.function.name

    def write(self, sites: tuple[Chosen, ...]) -> list[LayoutRow]:
        """Fill *sites*; the rows of the function's old range, in address order."""
        rows: list[LayoutRow] = []
        by_address = {chosen.site.address: chosen for chosen in sites}
        done = 0
        first = self.plan.here
        for i, insn in enumerate(self.paired.graph.code.insns):
            if insn.address in by_address:
                rows.extend(self._site(by_address[insn.address]))
                done = by_address[insn.address].site.end
            elif insn.address >= done:
                where, offset, reason = self.paired.where(i)
                rows.append(LayoutRow(insn.address, insn.end, where, offset, reason))
        if self.plan.here > first:
            self.plan.symbols.append(NewSymbol(self.name + OUT_OF_LINE, first, self.plan.here - first))
        return rows

    def _site(self, chosen: Chosen) -> list[LayoutRow]:
        site = chosen.site
        if not chosen.sequence.lines and site.inert:
            return self._untouched(chosen)
        region = InsertedRange(site.address, site.end, Region.INSERTED, self.name)
        self.plan.inserted.append(region)
        if _fits(self.arch, chosen):
            self.plan.inline += 1
            return self._inline(chosen)
        self.plan.out_of_line += 1
        return self._out_of_line(chosen)

    def _untouched(self, chosen: Chosen) -> list[LayoutRow]:
        """A sled with nothing to do stays as it is (counted as in line): its first instruction makes the change."""
        site = chosen.site
        self.plan.inline += 1
        first = 4 if self.arch.lr is not None else (1 if site.ending is Ending.RETURN else 2)
        before, after = site_states(self.paired, site)
        return [
            self._row(site.address, site.address + first, before, 0),
            self._row(site.address + first, site.end, after, 0),
        ]

    def _inline(self, chosen: Chosen) -> list[LayoutRow]:
        site = chosen.site
        pieces = emit(self.arch, chosen.sequence, site.address, Binding(chosen.scratch, self.cell))
        code = bytearray(b"".join(piece.raw for piece in pieces))
        rows = self._rows(chosen, pieces)
        before, after = site_states(self.paired, site)
        rest = site.address + len(code)
        if site.ending is Ending.RETURN:
            code += _X86_RET
        code += self._over(site.address + len(code), site.end, returned=site.ending is Ending.RETURN)
        self._edit(site.address, bytes(code), site.size)
        if rest < site.end:
            # Nothing to do (a pop that only records): the NOP itself is where the answer changes.
            rows.append(self._row(rest, site.end, after if pieces else before, 0))
        return rows

    def _over(self, start: int, end: int, *, returned: bool) -> bytes:
        """What fills [start, end) behind an in-line sequence: a jump over it, NOPs, or traps behind a return."""
        left = end - start
        if self.arch.lr is None:
            if returned or left == 0:
                return _X86_TRAP * left
            return encode.template(self.arch, "nop") * left
        if left < 8:
            return _A64_NOP * (left // 4)
        jump, text = encode.a64_b(start, end)
        encode.read_back(self.arch, jump, start, text)
        return jump + _A64_NOP * (left // 4 - 1)

    def _out_of_line(self, chosen: Chosen) -> list[LayoutRow]:
        site = chosen.site
        before, after = site_states(self.paired, site)
        start = self.plan.here
        pieces = assemble(self.arch, chosen.sequence, start, Binding(chosen.scratch, self.cell))
        for piece in pieces:
            self.plan.text.put(piece.raw, piece.text)
            self.plan.spans.append(Span(piece.address, self.plan.here, site.address, piece.pushed))
        self.plan.rows.extend(self._rows(chosen, pieces))
        last = self.plan.here
        if site.ending is Ending.RETURN:
            self.plan.text.put(_X86_RET, "ret")
        else:
            self.plan.text.put(*self._jump(last, site.end))
        self.plan.spans.append(Span(last, self.plan.here, site.address))
        self.plan.rows.append(self._row(last, self.plan.here, after, 0))
        self.plan.inserted.append(InsertedRange(start, self.plan.here, Region.TRAMPOLINE, self.name))
        jump, text = self._jump(site.address, start)
        encode.read_back(self.arch, jump, site.address, text)
        left = site.size - len(jump)
        filler = _X86_TRAP * left if self.arch.lr is None else _A64_NOP * (left // 4)
        self._edit(site.address, jump + filler, site.size)
        rows = [self._row(site.address, site.address + len(jump), before, 0)]
        if left:
            rows.append(self._row(site.address + len(jump), site.end, after, 0))
        return rows

    def _jump(self, pc: int, target: int) -> encode.Encoded:
        return encode.jump(self.arch, pc, target)

    def _edit(self, address: int, data: bytes, size: int) -> None:
        assert len(data) == size, f"{self.name}: {len(data)} bytes for a site of {size}"
        self.plan.edit(address, data)

    def _rows(self, chosen: Chosen, pieces: list[Emitted]) -> list[LayoutRow]:
        before, after = site_states(self.paired, chosen.site)
        return [
            self._row(piece.address, piece.address + len(piece.raw), after if piece.flipped else before, piece.pushed)
            for piece in pieces
        ]

    def _row(self, start: int, end: int, state: State, pushed: int) -> LayoutRow:
        where, offset, reason = self.paired.where_of(state)
        return LayoutRow(start, end, where, offset + pushed if where is Where.STACK else 0, reason)


def _all_rows(image: Image, selection: Selection, own: dict[int, list[LayoutRow]]) -> list[LayoutRow]:
    """Rows for every byte of old code: functions, and what lies between them."""
    rows: list[LayoutRow] = []
    functions = image.functions
    for i, function in enumerate(functions):
        end = min(function.end, functions[i + 1].start) if i + 1 < len(functions) else function.end
        if function.start in own:
            rows.extend(own[function.start])
        elif function.start <= image.entry < function.end:
            rows.extend(entry_rows(image, function, end))
        elif function.start in selection.strangers:
            rows.append(LayoutRow(function.start, end, Where.UNKNOWN, 0, selection.strangers[function.start]))
        else:
            rows.extend(plain_rows(image, selection.walks[function.start], function.start, end))
    return rows
