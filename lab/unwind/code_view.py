"""What an unwinder may ask about the image's code and the guest's stacks: none of it is the guest's to change, but for
calls, which are decoded from memory as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lab.metadata.rules import Field, RuleTable

Ranges = tuple[tuple[int, int], ...]
TABLES = 3
"""Numbers of rule tables there are."""


@dataclass(frozen=True)
class CodeView:
    """``tables``: those that some unwinder of the run looks up.  ``text``: [low, high) of executable code.  ``stacks``:
    [low, high) of each guest stack.  ``hardware``: [base, limit) of the hardware's shadow stack, (0, 0) without one.
    ``ends_call``: whether a call ends directly before an address.
    """

    tables: dict[int, RuleTable] = field(default_factory=dict)
    text: Ranges = ()
    stacks: Ranges = ()
    hardware: tuple[int, int] = (0, 0)
    ends_call: Callable[[int], bool] = lambda address: False

    def __post_init__(self) -> None:
        none = (0,) * len(Field)
        words = {n: (none, *(row.rule.words() for row in table.rows)) for n, table in self.tables.items()}
        object.__setattr__(self, "_words", words)
        object.__setattr__(self, "_numbers", {number: {} for number in self.tables})

    def rule(self, table: int, pc: int) -> int:
        """The number of the row of *table* that holds *pc*; 0 where none does, and outside code."""
        known: dict[int, int] | None = self._numbers.get(table)  # type: ignore[attr-defined]
        if known is None:
            return 0
        found = known.get(pc)
        if found is None:
            found = known[pc] = self.tables[table].number(pc) if self.is_text(pc) else 0
        return found

    def rule_word(self, table: int, row: int, word: int) -> int:
        """One unsigned word of a row; 0 where there is none."""
        rows: tuple[tuple[int, ...], ...] = self._words.get(table, ())  # type: ignore[attr-defined]
        return rows[row][word] if row < len(rows) and word < len(Field) else 0

    def is_text(self, address: int) -> bool:
        """Whether *address* is in executable code."""
        return any(low <= address < high for low, high in self.text)

    def stack_of(self, address: int) -> tuple[int, int]:
        """[low, high) of the stack that holds *address*; (0, 0) where none does."""
        return next((found for found in self.stacks if found[0] <= address < found[1]), (0, 0))
