"""One stop, explained: instruction, registers, the true stack, what each unwinder read, reported, and why."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab import registry
from lab.arch.decode import Insn, decode
from lab.engine.plan import AFTER_CALL, Injection, Plan
from lab.errors import InputError
from lab.features import DynamicFeatures
from lab.frames import Frame, frames, place_of
from lab.images.image import Image, load_image
from lab.images.rawelf import PF_X
from lab.layout import RewriteMap
from lab.machine.machine import Limits, Outcome
from lab.probe import Probe, ask, probe
from lab.rewriting import find_map
from lab.unwind.api import MODES, Unwinder
from lab.unwind.host import Trace
from lab.unwind.reasons import explained
from lab.unwind.watchdog import Watchdog
from lab.verdict import Judgement, Verdict

CONTEXT = 5


@dataclass(frozen=True)
class Said:
    """What one unwinder made of the stop.  ``reads``: (address, value) of each load, in order; ``frames``: the same
    step by step, with what was looked up and what lies in each slot."""

    unwinder: str
    verdict: str
    reason: str
    doubt: str
    covers: bool
    reported: list[str]
    reads: list[tuple[int, int]]
    why: str
    frames: list[Frame]


@dataclass(frozen=True)
class Explanation:
    """One stop of one image.  ``listing``: (address, bytes, text, is the pc) around the instruction.
    ``begins``: where the traces begin: there, or inside the handler of the exception that interrupted it."""

    image: str
    arch: str
    mode: str
    pc: int
    location: str
    begins: str
    hit: int
    region: str
    layout: str
    features: dict[str, Any]
    listing: list[tuple[int, str, str, bool]]
    registers: dict[str, int]
    truth: list[str]
    said: list[Said]
    unsupported: list[tuple[str, str]]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return asdict(self)

    def to_text(self) -> str:
        """Plain ASCII for a terminal or a mail."""
        lines = [f"{self.location} ({self.pc:#x}), {self.mode} stop {self.hit}, {self.arch}, {self.region} code"]
        lines += [f"image   {self.image}", ""]
        lines += [f"{'>' if here else ' '} {at:#x}  {raw:<22} {text}" for at, raw, text, here in self.listing]
        lines += ["", *_columns([f"{name:>5} {value:016x}" for name, value in self.registers.items()]), ""]
        lines += [f"{name:<15} {value}" for name, value in self.features.items() if value is not None]
        lines += [f"{'layout':<15} {self.layout}"] if self.layout else []
        lines += ["", f"true      {_arrow(self.begins, self.truth)}"]
        for said in self.said:
            doubt = f", {said.doubt}" if said.doubt else ""
            reason = f" ({said.reason}{doubt})" if said.reason else ""
            lines += ["", f"{said.unwinder}: {said.verdict}{reason}; covers {'yes' if said.covers else 'no'}"]
            lines += [f"reported  {_arrow(self.begins, said.reported)}"]
            lines += [f"why       {said.why}"]
            lines += [line for number, frame in enumerate(said.frames, 1) for line in _frame_lines(number, frame)]
        lines += ["", *(f"{name}: unsupported: {reason}" for name, reason in self.unsupported)]
        return "\n".join(lines).rstrip() + "\n"


def _said(at: Probe, image: Image, truth: tuple[int, ...], unwinder: Unwinder) -> Said:
    trace, judged, reads = ask(at, unwinder)
    return Said(
        unwinder.name,
        judged.verdict.value,
        judged.reason,
        judged.doubt.value,
        judged.covers,
        [image.locate(address) for address in trace.addresses],
        reads,
        _why(at, image, judged, trace, {address for address, _ in reads}),
        [] if unwinder.oracle else frames(at, unwinder, truth),
    )


def _frame_lines(number: int, frame: Frame) -> list[str]:
    """One step: what it said, what it looked up, what it read."""
    differs = f"   <- the first that differs; really {frame.true}" if frame.true else ""
    lines = [f"frame {number:<4}{frame.said}{differs}"]
    lines += [f"  rule    {text}" for text in frame.used]
    return lines + [f"  read    [{slot.address:#x}] = {slot.value:#x}  {slot.what}" for slot in frame.reads]


def explain(
    path: Path, pc_text: str, unwinders: list[str], mode: str, hit: int, *, limits: Limits | None = None
) -> Explanation:
    """Explain the *hit*-th stop (from 1) of *path* at *pc_text* (hexadecimal, a function, or ``func+0x1c``).

    InputError if the image, the place or an unwinder does not exist, or the place is never reached.
    """
    if mode not in MODES:
        raise InputError(f"unknown mode '{mode}'; known: {', '.join(MODES)}")
    if hit < 1:
        raise InputError(f"--hit {hit}: stops are counted from 1")
    image = load_image(path)
    wanted = [registry.unwinder(name) for name in unwinders] or list(registry.all_unwinders())
    where = Where(mode, parse_pc(image, pc_text), pc_text, hit)
    return explain_stop(image, find_map(image), wanted, where, limits or Limits())


@dataclass(frozen=True)
class Where:
    """Which stop: the *hit*-th (from 1) at *pc* in *mode*, or with *stop* that one (from 0, of all in its mode).
    ``text`` is how messages call the place; ``interrupts``: those of the run it is from, None: the mode's own."""

    mode: str
    pc: int
    text: str
    hit: int = 1
    stop: int | None = None
    interrupts: Injection | None = None


