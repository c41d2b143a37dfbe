"""A check as SARIF 2.1.0 (OASIS), for the tools that show findings beside code: one result a place."""

from __future__ import annotations

import json
from typing import Any

from lab.report.gates import GATED, Checked

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MEANING = {
    "missing": "claimed as reliable, but a live caller is absent or an address is wrong",
    "refused": "the unwinder said unreliable",
    "extra": "claimed as reliable, a superset of the true stack",
    "crash": "the unwinder failed or broke its contract",
}


def sarif(checked: Checked, run_id: str, version: str) -> str:
    """The broken limits; of each cell the places with most stops (lab.report.gates.MOST_PLACES)."""
    rules = [{"id": verdict, "shortDescription": {"text": MEANING[verdict]}} for verdict in GATED]
    driver = {"name": "unwindlab", "version": version, "rules": rules}
    results = [
        _result(broken.limit.verdict, "/".join(broken.cell.key), *place)
        for broken in checked.broken
        for place in broken.places
    ]
    run = {"tool": {"driver": driver}, "automationDetails": {"id": f"unwindlab/{run_id}"}, "results": results}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _result(verdict: str, cell: str, location: str, source: str, stops: int) -> dict[str, Any]:
    where: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": location, "kind": "function"}]}
    file, _, line = source.rpartition(":")
    if file and line.isdecimal() and int(line):
        where["physicalLocation"] = {"artifactLocation": {"uri": file}, "region": {"startLine": int(line)}}
    message = {"text": f"{cell}: {stops} stops {verdict} at {location}"}
    level = "error" if verdict in {"missing", "crash"} else "warning"
    return {"ruleId": verdict, "level": level, "message": message, "locations": [where]}
