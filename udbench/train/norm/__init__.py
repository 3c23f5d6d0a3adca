"""Norms that normalise each domain's rows separately, and their fast implementations."""
