"""Which bytes a jump to a trampoline may overwrite, or why there are not enough.

On AArch64 a jump is as long as every instruction, so a window is the one instruction.  On x86-64 it takes five
bytes: the window reaches forward over instructions at an entry; at an exit over padding behind it, else backward.
Nothing may jump into the middle of a window, and no call may be in it: its return address would be ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lab.arch import Arch
from lab.arch.decode import ENDS_FLOW, Insn, Kind, decode
from lab.images.flow import Code
from lab.images.image import Image
from rewriters import encode
from rewriters.moving import problem

_PADDING = frozenset({"nop", "int3"})
_LONGEST_PADDING = 16


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) is overwritten: with ``pad``, a landing pad, then the jump.  ``insns`` are the instructions
    displaced; the rest of it is padding."""

    start: int
    end: int
    insns: tuple[Insn, ...]
    pad: bytes = b""


class NoWindow(Exception):  # noqa: N818 - no error: an answer, with its reason and address
    """There are not enough bytes at ``address``: the reason in words."""

    def __init__(self, address: int, reason: str) -> None:
        super().__init__(reason)
        self.address, self.reason = address, reason


def jump_size(arch: Arch) -> int:
    """Bytes of a direct jump."""
    return len(encode.jump(arch, 0, 0)[0])


class Windows:
    """Chooses the windows of one function, none overlapping another.

    *code* gives the function's instructions (asked only where a jump is longer than an instruction may be);
    *tables*: whether it has jump tables; *entered*: addresses in it that other functions jump to; *limit*: where the
    next function begins, so that padding before it may be used."""

    def __init__(
        self, image: Image, code: Callable[[], Code], entered: Iterable[int], limit: int, *, tables: bool = False
    ) -> None:
        self.image, self.arch, self.limit, self.tables = image, image.arch, limit, tables
        self.need = jump_size(image.arch)
        self.single = image.arch.insn_align == self.need
        self._taken: list[Window] = []
        if not self.single:
            self._insns, self._index = code().insns, code().index
            self._targets = {insn.target for insn in self._insns if insn.target is not None} | set(entered)

    def at_start(self, address: int) -> Window:
        """A window from the instruction at *address* on; NoWindow if there is none."""
        if self.single:
            return self._one(address)
        insns: list[Insn] = []
        i = self._at(address)
        while sum(insn.size for insn in insns) < self.need:
            if i >= len(self._insns):
                raise NoWindow(address, f"fewer than {self.need} bytes from here to its end")
            insn = self._insns[i]
            if insns and insn.address in self._targets:
                raise NoWindow(
                    address, f"something jumps to {insn.address:#x}, within the {self.need} bytes a jump takes"
                )
            if insn.kind is Kind.CALL or (insn.kind in ENDS_FLOW and insns):
                raise NoWindow(address, f"'{insn.text}' lies within the {self.need} bytes a jump takes")
            insns.append(insn)
            i += 1
        return self._take(Window(address, insns[-1].end, tuple(insns)))

    def _at(self, address: int) -> int:
        """The index of the instruction at *address*: there is none where data or damage is called a function."""
        if address not in self._index:
            raise NoWindow(address, "no instruction of its own begins here")
        return self._index[address]

    def behind_pad(self, address: int) -> Window:
        """Like ``at_start``, where the instruction at *address* (PACIASP) is also the landing pad for indirect
        branches: a BTI C takes its place, and the jump that of the instruction behind it."""
        first, second = decode(self.arch, self.image.read(address, 2 * self.need), address)
        if second.kind is not Kind.OTHER:
            raise NoWindow(address, f"'{second.text}' behind the landing pad cannot be displaced")
        return self._take(Window(address, second.end, (first, second), pad=encode.BTI_C))

    def at_end(self, address: int) -> Window:
        """A window whose last instruction is the one at *address*; NoWindow if there is none."""
        if self.single:
            return self._one(address)
        i = self._at(address)
        insn = self._insns[i]
        padding = self._padding(insn.end) if insn.kind in ENDS_FLOW else 0
        if insn.size + padding >= self.need:
            return self._take(Window(address, address + max(self.need, insn.size), (insn,)))
        insns = [insn]
        while insns[0].address + self.need > insn.end + padding:
            i -= 1
            before = self._insns[i] if i >= 0 else None
            if insns[0].address in self._targets:
                raise NoWindow(address, f"a jump leads to {insns[0].address:#x}, too near before this exit")
            if before is None or before.end != insns[0].address or before.kind in ENDS_FLOW:
                raise NoWindow(address, f"fewer than {self.need} bytes of straight code before this exit")
            if before.kind is Kind.CALL:
                raise NoWindow(address, f"'{before.text}' lies within the {self.need} bytes before this exit")
            insns.insert(0, before)
        end = max(insn.end, insns[0].address + self.need)
        return self._take(Window(insns[0].address, end, tuple(insns)))

    def _one(self, address: int) -> Window:
        (insn,) = decode(self.arch, self.image.read(address, self.need), address)
        return self._take(Window(address, address + self.need, (insn,)))

    def _take(self, window: Window) -> Window:
        for insn in window.insns:
            if why := problem(self.arch, insn):
                raise NoWindow(insn.address, f"'{insn.text}' cannot be carried elsewhere: {why}")
        if not self.single and any(window.start < target < window.end for target in self._targets):
            raise NoWindow(window.start, f"a jump leads into the {self.need} bytes from here")
        if len(window.insns) > 1 and self.tables:
            raise NoWindow(window.start, f"an indirect jump of this function could lead into the {self.need} bytes")
        if any(window.start < other.end and other.start < window.end for other in self._taken):
            raise NoWindow(window.start, f"entry and exit share the {self.need} bytes a jump takes")
        self._taken.append(window)
        return window

    def _padding(self, start: int) -> int:
        """Bytes of padding from *start* on that nothing jumps to, in the function or between it and the next."""
        size = min(self.limit - start, _LONGEST_PADDING)
        if size <= 0:
            return 0
        length = 0
        for insn in decode(self.arch, self.image.read(start, size), start):
            if insn.mnemonic not in _PADDING or insn.address in self._targets:
                break
            length += insn.size
        return length
