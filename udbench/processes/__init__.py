"""Work in other processes, none of which outlives its parent."""
