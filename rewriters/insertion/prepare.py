"""Which functions are copied, whose pointers follow them, and why the others stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from lab.arch.decode import Kind
from lab.images.flow import Code, decode_function
from lab.images.image import Image
from lab.layout import Leaves, Policy, SiteOut
from rewriters.census import Body, Survey, survey
from rewriters.detour.prepare import other_rows, set_aside
from rewriters.flavours import FlavourSpec
from rewriters.hooks import find_hooks, refuse_jumps
from rewriters.insertion import references_aarch64, references_x86_64
from rewriters.insertion.bodies import build
from rewriters.insertion.laid import Fill, Laid, Stays
from rewriters.insertion.references import Form, Pointer, References
from rewriters.insertion.relocations import Retained, retained
from rewriters.insertion.write import Moves, Writer
from rewriters.pac import bti_property
from rewriters.plan import Plan, Prepared, Storage
from rewriters.sequences import Sequence, sequence
from rewriters.sites import Action
from rewriters.unwind import Obstacles, read_frames, registered

_COLLECT: dict[str, Callable[[References, Retained], None]] = {
    "aarch64": references_aarch64.collect,
    "x86_64": references_x86_64.collect,
}
_DIRECT = frozenset({Kind.CALL, Kind.JUMP, Kind.BRANCH})
_NOTHING = Sequence((), 0, False)


def prepare(image: Image, spec: FlavourSpec, policy: Policy, leaves: Leaves, *, copy_only: bool = False) -> Prepared:
    """Everything decided for *image*; RefusedError where the image as a whole must not be rewritten so.
    *copy_only*: with no sequences at all, to see that moving alone changes nothing."""
    kept = retained(image)
    known = survey(image)
    refuse_jumps(image, known, spec.reach)
    chooser = Chooser(image, known, kept, _fill(image, spec, policy, copy_only=copy_only))
    left_out = set_aside(image, known, spec.reach, leaves)
    moves = chooser.choose(left_out)
    hooks = () if copy_only else find_hooks(image, known, spec.reach)

    def fill(plan: Plan, storage: Storage) -> None:
        Writer(image, plan, moves, chooser.found, storage.cell).write(untouched=frozenset(known.jumps))
        for hook in hooks:
            hook.write(image, plan, storage)
        plan.rows.extend(other_rows(image, set(moves.bodies), known, hooks))

    return Prepared(
        fill=fill,
        needs_text=bool(moves.bodies),
        instrumented=len(moves.bodies),
        sites=sum(len(laid.body.exits) + (not laid.body.fragment) for laid in moves.bodies.values()),
        left_out=tuple(left_out[start] for start in sorted(left_out)),
        scan={},
        decoded=known.decoded,
        understood=known.understood,
        registrations=chooser.registrations,
        calling=sum(bool(code.calls) for code in chooser.codes.values()),
        calling_instrumented=sum(laid.body.calls for laid in moves.bodies.values()),
    )


def _fill(image: Image, spec: FlavourSpec, policy: Policy, *, copy_only: bool) -> Fill:
    bti = image.arch.lr is not None and bti_property(image)
    if copy_only:
        return Fill(_NOTHING, _NOTHING, bti)
    push, pop = (sequence(image.arch, spec.name, action, policy) for action in (Action.PUSH, Action.POP))
    return Fill(push, pop, bti)


class Chooser:
    """Reads all references of an image and decides."""

    def __init__(self, image: Image, known: Survey, kept: Retained, fill: Fill) -> None:
        self.image, self.known = image, known
        self.codes: dict[int, Code] = {}
        for function in image.functions:
            body = known.bodies.get(function.start)
            self.codes[function.start] = decode_function(image, function) if body is None else body.insns
        self.found = References(image, self.codes)
        _COLLECT[image.arch.name](self.found, kept)
        named = (pointer.address for places in self.found.pointers.values() for pointer in places)
        self.fill = replace(fill, named=frozenset(named))
        self.shared = {start for group in known.groups for start in group}
        self.entered = self._entered()
        self.registrations = registered(image)
        frames = read_frames(image)
        self.obstacles = None if frames is None else Obstacles(image, frames)

    def _entered(self) -> dict[int, list[tuple[int, int]]]:
        """Per function, (start of another function, address) jumped to elsewhere than at its entry."""
        entered: dict[int, list[tuple[int, int]]] = {}
        for start, code in self.codes.items():
            for insn in code.insns:
                if insn.kind not in _DIRECT or insn.target is None or insn.target in code.index:
                    continue
                home = self.found.home(insn.target)
                if home is None or home.start == start:
                    continue
                body = self.known.bodies.get(home.start)
                if insn.target != home.start and (body is None or insn.target > body.entry):
                    entered.setdefault(home.start, []).append((start, insn.target))
        return entered

    def choose(self, left_out: dict[int, SiteOut]) -> Moves:
        """What moves; adds a reason to *left_out* for every other function."""
        bodies: dict[int, Laid] = {}
        for start, body in self.known.bodies.items():
            if start in left_out:
                continue
            try:
                bodies[start] = self._build(body)
            except Stays as stays:
                left_out[start] = SiteOut(body.function.name, stays.address, stays.reason)
        while out := self._broken(bodies, left_out):
            for start, reason in out.items():
                left_out[start] = SiteOut(bodies.pop(start).body.function.name, start, reason)
        return Moves(bodies, self._follow(bodies))

    def _build(self, body: Body) -> Laid:
        function, start = body.function, body.function.start
        if why := self.found.stays.get(start):
            raise Stays(start, why)
        if any(leave.address == body.entry for leave in body.exits):
            raise Stays(start, "its first instruction leaves it: there is no activation to record")
        if not body.insns.insns:
            raise Stays(start, "holds no code")
        if function.size < 5 and self.image.arch.lr is None:
            raise Stays(start, "shorter than the jump that must stand at its old entry (5 bytes)")
        if body.tables and self.image.arch.lr is None and start not in self.found.tables:
            raise Stays(start, f"jumps through a table that is not understood at {body.tables[0]:#x}")
        if any(site.start < function.end and start < site.end for site in self.registrations):
            raise Stays(start, "hands the unwind tables to the unwinder")
        if self.obstacles and (why := self.obstacles.why(start, function.end, pushes=self.image.arch.lr is None)):
            raise Stays(start, why)
        tables = references_aarch64.tables_of(self.found, body.insns, body.tables) if self.image.arch.lr else ()
        laid = build(body, self.fill, tables, entered=start in self.entered)
        for _, target in self.entered.get(start, ()):
            if target not in laid.offsets:
                raise Stays(start, f"another function jumps into the middle of an instruction at {target:#x}")
        return laid

    def _broken(self, bodies: Mapping[int, Laid], left_out: Mapping[int, SiteOut]) -> dict[int, str]:
        """Bodies that must not move because others do not: members of a group, and what staying code enters."""
        broken: dict[int, str] = {}
        for group in self.known.groups:
            out = next((start for start in group if start not in bodies), None)
            if out is not None:
                name = left_out[out].function if out in left_out else f"{out:#x}"
                reason = f"shares code with {name}, which is left out"
                broken |= {start: reason for start in group if start in bodies}
        for start, entries in self.entered.items():
            outside = next((by for by, _ in entries if by not in bodies), None)
            if start in bodies and outside is not None:
                name = self.codes[outside].function.name
                broken[start] = f"{name}, which stays, jumps into its middle"
        return broken

    def _follow(self, bodies: Mapping[int, Laid]) -> frozenset[int]:
        """Functions whose pointers can all be made to name the new entry."""
        return frozenset(
            start
            for start in bodies
            if start in self.found.pointers
            and start not in self.found.fixed
            and all(self._reaches(pointer, bodies) for pointer in self.found.pointers[start])
        )

    def _reaches(self, pointer: Pointer, bodies: Mapping[int, Laid]) -> bool:
        """Whether *pointer* can be made to name a place in the new segment: ``adr`` cannot where it stays, and what a
        hook displaces is not touched."""
        if pointer.form is Form.WORD:
            return True
        home = self.found.home(pointer.address)
        if home is not None and home.start in bodies:
            return True
        if home is None or home.start in self.known.jumps:
            return False
        return pointer.form is not Form.RELATIVE or self.image.arch.lr is None
