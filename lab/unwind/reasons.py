"""What each refusal means, in a sentence, for people."""

from __future__ import annotations

from lab.unwind.api import Reason

SENTENCES = {
    Reason.BELOW_STACK: "it read memory that the exception's entry has overwritten",
    Reason.FP_UNALIGNED: "the frame pointer is not aligned",
    Reason.FP_OFF_STACK: "the frame record is not on the stack",
    Reason.FP_CONSUMED: "the frame record was already passed: the chain does not go outwards",
    Reason.BAD_METADATA: "a metadata record of unknown type, or FINAL in the wrong place",
    Reason.EXCEPTION: "the trace leads through an exception, where LR may be live",
    Reason.SHADOW_BOUNDS: "the shadow-stack pointer is outside its storage",
    Reason.SHADOW_EMPTY: "the shadow stack has fewer entries than there are live functions",
    Reason.NOT_ON_SHADOW: "a live function's return address is not on the shadow stack",
    Reason.LAYOUT_UNKNOWN: "the rewriter's layout does not say where the return address is",
    Reason.LR_DEAD: "the return address was in LR, which a call has overwritten",
    Reason.NO_ROW: "the unwind table has no row for this address",
    Reason.UNSUPPORTED_RULE: "the unwind table says something that no rule can hold",
    Reason.END_UNDEFINED: "the unwind table says that nothing is known here",
    Reason.BAD_CFA: "the CFA is misaligned, does not rise, or is not on a known stack",
    Reason.FP_MISMATCH: "FP is not what the unwind table makes of SP",
    Reason.NOT_A_CALL: "the instruction before a return address is no call",
    Reason.REGS_FRAME: "the trace leads through a pt_regs of the kernel",
    Reason.NOT_TEXT: "a return address lies outside code",
    Reason.SHADOW_MISMATCH: "shadow stack and stack do not say the same",
    Reason.TOO_MANY: "more frames than the caller's buffer holds",
    Reason.INTERRUPTED: "the task's flag says that it was preempted at the end of an interrupt",
    Reason.NOT_RECORDED: "a tracer replaced the return address, and its return stack has none for this frame",
    Reason.NOT_AT_END: "the walk ended elsewhere than where the task's stack ends",
    Reason.LR_MAY_BE_LIVE: "the interrupted instruction lies where the return address may be in LR alone",
}


def explained(name: str) -> str:
    """``name: sentence`` for the name of a Reason; the name alone where there is none."""
    found = next((text for reason, text in SENTENCES.items() if reason.name.lower() == name), "")
    return f"{name}: {found}" if found else name
