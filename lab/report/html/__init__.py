"""The explorer: a run as one self-contained HTML file, from a number to its instruction in three clicks."""
