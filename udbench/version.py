"""The version of udbench, which records and pages name."""

__version__ = "0.1.0"
