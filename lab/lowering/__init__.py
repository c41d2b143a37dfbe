"""One source for every engine: a step function with its 64-bit arithmetic made explicit.

Python's integers never wrap; compiled ones do, and numba would mix signed, unsigned and floating types
where the source only says ``p - 8``.  So neither engine runs a step function as it stands.  Its syntax tree is
rewritten once per dialect: every result of ``+ - * << ~`` is taken modulo 2**64, every name that is not a
local variable is resolved now (integers are put in place; functions are rewritten in turn), and every loop
burns fuel.  ``Dialect`` says how each of these is spelt.

What has no meaning that both engines share is refused with its line: exceptions, containers, attributes of
anything but ``regs`` and ``mem``, division by anything but a constant, ranges whose step is not a constant above
zero, recursion, a path on which a local variable has no value yet, a path that returns none where another returns
one.  Such a function runs in the reference engine only, as it was written.

Source of the trap: numba 0.68, "Numba Enhancement Proposal 1: Changes in integer typing".
"""
