"""Damage to ELF files: what a bit error, a bad linker or somebody hostile would do.

Every function takes a random source, the file's bytes and where its parts were before any damage, and changes the bytes
in place.  Field layouts: System V gABI chapters 4 and 5, LSB Core 10.6 (.eh_frame), LLVM's XRaySledEntry.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

EHDR = {"e_type": (16, 2), "e_machine": (18, 2), "e_entry": (24, 8), "e_phoff": (32, 8), "e_shoff": (40, 8),
        "e_phentsize": (54, 2), "e_phnum": (56, 2), "e_shentsize": (58, 2), "e_shnum": (60, 2),
        "e_shstrndx": (62, 2)}  # fmt: skip
PHDR = {"p_type": (0, 4), "p_flags": (4, 4), "p_offset": (8, 8), "p_vaddr": (16, 8), "p_paddr": (24, 8),
        "p_filesz": (32, 8), "p_memsz": (40, 8), "p_align": (48, 8)}  # fmt: skip
SHDR = {"sh_name": (0, 4), "sh_type": (4, 4), "sh_flags": (8, 8), "sh_addr": (16, 8), "sh_offset": (24, 8),
        "sh_size": (32, 8), "sh_link": (40, 4), "sh_info": (44, 4), "sh_addralign": (48, 8),
        "sh_entsize": (56, 8)}  # fmt: skip
SYMBOL = {"st_name": (0, 4), "st_info": (4, 1), "st_shndx": (6, 2), "st_value": (8, 8), "st_size": (16, 8)}
RELA = {"r_offset": (0, 8), "r_info": (8, 8), "r_addend": (16, 8)}
DYN = {"d_tag": (0, 8), "d_val": (8, 8)}
SLED = {"address": (0, 8), "function": (8, 8), "kind": (16, 1), "version": (18, 1)}

HOSTILE = (0, 1, 2, 7, 0x7F, 0xFF, 0x100, 0xFFF, 0x1000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 30,
           1 << 32, 1 << 40, (1 << 47) - 8, 1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - 0x1000, (1 << 64) - 8,
           (1 << 64) - 1)  # fmt: skip
"""Numbers that overflow, wrap, divide by zero or ask for all the memory there is."""

_WEIGHTS = {".eh_frame": 6, ".symtab": 5, "xray_instr_map": 5, ".text": 4, ".eh_frame_hdr": 3, ".dynamic": 3,
            ".strtab": 1, ".shstrtab": 2, ".comment": 0}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Equal records in a file: where, how many, how large, with which fields (offset and size in bytes)."""

    offset: int
    count: int
    record: int
    fields: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Parts:
    """Where the parts of a sound ELF file lie: (offset, size) of sections by name, and its tables."""

    size: int
    sections: dict[str, tuple[int, int]]
    tables: dict[str, Table]


def parts_of(raw: bytes) -> Parts:
    """The parts of *raw*, a sound ELF64 file."""
    phoff, shoff = struct.unpack_from("<QQ", raw, 32)
    _, phnum, _, shnum, names = struct.unpack_from("<HHHHH", raw, 54)
    tables = {"header": Table(0, 1, 64, EHDR), "segments": Table(phoff, phnum, 56, PHDR)}
    if shnum:
        tables["sections"] = Table(shoff, shnum, 64, SHDR)
    headers = [struct.unpack_from("<IIQQQQIIQQ", raw, shoff + 64 * i) for i in range(shnum)]
    sections: dict[str, tuple[int, int]] = {}
    for name, kind, _, _, offset, size, *_ in headers:
        at = headers[names][4] + name
        if kind not in {0, 8} and size:
            sections[raw[at : raw.index(b"\0", at)].decode("ascii")] = (offset, size)
    shapes = {".symtab": (24, SYMBOL), ".dynamic": (16, DYN), "xray_instr_map": (32, SLED)}
    for name, (offset, size) in sections.items():
        record, fields = (24, RELA) if name.startswith(".rela") else shapes.get(name, (0, {}))
        if record:
            tables[name] = Table(offset, size // record, record, fields)
    return Parts(len(raw), sections, tables)


Mutator = Callable[[Random, bytearray, Parts], None]


def _region(random: Random, parts: Parts) -> tuple[int, int]:
    """(offset, size) of a part, the ones parsers read first of all."""
    regions = {name: (t.offset, t.count * t.record) for name, t in parts.tables.items()}
    regions |= parts.sections
    weights = [_WEIGHTS.get(n, 4 if n in {"header", "segments", "sections"} else 1) for n in regions]
    return random.choices(list(regions.values()), weights)[0]


def _put(raw: bytearray, offset: int, data: bytes) -> None:
    """Overwrite; what lies behind the end is cut off."""
    if 0 <= offset < len(raw):
        raw[offset : offset + len(data)] = data[: len(raw) - offset]


def flip_bits(random: Random, raw: bytearray, parts: Parts) -> None:
    """One to eight bits, in one part."""
    offset, size = _region(random, parts)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        at = offset + random.randrange(max(1, size))
        if at < len(raw):
            raw[at] ^= 1 << random.randrange(8)


def set_field(random: Random, raw: bytearray, parts: Parts) -> None:
    """One field of a record: a hostile number, a neighbour's value, or a little more or less than it was."""
    tables = list(parts.tables.values())
    table = random.choices(tables, [3 if t.fields in (EHDR, PHDR, SHDR) else 1 for t in tables])[0]
    if not table.count:
        return
    at, size = random.choice(list(table.fields.values()))
    at += table.offset + table.record * random.randrange(table.count)
    old = int.from_bytes(raw[at : at + size], "little")
    other = table.offset + table.record * random.randrange(table.count) + random.choice(list(table.fields.values()))[0]
    value = random.choice(
        (
            random.choice(HOSTILE),
            random.choice(HOSTILE),
            int.from_bytes(raw[other : other + size], "little"),
            old + random.choice((-0x1000, -8, -4, -1, 1, 4, 8, 0x1000)),
            len(raw) + random.randrange(-9, 9),
        )
    )
    _put(raw, at, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))


