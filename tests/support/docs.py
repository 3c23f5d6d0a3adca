"""Pages of Markdown whose snippets are run: what a reader types is what a test types.

A fence is run by its language: `console` (lines behind "$ ", with what they print below them), `bash` (every line) and
`python` (one after another, in one namespace). Comments in front of a fence say what the test does otherwise:

    <!-- test: also --set rounds=2 -->      more words behind the fence's commands that train, measure or prepare
    <!-- test: skip because … -->           it is not run, for this reason
    <!-- test: printed -->                  these lines are among what the last command printed
    <!-- test: write FILE -->               the reader saves the fence as this file
    <!-- test: file FILE -->                this file, as a command before has written it, is the fence
    <!-- test: code FILE -->                the project's file is the fence
    <!-- test: given mnist, svhn in DIR --> a folder of data with tiny trees of these domains (or of a suite's) is there
    <!-- test: given class folders in DIR --> a folder with a folder of images for each of two classes
    <!-- test: given image FILE -->         a picture
    <!-- test: given board pocket -->       the project's board of that suite is there; "in DIR": in that folder
    <!-- test: given repository -->         the reader's folder is a git repository, its boards so far are origin/main
    <!-- test: given slurm -->              a cluster that takes jobs and starts none

Commands of udbench run in this process; `pip install` and `uv run` are done as if; all others by a shell.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from support.given import give
from udbench.testing.conformance.target import folder_target

FENCE = re.compile(r"^(?P<indent> *)(?P<marks>```+) *(?P<language>[\w-]*)[^\n]*$")
COMMENT = re.compile(r"^<!-- test: (?P<what>.*?) -->$")
LONGER = ("run", "sweep", "transfer", "plan", "bench", "data")
"""The verbs that train, measure or prepare, behind which `also` puts its words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """A fenced block of a page: where it stands, its language, its text, and what comments say to the test."""

    page: str
    line: int
    language: str
    text: str
    says: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"

    def every(self, word: str) -> list[str]:
        """What stands behind this word in each comment that begins with it."""
        return [says.removeprefix(word).strip() for says in self.says if says.split(" ")[0] == word]

    def told(self, word: str) -> str | None:
        """What stands behind a comment's first word, or None where no comment begins with it."""
        return next(iter(self.every(word)), None)

    @property
    def runs(self) -> bool:
        """Whether it is a reader's to run, and not to read or to save."""
        return self.language in ("console", "bash", "python") and not {"skip", "write", "file", "code"} & {
            says.split(" ")[0] for says in self.says
        }

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Its commands, each with the lines that it is said to print."""
        return commands_of(self.text, prompts=self.language == "console")


def fences(page: str, text: str) -> list[Fence]:
    """The fences of a page's text."""
    found: list[Fence] = []
    says: list[str] = []
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if comment := COMMENT.match(line.strip()):
            says.append(comment["what"])
        elif opening := FENCE.match(line):
            inside: list[str] = []
            for _, below in lines:
                if below.strip() == opening["marks"]:
                    break
                inside.append(below.removeprefix(opening["indent"]))
            made = Fence(
                page=page, line=number, language=opening["language"], text="\n".join(inside) + "\n", says=tuple(says)
            )
            found.append(made)
            says = []
        elif line.strip():
            says = []
    return found


def commands_of(text: str, *, prompts: bool) -> list[tuple[str, list[str]]]:
    """The commands of a block of shell, a line that ends with a backslash going on in the next."""
    found: list[tuple[str, list[str]]] = []
    lines = iter(text.splitlines())
    for line in lines:
        if prompts and not line.startswith("$ "):
            if found and line.strip():
                found[-1][1].append(line)
            continue
        command = line.removeprefix("$ ") if prompts else line
        while command.endswith("\\"):
            command = command[:-1].rstrip() + " " + next(lines, "").strip()
        if command.strip() and not command.startswith("#"):
            found.append((command.split("   #")[0].strip(), []))
    return found


