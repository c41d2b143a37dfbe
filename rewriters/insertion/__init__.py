"""Insertion: functions copied into the new segment with the sequences in line.

    relocations --references--> who may move, whose pointers follow
    Survey --bodies--> items with labels --layout--> Plan

Needs the relocations the linker was asked to keep (--emit-relocs): only they tell a code address from a number.
The old body becomes a jump to the new one at its entry, and traps.
"""
