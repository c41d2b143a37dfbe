"""Which x86-64 mnemonics write their memory operand, and which never do.  A mnemonic in no table may do anything.

Source: Intel SDM vol. 2 (325383), with capstone's names.  Only what is not AVX is listed: a VEX
form is looked up without its leading ``v``, which changes neither the direction nor, per register width, the size.
"""

from __future__ import annotations

CONDITIONS = ("o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g")

#: Write their first operand if it is memory and otherwise only read.
INTEGER_WRITERS = frozenset(
    "add or adc sbb and sub xor inc dec neg not mov movabs movbe movnti rol ror rcl rcr shl sal shr sar shld shrd "
    "xadd cmpxchg cmpxchg8b cmpxchg16b bts btr btc".split()
) | frozenset(f"set{condition}" for condition in CONDITIONS)

#: Integer writers without a form for single bytes: bit 0 of the opcode does not choose the width.
NEVER_BYTES = frozenset("shld shrd bts btr btc movbe movnti".split())

#: As INTEGER_WRITERS; the operand's size says the bytes.
X87_WRITERS = frozenset("fst fstp fist fistp fisttp fbstp".split())

#: As INTEGER_WRITERS, with the bytes written; 0 = the width of the register operand.
SIZED_WRITERS = {
    "movss": 4, "movsd": 8, "movlps": 8, "movlpd": 8, "movhps": 8, "movhpd": 8, "movd": 4, "movq": 8, "movntq": 8,
    "movaps": 0, "movapd": 0, "movups": 0, "movupd": 0, "movdqa": 0, "movdqu": 0,
    "movntps": 0, "movntpd": 0, "movntdq": 0, "movntss": 4, "movntsd": 8,
    "pextrb": 1, "pextrw": 2, "pextrd": 4, "pextrq": 8, "extractps": 4, "extractf128": 16, "extracti128": 16,
    "stmxcsr": 4, "fnstcw": 2, "fnstsw": 2,
}  # fmt: skip

_INTEGER_READERS = (
    "cmp test bt mul imul div idiv movzx movsx movsxd bsf bsr lzcnt tzcnt popcnt crc32 adcx adox andn bextr blsi "
    "blsmsk blsr bzhi mulx pdep pext rorx sarx shlx shrx jmp lea nop prefetch prefetchw prefetchnta prefetcht0 "
    "prefetcht1 prefetcht2 ldmxcsr lfence mfence sfence"
).split()
_X87_READERS = (
    "fld fild fbld fldcw fldenv fadd fsub fsubr fmul fdiv fdivr fcom fcomp fiadd fisub fisubr fimul fidiv fidivr "
    "ficom ficomp frstor fxrstor fxrstor64"
).split()
_FLOAT_OPERATIONS = "add sub mul div min max sqrt"
_SSE_READERS = (
    "andps andpd andnps andnpd orps orpd xorps xorpd unpcklps unpcklpd unpckhps unpckhpd shufps shufpd rcpps rcpss "
    "rsqrtps rsqrtss comiss comisd ucomiss ucomisd cvtsi2ss cvtsi2sd cvtss2sd cvtsd2ss cvttss2si cvttsd2si cvtss2si "
    "cvtsd2si cvtps2pd cvtpd2ps cvtdq2ps cvtdq2pd cvtps2dq cvtpd2dq cvttps2dq cvttpd2dq cvtpi2ps cvtpi2pd cvtps2pi "
    "cvtpd2pi cvttps2pi cvttpd2pi haddps haddpd hsubps hsubpd addsubps addsubpd movddup movsldup movshdup lddqu "
    "movntdqa roundss roundsd roundps roundpd dpps dppd blendps blendpd blendvps blendvpd insertps mpsadbw phminposuw "
    "pand pandn por pxor packsswb packssdw packuswb packusdw pcmpestri pcmpestrm pcmpistri pcmpistrm pinsrb pinsrw "
    "pinsrd pinsrq pmaddwd pmaddubsw pmulhw pmulhuw pmulhrsw pmullw pmulld pmuludq pmuldq pavgb pavgw psadbw pshufb "
    "pshufw pshufd pshufhw pshuflw psignb psignw psignd pabsb pabsw pabsd palignr pblendw pblendvb ptest pclmulqdq "
    "phaddw phaddd phaddsw phsubw phsubd phsubsw aesenc aesenclast aesdec aesdeclast aesimc aeskeygenassist "
    "psllw pslld psllq psrlw psrld psrlq psraw psrad"
).split()
_BY_LANE = (
    [f"{name}{lane}" for name in _FLOAT_OPERATIONS.split() for lane in ("ss", "sd", "ps", "pd")]
    + [f"p{name}{lane}" for name in ("add", "sub", "cmpeq", "cmpgt") for lane in "bwdq"]
    + [f"p{name}{lane}" for name in ("adds", "addus", "subs", "subus") for lane in "bw"]
    + [f"p{name}{lane}" for name in ("mins", "maxs", "minu", "maxu") for lane in "bwd"]
    + [f"punpck{half}{lane}" for half in "lh" for lane in ("bw", "wd", "dq", "qdq")]
    + [f"pmov{sign}x{lanes}" for sign in "sz" for lanes in ("bw", "bd", "bq", "wd", "wq", "dq")]
)
_COMPARISONS = [
    f"cmp{relation}{lane}"
    for relation in ("", "eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord")
    for lane in ("ss", "sd", "ps", "pd")
]
#: Only read their memory operand, or do not touch it at all.
READERS = frozenset(
    _INTEGER_READERS
    + _X87_READERS
    + _SSE_READERS
    + _BY_LANE
    + _COMPARISONS
    + [f"cmov{condition}" for condition in CONDITIONS]
)