class Reader:
    """Somebody who follows a page in an empty folder. `cache` may be shared: images are then prepared once."""

    def __init__(self, folder: Path, project: Path, cache: Path) -> None:
        self.folder, self.project, self.cache, self.site = folder, project, cache, folder.parent / "site"
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.said = ""

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Within, this process is in the reader's folder and finds what they installed."""
        before, path, place, known = dict(os.environ), list(sys.path), Path.cwd(), set(sys.modules)
        self.folder.mkdir(parents=True)
        self.site.mkdir()
        os.environ["UDBENCH_CACHE"] = str(self.cache)
        os.environ["OMP_NUM_THREADS"] = "1"
        for name in ("UDBENCH_DATA", "UDBENCH_DISABLE"):
            os.environ.pop(name, None)
        self._find(self.site)
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(place)
            sys.path[:] = path
            os.environ.clear()
            os.environ.update(before)
            for name in set(sys.modules) - known:
                if self._is_theirs(name):
                    del sys.modules[name]

    def follow(self, fence: Fence) -> None:
        """Do what a fence asks. Raises AssertionError, which names page and line, where it does not do as it says."""
        if fence.told("skip") is not None:
            return
        for what in fence.every("given"):
            give(what, self.project)
        self._files(fence)
        if fence.told("printed") is not None:
            compare(["…", *fence.text.splitlines(), "…"], self.said, fence.where)
        elif fence.runs and fence.language == "python":
            exec(compile(fence.text, fence.where, "exec"), self.names)  # noqa: S102, the project's own pages
        elif fence.runs:
            for command, expected in fence.commands:
                self.said = self.type(command, (fence.told("also") or "").split(), fence.where)
                compare(expected, self.said, f"{fence.where}: {command}")

    def type(self, command: str, also: Sequence[str] = (), where: str = "") -> str:
        """Run one command, and return what it said on both streams."""
        first, _, rest = command.partition(" && ")
        if first.startswith("pip install "):
            said = self._install(shlex.split(first)[2:])
            return said + self.type(rest, also, where) if rest else said
        command = command.removeprefix("uv run ")
        words = shlex.split(command)
        if is_longer(words):
            command, words = f"{command} {shlex.join(also)}", [*words, *also]
        if words[0] == "udbench":
            code, said = self._udbench(words[1:])
        else:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=500
            )
            code, said = done.returncode, done.stdout + done.stderr
        assert code == 0, f"{where}: {command}\nended with {code}:\n{said}"
        return said

    def _udbench(self, words: list[str]) -> tuple[int, str]:
        from udbench.cli import main

        for name in [name for name in sys.modules if self._is_theirs(name)]:
            del sys.modules[name]
        importlib.invalidate_caches()
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                main(words)
                code = 0
            except SystemExit as left:
                code = left.code if isinstance(left.code, int) else int(left.code is not None)
        return code, said.getvalue()

    def _install(self, words: Sequence[str]) -> str:
        """Packages are there at once: those of PyPI, and of the project, are what this environment has."""
        for option, folder in pairwise(words):
            if option == "-e":
                name, _, extra = folder.rstrip("]").partition("[")
                place = next(at for at in (Path(name), self.project / name) if (at / "pyproject.toml").is_file())
                about = tomllib.loads((place / "pyproject.toml").read_text())["project"]
                assert not extra or extra in about["optional-dependencies"], f"{folder}: no such extra"
                if about["name"] not in _installed():
                    self._install_folder(place)
        return ""

    def _install_folder(self, folder: Path) -> None:
        target = folder_target(folder, self.site)
        (info,) = self.site.glob(f"{re.sub('[-_.]+', '_', target.distribution)}-0.dist-info")
        about = (info / "METADATA").read_text()
        (info / "METADATA").write_text(f"{about}License-Expression: {target.licence}\n")
        for path in target.paths:
            self._find(Path(path))

    def _find(self, place: Path) -> None:
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))
        if str(place) not in known:
            os.environ["PYTHONPATH"] = os.pathsep.join([str(place), *known])

    def _is_theirs(self, name: str) -> bool:
        file = getattr(sys.modules.get(name), "__file__", None)
        return file is not None and Path(file).is_relative_to(self.folder.parent)

    def _files(self, fence: Fence) -> None:
        if (name := fence.told("code")) is not None:
            assert (self.project / name).read_text() == fence.text, f"{fence.where}: not what {name} is"
        if (name := fence.told("file")) is not None:
            assert Path(name).read_text() == fence.text, f"{fence.where}: not what is in {name}"
        if (name := fence.told("write")) is not None:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(fence.text)


def is_longer(words: Sequence[str]) -> bool:
    """Whether `also` puts its words behind a command: udbench's own or one that torchrun starts, or a module of it."""
    if words[:2] == ["python", "-m"]:
        return words[2].startswith(("udbench.", "support."))
    return "udbench" in words and words[words.index("udbench") + 1] in LONGER


def _installed() -> set[str]:
    return {each.name for each in importlib.metadata.distributions()}


_CHANCE = r"(at chance: not learnt|cannot be told from chance with [\d,]+ images)"
UNTAUGHT = re.compile(rf"^warning: '.*': {_CHANCE} \(|^prepared .* images in ")
"""Lines that only a run of few rounds says, or only the first run on a machine."""


def shape(line: str) -> str:
    """A line of output less what differs from run to run: ids, figures, the width of columns, seconds that are told of
    what was slow, and whether anything was learnt in a test's few rounds."""
    line = re.sub(rf" {_CHANCE} *$| \([\d.]+ s\)$", "", line)
    line = re.sub(r"\b[0-9a-f]{8}\b", "ID", line)
    line = re.sub(r"\d+(:\d\d)+|\d[\d,]*(\.\d+)?(e-?\d+)?", "#", line)
    return " ".join(re.sub(r"[─-]{3,}", "─", line).split())


def compare(expected: Sequence[str], said: str, where: str) -> None:
    """Hold the lines that a page shows against what was said: all of them in order and without a gap, but for lines
    that are "…", which stand for any number. Raises AssertionError."""
    lines = [shape(line) for line in said.splitlines() if line.strip() and not UNTAUGHT.match(line)]
    parts: list[list[str]] = [[]]
    for line in expected:
        if line.strip() == "…":
            parts.append([])
        elif not UNTAUGHT.match(line):
            parts[-1].append(shape(line))
    begin = 0
    for i, part in enumerate(parts):
        starts = [at for at in range(begin, len(lines) - len(part) + 1) if lines[at : at + len(part)] == part]
        starts = starts if i or not part else [at for at in starts if at == begin]
        wanted = "\n".join(part)
        assert starts or not part, f"{where}\nis said to print\n{wanted}\nand printed\n{said}"
        begin = (starts or [begin])[0] + len(part)
    if expected and parts[-1]:
        assert begin == len(lines), f"{where}\nprinted more than the page shows:\n{said}"
