"""Time on the machine at hand: rewritten images really executed, compared as benchstat compares."""
