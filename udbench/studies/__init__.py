"""Studies: grids of runs that answer one question, and the table that they make."""
