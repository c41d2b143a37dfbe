"""Insertion: functions copied with their sequences in line; on every architecture, flavour and policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.arch.decode import Kind, decode
from lab.errors import RefusedError
from lab.images.image import Image, load_image, parse_image
from lab.layout import Flavour, Leaves, Policy, Region
from rewriters import rewrite
from tests.rewriters import guests, machine
from tests.rewriters.guests import Source

GuestOf = Callable[..., Image]
CASES = [
    (arch, flavour, policy)
    for arch in ("aarch64", "x86_64")
    for flavour in Flavour
    for policy in Policy
    if not (arch == "x86_64" and flavour is Flavour.REGISTER)
]
ARCHES = ("aarch64", "x86_64")


def _name(value: object) -> str:
    return str(getattr(value, "value", value))


def _checked(image: Image, flavour: Flavour, policy: Policy, leaves: Leaves = Leaves.ALL) -> machine.Outcome:
    """Rewrite and run: the same result, and the layout's truth at every instruction."""
    plain = machine.run(image)
    done = rewrite(image, "insertion", flavour, policy, leaves)
    new = machine.run(parse_image(done.data, image.path), done.map.layout)
    assert plain.result is not None
    assert new.result == plain.result
    assert new.wrong == []
    assert new.left in {0, None}
    return new


@pytest.mark.parametrize("leaves", Leaves, ids=_name)
@pytest.mark.parametrize(("arch", "flavour", "policy"), CASES, ids=_name)
def test_same_result_and_true_layout(
    guest: GuestOf, arch: str, flavour: Flavour, policy: Policy, leaves: Leaves
) -> None:
    new = _checked(guest(arch, "none", flavour), flavour, policy, leaves)
    assert new.asked["shadow"] > 1000
