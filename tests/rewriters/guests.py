"""Small guest programs for the rewriters' tests: C through the ziglang wheel's clang, and assembly."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

BASE = ["-O2", "-ffreestanding", "-fno-omit-frame-pointer", "-fasynchronous-unwind-tables", "-fno-unroll-loops"]
ARCH_FLAGS = {"aarch64": ["-ffixed-x18", "-mno-outline-atomics"], "x86_64": ["-mno-red-zone"]}
MODE_FLAGS = {
    "pac": ["-mbranch-protection=pac-ret"],
    "xray": ["-fxray-instrument", "-fxray-instruction-threshold=1"],
    "none": [],
    "bti": ["-mbranch-protection=standard"],
    "bkey": ["-mbranch-protection=pac-ret+b-key"],
}

MAIN = r"""
#define N __attribute__((noinline))
long set_jump(long *), jump_back(long *, long);
extern long setjmp(long *) __attribute__((returns_twice));
extern void longjmp(long *, long) __attribute__((noreturn));
long flagged(long);
N long leaf(long a) { return a * 3 + 1; }
N long fib(long n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
N long tail(long n) { long r = fib(n); __asm__ volatile("" : : "r"(r) : "memory"); return fib(r % 7); }
long (*volatile pointer)(long) = fib;
N long indirect_tail(long n) { fib(n); return pointer(n & 7); }
N long table(long n) {
  switch (n) {
    case 0: return fib(3);        case 1: return leaf(2) + fib(4);  case 2: return 77 + leaf(n);
    case 3: return fib(n) ^ fib(4); case 4: return 9 + fib(5);      case 5: return leaf(33) ^ fib(2);
    case 6: return fib(2) * 3;    case 7: return leaf(9) * fib(6);  case 8: return fib(7) - 5;
    case 9: return fib(8) + leaf(4); case 10: return fib(n) * 2;    case 11: return leaf(n) - fib(3);
    case 12: return fib(4) << 3;  case 13: return fib(5) + fib(6);  case 14: return leaf(fib(3));
    case 15: return fib(9) ^ n;
  }
  return fib(6) + n;
}
N long shrink(long *p, long n) { if (!p) return -1; long s = 0; for (long i = 0; i < n; i++) s += fib(p[i]); return s; }
N long room(long n) { volatile char *p = __builtin_alloca(n * 16 + 32); p[0] = (char)n; return fib(n) + p[0]; }
N long even(long n);
N long odd(long n) { if (!n) return 0; long r = even(n - 1); __asm__ volatile("" : "+r"(r)); return r + 1; }
N long even(long n) { if (!n) return 1; long r = odd(n - 1); __asm__ volatile("" : "+r"(r)); return r + 2; }
static long buffer[32];
N void deep(long n) { if (n == 0) longjmp(buffer, 41); deep(n - 1); __asm__ volatile("" ::: "memory"); }
N long jumps(long n) { if (setjmp(buffer)) return fib(n) + 5; deep(n); return 0; }
long numbers[6] = {1, 2, 3, 4, 5, 6};
long compute(void) {
  long s = tail(6) + indirect_tail(5);
  for (long i = 0; i < 18; i++) s = s * 7 + table(i);
  s += shrink(numbers, 6) + shrink(0, 1) + room(4) + odd(9) + jumps(5);
  for (long i = 0; i < 4; i++) s = s * 5 + flagged(i);
  return s + jumps(3);
}
"""

START = {
    "aarch64": r"""
.text
.globl _start
.type _start,%function
_start: mov x29, #0
 mov x30, #0
 bl compute
 mov x8, #93
 svc #0
 brk #0
.size _start,.-_start
""",
    "x86_64": r"""
.text
.globl _start
.type _start,@function
_start: xor %ebp, %ebp
 and $-16, %rsp
 call compute
 mov %rax, %rdi
 mov $60, %eax
 syscall
 ud2
.size _start,.-_start
""",
}

# The flags set by cmp are live across AUTIASP, and the frame exists on one path only.
FLAGGED = {
    "pac": r"""
.text
.globl flagged
.type flagged,%function
flagged: .cfi_startproc
 cbz x0, 2f
 hint #25
 .cfi_negate_ra_state
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl leaf
 cmp x0, #5
 ldp x29, x30, [sp], #16
 hint #29
 .cfi_negate_ra_state
 b.lt 1f
 mov x0, #50
 ret
1: b leaf
2: mov x0, #3
 ret
 .cfi_endproc
.size flagged,.-flagged
""",
    "aarch64": r"""
.text
.globl flagged
.type flagged,%function
flagged: cmp x0, #0
 b.eq 2f
 mov x0, #50
 ret
2: b leaf
.size flagged,.-flagged
""",
    "x86_64": r"""
.text
.globl flagged
.type flagged,@function
flagged: test %rdi, %rdi
 je 2f
 mov $50, %eax
 ret
2: jmp leaf
.size flagged,.-flagged
""",
}

_A64_SAVE = """ stp x19, x20, [x0]
 stp x21, x22, [x0, #16]
 stp x23, x24, [x0, #32]
 stp x25, x26, [x0, #48]
 stp x27, x28, [x0, #64]
 stp x29, x30, [x0, #80]
 mov x9, sp
 str x9, [x0, #96]
"""
_A64_BODY = """
.text
.globl setjmp
.type setjmp,%function
setjmp:
{save}
{push}
 mov x0, #0
 ret
.size setjmp,.-setjmp
.globl longjmp
.type longjmp,%function
longjmp:
{restore}
{pop}
 mov x0, x1
 ret
.size longjmp,.-longjmp
"""
_X86_BODY = """
.text
.globl setjmp
.type setjmp,@function
setjmp:
 mov %rbx, (%rdi)
 mov %rbp, 8(%rdi)
 mov %r12, 16(%rdi)
 mov %r13, 24(%rdi)
 mov %r14, 32(%rdi)
 mov %r15, 40(%rdi)
 lea 8(%rsp), %rdx
 mov %rdx, 48(%rdi)
 mov (%rsp), %rdx
 mov %rdx, 56(%rdi)
{push}
 xor %eax, %eax
 ret
.size setjmp,.-setjmp
.globl longjmp
.type longjmp,@function
longjmp:
 mov %rsi, %rax
 mov (%rdi), %rbx
 mov 8(%rdi), %rbp
 mov 16(%rdi), %r12
 mov 24(%rdi), %r13
 mov 32(%rdi), %r14
 mov 40(%rdi), %r15
{pop}
 mov 48(%rdi), %rsp
 jmp *56(%rdi)
.size longjmp,.-longjmp
"""
_CELL = """
.data
.balign 8
.globl __unwindlab_ssp
.type __unwindlab_ssp,%object
__unwindlab_ssp: .quad 0
.size __unwindlab_ssp,8
"""


def jump_source(arch: str, keeps: str) -> str:
    """setjmp/longjmp that keep nothing (``""``), ``x18`` or the ``cell`` across the jump."""
    if arch == "x86_64":
        push = " mov __unwindlab_ssp(%rip), %rdx\n mov %rdx, 64(%rdi)" if keeps == "cell" else ""
        pop = " mov 64(%rdi), %rdx\n mov %rdx, __unwindlab_ssp(%rip)" if keeps == "cell" else ""
        cell = _CELL.replace("%object", "@object") if keeps == "cell" else ""
        return _X86_BODY.format(push=push, pop=pop) + cell
    restore = _A64_SAVE.replace("stp", "ldp").replace(
        " mov x9, sp\n str x9, [x0, #96]", " ldr x9, [x0, #96]\n mov sp, x9"
    )
    push = {
        "x18": " str x18, [x0, #104]",
        "cell": " adrp x9, __unwindlab_ssp\n ldr x10, [x9, :lo12:__unwindlab_ssp]\n str x10, [x0, #104]",
    }
    pop = {
        "x18": " ldr x18, [x0, #104]",
        "cell": " adrp x9, __unwindlab_ssp\n ldr x10, [x0, #104]\n str x10, [x9, :lo12:__unwindlab_ssp]",
    }
    text = _A64_BODY.format(save=_A64_SAVE, restore=restore, push=push.get(keeps, ""), pop=pop.get(keeps, ""))
    return text + (_CELL if keeps == "cell" else "")


@dataclass(frozen=True)
class Source:
    """One translation unit."""

    name: str
    text: str
    flags: tuple[str, ...] = ()


def clang_directory() -> Path:
    """Where the ziglang wheel's ``zig`` is."""
    import ziglang

    return Path(ziglang.__file__).parent


def compile_one(arch: str, source: Source, folder: Path) -> Path:
    """One object file."""
    path = folder / source.name
    path.write_text(source.text)
    out = path.with_suffix(".o")
    zig = str(clang_directory() / "zig")
    _run([zig, "clang", f"--target={arch}-linux-gnu", *source.flags, "-c", path.name, "-o", out.name], folder)
    return out


def link(objects: list[Path], out: Path, flags: tuple[str, ...] = ("--build-id",)) -> Path:
    """One static image that keeps its relocations (unless it is stripped)."""
    keep = [] if "-s" in flags else ["--emit-relocs"]
    zig = str(clang_directory() / "zig")
    _run([zig, "ld.lld", *keep, "-static", *flags, "-o", str(out), *map(str, objects)], out.parent)
    return out


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"


def c_flags(arch: str, mode: str) -> tuple[str, ...]:
    """Compiler flags for C code of *mode*."""
    return (*BASE, *ARCH_FLAGS[arch], *MODE_FLAGS[mode])


def build(
    folder: Path,
    arch: str,
    mode: str,
    keeps: str = "",
    extra: tuple[Source, ...] = (),
    link_flags: tuple[str, ...] = ("--build-id",),
) -> Path:
    """The main guest, with setjmp/longjmp of kind *keeps* and *extra* units."""
    folder.mkdir(parents=True, exist_ok=True)
    flagged = FLAGGED["pac"] if mode == "pac" else FLAGGED[arch]
    sources = [
        Source("start.s", START[arch]),
        Source("main.c", MAIN, c_flags(arch, mode)),
        Source("flagged.s", flagged),
        Source("jump.s", jump_source(arch, keeps)),
        *extra,
    ]
    return link([compile_one(arch, source, folder) for source in sources], folder / "guest.elf", link_flags)


def build_plain(folder: Path, arch: str, sources: list[Source], link_flags: tuple[str, ...] = ("--build-id",)) -> Path:
    """The start stub and *sources*, nothing else; they must define ``compute``."""
    folder.mkdir(parents=True, exist_ok=True)
    units = [Source("start.s", START[arch]), *sources]
    return link([compile_one(arch, unit, folder) for unit in units], folder / "guest.elf", link_flags)
