"""One case: a damaged file, what is asked of the lab, and whether it ends as it must."""

from __future__ import annotations

import contextlib
import io
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from lab.arch import arch_by_name
from lab.balance import check_balance
from lab.errors import InputError, LabError
from lab.explain import explain
from lab.images.image import load_image
from lab.layout import Leaves, Policy, map_path
from lab.machine.machine import Limits
from lab.rewriting import find_map, load_map, rewrite_file
from lab.untrusted import EMULATOR, apart, load_untrusted
from rewriters import all_flavours, unsupported_reason
from rewriters.verify import static_checks
from tests.fuzz.bases import Base
from tests.fuzz.maps import mutate_map
from tests.fuzz.mutate import mutate

LIMITS = Limits(200_000, 1.0)
"""What an image may do when it runs: a damaged one may well loop."""
SLOW = 5.0
"""Seconds a case may take."""
_MAPS = 0.1


@dataclass(frozen=True)
class Ending:
    """How a case ended.  ``fault`` is what was wrong with that, "" if nothing."""

    index: int
    base: str
    what: str
    kind: str
    text: str
    seconds: float
    fault: str


@dataclass
class Tally:
    """Endings by kind, the ones with a fault or slow, and each reason.

    ``unproved`` rewrites, which their own checks kept from being written, are listed apart: no harm is done, but
    either the damage should have been refused before, or the rewriter is wrong."""

    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[Ending] = field(default_factory=list)
    slow: list[Ending] = field(default_factory=list)
    unproved: list[Ending] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, ending: Ending) -> None:
        """Count one."""
        self.kinds[ending.kind] += 1
        if ending.text:
            self.reasons[ending.text] += 1
        if ending.fault:
            self.faults.append(ending)
        if ending.kind == "unproved":
            self.unproved.append(ending)
        if ending.seconds > SLOW:
            self.slow.append(ending)
        self.seconds += ending.seconds


def random_of(seed: int, index: int) -> Random:
    """The random source of one case: no case depends on another."""
    return Random(f"{seed}/{index}")


def run_case(bases: Sequence[Base], seed: int, index: int, folder: Path) -> Ending:
    """Case *index*, in the empty *folder*, which is empty again afterwards unless the case has a fault."""
    random = random_of(seed, index)
    base = random.choice(bases)
    case = _map_case if random.random() < _MAPS else _elf_case
    what, work, made = case(random, base, bases, folder)
    before = {path.name for path in folder.iterdir()}
    began = time.monotonic()
    kind, text, fault = _ends(work, folder)
    seconds = time.monotonic() - began
    after = {path.name for path in folder.iterdir()}
    expected = before | made if kind == "done" else before
    if not fault and after != expected:
        fault = f"files: {sorted(after)}, expected {sorted(expected)}"
    if not fault:
        for path in folder.iterdir():
            path.unlink()
    return Ending(index, base.name, what, kind, text, seconds, fault)


Case = tuple[str, Callable[[], None], set[str]]


def _elf_case(random: Random, base: Base, bases: Sequence[Base], folder: Path) -> Case:
    donors = [random.choice(bases).path.read_bytes() for _ in range(2)]
    source, out = folder / "in.elf", folder / "out.elf"
    source.write_bytes(mutate(random, base.path.read_bytes(), donors))
    mode, flavour, policy, leaves = _request(random, base)

    def work() -> None:
        made = rewrite_file(source, out, mode, flavour, policy, leaves=leaves, limits=LIMITS)
        assert load_map(out) == made == find_map(load_untrusted(out)), "the map on disk is another"

    return f"{mode} {flavour} {policy.value} {leaves.value}", work, {out.name, map_path(out).name}


def _request(random: Random, base: Base) -> tuple[str, str, Policy, Leaves]:
    """Mostly what could succeed on the sound image; sometimes anything there is."""
    flavours = [spec.name for spec in all_flavours()]
    while True:
        odd = random.random() < 0.1
        mode = random.choice(base.all_modes if odd else base.modes)
        flavour = random.choice(flavours if odd else base.flavours)
        policy, leaves = random.choice(list(Policy)), random.choice(list(Leaves))
        if odd or unsupported_reason(arch_by_name(base.arch), mode, flavour, policy) is None:
            return mode, flavour, policy, leaves


def _map_case(random: Random, base: Base, bases: Sequence[Base], folder: Path) -> Case:
    out, data, text = _sound_output(base, folder.parent)
    while not text:
        base = random.choice(bases)
        out, data, text = _sound_output(base, folder.parent)
    image = folder / out.name
    image.write_bytes(data)
    map_path(image).write_bytes(mutate_map(random, text))
    place = f"{random.choice(load_image(out).functions).start:x}"

    def work() -> None:
        apart(EMULATOR, image, _read, base.path, image)
        ask = partial(explain, limits=LIMITS)
        apart(EMULATOR, image, ask, image, place, ["scs", "scs-lr"], random.choice(("boundary", "call")), 1)

    return f"map explain {place}", work, set()


def _read(source: Path, path: Path) -> None:
    """Everything but ``explain`` that believes a map."""
    image = load_image(path)
    found = find_map(image)
    if found is not None:
        static_checks(load_image(source), image, found)
        check_balance(image, found, LIMITS)


def _sound_output(base: Base, folder: Path) -> tuple[Path, bytes, str]:
    """A rewrite of *base* as it is, made once, with its map; the image itself where no rewrite succeeds."""
    home = folder / f"sound-{base.name.replace(' ', '_')}"
    out = home / "rewritten.elf"
    if not out.exists():
        home.mkdir(exist_ok=True)
        for mode in dict.fromkeys(base.modes):
            try:
                rewrite_file(base.path, out, mode, base.flavours[0], Policy.CHECK, limits=LIMITS)
                break
            except LabError:
                continue
        else:
            out.write_bytes(base.path.read_bytes())
    text = map_path(out).read_text() if map_path(out).exists() else ""
    return out, out.read_bytes(), text


def _ends(work: Callable[[], None], folder: Path) -> tuple[str, str, str]:
    """(kind, reason without names and numbers, fault)."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            work()
    except LabError as error:
        text = str(error)
        kind = next((k for k, words in _KINDS.items() if words in text), "refused")
        fault = ""
        if len(error.lines) != 1 or "\n" in text or not text.isprintable():
            fault = f"more than a line: {text!r}"
        elif error.exit_code != InputError.exit_code and kind != "unproved":
            fault = f"exit code {error.exit_code}: {text}"
        elif str(folder) not in text:
            fault = f"names no file: {text}"
        elif said.getvalue():
            fault = f"prints {said.getvalue()!r}"
        return kind, _general(text.replace(str(folder), "")), fault
    except Exception as error:
        notes = "".join(getattr(error, "__notes__", []))
        return "traceback", type(error).__name__, f"{type(error).__name__}: {error}\n{notes}"
    return "done", "", f"prints {said.getvalue()!r}" if said.getvalue() else ""


_KINDS = {
    "unproved": ": the rewrite failed its own check ",
    "crash": " crashed on this file",
    "hang": " did not end within ",
    "memory": " of memory for this file",
}


def _general(text: str) -> str:
    """*text* without what differs from file to file."""
    words = text.split()
    return " ".join("#" if any(c.isdigit() for c in word) else word for word in words)[:110]
