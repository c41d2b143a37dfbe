"""What is stored with every (pc, unwinder, verdict), so that conditions for trust can be searched for later.

Static features depend on the pc alone; dynamic ones on the stop and use the truth, which is why they are
computed here and never shown to an unwinder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from lab.arch.decode import Insn, Kind, decode
from lab.images.image import Function, Image
from lab.images.liveness import lr_live
from lab.layout import InsertedRange, Region, RewriteMap, ShadowLayout
from lab.metadata.eh_frame import CfiTable, read_cfi
from lab.truth import Activation


@dataclass(frozen=True, slots=True)
class StaticFeatures:
    """Of one pc.

    ``offset_class``: ``prologue`` is a run of frame-building instructions that begins at the function's entry
    or contains the one that sets FP from SP; ``epilogue`` a run of frame-releasing instructions that restores
    FP or ends at an exit, with the exit; ``body`` the rest; ``none`` outside any function.
    ``lr_live``: the value in LR may still be read before it is overwritten (None where there is no LR or flow
    is unknown).  ``row_kind``: the .eh_frame row's CFA base, ``none`` without a row.
    """

    location: str
    function: str
    region: Region
    offset_class: str
    insn_class: str
    lr_live: bool | None
    row_kind: str


class DynamicFeatures(NamedTuple):
    """Of one stop.  ``sp_delta``: bytes SP is below its value at function entry (None in the outermost code).

    ``record_complete``: the record at FP holds the innermost return address and lies in this function's frame.
    ``shadow_pushed``: the innermost return address is on the shadow stack (None without one).
    ``fp_matches_row``: FP + offset of an FP-based row gives the true CFA (None for other rows).
    ``interrupted``: an exception lies on the true trace, so that a handler runs or a task was preempted.
    """

    sp_delta: int | None
    record_complete: bool | None
    shadow_pushed: bool | None
    fp_matches_row: bool | None
    interrupted: bool = False


class Features:
    """Feature extraction for one image (rewritten, where *rewrite* is given)."""

    def __init__(self, image: Image, rewrite: RewriteMap | None) -> None:
        self.image = image
        self.layout: ShadowLayout | None = rewrite.layout if rewrite else None
        self.cfi: CfiTable = read_cfi(image.path, image.arch)
        self._inserted: tuple[InsertedRange, ...] = rewrite.inserted if rewrite else ()
        self._static: dict[int, StaticFeatures] = {}
        self._classes: dict[int, dict[int, str]] = {}
        self._live: dict[int, dict[int, bool]] = {}
        symbols = image.symbols
        self._kernel = range(symbols.get("lab_kernel_text", 0), symbols.get("lab_kernel_text_end", 0))

    def inserted_at(self, pc: int) -> InsertedRange | None:
        """The piece of inserted code that holds *pc*."""
        return next((piece for piece in self._inserted if piece.start <= pc < piece.end), None)

    def region(self, pc: int) -> Region:
        """Whose code *pc* is."""
        return self.static(pc).region

    def static(self, pc: int) -> StaticFeatures:
        """The static features of *pc*, computed once."""
        found = self._static.get(pc)
        if found is None:
            found = self._static[pc] = self._compute(pc)
        return found

    def at_stop(self, pc: int, *, after_call: bool) -> StaticFeatures:
        """The static features of a stop.  After a call the pc is a return address, and where a call that does not
        return ends its function that lies in the next one: the stop still belongs to the function that called."""
        static, caller = self.static(pc), self.image.function_at(pc - 1)
        if not after_call or caller is None or caller is self.image.function_at(pc):
            return static
        row = self.cfi.at(pc - 1)
        return replace(
            static,
            location=f"{caller.name}+{pc - caller.start:#x}",
            function=caller.name,
            region=self.region(pc - 1) if self.inserted_at(pc - 1) else self._own_region(pc - 1),
            offset_class="body",
            insn_class=Kind.UNDECODED.value,
            lr_live=None if self.image.arch.lr is None else False,
            row_kind=row.kind if row else "none",
        )

    def _compute(self, pc: int) -> StaticFeatures:
        image = self.image
        piece = self.inserted_at(pc)
        named = image.function_at(pc)
        # Out-of-line code has a symbol of its own; it belongs to the function whose site it serves.
        function = None if piece is not None and piece.region is Region.TRAMPOLINE else named
        row = self.cfi.at(pc)
        insn = next(decode(image.arch, self._code(pc, 16), pc))
        offset_class, live = "none", None
        if function is not None:
            offset_class = self._class_map(function).get(pc, "body")
            if image.arch.lr is not None:
                live = self._live_map(function).get(pc)
        return StaticFeatures(
            location=image.locate(pc) if piece is None or named else f"{piece.function or 'entry stub'}@{pc:#x}",
            function=function.name if function else (piece.function if piece else ""),
            region=piece.region if piece else self._own_region(pc),
            offset_class=offset_class,
            insn_class=insn.kind.value,
            lr_live=live,
            row_kind=row.kind if row else "none",
        )

    def _own_region(self, pc: int) -> Region:
        """Of code that no rewriter wrote."""
        return Region.HANDLER if pc in self._kernel else Region.ORIGINAL

    def _code(self, pc: int, size: int) -> bytes:
        for segment in self.image.segments:
            if segment.address <= pc < segment.end:
                return self.image.read(pc, min(size, segment.end - pc))
        return b""

    def _class_map(self, function: Function) -> dict[int, str]:
        if function.start not in self._classes:
            written = frozenset(piece.start for piece in self._inserted if function.start <= piece.start < function.end)
            self._classes[function.start] = offset_classes(self.image, function, written)
        return self._classes[function.start]

    def _live_map(self, function: Function) -> dict[int, bool]:
        if function.start not in self._live:
            self._live[function.start] = lr_live(self.image, function)
        return self._live[function.start]

    def dynamic(
        self,
        pc: int,
        registers: tuple[int, int, int],
        innermost: Activation | None,
        load: Callable[[int], int | None],
        *,
        after_call: bool = False,
        interrupted: bool = False,
    ) -> DynamicFeatures:
        """The dynamic features at *pc* with (sp, fp, shadow-stack pointer) *registers*.  After a call, *pc* is a
        return address and the metadata row is that of the call.  *innermost* is None where there is none on the stack
        of SP."""
        if innermost is None:
            return DynamicFeatures(None, None, None, None, interrupted)
        sp, fp, ssp = registers
        arch = self.image.arch
        at_call = innermost.sp_at_call
        complete = sp <= fp <= at_call - 16 and arch.strip(load(fp + 8) or 0) == innermost.ra
        row = self.cfi.at(pc - after_call)
        matches = fp + row.offset == at_call if row is not None and row.kind == "fp" else None
        pushed = self._pushed(innermost, ssp, load)
        return DynamicFeatures(at_call - arch.call_pushes - sp, complete, pushed, matches, interrupted)

    def _pushed(self, innermost: Activation, ssp: int, load: Callable[[int], int | None]) -> bool | None:
        layout = self.layout
        if layout is None:
            return None
        if layout.distance is not None:
            slot = innermost.sp_at_call - self.image.arch.call_pushes - layout.distance
            return load(slot) == innermost.ra
        return ssp > innermost.marker


#: Bytes an unfilled sled jumps over at most (XRay on AArch64: seven NOPs).
MAX_SLED = 28
_SETUP = (
    *("stp", "str", "push", "sub sp", "sub rsp", "paciasp", "nop", "bti", "endbr64"),
    *("mov x29, sp", "add x29, sp", "mov rbp, rsp", "lea rbp, [rsp"),
)
_RELEASE = (
    *("ldp", "ldr", "pop", "add sp", "add rsp", "autiasp", "leave", "nop"),
    *("mov sp, x29", "mov rsp, rbp", "lea rsp"),
)


def offset_classes(image: Image, function: Function, sleds: frozenset[int] = frozenset()) -> dict[int, str]:
    """pc -> prologue or epilogue, for the pcs of *function* that are either (see StaticFeatures).

    A sled, filled (*sleds*: where inserted code starts) or not, is passed over: it belongs to neither.
    """
    insns = list(decode(image.arch, image.read(function.start, function.size), function.start))
    sp, fp = image.arch.sp, image.arch.fp
    first = _after_sled(insns, sleds)
    classes: dict[int, str] = {}
    for run in _runs(insns, lambda i: _touches_frame(i, _SETUP, sp, fp)):
        sets_fp = any(fp in i.writes and sp in i.reads and "[" not in i.op_str for i in run)
        if sets_fp or run[0].address <= first <= run[-1].address:
            classes |= {i.address: "prologue" for i in run}
    exits = {i.address for i in insns if _leaves(i, function)}
    for run in _runs(insns, lambda i: _touches_frame(i, _RELEASE, sp, fp)):
        restores = any(fp in i.writes and ("[" in i.op_str or i.mnemonic in {"pop", "leave"}) for i in run)
        if restores or run[-1].end in exits:
            classes |= {i.address: "epilogue" for i in run if classes.get(i.address) != "prologue"}
    return classes | dict.fromkeys(exits, "epilogue")


def _after_sled(insns: list[Insn], sleds: frozenset[int]) -> int:
    """The address of the first instruction of the function's own code, behind an entry sled."""
    if not insns:
        return -1
    entry = insns[0]
    if entry.kind is Kind.JUMP and entry.target is not None and 0 < entry.target - entry.end <= MAX_SLED:
        return entry.target
    if entry.address in sleds:
        own = [
            i
            for i in insns
            if i.kind is Kind.JUMP and i.target is not None and i.target - entry.address <= MAX_SLED + 4
        ]
        return own[0].target if own and own[0].target is not None else entry.end
    return entry.address


def _touches_frame(insn: Insn, starts: tuple[str, ...], sp: str, fp: str) -> bool:
    """Whether *insn* begins like one of *starts* and, where it accesses memory, does so through SP or FP."""
    if not insn.text.startswith(starts):
        return False
    return "[" not in insn.op_str or any(f"[{base}" in insn.op_str for base in (sp, fp)) or insn.mnemonic == "nop"


def _runs(insns: list[Insn], member: Callable[[Insn], bool]) -> list[list[Insn]]:
    """Maximal runs of consecutive instructions that satisfy *member*."""
    runs: list[list[Insn]] = []
    current: list[Insn] = []
    for insn in insns:
        if member(insn):
            current.append(insn)
        elif current:
            runs.append(current)
            current = []
    return [*runs, current] if current else runs


def _leaves(insn: Insn, function: Function) -> bool:
    if insn.kind is Kind.RETURN:
        return True
    return insn.kind is Kind.JUMP and insn.target is not None and not function.start <= insn.target < function.end
