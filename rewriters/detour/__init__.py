"""Detour: a jump at the entry and at each exit, to a trampoline with the sequence and what the jump displaced.

    Survey --windows--> bytes to overwrite --trampolines--> Plan

Function bodies do not move: jump tables, code addresses and the unwind information of the bodies stay valid.
"""
