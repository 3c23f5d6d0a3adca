"""The boards in the repository: every entry on them is what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import udbench

BOARDS = Path(udbench.__file__).parent.parent / "leaderboards"


@pytest.mark.slow
@pytest.mark.skipif(not BOARDS.is_dir(), reason="the boards are not beside the core")
def test_every_entry_of_pocket_is_verified(cli: Callable[..., Any]) -> None:
    assert cli("data", "prepare", "pocket", "--workers", "1").code == 0
    said = cli("board", "verify", "pocket", "--board", str(BOARDS), "--check", "--json")
    assert said.code == 0, said
    assert {entry["standing"] for entry in said.json["entries"]} == {"verified"}
    assert cli("board", "verify", "--board", str(BOARDS), "--check").code == 0
