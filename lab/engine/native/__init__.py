"""The native engine: one compiled hook at every instruction.  The reference engine is its oracle."""
