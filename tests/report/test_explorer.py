"""report.html: what it holds, that names in it are harmless, and that it is the same bytes every time."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lab import store
from lab.report.html.data import page_data
from lab.report.html.page import SCRIPTS, explorer, payload, unpacked
from tests.bench.explorer_page import big_run
from tests.console import ROOT
from tests.fake_run import fake_run
from tests.report.hostile import CLOSING, HOSTILE, hostile_run

RUN = hostile_run()
PAGE = explorer(RUN)


class Reader(HTMLParser):
    """Tags, and the table cells' text, as a browser without JavaScript reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def read(page: bytes) -> Reader:
    reader = Reader()
    reader.feed(page.decode())
    return reader


def test_the_same_run_makes_the_same_bytes_fresh_or_loaded(tmp_path: Path) -> None:
    store.write_run(RUN, tmp_path, lambda _run, _folder: None)
    assert explorer(store.load_run(RUN.run_id, [tmp_path])) == PAGE == explorer(RUN)


def test_unpacked_pages_are_compared_whatever_packed_them() -> None:
    plain = unpacked(PAGE)
    assert json.dumps(payload(PAGE), separators=(",", ":")).encode() in plain
    packed = PAGE[PAGE.index(b'id="data">') + 10 :].partition(b"<")[0]
    other = base64.b64encode(gzip.compress(gzip.decompress(base64.b64decode(packed)), 1, mtime=7))
    assert other != packed
    assert unpacked(PAGE.replace(packed, other)) == plain


def test_the_policy_names_the_only_script_and_the_only_style() -> None:
    text = PAGE.decode()
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    assert policy.startswith("default-src 'none';")
    for source, tag in (("script-src", "<script>"), ("style-src", "<style>")):
        (content,) = re.findall(f"{tag}(.*?){tag.replace('<', '</')}", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy


def test_nothing_is_fetched_and_no_markup_comes_from_names() -> None:
    reader = read(PAGE)
    assert not [attrs for _, attrs in reader.tags if {"src", "href", "onerror", "style", "onclick"} & set(attrs)]
    assert sum(tag == "script" for tag, _ in reader.tags) == 2
    assert HOSTILE.encode() not in PAGE
    assert CLOSING.encode() not in PAGE
    assert HOSTILE in str(payload(PAGE)["images"][0]["modes"][0]["functions"])


def test_hostile_names_of_proposals_are_escaped_in_the_table() -> None:
    page = explorer(fake_run(arches=("a/../<b>",), proposals=(HOSTILE,), workloads=("w",), functions=1, insns=16))
    assert HOSTILE.encode() not in page
    assert HOSTILE in read(page).texts


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_sets_text_and_never_markup(name: str) -> None:
    script = (ROOT / "lab" / "report" / "html" / name).read_text(encoding="utf-8")
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|fetch\(", script)
    assert len(script.splitlines()) <= 300


def test_the_summary_is_a_table_without_javascript() -> None:
    reader = read(PAGE)
    assert "noscript" not in {tag for tag, _ in reader.tags}
    cells = [attrs["title"] for tag, attrs in reader.tags if tag == "td" and attrs.get("data-verdict") == "missing"]
    counted = [c for c in RUN.result.cells if c.unwinder == "fp" and c.mode == "boundary"]
    assert cells[0] == f"{counted[0].verdicts['missing']} of {counted[0].stops} stops"
    assert len(cells) == 6
    assert "arm64, boundary stops" in reader.texts


def test_every_count_of_the_run_is_in_the_page() -> None:
    data = payload(PAGE)
    kinds, mixed = data["kinds"], data["mixed"]
    found: dict[tuple[str, str, str], int] = {}
    for image in data["images"]:
        for mode in image["modes"]:
            for unwinder, cells in zip(mode["unwinders"], mode["cells"], strict=True):
                for stops, code in zip(mode["stops"], cells, strict=True):
                    parts = [] if code is None else [(code, stops)] if code >= 0 else mixed[-1 - code]
                    for kind, number in parts:
                        key = (mode["mode"], unwinder, kinds[kind][0])
                        found[key] = found.get(key, 0) + number
    assert found == {
        (c.mode, c.unwinder, verdict): number
        for c in RUN.result.cells for verdict, number in c.verdicts.items() if number
    }  # fmt: skip


def test_addresses_beyond_53_bits_are_whole() -> None:
    kept = payload(PAGE)["images"][0]["stacks"][0]
    assert kept["words_at"] == "fffffffffffffe00"
    assert kept["words"][2] == "f" * 16
    assert ["sp", f"{2**64 - 16:x}"] in kept["registers"]


def test_what_does_not_fit_is_named_and_the_failing_images_stay() -> None:
    run = fake_run(arches=("aarch64",), proposals=("plain",), unwinders=("fp",), workloads=("a", "b"), modes=("call",))
    assert page_data(run)["left_out"] == []
    one = page_data(run, most=sum(c.pcs for c in run.result.cells) - 1)
    assert len(one["images"]) == len(one["left_out"]) == 1


def test_an_older_run_without_code_has_a_page() -> None:
    run = fake_run(arches=("x86_64",), proposals=("plain",), insns=16)
    (image, *_) = payload(explorer(run))["images"]
    assert image["raw"] == image["text"] == []
    assert image["modes"][0]["stops"]


def test_the_page_that_is_timed_has_every_cell() -> None:
    """``python -m tests.bench.explorer_page`` opens such a page of 200,000 instructions."""
    (image,) = payload(explorer(big_run(instructions=300, unwinders=8)))["images"]
    assert len(image["pcs"]) == len(image["text"]) == 300
    (mode,) = image["modes"]
    assert [len(cells) for cells in mode["cells"]] == [300] * 8
    assert None not in mode["cells"][7]
