"""What ``unwindlab cost`` prints: a table over proposals, and by function and site where asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lab.report.bloat import bloat
from lab.report.sizes import format_table, size_table
from lab.report.text import Line, arch_title, change, clean, count, mailable, signed, table, wrap
from lab.store.cost_rows import CostRow

if TYPE_CHECKING:
    from lab.cost.collect import Found

EXPLAINED = (
    "bytes: loaded and stored; taken: branches, calls and returns not followed by the next instruction; "
    "insn%: instructions against base"
)
COLUMNS = ("insn", "loads", "stores", "bytes", "taken", "insn%")


def row_json(found: Found, *, functions: bool) -> dict[str, Any]:
    """The row with what was added to each count; ``functions`` and ``sites`` in exact counts where asked."""
    row = found.row
    value = asdict(row)
    for name in ("instructions", "loads", "stores", "bytes_loaded", "bytes_stored", "branches", "taken"):
        more = value[f"added_{name}"] = added(row, name)
        for whole in ("call", "return"):
            times = getattr(row, f"{whole}s")
            value[f"added_{name}_per_{whole}"] = more / times if times and more is not None else None
    value["doubts"] = found.doubts
    if found.checked is not None:
        value["checked"] = asdict(found.checked)
    if functions:
        value["functions"] = [
            {
                "function": cost.function,
                "class": cost.kind,
                "entries": cost.entries,
                "base": asdict(cost.base),
                "after": asdict(cost.after),
            }
            for cost in found.functions
        ]
        value["sites"] = [
            {"function": site.function, "region": site.region.value, "added": asdict(site.added)}
            for site in found.sites
        ]
        value["function_bytes"] = {"base": found.base_sizes.functions, "after": found.sizes.functions}
    return value


def added(row: CostRow, name: str) -> int | None:
    """What *row* has of *name* beyond its base; None where the row did not keep it."""
    ours, theirs = getattr(row, name), getattr(row, f"base_{name}")
    return None if ours is None or theirs is None else ours - theirs


def render(found: Sequence[Found], *, functions: bool) -> str:
    """Tables by architecture, then what is not certain, then what checked the counts."""
    lines = ["Cost added per executed call, lower is better"]
    size = count(len({one.row.workload for one in found}), "workload")
    lines += wrap(f"exact counts over {size}, emulated: no times; {EXPLAINED}")
    body: list[Line] = []
    for arch in dict.fromkeys(one.row.arch for one in found):
        body.append(Line(arch_title(arch)))
        for proposal in dict.fromkeys(one.row.proposal for one in found if one.row.arch == arch):
            rows = [one.row for one in found if (one.row.arch, one.row.proposal) == (arch, proposal)]
            body.append(Line(f" {proposal}", cells(rows)))
    lines += table(COLUMNS, body)
    lines += _by_class(found)
    lines += size_table([one.row for one in found if one.row.proposal != one.row.baseline])
    lines += format_table([one.row for one in found])
    if functions:
        for one in found:
            lines += _functions(one)
            lines += ["", *bloat(one.base_sizes.functions, one.sizes.functions)]
    lines += ["", *_attributed(found), *_doubts(found), *_checked(found)]
    return mailable(lines)


def cells(rows: Sequence[CostRow]) -> tuple[str, ...]:
    """Sums over *rows* per executed call; bytes are loaded and stored ones; the last is of instructions."""
    calls = sum(row.calls for row in rows)

    def per(name: str, whole: int) -> str:
        amounts = [added(row, name) for row in rows]
        known = [amount for amount in amounts if amount is not None]
        return signed(Fraction(sum(known), whole) if whole and len(known) == len(amounts) else None)

    moved = [(added(row, "bytes_loaded"), added(row, "bytes_stored")) for row in rows]
    sums = [loaded + stored for loaded, stored in moved if loaded is not None and stored is not None]
    moved_text = signed(Fraction(sum(sums), calls) if calls and len(sums) == len(rows) else None)
    before, after = sum(row.base_instructions for row in rows), sum(row.instructions for row in rows)
    counted = [per(name, calls) for name in ("instructions", "loads", "stores")]
    return (*counted, moved_text, per("taken", calls), change(before, after))


def _by_class(found: Sequence[Found]) -> list[str]:
    """Instructions added per function entry, by class of function."""
    from lab.cost.functions import CLASSES

    body: list[Line] = []
    for arch in dict.fromkeys(one.row.arch for one in found):
        own: list[Line] = []
        for proposal in dict.fromkeys(one.row.proposal for one in found if one.row.arch == arch):
            rows = [one.row for one in found if (one.row.arch, one.row.proposal) == (arch, proposal)]
            sums: dict[str, Counter[str]] = {}
            for name in ("class_entries", "class_base", "class_after"):
                sums[name] = Counter()
                for row in rows:
                    sums[name].update(getattr(row, name) or {})
            values = [
                signed(Fraction(sums["class_after"][kind] - sums["class_base"][kind], entries) if entries else None)
                for kind in CLASSES
                for entries in [sums["class_entries"][kind]]
            ]
            own.append(Line(f" {proposal}", tuple(values)))
        body += [Line(arch_title(arch)), *own]
    title = ["", "Instructions added per function entry, by class of function"]
    return [*title, *table(CLASSES, body)]


def _functions(one: Found) -> Iterator[str]:
    row = one.row
    yield ""
    yield from wrap(f"{row.workload}, {row.proposal}, {arch_title(row.arch)}: functions whose count changed")
    lines = [
        Line(
            f" {clean(cost.function)}",
            (
                cost.kind or "-",
                str(cost.entries),
                f"{cost.after.instructions - cost.base.instructions:+d}",
                signed(cost.added_per_entry),
            ),
        )
        for cost in one.functions
        if cost.after != cost.base
    ]
    yield from table(("class", "entries", "insn", "per entry"), lines) if lines else [" none"]


def _attributed(found: Iterable[Found]) -> list[str]:
    """Where the added instructions are: the sum that must come out."""
    rows = [one.row for one in found if one.row.by_sites is not None]
    base, now = sum(row.base_instructions for row in rows), sum(row.instructions for row in rows)
    parts = (
        f"{sum(row.by_sites or 0 for row in rows):+d} at the rewriter's sites",
        f"{sum(row.by_compiler or 0 for row in rows):+d} by the compiler's flags",
        f"{sum(row.elsewhere or 0 for row in rows):+d} elsewhere",
    )
    return wrap(f"base {base} {', '.join(parts)} = {now} instructions, to the last one")


def _doubts(found: Iterable[Found]) -> list[str]:
    lines: list[str] = []
    for one in found:
        for doubt in one.doubts:
            lines += wrap(f"doubt: {arch_title(one.row.arch)} {one.row.workload} {one.row.proposal}: {doubt}")
    return lines


def _checked(found: Sequence[Found]) -> list[str]:
    checks = [one.checked for one in found if one.checked is not None]
    if not checks:
        return []
    total = sum(check.instructions for check in checks)
    lines = wrap(f"checked: {count(len(checks), 'execution')}, {total} instructions, pc by pc, 0 differences")
    for name, times in Counter(name for check in checks for name in check.by).items():
        lines += wrap(f" {times} by {name}")
    for why, times in Counter(check.without for check in checks if check.without).items():
        lines += wrap(f" {times} not by qemu: {why}")
    return lines
