"""The kernel's requirements for reliable stack traces as a table that runs fill in: requirements x designs."""
