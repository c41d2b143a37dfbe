"""Unwinders: one file per design, each a pair of pure functions (see ``lab.unwind.api``)."""
