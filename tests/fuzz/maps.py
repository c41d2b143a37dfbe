"""Damage to rewrite maps: what stands in the JSON beside an image."""

from __future__ import annotations

import json
from random import Random
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 1, 8, 12345, 1 << 31, 1 << 47, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 200, 0.5, "", "x18", "sp",
    "pc", "register", "parallel", "memory", "shadow", "stack", "lr", "image", "environment", "a\nb\x1b[31m", [], {},
    [0], {"start": 0},
)  # fmt: skip


def mutate_map(random: Random, text: str) -> bytes:
    """*text*, a map, with one to three damages: of its values, of its structure, or of its bytes."""
    if random.random() < 0.2:
        return _bytes(random, text.encode())
    plain = json.loads(text)
    for _ in range(random.choice((1, 1, 2, 3))):
        _damage(random, plain)
    return json.dumps(plain).encode()


def _damage(random: Random, plain: Any) -> None:
    """Descend to some value and change it, remove it, or put it in twice."""
    holder, key = plain, random.choice(list(plain))
    while isinstance(holder[key], dict | list) and holder[key] and random.random() < 0.9:
        holder = holder[key]
        key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    old = holder[key]
    kind = random.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(random.randrange(len(holder) + 1), old)
    elif kind <= 3 and type(old) is int:
        holder[key] = old + random.choice((-0x1000, -8, -1, 1, 4, 8, 0x1000, 1 << 40))
    elif isinstance(holder, list) and kind == 4:
        random.shuffle(holder)
    else:
        holder[key] = random.choice(HOSTILE)


def _bytes(random: Random, raw: bytes) -> bytes:
    damaged = bytearray(raw)
    for _ in range(random.choice((1, 2, 8))):
        damaged[random.randrange(len(damaged))] = random.choice(b'0123456789"{}[],:-\\ex\0\xff')
    return bytes(damaged[: random.choice((len(damaged), random.randrange(len(damaged))))])
