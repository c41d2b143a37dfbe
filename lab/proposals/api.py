"""What a proposal is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.layout import Leaves, Policy


@dataclass(frozen=True)
class Rewrite:
    """The rewrite a proposal asks for: a rewriter's mode, a flavour file's name, a policy, what happens to leaves."""

    mode: str
    flavour: str
    policy: Policy
    leaves: Leaves = Leaves.ALL


@dataclass(frozen=True)
class Proposal:
    """One design a user can evaluate.

    ``flags``: what the compiler is told, per architecture name ("" = every architecture), for all code.
    ``arches``: where it exists; elsewhere ``absent`` is the reason.  ``lacking``: compilers that cannot build it,
    each with its reason.  ``baseline``: the proposal its cost is counted against (the same program without it, by
    the same compiler).

    ``compiler``: the one whose own shadow stack this is.  It is always built with that one, and its layout is
    read from the code (rewriters.compiled).

    ``variant``: another's flags varied; "all proposals" leaves it out, and it is to be named.
    """

    name: str
    title: str
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rewrite: Rewrite | None = None
    arches: tuple[str, ...] = ("aarch64", "x86_64")
    absent: str = ""
    baseline: str = "base"
    compiler: str = ""
    lacking: Mapping[str, str] = field(default_factory=dict)
    variant: bool = False

    def compiler_flags(self, arch: str) -> tuple[str, ...]:
        """The flags for *arch*."""
        return self.flags.get("", ()) + self.flags.get(arch, ())

    def unsupported(self, arch: str, compiler: str = "clang") -> str | None:
        """Why this proposal does not exist on *arch* with *compiler*, or None."""
        if self.compiler and compiler != self.compiler:
            return f"{self.name} is {self.compiler}'s own"
        return self.lacking.get(compiler) if arch in self.arches else self.absent
