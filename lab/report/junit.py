"""A check as JUnit XML, one test case a cell: the elements and attributes of Jenkins' junit-10.xsd, no others."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from lab.report.gates import Broken, Checked
from lab.report.text import clean
from lab.store.rows import Cell


def junit(checked: Checked, run_id: str) -> str:
    """One suite; a broken limit fails its cell's case, a pair that does not exist is skipped.  No times, no dates."""
    broken: dict[tuple[str, ...], list[Broken]] = {}
    for item in checked.broken:
        broken.setdefault(item.cell.key, []).append(item)
    tests = str(len(checked.cells) + len(checked.unsupported))
    counts = {"tests": tests, "failures": str(checked.failed), "errors": "0"}
    top = Xml.Element("testsuites", counts)
    named = {"name": f"unwindlab run {run_id}", **counts, "skipped": str(len(checked.unsupported))}
    suite = Xml.SubElement(top, "testsuite", named)
    for cell in (*checked.cells, *checked.unsupported):
        case = _case(suite, cell)
        if cell.unsupported is not None:
            Xml.SubElement(case, "skipped", {"message": clean(cell.unsupported)})
        elif own := broken.get(cell.key):
            failure = Xml.SubElement(case, "failure", {"message": clean("; ".join(map(str, own))), "type": "limit"})
            failure.text = "\n".join(_place(item, *place) for item in own for place in item.places)
    Xml.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(top, encoding="unicode") + "\n"


def _case(suite: Xml.Element, cell: Cell) -> Xml.Element:
    group = (cell.arch, cell.compiler, cell.proposal, cell.mode)
    names = {"classname": clean(".".join(group)), "name": clean(f"{cell.workload}: {cell.unwinder}")}
    return Xml.SubElement(suite, "testcase", names)


def _place(item: Broken, location: str, source: str, stops: int) -> str:
    return clean(f"{item.limit.verdict} at {location}{f' ({source})' if source else ''}: {stops} stops")
