"""One run, from a checked configuration and prepared stores to the record of its result.

These modules print nothing and look nothing up: they get objects, report to a callback, and write the run's folder.
"""
