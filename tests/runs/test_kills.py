"""Law 3: a run that is killed at any moment and resumed ends with the bytes of one that never was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.kills import DRAWN, campaign, stopped


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_killed_at_twenty_drawn_moments_and_resumed_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    found = campaign(tmp_path, 20, processes=processes)
    assert found.kills == 20 and set(found.by_phase) == set(DRAWN), "in training, checkpointing, scoring and writing"
    assert found.noticed < 60, "the other process ends by itself"


@pytest.mark.slow
def test_a_process_that_is_stopped_ends_the_run_within_its_timeout_and_the_others_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    said, seconds = stopped(tmp_path, timeout=5)
    assert re.search(r"process 0 of 2 \((left|right)\) lost the others in round \d+", said)
    assert "a process has stopped or is too slow (UDBENCH_TIMEOUT=SECONDS" in said
    assert seconds < 30, "5 seconds, and what a busy machine takes"
