"""The machine: the only place that knows unicorn."""
