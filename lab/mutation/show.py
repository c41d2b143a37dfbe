"""One mutant, run alone: what became of it with each design, and the first stop at which it was silently wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lab import registry
from lab.errors import InputError
from lab.explain import Explanation, Where, explain_stop
from lab.mutation.api import kind_of, operators, parse_id
from lab.mutation.ground import Ground
from lab.mutation.run import Row, plan_of, rows
from lab.report.text import wrap


@dataclass(frozen=True)
class Shown:
    """The mutant, and its first silently wrong stop (boundaries before calls) with all *designs* whose first it is;
    None where there is none."""

    row: Row
    bug: str
    first: Explanation | None
    designs: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        plain = asdict(self.row) | {"bug": self.bug, "designs": list(self.designs)}
        plain["fates"] = {name: asdict(fate) | {"klass": fate.klass.value} for name, fate in self.row.fates.items()}
        return plain | {"first": self.first.to_json() if self.first else None}

    def to_text(self) -> str:
        """Plain ASCII for a terminal or a mail."""
        lines = [self.row.id, *wrap(self.row.what), *wrap(f"stands for: {self.bug}"), ""]
        if self.row.stillborn:
            return "\n".join([*lines, *wrap(f"the program did not survive it: {self.row.stillborn}")]) + "\n"
        for name, fate in self.row.fates.items():
            counts = [f"{stops} new {verdict}" for verdict, stops in fate.wrong.items()]
            counts += [f"{fate.needed} newly refused"] * (fate.needed > 0)
            counts += [f"{fate.needless} needlessly refused"] * (fate.needless > 0)
            lines.append(f" {name:<18} {fate.klass.value.replace('_', ' '):<12} {', '.join(counts)}".rstrip())
        if self.first is None:
            return "\n".join([*lines, "", "silently wrong at no stop"]) + "\n"
        which = ", ".join(self.designs)
        lines += ["", *wrap(f"the first stop at which it is silently wrong, for {which}:"), ""]
        return "\n".join(lines) + "\n" + self.first.to_text()


def show(name: str, unwinders: tuple[str, ...]) -> Shown:
    """The mutant called *name*, judged by *unwinders*; InputError where there is no such one."""
    mutant = parse_id(name)
    registry.proposal(mutant.case.proposal)
    if reason := mutant.case.absent:
        raise InputError(f"{name}: there is no such image: {reason}")
    ground = Ground(mutant.case, unwinders)
    row = rows(ground, [mutant])[0]
    operator = operators()[kind_of(mutant.operator)][mutant.operator]
    firsts = {found: fate.first for found, fate in row.fates.items() if fate.first is not None}
    if not firsts:
        return Shown(row, operator.bug, None, ())
    order = list(ground.modes)
    first = min(firsts.values(), key=lambda stop: (order.index(stop[0]), stop[1]))
    designs = tuple(found for found, stop in firsts.items() if stop == first)
    wanted = [unwinder for unwinder in ground.unwinders if unwinder.name in designs]
    mutated = operator.apply(ground, mutant.at)
    mode, number, pc = first
    where = Where(mode, pc, mutated.image.locate(pc), stop=number)
    plan = plan_of(ground, mutated)
    explained = explain_stop(mutated.image, ground.rewrite, wanted, where, plan.limits, plan=plan)
    return Shown(row, operator.bug, explained, designs)
