"""A made-up run with believable shapes: cells are summed from verdict rows, so they always agree."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from lab.experiment import Experiment
from lab.store import (
    VERDICTS,
    Cell,
    CostRow,
    ImageRow,
    Provenance,
    Run,
    RunResult,
    StackRow,
    VerdictRow,
    make_run,
)

ARCHES = ("aarch64", "x86_64")
PROPOSALS = ("plain", "pac-register-record", "xray-parallel-use")
UNWINDERS = ("fp", "fp-reliable", "scs", "scs-lr", "oracle")
WORKLOADS = ("musl_regex", "deep_recursion")
PROVENANCE = Provenance(
    argv=["unwindlab", "run"],
    unwindlab="0.1.0",
    git_id="0123456789abcdef0123456789abcdef01234567",
    git_dirty=False,
    packages={"unicorn": "2.1.4"},
    python="CPython 3.11.2",
    cpu="x86_64: made up",
    unwinder_files={},
)


def chance(*words: object) -> int:
    """A number below 10000 that depends on nothing but *words*."""
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:4], "big") % 10_000


def _verdict(unwinder: str, mode: str, proposal: str, region: str, dice: int) -> str:
    if unwinder == "fp-reliable" and mode == "boundary":
        return "refused"
    if unwinder == "oracle" or mode == "call":
        return "exact"
    if unwinder.startswith("scs"):
        share = (40 if unwinder == "scs" else 1) * (10 if region == "inserted" else 1)
        return "missing" if dice < share else "refused" if dice < share + 15 else "exact"
    return "missing" if dice < 900 else "extra" if dice < 930 else "exact"


def verdict_rows(cell: tuple[str, str, str, str, str, str], functions: int, insns: int) -> list[VerdictRow]:
    arch, compiler, workload, proposal, unwinder, mode = cell
    rows = []
    for f in range(functions):
        for i in range(insns if mode == "boundary" else insns // 8):
            region = "inserted" if proposal != "plain" and i in (1, 2, insns - 2) else "original"
            verdict = _verdict(unwinder, mode, proposal, region, chance(workload, proposal, f, i, unwinder))
            name = f"work_{f}"
            rows.append(
                VerdictRow(
                    arch=arch, compiler=compiler, workload=workload, proposal=proposal, unwinder=unwinder, mode=mode,
                    pc=0x10000 + f * 0x100 + 4 * i, location=f"{name}+{4 * i:#x}", function=name, region=region,
                    verdict=verdict, reason="from_regs" if verdict == "refused" else "",
                    doubt=("justified" if i == 0 else "needless") if verdict == "refused" else "",
                    covers=verdict == "exact", stops=1 + chance(f, i) ** 2 // 400_000,
                    offset_class="prologue" if i < 3 else "body", insn_class="other", lr_live=i < 3, sp_delta=0,
                    record_complete=i > 3, shadow_pushed=None if proposal == "plain" else i > 2, row_kind="none",
                    fp_matches_row=None,
                )
            )  # fmt: skip
    return rows


def cell_from(rows: Sequence[VerdictRow]) -> Cell:
    first = rows[0]
    verdicts, doubt = Counter(dict.fromkeys(VERDICTS, 0)), Counter({"needless": 0, "justified": 0, "undetermined": 0})
    regions: dict[str, Counter[str]] = defaultdict(lambda: Counter(dict.fromkeys(VERDICTS, 0)))
    for row in rows:
        verdicts[row.verdict] += row.stops
        regions[row.region][row.verdict] += row.stops
        if row.doubt:
            doubt[row.doubt] += row.stops
    return Cell(
        arch=first.arch, compiler=first.compiler, workload=first.workload, proposal=first.proposal,
        unwinder=first.unwinder, mode=first.mode, engine="reference", stops=sum(verdicts.values()),
        pcs=len({r.pc for r in rows}), functions=len({r.function for r in rows}), instructions=sum(verdicts.values()),
        wall_s=1.25, verdicts=dict(verdicts), doubt=dict(doubt), covers=sum(r.stops for r in rows if r.covers),
        by_region={name: dict(counts) for name, counts in regions.items()},
        worst={v: {"pcs": len({r.pc for r in rows if r.verdict == v}),
                   "functions": len({r.function for r in rows if r.verdict == v})} for v in VERDICTS},
    )  # fmt: skip


def unsupported(cell: tuple[str, str, str, str, str, str], reason: str) -> Cell:
    arch, compiler, workload, proposal, unwinder, mode = cell
    return Cell(
        arch=arch, compiler=compiler, workload=workload, proposal=proposal, unwinder=unwinder, mode=mode,
        engine="reference", stops=0, pcs=0, functions=0, instructions=0, wall_s=0.0,
        verdicts=dict.fromkeys(VERDICTS, 0), doubt={}, covers=0, by_region={}, worst={}, unsupported=reason,
    )  # fmt: skip


def stack_of(row: VerdictRow) -> StackRow:
    return StackRow(
        arch=row.arch, compiler=row.compiler, workload=row.workload, proposal=row.proposal, unwinder=row.unwinder,
        mode=row.mode, pc=row.pc, location=row.location, verdict=row.verdict, reason=row.reason, stop=7,
        truth=[0x10104, 0x10010], reported=[0x10010], truth_text=["work_1+0x4", "work_0+0x10"],
        reported_text=["work_0+0x10"], registers={"sp": 2**64 - 16, "pc": row.pc},
    )  # fmt: skip


def fake_result(
    arches: Sequence[str] = ARCHES,
    proposals: Sequence[str] = PROPOSALS,
    unwinders: Sequence[str] = UNWINDERS,
    workloads: Sequence[str] = WORKLOADS,
    modes: Sequence[str] = ("boundary", "call"),
    functions: int = 5,
    insns: int = 24,
) -> RunResult:
    experiment = Experiment(
        arches=list(arches), proposals=list(proposals), unwinders=list(unwinders), workloads=list(workloads),
        modes=list(modes),
    )  # fmt: skip
    cells, verdicts, stacks = [], [], []
    for cell in ((a, "clang", w, p, u, m) for a in arches for p in proposals for u in unwinders for w in workloads
                 for m in modes):  # fmt: skip
        if "register" in cell[3] and cell[0] == "x86_64":
            cells.append(unsupported(cell, "flavour register needs a reserved register; x86-64 has none"))
            continue
        rows = verdict_rows(cell, functions, insns)
        verdicts += rows
        cells.append(cell_from(rows))
        stacks += [stack_of(row) for row in rows if row.verdict == "missing"][:8]
    return RunResult(
        experiment, cells, verdicts, stacks, costs(experiment), images(experiment),
        [{"name": "clang", "version": "22.1.8"}], [],
    )  # fmt: skip


def costs(experiment: Experiment) -> list[CostRow]:
    return [
        CostRow(
            arch=a, compiler="clang", workload=w, proposal=p, baseline="plain", calls=1000, instructions=48_123,
            loads=9_000, stores=9_500, text_bytes=4_352, base_instructions=42_000, base_loads=8_000, base_stores=8_500,
            base_text_bytes=4_352,
        )
        for a in experiment.arches for p in experiment.proposals[1:] for w in experiment.workloads
        if not ("register" in p and a == "x86_64")
    ]  # fmt: skip


def images(experiment: Experiment) -> list[ImageRow]:
    return [
        ImageRow(
            arch=a, compiler="clang", workload=w, proposal=p, sha256=hashlib.sha256(f"{a}{w}{p}".encode()).hexdigest(),
            build_id="ab12", flags=["-O2", "-fno-omit-frame-pointer"], result="ok",
            instrumented=None if p == "plain" else 3, functions=None if p == "plain" else 5,
            left_out=[] if p == "plain" else [
                {"function": "work_4", "address": 0x10400, "reason": "leaf"},
                {"function": "_start", "address": 0x10000, "reason": "no sled"},
            ],
        )
        for a in experiment.arches for p in experiment.proposals for w in experiment.workloads
    ]  # fmt: skip


def fake_run(**choices: object) -> Run:
    return make_run(fake_result(**choices), PROVENANCE)  # type: ignore[arg-type]
