"""What a training round costs: timed here against what the machine could do, counted, and predicted elsewhere."""
