"""One job: one program with one proposal on one architecture, all its unwinders and stop modes at once.

A job is plain data in and rows out, so it runs in any process; unicorn objects never leave the worker.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import registry
from lab.arch import arch_by_name
from lab.engine.plan import AFTER_CALL, KERNEL_MODES, Execution, Plan
from lab.engine.run import NATIVE, execute
from lab.engine.tally import KeptStack, Tally
from lab.errors import EngineError, InputError, RefusedError
from lab.features import Features, StaticFeatures
from lab.images.build import base_flags, build, unbuildable
from lab.images.cache import cache_folder
from lab.images.image import Image, load_image
from lab.images.toolchain import find_compiler, missing_compiler
from lab.images.workloads import Workload, workload_by_name
from lab.instructions import instructions
from lab.layout import NEW_TEXT, Region, RewriteMap
from lab.machine.machine import End, Limits, Outcome
from lab.proposals.api import Proposal
from lab.rewriting import not_in_the_kernel, with_shadow
from lab.store.cost_rows import CostRow
from lab.store.rows import DOUBTS, VERDICTS, Cell, CodeRow, ImageRow, StackRow, VerdictRow
from lab.unwind.api import MODES, Unwinder
from lab.verdict import Verdict

_MODE_NAMES = {number: name for name, number in MODES.items()}


@dataclass(frozen=True)
class Job:
    """What to run, by name."""

    arch: str
    compiler: str
    workload: str
    proposal: str
    unwinders: tuple[str, ...]
    modes: tuple[str, ...]
    size: str
    limits: Limits
    stacks: int
    engine: str = NATIVE
    seed: int = 1
    files: tuple[str, ...] = ()

    @property
    def runtime(self) -> str:
        """What the workload is linked with: stops in exception handlers and of switched-out tasks need the kernel, and
        then every stop of the job is made in it; some workloads always run in it."""
        return "kernel" if KERNEL_MODES & set(self.modes) else workload_by_name(self.workload).runtime

    @property
    def title(self) -> str:
        return f"{self.arch} {self.workload} {self.proposal}"


@dataclass
class JobResult:
    """The rows of one job; ``problem`` is a reason for which the whole pair is unsupported."""

    cells: list[Cell] = field(default_factory=list)
    verdicts: list[VerdictRow] = field(default_factory=list)
    stacks: list[StackRow] = field(default_factory=list)
    costs: list[CostRow] = field(default_factory=list)
    images: list[ImageRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    code: list[CodeRow] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """The image a job measures, and where it came from.  ``flags`` are all the compiler was given."""

    image: Image
    rewrite: RewriteMap | None
    proposal: Proposal
    workload: Workload
    flags: tuple[str, ...]

    @property
    def text_bytes(self) -> int:
        """Bytes of code: the executable sections and what the rewriter put out of line, without padding."""
        pieces = self.rewrite.inserted if self.rewrite else ()
        added = sum(p.end - p.start for p in pieces if p.region in {Region.TRAMPOLINE, Region.MOVED})
        section = self.image.section(NEW_TEXT)
        return self.image.text_bytes - (section.size if section else 0) + added


def run_job(job: Job) -> JobResult:
    """Build, rewrite, execute, judge, count.  A pair that does not exist gives ``unsupported`` cells."""
    result = JobResult()
    for file in job.files:
        registry.add_file(Path(file))
    proposal, workload = registry.proposal(job.proposal), workload_by_name(job.workload)
    reason = unsupported(job)
    if reason is not None:
        result.cells = [_unsupported(job, name, mode, reason) for name in job.unwinders for mode in job.modes]
        return result
    try:
        subject = prepare(job, proposal, workload)
    except RefusedError as error:  # by name and with its place: the other pairs are not to blame
        said = "not rewritten: " + "; ".join(line.rpartition(".elf: ")[2] for line in error.lines)
        result.cells = [_unsupported(job, name, mode, said) for name in job.unwinders for mode in job.modes]
        return result
    unwinders = [registry.unwinder(name) for name in job.unwinders]
    usable = []
    for unwinder in unwinders:
        reason = unwinder.unsupported(job.arch, subject.rewrite is not None)
        if reason is None:
            usable.append(unwinder)
        else:
            result.cells += [_unsupported(job, unwinder.name, mode, reason) for mode in job.modes]
    plan = Plan(tuple(usable), job.modes, job.limits, job.stacks, seed=job.seed)
    execution = execute(subject.image, subject.rewrite, plan, job.engine)
    result.notes = [f"{job.title}: {note}" for note in execution.notes]
    check_outcome(subject, job, execution.outcome)
    rows = _Rows(job, subject, tuple(usable), execution)
    result.cells += rows.cells()
    result.verdicts, result.stacks, result.code = rows.verdict_rows(), rows.stack_rows(), rows.code_rows()
    result.images = [_image_row(job, subject, execution.outcome)]
    result.costs = _costs(job, subject, result.notes)
    return result


def prepare(job: Job, proposal: Proposal, workload: Workload) -> Subject:
    """The image of *workload* under *proposal*: built, and rewritten and verified where the proposal says so."""
    arch, compiler = arch_by_name(job.arch), find_compiler(job.compiler)
    asked = proposal.compiler_flags(job.arch)
    path = build(workload, arch, asked, job.size, compiler, runtime=job.runtime)
    flags = (*base_flags(compiler, arch), *workload.flags, *asked)
    image, rewrite = with_shadow(load_image(path), proposal, job.limits, cache_folder())
    return Subject(image, rewrite, proposal, workload, flags)


def check_outcome(subject: Subject, job: Job, outcome: Outcome) -> None:
    """The program's own result must be the known one: a wrong result means every figure is worthless."""
    if outcome.end is End.BUDGET:
        mend = "raise --max-instructions or --max-seconds, or use --size small"
        raise InputError(f"{job.title}: stopped after {outcome.detail}; {mend}")
    expected = subject.workload.expected_output(job.size).strip()
    got = outcome.output.decode("ascii", "backslashreplace").strip()
    if outcome.end is not End.EXIT or outcome.status != 0 or got != expected:
        how = outcome.end.value if outcome.end is not End.EXIT else f"exit status {outcome.status}"
        raise EngineError(f"{job.title}: expected '{expected}', got '{got}' ({how} {outcome.detail})".rstrip())


