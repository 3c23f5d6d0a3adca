"""What docs/scaling.md assumes of machines can be given to `udbench plan` as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from udbench.perf.rates import read_machine

DOC = Path(__file__).parents[2] / "docs" / "scaling.md"


def test_the_assumed_machines_are_files_that_plan_takes(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", DOC.read_text(), re.S)
    assert len(blocks) == 2
    for i, block in enumerate(blocks):
        path = tmp_path / f"{i}.toml"
        path.write_text(block)
        assert "assumed" in read_machine(path).name
