"""Signals a process sends itself: actions, mask, what is pending, and what is delivered when a system call returns.

Sources: signal(7); Linux v6.1 kernel/signal.c.  A fault of the guest is not turned into a signal: it ends the run.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from lab.machine.linux.refusal import Refusal

SIGKILL, SIGSTOP, LAST = 9, 19, 64
SIG_DFL, SIG_IGN = 0, 1
SA_SIGINFO, SA_ONSTACK, SA_RESTORER, SA_NODEFER, SA_RESETHAND = 4, 0x0800_0000, 0x0400_0000, 0x4000_0000, 0x8000_0000
_IGNORED = frozenset({17, 18, 23, 28})  # CHLD, CONT, URG, WINCH
SI_USER, SI_TKILL = 0, -6


@dataclass(frozen=True, slots=True)
class Action:
    """struct sigaction: a handler's address or SIG_DFL or SIG_IGN, SA_* flags, restorer, and the mask it runs with."""

    handler: int = SIG_DFL
    flags: int = 0
    restorer: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One signal to deliver now.  ``mask`` is the one to return to, ``code`` its si_code; without a handler: fatal."""

    number: int
    action: Action
    mask: int
    code: int

    @property
    def fatal(self) -> bool:
        """Whether it ends the process."""
        return self.action.handler == SIG_DFL

    @property
    def name(self) -> str:
        """SIGABRT and its like."""
        try:
            return signal.Signals(self.number).name
        except ValueError:
            return f"signal {self.number}"


def bit(number: int) -> int:
    """The signal in a set."""
    return 1 << (number - 1)


_UNBLOCKABLE = bit(SIGKILL) | bit(SIGSTOP)


@dataclass
class Signals:
    """The process's signal state.  ``trampoline``: where a handler returns to that has no restorer of its own."""

    trampoline: int
    mask: int = 0
    actions: dict[int, Action] = field(default_factory=dict)
    pending: dict[int, int] = field(default_factory=dict)
    """Number -> si_code.  Several of one number are one, as for Linux's standard signals."""
    stack: tuple[int, int] | None = None
    """[low, high) of the alternate stack."""
    restore: int | None = None
    """The mask sigsuspend found, to be set once its signal was handled."""
    postponed: list[tuple[int, list[Delivery]]] = field(default_factory=list)
    """(a frame's address, deliveries that wait for its handler to return)."""

    def action(self, number: int) -> Action:
        """What is to be done."""
        return self.actions.get(number, Action())

    def send(self, number: int, code: int = SI_USER) -> None:
        """The process gets a signal; one that is ignored is gone."""
        if not self._ignored(number):
            self.pending.setdefault(number, code)

    def set_action(self, number: int, action: Action) -> None:
        """sigaction(2)."""
        self.actions[number] = action
        if self._ignored(number):
            self.pending.pop(number, None)

    def set_mask(self, mask: int) -> None:
        """Block *mask* and nothing else, except what cannot be blocked."""
        self.mask = mask & ~_UNBLOCKABLE

    def _ignored(self, number: int) -> bool:
        action = self.action(number)
        return action.handler == SIG_IGN or (action.handler == SIG_DFL and number in _IGNORED)

    def due(self) -> list[Delivery]:
        """The signals to deliver now, in Linux's order, no longer pending; one that is fatal is the last."""
        found = []
        for number in sorted(self.pending):
            if self.mask & bit(number):
                continue
            action, saved = self.action(number), self.mask if self.restore is None else self.restore
            self.restore = None
            found.append(Delivery(number, action, saved, self.pending.pop(number)))
            if found[-1].fatal:
                break
            if action.flags & SA_RESETHAND:
                self.actions[number] = Action()
            self.set_mask(self.mask | action.mask | bit(number) * (not action.flags & SA_NODEFER))
        return found

    def postpone(self, frame: int, deliveries: list[Delivery]) -> None:
        """Deliver these once the handler returns whose frame is at *frame*.

        Linux puts the frames of all signals that are due on the stack at once, so that the last one's handler runs
        first, and the others as each returns.  Here each frame is made when its handler is to run, so that there is
        one call at a time; a handler that never returns (siglongjmp) takes the others with it, as in Linux.
        """
        self.postponed = [(at, others) for at, others in self.postponed if at > frame]
        if deliveries:
            self.postponed.append((frame, deliveries))

    def resume(self, frame: int) -> list[Delivery]:
        """The handler whose frame is at *frame* has returned: what waited for that."""
        found = [others for at, others in self.postponed if at == frame]
        self.postponed = [(at, others) for at, others in self.postponed if at > frame]
        return found[0] if found else []

    def frame_top(self, sp: int, action: Action) -> int:
        """Where the frame of a handler goes below: SP, or the alternate stack's top."""
        if self.stack is None or not action.flags & SA_ONSTACK or self.on_stack(sp):
            return sp
        return self.stack[1]

    def on_stack(self, sp: int) -> bool:
        """Whether SP is on the alternate stack."""
        return self.stack is not None and self.stack[0] < sp <= self.stack[1]


def check(number: int, *, catch: bool = False) -> None:
    """Refusal EINVAL unless *number* is a signal, and one that can have a handler if *catch*."""
    if not 1 <= number <= LAST or (catch and bit(number) & _UNBLOCKABLE):
        raise Refusal(22)
