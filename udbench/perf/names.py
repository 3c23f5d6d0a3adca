"""What can be timed, by name."""

from __future__ import annotations

# beside the ceiling
CONTENDERS = ("one-by-one", "plain", "compiled", "graphs", "compiled-graphs", "evaluation")
WITH_GRAPHS = ("graphs", "compiled-graphs")  # on CUDA devices alone

# worlds of `bench processes`, processes x threads of each
WORLDS = ("2x1", "1x2", "1x1")
