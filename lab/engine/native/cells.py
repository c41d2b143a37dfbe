"""Where everything lies in the blocks of 64-bit words that compiled code and Python share.

``S`` is the one block of a run, ``P`` one block for each unwinder.  A cell whose name ends in ``_AT`` is an
offset, in bytes; the other nouns in the plural are host addresses of arrays.
"""

from __future__ import annotations

import enum

from lab.engine.native.record_cells import Place as Place  # noqa: PLC0414  cells are imported from here
from lab.engine.native.record_cells import Record as Record  # noqa: PLC0414
from lab.engine.native.record_cells import Span as Span  # noqa: PLC0414
from lab.engine.native.record_cells import Truth as Truth  # noqa: PLC0414
from lab.engine.native.unwinder_cells import P as P  # noqa: PLC0414

WORD = 8


class S(enum.IntEnum):
    """Cells of a run's block."""

    STOP = 0  # the run is over: the hook does nothing any more
    LEFT = enum.auto()  # instructions until the next look at STOP, the limits and the clock
    ZERO = enum.auto()  # stays 0: stands for a register the architecture has not
    EVENT = enum.auto()  # address of the Python callback (code, a, b) -> value
    MEMO = enum.auto()  # 0: every walk from its start to its end
    MODES = enum.auto()  # bit set: 1 boundary, 2 call
    # -- the guest's registers
    REGISTERS = enum.auto()  # host address of the block of general registers
    SP_HOST = enum.auto()  # host addresses of single registers
    FP_HOST = enum.auto()
    LR_HOST = enum.auto()
    SSP_HOST = enum.auto()
    BATCH = enum.auto()  # uc_reg_read_batch, 0 where REGISTERS is the processor's own block
    BATCH_HANDLE = enum.auto()
    BATCH_IDS = enum.auto()
    BATCH_POINTERS = enum.auto()
    BATCH_COUNT = enum.auto()
    # -- the guest's memory
    STACK_LOW = enum.auto()
    STACK_HIGH = enum.auto()
    STACK_LAST = enum.auto()  # the last address of which eight bytes are on the stack
    STACK_HOST = enum.auto()  # host address minus guest address
    STACK_SLOT = enum.auto()  # number of the slot at STACK_LOW
    MAPS = enum.auto()  # records of MAP_WORDS words
    MAPS_END = enum.auto()
    CHANGE_LOW = enum.auto()  # hull of memory that is both writable and executable
    CHANGE_HIGH = enum.auto()
    # -- code
    CODE_LOW = enum.auto()
    CODE_SIZE = enum.auto()
    CODE_SHIFT = enum.auto()  # instructions begin at multiples of 1 << this
    PLACES = enum.auto()  # records of PLACE_WORDS words, one for each place an instruction may begin at
    SPANS = enum.auto()  # 32 bits for each byte of code: number of its span
    SPAN_FACTS = enum.auto()  # records of SPAN_WORDS words
    KNOWS_FUNCTIONS = enum.auto()
    # -- the stop at hand
    MODE = enum.auto()
    PC = enum.auto()
    SP = enum.auto()
    FP = enum.auto()
    LR = enum.auto()
    SSP = enum.auto()
    OWN = enum.auto()  # the number of the span of the instruction at hand
    ASK = enum.auto()  # changes after which some unwinder has to be asked again
    LOWEST_ALL = enum.auto()  # lowest stack address that the last walks read
    WATCH_ONE = enum.auto()  # addresses of words that features depend on; NOWHERE without
    WATCH_TWO = enum.auto()
    CHANGED = enum.auto()  # what is not as it was at the last boundary: bits of Changed
    KEY = enum.auto()  # of the last boundary: vector and features
    PC_NAMED = enum.auto()  # function whose symbol holds pc
    PC_RUNNING = enum.auto()  # function that is running
    EXCEPTION_AT = enum.auto()  # E, 0 without an exception
    PLAIN_LOW = enum.auto()  # the stack is as the guest left it from here on
    EXCEPTION_ALIGN = enum.auto()
    RED_ZONE = enum.auto()
    FRAME_SIZE = enum.auto()
    FRAME_WORDS = enum.auto()  # for each word of pt_regs: register number, or FRAME_PC, FRAME_FLAGS, FRAME_CONSTANT
    FRAME_CONSTANTS = enum.auto()
    # -- reads of the walk at hand
    FAULT = enum.auto()
    SPENT = enum.auto()  # loops have burnt their fuel
    FUEL = enum.auto()
    LOWEST = enum.auto()  # lowest address on the stack that the step read
    USED = enum.auto()  # registers the step took from its cursor: bits of Changed
    TAINT = enum.auto()  # the step read something that no store can be seen to change
    LOG = enum.auto()  # slots read
    LOGGED = enum.auto()
    LOG_LIMIT = enum.auto()
    MASKS = enum.auto()  # a word for each slot: bit set of the unwinders that marked it
    # -- truth
    TRUTH = enum.auto()  # records of TRUTH_WORDS words, level 1 the outermost
    TRUTH_LIMIT = enum.auto()
    DEPTH = enum.auto()
    TOP_AT_CALL = enum.auto()  # of the innermost activation; NOWHERE without one
    TOP_RA = enum.auto()  # of the same, if no other activation has its AT_CALL; NOWHERE otherwise
    TRUTH_VERSION = enum.auto()
    FLOOR = enum.auto()  # least depth since the last stop
    FIRST = enum.auto()  # for each function: lowest level whose ra it holds by symbol, 0 where none
    STAMPS = enum.auto()  # for each function: the stamp it was last named with
    STAMP = enum.auto()
    PENDING = enum.auto()
    PENDING_RA = enum.auto()
    PENDING_SP = enum.auto()
    PENDING_MARKER = enum.auto()
    CALL_PUSHES = enum.auto()
    # -- counts
    INSTRUCTIONS = enum.auto()  # retired, LEFT of them yet to come
    REPEATS = enum.auto()  # iterations of rep-prefixed instructions
    CALLS = enum.auto()
    LIMIT = enum.auto()
    UNWINDERS = enum.auto()  # addresses of P blocks
    UNWINDER_COUNT = enum.auto()
    SEEN = enum.auto()  # a byte for each (place, mode, unwinder): verdicts already kept there
    LISTS = enum.auto()  # for each (place, mode), 32 bits: the number of its newest entry
    ENTRIES = enum.auto()  # records of ENTRY_WORDS words, number 0 unused
    ENTRY_COUNT = enum.auto()
    ENTRY_LIMIT = enum.auto()
    NODES = enum.auto()  # records of NODE_WORDS words: the tree of verdict vectors, number 0 its root
    NODE_COUNT = enum.auto()
    NODE_LIMIT = enum.auto()
    VECTOR = enum.auto()  # the last vector, by mode
    VECTOR_CALL = enum.auto()
    VECTOR_INJECT = enum.auto()
    VECTOR_BLOCKED = enum.auto()
    AUDIT = enum.auto()  # compare this stop with the reference
    BALANCE = enum.auto()  # check the rewriter's layout against truth; BALANCE_USER on the stack of user mode
    BALANCED = enum.auto()  # stops at which the shadow top was compared
    # -- facts an unwinder may ask for
    FINAL_RECORD = enum.auto()
    METADATA_OFFSET = enum.auto()
    REGS_FP_OFFSET = enum.auto()
    REGS_PC_OFFSET = enum.auto()
    PAC_MASK = enum.auto()
    SHADOW_KIND = enum.auto()
    SHADOW_BASE = enum.auto()
    SHADOW_LIMIT = enum.auto()
    SHADOW_CELL = enum.auto()
    SHADOW_DISTANCE = enum.auto()
    HW_BASE = enum.auto()
    HW_LIMIT = enum.auto()
    REGS_SP_OFFSET = enum.auto()
    REGS_LR_OFFSET = enum.auto()
    TASK = enum.auto()
    TASK_FLAGS = enum.auto()
    TASK_REGS = enum.auto()
    IRQ_LOW = enum.auto()
    IRQ_HIGH = enum.auto()
    IRQ_SHADOW_LOW = enum.auto()
    IRQ_SHADOW_HIGH = enum.auto()
    TASK_SSP = enum.auto()
    TASK_SHADOW_LOW = enum.auto()
    TASK_SHADOW_HIGH = enum.auto()
    TASK_TRACE = enum.auto()
    RETURN_TO_HANDLER = enum.auto()
    KRETPROBE_TRAMPOLINE = enum.auto()
    # -- what an unwinder may look up
    RULES = enum.auto()  # for each rule table: host address of its rows, and how many there are besides row 0
    TEXT = enum.auto()  # [low, high) of executable code, in pairs
    TEXT_END = enum.auto()
    STACKS = enum.auto()  # [low, high) of the guest's stacks, in pairs
    STACKS_END = enum.auto()
    SITES = enum.auto()  # for each byte of code, whether a call ends before it: SITE_UNKNOWN, SITE_NONE, SITE_CALL
    SITES_ASKED = enum.auto()  # some walk has looked into SITES
    # -- the hardware's shadow stack
    HSSP = enum.auto()
    HW_HOST = enum.auto()  # host address minus guest address
    RETURNING = enum.auto()  # the last instruction was a return, or EXCEPTION_RETURN
    HW_FAULTS = enum.auto()
    # -- boundaries that are like an earlier one: see core.recall and core.chain
    RECALL = enum.auto()  # 0 never; RECALLS; above it, boundaries until it is tried again
    LOOKED_UP = enum.auto()  # boundaries so far
    RECALLED = enum.auto()  # of these
    PAUSE = enum.auto()  # how long the next pause lasts, boundaries
    CREDIT = enum.auto()  # look-ups that may yet fail
    BEHIND = enum.auto()  # by mode: the unwinders' blocks know nothing of the last stop
    BEHIND_CALL = enum.auto()
    ALL_PLAIN = enum.auto()  # at the last stop that was judged
    ALL_EXACT = enum.auto()
    TOGETHER = enum.auto()  # bits in MASKS of the unwinders that are recalled
    APART = enum.auto()  # how many are not
    ASK_TOGETHER = enum.auto()  # S.ASK and LOWEST_ALL of those that are
    LOWEST_TOGETHER = enum.auto()
    SHADOW_READ = enum.auto()  # end of the highest word of the shadow stack that the last walks read; 0 none
    HW_READ = enum.auto()  # lowest word of the hardware's
    STEP_SHADOW = enum.auto()  # the same of the step at hand
    STEP_HW = enum.auto()
    RECALL_KEY = enum.auto()  # words of the key at hand
    RECALL_LENGTH = enum.auto()  # bytes
    RECALL_ENTRIES = enum.auto()
    NUMBERS = enum.auto()  # given so far
    LINKS = enum.auto()  # records (before, one, two, number)
    LEVEL_NUMBERS = enum.auto()  # by level, of which so many hold
    LEVELS_HOLD = enum.auto()
    LEVELS_SOUND = enum.auto()  # as many of these tell of all slots that are marked
    LEVEL_BITS = enum.auto()  # by level: slots of which its number tells; NOWHERE all
    HINTS = enum.auto()  # records (context, bits)
    INNER_SLOT = enum.auto()  # the same of the last key, for what is inside all activations
    INNER_BITS = enum.auto()
    SHADOW_NUMBERS = enum.auto()
    SHADOW_HOLDS = enum.auto()
    HW_NUMBERS = enum.auto()
    HW_HOLDS = enum.auto()
    STACK_SLOTS = enum.auto()  # of the stack at hand
    SHADOW_LOW = enum.auto()  # of the shadow stack at hand, whose slots are SHADOW_SLOTS from SHADOW_SLOT on
    SHADOW_SLOT = enum.auto()
    SHADOW_SLOTS = enum.auto()
    SHADOW_HOST = enum.auto()
    HW_SLOT = enum.auto()
    HW_SLOTS = enum.auto()
    OTHER_SLOTS = enum.auto()  # pairs (slot, host address) of relevant words elsewhere
    OTHER_COUNT = enum.auto()


