"""Which functions are detoured, where, and with what; and why the others are not."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass

from lab.images.flow import Graph, decode_function
from lab.images.image import Function, Image
from lab.layout import Flavour, LayoutRow, Leaves, Policy, SiteOut, Where
from rewriters.census import Body, Exit, ExitKind, Survey, survey
from rewriters.choose import LEAF
from rewriters.detour.trampolines import Fill, Trampolines
from rewriters.detour.windows import NoWindow, Window, Windows
from rewriters.flavours import FlavourSpec
from rewriters.hooks import Hook, find_hooks, refuse_jumps
from rewriters.pac import bti_property
from rewriters.pairing import entry_rows, plain_rows, walk
from rewriters.plan import Plan, Prepared, Storage
from rewriters.sequences import sequence
from rewriters.sites import Action
from rewriters.strange import not_understood
from rewriters.unwind import Obstacles, read_frames, registered

_SAME_SLOT = "calls with SP as it was at its entry: both return addresses would have the same parallel slot"
_PACIASP = bytes.fromhex("3f2303d5")


@dataclass(frozen=True)
class Detours:
    """The windows of one function.  ``entry`` is None for a fragment, which is entered with the entry pushed."""

    body: Body
    entry: Window | None
    exits: tuple[tuple[Exit, Window], ...]
    back: tuple[Window, ...]


def prepare(image: Image, spec: FlavourSpec, policy: Policy, leaves: Leaves) -> Prepared:
    """Everything decided for *image*; RefusedError where the image as a whole must not be rewritten so."""
    known = survey(image)
    refuse_jumps(image, known, spec.reach)
    chooser = _Chooser(image, known, spec, policy)
    left_out = set_aside(image, known, spec.reach, leaves)
    chosen, reasons = chooser.choose(left_out)
    left_out |= reasons
    hooks = find_hooks(image, known, spec.reach)

    def fill(plan: Plan, storage: Storage) -> None:
        what = Fill(chooser.push, chooser.pop, storage.cell)
        for start in sorted(chosen):
            _write(Trampolines(image, plan, chosen[start].body, what), chosen[start])
        for hook in hooks:
            hook.write(image, plan, storage)
        plan.rows.extend(other_rows(image, set(chosen), known, hooks))

    sites = sum(len(d.exits) + len(d.back) + (d.entry is not None) for d in chosen.values())
    return Prepared(
        fill=fill,
        needs_text=bool(chosen),
        instrumented=len(chosen),
        sites=sites,
        left_out=tuple(left_out[start] for start in sorted(left_out)),
        scan={},
        decoded=known.decoded,
        understood=known.understood,
        registrations=chooser.registrations,
        calling=sum(body.calls for body in known.bodies.values())
        + sum(_calls(image, start) for start in known.left_out),
        calling_instrumented=sum(detours.body.calls for detours in chosen.values()),
    )


def set_aside(image: Image, known: Survey, flavour: Flavour, leaves: Leaves) -> dict[int, SiteOut]:
    """Functions no analysed mode instruments, by start: not understood; leaves, if they are to be skipped; and, on
    AArch64 with a parallel shadow stack, those that call with SP as at their entry: the callee's slot would be theirs.
    """
    left_out = not_understood(image, known)
    shared = {start for group in known.groups for start in group}
    for start, body in known.bodies.items():
        if leaves is Leaves.SKIP and not (body.spills or body.calls) and start not in shared:
            left_out[start] = SiteOut(body.function.name, start, LEAF)
        elif flavour is Flavour.PARALLEL and body.bare_calls and image.arch.lr is not None:
            left_out[start] = SiteOut(body.function.name, body.bare_calls[0], _SAME_SLOT)
    return left_out


def _calls(image: Image, start: int) -> bool:
    """Whether the function at *start*, not understood, makes a call.  The entry counts as none: nobody called it."""
    function = image.function_at(start)
    if function is None or function.start <= image.entry < function.end:
        return False
    return bool(decode_function(image, function).calls)


class _Chooser:
    """Windows and scratch registers for every function; all of a group or none of it."""

    def __init__(self, image: Image, known: Survey, spec: FlavourSpec, policy: Policy) -> None:
        self.image, self.known = image, known
        self.push = sequence(image.arch, spec.name, Action.PUSH, policy)
        self.pop = sequence(image.arch, spec.name, Action.POP, policy)
        self.bti = image.arch.lr is not None and bti_property(image)
        self.starts = [function.start for function in image.functions]
        self.entered: dict[int, set[int]] = {}
        for body in known.bodies.values():
            for _, target in body.into:
                home = image.function_at(target)
                if home is not None:
                    self.entered.setdefault(home.start, set()).add(target)
        frames = read_frames(image)
        self.obstacles = None if frames is None else Obstacles(image, frames)
        self.registrations = registered(image)
        self.shared = {start for group in known.groups for start in group}

    def choose(self, left_out: dict[int, SiteOut]) -> tuple[dict[int, Detours], dict[int, SiteOut]]:
        """What can be detoured of all that is not in *left_out*, and reasons for the rest."""
        chosen: dict[int, Detours] = {}
        reasons: dict[int, SiteOut] = {}
        for start, body in self.known.bodies.items():
            if start in left_out:
                continue
            try:
                chosen[start] = self._detours(body)
            except NoWindow as none:
                reasons[start] = SiteOut(body.function.name, none.address, none.reason)
        for group in self.known.groups:
            self._whole(group, chosen, reasons, left_out)
        return chosen, reasons

    def _whole(
        self,
        group: Iterable[int],
        chosen: dict[int, Detours],
        reasons: dict[int, SiteOut],
        left_out: dict[int, SiteOut],
    ) -> None:
        out = next((start for start in group if start not in chosen), None)
        if out is None:
            return
        missing = (reasons | left_out).get(out)
        for start in group:
            if start in chosen:
                name = chosen.pop(start).body.function.name
                other = missing.function if missing else f"{out:#x}"
                reasons[start] = SiteOut(name, start, f"shares code with {other}, which is left out")

    def _detours(self, body: Body) -> Detours:
        windows = Windows(
            self.image,
            lambda: body.insns,
            self.entered.get(body.function.start, ()),
            self._limit(body.function),
            tables=bool(body.tables),
        )
        entry = None if body.fragment else self._entry(body, windows)
        exits = []
        for leave in body.exits:
            if not self.pop.lines:
                continue  # nothing to do, so nothing is touched
            free = [name for name in body.scratch if name not in leave.keeps]
            if len(free) < self.pop.scratch:
                raise NoWindow(leave.address, f"no {self.pop.scratch} scratch registers are free here")
            if self.pop.flags and "flags" in leave.keeps and leave.kind is not ExitKind.TAIL_CONDITIONAL:
                raise NoWindow(leave.address, "the condition flags are live at this exit")
            exits.append((leave, windows.at_end(leave.address)))
        back = () if body.fragment else tuple(windows.at_end(address) for address in body.to_entry)
        self._describable([*([entry] if entry else []), *(window for _, window in exits), *back])
        return Detours(body, entry, tuple(exits), back)

    def _describable(self, windows: list[Window]) -> None:
        """NoWindow unless unwind information can be made for what stands in a trampoline."""
        if self.obstacles is None:
            return  # no unwind information, nothing to describe
        for window in windows:
            if any(window.start < site.end and site.start < window.end for site in self.registrations):
                raise NoWindow(window.start, "hands the unwind tables to the unwinder here")
            if why := self.obstacles.why(window.start, window.end, pushes=self.image.arch.lr is None):
                raise NoWindow(window.start, why)

    def _entry(self, body: Body, windows: Windows) -> Window:
        if len(body.scratch) < self.push.scratch:
            raise NoWindow(body.entry, f"no {self.push.scratch} scratch registers are free at the entry")
        if self.push.flags and not body.flags_free:
            raise NoWindow(body.entry, "the condition flags are live at the entry")
        if any(leave.address == body.entry for leave in body.exits):
            raise NoWindow(body.entry, "its first instruction leaves it: there is no activation to record")
        if self.bti and self.image.read(body.entry, 4) == _PACIASP:
            return windows.behind_pad(body.entry)
        return windows.at_start(body.entry)

    def _limit(self, function: Function) -> int:
        index = bisect.bisect_right(self.starts, function.start)
        return self.starts[index] if index < len(self.starts) else function.end


def _write(to: Trampolines, detours: Detours) -> None:
    function = detours.body.function
    at = function.start
    if detours.entry is not None:
        to.entry(detours.entry)
        at = detours.entry.end
        to.places.away(function.start, at)
    to.places.shadow(at, function.end)
    for leave, window in detours.exits:
        to.exit(window, leave)
    for window in detours.back:
        to.branch_to_entry(window)
    to.close()


def other_rows(image: Image, chosen: set[int], known: Survey, hooks: Iterable[Hook]) -> list[LayoutRow]:
    """Rows of functions that are not detoured: what was not understood has unknown ones."""
    hooked = {hook.function.start for hook in hooks}
    strange = not_understood(image, known)
    shared = {start for group in known.groups for start in group}
    rows: list[LayoutRow] = []
    for i, function in enumerate(image.functions):
        end = min(function.end, image.functions[i + 1].start) if i + 1 < len(image.functions) else function.end
        if function.start in chosen or end <= function.start:
            continue
        if function.start <= image.entry < function.end:
            rows.extend(entry_rows(image, function, end))
        elif function.start in strange and function.start not in hooked:
            reason = f"not instrumented: {strange[function.start].reason}"
            rows.append(LayoutRow(function.start, end, Where.UNKNOWN, 0, reason))
        elif function.start in shared:
            rows.append(LayoutRow(function.start, end, Where.UNKNOWN, 0, "not instrumented: others jump into it"))
        else:
            code = decode_function(image, function)
            rows.extend(plain_rows(image, walk(Graph(code), [], Flavour.PARALLEL), function.start, end))
    return rows
