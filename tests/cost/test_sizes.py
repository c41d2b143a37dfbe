"""Sizes: bloat-o-meter's layout to the letter, and bytes that add up."""

from __future__ import annotations

from lab.images.image import load_image
from lab.report.bloat import bloat
from tests.cost.measuring import measured


def test_the_layout_is_bloat_o_meters() -> None:
    old = {"kept": 40, "grown": 88, "shrunk": 20, "gone": 12}
    new = {"kept": 40, "grown": 96, "shrunk": 16, "fresh": 30}
    assert bloat(old, new) == [
        "add/remove: 1/1 grow/shrink: 1/1 up/down: 38/-16 (22)",
        "Function                                     old     new   delta",
        "fresh                                          -      30     +30",
        "grown                                         88      96      +8",
        "shrunk                                        20      16      -4",
        "gone                                          12       -     -12",
        "Total: Before=160, After=182, chg +13.75%",
    ]
    assert bloat({}, {})[-1] == "Total: Before=0, After=0, chg +0.00%"


def test_sizes_of_a_moved_program_add_up() -> None:
    cost = measured("aarch64", "tree", "insertion-register-use-nonleaf")
    row, now, then = cost.row, cost.sizes.functions, cost.base_sizes.functions
    assert sum(now.values()) - sum(then.values()) == row.text_added  # all that was added is of some function
    assert now["compare"] == then["compare"] and now["walk"] == then["walk"] + 4 + 8  # a leaf; a jump and the sequence
    assert now["(dead)"] > 0
    assert row.sections is not None and row.base_sections is not None and row.formats is not None
    assert row.sections["eh_frame"] > row.base_sections["eh_frame"]
    assert row.formats["dwarf"] == row.sections["eh_frame"]
    assert row.loaded_bytes is not None and row.base_loaded_bytes is not None
    assert row.loaded_bytes - row.base_loaded_bytes > cost.sizes.shadow > 0


def test_sled_records_are_the_sections_that_hold_them() -> None:
    cost = measured("x86_64", "tree", "xray-memory-check")
    assert cost.row.base_sections is not None and cost.row.sections is not None
    assert "sled records" not in cost.row.base_sections
    from tests.cost.measuring import job, subject

    image = load_image(subject(job("x86_64", "tree", "xray")).image.path)
    found = [image.section(name) for name in ("xray_instr_map", "xray_fn_idx")]
    assert cost.row.sections["sled records"] == sum(section.size for section in found if section)
