"""Engines: what happens at every stop.  The reference engine is plain Python and is the oracle of any other."""
