"""Which general registers hold a value somebody will still read, per instruction.  Registers are bits.

Backwards: what may be read later.  Forwards: what may have been given a value at all.  A register is free
where not both hold.  Calls follow the platform ABI (AAPCS64; System V x86-64 psABI 3.2.3): they read the
argument registers and destroy the caller-saved ones; a return reads results and callee-saved registers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from lab.arch import Arch, arch_by_name
from lab.arch.decode import Insn, Kind
from lab.images.flow import Code, Graph, Solution, solve
from lab.images.frame import Frame, step
from lab.images.image import Function, Image

FLAGS = "flags"


@dataclass(frozen=True)
class Abi:
    """Register sets as bit masks.  ``veneer``: registers a linker or a sled contract may destroy at any call."""

    bits: dict[str, int]
    everything: int
    arguments: int
    results: int
    preserved: int
    syscall: int
    syscall_kills: int
    veneer: int

    def mask(self, names: Iterable[str]) -> int:
        """The bits of *names*; names that are no general register (vectors, system registers) count nothing."""
        return sum(self.bits.get(name, 0) for name in set(names))


def abi(arch: Arch) -> Abi:
    """The platform ABI of *arch* in bits."""
    return _abi(arch.name)


@cache
def _abi(name: str) -> Abi:
    arch = arch_by_name(name)
    names = (*arch.gprs, FLAGS)
    bits = {name: 1 << i for i, name in enumerate(names)}

    def mask(text: str) -> int:
        return sum(bits[name] for name in text.split())

    def x(first: int, last: int) -> int:
        return sum(bits[f"x{i}"] for i in range(first, last + 1))

    everything = (1 << len(names)) - 1
    if arch.lr is not None:
        saved = x(18, 29) | mask("sp")
        return Abi(bits, everything, x(0, 8), x(0, 7), saved, x(0, 8), x(0, 0), mask("x16 x17"))
    saved = mask("rbx rbp rsp r12 r13 r14 r15")
    arguments = mask("rdi rsi rdx rcx r8 r9 rax")
    syscall = mask("rax rdi rsi rdx r10 r8 r9")
    return Abi(bits, everything, arguments, mask("rax rdx"), saved, syscall, mask("rax rcx r11"), mask("r10"))


@dataclass(frozen=True)
class Liveness:
    """Masks before each instruction: ``live`` (may be read later) and ``defined`` (may hold a value)."""

    abi: Abi
    live: tuple[int, ...]
    defined: tuple[int, ...]

    def free(self, i: int, names: Iterable[str]) -> tuple[str, ...]:
        """Those of *names* whose value nobody needs before instruction *i*, in the order given."""
        busy = self.live[i] & self.defined[i]
        return tuple(name for name in names if not self.abi.bits[name] & busy)


def liveness(graph: Graph, flow: Solution[Frame]) -> Liveness:
    """Liveness of one function; *flow* tells jump tables from tail calls."""
    code = graph.code
    rules = abi(code.arch)
    return Liveness(rules, _backwards(graph, flow, rules, keep=False)[0], _forwards(graph, flow, rules))


def kept_across_calls(graph: Graph, flow: Solution[Frame]) -> int:
    """Caller-saved registers read after a call without being written again (gcc's -fipa-ra does that):
    no callee may use them as scratch.  ``Abi.veneer`` registers cannot be kept."""
    code = graph.code
    rules = abi(code.arch)
    _, after = _backwards(graph, flow, rules, keep=True)
    kept = 0
    for i in code.calls:
        kept |= after[i]
    return kept & ~(rules.veneer | rules.preserved | rules.results | rules.bits[FLAGS])


def lr_live(image: Image, function: Function, code: Code | None = None) -> dict[int, bool]:
    """Per instruction address: whether the link register's value before it may still be read (AArch64).
    Empty where the architecture has no link register.  A jump table is believed to lead to the blocks nothing
    else reaches (``Solution.leaders``); scratch registers are chosen more warily, this only describes."""
    if image.arch.lr is None:
        return {}
    from lab.images.flow import decode_function

    code = code or decode_function(image, function)
    graph = Graph(code)
    flow = frames(graph)
    live = _backwards(graph, flow, abi(image.arch), keep=False, tables=flow.tables)[0]
    bit = abi(image.arch).bits[image.arch.lr]
    return {insn.address: bool(live[i] & bit) for i, insn in enumerate(code.insns)}


def frames(graph: Graph) -> Solution[Frame]:
    """SP and FP before every instruction of a function; tells jump tables from tail calls by SP alone."""
    code = graph.code
    return solve(
        graph,
        Frame(),
        lambda i, frame: step(code.arch, code.insns[i], frame),
        Frame.join,
        lambda frame: frame.sp != 0,
    )


def _backwards(
    graph: Graph, flow: Solution[Frame], rules: Abi, *, keep: bool, tables: frozenset[int] = frozenset()
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Masks before and after each instruction.  Of *tables* only the leaders count as targets, of other jump
    tables everything is wanted."""
    code = graph.code
    effects = [_effect(graph, flow, i, rules, keep) for i in range(len(code.insns))]
    before = [0] * len(code.insns)
    after = [0] * len(code.insns)
    changed = True
    while changed:
        changed = False
        for i in range(len(code.insns) - 1, -1, -1):
            reads, kills, leaving = effects[i]
            out = 0 if i in tables else leaving
            for succ in flow.leaders if i in tables else graph.successors[i]:
                out |= before[succ]
            new = reads | (out & ~kills)
            if new != before[i]:
                before[i] = new
                changed = True
            after[i] = out
    return tuple(before), tuple(after)


def _effect(graph: Graph, flow: Solution[Frame], i: int, rules: Abi, keep: bool) -> tuple[int, int, int]:
    """(registers read, registers destroyed, registers wanted by whatever lies outside the function)."""
    code = graph.code
    insn = code.insns[i]
    reads, kills = rules.mask(insn.reads), rules.mask(_whole_writes(code.arch, insn))
    lr = 0 if code.arch.lr is None else rules.bits[code.arch.lr]
    outside = 0
    match insn.kind:
        case Kind.CALL:
            reads |= rules.arguments
            kills = rules.veneer | lr if keep else rules.everything & ~rules.preserved
            outside = rules.everything if not graph.successors[i] and not graph.stops(insn) else 0
        case Kind.RETURN:
            reads |= rules.results | rules.preserved
        case Kind.SYSCALL:
            reads |= rules.syscall
            kills |= rules.syscall_kills
        case Kind.INDIRECT:
            outside = rules.everything if i in flow.tables else rules.arguments | rules.preserved | lr
        case Kind.JUMP | Kind.BRANCH:
            outside = rules.arguments | rules.preserved | lr if graph.leaves(i) else 0
        case Kind.UNDECODED:
            outside = rules.everything
        case Kind.TRAP | Kind.REPEAT | Kind.OTHER:
            pass
    if not graph.successors[i] and insn.kind in {Kind.OTHER, Kind.REPEAT}:
        outside = rules.everything  # falls off the function's end into something unknown
    return reads, kills, outside


#: x86 instructions after which no flag keeps its old value; ``inc`` keeps CF, ``shl`` by 0 keeps all, and so on.
_SETS_ALL_FLAGS = frozenset({"cmp", "test", "add", "sub", "and", "or", "xor", "neg", "adc", "sbb"})
#: x86 instructions that may leave their destination as it was (``bsf`` of 0 does).
_MAY_KEEP = ("cmov", "set", "rep", "bsf", "bsr")


def _whole_writes(arch: Arch, insn: Insn) -> frozenset[str]:
    """Registers *insn* overwrites whole.  x86 8- and 16-bit writes and conditional moves keep the old value."""
    if arch.lr is not None:
        return insn.writes
    flags = insn.writes & {FLAGS} if insn.mnemonic in _SETS_ALL_FLAGS else frozenset()
    if insn.mnemonic.startswith(_MAY_KEEP):
        return flags
    first = insn.op_str.split(",")[0].strip()
    partial = first.endswith(("b", "w", "l", "h")) or first in {"ax", "bx", "cx", "dx", "si", "di", "bp", "sp"}
    return flags if partial else insn.writes - {FLAGS} | flags


def _forwards(graph: Graph, flow: Solution[Frame], rules: Abi) -> tuple[int, ...]:
    code = graph.code
    scratch = rules.mask(code.arch.scratch) | rules.bits[FLAGS]
    destroyed = rules.mask(code.arch.scratch) | rules.bits[FLAGS]

    def transfer(i: int, have: int) -> int:
        insn = code.insns[i]
        return have & ~destroyed if insn.kind is Kind.CALL else have | rules.mask(insn.writes)

    defined = [0] * len(code.insns)
    reached = [state is not None for state in flow.before]
    if code.insns:
        defined[0] = rules.everything & ~scratch
    pending = [0] if code.insns else []
    seen = {0}
    while pending:
        i = pending.pop()
        out = transfer(i, defined[i])
        for succ in flow.leaders if i in flow.tables else graph.successors[i]:
            if succ not in seen or defined[succ] | out != defined[succ]:
                seen.add(succ)
                defined[succ] |= out
                pending.append(succ)
    return tuple(mask if ok else rules.everything for mask, ok in zip(defined, reached, strict=True))
