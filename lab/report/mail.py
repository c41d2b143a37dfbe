"""mail.txt: the run as one would paste it into a mail to a kernel list.  Exact counts, no intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from lab.report.strip import strips
from lab.report.sums import GroupSums, Sum, group_sums
from lab.report.text import Line, arch_title, change, mailable, share, signed, table, wrap
from lab.report.unsupported import unsupported
from lab.store.document import Run
from lab.store.rows import DOUBTS, VERDICTS, Cell, CostRow, ImageRow, RunResult

MODES = {
    "boundary": "before every executed instruction, as if interrupted there",
    "call": "directly after every call, as stack_trace_save() sees it",
}
HEADER = ("exact", "refused", "MISSING", "extra", "crash", "MISSING PCs")
MOST_REASONS = 6
LEGEND = """
exact   = reported return addresses are the true ones
refused = the unwinder said unreliable (safe)
MISSING = claimed reliable, but a live caller is absent or an
          address is wrong (false trust: unsafe for livepatch)
extra   = claimed reliable, superset of the true stack
crash   = the unwinder failed or broke its contract
covers  = every live function is among the reported ones (livepatch's
          question; may fail on an exact stack: noreturn call last)
needless refusal = the same walk without it would have been exact
          (false doubt); justified = not exact; undetermined = the
          walk cannot go on
without inserted code = stops in the program's own code only
          (not repeated where it prints the same)
