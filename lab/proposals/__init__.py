"""Proposals: compiler flags and, where there is one, a rewrite.  One small file each; found by name.

A file here defines ``PROPOSALS``, a tuple of Proposal.  Which unwinders are tried on an image is the
experiment's choice; a pair that makes no sense becomes an ``unsupported`` row.
"""
