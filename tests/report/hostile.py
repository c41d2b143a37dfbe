"""A made-up run whose names are what an attacker would choose, small enough to draw in every test."""

from __future__ import annotations

import dataclasses

from lab.store import CodeRow, Run, RunResult, make_run
from tests.fake_run import PROVENANCE, fake_result

HOSTILE = "<img src=x onerror=document.title='owned'>"
CLOSING = "</script><script>document.title='owned'</script>"
KEPT = 0x10000 + 4


def hostile_run(functions: int = 6, insns: int = 16) -> Run:
    """Two modes, three unwinders; ``work_0`` has a hostile name, and every differing pc of ``fp`` a kept stack."""
    found = fake_result(
        arches=("aarch64",), proposals=("plain",), unwinders=("fp", "fp-reliable", "scs-lr"), workloads=("w",),
        functions=functions, insns=insns,
    )  # fmt: skip
    return make_run(with_code(renamed(found)), PROVENANCE)


def renamed(found: RunResult) -> RunResult:
    def called(text: str) -> str:
        return text.replace("work_0", HOSTILE).replace("work_1", CLOSING)

    return dataclasses.replace(
        found,
        verdicts=[
            dataclasses.replace(row, function=called(row.function), location=called(row.location))
            for row in found.verdicts
        ],
        stacks=[
            dataclasses.replace(
                row,
                location=called(row.location),
                truth_text=[called(text) for text in row.truth_text],
                reported_text=[called(text) for text in row.reported_text],
                words_at=2**64 - 512,
                words=[0, 0x10104, 2**64 - 1],
            )
            for row in found.stacks
        ],
    )


def with_code(found: RunResult) -> RunResult:
    keys = {(row.arch, row.compiler, row.workload, row.proposal, row.pc) for row in found.verdicts}
    code = [
        CodeRow(
            arch=arch, compiler=compiler, workload=workload, proposal=proposal, pc=pc, raw="1f2003d5",
            text=f"mov x{pc % 29}, x0", source="w.c:7" if pc % 8 else "",
        )
        for arch, compiler, workload, proposal, pc in sorted(keys)
    ]  # fmt: skip
    return dataclasses.replace(found, code=code)