class Changed(enum.IntEnum):
    """Bits of S.CHANGED and P.READS."""

    FP = 1
    LR = 2
    SSP = 4
    SP = 8
    ROW = 16  # where() or where_offset() of the pc
    TRUTH = 32  # the activations, or which functions the pc names
    MEMORY = 64  # a word that features depend on
    CFI = 128  # another .eh_frame row: matters to features
    UNSURE = 256  # some unwinder has to be asked again in any case
    HSSP = 512
    RULE = 1024  # rule() of the pc, in some table


PLACE_WORDS = 4
MAP_WORDS = 4  # start, end, host minus guest, first slot
SPAN_WORDS = 16
TRUTH_WORDS = 8
ENTRY_WORDS = 4  # place, key, stops, next
NODE_WORDS = 4  # code, first child, next sibling, parent

KNOWN = 0x80
WATCHED = 1 << 16  # in Place.CODE: Python is asked for a stop of its own after those at the instruction
CALLED, TAKEN = 1, 2  # in S.PENDING: an instruction's call (or a signal's), or an exception
BALANCE_USER = 2
EXCEPTION_RETURN = 2  # in S.RETURNING, where a procedure's return is 1
INTERRUPTED, EXCEPTION = 2, 4  # in Truth.IS_FIRST: an exception lies from here outwards; this is one
GROUP_BITS = 21  # in Span.GROUP: WHERE, its offset and RULES, from bit 0; the .eh_frame row; NAMED and RUNNING
FEATURE_CHANGES = Changed.FP | Changed.SP | Changed.SSP | Changed.TRUTH | Changed.MEMORY | Changed.CFI
FRAME_PC, FRAME_FLAGS, FRAME_CONSTANT = 253, 254, 255
FAULT_UNMAPPED, FAULT_POISON = 1, 2  # in S.FAULT; 0: none
SITE_UNKNOWN, SITE_NONE, SITE_CALL = 0, 1, 2

