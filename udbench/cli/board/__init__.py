"""The verbs of `udbench board`."""
