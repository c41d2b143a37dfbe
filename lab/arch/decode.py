"""Instructions as the rest of the lab sees them, decoded by capstone, with its known gaps closed here.

Register names are canonical 64-bit names (``Arch.gprs``) plus ``flags``; vector and system registers
keep capstone's names.  capstone 5.0 is wrong or silent about what some instructions access; corrected below:

* AArch64 ``svc`` writes the link register (it does not); ``ret`` reads nothing (it reads the link register);
* AArch64 LSE atomics (``cas``, ``swp``, ``ldadd``), ``dc`` and ``ldraa`` access no register operand: every
  operand it is silent about counts as read and as written;
* AArch64 ``cmp``, ``cmn``, ``tst`` write their first operand (they read it); ``adds`` of an immediate does not;
* x86 ``enter`` leaves RSP alone; ``rcl``, ``rcr``, ``cmc``, ``adox`` and ``fcmov`` read no flags; ``loop`` is no
  branch, ``iret`` and ``sysret`` do not leave; ``repne movsd`` has no prefix.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import capstone

from lab.arch.facts import Arch


class Kind(enum.Enum):
    """What an instruction does to control flow.  A closed set: match it to the end."""

    CALL = "call"  # direct or indirect; target is None where indirect
    RETURN = "return"
    JUMP = "jump"  # unconditional, direct
    BRANCH = "branch"  # conditional, direct
    INDIRECT = "indirect"  # unconditional jump through a register or memory
    SYSCALL = "syscall"
    TRAP = "trap"  # does not go on: brk, udf, ud2, int3, hlt
    REPEAT = "repeat"  # x86 rep-prefixed string instruction: hooked once per iteration
    OTHER = "other"
    UNDECODED = "undecoded"


#: Kinds after which control never falls through to the next instruction.
ENDS_FLOW = frozenset({Kind.RETURN, Kind.JUMP, Kind.INDIRECT, Kind.TRAP, Kind.UNDECODED})


@dataclass(frozen=True, slots=True)
class Insn:
    """One decoded instruction.  ``target`` is the absolute direct target, None if indirect or none."""

    address: int
    raw: bytes
    mnemonic: str
    op_str: str
    kind: Kind
    target: int | None
    reads: frozenset[str]
    writes: frozenset[str]

    @property
    def size(self) -> int:
        return len(self.raw)

    @property
    def end(self) -> int:
        return self.address + len(self.raw)

    @property
    def text(self) -> str:
        return f"{self.mnemonic} {self.op_str}".strip()


def decode(arch: Arch, code: bytes, address: int) -> Iterator[Insn]:
    """Every instruction of *code* in address order.  Undecodable bytes come as UNDECODED units of
    ``arch.insn_align`` bytes, so that the pieces always cover *code* without a gap."""
    engine = _engine(arch.name, detail=False)
    offset = 0
    while offset < len(code):
        for at, size, mnemonic, operands in engine.disasm_lite(code[offset:], address + offset):
            yield _insn(arch, at, code[offset : offset + size], mnemonic, operands)
            offset += size
        if offset < len(code):
            yield _undecoded(arch, code[offset:], address + offset)
            offset += arch.insn_align


def disassemble(arch: Arch, code: bytes, address: int) -> Iterator[tuple[int, int, str]]:
    """(address, size in bytes, text) of every instruction of *code* up to the first that cannot be decoded.

    The text is that of ``Insn.text``.  Fast: capstone is not asked what an instruction does."""
    for at, size, mnemonic, operands in _engine(arch.name, detail=False).disasm_lite(code, address):
        yield at, size, f"{mnemonic} {operands}".strip()


def decode_one(arch: Arch, code: bytes, address: int) -> Insn:
    """The first instruction of *code* (at most 16 bytes are looked at); UNDECODED and empty where there is none."""
    if not code:
        return Insn(address, b"", ".byte", "", Kind.UNDECODED, None, frozenset(), frozenset())
    return next(decode(arch, code[: arch.max_insn], address))


#: capstone with detail does some 50 k instructions a second, without it twenty times as many; and the same code is
#: decoded by the rewriter, its checks, every machine that runs it and every variant of the image.  What an
#: instruction does is kept once for its bytes; what it reads like, and where it leads, is made for each address.
#: Dropped whole when full: entries are cheap to make again.
_seen: dict[tuple[str, bytes], Insn] = {}
_SEEN_LIMIT = 500_000


def _insn(arch: Arch, address: int, code: bytes, mnemonic: str, operands: str) -> Insn:
    known = _seen.get((arch.name, code))
    if known is None:
        if len(_seen) >= _SEEN_LIMIT:
            _seen.clear()
        known = _convert(arch, next(_engine(arch.name, detail=True).disasm(code, address, 1)))
        _seen[arch.name, code] = known
    target = None if known.target is None else _named(operands)
    return Insn(address, code, mnemonic, operands, known.kind, target, known.reads, known.writes)


def _named(operands: str) -> int:
    """The address a direct branch names: its last operand."""
    return int(operands.rsplit(",", 1)[-1].strip(" #"), 0) & 0xFFFF_FFFF_FFFF_FFFF


def _undecoded(arch: Arch, window: bytes, address: int) -> Insn:
    unit = window[: arch.insn_align]
    return Insn(address, unit, ".byte", unit.hex(), Kind.UNDECODED, None, frozenset(), frozenset())


@cache
def _engine(name: str, *, detail: bool) -> Any:
    if name == "aarch64":
        engine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    else:
        engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.detail = detail
    return engine


_TRAPS = frozenset({"brk", "udf", "hlt", "ud2", "ud1", "ud0", "int3"})
_X86_SMALL = {
    "rax": "eax ax al ah", "rbx": "ebx bx bl bh", "rcx": "ecx cx cl ch", "rdx": "edx dx dl dh",
    "rsi": "esi si sil", "rdi": "edi di dil", "rbp": "ebp bp bpl", "rsp": "esp sp spl",
}  # fmt: skip
_CANON = {small: big for big, names in _X86_SMALL.items() for small in names.split()}
_CANON |= {f"r{i}{suffix}": f"r{i}" for i in range(8, 16) for suffix in "dwb"}
_CANON_A64 = {"fp": "x29", "lr": "x30", "wsp": "sp", "nzcv": "flags"} | {f"w{i}": f"x{i}" for i in range(31)}


def canonical(arch: Arch, name: str) -> str:
    """capstone's register name as the lab's: w7 -> x7, eax -> rax, nzcv and rflags -> flags."""
    if arch.name == "aarch64":
        return _CANON_A64.get(name, name)
    return "flags" if name in {"rflags", "eflags"} else _CANON.get(name, name)


def _convert(arch: Arch, raw: Any) -> Insn:
    read_ids, write_ids = raw.regs_access()
    reads = {canonical(arch, raw.reg_name(r)) for r in read_ids} - {"xzr", "wzr"}
    writes = {canonical(arch, raw.reg_name(r)) for r in write_ids} - {"xzr", "wzr"}
    kind, target = _classify(arch, raw)
    if arch.lr is not None:
        silent = _silent_operands(arch, raw)
        reads |= silent
        writes |= silent
        if raw.mnemonic in _COMPARES or raw.mnemonic in _SETTERS:
            reads, writes = _by_position(arch, raw, written=raw.mnemonic in _SETTERS)
        if kind is Kind.SYSCALL:
            writes.discard(arch.lr)
        if kind is Kind.RETURN and not raw.operands:
            reads.add(arch.lr)
        if kind is Kind.BRANCH and raw.mnemonic.startswith("bc."):
            reads.add("flags")
    else:
        if raw.mnemonic.startswith(_READS_FLAGS):
            reads.add("flags")
        if raw.mnemonic == "enter":
            writes |= {arch.sp, arch.fp}
        if _repeated_movsd(raw):
            reads.add("rcx")
            writes.add("rcx")
    return Insn(
        raw.address, bytes(raw.bytes), raw.mnemonic, raw.op_str, kind, target, frozenset(reads), frozenset(writes)
    )


_READS_FLAGS = ("rcl", "rcr", "cmc", "adox", "fcmov")
_LOOPS = frozenset({"loop", "loope", "loopne"})
_RETURNS = frozenset({"ret", "retaa", "retab", "eret", "iret", "iretd", "iretq", "sysret", "sysretq", "sysexit"})


_COMPARES = frozenset({"cmp", "cmn", "tst"})
_SETTERS = frozenset({"adds", "subs", "ands", "bics"})


def _by_position(arch: Arch, raw: Any, *, written: bool) -> tuple[set[str], set[str]]:
    """(reads, writes) of a flag-setting A64 instruction: the first operand is the destination if one is *written*."""
    names = [canonical(arch, raw.reg_name(op.reg)) for op in raw.operands if op.type == capstone.CS_OP_REG]
    first = {names[0]} if written else set()
    return set(names[1:] if written else names) - {"xzr", "wzr"}, (first | {"flags"}) - {"xzr", "wzr"}


def _silent_operands(arch: Arch, raw: Any) -> set[str]:
    """Register operands capstone gives no access for (0 is neither read nor write)."""
    silent = (op for op in raw.operands if op.type == capstone.CS_OP_REG and not op.access)
    return {canonical(arch, raw.reg_name(op.reg)) for op in silent} - {"xzr", "wzr"}


def _classify(arch: Arch, raw: Any) -> tuple[Kind, int | None]:
    mnemonic = raw.mnemonic.split()[-1]
    if mnemonic in _TRAPS:
        return Kind.TRAP, None
    if mnemonic in {"svc", "syscall"}:
        return Kind.SYSCALL, None
    groups = set(raw.groups)
    target = _direct_target(arch, raw)
    if capstone.CS_GRP_CALL in groups:
        return Kind.CALL, target
    if capstone.CS_GRP_RET in groups or mnemonic in _RETURNS:
        return Kind.RETURN, None
    if mnemonic in _LOOPS:
        return Kind.BRANCH, target
    hinted = arch.lr is not None and mnemonic.startswith("bc.")  # FEAT_HBC: capstone gives it no group
    if capstone.CS_GRP_JUMP in groups or hinted or mnemonic in {"braa", "brab", "braaz", "brabz"}:
        if target is None:
            return Kind.INDIRECT, None
        return (Kind.JUMP if mnemonic in {"b", "jmp"} else Kind.BRANCH), target
    if arch.name == "x86_64" and (raw.mnemonic.startswith("rep") or _repeated_movsd(raw)):
        return Kind.REPEAT, None
    return Kind.OTHER, None


def _repeated_movsd(raw: Any) -> bool:
    """``movs`` of four bytes after f2, which capstone prints like the SSE2 instruction of the same name."""
    return raw.mnemonic == "movsd" and raw.opcode[0] == 0xA5 and 0xF2 in raw.bytes


def _direct_target(arch: Arch, raw: Any) -> int | None:
    """The last immediate operand of a branch; b.cond, cbz and tbz all put the target there."""
    operands = raw.operands
    immediate = capstone.CS_OP_IMM
    if not operands or operands[-1].type != immediate:
        return None
    return int(operands[-1].imm) & 0xFFFF_FFFF_FFFF_FFFF
