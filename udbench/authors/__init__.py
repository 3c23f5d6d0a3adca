"""For those who write plugins: a package to begin with, and the kit that says whether a plugin keeps the contract.

The kit is a list of checks. `udbench check` does them in a process of its own, with a time limit; an author's own
tests do them one by one (`udbench.testing.kit`). Each that fails says what was expected, what came and how to mend it.
"""
