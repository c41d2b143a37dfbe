"""Prologue and epilogue as they execute: the instructions of one activation of a function with next to no body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab import registry
from lab.arch import arch_by_name
from lab.arch.decode import Insn, Kind
from lab.cost.native.programs import BODIES, VARIANTS
from lab.cost.pipeline.mca import Model, cycles, models
from lab.cost.sites import Pieces
from lab.errors import EngineError, InputError
from lab.images.build import build
from lab.images.cache import cache_folder
from lab.images.image import Image, load_image
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Machine
from lab.rewriting import with_shadow

ARCH = "aarch64"
FUNCTION = "middle"
BASE = "base"


@dataclass(frozen=True)
class PairRow:
    """Cycles of one prologue and epilogue pair by one model, None where it lacks one of the instructions; ``artefact``:
    fewer than without the proposal, which no added instruction explains."""

    proposal: str
    core: str
    instructions: int
    cycles: float | None
    base_cycles: float | None

    @property
    def artefact(self) -> bool:
        """Whether the model finds it faster than the base."""
        return self.cycles is not None and self.base_cycles is not None and self.cycles < self.base_cycles


def pair(proposal: str) -> list[str]:
    """The instructions that FUNCTION executes once under *proposal*, its call left out, as assembly text.

    InputError where the proposal does not exist on AArch64; EngineError where the function is not as expected."""
    asked = registry.proposal(proposal)
    if reason := asked.unsupported(ARCH):
        raise InputError(f"proposal '{proposal}': {reason}")
    image = load_image(build(BODIES[0].workload(), arch_by_name(ARCH), asked.compiler_flags(ARCH)))
    done, shadow = with_shadow(image, asked, Limits(), cache_folder())
    insns = _activation(done, image, shadow, Pieces(shadow) if shadow and asked.rewrite else None)
    kept = [insn for insn in insns if insn.kind is not Kind.CALL]
    if not kept or sum(insn.kind is Kind.CALL for insn in insns) != 1:
        raise EngineError(f"{done.path}: {FUNCTION} does not make one call")
    return [_assembly(insn) for insn in kept]


def _activation(image: Image, source: Image, shadow: RewriteMap | None, pieces: Pieces | None) -> list[Insn]:
    """What FUNCTION, and code written for it, executes from its second entry to its third."""
    function = next((f for f in source.functions if FUNCTION in f.names), None)
    if function is None:
        raise EngineError(f"{image.path}: no function {FUNCTION}")
    machine = Machine(image, shadow.layout if shadow else None)
    found: list[list[Insn]] = []
    called = False

    def instruction(pc: int) -> None:
        nonlocal called
        origin = pieces.origin(pc) if pieces else pc
        piece = pieces.inserted(pc) if pieces and origin is None else None
        own = piece.function == FUNCTION if piece else origin is not None and function.start <= origin < function.end
        insn = machine.insn_at(pc)
        if own and called:
            found.append([])
        if own and found and len(found) < 4:
            found[-1].append(insn)
        called = not own and insn.kind is Kind.CALL

    machine.execute(instruction)
    if len(found) < 3:
        raise EngineError(f"{image.path}: {FUNCTION} was not entered three times")
    return found[1]


def _assembly(insn: Insn) -> str:
    """*insn* as llvm-mca reads it: a branch goes to where it stands (nothing is executed)."""
    if insn.kind in {Kind.JUMP, Kind.BRANCH}:
        return f"{insn.mnemonic} {insn.op_str.rsplit('#', 1)[0]}#0".replace(", #0", ", #8")
    if insn.mnemonic in {"adrp", "adr"}:
        return f"{insn.mnemonic} {insn.op_str.split(',')[0]}, #0"
    return insn.text


def measure_pairs(proposals: Sequence[str] = ()) -> tuple[list[PairRow], tuple[Model, ...]]:
    """Every model's cycles for BASE and *proposals* (none: those timed natively on AArch64)."""
    names = [BASE, *(name for name in proposals or VARIANTS[ARCH] if name != BASE)]
    texts = {name: pair(name) for name in names}
    rows = []
    for model in models():
        base = cycles(model, texts[BASE])
        rows += [PairRow(n, model.core, len(lines), cycles(model, lines), base) for n, lines in texts.items()]
    return rows, models()