def unsupported(job: Job) -> str | None:
    """Why there is no image for *job*, None if there is one: not on this architecture, no compiler, or not with it."""
    proposal, workload = registry.proposal(job.proposal), workload_by_name(job.workload)
    if reason := proposal.unsupported(job.arch, job.compiler):
        return reason
    if job.runtime == "kernel" and (reason := not_in_the_kernel(proposal)):
        return reason
    if workload.changes_code and (proposal.rewrite or proposal.compiler):
        return f"{workload.name} changes its own code while it runs: no shadow stack can be proved on it"
    if job.arch not in workload.arches:
        return f"{workload.name} exists on {', '.join(workload.arches)} only"
    arch = arch_by_name(job.arch)
    return missing_compiler(job.compiler, arch) or unbuildable(workload, arch, find_compiler(job.compiler))


def _unsupported(job: Job, unwinder: str, mode: str, reason: str) -> Cell:
    return Cell(
        arch=job.arch, compiler=job.compiler, workload=job.workload, proposal=job.proposal, unwinder=unwinder,
        mode=mode, engine=job.engine, stops=0, pcs=0, functions=0, instructions=0, wall_s=0.0,
        verdicts=dict.fromkeys(VERDICTS, 0), doubt=dict.fromkeys(DOUBTS, 0), covers=0, by_region={}, worst={},
        unsupported=reason,
    )  # fmt: skip


def _image_row(job: Job, subject: Subject, outcome: Outcome) -> ImageRow:
    census = subject.rewrite.census if subject.rewrite else None
    return ImageRow(
        arch=job.arch, compiler=job.compiler, workload=job.workload, proposal=job.proposal,
        sha256=subject.image.sha256, build_id=subject.image.build_id, flags=list(subject.flags),
        result=outcome.output.decode("ascii", "backslashreplace").strip(),
        instrumented=census.instrumented if census else None,
        functions=census.functions if census else len(subject.image.functions),
        left_out=[asdict(site) for site in census.left_out] if census else [],
    )  # fmt: skip


def _costs(job: Job, subject: Subject, notes: list[str]) -> list[CostRow]:
    """The counts of an image beside its baseline's: the same program without the proposal."""
    from lab.cost.jobs import measured_cost  # which prepares images as jobs do

    found = measured_cost(job, subject)
    notes += [f"{job.title}: {doubt}" for doubt in found.doubts]
    return [found.row]