def explain_stop(
    image: Image,
    rewrite: RewriteMap | None,
    wanted: list[Unwinder],
    where: Where,
    limits: Limits,
    *,
    plan: Plan | None = None,
) -> Explanation:
    """Explain one stop of *image*, run as *plan* says (its own unwinders, modes and limits aside); InputError where it
    is never reached."""
    mode, pc = where.mode, where.pc
    reasons = [(u.name, u.unsupported(image.arch.name, rewrite is not None)) for u in wanted]
    usable = tuple(u for u, (_, reason) in zip(wanted, reasons, strict=True) if reason is None)
    base = plan or Plan((), (), injection=where.interrupts)
    plan = replace(base, unwinders=usable, modes=(mode,), limits=limits)
    at = probe(image, rewrite, plan, pc, where.hit, stop=where.stop)
    outcome = at.seek()
    if outcome is not None or at.found is None:
        raise InputError(f"{image.path}: '{where.text}' {_not_reached(at, mode, where.hit, outcome)}")
    stop = at.found
    with Watchdog(at.reader):
        said = [_said(at, image, stop.truth, unwinder) for unwinder in usable]
    static = at.features.at_stop(pc, after_call=MODES[mode] in AFTER_CALL)
    return Explanation(
        image=str(image.path),
        arch=image.arch.name,
        mode=mode,
        pc=pc,
        location=static.location,
        begins=image.locate(stop.regs.pc),
        hit=at.seen,
        region=static.region.value,
        layout=_layout_text(rewrite, pc),
        features=_features(static, stop.dynamic),
        listing=_listing(image, pc),
        registers=stop.registers | {"pc": stop.regs.pc, image.arch.sp: stop.regs.sp},
        truth=[image.locate(address) for address in stop.truth],
        said=said,
        unsupported=[(name, reason) for name, reason in reasons if reason is not None],
    )


def _not_reached(probe: Probe, mode: str, hit: int, outcome: Outcome | None) -> str:
    """Why there is no such stop, and what may be done about it."""
    ended = f"{outcome.end.value} {outcome.detail}".strip() if outcome else "ended"
    if probe.seen:
        return f"is reached {probe.seen} times, not {hit}, as a {mode} stop ({ended}); give a smaller --hit"
    hint = "; a call stop's pc is the return address, right after a call" if mode == "call" else ""
    return f"is never reached as a {mode} stop in this run ({ended}){hint}"


