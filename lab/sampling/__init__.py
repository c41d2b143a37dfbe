"""Checks of tasks at random moments of the small kernel's running: how often a design refuses, and what that delays."""
