"""A flavour of a user's file: known by its name once every sequence of it has been assembled and read back."""

from __future__ import annotations

from collections.abc import Iterator

from lab.arch import ARCHES, Arch
from lab.errors import InputError, LabError
from lab.layout import Flavour, Policy
from rewriters.flavours import ADDED, FlavourSpec, all_flavours, flavour_by_name
from rewriters.modes import MODES

_AT, _CELL = 0x40_0000, 0x50_0018
"""Where the sequences are assembled for the look: any place will do."""


def add_flavour(spec: FlavourSpec, file: str) -> None:
    """Make *spec* known by its name.

    InputError, naming *file*, where the name is taken, or capstone reads an instruction back as another than was
    asked for, or keystone knows none such."""
    if spec.name in {known.name for known in all_flavours()} or spec.name in ADDED:
        raise InputError(f"{file}: there is a flavour called '{spec.name}' already; give it another name")
    if not isinstance(spec.reach, Flavour):
        raise InputError(f"{file}: flavour '{spec.name}': reach must be a member of lab.layout.Flavour")
    ADDED[spec.name] = spec
    try:
        for where, arch, text, policy in _texts(spec, file):
            _check(spec, f"{file}: flavour '{spec.name}', {where} on {arch.name}", arch, text, policy)
    except BaseException:
        del ADDED[spec.name]
        raise


def check_request(mode: str, flavour: str, file: str) -> None:
    """InputError, naming *file*, where there is no such rewriter or flavour."""
    if mode not in MODES:
        raise InputError(f"{file}: unknown rewriter '{mode}'; known: {', '.join(MODES)}")
    try:
        flavour_by_name(flavour)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _texts(spec: FlavourSpec, file: str) -> Iterator[tuple[str, Arch, str, Policy | None]]:
    """(what it is, architecture, text, policy of a pop) of every sequence."""
    for name in (*spec.push, *spec.pop):
        if name not in {arch.name for arch in ARCHES}:
            known = ", ".join(arch.name for arch in ARCHES)
            raise InputError(f"{file}: flavour '{spec.name}': unknown architecture '{name}'; known: {known}")
    for arch in ARCHES:
        if arch.name in spec.push:
            yield "push", arch, spec.push[arch.name], None
        for policy, text in spec.pop.get(arch.name, {}).items():
            if not isinstance(policy, Policy):
                raise InputError(f"{file}: flavour '{spec.name}': a pop's policy must be a member of Policy")
            yield f"pop ({policy.value})", arch, text, policy


def _check(spec: FlavourSpec, where: str, arch: Arch, text: str, policy: Policy | None) -> None:
    from rewriters.sequences import Binding, emit, sequence
    from rewriters.sites import Action

    if not isinstance(text, str):
        raise InputError(f"{where}: must be one line of text")
    try:
        what = sequence(arch, spec.name, Action.POP if policy else Action.PUSH, policy or Policy.RECORD)
        emit(arch, what, _AT, Binding(arch.scratch[:2], _CELL))
    except LabError as error:
        raise InputError(f"{where}: {error}; write it as capstone prints it") from error
    except KeyError as error:
        known = "{s0}, {s1}, {lo}, {lr}, and the forms of rewriters/flavours/api.py"
        raise InputError(f"{where}: unknown name {error.args[0]!r} in '{text}'; there are {known}") from error
    except (IndexError, ValueError) as error:
        raise InputError(f"{where}: cannot read '{text}': {error}; see rewriters/flavours/api.py") from error
    if what.lines and not any(line.flips for line in what.lines):
        raise InputError(f"{where}: mark the instruction after which the entry is on (or off) with ' !' behind it")
