"""What a branch changes on the boards of a git repository, so that a pull request can be checked for what it adds."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from udbench.boards import marks
from udbench.boards.entry import RESERVED
from udbench.errors import BadSetting

ENDINGS = (".json", ".npz")


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """`entries`: records of the entries that were added, or whose files were touched. `problems`: what may not be done
    to a board, a sentence each."""

    entries: tuple[Path, ...]
    problems: tuple[str, ...]


def changes_since(board: Path, revision: str) -> Changes:
    """What was changed below a folder of boards since it left a revision, committed or not.

    Entries never change and never go; marks are made by whoever keeps the board, and not handed in. Raises BadSetting
    where there is no git, no repository, or no such revision.
    """
    place = board if board.is_dir() else Path()
    top = Path(_git(place, "rev-parse", "--show-toplevel").strip())
    base = _git(place, "merge-base", "--end-of-options", revision, "HEAD").strip()
    listed = _git(place, "diff", "--name-status", "--no-renames", "-z", base, "--", ".").split("\0")
    new = _git(place, "ls-files", "--others", "--exclude-standard", "--full-name", "-z").split("\0")
    changed = [*zip(listed[::2], listed[1::2], strict=False), *(("A", name) for name in new if name)]
    entries: set[Path] = set()
    problems: list[str] = []
    for state, name in changed:
        path = board / (top / name).relative_to(board.resolve())
        if RESERVED & {*path.parts[:-1]}:
            if marks.FOLDER not in path.parts and state != "A":
                problems.append(f"{path}: baselines never change, and this one {_WORDS.get(state, state)}")
            elif marks.FOLDER in path.parts and state != "D":
                problems.append(f"{path}: marks of verification are made by whoever keeps the board; leave it out")
        elif path.suffix in ENDINGS:
            if state != "A":
                problems.append(f"{path}: entries never change and never go, and this one {_WORDS.get(state, state)}")
            if state != "D":
                entries.add(path.with_suffix(".json"))
        elif path.parent != board and path.suffix != ".md":
            problems.append(f"{path}: is no part of an entry, which is ID.json and ID.npz")
    return Changes(entries=tuple(sorted(entries)), problems=tuple(problems))


_WORDS = {"M": "was changed", "D": "was removed", "T": "became another kind of file"}


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except OSError as error:
        raise BadSetting(f"--since: git cannot be run: {error.strerror or error}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise BadSetting(f"--since: git {words[0]} in {folder}: {said[0] if said else 'failed'}")
    return done.stdout.decode(errors="surrogateescape")
