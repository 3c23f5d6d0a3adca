"""Timing parts of some work."""

from __future__ import annotations

import pytest
import torch

from udbench.perf import timing


def test_a_clock_adds_up_parts_of_one_name_in_the_order_in_which_they_began(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 11.0, 13.0, 17.0, 25.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(times))
    clock = timing.PartClock(torch.device("cpu"))
    for part in ("feed", "forward", "feed", "step"):
        clock(part)
    seconds = clock.stop()
    assert seconds == {"feed": 1 + 4, "forward": 2, "step": 8} and list(seconds) == ["feed", "forward", "step"]
