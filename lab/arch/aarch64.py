"""AArch64 facts.

Sources: Arm ARM DDI 0487 (registers, PAC); AAPCS64 (x16/x17 scratch, x18 platform register);
Linux v6.13 arch/arm64/include/asm/ptrace.h and arch/arm64/include/asm/stacktrace/frame.h (pt_regs,
metadata frame record); DWARF for the Arm 64-bit Architecture (register numbers).
"""

from __future__ import annotations

from types import MappingProxyType

from lab.arch.facts import Arch, PtRegs

_X = tuple(f"x{i}" for i in range(31))

# struct pt_regs: regs[31], sp, pc, pstate, orig_x0, syscallno/pmr, sdei_ttbr1, stackframe {fp, lr, type},
# lockdep_hardirqs, exit_rcu.
PT_REGS = PtRegs(
    size=336,
    registers=MappingProxyType({name: 8 * i for i, name in enumerate(_X)} | {"sp": 248, "pc": 256, "flags": 264}),
    metadata=296,
)

AARCH64 = Arch(
    name="aarch64",
    aliases=("arm64", "a64"),
    title="arm64",
    elf_machine=183,
    triple="aarch64-linux-gnu",
    gprs=(*_X, "sp"),
    sp="sp",
    fp="x29",
    lr="x30",
    shadow_register="x18",
    insn_align=4,
    max_insn=4,
    call_pushes=0,
    exception_align=1,
    pt_regs=PT_REGS,
    final_record=PT_REGS.size - 296,
    scratch=("x16", "x17", "x15", "x14", "x13", "x12", "x11", "x10", "x9"),
    # 48-bit user addresses, TBI off: the code sits in bits 54..48 and 63..56; bit 55 selects the half.
    pac_mask=0xFF7F_0000_0000_0000,
)
