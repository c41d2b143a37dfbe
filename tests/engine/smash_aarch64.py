"""AArch64 store forms for tests.engine.smash_forms.

In ``smash``: x19 = the record, x20 and x21 = its true words, x22 = a wrong word; x9..x15 and vectors are
free.  {v} is the value's register, {w} its lower half, {n} the slot's number; {pair}, {new}, {third} and
{other} are what the slot is called in a pair of registers, in a structure, and the true word beside it.
"""

from __future__ import annotations

from tests.engine.smash_forms import Dialect, Group

_SKELETON = """
FUNC leaf
 add x0, x0, #1
 ret
END leaf
FUNC probe
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 bl leaf
 ldp x29, x30, [sp], #16
 ret
END probe
FUNC deep
 stp x29, x30, [sp, #-32]!
 mov x29, sp
 subs x0, x0, #1
 b.eq 1f
 bl deep
 b 2f
1: bl smash
2: ldp x29, x30, [sp], #32
 ret
END deep
FUNC smash
 stp x29, x30, [sp, #-96]!
 mov x29, sp
 stp x19, x20, [sp, #16]
 stp x21, x22, [sp, #32]
 stp x23, x24, [sp, #48]
 stp x25, x26, [sp, #64]
 mov x23, #0x8080808080808080
 adrp x24, buffer
 add x24, x24, :lo12:buffer
{smash}
 ldp x25, x26, [sp, #64]
 ldp x23, x24, [sp, #48]
 ldp x21, x22, [sp, #32]
 ldp x19, x20, [sp, #16]
 ldp x29, x30, [sp], #96
 ret
END smash
FUNC test_main
 stp x29, x30, [sp, #-16]!
 mov x29, sp
 mov x0, #{depth}
 bl deep
 mov w0, #0
 ldp x29, x30, [sp], #16
 ret
END test_main
 .bss
 .balign 64
 .globl buffer
buffer: .skip 4096
"""

_WALK = """
 mov x19, x29
 mov x9, #{level}
 cbz x9, 6f
5: ldr x19, [x19]
 subs x9, x9, #1
 b.ne 5b
6: ldp x20, x21, [x19]
"""

DIALECT = Dialect(
    skeleton=_SKELETON,
    walk=_WALK,
    wrong="eor x22, {true}, x23",
    registers=("x20", "x21", "x22"),
    default="str {v}, [x19, #{slot}]",
    call=" nop\n bl probe\n nop",
    fields={
        0: {"pair": "x9", "third": "v2.d[0]", "new": "x14", "other": "x21"},
        8: {"pair": "x10", "third": "v0.d[1]", "new": "x15", "other": "x20"},
    },
    hides_top_byte=True,
)

_AT = "add x11, x19, #{slot}; "


def _narrow(store: str, size: int) -> tuple[str, ...]:
    return tuple(
        f"lsr x9, {{v}}, #{8 * p}; add x11, x19, #{{slot}}; {store} w9, [x11, #{p}]" for p in range(0, 8, size)
    )


def _below(distance: int) -> str:
    """Eight bytes from *distance* bytes below the slot: its first 8 - distance bytes."""
    keep = 8 * distance
    return _AT + f"ldur x9, [x11, #-{distance}]; bfi x9, {{v}}, #{keep}, #{64 - keep}; stur x9, [x11, #-{distance}]"


def _above(distance: int) -> str:
    """Eight bytes from *distance* bytes above the slot's beginning: its last 8 - distance bytes."""
    keep = 8 * distance
    insert = f"lsr x10, {{v}}, #{keep}; bfi x9, x10, #0, #{64 - keep}"
    return _AT + f"ldur x9, [x11, #{distance}]; {insert}; stur x9, [x11, #{distance}]"


_BOTH = "ldp x9, x10, [x19]; mov {pair}, {v}; "
_TWO_Q = "sub x10, x19, #16; ld1 {{v0.2d, v1.2d}}, [x10]; ins v1.d[{n}], {v}; "

