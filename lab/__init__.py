"""unwindlab: where a stack-trace design tells the truth, where it refuses, where it lies, and what it costs.

The path of the data, one verb per arrow, left to right only::

    Workload --build--> Image --rewrite--> Image + RewriteMap --execute--> Stop (regs, memory, truth)
             --unwind--> Trace --judge--> Verdict --collect--> Run --report--> text, figures

Dependencies point one way: arch <- images <- {rewriters, machine}; arch <- truth; metadata <- unwind;
{truth, unwind} <- verdict <- runner <- {experiment, mutation} <- cli; store <- report.  What a rewriter and an
unwinder must both know is ``lab.layout``; they never import each other.  ``tests/test_house.py``
enforces this.  This module imports nothing, so ``import lab`` is free and forms no circle.
"""

__version__ = "0.1.0"
