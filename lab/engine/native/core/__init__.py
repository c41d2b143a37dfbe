"""What runs at every instruction: plain functions over unsigned 64-bit integers, compiled by ``native.generate``.

They are written in the same subset as step functions and rewritten by the same ``lab.lowering``, so arithmetic
wraps and nothing is signed.  State lies in blocks of 64-bit words whose cells ``cells`` names; ``get`` and
``put`` read and write a cell, ``load64`` and its like any host address.  A function that returns a truth
value says so; all else is an integer.
"""
