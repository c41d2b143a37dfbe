"""What the census says of one function of an assembled image."""

from __future__ import annotations

from lab.images.image import Image
from rewriters.census import Body, Survey, survey
from tests.support import assemble

A64, X86 = "aarch64", "x86_64"


def look(arch: str, text: str) -> tuple[Image, Survey]:
    """*text* assembled after the common start, with ``test_main`` if it has none, and its census."""
    if "test_main" not in text:
        text = f"FUNC test_main\n ret\nEND test_main\n{text}"
    image = assemble(arch, text)
    return image, survey(image)


def body_of(image: Image, found: Survey, name: str) -> Body:
    """The body of function *name*; fails with the reason where it was left out."""
    start = image.symbols[name]
    assert start in found.bodies, found.left_out[start].reason
    return found.bodies[start]


def reason_of(image: Image, found: Survey, name: str) -> str:
    """Why *name* was left out; fails where it was not."""
    start = image.symbols[name]
    assert start not in found.bodies, f"{name} was understood"
    return found.left_out[start].reason


def exits(image: Image, body: Body) -> list[tuple[int, str, str | None]]:
    """(offset, kind, register or name of the target) of every exit."""
    return [
        (e.address - body.function.start, e.kind.value, image.locate(e.target) if e.target is not None else e.register)
        for e in body.exits
    ]
