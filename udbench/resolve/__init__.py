"""From words to objects, once: what a run was asked to be, looked up and checked. Prints nothing, and knows no cli."""
