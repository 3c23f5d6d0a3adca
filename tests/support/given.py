"""What a page takes for granted: data, boards, an image, a git repository, a cluster. Made in the folder of its reader.

`<!-- test: given … -->` in front of a fence asks for one of them, in the words that stand in `GIVEN`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from udbench.data.locations import folder_name
from udbench.testing.formats import encoded, write_bytes
from udbench.testing.trees import write_class_folders

SBATCH = """#!/bin/sh
id=$((41 + $(ls "$PRETENDED_SLURM" | grep -c submitted)))
for script; do :; done
cp "$script" "$PRETENDED_SLURM/submitted-$id.sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
if [ -z "$last" ]; then
  echo "$id|PENDING|Priority" >> "$PRETENDED_SLURM/queue"
else
  for i in $(seq 0 "$last"); do echo "${id}_$i|PENDING|Priority" >> "$PRETENDED_SLURM/queue"; done
fi
echo "Submitted batch job $id"
"""
SQUEUE = """#!/bin/sh
cat "$PRETENDED_SLURM/queue"
"""
SRUN = """#!/bin/sh
echo "srun: no job is ever started here" >&2
exit 1
"""


def give(what: str, project: Path) -> None:
    """Make in the current folder what the words of a page ask for; what is there already stays. `project` is the
    project's folder. Raises AssertionError for words that mean nothing."""
    for words, make in GIVEN.items():
        if asked := re.fullmatch(words, what):
            return make(project, **asked.groupdict())
    raise AssertionError(f"given {what}: nobody knows how; known are {', '.join(GIVEN)}")


def board(project: Path, suite: str, folder: str | None) -> None:
    """The project's board of a suite."""
    place = Path(folder or "leaderboards") / suite
    shutil.copytree(project / "leaderboards" / suite, place, dirs_exist_ok=True)


def data(project: Path, names: str, folder: str) -> None:
    """Tiny trees of domains, in their original layouts; a suite's name stands for all of its domains."""
    from udbench.plugin.contracts_data import Domain, Suite
    from udbench.plugin.loader import load

    registry = load()
    for name in names.split(", "):
        members = registry.get(Suite, name).domains if name in registry.names("suites") else (name,)
        for domain in (registry.get(Domain, member) for member in members):
            assert domain.example is not None, f"'{domain.spec.name}' has no example"
            place = Path(folder) / folder_name(domain)
            place.mkdir(parents=True, exist_ok=True)
            if not (domain.is_present(place) if domain.is_present else any(place.iterdir())):
                domain.example(place)


def class_folders(project: Path, folder: str) -> None:
    """A folder with a folder of images for each of two classes."""
    if not Path(folder).exists():
        write_class_folders(Path(folder), {"indoors": 10, "outdoors": 10}, size=(32, 32))


def image(project: Path, file: str) -> None:
    """A picture of a light bar on dark ground."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 12:16] = 255
    write_bytes(Path(file), encoded(pixels, Path(file).suffix))


def repository(project: Path) -> None:
    """The current folder is a git repository, and the boards that are there now are its origin/main."""
    git = ["git", "-c", "user.name=reader", "-c", "user.email=reader@localhost"]
    for words in (
        ["init", "--quiet"],
        ["add", "leaderboards"],
        ["commit", "--quiet", "--message", "boards"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
    ):
        subprocess.run([*git, *words], check=True)


def slurm(project: Path) -> None:
    """A cluster whose Slurm takes every job and starts none: its `sbatch` and `squeue` are found first from now on."""
    commands = Path("../slurm").resolve()
    for name, script in {"sbatch": SBATCH, "squeue": SQUEUE, "srun": SRUN}.items():
        write_bytes(commands / name, script.encode())
        (commands / name).chmod(0o755)
    os.environ["PRETENDED_SLURM"] = str(commands)
    os.environ["PATH"] = f"{commands}{os.pathsep}{os.environ['PATH']}"


GIVEN: dict[str, Callable[..., None]] = {
    r"board (?P<suite>\S+)(?: in (?P<folder>\S+))?": board,
    r"class folders in (?P<folder>\S+)": class_folders,
    r"image (?P<file>\S+)": image,
    r"repository": repository,
    r"slurm": slurm,
    r"(?P<names>.+) in (?P<folder>\S+)": data,
}
"""What can be given, by the words that ask for it."""
