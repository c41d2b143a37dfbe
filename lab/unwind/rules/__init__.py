"""Reliability rules: one file per rule, each refusing on top of any unwinder (see ``lab.unwind.rules.api``)."""
