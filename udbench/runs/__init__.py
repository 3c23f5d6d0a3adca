"""One run, from a checked configuration and prepared stores to the record of its result.

These rooms print nothing and look nothing up: they are handed objects, tell a callback how it goes, and write
the run's folder.
"""