# A summary: what a walk comes to, before it is compared with the truth.
CLEAN, REFUSED, CRASHED = 0, 1, 2
SUMMARY_DETAIL = 8  # shift of the reason or crash
SUMMARY_ONLY = 1 << 20  # refused: with that refusal ignored the walk ends by itself

# A code: one unwinder's judgement of one stop.
EXACT, REFUSES, MISSING, EXTRA, CRASH = 0, 1, 2, 3, 4
DOUBT = 3  # shift: 0 none, 1 needless, 2 justified, 3 undetermined
NEEDLESS, JUSTIFIED, UNDETERMINED = 1, 2, 3
COVERS = 1 << 5
DETAIL = 8
VERDICT_MASK = 7

CRASH_STATUS = 0x200
CRASH_OUTSIDE, CRASH_STEPS, CRASH_LOOPS = 0, 1, 2

RELEVANT = 1 << 63  # in MASKS: some walk that was remembered has read the slot
RECALLS = 1  # in S.RECALL
SHORT_PAUSE = 1 << 11  # boundaries
WHOLE, CAPPED = 1, 2  # in P.KEPT; 0: not all is marked
CHAIN_LIMIT = 4096  # numbers of a sequence
LINKS_SIZE = 1 << 15
HINTS_SIZE = 1 << 15
RECALL_SIZE = 1 << 14  # entries
KEY_WORDS = 28  # of an entry
RECALL_ENTRY = 32  # words
OTHERS = 6

PATH_LIMIT = 4096
INDEX_SIZE = 8192
LOG_LIMIT = 1 << 18
NOWHERE = (1 << 64) - 1
TICKS = 1 << 16  # hook calls
START_LEVEL = 0xFFFF  # in a mark: read by a walk's first step, which is not on the path
