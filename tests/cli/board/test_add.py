"""`udbench board add --from`: others' entries, from a file, a folder or the network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.boards import bench_in, write_entry
from support.server import closed_address, serving

Call = Callable[..., Any]

BOARD = Path("leaderboards/small")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of boards of somebody else, with the entries "a" and "b"."""
    root = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UDBENCH_CACHE", str(root / "cache"))
        stores = bench_in(root).stores
    for id, seed in (("a", 0), ("b", 1)):
        write_entry(root / "theirs", stores, id, {"left": [0]}, seed=seed)
    return root / "theirs"


@pytest.fixture
def theirs(cli: Call, made: Path) -> Path:
    shutil.copytree(made, "theirs")
    return Path("theirs/small")


def names() -> list[str]:
    return sorted(path.name for path in BOARD.iterdir()) if BOARD.is_dir() else []


def test_a_pair_of_files_or_a_folder_of_them_is_added(cli: Call, theirs: Path) -> None:
    assert cli("board", "add", "--from", "theirs/small/a.json").out == "leaderboards/small/a.json\n"
    assert names() == ["a.json", "a.npz"]
    said = cli("board", "add", "--from", "theirs", "--json")
    assert said.json == {"added": ["leaderboards/small/a.json", "leaderboards/small/b.json"], "refused": []}
    assert cli("board", "add", "--from", theirs.resolve().as_uri()).code == 0
    assert [len(row["entries"]) for row in cli("board", "show", "small", "--json").json[0]["rows"]] == [2]


def test_what_is_refused_is_named_and_the_rest_is_added(cli: Call, theirs: Path) -> None:
    (theirs / "a.npz").write_bytes(b"other")
    (theirs / "c.json").write_text("{")
    (theirs / "d.json").write_text("[" * 1000 + "]" * 1000)
    said = cli("board", "add", "--from", "theirs")
    assert said.code == 2 and said.out == "leaderboards/small/b.json\n"
    assert "3 entries were refused, 1 added" in said.err and "Traceback" not in said.err
    for reason in ("a.npz is not the file", "c.json: not JSON", "d.json: nested more than 32 deep"):
        assert reason in said.err
    assert names() == ["b.json", "b.npz"]


def test_the_same_id_twice_is_refused_the_second_time(cli: Call, theirs: Path) -> None:
    again = Path("theirs/more")
    shutil.copytree(theirs, again)
    record = again / "a.json"
    record.write_text(record.read_text().replace('"seconds": 1.0', '"seconds": 2.0'))
    said = cli("board", "add", "--from", "theirs")
    assert said.code == 2 and "the id 'a' is another entry's" in said.err
    assert '"seconds": 2.0' in (BOARD / "a.json").read_text() and names() == ["a.json", "a.npz", "b.json", "b.npz"]


def test_an_entry_is_fetched_from_an_address(cli: Call, theirs: Path) -> None:
    files = {f"x/{path.name}": path.read_bytes() for path in theirs.iterdir()}
    with serving(files) as server:
        assert cli("board", "add", "--from", f"{server.url}x/a.json").code == 0
        assert names() == ["a.json", "a.npz"]
        assert [path for path, _ in server.asked] == ["/x/a.json", "/x/a.npz"]
        server.cut = 1000
        said = cli("board", "add", "--from", f"{server.url}x/b.json")
        assert said.code == 2 and "ended after 1,000 of" in said.err and names() == ["a.json", "a.npz"]


def test_what_an_address_may_not_give_is_refused_and_nothing_is_left_half_written(cli: Call, theirs: Path) -> None:
    record = (theirs / "a.json").read_bytes()
    files = {"a.json": record, "big.json": bytes(5 << 20), "b.json": (theirs / "b.json").read_bytes()}
    with serving(files) as server:
        server.answers["/away.json"] = "http://example.invalid/a.json"
        for name, reason in (
            ("a.json", "404"),
            ("none.json", "404"),
            ("big.json", "sends 5,242,880 bytes where big.json has at most 4,194,304"),
            ("away.json", "only https is allowed, since there is no checksum to verify (it redirects to http"),
        ):
            said = cli("board", "add", "--from", f"{server.url}{name}")
            assert said.code == 2 and reason in said.err and "Traceback" not in said.err, said.err
        server.sizes = False
        assert "sends more bytes" in cli("board", "add", "--from", f"{server.url}big.json").err
    said = cli("board", "add", "--from", f"{closed_address()}a.json")
    assert said.code == 2 and "does not answer" in said.err
    assert not Path("leaderboards").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "give either a run, or --from"),
        (["a", "--from", "theirs"], "give either a run"),
        (["--from", "nowhere"], "--from nowhere: no such file or folder"),
        (["--from", "theirs/small/a.npz"], "not a folder or a record"),
        (["--from", "theirs/small/z.json"], "no such result file"),
        (["--from", "http://example.invalid/a.json"], "only https is allowed"),
        (["--from", "https://example.invalid/a"], "give the URL of the record"),
        (["--from", "https://[bad/a.json"], "not a valid URL"),
        (["--from", "ftp://example.invalid/a.json"], "no such result file"),
    ],
    ids=range(9),
)
def test_mistakes_are_told_in_a_sentence(cli: Call, theirs: Path, words: list[str], reason: str) -> None:
    said = cli("board", "add", *words)
    assert said.code == 2 and reason in said.err and "Traceback" not in said.err, said.err
