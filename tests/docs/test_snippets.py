"""What the pages show is what happens: every snippet runs, in an empty folder for each page, as a reader does it."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.docs import Fence, Reader, commands_of, compare, fences, is_longer

PROJECT = Path(__file__).parents[2]
PAGES = (
    PROJECT / "README.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted(PROJECT.glob("plugins/*/README.md")),
)
MADE = "docs/reference/"
"""What is made from the code, with the examples of its docstrings."""

QUICK = (
    "docs/concepts/muxing.md",
    "docs/concepts/pure-batches.md",
    "plugins/udbench-adapters/README.md",
    "plugins/udbench-slurm/README.md",
)
SKIPS = 10
"""How many snippets may be left out."""


def texts() -> Iterator[tuple[str, str]]:
    for path in PAGES:
        yield str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8")


RUN = [page for page, text in texts() if not page.startswith(MADE) and any(fence.runs for fence in fences(page, text))]
"""The pages that have something to follow: all that a reader could type is typed, from end to end."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def reader(tmp_path: Path, cache: Path) -> Reader:
    return Reader(tmp_path / "folder", PROJECT, cache)


def followed(page: str, reader: Reader) -> None:
    with reader.at_work():
        for fence in fences(page, (PROJECT / page).read_text(encoding="utf-8")):
            reader.follow(fence)


@pytest.mark.parametrize("page", [page for page in RUN if page in QUICK])
def test_a_page_does_what_it_says(page: str, reader: Reader) -> None:
    followed(page, reader)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in RUN if page not in QUICK])
def test_a_page_that_trains_does_what_it_says(page: str, reader: Reader) -> None:
    followed(page, reader)


def test_few_snippets_are_left_out_and_each_for_a_reason() -> None:
    every = [fence for page, text in texts() for fence in fences(page, text)]
    skipped = [fence for fence in every if fence.told("skip") is not None]
    assert len(skipped) <= SKIPS, [fence.where for fence in skipped]
    assert all(re.match(r"because \S+ \S+ \S+", fence.told("skip") or "") for fence in skipped)
    known = ("also", "skip", "printed", "write", "file", "code", "given")
    assert not [f"{fence.where}: {says}" for fence in every for says in fence.says if says.split(" ")[0] not in known]


