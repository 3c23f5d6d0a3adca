"""What a branch changes on the boards of a git repository, so that a pull request can be checked for what it adds."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from udbench.boards import marks
from udbench.boards.entry import RESERVED
from udbench.errors import DataError, SettingError

ENDINGS = (".json", ".npz")
SECONDS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """`entries`: records of the entries that were added, or whose files were touched. `problems`: what may not be done
    to a board, a sentence each."""

    entries: tuple[Path, ...]
    problems: tuple[str, ...]


def changes_since(board: Path, revision: str) -> Changes:
    """What was changed below a folder of boards since it left a revision, committed or not.

    Entries never change and never go, nor does the whole board; marks are made by whoever keeps it, and not handed in.
    Raises SettingError where there is no git, no repository, or no such revision; DataError where there is no such
    board, and was none.
    """
    whole = board.resolve()
    place = next(folder for folder in (whole, *whole.parents) if folder.is_dir())
    top = Path(_git(place, "rev-parse", "--show-toplevel").removesuffix("\n"))
    base = _git(place, "merge-base", "--end-of-options", revision, "HEAD").strip()
    listed = _git(place, "diff", "--name-status", "--no-renames", "--no-relative", "-z", base, "--", str(whole))
    new = _git(place, "ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", str(whole))
    words = listed.split("\0")
    changed = [*zip(words[::2], words[1::2], strict=False), *(("A", name) for name in new.split("\0") if name)]
    if not changed and not board.is_dir():
        raise DataError(f"{board}: no such folder of leaderboards; choose another one with --board")
    entries: set[Path] = set()
    problems: list[str] = []
    for state, name in changed:
        below = (top / name).relative_to(whole)
        path = board / below
        if kept := RESERVED & {*below.parts[:-1]}:
            if marks.FOLDER not in kept and state != "A":
                problems.append(f"{path}: baselines never change, and this one {_WORDS.get(state, state)}")
            elif marks.FOLDER in kept and state != "D":
                problems.append(f"{path}: marks of verification are made by whoever keeps the board; leave it out")
        elif path.suffix in ENDINGS:
            if state != "A":
                problems.append(f"{path}: entries never change and never go, and this one {_WORDS.get(state, state)}")
            if state != "D":
                entries.add(path.with_suffix(".json"))
        elif len(below.parts) > 1 and path.suffix != ".md":
            problems.append(f"{path}: is no part of an entry, which is ID.json and ID.npz")
    return Changes(entries=tuple(sorted(entries)), problems=tuple(problems))


_WORDS = {"M": "was changed", "D": "was removed", "T": "became another kind of file"}


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "--literal-pathspecs", "-C", str(folder), *words], capture_output=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise SettingError(f"--changed-since: git {words[0]} in {folder} did not answer for {SECONDS} s") from None
    except OSError as error:
        raise SettingError(f"--changed-since: git cannot be run: {error.strerror or error}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise SettingError(f"--changed-since: git {words[0]} in {folder}: {said[0] if said else 'failed'}")
    return done.stdout.decode(errors="surrogateescape")
