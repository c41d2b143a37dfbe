"""Where programs register their own .eh_frame: found by form, with names and without; what is not known is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.errors import RefusedError
from lab.images.image import Image
from lab.metadata.cfi import Frames
from rewriters.unwind import read_frames, registrations
from tests.metadata.images import corpus_image, host_image
from tests.support import assemble

ARCHES = ("aarch64", "x86_64")
#: A call that registers the frames, and the end of a program that does so twice.
CALLS = {
    "aarch64": ".inst {adrp}\n mov x2, x3\n .inst {add}\n bl registrar\n",
    "x86_64": "mov $frames, %edi\n mov %rsp, %rsi\n call registrar\n",
}
FORMS = {
    "lea": "lea frames(%rip), %rdi\n jmp registrar\n",
    "mov": "mov $frames, %edi\n call registrar\n",
    "movq": "mov $frames, %rdi\n call registrar\n",
}


@pytest.mark.parametrize("strip", [(), ("-s",)], ids=["named", "stripped"])
@pytest.mark.parametrize("arch", ARCHES)
def test_both_calls_of_the_start_files_are_found(arch: str, strip: tuple[str, ...]) -> None:
    image = host_image(arch, "c++", ("-static", *strip))
    found = read_frames(image)
    assert found is not None
    sites = registrations(image, found)
    assert len(sites) == 2
    assert len({site.entry for site in sites}) == 1
    if not strip:
        homes = [image.symbols["__do_global_dtors_aux"], image.symbols["frame_dummy"]]
        assert all(home < site.start < home + 64 for home, site in zip(homes, sites, strict=True))


@pytest.mark.parametrize("arch", ARCHES)
def test_programs_with_a_search_table_or_no_unwinder_register_nothing(arch: str) -> None:
    for image in (host_image(arch, "c++", ("-static-pie", "-fPIE")), corpus_image("printf", arch)):
        found = read_frames(image)
        assert found is not None
        assert registrations(image, found) == ()


def registering(arch: str, calls: str) -> Image:
    """A program in which ``frames`` is the address of the second entry of its .eh_frame (its layout does not change
    with the value)."""
    body = f"""
FUNC test_main
 .cfi_startproc
 {calls}
 ret
 .cfi_endproc
END test_main
FUNC registrar
 .cfi_startproc
 ret
 .cfi_endproc
END registrar
"""
    first = assemble(arch, with_address(body, 0x201000, 0x200000))
    found = read_frames(first)
    assert found is not None
    image = assemble(arch, with_address(body, first.symbols["test_main"], entry_of(found)))
    again = read_frames(image)
    assert again is not None
    assert entry_of(again) == entry_of(found)
    return image


def with_address(body: str, at: int, target: int) -> str:
    """*body* with ``frames`` at *target*; its AArch64 form made by hand for an instruction at *at*."""
    pages = (target >> 12) - (at >> 12)
    adrp = 0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    text = body.replace("{adrp}", f"{adrp:#x}").replace("{add}", f"{0x91000000 | (target & 0xFFF) << 10:#x}")
    return f"{text} .set frames, {target:#x}\n"


def entry_of(found: Frames) -> int:
    return found.address + found.fdes[0].offset


@pytest.mark.parametrize("arch", ARCHES)
def test_patches_lead_elsewhere(arch: str) -> None:
    image = registering(arch, CALLS[arch])
    found = read_frames(image)
    assert found is not None
    check_patches(image, found)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_on_x86_64(form: str) -> None:
    image = registering("x86_64", form)
    found = read_frames(image)
    assert found is not None
    check_patches(image, found)


def check_patches(image: Image, found: Frames) -> None:
    """The one site is patched, and then found again for an .eh_frame that lies elsewhere."""
    (site,) = registrations(image, found)
    assert site.entry == entry_of(found)
    for move in (0x12340, -0x1000, 0x123000):
        segments = list(image.segments)
        for address, code in site.patches(site.entry + move):
            index = next(i for i, segment in enumerate(segments) if segment.address <= address < segment.end)
            data, at = segments[index].data, address - segments[index].address
            segments[index] = replace(segments[index], data=data[:at] + code + data[at + len(code) :])
        elsewhere = replace(found, address=found.address + move)
        (again,) = registrations(replace(image, segments=tuple(segments)), elsewhere)
        assert (again.start, again.end, again.entry) == (site.start, site.end, site.entry + move)


def test_another_reference_to_the_same_entry_is_refused() -> None:
    image = registering("x86_64", "mov $frames, %edi\n call registrar\n mov $frames, %eax\n")
    found = read_frames(image)
    assert found is not None
    with pytest.raises(RefusedError, match="not understood"):
        registrations(image, found)


def test_a_pointer_in_data_is_refused() -> None:
    image = registering("aarch64", CALLS["aarch64"] + " .data\n .balign 8\n .quad frames\n .text\n")
    found = read_frames(image)
    assert found is not None
    with pytest.raises(RefusedError, match="not understood"):
        registrations(image, found)


def test_two_registered_places_are_refused() -> None:
    twice = "mov $frames, %edi\n call registrar\n mov $frames - 24, %edi\n call registrar\n"
    image = registering("x86_64", twice)
    found = read_frames(image)
    assert found is not None
    with pytest.raises(RefusedError, match="2 places"):
        registrations(image, found)


def test_a_register_that_is_overwritten_is_no_argument() -> None:
    image = registering("x86_64", "mov $frames, %edi\n mov %rax, %rdi\n call registrar\n")
    found = read_frames(image)
    assert found is not None
    assert registrations(image, found) == ()
