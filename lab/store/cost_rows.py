"""What a proposal cost, as a plain frozen row: exact counts, static sizes and where the added instructions are."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from lab.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """Exact counts of one program with a proposal and of the same program without it (``base_``).

    The ``*_per_call`` properties are what the proposal adds per executed call: exact, or None without calls.

    What has a default is None in runs that did not keep it.  ``by_compiler`` + ``by_sites`` + ``elsewhere`` are the
    added instructions: by what the compiler was told, at the rewriter's sites, and in original code that executes
    more often.  ``per_entry``: instructions added per function entry (a fraction) -> entries; ``class_*``: by class of
    function (lab.cost.functions).  ``sections``: bytes of unwind metadata by group; ``formats``: what each format takes
    for the image (lab.cost.sizes).  EngineError where the sums contradict each other.
    """

    arch: str
    compiler: str
    workload: str
    proposal: str
    baseline: str
    calls: int
    instructions: int
    loads: int
    stores: int
    text_bytes: int
    base_instructions: int
    base_loads: int
    base_stores: int
    base_text_bytes: int
    returns: int | None = None
    bytes_loaded: int | None = None
    base_bytes_loaded: int | None = None
    bytes_stored: int | None = None
    base_bytes_stored: int | None = None
    branches: int | None = None
    base_branches: int | None = None
    taken: int | None = None
    base_taken: int | None = None
    by_compiler: int | None = None
    by_sites: int | None = None
    elsewhere: int | None = None
    per_entry: dict[str, int] | None = None
    class_entries: dict[str, int] | None = None
    class_base: dict[str, int] | None = None
    class_after: dict[str, int] | None = None
    file_bytes: int | None = None
    base_file_bytes: int | None = None
    loaded_bytes: int | None = None
    base_loaded_bytes: int | None = None
    sections: dict[str, int] | None = None
    base_sections: dict[str, int] | None = None
    formats: dict[str, int] | None = None
    base_formats: dict[str, int] | None = None

    def __post_init__(self) -> None:
        parts = (self.by_compiler, self.by_sites, self.elsewhere)
        if None in parts:
            return
        added = self.instructions - self.base_instructions
        if sum(part for part in parts if part is not None) != added:
            where = f"cost of {self.arch}/{self.compiler}/{self.workload}/{self.proposal}"
            raise EngineError(f"{where}: {' + '.join(map(str, parts))} instructions are not the {added} added")

    @property
    def added_instructions(self) -> int:
        """Instructions executed beyond the base's."""
        return self.instructions - self.base_instructions

    def _per_call(self, added: int) -> Fraction | None:
        return Fraction(added, self.calls) if self.calls else None

    @property
    def insn_per_call(self) -> Fraction | None:
        """Instructions added per executed call."""
        return self._per_call(self.instructions - self.base_instructions)

    @property
    def loads_per_call(self) -> Fraction | None:
        """Loads added per executed call."""
        return self._per_call(self.loads - self.base_loads)

    @property
    def stores_per_call(self) -> Fraction | None:
        """Stores added per executed call."""
        return self._per_call(self.stores - self.base_stores)

    @property
    def text_added(self) -> int:
        """Bytes of .text added."""
        return self.text_bytes - self.base_text_bytes
