"""Programs that show how fast an engine is, and nothing about any design."""
