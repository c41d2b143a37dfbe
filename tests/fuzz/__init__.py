"""Mutated ELF files and rewrite maps: each ends in a verified output or in one line."""
