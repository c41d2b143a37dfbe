"""unwindlab doctor: what is there, which version, what is missing and what that costs."""

from __future__ import annotations

import dataclasses

import click

from lab.commands.common import json_option, print_json


@click.command("doctor", short_help="Say what is installed, what is missing and what that costs.")
@json_option
def command(*, as_json: bool) -> None:
    """Say what is there, which version, what is missing and what that costs.  Exits with 0: it only reports."""
    from lab.doctor import diagnose

    findings = diagnose()
    if as_json:
        print_json({"findings": [_plain(finding) for finding in findings]})
        return
    rows = [[str(f.name), str(f.version or "-"), str(_plain(f)["status"]), _cost(f)] for f in findings]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        columns = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
        click.echo("  ".join(columns).rstrip())


def _cost(finding: object) -> str:
    """What is missing costs something; what is there may have something to say."""
    plain = _plain(finding)
    return str((plain.get("note") if plain["status"] == "ok" else plain["cost"]) or "")


def _plain(finding: object) -> dict[str, object]:
    import enum

    plain = dataclasses.asdict(finding)  # type: ignore[call-overload]
    return {key: value.value if isinstance(value, enum.Enum) else value for key, value in plain.items()}
