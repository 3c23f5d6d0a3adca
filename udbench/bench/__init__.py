"""How fast a network trains here, against what the same machine could do: ratios measured in one run."""
