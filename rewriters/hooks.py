"""What has to be done about the pointer where control does not go by calls and returns: setjmp, longjmp and clone.

A jump drops activations without their pops, so the pointer goes with the buffer.

setjmp's entry saves the shadow-stack pointer in a word of the jmp_buf that nobody uses, longjmp's restores it.
The word must not be among those the image's own setjmp and longjmp touch, and must lie inside every jmp_buf:

* AArch64: offset 96.  glibc 2.36 sysdeps/aarch64/jmpbuf-offsets.h and musl 1.2 src/setjmp/aarch64 store x30 at 88 and
  SP at 104.
* x86-64: offset 0x60.  glibc's jmp_buf is 200 bytes (its signal mask at 0x48 is written by 8 bytes only), and pthread's
  unwind buffer is 104, with pad[3] at 0x60 unused; musl's sigsetjmp uses 0x40 and 0x50.

The parallel flavour has no pointer: nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.arch import Arch
from lab.errors import RefusedError
from lab.images.flow import decode_function
from lab.images.image import Function, Image
from lab.layout import Flavour
from rewriters import encode
from rewriters.census import JumpKind, JumpShape, Survey
from rewriters.detour.trampolines import Line, Writer
from rewriters.detour.windows import NoWindow, Window, Windows
from rewriters.plan import Plan, Storage
from rewriters.refusals import CELL_SYMBOL, references
from rewriters.text import NewText
from rewriters.unwind import catching, read_frames

#: Offset of the word in a jmp_buf (bytes).
SLOT = {"aarch64": 96, "x86_64": 0x60}
#: How the census's reasons begin for functions that throw, and that make processes.
_UNWINDS, _CLONES = "unwinds:", "clones:"
#: What keeps the pointer over a system call: no argument of it, and not what x86-64's own return address takes.
_KEEPERS = {"aarch64": ("x16", "x17"), "x86_64": ("r9",)}


@dataclass(frozen=True)
class JumpHook:
    """Code before the first instruction of one setjmp or longjmp.  ``flavour``: REGISTER or MEMORY."""

    shape: JumpShape
    flavour: Flavour

    @property
    def function(self) -> Function:
        """Whose code it is put into."""
        return self.shape.function

    def write(self, image: Image, plan: Plan, storage: Storage) -> None:
        """Put the trampoline into *plan*.  NoWindow where there is no room for it."""
        lines = _lines(image.arch, self.flavour, self.shape, storage.cell)
        writer = Writer(image, plan, self.function)
        writer.hook(_window(image, self.function, self.shape.entry), lines, (), known=True)
        writer.close()


@dataclass(frozen=True)
class CloneHook:
    """Code around the system call at ``address`` in a vfork or clone.

    The child may share the pointer's memory, and where the parent waits for it (CLONE_VFORK) finds the pointer as the
    child left it.  So the parent puts back what was there, which a register kept for it: the kernel gives a new process
    all registers of its parent but the result."""

    function: Function
    address: int

    def write(self, image: Image, plan: Plan, storage: Storage) -> None:
        """Put the trampoline into *plan*.  NoWindow where there is no room, or no free register, for it."""
        keeper = _KEEPERS[image.arch.name]
        for insn in decode_function(image, self.function).insns:
            if insn.address > self.address and insn.reads & set(keeper):
                raise NoWindow(insn.address, f"'{insn.text}' reads {' or '.join(keeper)} behind its system call")
        at, arch = storage.cell or 0, image.arch
        if arch.lr is None:
            before: tuple[Line, ...] = (lambda pc: encode.x86_mov_load(pc, keeper[0], at),)
            after: tuple[Line, ...] = (lambda pc: encode.x86_mov_store(pc, keeper[0], at),)
        else:
            low = _low(at)
            before = (lambda pc: encode.a64_adrp(pc, "x16", at), _fixed(arch, f"ldr x17, [x16{low}]"))
            after = (_fixed(arch, f"str x17, [x16{low}]"),)
        writer = Writer(image, plan, self.function)
        writer.hook(_window(image, self.function, self.address), before, after, known=False)
        writer.close()


Hook = JumpHook | CloneHook


def _window(image: Image, function: Function, address: int) -> Window:
    return Windows(image, lambda: decode_function(image, function), (), function.end).at_start(address)


def find_hooks(image: Image, known: Survey, flavour: Flavour) -> tuple[Hook, ...]:
    """The hooks *image* needs with *flavour*; those of its setjmps that keep the pointer themselves need none."""
    if flavour is Flavour.PARALLEL:
        return ()
    hooks: list[Hook] = [
        JumpHook(shape, flavour) for shape in known.jumps.values() if not _keeps_pointer(image, shape, flavour)
    ]
    if flavour is Flavour.MEMORY:  # a register is its process's own
        for start, out in known.switches.items():
            function = image.function_at(start)
            if function is not None and out.reason.startswith(_CLONES):
                hooks.append(CloneHook(function, out.address))
    return tuple(sorted(hooks, key=lambda hook: hook.function.start))


def refuse_jumps(image: Image, known: Survey, flavour: Flavour) -> None:
    """RefusedError where a jump would unbalance the shadow stack and cannot be made to take the pointer along."""
    if flavour is Flavour.PARALLEL:
        return
    kernel = range(image.symbols.get("lab_kernel_entry", 0), image.symbols.get("lab_kernel_text_end", 0))
    for out in known.switches.values():
        if out.address in kernel:
            continue  # the lab's kernel keeps a pointer for each of its stacks
        if out.reason.startswith((_UNWINDS, _CLONES)):
            continue  # a throw does no harm unless somebody catches: cleanups push on top, and do not return
        raise RefusedError(
            f"{image.path}: {out.function} {out.reason}: a shadow stack with one pointer does not follow; only the "
            "parallel flavour stands that"
        )
    frames = read_frames(image)
    for fde in catching(image, frames) if frames is not None else ():
        raise RefusedError(
            f"{image.path}: {image.locate(fde.start)} catches exceptions, which leave functions without a pop; only "
            "the parallel flavour stands that"
        )
    slot = SLOT[image.arch.name]
    for hook in find_hooks(image, known, flavour):
        name = hook.function.name
        touches = hook.shape.touches if isinstance(hook, JumpHook) else ()
        if any(offset < slot + 8 and slot < offset + size for offset, size in touches):
            raise RefusedError(
                f"{image.path}: {name} uses the word at {slot:#x} of its jmp_buf, where the "
                "shadow-stack pointer would go; only the parallel flavour works here"
            )
        try:
            hook.write(image, _draft(image), Storage(0, 0, 0))
        except NoWindow as none:
            raise RefusedError(
                f"{image.path}: {name} cannot be made to keep the shadow-stack pointer: {none.reason}"
            ) from None


def _draft(image: Image) -> Plan:
    """A plan nobody writes: to see whether there is room."""
    return Plan(NewText(image.arch, image.segments[-1].end + 0xFFF & ~0xFFF))


def _keeps_pointer(image: Image, shape: JumpShape, flavour: Flavour) -> bool:
    code = decode_function(image, shape.function)
    if flavour is Flavour.REGISTER:
        return any(image.arch.shadow_register in insn.reads | insn.writes for insn in code.insns)
    cell = image.symbols.get(CELL_SYMBOL)
    return cell is not None and references(code, cell)


def _lines(arch: Arch, flavour: Flavour, shape: JumpShape, cell: int | None) -> tuple[Line, ...]:
    """Save the pointer to, or restore it from, the buffer in the first argument register."""
    slot = f"[{shape.register}, #{SLOT[arch.name]:#x}]" if arch.lr else f"[{shape.register} + {SLOT[arch.name]:#x}]"
    saving = shape.kind is JumpKind.SETJMP
    if flavour is Flavour.REGISTER:
        return (_fixed(arch, f"{'str' if saving else 'ldr'} {arch.shadow_register}, {slot}"),)
    at = cell or 0
    if arch.lr is None:
        register = f"qword ptr {slot}"
        if saving:
            return (lambda pc: encode.x86_mov_load(pc, "r11", at), _fixed(arch, f"mov {register}, r11"))
        return (_fixed(arch, f"mov r11, {register}"), lambda pc: encode.x86_mov_store(pc, "r11", at))
    low = _low(at)
    own, buffer = ("ldr", "str") if saving else ("str", "ldr")
    moves: Iterable[Line] = (
        _fixed(arch, f"{own} x17, [x16{low}]"),
        _fixed(arch, f"{buffer} x17, {slot}"),
    )
    first, second = moves if saving else tuple(moves)[::-1]
    return (lambda pc: encode.a64_adrp(pc, "x16", at), first, second)


def _low(cell: int) -> str:
    return "" if cell & 0xFFF == 0 else f", #{encode.number(cell & 0xFFF)}"


def _fixed(arch: Arch, text: str) -> Line:
    return encode.template(arch, text), text
