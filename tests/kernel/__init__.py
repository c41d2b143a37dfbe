"""Tests of the small kernel and of the exceptions the machine takes for it."""
