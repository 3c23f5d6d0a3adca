"""The paper's domains, suites and recipes for udbench."""