PCs and functions are distinct per image, then summed over images.
Instructions are counted in emulation: no time, caches or SMP.
""".strip().split("\n")


def mail(run: Run, cells: bool = False) -> str:
    """The whole mail; with *cells* every cell is listed too.  Deterministic: no time, no date."""
    found = run.result
    groups = group_sums(found.cells, found.verdicts)
    shown = strips(found)
    lines = [*_heading(run)]
    for group in groups:
        lines += ["", *_group(group)]
        lines += shown.get(group.group, [])
    lines += unsupported(found.cells)
    lines += _census(found.images)
    lines += _costs(found.costs, _ordered(found))
    if cells:
        lines += _cells(found.cells)
    lines += _notes(run)
    lines += ["", *LEGEND, ""]
    lines.append(f"repro: unwindlab rerun {run.run_id}")
    lines[-1] += f"   (unwindlab {run.provenance.unwindlab}, seed {found.experiment.seed})"
    return mailable(lines)


def _heading(run: Run) -> Iterator[str]:
    found = run.result
    yield "Unwind verdict at every stop, against the true call stack"
    compilers = ", ".join(f"{c.get('name')} {c.get('version')}" for c in found.compilers)
    levels = sorted({flag for image in found.images for flag in image.flags if flag.startswith("-O")})
    workloads = len({cell.workload for cell in found.cells})
    yield from wrap(
        f"{' '.join([compilers, *levels])}, {_count(workloads, 'workload')}, {found.experiment.size} inputs, "
        f"run {run.run_id}"
    )


def _group(group: GroupSums) -> Iterator[str]:
    arch, compiler, mode = group.group
    stops, pcs = (sum(image[i] for image in group.images.values()) for i in (0, 1))
    yield from wrap(f"== {arch_title(arch)}, {compiler}, {mode} stops ==")
    if mode in MODES:
        yield f"({MODES[mode]})"
    yield f"{_count(len(group.images), 'image')}, {_count(stops, 'stop')}, {_count(pcs, 'PC')}"
    if group.sums:
        yield ""
        yield from table(HEADER, _verdict_lines(group))
        yield from _doubt_table(group)


def _verdict_lines(group: GroupSums) -> Iterator[Line]:
    """Per proposal a block over all code, and one without inserted code where that prints differently."""
    for proposal in group.proposals:
        sums = group.of(proposal)
        whole = [_whole(item) for item in sums]
        own = [_own(item) for item in sums]
        yield Line(proposal if all(item.own_stops == item.stops for item in sums) else f"{proposal}, all code")
        yield from whole
        if whole != own:
            yield Line(f"{proposal}, without inserted code")
            yield from own


def _whole(item: Sum) -> Line:
    return Line(
        f" {item.unwinder}",
        (*_shares(item.verdicts, item.stops), _pcs(item.missing_pcs, item.missing_functions)),
    )


def _own(item: Sum) -> Line:
    missing = _pcs(len(item.own_missing), len(item.own_missing_functions))
    return Line(f" {item.unwinder}", (*_shares(item.own, item.own_stops), missing))


def _doubt_table(group: GroupSums) -> Iterator[str]:
    """covers and the kinds of refusals; rows that say nothing new are left to one sentence."""
    lines: list[Line] = []
    plain = 0
    for proposal in group.proposals:
        telling = [i for i in group.of(proposal) if i.verdicts["refused"] or i.covers != i.verdicts["exact"]]
        plain += len(group.of(proposal)) - len(telling)
        if telling:
            lines.append(Line(proposal))
            lines += [Line(f" {i.unwinder}", (share(i.covers, i.stops), *_doubts(i))) for i in telling]
    yield ""
    if lines:
        yield from table(("covers", "refusals", *DOUBTS), lines)
    if plain:
        yield f"{'other rows' if lines else 'all rows'}: no refusals, and covers = exact"


def _doubts(item: Sum) -> tuple[str, ...]:
    refused = item.verdicts["refused"]
    return (str(refused), *(share(item.doubt[kind], refused) if refused else "-" for kind in DOUBTS))


def _shares(verdicts: dict[str, int], stops: int) -> tuple[str, ...]:
    return tuple(share(verdicts[verdict], stops) for verdict in VERDICTS)


def _pcs(pcs: int, functions: int) -> str:
    return f"{pcs} in {functions} fn" if pcs else "0"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _census(images: Iterable[ImageRow]) -> list[str]:
    """instrumented/total functions per architecture and proposal, and why the others were left out."""
    totals: dict[tuple[str, str, str], list[int]] = {}
    reasons: dict[tuple[str, str, str], Counter[str]] = {}
    for image in images:
        if image.instrumented is None or image.functions is None:
            continue
        key = (image.arch, image.compiler, image.proposal)
        total = totals.setdefault(key, [0, 0, 0])
        for i, number in enumerate((image.instrumented, image.functions, 1)):
            total[i] += number
        reasons.setdefault(key, Counter()).update(str(site.get("reason", "")) for site in image.left_out)
    lines = ["", "Instrumented functions (summed over images)"] if totals else []
    for key, (instrumented, functions, number) in totals.items():
        arch, compiler, proposal = key
        lines += wrap(
            f" {arch_title(arch)}, {compiler}, {proposal}: {instrumented}/{functions} in {_count(number, 'image')}"
        )
        ranked = sorted(reasons[key].items(), key=lambda item: (-item[1], item[0]))
        said = [f"{reason} {count}" for reason, count in ranked[:MOST_REASONS]]
        if rest := sum(count for _, count in ranked[MOST_REASONS:]):
            said.append(f"other reasons {rest}")
        if said:
            lines += wrap(f"   sites left out: {', '.join(said)}")
    return lines


def _costs(costs: Iterable[CostRow], order: Sequence[str]) -> list[str]:
    """Added instructions, loads, stores per executed call and bytes of .text, summed over workloads."""
    groups: dict[tuple[str, str, str], dict[str, list[CostRow]]] = {}
    for row in costs:
        if row.proposal == row.baseline:
            continue
        groups.setdefault((row.arch, row.compiler, row.baseline), {}).setdefault(row.proposal, []).append(row)
    lines: list[str] = []
    for (arch, compiler, baseline), proposals in sorted(groups.items()):
        lines += ["", *wrap(f"Cost added per executed call, {arch_title(arch)}, {compiler}, lower is better")]
        lines += wrap(f"against {baseline}; exact counts over all workloads; .text in bytes")
        header = ("insn", "loads", "stores", ".text", "insn vs base")
        lines += table(header, [Line(name, _cost_cells(proposals[name])) for name in order if name in proposals])
    return lines


def _ordered(found: RunResult) -> list[str]:
    """Proposals in the order of the cells, then any that only the costs know."""
    return list(dict.fromkeys([*(c.proposal for c in found.cells), *sorted(c.proposal for c in found.costs)]))


def _cost_cells(rows: list[CostRow]) -> tuple[str, ...]:
    calls = sum(row.calls for row in rows)

    def per_call(counted: str) -> str:
        added = sum(getattr(row, counted) - getattr(row, f"base_{counted}") for row in rows)
        return signed(Fraction(added, calls) if calls else None)

    before, after = (sum(getattr(row, name) for row in rows) for name in ("base_instructions", "instructions"))
    text = sum(row.text_added for row in rows)
    sizes = (per_call("instructions"), per_call("loads"), per_call("stores"), f"{text:+d}" if text else "0")
    return (*sizes, f"{change(before, after)} (exact)")


def _cells(cells: Iterable[Cell]) -> list[str]:
    """Every cell that ran: one heading per image and mode, one line per unwinder."""
    images: dict[tuple[str, str, str, str, str], list[Cell]] = {}
    for cell in cells:
        if cell.unsupported is None:
            key = (cell.arch, cell.compiler, cell.workload, cell.proposal, cell.mode)
            images.setdefault(key, []).append(cell)
    lines: list[Line] = []
    for (arch, compiler, workload, proposal, mode), members in images.items():
        first = members[0]
        lines.append(Line(f"{workload}, {proposal}, {arch_title(arch)}, {compiler}, {mode}, {first.engine}:"))
        lines.append(Line(f" {first.stops} stops, {first.pcs} PCs, {first.instructions} instructions"))
        for cell in members:
            worst = cell.worst.get("missing", {})
            missing = _pcs(worst.get("pcs", 0), worst.get("functions", 0))
            lines.append(Line(f"  {cell.unwinder}", (*_shares(cell.verdicts, cell.stops), missing)))
    return ["", "Every cell", *table(HEADER, lines)] if lines else []


def _notes(run: Run) -> list[str]:
    """What the run and its cells remarked, each remark once."""
    remarks = Counter(note for cell in run.result.cells for note in cell.notes)
    lines = [line for note in run.result.notes for line in wrap(f" {note}")]
    for note, count in remarks.items():
        lines += wrap(f" {note} ({_count(count, 'cell')})")
    return ["", "Notes", *lines] if lines else []
