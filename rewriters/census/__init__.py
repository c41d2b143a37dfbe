"""Site census: for every function of an image, where an activation begins and ends, or why that cannot be told.

    Image --scan--> instructions in columns --link--> units (functions that share an activation)
          --track--> SP, FP and return address before every event --judge--> Survey

Nothing here looks at NOPs a compiler left: the census serves rewriters that make their own room.
"""

from __future__ import annotations

from rewriters.census.body import Body, Exit, ExitKind, JumpKind, JumpShape, Survey
from rewriters.census.survey import survey

__all__ = ["Body", "Exit", "ExitKind", "JumpKind", "JumpShape", "Survey", "survey"]