def parse_pc(image: Image, text: str) -> int:
    """An address from ``0x201400``, ``201400``, ``main`` or ``main+0x1c``; InputError if it is none of these."""
    name, plus, offset = text.rpartition("+") if text not in image.symbols else (text, "", "")
    if not plus:
        name, offset = text, "0"
    start = image.symbols.get(name, _hexadecimal(name))
    if start is None:
        start = next((f.start for f in image.functions if name in f.names), None)
    distance = _hexadecimal(offset)
    if start is None or distance is None:
        raise InputError(f"{image.path}: '{text}' is neither an address nor a function of this image")
    pc = start + distance
    if not any(s.address <= pc < s.end for s in image.segments):
        raise InputError(f"{image.path}: '{text}' is {pc:#x}, outside the image ({_extent(image)})")
    return pc


def _hexadecimal(text: str) -> int | None:
    return int(text, 16) if re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", text) else None


def _extent(image: Image) -> str:
    """Where the image's code lies."""
    code = [s for s in image.segments if s.flags & PF_X]
    return f"its code is {min(s.address for s in code):#x}..{max(s.end for s in code):#x}" if code else "it has no code"


def _features(static: Any, dynamic: DynamicFeatures) -> dict[str, Any]:
    shown = {"offset_class": static.offset_class, "insn_class": static.insn_class, "lr_live": static.lr_live}
    return shown | {"row_kind": static.row_kind} | dynamic._asdict()


def _listing(image: Image, pc: int) -> list[tuple[int, str, str, bool]]:
    function = image.function_at(pc)
    segment = next(s for s in image.segments if s.address <= pc < s.end)
    start, end = (function.start, function.end) if function else (pc, min(pc + 64, segment.end))
    insns: list[Insn] = list(decode(image.arch, image.read(start, end - start), start))
    at = next((i for i, insn in enumerate(insns) if insn.address == pc), 0)
    shown = insns[max(0, at - CONTEXT) : at + CONTEXT + 1]
    return [(i.address, i.raw.hex(), i.text, i.address == pc) for i in shown]


def _layout_text(rewrite: RewriteMap | None, pc: int) -> str:
    if rewrite is None:
        return ""
    row = next((r for r in rewrite.layout.rows if r.start <= pc < r.end), None)
    if row is None:
        return "no row for this address"
    place = f"[SP + {row.offset}]" if row.where.value == "stack" else row.where.value
    return f"return address before this instruction: {place}{' (' + row.reason + ')' if row.reason else ''}"


def _why(at: Probe, image: Image, judged: Judgement, trace: Trace, read: set[int]) -> str:
    """One line: the first frame that differs and where the true one is, or the reason given."""
    assert at.found is not None
    truth = at.found.truth
    match judged.verdict:
        case Verdict.EXACT:
            return "every live return address, in order"
        case Verdict.REFUSED:
            return explained(judged.reason) if judged.reason else judged.reason
        case Verdict.CRASH:
            return judged.reason if trace.fault is None else f"{judged.reason} at {trace.fault:#x}"
    reported = trace.addresses
    for index, (said, true) in enumerate(zip(reported, truth, strict=False)):
        if said != true:
            right = f"{image.locate(true)}: {place_of(at, true, read)}"
            return f"frame {index + 1} is {image.locate(said)}, the true one {right}"
    if len(reported) < len(truth):
        absent = truth[len(reported)]
        ends = f"ends after {len(reported)} frames; {image.locate(absent)} is live and absent"
        return f"{ends}: {place_of(at, absent, read)}"
    return f"{len(reported) - len(truth)} frames beyond the true end, first {image.locate(reported[len(truth)])}"


def _arrow(own: str, trace: list[str]) -> str:
    return " <- ".join([own, *trace])


def _columns(items: list[str], per_line: int = 3) -> list[str]:
    return ["   ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