def set_word(random: Random, raw: bytearray, parts: Parts) -> None:
    """A hostile number anywhere in a part: lengths and pointers of .eh_frame, instructions, strings."""
    offset, size = _region(random, parts)
    width = random.choice((1, 2, 4, 8))
    at = offset + random.randrange(max(1, size)) // width * width
    _put(raw, at, (random.choice(HOSTILE) & (1 << 8 * width) - 1).to_bytes(width, "little"))


def fill(random: Random, raw: bytearray, parts: Parts) -> None:
    """Some bytes of a part become noise, zeroes or ones; LEB128 numbers lose their end."""
    offset, size = _region(random, parts)
    at = offset + random.randrange(max(1, size))
    length = min(random.choice((1, 4, 16, 64, 512)), offset + size - at)
    kind = random.choice((None, 0x00, 0xFF, 0x80))
    _put(raw, at, random.randbytes(length) if kind is None else bytes([kind]) * length)


def cut(random: Random, raw: bytearray, parts: Parts) -> None:
    """The file ends early: anywhere, or where a part begins or ends."""
    edges = [t.offset + random.randrange(t.count * t.record + 1) for t in parts.tables.values()]
    edges += [offset + random.choice((0, size)) for offset, size in parts.sections.values()]
    del raw[random.choice((random.randrange(len(raw) + 1), random.choice(edges))) :]


def append(random: Random, raw: bytearray, _parts: Parts) -> None:
    """Something behind the end."""
    raw += random.randbytes(random.choice((1, 7, 64, 4096)))


def move_records(random: Random, raw: bytearray, parts: Parts) -> None:
    """Two records of a table change places, one overwrites another, or one becomes zero."""
    tables = [t for t in parts.tables.values() if t.count > 1]
    if not tables:
        return
    table = random.choice(tables)
    one, two = (table.offset + table.record * random.randrange(table.count) for _ in range(2))
    first, second = bytes(raw[one : one + table.record]), bytes(raw[two : two + table.record])
    kind = random.randrange(3)
    _put(raw, two, bytes(table.record) if kind == 2 else first)
    if kind == 0:
        _put(raw, one, second)


def overlap(random: Random, raw: bytearray, parts: Parts) -> None:
    """One segment or section lies where another does."""
    name, fields = random.choice(
        (
            ("segments", ("p_offset", "p_vaddr", "p_filesz", "p_memsz")),
            ("sections", ("sh_offset", "sh_addr", "sh_size")),
        )
    )
    table = parts.tables.get(name)
    if table is None or table.count < 2:
        return
    one, two = (table.offset + table.record * i for i in random.sample(range(table.count), 2))
    for field in random.sample(fields, random.randrange(1, len(fields) + 1)):
        at, size = table.fields[field]
        value = int.from_bytes(raw[one + at : one + at + size], "little") + random.choice((0, 0, 1, 16, 0x1000))
        _put(raw, two + at, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))


MUTATORS: tuple[tuple[Mutator, int], ...] = (
    (flip_bits, 8), (set_field, 10), (set_word, 5), (fill, 4), (cut, 2), (append, 1), (move_records, 3), (overlap, 3),
)  # fmt: skip
"""What may happen, and how often."""


def splice(random: Random, raw: bytearray, parts: Parts, other: bytes, others: Parts) -> None:
    """A part of another image in the place of this one's, or any of its bytes anywhere."""
    shared = sorted(set(parts.sections) & set(others.sections))
    if shared and random.random() < 0.5:
        name = random.choice(shared)
        source, length = others.sections[name]
        target, room = parts.sections[name]
        length = min(length, room)
    else:
        (source, length), (target, _) = _region(random, others), _region(random, parts)
    _put(raw, target, other[source : source + length])


def mutate(random: Random, raw: bytes, donors: Sequence[bytes]) -> bytes:
    """*raw* with one to four damages; *donors* are the images that parts may be taken from."""
    parts, damaged = parts_of(raw), bytearray(raw)
    functions, weights = zip(*MUTATORS, strict=True)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        if not damaged:
            break
        if random.random() < 0.06:
            other = random.choice(donors)
            splice(random, damaged, parts, other, parts_of(other))
        else:
            random.choices(functions, weights)[0](random, damaged, parts)
    return bytes(damaged)
