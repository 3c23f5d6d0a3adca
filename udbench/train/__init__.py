"""Training and evaluation. The only rooms that import torch; they are handed objects and look nothing up."""
