"""Training and evaluation of one network. Its modules get objects as arguments and look nothing up by name."""
