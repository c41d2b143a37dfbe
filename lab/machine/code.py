"""The guest's code as decoded instructions, kept as long as nobody can have changed it."""

from __future__ import annotations

from lab.arch.decode import Insn, Kind, decode_one
from lab.errors import InputError
from lab.images.image import Image
from lab.machine.memory import PAGE, GuestMemory
from lab.machine.misread import misread

#: Kinds after which a translated block may go on.  UNDECODED too: unicorn knows instructions that capstone does not.
_IN_BLOCK = frozenset({Kind.OTHER, Kind.REPEAT, Kind.UNDECODED})


class Code:
    """The instructions in one machine's memory, whose mappings must all be there already."""

    def __init__(self, image: Image, memory: GuestMemory) -> None:
        self._image, self._arch = image, image.arch
        self._memory = memory
        self._decoded: dict[int, Insn] = {}
        self._sound: set[int] = set()  # checked
        #: [start, end) of what the guest can both write and execute, in address order.
        self.changeable = [(m.start, m.end) for m in memory.mappings if m.writable and m.executable]
        self._changeable_pages = frozenset(
            page for start, end in self.changeable for page in range(start // PAGE, end // PAGE)
        )

    def insn_at(self, pc: int) -> Insn:
        """The instruction at *pc*, cached unless it may reach into a page that is writable as well as executable."""
        found = self._decoded.get(pc)
        if found is None:
            found = decode_one(self._arch, self.bytes_at(pc), pc)
            if self._lasts(pc):
                self._decoded[pc] = found
        return found

    def check(self, pc: int) -> None:
        """InputError where the emulator would run another instruction than the one at *pc*, which is about to run."""
        if pc in self._sound:
            return
        problem = misread(self._arch, self.bytes_at(pc))
        if problem:
            raise InputError(f"{self._image.path}: {self._image.locate(pc)}: {problem}")
        if self._lasts(pc):
            self._sound.add(pc)

    def bytes_at(self, pc: int) -> bytes:
        """What a decoder has to see of the code at *pc*: 16 bytes, or fewer where executable memory ends."""
        return self._memory.fetch(pc, 16)

    def _lasts(self, pc: int) -> bool:
        """Whether only the host can change what the instruction at *pc* is."""
        pages = {pc // PAGE, (pc + self._arch.max_insn - 1) // PAGE}
        return self._changeable_pages.isdisjoint(pages)

    def forget(self, start: int, end: int) -> None:
        """The host changed [start, end): drop every instruction that overlaps it, however far before it begins."""
        for pc in range(start - self._arch.max_insn + 1, end):
            self._decoded.pop(pc, None)
            self._sound.discard(pc)

    def block_end(self, pc: int) -> int:
        """The end of the straight line of code from *pc*: no translated block that holds *pc* goes on behind it."""
        while (insn := self.insn_at(pc)).raw:
            pc = insn.end
            if insn.kind not in _IN_BLOCK:
                break
        return pc