GROUPS = (
    Group(
        "narrow",
        partial=(*_narrow("strb", 1)[:7], *_narrow("strh", 2), *_narrow("str", 4)),
        top_byte=_narrow("strb", 1)[7:],
    ),
    Group(
        "straddle",
        partial=(
            *map(_below, range(1, 8)),
            *map(_above, range(1, 7)),
            _AT + "ldur w9, [x11, #-3]; bfi w9, {w}, #24, #8; stur w9, [x11, #-3]",
            _AT + "ldurh w9, [x11, #-1]; bfi w9, {w}, #8, #8; sturh w9, [x11, #-1]",
            _AT + "ldur q0, [x11, #-15]; ins v0.b[15], {w}; stur q0, [x11, #-15]",
            _AT + "ldr q0, [x11, #-1]!; ins v0.b[1], {w}; str q0, [x11]",
        ),
        top_byte=(
            _above(7),
            _AT + "lsr x10, {v}, #56; ldur w9, [x11, #7]; bfi w9, w10, #0, #8; stur w9, [x11, #7]",
            _AT + "lsr x10, {v}, #56; ldurh w9, [x11, #7]; bfi w9, w10, #0, #8; sturh w9, [x11, #7]",
            _AT + "lsr x10, {v}, #56; ldur q0, [x11, #7]; ins v0.b[0], w10; stur q0, [x11, #7]",
        ),
    ),
    Group(
        "simd",
        full=(
            "fmov d0, {v}; str d0, [x19, #{slot}]",
            "ldur q0, [x19, #-8 + {slot}]; ins v0.d[1], {v}; stur q0, [x19, #-8 + {slot}]",
            "ldr q0, [x19]; ins v0.d[{n}], {v}; str q0, [x19]",
            "ldp q0, q1, [x19, #-16]; ins v1.d[{n}], {v}; stp q0, q1, [x19, #-16]",
            "ldp q0, q1, [x19]; ins v0.d[{n}], {v}; stnp q0, q1, [x19]",
            "ldp d0, d1, [x19]; fmov d{n}, {v}; stp d0, d1, [x19]",
            "mov x9, #-48; add x10, x19, #48; ldr q0, [x10, x9]; ins v0.d[{n}], {v}; str q0, [x10, x9]",
            "mov w9, #-2; add x10, x19, #32; ldr q0, [x19]; ins v0.d[{n}], {v}; str q0, [x10, w9, sxtw #4]",
            "ldr q0, [x19]; ins v0.d[{n}], {v}; sub x10, x19, #64; str q0, [x10, #64]!",
            "ldr q0, [x19]; ins v0.d[{n}], {v}; mov x10, x19; str q0, [x10], #-16",
            "ldp q0, q1, [x19, #-16]; ins v1.d[{n}], {v}; mov x10, x19; stp q0, q1, [x10, #-16]!",
            "ldp q0, q1, [x19]; ins v0.d[{n}], {v}; mov x10, x19; stp q0, q1, [x10], #32",
        ),
        partial=(
            "fmov d0, {v}; str s0, [x19, #{slot}]",
            "fmov d0, {v}; str h0, [x19, #{slot}]",
            "fmov d0, {v}; str b0, [x19, #{slot}]",
            "fmov d0, {v}; mov s1, v0.s[1]; stp s0, s1, [x19, #{slot}]",
        ),
    ),
    Group(
        "structures",
        full=(
            "ld1 {{v0.16b}}, [x19]; ins v0.d[{n}], {v}; st1 {{v0.16b}}, [x19]",
            _TWO_Q + "st1 {{v0.2d, v1.2d}}, [x10]",
            _TWO_Q + "st1 {{v0.8h, v1.8h}}, [x10], #32",
            _TWO_Q + "mov x9, #-7; st1 {{v0.4s, v1.4s}}, [x10], x9",
            "sub x10, x19, #32; ld1 {{v0.2d-v2.2d}}, [x10]; ins v2.d[{n}], {v}; st1 {{v0.2d-v2.2d}}, [x10]",
            "sub x10, x19, #48; ld1 {{v0.2d-v3.2d}}, [x10]; ins v3.d[{n}], {v}; st1 {{v0.2d-v3.2d}}, [x10]",
            "sub x10, x19, #16; ld2 {{v0.2d, v1.2d}}, [x10]; ins v{n}.d[1], {v}; st2 {{v0.2d, v1.2d}}, [x10]",
            "sub x10, x19, #16; ld3 {{v0.2d-v2.2d}}, [x10]; ins {third}, {v}; st3 {{v0.2d-v2.2d}}, [x10], #48",
            "ld4 {{v0.2d-v3.2d}}, [x19]; ins v{n}.d[0], {v}; st4 {{v0.2d-v3.2d}}, [x19]",
            _AT + "ins v0.d[1], {v}; st1 {{v0.d}}[1], [x11]",
            _AT + "ins v0.d[0], {v}; st1 {{v0.d}}[0], [x11], #8",
            "ld2 {{v0.d, v1.d}}[1], [x19]; ins v{n}.d[1], {v}; st2 {{v0.d, v1.d}}[1], [x19]",
            _AT + "fmov d0, {v}; st1 {{v0.8b}}, [x11]",
        ),
        partial=(
            _AT + "ins v0.b[5], {w}; st1 {{v0.b}}[5], [x11]",
            _AT + "add x11, x11, #2; ins v0.h[3], {w}; st1 {{v0.h}}[3], [x11]",
            _AT + "add x11, x11, #3; ins v0.s[3], {w}; st1 {{v0.s}}[3], [x11], #4",
            _AT + "ins v0.b[0], {w}; ins v1.b[0], {w}; st2 {{v0.b, v1.b}}[0], [x11]",
        ),
    ),
    Group(
        "atomics",
        full=(
            _AT + "swp {v}, x9, [x11]",
            _AT + "swpal {v}, xzr, [x11]",
            _AT + "ldr x9, [x11]; cas x9, {v}, [x11]",
            _AT + "ldr x9, [x11]; casal x9, {v}, [x11]",
            _AT + "ldr x9, [x11]; sub x9, {v}, x9; ldadd x9, x10, [x11]",
            _AT + "ldr x9, [x11]; sub x9, {v}, x9; stadd x9, [x11]",
            _AT + "ldr x9, [x11]; eor x9, {v}, x9; ldeoral x9, x10, [x11]",
            _AT + "mov x9, #-1; stset x9, [x11]; mvn x9, {v}; ldclr x9, x10, [x11]",
            _AT + "mov x9, #-1; stclr x9, [x11]; ldsetal {v}, x10, [x11]",
            _AT + "ldxr x9, [x11]; stxr w10, {v}, [x11]",
            _AT + "ldaxr x9, [x11]; stlxr w10, {v}, [x11]",
            "ldxp x9, x10, [x19]; mov {pair}, {v}; stxp w12, x9, x10, [x19]",
            _AT + "stlr {v}, [x11]",
            _AT + "stllr {v}, [x11]",
            "sub x11, x19, #9; stlur {v}, [x11, #9 + {slot}]",
            _AT + "mov x9, #0; stumax x9, [x11]; swpl {v}, x9, [x11]",
        ),
        partial=(
            _AT + "swpb {w}, w9, [x11]",
            _AT + "add x11, x11, #2; swph {w}, w9, [x11]",
            _AT + "add x11, x11, #4; lsr x9, {v}, #32; swpal w9, w10, [x11]",
            _AT + "mov w9, #0x80; steorb w9, [x11]",
            _AT + "ldrb w9, [x11]; casb w9, {w}, [x11]",
            _AT + "ldxrb w9, [x11]; stxrb w10, {w}, [x11]",
            _AT + "stlrh {w}, [x11]",
            _AT + "mov x9, #1; ldadd x9, x9, [x11]",
        ),
    ),
    Group(
        "casp",
        full=(
            "ldp x12, x13, [x19]; ldp x14, x15, [x19]; mov {new}, {v}; casp x12, x13, x14, x15, [x19]",
            "ldp x12, x13, [x19]; ldp x14, x15, [x19]; mov {new}, {v}; caspal x12, x13, x14, x15, [x19]",
        ),
    ),
    Group(
        "addresses",
        full=(
            _AT + "str {v}, [x11], #16",
            _AT + "sub x10, x11, #32; str {v}, [x10, #32]!",
            _AT + "str {v}, [x11], #-256",
            "add x10, x19, #256 + {slot}; str {v}, [x10, #-256]!",
            "mov x9, #{slot}; str {v}, [x19, x9]",
            "sub x10, x19, #64; mov x9, #8 + {n}; str {v}, [x10, x9, lsl #3]",
            "add x10, x19, #64; mov w9, #-64 + {slot}; str {v}, [x10, w9, sxtw]",
            "add x10, x19, #64; mov w9, #-8 + {n}; str {v}, [x10, w9, sxtw #3]",
            "mov x9, #{n}; movk x9, #0xdead, lsl #32; str {v}, [x19, w9, uxtw #3]",
            "mov x9, #{slot}; movk x9, #0xdead, lsl #48; str {v}, [x19, w9, uxtw]",
            "add x10, x19, #64; mov x9, #-8 + {n}; str {v}, [x10, x9, sxtx #3]",
            "add x10, x19, #255; stur {v}, [x10, #-255 + {slot}]",
            _BOTH + "sub x11, x19, #512; stp x9, x10, [x11, #504]!; stp x9, x10, [x11, #8]!",
            _BOTH + "mov x11, x19; stp x9, x10, [x11], #-512",
            _BOTH + "stnp x9, x10, [x19]",
            _BOTH + "add x11, x19, #512; stp x9, x10, [x11, #-512]",
            _AT + "sttr {v}, [x11]",
            _AT + "lsr x9, {v}, #32; stp {w}, w9, [x11]",
            "mov x9, x19; str {v}, [x9, #{slot}]",
            "sub x9, x19, #4080; str {v}, [x9, #4080 + {slot}]",
        ),
        partial=(
            "mov w9, #-3; add x10, x19, #3 + {slot}; strb {w}, [x10, w9, sxtw]",
            "mov w9, #-2; add x10, x19, #4 + {slot}; strh {w}, [x10, w9, sxtw #1]",
            "mov w9, #-2; add x10, x19, #8 + {slot}; str {w}, [x10, w9, sxtw #2]",
            "str xzr, [x19, #{slot}]",
            "strb wzr, [x19, #{slot} + 2]",
            _AT + "str x11, [x11]",
            "strb {w}, [x19, #{slot}]; strb {w}, [x19, #{slot} + 1]",
        ),
    ),
    Group(
        "stack-pointer",
        full=(
            "str {v}, [sp, #{slot}]",
            "mov x9, #{slot}; str {v}, [sp, x9]",
            "mov x9, #{n}; str {v}, [sp, x9, lsl #3]",
            "str {v}, [x29, #{slot}]",
            _BOTH + "stp x9, x10, [sp]",
            _BOTH + "add sp, sp, #16; stp x9, x10, [sp, #-16]!",
            _BOTH + "stp x9, x10, [sp], #16; sub sp, sp, #16",
            "add sp, sp, #16; str {v}, [sp, #-16 + {slot}]; sub sp, sp, #16",
        ),
        partial=(
            "strb {w}, [sp, #{slot}]",
            "strh {w}, [sp, #{slot} + 2]",
            "stp xzr, xzr, [sp]; str {other}, [sp, #8 - {slot}]",
        ),
        levels=(0,),
    ),
)
