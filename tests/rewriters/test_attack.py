"""A function that overwrites its own return address: `check` traps, `use` returns where it was called from, `record`
lets it through.  Every mode, flavour and policy there is, on both architectures, run in the lab's machine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from lab.arch import ARCHES, arch_by_name
from lab.images.image import Image, load_image, parse_image
from lab.images.toolchain import find_compiler, missing_compiler
from lab.layout import Leaves, Policy, ShadowLayout
from lab.machine.machine import End, Limits, Machine, Outcome
from rewriters import REWRITERS, all_flavours, rewrite, unsupported_reason
from rewriters.compiled import map_of_compiled
from tests.support import START, compile_c

RETURNED, TAKEN_OVER = 7, 66
PROGRAM = """
#define N __attribute__((noinline))
_Noreturn void evil(void);
N long leaf(long x) { __asm__ volatile("" : "+r"(x)); return x * 3 + 1; }
N long victim(long x) {
  long y = leaf(x);
  void *volatile *record = __builtin_frame_address(0);
  __asm__ volatile("" : "+r"(record));    /* as a stray pointer would: nobody who reads the code can tell */
  record[1] = (void *)evil;               /* the saved return address, on both architectures */
  return y + leaf(x) * 0 - 6;
}
N long lone(long x) {                     /* makes no call, and has a frame all the same */
  void *volatile *record = __builtin_frame_address(0);
  __asm__ volatile("" : "+r"(record));
  record[1] = (void *)evil;
  return x;
}
N long middle(long x) { volatile long y = victim(x); return y + 9; }
int test_main(void) { return ATTACKED(1); }
"""
EVIL = {
    "aarch64": '_Noreturn void evil(void) { __asm__ volatile("mov x0, #66; mov x8, #94; svc #0"); for (;;) ; }',
    "x86_64": '_Noreturn void evil(void) { __asm__ volatile("mov $66, %edi; mov $231, %eax; syscall"); for (;;) ; }',
}
FLAGS = {
    "pac": ("-mbranch-protection=pac-ret",),
    "xray": ("-fxray-instrument", "-fxray-instruction-threshold=1"),
    "detour": (),
    "insertion": (),
}
CASES = [
    (arch.name, mode, spec.name, policy)
    for arch in ARCHES
    for mode in REWRITERS
    for spec in all_flavours()
    for policy in spec.pop.get(arch.name, ())
    if unsupported_reason(arch, mode, spec.name, policy) is None
]
EXPECTED = {
    Policy.CHECK: (End.TRAP, None),
    Policy.USE: (End.EXIT, RETURNED),
    Policy.RECORD: (End.EXIT, TAKEN_OVER),
}


@cache
def victim(arch: str, mode: str, attacked: str = "middle") -> Image:
    """The program as *mode* wants it compiled, attacking through *attacked*."""
    fixed = ("-ffixed-x18",) if arch == "aarch64" else ()
    return compile_c(arch, PROGRAM + EVIL[arch], f"-DATTACKED={attacked}", *FLAGS[mode], *fixed)


def run(image: Image, layout: ShadowLayout | None) -> Outcome:
    """To its end."""
    return Machine(image, layout, Limits(100_000, 60)).execute_native(0, 0)


def test_every_combination_is_here() -> None:
    assert {mode for _, mode, _, _ in CASES} == set(REWRITERS)
    assert len(CASES) >= 54


@pytest.mark.parametrize("mode", ["xray", "detour", "insertion"])
@pytest.mark.parametrize("arch", [arch.name for arch in ARCHES])
def test_without_a_shadow_stack_the_attack_succeeds(arch: str, mode: str) -> None:
    outcome = run(victim(arch, mode), None)
    assert (outcome.end, outcome.status) == (End.EXIT, TAKEN_OVER)


def test_signing_catches_it_too() -> None:
    """What pac-ret is for: the overwritten address does not authenticate, and the return faults."""
    assert run(victim("aarch64", "pac"), None).end is End.FAULT


@pytest.mark.parametrize("leaves", [Leaves.ALL, Leaves.SKIP], ids=lambda leaves: leaves.value)
@pytest.mark.parametrize(
    ("arch", "mode", "flavour", "policy"), CASES, ids=["-".join((*case[:3], case[3].value)) for case in CASES]
)
def test_an_overwritten_return_address(arch: str, mode: str, flavour: str, policy: Policy, leaves: Leaves) -> None:
    image = victim(arch, mode)
    done = rewrite(image, mode, flavour, policy, leaves)
    outcome = run(parse_image(done.data, image.path), done.map.layout)
    assert (outcome.end, outcome.status) == EXPECTED[policy], outcome
    if policy is Policy.CHECK:
        new = parse_image(done.data, image.path)
        home = new.function_at(outcome.pc)
        pieces = [piece.function for piece in done.map.inserted if piece.start <= outcome.pc < piece.end]
        assert pieces == ["victim"] or (home is not None and home.name == "victim"), "it traps in the victim's pop"


@pytest.mark.parametrize("mode", ["detour", "insertion"])
def test_on_x86_64_a_leaf_that_is_skipped_is_not_protected(mode: str) -> None:
    """There a return address is always on the stack; on AArch64 a function that keeps it in x30 has none to
    overwrite."""
    image = victim("x86_64", mode, "lone")
    for leaves, expected in ((Leaves.ALL, End.TRAP), (Leaves.SKIP, End.EXIT)):
        done = rewrite(image, mode, "memory", Policy.CHECK, leaves)
        outcome = run(parse_image(done.data, image.path), done.map.layout)
        assert outcome.end is expected
    assert outcome.status == TAKEN_OVER


@pytest.mark.parametrize("compiler", ["clang", "gcc"])
def test_a_compilers_own_scheme_returns_past_it(compiler: str, tmp_path: Path) -> None:
    arch = arch_by_name("aarch64")
    if reason := missing_compiler(compiler, arch):
        pytest.skip(reason)
    (tmp_path / "victim.c").write_text(PROGRAM + EVIL["aarch64"])
    (tmp_path / "start.s").write_text(".text\n" + START["aarch64"])
    shop = find_compiler(compiler)
    flags = [
        "-O2",
        "-ffreestanding",
        "-fno-omit-frame-pointer",
        "-fno-stack-protector",
        "-ffixed-x18",
        "-DATTACKED=middle",
    ]
    for source, more in (("victim.c", ["-fsanitize=shadow-call-stack", "-fno-exceptions"]), ("start.s", [])):
        shop.compile(arch, [*flags, *more, "-c", source, "-o", f"{source}.o"], tmp_path)
    shop.link(["-static", "--build-id=sha1", "-o", "own.elf", "victim.c.o", "start.s.o"], tmp_path)
    image = load_image(tmp_path / "own.elf")
    outcome = run(image, map_of_compiled(image).layout)
    assert (outcome.end, outcome.status) == (End.EXIT, RETURNED)
