"""Errors for people: one line that says what is wrong, where, and what to do; and the exit code it means.

Exit codes: 0 done; 1 a gate failed; 2 usage, configuration or an input the user can mend;
3 toolchain missing; 4 internal fault or lost jobs; 130 interrupted.
"""


class LabError(Exception):
    """Base of everything the command line prints as one line instead of a traceback.

    Each argument is one mistake; the names in it may come from untrusted files.
    """

    exit_code = 4

    @property
    def lines(self) -> list[str]:
        """One line per mistake, whatever the names in it hold: a line break or an escape code is spelled out."""
        return ["".join(c if c.isprintable() else _spelled(c) for c in str(mistake)) for mistake in self.args]

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _spelled(character: str) -> str:
    """The character as an ASCII escape; a lone surrogate is how Python holds an undecodable byte of a name."""
    return character.encode("unicode_escape").decode("ascii")


class InputError(LabError):
    """The user can mend it: a file, an option, a name, a key."""

    exit_code = 2


class RefusedError(InputError):
    """The lab could do it but must not, or cannot do it correctly: the reason is the message."""


class UnsupportedError(InputError):
    """A pair that does not exist (x18 on x86-64): becomes an ``unsupported`` row in a run."""


class ToolchainError(LabError):
    """A compiler or linker is missing or failed."""

    exit_code = 3


class GateError(LabError):
    """A check the user asked for did not hold (a rerun that differs, a failed verification)."""

    exit_code = 1


class EngineError(LabError):
    """The emulation itself went wrong: counts that do not sum, an exception inside a hook."""