def outside(text: str) -> str:
    """A page without its fences."""
    return re.sub(r"^( *)(```+)[^\n]*\n.*?^\1\2 *$", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(page: str, text: str) -> Iterator[tuple[str, str]]:
    """The commands of a page's blocks that no test runs: of fences in no language, and of indented lines."""
    for fence in fences(page, text):
        if fence.language in ("", "text", "sh", "shell"):
            for command, _ in commands_of(re.sub(r"^\$ ", "", fence.text, flags=re.MULTILINE), prompts=False):
                yield fence.where, command
    for block in re.findall(r"(?:^ {4,}\S.*\n)+", outside(text), re.MULTILINE):
        for command, _ in commands_of(re.sub(r"^ {4,}(\$ )?", "", block, flags=re.MULTILINE), prompts=False):
            yield page, command


def test_no_command_stands_in_a_block_that_is_not_run() -> None:
    typed = re.compile(r"(udbench|pip|uv|uvx|python|torchrun|srun|sbatch|tensorboard|cd|export) [\w.-]")
    found = [f"{where}: {command}" for page, text in texts() if not page.startswith(MADE)
             for where, command in blocks(page, text) if typed.match(command)]  # fmt: skip
    assert found == []


def commands(page: str, text: str) -> Iterator[tuple[str, str]]:
    """Every command of a page's blocks, and of udbench in its words."""
    for fence in fences(page, text):
        if fence.language in ("console", "bash"):
            for command, _ in commands_of(fence.text, prompts=fence.language == "console"):
                yield fence.where, command
    yield from blocks(page, text)
    for command in re.findall(r"`(udbench [a-z][^`\n]*)`", outside(text)):
        yield page, command


def test_every_command_of_every_page_names_a_verb_and_options_that_exist() -> None:
    import typer

    from udbench.cli import app, context

    root: Any = typer.main.get_command(app)
    context.begin([])
    seen = 0
    for page, text in texts():
        for where, command in commands(page, text):
            if not (asked := re.search(r"(?:^|&& |uv run |-m )udbench (?!=)(?P<words>[a-z].*)", command)):
                continue
            words = shlex.split(asked["words"].split(" | ")[0])
            found, name = root, words[0]
            while words and (below := getattr(found, "commands", None)) is not None:
                name, *words = words
                if name in below:
                    found = below[name]
                else:
                    group = found.name if found is not root else ""
                    found = context.plugin_verb(name, [*below], group)
            known = {option for each in found.params for option in each.opts} | {"--help", "--no-plugin", "--traceback"}
            given = {word.split("=")[0] for word in words if word.startswith("--")}
            assert given <= known, f"{where}: {command}: no option {given - known}"
            seen += 1
    assert seen > 60


# the tests' own tools


def page(*lines: str) -> list[Fence]:
    return fences("page.md", "\n".join(lines) + "\n")


def test_fences_carry_their_comments_and_commands_their_output() -> None:
    (fence,) = page(
        "<!-- test: also --set rounds=2 -->", "<!-- test: given mnist in DIR -->", "  ```console", "  $ udbench run \\",
        "      --seed 1", "  custom", "  $ ls", "  ```",
    )  # fmt: skip
    assert fence.told("also") == "--set rounds=2" and fence.told("given") == "mnist in DIR"
    assert fence.told("skip") is None and fence.where == "page.md:3"
    assert fence.commands == [("udbench run --seed 1", ["custom"]), ("ls", [])]
    assert not page("<!-- test: skip because -->", "words", "```bash", "ls", "```")[0].says


def test_output_is_held_by_its_shape() -> None:
    said = "one 12.5 %\n ────────── \n\nruns/0123abcd\ntwo 3\nend\n"
    compare(["one 7 %", " ────", "runs/89efabcd", "two 4", "end"], said, "")
    compare(["…", "two   1", "…"], said, "")
    compare([], said, "")
    for wrong in (["one 7 %"], ["two 4", "end"], ["one 7 %", "…", "three 4", "…"], ["one 7 %", "two 4", "…"]):
        with pytest.raises(AssertionError):
            compare(wrong, said, "")


def test_a_reader_writes_files_sees_python_and_is_told_what_went_wrong(reader: Reader) -> None:
    before = Path.cwd()
    with reader.at_work():
        wrote = ("<!-- test: write deep/a.txt -->", "```text", "hello", "```")
        typed = ("```console", "$ cat deep/a.txt", "hello", "```", "<!-- test: printed -->", "```text", "hello", "```")
        python = ("```python", "x = 1", "```", "```python", "assert x == 1", "```")
        for fence in page(*wrote, *typed, *python):
            reader.follow(fence)
        with pytest.raises(AssertionError, match=r"page.md:1: udbench show nothing\nended with 2"):
            reader.follow(page("```console", "$ udbench show nothing", "```")[0])
        with pytest.raises(AssertionError, match="not what is in"):
            reader.follow(page("<!-- test: file deep/a.txt -->", "```text", "bye", "```")[0])
        with pytest.raises(AssertionError, match="is said to print\nbye"):
            reader.follow(page("<!-- test: printed -->", "```text", "bye", "```")[0])
    assert Path.cwd() == before


def test_also_is_said_to_what_trains_measures_or_prepares() -> None:
    longer = ("udbench run --seed 1", "torchrun -m udbench run", "python -m support.campaign", "udbench data x")
    assert all(is_longer(command.split()) for command in longer)
    assert not any(is_longer(command.split()) for command in ("udbench board show", "python -m pytest", "ls udbench-a"))


def test_a_reader_is_given_what_a_page_takes_for_granted(reader: Reader) -> None:
    with reader.at_work():
        given = ("daimler, mnist in DIR", "class folders in photos", "image digit.png", "board pocket",
                 "board pocket in theirs", "repository", "slurm")  # fmt: skip
        for fence in page(*(f"<!-- test: given {what} -->" for what in given), "```bash", "ls", "```"):
            reader.follow(fence)
        there = (
            "DIR/daimler/1",
            "DIR/mnist/MNIST",
            "photos/indoors",
            "digit.png",
            "leaderboards/pocket",
            "theirs/pocket",
        )
        assert [name for name in there if not Path(name).exists()] == []
        assert "origin/main" in reader.type("git branch --remotes")
        Path("job.sh").write_text("#SBATCH --array=0-1%2\n")
        assert reader.type("sbatch job.sh") == "Submitted batch job 41\n"
        assert reader.type("squeue").splitlines() == ["41_0|PENDING|Priority", "41_1|PENDING|Priority"]
        with pytest.raises(AssertionError, match="nobody knows how"):
            reader.follow(page("<!-- test: given luck -->", "```bash", "ls", "```")[0])


def test_a_reader_installs_as_if_what_is_installed_already_stays(reader: Reader) -> None:
    with reader.at_work():
        there = list(sys.path)
        assert reader.type("pip install uv && uv run echo done") == "done\n"
        assert reader.type("pip install -e . -e 'plugins/udbench-callbacks[tensorboard]'") == ""
        assert sys.path == there
        reader.type("pip install -e plugins/udbench-example")
        assert "example" in reader.type("udbench list plugins")
        with pytest.raises(AssertionError, match="no such extra"):
            reader.type("pip install -e 'plugins/udbench-callbacks[nothing]'")
