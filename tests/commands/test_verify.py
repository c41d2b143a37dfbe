"""unwindlab verify: the static checks on any pair of files, reported by name, exit code 1 where one fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.layout import Policy, map_path
from lab.rewriting import rewrite_file
from lab.verifying import verify_files
from rewriters.verify import CHECKS
from tests.commands.calls import call
from tests.support import compile_c

PROGRAM = """
__attribute__((noinline)) long leaf(long x) { return x * 3 + 1; }
__attribute__((noinline)) long twice(long x) { volatile long y = leaf(x); return y + leaf(x + 1); }
int test_main(void) { return twice(1) != 11; }
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(original, its rewrite)."""
    old = compile_c("aarch64", PROGRAM, "-ffixed-x18").path
    new = tmp_path_factory.mktemp("verify") / "new.elf"
    rewrite_file(old, new, "detour", "register", Policy.USE)
    return old, new


def damaged(pair: tuple[Path, Path], folder: Path) -> Path:
    """A copy of the rewrite with one bit of its new text flipped, and the map beside it."""
    new = folder / "damaged.elf"
    said = json.loads(map_path(pair[1]).read_text())
    last = said["carried"][-1]
    text = pair[1].read_bytes()
    inserted = text.index(b"unwindlab: rewritten image")
    first = min(piece["start"] for piece in said["inserted"] if piece["region"] == "trampoline")
    at = inserted + 32 + last["new"] - first
    new.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
    map_path(new).write_text(map_path(pair[1]).read_text())
    return new


def test_a_rewrite_passes_every_check(pair: tuple[Path, Path]) -> None:
    done = call("verify", str(pair[0]), str(pair[1]))
    assert done.exit_code == 0
    lines = [line for line in done.output.splitlines() if line.startswith("ok")]
    assert lines == [f"ok      {name}" for name in CHECKS]


def test_json_has_every_check(pair: tuple[Path, Path]) -> None:
    found = json.loads(call("verify", str(pair[0]), str(pair[1]), "--json").stdout)
    assert found["ok"] is True
    assert list(found["checks"]) == list(CHECKS)


def test_damage_is_named_and_exits_with_1(pair: tuple[Path, Path], tmp_path: Path) -> None:
    new = damaged(pair, tmp_path)
    done = call("verify", str(pair[0]), str(new))
    assert done.exit_code == 1
    failed = [line for line in done.output.splitlines() if line.startswith("FAILED")]
    assert "FAILED  carried code means the same" in failed
    assert "FAILED  map belongs to these images" in failed
    found = json.loads(call("verify", str(pair[0]), str(new), "--json").stdout)
    assert found["ok"] is False


def test_a_map_elsewhere_can_be_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    alone = tmp_path / "alone.elf"
    alone.write_bytes(pair[1].read_bytes())
    with pytest.raises(InputError, match=r"alone\.elf\.rewrite\.json: no rewrite map here; name it with --map"):
        verify_files(pair[0], alone)
    assert all(result["ok"] for result in verify_files(pair[0], alone, map_path(pair[1])).values())


def test_the_two_images_may_not_be_exchanged(pair: tuple[Path, Path]) -> None:
    results = verify_files(pair[1], pair[0], map_path(pair[1]))
    assert not results["map belongs to these images"]["ok"]


def test_a_map_that_says_anything_is_a_result_not_a_crash(pair: tuple[Path, Path], tmp_path: Path) -> None:
    said = json.loads(map_path(pair[1]).read_text())
    for change in (
        {"inserted": [{"start": 1, "end": (1 << 63), "region": "dead", "function": "x"}]},
        {"inserted": [{"start": 0x10, "end": 0x20, "region": "moved", "function": ""}]},
        {"carried": [{"old": 8, "new": 1 << 60, "old_size": 1 << 50, "new_size": 1}]},
        {"patched": [{"address": 1 << 62, "size": 1 << 40, "old": 0, "new": 1}]},
        {"carried": said["carried"] * 2},
    ):
        wild = tmp_path / "wild.json"
        wild.write_text(json.dumps(said | change))
        results = verify_files(*pair, wild)
        assert not all(result["ok"] for result in results.values())


def test_files_of_different_machines_are_one_line(pair: tuple[Path, Path]) -> None:
    other = compile_c("x86_64", PROGRAM).path
    with pytest.raises(InputError, match=r"aarch64, and its map aarch64; .* is x86_64"):
        verify_files(other, pair[1])
