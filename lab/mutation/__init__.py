"""Mutation testing of designs: a small fault is planted, and each design is asked at every stop whether it notices.

``api`` says what a mutant and an operator are; ``metadata``, ``code``, ``memory`` and ``rewrite`` hold the operators,
one file a kind, found by their place.  ``ground`` is one unmutated image with all that operators ask of it, ``stops``
lists every stop of a run, ``classes`` compares a mutated run with the unmutated one, ``reach`` finds out which design
looked at what was changed, ``statistics`` gives the intervals, ``run`` spreads the work, ``show`` looks at one mutant,
``text`` prints.  What the words mean is in docs/mutation.md.
"""
