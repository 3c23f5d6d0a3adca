"""Benchmarks of a training round on this machine, and predictions for several processes and other machines."""
