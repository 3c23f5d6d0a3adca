"""A campaign of kills from the command line: `python -m support.campaign --kills 100 --processes 2`."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from support.kills import campaign


def main() -> None:
    """A campaign from the command line."""
    parser = argparse.ArgumentParser(description="Kill runs at drawn moments, resume them, and compare their bytes.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--adapter", default="domain-bn")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["UDBENCH_CACHE"] = str(Path(folder) / "cache")
        found = campaign(Path(folder), asked.kills, processes=asked.processes, adapter=asked.adapter, seed=asked.seed)
    phases = ", ".join(f"{number} in {phase}" for phase, number in found.by_phase.most_common())
    print(f"{found.kills} kills ({phases}) of {found.runs} runs of {asked.processes}: all ended with the same bytes")
    if asked.processes > 1:
        print(f"the other processes of a run ended at most {found.noticed:.2f} s behind the one that was killed")


if __name__ == "__main__":
    main()
