"""What the pages show is what happens: every snippet runs, in an empty folder for each page, as a reader does it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from udbench.testing.docs import Fence, Reader, commands_of, compare, fences, shape

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
RUN = sorted(
    str(path.relative_to(PROJECT))
    for path in DOCS.rglob("*.md")
    if path.parent.name in ("tutorials", "howto", "concepts") or path.name in ("index.md", "library.md", "gallery.md")
)
"""The pages that are followed from end to end. The commands of all other pages are only held against the verbs."""

QUICK = ("docs/concepts/laws.md", "docs/concepts/muxing.md", "docs/concepts/pure-batches.md", "docs/gallery.md")
SKIPS = 4
"""How many snippets may be left out."""


def texts() -> Iterator[tuple[str, str]]:
    for path in (PROJECT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted(PROJECT.glob("plugins/*/README.md"))):
        yield str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8")


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
    assert len(skipped) <= SKIPS
    assert all(re.match(r"because \S+ \S+ \S+", fence.told("skip") or "") for fence in skipped)
    known = ("also", "skip", "write", "file", "code", "given")
    assert not [f"{fence.where}: {says}" for fence in every for says in fence.says if says.split(" ")[0] not in known]


def commands(page: str, text: str) -> Iterator[tuple[str, str]]:
    """Every command of udbench in a page: in fences and in indented blocks."""
    for fence in fences(page, text):
        if fence.language in ("console", "bash", ""):
            for command, _ in commands_of(fence.text, prompts=fence.language == "console"):
                yield fence.where, command
    for block in re.findall(r"(?:^ {4}\S.*\n)+", text, re.MULTILINE):
        for command, _ in commands_of(re.sub(r"^ {4}(\$ )?", "", block, flags=re.MULTILINE), prompts=False):
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
            while (below := getattr(found, "commands", None)) is not None:
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


@pytest.mark.slow
def test_the_first_command_of_the_readme_prints_the_table_that_it_shows(reader: Reader) -> None:
    blocks = re.findall(r"(?:^ {4}\S.*\n)+", (PROJECT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    command = blocks[0].strip().splitlines()[0].partition("uv run ")[2]
    small = ["--set", "rounds=1", "--set", "batch_size=2", "--set", "image_size=16", "--set", "arch.width=0.5"]
    with reader.at_work():
        said = [shape(line) for line in reader.type(command, small).splitlines()]
    assert [line for line in map(shape, blocks[1].splitlines()) if line not in said] == []


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
        typed = ("```console", "$ cat deep/a.txt", "hello", "```")
        python = ("```python", "x = 1", "```", "```python", "assert x == 1", "```")
        for fence in page(*wrote, *typed, *python):
            reader.follow(fence)
        with pytest.raises(AssertionError, match=r"page.md:1: udbench show nothing\nended with 2"):
            reader.follow(page("```console", "$ udbench show nothing", "```")[0])
        with pytest.raises(AssertionError, match="not what is in"):
            reader.follow(page("<!-- test: file deep/a.txt -->", "```text", "bye", "```")[0])
    assert Path.cwd() == before
