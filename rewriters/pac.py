"""Sites of -mbranch-protection=pac-ret code: PACIASP becomes a push, AUTIASP a pop.

They are found twice: through .eh_frame, exactly as the kernel's patcher does, and by looking at every
instruction.  A function for which the two disagree is left out: one of them is wrong about it.
"""

from __future__ import annotations

from lab.errors import InputError, RefusedError
from lab.images.image import Image
from lab.layout import SiteOut
from rewriters.ehframe import signing_changes
from rewriters.sites import Action, Ending, Found, Site, words

PACIASP, AUTIASP = 0xD503233F, 0xD50323BF
PACIBSP, AUTIBSP = 0xD503237F, 0xD50323FF
RETAA, RETAB = 0xD65F0BFF, 0xD65F0FFF
#: HINT encodings of BTI and BTI c/j/jc (Arm ARM C6.2).
BTI = frozenset({0xD503241F, 0xD503245F, 0xD503249F, 0xD50324DF})
_ACTIONS = {PACIASP: Action.PUSH, AUTIASP: Action.POP}
_REFUSED_WORDS = {
    PACIBSP: "signs with key B (pacibsp): only paciasp/autiasp are sites",
    AUTIBSP: "signs with key B (autibsp): only paciasp/autiasp are sites",
    RETAA: "returns with retaa: the return itself authenticates, so there is no autiasp to fill",
    RETAB: "returns with retab: the return itself authenticates, so there is no autiasp to fill",
}
_GNU_PROPERTY_AARCH64_FEATURE_1_AND = 0xC000_0000
_FEATURE_BTI = 1


def find(image: Image) -> Found:
    """All PAC sites of *image*; RefusedError/InputError where the image as a whole cannot be filled."""
    refuse_bti(image)
    by_scan: dict[int, int] = {}
    found = Found()
    for address, word in words(image):
        if word in _ACTIONS:
            by_scan[address] = word
        elif word in _REFUSED_WORDS and (function := image.function_at(address)):
            found.refuse(function, _REFUSED_WORDS[word], address)
    if not by_scan:
        raise RefusedError(f"{image.path}: no paciasp or autiasp to fill; build with -mbranch-protection=pac-ret")
    by_frame, skipped = _by_eh_frame(image)
    for address, word in sorted(by_scan.items()):
        found.add(image, Site(address, 4, _ACTIONS[word], Ending.NEXT, inert=False))
    _compare(image, found, set(by_scan), by_frame, skipped)
    return found


def _by_eh_frame(image: Image) -> tuple[set[int], list[int]]:
    """(patched, skipped) addresses: the instruction before each signing change, if it is a PAC one or not.

    A skipped one is no contradiction by itself: clang states the signing state anew where a block begins in
    another state than the one above it ends in."""
    section = image.section(".eh_frame")
    if section is None or not section.data:
        raise InputError(f"{image.path}: no .eh_frame to find the sites in; build with -fasynchronous-unwind-tables")
    patched: set[int] = set()
    skipped: list[int] = []
    for change in signing_changes(section.data, section.address, str(image.path)):
        before = change.location - 4
        word = int.from_bytes(image.read(before, 4), "little")
        if word in _ACTIONS:
            patched.add(before)
        else:
            skipped.append(before)
    return patched, skipped


def _compare(image: Image, found: Found, by_scan: set[int], by_frame: set[int], skipped: list[int]) -> None:
    for address in sorted(by_scan ^ by_frame):
        if function := image.function_at(address):
            which = ".eh_frame does not name" if address in by_scan else "only .eh_frame names"
            found.refuse(function, f"{which} the site at {image.locate(address)}", address)
    found.scan = {
        "eh_frame": len(by_frame),
        "scan": len(by_scan),
        "agree": len(by_frame & by_scan),
        "only_eh_frame": [image.locate(a) for a in sorted(by_frame - by_scan)],
        "only_scan": [image.locate(a) for a in sorted(by_scan - by_frame)],
        "skipped_silently": [image.locate(a) for a in sorted(skipped)],
    }


def refuse_bti(image: Image) -> None:
    """RefusedError if *image* uses Branch Target Identification: there PACIASP is the landing pad as well."""
    why = None
    if bti_property(image):
        why = ".note.gnu.property asks for BTI"
    else:
        first = next((address for address, word in words(image) if word in BTI), None)
        why = None if first is None else f"bti instruction at {image.locate(first)}"
    if why:
        raise RefusedError(
            f"{image.path}: {why}: paciasp is also the branch-target landing pad and cannot be filled; "
            "build with -mbranch-protection=pac-ret, not standard"
        )


def bti_property(image: Image) -> bool:
    """Whether a GNU property note (gABI Linux extensions; AAELF64 6.2) sets FEATURE_1_AND.BTI."""
    section = image.section(".note.gnu.property")
    if section is None:
        return False
    data = section.data
    at = 16  # namesz, descsz, type, "GNU\0"
    while at + 8 <= len(data):
        kind, size = int.from_bytes(data[at : at + 4], "little"), int.from_bytes(data[at + 4 : at + 8], "little")
        value = int.from_bytes(data[at + 8 : at + 12], "little")
        if kind == _GNU_PROPERTY_AARCH64_FEATURE_1_AND and value & _FEATURE_BTI:
            return True
        at += 8 + (size + 7 & ~7)
    return False


def signs(image: Image) -> list[SiteOut]:
    """Functions of *image* that sign their return address, as reasons for another mode to leave them out."""
    seen: dict[int, SiteOut] = {}
    for address, word in words(image):
        if (word in _ACTIONS or word in _REFUSED_WORDS) and (function := image.function_at(address)):
            reason = "signs its return address: what a sled would store or load is a signed address"
            seen.setdefault(function.start, SiteOut(function.name, address, reason))
    return list(seen.values())