class _Rows:
    """Turns an execution into the store's rows."""

    def __init__(self, job: Job, subject: Subject, unwinders: tuple[Unwinder, ...], execution: Execution) -> None:
        self.job, self.subject, self.unwinders, self.execution = job, subject, unwinders, execution
        self.features = Features(subject.image, subject.rewrite)
        self.key = {
            "arch": job.arch, "compiler": job.compiler, "workload": job.workload, "proposal": job.proposal,
        }  # fmt: skip

    def _static(self, stop: Tally | KeptStack) -> StaticFeatures:
        return self.features.at_stop(stop.pc, after_call=stop.mode in AFTER_CALL)

    def cells(self) -> list[Cell]:
        grouped: dict[tuple[int, int], list[Tally]] = defaultdict(list)
        for tally in self.execution.tallies:
            grouped[tally.unwinder, tally.mode].append(tally)
        return [
            self._cell(index, mode, grouped[index, MODES[mode]])
            for index in range(len(self.unwinders))
            for mode in self.job.modes
        ]

    def _cell(self, index: int, mode: str, tallies: list[Tally]) -> Cell:
        verdicts, doubt = dict.fromkeys(VERDICTS, 0), dict.fromkeys(DOUBTS, 0)
        regions: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(VERDICTS, 0))
        places: dict[str, set[int]] = defaultdict(set)
        functions: dict[str, set[str]] = defaultdict(set)
        notes: dict[str, None] = {}
        for tally in tallies:
            verdict, static = tally.judgement.verdict.value, self._static(tally)
            verdicts[verdict] += tally.stops
            regions[static.region.value][verdict] += tally.stops
            places[verdict].add(tally.pc)
            functions[verdict].add(static.function)
            if tally.judgement.doubt.value:
                doubt[tally.judgement.doubt.value] += tally.stops
            if tally.judgement.verdict is Verdict.CRASH:
                notes[f"{self.unwinders[index].name} crashed: {tally.judgement.reason}"] = None
        return Cell(
            **self.key, unwinder=self.unwinders[index].name, mode=mode, engine=self.execution.engines[index],
            stops=sum(verdicts.values()), pcs=len(set().union(*places.values())),
            functions=len(set().union(*functions.values())), instructions=self.execution.instructions,
            wall_s=round(self.execution.wall_s, 6), verdicts=verdicts, doubt=doubt,
            covers=sum(t.stops for t in tallies if t.judgement.covers), by_region=dict(sorted(regions.items())),
            worst={v: {"pcs": len(places[v]), "functions": len(functions[v])} for v in VERDICTS if places[v]},
            notes=list(notes)[:4],
        )  # fmt: skip

    def verdict_rows(self) -> list[VerdictRow]:
        return [self._verdict_row(tally) for tally in self.execution.tallies]

    def _verdict_row(self, tally: Tally) -> VerdictRow:
        static, dynamic, judged = self._static(tally), tally.dynamic, tally.judgement
        return VerdictRow(
            **self.key, unwinder=self.unwinders[tally.unwinder].name, mode=_MODE_NAMES[tally.mode], pc=tally.pc,
            location=static.location, function=static.function, region=static.region.value,
            verdict=judged.verdict.value, reason=judged.reason, doubt=judged.doubt.value, covers=judged.covers,
            stops=tally.stops, offset_class=static.offset_class, insn_class=static.insn_class, lr_live=static.lr_live,
            sp_delta=dynamic.sp_delta, record_complete=dynamic.record_complete, shadow_pushed=dynamic.shadow_pushed,
            row_kind=static.row_kind, fp_matches_row=dynamic.fp_matches_row, interrupted=dynamic.interrupted,
        )  # fmt: skip

    def stack_rows(self) -> list[StackRow]:
        return [self._stack_row(kept) for kept in self.execution.stacks]

    def _stack_row(self, kept: KeptStack) -> StackRow:
        image = self.subject.image
        return StackRow(
            **self.key, unwinder=self.unwinders[kept.unwinder].name, mode=_MODE_NAMES[kept.mode], pc=kept.pc,
            location=self._static(kept).location, verdict=kept.judgement.verdict.value,
            reason=kept.judgement.reason, stop=kept.stop, truth=list(kept.truth), reported=list(kept.reported),
            truth_text=[image.locate(a) for a in kept.truth], reported_text=[image.locate(a) for a in kept.reported],
            registers=kept.registers, words_at=kept.registers["unwound_sp"], words=list(kept.words),
        )  # fmt: skip

    def code_rows(self) -> list[CodeRow]:
        pcs = sorted({tally.pc for tally in self.execution.tallies})
        return [CodeRow(**self.key | row) for row in instructions(self.subject.image, self.subject.rewrite, pcs)]


__all__ = ["Job", "JobResult", "Subject", "check_outcome", "prepare", "run_job", "unsupported"]
