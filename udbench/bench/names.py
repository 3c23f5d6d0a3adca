"""What can be timed, by name."""

from __future__ import annotations

# beside the ceiling
CONTENDERS = ("one-by-one", "plain", "compiled", "evaluation")

# worlds of `bench processes`, processes x threads of each
WORLDS = ("2x1", "1x2", "1x1")
