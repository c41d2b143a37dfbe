"""Unwind metadata formats, in and out."""
