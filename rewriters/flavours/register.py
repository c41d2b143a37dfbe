"""register: the pointer lives in x18, as in the kernel's shadow call stack.

Source: Linux v6.13 arch/arm64/include/asm/scs.h and arch/arm64/kernel/pi/patch-scs.c (the push and the ``use``
pop are its two words, f800865e and f85f8e5e).
"""

from lab.layout import Flavour, Policy
from rewriters.flavours.api import A64_TRAP, FlavourSpec

FLAVOUR = FlavourSpec(
    name="register",
    title="pointer in a reserved register (x18)",
    reach=Flavour.REGISTER,
    push={"aarch64": "str x30, [x18], #8 !"},
    pop={
        "aarch64": {
            Policy.RECORD: "sub x18, x18, #8 !",
            Policy.USE: "ldr {lr}, [x18, #-8]! !",
            Policy.CHECK: "ldr {s0}, [x18, #-8]! !; " + A64_TRAP,
        }
    },
)
