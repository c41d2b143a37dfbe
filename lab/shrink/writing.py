"""The file that a shrunk stop is written as: a test that carries its program and stands alone."""

from __future__ import annotations

import textwrap
from typing import Final

from lab.shrink.shrinking import Shrunk

_FILE: Final = '''"""{unwinder} is {verdict} at {location} ({arch}, {mode}).

{story}

    pytest {name}        passes as long as it is so
    python {name}        says what there is now

A corrected design, truth or engine makes it fail: that is what it is for.
"""

from lab.shrink.program import Program
from lab.shrink.replay import replay

SOURCE = r{quotes}
{source}{quotes}

PROGRAM = Program({program})

VERDICT = {verdict!r}
REASON = {reason!r}
TRUTH = {truth}
REPORTED = {reported}


def look():
    """The stop, as the lab sees it today."""
    return replay(PROGRAM, {unwinder!r}, {mode!r}, {location!r}, hit={hit})


def test_{test}():
    found = look()
    assert (found.target.verdict, found.target.reason) == (VERDICT, REASON)
    assert list(found.truth) == TRUTH, "the true stack is another one"
    assert list(found.reported) == REPORTED


if __name__ == "__main__":
    now = look()
    print("verdict  ", now.target.verdict, now.target.reason)
    print("true     ", " <- ".join([now.location, *now.truth]))
    print("reported ", " <- ".join([now.location, *now.reported]))
    same = (now.target.verdict, list(now.truth), list(now.reported)) == (VERDICT, TRUTH, REPORTED)
    print("as written" if same else "not as written")
    raise SystemExit(not same)
'''


def test_file(found: Shrunk, name: str) -> str:
    """The text of the test file that is to be called *name*."""
    stop, target = found.found, found.found.target
    return _FILE.format(
        unwinder=found.unwinder,
        verdict=target.verdict,
        reason=target.reason,
        location=stop.location,
        arch=found.program.arch,
        mode=found.mode,
        hit=stop.hit,
        name=name,
        story=_story(found),
        quotes='"""' if '"""' not in found.program.source else "'''",
        source=found.program.source,
        program=_program(found),
        truth=_list(stop.truth),
        reported=_list(stop.reported),
        test="".join(c if c.isalnum() else "_" for c in f"{found.unwinder}_is_{target.verdict}".lower()),
    )


def _story(found: Shrunk) -> str:
    """Where it comes from, in a few lines."""
    lines = (
        f"Shrunk by unwindlab from run {found.run}, {found.stop}: {found.before[0]} lines of source and"
        f" {found.before[1]} instructions became {found.after[0]} lines, and the stop comes after {found.after[1]}"
        f" instructions. Built with {found.compiler}; another compiler may make other code of it."
    )
    more = " The time ran out first: it may be possible to make it smaller." if found.expired else ""
    return "\n".join(textwrap.wrap(lines + more, 100, break_on_hyphens=False))


def _program(found: Shrunk) -> str:
    """The keyword arguments of Program that are not the defaults."""
    program = found.program
    values = [f"arch={program.arch!r}", "source=SOURCE", f"compiler={program.compiler!r}"]
    values += [f"proposal={program.proposal!r}", f"flags={program.flags!r}", f"runtime={program.runtime!r}"]
    if program.suffix != ".c":
        values.append(f"suffix={program.suffix!r}")
    values += [f"{name}={value!r}" for name in ("musl", "interrupts", "files") if (value := getattr(program, name))]
    values += ["floating=True"] if program.floating else []
    values += [f"size={program.size!r}"] if program.size != "small" else []
    return "".join(f"\n    {value}," for value in values) + "\n"


def _list(names: tuple[str, ...]) -> str:
    return "[" + "".join(f"\n    {name!r}," for name in names) + ("\n]" if names else "]")
