"""A memory of a few words, for walks that no program makes."""

from __future__ import annotations

from lab.metadata.rules import Format, Row, Rule, RuleTable
from lab.registry import unwinder
from lab.unwind.api import BOUNDARY, FRAME, MASK64, SHADOW_REGISTER, Regs
from lab.unwind.code_view import CodeView
from lab.unwind.host import forms

LOW, HIGH = 0x7000_0000, 0x7100_0000
IRQ_LOW, IRQ_HIGH = 0x6000_0000, 0x6000_4000
OTHER_LOW, OTHER_HIGH = 0x5000_0000, 0x5000_4000
PC, CODE = 0x40_1000, (0x40_0000, 0x50_0000)


class Fake:
    """*words*, elsewhere zero, and one row for PC, in every format.  Three stacks: a task's, the IRQ stack,
    another task's."""

    def __init__(self, rule: Rule | None = None, words: dict[int, int] | None = None, irq_low: int = 0) -> None:
        rows = () if rule is None else (Row(PC, PC + 4, rule),)
        stacks = ((LOW, HIGH), (IRQ_LOW, IRQ_HIGH), (OTHER_LOW, OTHER_HIGH))
        tables = {int(kind): RuleTable(kind, rows) for kind in Format}
        view = CodeView(tables, (CODE,), stacks)
        self.rule, self.rule_word, self.stack_of, self.is_text = view.rule, view.rule_word, view.stack_of, view.is_text
        self.words = words or {}
        self.pac_mask, self.irq_low, self.irq_high = 0, irq_low, IRQ_HIGH if irq_low else 0
        self.final_record = HIGH - 40
        self.metadata_offset, self.regs_pc_offset, self.regs_fp_offset = 296, 256, 232
        self.regs_sp_offset, self.regs_lr_offset = 248, 240
        self.shadow_kind, self.shadow_base, self.shadow_limit = SHADOW_REGISTER, OTHER_LOW, OTHER_HIGH
        self.shadow_distance = self.shadow_cell = 0
        self.task_regs = self.irq_shadow_low = self.task_ssp = self.task_shadow_low = self.task_shadow_high = 0

    def load(self, address: int) -> int:
        return self.words.get(address, 0)


def walked(
    name: str, mem: Fake, fp: int, mode: int = BOUNDARY, sp: int = LOW, ssp: int = 0, *, on: bool = False
) -> tuple[int, list[int]]:
    """The walk's status and its return addresses.  *on*: refusals that can be gone on from are."""
    this = unwinder(name)
    start, step = forms(this)
    cursor = start(mode, PC, Regs(PC, sp, fp, PC + 4, ssp))
    found: list[int] = []
    for _ in range(1000):
        status, ra, cursor = step(mem, cursor)
        assert max(cursor) <= MASK64
        if status == FRAME and this.cap and len(found) == this.cap:
            status = this.cap_status
        if status == FRAME:
            found.append(ra)
        elif not on or status < 0x100:
            return status, found
    raise AssertionError("no end")
