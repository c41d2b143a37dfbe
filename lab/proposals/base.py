"""Frame pointers and nothing else: what every other proposal is compared with."""

from lab.proposals.api import Proposal

PROPOSALS = (Proposal("base", "frame pointers, no instrumentation"),)
