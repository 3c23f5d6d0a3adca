"""Work in other processes, which end with their parent."""
