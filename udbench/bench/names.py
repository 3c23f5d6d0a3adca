"""What can be timed beside the ceiling, by name."""

from __future__ import annotations

CONTENDERS = ("one-by-one", "plain", "compiled", "evaluation")
