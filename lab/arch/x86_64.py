"""x86-64 facts.

Sources: Intel SDM vol. 3 6.14.2 (64-bit mode aligns RSP to 16 before pushing the exception frame);
Linux v6.13 arch/x86/include/asm/ptrace.h (struct pt_regs); System V x86-64 psABI (register numbers,
r10/r11 scratch).  LLVM compiler-rt lib/xray/xray_x86_64.cpp: an XRay sled may clobber r10.
"""

from __future__ import annotations

from types import MappingProxyType

from lab.arch.facts import Arch, PtRegs

_ORDER = ("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi")

# struct pt_regs: the 15 registers, orig_ax, ip, cs, flags, sp, ss.
PT_REGS = PtRegs(
    size=168,
    registers=MappingProxyType({name: 8 * i for i, name in enumerate(_ORDER)} | {"pc": 128, "flags": 144, "rsp": 152}),
    metadata=None,
)

X86_64 = Arch(
    name="x86_64",
    aliases=("x86-64", "amd64", "x64"),
    title="x86-64",
    elf_machine=62,
    triple="x86_64-linux-gnu",
    gprs=(
        "rax",
        "rdx",
        "rcx",
        "rbx",
        "rsi",
        "rdi",
        "rbp",
        "rsp",
        "r8",
        "r9",
        "r10",
        "r11",
        "r12",
        "r13",
        "r14",
        "r15",
    ),
    sp="rsp",
    fp="rbp",
    lr=None,
    shadow_register=None,
    insn_align=1,
    max_insn=15,
    call_pushes=8,
    exception_align=16,
    pt_regs=PT_REGS,
    # No kernel record to imitate: the lab's own {0, 0, FINAL} sits in the 32 bytes below the initial SP.
    final_record=32,
    scratch=("r10", "r11"),
    pac_mask=0,
)
