"""What one x86-64 instruction does to flow, stack and the tracked registers, from capstone's text.

A form that is not told apart loses what it may write (SP, FP) and reads, without overwriting, every tracked register
it names.  Source: Intel 64 Software Developer's Manual volume 2 (325383).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rewriters.census.scan import Effect, Flow, Op

BITS = {"r10": 1, "r11": 2, "flags": 4}
_R10, _R11, _FLAGS = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Fact:
    """``direct``: the operand is a branch target; ``register``: an indirect branch goes through it (None: memory);
    ``saves``: moves a callee-saved register to or from the first argument; ``number``: loaded into rax."""

    flow: Flow = Flow.NONE
    effects: Effect = ()
    reads: int = 0
    kills: int = 0
    writes: int = 0
    direct: bool = False
    register: str | None = None
    syscall: bool = False
    saves: bool = False
    number: int | None = None


_TRAPS = frozenset({"int3", "hlt", "ud0", "ud1", "ud2", "ud2b"})
_FAR = frozenset(
    {"iret", "iretd", "iretq", "sysret", "sysretq", "sysexit", "sysexitq", "retf", "retfq", "ljmp", "lcall"}
)
_SYSCALLS = frozenset({"syscall", "sysenter"})
_SHORT = frozenset({"loop", "loope", "loopne", "jrcxz", "jecxz", "jcxz"})
_N = r"(?:0x[0-9a-f]+|\d+)"
_REGISTER = re.compile(r"r\w+$|e\w+$")


def fact(mnemonic: str, operands: str, raw: bytes) -> Fact:
    """The facts of one instruction as capstone prints it."""
    words = mnemonic.split()
    name = words[-1]
    flow = _flow(name, operands)
    if flow is not None:
        return _branch(flow, name, operands)
    reads, kills = _registers(name, operands)
    writes = kills | _named(operands) | _FLAGS
    return Fact(
        Flow.NONE,
        _effects(name, operands, raw),
        reads,
        kills,
        writes,
        syscall=name in _SYSCALLS,
        saves=name == "mov" and _SAVES.search(operands) is not None,
        number=int(match[1], 0) if name == "mov" and (match := _NUMBER.match(operands)) else None,
    )


def _flow(name: str, operands: str) -> Flow | None:
    direct = operands.startswith(("0x", "0")) or operands.isdigit()
    if name == "call":
        return Flow.CALL if direct else Flow.CALL_INDIRECT
    if name == "jmp":
        return Flow.JUMP if direct else Flow.INDIRECT
    if name == "ret":
        return Flow.RETURN
    if name in _SHORT:
        return Flow.SHORT
    if name[0] == "j" or name == "xbegin":
        return Flow.BRANCH
    if name in _TRAPS:
        return Flow.TRAP
    return Flow.FAR if name in _FAR else None


def _branch(flow: Flow, name: str, operands: str) -> Fact:
    indirect = flow in {Flow.CALL_INDIRECT, Flow.INDIRECT}
    register = operands if indirect and _REGISTER.match(operands) else None
    reads = _named(operands) if indirect else 0
    if flow is Flow.BRANCH and name not in {"xbegin"}:
        reads |= _FLAGS
    if name in {"loope", "loopne"}:
        reads |= _FLAGS
    direct = flow in {Flow.CALL, Flow.JUMP, Flow.BRANCH, Flow.SHORT}
    return Fact(flow, (), reads, direct=direct, register=register)


_SAVES = re.compile(r"(?:^|, )(?:rbx|r12|r13|r14|r15)(?:$|,).*\[rdi|\[rdi.*, (?:rbx|r12|r13|r14|r15)$")
_NUMBER = re.compile(rf"(?:rax|eax|al), ({_N})$")
_SCRATCH = re.compile(r"\br1([01])[dwb]?\b")
_WHOLE = re.compile(r"r1([01])d?(?:$|, )")
#: Instructions that overwrite their first operand without reading it.
_MOVES = frozenset({"mov", "movabs", "movzx", "movsx", "movsxd", "lea", "pop"})
#: Instructions after which no flag keeps its old value (or is undefined), whatever the operands.
_SETS_FLAGS = frozenset(
    {"cmp", "test", "add", "sub", "and", "or", "xor", "neg", "imul", "mul", "adc", "sbb", "cmpxchg", "xadd", "ptest",
     "bt", "bts", "btr", "btc", "inc", "dec", "fucomi", "fucompi", "fcomi", "fcompi", "fucomip", "fcomip",
     "ucomiss", "ucomisd", "comiss", "comisd", "vucomiss", "vucomisd", "vcomiss", "vcomisd", "vptest",
     "popcnt", "lzcnt", "tzcnt", "andn", "blsr", "blsi", "blsmsk", "bzhi", "popfq", "sahf"}
)  # fmt: skip
_SHIFTS = frozenset({"shl", "shr", "sar", "sal", "rol", "ror", "shld", "shrd"})
_BY_NUMBER = re.compile(r", (?:0x[0-9a-f]+|\d+)$")
_READS_FLAGS = ("set", "cmov", "adc", "sbb", "pushf", "lahf", "rcl", "rcr", "cmc", "adcx", "adox", "fcmov")


def _named(operands: str) -> int:
    """The tracked registers *operands* name."""
    mask = 0
    for digit in _SCRATCH.findall(operands):
        mask |= _R11 if digit == "1" else _R10
    return mask


def _registers(name: str, operands: str) -> tuple[int, int]:
    reads = kills = 0
    if "r1" in operands:
        reads = _named(operands)
        first = _WHOLE.match(operands)
        if first:
            bit = _R11 if first[1] == "1" else _R10
            rest = _named(operands[first.end() :])
            zeroed = name == "xor" and len(set(operands.split(", "))) == 1
            if name in _MOVES or zeroed:
                reads, kills = (0 if zeroed else rest), bit
    if name in _SETS_FLAGS or (name in _SHIFTS and _BY_NUMBER.search(operands)):
        kills |= _FLAGS
    if name.startswith(_READS_FLAGS):
        reads |= _FLAGS
    if name in _SYSCALLS:
        reads |= _R10
        kills |= _R11
    return reads, kills


#: Registers as capstone names them, for the stack and the frame pointer, whole and in part.
_SP_NAMES, _FP_NAMES = ("rsp", "esp", "sp", "spl"), ("rbp", "ebp", "bp", "bpl")
#: Instructions that only read their first operand.
_READERS = frozenset({"cmp", "test", "push", "bt", "nop", "verr", "verw", "ltr", "lldt", "lmsw", "mul", "div",
                      "idiv", "out", "clflush", "clflushopt", "prefetchw", "clwb", "fld", "fild", "fldcw", "ldmxcsr",
                      "vldmxcsr", "fxrstor", "fxrstor64", "xrstor", "xrstor64", "invlpg", "incsspq", "incsspd",
                      "wrfsbase", "wrgsbase", "ptwrite"})  # fmt: skip
_EXCHANGES = frozenset({"xchg", "xadd", "mulx"})
_ADJUST = re.compile(rf"rsp, (-?{_N})$")
_FROM = re.compile(rf"(rsp|rbp), \[(r\w+)(?: ([+-]) ({_N}))?\]$")
_COPY = re.compile(r"(rsp|rbp), (r\w+)$")
_LOADED = re.compile(rf"rsp, qword ptr (?:\[(r\w+)(?: [+-] {_N})?\])?")
_SLOT = re.compile(rf"[a-z]+ ptr \[(rsp|rbp)(?: \+ ({_N}))?\](?:$|, )")
_U64 = 1 << 64


def _effects(name: str, operands: str, raw: bytes) -> Effect:
    if name in {"push", "pop", "pushfq", "popfq", "pushf", "popf"}:
        return _push(name, operands, raw)
    if name == "leave":
        return ((Op.SP_FP, 8), (Op.FP_LOST,)) if raw == b"\xc9" else ((Op.SP_LOST,), (Op.FP_LOST,))
    if name == "enter":
        return ((Op.SP_LOST,), (Op.FP_LOST,))
    if "sp" not in operands and "bp" not in operands:
        return ()
    names = operands.split(", ")
    if name in _EXCHANGES and any(each in _SP_NAMES + _FP_NAMES for each in names):
        return ((Op.SP_LOAD, ""), (Op.FP_LOST,))
    if names[0] in _SP_NAMES:
        return _to_sp(name, operands)
    if names[0] in _FP_NAMES and name not in _READERS:
        return _to_fp(name, operands)
    slot = _SLOT.match(operands)
    if slot and name not in _READERS:
        return ((Op.SLOT_WRITE, int(slot[1] == "rbp"), int(slot[2] or "0", 0)),)
    return ()


def _push(name: str, operands: str, raw: bytes) -> Effect:
    if raw[:1] == b"\x66" or name in {"pushf", "popf"} or operands in {"fs", "gs"}:
        return ((Op.SP_LOST,), (Op.FP_LOST,))
    if name == "push":
        saved: Effect = ((Op.PUSH, operands),) if _REGISTER.match(operands) else ((Op.PUSH, ""),)
        return ((Op.SP_ADD, -8), *saved)
    if name == "pushfq":
        return ((Op.SP_ADD, -8), (Op.PUSH, ""))
    lost: Effect = ((Op.FP_LOST,),) if operands == "rbp" else ()
    if operands == "rsp":
        return ((Op.SP_LOST,),)
    return ((Op.SP_ADD, 8), *lost)


def _signed(text: str) -> int:
    value = int(text, 0)
    return value - _U64 if value >> 63 else value


def _to_sp(name: str, operands: str) -> Effect:
    if name in _READERS:
        return ()
    if name in {"add", "sub"} and (match := _ADJUST.match(operands)):
        amount = _signed(match[1])
        return ((Op.SP_ADD, -amount if name == "sub" else amount),)
    if name == "lea" and (match := _FROM.match(operands)):
        amount = int(match[4] or "0", 0)
        return _sum(match[1], match[2], -amount if match[3] == "-" else amount)
    if name == "mov" and (match := _COPY.match(operands)):
        return _sum(match[1], match[2], 0)
    if name == "mov" and (match := _LOADED.match(operands)):
        return ((Op.SP_LOAD, match[1] or ""),)
    if name == "and" and operands.startswith("rsp, "):
        return ((Op.SP_ALIGN,),)
    if name in {"add", "sub"} and (match := _COPY.match(operands)):
        return ((Op.SP_MOVE, match[2], -1 if name == "sub" else 1),)
    return ((Op.SP_LOST,),) if name in {"lea", "add", "sub", "or", "inc", "dec"} else ((Op.SP_LOAD, ""),)


def _to_fp(name: str, operands: str) -> Effect:
    if name == "lea" and (match := _FROM.match(operands)):
        amount = int(match[4] or "0", 0)
        return _sum(match[1], match[2], -amount if match[3] == "-" else amount)
    if name == "mov" and (match := _COPY.match(operands)):
        return _sum(match[1], match[2], 0)
    return ((Op.FP_LOST,),)


def _sum(register: str, source: str, amount: int) -> Effect:
    """register = source + amount."""
    if register == "rsp":
        known: dict[str, Effect] = {"rsp": ((Op.SP_ADD, amount),), "rbp": ((Op.SP_FP, amount),)}
        return known.get(source, ((Op.SP_REG, source, amount),))
    known = {"rsp": ((Op.FP_SP, amount),), "rbp": ((Op.FP_ADD, amount),)}
    return known.get(source, ((Op.FP_LOST,),))
